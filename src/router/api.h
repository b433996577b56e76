/* api.h - the HTTP API of a router: its routes, who may use them, and what an answer looks like.
 *
 *      exchange -> route (method, pattern) -> key and scope -> handler -> answer, or one error shape
 *
 *      {"error": {"code", "message", "type", "param", "task_id"?, "reasons"?, "retry"?: {"after_ms",
 * "same_reference"}}}
 *
 * Source: docs/protocol.md, "HTTP".
 */
#ifndef CORTEN_ROUTER_API_H
#define CORTEN_ROUTER_API_H

#include "net/http_server.h"
#include "router/history.h"
#include "router/hub.h"
#include "router/tasks.h"

#define API_PROMPT_BODY_MAX  (16u << 20)  // bytes of a request with a prompt, from the holder of a key
#define API_PAYLOAD_BODY_MAX (16u << 20)  // of PUT /api/v3/payloads
#define API_BODY_MAX         (64u << 10)  // of any other, and of whoever shows no good key
#define API_KEEP_ALIVE_MS    15000        // of silence in a stream, until a comment is sent
#define API_REFERENCE_MAX    256          // bytes of a client's reference
#define API_PAGE_DEFAULT     50           // rows of a list where the request does not say
#define API_PAGE_MAX         1000
#define API_RETRY_MS         1000  // what a client that came too early is told to wait

struct api;

/* All are lent. */
struct api_options {
    struct net_loop *loop;
    struct replica *replica;
    struct tasks *tasks;
    struct history *history;
    struct payload_store *payloads;
    struct hub *hub;
    const struct key *admin;  // NULL: what needs an admin's signature is refused by name
    uint8_t redundancy, validation;
    uint16_t audit_bp;
    uint64_t keep_ms;
    void (*on_ready)(void *ctx);  // a prompt would be answered; once; may be NULL
    void *ctx;
};

/* Begins to listen to the replica, which is open. */
enum cx_err api_open(const struct api_options *options, struct api **ret_api);
/* After replica and server have closed: nobody calls it any more. */
void api_close(struct api *api);
CX_CLOSER(api)

/* For the HTTP server: ctx is the api. */
void api_handle(void *ctx, struct http_exchange *x);
uint64_t api_body_size_max(void *ctx, const struct http_request *request);

/* From now on whoever asks for something new is told to come again. on_idle: no prompt is under way any more; once. */
void api_drain(struct api *api, void (*on_idle)(void *ctx), void *ctx);
/* Ends all prompts under way with an error that says so; their tasks go on. */
void api_stop(struct api *api);
/* The same without a word: the connections break. */
void api_abandon(struct api *api);
uint32_t api_streams(const struct api *api);  // prompts under way
bool api_is_ready(const struct api *api);

#endif
