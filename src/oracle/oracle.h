/* oracle.h - an oracle: heartbeats with the preimages of its chain, rounds while it leads, verdicts and audits.
 *
 * It links to its routers and acts through the first one that is up. What it may do follows from the state frames that
 * a router pushes; duty.h decides, and here it is carried out. Its own engine answers challenges and audits where it is
 * exact (builtin and echo) and of the same manifest; else the layer `right` is not measured.
 *
 * Source: docs/protocol.md, "Rounds", "Audits" and "Miner link".
 */
#ifndef CORTEN_ORACLE_ORACLE_H
#define CORTEN_ORACLE_ORACLE_H

#include "core/terms.h"
#include "crypto/key.h"
#include "net/loop.h"

#define ORACLE_ROUTERS_MAX 4

struct oracle;

struct oracle_options {
    struct net_loop *loop;
    const char *const *router;  // [routers]: ws[s]:// or http[s]://host:port; LINK_PATH_ORACLE is added to a bare host
    uint32_t routers;
    const struct key *key;  // lent
    const char *engine;     // runtime_open's spec; NULL: none
    const char *model;      // its name, as the engine knows it
    uint32_t duties;        // bits of enum oracle_duty; 0: DUTY_ROUND | DUTY_AUDIT
    const char *ca_file;    // of wss://; NULL: the system's
    bool text_frames;       // JSON alone is offered to routers, and not the binary frames: for tests
    /* Its first heartbeat stands: it lives. Once. */
    void (*on_ready)(void *ctx);
    /* What does not mend by itself, with cx_detail. Not after oracle_close. */
    void (*on_stopped)(void *ctx, enum cx_err err);
    void *ctx;
};

/* Everything but the key is copied. Fails at once: as runtime_open does, and INVALID for a router's address. */
enum cx_err oracle_open(const struct oracle_options *options, struct oracle **ret_oracle);
void oracle_close(struct oracle *oracle);
CX_CLOSER(oracle)

struct oracle_stats {
    bool linked, live, leads;
    uint64_t heartbeats, rounds_led, verdicts, audits, refused;
    uint32_t chain_left;
};
struct oracle_stats oracle_stats(const struct oracle *oracle);

#endif
