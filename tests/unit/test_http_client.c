/* The HTTP client against our server. */
#include "lib/loop.h"
#include "lib/test.h"
#include "net/http_client.h"
#include "net/http_server.h"

struct result {
    struct http_call *call;
    struct buf log;  // "head 200 text/plain;body abc;"
    unsigned done, status;
    enum cx_err err;
    char why[300];
    struct buf body;
    size_t received;
    bool pause_in_head, pause_in_body, cancel_in_body, send_in_body;
};

static struct http_server *server;
static struct http_client *client;
static struct http_exchange *held;
static unsigned gone;

static void on_gone(void *ctx)
{
    (void)ctx;
    gone++;
    http_drop(held);
    held = NULL;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    const char *path = http_request(x)->path;
    size_t size;
    const char *body = http_request_body(x, &size);
    (void)ctx;
    if (strcmp(path, "/echo") == 0) {
        http_add_header(x, "X-Method", http_method_name(http_request(x)->method));
        http_add_header(x, "X-Seen", http_header(x, "X-Extra") ? http_header(x, "X-Extra") : "none");
        http_respond(x, 200, "text/plain", body, size);
    } else if (strcmp(path, "/large") == 0) {
        static char large[3000000];
        http_respond(x, 200, "text/plain", large, sizeof large);
    } else if (strcmp(path, "/moved") == 0) {
        http_add_header(x, "Location", "/echo");
        http_respond(x, 302, NULL, NULL, 0);
    } else {
        http_watch(x, on_gone, NULL, NULL);
        http_stream_begin(x, 200, "text/event-stream");
        held = x;
    }
}

static void on_head(void *ctx, unsigned status, const char *type)
{
    struct result *r = ctx;
    buf_printf(&r->log, "head %u %s;", status, type);
    if (r->pause_in_head)
        http_call_pause(r->call);
}

static void send_to(const char *path, struct http_call_options options, struct result *r);

static void on_body(void *ctx, const char *data, size_t size)
{
    struct result *r = ctx;
    r->received += size;
    if (size < 64)
        buf_printf(&r->log, "body %.*s;", (int)size, data);
    if (r->pause_in_body)
        http_call_pause(r->call);
    if (r->send_in_body) {
        static struct result other;
        r->send_in_body = false;
        send_to("/echo", (struct http_call_options){.body = "x", .body_size = 1}, &other);
    }
    if (r->cancel_in_body) {
        http_call_cancel(r->call);
        r->call = NULL;
    }
}

static void on_done(void *ctx, enum cx_err err, unsigned status)
{
    struct result *r = ctx;
    size_t size;
    const char *body = http_call_body(r->call, &size);
    r->done++;
    r->err = err;
    r->status = status;
    snprintf(r->why, sizeof r->why, "%s", err ? cx_detail() : "");
    buf_add(&r->body, body, size);
    const char *method = http_call_header(r->call, "x-method"), *seen = http_call_header(r->call, "x-seen");
    if (method && seen)
        buf_printf(&r->log, "%s %s;", method, seen);
    http_call_cancel(r->call);  // allowed, and nothing more happens
}

static void set_up(void)
{
    struct http_server_options options = {.listen = "127.0.0.1:0", .on_request = on_request};
    CHECK_EQ(http_server_open(test_loop(), &options, &server), CX_OK);
    CHECK_EQ(http_client_open(test_loop(), &client), CX_OK);
}

