#include "router/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/nearest.h"
#include "crypto/keccak.h"
#include "crypto/random.h"
#include "proto/client_frame.h"
#include "proto/link.h"
#include "router/api_parts.h"
#include "router/api_payloads.h"
#include "router/client_link.h"
#include "router/prompt.h"

#define REQUEST_ID_SIZE_MAX 128
#define BEARER              "Bearer "

static const struct route routes[] = {
    /* OpenAI */
    {HTTP_METHOD_POST, "/v1/chat/completions", SCOPE_INFER, API_PROMPT_BODY_MAX, api_chat},
    {HTTP_METHOD_POST, "/v1/completions", SCOPE_INFER, API_PROMPT_BODY_MAX, api_completions},
    {HTTP_METHOD_GET, "/v1/models", SCOPE_INFER, 0, api_models},
    {HTTP_METHOD_GET, "/v1/models/{model*}", SCOPE_INFER, 0, api_model},
    /* native completions */
    {HTTP_METHOD_POST, "/api/v1/completions", SCOPE_INFER, API_PROMPT_BODY_MAX, api_native},
    {HTTP_METHOD_POST, "/api/v1/completions/{session}", SCOPE_INFER, API_PROMPT_BODY_MAX, api_native_in},
    {HTTP_METHOD_POST, "/api/v2/completions", SCOPE_INFER, API_PROMPT_BODY_MAX, api_native_urn},
    {HTTP_METHOD_POST, "/api/v2/completions/{session}", SCOPE_INFER, API_PROMPT_BODY_MAX, api_native_urn_in},
    {HTTP_METHOD_POST, "/api/v3/completions", SCOPE_INFER, API_PROMPT_BODY_MAX, api_native_urn},
    {HTTP_METHOD_POST, "/api/v3/completions/{session}", SCOPE_INFER, API_PROMPT_BODY_MAX, api_native_urn_in},
    /* sessions and tasks */
    {HTTP_METHOD_GET, "/api/v1/sessions", SCOPE_INFER, 0, api_sessions},
    {HTTP_METHOD_POST, "/api/v1/sessions", SCOPE_SESSIONS, API_BODY_MAX, api_session_open},
    {HTTP_METHOD_GET, "/api/v1/sessions/{session}", SCOPE_INFER, 0, api_session},
    {HTTP_METHOD_DELETE, "/api/v1/sessions/{session}", SCOPE_SESSIONS, 0, api_session_close},
    {HTTP_METHOD_POST, "/api/v1/sessions/{session}/close", SCOPE_SESSIONS, API_BODY_MAX, api_session_close},
    {HTTP_METHOD_POST, "/api/v1/sessions/{session}/top-up", SCOPE_SESSIONS, API_BODY_MAX, api_session_top_up},
    {HTTP_METHOD_GET, "/api/v1/tasks/{session}", SCOPE_INFER, 0, api_tasks},
    {HTTP_METHOD_GET, "/api/v1/tasks/{session}/{task}", SCOPE_INFER, 0, api_task},
    {HTTP_METHOD_DELETE, "/api/v1/tasks/{session}/{task}", SCOPE_INFER, 0, api_task_cancel},
    {HTTP_METHOD_GET, "/api/v3/receipts/{task}", SCOPE_INFER, 0, api_receipt},
    {HTTP_METHOD_GET, "/api/v3/receipts/{session}/{task}", SCOPE_INFER, 0, api_receipt_of},
    {HTTP_METHOD_GET, "/api/v3/why/{task or node}", SCOPE_INFER, 0, api_why},
    {HTTP_METHOD_PUT, "/api/v3/payloads", SCOPE_INFER, API_PAYLOAD_BODY_MAX, api_payload_put},
    {HTTP_METHOD_GET, "/api/v3/payloads/{cid}", SCOPE_INFER, 0, api_payload_get},
    /* accounts and keys */
    {HTTP_METHOD_GET, "/api/v1/keys", SCOPE_ACCOUNT, 0, api_keys},
    {HTTP_METHOD_POST, "/api/v1/keys", SCOPE_ACCOUNT, API_BODY_MAX, api_key_put},
    {HTTP_METHOD_DELETE, "/api/v1/keys/{key_hash}", SCOPE_ACCOUNT, 0, api_key_revoke},
    {HTTP_METHOD_GET, "/api/v1/accounts/{address}", SCOPE_INFER, 0, api_account},
    {HTTP_METHOD_POST, "/api/v1/accounts/{address}/deposits", SCOPE_ADMIN, API_BODY_MAX, api_deposit},
    {HTTP_METHOD_POST, "/api/v1/accounts/{address}/wallet", SCOPE_ACCOUNT, API_BODY_MAX, api_wallet},
    {HTTP_METHOD_POST, "/api/v1/accounts/{address}/withdrawals", SCOPE_ACCOUNT, API_BODY_MAX, api_withdraw},
    /* the network's admins */
    {HTTP_METHOD_POST, "/api/v1/models", SCOPE_ADMIN, API_BODY_MAX, api_model_put},
    {HTTP_METHOD_DELETE, "/api/v1/models/{model*}", SCOPE_ADMIN, 0, api_model_remove},
    {HTTP_METHOD_POST, "/api/v1/nodes/invites", SCOPE_ADMIN, API_BODY_MAX, api_node_invite},
    {HTTP_METHOD_POST, "/api/v1/nodes/approvals", SCOPE_ADMIN, API_BODY_MAX, api_node_approve},
    {HTTP_METHOD_GET, "/api/v1/miners", SCOPE_INFER, 0, api_miners},
    /* not built yet, and named */
    {HTTP_METHOD_POST, "/v1/embeddings", SCOPE_INFER, API_BODY_MAX, api_not_built},
    {HTTP_METHOD_POST, "/v1/responses", SCOPE_INFER, API_BODY_MAX, api_not_built},
    {HTTP_METHOD_POST, "/v1/messages", SCOPE_INFER, API_BODY_MAX, api_not_built},
    {HTTP_METHOD_POST, "/api/v1/delegate", SCOPE_INFER, API_BODY_MAX, api_not_built},
    {HTTP_METHOD_POST, "/api/v2/delegate", SCOPE_INFER, API_BODY_MAX, api_not_built},
    {HTTP_METHOD_POST, "/api/v3/delegate", SCOPE_INFER, API_BODY_MAX, api_not_built},
    {HTTP_METHOD_POST, "/api/v1/validate", SCOPE_INFER, API_BODY_MAX, api_not_built},
    {HTTP_METHOD_POST, "/api/v2/validate", SCOPE_INFER, API_BODY_MAX, api_not_built},
    {HTTP_METHOD_POST, "/api/v3/validate", SCOPE_INFER, API_BODY_MAX, api_not_built},
    {HTTP_METHOD_POST, "/api/v3/offchain/result", SCOPE_INFER, API_BODY_MAX, api_not_built},
    {HTTP_METHOD_POST, "/api/v1/commands", 0, API_BODY_MAX, api_not_built},
    /* this router */
    {HTTP_METHOD_GET, "/api/v1/info", 0, 0, api_info},
    {HTTP_METHOD_GET, "/api/v1/status", 0, 0, api_status},
    {HTTP_METHOD_GET, "/api/v1/ping", 0, 0, api_ping},
    {HTTP_METHOD_GET, "/api/v1/about", 0, 0, api_about},
    {HTTP_METHOD_GET, "/about", 0, 0, api_about},
    {HTTP_METHOD_GET, "/healthz", 0, 0, api_healthz},
    {HTTP_METHOD_GET, "/readyz", 0, 0, api_readyz},
    {HTTP_METHOD_GET, "/metrics", 0, 0, api_metrics},
    /* who links to it, by WebSocket */
    {HTTP_METHOD_GET, LINK_PATH_MINER, 0, 0, api_link_miner},
    {HTTP_METHOD_GET, LINK_PATH_ORACLE, 0, 0, api_link_oracle},
    {HTTP_METHOD_GET, CLIENT_PATH, 0, 0, api_client_link},
};

