/* HTTP messages: requests as they come on a socket, replies as a WebSocket client reads them, and paths and queries. */
#include <llhttp.h>

#include "fuzz/fuzz.h"
#include "proto/http.h"
#include "proto/ws.h"

#define BODY_MAX 1000
#define TEXT_MAX 64

/* ---- requests ---- */

struct reader {
    struct http_head_scan scan;
    struct buf head, log, bodies;
    unsigned requests;
    struct http_request request;
    struct http_field field[HTTP_FIELDS_MAX];
    struct http_body body;
    enum http_refusal refusal;
    bool in_body;
};

static void note_request(struct reader *r)
{
    const struct http_request *q = &r->request;
    buf_printf(&r->log, "%s %s?%s host=%s framing=%d length=%llu keep=%d expect=%d upgrade=%d 1.0=%d\n",
               http_method_name(q->method), q->path, q->query, q->host, (int)q->framing,
               (unsigned long long)q->content_length, q->keep_alive, q->expect_continue, q->upgrade_websocket,
               q->version_1_0);
    FUZZ_CHECK(q->path[0] == '/' || (q->method == HTTP_METHOD_OPTIONS && strcmp(q->path, "*") == 0));
    FUZZ_CHECK(q->field_count <= HTTP_FIELDS_MAX);
    FUZZ_CHECK(!(q->version_1_0 && q->framing == HTTP_BODY_CHUNKED));
    for (uint32_t i = 0; i < q->field_count; i++) {
        FUZZ_CHECK(http_is_token(q->field[i].name));
        FUZZ_CHECK(!strpbrk(q->field[i].value, "\r\n"));
        FUZZ_CHECK(http_field_get(q->field, q->field_count, q->field[i].name));
        buf_printf(&r->log, "%s=%s\n", q->field[i].name, q->field[i].value);
    }
    FUZZ_CHECK(q->version_1_0 || q->host[0] || http_field_get(q->field, q->field_count, "host"));
    char accept[WS_ACCEPT_SIZE + 1], protocol[64];
    enum cx_err err = ws_upgrade_check(q, "corten.miner.v1, corten.oracle.v1", accept, protocol);
    if (err == CX_OK)
        buf_printf(&r->log, "upgrade %s %s\n", accept, protocol);
}

static bool read_head(struct reader *r, const char *data, size_t size, size_t *ret_used)
{
    size_t skip = 0;
    enum http_answer answer = http_head_scan(&r->scan, data, size, ret_used, &skip, &r->refusal);
    if (answer == HTTP_BAD)
        return false;
    FUZZ_CHECK(*ret_used <= size && skip <= *ret_used);
    FUZZ_CHECK(answer == HTTP_DONE || *ret_used == size);
    buf_add(&r->head, data + skip, *ret_used - skip);
    FUZZ_CHECK(r->head.size <= HTTP_HEAD_SIZE_MAX);
    if (answer == HTTP_MORE)
        return true;
    FUZZ_CHECK(r->head.size == r->scan.size);
    r->refusal = http_request_parse(r->head.data, r->head.size, r->field, &r->request);
    if (r->refusal != HTTP_REFUSE_NONE)
        return false;
    note_request(r);
    r->refusal = http_body_init(&r->body, &r->request, BODY_MAX);
    r->in_body = r->refusal == HTTP_REFUSE_NONE;
    return r->in_body;
}

static bool read_body(struct reader *r, const char *data, size_t size, size_t *ret_used)
{
    struct span piece;
    enum http_answer answer = http_body_decode(&r->body, data, size, ret_used, &piece, &r->refusal);
    FUZZ_CHECK(piece.size == 0 ||
               ((const char *)piece.data >= data && (const char *)piece.data + piece.size <= data + size));
    buf_add(&r->log, piece.data, piece.size);
    buf_add(&r->bodies, piece.data, piece.size);
    if (answer == HTTP_BAD)
        return false;
    FUZZ_CHECK(*ret_used <= size);
    FUZZ_CHECK(r->body.size <= BODY_MAX);
    if (answer == HTTP_DONE) {
        buf_text(&r->log, "\nend\n");
        r->requests++;
        r->in_body = false;
        r->scan = (struct http_head_scan){0};
        buf_reset(&r->head);
    }
    return true;
}

