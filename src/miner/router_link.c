#include "miner/router_link.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "crypto/random.h"
#include "net/ws_conn.h"

struct router_link {
    struct router_link_options options;
    char url[ROUTER_LINK_URL_SIZE_MAX];
    char *ca_file;
    struct net_ws *ws;
    struct net_timer timer;  // until it is tried again, or until the hello must have been answered
    struct net_timer soon;   // a drop that was asked for inside a callback
    uint32_t retry_ms;
    bool challenged, up, shut;
    bool binary;  // what the router has chosen
    uint64_t network;
    struct mac_key mac_key;  // of what we say on this link, once challenged
    char why[256];
    struct buf out;
};

/* ---- the address ---- */

/* "http://host:5010" is "ws://host:5010" and the path. */
static enum cx_err make_url(const struct router_link_options *options, char *ret_url)
{
    static const struct {
        const char *from, *to;
    } scheme[] = {{"ws://", "ws://"}, {"wss://", "wss://"}, {"http://", "ws://"}, {"https://", "wss://"}};
    for (size_t i = 0; i < ARRAY_COUNT(scheme); i++) {
        size_t size = strlen(scheme[i].from);
        if (strncmp(options->url, scheme[i].from, size) != 0)
            continue;
        const char *rest = options->url + size, *slash = strchr(rest, '/');
        bool bare = !slash || slash[1] == '\0';
        int host_size = (int)(slash ? (size_t)(slash - rest) : strlen(rest));
        int written = snprintf(ret_url, ROUTER_LINK_URL_SIZE_MAX, "%s%.*s%s", scheme[i].to, host_size, rest,
                               bare ? options->path : slash);
        if (written >= ROUTER_LINK_URL_SIZE_MAX)
            return cx_fail(CX_INVALID, "the router's address is over %d bytes", ROUTER_LINK_URL_SIZE_MAX - 1);
        return CX_OK;
    }
    return cx_fail(CX_INVALID, "router %s: an address begins with ws://, wss://, http:// or https://", options->url);
}

/* ---- up and down ---- */

static void try_again(void *ctx);

static void went_down(struct router_link *link, const char *why)
{
    link->ws = NULL;
    link->up = link->challenged = false;
    net_timer_stop(&link->soon);
    if (link->shut) {
        net_timer_stop(&link->timer);
    } else {
        uint32_t wait_ms = link->retry_ms + random_below(link->retry_ms / 2 + 1);
        link->retry_ms = u32_min(2 * link->retry_ms, ROUTER_LINK_RETRY_MS_MAX);
        net_timer_start(link->options.loop, &link->timer, wait_ms, try_again, link);
        log_debug(link->options.place, "link down router=%s why=\"%s\" retry_ms=%u", link->url, why, wait_ms);
    }
    link->options.events->on_down(link->options.ctx, why);
}

static void drop_now(void *ctx)
{
    struct router_link *link = ctx;
    net_ws_close(link->ws);
    char why[sizeof link->why];
    memcpy(why, link->why, sizeof why);
    went_down(link, why);
}

void router_link_drop(struct router_link *link, const char *why)
{
    if (!link->ws)
        return;
    link->up = false;
    snprintf(link->why, sizeof link->why, "%s", why);
    net_timer_soon(link->options.loop, &link->soon, drop_now, link);
}

static void hello_timeout(void *ctx) { router_link_drop(ctx, "the router did not answer the hello in time"); }

/* ---- frames out ---- */

static bool send_frame(struct router_link *link, const struct link_frame *frame)
{
    buf_reset(&link->out);
    if (link->binary)
        link_encode_binary(frame, &link->out);
    else
        link_encode(frame, &link->out);
    if (link->out.size > LINK_UP_SIZE_MAX) {
        log_error(link->options.place, "frame too large type=%s size=%zu", link_type_name(frame->type), link->out.size);
        return false;
    }
    return link->binary ? net_ws_send_binary(link->ws, link->out.data, link->out.size)
                        : net_ws_send_text(link->ws, link->out.data, link->out.size);
}

/* ---- frames in ---- */

static enum cx_err agree(struct router_link *link, const struct exchange_public *router,
                         struct exchange_public *ret_own)
{
    struct exchange_offer offer;
    exchange_offer_generate(&offer);
    *ret_own = offer.public;
    enum cx_err err = exchange_agree(&offer, EXCHANGE_CALLER, router, &link->mac_key);
    exchange_offer_wipe(&offer);
    return err;
}

static void answer_challenge(struct router_link *link, const struct link_challenge *challenge)
{
    struct link_frame frame = {.type = LINK_HELLO, .hello.version = LINK_VERSION};
    link->network = challenge->network;
    if (!link->options.events->on_challenge(link->options.ctx, challenge, &frame.hello) ||
        agree(link, &challenge->exchange, &frame.hello.exchange)) {
        router_link_drop(link, cx_detail());
        return;
    }
    const struct link_hello_terms terms = {.network = challenge->network,
                                           .router = challenge->router,
                                           .node = *key_address(link->options.key),
                                           .nonce = challenge->nonce,
                                           .router_exchange = challenge->exchange,
                                           .node_exchange = frame.hello.exchange};
    frame.hello.node = terms.node;
    link_hello_sign(&terms, link->options.key, frame.hello.signature);
    link->challenged = true;
    send_frame(link, &frame);
}

