/* The node's place in the network: registering, offering its model, and why it has work or has none. */
#include "miner/miner_parts.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "miner/engine_request.h"
#include "proto/entry.h"

uint8_t miner_engine(const struct miner *miner) { return (uint8_t)engine_term(runtime_info(miner->runtime)->engine); }

/* ---- its own commands ---- */

static void submit(struct miner_link *link, const struct command *cmd, const struct key *const *key, uint32_t keys)
{
    struct buf entry = {0};
    if (entry_sign(cmd, router_link_network(link->wire), key, keys, &entry) == CX_OK) {
        link->asked = ++link->miner->ref;
        const struct link_frame frame = {
            .type = LINK_SUBMIT,
            .submit = {.ref = link->asked, .entry = {(const uint8_t *)entry.data, (uint32_t)entry.size}}};
        router_link_send(link->wire, &frame);
    }
    buf_done(&entry);
}

static void submit_register(struct miner_link *link)
{
    const struct miner *miner = link->miner;
    const struct key *const key[] = {miner->options.key, miner_operator(miner)};
    struct command cmd = {.type = COMMAND_NODE_REGISTER,
                          .nonce = link->nonce_next,
                          .node_register = {.node = *key_address(miner->options.key),
                                            .operator= * key_address(miner_operator(miner)),
                                            .slots = (uint8_t)miner->slots,
                                            .engine = miner_engine(miner),
                                            .stake = miner->options.stake,
                                            .invite = miner->options.invite,
                                            .build = {(const uint8_t *)miner->build, (uint32_t)strlen(miner->build)}}};
    if (amount_is_zero(cmd.node_register.stake))
        cmd.node_register.stake = link->stake_min;
    submit(link, &cmd, key, address_eq(key_address(key[0]), key_address(key[1])) ? 1 : 2);
}

static void submit_model(struct miner_link *link)
{
    const struct miner *miner = link->miner;
    const struct runtime_info *info = runtime_info(miner->runtime);
    const struct key *const key[] = {miner->options.key};
    const struct command cmd = {
        .type = COMMAND_NODE_MODEL_PUT,
        .nonce = link->nonce_next,
        .node_model_put = {.node = *key_address(miner->options.key),
                           .model = link->model,
                           .declared = info->declared,
                           .context = link->context,
                           .price_in = miner->options.price_in,
                           .price_out = miner->options.price_out,
                           .ttft_ms = info->ttft_ms,
                           .tokens_per_s_milli = (uint32_t)u64_min(info->tokens_per_s_milli, UINT32_MAX)}};
    submit(link, &cmd, key, 1);
}

/* Whether the ledger has the model with the terms that this miner was started with. */
static bool offers_model(const struct miner_link *link)
{
    const struct miner *miner = link->miner;
    for (uint32_t i = 0; i < miner->node.models; i++) {
        const struct link_node_model *m = &miner->node.model[i];
        if (m->model == link->model)
            return m->price_in == miner->options.price_in && m->price_out == miner->options.price_out &&
                   m->declared == runtime_info(miner->runtime)->declared && m->context <= link->context;
    }
    return false;
}

static void settle_again(void *ctx)
{
    struct miner *miner = ctx;
    miner_settle(miner);
}

/* One link acts, so that two routers are not asked for the same under one nonce. */
static struct miner_link *acting_link(struct miner *miner)
{
    for (uint32_t i = 0; i < miner->options.routers; i++)
        if (miner->link[i].welcomed)
            return &miner->link[i];
    return NULL;
}

static void become_ready(struct miner *miner)
{
    if (miner->ready)
        return;
    miner->ready = true;
    miner->trouble[0] = '\0';
    miner->options.on_ready(miner->options.ctx);
}

void miner_settle(struct miner *miner)
{
    struct miner_link *link = acting_link(miner);
    if (!link || link->asked || miner->draining || net_timer_is_on(&miner->ask_timer))
        return;
    if (!link->registered)
        submit_register(link);
    else if (!miner->node.leaving && !offers_model(link))
        submit_model(link);
    else if (link->number > 0)
        become_ready(miner);
}

