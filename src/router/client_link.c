#include "router/client_link.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/keccak.h"
#include "proto/client_frame.h"
#include "proto/link.h"
#include "router/api_tasks.h"
#include "router/client_reply.h"

#define ASKED_BUCKETS 64

/* What a client asked for and has not heard the end of. */
struct asked {
    struct prompt prompt;
    struct client_link *link;
    struct asked *next, **at;  // its bucket
    uint64_t ref;
    bool onlooker;
};

struct client_link {
    struct client_link *next, **at;  // the api's list, while the socket stands
    struct api *api;
    struct net_ws *ws;  // NULL: it is gone
    struct hash key_hash;
    bool known;     // the key was good
    bool told;      // its end has begun: nothing more is read
    uint32_t refs;  // the socket, and cancels on their way
    uint32_t count;
    struct asked *asked[ASKED_BUCKETS];
    struct net_timer timer;  // for the key
    struct client_reply reply;
};

static void let_go(struct client_link *link)
{
    if (--link->refs > 0)
        return;
    buf_done(&link->reply.out);
    free(link);
}

/* ---- frames out ---- */

static void send(struct client_link *link)
{
    const struct buf *out = &link->reply.out;
    if (!link->ws)
        return;
    if (link->reply.bin)
        net_ws_send_binary(link->ws, out->data, out->size);
    else
        net_ws_send_text(link->ws, out->data, out->size);
}

static void say_error(struct client_link *link, uint64_t ref, const struct api_error *error)
{
    client_reply_error(&link->reply, ref, error);
    send(link);
}

/* An error of the link itself, then close 1008. */
static void refuse(struct client_link *link, const struct api_error *error)
{
    if (link->told || !link->ws)
        return;
    link->told = true;
    say_error(link, 0, error);
    net_ws_shut(link->ws, LINK_CLOSE_BREACH, error->code);
}

static void say_welcome(struct client_link *link)
{
    const struct replica *replica = link->api->options.replica;
    client_reply_welcome(&link->reply, replica_network(replica), replica_router(replica));
    send(link);
}

/* ---- what is asked for ---- */

static struct asked **bucket_of(struct client_link *link, uint64_t ref) { return &link->asked[ref % ASKED_BUCKETS]; }

static struct asked *asked_find(struct client_link *link, uint64_t ref)
{
    struct asked *asked = *bucket_of(link, ref);
    while (asked && asked->ref != ref)
        asked = asked->next;
    return asked;
}

static void asked_free(struct asked *asked, bool cancel)
{
    *asked->at = asked->next;
    if (asked->next)
        asked->next->at = asked->at;
    asked->link->count--;
    prompt_done(&asked->prompt, cancel);
    free(asked);
}

/* Who gave a reference may come back for the answer, and who only looks on decides nothing. */
static void asked_leave(struct asked *asked)
{
    asked_free(asked, !asked->onlooker && hash_is_zero(&asked->prompt.reference));
}

static void on_accepted(void *ctx)
{
    struct asked *asked = ctx;
    client_reply_accepted(&asked->link->reply, asked->ref, &asked->prompt);
    send(asked->link);
}

static void say_text(struct asked *asked, size_t at, const char *text, size_t size)
{
    client_reply_text(&asked->link->reply, asked->ref, at, text, size);
    send(asked->link);
}

static void on_text(void *ctx, const char *text, size_t size)
{
    struct asked *asked = ctx;
    say_text(asked, asked->prompt.sent - size, text, size);
    if (net_ws_is_full(asked->link->ws))
        prompt_pause(&asked->prompt);
}

static void on_answer(void *ctx, const struct task_end *end)
{
    struct asked *asked = ctx;
    const struct prompt *p = &asked->prompt;
    if (p->stream && end->text_size > p->sent)
        say_text(asked, p->sent, end->text + p->sent, end->text_size - p->sent);
    client_reply_answer(&asked->link->reply, asked->ref, p, end);
    send(asked->link);
    asked_free(asked, false);
}

