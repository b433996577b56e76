/* A cheating miner's link, and its place in the network. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/view.h"
#include "miner/engine_request.h"
#include "proto/entry.h"
#include "sim/adversary_parts.h"

#define X(NAME, name, bound) #name,
static const char *const names[] = {CHEATS(X)};
#undef X
#define X(NAME, name, bound) bound,
static const char *const bounds[] = {CHEATS(X)};
#undef X

const char *cheat_name(enum cheat_at at) { return names[at]; }
const char *cheat_bound(enum cheat_at at) { return bounds[at]; }

/* ---- what it sees of others ---- */

static const struct core *core_of(const struct adversary_miner *miner)
{
    const struct adversary_spy *spy = &miner->options.spy;
    return spy->core ? spy->core(spy->ctx) : NULL;
}

bool adversary_sees_precommit(const struct adversary_miner *miner, uint64_t task, uint64_t own_lease,
                              struct hash *ret_precommit)
{
    const struct core *core = core_of(miner);
    struct assignment_view a;
    for (uint32_t at = 0; core && view_assignment_of(core, task, &at, &a);)
        if (a.lease != own_lease && a.state == ASSIGNMENT_PRECOMMITTED) {
            *ret_precommit = a.precommit;
            return true;
        }
    return false;
}

bool adversary_sees_lease(const struct adversary_miner *miner, uint64_t *ret_lease)
{
    const struct core *core = core_of(miner);
    struct task_view task;
    struct assignment_view a;
    for (uint32_t at = 0; core && view_task_at(core, &at, &task);)
        for (uint32_t of = 0; view_assignment_of(core, task.id, &of, &a);)
            if (!address_eq(&a.node, key_address(miner->options.key))) {
                *ret_lease = a.lease;
                return true;
            }
    return false;
}

bool adversary_sees_node(const struct adversary_miner *miner, struct address *ret_node)
{
    const struct core *core = core_of(miner);
    struct node_view node;
    for (uint32_t at = 0; core && view_node_at(core, &at, &node);)
        if (!address_eq(&node.address, key_address(miner->options.key))) {
            *ret_node = node.address;
            return true;
        }
    return false;
}

/* ---- saying ---- */

bool adversary_say(struct adversary_miner *miner, const struct link_frame *frame)
{
    if (!adversary_wire_send(&miner->wire, frame))
        return false;
    struct buf *kept = &miner->kept[miner->kept_count++ % ADVERSARY_KEPT];
    buf_reset(kept);
    buf_add(kept, miner->wire.out.data, miner->wire.out.size);
    return true;
}

void adversary_submit(struct adversary_miner *miner, const struct command *cmd, const struct key *const *key,
                      uint32_t keys)
{
    buf_reset(&miner->entry);
    if (entry_sign(cmd, miner->wire.network, key, keys, &miner->entry))
        return;
    miner->asked = true;
    const struct link_frame frame = {
        .type = LINK_SUBMIT,
        .submit = {.ref = ++miner->ref, .entry = {(const uint8_t *)miner->entry.data, (uint32_t)miner->entry.size}}};
    adversary_wire_send(&miner->wire, &frame);
}

/* ---- its place in the network ---- */

static const struct key *operator_of(const struct adversary_miner *miner)
{
    return miner->options.operator? miner->options.operator: miner->options.key;
}

static void submit_register(struct adversary_miner *miner)
{
    const struct key *const key[] = {miner->options.key, operator_of(miner)};
    const struct command cmd = {
        .type = COMMAND_NODE_REGISTER,
        .nonce = miner->nonce_next,
        .node_register = {.node = *key_address(key[0]),
                          .operator= * key_address(key[1]),
                          .slots = (uint8_t)miner->options.slots,
                          .engine = (uint8_t)engine_term(runtime_info(miner->runtime)->engine),
                          .stake = amount_is_zero(miner->options.stake) ? miner->stake_min : miner->options.stake}};
    adversary_submit(miner, &cmd, key, address_eq(key_address(key[0]), key_address(key[1])) ? 1 : 2);
}

static void submit_model(struct adversary_miner *miner)
{
    const struct command cmd = {.type = COMMAND_NODE_MODEL_PUT,
                                .nonce = miner->nonce_next,
                                .node_model_put = {.node = *key_address(miner->options.key),
                                                   .model = miner->model,
                                                   .context = miner->context,
                                                   .price_in = miner->options.price_in,
                                                   .price_out = miner->options.price_out,
                                                   .ttft_ms = 1,
                                                   .tokens_per_s_milli = 1000000}};
    adversary_submit(miner, &cmd, &miner->options.key, 1);
}

static void settle(struct adversary_miner *miner)
{
    if (miner->asked || miner->model == 0)
        return;
    if (!miner->registered)
        submit_register(miner);
    else if (!miner->offers_model)
        submit_model(miner);
}

static void see_node(struct adversary_miner *miner, const struct link_node *node)
{
    miner->registered = node->state != NODE_GONE;
    for (uint32_t i = 0; i < node->models; i++)
        miner->offers_model = miner->offers_model || node->model[i].model == miner->model;
    settle(miner);
}

