/* Frames from their text. A reading keeps its first failure; what follows it does nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "proto/json.h"
#include "proto/link.h"

struct reading {
    struct json_at at;
    enum cx_err err;
    struct link_frame *frame;
};

static struct reading inside(const struct reading *r, const char *key)
{
    struct reading in = {.frame = r->frame, .err = r->err};
    if (!in.err)
        in.err = json_need_object(&r->at, key, &in.at);
    return in;
}

static struct reading item(const struct reading *array, uint32_t index)
{
    struct json_at at = json_at_item(&array->at, index);
    struct reading in = {.frame = array->frame, .at = at};
    in.err = json_need_object(&at, NULL, &in.at);
    return in;
}

/* Gives the number of items; 0 where the reading has failed. */
static uint32_t get_array(struct reading *r, const char *key, uint32_t max, struct reading *ret_array)
{
    *ret_array = (struct reading){.frame = r->frame};
    if (!r->err)
        r->err = json_need_array(&r->at, key, &ret_array->at);
    if (r->err)
        return 0;
    size_t count = json_at_count(&ret_array->at);
    if (count > max)
        r->err = json_fail(&r->at, key, "over %u items", max);
    return r->err ? 0 : (uint32_t)count;
}

/* Zeroed, and the frame's until link_frame_done. */
static void *get_memory(struct reading *r, size_t count, size_t size)
{
    void **at = r->frame->memory;
    while (*at)
        at++;
    cx_assert(at < r->frame->memory + ARRAY_COUNT(r->frame->memory));
    *at = calloc(count + 1, size);
    cx_assert(*at);
    return *at;
}

static void get_id(struct reading *r, const char *key, uint64_t *ret)
{
    if (!r->err)
        r->err = json_need_u64(&r->at, key, 0, UINT64_MAX, ret);
}

static void get_u32(struct reading *r, const char *key, uint32_t *ret)
{
    uint64_t value = 0;
    if (!r->err)
        r->err = json_need_u64(&r->at, key, 0, UINT32_MAX, &value);
    if (!r->err)
        *ret = (uint32_t)value;
}

static void may_u32(struct reading *r, const char *key, uint32_t *ret)
{
    uint64_t value = *ret;
    if (!r->err)
        r->err = json_may_u64(&r->at, key, 0, UINT32_MAX, &value);
    if (!r->err)
        *ret = (uint32_t)value;
}

static void get_bool(struct reading *r, const char *key, bool *ret)
{
    if (!r->err)
        r->err = json_need_bool(&r->at, key, ret);
}

static void may_bool(struct reading *r, const char *key, bool *ret)
{
    if (!r->err)
        r->err = json_may_bool(&r->at, key, ret);
}

static void get_hex(struct reading *r, const char *key, void *ret, size_t size)
{
    if (!r->err)
        r->err = json_need_hex(&r->at, key, ret, size);
}

static void may_hex(struct reading *r, const char *key, void *ret, size_t size)
{
    if (!r->err)
        r->err = json_may_hex(&r->at, key, ret, size);
}

static void get_text(struct reading *r, const char *key, size_t max, const char **ret)
{
    const char *text = NULL;
    size_t size = 0;
    if (!r->err)
        r->err = json_need_text(&r->at, key, &text, &size);
    if (!r->err && size > max)
        r->err = json_fail(&r->at, key, "over %zu bytes", max);
    if (!r->err)
        *ret = text;
}

static void get_span(struct reading *r, const char *key, size_t max, struct span *ret)
{
    const char *text = NULL;
    size_t size = 0;
    if (!r->err)
        r->err = json_need_text(&r->at, key, &text, &size);
    if (!r->err && size > max)
        r->err = json_fail(&r->at, key, "over %zu bytes", max);
    if (!r->err)
        *ret = (struct span){(const uint8_t *)text, (uint32_t)size};
}

/* Hexadecimal of any size up to max. */
static void get_bytes(struct reading *r, const char *key, uint32_t max, struct span *ret)
{
    struct span text = {0};
    get_span(r, key, 2 * (size_t)max + 2, &text);
    if (r->err)
        return;
    if (text.size >= 2 && text.data[0] == '0' && text.data[1] == 'x')
        text = (struct span){text.data + 2, text.size - 2};
    uint8_t *bytes = get_memory(r, text.size / 2, 1);
    if (text.size % 2 || text.size / 2 > max || !hex_decode((const char *)text.data, text.size, bytes, text.size / 2))
        r->err = json_fail(&r->at, key, "expected at most %u bytes in hexadecimal", max);
    else
        *ret = (struct span){bytes, text.size / 2};
}

