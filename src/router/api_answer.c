/* What answers look like: JSON, errors in their one shape, and which status a verdict has. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/address_text.h"
#include "crypto/cid.h"
#include "router/api_parts.h"

/* ---- verdicts ---- */

unsigned verdict_status(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_ACCEPTED: return 200;

    case VERDICT_COMMAND_UNKNOWN:
    case VERDICT_COMMAND_MALFORMED:
    case VERDICT_VALUE_INVALID:
    case VERDICT_PARAM_UNKNOWN:
    case VERDICT_CAPACITY_SHRINKS:
    case VERDICT_PREIMAGE_WRONG:
    case VERDICT_PRICE_RANGE:
    case VERDICT_QUORUM_RANGE:
    case VERDICT_REDUNDANCY_RANGE:
    case VERDICT_GREEDY_NEEDED:
    case VERDICT_QUORUM_MAJORITY:
    case VERDICT_NODES_RANGE:
    case VERDICT_PROMPT_RANGE:
    case VERDICT_CONTEXT_EXCEEDED:
    case VERDICT_CHALLENGE_DIFFERS:
    case VERDICT_INVITE_INVALID: return 400;

    case VERDICT_SIGNATURE_BAD:
    case VERDICT_COMMAND_EXPIRED:
    case VERDICT_KEY_UNKNOWN:
    case VERDICT_KEY_REVOKED:
    case VERDICT_KEY_EXPIRED: return 401;

    case VERDICT_BALANCE_SHORT:
    case VERDICT_KEY_BUDGET:
    case VERDICT_DELEGATION_SHORT:
    case VERDICT_STAKE_SHORT:
    case VERDICT_ESCROW_SHORT: return 402;

    case VERDICT_AUTHOR_UNKNOWN:
    case VERDICT_NOT_AUTHORIZED:
    case VERDICT_QUORUM_SHORT:
    case VERDICT_NOT_LEADER:
    case VERDICT_ACCOUNT_RESTRICTED:
    case VERDICT_WALLET_MISSING:
    case VERDICT_KEY_SCOPE:
    case VERDICT_NODE_BANNED:
    case VERDICT_OPERATOR_BANNED:
    case VERDICT_APPROVAL_MISSING:
    case VERDICT_SESSION_ACCESS:
    case VERDICT_CONSENT_MISSING:
    case VERDICT_OWN_OPERATOR: return 403;

    case VERDICT_ORACLE_UNKNOWN:
    case VERDICT_ROUTER_UNKNOWN:
    case VERDICT_ACCOUNT_UNKNOWN:
    case VERDICT_WITHDRAWAL_UNKNOWN:
    case VERDICT_MODEL_UNKNOWN:
    case VERDICT_NODE_UNKNOWN:
    case VERDICT_BAN_UNKNOWN:
    case VERDICT_SESSION_UNKNOWN:
    case VERDICT_NODE_NOT_MEMBER:
    case VERDICT_TASK_UNKNOWN:
    case VERDICT_ROUND_UNKNOWN:
    case VERDICT_ANSWER_MISSING:
    case VERDICT_AUDIT_UNKNOWN: return 404;

    case VERDICT_GENESIS_AGAIN:
    case VERDICT_NONCE_USED:
    case VERDICT_ORACLE_KNOWN:
    case VERDICT_ROUTER_KNOWN:
    case VERDICT_DEPOSIT_KNOWN:
    case VERDICT_WALLET_BOUND:
    case VERDICT_MODEL_KNOWN:
    case VERDICT_MODEL_IN_USE:
    case VERDICT_NODE_KNOWN:
    case VERDICT_NODE_STATE:
    case VERDICT_LINK_STALE:
    case VERDICT_SESSION_KNOWN:
    case VERDICT_SESSION_NOT_OPEN:
    case VERDICT_NODE_TAKEN:
    case VERDICT_TASK_KNOWN:
    case VERDICT_TASK_ENDED:
    case VERDICT_LEASE_STALE:
    case VERDICT_ASSIGNMENT_STATE:
    case VERDICT_PRECOMMIT_KNOWN:
    case VERDICT_REVEAL_EARLY:
    case VERDICT_STREAM_STARTED:
    case VERDICT_DEADLINE_PASSED:
    case VERDICT_ROUTER_PRESENT:
    case VERDICT_ROUND_STATE:
    case VERDICT_VERDICT_KNOWN:
    case VERDICT_AUDIT_STATE: return 409;

    case VERDICT_SESSION_ROUTER:
    case VERDICT_NOT_TASK_ROUTER: return 421;

    case VERDICT_RATE_LIMITED:
    case VERDICT_IN_FLIGHT_LIMIT:
    case VERDICT_TASKS_FULL:
    case VERDICT_REFERENCES_FULL: return 429;

    case VERDICT_POLICY_NOT_BUILT:
    case VERDICT_RULES_UNKNOWN: return 501;

    case VERDICT_GENESIS_MISSING:
    case VERDICT_ORACLES_FULL:
    case VERDICT_ROUTERS_FULL:
    case VERDICT_ACCOUNTS_FULL:
    case VERDICT_DEPOSITS_FULL:
    case VERDICT_WITHDRAWALS_FULL:
    case VERDICT_KEYS_FULL:
    case VERDICT_DELEGATIONS_FULL:
    case VERDICT_MODELS_FULL:
    case VERDICT_NODES_FULL:
    case VERDICT_OPERATORS_FULL:
    case VERDICT_INVITES_FULL:
    case VERDICT_NODE_MODELS_FULL:
    case VERDICT_LINKS_FULL:
    case VERDICT_SESSIONS_FULL:
    case VERDICT_POOLS_FULL:
    case VERDICT_NODES_TOO_FEW: return 503;

    case VERDICT_AMOUNT_OVERFLOW: return 400;
    case VERDICT_COUNT: break;
    }
    return 500;
}

