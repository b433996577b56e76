#include "ledger/ledger_mem.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/backend.h"

struct mem_writer {
    struct address router;
    uint64_t epoch;
    uint64_t number;  // of its last batch in this epoch
};

/* What all handles of a name share. */
struct mem_store {
    struct mem_store *next;
    char *name;  // NULL: private
    uint32_t handles;
    uint64_t network;
    struct ledger_batch *batch;  // [count], bodies are its own
    size_t count, cap;
    struct mem_writer *writer;  // [writer_count]
    size_t writer_count;
    struct mem_handle *handle;  // list
};

struct mem_handle {
    struct mem_handle *next;
    struct ledger *ledger;
    struct mem_store *store;
    enum mem_fault fault;
    bool hold, stopped;
    struct ledger_record *held, **held_last;
};

/* Of every store, and of the list of them: nothing here takes long. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mem_store *stores;

static struct mem_handle *handle_of(const struct ledger *ledger)
{
    cx_assert(ledger->backend == &ledger_mem);
    return ledger->store;
}

/* ---- stores ------------------------------------------------------------------------------------ */

static struct mem_store *find_store(const char *name)
{
    for (struct mem_store *s = stores; s; s = s->next)
        if (s->name && strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

static struct mem_store *make_store(const char *name, uint64_t network)
{
    struct mem_store *store = calloc(1, sizeof *store);
    cx_assert(store);
    store->name = name[0] ? strdup(name) : NULL;
    store->network = network;
    store->next = stores;
    stores = store;
    return store;
}

static void free_store(struct mem_store *store)
{
    struct mem_store **at = &stores;
    while (*at != store)
        at = &(*at)->next;
    *at = store->next;
    for (size_t i = 0; i < store->count; i++)
        free((void *)store->batch[i].body.data);
    free(store->batch);
    free(store->writer);
    free(store->name);
    free(store);
}

static struct mem_writer *find_writer(struct mem_store *store, const struct address *router)
{
    for (size_t i = 0; i < store->writer_count; i++)
        if (address_eq(&store->writer[i].router, router))
            return &store->writer[i];
    return NULL;
}

static uint64_t take_epoch(struct mem_store *store, const struct address *router)
{
    struct mem_writer *writer = find_writer(store, router);
    if (!writer) {
        store->writer = realloc(store->writer, (store->writer_count + 1) * sizeof *writer);
        cx_assert(store->writer);
        writer = &store->writer[store->writer_count++];
        *writer = (struct mem_writer){.router = *router};
    }
    writer->number = 0;
    return ++writer->epoch;
}

static struct ledger_head head_of(const struct mem_store *store)
{
    if (store->count == 0)
        return (struct ledger_head){.chain = ledger_trail_start(store->network).chain};
    const struct ledger_batch *last = &store->batch[store->count - 1];
    return (struct ledger_head){last->seq + last->count - 1, last->time_ms, last->chain};
}

/* The last batch that begins at or before seq; NULL: none. */
static struct ledger_batch *find_row(struct mem_store *store, uint64_t seq)
{
    size_t low = 0, high = store->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (store->batch[middle].seq <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &store->batch[low - 1] : NULL;
}

/* Copies the body: records and their callers go. */
static void add_row(struct mem_store *store, const struct ledger_batch *batch)
{
    if (store->count == store->cap) {
        store->cap = store->cap ? store->cap * 2 : 64;
        store->batch = realloc(store->batch, store->cap * sizeof *store->batch);
        cx_assert(store->batch);
    }
    uint8_t *body = malloc(batch->body.size);
    cx_assert(body);
    memcpy(body, batch->body.data, batch->body.size);
    store->batch[store->count] = *batch;
    store->batch[store->count].body.data = body;
    store->count++;
}

/* ---- opening and closing ----------------------------------------------------------------------- */

static enum cx_err attach(struct ledger *ledger, struct mem_handle *handle)
{
    struct mem_store *store = find_store(ledger->place);
    if (!store && ledger->options.mode != LEDGER_CREATE)
        return cx_fail(CX_NOT_FOUND, "%s: there is no such ledger in this process", ledger->uri);
    if (!store)
        store = make_store(ledger->place, ledger->options.network);
    store->handles++;
    handle->store = store;
    handle->next = store->handle;
    store->handle = handle;
    ledger->network = store->network;
    ledger->head = head_of(store);
    enum cx_err err = ledger_check_network(ledger);
    if (!err && ledger->options.mode != LEDGER_READ && !address_is_zero(&ledger->options.router))
        ledger->epoch = take_epoch(store, &ledger->options.router);
    return err;
}

static enum cx_err mem_open(struct ledger *ledger)
{
    struct mem_handle *handle = calloc(1, sizeof *handle);
    cx_assert(handle);
    handle->ledger = ledger;
    handle->held_last = &handle->held;
    ledger->store = handle;
    pthread_mutex_lock(&lock);
    enum cx_err err = attach(ledger, handle);
    pthread_mutex_unlock(&lock);
    return err;
}

static void detach(struct mem_handle *handle)
{
    struct mem_store *store = handle->store;
    struct mem_handle **at = &store->handle;
    while (*at != handle)
        at = &(*at)->next;
    *at = handle->next;
    if (--store->handles == 0)
        free_store(store);
}

static void mem_close(struct ledger *ledger)
{
    struct mem_handle *handle = ledger->store;
    if (!handle)
        return;
    if (handle->store) {
        pthread_mutex_lock(&lock);
        detach(handle);
        pthread_mutex_unlock(&lock);
    }
    while (handle->held) {
        struct ledger_record *record = handle->held;
        handle->held = record->next;
        ledger_record_free(record);
    }
    free(handle);
    ledger->store = NULL;
}

/* ---- appending --------------------------------------------------------------------------------- */

static enum cx_err find_repeat(struct mem_store *store, struct ledger_record *record)
{
    for (size_t i = store->count; i-- > 0;) {
        const struct ledger_batch *old = &store->batch[i], *new = &record->batch;
        if (old->epoch != new->epoch || old->number != new->number || !address_eq(&old->router, &new->router))
            continue;
        if (old->count != new->count || old->body.size != new->body.size ||
            memcmp(old->body.data, new->body.data, new->body.size) != 0)
            return cx_fail(CX_INVALID, "batch %llu of epoch %llu is another one, at position %llu",
                           (unsigned long long)new->number, (unsigned long long)new->epoch,
                           (unsigned long long)old->seq);
        record->batch.seq = old->seq;
        record->batch.time_ms = old->time_ms;
        record->repeated = true;
        return CX_OK;
    }
    return CX_NOT_FOUND;
}

static enum cx_err add(struct mem_handle *handle, struct ledger_record *record)
{
    struct mem_store *store = handle->store;
    struct ledger_batch *batch = &record->batch;
    enum cx_err err = find_repeat(store, record);
    if (err != CX_NOT_FOUND)
        return err;
    struct mem_writer *writer = find_writer(store, &batch->router);
    err = ledger_check_turn(batch, writer ? writer->epoch : 0, writer ? writer->number : 0);
    if (err)
        return err;
    struct ledger_head head = head_of(store);
    batch->seq = head.seq + 1;
    batch->time_ms = ledger_stamp_ms(handle->ledger, head.time_ms);
    ledger_chain_next(&head.chain, batch, &batch->chain);
    writer->number = batch->number;
    add_row(store, batch);
    return CX_OK;
}

static void append_now(struct mem_handle *handle, struct ledger_record *record)
{
    enum mem_fault fault = handle->fault;
    handle->fault = MEM_FAULT_NONE;
    handle->stopped = handle->stopped || fault == MEM_FAULT_DISK;
    enum cx_err err = CX_OK;
    if (handle->stopped)
        err = cx_fail(CX_IO, "%s: the disk is full: free some space", handle->ledger->uri);
    else if (fault != MEM_FAULT_LOST)
        err = add(handle, record);
    if (!err && (fault == MEM_FAULT_LOST || fault == MEM_FAULT_UNHEARD))
        err = cx_fail(CX_UNKNOWN, "%s: the answer was lost", handle->ledger->uri);
    if (err)
        ledger_record_fail(record, err, handle->stopped);
}

/* Others learn of it too: a handle that writes does not know of its neighbours' threads. */
static void tell_others(struct mem_handle *handle)
{
    for (struct mem_handle *other = handle->store->handle; other; other = other->next)
        if (other != handle)
            ledger_wake(other->ledger);
}

static void mem_append(struct ledger *ledger, struct ledger_record *record)
{
    struct mem_handle *handle = handle_of(ledger);
    if (handle->hold) {
        record->next = NULL;
        *handle->held_last = record;
        handle->held_last = &record->next;
        return;
    }
    pthread_mutex_lock(&lock);
    append_now(handle, record);
    tell_others(handle);
    pthread_mutex_unlock(&lock);
    ledger_mail(ledger, record);
}

void ledger_mem_fault(struct ledger *ledger, enum mem_fault fault) { handle_of(ledger)->fault = fault; }

void ledger_mem_hold(struct ledger *ledger, bool hold)
{
    struct mem_handle *handle = handle_of(ledger);
    handle->hold = hold;
    while (!hold && handle->held) {
        struct ledger_record *record = handle->held;
        handle->held = record->next;
        if (!handle->held)
            handle->held_last = &handle->held;
        mem_append(ledger, record);
    }
}

/* ---- reading ----------------------------------------------------------------------------------- */

static enum cx_err mem_refresh(struct ledger *ledger)
{
    pthread_mutex_lock(&lock);
    ledger->head = head_of(handle_of(ledger)->store);
    pthread_mutex_unlock(&lock);
    return CX_OK;
}

static enum cx_err mem_find(struct ledger *ledger, uint64_t seq, struct ledger_batch *ret_batch)
{
    pthread_mutex_lock(&lock);
    const struct ledger_batch *row = find_row(handle_of(ledger)->store, seq);
    if (row)
        *ret_batch = *row;
    pthread_mutex_unlock(&lock);
    return row ? CX_OK : CX_NOT_FOUND;
}

static enum cx_err mem_scan(struct ledger *ledger, uint64_t after, ledger_row *row, void *ctx)
{
    struct mem_store *store = handle_of(ledger)->store;
    pthread_mutex_lock(&lock);
    const struct ledger_batch *first = find_row(store, after);
    size_t next = first ? (size_t)(first - store->batch) + 1 : 0, end = store->count;
    pthread_mutex_unlock(&lock);
    for (; next < end; next++) {
        pthread_mutex_lock(&lock);
        struct ledger_batch batch = store->batch[next];  // bodies stay where they are; the table moves
        pthread_mutex_unlock(&lock);
        if (!row(ctx, &batch))
            break;
    }
    return CX_OK;
}

struct ledger_batch *ledger_mem_row(struct ledger *ledger, uint64_t index)
{
    struct mem_store *store = handle_of(ledger)->store;
    return index < store->count ? &store->batch[index] : NULL;
}

static enum cx_err mem_restore(struct ledger *ledger, const struct ledger_batch *batch)
{
    struct mem_store *store = handle_of(ledger)->store;
    pthread_mutex_lock(&lock);
    add_row(store, batch);
    struct mem_writer *writer = find_writer(store, &batch->router);
    if (!writer) {
        take_epoch(store, &batch->router);
        writer = find_writer(store, &batch->router);
    }
    writer->epoch = u64_max(writer->epoch, batch->epoch);
    writer->number = batch->number;
    pthread_mutex_unlock(&lock);
    return CX_OK;
}

static enum cx_err mem_restore_end(struct ledger *ledger) { return mem_refresh(ledger); }

const struct ledger_backend ledger_mem = {
    .appends_max = 1,
    .open = mem_open,
    .close = mem_close,
    .append = mem_append,
    .refresh = mem_refresh,
    .find = mem_find,
    .scan = mem_scan,
    .restore = mem_restore,
    .restore_end = mem_restore_end,
};
