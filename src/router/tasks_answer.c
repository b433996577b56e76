/* What miners say about their leases: acks, chunks, precommits, reveals. */
#include "router/tasks_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "crypto/keccak.h"
#include "crypto/sha256.h"
#include "proto/request.h"

/* Every so many chunk frames, and the last, carry the head of the chain. Source: docs/protocol.md, "Result record". */
#define CHUNKS_A_HEAD 16

static void submit(struct tasks *tasks, const struct command *cmd)
{
    enum cx_err err = replica_command(tasks->replica, cmd, NULL, 0, NULL, NULL);
    cx_maybe(err);  // busy or stopped: the phase's deadline decides
}

struct told {
    struct tasks *tasks;
    uint64_t lease;
    struct address node;
    enum said said;
};

static struct told *told_new(struct tasks *tasks, struct answer *a, enum said said)
{
    struct told *told = malloc(sizeof *told);
    cx_assert(told);
    *told = (struct told){.tasks = tasks, .lease = a->lease, .node = a->node, .said = said};
    a->said |= (uint8_t)said;
    return told;
}

/* What did not come to stand may be said again. A lease that the core holds for dead is so for the miner too. */
static void heard(void *ctx, const struct replica_outcome *outcome)
{
    struct told *told = ctx;
    struct run *run;
    struct answer *a;
    bool stands = !outcome->err && outcome->verdict == VERDICT_ACCEPTED;
    if (!stands && outcome->err != CX_CANCELLED && run_of_lease(told->tasks, told->lease, &run, &a))
        a->said &= (uint8_t)~told->said;
    if (!outcome->err && outcome->verdict == VERDICT_LEASE_STALE && told->said == SAID_PRECOMMIT)
        hub_recall(told->tasks->hub, &told->node, told->lease, CAUSE_LATE);
    free(told);
}

static void say(struct tasks *tasks, uint64_t lease, enum said said, const struct command *cmd)
{
    struct run *run;
    struct answer *a;
    if (!run_of_lease(tasks, lease, &run, &a) || a->said & said)
        return;
    struct told *told = told_new(tasks, a, said);
    if (replica_command(tasks->replica, cmd, NULL, 0, heard, told) == CX_OK)
        return;
    a->said &= (uint8_t)~said;  // stopped: the phase's deadline decides
    free(told);
}

void tasks_on_ack(struct tasks *tasks, uint64_t lease)
{
    say(tasks, lease, SAID_ACK, &(struct command){.type = COMMAND_TASK_ACK, .task_ack.lease = lease});
}

void tasks_on_decline(struct tasks *tasks, uint64_t lease, enum decline_reason reason)
{
    say(tasks, lease, SAID_END,
        &(struct command){.type = COMMAND_TASK_DECLINE, .task_decline = {.lease = lease, .reason = (uint8_t)reason}});
}

void tasks_on_fault(struct tasks *tasks, uint64_t lease, enum decline_reason reason)
{
    struct run *run;
    struct answer *a;
    if (run_of_lease(tasks, lease, &run, &a) && reason == DECLINE_CONTEXT)
        run->end.context = true;  // not for the ledger: it only chooses the words of an error
    say(tasks, lease, SAID_END,
        &(struct command){.type = COMMAND_TASK_FAULT, .task_fault = {.lease = lease, .cause = CAUSE_ENGINE}});
}

/* The first text that goes out pins the primary. */
static void begin_stream(struct run *run)
{
    if (run->pinned || !run->watch)
        return;
    run->pinned = true;  // once, whatever a frame says of its tokens
    run->tasks->stats.streams++;
    submit(run->tasks, &(struct command){.type = COMMAND_TASK_STREAMS, .task_streams.lease = run->relayed});
}

bool tasks_on_chunk(struct tasks *tasks, uint64_t lease, uint64_t n, const char *text, size_t size, uint32_t tokens,
                    const struct hash *head)
{
    struct run *run;
    struct answer *a;
    if (!run_of_lease(tasks, lease, &run, &a) || a->revealed)
        return true;  // it crossed with a recall
    if (n != a->chunks || size > TASK_TEXT_SIZE_MAX - a->text.size || !utf8_is_valid(text, size))
        return false;
    if (n == 0)
        chain_start(replica_network(tasks->replica), run->id, lease, &a->head);
    chain_extend(&a->head, text, (uint32_t)size);
    if (head && !hash_eq(head, &a->head))
        return false;
    if (!head && (n + 1) % CHUNKS_A_HEAD == 0)
        return false;
    if (a->first_ms == 0)
        a->first_ms = net_now_ms(tasks->options.loop);
    a->chunks++;
    a->tokens += tokens;
    buf_add(&a->text, text, size);
    tasks->stats.chunks++;
    tasks->stats.bytes += size;
    if (run->relayed != lease || run->interrupted || run->cancelled)
        return true;
    begin_stream(run);
    run->relayed_tokens = a->tokens;
    run_relay(run);
    return true;
}

