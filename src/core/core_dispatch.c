/* Which module decides which command. */
#include "core/core_parts.h"

static enum verdict submit(struct core *core, const struct command *cmd)
{
    uint64_t task = 0;
    enum verdict verdict = session_queue_submit(&core->session_queue, cmd, &task);
    if (verdict == VERDICT_ACCEPTED || verdict == VERDICT_TASK_KNOWN)
        core->last_task = task;
    return verdict;
}

static enum verdict open_session(struct core *core, const struct cmd_session_open *cmd)
{
    uint64_t session = 0;
    enum verdict verdict = session_open(&core->session, cmd, &session);
    if (verdict == VERDICT_ACCEPTED || verdict == VERDICT_SESSION_KNOWN)
        core->last_session = session;
    return verdict;
}

static enum verdict lift_ban(struct core *core, const struct cmd_ban_lift *cmd, uint32_t oracle)
{
    struct lift_vote vote = {
        .oracle = oracle,
        .oracle_operator = oracle_operator(&core->cognitive, oracle),
        .quorum = oracle_quorum(&core->cognitive),
    };
    return node_pool_ban_lift(&core->node_pool, cmd, &vote);
}

enum verdict core_dispatch(struct core *core, const struct command *cmd, uint32_t oracle)
{
    struct account_book *account = &core->account;
    struct payment *payment = &core->payment;
    struct node_pool *node_pool = &core->node_pool;
    struct session_book *session = &core->session;
    struct cognitive *cognitive = &core->cognitive;
    struct session_queue *queue = &core->session_queue;
    switch (cmd->type) {
    case COMMAND_GENESIS: return VERDICT_GENESIS_AGAIN;
    case COMMAND_PARAMS_SET: return core_params_set(core, &cmd->params_set);
    case COMMAND_RULES_SET: return core_rules_set(core, &cmd->rules_set);
    case COMMAND_ORACLE_ADD: return cognitive_oracle_add(cognitive, &cmd->oracle_add);
    case COMMAND_ORACLE_REMOVE: return cognitive_oracle_remove(cognitive, &cmd->oracle_remove);
    case COMMAND_ROUTER_ADD: return account_router_add(account, &cmd->router_add);
    case COMMAND_ROUTER_REMOVE: return account_router_remove(account, &cmd->router_remove);
    case COMMAND_TICK: return VERDICT_ACCEPTED;
    case COMMAND_ROUTER_HEARTBEAT: return account_router_heartbeat(account, &cmd->router_heartbeat);
    case COMMAND_ORACLE_HEARTBEAT: return cognitive_heartbeat(cognitive, &cmd->oracle_heartbeat, oracle);
    case COMMAND_ORACLE_CHAIN: return cognitive_chain(cognitive, &cmd->oracle_chain, oracle);
    case COMMAND_DEPOSIT: return payment_deposit(payment, &cmd->deposit);
    case COMMAND_WITHDRAW: return payment_withdraw(payment, &cmd->withdraw);
    case COMMAND_WITHDRAW_PAID: return payment_withdraw_paid(payment, &cmd->withdraw_paid);
    case COMMAND_ACCOUNT_BIND: return account_bind(account, &cmd->account_bind);
    case COMMAND_KEY_PUT: return account_key_put(account, &cmd->key_put, &cmd->author);
    case COMMAND_KEY_REVOKE: return account_key_revoke(account, &cmd->key_revoke);
    case COMMAND_DELEGATE_SET: return account_delegate(account, &cmd->delegate_set);
    case COMMAND_ACCOUNT_RESTRICT: return account_restrict(account, &cmd->account_restrict);
    case COMMAND_MODEL_PUT: return catalog_put(&core->catalog, &cmd->model_put);
    case COMMAND_MODEL_REMOVE: return catalog_remove(&core->catalog, &cmd->model_remove);
    case COMMAND_NODE_REGISTER: return node_pool_register(node_pool, cmd);
    case COMMAND_NODE_MODEL_PUT: return node_pool_model_put(node_pool, &cmd->node_model_put);
    case COMMAND_NODE_ATTACH: return node_pool_attach(node_pool, &cmd->node_attach);
    case COMMAND_NODE_DETACH: return node_pool_detach(node_pool, &cmd->node_detach);
    case COMMAND_NODE_LEAVE: return node_pool_leave(node_pool, &cmd->node_leave);
    case COMMAND_NODE_APPROVE: return node_pool_approve(node_pool, &cmd->node_approve);
    case COMMAND_NODE_INVITE: return node_pool_invite(node_pool, &cmd->node_invite);
    case COMMAND_BAN_LIFT: return lift_ban(core, &cmd->ban_lift, oracle);
    case COMMAND_SESSION_OPEN: return open_session(core, &cmd->session_open);
    case COMMAND_SESSION_TOP_UP: return session_top_up(session, &cmd->session_top_up);
    case COMMAND_SESSION_CLOSE: return session_close(session, &cmd->session_close);
    case COMMAND_SESSION_NODE_ADD: return session_node_add(session, cmd);
    case COMMAND_SESSION_NODE_REMOVE: return session_node_remove(session, &cmd->session_node_remove);
    case COMMAND_SESSION_POOL_PUT: return session_pool_put(session, &cmd->session_pool_put);
    case COMMAND_TASK_SUBMIT: return submit(core, cmd);
    case COMMAND_TASK_CANCEL: return session_queue_cancel(queue, &cmd->task_cancel);
    case COMMAND_TASK_ACK: return session_queue_ack(queue, &cmd->task_ack);
    case COMMAND_TASK_DECLINE: return session_queue_decline(queue, &cmd->task_decline);
    case COMMAND_TASK_PRECOMMIT: return session_queue_precommit(queue, cmd);
    case COMMAND_TASK_COMMIT: return session_queue_commit(queue, &cmd->task_commit);
    case COMMAND_TASK_PRIMARY: return session_queue_primary(queue, &cmd->task_primary);
    case COMMAND_TASK_STREAMS: return session_queue_streams(queue, &cmd->task_streams);
    case COMMAND_TASK_ADOPT: return session_queue_adopt(queue, &cmd->task_adopt);
    case COMMAND_TASK_FAULT: return session_queue_fault(queue, &cmd->task_fault);
    case COMMAND_ROUND_CREATE: return cognitive_create(cognitive, &cmd->round_create, oracle);
    case COMMAND_ROUND_PREPARE: return cognitive_prepare(cognitive, &cmd->round_prepare, oracle);
    case COMMAND_ROUND_START: return cognitive_start(cognitive, &cmd->round_start, oracle);
    case COMMAND_ROUND_ACK: return cognitive_ack(cognitive, &cmd->round_ack);
    case COMMAND_ROUND_PRECOMMIT: return cognitive_precommit(cognitive, cmd);
    case COMMAND_ROUND_COMMIT: return cognitive_commit(cognitive, &cmd->round_commit);
    case COMMAND_ROUND_VERDICT: return cognitive_verdict(cognitive, &cmd->round_verdict, oracle);
    case COMMAND_ROUND_ABORT: return cognitive_abort(cognitive, &cmd->round_abort, oracle);
    case COMMAND_AUDIT_ASK: return audit_ask(&core->validation, &cmd->audit_ask, oracle);
    case COMMAND_AUDIT_VERDICT: return audit_verdict(&core->validation, &cmd->audit_verdict, oracle);
    case COMMAND_TYPE_END: break;
    }
    return VERDICT_COMMAND_UNKNOWN;
}
