#include "sim/shrink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sim/retell.h"
#include "sim/trial.h"

#define TRIAL_SECONDS 120
#define TRIALS_MAX    20000
#define LOWERED_MAX   64
/* Histories up to this length are also gone on with from a snapshot before each entry: O(entries x state). */
#define TWIN_ENTRIES_MAX 400

/* What a child is asked to play, and what it found; in shared memory, but for the base. */
struct play {
    const struct history *base;
    const bool *kept;
    const struct shrink_look *look;
    struct check *check;      // shared
    struct trial_tape *tape;  // shared; NULL: nobody wants to know, and names stay as they are
    bool checks_core;         // after every entry
    bool checks_snapshots;    // before every entry
};

struct shrinker {
    struct history now;  // fails
    bool *kept;          // [now.count]
    const struct shrink_look *look;
    struct check wanted;
    struct check *found;  // shared
    struct trial_tape *tape;
    uint32_t trials;
};

/* ---- one trial ---- */

/* The whole history again, without checkers: the same digest, whatever the batches. */
static void replay(const struct history *history, const struct stage *live, struct check *check)
{
    struct stage again;
    struct command genesis;
    struct hash digest, same;
    if (!history_decode(&history->entry[0], &genesis) || !stage_open(&again, &genesis.genesis, NULL))
        return;
    for (uint32_t i = 0; i < history->count; i++)
        stage_apply(&again, &history->entry[i]);
    core_root(live->core, &digest);
    core_root(again.core, &same);
    if (!hash_eq(&digest, &same))
        check_fail(check, CHECKER_REPLAY, history->count, "a replay comes to another state");
    stage_close(&again);
}

/* A core that is read from a snapshot before an entry comes to the same state by it. */
struct twin {
    struct stage stage;
    const struct stage *live;
    const struct cmd_genesis *genesis;
    bool is_there;
};

static void twin_before(struct twin *twin, struct check *check)
{
    twin->is_there = core_seq(twin->live->core) > 0 && !twin->live->core->trail.open;
    if (twin->is_there && !stage_copy(&twin->stage, twin->genesis, twin->live))
        check_fail(check, CHECKER_REPLAY, core_seq(twin->live->core), "a snapshot is not read back");
}

static void twin_after(struct twin *twin, const struct history_entry *entry, struct check *check)
{
    struct hash live, read;
    if (!twin->is_there)
        return;
    stage_apply(&twin->stage, entry);
    core_root(twin->live->core, &live);
    core_root(twin->stage.core, &read);
    if (!hash_eq(&live, &read))
        check_fail(check, CHECKER_REPLAY, core_seq(twin->live->core), "after a snapshot it comes to another state");
}

/* What is looked at besides the checkers. */
struct watch {
    const struct play *play;
    struct stage stage;
    struct twin twin;
    bool has_twin;
};

static void before_entry(void *ctx, const struct history_entry *entry)
{
    struct watch *w = ctx;
    if (w->play->tape)
        trial_tape_add(w->play->tape, entry);
    if (w->has_twin)
        twin_before(&w->twin, w->play->check);
}

static void after_entry(void *ctx, const struct history_entry *entry)
{
    struct watch *w = ctx;
    if (w->play->checks_core)
        core_check(w->stage.core);
    if (w->play->look)
        w->play->look->look(w->play->look->ctx, &w->stage, entry, w->play->check);
    if (w->has_twin)
        twin_after(&w->twin, entry, w->play->check);
}

static void play_entries(struct watch *w)
{
    const struct play *p = w->play;
    const struct retell_ear ear = {before_entry, after_entry, w};
    if (p->tape) {
        struct retelling *r = retelling_open(p->base);
        retell(r, p->kept, &w->stage, &ear);
        retelling_close(r);
        return;
    }
    for (uint32_t i = 0; i < p->base->count && !p->check->failed; i++) {
        before_entry(w, &p->base->entry[i]);
        stage_apply(&w->stage, &p->base->entry[i]);
        after_entry(w, &p->base->entry[i]);
    }
}

