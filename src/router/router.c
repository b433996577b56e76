#include "router/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "payload/payload.h"
#include "router/api.h"
#include "router/custody.h"

#define KEEP_MS_DEFAULT (7ull * 24 * 60 * 60 * 1000)
#define EXPIRE_MS       60000  // between two looks at what need not be kept any longer
#define EXPIRE_MORE_MS  50     // where one look did not find the end of it

struct router {
    struct router_options options;
    struct payload_store *payloads;
    struct history *history;
    struct tasks *tasks;
    struct replica *replica;
    struct hub *hub;
    struct api *api;
    struct http_server *server;
    struct net_timer expire, drain;
    uint32_t booting;  // keys that are not yet on the ledger
    enum cx_err boot_err;
    bool opened, stopped;
    char why[512];                  // it stopped while it opened
    bool server_stopped, api_idle;  // while draining
    void (*drained)(void *ctx);
    void *drained_ctx;
};

static void on_stopped(void *ctx, enum cx_err err, const char *why)
{
    struct router *router = ctx;
    if (router->stopped)
        return;
    router->stopped = true;
    router->boot_err = err;
    snprintf(router->why, sizeof router->why, "%s", why);
    if (router->opened)
        router->options.on_stopped(router->options.ctx, err, why);
}

/* ---- what need not be kept any longer ---- */

static void expire(void *ctx)
{
    struct router *router = ctx;
    uint64_t now_ms = net_wall_ms();
    bool more = false;
    enum cx_err err = payload_expire(router->payloads, now_ms, &more);
    if (err)
        log_warn("router", "old payloads stay for now: %s", cx_detail());
    if (now_ms > router->options.keep_ms)
        history_forget(router->history, now_ms - router->options.keep_ms);
    net_timer_start(router->options.loop, &router->expire, more ? EXPIRE_MORE_MS : EXPIRE_MS, expire, router);
}

/* ---- opening ---- */

static void key_is_put(void *ctx, const struct replica_outcome *outcome)
{
    struct router *router = ctx;
    router->booting--;
    if (outcome->err)
        router->boot_err = outcome->err;
    else if (outcome->verdict != VERDICT_ACCEPTED)
        router->boot_err = cx_fail(CX_DENIED, "an API key could not be made: %s", verdict_text(outcome->verdict));
}

static enum cx_err put_key(struct router *router, const char *text)
{
    struct command cmd;
    struct key_view known;
    custody_key_put(replica_router(router->replica), text, &cmd);
    if (view_key(replica_core(router->replica), &cmd.key_put.key_hash, &known))
        return CX_OK;
    enum cx_err err = replica_command(router->replica, &cmd, NULL, 0, key_is_put, router);
    if (!err)
        router->booting++;
    return err;
}

static enum cx_err put_first_key(struct router *router)
{
    const struct router_options *o = &router->options;
    struct key_view any;
    uint32_t at = 0;
    char text[CUSTODY_KEY_SIZE];
    if (!o->on_first_key || o->admin_key_count > 0 || view_key_at(replica_core(router->replica), &at, &any))
        return CX_OK;
    custody_new_key(text);
    o->on_first_key(o->ctx, text);
    return put_key(router, text);
}

/* The keys that exist from the start are on the ledger before anybody can show one. */
static enum cx_err put_keys(struct router *router)
{
    const struct router_options *o = &router->options;
    enum cx_err err = put_first_key(router);
    for (uint32_t i = 0; i < o->admin_key_count && !err; i++)
        err = put_key(router, o->admin_key[i]);
    if (err)
        return err;
    while (router->booting > 0 && !router->stopped)
        if (!net_loop_turn(o->loop, true))
            return cx_fail(CX_CLOSED, "the ledger no longer answers");
    return router->boot_err;
}

/* A ledger in memory keeps no payloads. */
static bool is_in_memory(const struct router_options *o) { return strncmp(o->ledger_uri, "mem:", 4) == 0; }

/* The ledger and the payloads share a file, so that a prompt and the entry that names it are durable together. */
static enum cx_err open_stores(struct router *router)
{
    const struct router_options *o = &router->options;
    enum cx_err err = payload_store_open(o->ledger_uri, &router->payloads);
    if (!err)
        err = history_open(
            &(struct history_options){.archive_path = o->archive_path, .on_failed = on_stopped, .ctx = router},
            &router->history);
    if (err)
        return err;
    const struct tasks_options tasks = {
        .loop = o->loop, .payloads = router->payloads, .history = router->history, .keep_ms = o->keep_ms};
    return tasks_open(&tasks, &router->tasks);
}

/* on_progress gets the owner's ctx, and the replica has ours. */
static void on_progress(void *ctx, uint64_t seq, uint64_t of)
{
    struct router *router = ctx;
    if (router->options.on_progress)
        router->options.on_progress(router->options.ctx, seq, of);
}