const char *verdict_code(enum verdict verdict)
{
    if (verdict == VERDICT_CONTEXT_EXCEEDED)
        return "context_length_exceeded";
    const char *name = verdict_name(verdict);
    return name ? name : "VERDICT_UNKNOWN";
}

bool verdict_is_passing(enum verdict verdict)
{
    unsigned status = verdict_status(verdict);
    return status == 429 || status == 503;
}

/* ---- errors ---- */

void error_say(struct api_error *error, unsigned status, const char *code, const char *param, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error->status = status;
    error->code = code;
    error->param = param;
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
}

static void may_retry(struct api_error *error, uint32_t after_ms, bool same_reference)
{
    error->retry = true;
    error->retry_ms = after_ms;
    error->same_reference = same_reference;
}

void error_of_verdict(enum verdict verdict, struct api_error *ret_error)
{
    *ret_error = (struct api_error){0};
    const char *text = verdict_text(verdict);
    error_say(ret_error, verdict_status(verdict), verdict_code(verdict), NULL, "%s", text ? text : "refused");
    if (verdict_is_passing(verdict))
        may_retry(ret_error, verdict == VERDICT_RATE_LIMITED ? 10 * API_RETRY_MS : API_RETRY_MS, true);
}

void error_of_world(enum cx_err err, const char *detail, struct api_error *ret_error)
{
    *ret_error = (struct api_error){0};
    const char *code = cx_err_name(err);
    switch (err) {
    case CX_NOT_FOUND: error_say(ret_error, 404, code, NULL, "%s", detail); return;
    case CX_EXISTS: error_say(ret_error, 409, code, NULL, "%s", detail); return;
    case CX_INVALID: error_say(ret_error, 400, "VALUE_INVALID", NULL, "%s", detail); return;
    case CX_TOO_LARGE: error_say(ret_error, 413, code, NULL, "%s", detail); return;
    case CX_DENIED: error_say(ret_error, 403, code, NULL, "%s", detail); return;
    case CX_UNSUPPORTED: error_say(ret_error, 400, "UNSUPPORTED_PARAM", NULL, "%s", detail); return;
    case CX_BUSY:
        error_say(ret_error, 429, "LEDGER_BUSY", NULL, "the ledger is behind: %s", detail);
        may_retry(ret_error, API_RETRY_MS, true);
        return;
    case CX_CANCELLED:
    case CX_CLOSED:
        error_say(ret_error, 503, "STOPPING", NULL, "the router is stopping");
        may_retry(ret_error, API_RETRY_MS, true);
        return;
    case CX_OK:
    case CX_MEMORY:
    case CX_IO:
    case CX_CORRUPT:
    case CX_TIMEOUT:
    case CX_UNKNOWN:
    case CX_FENCED:
    case CX_ERR_COUNT: break;
    }
    error_say(ret_error, 500, code, NULL, "our fault: %s", detail);
    may_retry(ret_error, API_RETRY_MS, true);
}