static uint32_t get_term(struct reading *r, const char *key, enum term_set set)
{
    const char *name = NULL;
    get_text(r, key, 32, &name);
    int value = r->err ? 0 : term_find(set, name);
    if (value < 0)
        r->err = json_fail(&r->at, key, "%s is not one of its values", name);
    return r->err ? 0 : (uint32_t)value;
}

/* ---- frames ---- */

static void get_models(struct reading *r, const struct link_model **ret_model, uint32_t *ret_count)
{
    struct reading array;
    uint32_t count = get_array(r, "models", LINK_MODELS_MAX, &array);
    if (r->err)
        return;
    struct link_model *model = get_memory(r, count, sizeof *model);
    for (uint32_t i = 0; i < count && !r->err; i++) {
        struct reading in = item(&array, i);
        get_id(&in, "id", &model[i].id);
        get_text(&in, "name", 64, &model[i].name);
        get_hex(&in, "manifest", model[i].manifest.b, sizeof model[i].manifest.b);
        get_u32(&in, "context", &model[i].context);
        get_id(&in, "price_in_max", &model[i].price_in_max);
        get_id(&in, "price_out_max", &model[i].price_out_max);
        r->err = in.err;
    }
    *ret_model = model;
    *ret_count = count;
}

static void get_challenge(struct reading *r, struct link_challenge *f)
{
    get_id(r, "network", &f->network);
    get_hex(r, "router", f->router.b, sizeof f->router.b);
    get_hex(r, "nonce", f->nonce.b, sizeof f->nonce.b);
    get_hex(r, "exchange", f->exchange.b, sizeof f->exchange.b);
    get_u32(r, "join_rule", &f->join_rule);
    get_id(r, "join_fee", &f->join_fee.credits);
    get_id(r, "stake_min", &f->stake_min.credits);
    get_models(r, &f->model, &f->models);
}

static void get_hello(struct reading *r, struct link_hello *f)
{
    get_u32(r, "version", &f->version);
    if (!r->err && f->version != LINK_VERSION)
        r->err = json_fail(&r->at, "version", "%u is not spoken here: use %u", f->version, LINK_VERSION);
    get_hex(r, "node", f->node.b, sizeof f->node.b);
    may_hex(r, "operator", f->operator.b, sizeof f->operator.b);
    get_hex(r, "exchange", f->exchange.b, sizeof f->exchange.b);
    get_hex(r, "signature", f->signature, sizeof f->signature);
    if (!r->err && json_has(&r->at, "engine"))
        f->engine = (uint8_t)get_term(r, "engine", TERM_engine);
    may_u32(r, "slots", &f->slots);
    if (!r->err && json_has(&r->at, "build"))
        get_text(r, "build", 32, &f->build);
}

static void get_node(struct reading *r, struct link_node *f)
{
    struct reading array;
    f->state = (enum node_state)get_term(r, "state", TERM_node_state);
    get_hex(r, "operator", f->operator.b, sizeof f->operator.b);
    get_id(r, "session", &f->session);
    get_id(r, "retry_ms", &f->retry_ms);
    get_u32(r, "slots", &f->slots);
    get_u32(r, "level", &f->level);
    get_bool(r, "leaving", &f->leaving);
    f->models = get_array(r, "models", NODE_MODELS_MAX, &array);
    for (uint32_t i = 0; i < f->models && !r->err; i++) {
        struct reading in = item(&array, i);
        struct link_node_model *m = &f->model[i];
        get_id(&in, "model", &m->model);
        get_u32(&in, "context", &m->context);
        get_id(&in, "price_in", &m->price_in);
        get_id(&in, "price_out", &m->price_out);
        get_bool(&in, "declared", &m->declared);
        get_bool(&in, "proved", &m->proved);
        m->class = (enum node_class)get_term(&in, "class", TERM_node_class);
        r->err = in.err;
    }
}

static void get_welcome(struct reading *r, struct link_welcome *f)
{
    struct reading array;
    get_u32(r, "link", &f->link);
    get_id(r, "nonce_next", &f->nonce_next);
    f->registered = !r->err && json_has(&r->at, "node");
    if (f->registered) {
        struct reading in = inside(r, "node");
        get_node(&in, &f->node);
        r->err = in.err;
    }
    f->leases = get_array(r, "leases", LINK_LEASES_MAX, &array);
    if (r->err)
        return;
    uint64_t *lease = get_memory(r, f->leases, sizeof *lease);
    for (uint32_t i = 0; i < f->leases && !r->err; i++) {
        struct json_at at = json_at_item(&array.at, i);
        r->err = json_need_u64(&at, NULL, 1, UINT64_MAX, &lease[i]);
    }
    f->lease = lease;
}

