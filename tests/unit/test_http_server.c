/* The HTTP server: real sockets, real bytes. */
#include <sys/socket.h>
#include <unistd.h>

#include "lib/loop.h"
#include "lib/test.h"
#include "net/http_server.h"

static struct http_server *server;
static struct http_exchange *held;  // of GET /hold and /stream
static unsigned gone, drained, requests;
static struct net_timer later;

static void on_gone(void *ctx)
{
    (void)ctx;
    gone++;
}

static void on_drain(void *ctx)
{
    (void)ctx;
    drained++;
}

static void respond_later(void *ctx) { http_respond(ctx, 200, "text/plain", "later", 5); }

static void echo(struct http_exchange *x)
{
    size_t size;
    const char *body = http_request_body(x, &size);
    char *kept = http_alloc(x, size + 1);
    memcpy(kept, body, size);
    CHECK_EQ(http_add_header(x, "X-Echo", "yes"), CX_OK);
    CHECK_EQ(http_add_header(x, "X-Bad", "a\r\nb"), CX_INVALID);
    http_respond(x, 201, "text/plain", kept, size);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    const char *path = http_request(x)->path;
    CHECK(ctx == &server);
    requests++;
    if (strcmp(path, "/echo") == 0) {
        echo(x);
    } else if (strcmp(path, "/hold") == 0) {
        http_watch(x, on_gone, on_drain, NULL);
        held = x;
    } else if (strcmp(path, "/stream") == 0) {
        http_watch(x, on_gone, on_drain, NULL);
        http_stream_begin(x, 200, "text/event-stream");
        held = x;
    } else if (strcmp(path, "/later") == 0) {
        net_timer_start(test_loop(), &later, 5, respond_later, x);
    } else if (strcmp(path, "/drop") == 0) {
        http_drop(x);
    } else if (strcmp(path, "/close-server") == 0) {
        http_server_close(server);
        server = NULL;
        http_respond(x, 200, "text/plain", "nobody", 6);
    } else {
        http_respond_error(x, 404, "NOT_FOUND", "path", "no such path: %s", path);
    }
}

static uint64_t body_size_max(void *ctx, const struct http_request *request)
{
    (void)ctx;
    return strcmp(request->path, "/echo") == 0 ? 3000000 : 10;
}

static uint16_t serve(struct http_server_options options)
{
    options.listen = "127.0.0.1:0";
    options.on_request = on_request;
    options.body_size_max = body_size_max;
    options.ctx = &server;
    CHECK_EQ(http_server_open(test_loop(), &options, &server), CX_OK);
    return http_server_port(server);
}

