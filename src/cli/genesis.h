/* genesis.h - the first entry of a network, from what its founder says. */
#ifndef CORTEN_CLI_GENESIS_H
#define CORTEN_CLI_GENESIS_H

#include "base/buf.h"
#include "base/err.h"
#include "core/command.h"

struct genesis_oracle {
    struct address oracle, operator;
    struct hash chain_end;
};

/* Lists of a genesis under construction; genesis_done frees them. */
struct genesis {
    struct cmd_genesis command;  // its spans point into the buffers
    struct buf admins, oracles, routers, params;
};

void genesis_init(struct genesis *genesis, uint64_t network_id, uint8_t admin_quorum, uint8_t oracle_quorum);
void genesis_admin(struct genesis *genesis, const struct address *admin);
void genesis_oracle(struct genesis *genesis, const struct genesis_oracle *oracle);
void genesis_router(struct genesis *genesis, const struct address *router, const struct address *operator);
/* "heartbeat_ms=1000"; INVALID: no such parameter (the nearest is named), or out of its range. Any order. */
enum cx_err genesis_param(struct genesis *genesis, const char *text);
/* Sets the spans, parameters in the order of their ids. */
void genesis_finish(struct genesis *genesis);
void genesis_done(struct genesis *genesis);

#endif
