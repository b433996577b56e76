#include "miner/miner_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "crypto/random.h"

#define STATS_MS       10000  // between two stats frames
#define MEASURE_MS     1000   // until an engine that was not ready is measured again; doubles
#define MEASURE_MS_MAX 30000
#define DRAIN_MS       60000  // for what runs to end, and for routers to say so
#define DRAIN_ALONE_MS 1000   // while no router can be reached
#define LEASES_SPARE   8      // beyond slots: rounds, and leases whose answer waits for others

/* ---- leases ---- */

static bool book_takes(void *ctx, uint32_t at)
{
    const struct miner *miner = ctx;
    return router_link_takes(miner->link[at].wire);
}

static void book_send(void *ctx, uint32_t at, const struct link_frame *frame)
{
    struct miner *miner = ctx;
    router_link_send(miner->link[at].wire, frame);
}

static void release(void *ctx)
{
    struct hold *hold = ctx;
    struct miner *miner = hold->miner;
    struct hold **at = &miner->hold;
    while (*at != hold)
        at = &(*at)->next;
    *at = hold->next;
    lease_book_release(miner->book, hold->lease);
    free(hold);
}

static void book_hold(void *ctx, uint64_t lease, uint32_t ms)
{
    struct miner *miner = ctx;
    struct hold *hold = calloc(1, sizeof *hold);
    cx_assert(hold);
    hold->miner = miner;
    hold->lease = lease;
    hold->next = miner->hold;
    miner->hold = hold;
    net_timer_start(miner->options.loop, &hold->timer, ms, release, hold);
}

static void book_drop(void *ctx)
{
    struct miner *miner = ctx;
    for (uint32_t i = 0; i < miner->options.routers; i++)
        router_link_drop(miner->link[i].wire, "dropped for a test");
}

/* ---- draining ---- */

static void stop(struct miner *miner, enum cx_err err)
{
    net_timer_stop(&miner->timer);
    net_timer_stop(&miner->drain_timer);
    if (!miner->stopped) {
        miner->stopped = true;
        miner->options.on_stopped(miner->options.ctx, err);
    }
}

static void stop_soon(void *ctx) { stop(ctx, CX_OK); }

static void shut_links(struct miner *miner)
{
    if (miner->shutting)
        return;
    miner->shutting = true;
    miner->links_open = miner->options.routers;
    for (uint32_t i = 0; i < miner->options.routers; i++)
        router_link_shut(miner->link[i].wire, "drained");
}

void miner_look_whether_drained(struct miner *miner)
{
    if (miner->draining && !miner->shutting && lease_book_owed(miner->book) == 0)
        shut_links(miner);
}

/* What is owed to routers that are all away is waited for only a little: they may be gone for good. */
static uint32_t drain_patience_ms(const struct miner *miner)
{
    for (uint32_t i = 0; i < miner->options.routers; i++)
        if (router_link_is_up(miner->link[i].wire))
            return DRAIN_MS;
    return DRAIN_ALONE_MS;
}

static void drain_timeout(void *ctx)
{
    struct miner *miner = ctx;
    if (!miner->shutting) {
        log_warn("miner", "drain timeout owed=%u", lease_book_owed(miner->book));
        shut_links(miner);
        net_timer_start(miner->options.loop, &miner->drain_timer, DRAIN_MS, drain_timeout, miner);
    } else {
        stop(miner, CX_OK);
    }
}

void miner_drain(struct miner *miner)
{
    if (miner->draining)
        return;
    miner->draining = true;
    log_info("miner", "draining busy=%u", miner->book ? lease_book_busy(miner->book) : 0);
    if (!miner->book) {  // the engine never was ready, so there are no links
        net_timer_start(miner->options.loop, &miner->drain_timer, 0, stop_soon, miner);
        return;
    }
    lease_book_drain(miner->book);
    net_timer_start(miner->options.loop, &miner->drain_timer, drain_patience_ms(miner), drain_timeout, miner);
    miner_look_whether_drained(miner);
}

/* ---- links ---- */

/* A declared manifest is only its operator's word for a model of that name; a computed one must be in the catalog. */
static const struct link_model *find_model(const struct miner *miner, const struct link_challenge *c)
{
    const struct runtime_info *info = runtime_info(miner->runtime);
    for (uint32_t i = 0; i < c->models; i++)
        if (info->declared ? strcmp(c->model[i].name, miner->model) == 0
                           : hash_eq(&c->model[i].manifest, &info->manifest))
            return &c->model[i];
    return NULL;
}

