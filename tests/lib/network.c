/* The clock, the history and the set-up. network_fill.c has what commands commonly hold. */
#include "lib/network.h"

#include "crypto/keccak.h"
#include "lib/test.h"

#define STEP_MS             10000  // between two entries, at most
#define NETWORK_WATCHED_MAX 8192   // tasks or nodes that a network may have

/* ---- memory ---- */

static void make_chains(struct network *n)
{
    for (uint32_t i = 0; i < n->options.oracles; i++) {
        n->chain[i] = calloc(NETWORK_CHAIN + 1, sizeof **n->chain);
        CHECK(n->chain[i]);
        n->chain[i][0] = test_hash('s', i);
        for (uint32_t k = 0; k < NETWORK_CHAIN; k++)
            keccak256(n->chain[i][k].b, sizeof n->chain[i][k].b, &n->chain[i][k + 1]);
    }
}

static void put_address(struct bytes_writer *w, char kind, uint32_t i)
{
    struct address a = test_address(kind, i);
    bytes_put(w, a.b, sizeof a.b);
}

/* Writes the spans of the genesis one behind the other. */
static struct span span_since(struct bytes_writer *w, uint32_t from)
{
    return (struct span){w->at + from, w->size - from};
}

static void make_genesis(struct network *n)
{
    const struct network_options *o = &n->options;
    struct bytes_writer w;
    bytes_writer_init(&w, n->genesis_bytes, sizeof n->genesis_bytes);
    n->genesis = (struct cmd_genesis){
        .network_id = NETWORK_ID,
        .rules_version = RULES_VERSION,
        .admin_quorum = (uint8_t)o->admin_quorum,
        .oracle_quorum = (uint8_t)o->oracle_quorum,
    };
    uint32_t from = w.size;
    for (uint32_t i = 1; i <= o->admins; i++)
        put_address(&w, 'A', i);
    n->genesis.admins = span_since(&w, from);
    from = w.size;
    for (uint32_t i = 1; i <= o->oracles; i++) {
        put_address(&w, 'O', i);
        put_address(&w, 'P', i);
        bytes_put(&w, n->chain[i - 1][NETWORK_CHAIN].b, 32);
    }
    n->genesis.oracles = span_since(&w, from);
    from = w.size;
    for (uint32_t i = 1; i <= o->routers; i++) {
        put_address(&w, 'R', i);
        put_address(&w, 'Q', i);
    }
    n->genesis.routers = span_since(&w, from);
    from = w.size;
    for (uint32_t i = 0; i < o->set_count; i++) {
        bytes_put_u16(&w, o->set[i].param);
        bytes_put_u64(&w, o->set[i].value);
    }
    n->genesis.params = span_since(&w, from);
    CHECK(w.ok);
}

static struct core *open_core(const struct network *n)
{
    size_t size = core_size(&n->genesis);
    CHECK(size > 0);
    void *memory = aligned_alloc(16, (size + 15) / 16 * 16);
    CHECK(memory);
    struct core *core = core_open(memory, size, &n->genesis);
    CHECK(core);
    return core;
}

/* Large networks are for tests of cost: there the books would cost more than what is measured. */
static struct check_core *open_books(const struct network *n)
{
    struct params params;
    params_default(&params);
    CHECK_EQ(params_read(&params, n->genesis.params), VERDICT_ACCEPTED);
    if (params.tasks_cap > NETWORK_WATCHED_MAX || params.nodes_cap > NETWORK_WATCHED_MAX)
        return NULL;
    size_t size = check_core_size(&n->genesis);
    void *memory = aligned_alloc(16, (size + 15) / 16 * 16);
    CHECK(memory);
    struct check_core *books = check_core_open(memory, size, &n->genesis);
    CHECK(books);
    return books;
}

/* ---- history ---- */

static void *grown(void *rows, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap)
        return rows;
    *cap = *cap ? *cap * 2 : 64;
    rows = realloc(rows, *cap * size);
    CHECK(rows);
    return rows;
}

static void remember_events(struct network *n)
{
    for (uint32_t i = 0; i < n->out.count; i++) {
        CHECK(n->seen_count < NETWORK_EVENTS);
        n->seen[n->seen_count++] = n->out.event[i];
    }
}

