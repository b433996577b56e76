#include "fuzz/fuzz_world.h"

#include "fuzz/fuzz.h"

static const struct network_options options = {
    .admins = 2,
    .oracles = 2,
    .routers = 2,
    .users = 2,
    .miners = 3,
    .operators = 2,
    .set = {{1, 64},
            {2, 4},
            {3, 2},
            {4, 16},
            {5, 2},
            {6, 2},
            {7, 6},
            {8, 8},
            {9, 2},
            {10, 4},
            {11, 2},
            {12, 16},
            {13, 16},
            {14, 16},
            {15, 2},
            {16, 4}},
    .set_count = 16,
};

static struct network *n, saved;
static void *memory, *books, *second;
static size_t memory_size, books_size;

static void open_world(void)
{
    static const char *const answer[] = {"yes"};
    n = network_open(&options);
    struct command cmd = {.type = COMMAND_SESSION_OPEN};
    network_fill(n, &cmd);
    cmd.session_open.audit_bp = 10000;
    uint64_t session = network_session(n, &cmd);
    network_run_task(n, network_submit(n, session), answer, 1);
    network_wait(n, 3 * view_params(n->core)->heartbeat_ms);  // its audit is drawn
    cmd = (struct command){.type = COMMAND_SESSION_OPEN};
    cmd.session_open.shared = 1;
    cmd.session_open.owner = test_address('R', 1);
    network_fill(n, &cmd);
    network_must(n, &cmd);
    network_submit(n, session);
    network_batch_end(n);
    network_forget(n);
    memory_size = core_size(&n->genesis);
    memory = malloc(memory_size);
    second = aligned_alloc(16, (memory_size + 15) / 16 * 16);
    books_size = check_core_size(&n->genesis);
    books = malloc(books_size);
    FUZZ_CHECK(memory && second && books);
    memcpy(memory, n->core, memory_size);
    memcpy(books, n->books, books_size);
    saved = *n;
}

/* The core, and the books that are kept of it, hold pointers into their own memory alone: a copy can be put back. */
struct network *world_reset(void)
{
    if (!n)
        open_world();
    struct network now = *n;
    for (uint32_t i = saved.entry_count; i < now.entry_count; i++)
        free(now.entry[i].bytes);
    *n = saved;
    n->entry = now.entry;
    n->entry_cap = now.entry_cap;
    n->answer = now.answer;
    n->answer_cap = now.answer_cap;
    memcpy(n->core, memory, memory_size);
    memcpy(n->books, books, books_size);
    return n;
}

struct core *world_second(void)
{
    struct core *core = core_open(second, memory_size, &n->genesis);
    FUZZ_CHECK(core);
    return core;
}

void world_tell(const struct replica_listener *listener)
{
    static struct event event[EVENTS_PER_COMMAND_MAX];
    struct event_list out = {event, EVENTS_PER_COMMAND_MAX, 0};
    world_reset();
    struct core *core = world_second();
    for (uint32_t i = 0; i < n->entry_count; i++) {
        const struct network_entry *e = &n->entry[i];
        const struct span entry = {e->bytes, e->size};
        const uint8_t *signature;
        struct command cmd;
        memset(&cmd, 0, sizeof cmd);
        FUZZ_CHECK(command_decode(entry, &cmd, &signature));
        for (uint32_t k = 0; k < cmd.signer_count; k++)  // played ones: network.h
            memcpy(cmd.signer[k].b, signature + k * 65, sizeof cmd.signer[k].b);
        cmd.time_ms = e->time_ms;
        cmd.author = e->author;
        FUZZ_CHECK(core_apply(core, entry, &cmd, &out) == e->verdict);
        const struct replica_moment moment = {.seq = i + 1,
                                              .time_ms = e->time_ms,
                                              .now_ms = core_now_ms(core),
                                              .author = e->author,
                                              .entry = entry,
                                              .command = &cmd,
                                              .verdict = e->verdict,
                                              .core = core,
                                              .replaying = true};
        if (listener->on_entry)
            listener->on_entry(listener->ctx, &moment);
        for (uint32_t k = 0; k < out.count; k++)
            listener->on_event(listener->ctx, &moment, &out.event[k]);
        if (e->batch_end) {
            core_batch_end(core);
            if (listener->on_batch)
                listener->on_batch(listener->ctx);
        }
    }
}
