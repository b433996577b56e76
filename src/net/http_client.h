/* http_client.h - HTTP requests through libcurl on the loop; bodies stream in, and may be paused.
 *
 *      http_client_send --on_head--> --on_body…--> on_done(CX_OK, status)
 *                       +---------------- on_done(error, 0 or status)
 *
 * on_done comes exactly once and ends the request; after http_call_cancel nothing comes. Both are
 * allowed inside all callbacks. Redirects are not followed; proxies only where one is named.
 */
#ifndef CORTEN_NET_HTTP_CLIENT_H
#define CORTEN_NET_HTTP_CLIENT_H

#include "net/loop.h"

#define HTTP_CLIENT_CONNECT_MS        10000
#define HTTP_CLIENT_STALL_MS          60000  // nothing came; time paused by us is not counted
#define HTTP_CLIENT_RESPONSE_SIZE_MAX (64 * 1024 * 1024)

struct http_client;
struct http_call;

struct http_call_options {
    const char *method;         // NULL: GET, or POST with a body
    const char *url;            // http:// or https://
    const char *const *fields;  // [field_count], each "Name: value"
    uint32_t field_count;
    const void *body;  // copied; NULL: none
    size_t body_size;
    uint32_t connect_ms, stall_ms;  // 0: the defaults above
    uint32_t total_ms;              // 0: no limit
    uint64_t response_size_max;     // 0: the default; over it: CX_TOO_LARGE
    const char *ca_file;            // PEM; NULL: the system's
    const char *proxy;              // NULL: none, whatever the environment says
    /* The final status and its content type ("" if none); before any body. May be NULL. */
    void (*on_head)(void *ctx, unsigned status, const char *content_type);
    void (*on_body)(void *ctx, const char *data, size_t size);  // may be NULL: gathered for http_call_body
    /* CX_OK: the response is whole, whatever its status. CX_TIMEOUT, CX_IO, CX_TOO_LARGE, CX_CLOSED (cut
     * in the middle): cx_detail says more. */
    void (*on_done)(void *ctx, enum cx_err err, unsigned status);
    void *ctx;
};

enum cx_err http_client_open(struct net_loop *loop, struct http_client **ret_client);
/* Cancels what is under way. Takes NULL. */
void http_client_close(struct http_client *client);
CX_CLOSER(http_client)

/* CX_INVALID: bad URL, method or field. All strings are copied. */
enum cx_err http_client_send(struct http_client *client, const struct http_call_options *options,
                             struct http_call **ret_call);
void http_call_cancel(struct http_call *call);  // takes NULL
/* What came, where on_body is NULL; ends in NUL; valid until on_done returns. */
const char *http_call_body(const struct http_call *call, size_t *ret_size);
/* A field of the response, or NULL; valid until on_done returns. */
const char *http_call_header(const struct http_call *call, const char *name);
/* Stops and resumes on_body. */
void http_call_pause(struct http_call *call);
void http_call_resume(struct http_call *call);

#endif