/* Signers are read from the signatures' own bytes. */
static bool decode_played(struct span bytes, struct command *ret_cmd)
{
    const uint8_t *signature;
    if (!command_decode(bytes, ret_cmd, &signature))
        return false;
    for (uint32_t i = 0; i < ret_cmd->signer_count; i++)
        memcpy(ret_cmd->signer[i].b, signature + i * 65, sizeof ret_cmd->signer[i].b);
    return true;
}

/* The books that sim/check_core.h keeps of it say what is wrong, by name. */
static void watch(struct network *n, const struct network_entry *e, const struct command *cmd, enum verdict verdict,
                  const struct event_list *out)
{
    struct check_entry entry = {
        .seq = n->entry_count, .bytes = {e->bytes, e->size}, .cmd = cmd, .verdict = verdict, .events = out};
    if (!check_core_entry(n->books, &entry, n->core, &n->check))
        test_fail(__FILE__, __LINE__, "%s at entry %" PRIu64 " (%s): %s", checker_name(n->check.checker), n->check.seq,
                  cmd ? command_find((uint32_t)cmd->type)->name : "none", n->check.text);
}

void network_check(struct network *n)
{
    if (n->books && !check_core_whole(n->books, n->core, &n->check))
        test_fail(__FILE__, __LINE__, "%s at the end: %s", checker_name(n->check.checker), n->check.text);
}

void network_unwatch(struct network *n)
{
    free(n->books);
    n->books = NULL;
}

static enum verdict apply_entry(struct network *watched, struct core *core, const struct network_entry *e,
                                struct event_list *out)
{
    struct command cmd;
    memset(&cmd, 0, sizeof cmd);
    bool decodes = decode_played((struct span){e->bytes, e->size}, &cmd);
    cmd.time_ms = e->time_ms;
    cmd.author = e->author;
    enum verdict verdict = core_apply(core, (struct span){e->bytes, e->size}, decodes ? &cmd : NULL, out);
    if (watched && watched->books)
        watch(watched, e, decodes ? &cmd : NULL, verdict, out);
    if (e->batch_end)
        core_batch_end(core);
    return verdict;
}

static enum verdict append(struct network *n, const struct address *author, const void *bytes, uint32_t size)
{
    n->entry = grown(n->entry, n->entry_count, &n->entry_cap, sizeof *n->entry);
    const struct network_entry *last = n->entry_count > 0 ? &n->entry[n->entry_count - 1] : NULL;
    if (last && (last->time_ms != n->ledger_ms || !address_eq(&last->author, author)))
        network_batch_end(n);  // a batch has one author and one time
    struct network_entry *e = &n->entry[n->entry_count++];
    *e = (struct network_entry){.time_ms = n->ledger_ms, .author = *author, .bytes = malloc(size + 1), .size = size};
    CHECK(e->bytes);
    memcpy(e->bytes, bytes, size);
    if (n->batch_left == 0)
        n->batch_left = n->batch_size;
    e->batch_end = --n->batch_left == 0;
    e->verdict = apply_entry(n, n->core, e, &n->out);
    remember_events(n);
    if (e->verdict == VERDICT_ACCEPTED)
        n->accepted[size >= 2 ? be16(e->bytes) : 0]++;
    return e->verdict;
}

void network_batch_end(struct network *n)
{
    if (n->batch_left == 0 || n->entry_count == 0)
        return;
    n->batch_left = 0;
    n->entry[n->entry_count - 1].batch_end = true;
    core_batch_end(n->core);
}

/* The router that appends what is nobody's in particular: the first that is not hushed. */
static struct address speaker(const struct network *n)
{
    uint32_t i = 0;
    while (i + 1 < n->options.routers && n->hushed_router[i])
        i++;
    return test_address('R', n->hushed_router[i] ? 1 : i + 1);
}

enum verdict network_append(struct network *n, struct command *cmd)
{
    uint8_t bytes[ENTRY_SIZE_MAX], signature[SIGNATURES_MAX][65] = {{0}};
    if (address_is_zero(&cmd->author))
        cmd->author = speaker(n);
    for (uint32_t i = 0; i < cmd->signer_count; i++)
        memcpy(signature[i], cmd->signer[i].b, sizeof cmd->signer[i].b);
    uint32_t size = command_encode(cmd, (const uint8_t(*)[65])signature, bytes, sizeof bytes);
    CHECK(size > 0);
    return append(n, &cmd->author, bytes, size);
}

