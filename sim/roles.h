/* roles.h - the real router, miner and oracle on simulated computers.
 *
 * Routers are "router-0", … and listen on port 5010; several share the ledger "mem:sim", a single one keeps
 * "sqlite:ledger.db" on its own disk. Miners are "miner-0", …, oracles "oracle-0", …; each dials every router.
 */
#ifndef CORTEN_SIM_ROLES_H
#define CORTEN_SIM_ROLES_H

#include "base/amount.h"
#include "cli/founder.h"
#include "cli/genesis.h"
#include "crypto/key.h"
#include "miner/miner.h"
#include "oracle/oracle.h"
#include "payload/payload.h"
#include "router/replica.h"
#include "router/router.h"
#include "sim/computer.h"

#define SIM_NETWORK       7
#define SIM_PORT          5010
#define SIM_MODEL         "words"
#define SIM_PRICE_IN      1000000  // a credit a token
#define SIM_PRICE_OUT     2000000
#define SIM_BALANCE       1000000000ull  // of each client's account
#define SIM_CHEAT_BALANCE 1000000ull     // of each operator that cheats
#define SIM_SHARED_LEDGER "mem:sim"

/* Whose key: key_of_role(ROLE_MINER, 2). The same in every seed, so that signatures can be remembered. Adversaries take
 * theirs from their own kind. */
enum role { ROLE_ADMIN, ROLE_ROUTER, ROLE_ORACLE, ROLE_MINER, ROLE_CLIENT, ROLE_ADVERSARY, ROLE_ADVERSARY_ORACLE };
struct key *role_key(enum role role, uint32_t number);  // the process's; not to be closed

struct sim_router {
    struct sim *sim;
    uint32_t number;
    struct computer *computer;
    struct router *router;  // NULL: down
    struct replica_listener listener;
    char url[64];  // "http://router-0:5010"
    bool ready;    // a prompt would be answered
    bool stopped;  // its program ended with an error: it will be started again
    uint32_t stops, failed_starts;
    char why[256];  // of the last failed start
};

struct sim_miner {
    struct sim *sim;
    uint32_t number;
    struct computer *computer;
    struct miner *miner;  // NULL: down
    char engine[64];
    uint32_t stops;
    char why[256];  // of the last one
};

struct sim_oracle {
    struct sim *sim;
    uint32_t number;
    struct computer *computer;
    struct oracle *oracle;  // NULL: down
    char engine[64];
    uint32_t stops;
    char why[256];
};

struct roles {
    struct sim *sim;
    struct sim_router router[SWARM_ROUTERS_MAX];
    struct sim_miner miner[SWARM_MINERS_MAX];
    struct sim_oracle oracle[SWARM_ORACLES_MAX];
    struct payload_store *payload_keeper;  // likewise
    struct ledger *keeper;                 // a reader that keeps mem:sim while every router is down; NULL with sqlite
    const char *url[SWARM_ROUTERS_MAX];
    struct genesis genesis;
    struct founder founder;
    bool founded;  // model in the catalog, money in the accounts
};

/* Starts all computers, founds the network (model, money for each client's key), and returns when a prompt would be
 * answered: faults begin afterwards. */
struct roles *roles_open(struct sim *sim);
void roles_close(struct roles *roles);
/* The text of client n's API key: all scopes, and at each router an account of its own with SIM_BALANCE. */
const char *roles_api_key(uint32_t client);
/* The router that a checker may ask for the network's state: one that is up, or NULL. */
const struct core *roles_core(const struct roles *roles);

#endif
