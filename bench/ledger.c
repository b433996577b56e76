/* bench/ledger: what the embedded ledger takes, and how long a router needs to be back.
 *
 * Append: batches of 1, 16, 128 and 1,024 entries of 200 bytes, each durable before the next. Replay: a ledger of real
 * entries (bench/load.h), read and checked, and read, checked, decoded and applied; its signatures are played, as with
 * one's own ledger they need not be recovered. Recovery: a snapshot with a million live tasks, and what came behind it.
 * Cold start: a small network's ledger from the open to the next durable entry.
 */
#include "ledger/ledger.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"
#include "measure.h"
#include "router/look_ahead.h"

#define ENTRY_SIZE 200
#define BIG_NODES  20000
#define BIG_USERS  10000
#define BIG_TASKS  1000000
#define TAIL       200  // batches behind the snapshot
#define SMALL      32   // nodes of the small network
#define NETWORK_ID 7
#define WAIT_MS    10000

static const uint32_t sizes[] = {1, 16, 128, 1024};

/* ---- a ledger that is written ---- */

struct writer {
    struct ledger *ledger;
    char uri[128], path[96];
    uint64_t number, now_ms, bytes;
    bool done;
};

static void appended(void *ctx, enum cx_err err, uint64_t seq, uint64_t time_ms)
{
    (void)seq;
    (void)time_ms;
    BENCH_MUST(err == CX_OK);
    ((struct writer *)ctx)->done = true;
}

static uint64_t writers_ms(void *ctx) { return ((struct writer *)ctx)->now_ms; }

static void begin(struct writer *w, const char *folder, const char *name)
{
    *w = (struct writer){.now_ms = 1700000000000ull};
    snprintf(w->path, sizeof w->path, "%s/%s", folder, name);
    snprintf(w->uri, sizeof w->uri, "sqlite:%s", w->path);
}

static void open_writer(struct writer *w)
{
    struct ledger_options o = {.mode = LEDGER_CREATE,
                               .network = NETWORK_ID,
                               .router = load_address('R', 0),
                               .now_ms = writers_ms,
                               .now_ctx = w};
    BENCH_MUST(ledger_open(w->uri, &o, &w->ledger) == CX_OK);
    w->number = 0;
}

/* Returns when it is durable. */
static void append(struct writer *w, const struct span *entry, uint32_t count)
{
    struct ledger_append a = {.router = load_address('R', 0),
                              .epoch = ledger_epoch(w->ledger),
                              .number = ++w->number,
                              .command = entry,
                              .count = count};
    w->done = false;
    BENCH_MUST(ledger_append(w->ledger, &a, appended, w) == CX_OK);
    while (!w->done) {
        BENCH_MUST(ledger_wait(w->ledger, WAIT_MS) == CX_OK);
        BENCH_MUST(ledger_poll(w->ledger) == CX_OK);
    }
}

static void keep(void *ctx, const struct span *entry, uint32_t count, uint64_t time_ms)
{
    struct writer *w = ctx;
    w->now_ms = time_ms;
    append(w, entry, count);
}

/* ---- append ---- */

struct appends {
    uint32_t batch;
    double entries_per_s;
    uint64_t p50_us, p99_us, cpu_ns;
};

static void measure_append(const char *folder, uint32_t batch, double seconds, struct appends *ret)
{
    static uint8_t bytes[1024][ENTRY_SIZE];
    struct span entry[1024];
    struct spread *spread = bench_take(1, sizeof *spread);
    struct writer w;
    char name[32];
    for (uint32_t i = 0; i < batch; i++) {
        memset(bytes[i], (int)i, ENTRY_SIZE);
        entry[i] = (struct span){bytes[i], ENTRY_SIZE};
    }
    snprintf(name, sizeof name, "append-%u", batch);
    begin(&w, folder, name);
    open_writer(&w);
    uint64_t start = wall_ns(), cpu = process_ns(), now = start;
    while (now < start + (uint64_t)(seconds * 1e9)) {
        append(&w, entry, batch);
        uint64_t then = now;
        now = wall_ns();
        spread_add(spread, now - then);
    }
    *ret = (struct appends){.batch = batch,
                            .entries_per_s = (double)(spread->count * batch) * 1e9 / (double)(now - start),
                            .p50_us = spread_at(spread, 0.5) / 1000,
                            .p99_us = spread_at(spread, 0.99) / 1000,
                            .cpu_ns = (process_ns() - cpu) / (spread->count * batch)};
    ledger_close(w.ledger);
    free(spread);
}

/* ---- replay ---- */

struct follower {
    struct core *core;
    struct event_list out;
    uint64_t entries;
};

