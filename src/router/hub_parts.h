/* hub_parts.h - within src/router: what hub.c (links, listening), hub_hello.c (coming and going), hub_miner.c (leases
 * and rounds) and hub_oracle.c share.
 *
 *      socket -> HELLO -> (attached on the ledger) -> OPEN -> gone, and its node held for HUB_RETURN_MS
 */
#ifndef CORTEN_ROUTER_HUB_PARTS_H
#define CORTEN_ROUTER_HUB_PARTS_H

#include "net/ws_conn.h"
#include "payload/payload.h"
#include "proto/link.h"
#include "router/history.h"
#include "router/hub.h"

#define HUB_HELLO_MS        10000  // for the hello
#define HUB_RETURN_MS       5000   // a node whose socket broke stays attached so long
#define HUB_DRAIN_MS        2000   // for peers to close when the router goes
#define HUB_FRAMES_A_S_MAX  20000  // of one link
#define HUB_SUBMITS_A_S_MAX 50     // entries and payloads of one link
#define HUB_ORACLE_A_S_MAX  500    // those of an oracle; what is more waits for the next second
#define HUB_ANSWERS_MAX     64     // submits of one link that wait for their result
#define HUB_PUTS_MAX        4      // payloads of one link that no entry has named yet
#define HUB_AUDITED         64     // audits whose answers are kept at hand
#define HUB_ENDED_MAX       8      // leases of one link that ended well, and of which it was not told yet
#define HUB_ENDED_MS        20     // then it is told, also where there is nothing else to say
#define HUB_BUCKETS         1024

enum hub_state {
    HUB_HELLO,  // the challenge is out
    HUB_KNOWN,  // who it is, is proved; it is not attached: not registered, or on its way
    HUB_OPEN,   // a node: attached. An oracle: at once
    HUB_GONE,   // its socket is closed; results that are on their way still know it
};

/* A node's place in the round that tests it. */
struct hub_round {
    uint64_t round, lease;  // 0: none
    uint64_t chunks, offered_ms, first_ms;
    uint32_t size;  // of the text so far
    struct hash head;
    bool acked, precommitted, committed;  // on their way to the ledger, once each
};

struct hub_put {
    struct hash digest;  // SHA-256
    struct buf data;
};

struct hub_link {
    struct hub *hub;
    struct hub_link *prev, *next;  // of all; of those that are GONE none
    struct hub_link *same;         // in its bucket, from KNOWN on; nodes only
    struct net_ws *ws;
    enum hub_state state;
    bool oracle;
    bool binary;  // its frames are bytes, and not JSON
    bool attaching;
    uint32_t refs;    // results that are on their way
    uint32_t number;  // as attached on the ledger; 0: it is not
    struct hash nonce;
    struct exchange_offer exchange;  // wiped at the hello
    struct mac_key mac_key;          // of what the node says on this link, from KNOWN on
    struct address node;
    struct net_timer timer;  // for the hello; then until an oracle is read on
    uint64_t since_ms;
    uint64_t second;  // that the counts are of
    uint32_t frames, submits;
    struct link_stats stats;
    uint64_t ended[HUB_ENDED_MAX];  // leases, [ended_count]
    uint32_t ended_count;
    struct hub_round round;
    struct hub_put put[HUB_PUTS_MAX];
    uint32_t puts, duties;
    enum detach_reason reason;  // why it will have gone
    bool told;                  // its end has begun: nothing more is read
};

/* A node that the ledger has at this router, and that has no socket: it may come back, or is detached. */
struct hub_absent {
    struct hub_absent *next;
    struct address node;
    uint32_t number;
    uint64_t until_ms;
};

struct hub {
    struct hub_options options;
    struct replica_listener listener;
    struct hub_link *link;  // newest first
    uint32_t links, links_max;
    uint32_t kept;  // links whose memory lives: those that are GONE too
    struct hub_link *bucket[HUB_BUCKETS];
    uint32_t number;  // the last link's
    struct hub_absent *absent;
    struct net_timer absent_timer;
    struct net_timer ended_timer;
    struct buf out;
    struct {
        struct hash digest;
        struct buf data;
    } challenge;  // of the last round that was offered
    /* What audits are about never changes, and is read out of receipts: kept by the audit's slot. */
    struct hub_audited {
        uint64_t audit, lease;
        struct audited_answer answer;
    } audited[HUB_AUDITED];
    bool oracles_dirty;  // state has to be pushed after this batch
    bool draining, closing;
    uint32_t detaching;  // detaches on their way to the ledger
    struct net_timer drain_timer;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

/* ---- hub.c ---- */

struct hub_link *hub_find(const struct hub *hub, const struct address *node);  // KNOWN or OPEN; or NULL
void hub_index(struct hub_link *link);                                         // from KNOWN on
void hub_unindex(struct hub_link *link);
/* Behind what it was not told yet. */
bool hub_send(struct hub_link *link, const struct link_frame *frame);
/* An error frame, then close 1008. */
void hub_refuse(struct hub_link *link, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void hub_shut(struct hub_link *link, enum detach_reason reason, unsigned code, const char *why);
void hub_hold(struct hub_link *link);
void hub_let_go(struct hub_link *link);
/* At most so many a second; false: it was refused. */
bool hub_count(struct hub_link *link, uint32_t *count, uint32_t max, const char *what);
/* An entry or a payload. An oracle with much to do is not turned away: after its last one of a second it is read on in
 * the next. */
bool hub_count_submit(struct hub_link *link);
void hub_command(struct hub *hub, const struct command *cmd);
void hub_look_whether_drained(struct hub *hub);
void hub_free_if_unused(struct hub *hub);

/* ---- hub_hello.c ---- */

void hub_challenge(struct hub_link *link);
void hub_on_hello(struct hub_link *link, const struct link_hello *hello);
void hub_attach(struct hub_link *link);
/* Its node is attached no more: at once, or if it does not come back. */
void hub_left(struct hub_link *link, enum detach_reason reason);
void hub_hold_absent(struct hub *hub);  // those that the ledger has here from before
void hub_detach_absent(struct hub *hub);
void hub_send_node(struct hub_link *link);
uint32_t hub_models(struct hub *hub, struct link_model model[LINK_MODELS_MAX], struct model_view view[LINK_MODELS_MAX]);
void hub_on_submit(struct hub_link *link, const struct link_submit *submit);

/* ---- hub_miner.c ---- */

void hub_on_miner_frame(struct hub_link *link, const struct link_frame *frame);
/* The leases that are owed, into lease[max]; gives how many. And their offers. */
uint32_t hub_leases(struct hub_link *link, uint64_t *lease, uint32_t max);
void hub_offer_all(struct hub_link *link);
void hub_on_round_event(struct hub *hub, const struct event *event);

/* ---- hub_oracle.c ---- */

void hub_on_oracle_frame(struct hub_link *link, const struct link_frame *frame);
void hub_send_state(struct hub_link *link);
/* Whether what oracles see has changed. */
bool hub_concerns_oracles(const struct event *event);
void hub_drop_puts(struct hub_link *link);
/* The payload of that digest, if this link has put it; it is the link's. */
bool hub_put_of(struct hub_link *link, const struct hash *digest, struct ledger_blob *ret_blob);

#endif
