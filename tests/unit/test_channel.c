/* Sessions whose evidence is the channel: a precommit carries its link's MAC in place of the node's signature. */
#include <string.h>

#include "lib/live.h"
#include "lib/test.h"
#include "net/ws_conn.h"
#include "proto/link.h"

#define PROMPT "{\"model\":\"" LIVE_MODEL "\",\"prompt\":\"tell me\",\"max_tokens\":40"

static struct buf open_session(struct live *live, const char *evidence)
{
    struct buf body = {0}, field = {0};
    buf_printf(&body, "{\"model\":\"" LIVE_MODEL "\",\"escrow\":\"100000\",\"evidence\":\"%s\"}", evidence);
    struct reply *r = live_ask(live, "POST", "/api/v1/sessions", LIVE_KEY, body.data);
    CHECK_EQ(r->status, 201);
    CHECK_STR(reply_text(r, "evidence"), evidence);
    buf_printf(&field, "Corten-Session: %s", reply_text(r, "session_id"));
    buf_done(&body);
    return field;
}

TEST(channel, answers_without_signatures_and_its_receipt_says_so)
{
    static const char *const evidence[] = {"SIGNED", "CHANNEL"};
    struct live *live = live_open(&(struct live_options){.miners = 2});
    for (int i = 0; i < 2; i++) {
        struct buf session = open_session(live, evidence[i]);
        struct reply *r = live_send(live, "POST", "/v1/completions", LIVE_KEY, PROMPT "}", session.data);
        live_wait(live, r);
        CHECK_EQ(r->status, 200);
        CHECK(reply_has(r, "corten.receipt.answers.0.precommit"));
        CHECK_EQ(reply_has(r, "corten.receipt.answers.0.signature"), i == 0);
        buf_done(&session);
    }
    live_close(live);
}

/* ---- a node that speaks for itself ---- */

struct speaker {
    struct live *live;
    const struct key *key;
    struct net_ws *ws;
    struct mac_key mac_key;
    struct link_offer offer;  // of a task; its strings are gone
    bool closed;
    char error[512];
};

static void say(struct speaker *s, const struct link_frame *frame)
{
    struct buf text = {0};
    link_encode(frame, &text);
    CHECK(net_ws_send_text(s->ws, text.data, text.size));
    buf_done(&text);
}

static void say_hello(struct speaker *s, const struct link_challenge *challenge)
{
    struct exchange_offer offer;
    struct link_frame hello = {.type = LINK_HELLO,
                               .hello = {.version = LINK_VERSION, .node = *key_address(s->key), .slots = 1}};
    exchange_offer_generate(&offer);
    CHECK_EQ(exchange_agree(&offer, EXCHANGE_CALLER, &challenge->exchange, &s->mac_key), CX_OK);
    const struct link_hello_terms terms = {.network = challenge->network,
                                           .router = challenge->router,
                                           .node = hello.hello.node,
                                           .nonce = challenge->nonce,
                                           .router_exchange = challenge->exchange,
                                           .node_exchange = offer.public};
    hello.hello.exchange = offer.public;
    link_hello_sign(&terms, s->key, hello.hello.signature);
    say(s, &hello);
}

static void on_message(void *ctx, bool text, const char *data, size_t size)
{
    struct speaker *s = ctx;
    struct link_frame frame;
    CHECK(text);
    CHECK_EQ(link_decode(data, size, LINK_D, &frame), CX_OK);
    if (frame.type == LINK_CHALLENGE)
        say_hello(s, &frame.challenge);
    else if (frame.type == LINK_OFFER && !frame.offer.round)
        s->offer = frame.offer;
    else if (frame.type == LINK_ERROR)
        snprintf(s->error, sizeof s->error, "%s: %s", frame.error.code, frame.error.message);
    link_frame_done(&frame);
}

static void on_close(void *ctx, unsigned code, const char *reason)
{
    struct speaker *s = ctx;
    (void)reason;
    CHECK_EQ(code, LINK_CLOSE_BREACH);
    s->closed = true;
}

/* Comes in the place of the node whose program died in the middle of an answer. */
static void speak(struct speaker *s, struct live *live)
{
    static const struct net_ws_events events = {.on_message = on_message, .on_close = on_close};
    char url[128];
    *s = (struct speaker){.live = live, .key = live->miner_key[0]};
    snprintf(url, sizeof url, "ws%s" LINK_PATH_MINER, live->url + 4);
    const struct net_ws_options options = {.events = &events, .ctx = s, .protocols = LINK_PROTOCOL_MINER};
    CHECK_EQ(net_ws_connect(live->loop, url, &options, &s->ws), CX_OK);
    LIVE_UNTIL(live, s->offer.lease != 0);
}

static enum assignment_state state_of(const struct live *live, uint64_t lease)
{
    struct assignment_view view;
    CHECK(view_assignment(live_core(live), lease, &view));
    return view.state;
}

static bool is_busy(struct live *live)
{
    struct miner_why why;
    miner_why(live->miner[0], &why);
    return why.busy > 0;
}

/* A node says that precommit for the lease that it holds in a session with this evidence. */
static struct live *precommit(struct speaker *s, const char *evidence, bool mac, uint8_t flip)
{
    static const char engine[] = "echo=tokens=40,slow=20";
    struct live *live = live_open(&(struct live_options){.miners = 1, .engine = engine, .oracle_engine = engine});
    struct buf session = open_session(live, evidence);
    live_send(live, "POST", "/v1/completions", LIVE_KEY, PROMPT "}", session.data);
    LIVE_UNTIL(live, is_busy(live));
    live_lose_miner(live, 0);
    speak(s, live);
    struct link_frame frame = {.type = LINK_PRECOMMIT,
                               .precommit = {.lease = s->offer.lease, .precommit.b = {1}, .has_mac = mac}};
    link_precommit_mac(&s->mac_key, &frame.precommit, &frame.precommit.mac);
    frame.precommit.mac.b[7] ^= flip;
    say(s, &frame);
    buf_done(&session);
    return live;
}

static void check_refused(struct live *live, struct speaker *s, const char *error)
{
    LIVE_UNTIL(live, s->closed);
    if (strncmp(s->error, error, strlen(error)) != 0)
        test_fail(__FILE__, __LINE__, "\"%s\" does not begin with \"%s\"", s->error, error);
    CHECK_EQ(state_of(live, s->offer.lease), ASSIGNMENT_ACKED);
    live_close(live);
}

TEST(channel, a_precommit_with_its_links_mac_binds_the_node)
{
    struct speaker s;
    struct live *live = precommit(&s, "CHANNEL", true, 0);
    LIVE_UNTIL(live, state_of(live, s.offer.lease) == ASSIGNMENT_PRECOMMITTED);
    net_ws_close(s.ws);
    live_close(live);
}

TEST(channel, a_precommit_without_a_mac_ends_that_link_and_binds_nobody)
{
    struct speaker s;
    check_refused(precommit(&s, "CHANNEL", false, 0), &s, "MAC: mac: missing");
}

TEST(channel, a_precommit_with_another_mac_ends_that_link_and_binds_nobody)
{
    struct speaker s;
    check_refused(precommit(&s, "CHANNEL", true, 1), &s, "MAC: mac: not this link's");
}

TEST(channel, where_evidence_is_signed_a_mac_is_not_enough)
{
    struct speaker s;
    check_refused(precommit(&s, "SIGNED", true, 0), &s, "SIGNATURE: ");
}