enum verdict network_append_bytes(struct network *n, const void *bytes, uint32_t size)
{
    struct address author = speaker(n);
    return append(n, &author, bytes, size);
}

struct core *network_replay(const struct network *n, struct core *core, uint32_t from, uint32_t to)
{
    static struct event event[EVENTS_PER_COMMAND_MAX];
    struct event_list out = {event, EVENTS_PER_COMMAND_MAX, 0};
    if (!core)
        core = test_keep(open_core(n));
    for (uint32_t i = from; i < to; i++)
        CHECK_EQ(apply_entry(NULL, core, &n->entry[i], &out), n->entry[i].verdict);
    return core;
}

void network_forget(struct network *n) { n->seen_count = 0; }

const struct event *network_event(const struct network *n, enum event_type type)
{
    for (uint32_t i = n->seen_count; i > 0; i--)
        if (n->seen[i - 1].type == type)
            return &n->seen[i - 1];
    return NULL;
}

uint32_t network_events(const struct network *n, enum event_type type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->seen_count; i++)
        count += n->seen[i].type == type;
    return count;
}

/* ---- time ---- */

static void beat(struct network *n)
{
    n->beat_ms = core_now_ms(n->core);
    for (uint32_t i = 0; i < n->options.routers; i++) {
        struct command cmd = {.type = COMMAND_ROUTER_HEARTBEAT, .author = test_address('R', i + 1)};
        if (!n->hushed_router[i])
            network_append(n, &cmd);
    }
    for (uint32_t i = 0; i < n->options.oracles; i++) {
        struct command cmd = {.type = COMMAND_ORACLE_HEARTBEAT};
        if (n->hushed_oracle[i])
            continue;
        cmd.signer_count = 1;
        cmd.signer[0] = test_address('O', i + 1);
        network_fill(n, &cmd);
        network_append(n, &cmd);
    }
}

void network_settle(struct network *n)
{
    /* The sweep does SWEEP_MAX steps an entry, so a few thousand ticks are more work than any test leaves. */
    for (int i = 0; core_next_tick_ms(n->core) <= core_now_ms(n->core); i++) {
        CHECK(i < 5000);
        struct command cmd = {.type = COMMAND_TICK, .tick.due_ms = core_next_tick_ms(n->core)};
        network_append(n, &cmd);
    }
}

void network_go_to(struct network *n, uint64_t ms)
{
    const uint64_t heartbeat_ms = view_params(n->core)->heartbeat_ms;
    while (core_now_ms(n->core) < ms) {
        uint64_t now_ms = core_now_ms(n->core);
        uint64_t next_ms = u64_min(ms, u64_min(now_ms + STEP_MS, n->beat_ms + heartbeat_ms));
        next_ms = u64_max(u64_min(next_ms, core_next_tick_ms(n->core)), now_ms + 1);
        n->ledger_ms = n->core->step.ledger_ms + next_ms - now_ms;
        if (next_ms >= n->beat_ms + heartbeat_ms) {
            beat(n);
        } else if (next_ms >= core_next_tick_ms(n->core) || next_ms < ms) {
            struct command cmd = {.type = COMMAND_TICK, .tick.due_ms = next_ms};
            network_append(n, &cmd);
        } else {
            return;  // the command that comes next brings the clock along
        }
        network_settle(n);
    }
}

void network_wait(struct network *n, uint64_t ms)
{
    uint64_t to_ms = core_now_ms(n->core) + ms;
    network_go_to(n, to_ms);
    if (core_now_ms(n->core) < to_ms) {
        struct command cmd = {.type = COMMAND_TICK, .tick.due_ms = to_ms};
        network_append(n, &cmd);
    }
    network_settle(n);
}

/* ---- doing ---- */

enum verdict network_do(struct network *n, struct command *cmd)
{
    network_sign(n, cmd);
    return network_append(n, cmd);
}

void network_must(struct network *n, struct command *cmd)
{
    enum verdict verdict = network_do(n, cmd);
    if (verdict != VERDICT_ACCEPTED)
        test_fail(__FILE__, __LINE__, "%s: %s", command_find((uint32_t)cmd->type)->name, verdict_name(verdict));
}

static void must(struct network *n, struct command cmd)
{
    network_fill(n, &cmd);
    network_must(n, &cmd);
}

