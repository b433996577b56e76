#include "ledger/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/worker.h"
#include "ledger/backend.h"

const char *ledger_name(const struct ledger *ledger) { return ledger->uri; }

uint64_t ledger_stamp_ms(struct ledger *ledger, uint64_t last_ms)
{
    if (ledger->options.now_ms)
        return u64_max(last_ms, ledger->options.now_ms(ledger->options.now_ctx));
    return ledger_clock_ms(&ledger->clock, last_ms, clock_wall_ms(), clock_mono_us());
}

uint64_t ledger_network(const struct ledger *ledger) { return ledger->network; }

uint64_t ledger_epoch(const struct ledger *ledger) { return ledger->epoch; }

struct ledger_head ledger_head(const struct ledger *ledger) { return ledger->head; }

/* ---- opening and closing ----------------------------------------------------------------------- */

static const struct {
    const char *scheme;
    const struct ledger_backend *backend;  // NULL: not built
} schemes[] = {
    {"mem:", &ledger_mem}, {"sqlite:", &ledger_sqlite}, {"postgres:", NULL},
    {"postgresql:", NULL}, {"evm+https:", NULL},
};

static enum cx_err find_backend(const char *uri, const struct ledger_backend **ret_backend, const char **ret_place)
{
    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        size_t size = strlen(schemes[i].scheme);
        if (strncmp(uri, schemes[i].scheme, size) != 0)
            continue;
        if (!schemes[i].backend)
            return cx_fail(CX_UNSUPPORTED, "%s: ledgers of kind %.*s are not built into this program; use sqlite:PATH",
                           uri, (int)size - 1, uri);
        *ret_backend = schemes[i].backend;
        *ret_place = uri + size;
        return CX_OK;
    }
    return cx_fail(CX_INVALID, "%s: that names no ledger; write sqlite:PATH or mem:", uri);
}

static enum cx_err check_options(const char *uri, const struct ledger_options *options)
{
    if (options->mode == LEDGER_CREATE && options->network == 0)
        return cx_fail(CX_INVALID, "%s: a new ledger needs a network id other than 0", uri);
    return CX_OK;
}

enum cx_err ledger_check_network(const struct ledger *ledger)
{
    uint64_t want = ledger->options.network;
    if (want == 0 || want == ledger->network)
        return CX_OK;
    return cx_fail(CX_INVALID, "%s is the ledger of network %llu, not of %llu", ledger->uri,
                   (unsigned long long)ledger->network, (unsigned long long)want);
}

static bool see(void *ctx, const struct ledger_batch *batch)
{
    (void)ctx;
    (void)batch;
    return true;
}

/* What a crash could tear is the end; all of it is checked by whoever replays. */
static enum cx_err check_end(struct ledger *ledger)
{
    return ledger->head.seq ? ledger_read(ledger, ledger->head.seq, see, NULL) : CX_OK;
}

enum cx_err ledger_open(const char *uri, const struct ledger_options *options, struct ledger **ret_ledger)
{
    cx_assert(uri && options && ret_ledger);
    const struct ledger_backend *backend = NULL;
    const char *place = NULL;
    enum cx_err err = find_backend(uri, &backend, &place);
    if (!err)
        err = check_options(uri, options);
    if (err)
        return err;
    struct ledger *ledger = calloc(1, sizeof *ledger);
    char *copy = strdup(uri);
    cx_assert(ledger && copy);
    ledger->backend = backend;
    ledger->options = *options;
    ledger->uri = copy;
    ledger->place = copy + (place - uri);
    ledger->mail_last = &ledger->mail_first;
    pthread_mutex_init(&ledger->lock, NULL);
    worker_await_init(&ledger->changed);

    err = backend->open(ledger);
    if (!err)
        err = check_end(ledger);
    if (err) {
        ledger_close(ledger);
        return err;
    }
    *ret_ledger = ledger;
    return CX_OK;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    ledger->backend->close(ledger);
    while (ledger->mail_first) {
        struct ledger_record *record = ledger->mail_first;
        ledger->mail_first = record->next;
        ledger_record_free(record);
    }
    pthread_cond_destroy(&ledger->changed);
    pthread_mutex_destroy(&ledger->lock);
    free(ledger->uri);
    free(ledger);
}

/* ---- the mailbox ------------------------------------------------------------------------------- */

static void wake(struct ledger *ledger)
{
    if (ledger->options.wake)
        ledger->options.wake(ledger->options.wake_ctx);
}

