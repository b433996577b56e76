/* What an admin does for the network: its catalog, who may join. Signed by the router's admin key. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "crypto/address_text.h"
#include "crypto/keccak.h"
#include "crypto/random.h"
#include "router/api_parts.h"

#define INVITE_MS_DEFAULT (7ull * 24 * 60 * 60 * 1000)

static const struct core *core_of(const struct call *call) { return replica_core(call->api->options.replica); }

/* ---- the catalog ---- */

/* The names that came with the request, for the answer: they live in the exchange. */
static const char *keep_text(struct call *call, struct span text)
{
    char *kept = http_alloc(call->x, text.size + 1);
    memcpy(kept, text.data, text.size);
    return kept;
}

static void model_is_put(struct call *call, const struct replica_outcome *outcome)
{
    const char *name = call->then_ctx;
    (void)outcome;
    snprintf(call->part[0], sizeof call->part[0], "%s", name);
    api_model(call);
}

void api_model_put(struct call *call)
{
    static const char *const none[] = {NULL};
    struct buf lists[API_LISTS_MAX] = {{0}};
    struct command cmd = {.type = COMMAND_MODEL_PUT,
                          .model_put = {.price_in_max = PRICE_MAX, .price_out_max = PRICE_MAX}};
    json_t *root;
    if (!call_body(call, &root))
        return;
    struct json_at body = json_at_root(root);
    enum cx_err err =
        fields_from_json(&body, command_find(COMMAND_MODEL_PUT), &(struct fields_wish){none, none, lists}, &cmd);
    if (!err && (cmd.model_put.name.size == 0 || !cmd.model_put.name.data))
        err = json_fail(&body, "name", "expected a name");
    if (!err && hash_is_zero(&cmd.model_put.manifest_digest))
        err = json_fail(&body, "manifest_digest", "expected 64 hexadecimal digits");
    if (err) {
        call_bad_field(call, err);
    } else {
        call->then_ctx = (void *)(uintptr_t)keep_text(call, cmd.model_put.name);
        call_admin_command(call, &cmd, VERDICT_ACCEPTED, model_is_put);
    }
    for (uint32_t i = 0; i < API_LISTS_MAX; i++)
        buf_done(&lists[i]);
    json_decref(root);
}

static void model_is_removed(struct call *call, const struct replica_outcome *outcome)
{
    (void)outcome;
    call_text(call, 204, NULL, "", 0);
}

void api_model_remove(struct call *call)
{
    struct model_view m;
    if (!view_model_named(core_of(call), call->part[0], (uint32_t)strlen(call->part[0]), &m)) {
        call_refuse(call, VERDICT_MODEL_UNKNOWN, "model");
        return;
    }
    struct command cmd = {.type = COMMAND_MODEL_REMOVE, .model_remove.model = m.id};
    call_admin_command(call, &cmd, VERDICT_ACCEPTED, model_is_removed);
}

/* ---- who may join ---- */

static void invited(struct call *call, const struct replica_outcome *outcome)
{
    const struct hash *invite = call->then_ctx;
    struct buf body = {0};
    struct json_out out;
    (void)outcome;
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    json_out_hex(&out, "invite", invite->b, sizeof invite->b);
    json_out_end(&out);
    call_json(call, 201, &body);
    buf_done(&body);
}

void api_node_invite(struct call *call)
{
    uint64_t expires_in_ms = INVITE_MS_DEFAULT;
    json_t *root;
    if (!call_body(call, &root))
        return;
    struct json_at body = json_at_root(root);
    enum cx_err err = json_may_u64(&body, "expires_in_ms", 1, UINT64_MAX, &expires_in_ms);
    json_decref(root);
    if (err) {
        call_bad_field(call, err);
        return;
    }
    struct hash *invite = http_alloc(call->x, sizeof *invite);
    struct command cmd = {.type = COMMAND_NODE_INVITE};
    random_fill(invite->b, sizeof invite->b);
    keccak256(invite->b, sizeof invite->b, &cmd.node_invite.invite_hash);
    cmd.node_invite.expires_ms = u64_add_sat(replica_now_ms(call->api->options.replica), expires_in_ms);
    call->then_ctx = invite;
    call_admin_command(call, &cmd, VERDICT_ACCEPTED, invited);
}

static void approved(struct call *call, const struct replica_outcome *outcome)
{
    (void)outcome;
    call_text(call, 204, NULL, "", 0);
}

void api_node_approve(struct call *call)
{
    struct buf lists[API_LISTS_MAX] = {{0}};
    struct command cmd = {.type = COMMAND_NODE_APPROVE, .node_approve.approved = 1};
    json_t *root;
    if (!call_body(call, &root))
        return;
    struct json_at body = json_at_root(root);
    enum cx_err err =
        fields_from_json(&body, command_find(COMMAND_NODE_APPROVE), &(struct fields_wish){NULL, NULL, lists}, &cmd);
    if (!err && address_is_zero(&cmd.node_approve.operator))
        err = json_fail(&body, "operator", "expected an address");
    if (err)
        call_bad_field(call, err);
    else
        call_admin_command(call, &cmd, VERDICT_ACCEPTED, approved);
    json_decref(root);
}

/* ---- nodes ---- */

static void put_node_model(const struct core *core, struct json_out *out, const struct node_model_view *m)
{
    struct model_view model;
    json_out_object(out, NULL);
    out_id(out, "model_id", m->model);
    json_out_text(out, "name", view_model(core, m->model, &model) ? model.name : NULL);
    json_out_bool(out, "proved", m->proved);
    json_out_bool(out, "declared", m->declared);
    out_term(out, "class", TERM_node_class, m->class);
    json_out_u64(out, "context", m->context);
    out_id(out, "price_in", m->price_in);
    out_id(out, "price_out", m->price_out);
    json_out_u64(out, "ttft_ms", m->measured_ttft_ms);
    json_out_fixed(out, "tokens_per_s", m->measured_tokens_per_s_milli, 3);
    json_out_u64(out, "test_milli", m->test_milli);
    json_out_u64(out, "weight", m->weight);
    json_out_end(out);
}

static void put_node(const struct core *core, struct json_out *out, const struct node_view *n)
{
    json_out_object(out, NULL);
    out_address(out, "address", &n->address);
    out_address(out, "operator", &n->operator);
    out_term(out, "state", TERM_node_state, n->state);
    json_out_u64(out, "status", n->state);
    json_out_bool(out, "present", n->present);
    json_out_u64(out, "since_ms", n->since_ms);
    json_out_u64(out, "retry_ms", n->retry_ms);
    if (n->session)
        out_id(out, "session_id", n->session);
    else
        json_out_null(out, "session_id");
    json_out_u64(out, "slots", n->slots);
    json_out_u64(out, "busy", n->busy);
    json_out_u64(out, "level", n->level);
    out_term(out, "engine", TERM_engine, n->engine);
    json_out_text(out, "build", n->build);
    out_amount(out, "stake", n->stake);
    json_out_u64(out, "links", n->links);
    json_out_array(out, "models");
    for (uint32_t i = 0; i < n->models; i++)
        put_node_model(core, out, &n->model[i]);
    json_out_end(out);
    json_out_end(out);
}

void api_miners(struct call *call)
{
    struct buf body = {0};
    struct json_out out;
    struct node_view n;
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    json_out_array(&out, "miners");
    for (uint32_t at = 0; view_node_at(core_of(call), &at, &n);)
        put_node(core_of(call), &out, &n);
    json_out_end(&out);
    json_out_end(&out);
    call_json(call, 200, &body);
    buf_done(&body);
}
