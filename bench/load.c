/* A network made of commands: founders, users, nodes, rounds, sessions. */
#include "load.h"

#include <stdlib.h>
#include <string.h>

#include "core/view.h"
#include "crypto/keccak.h"
#include "measure.h"

#define NETWORK_ID    7
#define START_MS      1700000000000ull  // the ledger's time at core time 0
#define CHAIN_SIZE    65536             // heartbeats of one oracle
#define USER_COIN     1000000000000ull
#define CONTEXT       8192
#define PRICE         1000000
#define OPERATED      4             // nodes of one operator
#define KEPT_SIZE_MAX (256u << 10)  // bytes of a batch, as ledgers take them
#define IDLE_MS       100           // between two looks while nobody owes anything
#define ROUND_QUEUE   (1 << 19)

/* ---- names ---- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

struct hash load_hash(char kind, uint64_t n)
{
    struct hash h;
    for (unsigned i = 0; i < sizeof h.b / 8; i++)
        be64_put(h.b + 8 * i, mix(n * 4 + i + ((uint64_t)kind << 56)) | 1);
    return h;
}

struct address load_address(char kind, uint32_t n)
{
    struct hash h = load_hash(kind, n);
    struct address a;
    memcpy(a.b, h.b, sizeof a.b);
    return a;
}

uint64_t load_draw(struct load *load, uint64_t below)
{
    load->dice += 0x9e3779b97f4a7c15u;
    return mix(load->dice) % below;
}

/* ---- opening ---- */

static void put_address(struct bytes_writer *w, char kind, uint32_t i)
{
    struct address a = load_address(kind, i);
    bytes_put(w, a.b, sizeof a.b);
}

static void put_param(struct bytes_writer *w, uint16_t id, uint64_t value)
{
    bytes_put_u16(w, id);
    bytes_put_u64(w, value);
}

static struct span since(const struct bytes_writer *w, uint32_t from)
{
    return (struct span){w->at + from, w->size - from};
}

/* Capacities as the load needs them; every other parameter is the default, but references are forgotten sooner: they
 * are a table of their own, and a day of them at this rate would pass every bound. */
static void put_params(const struct load *load, struct bytes_writer *w)
{
    const struct load_options *o = &load->options;
    put_param(w, 1, o->users + o->nodes + o->nodes / OPERATED + 64);
    put_param(w, 2, o->users);
    put_param(w, 4, o->users + 16);
    put_param(w, 7, o->nodes);
    put_param(w, 8, o->nodes / OPERATED + 1);
    put_param(w, 10, load->sessions);
    put_param(w, 12, u32_max(o->tasks + 4096, 16));
    put_param(w, 13, o->tasks / 2 + 4096);
    put_param(w, 14, o->tasks + o->tasks / 2 + 4096);
    put_param(w, 15, o->nodes / ROUND_NODES_MAX + 64);
    put_param(w, 36, 2000);
}

static void make_genesis(struct load *load)
{
    struct bytes_writer w;
    bytes_writer_init(&w, load->genesis_bytes, sizeof load->genesis_bytes);
    load->genesis = (struct cmd_genesis){
        .network_id = NETWORK_ID, .rules_version = RULES_VERSION, .admin_quorum = 1, .oracle_quorum = LOAD_ORACLES};
    put_address(&w, 'A', 0);
    load->genesis.admins = since(&w, 0);
    uint32_t from = w.size;
    for (uint32_t i = 0; i < LOAD_ORACLES; i++) {
        put_address(&w, 'O', i);
        put_address(&w, 'P', i);
        bytes_put(&w, load->chain[i][CHAIN_SIZE].b, sizeof(struct hash));
    }
    load->genesis.oracles = since(&w, from);
    from = w.size;
    put_address(&w, 'R', 0);
    put_address(&w, 'Q', 0);
    load->genesis.routers = since(&w, from);
    from = w.size;
    put_params(load, &w);
    load->genesis.params = since(&w, from);
    BENCH_MUST(w.ok);
}

static void make_chains(struct load *load)
{
    for (uint32_t i = 0; i < LOAD_ORACLES; i++) {
        load->chain[i] = bench_take(CHAIN_SIZE + 1, sizeof **load->chain);
        load->chain[i][0] = load_hash('s', i);
        for (uint32_t k = 0; k < CHAIN_SIZE; k++)
            keccak256(load->chain[i][k].b, sizeof load->chain[i][k].b, &load->chain[i][k + 1]);
    }
}