static void get_result(struct reading *r, struct link_result *f)
{
    const char *name = NULL;
    get_id(r, "ref", &f->ref);
    if (!r->err && json_has(&r->at, "error")) {
        get_text(r, "error", LINK_DETAIL_SIZE_MAX, &f->error);
        return;
    }
    get_text(r, "verdict", 32, &name);
    get_id(r, "seq", &f->seq);
    if (r->err)
        return;
    for (uint32_t v = 0; v < VERDICT_COUNT; v++) {
        const char *known = verdict_name((enum verdict)v);
        if (known && strcmp(known, name) == 0) {
            f->verdict = (enum verdict)v;
            f->message = verdict_text(f->verdict);
            return;
        }
    }
    r->err = json_fail(&r->at, "verdict", "%s is not known here", name);
}

static void get_offer(struct reading *r, struct link_offer *f)
{
    const char *evidence = "";
    get_id(r, "lease", &f->lease);
    get_id(r, "task", &f->task);
    get_id(r, "session", &f->session);
    get_bool(r, "round", &f->round);
    get_id(r, "seed", &f->seed);
    get_bool(r, "seed_of_client", &f->seed_of_client);
    get_u32(r, "tokens_max", &f->tokens_max);
    get_bool(r, "stream", &f->stream);
    get_bool(r, "together", &f->together);
    get_text(r, "evidence", 16, &evidence);
    f->channel = strcmp(evidence, "channel") == 0;
    if (!r->err && !f->channel && strcmp(evidence, "signed") != 0)
        r->err = json_fail(&r->at, "evidence", "expected \"signed\" or \"channel\"");
    f->state = (enum assignment_state)get_term(r, "state", TERM_assignment_state);
    get_id(r, "chunks", &f->chunks);
    may_bool(r, "reveal", &f->reveal);
    may_bool(r, "cancel", &f->cancel);
    may_u32(r, "relayed", &f->relayed_tokens);
    get_u32(r, "ack_ms", &f->ack_ms);
    get_u32(r, "precommit_ms", &f->precommit_ms);
    get_span(r, "request", LINK_DOWN_SIZE_MAX, &f->request);
}

static void get_chunk(struct reading *r, struct link_chunk *f)
{
    get_id(r, "lease", &f->lease);
    get_id(r, "n", &f->n);
    get_span(r, "text", LINK_CHUNK_SIZE_MAX, &f->text);
    get_u32(r, "tokens", &f->tokens);
    f->has_head = !r->err && json_has(&r->at, "head");
    may_hex(r, "head", f->head.b, sizeof f->head.b);
}

static void get_precommit(struct reading *r, struct link_precommit *f)
{
    get_id(r, "lease", &f->lease);
    get_hex(r, "precommit", f->precommit.b, sizeof f->precommit.b);
    f->has_signature = !r->err && json_has(&r->at, "signature");
    may_hex(r, "signature", f->signature, sizeof f->signature);
    f->has_mac = !r->err && json_has(&r->at, "mac");
    may_hex(r, "mac", f->mac.b, sizeof f->mac.b);
}

static void get_commit(struct reading *r, struct link_commit *f)
{
    get_id(r, "lease", &f->lease);
    get_hex(r, "salt", f->salt.b, sizeof f->salt.b);
    get_bytes(r, "record", RECORD_SIZE_MAX, &f->record);
    get_span(r, "text", LINK_TEXT_SIZE_MAX, &f->text);
}

static void get_place(struct reading *r, struct link_place *p)
{
    get_id(r, "lease", &p->lease);
    get_id(r, "seed", &p->seed);
    may_hex(r, "node", p->node.b, sizeof p->node.b);
    may_hex(r, "payload", p->payload.b, sizeof p->payload.b);
    get_bool(r, "acked", &p->acked);
    get_bool(r, "precommitted", &p->precommitted);
    get_bool(r, "committed", &p->committed);
    get_bool(r, "bound", &p->bound);
    get_bool(r, "judged", &p->judged);
    get_bool(r, "own", &p->own);
    get_u32(r, "ttft_ms", &p->ttft_ms);
    get_u32(r, "duration_ms", &p->duration_ms);
    get_u32(r, "tokens_out", &p->tokens_out);
}

