/* Going through a world, breadth first. */
#include "sim/small.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define SNAPSHOT_EVERY 16   // of the states gone into, the one that is gone into through a snapshot too
#define REPLAY_EVERY   64   // likewise, that is reached by a replay too
#define WAITS_MAX      400  // until every task must have ended

/* A state that was found, and how. */
struct found {
    struct hash state;
    uint32_t parent;
    uint16_t move;
};

/* One that is still to be gone into: how its memory differs from the first one's. */
struct open {
    uint32_t found, size;
    uint8_t *packed;
};
struct open_list {
    struct open *open;
    uint32_t count, cap;
};

struct explorer {
    const struct small_world *world;
    struct tiny *t;
    struct check *check;
    struct small_trail *trail;
    struct small_report *report;
    struct found *found;
    uint32_t found_count, found_cap;
    uint32_t *index;  // [index_cap]: found + 1 by state, linear probing
    uint32_t index_cap;
    uint8_t *first, *here, *packing;  // memory of the first state, the present one, and room to pack
    uint32_t first_entries;           // of the history, up to the first state
    uint32_t at;                      // gone into now
    uint32_t move;                    // made now
    struct move *moves;
    struct stage second;  // without checkers, for replays and snapshots
    uint8_t *second_here;
    bool command[COMMAND_TYPE_END], event[EVENT_TYPE_END];
};

static void *grown(void *rows, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap)
        return rows;
    *cap = *cap ? *cap * 2 : 1024;
    rows = realloc(rows, *cap * size);
    cx_assert(rows);
    return rows;
}

/* ---- states known ---- */

static uint32_t *place_of(struct explorer *x, const struct hash *state)
{
    uint64_t at;
    memcpy(&at, state->b, sizeof at);
    for (at %= x->index_cap;; at = (at + 1) % x->index_cap)
        if (x->index[at] == 0 || hash_eq(&x->found[x->index[at] - 1].state, state))
            return &x->index[at];
}

static void index_again(struct explorer *x)
{
    x->index_cap = x->index_cap ? x->index_cap * 2 : 4096;
    free(x->index);
    x->index = calloc(x->index_cap, sizeof *x->index);
    cx_assert(x->index);
    for (uint32_t i = 0; i < x->found_count; i++)
        *place_of(x, &x->found[i].state) = i + 1;
}

/* False: it was known. */
static bool remember(struct explorer *x, const struct hash *state)
{
    if ((x->found_count + 1) * 2 > x->index_cap)
        index_again(x);
    uint32_t *place = place_of(x, state);
    if (*place)
        return false;
    x->found = grown(x->found, x->found_count, &x->found_cap, sizeof *x->found);
    x->found[x->found_count] = (struct found){*state, x->at, (uint16_t)x->move};
    *place = ++x->found_count;
    return true;
}

/* ---- memory of states ---- */

/* Runs of words that differ: how many to skip, how many follow, and these. */
static uint32_t pack(const struct explorer *x, const uint8_t *memory)
{
    const size_t words = x->t->stage.size / 8;
    uint32_t size = 0;
    size_t last = 0;
    for (size_t i = 0; i < words; i++) {
        if (memcmp(memory + i * 8, x->first + i * 8, 8) == 0)
            continue;
        size_t end = i + 1;
        while (end < words && memcmp(memory + end * 8, x->first + end * 8, 8) != 0)
            end++;
        uint32_t run[2] = {(uint32_t)(i - last), (uint32_t)(end - i)};
        memcpy(x->packing + size, run, sizeof run);
        memcpy(x->packing + size + sizeof run, memory + i * 8, (end - i) * 8);
        size += (uint32_t)(sizeof run + (end - i) * 8);
        last = i = end;
    }
    return size;
}

static void unpack(struct explorer *x, const struct open *open)
{
    memcpy(x->here, x->first, x->t->stage.size);
    size_t word = 0;
    for (uint32_t at = 0; at < open->size;) {
        uint32_t run[2];
        memcpy(run, open->packed + at, sizeof run);
        word += run[0];
        memcpy(x->here + word * 8, open->packed + at + sizeof run, run[1] * 8);
        word += run[1];
        at += (uint32_t)sizeof run + run[1] * 8;
    }
}

static void keep(struct explorer *x, struct open_list *list)
{
    list->open = grown(list->open, list->count, &list->cap, sizeof *list->open);
    uint32_t size = pack(x, x->t->stage.memory);
    struct open *open = &list->open[list->count++];
    *open = (struct open){x->found_count - 1, size, malloc(size + 1)};
    cx_assert(open->packed);
    memcpy(open->packed, x->packing, size);
}

/* Back to the state that is gone into. */
static void back(struct explorer *x)
{
    stage_load(&x->t->stage, x->here);
    history_cut(&x->t->history, x->first_entries);
}