void miner_on_result(struct miner_link *link, const struct link_result *result)
{
    struct miner *miner = link->miner;
    if (result->ref != link->asked)
        return;
    link->asked = 0;
    link->nonce_next++;
    bool good = !result->error && (result->verdict == VERDICT_ACCEPTED || result->verdict == VERDICT_NODE_KNOWN);
    if (good) {
        miner->ask_ms = MINER_ASK_MS;
        return;  // a welcome or node frame follows
    }
    const char *name = result->error ? "" : verdict_name(result->verdict);
    snprintf(miner->trouble, sizeof miner->trouble, "the network refuses: %s%s%s", name, result->error ? "" : ": ",
             result->error ? result->error : result->message);
    log_warn("miner", "refused router=%s verdict=%s message=\"%s\" retry_ms=%u", router_link_url(link->wire), name,
             result->error ? result->error : result->message, miner->ask_ms);
    net_timer_start(miner->options.loop, &miner->ask_timer, miner->ask_ms, settle_again, miner);
    miner->ask_ms = u32_min(2 * miner->ask_ms, MINER_ASK_MS_MAX);
}

void miner_see_node(struct miner_link *link, const struct link_node *node)
{
    struct miner *miner = link->miner;
    bool moved = !miner->node_known || miner->node.state != node->state;
    miner->node_known = true;
    miner->node = *node;
    if (moved) {
        log_info("miner", "node state=%s", term_name(TERM_node_state, node->state));
        if (miner->options.on_state)
            miner->options.on_state(miner->options.ctx, node->state);
    }
    /* Its operator took it out of the network, and it must not come back by itself. */
    if (node->state == NODE_GONE)
        miner_drain(miner);
    else
        miner_settle(miner);
}

/* ---- why ---- */

static const char *of_state(enum node_state state)
{
    switch (state) {
    case NODE_UNTESTED: return "it waits for its first round: an oracle has to test it before it serves";
    case NODE_TESTING: return "a round tests it now";
    case NODE_EPHEMERAL: return "it is free: no session needs it at the moment";
    case NODE_RESERVED: return "a session holds it, and gives it work as tasks come";
    case NODE_RELEASED: return "it left a session and waits for a round before it serves again";
    case NODE_RECALIBRATING: return "it failed a round and is tested again when its back-off is over";
    case NODE_OFFLINE: return "it was away for long and is coming back";
    case NODE_LEAVING: return "it is leaving the network";
    case NODE_GONE: return "it has left the network";
    case NODE_BANNED: return "it is banned: oracles can lift that";
    case NODE_STATE_COUNT: break;
    }
    cx_assert(state < NODE_STATE_COUNT);
    return "";
}

static void explain(const struct miner *miner, struct miner_why *why)
{
    if (why->draining)
        snprintf(why->text, sizeof why->text, "it takes nothing new and ends what runs");
    else if (miner->trouble[0] != '\0')
        snprintf(why->text, sizeof why->text, "%s", miner->trouble);
    else if (!why->engine_ready)
        snprintf(why->text, sizeof why->text, "the engine is being measured");
    else if (why->links_up == 0)
        snprintf(why->text, sizeof why->text, "no router is linked: %s: %s", router_link_url(miner->link[0].wire),
                 miner->link[0].why[0] ? miner->link[0].why : "connecting");
    else if (!why->registered)
        snprintf(why->text, sizeof why->text, "it is being registered");
    else if (why->state == NODE_RECALIBRATING)
        snprintf(why->text, sizeof why->text, "%s (%" PRIu64 " s)", of_state(why->state), miner->node.retry_ms / 1000);
    else
        snprintf(why->text, sizeof why->text, "%s", of_state(why->state));
}

void miner_why(const struct miner *miner, struct miner_why *ret)
{
    const struct runtime_info *info = runtime_info(miner->runtime);
    *ret = (struct miner_why){.engine_ready = miner->measured,
                              .draining = miner->draining,
                              .links = miner->options.routers,
                              .registered = miner->node_known,
                              .model_offered = miner->ready,
                              .state = miner->node.state,
                              .ttft_ms = info->ttft_ms,
                              .tokens_per_s_milli = info->tokens_per_s_milli};
    for (uint32_t i = 0; i < miner->options.routers; i++) {
        ret->links_up += miner->link[i].welcomed;
        ret->attached = ret->attached || miner->link[i].number > 0;
    }
    if (miner->book) {
        ret->busy = lease_book_busy(miner->book);
        ret->owed = lease_book_owed(miner->book);
        ret->stats = lease_book_stats(miner->book);
    }
    explain(miner, ret);
}