static void on_error(void *ctx, const struct api_error *error)
{
    struct asked *asked = ctx;
    say_error(asked->link, asked->ref, error);
    asked_free(asked, false);
}

static void on_dropped(void *ctx) { asked_free(ctx, false); }

/* ---- who asks ---- */

static const struct key_view *no_key(struct client_link *link, uint64_t ref, enum verdict verdict)
{
    struct api_error error;
    error_of_verdict(verdict, &error);
    link->api->metrics.keys_refused++;
    say_error(link, ref, &error);
    return NULL;
}

/* The key as it is now: it may have been revoked since the handshake. NULL: the client has been told. */
static const struct key_view *check_key(struct client_link *link, uint64_t ref, struct key_view *key)
{
    switch (key_look(link->api, &link->key_hash, key)) {
    case KEY_GOOD: break;
    case KEY_IS_MISSING:
    case KEY_NOT_KNOWN: return no_key(link, ref, VERDICT_KEY_UNKNOWN);
    case KEY_IS_REVOKED: return no_key(link, ref, VERDICT_KEY_REVOKED);
    case KEY_HAS_EXPIRED: return no_key(link, ref, VERDICT_KEY_EXPIRED);
    }
    if ((key->scopes & (SCOPE_INFER | SCOPE_ADMIN)) == 0)
        return no_key(link, ref, VERDICT_KEY_SCOPE);
    return key;
}

static void on_key(struct client_link *link, const char *text)
{
    struct key_view key;
    struct api_error error = {0};
    if (link->known) {
        error_say(&error, 400, "KEY_TWICE", "key", "this link has shown its key already");
        refuse(link, &error);
        return;
    }
    keccak256(text, strlen(text), &link->key_hash);
    if (!check_key(link, 0, &key)) {
        link->told = true;
        net_ws_shut(link->ws, LINK_CLOSE_BREACH, "KEY");
        return;
    }
    link->known = true;
    net_timer_stop(&link->timer);
    net_ws_set_message_size_max(link->ws, CLIENT_FRAME_SIZE_MAX);
    say_welcome(link);
}

static void key_timeout(void *ctx)
{
    struct client_link *link = ctx;
    struct api_error error = {0};
    error_say(&error, 401, "KEY_MISSING", "key", "no key came within %d ms", CLIENT_KEY_MS);
    refuse(link, &error);
}

/* ---- frames in ---- */

/* NULL: the client has been told why nothing can begin under this ref. */
static struct asked *asked_new(struct client_link *link, uint64_t ref)
{
    static const struct prompt_events events = {on_accepted, on_text, on_answer, on_error, on_dropped};
    struct key_view key;
    struct api_error error = {0};
    if (!check_key(link, ref, &key))
        return NULL;
    if (asked_find(link, ref))
        error_say(&error, 409, "REF_IN_USE", "ref", "something under way has this ref: take another one");
    else if (link->count >= CLIENT_PROMPTS_MAX)
        error_say(&error, 429, "IN_FLIGHT_LIMIT", NULL, "%u prompts are under way on this link", link->count);
    else if (link->api->draining)
        error_say(&error, 503, "DRAINING", NULL, "the router is stopping: another one serves, or this one again soon");
    if (error.status != 0) {
        say_error(link, ref, &error);
        return NULL;
    }
    struct asked *asked = calloc(1, sizeof *asked);
    cx_assert(asked);
    asked->link = link;
    asked->ref = ref;
    asked->at = bucket_of(link, ref);
    asked->next = *asked->at;
    if (asked->next)
        asked->next->at = &asked->next;
    *asked->at = asked;
    link->count++;
    asked->prompt.api = link->api;
    asked->prompt.events = &events;
    asked->prompt.ctx = asked;
    asked->prompt.key = key;
    asked->prompt.account = key.account;
    prompt_init(&asked->prompt);
    return asked;
}