static void on_welcome(struct adversary_miner *miner, const struct link_welcome *f)
{
    bool fresh = miner->number != f->link;
    miner->asked = false;
    miner->number = f->link;
    miner->nonce_next = u64_max(f->nonce_next, miner->nonce_next);
    if (fresh && f->link > 0)
        adversary_on_new_link(miner);
    if (f->registered)
        see_node(miner, &f->node);
    else
        settle(miner);
    if (f->link > 0)
        adversary_begin_mischief(miner);
}

static void on_result(struct adversary_miner *miner, const struct link_result *f)
{
    bool good = !f->error && f->verdict == VERDICT_ACCEPTED;
    miner->stats.results_accepted += good;
    miner->stats.results_bad += !good;
    if (f->ref != miner->ref)
        return;
    miner->asked = false;
    miner->nonce_next++;
}

/* ---- the link ---- */

static void on_hello(void *ctx, const struct link_challenge *c, struct link_hello *hello)
{
    struct adversary_miner *miner = ctx;
    const struct runtime_info *info = runtime_info(miner->runtime);
    for (uint32_t i = 0; i < c->models; i++)
        if (strcmp(c->model[i].name, miner->model_name) == 0) {
            miner->model = c->model[i].id;
            miner->manifest = c->model[i].manifest;
            miner->context = u32_min(c->model[i].context, info->context);
        }
    miner->stake_min = c->stake_min;
    hello->operator= * key_address(operator_of(miner));
    hello->engine = (uint8_t)engine_term(info->engine);
    hello->slots = miner->options.slots;
    hello->build = "other/1";
    adversary_spoil_hello(miner, hello);
}

static void on_frame(void *ctx, struct link_frame *f)
{
    struct adversary_miner *miner = ctx;
    if (f->type == LINK_WELCOME)
        on_welcome(miner, &f->welcome);
    else if (f->type == LINK_NODE)
        see_node(miner, &f->node);
    else if (f->type == LINK_RESULT)
        on_result(miner, &f->result);
    else if (f->type == LINK_OFFER)
        adversary_on_offer(miner, &f->offer);
    else
        adversary_on_lease_frame(miner, f);
}

static void on_down(void *ctx)
{
    struct adversary_miner *miner = ctx;
    miner->number = 0;
    miner->asked = false;
    net_timer_stop(&miner->mischief);
    for (uint32_t i = 0; i < ADVERSARY_KEPT; i++) {
        struct buf old = miner->old[i];
        miner->old[i] = miner->kept[i];
        miner->kept[i] = old;
        buf_reset(&miner->kept[i]);
    }
    miner->kept_count = 0;
}

enum cx_err adversary_miner_open(const struct adversary_options *options, struct adversary_miner **ret_miner)
{
    static const struct adversary_wire_events events = {on_hello, on_frame, on_down};
    cx_auto(adversary_miner) miner = calloc(1, sizeof *miner);
    cx_assert(miner);
    miner->options = *options;
    miner->options.slots = options->slots ? options->slots : ADVERSARY_SLOTS;
    miner->options.percent = options->percent ? options->percent : 100;
    miner->options.every_ms = options->every_ms ? options->every_ms : ADVERSARY_EVERY_MS;
    miner->prng.state = options->seed;
    snprintf(miner->model_name, sizeof miner->model_name, "%s", options->model);
    const struct runtime_options engine = {.slots = miner->options.slots, .queue_max = 64};
    enum cx_err err = runtime_open(options->loop, options->engine, options->model, &engine, &miner->runtime);
    if (err)
        return err;
    miner->wire = (struct adversary_wire){
        .loop = options->loop, .protocol = LINK_PROTOCOL_MINER, .key = options->key, .events = &events, .ctx = miner};
    err = adversary_wire_open(&miner->wire, options->router, LINK_PATH_MINER);
    if (err)
        return err;
    *ret_miner = cx_take(&miner);
    return CX_OK;
}

void adversary_miner_close(struct adversary_miner *miner)
{
    if (!miner)
        return;
    net_timer_stop(&miner->mischief);
    adversary_wire_close(&miner->wire);
    adversary_forget_leases(miner);
    runtime_close(miner->runtime);
    for (uint32_t i = 0; i < ADVERSARY_KEPT; i++) {
        buf_done(&miner->kept[i]);
        buf_done(&miner->old[i]);
    }
    buf_done(&miner->entry);
    free(miner);
}

const struct adversary_stats *adversary_miner_stats(const struct adversary_miner *miner)
{
    struct adversary_stats *stats = &((struct adversary_miner *)(uintptr_t)miner)->stats;
    stats->refused = miner->wire.refused;
    stats->breaches = miner->wire.breaches;
    stats->links = miner->wire.links;
    memcpy(stats->code, miner->wire.code, sizeof stats->code);
    return stats;
}

const struct address *adversary_miner_node(const struct adversary_miner *miner)
{
    return key_address(miner->options.key);
}
