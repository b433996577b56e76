#include "sim/adversary_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static void try_again(void *ctx);

static void went_down(struct adversary_wire *wire)
{
    wire->ws = NULL;
    wire->greeted = wire->up = false;
    net_timer_stop(&wire->soon);
    net_timer_start(wire->loop, &wire->timer, wire->again_ms, try_again, wire);
    wire->again_ms = u32_min(2 * wire->again_ms, ADVERSARY_AGAIN_MS_MAX);
    wire->events->on_down(wire->ctx);
}

static void break_now(void *ctx)
{
    struct adversary_wire *wire = ctx;
    net_ws_close(wire->ws);
    went_down(wire);
}

void adversary_wire_break(struct adversary_wire *wire)
{
    if (wire->ws)
        net_timer_soon(wire->loop, &wire->soon, break_now, wire);
}

/* ---- in ---- */

static void say_hello(struct adversary_wire *wire, const struct link_challenge *c)
{
    struct link_frame frame = {.type = LINK_HELLO, .hello.version = LINK_VERSION};
    struct exchange_offer offer;
    exchange_offer_generate(&offer);
    frame.hello.exchange = offer.public;
    enum cx_err err = exchange_agree(&offer, EXCHANGE_CALLER, &c->exchange, &wire->mac_key);
    cx_maybe(err);  // then there is no key, and what would need it is refused
    exchange_offer_wipe(&offer);
    const struct link_hello_terms terms = {.network = c->network,
                                           .router = c->router,
                                           .node = *key_address(wire->key),
                                           .nonce = c->nonce,
                                           .router_exchange = c->exchange,
                                           .node_exchange = frame.hello.exchange};
    wire->network = c->network;
    wire->router = c->router;
    wire->greeted = true;
    frame.hello.node = terms.node;
    link_hello_sign(&terms, wire->key, frame.hello.signature);
    wire->events->on_hello(wire->ctx, c, &frame.hello);
    adversary_wire_send(wire, &frame);
}

static void on_message(void *ctx, bool text, const char *data, size_t size)
{
    struct adversary_wire *wire = ctx;
    struct link_frame frame;
    if (net_timer_is_on(&wire->soon) || !text || link_decode(data, size, LINK_D, &frame))
        return;
    if (frame.type == LINK_CHALLENGE) {
        say_hello(wire, &frame.challenge);
    } else if (frame.type == LINK_ERROR) {
        wire->refused++;
        snprintf(wire->code, sizeof wire->code, "%s", frame.error.code);
    } else {
        if (!wire->up) {
            wire->up = true;
            wire->again_ms = ADVERSARY_AGAIN_MS;
            net_timer_stop(&wire->timer);
        }
        wire->events->on_frame(wire->ctx, &frame);
    }
    link_frame_done(&frame);
}

static void on_close(void *ctx, unsigned code, const char *reason)
{
    struct adversary_wire *wire = ctx;
    cx_maybe(reason[0] != '\0');
    wire->breaches += code == LINK_CLOSE_BREACH;
    went_down(wire);
}

static void on_open(void *ctx, const char *protocol) { cx_maybe(ctx && protocol); }

/* ---- out ---- */

bool adversary_wire_send_text(struct adversary_wire *wire, const char *text, size_t size)
{
    return wire->ws && net_ws_is_open(wire->ws) && net_ws_send_text(wire->ws, text, size);
}

bool adversary_wire_send_binary(struct adversary_wire *wire, const void *data, size_t size)
{
    return wire->ws && net_ws_is_open(wire->ws) && net_ws_send_binary(wire->ws, data, size);
}

bool adversary_wire_send(struct adversary_wire *wire, const struct link_frame *frame)
{
    buf_reset(&wire->out);
    link_encode(frame, &wire->out);
    return adversary_wire_send_text(wire, wire->out.data, wire->out.size);
}

/* ---- opening ---- */

static void give_up(void *ctx) { adversary_wire_break(ctx); }

static void try_again(void *ctx)
{
    static const struct net_ws_events events = {.on_open = on_open, .on_message = on_message, .on_close = on_close};
    struct adversary_wire *wire = ctx;
    const struct net_ws_options options = {
        .events = &events, .ctx = wire, .message_size_max = LINK_DOWN_SIZE_MAX, .protocols = wire->protocol};
    if (net_ws_connect(wire->loop, wire->url, &options, &wire->ws)) {
        went_down(wire);
        return;
    }
    wire->links++;
    net_timer_start(wire->loop, &wire->timer, ADVERSARY_OPEN_MS, give_up, wire);
}

enum cx_err adversary_wire_open(struct adversary_wire *wire, const char *router, const char *path)
{
    const char *rest = strstr(router, "://");
    if (!rest)
        return cx_fail(CX_INVALID, "router %s: an address begins with ws:// or http://", router);
    struct buf url = {0};
    buf_printf(&url, "ws%s%s", rest, path);
    wire->url = url.data;
    wire->again_ms = ADVERSARY_AGAIN_MS;
    net_timer_start(wire->loop, &wire->timer, 0, try_again, wire);
    return CX_OK;
}

void adversary_wire_close(struct adversary_wire *wire)
{
    net_timer_stop(&wire->timer);
    net_timer_stop(&wire->soon);
    net_ws_close(wire->ws);
    wire->ws = NULL;
    buf_done(&wire->out);
    free(wire->url);
    wire->url = NULL;
}
