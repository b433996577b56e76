/* router.h - one router: replica, tasks, hub and the HTTP API, wired together.
 *
 *      clients --api_*.c--> tasks --> replica --> ledger --> core --> events --> tasks, hub, history
 *      miners, oracles --hub--> tasks, replica
 *
 * Source: docs/protocol.md, "HTTP".
 */
#ifndef CORTEN_ROUTER_ROUTER_H
#define CORTEN_ROUTER_ROUTER_H

#include "core/command.h"
#include "crypto/key.h"
#include "net/loop.h"

struct replica;
struct replica_listener;
struct router;

struct router_options {
    struct net_loop *loop;
    const char *listen;      // "127.0.0.1:5010"; port 0 lets the system choose
    const char *ledger_uri;  // "sqlite:PATH", "mem:"
    const char *archive_path;
    const struct key *key;  // the router's; lent
    /* An admin's key, for what the HTTP API does for holders of an admin API key (deposits, models, invitations); NULL:
     * such requests are refused by name. */
    const struct key *admin;
    const struct cmd_genesis *genesis;  // for an empty ledger; NULL: that is an error
    /* The API keys that exist from the start: their texts, each with an account in this router's custody. */
    const char *const *admin_key;  // [admin_key_count]: all scopes
    uint32_t admin_key_count;
    /* Where the network has no API key at all: makes one with all scopes, and tells its text before it is on the
     * ledger. Who dies in between has told one that opens nothing, and the next start tells another; the other way
     * round there would be a network that nobody can use. NULL: none is made. */
    void (*on_first_key)(void *ctx, const char *text);
    /* The shared sessions that this router opens for a model that is asked for: their least redundancy and policy. */
    uint8_t redundancy;  // 0: 1
    uint8_t validation;  // enum validation_policy
    uint16_t audit_bp;
    /* One more who hears of entries and events, from the first entry on: router/replica.h. NULL: nobody. */
    struct replica_listener *listener;
    uint64_t keep_ms;             // payloads and finished tasks; 0: seven days
    void (*on_ready)(void *ctx);  // a prompt would be answered: some node serves. Called once
    void (*on_stopped)(void *ctx, enum cx_err err, const char *why);
    void (*on_progress)(void *ctx, uint64_t seq, uint64_t of);  // of the replay; may be NULL
    void *ctx;
};

enum cx_err router_open(const struct router_options *options, struct router **ret_router);
/* Takes no new requests, lets streams end for at most drain_ms, tells miners to go; then `done`. */
void router_drain(struct router *router, uint32_t drain_ms, void (*done)(void *ctx), void *ctx);
void router_close(struct router *router);
CX_CLOSER(router)
uint16_t router_port(const struct router *router);
/* For the owner's own commands: a network that `corten dev` sets up. */
struct replica *router_replica(struct router *router);

#endif
