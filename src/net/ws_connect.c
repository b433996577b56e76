/* How a client's WebSocket opens: URL, connection, handshake. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/buf.h"
#include "net/ws_conn_inside.h"

struct ws_handshake {
    char *request;    // until it is sent
    char *protocols;  // or NULL
    char key[WS_KEY_SIZE + 1];
    struct http_head_scan scan;
    struct buf head;
};

void net_ws_handshake_free(struct net_ws *ws)
{
    struct ws_handshake *h = ws->handshake;
    if (!h)
        return;
    ws->handshake = NULL;
    buf_done(&h->head);
    free(h->request);
    free(h->protocols);
    free(h);
}

/* ---- the URL ---- */

static bool parse_port(const char *text, size_t size, uint16_t *ret_port)
{
    unsigned port = 0;
    if (size == 0 || size > 5)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (port == 0 || port > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

static bool parse_authority(const char *at, size_t size, struct ws_url *url)
{
    bool bracket = size > 0 && at[0] == '[';
    const char *end = bracket ? memchr(at, ']', size) : memchr(at, ':', size);
    size_t host_size = end ? (size_t)(end - at) : size;
    if (bracket && !end)
        return false;
    size_t after = host_size + (bracket ? 1 : 0);
    size_t from = bracket ? 1 : 0;
    if (host_size - from == 0 || host_size - from > WS_HOST_SIZE_MAX || size > sizeof url->authority - 1)
        return false;
    memcpy(url->host, at + from, host_size - from);
    url->host[host_size - from] = '\0';
    memcpy(url->authority, at, size);
    url->authority[size] = '\0';
    if (after == size)
        return true;
    return at[after] == ':' && parse_port(at + after + 1, size - after - 1, &url->port);
}

static bool is_plain(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~' || *text == '#')
            return false;
    }
    return true;
}

enum cx_err net_ws_url_parse(const char *text, struct ws_url *ret_url)
{
    struct ws_url url = {0};
    const char *at = text;
    if (strncasecmp(at, "wss://", 6) == 0) {
        url.tls = true;
        at += 6;
    } else if (strncasecmp(at, "ws://", 5) == 0) {
        at += 5;
    } else {
        return cx_fail(CX_INVALID, "\"%s\" is no WebSocket URL: write it like ws://host:port/path", text);
    }
    url.port = url.tls ? 443 : 80;
    size_t size = strcspn(at, "/?");
    if (memchr(at, '@', size) || !is_plain(at) || !parse_authority(at, size, &url))
        return cx_fail(CX_INVALID, "\"%s\" is no WebSocket URL: its host or port is bad", text);
    url.target = at + size;
    *ret_url = url;
    return CX_OK;
}

/* ---- the handshake ---- */

static void fail(struct net_ws *ws, const char *what)
{
    char reason[512];
    snprintf(reason, sizeof reason, "%s", what);
    net_ws_end(ws, WS_CLOSE_ABNORMAL, reason, false);
}

static void on_timeout(void *ctx) { fail(ctx, "the server took too long for the WebSocket handshake"); }

static void on_open(void *ctx)
{
    struct net_ws *ws = ctx;
    net_conn_send(ws->conn, ws->handshake->request, strlen(ws->handshake->request));
}

/* The head of the server's answer is whole. */
static enum cx_err check_reply(struct ws_handshake *h, char ret_protocol[64])
{
    struct http_field field[HTTP_FIELDS_MAX];
    struct http_reply reply;
    enum http_refusal refusal = http_reply_parse(h->head.data, h->head.size, field, &reply);
    if (refusal != HTTP_REFUSE_NONE)
        return cx_fail(CX_INVALID, "the server's answer is no HTTP: %s", http_refusal_name(refusal));
    return ws_reply_check(&reply, h->key, h->protocols, ret_protocol);
}

static void finish_handshake(struct net_ws *ws, char *rest, size_t rest_size)
{
    char protocol[64];
    enum cx_err err = check_reply(ws->handshake, protocol);
    if (err) {
        fail(ws, cx_detail());
        return;
    }
    net_ws_enter(ws);
    net_ws_handshake_free(ws);
    net_conn_hand_over(ws->conn, &net_ws_conn_events, ws);
    net_ws_begin(ws, protocol);
    if (ws->events->on_open)
        ws->events->on_open(ws->ctx, protocol);
    if (ws->state != NET_WS_GONE && rest_size > 0)
        net_ws_take(ws, rest, rest_size);
    net_ws_leave(ws);
}

static void on_data(void *ctx, char *data, size_t size)
{
    struct net_ws *ws = ctx;
    struct ws_handshake *h = ws->handshake;
    size_t used = 0, skip = 0;
    enum http_refusal refusal = HTTP_REFUSE_NONE;
    if (ws->state != NET_WS_CONNECTING)
        return;  // shut before it was open: only its end is to come
    enum http_answer answer = http_head_scan(&h->scan, data, size, &used, &skip, &refusal);
    if (answer == HTTP_BAD) {
        fail(ws, "the server's answer is no HTTP");
        return;
    }
    buf_add(&h->head, data + skip, used - skip);
    if (answer == HTTP_DONE)
        finish_handshake(ws, data + used, size - used);
}

static void on_end(void *ctx, enum cx_err err)
{
    struct net_ws *ws = ctx;
    (void)err;
    ws->conn = NULL;
    fail(ws, cx_detail());
}

static const struct net_conn_events handshake_events = {.on_open = on_open, .on_data = on_data, .on_end = on_end};

static struct ws_handshake *new_handshake(struct net_loop *loop, const struct ws_url *url,
                                          const struct net_ws_options *options)
{
    struct ws_handshake *h = calloc(1, sizeof *h);
    uint8_t nonce[16];
    struct buf target = {0}, request = {0};
    cx_assert(h);
    net_random(loop, nonce, sizeof nonce);
    ws_key(nonce, h->key);
    h->protocols = options->protocols ? strdup(options->protocols) : NULL;
    if (url->target[0] != '/')
        buf_text(&target, "/");
    buf_text(&target, url->target);
    ws_put_request(&request, url->authority, target.data, h->key, options->protocols, options->fields);
    h->request = request.data;
    buf_done(&target);
    return h;
}

enum cx_err net_ws_connect(struct net_loop *loop, const char *url, const struct net_ws_options *options,
                           struct net_ws **ret_ws)
{
    struct ws_url parsed;
    enum cx_err err = net_ws_url_parse(url, &parsed);
    if (err)
        return err;
    uint32_t connect_ms = options->connect_ms ? options->connect_ms : NET_WS_CONNECT_MS;
    struct net_target target = {.host = parsed.host,
                                .port = parsed.port,
                                .tls = parsed.tls,
                                .ca_file = options->ca_file,
                                .timeout_ms = connect_ms};
    struct net_ws *ws = net_ws_new(WS_CLIENT, options);
    ws->handshake = new_handshake(loop, &parsed, options);
    err = net_conn_connect(loop, &target, &handshake_events, ws, &ws->conn);
    if (err) {
        net_ws_close(ws);
        return err;
    }
    net_conn_set_limits(ws->conn, &options->limits);
    net_timer_start(loop, &ws->timer, connect_ms, on_timeout, ws);
    *ret_ws = ws;
    return CX_OK;
}