static bool read_batch(void *ctx, const struct ledger_batch *batch)
{
    ((struct follower *)ctx)->entries += batch->count - batch->skip;
    return true;
}

static bool apply_batch(void *ctx, const struct ledger_batch *batch)
{
    struct follower *r = ctx;
    struct ledger_cursor at = ledger_cursor(batch);
    struct ledger_entry entry;
    struct look_ahead ahead;
    struct command cmd;
    look_ahead_begin(&ahead, r->core, batch);
    while (ledger_next(&at, &entry)) {
        look_ahead_step(&ahead, r->core);
        bool decodes = load_decode(entry.command, &cmd);
        cmd.time_ms = entry.time_ms;
        cmd.author = entry.author;
        core_apply(r->core, entry.command, decodes ? &cmd : NULL, &r->out);
        r->entries++;
    }
    core_batch_end(r->core);
    return true;
}

static void follower_open(struct follower *r, const struct load *load)
{
    r->core = core_open(bench_take_pages(load->core_size), load->core_size, &load->genesis);
    BENCH_MUST(r->core);
    r->out = (struct event_list){bench_take(EVENTS_PER_COMMAND_MAX, sizeof *r->out.event), EVENTS_PER_COMMAND_MAX, 0};
    r->entries = 0;
}

static void follower_close(struct follower *r)
{
    free(r->core);
    free(r->out.event);
}

/* Gives wall nanoseconds. */
static uint64_t read_from(const struct writer *w, uint64_t seq, ledger_each *each, struct follower *r)
{
    struct ledger *ledger;
    uint64_t start = wall_ns();
    BENCH_MUST(ledger_open(w->uri, &(struct ledger_options){.mode = LEDGER_READ}, &ledger) == CX_OK);
    BENCH_MUST(ledger_read(ledger, seq, each, r) == CX_OK);
    ledger_close(ledger);
    return wall_ns() - start;
}

static bool same_state(const struct core *a, const struct core *b)
{
    struct hash one, other;
    core_digest(a, &one);
    core_digest(b, &other);
    return core_seq(a) == core_seq(b) && hash_eq(&one, &other);
}

/* ---- recovery ---- */

static void write_file(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    BENCH_MUST(fd >= 0);
    for (size_t at = 0; at < size;) {
        ssize_t n = write(fd, (const uint8_t *)bytes + at, size - at);
        BENCH_MUST(n > 0);
        at += (size_t)n;
    }
    BENCH_MUST(fsync(fd) == 0 && close(fd) == 0);
}

static void read_file(const char *path, void *ret_bytes, size_t size)
{
    int fd = open(path, O_RDONLY);
    BENCH_MUST(fd >= 0);
    for (size_t at = 0; at < size;) {
        ssize_t n = read(fd, (uint8_t *)ret_bytes + at, size - at);
        BENCH_MUST(n > 0);
        at += (size_t)n;
    }
    close(fd);
}

/* Seconds from the snapshot file to a core that has applied all there is. */
static double recover(const struct load *load, const struct writer *w, const char *path, size_t size, uint64_t seq)
{
    struct follower r;
    uint64_t start = wall_ns(), cpu = process_ns();
    uint8_t *bytes = bench_take_pages(size);
    read_file(path, bytes, size);
    follower_open(&r, load);
    BENCH_MUST(core_snapshot_read(r.core, (struct span){bytes, (uint32_t)size}));
    free(bytes);
    uint64_t read = wall_ns();
    read_from(w, seq + 1, apply_batch, &r);
    double s = (double)(wall_ns() - start) / 1e9;
    printf("recovery of %u live tasks: %.2f s, of which %.2f for a snapshot of %.0f MiB, the rest for %llu entries; "
           "%.2f s of CPU\n",
           load->core->session_queue.tasks.live, s, (double)(read - start) / 1e9, (double)size / 1048576,
           (unsigned long long)r.entries, (double)(process_ns() - cpu) / 1e9);
    BENCH_MUST(same_state(r.core, load->core));
    follower_close(&r);
    return s;
}

struct big {
    double read_per_s, replay_per_s, recover_s;
};

