#include "router/hub_parts.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "base/log.h"

/* ---- the table of links ---- */

static uint32_t bucket_of(const struct address *node) { return ((uint32_t)node->b[0] << 8 | node->b[1]) % HUB_BUCKETS; }

struct hub_link *hub_find(const struct hub *hub, const struct address *node)
{
    struct hub_link *link = hub->bucket[bucket_of(node)];
    while (link && !address_eq(&link->node, node))
        link = link->same;
    return link;
}

void hub_index(struct hub_link *link)
{
    struct hub_link **at = &link->hub->bucket[bucket_of(&link->node)];
    link->same = *at;
    *at = link;
}

void hub_unindex(struct hub_link *link)
{
    struct hub_link **at = &link->hub->bucket[bucket_of(&link->node)];
    while (*at && *at != link)
        at = &(*at)->same;
    if (*at)
        *at = link->same;
}

void hub_hold(struct hub_link *link) { link->refs++; }

void hub_let_go(struct hub_link *link)
{
    cx_assert(link->refs > 0);
    if (--link->refs > 0)
        return;
    cx_assert(link->state == HUB_GONE);
    struct hub *hub = link->hub;
    hub_drop_puts(link);
    free(link);
    hub->kept--;
    hub_free_if_unused(hub);
}

/* ---- frames out ---- */

static bool send_frame(struct hub_link *link, const struct link_frame *frame)
{
    struct hub *hub = link->hub;
    if (!link->ws)
        return false;
    buf_reset(&hub->out);
    if (link->binary) {
        link_encode_binary(frame, &hub->out);
        return net_ws_send_binary(link->ws, hub->out.data, hub->out.size);
    }
    link_encode(frame, &hub->out);
    return net_ws_send_text(link->ws, hub->out.data, hub->out.size);
}

static void tell_ended(struct hub_link *link)
{
    for (uint32_t i = 0; i < link->ended_count; i++)
        send_frame(link, &(struct link_frame){.type = LINK_RECALL, .recall = {link->ended[i], CAUSE_NONE}});
    link->ended_count = 0;
}

bool hub_send(struct hub_link *link, const struct link_frame *frame)
{
    tell_ended(link);
    return send_frame(link, frame);
}

static void tell_all_ended(void *ctx)
{
    const struct hub *hub = ctx;
    for (struct hub_link *link = hub->link; link; link = link->next)
        tell_ended(link);
}

/* A miner whose lease ended well waits for nothing: it is told with its next offer, which mostly comes at once, so that
 * both are one packet. */
static void tell_ended_later(struct hub_link *link, uint64_t lease)
{
    struct hub *hub = link->hub;
    if (link->ended_count == HUB_ENDED_MAX)
        tell_ended(link);
    link->ended[link->ended_count++] = lease;
    if (!net_timer_is_on(&hub->ended_timer))
        net_timer_start(hub->options.loop, &hub->ended_timer, HUB_ENDED_MS, tell_all_ended, hub);
}

void hub_shut(struct hub_link *link, enum detach_reason reason, unsigned code, const char *why)
{
    if (!link->ws || link->told)
        return;
    link->told = true;
    link->reason = reason;
    net_ws_shut(link->ws, code, why);
}

void hub_refuse(struct hub_link *link, const char *code, const char *format, ...)
{
    char text[256], peer[64];
    va_list args;
    if (!link->ws || link->told)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    net_ws_peer(link->ws, peer, sizeof peer);
    log_warn("hub", "link refused peer=%s code=%s message=\"%s\"", peer, code, text);
    hub_send(link, &(struct link_frame){.type = LINK_ERROR, .error = {.code = code, .message = text}});
    hub_shut(link, DETACH_PROTOCOL, LINK_CLOSE_BREACH, code);
}

void hub_command(struct hub *hub, const struct command *cmd)
{
    enum cx_err err = replica_command(hub->options.replica, cmd, NULL, 0, NULL, NULL);
    cx_maybe(err);  // busy or stopped: the deadline of what it was for decides
}

/* ---- frames in ---- */

bool hub_count(struct hub_link *link, uint32_t *count, uint32_t max, const char *what)
{
    uint64_t second = net_now_ms(link->hub->options.loop) / 1000;
    if (second != link->second) {
        link->second = second;
        link->frames = link->submits = 0;
    }
    if (++*count <= max)
        return true;
    hub_refuse(link, "RATE", "more than %u %s a second", max, what);
    return false;
}