static void get_round(struct reading *r, struct link_round *f)
{
    struct reading array;
    get_id(r, "id", &f->id);
    get_id(r, "model", &f->model);
    f->state = (enum round_state)get_term(r, "state", TERM_round_state);
    get_id(r, "deadline_ms", &f->deadline_ms);
    get_hex(r, "leader", f->leader.b, sizeof f->leader.b);
    may_hex(r, "challenge_hash", f->challenge_hash.b, sizeof f->challenge_hash.b);
    may_hex(r, "challenge", f->challenge.b, sizeof f->challenge.b);
    may_hex(r, "request_digest", f->request_digest.b, sizeof f->request_digest.b);
    get_u32(r, "tokens_max", &f->tokens_max);
    f->places = get_array(r, "places", ROUND_NODES_MAX, &array);
    for (uint32_t i = 0; i < f->places && !r->err; i++) {
        struct reading in = item(&array, i);
        get_place(&in, &f->place[i]);
        r->err = in.err;
    }
}

static void get_audit(struct reading *r, struct link_audit *f)
{
    get_id(r, "id", &f->id);
    get_id(r, "task", &f->task);
    get_id(r, "lease", &f->lease);
    f->state = (enum audit_state)get_term(r, "state", TERM_audit_state);
    get_id(r, "deadline_ms", &f->deadline_ms);
    get_bool(r, "drawn", &f->drawn);
    may_hex(r, "prompt", f->prompt.b, sizeof f->prompt.b);
    may_hex(r, "answer", f->answer.b, sizeof f->answer.b);
    if (!r->err && json_has(&r->at, "record")) {
        get_hex(r, "record", f->record, RECORD_EXACT_SIZE);
        f->record_size = RECORD_EXACT_SIZE;
    }
}

static void get_rounds_and_audits(struct reading *r, struct link_state *f)
{
    struct reading array;
    f->rounds = get_array(r, "rounds", LINK_STATE_ROUNDS_MAX, &array);
    struct link_round *round = r->err ? NULL : get_memory(r, f->rounds, sizeof *round);
    for (uint32_t i = 0; i < f->rounds && !r->err; i++) {
        struct reading in = item(&array, i);
        get_round(&in, &round[i]);
        r->err = in.err;
    }
    f->round = round;
    f->audits = get_array(r, "audits", LINK_STATE_AUDITS_MAX, &array);
    struct link_audit *audit = r->err ? NULL : get_memory(r, f->audits, sizeof *audit);
    for (uint32_t i = 0; i < f->audits && !r->err; i++) {
        struct reading in = item(&array, i);
        get_audit(&in, &audit[i]);
        r->err = in.err;
    }
    f->audit = audit;
}

static void get_state(struct reading *r, struct link_state *f)
{
    get_id(r, "seq", &f->seq);
    get_id(r, "now_ms", &f->now_ms);
    get_hex(r, "leader", f->leader.b, sizeof f->leader.b);
    struct reading oracle = inside(r, "oracle");
    get_hex(&oracle, "chain", f->chain.b, sizeof f->chain.b);
    get_id(&oracle, "nonce_next", &f->nonce_next);
    get_bool(&oracle, "live", &f->live);
    get_u32(&oracle, "duties", &f->duties);
    r->err = oracle.err;
    struct reading params = inside(r, "params");
    get_id(&params, "heartbeat_ms", &f->heartbeat_ms);
    get_id(&params, "ttft_ms_max", &f->ttft_ms_max);
    get_id(&params, "tokens_per_s_milli_min", &f->tokens_per_s_milli_min);
    r->err = params.err;
    get_models(r, &f->model, &f->models);
    get_rounds_and_audits(r, f);
}

static void get_payload(struct reading *r, struct link_payload *f)
{
    get_id(r, "ref", &f->ref);
    get_hex(r, "digest", f->digest.b, sizeof f->digest.b);
    if (!r->err && json_has(&r->at, "error"))
        get_text(r, "error", LINK_DETAIL_SIZE_MAX, &f->error);
    else
        get_span(r, "data", LINK_DOWN_SIZE_MAX, &f->data);
}

