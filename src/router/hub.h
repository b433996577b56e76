/* hub.h - the sockets of miners and oracles at this router: hello, frames in, frames out.
 *
 * Frames are proto/link.h's. What a miner says about its leases goes to tasks.h (or to rounds, within the hub); what
 * the core decides comes as events, and goes out as offers, reveals, recalls and state. A node's link is attached on
 * the ledger when its hello holds, and detached when the socket ends.
 *
 * Source: docs/protocol.md, "Miner link".
 */
#ifndef CORTEN_ROUTER_HUB_H
#define CORTEN_ROUTER_HUB_H

#include "net/http_server.h"
#include "router/tasks.h"

struct hub;

/* All are lent. `history` tells oracles what they audit; NULL: they cannot. */
struct hub_options {
    struct net_loop *loop;
    struct replica *replica;
    struct tasks *tasks;
    struct payload_store *payloads;
    struct history *history;
    uint64_t keep_ms;    // payloads of rounds
    uint32_t links_max;  // 0: HUB_LINKS_MAX
};
#define HUB_LINKS_MAX 4096

/* Begins to listen to the replica, which is open. */
enum cx_err hub_open(const struct hub_options *options, struct hub **ret_hub);
/* Before the replica. Links break off; nodes stay attached for the next process, unless hub_drain was before. */
void hub_close(struct hub *hub);
CX_CLOSER(hub)

/* Takes over a request for a miner's or oracle's WebSocket. */
void hub_accept_miner(struct hub *hub, struct http_exchange *x);
void hub_accept_oracle(struct hub *hub, struct http_exchange *x);
/* Tells everybody to go elsewhere, and detaches; then `done`. */
void hub_drain(struct hub *hub, void (*done)(void *ctx), void *ctx);

/* ---- for tasks.c: false where the node has no link here ---- */
bool hub_offer(struct hub *hub, const struct address *node, const struct task_offer *offer);
bool hub_promote(struct hub *hub, const struct address *node, uint64_t lease);
bool hub_reveal(struct hub *hub, const struct address *node, uint64_t lease);
/* CAUSE_NONE: the lease ended well, and it is told so with what is said next, soon. */
bool hub_recall(struct hub *hub, const struct address *node, uint64_t lease, enum fail_cause cause);
bool hub_cancel(struct hub *hub, const struct address *node, uint64_t lease, uint32_t relayed_tokens);

struct hub_link_view {
    struct address node;
    uint32_t link;
    bool oracle;
    uint64_t since_ms;                           // net_now_ms
    uint32_t ttft_ms, tokens_per_s_milli, busy;  // the node's own word; 0: none yet
    char peer[64];
};
/* As the lists of core/view.h. */
bool hub_link_at(const struct hub *hub, uint32_t *at, struct hub_link_view *ret);

#endif
