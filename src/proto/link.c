#include "proto/link.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "crypto/keccak.h"
#include "proto/json.h"

#define HELLO_TAG    "corten/h"
#define MAC_TAG      "corten/e"
#define TAG_SIZE     8
#define ID_TEXT_SIZE 21  // of a u64 in decimal, with its NUL

const char *link_type_name(enum link_type type)
{
    static const char *const name[LINK_TYPE_COUNT] = {
#define X(name, NAME, way) #name,
        LINK_TYPES(X)
#undef X
    };
    cx_assert(type < LINK_TYPE_COUNT);
    return name[type];
}

/* ---- the hello ---- */

void link_hello_digest(const struct link_hello_terms *terms, struct hash *ret_digest)
{
    uint8_t network[8];
    struct keccak k;
    be64_put(network, terms->network);
    keccak_init(&k);
    keccak_add(&k, HELLO_TAG, TAG_SIZE);
    keccak_add(&k, network, sizeof network);
    keccak_add(&k, terms->router.b, sizeof terms->router.b);
    keccak_add(&k, terms->nonce.b, sizeof terms->nonce.b);
    keccak_add(&k, terms->node.b, sizeof terms->node.b);
    keccak_add(&k, terms->router_exchange.b, sizeof terms->router_exchange.b);
    keccak_add(&k, terms->node_exchange.b, sizeof terms->node_exchange.b);
    keccak_end(&k, ret_digest);
}

void link_hello_sign(const struct link_hello_terms *terms, const struct key *key, uint8_t ret_signature[SIGNATURE_SIZE])
{
    struct hash digest;
    link_hello_digest(terms, &digest);
    key_sign(key, &digest, ret_signature);
}

enum cx_err link_hello_check(const struct link_hello_terms *terms, const uint8_t signature[SIGNATURE_SIZE])
{
    struct hash digest;
    struct address signer;
    link_hello_digest(terms, &digest);
    if (key_recover(&digest, signature, &signer) || !address_eq(&signer, &terms->node))
        return cx_fail(CX_DENIED, "signature: not the node's over this challenge");
    return CX_OK;
}

/* ---- the precommit's MAC ---- */

void link_precommit_mac(const struct mac_key *key, const struct link_precommit *precommit, struct hash *ret_mac)
{
    uint8_t said[TAG_SIZE + 8 + sizeof precommit->precommit.b];
    memcpy(said, MAC_TAG, TAG_SIZE);
    be64_put(said + TAG_SIZE, precommit->lease);
    memcpy(said + TAG_SIZE + 8, precommit->precommit.b, sizeof precommit->precommit.b);
    mac_make(key, said, sizeof said, ret_mac);
}

enum cx_err link_precommit_check(const struct mac_key *key, const struct link_precommit *precommit)
{
    struct hash right;
    if (!precommit->has_mac)
        return cx_fail(CX_DENIED, "mac: missing; where evidence is the channel a precommit carries the link's MAC");
    link_precommit_mac(key, precommit, &right);
    if (!mac_equal(right.b, precommit->mac.b, sizeof right.b))
        return cx_fail(CX_DENIED, "mac: not this link's over lease %" PRIu64 " and its precommit", precommit->lease);
    return CX_OK;
}

/* ---- writing ---- */

/* JavaScript loses numbers over 2^53. */
static void put_id(struct json_out *out, const char *key, uint64_t id)
{
    char text[ID_TEXT_SIZE];
    snprintf(text, sizeof text, "%" PRIu64, id);
    json_out_text(out, key, text);
}

static void put_address(struct json_out *out, const char *key, const struct address *address)
{
    json_out_hex(out, key, address->b, sizeof address->b);
}

static void put_hash(struct json_out *out, const char *key, const struct hash *hash)
{
    json_out_hex(out, key, hash->b, sizeof hash->b);
}

static void put_hash_if(struct json_out *out, const char *key, const struct hash *hash)
{
    if (!hash_is_zero(hash))
        put_hash(out, key, hash);
}

static void put_span(struct json_out *out, const char *key, struct span text)
{
    json_out_bytes(out, key, (const char *)text.data, text.size);
}

static void put_term(struct json_out *out, const char *key, enum term_set set, uint32_t value)
{
    const char *name = term_name(set, value);
    cx_assert(name);
    json_out_text(out, key, name);
}