static void get_body(struct reading *r, struct link_frame *f)
{
    switch (f->type) {
    case LINK_CHALLENGE: get_challenge(r, &f->challenge); break;
    case LINK_HELLO: get_hello(r, &f->hello); break;
    case LINK_WELCOME: get_welcome(r, &f->welcome); break;
    case LINK_NODE: get_node(r, &f->node); break;
    case LINK_SUBMIT:
        get_id(r, "ref", &f->submit.ref);
        get_bytes(r, "entry", ENTRY_SIZE_MAX, &f->submit.entry);
        break;
    case LINK_RESULT: get_result(r, &f->result); break;
    case LINK_OFFER: get_offer(r, &f->offer); break;
    case LINK_ACK: get_id(r, "lease", &f->ack.lease); break;
    case LINK_PROMOTE: get_id(r, "lease", &f->promote.lease); break;
    case LINK_REVEAL: get_id(r, "lease", &f->reveal.lease); break;
    case LINK_DECLINE:
        get_id(r, "lease", &f->decline.lease);
        f->decline.reason = (enum decline_reason)get_term(r, "reason", TERM_decline_reason);
        get_text(r, "detail", LINK_DETAIL_SIZE_MAX, &f->decline.detail);
        break;
    case LINK_CHUNK: get_chunk(r, &f->chunk); break;
    case LINK_PRECOMMIT: get_precommit(r, &f->precommit); break;
    case LINK_COMMIT: get_commit(r, &f->commit); break;
    case LINK_FAULT:
        get_id(r, "lease", &f->fault.lease);
        f->fault.reason = DECLINE_ENGINE;
        if (!r->err && json_has(&r->at, "reason"))
            f->fault.reason = (enum decline_reason)get_term(r, "reason", TERM_decline_reason);
        get_text(r, "detail", LINK_DETAIL_SIZE_MAX, &f->fault.detail);
        break;
    case LINK_CANCEL:
        get_id(r, "lease", &f->cancel.lease);
        get_u32(r, "relayed", &f->cancel.relayed_tokens);
        break;
    case LINK_RECALL:
        get_id(r, "lease", &f->recall.lease);
        f->recall.cause = (enum fail_cause)get_term(r, "cause", TERM_fail_cause);
        break;
    case LINK_DRAIN: break;
    case LINK_STATS:
        get_u32(r, "ttft_ms", &f->stats.ttft_ms);
        get_u32(r, "tokens_per_s_milli", &f->stats.tokens_per_s_milli);
        get_u32(r, "busy", &f->stats.busy);
        break;
    case LINK_ERROR:
        get_text(r, "code", LINK_DETAIL_SIZE_MAX, &f->error.code);
        get_text(r, "message", LINK_DETAIL_SIZE_MAX, &f->error.message);
        break;
    case LINK_STATE: get_state(r, &f->state); break;
    case LINK_PUT:
        get_id(r, "ref", &f->put.ref);
        get_span(r, "data", LINK_PUT_SIZE_MAX, &f->put.data);
        break;
    case LINK_GET:
        get_id(r, "ref", &f->get.ref);
        get_hex(r, "digest", f->get.digest.b, sizeof f->get.digest.b);
        break;
    case LINK_PAYLOAD: get_payload(r, &f->payload); break;
    case LINK_TYPE_COUNT: cx_assert(f->type != LINK_TYPE_COUNT); break;
    }
}

static enum cx_err find_type(const struct reading *r, enum link_way way, enum link_type *ret_type)
{
    static const enum link_way way_of[LINK_TYPE_COUNT] = {
#define X(name, NAME, way_) LINK_##way_,
        LINK_TYPES(X)
#undef X
    };
    const char *name;
    size_t size;
    enum cx_err err = json_need_text(&r->at, "type", &name, &size);
    if (err)
        return err;
    for (uint32_t type = 0; type < LINK_TYPE_COUNT; type++)
        if (way_of[type] == way && strcmp(name, link_type_name((enum link_type)type)) == 0) {
            *ret_type = (enum link_type)type;
            return CX_OK;
        }
    return json_fail(&r->at, "type", "no frame \"%.32s\" comes this way", name);
}

enum cx_err link_decode(const char *text, size_t size, enum link_way way, struct link_frame *ret_frame)
{
    struct link_frame frame = {0};
    struct reading r = {.frame = &frame};
    size_t size_max = way == LINK_U ? LINK_UP_SIZE_MAX : LINK_DOWN_SIZE_MAX;
    enum cx_err err = json_parse(text, size, size_max, &frame.document);
    if (err)
        return err;
    r.at = json_at_root(frame.document);
    r.err = find_type(&r, way, &frame.type);
    if (!r.err)
        get_body(&r, &frame);
    if (r.err) {
        link_frame_done(&frame);
        return r.err;
    }
    *ret_frame = frame;
    return CX_OK;
}