static bool on_challenge(void *ctx, const struct link_challenge *c, struct link_hello *ret_hello)
{
    struct miner_link *link = ctx;
    struct miner *miner = link->miner;
    const struct runtime_info *info = runtime_info(miner->runtime);
    const struct link_model *model = find_model(miner, c);
    miner->model_known = model != NULL;
    if (!model) {
        snprintf(miner->trouble, sizeof miner->trouble, "model %s is not in the network's catalog: an admin adds it",
                 miner->model);
        cx_fail(CX_NOT_FOUND, "%s", miner->trouble);
        log_warn("miner", "no such model router=%s model=%s", router_link_url(link->wire), miner->model);
        return false;
    }
    link->model = model->id;
    link->stake_min = c->stake_min;
    link->context = u32_min(info->context, model->context);
    lease_book_set_manifest(miner->book, &model->manifest);
    ret_hello->operator= * key_address(miner_operator(miner));
    ret_hello->engine = miner_engine(miner);
    ret_hello->slots = miner->slots;
    ret_hello->build = miner->build;
    return true;
}

static void on_welcome(struct miner_link *link, const struct link_welcome *f)
{
    struct miner *miner = link->miner;
    link->welcomed = true;
    link->number = f->link;
    link->nonce_next = f->nonce_next;
    link->asked = 0;
    link->registered = f->registered;
    if (f->registered)
        miner_see_node(link, &f->node);
    if (f->link > 0)
        lease_book_welcome(miner->book, link->at, router_link_network(link->wire), f->lease, f->leases);
    log_info("miner", "linked router=%s link=%u", router_link_url(link->wire), f->link);
    miner_settle(miner);
}

static void on_frame(void *ctx, struct link_frame *f)
{
    struct miner_link *link = ctx;
    struct miner *miner = link->miner;
    if (f->type == LINK_WELCOME)
        on_welcome(link, &f->welcome);
    else if (f->type == LINK_NODE)
        miner_see_node(link, &f->node);
    else if (f->type == LINK_RESULT)
        miner_on_result(link, &f->result);
    else if (f->type == LINK_OFFER)
        lease_book_offer(miner->book, link->at, &f->offer);
    else if (f->type == LINK_PROMOTE)
        lease_book_promote(miner->book, f->promote.lease);
    else if (f->type == LINK_REVEAL)
        lease_book_reveal(miner->book, f->reveal.lease);
    else if (f->type == LINK_CANCEL)
        lease_book_cancel(miner->book, f->cancel.lease);
    else if (f->type == LINK_RECALL)
        lease_book_recall(miner->book, f->recall.lease);
    else if (f->type == LINK_DRAIN)
        log_info("miner", "the router goes away router=%s", router_link_url(link->wire));
    miner_look_whether_drained(miner);
}

static void on_down(void *ctx, const char *why)
{
    struct miner_link *link = ctx;
    struct miner *miner = link->miner;
    if (link->welcomed && !miner->shutting)
        log_warn("miner", "link lost router=%s why=\"%s\"", router_link_url(link->wire), why);
    link->welcomed = false;
    link->number = 0;
    link->asked = 0;
    snprintf(link->why, sizeof link->why, "%s", why);
    lease_book_link_down(miner->book, link->at);
    if (miner->shutting) {
        if (--miner->links_open == 0)
            net_timer_start(miner->options.loop, &miner->drain_timer, 0, stop_soon, miner);
        return;
    }
    if (miner->draining)
        net_timer_start(miner->options.loop, &miner->drain_timer, drain_patience_ms(miner), drain_timeout, miner);
    miner_settle(miner);
}

static void on_drain(void *ctx)
{
    struct miner_link *link = ctx;
    lease_book_pump(link->miner->book, link->at);
}

static void send_stats(void *ctx)
{
    struct miner *miner = ctx;
    const struct runtime_info *info = runtime_info(miner->runtime);
    const struct link_frame frame = {
        .type = LINK_STATS,
        .stats = {.ttft_ms = info->ttft_ms,
                  .tokens_per_s_milli = (uint32_t)u64_min(info->tokens_per_s_milli, UINT32_MAX),
                  .busy = lease_book_busy(miner->book)}};
    for (uint32_t i = 0; i < miner->options.routers; i++)
        if (miner->link[i].number > 0)
            router_link_send(miner->link[i].wire, &frame);
    net_timer_start(miner->options.loop, &miner->timer, STATS_MS, send_stats, miner);
}

/* ---- opening ---- */

static enum cx_err open_book(struct miner *miner)
{
    const struct lease_book_options options = {
        .key = miner->options.key,
        .manifest = runtime_info(miner->runtime)->manifest,
        .engine = (enum engine)miner_engine(miner),
        .cap = u32_min(2 * miner->slots + LEASES_SPARE, LEASE_BOOK_CAP_MAX),
        .faults = miner->options.faults,
        .sink = {book_takes, book_send, miner_start_job, miner_cancel_job, book_hold, book_drop, miner}};
    return lease_book_open(&options, &miner->book);
}

static void on_measured(void *ctx, enum cx_err err, const char *detail);

static void measure(void *ctx)
{
    struct miner *miner = ctx;
    enum cx_err err = runtime_measure(miner->runtime, on_measured, miner);
    if (err)
        on_measured(miner, err, cx_detail());
}