void network_attach(struct network *n, uint32_t i, uint32_t router)
{
    struct command cmd = {.type = COMMAND_NODE_ATTACH, .author = test_address('R', router)};
    cmd.node_attach.node = test_address('M', i);
    cmd.node_attach.link = ++n->links;
    network_must(n, &cmd);
}

void network_join(struct network *n, uint32_t i)
{
    const struct params *params = view_params(n->core);
    struct command cmd = {.type = COMMAND_NODE_REGISTER};
    cmd.node_register.node = test_address('M', i);
    network_fill(n, &cmd);
    if (params->stake_min + params->join_fee > 0) {  // it has to be somebody's
        struct command deposit = {.type = COMMAND_DEPOSIT, .deposit.account = cmd.node_register.operator};
        must(n, deposit);
    }
    network_must(n, &cmd);
    cmd = (struct command){.type = COMMAND_NODE_MODEL_PUT};
    cmd.node_model_put.node = test_address('M', i);
    must(n, cmd);
    for (uint32_t r = 1; r <= n->options.routers; r++)
        network_attach(n, i, r);
}

/* ---- rounds ---- */

/* A step that is right now may be late when it is appended: then it is somebody else's. */
static bool accepted(struct network *n, struct command cmd)
{
    network_fill(n, &cmd);
    return network_do(n, &cmd) == VERDICT_ACCEPTED;
}

static bool round_lead(struct network *n, const struct round_view *r, enum command_type type)
{
    struct command cmd = {.type = type};
    cmd.round_create.round = r->id;  // the first field of all three
    return accepted(n, cmd);
}

static bool place_step(struct network *n, const struct round_view *r, const struct round_place_view *p)
{
    struct command cmd = {0};
    if (address_is_zero(&p->node))
        return false;
    if (r->state == ROUND_STARTED && !p->acked)
        cmd.type = COMMAND_ROUND_ACK;
    else if (r->state == ROUND_STARTED && !p->precommitted)
        cmd.type = COMMAND_ROUND_PRECOMMIT;
    else if (r->state == ROUND_PRECOMMITTED && p->precommitted && !p->committed)
        cmd.type = COMMAND_ROUND_COMMIT;
    else
        return false;
    cmd.round_ack.lease = p->lease;  // the first field of all three
    return accepted(n, cmd);
}

static bool judge_step(struct network *n, const struct round_view *r, const struct round_place_view *p)
{
    struct oracle_view o;
    for (uint32_t at = 0, i = 0; view_oracle_at(n->core, &at, &o); i++) {
        struct command cmd = {.type = COMMAND_ROUND_VERDICT, .signer_count = 1, .signer = {o.address}};
        if (address_is_zero(&p->node) || !p->committed || r->state != ROUND_COMMITTED || o.state != ORACLE_LIVE ||
            (p->judged_by >> i & 1))
            continue;
        cmd.round_verdict.lease = p->lease;
        return accepted(n, cmd);
    }
    return false;
}

bool network_round_step(struct network *n)
{
    struct round_view r;
    for (uint32_t at = 0; view_round_at(n->core, &at, &r);) {
        struct network_view net;
        view_network(n->core, &net);
        bool led = !address_is_zero(&net.leader);
        if (led && r.state == ROUND_REQUESTED)
            return round_lead(n, &r, COMMAND_ROUND_CREATE);
        if (led && r.state == ROUND_CREATED)
            return round_lead(n, &r, COMMAND_ROUND_PREPARE);
        if (led && r.state == ROUND_PREPARED)
            return round_lead(n, &r, COMMAND_ROUND_START);
        for (uint32_t i = 0; i < r.places; i++)
            if (place_step(n, &r, &r.place[i]) || judge_step(n, &r, &r.place[i]))
                return true;
    }
    return false;
}

void network_test_nodes(struct network *n)
{
    network_settle(n);
    for (int i = 0; i < 10000; i++) {
        if (network_round_step(n)) {
            network_settle(n);
            continue;
        }
        struct network_view net;
        view_network(n->core, &net);
        if (net.nodes[NODE_UNTESTED] + net.nodes[NODE_TESTING] + net.nodes[NODE_RELEASED] == 0)
            return;
        network_wait(n, 100);
    }
    test_fail(__FILE__, __LINE__, "nodes are not tested");
}

/* ---- tasks ---- */

