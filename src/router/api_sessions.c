/* Sessions: which there are, what they are like, opening, topping up and closing one's own. */
#include <string.h>

#include "base/assert.h"
#include "crypto/keccak.h"
#include "router/api_parts.h"
#include "router/session_terms.h"

/* ---- showing ---- */

static bool owns(const struct call *call, const struct session_view *v)
{
    return address_eq(&v->owner, &call->account) || call_may(call, SCOPE_ADMIN);
}

static bool may_see(const struct call *call, const struct session_view *v)
{
    return v->shared || v->access == ACCESS_PUBLIC || owns(call, v) || call->key.session == v->id;
}

static void put_terms(struct json_out *out, const struct session_view *v)
{
    out_term(out, "mode", TERM_session_mode, v->mode);
    json_out_u64(out, "redundancy", v->redundancy);
    json_out_u64(out, "quorum", v->quorum);
    json_out_u64(out, "nodes_min", v->nodes_min);
    json_out_u64(out, "nodes_max", v->nodes_max);
    out_term(out, "sla", TERM_sla, v->sla);
    out_term(out, "class", TERM_node_class, v->class);
    json_out_bool(out, "diversity", v->diversity);
    out_term(out, "validation", TERM_validation_policy, v->validation);
    json_out_u64(out, "audit_bp", v->audit_bp);
    out_term(out, "on_no_verdict", TERM_on_no_verdict, v->on_no_verdict);
    out_term(out, "stream", TERM_stream_when, v->stream);
    out_term(out, "access", TERM_session_access, v->access);
    out_term(out, "privacy", TERM_session_privacy, v->privacy);
    out_term(out, "result", TERM_session_result, v->result);
    out_term(out, "pays", TERM_session_pays, v->pays);
    out_term(out, "evidence", TERM_session_evidence, v->evidence);
    out_id(out, "price_in_max", v->price_in_max);
    out_id(out, "price_out_max", v->price_out_max);
    json_out_u64(out, "priority", v->priority);
    json_out_u64(out, "tokens_max", v->tokens_max);
    json_out_u64(out, "attempts_max", v->attempts_max);
    json_out_u64(out, "ack_ms", v->ack_ms);
    json_out_u64(out, "precommit_ms", v->precommit_ms);
    json_out_u64(out, "commit_ms", v->commit_ms);
    json_out_u64(out, "total_ms", v->total_ms);
}

static void put_members(const struct core *core, struct json_out *out, uint64_t session)
{
    struct address node;
    bool dedicated;
    json_out_array(out, "members");
    for (uint32_t at = 0; view_member_of(core, session, &at, &node, &dedicated);) {
        json_out_object(out, NULL);
        out_address(out, "node", &node);
        json_out_bool(out, "dedicated", dedicated);
        json_out_end(out);
    }
    json_out_end(out);
}

static void put_session(const struct call *call, struct json_out *out, const struct session_view *v, bool all)
{
    const struct core *core = replica_core(call->api->options.replica);
    struct model_view model;
    json_out_object(out, NULL);
    out_id(out, "session_id", v->id);
    json_out_text(out, "name", v->name);
    if (owns(call, v)) {
        json_out_text(out, "metadata", v->metadata);
        out_amount(out, "escrow", v->escrow);
    }
    out_address(out, "owner", &v->owner);
    out_term(out, "state", TERM_session_state, v->state);
    json_out_u64(out, "status", v->state);
    json_out_u64(out, "since_ms", v->since_ms);
    json_out_bool(out, "shared", v->shared);
    json_out_bool(out, "degraded", v->degraded);
    json_out_text(out, "model", view_model(core, v->model, &model) ? model.name : NULL);
    out_id(out, "model_id", v->model);
    json_out_u64(out, "nodes", v->nodes);
    json_out_u64(out, "tasks_queued", v->tasks_queued);
    json_out_u64(out, "tasks_live", v->tasks_live);
    if (all) {
        put_terms(out, v);
        put_members(core, out, v->id);
    }
    json_out_end(out);
}

