/* What a cheating miner does to its link, now and then: whatever its cheats name, one after the other. */
#include <string.h>

#include "base/assert.h"
#include "core/command.h"
#include "sim/adversary_parts.h"

#define FLOOD_FRAMES 20001  // in one go: one more than a router takes in a second
#define MISCHIEF                                                                                               \
    (CHEAT_FOREIGN | CHEAT_SUBMIT_OTHER | CHEAT_SUBMIT_AGAIN | CHEAT_GARBAGE | CHEAT_OVERSIZED | CHEAT_FLOOD | \
     CHEAT_FLAP | CHEAT_OLD_HELLO | CHEAT_OTHER_HELLO | CHEAT_OLD_LINK)

static void send_text(struct adversary_miner *miner, const char *text)
{
    adversary_wire_send_text(&miner->wire, text, strlen(text));
}

/* ---- frames that are none ---- */

static void garbage(struct adversary_miner *miner)
{
    static const char *const text[] = {
        "",
        "{",
        "null",
        "[]",
        "{\"type\":\"ack\"}",
        "{\"type\":\"ack\",\"lease\":-1}",
        "{\"type\":\"ack\",\"lease\":\"18446744073709551616\"}",
        "{\"type\":\"welcome\",\"link\":1}",
        "{\"type\":\"chunk\",\"lease\":1,\"n\":0,\"text\":\"\\ud800\",\"tokens\":1}",
        "{\"type\":\"commit\",\"lease\":1,\"salt\":\"0x00\",\"record\":\"\",\"text\":\"\"}",
        "{\"type\":\"submit\",\"ref\":1,\"entry\":\"0xzz\"}"};
    uint64_t which = prng_below(&miner->prng, ARRAY_COUNT(text) + 2);
    uint8_t noise[256];
    prng_fill(&miner->prng, noise, sizeof noise);
    if (which < ARRAY_COUNT(text)) {
        send_text(miner, text[which]);
    } else if (which == ARRAY_COUNT(text)) {
        adversary_wire_send_binary(&miner->wire, noise, sizeof noise);
    } else {
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (uint8_t)(' ' + noise[i] % 95);
        adversary_wire_send_text(&miner->wire, (const char *)noise, sizeof noise);
    }
}

static void oversized(struct adversary_miner *miner)
{
    struct buf frame = {0};
    bool whole = prng_below(&miner->prng, 2) == 0;
    size_t size = whole ? LINK_UP_SIZE_MAX + 1 : LINK_CHUNK_SIZE_MAX + 1;
    buf_text(&frame, "{\"type\":\"chunk\",\"lease\":1,\"n\":0,\"tokens\":1,\"text\":\"");
    buf_reserve(&frame, size + 3);
    memset(frame.data + frame.size, 'x', size);
    frame.size += size;
    buf_text(&frame, "\"}");
    adversary_wire_send_text(&miner->wire, frame.data, frame.size);
    buf_done(&frame);
}

static void flood(struct adversary_miner *miner)
{
    for (uint32_t i = 0; i < FLOOD_FRAMES; i++)
        send_text(miner, "{\"type\":\"stats\",\"ttft_ms\":1,\"tokens_per_s_milli\":1,\"busy\":0}");
}

/* ---- what is another's ---- */

static void foreign(struct adversary_miner *miner)
{
    struct link_frame frame = {.type = LINK_ACK};
    uint64_t lease;
    if (!adversary_sees_lease(miner, &lease))
        return;
    switch (prng_below(&miner->prng, 4)) {
    case 0: frame.ack.lease = lease; break;
    case 1:
        frame = (struct link_frame){.type = LINK_DECLINE, .decline = {.lease = lease, .detail = "in its name"}};
        break;
    case 2:
        frame = (struct link_frame){.type = LINK_FAULT,
                                    .fault = {.lease = lease, .reason = DECLINE_ENGINE, .detail = "in its name"}};
        break;
    default: frame = (struct link_frame){.type = LINK_PRECOMMIT, .precommit = {.lease = lease, .has_signature = true}};
    }
    miner->stats.mischief++;
    adversary_wire_send(&miner->wire, &frame);
}