uint32_t load_encode(const struct command *cmd, uint8_t *ret_bytes, uint32_t cap)
{
    uint8_t signature[SIGNATURES_MAX][65] = {{0}};
    for (uint32_t i = 0; i < cmd->signer_count; i++)
        memcpy(signature[i], cmd->signer[i].b, sizeof cmd->signer[i].b);
    return command_encode(cmd, (const uint8_t(*)[65])signature, ret_bytes, cap);
}

bool load_decode(struct span bytes, struct command *ret_cmd)
{
    const uint8_t *signature;
    if (!command_decode(bytes, ret_cmd, &signature))
        return false;
    for (uint32_t i = 0; i < ret_cmd->signer_count; i++)
        memcpy(ret_cmd->signer[i].b, signature + i * 65, sizeof ret_cmd->signer[i].b);
    return true;
}

void load_keep(struct load *load, struct span bytes)
{
    if (!load->options.sink)
        return;
    BENCH_MUST(load->kept_count < BATCH_ENTRIES_MAX);
    memcpy(load->kept_bytes + load->kept_size, bytes.data, bytes.size);
    load->kept[load->kept_count++] = (struct span){load->kept_bytes + load->kept_size, bytes.size};
    load->kept_size += bytes.size;
    load->kept_ms = load->ledger_ms;
}

void load_end_batch(struct load *load)
{
    core_batch_end(load->core);
    if (load->kept_count > 0)
        load->options.sink(load->options.ctx, load->kept, load->kept_count, load->kept_ms);
    load->kept_count = load->kept_size = 0;
}

void load_do(struct load *load, struct command *cmd)
{
    uint8_t bytes[ENTRY_SIZE_MAX];
    bool full = load->kept_count == BATCH_ENTRIES_MAX || load->kept_size > KEPT_SIZE_MAX - ENTRY_SIZE_MAX;
    if (load->kept_ms != load->ledger_ms || full || !load->options.sink)
        load_end_batch(load);
    cmd->time_ms = load->ledger_ms;
    cmd->author = load_address('R', 0);
    cmd->nonce = ++load->nonce;
    uint32_t size = load_encode(cmd, bytes, sizeof bytes);
    BENCH_MUST(size > 0);
    enum verdict verdict = core_apply(load->core, (struct span){bytes, size}, cmd, &load->out);
    load_keep(load, (struct span){bytes, size});
    if (verdict != VERDICT_ACCEPTED)
        bench_failed(command_find((uint32_t)cmd->type)->name, (int)load->core->step.seq, verdict_name(verdict));
}

void load_beat_fill(struct load *load, uint32_t i, struct command *ret_cmd)
{
    *ret_cmd = (struct command){.type = COMMAND_ROUTER_HEARTBEAT};
    if (i == 0) {
        BENCH_MUST(++load->revealed <= CHAIN_SIZE);
        return;
    }
    ret_cmd->type = COMMAND_ORACLE_HEARTBEAT;
    ret_cmd->signer_count = 1;
    ret_cmd->signer[0] = load_address('O', i - 1);
    ret_cmd->oracle_heartbeat.preimage = load->chain[i - 1][CHAIN_SIZE - load->revealed];
    ret_cmd->oracle_heartbeat.duties = DUTY_ROUND | DUTY_AUDIT | DUTY_JUDGE;
}

static void beat(struct load *load)
{
    for (uint32_t i = 0; i < LOAD_BEATS; i++) {
        struct command cmd;
        load_beat_fill(load, i, &cmd);
        load_do(load, &cmd);
    }
    load->beat_ms = core_now_ms(load->core);
}

/* ---- users and nodes ---- */

static struct command by_admin(enum command_type type)
{
    return (struct command){.type = type, .signer_count = 1, .signer = {load_address('A', 0)}};
}

