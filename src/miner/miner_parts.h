/* miner_parts.h - within src/miner: what miner.c (links, draining), miner_node.c (its place in the network) and
 * miner_job.c (the engine) share. */
#ifndef CORTEN_MINER_MINER_PARTS_H
#define CORTEN_MINER_MINER_PARTS_H

#include "base/buf.h"
#include "miner/miner.h"
#include "miner/router_link.h"
#include "runtime/runtime.h"

#define MINER_ASK_MS     2000  // until a command that the network refused is tried again; doubles
#define MINER_ASK_MS_MAX 300000

struct miner_link {
    struct miner *miner;
    struct router_link *wire;
    uint32_t at;  // its place in miner.link[]
    bool welcomed, registered;
    uint32_t number;  // as attached; 0: it is not
    uint64_t model, nonce_next;
    uint32_t context;  // of the model that this node offers
    struct amount stake_min;
    uint64_t asked;  // ref of the command that is on its way; 0: none
    char why[128];   // it is down
};

/* What the engine works on. */
struct job {
    struct miner *miner;
    struct job *next;
    struct runtime_job *running;
    uint64_t lease;  // 0: forgotten
};

/* For late_reveal_ms. */
struct hold {
    struct miner *miner;
    struct hold *next;
    struct net_timer timer;
    uint64_t lease;
};

struct miner {
    struct miner_options options;
    struct runtime *runtime;
    struct lease_book *book;  // from the engine's measurement on
    struct miner_link link[MINER_ROUTERS_MAX];
    struct job *job;
    struct hold *hold;
    struct net_timer timer;  // measuring, then stats
    struct net_timer drain_timer;
    struct net_timer ask_timer;  // a refused command is tried again
    uint32_t measure_ms, ask_ms, slots, links_open;
    uint64_t ref;
    bool measured, model_known, ready, draining, shutting, stopped;
    bool node_known;  // a router has shown the node
    struct link_node node;
    char model[65], build[33];
    char trouble[256];  // what is in the way; "" if nothing is
};

static inline const struct key *miner_operator(const struct miner *miner)
{
    return miner->options.operator? miner->options.operator: miner->options.key;
}
uint8_t miner_engine(const struct miner *miner);  // enum engine

/* Sees to it that the node is registered and offers its model; through the first link that is up. */
void miner_settle(struct miner *miner);
void miner_see_node(struct miner_link *link, const struct link_node *node);
void miner_on_result(struct miner_link *link, const struct link_result *result);
void miner_look_whether_drained(struct miner *miner);

/* As lease_book.h's sink wants them; ctx is the miner. */
bool miner_start_job(void *ctx, const struct link_offer *offer, enum decline_reason *ret_reason);
void miner_cancel_job(void *ctx, uint64_t lease, bool forget);
void miner_forget_jobs(struct miner *miner);

#endif