static void read_on(void *ctx)
{
    struct hub_link *link = ctx;
    net_ws_resume(link->ws);
}

bool hub_count_submit(struct hub_link *link)
{
    if (!link->oracle)
        return hub_count(link, &link->submits, HUB_SUBMITS_A_S_MAX, "entries and payloads");
    if (!hub_count(link, &link->submits, HUB_ORACLE_A_S_MAX, "entries and payloads"))
        return false;
    if (link->submits == HUB_ORACLE_A_S_MAX) {
        net_ws_pause(link->ws);
        net_timer_start_at(link->hub->options.loop, &link->timer, (link->second + 1) * 1000, read_on, link);
    }
    return true;
}

static void on_frame(struct hub_link *link, const struct link_frame *frame)
{
    if (link->state == HUB_HELLO && frame->type == LINK_HELLO)
        hub_on_hello(link, &frame->hello);
    else if (link->state == HUB_HELLO || frame->type == LINK_HELLO)
        hub_refuse(link, "HELLO", "one hello comes first, and no other: this was %s", link_type_name(frame->type));
    else if (link->oracle)
        hub_on_oracle_frame(link, frame);
    else
        hub_on_miner_frame(link, frame);
}

static enum cx_err decode(const struct hub_link *link, bool text, const char *data, size_t size,
                          struct link_frame *ret_frame)
{
    if (text == link->binary)
        return cx_fail(CX_INVALID, "frames are %s on this link", link->binary ? "binary" : "text");
    return link->binary ? link_decode_binary(data, size, LINK_U, ret_frame)
                        : link_decode(data, size, LINK_U, ret_frame);
}

static void on_message(void *ctx, bool text, const char *data, size_t size)
{
    struct hub_link *link = ctx;
    struct link_frame frame;
    if (link->told || !hub_count(link, &link->frames, HUB_FRAMES_A_S_MAX, "frames"))
        return;
    if (decode(link, text, data, size, &frame))
        hub_refuse(link, "FRAME", "%s", cx_detail());
    else {
        on_frame(link, &frame);
        link_frame_done(&frame);
    }
}

/* ---- coming and going ---- */

void hub_look_whether_drained(struct hub *hub)
{
    if (!hub->draining || hub->links > 0 || hub->detaching > 0 || !hub->drained)
        return;
    void (*drained)(void *ctx) = hub->drained;
    hub->drained = NULL;
    net_timer_stop(&hub->drain_timer);
    drained(hub->drained_ctx);
}

static void unlink_link(struct hub_link *link)
{
    struct hub *hub = link->hub;
    if (link->prev)
        link->prev->next = link->next;
    else
        hub->link = link->next;
    if (link->next)
        link->next->prev = link->prev;
    hub->links--;
    net_timer_stop(&link->timer);
    hub_unindex(link);
    link->ws = NULL;
    link->state = HUB_GONE;
}

static enum detach_reason reason_of(const struct hub_link *link, unsigned code, const char *why)
{
    if (link->told)
        return link->reason;
    if (code == WS_CLOSE_NORMAL || code == WS_CLOSE_GOING_AWAY)
        return DETACH_DRAINED;
    cx_maybe(why[0] != '\0');
    return DETACH_CLOSED;
}

static void on_close(void *ctx, unsigned code, const char *why)
{
    struct hub_link *link = ctx;
    struct hub *hub = link->hub;
    char node[2 * sizeof link->node.b + 1];
    hex_encode(link->node.b, sizeof link->node.b, node);
    if (link->state != HUB_HELLO)
        log_info("hub", "link ended node=0x%s link=%u code=%u why=\"%s\"", node, link->number, code, why);
    enum detach_reason reason = reason_of(link, code, why);
    hub_left(link, reason);
    unlink_link(link);
    hub_let_go(link);
    hub_look_whether_drained(hub);
}

static void hello_timeout(void *ctx) { hub_refuse(ctx, "HELLO", "no hello came within %d ms", HUB_HELLO_MS); }