/* Each has an account in its router's custody, with one key and money. */
static void add_user(struct load *load, uint32_t i)
{
    struct load_user *u = &load->user[i];
    struct address router = load_address('R', 0);
    u->key = load_hash('k', i);
    account_custodial(&router, &u->key, &u->account);
    struct command cmd = {.type = COMMAND_KEY_PUT};
    cmd.key_put = (struct cmd_key_put){.account = u->account, .key_hash = u->key, .scopes = SCOPE_INFER};
    load_do(load, &cmd);
    cmd = by_admin(COMMAND_DEPOSIT);
    cmd.deposit =
        (struct cmd_deposit){.account = u->account, .amount = amount_of(USER_COIN), .reference = load_hash('d', i)};
    load_do(load, &cmd);
}

static void add_node(struct load *load, uint32_t i)
{
    static const char build[] = "bench";
    struct address node = load_address('M', i), operator= load_address('N', i / OPERATED);
    struct command cmd = {.type = COMMAND_NODE_REGISTER, .signer_count = 2, .signer = {node, operator} };
    cmd.node_register = (struct cmd_node_register){
        .node = node,
        .operator= operator,
        .slots = LOAD_SLOTS,
        .engine = ENGINE_ECHO,
        .build = {(const uint8_t *)build, sizeof build - 1},
    };
    load_do(load, &cmd);
    cmd = (struct command){.type = COMMAND_NODE_MODEL_PUT, .signer_count = 1, .signer = {node}};
    cmd.node_model_put = (struct cmd_node_model_put){
        .node = node, .model = load->model, .context = CONTEXT, .price_in = PRICE, .price_out = PRICE};
    load_do(load, &cmd);
    cmd = (struct command){.type = COMMAND_NODE_ATTACH};
    cmd.node_attach = (struct cmd_node_attach){.node = node, .link = i + 1};
    load_do(load, &cmd);
}

/* ---- rounds ---- */

void load_answer(const struct load *load, const struct load_question *question, struct load_answer *ret_answer)
{
    struct record record = {
        .manifest_digest = load->manifest,
        .engine = ENGINE_ECHO,
        .seed = question->seed,
        .request_digest = question->request,
        .chain_head = load_hash('h', question->lease),
        .text_digest = load_hash('t', question->lease),
        .tokens_digest = load_hash('i', question->lease),
        .tokens_in = 100,
        .tokens_out = 64,
    };
    struct precommit_terms terms = {NETWORK_ID,      question->session, question->task,
                                    question->lease, question->node,    load_hash('z', question->lease)};
    ret_answer->salt = terms.salt;
    ret_answer->head = record.chain_head;
    ret_answer->size = record_encode(&record, ret_answer->record, sizeof ret_answer->record);
    precommit_hash(&terms, (struct span){ret_answer->record, ret_answer->size}, &ret_answer->precommit);
}

/* What leader, nodes and oracles owe to the rounds, first come first served. */
struct rounds {
    struct duty {
        enum command_type type;
        uint32_t oracle;
        struct load_question q;  // `task` is the round
    } duty[ROUND_QUEUE];
    uint32_t head, tail;
    struct load_question place[16384 * ROUND_NODES_MAX];  // what was offered, by the lease's round and place
};

static void owe(struct rounds *r, enum command_type type, const struct load_question *q, uint32_t oracle)
{
    BENCH_MUST(r->tail - r->head < ROUND_QUEUE);
    r->duty[r->tail++ % ROUND_QUEUE] = (struct duty){.type = type, .oracle = oracle, .q = *q};
}

static struct load_question *place_of(struct rounds *r, uint64_t lease)
{
    struct load_question *q = &r->place[(uint32_t)lease / 2 % ARRAY_COUNT(r->place)];
    return q;
}

static void hear_round(struct rounds *r, const struct event *e)
{
    static const enum command_type next[] = {[ROUND_REQUESTED] = COMMAND_ROUND_CREATE,
                                             [ROUND_CREATED] = COMMAND_ROUND_PREPARE,
                                             [ROUND_PREPARED] = COMMAND_ROUND_START};
    if (e->type == EVENT_ROUND_MOVED && e->round_moved.to <= ROUND_PREPARED)
        owe(r, next[e->round_moved.to], &(struct load_question){.task = e->round_moved.round}, 0);
    if (e->type == EVENT_ROUND_MOVED && e->round_moved.to == ROUND_PRECOMMITTED)
        for (uint32_t i = 0; i < ROUND_NODES_MAX; i++) {
            struct load_question *q = place_of(r, (e->round_moved.round & UINT32_MAX) << 5 | i << 1);
            if (q->task == e->round_moved.round)
                owe(r, COMMAND_ROUND_COMMIT, q, 0);
        }
    if (e->type == EVENT_ROUND_OFFERED) {
        const struct evt_round_offered *o = &e->round_offered;
        struct load_question *q = place_of(r, o->lease);
        *q = (struct load_question){
            .task = o->round, .lease = o->lease, .seed = o->seed, .node = o->node, .request = load_hash('q', o->round)};
        owe(r, COMMAND_ROUND_ACK, q, 0);
        owe(r, COMMAND_ROUND_PRECOMMIT, q, 0);
    }
    if (e->type == EVENT_ROUND_ANSWER)
        for (uint32_t i = 0; i < LOAD_ORACLES; i++)
            owe(r, COMMAND_ROUND_VERDICT, place_of(r, e->round_answer.lease), i);
}