const struct route *api_routes(uint32_t *ret_count)
{
    *ret_count = ARRAY_COUNT(routes);
    static_assert(ARRAY_COUNT(routes) <= METRICS_ROUTES_MAX, "each route has a row in the metrics");
    return routes;
}

/* ---- which route ---- */

/* The next part of a pattern: its bytes up to the next slash. */
static const char *pattern_part(const char *pattern, size_t *ret_size)
{
    const char *end = strchr(pattern, '/');
    *ret_size = end ? (size_t)(end - pattern) : strlen(pattern);
    return end ? end + 1 : NULL;
}

/* The rest of a path from part n on, joined again: model names may have slashes. */
static bool take_rest(const char *path, unsigned n, unsigned count, char ret_part[CALL_PART_SIZE_MAX + 1])
{
    char part[CALL_PART_SIZE_MAX + 1];
    size_t used = 0;
    ret_part[0] = 0;
    for (; n < count; n++) {
        if (http_path_part(path, n, part, sizeof part))
            return false;
        int more = snprintf(ret_part + used, CALL_PART_SIZE_MAX + 1 - used, "%s%s", used ? "/" : "", part);
        used += (size_t)more;
        if (used > CALL_PART_SIZE_MAX)
            return false;
    }
    return used > 0;
}

static bool matches(const struct route *route, const char *path, unsigned count,
                    char (*ret_part)[CALL_PART_SIZE_MAX + 1])
{
    const char *pattern = route->pattern + 1;
    uint32_t parts = 0;
    unsigned n = 0;
    for (; pattern; n++) {
        size_t size;
        const char *at = pattern;
        char part[CALL_PART_SIZE_MAX + 1];
        pattern = pattern_part(pattern, &size);
        if (at[0] == '{' && at[size - 2] == '*')
            return n < count && take_rest(path, n, count, ret_part[parts]);
        if (n >= count || http_path_part(path, n, part, sizeof part))
            return false;
        if (at[0] == '{') {
            cx_assert(parts < CALL_PARTS_MAX);
            if (!part[0])
                return false;
            memcpy(ret_part[parts++], part, sizeof part);
        } else if (strlen(part) != size || memcmp(part, at, size) != 0) {
            return false;
        }
    }
    return n == count;
}

