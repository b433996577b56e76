/* tiny.h - a network of a few people over one core, without sockets: what small worlds are made of.
 *
 * Its people have addresses of a letter and a number: admins 'A', routers 'R' (operators 'Q'), oracles 'O' (operators
 * 'P'), miners 'M' (operators 'N'), users 'U', each from 1. What they say next follows from what the core shows, never
 * from anything kept beside it: so that a state of the core is a state of the network.
 */
#ifndef CORTEN_SIM_TINY_H
#define CORTEN_SIM_TINY_H

#include "sim/history.h"

#define TINY_NETWORK      7
#define TINY_START_MS     1700000000000ull  // the ledger's time of the first entry
#define TINY_USER_CREDITS 10000000ull
#define TINY_CHAIN        1024  // heartbeats of one oracle
#define TINY_ORACLES_MAX  2

struct tiny_options {
    uint32_t routers, oracles, miners;  // 1 each at least
    bool untested;                      // the miners have passed no round yet
    uint64_t heartbeat_ms, window_ms;   // window_ms, audit_ms: 0 is a usual one
    uint8_t slots;                      // of each miner; 0: 2
    uint64_t pending_bp, audit_ms;
    uint64_t stake;
};

/* An answer, and what of it goes into precommit and reveal. */
struct tiny_answer {
    struct hash salt, precommit;
    uint8_t record[RECORD_SIZE_MAX];
    uint32_t record_size, text_size;
    struct hash payload_digest, head;
    uint32_t tokens_out;
};

struct tiny {
    struct tiny_options options;
    struct stage stage;
    struct history history;  // from the genesis on
    uint8_t genesis_bytes[1024];
    struct cmd_genesis genesis;
    struct hash chain[TINY_ORACLES_MAX][TINY_CHAIN + 1];
    uint64_t model;
    struct tiny_answer said;                                     // the last step of a round: its command points here
    enum verdict verdict;                                        // of the last entry
    void (*told)(void *ctx, const struct history_entry *entry);  // of each entry before it is applied; may be NULL
    void *told_ctx;
};

struct address tiny_address(char kind, uint32_t n);
struct hash tiny_hash(char kind, uint32_t n);

/* Opens it: genesis, heartbeats, one model, money of user 1, miners attached to every router and tested unless they are
 * not to be. */
struct tiny *tiny_open(const struct tiny_options *options, struct check *check);
void tiny_close(struct tiny *t);
/* Appends to the history and applies. Time is the ledger's present one unless cmd says a later one; the author is
 * router 1 unless it says another. */
enum verdict tiny_append(struct tiny *t, struct command *cmd);
/* The next moment at which something happens by itself: a heartbeat or a deadline. In ledger milliseconds. */
uint64_t tiny_next_ms(const struct tiny *t);
/* Who does not send heartbeats: bits by number - 1. */
struct tiny_hush {
    uint32_t routers, oracles;
};
/* Lets time go to the next moment: heartbeats, or a tick. */
void tiny_wait(struct tiny *t, struct tiny_hush hush);
/* The heartbeat that oracle n owes next. */
struct command tiny_oracle_beat(const struct tiny *t, uint32_t n);

struct tiny_place {
    uint64_t session, task, lease, seed;  // session 0: of a round, whose id stands in `task`
    struct address node;
    struct hash request_digest;
};
/* What the holder of a lease would answer with this text. */
void tiny_answer(const struct tiny *t, const struct tiny_place *place, const char *text, enum finish finish,
                 struct tiny_answer *ret);
struct command tiny_precommit(const struct tiny_place *place, const struct tiny_answer *answer);
struct command tiny_commit(const struct tiny_place *place, const struct tiny_answer *answer, bool streamed);
/* The step that somebody owes to a round; false: none. */
bool tiny_round_step(struct tiny *t, struct command *ret_cmd);
/* The leader's steps of a round. */
struct command tiny_round_prepare(uint64_t round);
struct command tiny_round_start(uint64_t round);
struct command tiny_signed(enum command_type type, char kind, uint32_t n);

#endif