static void do_duty(struct load *load, const struct duty *d)
{
    struct load_answer answer;
    struct hash opening[2] = {load_hash('x', d->q.task), load_hash('y', d->q.task)};
    struct command cmd = {.type = d->type, .signer_count = 1, .signer = {load_address('O', d->oracle)}};
    load_answer(load, &d->q, &answer);
    cmd.round_create.round = d->q.task;
    if (d->type == COMMAND_ROUND_PREPARE) {
        keccak256(opening, sizeof opening, &cmd.round_prepare.challenge_hash);
        cmd.round_prepare.prompt_size = 400;
        cmd.round_prepare.tokens_max = 64;
    } else if (d->type == COMMAND_ROUND_START) {
        cmd.round_start.salt = opening[0];
        cmd.round_start.challenge_digest = opening[1];
        cmd.round_start.request_digest = load_hash('q', d->q.task);
    } else if (d->type == COMMAND_ROUND_ACK) {
        cmd.signer_count = 0;
        cmd.round_ack.lease = d->q.lease;
    } else if (d->type == COMMAND_ROUND_PRECOMMIT) {
        cmd.signer[0] = d->q.node;
        cmd.round_precommit = (struct cmd_round_precommit){.lease = d->q.lease, .precommit = answer.precommit};
    } else if (d->type == COMMAND_ROUND_COMMIT) {
        cmd.signer_count = 0;
        cmd.round_commit = (struct cmd_round_commit){.lease = d->q.lease,
                                                     .salt = answer.salt,
                                                     .payload_digest = load_hash('t', d->q.lease),
                                                     .payload_size = 256,
                                                     .ttft_ms = 50,
                                                     .duration_ms = 500,
                                                     .record = {answer.record, answer.size}};
    } else if (d->type == COMMAND_ROUND_VERDICT) {
        cmd.round_verdict = (struct cmd_round_verdict){
            .lease = d->q.lease, .right = LAYER_HELD, .fast = LAYER_HELD, .context = CONTEXT};
    }
    load_do(load, &cmd);
}

static void hear_rounds(struct load *load, struct rounds *r)
{
    for (uint32_t i = 0; i < load->out.count; i++)
        hear_round(r, &load->out.event[i]);
}

/* Until every node has passed. */
static void test_nodes(struct load *load)
{
    struct rounds *r = bench_take(1, sizeof *r);
    while (load->core->node_pool.in[NODE_EPHEMERAL] < load->options.nodes) {
        struct command tick = {.type = COMMAND_TICK};
        bool idle = r->head == r->tail;
        if (idle)
            load->ledger_ms += IDLE_MS;
        if (core_now_ms(load->core) >= load->beat_ms + 4000)
            beat(load), hear_rounds(load, r);
        if (idle)
            load_do(load, &tick);
        else
            do_duty(load, &r->duty[r->head++ % ROUND_QUEUE]);
        hear_rounds(load, r);
    }
    free(r);
}

/* ---- sessions ---- */

