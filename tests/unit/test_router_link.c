/* The near end of a link to a router: docs/protocol.md, "Miner link". */
#include "lib/test.h"
#include "miner/router_link.h"
#include "net/http_server.h"

#define PATIENCE_MS 20000

struct end {
    struct net_loop *loop;
    struct key *key;
    struct router_link *link;
    struct http_server *server;
    struct net_ws *ws;  // the router's end
    uint32_t downs, frames, accepted;
    bool binary;                     // the router speaks bytes alone; else JSON alone
    bool wanted;                     // on_challenge's answer
    struct exchange_offer exchange;  // the router's
    char why[256], heard[4096], url[64];
    size_t heard_size;
    struct net_timer patience;
};

static bool on_challenge(void *ctx, const struct link_challenge *challenge, struct link_hello *ret_hello)
{
    struct end *e = ctx;
    CHECK_EQ(challenge->network, 5);
    ret_hello->slots = 3;
    if (!e->wanted)
        cx_fail(CX_DENIED, "not this one");
    return e->wanted;
}

static void on_frame(void *ctx, struct link_frame *frame)
{
    (void)frame;
    ((struct end *)ctx)->frames++;
}

static void on_down(void *ctx, const char *why)
{
    struct end *e = ctx;
    e->downs++;
    snprintf(e->why, sizeof e->why, "%s", why);
}

static void on_drain(void *ctx) { (void)ctx; }

static const struct router_link_events events = {on_challenge, on_frame, on_down, on_drain};

static enum cx_err open_link(struct end *e, const char *url)
{
    const struct router_link_options options = {.loop = e->loop,
                                                .url = url,
                                                .path = LINK_PATH_MINER,
                                                .protocols = LINK_PROTOCOLS_MINER,
                                                .place = "test",
                                                .key = e->key,
                                                .events = &events,
                                                .ctx = e};
    return router_link_open(&options, &e->link);
}

static void impatient(void *ctx)
{
    (void)ctx;
    test_fail(__FILE__, __LINE__, "nothing came of it");
}

#define UNTIL(e, what)                                                           \
    do {                                                                         \
        net_timer_start((e)->loop, &(e)->patience, PATIENCE_MS, impatient, (e)); \
        while (!(what))                                                          \
            net_loop_turn((e)->loop, true);                                      \
        net_timer_stop(&(e)->patience);                                          \
    } while (0)

static struct end *end_open(void)
{
    struct end *e = calloc(1, sizeof *e);
    const uint8_t secret[KEY_SECRET_SIZE] = {[31] = 3};
    CHECK_EQ(net_loop_open(&e->loop), CX_OK);
    CHECK_EQ(key_from_bytes(secret, &e->key), CX_OK);
    e->wanted = true;
    return e;
}

static void end_close(struct end *e)
{
    router_link_close(e->link);
    net_ws_close(e->ws);
    http_server_close(e->server);
    net_loop_close(e->loop);
    key_close(e->key);
    free(e);
}

/* ---- a router that says what the test wants ---- */

static void router_message(void *ctx, bool text, const char *data, size_t size)
{
    struct end *e = ctx;
    CHECK(text != e->binary);
    CHECK(size <= sizeof e->heard);
    memcpy(e->heard, data, size);
    e->heard_size = size;
}

static void router_close(void *ctx, unsigned code, const char *reason)
{
    (void)code;
    (void)reason;
    ((struct end *)ctx)->ws = NULL;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    static const struct net_ws_events ws_events = {NULL, router_message, router_close, NULL};
    struct end *e = ctx;
    CHECK_STR(http_request(x)->path, LINK_PATH_MINER);
    const struct net_ws_options options = {.events = &ws_events, .ctx = e};
    http_upgrade(x, e->binary ? LINK_PROTOCOL_MINER_BINARY : LINK_PROTOCOL_MINER, &options, &e->ws);
    CHECK(e->ws);
    e->accepted++;
}

static void open_server(struct end *e)
{
    const struct http_server_options options = {.listen = "127.0.0.1:0", .on_request = on_request, .ctx = e};
    CHECK_EQ(http_server_open(e->loop, &options, &e->server), CX_OK);
    snprintf(e->url, sizeof e->url, "http://127.0.0.1:%u", http_server_port(e->server));
}

static void say(struct end *e, const struct link_frame *frame)
{
    struct buf out = {0};
    if (e->binary) {
        link_encode_binary(frame, &out);
        CHECK(net_ws_send_binary(e->ws, out.data, out.size));
    } else {
        link_encode(frame, &out);
        CHECK(net_ws_send_text(e->ws, out.data, out.size));
    }
    buf_done(&out);
}

static void begin(struct end *e)
{
    uint32_t before = e->accepted;
    UNTIL(e, e->accepted > before);
    e->heard_size = 0;
    exchange_offer_generate(&e->exchange);
    say(e, &(struct link_frame){.type = LINK_CHALLENGE,
                                .challenge = {.network = 5, .nonce.b = {1}, .exchange = e->exchange.public}});
}

/* ---- tests ---- */