/* ---- moves ---- */

static void count_entry(struct explorer *x, const struct move *move)
{
    x->command[move->cmd.type ? move->cmd.type : COMMAND_TICK] = true;
    for (uint32_t i = 0; i < x->t->stage.out.count; i++) {
        const struct event *e = &x->t->stage.out.event[i];
        x->event[e->type] = true;
        if (e->type == EVENT_TASK_MOVED && e->task_moved.to >= TASK_COMPLETED)
            x->report->ended[e->task_moved.to]++;
    }
}

static enum verdict make(struct tiny *t, const struct move *move)
{
    struct command cmd = move->cmd;
    if (cmd.type == 0) {
        tiny_wait(t, move->hush);
        return VERDICT_ACCEPTED;
    }
    return tiny_append(t, &cmd);
}

struct waiting {
    uint64_t last_ms;  // core time at which the last task must have ended
    uint32_t tasks;
};

static struct waiting still_waiting(const struct tiny *t)
{
    struct waiting w = {0};
    struct task_view task;
    for (uint32_t at = 0; view_task_at(t->stage.core, &at, &task); w.tasks++)
        w.last_ms = u64_max(w.last_ms, task.deadline_ms);
    return w;
}

static bool wrong(struct explorer *x, enum checker checker, const char *what, const struct move *move,
                  enum verdict verdict)
{
    return check_fail(x->check, checker, core_seq(x->t->stage.core), "%s: %s: %s", move->name, what,
                      verdict_name(verdict));
}

/* A refusal leaves all as a tick would have, but for the nonce of who signed it. Moves the core. */
static bool is_unchanged(struct explorer *x, const struct move *move)
{
    const struct command_info *info = command_find((uint32_t)move->cmd.type);
    struct hash after, ticked;
    if (info->replay == REPLAY_NONCE && move->cmd.signer_count > 0)
        return true;
    stage_state(&x->t->stage, &after);
    if (move->cmd.time_ms == 0 && hash_eq(&x->found[x->at].state, &after))
        return true;
    back(x);
    struct command tick = {.type = COMMAND_TICK, .time_ms = move->cmd.time_ms, .author = move->cmd.author};
    tiny_append(x->t, &tick);
    stage_state(&x->t->stage, &ticked);
    return hash_eq(&ticked, &after);
}

static bool is_as_expected(struct explorer *x, const struct move *move, enum verdict verdict)
{
    switch (move->expects) {
    case EXPECTS_ANY: break;
    case EXPECTS_ACCEPTED:
    case EXPECTS_NOTHING_NEW:
        if (verdict != VERDICT_ACCEPTED)
            return wrong(x, CHECKER_EFFECT, "was refused", move, verdict);
        break;
    case EXPECTS_REFUSED:
        if (verdict == VERDICT_ACCEPTED)
            return wrong(x, CHECKER_EFFECT, "was accepted", move, verdict);
        break;
    case EXPECTS_VERDICT:
        if (verdict != move->verdict)
            return wrong(x, CHECKER_EFFECT, "got another verdict", move, verdict);
        break;
    }
    bool still = verdict != VERDICT_ACCEPTED || move->expects == EXPECTS_NOTHING_NEW;
    if (still && !is_unchanged(x, move))
        return wrong(x, CHECKER_EFFECT, "changed the state", move, verdict);
    return true;
}

/* Time that leads nowhere while a task waits for it: it would wait for ever. */
static bool time_leads_on(struct explorer *x, const struct move *move, const struct hash *after)
{
    if (move->cmd.type != 0 || !hash_eq(after, &x->found[x->at].state) || still_waiting(x->t).tasks == 0)
        return true;
    return wrong(x, CHECKER_PROGRESS, "a task waits, and nothing ever happens", move, x->t->verdict);
}

/* What would be accepted now is accepted until something is due. */
static bool is_timely(struct explorer *x, const struct move *move, enum verdict verdict)
{
    struct network_view network;
    if (!move->timely || verdict == VERDICT_ACCEPTED)
        return true;
    back(x);
    view_network(x->t->stage.core, &network);
    if (network.ledger_ms >= move->cmd.time_ms)
        return true;
    struct move now = *move;
    now.cmd.time_ms = 0;
    if (make(x->t, &now) != VERDICT_ACCEPTED)
        return true;
    return wrong(x, CHECKER_DEADLINES, "was refused before its deadline", move, verdict);
}

/* ---- the same by other ways ---- */