static void play(void *ctx)
{
    struct watch w = {.play = ctx};
    struct command genesis;
    struct check *check = w.play->check;
    if (!history_decode(&w.play->base->entry[0], &genesis) || genesis.type != COMMAND_GENESIS ||
        !stage_open(&w.stage, &genesis.genesis, check))
        return;
    w.has_twin = w.play->checks_snapshots && w.play->base->count <= TWIN_ENTRIES_MAX &&
                 stage_open(&w.twin.stage, &genesis.genesis, NULL);
    w.twin.live = &w.stage;
    w.twin.genesis = &genesis.genesis;
    play_entries(&w);
    core_check(w.stage.core);
    if (!check->failed)
        check_core_whole(w.stage.books, w.stage.core, check);
    if (!check->failed && !w.play->tape)
        replay(w.play->base, &w.stage, check);
    if (!check->failed)
        stage_rests(&w.stage, &w.play->base->entry[w.play->base->count - 1].author);
    stage_close(&w.stage);
    if (w.has_twin)
        stage_close(&w.twin.stage);
}

static void run(struct play *p, struct check *ret_check)
{
    char words[CHECK_TEXT_SIZE];
    *p->check = (struct check){0};
    if (p->tape)
        trial_tape_clear(p->tape);
    if (!trial_run(play, p, TRIAL_SECONDS, words, sizeof words)) {
        *p->check = (struct check){0};
        check_fail(p->check, CHECKER_CORE_CHECK, 0, "%s", words);
    }
    *ret_check = *p->check;
}

void shrink_play(const struct history *history, const struct shrink_look *look, struct check *ret_check)
{
    struct check *found = trial_share(sizeof *found);
    struct play p = {.base = history, .look = look, .check = found, .checks_core = true, .checks_snapshots = true};
    *ret_check = (struct check){0};
    if (history->count > 0)
        run(&p, ret_check);
    trial_unshare(found, sizeof *found);
}

/* The same checker; and for an assertion the same one. */
static bool same_failure(const struct check *a, const struct check *b)
{
    if (!a->failed || !b->failed || a->checker != b->checker)
        return false;
    return a->checker != CHECKER_CORE_CHECK || strcmp(a->text, b->text) == 0;
}

static bool still_fails(struct shrinker *s, const struct history *base, const bool *kept)
{
    struct check check;
    struct play p = {
        .base = base,
        .kept = kept,
        .look = s->look,
        .check = s->found,
        .tape = s->tape,
        .checks_core = s->wanted.checker == CHECKER_CORE_CHECK,
        .checks_snapshots = s->wanted.checker == CHECKER_REPLAY,
    };
    s->trials++;
    run(&p, &check);
    return same_failure(&check, &s->wanted);
}

/* What was told in the last trial is the history now. */
static void take(struct shrinker *s)
{
    struct history told = {0};
    trial_tape_read(s->tape, &told);
    history_done(&s->now);
    s->now = told;
    s->kept = realloc(s->kept, s->now.count + 1);
    cx_assert(s->kept);
    memset(s->kept, 1, s->now.count + 1);
}

/* ---- entries ---- */

/* One pass of leaving out `chunk` entries at a time, the last ones first; whether anything went. */
static bool leave_out(struct shrinker *s, uint32_t chunk)
{
    bool any = false;
    for (uint32_t end = s->now.count; end > 1 && s->trials < TRIALS_MAX;) {
        uint32_t from = end > chunk + 1 ? end - chunk : 1;
        memset(s->kept, 1, s->now.count);
        memset(s->kept + from, 0, end - from);
        if (still_fails(s, &s->now, s->kept)) {
            take(s);
            any = true;
        }
        end = u32_min(from, s->now.count);
    }
    return any;
}

static void leave_out_entries(struct shrinker *s)
{
    for (uint32_t chunk = u32_max(s->now.count / 2, 1); chunk >= 1; chunk /= 2) {
        bool any = leave_out(s, chunk);
        while (chunk == 1 && any)
            any = leave_out(s, 1);
        if (chunk == 1)
            return;
    }
}

