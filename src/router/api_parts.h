/* api_parts.h - within src/router: what the api_*.c files share.
 *
 *      api --route, key--> call --handler--> call_json | call_text | call_fail | call_refuse | call_world   (one, once)
 *                                        \-> call_command --durable, applied--> then(call, outcome)
 */
#ifndef CORTEN_ROUTER_API_PARTS_H
#define CORTEN_ROUTER_API_PARTS_H

#include "proto/json.h"
#include "router/api.h"
#include "router/metrics.h"
#include "router/select.h"

#define CALL_PARTS_MAX     3    // {…} in one pattern
#define CALL_PART_SIZE_MAX 255  // bytes of what stands for one

struct call;
struct prompt;
struct client_link;
typedef void handler(struct call *call);
typedef void call_then(struct call *call, const struct replica_outcome *outcome);

struct route {
    enum http_method method;
    const char *pattern;  // "/v1/models/{model*}": {name} takes one part, {name*} the rest
    uint32_t scope;       // enum key_scope; 0: open to everybody
    uint32_t body_max;
    handler *handle;
};

/* One request. Lives in its exchange, and ends with it. */
struct call {
    struct api *api;
    struct http_exchange *x;
    const struct route *route;  // NULL: there is none
    struct key_view key;        // hash zero: the route is open to everybody
    struct address account;     // the key's
    char part[CALL_PARTS_MAX][CALL_PART_SIZE_MAX + 1];
    uint64_t began_ms;
    call_then *then;  // of call_command
    void *then_ctx;
};

struct api {
    struct api_options options;
    struct select *select;
    struct replica_listener listener;
    struct metrics metrics;
    struct prompt *prompt;  // under way
    uint32_t streams;
    struct client_link *client_link;
    uint32_t client_links;
    struct net_timer idle_timer;
    void (*on_idle)(void *ctx);  // of api_drain
    void *idle_ctx;
    bool ready, was_ready, draining, dirty;
    uint64_t admin_nonce;  // the last that we used
    struct puts *puts;     // api_payloads.c's
};

/* What is wrong, for whoever asked. */
struct api_error {
    unsigned status;
    const char *code, *param;
    char message[768];
    char allow[64];                       // of a 405: what the route takes
    uint64_t session, task;               // 0: none
    uint8_t causes[FAIL_CAUSES_COUNTED];  // how often each ended an assignment
    bool retry, same_reference;
    uint32_t retry_ms;
};

/* ---- api.c ---- */

const struct route *api_routes(uint32_t *ret_count);
/* The route of a request, with its {…} in call->part; else NULL, with what to answer. */
const struct route *route_find(enum http_method method, const char *path, char (*ret_part)[CALL_PART_SIZE_MAX + 1],
                               struct api_error *ret_error);
bool call_may(const struct call *call, uint32_t scope);
/* What a key is worth now, by the Keccak-256 of its text; zero: none was shown. */
enum key_answer { KEY_GOOD, KEY_IS_MISSING, KEY_NOT_KNOWN, KEY_IS_REVOKED, KEY_HAS_EXPIRED };
enum key_answer key_look(const struct api *api, const struct hash *hash, struct key_view *ret_key);
/* A prompt has ended: where the api drains, it may have been the last. */
void api_look_whether_idle(struct api *api);

/* ---- api_answer.c: each ends the call ---- */