static enum cx_err open_replica(struct router *router)
{
    const struct router_options *o = &router->options;
    const struct replica_options options = {.loop = o->loop,
                                            .ledger_uri = o->ledger_uri,
                                            .key = o->key,
                                            .payloads = is_in_memory(o) ? router->payloads : NULL,
                                            .genesis = o->genesis,
                                            .on_stopped = on_stopped,
                                            .on_progress = on_progress,
                                            .ctx = router};
    /* Clients hear how their tasks ended before the history writes these away. */
    struct replica_listener *const listeners[] = {tasks_listener(router->tasks), history_listener(router->history),
                                                  o->listener};
    return replica_open(&options, listeners, o->listener ? 3 : 2, &router->replica);
}

static enum cx_err open_parts(struct router *router)
{
    const struct router_options *o = &router->options;
    const struct hub_options hub = {.loop = o->loop,
                                    .replica = router->replica,
                                    .tasks = router->tasks,
                                    .payloads = router->payloads,
                                    .history = router->history,
                                    .keep_ms = o->keep_ms};
    tasks_resume(router->tasks, router->replica);
    enum cx_err err = hub_open(&hub, &router->hub);
    if (err)
        return err;
    tasks_set_hub(router->tasks, router->hub);
    const struct api_options api = {.loop = o->loop,
                                    .replica = router->replica,
                                    .tasks = router->tasks,
                                    .history = router->history,
                                    .payloads = router->payloads,
                                    .hub = router->hub,
                                    .admin = o->admin,
                                    .redundancy = o->redundancy,
                                    .validation = o->validation,
                                    .audit_bp = o->audit_bp,
                                    .keep_ms = o->keep_ms,
                                    .on_ready = o->on_ready,
                                    .ctx = o->ctx};
    return api_open(&api, &router->api);
}

static enum cx_err open_server(struct router *router)
{
    const struct http_server_options options = {.listen = router->options.listen,
                                                .body_size_max = api_body_size_max,
                                                .on_request = api_handle,
                                                .ctx = router->api};
    return http_server_open(router->options.loop, &options, &router->server);
}

enum cx_err router_open(const struct router_options *options, struct router **ret_router)
{
    cx_auto(router) router = calloc(1, sizeof *router);
    cx_assert(router);
    router->options = *options;
    if (router->options.keep_ms == 0)
        router->options.keep_ms = KEEP_MS_DEFAULT;
    enum cx_err err = open_stores(router);
    if (!err)
        err = open_replica(router);
    if (!err)
        err = open_parts(router);
    if (!err)
        err = put_keys(router);
    if (!err)
        err = open_server(router);
    if (router->stopped)
        err = cx_fail(router->boot_err, "%s", router->why);
    if (err)
        return err;
    router->opened = true;
    replica_start(router->replica);
    net_timer_start(options->loop, &router->expire, EXPIRE_MS, expire, router);
    *ret_router = cx_take(&router);
    return CX_OK;
}

uint16_t router_port(const struct router *router) { return http_server_port(router->server); }

struct replica *router_replica(struct router *router) { return router->replica; }

/* ---- the end ---- */

static void hub_drained(void *ctx)
{
    struct router *router = ctx;
    router->drained(router->drained_ctx);
}

/* Exchanges and client links end each for itself; then nobody waits for an answer, and the miners may go. */
static void look_whether_served(struct router *router)
{
    if (!router->server_stopped || !router->api_idle)
        return;
    net_timer_stop(&router->drain);
    hub_drain(router->hub, hub_drained, router);
}

static void server_stopped(void *ctx)
{
    struct router *router = ctx;
    router->server_stopped = true;
    look_whether_served(router);
}

static void api_idle(void *ctx)
{
    struct router *router = ctx;
    router->api_idle = true;
    look_whether_served(router);
}

static void drain_is_over(void *ctx)
{
    struct router *router = ctx;
    api_stop(router->api);
}

void router_drain(struct router *router, uint32_t drain_ms, void (*done)(void *ctx), void *ctx)
{
    router->drained = done;
    router->drained_ctx = ctx;
    api_drain(router->api, api_idle, router);
    net_timer_start(router->options.loop, &router->drain, drain_ms, drain_is_over, router);
    http_server_stop(router->server, server_stopped, router);
}

/* First who brings something in, then what carries it out; the replica calls back whoever still waits. */
void router_close(struct router *router)
{
    if (!router)
        return;
    net_timer_stop(&router->expire);
    net_timer_stop(&router->drain);
    if (router->api)
        api_abandon(router->api);
    http_server_close(router->server);
    hub_close(router->hub);
    replica_close(router->replica);
    api_close(router->api);
    tasks_close(router->tasks);
    history_close(router->history);
    payload_store_close(router->payloads);
    free(router);
}
