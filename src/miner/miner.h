/* miner.h - a node: an engine, a key, and a link to each of its routers.
 *
 *      miner_open -> engine measured -> linked -> registered -> attached -> on_ready … miner_drain -> on_stopped
 *
 * It comes back by itself when a socket breaks. What it owes is in lease_book.h; here sockets, engine and timers are
 * wired to it.
 *
 * Source: docs/protocol.md, "Miner link" and "Nodes".
 */
#ifndef CORTEN_MINER_MINER_H
#define CORTEN_MINER_MINER_H

#include "miner/lease_book.h"
#include "net/loop.h"

#define MINER_ROUTERS_MAX NODE_LINKS_MAX

struct miner;

struct miner_options {
    struct net_loop *loop;
    const char *const *router;  // [routers]: ws[s]:// or http[s]://host:port; LINK_PATH_MINER is added to a bare host
    uint32_t routers;
    const struct key *key;         // the node's; lent
    const struct key *operator;    // lent; NULL: the node's own
    const char *engine;            // runtime_open's spec
    const char *model;             // its name, as the engine knows it
    const char *api_key;           // the engine's; NULL: none
    uint32_t slots, context;       // 0: 1, and what the engine says
    uint64_t price_in, price_out;  // credits per million tokens
    struct amount stake;           // 0: what the network asks for
    struct hash invite;            // zero: none
    const char *ca_file;           // of wss://; NULL: the system's
    bool text_frames;              // JSON alone is offered to routers, and not the binary frames: for tests
    struct miner_faults faults;
    /* Attached, and its model is on the ledger: it can be tested, and then serve. Once. */
    void (*on_ready)(void *ctx);
    /* Its place in the node pool changed. May be NULL. */
    void (*on_state)(void *ctx, enum node_state state);
    /* The end: CX_OK after miner_drain; else what does not mend by itself, with cx_detail. Not after miner_close. */
    void (*on_stopped)(void *ctx, enum cx_err err);
    void *ctx;
};

/* Everything but keys is copied. Fails at once: as runtime_open does, and INVALID for a router's address. */
enum cx_err miner_open(const struct miner_options *options, struct miner **ret_miner);
/* Breaks off. */
void miner_close(struct miner *miner);
CX_CLOSER(miner)
/* Takes nothing new, ends what runs, says goodbye; then on_stopped. */
void miner_drain(struct miner *miner);

/* Why it has work or has none, for its owner. */
struct miner_why {
    bool engine_ready, registered, attached, model_offered, draining;
    enum node_state state;  // where registered
    uint32_t links, links_up, busy, owed;
    uint32_t ttft_ms;
    uint64_t tokens_per_s_milli;
    struct lease_book_stats stats;
    char text[512];  // the reason in a sentence
};
void miner_why(const struct miner *miner, struct miner_why *ret);
const struct address *miner_node(const struct miner *miner);

#endif