static void send_to(const char *path, struct http_call_options options, struct result *r)
{
    char url[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", http_server_port(server), path);
    options.url = url;
    options.on_done = on_done;
    options.ctx = r;
    buf_text(&r->log, "");
    CHECK_EQ(http_client_send(client, &options, &r->call), CX_OK);
}

static void done(struct result *r)
{
    buf_done(&r->log);
    buf_done(&r->body);
}

static void tear_down(void)
{
    http_client_close(client);
    http_server_close(server);
    test_loop_done();
}

TEST(http_client, sends_and_gathers)
{
    struct result a = {0}, b = {0}, c = {0}, d = {0};
    static const char *const fields[] = {"X-Extra: one", "Content-Type: application/json"};
    set_up();
    send_to("/echo",
            (struct http_call_options){
                .body = "hello", .body_size = 5, .fields = fields, .field_count = 2, .on_head = on_head},
            &a);
    send_to("/echo", (struct http_call_options){.method = "PUT", .body = "x\0y", .body_size = 3}, &b);
    send_to("/echo", (struct http_call_options){.method = "DELETE"}, &c);
    send_to("/echo", (struct http_call_options){.method = "HEAD"}, &d);
    RUN_UNTIL(a.done && b.done && c.done && d.done);
    CHECK_EQ(a.err, CX_OK);
    CHECK_EQ(a.status, 200);
    CHECK_STR(a.body.data, "hello");
    CHECK_STR(a.log.data, "head 200 text/plain;POST one;");
    CHECK_STR(b.log.data, "PUT none;");
    CHECK_EQ(b.body.size, 3);
    CHECK_STR(c.log.data, "DELETE none;");
    CHECK_STR(d.log.data, "HEAD none;");
    CHECK_EQ(a.done + b.done + c.done + d.done, 4);
    done(&a);
    done(&b);
    done(&c);
    done(&d);
    tear_down();
}

TEST(http_client, streams_as_it_comes)
{
    struct result r = {0};
    set_up();
    send_to("/stream", (struct http_call_options){.on_head = on_head, .on_body = on_body}, &r);
    RUN_UNTIL(held);
    http_stream_send(held, "one", 3);
    RUN_UNTIL(strstr(r.log.data, "body one;"));
    CHECK_EQ(r.done, 0);
    http_stream_send(held, "two", 3);
    http_stream_end(held);
    RUN_UNTIL(r.done);
    CHECK_STR(r.log.data, "head 200 text/event-stream;body one;body two;");
    CHECK_EQ(r.err, CX_OK);
    done(&r);
    tear_down();
}

TEST(http_client, tells_a_stream_that_was_cut_from_one_that_ended)
{
    struct result r = {0};
    set_up();
    send_to("/stream", (struct http_call_options){.on_body = on_body}, &r);
    RUN_UNTIL(held);
    http_stream_send(held, "one", 3);
    RUN_UNTIL(strstr(r.log.data, "body one;"));
    http_stream_cut(held);
    RUN_UNTIL(r.done);
    CHECK_EQ(r.err, CX_CLOSED);
    CHECK_EQ(r.status, 200);
    done(&r);
    tear_down();
}

TEST(http_client, cancels_and_the_server_notices)
{
    struct result a = {0}, b = {.cancel_in_body = true};
    set_up();
    send_to("/stream", (struct http_call_options){.on_body = on_body}, &a);
    RUN_UNTIL(held);
    http_call_cancel(a.call);
    RUN_UNTIL(gone == 1);
    send_to("/stream", (struct http_call_options){.on_body = on_body}, &b);
    RUN_UNTIL(held);
    http_stream_send(held, "x", 1);
    RUN_UNTIL(gone == 2);
    CHECK_EQ(a.done + b.done, 0);
    done(&a);
    done(&b);
    tear_down();
}

TEST(http_client, holds_the_server_back_while_it_is_paused)
{
    struct result r = {.pause_in_body = true};
    set_up();
    send_to("/large", (struct http_call_options){.on_body = on_body, .stall_ms = 30}, &r);
    RUN_UNTIL(r.received > 0);
    size_t once = r.received;
    uint64_t until_ms = net_now_ms(test_loop()) + 100;  // longer than the stall limit
    RUN_UNTIL(net_now_ms(test_loop()) > until_ms);
    CHECK_EQ(r.received, once);
    CHECK_EQ(r.done, 0);
    r.pause_in_body = false;
    http_call_resume(r.call);
    RUN_UNTIL(r.done);
    CHECK_EQ(r.err, CX_OK);
    CHECK_EQ(r.received, 3000000);
    done(&r);
    tear_down();
}

TEST(http_client, may_be_paused_as_soon_as_the_head_is_there)
{
    struct result r = {.pause_in_head = true};
    set_up();
    send_to("/large", (struct http_call_options){.on_head = on_head, .on_body = on_body}, &r);
    RUN_UNTIL(strcmp(r.log.data, "head 200 text/plain;") == 0);
    for (int i = 0; i < 20; i++)
        net_loop_turn(test_loop(), false);
    CHECK_EQ(r.received, 0);
    http_call_resume(r.call);
    RUN_UNTIL(r.done);
    CHECK_EQ(r.received, 3000000);
    CHECK(strcmp(r.log.data, "head 200 text/plain;") == 0);
    done(&r);
    tear_down();
}

TEST(http_client, gives_up_servers_that_are_silent_slow_or_endless)
{
    struct result stall = {0}, total = {0}, large = {0}, nobody = {0};
    set_up();
    send_to("/stream", (struct http_call_options){.stall_ms = 30}, &stall);
    RUN_UNTIL(stall.done);
    CHECK_EQ(stall.err, CX_TIMEOUT);
    CHECK_STR(stall.why, "the server went silent");
    RUN_UNTIL(gone == 1);
    send_to("/stream", (struct http_call_options){.total_ms = 30}, &total);
    RUN_UNTIL(total.done);
    CHECK_EQ(total.err, CX_TIMEOUT);
    send_to("/large", (struct http_call_options){.response_size_max = 1000}, &large);
    RUN_UNTIL(large.done);
    CHECK_EQ(large.err, CX_TOO_LARGE);
    RUN_UNTIL(gone == 2);
    uint16_t port = http_server_port(server);
    http_server_close(server);
    server = NULL;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    struct http_call_options options = {.url = url, .on_done = on_done, .ctx = &nobody};
    CHECK_EQ(http_client_send(client, &options, &nobody.call), CX_OK);
    RUN_UNTIL(nobody.done);
    CHECK_EQ(nobody.err, CX_IO);
    CHECK_EQ(nobody.status, 0);
    CHECK(strstr(nobody.why, "connect"));
    done(&stall);
    done(&total);
    done(&large);
    done(&nobody);
    tear_down();
}

TEST(http_client, follows_no_redirect)
{
    struct result r = {0};
    set_up();
    send_to("/moved", (struct http_call_options){0}, &r);
    RUN_UNTIL(r.done);
    CHECK_EQ(r.status, 302);
    CHECK_EQ(r.err, CX_OK);
    done(&r);
    tear_down();
}

TEST(http_client, sends_from_inside_a_callback_and_closes_with_calls_under_way)
{
    struct result r = {.send_in_body = true}, waiting = {0};
    set_up();
    send_to("/large", (struct http_call_options){.on_body = on_body}, &r);
    RUN_UNTIL(r.done);
    send_to("/stream", (struct http_call_options){0}, &waiting);
    RUN_UNTIL(held);
    http_client_close(client);
    client = NULL;
    RUN_UNTIL(gone == 1);
    CHECK_EQ(waiting.done, 0);
    done(&r);
    done(&waiting);
    tear_down();
}

TEST(http_client, refuses_bad_requests_by_name)
{
    struct http_call *call = NULL;
    set_up();
    static const char *const urls[] = {"file:///etc/passwd", "ftp://a/", "nonsense", "", "http://"};
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        struct http_call_options options = {.url = urls[i], .on_done = on_done};
        CHECK_EQ(http_client_send(client, &options, &call), CX_INVALID);
        CHECK(strstr(cx_detail(), urls[i]));
    }
    struct http_call_options options = {.url = "http://a/", .method = "GET\r\n", .on_done = on_done};
    CHECK_EQ(http_client_send(client, &options, &call), CX_INVALID);
    static const char *const fields[] = {"X: a\r\nY: b"};
    options = (struct http_call_options){.url = "http://a/", .fields = fields, .field_count = 1, .on_done = on_done};
    CHECK_EQ(http_client_send(client, &options, &call), CX_INVALID);
    tear_down();
}