static void on_submit(struct client_link *link, const struct client_frame *f)
{
    struct asked *asked = asked_new(link, f->ref);
    struct api_error error;
    if (!asked)
        return;
    struct prompt *p = &asked->prompt;
    enum cx_err err = client_frame_request(f, &p->request);
    if (err) {
        char param[JSON_PATH_SIZE_MAX + 1];
        snprintf(param, sizeof param, "%s", json_failed_path());
        error_of_world(err, cx_detail(), &error);
        error.param = param[0] ? param : NULL;
        on_error(asked, &error);
    } else if (!prompt_refer(p, p->request.corten.client_reference, &error)) {
        on_error(asked, &error);
    } else {
        p->stream = p->request.stream;
        prompt_start(p);
    }
}

/* What task_see wants to know of who looks. */
static struct call asker(const struct client_link *link, const struct key_view *key)
{
    return (struct call){.api = link->api, .key = *key, .account = key->account};
}

static void say_unknown(struct client_link *link, uint64_t ref)
{
    struct api_error error;
    error_of_verdict(VERDICT_TASK_UNKNOWN, &error);
    error.param = "task_id";
    say_error(link, ref, &error);
}

static void on_watch(struct client_link *link, const struct client_frame *f)
{
    struct seen_task seen;
    struct asked *asked = asked_new(link, f->ref);
    if (!asked)
        return;
    const struct call call = asker(link, &asked->prompt.key);
    asked->onlooker = true;
    if (!task_see(&call, f->session, f->task, &seen)) {
        asked_free(asked, false);
        say_unknown(link, f->ref);
        return;
    }
    asked->prompt.stream = true;
    prompt_watch(&asked->prompt, seen.task.session, seen.task.task, &(struct text_mark){.size = f->from});
}

/* A cancel on its way through the ledger. */
struct cancelling {
    struct client_link *link;
    uint64_t ref;
};

static void cancelled(void *ctx, const struct replica_outcome *outcome)
{
    struct cancelling *cancelling = ctx;
    struct client_link *link = cancelling->link;
    struct api_error error;
    if (!outcome->err && outcome->verdict == VERDICT_ACCEPTED) {
        client_reply_cancelled(&link->reply, cancelling->ref);
        send(link);
    } else {
        if (outcome->err)
            error_of_world(outcome->err, cx_detail(), &error);
        else
            error_of_verdict(outcome->verdict, &error);
        say_error(link, cancelling->ref, &error);
    }
    free(cancelling);
    let_go(link);
}

static void on_cancel(struct client_link *link, const struct client_frame *f)
{
    struct key_view key;
    struct seen_task seen;
    struct api_error error;
    if (!check_key(link, f->ref, &key))
        return;
    const struct call call = asker(link, &key);
    if (!task_see(&call, f->session, f->task, &seen)) {
        say_unknown(link, f->ref);
        return;
    }
    if (!seen.live) {
        error_of_verdict(VERDICT_TASK_ENDED, &error);
        say_error(link, f->ref, &error);
        return;
    }
    struct cancelling *cancelling = malloc(sizeof *cancelling);
    cx_assert(cancelling);
    *cancelling = (struct cancelling){link, f->ref};
    enum cx_err err = tasks_cancel(link->api->options.tasks, seen.task.task, &seen.task.payer, cancelled, cancelling);
    if (!err) {
        link->refs++;
        return;
    }
    free(cancelling);
    error_of_world(err, cx_detail(), &error);
    say_error(link, f->ref, &error);
}

static void on_frame(struct client_link *link, const struct client_frame *f)
{
    struct asked *asked;
    struct api_error error = {0};
    if (!link->known && f->type != CLIENT_KEY) {
        error_say(&error, 401, "KEY_MISSING", "type", "an API key comes first: {\"type\":\"key\",\"key\":\"ck_…\"}");
        refuse(link, &error);
        return;
    }
    switch (f->type) {
    case CLIENT_KEY: on_key(link, f->key); break;
    case CLIENT_SUBMIT: on_submit(link, f); break;
    case CLIENT_WATCH: on_watch(link, f); break;
    case CLIENT_CANCEL: on_cancel(link, f); break;
    case CLIENT_LEAVE:
        asked = asked_find(link, f->ref);
        if (asked)
            asked_leave(asked);
        break;
    case CLIENT_TYPE_COUNT: break;
    }
}