void tasks_on_precommit(struct tasks *tasks, uint64_t lease, const struct hash *precommit, const uint8_t *signature)
{
    struct command cmd = {.type = COMMAND_TASK_PRECOMMIT,
                          .task_precommit = {.lease = lease, .precommit = *precommit},
                          .signer_count = signature ? 1 : 0};
    uint8_t bytes[ENTRY_SIZE_MAX];
    uint32_t size = command_encode(&cmd, (const uint8_t(*)[65])signature, bytes, sizeof bytes);
    cx_assert(size > 0);
    struct run *run;
    struct answer *a;
    if (!run_of_lease(tasks, lease, &run, &a) || a->said & SAID_PRECOMMIT)
        return;
    struct told *told = told_new(tasks, a, SAID_PRECOMMIT);
    if (replica_submit(tasks->replica, (struct span){bytes, size}, NULL, 0, heard, told) == CX_OK)
        return;
    a->said &= (uint8_t)~SAID_PRECOMMIT;
    free(told);
}

/* Bytes of the longest stop: its tokens were generated and count, though its text is left out. */
static size_t stop_size_max(const struct run *run)
{
    struct request request;
    size_t size = 0;
    if (request_parse(run->request.data ? run->request.data : "", run->request.size, &request))
        return 0;
    for (uint32_t i = 0; i < request.stop_count; i++)
        size = request.stop[i].size > size ? request.stop[i].size : size;
    request_close(&request);
    return size;
}

static bool has_too_many_tokens(const struct run *run, const struct record *record, size_t size)
{
    if (record->tokens_out <= size + 1)
        return false;
    return record->finish != FINISH_STOP || record->tokens_out > size + 1 + stop_size_max(run);
}

/* Whether what it streamed is this text. */
static bool is_text_of(const struct answer *a, const char *text, size_t size)
{
    return a->text.size == size && (size == 0 || memcmp(a->text.data, text, size) == 0);
}

/* What its router can see of an answer's text: docs/protocol.md, "Validation". */
static uint32_t check_answer(const struct run *run, const struct answer *a, const struct record *record,
                             const char *text, size_t size)
{
    uint32_t failed = 0;
    struct hash digest;
    keccak256(text, size, &digest);
    if (!hash_eq(&digest, &record->text_digest) || !utf8_is_valid(text, size))
        failed |= CHECK_TEXT;
    if (record->tokens_out > run->tokens_max)
        failed |= CHECK_TOKENS_MAX;
    if (has_too_many_tokens(run, record, size) || (size > 0 && record->tokens_out == 0))
        failed |= CHECK_USAGE;
    bool relayed = run->relayed == a->lease && a->chunks > 0 && !run->cancelled;
    if (run->relayed == a->lease && a->chunks > 0 && a->tokens > record->tokens_out)
        failed |= CHECK_USAGE;
    /* Its record may well be of the stream; then it is the text that is another one. */
    if (relayed && hash_eq(&record->chain_head, &a->head) && !is_text_of(a, text, size))
        failed |= CHECK_TEXT;
    if (record->finish == FINISH_LENGTH && record->tokens_out == 0)
        failed |= CHECK_FINISH;
    return failed;
}

/* A reveal that did not come to stand may come again, until the deadline; where the ledger was busy, it is asked for.
 */
static void committed(void *ctx, const struct replica_outcome *outcome)
{
    struct told *told = ctx;
    struct run *run;
    struct answer *a;
    bool stands = !outcome->err && outcome->verdict == VERDICT_ACCEPTED;
    if (!stands && outcome->err != CX_CANCELLED && run_of_lease(told->tasks, told->lease, &run, &a)) {
        a->revealed = false;
        if (outcome->err == CX_BUSY) {
            struct task_offer offer;
            run_offer(run, a, &offer);
            hub_offer(told->tasks->hub, &told->node, &offer);
        }
    }
    free(told);
}

void tasks_on_commit(struct tasks *tasks, uint64_t lease, const struct hash *salt, struct span record, const char *text,
                     size_t size)
{
    struct run *run;
    struct answer *a;
    if (!run_of_lease(tasks, lease, &run, &a) || a->revealed)
        return;
    uint64_t now_ms = net_now_ms(tasks->options.loop);
    bool relayed = run->relayed == lease && a->chunks > 0;
    struct command cmd = {.type = COMMAND_TASK_COMMIT,
                          .task_commit = {.lease = lease,
                                          .salt = *salt,
                                          .payload_size = (uint32_t)size,
                                          .text_size = (uint32_t)size,
                                          .relayed_tokens = !relayed         ? 0
                                                            : run->cancelled ? run->relayed_tokens
                                                                             : a->tokens,
                                          .ttft_ms = (uint32_t)((a->first_ms ? a->first_ms : now_ms) - a->offered_ms),
                                          .duration_ms = (uint32_t)(now_ms - a->offered_ms),
                                          .record = record}};
    struct record decoded;
    if (record_decode(record, &decoded))
        cmd.task_commit.checks_failed = check_answer(run, a, &decoded, text, size);
    if (relayed)
        cmd.task_commit.relayed_head = a->head;
    sha256(text, size, &cmd.task_commit.payload_digest);
    const struct ledger_blob blob = {.sha256 = cmd.task_commit.payload_digest,
                                     .data = {(const uint8_t *)text, (uint32_t)size},
                                     .keep_until_ms = net_wall_ms() + tasks->options.keep_ms};
    struct told *told = told_new(tasks, a, 0);
    if (replica_command(tasks->replica, &cmd, &blob, 1, committed, told)) {
        free(told);
        return;  // the miner's lease stays, and it may commit again until the deadline
    }
    if (relayed && !is_text_of(a, text, size))
        return;  // the core will find that it differs; what went out stays as it was
    buf_reset(&a->whole);
    buf_add(&a->whole, text, size);
    a->revealed = true;
}