static void accept_link(struct hub *hub, struct http_exchange *x, bool oracle)
{
    static const struct net_ws_events events = {.on_message = on_message, .on_close = on_close};
    if (hub->draining || hub->links >= hub->links_max) {
        http_add_header(x, "Retry-After", "5");
        http_respond_error(x, 503, hub->draining ? "DRAINING" : "LINKS_FULL", NULL,
                           hub->draining ? "this router is going away: link to another one"
                                         : "all %u links of this router are taken: try again later",
                           hub->links_max);
        return;
    }
    struct hub_link *link = calloc(1, sizeof *link);
    cx_assert(link);
    const struct net_ws_options options = {.events = &events,
                                           .ctx = link,
                                           .message_size_max = LINK_HELLO_SIZE_MAX,
                                           .limits.queue_max = LINK_DOWN_SIZE_MAX};
    link->hub = hub;
    link->oracle = oracle;
    link->refs = 1;
    link->since_ms = net_now_ms(hub->options.loop);
    http_upgrade(x, oracle ? LINK_PROTOCOLS_ORACLE : LINK_PROTOCOLS_MINER, &options, &link->ws);
    if (!link->ws) {
        free(link);
        return;
    }
    link->binary = link_protocol_is_binary(net_ws_protocol(link->ws));
    hub->kept++;
    link->next = hub->link;
    if (hub->link)
        hub->link->prev = link;
    hub->link = link;
    hub->links++;
    net_timer_start(hub->options.loop, &link->timer, HUB_HELLO_MS, hello_timeout, link);
    hub_challenge(link);
}

void hub_accept_miner(struct hub *hub, struct http_exchange *x) { accept_link(hub, x, false); }

void hub_accept_oracle(struct hub *hub, struct http_exchange *x) { accept_link(hub, x, true); }

/* ---- what the core decided ---- */

static void on_node_event(struct hub *hub, const struct address *node, bool registered)
{
    struct hub_link *link = hub_find(hub, node);
    if (!link)
        return;
    if (link->state == HUB_OPEN)
        hub_send_node(link);
    else if (registered)
        hub_attach(link);
}

static void on_event(void *ctx, const struct replica_moment *moment, const struct event *event)
{
    struct hub *hub = ctx;
    (void)moment;
    if (event->type == EVENT_NODE_REGISTERED)
        on_node_event(hub, &event->node_registered.node, true);
    else if (event->type == EVENT_NODE_MOVED)
        on_node_event(hub, &event->node_moved.node, false);
    else if (event->type == EVENT_NODE_MODEL_CHANGED)
        on_node_event(hub, &event->node_model_changed.node, false);
    else
        hub_on_round_event(hub, event);
    hub->oracles_dirty = hub->oracles_dirty || hub_concerns_oracles(event);
}

static void on_batch(void *ctx)
{
    struct hub *hub = ctx;
    if (!hub->oracles_dirty)
        return;
    hub->oracles_dirty = false;
    for (struct hub_link *link = hub->link; link; link = link->next)
        if (link->oracle && link->state == HUB_OPEN)
            hub_send_state(link);
}

/* ---- for tasks ---- */

static struct hub_link *find_open(const struct hub *hub, const struct address *node)
{
    struct hub_link *link = hub_find(hub, node);
    return link && link->state == HUB_OPEN ? link : NULL;
}

bool hub_offer(struct hub *hub, const struct address *node, const struct task_offer *o)
{
    struct hub_link *link = find_open(hub, node);
    if (!link)
        return false;
    return hub_send(
        link, &(struct link_frame){.type = LINK_OFFER,
                                   .offer = {.lease = o->lease,
                                             .task = o->task,
                                             .session = o->session,
                                             .seed = o->seed,
                                             .round = o->round,
                                             .seed_of_client = o->seed_of_client,
                                             .stream = o->stream,
                                             .together = o->together,
                                             .channel = o->channel,
                                             .reveal = o->reveal,
                                             .cancel = o->cancel,
                                             .state = o->state,
                                             .chunks = o->chunks,
                                             .tokens_max = o->tokens_max,
                                             .ack_ms = o->ack_ms,
                                             .precommit_ms = o->precommit_ms,
                                             .relayed_tokens = o->relayed_tokens,
                                             .request = {(const uint8_t *)o->request, (uint32_t)o->request_size}}});
}

bool hub_promote(struct hub *hub, const struct address *node, uint64_t lease)
{
    struct hub_link *link = find_open(hub, node);
    return link && hub_send(link, &(struct link_frame){.type = LINK_PROMOTE, .promote.lease = lease});
}