static void put_models(struct json_out *out, const struct link_model *model, uint32_t count)
{
    json_out_array(out, "models");
    for (uint32_t i = 0; i < count; i++) {
        json_out_object(out, NULL);
        put_id(out, "id", model[i].id);
        json_out_text(out, "name", model[i].name);
        put_hash(out, "manifest", &model[i].manifest);
        json_out_u64(out, "context", model[i].context);
        put_id(out, "price_in_max", model[i].price_in_max);
        put_id(out, "price_out_max", model[i].price_out_max);
        json_out_end(out);
    }
    json_out_end(out);
}

static void put_challenge(struct json_out *out, const struct link_challenge *f)
{
    put_id(out, "network", f->network);
    put_address(out, "router", &f->router);
    put_hash(out, "nonce", &f->nonce);
    json_out_hex(out, "exchange", f->exchange.b, sizeof f->exchange.b);
    json_out_u64(out, "join_rule", f->join_rule);
    put_id(out, "join_fee", f->join_fee.credits);
    put_id(out, "stake_min", f->stake_min.credits);
    put_models(out, f->model, f->models);
}

static void put_hello(struct json_out *out, const struct link_hello *f)
{
    json_out_u64(out, "version", f->version);
    put_address(out, "node", &f->node);
    if (!address_is_zero(&f->operator))
        put_address(out, "operator", &f->operator);
    json_out_hex(out, "exchange", f->exchange.b, sizeof f->exchange.b);
    json_out_hex(out, "signature", f->signature, sizeof f->signature);
    if (f->engine)
        put_term(out, "engine", TERM_engine, f->engine);
    if (f->slots)
        json_out_u64(out, "slots", f->slots);
    if (f->build)
        json_out_text(out, "build", f->build);
}

static void put_node(struct json_out *out, const struct link_node *f)
{
    put_term(out, "state", TERM_node_state, f->state);
    put_address(out, "operator", &f->operator);
    put_id(out, "session", f->session);
    put_id(out, "retry_ms", f->retry_ms);
    json_out_u64(out, "slots", f->slots);
    json_out_u64(out, "level", f->level);
    json_out_bool(out, "leaving", f->leaving);
    json_out_array(out, "models");
    for (uint32_t i = 0; i < f->models; i++) {
        const struct link_node_model *m = &f->model[i];
        json_out_object(out, NULL);
        put_id(out, "model", m->model);
        json_out_u64(out, "context", m->context);
        put_id(out, "price_in", m->price_in);
        put_id(out, "price_out", m->price_out);
        json_out_bool(out, "declared", m->declared);
        json_out_bool(out, "proved", m->proved);
        put_term(out, "class", TERM_node_class, m->class);
        json_out_end(out);
    }
    json_out_end(out);
}

static void put_welcome(struct json_out *out, const struct link_welcome *f)
{
    json_out_u64(out, "link", f->link);
    put_id(out, "nonce_next", f->nonce_next);
    if (f->registered) {
        json_out_object(out, "node");
        put_node(out, &f->node);
        json_out_end(out);
    }
    json_out_array(out, "leases");
    for (uint32_t i = 0; i < f->leases; i++)
        put_id(out, NULL, f->lease[i]);
    json_out_end(out);
}

static void put_submit(struct json_out *out, const struct link_submit *f)
{
    put_id(out, "ref", f->ref);
    json_out_hex(out, "entry", f->entry.data, f->entry.size);
}

static void put_result(struct json_out *out, const struct link_result *f)
{
    put_id(out, "ref", f->ref);
    if (f->error) {
        json_out_text(out, "error", f->error);
        return;
    }
    json_out_text(out, "verdict", verdict_name(f->verdict));
    json_out_text(out, "message", verdict_text(f->verdict));
    put_id(out, "seq", f->seq);
}

