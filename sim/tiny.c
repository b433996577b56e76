/* The set-up, time, and what people say. */
#include "sim/tiny.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/keccak.h"

#define WAIT_MS_MAX 10000  // between two entries: less than the core's clock takes at once

struct address tiny_address(char kind, uint32_t n)
{
    struct address a = {{(uint8_t)kind}};
    for (int i = 0; i < 4; i++)
        a.b[19 - i] = (uint8_t)(n >> 8 * i);
    return a;
}

struct hash tiny_hash(char kind, uint32_t n)
{
    struct hash h = {{(uint8_t)kind}};
    for (int i = 0; i < 4; i++)
        h.b[31 - i] = (uint8_t)(n >> 8 * i);
    return h;
}

static struct span text_span(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

/* ---- genesis ---- */

static void put_address(struct bytes_writer *w, char kind, uint32_t n)
{
    struct address a = tiny_address(kind, n);
    bytes_put(w, a.b, sizeof a.b);
}

static struct span span_since(const struct bytes_writer *w, uint32_t from)
{
    return (struct span){w->at + from, w->size - from};
}

/* The least capacities, so that a world is small enough to be copied a million times. */
static void put_params(struct tiny *t, struct bytes_writer *w)
{
    const uint64_t set[][2] = {
        {1, 16},
        {2, 1},
        {3, 1},
        {4, 16},
        {5, 1},
        {6, 1},
        {7, 2},
        {8, 2},
        {9, 1},
        {10, 1},
        {11, 1},
        {12, 16},
        {13, 16},
        {14, 16},
        {15, 1},
        {16, 4},
        {32, t->options.heartbeat_ms},
        {34, 60000},
        {35, t->options.window_ms ? t->options.window_ms : 30000},
        {50, t->options.stake},
        {51, 1000},
        {52, 4000},
        {67, t->options.pending_bp},
        {81, 1000},
        {82, 1000},
        {83, 2000},
        {84, 1000},
        {85, 2000},
        {96, t->options.audit_ms ? t->options.audit_ms : 4000},
        {113, 500},
        {114, 5000},
        {115, 500},
    };
    for (size_t i = 0; i < ARRAY_COUNT(set); i++) {
        bytes_put_u16(w, (uint16_t)set[i][0]);
        bytes_put_u64(w, set[i][1]);
    }
}

static void make_genesis(struct tiny *t)
{
    struct bytes_writer w;
    bytes_writer_init(&w, t->genesis_bytes, sizeof t->genesis_bytes);
    t->genesis = (struct cmd_genesis){
        .network_id = TINY_NETWORK,
        .rules_version = RULES_VERSION,
        .admin_quorum = 1,
        .oracle_quorum = 1,
    };
    uint32_t from = w.size;
    put_address(&w, 'A', 1);
    t->genesis.admins = span_since(&w, from);
    from = w.size;
    for (uint32_t i = 1; i <= t->options.oracles; i++) {
        put_address(&w, 'O', i);
        put_address(&w, 'P', i);
        bytes_put(&w, t->chain[i - 1][TINY_CHAIN].b, sizeof(struct hash));
    }
    t->genesis.oracles = span_since(&w, from);
    from = w.size;
    for (uint32_t i = 1; i <= t->options.routers; i++) {
        put_address(&w, 'R', i);
        put_address(&w, 'Q', i);
    }
    t->genesis.routers = span_since(&w, from);
    from = w.size;
    put_params(t, &w);
    t->genesis.params = span_since(&w, from);
    cx_assert(w.ok);
}

static void make_chains(struct tiny *t)
{
    for (uint32_t i = 0; i < t->options.oracles; i++) {
        t->chain[i][0] = tiny_hash('s', i);
        for (uint32_t k = 0; k < TINY_CHAIN; k++)
            keccak256(t->chain[i][k].b, sizeof t->chain[i][k].b, &t->chain[i][k + 1]);
    }
}

/* ---- entries ---- */

enum verdict tiny_append(struct tiny *t, struct command *cmd)
{
    struct network_view network;
    view_network(t->stage.core, &network);
    if (cmd->time_ms == 0)
        cmd->time_ms = t->history.count > 0 ? network.ledger_ms : TINY_START_MS;
    if (address_is_zero(&cmd->author))
        cmd->author = tiny_address('R', 1);
    history_add(&t->history, cmd);
    const struct history_entry *entry = &t->history.entry[t->history.count - 1];
    if (t->told)
        t->told(t->told_ctx, entry);
    t->verdict = stage_apply(&t->stage, entry);
    return t->verdict;
}

static void must(struct tiny *t, struct command cmd)
{
    enum verdict verdict = tiny_append(t, &cmd);
    cx_assert(verdict == VERDICT_ACCEPTED);
}

struct command tiny_signed(enum command_type type, char kind, uint32_t n)
{
    return (struct command){.type = type, .signer_count = 1, .signer = {tiny_address(kind, n)}};
}

/* ---- time ---- */

struct command tiny_oracle_beat(const struct tiny *t, uint32_t n)
{
    struct command cmd = tiny_signed(COMMAND_ORACLE_HEARTBEAT, 'O', n);
    struct oracle_view o;
    bool found = view_oracle(t->stage.core, &cmd.signer[0], &o);
    cx_assert(found);
    uint32_t at = TINY_CHAIN;
    while (!hash_eq(&t->chain[n - 1][at], &o.chain))
        cx_assert(at-- > 1);
    cmd.oracle_heartbeat.preimage = t->chain[n - 1][at - 1];
    cmd.oracle_heartbeat.duties = DUTY_ROUND | DUTY_AUDIT | DUTY_JUDGE;
    return cmd;
}

/* Core time at which a router or oracle owes its next heartbeat. */
static uint64_t beat_due_ms(const struct tiny *t, char kind, uint32_t n)
{
    struct address address = tiny_address(kind, n);
    struct oracle_view o;
    struct router_view r;
    if (kind == 'O')
        return view_oracle(t->stage.core, &address, &o) ? o.heard_ms + t->options.heartbeat_ms : TIME_NEVER;
    return view_router(t->stage.core, &address, &r) ? r.heard_ms + t->options.heartbeat_ms : TIME_NEVER;
}

static uint64_t next_beat_ms(const struct tiny *t, struct tiny_hush hush)
{
    uint64_t next_ms = TIME_NEVER;
    for (uint32_t i = 1; i <= t->options.routers; i++)
        if (!(hush.routers >> (i - 1) & 1))
            next_ms = u64_min(next_ms, beat_due_ms(t, 'R', i));
    for (uint32_t i = 1; i <= t->options.oracles; i++)
        if (!(hush.oracles >> (i - 1) & 1))
            next_ms = u64_min(next_ms, beat_due_ms(t, 'O', i));
    return next_ms;
}

/* Core time of the next moment. */
static uint64_t next_ms(const struct tiny *t, struct tiny_hush hush)
{
    uint64_t now_ms = core_now_ms(t->stage.core);
    uint64_t next = u64_min(next_beat_ms(t, hush), core_next_tick_ms(t->stage.core));
    return u64_max(u64_min(next, now_ms + WAIT_MS_MAX), now_ms);
}

uint64_t tiny_next_ms(const struct tiny *t)
{
    struct network_view network;
    view_network(t->stage.core, &network);
    return network.ledger_ms + (next_ms(t, (struct tiny_hush){0}) - network.now_ms);
}

/* The router that appends while others are hushed. */
static struct address speaker(const struct tiny *t, struct tiny_hush hush)
{
    uint32_t i = 1;
    while (i < t->options.routers && (hush.routers >> (i - 1) & 1))
        i++;
    return tiny_address('R', i);
}

void tiny_wait(struct tiny *t, struct tiny_hush hush)
{
    struct network_view network;
    view_network(t->stage.core, &network);
    uint64_t to_ms = next_ms(t, hush), ledger_ms = network.ledger_ms + (to_ms - network.now_ms);
    uint32_t said = 0;
    for (uint32_t i = 1; i <= t->options.routers; i++)
        if (!(hush.routers >> (i - 1) & 1) && beat_due_ms(t, 'R', i) <= to_ms) {
            struct command cmd = {.type = COMMAND_ROUTER_HEARTBEAT, .time_ms = ledger_ms};
            cmd.author = tiny_address('R', i);
            tiny_append(t, &cmd);
            said++;
        }
    for (uint32_t i = 1; i <= t->options.oracles; i++)
        if (!(hush.oracles >> (i - 1) & 1) && beat_due_ms(t, 'O', i) <= to_ms) {
            struct command cmd = tiny_oracle_beat(t, i);
            cmd.time_ms = ledger_ms;
            cmd.author = speaker(t, hush);
            tiny_append(t, &cmd);
            said++;
        }
    if (said > 0)
        return;
    struct command cmd = {.type = COMMAND_TICK, .time_ms = ledger_ms, .author = speaker(t, hush)};
    cmd.tick.due_ms = core_next_tick_ms(t->stage.core);
    tiny_append(t, &cmd);
}

/* ---- answers ---- */

void tiny_answer(const struct tiny *t, const struct tiny_place *place, const char *text, enum finish finish,
                 struct tiny_answer *ret)
{
    struct model_view model;
    bool found = view_model(t->stage.core, t->model, &model);
    cx_assert(found);
    uint32_t size = (uint32_t)strlen(text);
    struct record record = {
        .manifest_digest = model.manifest_digest,
        .engine = ENGINE_ECHO,
        .seed = place->seed,
        .request_digest = place->request_digest,
        .finish = (uint8_t)finish,
        .tokens_in = 10,
        .tokens_out = size,
    };
    chain_start(TINY_NETWORK, place->task, place->lease, &record.chain_head);
    chain_extend(&record.chain_head, text, size);
    keccak256(text, size, &record.text_digest);
    keccak256(NULL, 0, &record.tokens_digest);
    *ret = (struct tiny_answer){
        .salt = tiny_hash('z', (uint32_t)place->lease),
        .text_size = size,
        .payload_digest = record.text_digest,  // any 32 bytes that go with the text
        .head = record.chain_head,
        .tokens_out = size,
    };
    ret->record_size = record_encode(&record, ret->record, sizeof ret->record);
    struct precommit_terms terms = {TINY_NETWORK, place->session, place->task, place->lease, place->node, ret->salt};
    precommit_hash(&terms, (struct span){ret->record, ret->record_size}, &ret->precommit);
}

struct command tiny_precommit(const struct tiny_place *place, const struct tiny_answer *answer)
{
    struct command cmd = {.type = place->session ? COMMAND_TASK_PRECOMMIT : COMMAND_ROUND_PRECOMMIT};
    cmd.signer_count = 1;
    cmd.signer[0] = place->node;
    if (place->session)
        cmd.task_precommit = (struct cmd_task_precommit){place->lease, answer->precommit};
    else
        cmd.round_precommit = (struct cmd_round_precommit){place->lease, answer->precommit};
    return cmd;
}

/* The record is the answer's: it must live as long as the command. */
struct command tiny_commit(const struct tiny_place *place, const struct tiny_answer *answer, bool streamed)
{
    struct command cmd = {.type = place->session ? COMMAND_TASK_COMMIT : COMMAND_ROUND_COMMIT};
    struct span record = {answer->record, answer->record_size};
    if (place->session)
        cmd.task_commit = (struct cmd_task_commit){
            .lease = place->lease,
            .salt = answer->salt,
            .payload_digest = answer->payload_digest,
            .payload_size = answer->text_size,
            .text_size = answer->text_size,
            .relayed_head = streamed ? answer->head : (struct hash){{0}},
            .relayed_tokens = streamed ? answer->tokens_out : 0,
            .ttft_ms = 50,
            .duration_ms = 500,
            .record = record,
        };
    else
        cmd.round_commit = (struct cmd_round_commit){
            .lease = place->lease,
            .salt = answer->salt,
            .payload_digest = answer->payload_digest,
            .payload_size = answer->text_size,
            .ttft_ms = 50,
            .duration_ms = 500,
            .record = record,
        };
    return cmd;
}

/* ---- rounds ---- */

struct command tiny_round_prepare(uint64_t round)
{
    struct command cmd = {.type = COMMAND_ROUND_PREPARE};
    struct hash part[2] = {tiny_hash('x', (uint32_t)round), tiny_hash('y', (uint32_t)round)};
    cmd.round_prepare = (struct cmd_round_prepare){.round = round, .prompt_size = 20, .tokens_max = 16};
    keccak256(part, sizeof part, &cmd.round_prepare.challenge_hash);
    return cmd;
}

struct command tiny_round_start(uint64_t round)
{
    struct command cmd = {.type = COMMAND_ROUND_START};
    cmd.round_start = (struct cmd_round_start){
        .round = round,
        .salt = tiny_hash('x', (uint32_t)round),
        .challenge_digest = tiny_hash('y', (uint32_t)round),
        .request_digest = tiny_hash('q', (uint32_t)round),
    };
    return cmd;
}

static bool lead_step(const struct tiny *t, const struct round_view *r, struct command *ret_cmd)
{
    struct network_view network;
    view_network(t->stage.core, &network);
    if (address_is_zero(&network.leader) || r->state > ROUND_PREPARED)
        return false;
    if (r->state == ROUND_REQUESTED)
        *ret_cmd = (struct command){.type = COMMAND_ROUND_CREATE, .round_create.round = r->id};
    else
        *ret_cmd = r->state == ROUND_CREATED ? tiny_round_prepare(r->id) : tiny_round_start(r->id);
    ret_cmd->signer_count = 1;
    ret_cmd->signer[0] = network.leader;
    return true;
}

static bool place_step(struct tiny *t, const struct round_view *r, const struct round_place_view *p,
                       struct command *ret_cmd)
{
    const struct tiny_place place = {0, r->id, p->lease, p->seed, p->node, r->request_digest};
    if (address_is_zero(&p->node))
        return false;
    if (r->state == ROUND_STARTED && !p->acked) {
        *ret_cmd = (struct command){.type = COMMAND_ROUND_ACK, .round_ack.lease = p->lease};
        return true;
    }
    tiny_answer(t, &place, "sure", FINISH_STOP, &t->said);
    if (r->state == ROUND_STARTED && !p->precommitted)
        *ret_cmd = tiny_precommit(&place, &t->said);
    else if (r->state == ROUND_PRECOMMITTED && p->precommitted && !p->committed)
        *ret_cmd = tiny_commit(&place, &t->said, false);
    else
        return false;
    return true;
}

static bool judge_step(const struct tiny *t, const struct round_view *r, const struct round_place_view *p,
                       struct command *ret_cmd)
{
    if (address_is_zero(&p->node) || !p->committed || r->state != ROUND_COMMITTED)
        return false;
    struct oracle_view o;
    for (uint32_t at = 0, i = 0; view_oracle_at(t->stage.core, &at, &o); i++) {
        if (o.state != ORACLE_LIVE || (p->judged_by >> i & 1))
            continue;
        *ret_cmd = (struct command){.type = COMMAND_ROUND_VERDICT, .signer_count = 1, .signer = {o.address}};
        ret_cmd->round_verdict.lease = p->lease;
        ret_cmd->round_verdict.right = ret_cmd->round_verdict.fast = LAYER_HELD;
        ret_cmd->round_verdict.context = 4096;
        return true;
    }
    return false;
}

bool tiny_round_step(struct tiny *t, struct command *ret_cmd)
{
    struct round_view r;
    for (uint32_t at = 0; view_round_at(t->stage.core, &at, &r);) {
        if (lead_step(t, &r, ret_cmd))
            return true;
        for (uint32_t i = 0; i < r.places; i++)
            if (place_step(t, &r, &r.place[i], ret_cmd) || judge_step(t, &r, &r.place[i], ret_cmd))
                return true;
    }
    return false;
}

/* ---- opening ---- */

static void begin(struct tiny *t)
{
    struct command genesis = {.type = COMMAND_GENESIS, .genesis = t->genesis};
    must(t, genesis);
    for (uint32_t i = 1; i <= t->options.routers; i++)
        must(t, (struct command){.type = COMMAND_ROUTER_HEARTBEAT, .author = tiny_address('R', i)});
    for (uint32_t i = 1; i <= t->options.oracles; i++)
        must(t, tiny_oracle_beat(t, i));

    struct command cmd = tiny_signed(COMMAND_MODEL_PUT, 'A', 1);
    cmd.nonce = 1;
    cmd.model_put = (struct cmd_model_put){
        .manifest_digest = tiny_hash('m', 1),
        .context = 4096,
        .template_tokens = 16,
        .price_in_max = PRICE_MAX,
        .price_out_max = PRICE_MAX,
        .name = text_span("tiny"),
    };
    must(t, cmd);
    struct model_view model;
    uint32_t at = 0;
    bool found = view_model_at(t->stage.core, &at, &model);
    cx_assert(found);
    t->model = model.id;
}

static void give_money(struct tiny *t, char kind, uint32_t n, uint64_t credits)
{
    struct command cmd = tiny_signed(COMMAND_DEPOSIT, 'A', 1);
    cmd.nonce = 1 + t->history.count;
    cmd.deposit = (struct cmd_deposit){tiny_address(kind, n), amount_of(credits), tiny_hash('d', t->history.count)};
    must(t, cmd);
}

static void join(struct tiny *t, uint32_t i)
{
    if (t->options.stake > 0)
        give_money(t, 'N', i, t->options.stake);
    struct command cmd = tiny_signed(COMMAND_NODE_REGISTER, 'M', i);
    cmd.nonce = 1;
    cmd.signer_count = 2;
    cmd.signer[1] = tiny_address('N', i);
    cmd.node_register = (struct cmd_node_register){
        .node = tiny_address('M', i),
        .operator= tiny_address('N', i),
        .slots = t->options.slots ? t->options.slots : 2,
        .engine = ENGINE_ECHO,
        .stake = amount_of(t->options.stake),
        .build = text_span("echo 1"),
    };
    must(t, cmd);
    cmd = tiny_signed(COMMAND_NODE_MODEL_PUT, 'M', i);
    cmd.nonce = 2;
    cmd.node_model_put = (struct cmd_node_model_put){
        .node = tiny_address('M', i),
        .model = t->model,
        .context = 4096,
        .price_in = 500000,
        .price_out = 1000000,
        .ttft_ms = 100,
        .tokens_per_s_milli = 50000,
    };
    must(t, cmd);
    for (uint32_t r = 1; r <= t->options.routers; r++) {
        cmd = (struct command){.type = COMMAND_NODE_ATTACH, .author = tiny_address('R', r)};
        cmd.node_attach = (struct cmd_node_attach){tiny_address('M', i), 1};
        must(t, cmd);
    }
}

static bool all_pickable(const struct tiny *t)
{
    struct network_view network;
    view_network(t->stage.core, &network);
    return network.nodes[NODE_EPHEMERAL] == t->options.miners;
}

static void test_all(struct tiny *t)
{
    while (!all_pickable(t)) {
        struct command cmd;
        if (tiny_round_step(t, &cmd))
            must(t, cmd);
        else
            tiny_wait(t, (struct tiny_hush){0});
    }
}

struct tiny *tiny_open(const struct tiny_options *options, struct check *check)
{
    struct tiny *t = calloc(1, sizeof *t);
    cx_assert(t);
    cx_assert(options->oracles <= TINY_ORACLES_MAX);
    t->options = *options;
    make_chains(t);
    make_genesis(t);
    bool opened = stage_open(&t->stage, &t->genesis, check);
    cx_assert(opened);
    begin(t);
    give_money(t, 'U', 1, TINY_USER_CREDITS);
    for (uint32_t i = 1; i <= options->miners; i++)
        join(t, i);
    if (!options->untested)
        test_all(t);
    return t;
}

void tiny_close(struct tiny *t)
{
    if (!t)
        return;
    stage_close(&t->stage);
    history_done(&t->history);
    free(t);
}
