#include "sim/history.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define SIGNATURE_SIZE 65
#define MEMORY_ALIGN   16
#define TICKS_MAX      2000  // until all must rest

/* ---- entries ---- */

static struct history_entry *add(struct history *history, uint64_t time_ms, const struct address *author,
                                 struct span bytes)
{
    if (history->count == history->cap) {
        history->cap = history->cap ? history->cap * 2 : 64;
        history->entry = realloc(history->entry, history->cap * sizeof *history->entry);
        cx_assert(history->entry);
    }
    struct history_entry *entry = &history->entry[history->count++];
    *entry = (struct history_entry){time_ms, *author, bytes.size, true, malloc(bytes.size + 1)};
    cx_assert(entry->bytes);
    if (bytes.size > 0)
        memcpy(entry->bytes, bytes.data, bytes.size);
    return entry;
}

void history_add(struct history *history, const struct command *cmd)
{
    uint8_t bytes[ENTRY_SIZE_MAX], signature[SIGNATURES_MAX][SIGNATURE_SIZE] = {{0}};
    for (uint32_t i = 0; i < cmd->signer_count; i++)
        memcpy(signature[i], cmd->signer[i].b, sizeof cmd->signer[i].b);
    uint32_t size = command_encode(cmd, (const uint8_t(*)[SIGNATURE_SIZE])signature, bytes, sizeof bytes);
    cx_assert(size > 0);
    add(history, cmd->time_ms, &cmd->author, (struct span){bytes, size});
}

void history_add_bytes(struct history *history, uint64_t time_ms, const struct address *author, struct span bytes)
{
    add(history, time_ms, author, bytes);
}

void history_add_real(struct history *history, const struct command *cmd, uint64_t time_ms,
                      const struct address *author, struct span bytes)
{
    if (!cmd) {
        add(history, time_ms, author, bytes);
        return;
    }
    struct command played = *cmd;
    played.time_ms = time_ms;
    played.author = *author;
    history_add(history, &played);
}

void history_cut(struct history *history, uint32_t count)
{
    while (history->count > count)
        free(history->entry[--history->count].bytes);
}

void history_done(struct history *history)
{
    history_cut(history, 0);
    free(history->entry);
    *history = (struct history){0};
}

bool history_decode(const struct history_entry *entry, struct command *ret_cmd)
{
    const uint8_t *signature;
    memset(ret_cmd, 0, sizeof *ret_cmd);
    bool decodes = command_decode((struct span){entry->bytes, entry->size}, ret_cmd, &signature);
    ret_cmd->time_ms = entry->time_ms;
    ret_cmd->author = entry->author;
    for (uint32_t i = 0; decodes && i < ret_cmd->signer_count; i++)
        memcpy(ret_cmd->signer[i].b, signature + i * SIGNATURE_SIZE, sizeof ret_cmd->signer[i].b);
    return decodes;
}

/* ---- the stage ---- */