/* ---- copies with a change ---- */

static struct history copy_of(const struct history *from)
{
    struct history copy = {0};
    for (uint32_t i = 0; i < from->count; i++) {
        const struct history_entry *e = &from->entry[i];
        history_add_bytes(&copy, e->time_ms, &e->author, (struct span){e->bytes, e->size});
        copy.entry[i].batch_end = e->batch_end;
    }
    return copy;
}

static bool try_history(struct shrinker *s, struct history *changed)
{
    bool fails = still_fails(s, changed, NULL);
    if (fails)
        take(s);
    history_done(changed);
    return fails;
}

static bool try_command(struct shrinker *s, uint32_t at, const struct command *cmd)
{
    struct history changed = copy_of(&s->now), one = {0};
    history_add(&one, cmd);
    one.entry[0].batch_end = changed.entry[at].batch_end;
    struct history_entry swap = changed.entry[at];
    changed.entry[at] = one.entry[0];
    one.entry[0] = swap;
    history_done(&one);
    return try_history(s, &changed);
}

/* ---- time ---- */

static void try_gap(struct shrinker *s, uint32_t at, uint64_t gap_ms)
{
    struct history changed = copy_of(&s->now);
    uint64_t less_ms = changed.entry[at].time_ms - changed.entry[at - 1].time_ms - gap_ms;
    for (uint32_t i = at; i < changed.count; i++)
        changed.entry[i].time_ms -= less_ms;
    try_history(s, &changed);
}

static uint64_t gap_before(const struct shrinker *s, uint32_t at)
{
    uint64_t before_ms = s->now.entry[at - 1].time_ms, ms = s->now.entry[at].time_ms;
    return ms > before_ms ? ms - before_ms : 0;
}

static void shorten_time(struct shrinker *s)
{
    for (uint32_t at = 1; at < s->now.count; at++) {
        if (gap_before(s, at) > 0)
            try_gap(s, at, 0);
        /* Not a number of yesterday: a round one, where it does. */
        for (uint64_t step = 10000; at < s->now.count && step >= 10; step /= 10) {
            uint64_t gap_ms = gap_before(s, at);
            if (gap_ms > step && gap_ms % step != 0)
                try_gap(s, at, gap_ms / step * step);
        }
    }
}

/* ---- what entries say ---- */

static bool is_zero(const uint8_t *at, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        if (at[i] != 0)
            return false;
    return true;
}

static uint32_t size_of(const struct field *f)
{
    switch ((enum field_type)f->type) {
    case FIELD_u8: return 1;
    case FIELD_u16: return 2;
    case FIELD_u32: return 4;
    case FIELD_u64:
    case FIELD_amount: return 8;
    case FIELD_address: return sizeof(struct address);
    case FIELD_hash: return sizeof(struct hash);
    case FIELD_bytes: return sizeof(struct span);
    }
    return 0;
}

/* A small number as one: counts of things, not times and prices. */
static void lower_field(struct shrinker *s, uint32_t at, const struct field *f)
{
    struct command cmd;
    uint64_t number = 0;
    if (f->type > FIELD_u64 || at >= s->now.count || !history_decode(&s->now.entry[at], &cmd))
        return;
    void *value = (uint8_t *)&cmd.genesis + f->offset;
    memcpy(&number, value, size_of(f));  // little-endian machines run these tests
    if (number < 2 || number > LOWERED_MAX)
        return;
    number = 1;
    memcpy(value, &number, size_of(f));
    try_command(s, at, &cmd);
}

static bool clear_field(struct shrinker *s, uint32_t at, const struct field *f)
{
    struct command cmd;
    if (at >= s->now.count || !history_decode(&s->now.entry[at], &cmd))
        return false;
    uint8_t *value = (uint8_t *)&cmd.genesis + f->offset;
    struct span span;
    memcpy(&span, value, sizeof span);
    if (is_zero(value, size_of(f)) || (f->type == FIELD_bytes && span.size == 0))
        return false;
    memset(value, 0, size_of(f));
    return try_command(s, at, &cmd);
}