bool hub_reveal(struct hub *hub, const struct address *node, uint64_t lease)
{
    struct hub_link *link = find_open(hub, node);
    return link && hub_send(link, &(struct link_frame){.type = LINK_REVEAL, .reveal.lease = lease});
}

bool hub_recall(struct hub *hub, const struct address *node, uint64_t lease, enum fail_cause cause)
{
    struct hub_link *link = find_open(hub, node);
    if (link && cause == CAUSE_NONE)
        tell_ended_later(link, lease);
    else if (link)
        hub_send(link, &(struct link_frame){.type = LINK_RECALL, .recall = {lease, cause}});
    return link != NULL;
}

bool hub_cancel(struct hub *hub, const struct address *node, uint64_t lease, uint32_t relayed_tokens)
{
    struct hub_link *link = find_open(hub, node);
    return link && hub_send(link, &(struct link_frame){.type = LINK_CANCEL, .cancel = {lease, relayed_tokens}});
}

bool hub_link_at(const struct hub *hub, uint32_t *at, struct hub_link_view *ret)
{
    const struct hub_link *link = hub->link;
    for (uint32_t seen = 0; link; link = link->next)
        if (link->state == HUB_OPEN && seen++ == *at)
            break;
    if (!link)
        return false;
    ++*at;
    *ret = (struct hub_link_view){.node = link->node,
                                  .link = link->number,
                                  .oracle = link->oracle,
                                  .since_ms = link->since_ms,
                                  .ttft_ms = link->stats.ttft_ms,
                                  .tokens_per_s_milli = link->stats.tokens_per_s_milli,
                                  .busy = link->stats.busy};
    net_ws_peer(link->ws, ret->peer, sizeof ret->peer);
    return true;
}

/* ---- opening and closing ---- */

enum cx_err hub_open(const struct hub_options *options, struct hub **ret_hub)
{
    struct hub *hub = calloc(1, sizeof *hub);
    cx_assert(hub);
    hub->options = *options;
    hub->links_max = options->links_max ? options->links_max : HUB_LINKS_MAX;
    hub->listener = (struct replica_listener){.on_event = on_event, .on_batch = on_batch, .ctx = hub};
    replica_listen(options->replica, &hub->listener);
    hub_hold_absent(hub);
    *ret_hub = hub;
    return CX_OK;
}

static void drain_timeout(void *ctx)
{
    struct hub *hub = ctx;
    struct hub_link *next;
    for (struct hub_link *link = hub->link; link; link = next) {
        next = link->next;
        net_ws_close(link->ws);
        on_close(link, WS_CLOSE_ABNORMAL, "the router did not wait longer");
    }
    hub_detach_absent(hub);
    hub_look_whether_drained(hub);
}

void hub_drain(struct hub *hub, void (*done)(void *ctx), void *ctx)
{
    hub->draining = true;
    hub->drained = done;
    hub->drained_ctx = ctx;
    struct hub_link *next;
    for (struct hub_link *link = hub->link; link; link = next) {
        next = link->next;
        if (link->state == HUB_OPEN)
            hub_send(link, &(struct link_frame){.type = LINK_DRAIN});
        hub_shut(link, DETACH_SHUTDOWN, LINK_CLOSE_DRAINED, "the router goes away");
    }
    net_timer_start(hub->options.loop, &hub->drain_timer, hub->links ? HUB_DRAIN_MS : 0, drain_timeout, hub);
}

/* What is on its way to the ledger still knows the hub, until the replica ends it. */
void hub_free_if_unused(struct hub *hub)
{
    if (!hub->closing || hub->kept > 0 || hub->detaching > 0)
        return;
    buf_done(&hub->out);
    buf_done(&hub->challenge.data);
    free(hub);
}

void hub_close(struct hub *hub)
{
    if (!hub)
        return;
    hub->drained = NULL;
    net_timer_stop(&hub->absent_timer);
    net_timer_stop(&hub->ended_timer);
    net_timer_stop(&hub->drain_timer);
    replica_unlisten(hub->options.replica, &hub->listener);
    while (hub->absent) {
        struct hub_absent *absent = hub->absent;
        hub->absent = absent->next;
        free(absent);
    }
    while (hub->link) {
        struct hub_link *link = hub->link;
        net_ws_close(link->ws);
        unlink_link(link);
        hub_let_go(link);
    }
    hub->closing = true;
    hub_free_if_unused(hub);
}