/* A pattern without the names of its parts: these are no part of what somebody mistyped. */
static void bare_pattern(const char *pattern, char *ret_text, size_t cap)
{
    size_t used = 0;
    bool named = false;
    for (; *pattern && used < cap - 1; pattern++) {
        named = *pattern == '{' || (named && *pattern != '}');
        if (!named && *pattern != '}')
            ret_text[used++] = *pattern;
    }
    ret_text[used] = 0;
}

static const struct route *nearest_route(enum http_method method, const char *path)
{
    const struct route *best = NULL;
    uint32_t best_distance = UINT32_MAX;
    for (uint32_t i = 0; i < ARRAY_COUNT(routes); i++) {
        char bare[NEAREST_SIZE_MAX + 1];
        bare_pattern(routes[i].pattern, bare, sizeof bare);
        uint32_t distance = 2 * nearest_distance(path, bare) + (routes[i].method != method);
        if (distance < best_distance) {
            best_distance = distance;
            best = &routes[i];
        }
    }
    return best;
}

const struct route *route_find(enum http_method method, const char *path, char (*ret_part)[CALL_PART_SIZE_MAX + 1],
                               struct api_error *ret_error)
{
    unsigned count = http_path_count(path);
    size_t size = strlen(path);
    if (count > 1 && path[size - 1] == '/')
        count--;  // a slash at the end changes nothing
    char allow[sizeof ret_error->allow] = "";
    for (uint32_t i = 0; i < ARRAY_COUNT(routes); i++) {
        if (!matches(&routes[i], path, count, ret_part))
            continue;
        if (routes[i].method == method || (method == HTTP_METHOD_HEAD && routes[i].method == HTTP_METHOD_GET))
            return &routes[i];
        size_t used = strlen(allow);
        snprintf(allow + used, sizeof allow - used, "%s%s", used ? ", " : "", http_method_name(routes[i].method));
    }
    const struct route *near = nearest_route(method, path);
    *ret_error = (struct api_error){0};
    if (allow[0])
        error_say(ret_error, 405, "METHOD_NOT_ALLOWED", NULL, "%s takes %s, not %s", path, allow,
                  http_method_name(method));
    else
        error_say(ret_error, 404, "ROUTE_UNKNOWN", NULL, "there is no %s %.200s; the nearest is %s %s",
                  http_method_name(method), path, http_method_name(near->method), near->pattern);
    memcpy(ret_error->allow, allow, sizeof allow);
    return NULL;
}

/* ---- who asks ---- */

/* The text of the key that a request shows, or NULL. */
static const char *key_text(const struct http_field *field, uint32_t count)
{
    const char *value = http_field_get(field, count, "Authorization");
    if (value && strncasecmp(value, BEARER, sizeof BEARER - 1) == 0)
        return value + sizeof BEARER - 1;
    return http_field_get(field, count, "x-api-key");
}

