/* founder.h - what an admin does once so that a new network can work: its model in the catalog, money in an account.
 * Each step looks first whether it is done, so that a second start changes nothing. */
#ifndef CORTEN_CLI_FOUNDER_H
#define CORTEN_CLI_FOUNDER_H

#include "crypto/key.h"
#include "router/replica.h"
#include "runtime/runtime.h"

/* What a founder lets a model cost at most, in credits per million tokens: twice what miners ask by default. Every task
 * reserves at these prices. */
#define FOUNDER_PRICE_IN_MAX  "2000000"
#define FOUNDER_PRICE_OUT_MAX "4000000"

struct founder {
    struct replica *replica;
    const struct key *admin;
    uint64_t nonce;                               // the last used
    uint32_t waiting;                             // commands under way
    void (*on_done)(void *ctx, enum cx_err err);  // when none is, once; err: the first that failed, with cx_detail
    void *ctx;
    enum cx_err err;
    char detail[512];
};

struct founder_model {
    const char *name;
    struct hash manifest_digest;
    uint32_t context, template_tokens;
    uint64_t price_in_max, price_out_max;
};

/* Whether a network is to be founded at this ledger: it has no entry yet, or does not exist. A start that died while it
 * founded may have left a ledger without entries, which has its network's id already: *ret_network, else 0. */
enum cx_err founder_look(const char *ledger_uri, bool *ret_new, uint64_t *ret_network);

/* Begins nothing yet; `admin` is one whose signature suffices (admin_quorum 1). */
void founder_init(struct founder *founder, struct replica *replica, const struct key *admin,
                  void (*on_done)(void *ctx, enum cx_err err), void *ctx);
void founder_model(struct founder *founder, const struct founder_model *model);
/* `reference` makes it happen once. */
void founder_deposit(struct founder *founder, const struct address *account, struct amount amount,
                     const struct hash *reference);
/* After the last step: on_done is called when all are durable, or soon if there were none. */
void founder_end(struct founder *founder);

#endif