/* Nobody answered, too slow, rejected, the request's own fault, ours: five different things. */
static void say_cause(const struct task_end *end, uint32_t attempts, bool context, struct api_error *e)
{
    if (context && (end->cause == CAUSE_DECLINED || end->cause == CAUSE_ENGINE || end->cause == CAUSE_POISON)) {
        error_say(e, 400, "context_length_exceeded", "messages",
                  "the prompt leaves no room for an answer in the model's context");
        return;
    }
    switch (end->cause) {
    case CAUSE_NO_NODES:
        error_say(e, 503, "NO_NODES", NULL, "nobody answered: no node could be reserved in time");
        may_retry(e, API_RETRY_MS, false);
        return;
    case CAUSE_TIMEOUT:
        if (attempts == 0)
            error_say(e, 503, "NO_NODES", NULL, "nobody answered: no node had a free slot before the deadline");
        else
            error_say(e, 504, "TOO_SLOW", NULL, "too slow: the answer did not stand before the deadline");
        may_retry(e, API_RETRY_MS, false);
        return;
    case CAUSE_DECLINED:
        error_say(e, 503, "NODES_DECLINED", NULL, "nobody answered: every node that was asked declined");
        may_retry(e, API_RETRY_MS, false);
        return;
    case CAUSE_SILENT:
    case CAUSE_LATE:
    case CAUSE_NODE_LOST:
        error_say(e, 504, "NODES_SILENT", NULL, "too slow: the nodes that were asked fell silent or came too late");
        may_retry(e, API_RETRY_MS, false);
        return;
    case CAUSE_ENGINE:
        error_say(e, 502, "ENGINE_FAILED", NULL, "the engines of the nodes that were asked failed");
        may_retry(e, API_RETRY_MS, false);
        return;
    case CAUSE_WITHHELD:
    case CAUSE_WRONG:
    case CAUSE_OUTVOTED:
    case CAUSE_STREAM_DIFFERS:
    case CAUSE_NO_VERDICT:
        error_say(e, 502, "ANSWER_REJECTED", NULL, "rejected: no answer stood its validation");
        may_retry(e, API_RETRY_MS, false);
        return;
    case CAUSE_POISON:
        error_say(e, 422, "POISON", NULL,
                  "three different nodes failed on this request, so it is the request that does it");
        return;
    case CAUSE_SESSION_CLOSED:
        error_say(e, 503, "SESSION_CLOSED", NULL, "the session closed before the task was done");
        may_retry(e, API_RETRY_MS, false);
        return;
    case CAUSE_CANCELLED: error_say(e, 410, "TASK_CANCELLED", NULL, "the task was cancelled"); return;
    case CAUSE_NONE:
    case CAUSE_ROUTER_LOST:
    case CAUSE_PAYLOAD_MISSING:
    case CAUSE_SUPERSEDED:
    case FAIL_CAUSE_COUNT: break;
    }
    const char *name = term_name(TERM_fail_cause, end->cause);
    error_say(e, 500, "ROUTER_FAILED", NULL, "our fault: the task ended with %s", name ? name : "no cause");
    may_retry(e, API_RETRY_MS, false);
}

void error_of_end(const struct task_end *end, uint32_t attempts, bool context, struct api_error *ret_error)
{
    *ret_error = (struct api_error){.session = end->session, .task = end->task};
    memcpy(ret_error->causes, end->causes, sizeof ret_error->causes);
    say_cause(end, attempts, context, ret_error);
}

/* "reasons": how often which cause ended an assignment. */
static void write_reasons(struct json_out *out, const uint8_t causes[FAIL_CAUSES_COUNTED])
{
    static const uint8_t none[FAIL_CAUSES_COUNTED] = {0};
    if (memcmp(causes, none, sizeof none) == 0)
        return;
    json_out_object(out, "reasons");
    for (uint32_t i = 1; i < FAIL_CAUSES_COUNTED; i++)
        if (causes[i] > 0)
            json_out_u64(out, term_name(TERM_fail_cause, i), causes[i]);
    json_out_end(out);
}