uint64_t network_session(struct network *n, struct command *cmd)
{
    struct command own = {.type = COMMAND_SESSION_OPEN};
    if (!cmd) {
        network_fill(n, &own);
        cmd = &own;
    }
    network_must(n, cmd);
    return n->core->last_session;
}

uint64_t network_submit(struct network *n, uint64_t session)
{
    struct command cmd = {.type = COMMAND_TASK_SUBMIT};
    cmd.task_submit.session = session;
    must(n, cmd);
    return n->core->last_task;
}

static uint32_t live_leases(const struct network *n, uint64_t task, uint64_t lease[REDUNDANCY_MAX])
{
    struct assignment_view a;
    uint32_t count = 0;
    for (uint32_t at = 0; view_assignment_of(n->core, task, &at, &a);)
        lease[count++] = a.lease;
    for (uint32_t i = 0; i < count; i++)  // by ascending lease
        for (uint32_t k = i + 1; k < count; k++)
            if (lease[k] < lease[i]) {
                uint64_t swap = lease[i];
                lease[i] = lease[k];
                lease[k] = swap;
            }
    return count;
}

void network_run_task(struct network *n, uint64_t task, const char *const *text, uint32_t count)
{
    static const enum command_type step[] = {COMMAND_TASK_ACK, COMMAND_TASK_PRECOMMIT, COMMAND_TASK_COMMIT};
    uint64_t lease[REDUNDANCY_MAX];
    CHECK_EQ(live_leases(n, task, lease), count);
    for (uint32_t i = 0; i < count; i++)
        network_answer(n, lease[i], text[i]);
    for (size_t s = 0; s < ARRAY_COUNT(step); s++)
        for (uint32_t i = 0; i < count; i++) {
            struct command cmd = {.type = step[s]};
            cmd.task_ack.lease = lease[i];
            must(n, cmd);
        }
}

/* ---- opening ---- */

static void set_up(struct network *n)
{
    beat(n);
    struct command cmd = {.type = COMMAND_MODEL_PUT};
    must(n, cmd);
    for (uint32_t i = 1; i <= n->options.users; i++) {
        cmd = (struct command){.type = COMMAND_DEPOSIT};
        cmd.deposit.account = test_address('U', i);
        must(n, cmd);
    }
    for (uint32_t i = 1; i <= n->options.miners; i++)
        network_join(n, i);
    if (!n->options.untested)
        network_test_nodes(n);
}

static void close_at_end(void *ctx)
{
    network_check(ctx);
    network_close(ctx);
}

struct network *network_open(const struct network_options *options)
{
    struct network *n = calloc(1, sizeof *n);
    CHECK(n);
    test_at_end(close_at_end, n);
    n->options = *options;
    struct network_options *o = &n->options;
    o->admins = u32_max(o->admins, 1);
    o->admin_quorum = u32_max(o->admin_quorum, 1);
    o->oracle_quorum = u32_max(o->oracle_quorum, 1);
    o->routers = u32_max(o->routers, 1);
    o->price_in = o->price_in ? o->price_in : 500000;
    o->price_out = o->price_out ? o->price_out : 1000000;
    o->slots = o->slots ? o->slots : 2;
    o->engine = o->engine ? o->engine : ENGINE_ECHO;
    n->ledger_ms = NETWORK_LEDGER_START_MS;
    n->batch_size = 1;
    n->event = calloc(EVENTS_PER_COMMAND_MAX, sizeof *n->event);
    n->seen = calloc(NETWORK_EVENTS, sizeof *n->seen);
    CHECK(n->event && n->seen);
    n->out = (struct event_list){n->event, EVENTS_PER_COMMAND_MAX, 0};
    make_chains(n);
    make_genesis(n);
    n->core = open_core(n);
    n->books = open_books(n);
    struct command genesis = {.type = COMMAND_GENESIS, .genesis = n->genesis};
    if (!o->empty)
        CHECK_EQ(network_append(n, &genesis), VERDICT_ACCEPTED);
    if (!o->empty && !o->raw)
        set_up(n);
    network_forget(n);
    return n;
}

void network_close(struct network *n)
{
    test_not_at_end(n);
    for (uint32_t i = 0; i < n->entry_count; i++)
        free(n->entry[i].bytes);
    for (uint32_t i = 0; i < n->options.oracles; i++)
        free(n->chain[i]);
    free(n->entry);
    free(n->answer);
    free(n->event);
    free(n->seen);
    free(n->core);
    free(n->books);
    free(n);
}