enum key_answer key_look(const struct api *api, const struct hash *hash, struct key_view *ret_key)
{
    if (hash_is_zero(hash))
        return KEY_IS_MISSING;
    if (!view_key(replica_core(api->options.replica), hash, ret_key))
        return KEY_NOT_KNOWN;
    if (ret_key->revoked)
        return KEY_IS_REVOKED;
    if (ret_key->expires_ms != 0 && replica_now_ms(api->options.replica) >= ret_key->expires_ms)
        return KEY_HAS_EXPIRED;
    return KEY_GOOD;
}

static enum key_answer find_key(const struct api *api, const struct http_request *request, struct key_view *ret_key)
{
    const char *text = key_text(request->field, request->field_count);
    struct hash hash = {{0}};
    if (text && text[0])
        keccak256(text, strlen(text), &hash);
    return key_look(api, &hash, ret_key);
}

bool call_may(const struct call *call, uint32_t scope) { return (call->key.scopes & scope) == scope; }

/* Whether the route is open to the caller; else it has been told. */
static bool check_key(struct call *call)
{
    enum key_answer answer = find_key(call->api, http_request(call->x), &call->key);
    bool open = call->route->scope == 0;
    if (answer != KEY_GOOD && open)
        call->key = (struct key_view){0};
    if (answer == KEY_GOOD)
        call->account = call->key.account;
    if (open)
        return true;
    if (answer == KEY_GOOD && (call_may(call, call->route->scope) || call_may(call, SCOPE_ADMIN)))
        return true;
    call->api->metrics.keys_refused++;
    switch (answer) {
    case KEY_IS_MISSING:
        call_fail(call, 401, "KEY_MISSING", NULL, "an API key is needed: Authorization: Bearer ck_…");
        return false;
    case KEY_NOT_KNOWN: call_refuse(call, VERDICT_KEY_UNKNOWN, NULL); return false;
    case KEY_IS_REVOKED: call_refuse(call, VERDICT_KEY_REVOKED, NULL); return false;
    case KEY_HAS_EXPIRED: call_refuse(call, VERDICT_KEY_EXPIRED, NULL); return false;
    case KEY_GOOD: break;
    }
    call_fail(call, 403, "KEY_SCOPE", NULL, "the key lacks the scope \"%s\"",
              call->route->scope == SCOPE_INFER      ? "infer"
              : call->route->scope == SCOPE_SESSIONS ? "sessions"
              : call->route->scope == SCOPE_ACCOUNT  ? "account"
                                                     : "admin");
    return false;
}

/* ---- requests ---- */

static void add_header(struct http_exchange *x, const char *name, const char *value)
{
    enum cx_err err = http_add_header(x, name, value);
    cx_maybe(err);  // what a client sent as its id may be unfit; then it gets none back
}

static void add_request_id(struct http_exchange *x)
{
    const char *given = http_header(x, "x-request-id");
    uint8_t bytes[16];
    char text[40] = "req_";
    if (given && given[0] && strlen(given) <= REQUEST_ID_SIZE_MAX) {
        add_header(x, "x-request-id", given);
        return;
    }
    net_random(http_loop(x), bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, text + 4);
    add_header(x, "x-request-id", text);
}

/* Browsers may call from anywhere: a key is a header, never a cookie. */
static void add_cors(struct http_exchange *x)
{
    add_header(x, "Access-Control-Allow-Origin", "*");
    add_header(x, "Access-Control-Expose-Headers", "x-request-id, retry-after, corten-session, corten-task");
}

