/* http_client.h over a simulated network: a connection a call, HTTP as src/proto reads it. */
#include "net/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "net/conn.h"
#include "net/ring.h"
#include "proto/http.h"

#define HOST_SIZE_MAX 80

struct http_client {
    struct net_loop *loop;
    struct net_link calls;
};

struct http_call {
    struct net_link link;
    struct http_client *client;
    struct http_call_options options;  // its strings are not kept
    struct net_conn *conn;             // NULL: over
    struct net_timer stall, total;
    struct buf request;
    struct http_head_scan scan;
    struct buf head;
    struct http_field field[HTTP_FIELDS_MAX];
    struct http_reply reply;
    struct http_body body;
    struct buf whole;  // where on_body is NULL
    struct buf rest;   // what came while we were paused
    uint64_t received;
    uint32_t pins;
    bool headed, until_close, over, paused, ending;
};

/* ---- the end ---- */

static void pin(struct http_call *call) { call->pins++; }

static void unpin(struct http_call *call)
{
    cx_assert(call->pins > 0);
    if (--call->pins > 0 || !call->over)
        return;
    net_link_remove(&call->link);
    buf_done(&call->request);
    buf_done(&call->head);
    buf_done(&call->whole);
    buf_done(&call->rest);
    free(call);
}

static void silence(struct http_call *call)
{
    call->over = true;
    net_timer_stop(&call->stall);
    net_timer_stop(&call->total);
    net_conn_close(call->conn);
    call->conn = NULL;
}

void http_call_cancel(struct http_call *call)
{
    if (!call || call->over || call->ending)
        return;
    pin(call);
    silence(call);
    unpin(call);
}

static void end(struct http_call *call, enum cx_err err)
{
    if (call->over || call->ending)
        return;
    pin(call);
    call->ending = true;
    net_timer_stop(&call->stall);
    net_timer_stop(&call->total);
    net_conn_close(call->conn);
    call->conn = NULL;
    call->options.on_done(call->options.ctx, err, call->headed ? call->reply.status : 0);
    call->over = true;
    unpin(call);
}

/* ---- time ---- */

static void on_stall(void *ctx)
{
    struct http_call *call = ctx;
    end(call, cx_fail(CX_TIMEOUT, "nothing came for too long"));
}

static void on_total(void *ctx)
{
    struct http_call *call = ctx;
    end(call, cx_fail(CX_TIMEOUT, "the request took too long"));
}

static void something_came(struct http_call *call)
{
    uint32_t stall_ms = call->options.stall_ms ? call->options.stall_ms : HTTP_CLIENT_STALL_MS;
    net_timer_start(call->client->loop, &call->stall, stall_ms, on_stall, call);
}

/* ---- reading ---- */

/* False: the response is no HTTP. */
static bool begin_body(struct http_call *call)
{
    struct http_request framing = {0};
    if (http_reply_parse(call->head.data, call->head.size, call->field, &call->reply) != HTTP_REFUSE_NONE)
        return false;
    const char *encoding = http_call_header(call, "Transfer-Encoding");
    const char *length = http_call_header(call, "Content-Length");
    const char *type = http_call_header(call, "Content-Type");
    if (encoding && http_value_has(encoding, "chunked")) {
        framing.framing = HTTP_BODY_CHUNKED;
    } else if (length) {
        framing.framing = HTTP_BODY_LENGTH;
        framing.content_length = strtoull(length, NULL, 10);
    } else {
        call->until_close = true;
    }
    uint64_t size_max = call->options.response_size_max;
    call->headed = true;
    if (http_body_init(&call->body, &framing, size_max ? size_max : HTTP_CLIENT_RESPONSE_SIZE_MAX) != HTTP_REFUSE_NONE)
        return false;
    if (call->options.on_head)
        call->options.on_head(call->options.ctx, call->reply.status, type ? type : "");
    return true;
}

static void take_piece(struct http_call *call, const char *data, size_t size)
{
    if (size == 0)
        return;
    if (call->options.on_body)
        call->options.on_body(call->options.ctx, data, size);
    else
        buf_add(&call->whole, data, size);
}

static void take_body(struct http_call *call, const char *data, size_t size)
{
    if (call->until_close) {
        take_piece(call, data, size);
        return;
    }
    for (;;) {
        size_t used = 0;
        struct span piece = {0};
        enum http_refusal refusal = HTTP_REFUSE_NONE;
        enum http_answer answer = http_body_decode(&call->body, data, size, &used, &piece, &refusal);
        data += used;
        size -= used;
        take_piece(call, (const char *)piece.data, piece.size);
        if (call->over)
            return;
        if (answer == HTTP_BAD)
            end(call, cx_fail(CX_IO, "the response is malformed: %s", http_refusal_name(refusal)));
        else if (answer == HTTP_DONE)
            end(call, CX_OK);
        if (answer != HTTP_MORE || (size == 0 && used == 0))
            return;
        if (call->paused) {
            buf_add(&call->rest, data, size);
            return;
        }
        if (size == 0)
            return;
    }
}