/* Every second one is paid from its owner's escrow, the others by who submits. */
static void open_session(struct load *load, uint32_t i)
{
    bool escrow = i % 2 == 0;
    struct command cmd = {.type = COMMAND_SESSION_OPEN};
    cmd.session_open = (struct cmd_session_open){
        .owner = load->user[i % load->options.users].account,
        .model = load->model,
        .redundancy = 1,
        .quorum = 1,
        .nodes_min = LOAD_MEMBERS,
        .nodes_max = LOAD_MEMBERS,
        .pays = escrow ? PAYS_OWNER : PAYS_PAYER,
        .evidence = EVIDENCE_CHANNEL,
        .price_in_max = PRICE,
        .price_out_max = PRICE,
        .priority = 5,
        .tokens_max = 256,
        .attempts_max = 3,
        .ack_ms = 10000,
        .precommit_ms = 60000,
        .commit_ms = 10000,
        .total_ms = 600000,
        .open_ms = 60000,
        .drain_ms = 60000,
        .escrow = amount_of(escrow ? USER_COIN / 1000 : 0),
    };
    load_do(load, &cmd);
    load->session[i] = load->core->last_session;
    load->session_at[(uint32_t)load->core->last_session] = i;
}

/* ---- all of it ---- */

static void open_core(struct load *load)
{
    load->core_size = core_size(&load->genesis);
    BENCH_MUST(load->core_size > 0);
    load->core = core_open(bench_take_pages(load->core_size), load->core_size, &load->genesis);
    BENCH_MUST(load->core);
    struct command genesis = {.type = COMMAND_GENESIS, .genesis = load->genesis};
    load_do(load, &genesis);
}

static void add_model(struct load *load)
{
    static const char name[] = "bench";
    struct command cmd = by_admin(COMMAND_MODEL_PUT);
    load->manifest = load_hash('m', 0);
    cmd.model_put = (struct cmd_model_put){.manifest_digest = load->manifest,
                                           .context = CONTEXT,
                                           .template_tokens = 16,
                                           .price_in_max = PRICE_MAX,
                                           .price_out_max = PRICE_MAX,
                                           .name = {(const uint8_t *)name, sizeof name - 1}};
    load_do(load, &cmd);
    struct model_view model;
    uint32_t at = 0;
    BENCH_MUST(view_model_at(load->core, &at, &model));
    load->model = model.id;
}

static void take_tables(struct load *load)
{
    const struct load_options *o = &load->options;
    load->out.cap = EVENTS_PER_COMMAND_MAX;
    load->out.event = bench_take(load->out.cap, sizeof *load->out.event);
    load->user = bench_take(o->users, sizeof *load->user);
    load->session = bench_take(load->sessions, sizeof *load->session);
    load->session_at = bench_take(load->sessions, sizeof *load->session_at);
    load->lease = bench_take((size_t)o->nodes * LOAD_SLOTS, sizeof *load->lease);
    load->lease_at = bench_take(1u << (LEASE_ROW_BITS - 1), sizeof *load->lease_at);
    load->task = bench_take(o->tasks + 4096, sizeof *load->task);
    load->owed = bench_take((size_t)o->tasks + 2 * BATCH_ENTRIES_MAX, sizeof *load->owed);
    load->entry = bench_take(BATCH_ENTRIES_MAX, sizeof *load->entry);
    load->bytes = bench_take(BATCH_ENTRIES_MAX, LOAD_ENTRY_MAX);
    load->kept_bytes = bench_take(1, KEPT_SIZE_MAX + BATCH_ENTRIES_MAX * LOAD_ENTRY_MAX);
    load->news = bench_take(LOAD_NEWS_MAX, sizeof *load->news);
}

struct load *load_open(const struct load_options *options)
{
    struct load *load = bench_take(1, sizeof *load);
    load->options = *options;
    load->sessions = options->nodes / LOAD_MEMBERS;
    load->ledger_ms = START_MS;
    take_tables(load);
    make_chains(load);
    make_genesis(load);
    open_core(load);
    beat(load);
    add_model(load);
    for (uint32_t i = 0; i < options->users; i++)
        add_user(load, i);
    for (uint32_t i = 0; i < options->nodes; i++)
        add_node(load, i);
    test_nodes(load);
    for (uint32_t i = 0; i < load->sessions; i++)
        open_session(load, i);
    load_end_batch(load);
    return load;
}

void load_close(struct load *load)
{
    for (uint32_t i = 0; i < LOAD_ORACLES; i++)
        free(load->chain[i]);
    free(load->core);
    free(load->out.event);
    free(load->user);
    free(load->session);
    free(load->session_at);
    free(load->lease);
    free(load->lease_at);
    free(load->task);
    free(load->owed);
    free(load->entry);
    free(load->bytes);
    free(load->news);
    free(load->kept_bytes);
    free(load);
}