static void tear_down(void)
{
    http_server_close(server);
    test_loop_done();
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

TEST(http_server, answers_and_keeps_the_connection)
{
    struct raw c;
    raw_open(&c, serve((struct http_server_options){0}));
    raw_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    RUN_UNTIL(raw_has(&c, "hello"));
    CHECK(raw_has(&c, "HTTP/1.1 201 Created\r\n"));
    CHECK(raw_has(&c, "\r\nContent-Type: text/plain\r\nX-Echo: yes\r\nContent-Length: 5\r\n\r\nhello"));
    CHECK(raw_has(&c, "\r\nDate: "));
    CHECK(!raw_has(&c, "X-Bad") && !raw_has(&c, "Connection: close"));
    buf_reset(&c.in);
    raw_send(&c, GET("/nothing"));
    RUN_UNTIL(raw_has(&c, "}}"));
    CHECK(raw_has(&c, "{\"error\":{\"code\":\"NOT_FOUND\",\"message\":\"no such path: /nothing\","
                      "\"type\":\"invalid_request_error\",\"param\":\"path\"}}"));
    CHECK_EQ(http_server_connections(server), 1);
    raw_done(&c);
    RUN_UNTIL(http_server_connections(server) == 0);
    tear_down();
}

TEST(http_server, takes_a_request_that_comes_byte_by_byte)
{
    struct raw c;
    const char *bytes =
        "\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    raw_open(&c, serve((struct http_server_options){0}));
    RUN_UNTIL(c.open);
    for (; *bytes; bytes++) {
        net_conn_send(c.conn, bytes, 1);
        net_loop_turn(test_loop(), false);
        net_loop_turn(test_loop(), false);
    }
    RUN_UNTIL(raw_has(&c, "\r\n\r\nabcde"));
    raw_done(&c);
    tear_down();
}

static unsigned count(const char *in, const char *what)
{
    unsigned n = 0;
    for (const char *at = strstr(in, what); at; at = strstr(at + 1, what))
        n++;
    return n;
}

TEST(http_server, answers_pipelined_requests_in_order)
{
    struct raw c;
    raw_open(&c, serve((struct http_server_options){0}));
    raw_send(&c, GET("/a") GET("/later") GET("/b"));
    for (int i = 0; i < 1000; i++)
        raw_send(&c, GET("/c"));
    RUN_UNTIL(requests == 1003 && count(c.in.data, "HTTP/1.1 ") == 1003);
    const char *a = strstr(c.in.data, "/a"), *l = strstr(c.in.data, "later"), *b = strstr(c.in.data, "/b");
    CHECK(a && l && b && a < l && l < b && b < strstr(c.in.data, "/c"));
    raw_done(&c);
    tear_down();
}

TEST(http_server, ends_garbage_in_a_named_error_on_that_connection_alone)
{
    static const struct {
        const char *bytes, *status, *code;
    } cases[] = {
        {"hello there\r\n\r\n", "HTTP/1.1 400 ", "HTTP_SYNTAX"},
        {"\x16\x03\x01\x02", "HTTP/1.1 400 ", "HTTP_CONTROL"},
        {"GET / HTTP/1.1\nHost: a\n\n", "HTTP/1.1 400 ", "HTTP_LINE_END"},
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", "HTTP_HOST_MISSING"},
        {"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n12345678901", "HTTP/1.1 413 ",
         "HTTP_BODY_TOO_LARGE"},
        {"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 ", "HTTP_CHUNK"},
        {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 ", "HTTP_METHOD_UNKNOWN"},
    };
    struct raw good;
    uint16_t port = serve((struct http_server_options){0});
    raw_open(&good, port);
    raw_send(&good, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct raw c;
        raw_open(&c, port);
        raw_send(&c, cases[i].bytes);
        RUN_UNTIL(!c.conn);
        CHECK(strncmp(c.in.data, cases[i].status, 13) == 0);
        CHECK(raw_has(&c, cases[i].code));
        CHECK(raw_has(&c, "Connection: close") && raw_has(&c, "invalid_request_error") == (cases[i].status[9] == '4'));
        raw_done(&c);
    }
    CHECK_EQ(requests, 0);
    raw_send(&good, "llo");
    RUN_UNTIL(raw_has(&good, "\r\n\r\nhello"));
    raw_done(&good);
    tear_down();
}

TEST(http_server, refuses_a_body_over_the_limit_before_it_comes)
{
    struct raw c;
    raw_open(&c, serve((struct http_server_options){0}));
    raw_send(&c, "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
    RUN_UNTIL(!c.conn);
    CHECK(raw_has(&c, "413 Content Too Large") && !raw_has(&c, "100 Continue"));
    raw_done(&c);
    raw_open(&c, http_server_port(server));
    raw_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    RUN_UNTIL(raw_has(&c, "100 Continue\r\n\r\n"));
    CHECK_EQ(requests, 0);
    raw_send(&c, "abc");
    RUN_UNTIL(raw_has(&c, "\r\n\r\nabc"));
    raw_done(&c);
    tear_down();
}

TEST(http_server, takes_a_large_body)
{
    struct raw c;
    raw_open(&c, serve((struct http_server_options){0}));
    raw_send(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
    static char body[2000001];
    memset(body, 'x', 2000000);
    raw_send(&c, body);
    RUN_UNTIL(c.in.size > 2000000);
    CHECK(strcmp(c.in.data + c.in.size - 2000000, body) == 0);
    raw_done(&c);
    tear_down();
}

TEST(http_server, streams_in_chunks_and_ends_them)
{
    struct raw c;
    raw_open(&c, serve((struct http_server_options){0}));
    raw_send(&c, GET("/stream"));
    RUN_UNTIL(raw_has(&c, "Transfer-Encoding: chunked\r\n\r\n"));
    http_stream_send(held, "one", 3);
    struct buf *piece = http_stream_open_piece(held);
    buf_text(piece, "two");
    http_stream_close_piece(held);
    RUN_UNTIL(raw_has(&c, "00000003\r\none\r\n00000003\r\ntwo\r\n"));
    http_stream_end(held);
    RUN_UNTIL(raw_has(&c, "\r\n0\r\n\r\n"));
    buf_reset(&c.in);
    raw_send(&c, GET("/stream"));
    RUN_UNTIL(raw_has(&c, "\r\n\r\n"));
    http_stream_cut(held);
    RUN_UNTIL(!c.conn);
    CHECK(!raw_has(&c, "0\r\n\r\n"));
    CHECK_EQ(gone, 0);
    raw_done(&c);
    tear_down();
}

TEST(http_server, ends_an_http_1_0_stream_with_the_connection)
{
    struct raw c;
    raw_open(&c, serve((struct http_server_options){0}));
    raw_send(&c, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    RUN_UNTIL(raw_has(&c, "\r\n\r\n"));
    http_stream_send(held, "one", 3);
    http_stream_end(held);
    RUN_UNTIL(!c.conn);
    CHECK(raw_has(&c, "Connection: close\r\n\r\none") && !raw_has(&c, "chunked"));
    raw_done(&c);
    tear_down();
}

TEST(http_server, sends_no_body_to_head)
{
    struct raw c;
    raw_open(&c, serve((struct http_server_options){0}));
    raw_send(&c, "HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n" GET("/later"));
    RUN_UNTIL(raw_has(&c, "later"));
    CHECK(raw_has(&c, "404 Not Found") && !raw_has(&c, "NOT_FOUND") && !raw_has(&c, "Content-Length: 0"));
    raw_done(&c);
    tear_down();
}

TEST(http_server, tells_when_the_client_has_gone)
{
    struct raw c;
    raw_open(&c, serve((struct http_server_options){0}));
    raw_send(&c, GET("/stream"));
    RUN_UNTIL(raw_has(&c, "\r\n\r\n"));
    raw_done(&c);
    RUN_UNTIL(gone == 1);
    CHECK(http_is_gone(held));
    http_stream_send(held, "x", 1);
    buf_text(http_stream_open_piece(held), "y");
    http_stream_close_piece(held);
    http_stream_end(held);
    raw_open(&c, http_server_port(server));
    raw_send(&c, GET("/hold") GET("/hold"));
    RUN_UNTIL(requests == 2);
    net_loop_turn(test_loop(), false);
    raw_done(&c);
    RUN_UNTIL(gone == 2);
    http_respond(held, 200, NULL, "x", 1);
    CHECK_EQ(requests, 2);
    tear_down();
}

TEST(http_server, makes_a_producer_wait_for_a_slow_reader)
{
    int fd = socket_to(serve((struct http_server_options){.queue_high = 100000, .queue_low = 1000}));
    const char *request = GET("/stream");
    CHECK_EQ(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    RUN_UNTIL(held);
    static char piece[50000];
    while (!http_stream_is_full(held)) {
        http_stream_send(held, piece, sizeof piece);
        net_loop_turn(test_loop(), false);
    }
    CHECK(http_stream_queued(held) > 100000);
    while (drained == 0) {
        recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        net_loop_turn(test_loop(), false);
    }
    CHECK(!http_stream_is_full(held));
    http_stream_end(held);
    close(fd);
    RUN_UNTIL(http_server_connections(server) == 0);
    tear_down();
}

TEST(http_server, gives_up_slow_heads_bodies_and_idle_connections)
{
    struct raw idle, head, body, fresh;
    uint16_t port =
        serve((struct http_server_options){.header_timeout_ms = 60, .body_timeout_ms = 60, .idle_timeout_ms = 60});
    raw_open(&idle, port);
    raw_open(&head, port);
    raw_open(&body, port);
    raw_open(&fresh, port);
    raw_send(&idle, GET("/a"));
    raw_send(&head, "GET / HT");
    raw_send(&body, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    RUN_UNTIL(!idle.conn && !head.conn && !body.conn && !fresh.conn);
    CHECK_EQ(count(idle.in.data, "HTTP/1.1"), 1);
    CHECK(raw_has(&head, "408 Request Timeout") && raw_has(&head, "HTTP_HEAD_TIMEOUT"));
    CHECK(raw_has(&body, "408 Request Timeout") && raw_has(&body, "HTTP_BODY_TIMEOUT"));
    CHECK_EQ(fresh.in.size, 0);
    raw_done(&idle);
    raw_done(&head);
    raw_done(&body);
    raw_done(&fresh);
    tear_down();
}

TEST(http_server, refuses_connections_over_the_limit)
{
    struct raw a, b;
    uint16_t port = serve((struct http_server_options){.connections_max = 1});
    raw_open(&a, port);
    RUN_UNTIL(http_server_connections(server) == 1);
    raw_open(&b, port);
    RUN_UNTIL(!b.conn);
    CHECK(raw_has(&b, "503 Service Unavailable") && raw_has(&b, "HTTP_CONNECTIONS"));
    raw_send(&a, GET("/a"));
    RUN_UNTIL(raw_has(&a, "NOT_FOUND"));
    raw_done(&a);
    raw_done(&b);
    tear_down();
}

static bool stopped;

static void on_stopped(void *ctx)
{
    (void)ctx;
    stopped = true;
    http_server_close(server);
    server = NULL;
}

TEST(http_server, stops_after_what_is_under_way)
{
    struct raw idle, busy, late;
    uint16_t port = serve((struct http_server_options){0});
    raw_open(&idle, port);
    raw_open(&busy, port);
    raw_send(&busy, GET("/hold"));
    RUN_UNTIL(held && http_server_connections(server) == 2);
    http_server_stop(server, on_stopped, NULL);
    RUN_UNTIL(!idle.conn);
    raw_open(&late, port);
    RUN_UNTIL(!late.conn);
    CHECK(!late.open && !stopped);
    http_respond(held, 200, "text/plain", "done", 4);
    RUN_UNTIL(stopped && !busy.conn);
    CHECK(raw_has(&busy, "Connection: close") && raw_has(&busy, "\r\n\r\ndone"));
    raw_done(&idle);
    raw_done(&busy);
    raw_done(&late);
    test_loop_done();
}

TEST(http_server, may_be_closed_and_dropped_inside_a_handler)
{
    struct raw a, b, c;
    uint16_t port = serve((struct http_server_options){0});
    raw_open(&a, port);
    raw_send(&a, GET("/drop") GET("/drop"));
    RUN_UNTIL(!a.conn);
    CHECK_EQ(requests, 1);
    raw_open(&b, port);
    raw_send(&b, GET("/hold"));
    RUN_UNTIL(requests == 2);
    raw_open(&c, port);
    raw_send(&c, GET("/close-server") GET("/a"));
    RUN_UNTIL(!c.conn && !b.conn);
    CHECK_EQ(gone, 1);
    http_respond(held, 200, NULL, NULL, 0);
    raw_done(&a);
    raw_done(&b);
    raw_done(&c);
    test_loop_done();
}
