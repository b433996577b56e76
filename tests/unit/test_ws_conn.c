/* WebSockets on a loop: our client against our server, raw bytes against both. */
#include <sys/socket.h>
#include <unistd.h>

#include "lib/loop.h"
#include "lib/test.h"
#include "net/http_server.h"
#include "net/ws_conn.h"

/* One end and what it heard. */
struct side {
    struct net_ws *ws;
    struct buf log;  // "open p;text:x;binary of 70000;close 1000 bye;"
    unsigned messages, closes, drains;
    bool echo, pause_after_each, close_in_message, shut_in_message, shut_in_open;
};

static struct side client, server;
static struct http_server *http;
static struct net_ws_options server_options;
static const char *offers;

static void on_open(void *ctx, const char *protocol)
{
    struct side *s = ctx;
    buf_printf(&s->log, "open %s;", protocol);
    if (s->shut_in_open)
        net_ws_shut(s->ws, 1001, "changed my mind");
}

static void on_message(void *ctx, bool text, const char *data, size_t size)
{
    struct side *s = ctx;
    s->messages++;
    if (size > 64)
        buf_printf(&s->log, "%s of %zu;", text ? "text" : "binary", size);
    else
        buf_printf(&s->log, "%s:%.*s;", text ? "text" : "binary", (int)size, data);
    if (s->echo && text)
        net_ws_send_text(s->ws, data, size);
    else if (s->echo)
        net_ws_send_binary(s->ws, data, size);
    if (s->pause_after_each)
        net_ws_pause(s->ws);
    if (s->shut_in_message)
        net_ws_shut(s->ws, 4000, "enough");
    if (s->close_in_message) {
        net_ws_close(s->ws);
        s->ws = NULL;
    }
}

static void on_close(void *ctx, unsigned code, const char *reason)
{
    struct side *s = ctx;
    s->closes++;
    buf_printf(&s->log, "close %u %s;", code, reason);
    net_ws_close(s->ws);  // allowed, and nothing more happens
    s->ws = NULL;
}

static void on_drain(void *ctx)
{
    struct side *s = ctx;
    s->drains++;
}

static const struct net_ws_events events = {
    .on_open = on_open, .on_message = on_message, .on_close = on_close, .on_drain = on_drain};

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    server_options.events = &events;
    server_options.ctx = &server;
    http_upgrade(x, offers, &server_options, &server.ws);
}

static uint16_t serve(void)
{
    struct http_server_options options = {.listen = "127.0.0.1:0", .on_request = on_request};
    CHECK_EQ(http_server_open(test_loop(), &options, &http), CX_OK);
    buf_text(&server.log, "");
    buf_text(&client.log, "");
    return http_server_port(http);
}

static void join(const char *path, struct net_ws_options options)
{
    char url[100];
    snprintf(url, sizeof url, "ws://127.0.0.1:%u%s", http_server_port(http), path);
    options.events = &events;
    options.ctx = &client;
    CHECK_EQ(net_ws_connect(test_loop(), url, &options, &client.ws), CX_OK);
}

static void both_open(struct net_ws_options options)
{
    serve();
    join("/ws?x=1", options);
    RUN_UNTIL(client.log.size > 0);
    CHECK_STR(client.log.data, "open ;");
    CHECK(server.ws && net_ws_is_open(server.ws) && net_ws_is_open(client.ws));
    buf_reset(&client.log);
}

static void tear_down(void)
{
    net_ws_close(client.ws);
    net_ws_close(server.ws);
    http_server_close(http);
    test_loop_done();
    buf_done(&client.log);
    buf_done(&server.log);
}

static void say(struct side *s, const char *text) { CHECK(net_ws_send_text(s->ws, text, strlen(text))); }

TEST(ws_conn, carries_messages_both_ways_in_every_size)
{
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 1000000};
    static char data[1000000];
    server.echo = true;
    both_open((struct net_ws_options){0});
    memset(data, 'x', sizeof data);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        CHECK(net_ws_send_text(client.ws, data, sizes[i]));
        CHECK(net_ws_send_binary(client.ws, data, sizes[i]));
    }
    RUN_UNTIL(client.messages == 14);
    CHECK(strstr(client.log.data, "text:;binary:;text:x;binary:x;text of 125;binary of 125;text of 126;"));
    CHECK(strstr(client.log.data, "text of 65536;binary of 65536;text of 1000000;binary of 1000000;"));
    CHECK_STR(client.log.data, server.log.data);
    tear_down();
}

TEST(ws_conn, chooses_a_subprotocol)
{
    serve();
    offers = "corten.miner.v1+bin,corten.miner.v1";
    join("/", (struct net_ws_options){.protocols = "corten.miner.v1"});
    RUN_UNTIL(client.log.size > 0);
    CHECK_STR(client.log.data, "open corten.miner.v1;");
    CHECK_STR(net_ws_protocol(server.ws), "corten.miner.v1");
    net_ws_close(client.ws);
    client.ws = NULL;
    RUN_UNTIL(server.closes == 1);
    CHECK_STR(server.log.data, "close 1006 the peer closed the connection;");
    buf_reset(&client.log);
    join("/", (struct net_ws_options){.protocols = "other"});
    RUN_UNTIL(client.closes == 1);
    CHECK_STR(client.log.data, "close 1006 the server answered 426 Upgrade Required and not 101;");
    tear_down();
}

