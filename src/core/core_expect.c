/* What an entry will touch, asked for before its turn.
 *
 * In a large network the rows of a lease, its task, node and session lie anywhere in the arena, and most of what
 * core_apply takes is waiting for one after the other. The entries of a batch are known, so a driver calls core_expect
 * for those that come next: first for the row that the entry names, some entries later for what that row names, and so
 * on. What is read here may be out of date by the time the entry's turn comes; then the asking was in vain.
 */
#include "base/prefetch.h"
#include "core/core_parts.h"

/* Where the fields that name rows lie in an entry: behind its type. */
#define TYPE_SIZE       2
#define LEASE_SIZE      8
#define SUBMIT_PAYER    TYPE_SIZE
#define SUBMIT_KEY      (SUBMIT_PAYER + sizeof(struct address))
#define SUBMIT_SESSION  (SUBMIT_KEY + sizeof(struct hash))
#define SUBMIT_SIZE_MIN (SUBMIT_SESSION + 8)

static void expect_submit(const struct core *core, const uint8_t *bytes, enum expect_stage stage)
{
    account_expect(&core->account, (const struct address *)(const void *)(bytes + SUBMIT_PAYER),
                   (const struct hash *)(const void *)(bytes + SUBMIT_KEY), stage);
    session_queue_expect_submit(&core->session_queue, be64(bytes + SUBMIT_SESSION), stage);
}

void core_expect(const struct core *core, struct span bytes, enum expect_stage stage)
{
    if (bytes.size < TYPE_SIZE + LEASE_SIZE)
        return;
    switch ((enum command_type)be16(bytes.data)) {
    case COMMAND_TASK_SUBMIT:
        if (bytes.size >= SUBMIT_SIZE_MIN)
            expect_submit(core, bytes.data, stage);
        return;
    case COMMAND_TASK_ACK:
    case COMMAND_TASK_DECLINE:
    case COMMAND_TASK_PRECOMMIT:
    case COMMAND_TASK_COMMIT:
    case COMMAND_TASK_PRIMARY:
    case COMMAND_TASK_STREAMS:
    case COMMAND_TASK_FAULT:
        session_queue_expect_lease(&core->session_queue, be64(bytes.data + TYPE_SIZE), stage);
        return;
    case COMMAND_GENESIS:
    case COMMAND_PARAMS_SET:
    case COMMAND_RULES_SET:
    case COMMAND_ORACLE_ADD:
    case COMMAND_ORACLE_REMOVE:
    case COMMAND_ROUTER_ADD:
    case COMMAND_ROUTER_REMOVE:
    case COMMAND_TICK:
    case COMMAND_ROUTER_HEARTBEAT:
    case COMMAND_ORACLE_HEARTBEAT:
    case COMMAND_ORACLE_CHAIN:
    case COMMAND_DEPOSIT:
    case COMMAND_WITHDRAW:
    case COMMAND_WITHDRAW_PAID:
    case COMMAND_ACCOUNT_BIND:
    case COMMAND_KEY_PUT:
    case COMMAND_KEY_REVOKE:
    case COMMAND_DELEGATE_SET:
    case COMMAND_ACCOUNT_RESTRICT:
    case COMMAND_MODEL_PUT:
    case COMMAND_MODEL_REMOVE:
    case COMMAND_NODE_REGISTER:
    case COMMAND_NODE_MODEL_PUT:
    case COMMAND_NODE_ATTACH:
    case COMMAND_NODE_DETACH:
    case COMMAND_NODE_LEAVE:
    case COMMAND_NODE_APPROVE:
    case COMMAND_NODE_INVITE:
    case COMMAND_BAN_LIFT:
    case COMMAND_SESSION_OPEN:
    case COMMAND_SESSION_TOP_UP:
    case COMMAND_SESSION_CLOSE:
    case COMMAND_SESSION_NODE_ADD:
    case COMMAND_SESSION_NODE_REMOVE:
    case COMMAND_SESSION_POOL_PUT:
    case COMMAND_TASK_CANCEL:
    case COMMAND_TASK_ADOPT:
    case COMMAND_ROUND_CREATE:
    case COMMAND_ROUND_PREPARE:
    case COMMAND_ROUND_START:
    case COMMAND_ROUND_ACK:
    case COMMAND_ROUND_PRECOMMIT:
    case COMMAND_ROUND_COMMIT:
    case COMMAND_ROUND_VERDICT:
    case COMMAND_ROUND_ABORT:
    case COMMAND_AUDIT_ASK:
    case COMMAND_AUDIT_VERDICT:
    case COMMAND_TYPE_END: return;
    }
}