static void submit_other(struct adversary_miner *miner)
{
    struct command cmd = {.type = COMMAND_NODE_LEAVE, .nonce = miner->nonce_next};
    if (!adversary_sees_node(miner, &cmd.node_leave.node))
        return;
    miner->stats.mischief++;
    adversary_submit(miner, &cmd, &miner->options.key, 1);
}

/* The very bytes that it has signed before, under another ref. */
static void submit_again(struct adversary_miner *miner)
{
    if (miner->entry.size == 0 || miner->asked)
        return;
    miner->stats.mischief++;
    const struct link_frame frame = {
        .type = LINK_SUBMIT,
        .submit = {.ref = UINT64_MAX, .entry = {(const uint8_t *)miner->entry.data, (uint32_t)miner->entry.size}}};
    adversary_wire_send(&miner->wire, &frame);
}

/* ---- hellos ---- */

/* Each second one is spoiled: in between it comes to serve. */
void adversary_spoil_hello(struct adversary_miner *miner, struct link_hello *hello)
{
    bool spoil = miner->hellos++ % 2 == 1;
    if (!miner->has_hello) {
        miner->has_hello = true;
        miner->hello = *hello;
    }
    if (!spoil)
        return;
    if (adversary_does(miner, CHEAT_OLD_HELLO)) {
        miner->stats.mischief++;
        memcpy(hello->signature, miner->hello.signature, SIGNATURE_SIZE);
    } else if (adversary_does(miner, CHEAT_OTHER_HELLO) && adversary_sees_node(miner, &hello->node)) {
        miner->stats.mischief++;
    }
}

/* What was said on the socket before, on this one. */
void adversary_on_new_link(struct adversary_miner *miner)
{
    if (!adversary_does(miner, CHEAT_OLD_LINK))
        return;
    for (uint32_t i = 0; i < ADVERSARY_KEPT; i++)
        if (miner->old[i].size > 0) {
            miner->stats.again++;
            adversary_wire_send_text(&miner->wire, miner->old[i].data, miner->old[i].size);
        }
}

/* ---- now and then ---- */

static void do_one(struct adversary_miner *miner, uint32_t act)
{
    if (act == CHEAT_FOREIGN) {
        foreign(miner);
        return;
    }
    if (act == CHEAT_SUBMIT_OTHER) {
        submit_other(miner);
        return;
    }
    if (act == CHEAT_SUBMIT_AGAIN) {
        submit_again(miner);
        return;
    }
    miner->stats.mischief++;
    if (act == CHEAT_GARBAGE)
        garbage(miner);
    else if (act == CHEAT_OVERSIZED)
        oversized(miner);
    else if (act == CHEAT_FLOOD)
        flood(miner);
    else
        adversary_wire_break(&miner->wire);  // flaps, and hellos that are spoiled when it is back
}

static void mischief(void *ctx)
{
    struct adversary_miner *miner = ctx;
    uint32_t cheats = miner->options.cheats & MISCHIEF, count = 0;
    for (uint32_t left = cheats; left; left &= left - 1)
        count++;
    uint32_t skip = miner->turn++ % count;
    while (skip-- > 0)
        cheats &= cheats - 1;
    net_timer_start(miner->options.loop, &miner->mischief, miner->options.every_ms, mischief, miner);
    do_one(miner, cheats & (~cheats + 1));
}

void adversary_begin_mischief(struct adversary_miner *miner)
{
    if (adversary_does(miner, MISCHIEF) && !net_timer_is_on(&miner->mischief))
        net_timer_start(miner->options.loop, &miner->mischief, miner->options.every_ms, mischief, miner);
}