void call_json(struct call *call, unsigned status, const struct buf *body);
void call_text(struct call *call, unsigned status, const char *content_type, const void *body, size_t size);
void call_error(struct call *call, const struct api_error *error);
void call_fail(struct call *call, unsigned status, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The core said no. */
void call_refuse(struct call *call, enum verdict verdict, const char *param);
/* The world said no; cx_detail() has the words. */
void call_world(struct call *call, enum cx_err err, const char *param);
/* After the last byte of a stream: counts it. The exchange has ended. */
void call_ended(struct call *call, unsigned status);

unsigned verdict_status(enum verdict verdict);
/* "LEASE_STALE"; some have the names that clients of OpenAI know. */
const char *verdict_code(enum verdict verdict);
bool verdict_is_passing(enum verdict verdict);  // the same request may be accepted later
void error_of_verdict(enum verdict verdict, struct api_error *ret_error);
void error_of_world(enum cx_err err, const char *detail, struct api_error *ret_error);
/* How a task ended that has no answer; `attempts`: 0 where nobody was ever asked. */
void error_of_end(const struct task_end *end, uint32_t attempts, bool context, struct api_error *ret_error);
void error_put(struct json_out *out, const struct api_error *error);  // the member "error"
void error_write(struct buf *out, const struct api_error *error);     // {"error":{…}}
void error_say(struct api_error *error, unsigned status, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Submits an unsigned command of this router; `then` gets the outcome where it was accepted or `known` is its verdict,
 * and must end the call; every other is answered here. */
void call_command(struct call *call, const struct command *cmd, enum verdict known, call_then *then);
/* The same, signed by the router's admin: ADMIN_MISSING where it has none. */
void call_admin_command(struct call *call, struct command *cmd, enum verdict known, call_then *then);

/* ---- reading; false: the call has ended with the reason ---- */

bool call_body(struct call *call, json_t **ret_root);  // an object; json_decref
bool call_id(struct call *call, uint32_t part, const char *what, uint64_t *ret_id);
bool call_address(struct call *call, uint32_t part, struct address *ret_address);
bool call_query_u64(struct call *call, const char *name, uint64_t max, uint64_t *ret_value);  // else it stays
bool call_bad_field(struct call *call, enum cx_err err);  // json.h refused: says where; always false

/* Reads those members of the object that are fields of the command, by their names: terms by name in any case or by
 * number, ids and money as numbers or decimal text, addresses in their text form, BYTES as text or as an array of
 * addresses, which `lists` keeps. `skip`: names that are not the caller's to say; a member that is neither is refused
 * unless among `also`. Texts stay the document's. CX_INVALID: as json.h. */
struct fields_wish {
    const char *const *skip, *const *also;  // each ends with NULL; may be NULL
    struct buf *lists;                      // [API_LISTS_MAX]
};
#define API_LISTS_MAX 4
enum cx_err fields_from_json(const struct json_at *object, const struct command_info *info,
                             const struct fields_wish *wish, struct command *ret_cmd);

/* ---- writing ---- */

void out_id(struct json_out *out, const char *key, uint64_t id);  // decimal digits in a string
void out_amount(struct json_out *out, const char *key, struct amount amount);
void out_address(struct json_out *out, const char *key, const struct address *address);  // zero writes null
void out_term(struct json_out *out, const char *key, enum term_set set, uint32_t value);
void out_hash(struct json_out *out, const char *key, const struct hash *hash);  // zero writes null
const char *out_finish(enum finish finish);                                     // "stop" or "length"
void out_usage(struct json_out *out, const struct task_end *end);               // the member "usage"
void out_urn(struct json_out *out, const char *key, const struct hash *sha256);

/* ---- handlers ---- */

handler api_chat, api_completions, api_models, api_model;
handler api_info, api_status, api_ping, api_about, api_miners, api_healthz, api_readyz, api_metrics;
handler api_native, api_native_in, api_native_urn, api_native_urn_in;
handler api_sessions, api_session, api_session_open, api_session_top_up, api_session_close;
handler api_tasks, api_task, api_task_cancel, api_receipt, api_receipt_of, api_why;
handler api_payload_put, api_payload_get;
handler api_keys, api_key_put, api_key_revoke, api_account, api_deposit, api_wallet, api_withdraw;
handler api_model_put, api_model_remove, api_node_invite, api_node_approve;
handler api_not_built;
handler api_link_miner, api_link_oracle, api_client_link;

#endif