void ledger_mail(struct ledger *ledger, struct ledger_record *record)
{
    record->next = NULL;
    pthread_mutex_lock(&ledger->lock);
    *ledger->mail_last = record;
    ledger->mail_last = &record->next;
    ledger->woken = true;
    pthread_cond_signal(&ledger->changed);
    pthread_mutex_unlock(&ledger->lock);
    wake(ledger);
}

void ledger_wake(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    ledger->woken = true;
    pthread_cond_signal(&ledger->changed);
    pthread_mutex_unlock(&ledger->lock);
    wake(ledger);
}

static struct ledger_record *take_mail(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    struct ledger_record *first = ledger->mail_first;
    ledger->mail_first = NULL;
    ledger->mail_last = &ledger->mail_first;
    ledger->woken = false;
    pthread_mutex_unlock(&ledger->lock);
    return first;
}

enum cx_err ledger_wait(struct ledger *ledger, uint64_t timeout_ms)
{
    uint64_t until_us = u64_add_sat(clock_mono_us(), timeout_ms * 1000);
    pthread_mutex_lock(&ledger->lock);
    bool in_time = true;
    while (!ledger->woken && in_time)
        in_time = worker_await(&ledger->changed, &ledger->lock, until_us);
    bool woken = ledger->woken;
    pthread_mutex_unlock(&ledger->lock);
    return woken ? CX_OK
                 : cx_fail(CX_TIMEOUT, "%s: nothing happened in %llu ms", ledger->uri, (unsigned long long)timeout_ms);
}

/* ---- appending --------------------------------------------------------------------------------- */

void ledger_record_fail(struct ledger_record *record, enum cx_err err, bool stops)
{
    record->err = err;
    record->stops = stops;
    snprintf(record->detail, sizeof record->detail, "%s", cx_detail());
}

enum cx_err ledger_append(struct ledger *ledger, const struct ledger_append *append, ledger_done *done, void *ctx)
{
    cx_assert(append && done);
    if (ledger->options.mode == LEDGER_READ)
        return cx_fail(CX_DENIED, "%s was opened for reading", ledger->uri);
    if (append->epoch == 0 || append->number == 0)
        return cx_fail(CX_INVALID, "epochs and numbers of batches count from 1");
    if (ledger->stopped)
        return cx_fail(ledger->stopped, "%s", ledger->stopped_detail);
    if (ledger->appends == LEDGER_APPENDS_MAX)
        return cx_fail(CX_BUSY, "%s: %u batches are under way; wait for one", ledger->uri, LEDGER_APPENDS_MAX);
    struct ledger_record *record = NULL;
    enum cx_err err = ledger_record_make(append, done, ctx, &record);
    if (err)
        return err;
    ledger->appends++;
    ledger->backend->append(ledger, record);
    return CX_OK;
}

uint32_t ledger_appends_max(const struct ledger *ledger) { return ledger->backend->appends_max; }

static void note_durable(struct ledger *ledger, const struct ledger_batch *batch)
{
    uint64_t last = batch->seq + batch->count - 1;
    if (last > ledger->head.seq)
        ledger->head = (struct ledger_head){last, batch->time_ms, batch->chain};
}

static void note_end(struct ledger *ledger, struct ledger_record *record)
{
    cx_assert(ledger->appends > 0);
    ledger->appends--;
    if (record->stops && !ledger->stopped) {
        ledger->stopped = record->err;
        memcpy(ledger->stopped_detail, record->detail, sizeof record->detail);
    }
    if (!record->err && !record->repeated)
        note_durable(ledger, &record->batch);
    if (record->err)
        cx_fail(record->err, "%s", record->detail);
    record->done(record->ctx, record->err, record->batch.seq, record->batch.time_ms);
}

/* ---- reading ----------------------------------------------------------------------------------- */

struct reading {
    struct ledger *ledger;
    struct ledger_trail trail;
    uint64_t from_seq;
    ledger_each *each;
    void *ctx;
    uint64_t size, size_max;  // of what was handed out
    bool held;                // `each` said: no more now
    bool more;                // stopped at size_max
    enum cx_err err;
};

static bool read_row(void *ctx, const struct ledger_batch *row)
{
    struct reading *r = ctx;
    if (r->size >= r->size_max) {
        r->more = true;
        return false;
    }
    struct ledger_trail next = r->trail;
    r->err = ledger_trail_step(&next, row, r->ledger->uri);
    if (r->err)
        return false;
    struct ledger_batch batch = *row;
    if (batch.seq < r->from_seq)
        batch.skip = (uint32_t)u64_min(r->from_seq - batch.seq, batch.count);
    if (batch.skip < batch.count && !r->each(r->ctx, &batch)) {
        r->held = true;
        return false;
    }
    r->trail = next;
    r->from_seq = u64_max(r->from_seq, next.seq);
    r->size += batch.body.size;
    note_durable(r->ledger, row);
    return true;
}