TEST(ws_conn, closes_by_handshake_from_either_side)
{
    both_open((struct net_ws_options){0});
    net_ws_shut(client.ws, 1000, "bye");
    CHECK(!net_ws_send_text(client.ws, "x", 1));
    RUN_UNTIL(client.closes && server.closes);
    CHECK_STR(server.log.data, "close 1000 bye;");
    CHECK_STR(client.log.data, "close 1000 ;");
    buf_reset(&client.log);
    join("/", (struct net_ws_options){0});
    RUN_UNTIL(server.ws && client.log.size > 0);
    say(&server, "last");
    net_ws_shut(server.ws, 1001, "going away");
    RUN_UNTIL(client.closes == 2 && server.closes == 2);
    CHECK_STR(client.log.data, "open ;text:last;close 1001 going away;");
    tear_down();
}

TEST(ws_conn, may_be_closed_inside_every_callback)
{
    both_open((struct net_ws_options){0});
    server.close_in_message = true;
    say(&client, "a");
    say(&client, "b");
    RUN_UNTIL(client.closes == 1);
    CHECK_EQ(server.messages, 1);
    CHECK_EQ(server.closes, 0);
    server.close_in_message = false;
    server.shut_in_message = true;
    client.shut_in_open = false;
    join("/", (struct net_ws_options){0});
    RUN_UNTIL(strstr(client.log.data, "open ;"));
    say(&client, "a");
    say(&client, "b");
    RUN_UNTIL(client.closes == 2 && server.closes == 1);
    CHECK_EQ(server.messages, 2);
    CHECK(strstr(client.log.data, "close 4000 enough;"));
    client.shut_in_open = true;
    join("/", (struct net_ws_options){0});
    RUN_UNTIL(client.closes == 3 && server.closes == 2);
    CHECK(strstr(server.log.data, "close 1001 changed my mind;"));
    join("/", (struct net_ws_options){0});
    net_ws_shut(client.ws, 1000, "");
    RUN_UNTIL(client.closes == 4);
    tear_down();
}

TEST(ws_conn, delivers_one_message_a_time_while_paused_and_resumed)
{
    both_open((struct net_ws_options){0});
    server.pause_after_each = true;
    for (int i = 0; i < 5; i++)
        say(&client, "m");
    for (unsigned i = 1; i <= 5; i++) {
        RUN_UNTIL(server.messages == i);
        for (int k = 0; k < 5; k++)
            net_loop_turn(test_loop(), false);
        CHECK_EQ(server.messages, i);
        net_ws_resume(server.ws);
    }
    say(&client, "n");
    RUN_UNTIL(server.messages == 6);
    tear_down();
}

TEST(ws_conn, tells_a_producer_of_a_slow_reader)
{
    server_options.limits = (struct net_conn_limits){.high = 300000, .low = 1000};
    both_open((struct net_ws_options){0});
    net_ws_pause(client.ws);
    static char data[100000];
    while (!net_ws_is_full(server.ws)) {
        net_ws_send_binary(server.ws, data, sizeof data);
        net_loop_turn(test_loop(), false);
    }
    CHECK(net_ws_queued(server.ws) > 300000);
    CHECK_EQ(client.messages, 0);
    net_ws_resume(client.ws);
    RUN_UNTIL(server.drains == 1);
    CHECK(!net_ws_is_full(server.ws));
    CHECK(client.messages > 2);
    tear_down();
}