void api_sessions(struct call *call)
{
    struct buf body = {0};
    struct json_out out;
    struct session_view v;
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    json_out_array(&out, "sessions");
    for (uint32_t at = 0; view_session_at(replica_core(call->api->options.replica), &at, &v);)
        if (may_see(call, &v))
            put_session(call, &out, &v, false);
    json_out_end(&out);
    json_out_end(&out);
    call_json(call, 200, &body);
    buf_done(&body);
}

static void answer_session(struct call *call, unsigned status, uint64_t id)
{
    struct buf body = {0};
    struct json_out out;
    struct session_view v;
    json_out_init(&out, &body);
    if (view_session(replica_core(call->api->options.replica), id, &v)) {
        put_session(call, &out, &v, true);
    } else {  // it closed with this very entry
        json_out_object(&out, NULL);
        out_id(&out, "session_id", id);
        out_term(&out, "state", TERM_session_state, SESSION_CLOSED);
        json_out_end(&out);
    }
    call_json(call, status, &body);
    buf_done(&body);
}

/* The session of the path, as far as the caller may know of it. */
static bool find_session(struct call *call, struct session_view *ret)
{
    uint64_t id;
    if (!call_id(call, 0, "session_id", &id))
        return false;
    if (view_session(replica_core(call->api->options.replica), id, ret) && may_see(call, ret))
        return true;
    call_refuse(call, VERDICT_SESSION_UNKNOWN, "session_id");
    return false;
}

void api_session(struct call *call)
{
    struct session_view v;
    if (find_session(call, &v))
        answer_session(call, 200, v.id);
}

/* ---- opening ---- */

static void opened(struct call *call, const struct replica_outcome *outcome)
{
    answer_session(call, outcome->verdict == VERDICT_ACCEPTED ? 201 : 200, outcome->session);
}

/* `model` is a name here, or an id. */
static enum cx_err read_model(const struct call *call, const struct json_at *body, struct model_view *ret)
{
    const struct core *core = replica_core(call->api->options.replica);
    const char *name = "";
    size_t size = 0;
    enum cx_err err = json_need_text(body, "model", &name, &size);
    char near[400];
    if (err || view_model_named(core, name, (uint32_t)size, ret))
        return err;
    select_nearest_models(core, name, (uint32_t)size, near, sizeof near);
    return json_fail(body, "model", "no model is called \"%.64s\"; there is %s", name, near[0] ? near : "none");
}

static enum cx_err read_reference(const struct call *call, const struct json_at *body, struct hash *ret)
{
    const char *text = http_header(call->x, "Idempotency-Key");
    size_t size = text ? strlen(text) : 0;
    enum cx_err err = json_may_text(body, "reference", &text, &size);
    if (!err && size > API_REFERENCE_MAX)
        err = json_fail(body, "reference", "at most %d bytes", API_REFERENCE_MAX);
    if (!err && size > 0)
        keccak256(text, size, ret);
    return err;
}

/* What the core would only call VALUE_INVALID has a name here. */
static enum cx_err check_agreement(const struct json_at *body, const struct cmd_session_open *cmd)
{
    if (cmd->pays == PAYS_PAYER && !amount_is_zero(cmd->escrow))
        return json_fail(body, "escrow", "where the payer pays there is no escrow: leave one of the two away");
    if (cmd->privacy == PRIVACY_RESTRICTED && cmd->allowed.size == 0)
        return json_fail(body, "allowed", "a restricted session lists the nodes or operators that it allows");
    if (cmd->audit_bp > 10000)
        return json_fail(body, "audit_bp", "expected 0 to 10000 basis points");
    if (cmd->priority >= PRIORITIES)
        return json_fail(body, "priority", "expected 0 to %d", PRIORITIES - 1);
    if (cmd->attempts_max < 1 || cmd->attempts_max > ATTEMPTS_MAX)
        return json_fail(body, "attempts_max", "expected 1 to %d", ATTEMPTS_MAX);
    if (cmd->tokens_max == 0)
        return json_fail(body, "tokens_max", "expected at least 1");
    return CX_OK;
}