static void put_offer(struct json_out *out, const struct link_offer *f)
{
    put_id(out, "lease", f->lease);
    put_id(out, "task", f->task);
    put_id(out, "session", f->session);
    json_out_bool(out, "round", f->round);
    put_id(out, "seed", f->seed);
    json_out_bool(out, "seed_of_client", f->seed_of_client);
    json_out_u64(out, "tokens_max", f->tokens_max);
    json_out_bool(out, "stream", f->stream);
    json_out_bool(out, "together", f->together);
    json_out_text(out, "evidence", f->channel ? "channel" : "signed");
    put_term(out, "state", TERM_assignment_state, f->state);
    put_id(out, "chunks", f->chunks);
    json_out_bool(out, "reveal", f->reveal);
    json_out_bool(out, "cancel", f->cancel);
    json_out_u64(out, "relayed", f->relayed_tokens);
    json_out_u64(out, "ack_ms", f->ack_ms);
    json_out_u64(out, "precommit_ms", f->precommit_ms);
    put_span(out, "request", f->request);
}

static void put_chunk(struct json_out *out, const struct link_chunk *f)
{
    put_id(out, "lease", f->lease);
    put_id(out, "n", f->n);
    put_span(out, "text", f->text);
    json_out_u64(out, "tokens", f->tokens);
    if (f->has_head)
        put_hash(out, "head", &f->head);
}

static void put_precommit(struct json_out *out, const struct link_precommit *f)
{
    put_id(out, "lease", f->lease);
    put_hash(out, "precommit", &f->precommit);
    if (f->has_signature)
        json_out_hex(out, "signature", f->signature, sizeof f->signature);
    if (f->has_mac)
        put_hash(out, "mac", &f->mac);
}

static void put_commit(struct json_out *out, const struct link_commit *f)
{
    put_id(out, "lease", f->lease);
    put_hash(out, "salt", &f->salt);
    json_out_hex(out, "record", f->record.data, f->record.size);
    put_span(out, "text", f->text);
}

static void put_place(struct json_out *out, const struct link_place *p)
{
    json_out_object(out, NULL);
    put_id(out, "lease", p->lease);
    put_id(out, "seed", p->seed);
    if (!address_is_zero(&p->node))
        put_address(out, "node", &p->node);
    put_hash_if(out, "payload", &p->payload);
    json_out_bool(out, "acked", p->acked);
    json_out_bool(out, "precommitted", p->precommitted);
    json_out_bool(out, "committed", p->committed);
    json_out_bool(out, "bound", p->bound);
    json_out_bool(out, "judged", p->judged);
    json_out_bool(out, "own", p->own);
    json_out_u64(out, "ttft_ms", p->ttft_ms);
    json_out_u64(out, "duration_ms", p->duration_ms);
    json_out_u64(out, "tokens_out", p->tokens_out);
    json_out_end(out);
}

static void put_round(struct json_out *out, const struct link_round *r)
{
    json_out_object(out, NULL);
    put_id(out, "id", r->id);
    put_id(out, "model", r->model);
    put_term(out, "state", TERM_round_state, r->state);
    put_id(out, "deadline_ms", r->deadline_ms);
    put_address(out, "leader", &r->leader);
    put_hash_if(out, "challenge_hash", &r->challenge_hash);
    put_hash_if(out, "challenge", &r->challenge);
    put_hash_if(out, "request_digest", &r->request_digest);
    json_out_u64(out, "tokens_max", r->tokens_max);
    json_out_array(out, "places");
    for (uint32_t i = 0; i < r->places; i++)
        put_place(out, &r->place[i]);
    json_out_end(out);
    json_out_end(out);
}

static void put_audit(struct json_out *out, const struct link_audit *a)
{
    json_out_object(out, NULL);
    put_id(out, "id", a->id);
    put_id(out, "task", a->task);
    put_id(out, "lease", a->lease);
    put_term(out, "state", TERM_audit_state, a->state);
    put_id(out, "deadline_ms", a->deadline_ms);
    json_out_bool(out, "drawn", a->drawn);
    put_hash_if(out, "prompt", &a->prompt);
    put_hash_if(out, "answer", &a->answer);
    if (a->record_size)
        json_out_hex(out, "record", a->record, a->record_size);
    json_out_end(out);
}