TEST(ws_conn, gives_up_a_peer_that_is_not_there_any_more)
{
    server_options.ping_ms = 20;
    server_options.dead_ms = 70;
    int fd = socket_to(serve());
    const char *hello = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    CHECK_EQ(send(fd, hello, strlen(hello), 0), (ssize_t)strlen(hello));
    RUN_UNTIL(server.closes == 1);
    CHECK_STR(server.log.data, "close 1006 nothing came from the peer, not even an answer to pings;");
    char in[1000];
    ssize_t size = recv(fd, in, sizeof in - 1, 0);
    CHECK(size > 0);
    in[size] = '\0';
    CHECK(strstr(in, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") && strstr(in, "\r\n\r\n\x89"));
    close(fd);
    tear_down();
}

TEST(ws_conn, keeps_a_silent_peer_that_answers_pings)
{
    server_options.ping_ms = 10;
    server_options.dead_ms = 40;
    both_open((struct net_ws_options){0});
    uint64_t until_ms = net_now_ms(test_loop()) + 200;
    RUN_UNTIL(net_now_ms(test_loop()) > until_ms);
    CHECK(net_ws_is_open(server.ws) && net_ws_is_open(client.ws));
    tear_down();
}

#define HELLO                                                                    \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

TEST(ws_conn, ends_garbage_with_a_code_on_that_connection_alone)
{
    both_open((struct net_ws_options){0});
    struct net_ws *good = server.ws;
    static const struct {
        const char *bytes;
        size_t size;
        const char *log;
        char code[2];
    } cases[] = {
        {"GET / HTTP/1.1\r\n", 16, "close 1002 ", {0x03, (char)0xea}},
        {"\x81\x05hello", 7, "close 1002 a client's frame is not masked", {0x03, (char)0xea}},
        {"\x81\x81\x00\x00\x00\x00\xff", 7, "close 1007 ", {0x03, (char)0xef}},
        {"\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00", 14, "close 1009 ", {0x03, (char)0xf1}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct raw c;
        unsigned closes = server.closes;
        buf_reset(&server.log);
        raw_open(&c, http_server_port(http));
        raw_send(&c, HELLO);
        RUN_UNTIL(raw_has(&c, "\r\n\r\n"));
        size_t head = c.in.size;
        net_conn_send(c.conn, cases[i].bytes, cases[i].size);
        RUN_UNTIL(!c.conn && server.closes == closes + 1);
        CHECK(strstr(server.log.data, cases[i].log));
        CHECK(c.in.size > head + 4);
        CHECK_EQ((uint8_t)c.in.data[head], 0x88);
        CHECK_MEM(c.in.data + head + 2, cases[i].code, 2);
        raw_done(&c);
    }
    server.ws = good;
    CHECK(net_ws_is_open(good));
    say(&client, "still here");
    RUN_UNTIL(strstr(server.log.data, "text:still here;"));
    tear_down();
}

TEST(ws_conn, takes_frames_that_came_behind_the_handshake)
{
    struct raw c;
    raw_open(&c, serve());
    RUN_UNTIL(c.open);
    struct buf out = {0};
    buf_text(&out, HELLO);
    ws_put(&out, WS_TEXT, false, "ear", 3, (const uint8_t *)"abcd");
    ws_put(&out, WS_PING, true, "p", 1, (const uint8_t *)"abcd");
    ws_put(&out, WS_CONTINUATION, true, "ly", 2, (const uint8_t *)"abcd");
    net_conn_send(c.conn, out.data, out.size);
    RUN_UNTIL(server.messages == 1);
    CHECK_STR(server.log.data, "text:early;");
    RUN_UNTIL(raw_has(&c, "\x8a\x01p"));
    buf_done(&out);
    raw_done(&c);
    tear_down();
}

TEST(ws_conn, gives_up_a_peer_that_does_not_answer_the_close)
{
    struct raw c;
    server_options.close_ms = 30;
    raw_open(&c, serve());
    raw_send(&c, HELLO);
    RUN_UNTIL(raw_has(&c, "\r\n\r\n"));
    net_ws_shut(server.ws, 1001, "restart");
    RUN_UNTIL(server.closes == 1);
    CHECK_STR(server.log.data, "close 1001 the peer did not answer the close;");
    RUN_UNTIL(!c.conn);
    CHECK(raw_has(&c, "restart"));
    raw_done(&c);
    tear_down();
}

TEST(ws_conn, refuses_handshakes_by_name)
{
    struct raw c;
    raw_open(&c, serve());
    raw_send(&c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    RUN_UNTIL(raw_has(&c, "WS_HANDSHAKE"));
    CHECK(raw_has(&c, "HTTP/1.1 400 Bad Request") && raw_has(&c, "Sec-WebSocket-Version: 13"));
    raw_done(&c);
    CHECK(!server.ws);
    tear_down();
}

TEST(ws_conn, names_bad_urls_and_servers)
{
    static const char *const bad[] = {"http://a/",  "ws://",     "ws://a:0/", "ws://a:99999", "ws://u@a/",
                                      "ws://a/b c", "ws://[::1", "ws://a:x",  "ws:///x",      ""};
    struct net_ws_options options = {.events = &events, .ctx = &client};
    uint16_t port = serve();
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CHECK_EQ(net_ws_connect(test_loop(), bad[i], &options, &client.ws), CX_INVALID);
    http_server_close(http);
    http = NULL;
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%u", port);
    CHECK_EQ(net_ws_connect(test_loop(), url, &options, &client.ws), CX_OK);
    RUN_UNTIL(client.closes == 1);
    CHECK(strstr(client.log.data, "close 1006 cannot connect to 127.0.0.1 port"));
    tear_down();
}

static void hold(void *ctx, struct http_exchange *x) { *(struct http_exchange **)ctx = x; }

TEST(ws_conn, gives_up_a_server_that_does_not_shake_hands)
{
    static struct http_exchange *held;
    struct http_server_options options = {.listen = "127.0.0.1:0", .on_request = hold, .ctx = &held};
    CHECK_EQ(http_server_open(test_loop(), &options, &http), CX_OK);
    join("/", (struct net_ws_options){.connect_ms = 40});
    RUN_UNTIL(client.closes == 1);
    CHECK_STR(client.log.data, "close 1006 the server took too long for the WebSocket handshake;");
    http_drop(held);
    tear_down();
}