static void on_frame(struct router_link *link, struct link_frame *frame)
{
    if (frame->type == LINK_CHALLENGE && !link->challenged) {
        answer_challenge(link, &frame->challenge);
        return;
    }
    if (frame->type == LINK_ERROR) {
        log_warn(link->options.place, "router refuses router=%s code=%s message=\"%s\"", link->url, frame->error.code,
                 frame->error.message);
        snprintf(link->why, sizeof link->why, "%s: %s", frame->error.code, frame->error.message);
        return;  // its close follows
    }
    if (!link->challenged || frame->type == LINK_CHALLENGE) {
        router_link_drop(link, "the router did not begin with one challenge");
        return;
    }
    if (!link->up) {
        link->up = true;
        link->retry_ms = ROUTER_LINK_RETRY_MS;
        net_timer_stop(&link->timer);
    }
    link->options.events->on_frame(link->options.ctx, frame);
}

static void on_open(void *ctx, const char *protocol)
{
    struct router_link *link = ctx;
    link->binary = link_protocol_is_binary(protocol);
    if (protocol[0] == '\0')
        router_link_drop(link, "the server does not speak this protocol: is it a router?");
}

static void on_message(void *ctx, bool text, const char *data, size_t size)
{
    struct router_link *link = ctx;
    struct link_frame frame;
    if (net_timer_is_on(&link->soon))
        return;  // it is being dropped
    if (text == link->binary) {
        router_link_drop(link, text ? "the router sent text, and not bytes" : "the router sent bytes that are no text");
    } else if (link->binary ? link_decode_binary(data, size, LINK_D, &frame)
                            : link_decode(data, size, LINK_D, &frame)) {
        char why[sizeof link->why];
        snprintf(why, sizeof why, "a frame of the router: %s", cx_detail());
        router_link_drop(link, why);
    } else {
        on_frame(link, &frame);
        link_frame_done(&frame);
    }
}

static void on_close(void *ctx, unsigned code, const char *reason)
{
    struct router_link *link = ctx;
    char why[sizeof link->why + 128];
    /* Two programs that share a key would push each other out for ever. */
    if (code == LINK_CLOSE_REPLACED)
        link->retry_ms = ROUTER_LINK_RETRY_MS_MAX;
    if (link->why[0] != '\0')
        snprintf(why, sizeof why, "%s", link->why);
    else
        snprintf(why, sizeof why, "%.200s (%u)", reason[0] ? reason : "closed", code);
    went_down(link, why);
}

static void on_drain(void *ctx)
{
    struct router_link *link = ctx;
    if (link->up)
        link->options.events->on_drain(link->options.ctx);
}

static void try_again(void *ctx)
{
    static const struct net_ws_events events = {on_open, on_message, on_close, on_drain};
    struct router_link *link = ctx;
    const struct net_ws_options options = {.events = &events,
                                           .ctx = link,
                                           .message_size_max = LINK_DOWN_SIZE_MAX,
                                           .protocols = link->options.protocols,
                                           .ca_file = link->ca_file};
    link->why[0] = '\0';
    if (net_ws_connect(link->options.loop, link->url, &options, &link->ws)) {
        link->ws = NULL;
        went_down(link, cx_detail());
        return;
    }
    net_timer_start(link->options.loop, &link->timer, ROUTER_LINK_HELLO_MS, hello_timeout, link);
}

/* ---- for the owner ---- */

enum cx_err router_link_open(const struct router_link_options *options, struct router_link **ret_link)
{
    cx_auto(router_link) link = calloc(1, sizeof *link);
    cx_assert(link);
    link->options = *options;
    link->retry_ms = ROUTER_LINK_RETRY_MS;
    enum cx_err err = make_url(options, link->url);
    if (err)
        return err;
    link->options.url = link->url;
    if (options->ca_file) {
        link->ca_file = strdup(options->ca_file);
        cx_assert(link->ca_file);
    }
    *ret_link = cx_take(&link);
    return CX_OK;
}

void router_link_start(struct router_link *link)
{
    net_timer_start(link->options.loop, &link->timer, 0, try_again, link);
}

void router_link_close(struct router_link *link)
{
    if (!link)
        return;
    net_timer_stop(&link->timer);
    net_timer_stop(&link->soon);
    net_ws_close(link->ws);
    mac_key_wipe(&link->mac_key);
    buf_done(&link->out);
    free(link->ca_file);
    free(link);
}

bool router_link_is_up(const struct router_link *link) { return link->up; }

bool router_link_takes(const struct router_link *link)
{
    return link->up && net_ws_is_open(link->ws) && !net_ws_is_full(link->ws);
}

bool router_link_send(struct router_link *link, const struct link_frame *frame)
{
    if (!link->up)
        return false;
    struct link_frame closed;
    if (frame->type == LINK_PRECOMMIT && !frame->precommit.has_signature) {
        closed = *frame;
        closed.precommit.has_mac = true;
        link_precommit_mac(&link->mac_key, &frame->precommit, &closed.precommit.mac);
        frame = &closed;
    }
    return send_frame(link, frame);
}

void router_link_shut(struct router_link *link, const char *reason)
{
    link->shut = true;
    net_timer_stop(&link->timer);
    if (link->ws)
        net_ws_shut(link->ws, LINK_CLOSE_DRAINED, reason);
    else
        net_timer_soon(link->options.loop, &link->soon, drop_now, link);
}

uint64_t router_link_network(const struct router_link *link) { return link->network; }

const char *router_link_url(const struct router_link *link) { return link->url; }