static void on_message(void *ctx, bool text, const char *data, size_t size)
{
    struct client_link *link = ctx;
    struct client_frame frame;
    struct api_error error = {0};
    if (link->told)
        return;
    if (text == link->reply.bin) {
        error_say(&error, 400, "FRAME", NULL, "frames of %s are %s", net_ws_protocol(link->ws),
                  text ? "binary" : "text");
        refuse(link, &error);
    } else if (text ? client_decode(data, size, &frame) : client_decode_bin(data, size, &frame)) {
        error_say(&error, 400, "FRAME", NULL, "%s", cx_detail());
        refuse(link, &error);
    } else {
        on_frame(link, &frame);
        client_frame_done(&frame);
    }
}

static void on_drain(void *ctx)
{
    struct client_link *link = ctx;
    for (uint32_t i = 0; i < ASKED_BUCKETS; i++)
        for (struct asked *asked = link->asked[i]; asked; asked = asked->next)
            prompt_resume(&asked->prompt);
}

/* ---- coming and going ---- */

static void end(struct client_link *link)
{
    link->ws = NULL;
    net_timer_stop(&link->timer);
    for (uint32_t i = 0; i < ASKED_BUCKETS; i++)
        while (link->asked[i])
            asked_leave(link->asked[i]);
    *link->at = link->next;
    if (link->next)
        link->next->at = link->at;
    link->api->client_links--;
    let_go(link);
}

static void on_close(void *ctx, unsigned code, const char *reason)
{
    struct client_link *link = ctx;
    cx_maybe(code != WS_CLOSE_NORMAL || reason[0] != '\0');
    if (link->count > 0)
        link->api->metrics.clients_gone++;
    end(link);
}

void api_client_link(struct call *call)
{
    static const struct net_ws_events events = {.on_message = on_message, .on_close = on_close, .on_drain = on_drain};
    struct api *api = call->api;
    if (api->draining || api->client_links >= CLIENT_LINKS_MAX) {
        call_fail(call, 503, api->draining ? "DRAINING" : "LINKS_FULL", NULL,
                  api->draining ? "the router is stopping: another one serves, or this one again soon"
                                : "all %d client links of this router are taken: try again later",
                  CLIENT_LINKS_MAX);
        return;
    }
    struct client_link *link = calloc(1, sizeof *link);
    cx_assert(link);
    link->api = api;
    link->refs = 1;
    link->known = !hash_is_zero(&call->key.hash);
    link->key_hash = call->key.hash;
    const struct net_ws_options options = {.events = &events,
                                           .ctx = link,
                                           .message_size_max =
                                               link->known ? CLIENT_FRAME_SIZE_MAX : LINK_HELLO_SIZE_MAX,
                                           .limits.queue_max = CLIENT_FRAME_SIZE_MAX};
    call_ended(call, 101);
    http_upgrade(call->x, CLIENT_PROTOCOL_BIN ", " CLIENT_PROTOCOL, &options, &link->ws);
    if (!link->ws) {
        free(link);
        return;
    }
    link->reply.bin = strcmp(net_ws_protocol(link->ws), CLIENT_PROTOCOL_BIN) == 0;
    link->next = api->client_link;
    link->at = &api->client_link;
    if (link->next)
        link->next->at = &link->next;
    api->client_link = link;
    api->client_links++;
    if (link->known)
        say_welcome(link);
    else
        net_timer_start(api->options.loop, &link->timer, CLIENT_KEY_MS, key_timeout, link);
}

void client_links_shut(struct api *api)
{
    for (struct client_link *link = api->client_link; link; link = link->next)
        if (!link->told) {
            link->told = true;
            net_ws_shut(link->ws, WS_CLOSE_GOING_AWAY, "the router goes away");
        }
}

void client_links_close(struct api *api)
{
    while (api->client_link) {
        net_ws_close(api->client_link->ws);
        end(api->client_link);
    }
}