/* Makes the moves that lead to a state, from the first one; gives how many. */
static uint32_t path_to(const struct explorer *x, uint32_t found, uint16_t ret_path[SMALL_PATH_MAX])
{
    uint32_t count = 0;
    for (uint32_t at = found; at != 0; at = x->found[at].parent)
        count++;
    cx_assert(count <= SMALL_PATH_MAX);
    for (uint32_t at = found, i = count; at != 0; at = x->found[at].parent)
        ret_path[--i] = x->found[at].move;
    return count;
}

/* Lets the history lead to this state, and leaves the core there. */
static void walk_to(struct explorer *x, uint32_t found)
{
    uint16_t path[SMALL_PATH_MAX];
    uint32_t count = path_to(x, found, path);
    stage_load(&x->t->stage, x->first);
    history_cut(&x->t->history, x->first_entries);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t moves = small_moves(x->world, x->t, x->moves);
        cx_assert(path[i] < moves);
        make(x->t, &x->moves[path[i]]);
    }
}

static void second_open(struct explorer *x)
{
    bool opened = stage_open(&x->second, &x->t->genesis, NULL);
    cx_assert(opened);
}

/* The whole history that leads here, on another core. */
static bool replays(struct explorer *x)
{
    struct hash live, again;
    walk_to(x, x->at);
    stage_state(&x->t->stage, &live);
    second_open(x);
    for (uint32_t i = 0; i < x->t->history.count; i++)
        stage_apply(&x->second, &x->t->history.entry[i]);
    stage_state(&x->second, &again);
    stage_close(&x->second);
    x->report->replays++;
    if (hash_eq(&live, &again) && hash_eq(&live, &x->found[x->at].state))
        return true;
    return check_fail(x->check, CHECKER_REPLAY, core_seq(x->t->stage.core), "a replay leads to another state");
}

static bool through_snapshot(struct explorer *x)
{
    second_open(x);
    x->report->snapshots++;
    if (stage_copy(&x->second, &x->t->genesis, &x->t->stage)) {
        stage_save(&x->second, x->second_here);
        return true;
    }
    stage_close(&x->second);
    return check_fail(x->check, CHECKER_REPLAY, core_seq(x->t->stage.core), "a snapshot is not read back");
}

/* The entries of this move, on the core that was read from a snapshot. */
static bool snapshot_follows(struct explorer *x, const struct move *move)
{
    struct hash live, read;
    stage_load(&x->second, x->second_here);
    for (uint32_t i = x->first_entries; i < x->t->history.count; i++)
        stage_apply(&x->second, &x->t->history.entry[i]);
    stage_state(&x->t->stage, &live);
    stage_state(&x->second, &read);
    if (hash_eq(&live, &read))
        return true;
    return wrong(x, CHECKER_REPLAY, "after a snapshot it leads to another state", move, x->t->verdict);
}

/* ---- liveness ---- */

/* Nobody says anything more: every task ends by its deadline, and what was reserved for it is free. */
static bool comes_to_rest(struct explorer *x)
{
    const struct tiny_hush all_beat = {0};
    struct waiting w = still_waiting(x->t);
    struct network_view network;
    uint64_t grace_ms = view_params(x->t->stage.core)->cancel_grace_ms;
    x->report->lively++;
    for (uint32_t waits = 0;; waits++) {
        view_network(x->t->stage.core, &network);
        if (x->check->failed)
            return false;
        if (network.tasks_live == 0 && network.audits_live == 0)
            break;
        if (network.tasks_live > 0 && network.now_ms > w.last_ms + grace_ms)
            return check_fail(x->check, CHECKER_PROGRESS, network.seq, "a task lives beyond its deadline");
        if (waits == WAITS_MAX)
            return check_fail(x->check, CHECKER_PROGRESS, network.seq, "something never ends");
        x->trail->waits++;
        tiny_wait(x->t, all_beat);
    }
    if (network.money.reservations.credits != 0 || network.money.pending.credits != 0)
        return check_fail(x->check, CHECKER_PROGRESS, network.seq, "no task lives, and money is reserved");
    return check_core_whole(x->t->stage.books, x->t->stage.core, x->check);
}

/* ---- going through ---- */

static bool one_move(struct explorer *x, bool has_second, struct open_list *next)
{
    const struct move *move = &x->moves[x->move];
    struct hash after;
    x->trail->move[x->trail->count - 1] = (uint16_t)x->move;
    back(x);
    enum verdict verdict = make(x->t, move);
    x->report->moves++;
    x->report->accepted += verdict == VERDICT_ACCEPTED;
    x->report->refused += verdict != VERDICT_ACCEPTED;
    x->report->probes += move->probe;
    count_entry(x, move);
    core_check(x->t->stage.core);
    if (x->check->failed)
        return false;
    if (has_second && !snapshot_follows(x, move))
        return false;
    bool leads_on = !move->probe && (verdict == VERDICT_ACCEPTED || move->cmd.time_ms != 0);
    if (leads_on && next) {
        stage_state(&x->t->stage, &after);
        if (!time_leads_on(x, move, &after))
            return false;
        if (remember(x, &after))
            keep(x, next);
    }
    return is_as_expected(x, move, verdict) && is_timely(x, move, verdict);
}

