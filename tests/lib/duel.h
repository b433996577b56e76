/* duel.h - honest miners and cheats on one router: live.h with adversaries beside it, and a session that holds them
 * all.
 *
 *      struct duel *d = duel_open(&(struct duel_options){.honest = 1, .cheats = 1, .what = CHEAT_MUTE});
 *      struct reply *r = duel_prompt(d, ",\"temperature\":0");
 *      CHECK_EQ(duel_count(d, 0, COUNT_SILENT), 1);
 *      duel_close(d);
 */
#ifndef CORTEN_TESTS_DUEL_H
#define CORTEN_TESTS_DUEL_H

#include "core/reputation.h"
#include "lib/live.h"
#include "lib/test.h"
#include "sim/adversary.h"

#define DUEL_CHEATS_MAX 4
#define DUEL_STAKE      1000

struct duel_options {
    uint32_t honest, cheats;
    const char *engine;           // of the honest; NULL: "echo"
    uint32_t what;                // bits of enum cheat: of all cheats
    const char *terms;            // of the session, more than those that a duel has: ",\"audit_bp\":10000"
    uint32_t redundancy, quorum;  // 0: as many as there are nodes; 1
    uint32_t nodes;               // of the session; 0: all
    uint32_t attempts, audit_bp;  // 0: 3; of the session
    bool unhurried;               // deadlines that nobody is meant to miss
    bool only_cheats;             // the session takes no other nodes
    uint32_t oracles, oracle_quorum, cheating_oracles;  // 0: 1, 1, 0
    uint32_t oracle_cheats;                             // bits of enum oracle_cheat
    bool no_honest_oracle;
    bool one_operator;  // of all cheats
    uint32_t percent, every_ms;
    const char *const *param;
    uint32_t params;
    bool (*text)(void *duel, uint64_t task, struct buf *ret_text);  // what a client of theirs reads
};

struct duel {
    struct live *live;
    struct key *key[DUEL_CHEATS_MAX], *operator;
    struct adversary_miner *cheat[DUEL_CHEATS_MAX];
    struct adversary_oracle *oracle[LIVE_ORACLES_MAX];
    uint32_t cheats;
    uint64_t session, balance;  // before the first prompt
    const char *api_key;        // of the honest client, whose account only it uses
};

/* Returns when all serve, and their session is open. */
struct duel *duel_open(const struct duel_options *options);
void duel_close(struct duel *duel);
/* Asks in that session, and waits for the answer. `more`: further fields. */
struct reply *duel_prompt(struct duel *duel, const char *more);
struct reply *duel_send(struct duel *duel, const char *more);
/* An answer in one piece, which is no lie, and whose charge is what the account lost. */
void duel_check_answered(struct duel *duel, const struct reply *reply);
/* An error with that code, which cost nothing. */
void duel_check_refunded(struct duel *duel, const struct reply *reply, unsigned status, const char *code);
struct node_view duel_node(const struct duel *duel, uint32_t cheat);
struct node_view duel_honest(const struct duel *duel, uint32_t miner);
uint64_t duel_count(const struct duel *duel, uint32_t cheat, enum node_count count);
const struct adversary_stats *duel_stats(const struct duel *duel, uint32_t cheat);
/* One more node that behaves, or not. */
void duel_join(struct duel *duel, uint32_t what);
/* The same; returns when it serves. */
void duel_add(struct duel *duel, uint32_t what);
uint64_t duel_balance(struct duel *duel);

#endif