static void measure_big(const char *folder, struct big *ret)
{
    struct writer w;
    char path[128];
    begin(&w, folder, "big");
    open_writer(&w);
    struct load *load = load_open(
        &(struct load_options){.nodes = BIG_NODES, .users = BIG_USERS, .tasks = BIG_TASKS, .sink = keep, .ctx = &w});
    load_fill(load, BIG_TASKS);
    uint64_t size = core_snapshot_size(load->core), seq = core_seq(load->core);
    BENCH_MUST(size < UINT32_MAX);
    uint8_t *bytes = bench_take_pages(size);
    BENCH_MUST(core_snapshot_write(load->core, bytes, size));
    snprintf(path, sizeof path, "%s/snapshot", folder);
    write_file(path, bytes, size);
    free(bytes);
    for (uint32_t i = 0; i < TAIL; i++)
        load_run(load);
    ledger_close(w.ledger);

    struct follower r;
    follower_open(&r, load);
    uint64_t cpu_read = process_ns();
    uint64_t ns = read_from(&w, 1, read_batch, &r);
    cpu_read = process_ns() - cpu_read;
    ret->read_per_s = (double)r.entries * 1e9 / (double)ns;
    r.entries = 0;
    uint64_t cpu = process_ns();
    ns = read_from(&w, 1, apply_batch, &r);
    cpu = process_ns() - cpu;
    ret->replay_per_s = (double)r.entries * 1e9 / (double)ns;
    BENCH_MUST(same_state(r.core, load->core));
    printf("replay of %llu entries: %.0f/s read and checked, %.2f s of CPU; %.0f/s read, checked and applied, "
           "%.2f s of CPU\n",
           (unsigned long long)r.entries, ret->read_per_s, (double)cpu_read / 1e9, ret->replay_per_s,
           (double)cpu / 1e9);
    follower_close(&r);
    ret->recover_s = recover(load, &w, path, size, seq);
    load_close(load);
}

/* ---- cold start ---- */

static double measure_cold(const char *folder)
{
    struct writer w;
    begin(&w, folder, "small");
    open_writer(&w);
    struct load *load =
        load_open(&(struct load_options){.nodes = SMALL, .users = SMALL, .tasks = SMALL * 10, .sink = keep, .ctx = &w});
    load_fill(load, SMALL * 10);
    ledger_close(w.ledger);

    struct follower r;
    uint64_t start = wall_ns(), cpu = process_ns();
    follower_open(&r, load);
    open_writer(&w);
    BENCH_MUST(ledger_read(w.ledger, 1, apply_batch, &r) == CX_OK);
    struct command tick = {.type = COMMAND_TICK};
    uint8_t bytes[64];
    uint32_t size = load_encode(&tick, bytes, sizeof bytes);
    append(&w, &(struct span){bytes, size}, 1);
    double ms = (double)(wall_ns() - start) / 1e6;
    printf("cold start: %.1f ms from the open to the next durable entry, behind %llu entries; %.1f ms of CPU\n", ms,
           (unsigned long long)r.entries, (double)(process_ns() - cpu) / 1e6);
    BENCH_MUST(same_state(r.core, load->core));
    ledger_close(w.ledger);
    follower_close(&r);
    load_close(load);
    return ms;
}

/* ---- all of it ---- */

static void remove_folder(const char *folder)
{
    static const char *const name[] = {"append-1", "append-16", "append-128", "append-1024",
                                       "big",      "small",     "snapshot"};
    static const char *const tail[] = {"", "-wal", "-shm", "-owner"};
    char path[128];
    for (size_t i = 0; i < ARRAY_COUNT(name); i++)
        for (size_t k = 0; k < ARRAY_COUNT(tail); k++) {
            snprintf(path, sizeof path, "%s/%s%s", folder, name[i], tail[k]);
            unlink(path);
        }
    rmdir(folder);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_options(argc, argv, "bench/ledger", 2);
    char folder[] = "build/bench-ledger-XXXXXX";  // on the disk of the checkout, not in memory
    BENCH_MUST(mkdtemp(folder));
    struct appends result[ARRAY_COUNT(sizes)];
    printf("%6s %12s %8s %8s %12s\n", "batch", "entries/s", "p50 us", "p99 us", "CPU ns/entry");
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct appends *a = &result[i];
        measure_append(folder, sizes[i], o.seconds, a);
        printf("%6u %12.0f %8llu %8llu %12llu\n", a->batch, a->entries_per_s, (unsigned long long)a->p50_us,
               (unsigned long long)a->p99_us, (unsigned long long)a->cpu_ns);
    }
    double cold_ms = measure_cold(folder);
    struct big big;
    measure_big(folder, &big);
    remove_folder(folder);
    printf("CPU in all: %.1f s\n", (double)process_ns() / 1e9);
    if (!o.json)
        return 0;
    printf("{\"append\": [");
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
        printf("%s{\"batch\": %u, \"entries_per_s\": %.0f, \"p99_us\": %llu}", i > 0 ? ", " : "", result[i].batch,
               result[i].entries_per_s, (unsigned long long)result[i].p99_us);
    printf("], \"replay_per_s\": %.0f, \"recover_1m_s\": %.2f, \"cold_start_ms\": %.1f}\n", big.replay_per_s,
           big.recover_s, cold_ms);
}