static void come_to(struct explorer *x, const struct open *open)
{
    x->at = open->found;
    x->trail->count = path_to(x, x->at, x->trail->move);
    x->trail->waits = 0;
}

static bool go_into(struct explorer *x, const struct open *open, struct open_list *next)
{
    come_to(x, open);
    x->trail->move[x->trail->count++] = UINT16_MAX;  // none yet
    if (x->at % REPLAY_EVERY == 0 && !replays(x))
        return false;
    unpack(x, open);
    back(x);
    uint32_t moves = small_moves(x->world, x->t, x->moves);
    bool has_second = x->at % SNAPSHOT_EVERY == 0;
    if (has_second && !through_snapshot(x))
        return false;
    bool well = true, ends = true;
    for (x->move = 0; well && x->move < moves; x->move++) {
        ends &= x->moves[x->move].probe;
        well = one_move(x, has_second, next);
    }
    back(x);
    if (well && ends)
        well = comes_to_rest(x);
    if (has_second)
        stage_close(&x->second);
    return well;
}

static bool look_at_leaf(struct explorer *x, const struct open *open)
{
    come_to(x, open);
    unpack(x, open);
    back(x);
    return check_core_whole(x->t->stage.books, x->t->stage.core, x->check) && comes_to_rest(x);
}

static void forget(struct open_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        free(list->open[i].packed);
    free(list->open);
    *list = (struct open_list){0};
}

static bool explore(struct explorer *x, uint32_t depth)
{
    struct open_list now = {0}, next = {0};
    struct hash state;
    stage_state(&x->t->stage, &state);
    remember(x, &state);
    keep(x, &now);
    bool well = true;
    while (well && now.count > 0 && x->report->depth < depth) {
        for (uint32_t i = 0; well && i < now.count; i++) {
            well = go_into(x, &now.open[i], &next);
            free(now.open[i].packed);
            now.open[i].packed = NULL;
        }
        forget(&now);
        now = next;
        next = (struct open_list){0};
        x->report->depth++;
    }
    x->report->complete = well && now.count == 0;
    for (uint32_t i = 0; well && i < now.count; i++)
        well = look_at_leaf(x, &now.open[i]);
    forget(&now);
    forget(&next);
    return well;
}

void small_walk(const struct small_world *world, const struct small_trail *trail,
                void (*told)(void *ctx, const struct history_entry *entry), void *ctx)
{
    struct move *moves = calloc(SMALL_MOVES_MAX, sizeof *moves);
    struct tiny *t = small_open(world, NULL);
    cx_assert(moves);
    for (uint32_t i = 0; i < t->history.count; i++)
        told(ctx, &t->history.entry[i]);
    t->told = told;
    t->told_ctx = ctx;
    for (uint32_t i = 0; i < trail->count; i++) {
        uint32_t count = small_moves(world, t, moves);
        if (trail->move[i] < count)
            make(t, &moves[trail->move[i]]);
    }
    for (uint32_t i = 0; i < trail->waits; i++)
        tiny_wait(t, (struct tiny_hush){0});
    tiny_close(t);
    free(moves);
}

static void count_kinds(struct explorer *x)
{
    for (uint32_t i = 0; i < COMMAND_TYPE_END; i++)
        x->report->commands += x->command[i];
    for (uint32_t i = 0; i < EVENT_TYPE_END; i++)
        x->report->events += x->event[i];
    x->report->states = x->found_count;
}

bool small_run(const struct small_world *world, uint32_t depth, struct check *check, struct small_trail *trail,
               struct small_report *report)
{
    *report = (struct small_report){0};
    *trail = (struct small_trail){0};
    struct explorer x = {.world = world, .check = check, .trail = trail, .report = report};
    x.t = small_open(world, check);
    x.first_entries = x.t->history.count;
    x.first = malloc(x.t->stage.size);
    x.here = malloc(x.t->stage.size);
    x.packing = malloc(x.t->stage.size * 3);
    x.second_here = malloc(x.t->stage.size);
    x.moves = calloc(SMALL_MOVES_MAX, sizeof *x.moves);
    cx_assert(x.first && x.here && x.packing && x.second_here && x.moves);
    stage_save(&x.t->stage, x.first);
    bool well = !check->failed && explore(&x, depth ? depth : world->depth);
    count_kinds(&x);
    tiny_close(x.t);
    free(x.first);
    free(x.here);
    free(x.packing);
    free(x.second_here);
    free(x.moves);
    free(x.found);
    free(x.index);
    return well;
}