static void put_state(struct json_out *out, const struct link_state *f)
{
    put_id(out, "seq", f->seq);
    put_id(out, "now_ms", f->now_ms);
    put_address(out, "leader", &f->leader);
    json_out_object(out, "oracle");
    put_hash(out, "chain", &f->chain);
    put_id(out, "nonce_next", f->nonce_next);
    json_out_bool(out, "live", f->live);
    json_out_u64(out, "duties", f->duties);
    json_out_end(out);
    json_out_object(out, "params");
    put_id(out, "heartbeat_ms", f->heartbeat_ms);
    put_id(out, "ttft_ms_max", f->ttft_ms_max);
    put_id(out, "tokens_per_s_milli_min", f->tokens_per_s_milli_min);
    json_out_end(out);
    put_models(out, f->model, f->models);
    json_out_array(out, "rounds");
    for (uint32_t i = 0; i < f->rounds; i++)
        put_round(out, &f->round[i]);
    json_out_end(out);
    json_out_array(out, "audits");
    for (uint32_t i = 0; i < f->audits; i++)
        put_audit(out, &f->audit[i]);
    json_out_end(out);
}

static void put_payload(struct json_out *out, const struct link_payload *f)
{
    put_id(out, "ref", f->ref);
    put_hash(out, "digest", &f->digest);
    if (f->error)
        json_out_text(out, "error", f->error);
    else
        put_span(out, "data", f->data);
}

static void put_body(struct json_out *out, const struct link_frame *f)
{
    switch (f->type) {
    case LINK_CHALLENGE: put_challenge(out, &f->challenge); break;
    case LINK_HELLO: put_hello(out, &f->hello); break;
    case LINK_WELCOME: put_welcome(out, &f->welcome); break;
    case LINK_NODE: put_node(out, &f->node); break;
    case LINK_SUBMIT: put_submit(out, &f->submit); break;
    case LINK_RESULT: put_result(out, &f->result); break;
    case LINK_OFFER: put_offer(out, &f->offer); break;
    case LINK_ACK: put_id(out, "lease", f->ack.lease); break;
    case LINK_PROMOTE: put_id(out, "lease", f->promote.lease); break;
    case LINK_REVEAL: put_id(out, "lease", f->reveal.lease); break;
    case LINK_DECLINE:
        put_id(out, "lease", f->decline.lease);
        put_term(out, "reason", TERM_decline_reason, f->decline.reason);
        json_out_text(out, "detail", f->decline.detail ? f->decline.detail : "");
        break;
    case LINK_CHUNK: put_chunk(out, &f->chunk); break;
    case LINK_PRECOMMIT: put_precommit(out, &f->precommit); break;
    case LINK_COMMIT: put_commit(out, &f->commit); break;
    case LINK_FAULT:
        put_id(out, "lease", f->fault.lease);
        put_term(out, "reason", TERM_decline_reason, f->fault.reason);
        json_out_text(out, "detail", f->fault.detail ? f->fault.detail : "");
        break;
    case LINK_CANCEL:
        put_id(out, "lease", f->cancel.lease);
        json_out_u64(out, "relayed", f->cancel.relayed_tokens);
        break;
    case LINK_RECALL:
        put_id(out, "lease", f->recall.lease);
        put_term(out, "cause", TERM_fail_cause, f->recall.cause);
        break;
    case LINK_DRAIN: break;
    case LINK_STATS:
        json_out_u64(out, "ttft_ms", f->stats.ttft_ms);
        json_out_u64(out, "tokens_per_s_milli", f->stats.tokens_per_s_milli);
        json_out_u64(out, "busy", f->stats.busy);
        break;
    case LINK_ERROR:
        json_out_text(out, "code", f->error.code);
        json_out_text(out, "message", f->error.message);
        break;
    case LINK_STATE: put_state(out, &f->state); break;
    case LINK_PUT:
        put_id(out, "ref", f->put.ref);
        put_span(out, "data", f->put.data);
        break;
    case LINK_GET:
        put_id(out, "ref", f->get.ref);
        put_hash(out, "digest", &f->get.digest);
        break;
    case LINK_PAYLOAD: put_payload(out, &f->payload); break;
    case LINK_TYPE_COUNT: cx_assert(f->type != LINK_TYPE_COUNT); break;
    }
}

void link_encode(const struct link_frame *frame, struct buf *buf)
{
    struct json_out out;
    json_out_init(&out, buf);
    json_out_object(&out, NULL);
    json_out_text(&out, "type", link_type_name(frame->type));
    put_body(&out, frame);
    json_out_end(&out);
}

void link_frame_done(struct link_frame *frame)
{
    json_decref(frame->document);
    frame->document = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(frame->memory); i++) {
        free(frame->memory[i]);
        frame->memory[i] = NULL;
    }
}