TEST(router_link, takes_the_addresses_that_people_write)
{
    static const char *const good[][2] = {
        {"ws://h:1", "ws://h:1/link/miner"},           {"http://h:1/", "ws://h:1/link/miner"},
        {"https://h", "wss://h/link/miner"},           {"wss://h/else", "wss://h/else"},
        {"http://[::1]:5", "ws://[::1]:5/link/miner"},
    };
    static const char *const bad[] = {"", "h:1", "ftp://h", "ws:h"};
    struct end *e = end_open();
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        CHECK_EQ(open_link(e, good[i][0]), CX_OK);
        CHECK_STR(router_link_url(e->link), good[i][1]);
        router_link_close(cx_take(&e->link));
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CHECK_EQ(open_link(e, bad[i]), CX_INVALID);
    end_close(e);
}

static void check_says_hello(bool binary)
{
    struct end *e = end_open();
    struct link_frame hello;
    e->binary = binary;
    open_server(e);
    CHECK_EQ(open_link(e, e->url), CX_OK);
    router_link_start(e->link);
    begin(e);
    UNTIL(e, e->heard_size > 0);
    CHECK_EQ((binary ? link_decode_binary(e->heard, e->heard_size, LINK_U, &hello)
                     : link_decode(e->heard, e->heard_size, LINK_U, &hello)),
             CX_OK);
    CHECK_EQ(hello.type, LINK_HELLO);
    CHECK_EQ(hello.hello.slots, 3);
    const struct link_hello_terms terms = {.network = 5,
                                           .node = *key_address(e->key),
                                           .nonce.b = {1},
                                           .router_exchange = e->exchange.public,
                                           .node_exchange = hello.hello.exchange};
    CHECK_EQ(link_hello_check(&terms, hello.hello.signature), CX_OK);
    link_frame_done(&hello);
    CHECK(!router_link_is_up(e->link));
    CHECK(!router_link_send(e->link, &(struct link_frame){.type = LINK_STATS}));
    say(e, &(struct link_frame){.type = LINK_WELCOME, .welcome.nonce_next = 1});
    UNTIL(e, e->frames == 1);
    CHECK(router_link_takes(e->link));
    CHECK_EQ(router_link_network(e->link), 5);
    CHECK_EQ(e->downs, 0);
    end_close(e);
}

TEST(router_link, says_hello_and_is_up_when_that_is_answered)
{
    check_says_hello(false);
}

TEST(router_link, speaks_bytes_where_the_router_does)
{
    check_says_hello(true);
}

TEST(router_link, comes_back_by_itself)
{
    struct end *e = end_open();
    open_server(e);
    CHECK_EQ(open_link(e, e->url), CX_OK);
    router_link_start(e->link);
    for (uint32_t i = 1; i <= 3; i++) {
        begin(e);
        say(e, &(struct link_frame){.type = LINK_WELCOME, .welcome.nonce_next = 1});
        UNTIL(e, router_link_is_up(e->link));
        net_ws_close(cx_take(&e->ws));
        UNTIL(e, e->downs == i);
        CHECK(!router_link_is_up(e->link));
    }
    end_close(e);
}

static void check_down(struct end *e, const char *why)
{
    uint32_t before = e->downs;
    UNTIL(e, e->downs > before);
    if (!strstr(e->why, why))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", e->why, why);
}

TEST(router_link, leaves_a_router_that_breaks_the_protocol)
{
    struct end *e = end_open();
    open_server(e);
    CHECK_EQ(open_link(e, e->url), CX_OK);
    router_link_start(e->link);
    UNTIL(e, e->accepted == 1);
    say(e, &(struct link_frame){.type = LINK_DRAIN});
    check_down(e, "did not begin with one challenge");
    begin(e);
    net_ws_send_text(e->ws, "{}", 2);
    check_down(e, "type: missing");
    begin(e);
    net_ws_send_binary(e->ws, "x", 1);
    check_down(e, "no text");
    e->binary = true;
    begin(e);
    net_ws_send_text(e->ws, "{}", 2);
    check_down(e, "text, and not bytes");
    begin(e);
    net_ws_send_binary(e->ws, "\x0c", 1);
    check_down(e, "a frame of the router: lease: missing");
    e->binary = false;
    e->wanted = false;
    begin(e);
    check_down(e, "not this one");
    e->wanted = true;
    begin(e);
    say(e, &(struct link_frame){.type = LINK_ERROR, .error = {.code = "NODE_BANNED", .message = "go away"}});
    net_ws_shut(e->ws, LINK_CLOSE_BREACH, "NODE_BANNED");
    check_down(e, "NODE_BANNED: go away");
    CHECK_EQ(e->frames, 0);
    end_close(e);
}

TEST(router_link, a_shut_link_says_goodbye_and_stays_away)
{
    struct end *e = end_open();
    open_server(e);
    CHECK_EQ(open_link(e, e->url), CX_OK);
    router_link_start(e->link);
    begin(e);
    say(e, &(struct link_frame){.type = LINK_WELCOME, .welcome.nonce_next = 1});
    UNTIL(e, router_link_is_up(e->link));
    router_link_shut(e->link, "drained");
    UNTIL(e, e->downs == 1 && !e->ws);
    http_server_close(cx_take(&e->server));
    while (net_loop_turn(e->loop, false))
        CHECK_EQ(e->accepted, 1);  // until nothing is left that could happen
    end_close(e);
}

TEST(router_link, an_address_where_nobody_listens_is_tried_again)
{
    struct end *e = end_open();
    open_server(e);
    CHECK_EQ(open_link(e, e->url), CX_OK);
    http_server_close(cx_take(&e->server));
    router_link_start(e->link);
    UNTIL(e, e->downs == 2);
    router_link_shut(e->link, "drained");
    UNTIL(e, e->downs == 3);
    end_close(e);
}