static bool may_mend(enum cx_err err)
{
    return err == CX_IO || err == CX_TIMEOUT || err == CX_CLOSED || err == CX_BUSY || err == CX_UNKNOWN;
}

static void open_links(struct miner *miner)
{
    for (uint32_t i = 0; i < miner->options.routers; i++)
        router_link_start(miner->link[i].wire);
    net_timer_start(miner->options.loop, &miner->timer, STATS_MS, send_stats, miner);
}

static void on_measured(void *ctx, enum cx_err err, const char *detail)
{
    struct miner *miner = ctx;
    if (miner->draining)
        return;
    if (err && may_mend(err)) {
        snprintf(miner->trouble, sizeof miner->trouble, "the engine is not ready: %s", detail);
        log_warn("miner", "engine not ready detail=\"%s\" retry_ms=%u", detail, miner->measure_ms);
        net_timer_start(miner->options.loop, &miner->timer, miner->measure_ms, measure, miner);
        miner->measure_ms = u32_min(2 * miner->measure_ms, MEASURE_MS_MAX);
        return;
    }
    if (err) {
        cx_fail(err, "the engine is not usable: %s", detail);
        stop(miner, err);
        return;
    }
    const struct runtime_info *info = runtime_info(miner->runtime);
    miner->measured = true;
    miner->trouble[0] = '\0';
    snprintf(miner->build, sizeof miner->build, "%s", info->build);
    log_info("miner", "engine ready build=\"%s\" ttft_ms=%u tokens_per_s=%.1f context=%u", info->build, info->ttft_ms,
             (double)info->tokens_per_s_milli / 1000, info->context);
    err = open_book(miner);
    if (err)
        stop(miner, err);
    else
        open_links(miner);
}

static enum cx_err prepare_links(struct miner *miner)
{
    static const struct router_link_events events = {on_challenge, on_frame, on_down, on_drain};
    if (miner->options.routers == 0 || miner->options.routers > MINER_ROUTERS_MAX)
        return cx_fail(CX_INVALID, "a miner links to 1..%u routers", MINER_ROUTERS_MAX);
    for (uint32_t i = 0; i < miner->options.routers; i++) {
        struct miner_link *link = &miner->link[i];
        link->miner = miner;
        link->at = i;
        const char *protocols = miner->options.text_frames ? LINK_PROTOCOL_MINER : LINK_PROTOCOLS_MINER;
        const struct router_link_options options = {.loop = miner->options.loop,
                                                    .url = miner->options.router[i],
                                                    .path = LINK_PATH_MINER,
                                                    .protocols = protocols,
                                                    .place = "miner",
                                                    .ca_file = miner->options.ca_file,
                                                    .key = miner->options.key,
                                                    .events = &events,
                                                    .ctx = link};
        enum cx_err err = router_link_open(&options, &link->wire);
        if (err)
            return err;
    }
    return CX_OK;
}

enum cx_err miner_open(const struct miner_options *options, struct miner **ret_miner)
{
    cx_auto(miner) miner = calloc(1, sizeof *miner);
    cx_assert(miner);
    miner->options = *options;
    miner->slots = options->slots ? options->slots : 1;
    miner->measure_ms = MEASURE_MS;
    miner->ask_ms = MINER_ASK_MS;
    snprintf(miner->model, sizeof miner->model, "%s", options->model);
    if (miner->slots > NODE_SLOTS_MAX)
        return cx_fail(CX_INVALID, "a node has 1..%u slots, not %u", NODE_SLOTS_MAX, miner->slots);
    const struct runtime_options engine = {.slots = miner->slots,
                                           .queue_max = miner->slots + LEASES_SPARE,
                                           .context = options->context,
                                           .api_key = options->api_key};
    enum cx_err err = runtime_open(options->loop, options->engine, options->model, &engine, &miner->runtime);
    if (!err)
        err = prepare_links(miner);
    if (err)
        return err;
    net_timer_start(options->loop, &miner->timer, 0, measure, miner);
    *ret_miner = cx_take(&miner);
    return CX_OK;
}

void miner_close(struct miner *miner)
{
    if (!miner)
        return;
    net_timer_stop(&miner->timer);
    net_timer_stop(&miner->drain_timer);
    net_timer_stop(&miner->ask_timer);
    for (uint32_t i = 0; i < MINER_ROUTERS_MAX; i++)
        router_link_close(miner->link[i].wire);
    runtime_close(miner->runtime);
    miner_forget_jobs(miner);
    while (miner->hold) {
        struct hold *hold = miner->hold;
        miner->hold = hold->next;
        net_timer_stop(&hold->timer);
        free(hold);
    }
    lease_book_close(miner->book);
    free(miner);
}

const struct address *miner_node(const struct miner *miner) { return key_address(miner->options.key); }
