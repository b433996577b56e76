/* adversary_parts.h - within the adversaries: what adversary_miner.c (its link and place in the network),
 * adversary_lease.c (answers) and adversary_mischief.c (what it does to its link) share. */
#ifndef CORTEN_SIM_ADVERSARY_PARTS_H
#define CORTEN_SIM_ADVERSARY_PARTS_H

#include "base/prng.h"
#include "runtime/runtime.h"
#include "sim/adversary.h"
#include "sim/adversary_wire.h"

#define ADVERSARY_SLOTS    4
#define ADVERSARY_EVERY_MS 200
#define ADVERSARY_LOOK_MS  5   // between two looks at what others did
#define ADVERSARY_KEPT     16  // frames that are kept to be said again

/* A lease that the adversary knows. */
struct adversary_lease {
    struct adversary_miner *miner;
    struct adversary_lease *next;
    struct link_offer offer;  // without its request
    uint32_t cheats;          // what is done to this one
    struct hash request_digest;
    struct runtime_job *job;
    struct net_timer timer;  // looking at others, or waiting until it is too late
    bool answered;           // the answer is made
    bool acked, streamed, precommitted, committed, revealed, waited;
    struct buf text;
    enum finish finish;
    uint32_t tokens_in, tokens_out;
    struct hash tokens_digest, salt, precommit;
    uint8_t record[RECORD_SIZE_MAX], signature[SIGNATURE_SIZE];
    uint32_t record_size;
};

struct adversary_miner {
    struct adversary_options options;
    struct adversary_wire wire;
    struct runtime *runtime;
    struct adversary_lease *lease;
    struct prng prng;
    struct net_timer mischief;
    struct adversary_stats stats;
    char model_name[65];
    struct hash manifest;  // as the catalog has it
    uint64_t model;
    uint32_t context;
    struct amount stake_min;
    uint32_t number;  // of the link; 0: not attached
    bool registered, offers_model, asked;
    uint64_t nonce_next, ref;
    struct buf kept[ADVERSARY_KEPT];  // frames of the present link
    struct buf old[ADVERSARY_KEPT];   // of the one before
    uint32_t kept_count;
    struct buf entry;  // the last that it signed
    bool has_hello;
    struct link_hello hello;  // the first one that went out
    uint32_t hellos, turn;
};

/* Sends, and keeps what it sent. */
bool adversary_say(struct adversary_miner *miner, const struct link_frame *frame);
void adversary_submit(struct adversary_miner *miner, const struct command *cmd, const struct key *const *key,
                      uint32_t keys);
static inline bool adversary_does(const struct adversary_miner *miner, uint32_t cheats)
{
    return (miner->options.cheats & cheats) != 0;
}

/* What a replica shows of others; false: nothing just now. A lease is a live one, of another node. */
bool adversary_sees_precommit(const struct adversary_miner *miner, uint64_t task, uint64_t own_lease,
                              struct hash *ret_precommit);
bool adversary_sees_lease(const struct adversary_miner *miner, uint64_t *ret_lease);
bool adversary_sees_node(const struct adversary_miner *miner, struct address *ret_node);

/* adversary_lease.c */
void adversary_on_offer(struct adversary_miner *miner, const struct link_offer *offer);
void adversary_on_lease_frame(struct adversary_miner *miner, const struct link_frame *frame);
void adversary_forget_leases(struct adversary_miner *miner);
/* Once more all that was said of it. */
void adversary_say_again(struct adversary_lease *lease);

/* adversary_mischief.c */
void adversary_begin_mischief(struct adversary_miner *miner);
void adversary_spoil_hello(struct adversary_miner *miner, struct link_hello *hello);
void adversary_on_new_link(struct adversary_miner *miner);

#endif