static void take(struct http_call *call, const char *data, size_t size)
{
    if (!call->headed) {
        size_t used = 0, skip = 0;
        enum http_refusal refusal = HTTP_REFUSE_NONE;
        enum http_answer answer = http_head_scan(&call->scan, data, size, &used, &skip, &refusal);
        if (answer != HTTP_BAD)
            buf_add(&call->head, data + skip, used - skip);
        if (answer == HTTP_MORE)
            return;
        if (answer == HTTP_BAD || !begin_body(call)) {
            end(call, cx_fail(CX_IO, "the response is no HTTP"));
            return;
        }
        data += used;
        size -= used;
    }
    if (!call->over)
        take_body(call, data, size);
}

static void on_data(void *ctx, char *data, size_t size)
{
    struct http_call *call = ctx;
    pin(call);
    something_came(call);
    take(call, data, size);
    unpin(call);
}

static void on_open(void *ctx)
{
    struct http_call *call = ctx;
    net_conn_send(call->conn, call->request.data, call->request.size);
    something_came(call);
}

static void on_end(void *ctx, enum cx_err err)
{
    struct http_call *call = ctx;
    call->conn = NULL;
    if (call->headed && call->until_close && err == CX_CLOSED)
        end(call, CX_OK);
    else
        end(call, call->headed ? CX_CLOSED : err == CX_CLOSED ? CX_IO : err);
}

static const struct net_conn_events events = {.on_open = on_open, .on_data = on_data, .on_end = on_end};

void http_call_pause(struct http_call *call)
{
    call->paused = true;
    net_timer_stop(&call->stall);
    if (call->conn)
        net_conn_pause(call->conn);
}

void http_call_resume(struct http_call *call)
{
    if (!call->paused || call->over)
        return;
    call->paused = false;
    something_came(call);
    struct buf rest = call->rest;
    call->rest = (struct buf){0};
    pin(call);
    if (rest.size > 0)
        take(call, rest.data, rest.size);
    if (call->conn && !call->paused)
        net_conn_resume(call->conn);
    unpin(call);
    buf_done(&rest);
}

const char *http_call_body(const struct http_call *call, size_t *ret_size)
{
    *ret_size = call->whole.size;
    return call->whole.data ? call->whole.data : "";
}

const char *http_call_header(const struct http_call *call, const char *name)
{
    return http_field_get(call->reply.field, call->reply.field_count, name);
}

/* ---- asking ---- */

struct where {
    char host[HOST_SIZE_MAX];
    uint16_t port;
    const char *target;
};

static enum cx_err parse_url(const char *url, struct where *ret)
{
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return cx_fail(CX_INVALID, "\"%s\": a simulated network has http:// only", url);
    const char *at = url + sizeof scheme - 1;
    size_t size = strcspn(at, ":/?");
    if (size == 0 || size >= sizeof ret->host)
        return cx_fail(CX_INVALID, "\"%s\" has no host", url);
    memcpy(ret->host, at, size);
    ret->host[size] = '\0';
    at += size;
    ret->port = *at == ':' ? (uint16_t)strtoul(at + 1, NULL, 10) : 80;
    ret->target = at + strcspn(at, "/?");
    return CX_OK;
}

static void write_request(struct http_call *call, const struct http_call_options *o, const struct where *where)
{
    const char *method = o->method ? o->method : o->body ? "POST" : "GET";
    struct buf *out = &call->request;
    buf_printf(out, "%s %s%s HTTP/1.1\r\nHost: %s:%u\r\nAccept: */*\r\n", method, where->target[0] == '/' ? "" : "/",
               where->target, where->host, where->port);
    for (uint32_t i = 0; i < o->field_count; i++)
        buf_printf(out, "%s\r\n", o->fields[i]);
    if (o->body)
        buf_printf(out, "Content-Length: %zu\r\n", o->body_size);
    buf_text(out, "\r\n");
    if (o->body)
        buf_add(out, o->body, o->body_size);
}

enum cx_err http_client_send(struct http_client *client, const struct http_call_options *options,
                             struct http_call **ret_call)
{
    struct where where;
    enum cx_err err = parse_url(options->url, &where);
    if (err)
        return err;
    struct http_call *call = calloc(1, sizeof *call);
    cx_assert(call);
    call->client = client;
    call->options = *options;
    net_link_init(&call->link);
    net_link_add(&client->calls, &call->link);
    write_request(call, options, &where);
    const struct net_target target = {.host = where.host,
                                      .port = where.port,
                                      .timeout_ms = options->connect_ms ? options->connect_ms : HTTP_CLIENT_CONNECT_MS};
    err = net_conn_connect(client->loop, &target, &events, call, &call->conn);
    cx_assert(!err);
    if (options->total_ms)
        net_timer_start(client->loop, &call->total, options->total_ms, on_total, call);
    *ret_call = call;
    return CX_OK;
}

enum cx_err http_client_open(struct net_loop *loop, struct http_client **ret_client)
{
    struct http_client *client = calloc(1, sizeof *client);
    cx_assert(client);
    client->loop = loop;
    net_link_init(&client->calls);
    *ret_client = client;
    return CX_OK;
}

void http_client_close(struct http_client *client)
{
    if (!client)
        return;
    while (!net_link_is_alone(&client->calls)) {
        struct http_call *call = (struct http_call *)client->calls.next;
        net_link_remove(&call->link);  // one that is in a callback lives until it returns
        http_call_cancel(call);
    }
    free(client);
}
