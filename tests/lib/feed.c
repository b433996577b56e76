#include "lib/feed.h"

#include "lib/guard.h"
#include "lib/test.h"

/* ---- HTTP ---- */

struct reader {
    struct http_head_scan scan;
    struct buf head;
    struct http_request request;
    struct http_field field[HTTP_FIELDS_MAX];
    struct http_body body;
    bool in_body;
};

static bool read_step(struct reader *r, struct outcome *o, const char *data, size_t size, size_t *ret_used)
{
    if (!r->in_body) {
        size_t skip = 0;
        enum http_answer answer = http_head_scan(&r->scan, data, size, ret_used, &skip, &o->refusal);
        if (answer == HTTP_BAD)
            return false;
        buf_add(&r->head, data + skip, *ret_used - skip);
        if (answer == HTTP_MORE)
            return true;
        CHECK_EQ(r->head.size, r->scan.size);
        o->refusal = http_request_parse(r->head.data, r->head.size, r->field, &r->request);
        if (o->refusal == HTTP_REFUSE_NONE)
            o->refusal = http_body_init(&r->body, &r->request, FEED_BODY_MAX);
        if (o->refusal != HTTP_REFUSE_NONE)
            return false;
        buf_printf(&o->log, "%s %s%s%s [", http_method_name(r->request.method), r->request.path,
                   *r->request.query ? "?" : "", r->request.query);
        r->in_body = true;
        data += *ret_used;
        size -= *ret_used;
    }
    size_t used = 0;
    struct span piece;
    enum http_answer answer = http_body_decode(&r->body, data, size, &used, &piece, &o->refusal);
    if (piece.size) {
        buf_add(&o->log, piece.data, piece.size);
        buf_add(&o->bodies, piece.data, piece.size);
    }
    if (answer == HTTP_BAD)
        return false;
    *ret_used += used;
    if (answer == HTTP_DONE) {
        buf_text(&o->log, r->request.keep_alive ? "]" : "] close");
        o->requests++;
        r->in_body = false;
        r->scan = (struct http_head_scan){0};
        buf_reset(&r->head);
    }
    return true;
}

void outcome_done(struct outcome *outcome)
{
    buf_done(&outcome->log);
    buf_done(&outcome->bodies);
}

struct outcome feed_http(const char *raw, size_t size, size_t step)
{
    struct reader r = {0};
    struct outcome o = {0};
    buf_text(&o.log, "");
    buf_text(&o.bodies, "");
    bool good = true;
    for (size_t at = 0; at < size && good; at += step) {
        size_t take = size - at < step ? size - at : step;
        char *data = guard_copy(raw + at, take);
        for (size_t done = 0; done < take && good;) {
            size_t used = 0;
            good = read_step(&r, &o, data + done, take - done, &used);
            done += used;
        }
        guard_free(data, take);
    }
    buf_done(&r.head);
    return o;
}

/* ---- server-sent events ---- */

struct buf feed_sse(const char *raw, size_t size, size_t step, size_t cap)
{
    struct sse_decoder d;
    char *room = malloc(cap);
    struct buf log = {0};
    enum sse_answer answer = SSE_MORE;
    sse_decoder_init(&d, room, cap);
    for (size_t at = 0; at < size && answer != SSE_BAD; at += step) {
        size_t take = size - at < step ? size - at : step;
        char *data = guard_copy(raw + at, take);
        for (size_t done = 0; done < take;) {
            size_t used = 0;
            struct sse_event event;
            answer = sse_decode(&d, data + done, take - done, &used, &event);
            if (answer == SSE_BAD)
                break;
            if (answer == SSE_DONE) {
                buf_printf(&log, "%s/%s=", event.event, event.id);
                for (size_t i = 0; i < event.data_size; i++)
                    buf_add(&log, event.data[i] == '\n' ? "|" : event.data + i, 1);
                buf_text(&log, ";");
                CHECK_EQ(event.data[event.data_size], 0);
            }
            done += used;
        }
        guard_free(data, take);
    }
    buf_text(&log, answer == SSE_BAD ? sse_fault_text(d.fault) : sse_is_between(&d) ? "between" : "inside");
    free(room);
    return log;
}

/* ---- WebSocket ---- */

struct buf feed_ws(enum ws_role role, const void *raw, size_t size, size_t step, uint64_t size_max)
{
    struct ws_decoder d;
    struct buf log = {0}, message = {0};
    enum ws_answer answer = WS_MORE;
    ws_decoder_init(&d, role, size_max);
    buf_text(&log, "");
    for (size_t at = 0; at < size && answer != WS_BAD; at += step) {
        size_t take = size - at < step ? size - at : step;
        char *data = guard_copy((const char *)raw + at, take);
        for (size_t done = 0; done < take && answer != WS_BAD;) {
            size_t used = 0;
            struct ws_part part;
            answer = ws_decode(&d, data + done, take - done, &used, &part);
            done += used;
            if (answer != WS_DONE)
                continue;
            bool control = part.kind >= WS_CLOSE;
            if (part.first && !control)
                buf_reset(&message);
            if (!control)
                buf_add(&message, part.data, part.size);
            if (part.kind == WS_CLOSE)
                buf_printf(&log, "close %u:%.*s;", part.close_code, (int)part.size, part.size ? part.data : "");
            else if (control)
                buf_printf(&log, "%s:%.*s;", part.kind == WS_PING ? "ping" : "pong", (int)part.size, part.data);
            else if (part.last && message.size > 64)
                buf_printf(&log, "%s of %zu;", part.kind == WS_TEXT ? "text" : "binary", message.size);
            else if (part.last)
                buf_printf(&log, "%s:%s;", part.kind == WS_TEXT ? "text" : "binary", message.size ? message.data : "");
        }
        guard_free(data, take);
    }
    if (answer == WS_BAD)
        buf_printf(&log, "bad %u", d.bad_code);
    buf_done(&message);
    return log;
}