static size_t aligned(size_t size) { return (size + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN; }

bool stage_open(struct stage *stage, const struct cmd_genesis *genesis, struct check *check)
{
    *stage = (struct stage){.check = check};
    size_t core_bytes = aligned(core_size(genesis)), books = check ? aligned(check_core_size(genesis)) : 0;
    if (core_bytes == 0)
        return false;
    stage->size = core_bytes + books;
    stage->memory = aligned_alloc(MEMORY_ALIGN, stage->size);
    stage->out.event = calloc(EVENTS_PER_COMMAND_MAX, sizeof *stage->out.event);
    stage->out.cap = EVENTS_PER_COMMAND_MAX;
    cx_assert(stage->memory && stage->out.event);
    memset(stage->memory, 0, stage->size);
    stage->core = core_open(stage->memory, core_bytes, genesis);
    cx_assert(stage->core);
    if (check) {
        stage->books = check_core_open(stage->memory + core_bytes, books, genesis);
        cx_assert(stage->books);
    }
    return true;
}

void stage_close(struct stage *stage)
{
    free(stage->memory);
    free(stage->out.event);
    *stage = (struct stage){0};
}

enum verdict stage_apply(struct stage *stage, const struct history_entry *entry)
{
    struct command cmd;
    struct span bytes = {entry->bytes, entry->size};
    bool decodes = history_decode(entry, &cmd);
    enum verdict verdict = core_apply(stage->core, bytes, decodes ? &cmd : NULL, &stage->out);
    if (entry->batch_end)
        core_batch_end(stage->core);
    if (!stage->books)
        return verdict;
    struct check_entry check = {core_seq(stage->core), bytes, decodes ? &cmd : NULL, verdict, &stage->out};
    check_core_entry(stage->books, &check, stage->core, stage->check);
    return verdict;
}

bool stage_copy(struct stage *copy, const struct cmd_genesis *genesis, const struct stage *stage)
{
    uint64_t size = core_snapshot_size(stage->core);
    uint8_t *bytes = malloc(size);
    cx_assert(bytes);
    memset(copy->memory, 0, copy->size);
    copy->core = core_open(copy->memory, copy->size, genesis);
    cx_assert(copy->core);
    bool read = core_snapshot_write(stage->core, bytes, size) &&
                core_snapshot_read(copy->core, (struct span){bytes, (uint32_t)size});
    free(bytes);
    return read;
}

void stage_state(const struct stage *stage, struct hash *ret_state)
{
    struct step *step = &stage->core->step;
    const uint64_t seq = step->seq, ledger_ms = step->ledger_ms;
    const struct hash chain = step->chain;
    step->seq = step->ledger_ms = 0;
    step->chain = (struct hash){{0}};
    core_root(stage->core, ret_state);
    step->seq = seq;
    step->ledger_ms = ledger_ms;
    step->chain = chain;
}

/* One tick at the next deadline, or as far as the core's clock goes at once. */
static void tick(struct stage *stage, const struct network_view *network, const struct address *router)
{
    struct history one = {0};
    uint64_t due_ms = u64_max(core_next_tick_ms(stage->core), network->now_ms);
    struct command cmd = {.type = COMMAND_TICK, .author = *router, .tick.due_ms = due_ms};
    cmd.time_ms = network->ledger_ms + u64_min(due_ms - network->now_ms, CLOCK_STEP_MS_MAX);
    history_add(&one, &cmd);
    stage_apply(stage, &one.entry[0]);
    history_done(&one);
}

bool stage_rests(struct stage *stage, const struct address *router)
{
    struct network_view network;
    struct task_view task;
    uint64_t last_ms = 0;
    for (uint32_t at = 0; view_task_at(stage->core, &at, &task);)
        last_ms = u64_max(last_ms, task.deadline_ms + view_params(stage->core)->cancel_grace_ms);
    for (uint32_t ticks = 0;; ticks++) {
        view_network(stage->core, &network);
        if (stage->check->failed)
            return false;
        if (network.tasks_live == 0 && network.audits_live == 0)
            break;
        if (network.tasks_live > 0 && network.now_ms > last_ms)
            return check_fail(stage->check, CHECKER_PROGRESS, network.seq, "a task lives beyond its deadline");
        if (ticks == TICKS_MAX || core_next_tick_ms(stage->core) == TIME_NEVER)
            return check_fail(stage->check, CHECKER_PROGRESS, network.seq, "something never ends");
        tick(stage, &network, router);
    }
    if (network.money.reservations.credits != 0 || network.money.pending.credits != 0)
        return check_fail(stage->check, CHECKER_PROGRESS, network.seq, "no task lives, and money is reserved");
    return true;
}

void stage_save(const struct stage *stage, void *memory) { memcpy(memory, stage->memory, stage->size); }

void stage_load(struct stage *stage, const void *memory) { memcpy(stage->memory, memory, stage->size); }