/* ---- llhttp, whole, as the witness: what others in front of us would take for one request ---- */

struct witness {
    unsigned requests;
    struct buf bodies;
};

static int on_body(llhttp_t *llhttp, const char *at, size_t size)
{
    struct witness *w = llhttp->data;
    buf_add(&w->bodies, at, size);
    return 0;
}

static int on_message(llhttp_t *llhttp)
{
    struct witness *w = llhttp->data;
    w->requests++;
    return 0;
}

static void check_framing(const struct reader *r, const uint8_t *data, size_t size)
{
    llhttp_settings_t settings;
    llhttp_t llhttp;
    struct witness w = {0};
    llhttp_settings_init(&settings);
    settings.on_body = on_body;
    settings.on_message_complete = on_message;
    llhttp_init(&llhttp, HTTP_REQUEST, &settings);
    llhttp.data = &w;
    llhttp_errno_t err = llhttp_execute(&llhttp, (const char *)data, size);
    /* llhttp stops for good behind a request that closes the connection or upgrades it. Behind the last whole request
     * it may see sooner that the next is none. */
    bool stopped = err == HPE_CLOSED_CONNECTION || err == HPE_PAUSED_UPGRADE;
    FUZZ_CHECK(stopped || w.requests == r->requests);
    FUZZ_CHECK(stopped || r->in_body ||
               (w.bodies.size == r->bodies.size &&
                (w.bodies.size == 0 || memcmp(w.bodies.data, r->bodies.data, w.bodies.size) == 0)));
    buf_done(&w.bodies);
}

static struct buf read_requests(int how, const uint8_t *data, size_t size)
{
    struct reader r = {0};
    struct fuzz_cut cut;
    bool good = true;
    fuzz_cut_init(&cut, how, data, size);
    while (good && fuzz_cut_next(&cut))
        for (size_t done = 0; good && done < cut.size;) {
            size_t used = 0;
            bool was_body = r.in_body;
            good = was_body ? read_body(&r, cut.piece + done, cut.size - done, &used)
                            : read_head(&r, cut.piece + done, cut.size - done, &used);
            done += used;
            /* A body of nothing ends without a byte more. */
            size_t none = 0;
            if (good && !was_body && r.in_body)
                good = read_body(&r, cut.piece + done, cut.size - done, &none);
            done += none;
        }
    fuzz_cut_done(&cut);
    FUZZ_CHECK(good == (r.refusal == HTTP_REFUSE_NONE));
    buf_printf(&r.log, "%s %s", http_refusal_name(r.refusal), r.in_body ? "in a body" : "");
    if (how == FUZZ_WHOLE && r.refusal == HTTP_REFUSE_NONE && r.requests > 0)
        check_framing(&r, data, size);
    buf_done(&r.head);
    buf_done(&r.bodies);
    return r.log;
}

FUZZ(http_request, "requests one behind the other mean the same however they are cut; what is accepted is well-formed")
{
    struct buf whole = read_requests(FUZZ_WHOLE, data, size);
    for (int how = FUZZ_BYTES; how <= FUZZ_CUTS; how++) {
        struct buf cut = read_requests(how, data, size);
        FUZZ_CHECK(cut.size == whole.size && memcmp(cut.data, whole.data, whole.size) == 0);
        buf_done(&cut);
    }
    buf_done(&whole);
}