static enum cx_err read_open(const struct call *call, const struct json_at *body, struct buf *lists,
                             struct command *ret_cmd)
{
    static const char *const skip[] = {"owner", "shared", NULL}, *const also[] = {"model", "reference", NULL};
    struct model_view model;
    uint64_t redundancy = 1, validation = VALIDATION_HASH;
    enum cx_err err = read_model(call, body, &model);
    if (!err)
        err = json_may_u64(body, "redundancy", 1, REDUNDANCY_MAX, &redundancy);
    if (err)
        return err;
    struct cmd_session_open *cmd = &ret_cmd->session_open;
    session_terms(replica_core(call->api->options.replica), &model, (uint32_t)redundancy,
                  (enum validation_policy)validation, cmd);
    if (!json_has(body, "escrow"))
        cmd->pays = PAYS_PAYER;
    cmd->owner = call->account;
    err = read_reference(call, body, &cmd->reference);
    if (!err)
        err = fields_from_json(body, command_find(COMMAND_SESSION_OPEN), &(struct fields_wish){skip, also, lists},
                               ret_cmd);
    if (err)
        return err;
    if (cmd->access == ACCESS_MEMBERS && cmd->members.size == 0)
        cmd->members = (struct span){call->account.b, sizeof call->account.b};
    return check_agreement(body, cmd);
}

void api_session_open(struct call *call)
{
    struct buf lists[API_LISTS_MAX] = {{0}};
    struct command cmd = {.type = COMMAND_SESSION_OPEN};
    json_t *root;
    if (!call_body(call, &root))
        return;
    struct json_at body = json_at_root(root);
    enum cx_err err = read_open(call, &body, lists, &cmd);
    if (err)
        call_bad_field(call, err);
    else if (cmd.session_open.privacy == PRIVACY_ENCRYPTED)
        call_fail(call, 501, "NOT_BUILT", "privacy", "encrypted sessions are not built in this version");
    else
        call_command(call, &cmd, VERDICT_SESSION_KNOWN, opened);
    for (uint32_t i = 0; i < API_LISTS_MAX; i++)
        buf_done(&lists[i]);
    json_decref(root);
}

/* ---- one's own ---- */

static void changed(struct call *call, const struct replica_outcome *outcome)
{
    uint64_t id = 0;
    (void)outcome;
    if (call_id(call, 0, "session_id", &id))
        answer_session(call, 200, id);
}

/* Custody makes the router's word good for every account that it keeps: whose word it passes on is checked here. */
static bool find_own(struct call *call, struct session_view *ret)
{
    if (!find_session(call, ret))
        return false;
    if (owns(call, ret))
        return true;
    call_refuse(call, VERDICT_NOT_AUTHORIZED, "session_id");
    return false;
}

void api_session_top_up(struct call *call)
{
    struct session_view v;
    json_t *root;
    if (!find_own(call, &v) || !call_body(call, &root))
        return;
    if (v.pays != PAYS_OWNER) {
        json_decref(root);
        call_fail(call, 409, "NO_ESCROW", "session_id", "in this session whoever asks pays: it has no escrow");
        return;
    }
    struct json_at body = json_at_root(root);
    struct command cmd = {.type = COMMAND_SESSION_TOP_UP, .session_top_up = {.owner = v.owner, .session = v.id}};
    enum cx_err err = json_need_u64(&body, "amount", 1, UINT64_MAX, &cmd.session_top_up.amount.credits);
    json_decref(root);
    if (err)
        call_bad_field(call, err);
    else
        call_command(call, &cmd, VERDICT_ACCEPTED, changed);
}

void api_session_close(struct call *call)
{
    struct session_view v;
    if (!find_own(call, &v))
        return;
    const struct command cmd = {.type = COMMAND_SESSION_CLOSE, .session_close = {.owner = v.owner, .session = v.id}};
    call_command(call, &cmd, VERDICT_ACCEPTED, changed);
}