static void preflight(struct call *call)
{
    struct http_exchange *x = call->x;
    const char *wanted = http_header(x, "Access-Control-Request-Headers");
    add_header(x, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
    add_header(x, "Access-Control-Allow-Headers", wanted ? wanted : "authorization, content-type, x-api-key");
    add_header(x, "Access-Control-Max-Age", "86400");
    call_text(call, 204, NULL, "", 0);
}

static bool is_new_work(const struct call *call)
{
    return call->route->method == HTTP_METHOD_POST || call->route->method == HTTP_METHOD_PUT;
}

void api_handle(void *ctx, struct http_exchange *x)
{
    struct api *api = ctx;
    const struct http_request *request = http_request(x);
    struct api_error error;
    struct call *call = http_alloc(x, sizeof *call);
    call->api = api;
    call->x = x;
    call->began_ms = net_now_ms(api->options.loop);
    add_request_id(x);
    add_cors(x);
    if (request->method == HTTP_METHOD_OPTIONS) {
        preflight(call);
        return;
    }
    call->route = route_find(request->method, request->path, call->part, &error);
    if (!call->route) {
        if (error.allow[0])
            add_header(x, "Allow", error.allow);
        call_error(call, &error);
        return;
    }
    if (!check_key(call))
        return;
    if (api->draining && is_new_work(call)) {
        call_fail(call, 503, "DRAINING", NULL, "the router is stopping: another one serves, or this one again soon");
        return;
    }
    call->route->handle(call);
}

uint64_t api_body_size_max(void *ctx, const struct http_request *request)
{
    struct api *api = ctx;
    struct api_error error;
    struct key_view key;
    char part[CALL_PARTS_MAX][CALL_PART_SIZE_MAX + 1];
    const struct route *route = route_find(request->method, request->path, part, &error);
    if (!route || route->body_max <= API_BODY_MAX || find_key(api, request, &key) != KEY_GOOD)
        return API_BODY_MAX;
    return route->body_max;
}

/* ---- readiness ---- */

static bool has_link(const struct hub *hub, const struct address *node)
{
    struct hub_link_view link;
    for (uint32_t at = 0; hub_link_at(hub, &at, &link);)
        if (!link.oracle && address_eq(&link.node, node))
            return true;
    return false;
}

/* Some node that may serve is here. */
static bool somebody_serves(const struct api *api)
{
    struct node_view node;
    for (uint32_t at = 0; view_node_at(replica_core(api->options.replica), &at, &node);)
        if ((node.state == NODE_EPHEMERAL || node.state == NODE_RESERVED) && node.present && node.models > 0 &&
            has_link(api->options.hub, &node.address))
            return true;
    return false;
}

static void on_event(void *ctx, const struct replica_moment *moment, const struct event *event)
{
    struct api *api = ctx;
    if (event->type == EVENT_NODE_MOVED || event->type == EVENT_NODE_ATTACHED || event->type == EVENT_NODE_DETACHED)
        api->dirty = true;
    prompts_on_event(api, moment, event);
}

static void on_batch(void *ctx)
{
    struct api *api = ctx;
    if (!api->dirty)
        return;
    api->dirty = false;
    api->ready = somebody_serves(api);
    if (!api->ready || api->was_ready)
        return;
    api->was_ready = true;
    if (api->options.on_ready)
        api->options.on_ready(api->options.ctx);
}

bool api_is_ready(const struct api *api) { return api->ready && !api->draining; }

/* ---- opening ---- */

enum cx_err api_open(const struct api_options *options, struct api **ret_api)
{
    cx_auto(api) api = calloc(1, sizeof *api);
    cx_assert(api);
    api->options = *options;
    const struct select_options select = {.loop = options->loop,
                                          .replica = options->replica,
                                          .redundancy = options->redundancy,
                                          .validation = options->validation,
                                          .audit_bp = options->audit_bp};
    enum cx_err err = select_open(&select, &api->select);
    if (err)
        return err;
    api->dirty = true;
    api->listener = (struct replica_listener){.on_event = on_event, .on_batch = on_batch, .ctx = api};
    replica_listen(options->replica, &api->listener);
    *ret_api = cx_take(&api);
    return CX_OK;
}

void api_close(struct api *api)
{
    if (!api)
        return;
    api_abandon(api);
    select_close(api->select);
    payloads_done(api);
    free(api);
}

static void say_idle(void *ctx)
{
    struct api *api = ctx;
    void (*on_idle)(void *idle_ctx) = api->on_idle;
    if (!on_idle || api->streams > 0)
        return;
    api->on_idle = NULL;
    client_links_shut(api);
    on_idle(api->idle_ctx);
}

void api_look_whether_idle(struct api *api)
{
    if (api->on_idle && api->streams == 0)
        net_timer_soon(api->options.loop, &api->idle_timer, say_idle, api);
}

void api_drain(struct api *api, void (*on_idle)(void *ctx), void *ctx)
{
    api->draining = true;
    api->on_idle = on_idle;
    api->idle_ctx = ctx;
    api_look_whether_idle(api);
}

void api_stop(struct api *api) { prompts_stop(api); }

void api_abandon(struct api *api)
{
    prompts_drop(api);
    client_links_close(api);
    net_timer_stop(&api->idle_timer);
}

uint32_t api_streams(const struct api *api) { return api->streams; }