/* Where reading must begin so that the batch with from_seq can be checked: *ret_trail is what it must fit, *ret_after
 * the beginning of the batch before it. */
static enum cx_err find_start(struct ledger *ledger, uint64_t from_seq, struct ledger_trail *ret_trail,
                              uint64_t *ret_after)
{
    struct ledger_batch batch;
    *ret_trail = ledger_trail_start(ledger->network);
    *ret_after = 0;
    enum cx_err err = ledger->backend->find(ledger, from_seq, &batch);
    if (!err && batch.seq + batch.count > from_seq)
        err = batch.seq > 1 ? ledger->backend->find(ledger, batch.seq - 1, &batch) : CX_NOT_FOUND;
    if (err == CX_NOT_FOUND)
        return CX_OK;  // from the very beginning; a gap there shows itself
    if (err)
        return err;
    *ret_trail = ledger_trail_after(&batch);
    *ret_after = batch.seq;
    return CX_OK;
}

static enum cx_err read_on(struct reading *r)
{
    struct ledger *ledger = r->ledger;
    uint64_t after = 0;
    if (r->trail.known) {
        after = r->trail.seq - 1;
    } else {
        enum cx_err err = find_start(ledger, r->from_seq, &r->trail, &after);
        if (err)
            return err;
    }
    enum cx_err err = ledger->backend->scan(ledger, after, read_row, r);
    if (!err)
        err = r->err;
    if (!err && !r->held && !r->more && r->trail.seq < r->from_seq)
        err = cx_fail(CX_INVALID, "%s ends at position %llu, before %llu that was asked for", ledger->uri,
                      (unsigned long long)r->trail.seq - 1, (unsigned long long)r->from_seq);
    return err;
}

enum cx_err ledger_read(struct ledger *ledger, uint64_t from_seq, ledger_each *each, void *ctx)
{
    cx_assert(from_seq > 0 && each);
    struct reading r = {.ledger = ledger, .from_seq = from_seq, .each = each, .ctx = ctx, .size_max = UINT64_MAX};
    return read_on(&r);
}

/* ---- following --------------------------------------------------------------------------------- */

void ledger_follow(struct ledger *ledger, uint64_t from_seq, ledger_each *each, void *ctx)
{
    cx_assert(from_seq > 0 && each);
    ledger->each = each;
    ledger->each_ctx = ctx;
    ledger->follow_seq = from_seq;
    ledger->follow_trail = from_seq == 1 ? ledger_trail_start(ledger->network) : (struct ledger_trail){0};
    ledger->held = false;
    ledger_wake(ledger);
}

/* What was appended just now need not be read back, if it is what the follower wants next. */
static void follow_record(struct ledger *ledger, const struct ledger_record *record)
{
    const struct ledger_batch *batch = &record->batch;
    if (!ledger->each || ledger->held || record->err || record->repeated)
        return;
    if (!ledger->follow_trail.known || ledger->follow_trail.seq != batch->seq || ledger->follow_seq != batch->seq)
        return;
    if (!ledger->each(ledger->each_ctx, batch)) {
        ledger->held = true;
        return;
    }
    ledger->follow_trail = ledger_trail_after(batch);
    ledger->follow_seq = ledger->follow_trail.seq;
}

static enum cx_err follow_history(struct ledger *ledger)
{
    if (!ledger->each || ledger->held)
        return CX_OK;
    enum cx_err err = ledger->backend->refresh(ledger);
    if (err || (ledger->follow_trail.known && ledger->follow_seq > ledger->head.seq))
        return err;
    struct reading r = {.ledger = ledger,
                        .trail = ledger->follow_trail,
                        .from_seq = ledger->follow_seq,
                        .each = ledger->each,
                        .ctx = ledger->each_ctx,
                        .size_max = LEDGER_POLL_SIZE_MAX};
    err = read_on(&r);
    /* Also where a later batch was bad: what was handed out is not handed out again. */
    ledger->follow_trail = r.trail;
    ledger->follow_seq = r.from_seq;
    ledger->held = r.held;
    if (!err && r.more)
        ledger_wake(ledger);
    return err;
}

enum cx_err ledger_poll(struct ledger *ledger)
{
    ledger->held = false;
    for (struct ledger_record *record = take_mail(ledger); record;) {
        struct ledger_record *next = record->next;
        note_end(ledger, record);
        follow_record(ledger, record);
        ledger_record_free(record);
        record = next;
    }
    return follow_history(ledger);
}