FUZZ_SEEDS(http_request)
{
    fuzz_seed_text("get", "GET /a?b=c HTTP/1.1\r\nHost: a\r\nX: y z\r\nConnection: keep-alive\r\n\r\n");
    fuzz_seed_text("length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n");
    fuzz_seed_text("chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n "
                              "\r\n0\r\n\r\n");
    struct buf large = {0};
    buf_text(&large, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 2; i++)  // together over BODY_MAX
        buf_printf(&large, "%x\r\n%0600d\r\n", 600, i);
    buf_text(&large, "0\r\n\r\n");
    fuzz_seed("large", large.data, large.size);
    buf_done(&large);
    fuzz_seed_text("expect", "PUT /p HTTP/1.1\r\nHost: a:80\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx");
    fuzz_seed_text("options", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    fuzz_seed_text("upgrade", "GET /link/miner HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Protocol: x, corten.miner.v1\r\n\r\n");
}

/* ---- replies ---- */

FUZZ(http_reply, "a server's answer is read or refused; a handshake is taken only with the key's own accept")
{
    struct http_head_scan scan = {0};
    struct http_field field[HTTP_FIELDS_MAX];
    struct http_reply reply;
    enum http_refusal refusal;
    size_t used = 0, skip = 0;
    char protocol[64];
    if (http_head_scan(&scan, (char *)data, size, &used, &skip, &refusal) != HTTP_DONE)
        return;
    if (http_reply_parse((char *)data + skip, used - skip, field, &reply) != HTTP_REFUSE_NONE)
        return;
    FUZZ_CHECK(reply.field_count <= HTTP_FIELDS_MAX);
    FUZZ_CHECK(reply.status >= 100 && reply.status <= 999);
    const char *key = "dGhlIHNhbXBsZSBub25jZQ==";
    if (ws_reply_check(&reply, key, "corten.miner.v1", protocol) != CX_OK)
        return;
    FUZZ_CHECK(reply.status == 101);
    FUZZ_CHECK(protocol[0] == 0 || strcmp(protocol, "corten.miner.v1") == 0);
    const char *accept = http_field_get(reply.field, reply.field_count, "Sec-WebSocket-Accept");
    FUZZ_CHECK(accept && strcmp(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == 0);
}

FUZZ_SEEDS(http_reply)
{
    fuzz_seed_text("ok", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    fuzz_seed_text("switch", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                             "Sec-WebSocket-Protocol: corten.miner.v1\r\n\r\n");
    fuzz_seed_text("no-reason", "HTTP/1.0 503\r\nRetry-After: 1\r\n\r\n");
}

/* ---- paths, queries, values ---- */

/* What is asked for, in a room that is just too small, just right or large. */
static void check_room(enum cx_err (*get)(const char *text, const void *of, char *ret, size_t cap), const char *text,
                       const void *of)
{
    char large[TEXT_MAX + 1];
    enum cx_err err = get(text, of, large, sizeof large);
    FUZZ_CHECK(err == CX_OK || err == CX_NOT_FOUND || err == CX_INVALID || err == CX_TOO_LARGE);
    if (err)
        return;
    size_t size = strlen(large);
    char *small = malloc(size + 1);
    FUZZ_CHECK(small && get(text, of, small, size + 1) == CX_OK && strcmp(small, large) == 0);
    FUZZ_CHECK(size == 0 || get(text, of, small, size) == CX_TOO_LARGE);
    free(small);
}

static enum cx_err query_get(const char *text, const void *of, char *ret, size_t cap)
{
    return http_query_get(text, of, ret, cap);
}

static enum cx_err path_part(const char *text, const void *of, char *ret, size_t cap)
{
    return http_path_part(text, *(const unsigned *)of, ret, cap);
}

FUZZ(http_target, "a path has as many parts as it says; a decoded part or query value fits its room exactly")
{
    char *text = fuzz_text((struct span){data, (uint32_t)size});
    text[0] = text[0] ? '/' : 0;  // as a request's path begins
    if (!text[0]) {
        free(text);
        return;
    }
    unsigned count = http_path_count(text);
    for (unsigned i = 0; i <= count && i < 8; i++)
        check_room(path_part, text, &i);
    char part[TEXT_MAX];
    FUZZ_CHECK(http_path_part(text, count, part, sizeof part) == CX_NOT_FOUND);
    check_room(query_get, text, "a");
    check_room(query_get, text, "limit");
    (void)http_value_has(text, "chunked");
    (void)http_is_token(text);
    (void)ws_close_is_valid((unsigned)size);
    free(text);
}

FUZZ_SEEDS(http_target)
{
    fuzz_seed_text("path", "/api/v1/sessions/%31%32/tasks/");
    fuzz_seed_text("query", "limit=10&a=%e2%82%ac+b&before=");
    fuzz_seed_text("value", "gzip, chunked ,\tx");
}