/* Of the genesis: a list without one of its rows. */
static void shorten_list(struct shrinker *s, const struct field *f, uint32_t row)
{
    for (uint32_t from = 0;; from += row) {
        struct command cmd;
        uint8_t shorter[ENTRY_SIZE_MAX];
        struct span list;
        if (!history_decode(&s->now.entry[0], &cmd))
            return;
        uint8_t *at = (uint8_t *)&cmd.genesis + f->offset;
        memcpy(&list, at, sizeof list);
        if (from + row > list.size)
            return;
        memcpy(shorter, list.data, from);
        memcpy(shorter + from, list.data + from + row, list.size - from - row);
        list = (struct span){shorter, list.size - row};
        memcpy(at, &list, sizeof list);
        if (try_command(s, 0, &cmd))
            from -= row;  // the next one stands here now
    }
}

static void shorten_genesis(struct shrinker *s)
{
    static const struct {
        const char *name;
        uint32_t row;
    } list[] = {{"params", 10}, {"oracles", 72}, {"routers", 40}, {"admins", 20}};
    const struct command_info *info = command_find(COMMAND_GENESIS);
    for (uint32_t i = 0; i < info->fields.count; i++)
        for (size_t k = 0; k < ARRAY_COUNT(list); k++)
            if (strcmp(info->fields.field[i].name, list[k].name) == 0)
                shorten_list(s, &info->fields.field[i], list[k].row);
}

static void clear_fields(struct shrinker *s)
{
    for (uint32_t at = 1; at < s->now.count && s->trials < TRIALS_MAX; at++) {
        struct command cmd;
        if (!history_decode(&s->now.entry[at], &cmd))
            continue;
        const struct field_list fields = command_find((uint32_t)cmd.type)->fields;
        for (uint32_t i = 0; i < fields.count; i++)
            if (!clear_field(s, at, &fields.field[i]))
                lower_field(s, at, &fields.field[i]);
        if (at < s->now.count && history_decode(&s->now.entry[at], &cmd) && cmd.valid_until_ms != 0) {
            cmd.valid_until_ms = 0;
            try_command(s, at, &cmd);
        }
    }
}

/* ---- all of it ---- */

static bool begin(struct shrinker *s, const struct history *from)
{
    shrink_play(from, s->look, &s->wanted);
    if (!s->wanted.failed)
        return false;
    s->now = copy_of(from);
    if (s->wanted.seq > 0 && s->wanted.seq < from->count)
        history_cut(&s->now, (uint32_t)s->wanted.seq);
    s->found = trial_share(sizeof *s->found);
    s->tape = trial_tape_open();
    s->kept = malloc(s->now.count + 1);
    cx_assert(s->kept);
    if (still_fails(s, &s->now, NULL))
        take(s);
    return true;
}

bool shrink(const struct history *from, const struct shrink_look *look, struct history *ret_small,
            struct check *ret_check, struct shrink_report *ret_report)
{
    struct shrinker s = {.look = look};
    if (from->count == 0 || !begin(&s, from))
        return false;
    uint32_t before;
    do {
        before = s.now.count;
        leave_out_entries(&s);
    } while (s.now.count < before && s.trials < TRIALS_MAX);
    shorten_time(&s);
    shorten_genesis(&s);
    do {
        before = s.now.count;
        clear_fields(&s);
        leave_out_entries(&s);
    } while (s.now.count < before && s.trials < TRIALS_MAX);
    *ret_report = (struct shrink_report){from->count, s.now.count, s.trials};
    *ret_small = s.now;
    shrink_play(ret_small, look, ret_check);
    trial_unshare(s.found, sizeof *s.found);
    trial_tape_close(s.tape);
    free(s.kept);
    return true;
}