void error_put(struct json_out *out, const struct api_error *error)
{
    json_out_object(out, "error");
    json_out_text(out, "code", error->code);
    json_out_text(out, "message", error->message);
    json_out_text(out, "type", http_error_type(error->status));
    json_out_text(out, "param", error->param);
    if (error->session)
        out_id(out, "session_id", error->session);
    if (error->task)
        out_id(out, "task_id", error->task);
    write_reasons(out, error->causes);
    if (error->retry) {
        json_out_object(out, "retry");
        json_out_u64(out, "after_ms", error->retry_ms);
        json_out_bool(out, "same_reference", error->same_reference);
        json_out_end(out);
    }
    json_out_end(out);
}

void error_write(struct buf *out, const struct api_error *error)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_object(&json, NULL);
    error_put(&json, error);
    json_out_end(&json);
}

/* ---- ending a call ---- */

void call_ended(struct call *call, unsigned status)
{
    uint32_t count, row = METRICS_ROUTES_MAX;
    const struct route *routes = api_routes(&count);
    if (call->route)
        row = (uint32_t)(call->route - routes);
    struct metrics *m = &call->api->metrics;
    m->answers[row][status / 100 < 6 ? status / 100 : 5]++;
    histogram_add(&m->request, net_now_ms(call->api->options.loop) - call->began_ms);
}

/* The call's memory goes with the exchange. */
void call_text(struct call *call, unsigned status, const char *content_type, const void *body, size_t size)
{
    call_ended(call, status);
    http_respond(call->x, status, content_type, body, size);
}

void call_json(struct call *call, unsigned status, const struct buf *body)
{
    call_text(call, status, "application/json", body->data ? body->data : "{}", body->data ? body->size : 2);
}

void call_error(struct call *call, const struct api_error *error)
{
    struct buf body = {0};
    char text[24];
    if (error->status == 401) {
        enum cx_err err = http_add_header(call->x, "WWW-Authenticate", "Bearer");
        cx_assert(err == CX_OK);
    }
    if (error->retry) {
        snprintf(text, sizeof text, "%u", (error->retry_ms + 999) / 1000);
        enum cx_err err = http_add_header(call->x, "Retry-After", text);
        cx_assert(err == CX_OK);
    }
    error_write(&body, error);
    call_json(call, error->status, &body);
    buf_done(&body);
}

void call_fail(struct call *call, unsigned status, const char *code, const char *param, const char *format, ...)
{
    struct api_error error = {.status = status, .code = code, .param = param};
    va_list args;
    va_start(args, format);
    vsnprintf(error.message, sizeof error.message, format, args);
    va_end(args);
    call_error(call, &error);
}

void call_refuse(struct call *call, enum verdict verdict, const char *param)
{
    struct api_error error;
    error_of_verdict(verdict, &error);
    error.param = param;
    call_error(call, &error);
}

void call_world(struct call *call, enum cx_err err, const char *param)
{
    struct api_error error;
    error_of_world(err, cx_detail(), &error);
    error.param = param;
    call_error(call, &error);
}

/* ---- values ---- */

void out_id(struct json_out *out, const char *key, uint64_t id)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, id);
    json_out_text(out, key, text);
}

void out_amount(struct json_out *out, const char *key, struct amount amount) { out_id(out, key, amount.credits); }

void out_address(struct json_out *out, const char *key, const struct address *address)
{
    char text[ADDRESS_TEXT_SIZE];
    address_print(address, text);
    json_out_text(out, key, address_is_zero(address) ? NULL : text);
}

void out_term(struct json_out *out, const char *key, enum term_set set, uint32_t value)
{
    json_out_text(out, key, term_name(set, value));
}

void out_hash(struct json_out *out, const char *key, const struct hash *hash)
{
    if (hash_is_zero(hash))
        json_out_null(out, key);
    else
        json_out_hex(out, key, hash->b, sizeof hash->b);
}

const char *out_finish(enum finish finish) { return finish == FINISH_LENGTH ? "length" : "stop"; }

void out_usage(struct json_out *out, const struct task_end *end)
{
    json_out_object(out, "usage");
    json_out_u64(out, "prompt_tokens", end->tokens_in);
    json_out_u64(out, "completion_tokens", end->tokens_out);
    json_out_u64(out, "total_tokens", (uint64_t)end->tokens_in + end->tokens_out);
    json_out_end(out);
}

void out_urn(struct json_out *out, const char *key, const struct hash *sha256)
{
    char text[URN_TEXT_SIZE];
    urn_encode(sha256, text);
    json_out_text(out, key, hash_is_zero(sha256) ? NULL : text);
}
