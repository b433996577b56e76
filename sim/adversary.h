/* adversary.h - peers that cheat. They have keys, sockets and engines of their own, and speak the frames of
 * proto/link.h or plain HTTP over src/net: over real sockets in unit tests, over simulated ones in a swarm.
 *
 *      adversary_miner_open -> hello -> registered -> rounds, honestly -> tasks, as its cheats say
 *
 * In rounds they behave, so that they come to serve; what they do to tasks is one act or several. What catches each, or
 * bounds its harm, is in CHEATS and, with figures, in docs/simulation.md.
 *
 * Source: docs/protocol.md, "Miner link", "Tasks" and "Audits".
 */
#ifndef CORTEN_SIM_ADVERSARY_H
#define CORTEN_SIM_ADVERSARY_H

#include "base/amount.h"
#include "base/assert.h"
#include "base/buf.h"
#include "core/terms.h"
#include "core/verdict.h"
#include "crypto/key.h"
#include "net/loop.h"

// clang-format off
/* X(NAME, name, what catches it or what bounds its harm) */
#define CHEATS(X) \
    X(MUTE, mute, "its ack deadline: TIMED_OUT, SILENT") \
    X(DECLINE, decline, "DECLINED, and another node takes the task") \
    X(FAULT, fault, "DECLINED with ENGINE, after its ack") \
    X(STALL, stall, "its precommit deadline: TIMED_OUT, LATE") \
    X(LATE, late, "its precommit deadline: the late one is LEASE_STALE or DEADLINE_PASSED") \
    X(COPY_HASH, copy_hash, "a precommit is bound to its node: WRONG") \
    X(COPY_TEXT, copy_text, "is paid, and is no evidence; stream after_validation hides the text until all have precommitted") \
    X(OTHER_TEXT, other_text, "audits by token evidence, and majorities: FLAG, OUTVOTED") \
    X(RING_TEXT, ring_text, "audits by token evidence; nodes of one operator never share a task that asks for diversity") \
    X(TOKENS_TEXT, tokens_text, "its router counts: WRONG") \
    X(TOKENS_MAX, tokens_max, "the core compares: WRONG") \
    X(TOKENS_FEW, tokens_few, "clipped to the text's size and the reservation") \
    X(TOKENS_IN, tokens_in, "clipped to the prompt's size and the reservation") \
    X(SIGN_OTHER, sign_other, "NOT_AUTHORIZED, then LATE") \
    X(SIGN_NONE, sign_none, "its link ends with SIGNATURE") \
    X(REVEAL_EARLY, reveal_early, "REVEAL_EARLY, and nobody hears it") \
    X(REVEAL_OTHER, reveal_other, "WRONG, and slashed") \
    X(REVEAL_NONE, reveal_none, "WITHHELD, and slashed") \
    X(STREAM_OTHER, stream_other, "STREAM_DIFFERS counts as WRONG, and the stream ends with an error") \
    X(AGAIN, again, "leases that have ended are stale") \
    X(OLD_LINK, old_link, "frames of an older socket are stale, or end the new one") \
    X(OLD_HELLO, old_hello, "each challenge has its nonce: SIGNATURE") \
    X(OTHER_HELLO, other_hello, "its signature is not that node's: SIGNATURE") \
    X(FOREIGN, foreign, "LEASE_FOREIGN ends its link") \
    X(SUBMIT_OTHER, submit_other, "SUBMIT ends its link") \
    X(SUBMIT_AGAIN, submit_again, "NONCE_USED") \
    X(GARBAGE, garbage, "FRAME ends its link") \
    X(OVERSIZED, oversized, "its link ends") \
    X(FLOOD, flood, "RATE ends its link") \
    X(FLAP, flap, "it is held for a moment, then absent: its tasks go to others")
// clang-format on

#define X(NAME, name, bound) CHEAT_AT_##NAME,
enum cheat_at { CHEATS(X) CHEAT_COUNT };
#undef X
static_assert(CHEAT_COUNT <= 32, "cheats are bits");

/* Bits, for adversary_options.cheats. */
#define X(NAME, name, bound) CHEAT_##NAME = 1u << CHEAT_AT_##NAME,
enum cheat { CHEATS(X) };
#undef X

const char *cheat_name(enum cheat_at at);   // "copy_hash"
const char *cheat_bound(enum cheat_at at);  // what catches it, for people

struct core;

/* What a cheat can see beside its own link: anybody may hold a replica of the ledger, and pay for a prompt. A function
 * that is NULL sees nothing. */
struct adversary_spy {
    const struct core *(*core)(void *ctx);  // NULL: it cannot be seen just now
    /* The text that a client of ours has read of the task; false: not whole yet. */
    bool (*text)(void *ctx, uint64_t task, struct buf *ret_text);
    void *ctx;
};

struct adversary_options {
    struct net_loop *loop;
    const char *router;          // ws://host:port or http://host:port; copied
    const struct key *key;       // lent
    const struct key *operator;  // lent; NULL: its own
    const char *engine;          // runtime_open's spec, for honest answers
    const char *model;           // its name in the catalog; copied
    uint32_t slots;              // 0: 4
    uint64_t price_in, price_out;
    struct amount stake;  // 0: what the network asks for
    uint32_t cheats;      // bits of enum cheat
    uint32_t percent;     // of its leases it cheats on; 0: all
    uint32_t every_ms;    // between two pieces of mischief on its link; 0: 200
    uint64_t seed;
    uint64_t ring;  // all with the same number tell the same lie about a task
    struct adversary_spy spy;
};

struct adversary_stats {
    uint64_t rounds, offers, cheated;  // leases
    uint64_t acks, declines, faults, chunks, precommits, commits;
    uint64_t again, mischief;                // frames said again; pieces of mischief
    uint64_t refused, breaches, links;       // error frames heard; closes with 1008; sockets opened
    uint64_t results_accepted, results_bad;  // of what it submitted
    char code[32];                           // of the last error frame
};

struct adversary_miner;
/* Fails as runtime_open does, and INVALID for the address. */
enum cx_err adversary_miner_open(const struct adversary_options *options, struct adversary_miner **ret_miner);
void adversary_miner_close(struct adversary_miner *miner);
CX_CLOSER(adversary_miner)
const struct adversary_stats *adversary_miner_stats(const struct adversary_miner *miner);
const struct address *adversary_miner_node(const struct adversary_miner *miner);

/* ---- oracles ---- */

// clang-format off
/* X(NAME, name, what catches it or what bounds its harm) */
#define ORACLE_CHEATS(X) \
    X(LIE, lie, "below oracle_quorum it decides nothing; its verdicts stand signed on the ledger") \
    X(ABSENT, absent, "its window ends, and the next one leads") \
    X(WITHHOLD, withhold, "a choice between two beacons at most, until it is silent; it never audits what its own beacon drew") \
    X(OLD_PREIMAGE, old_preimage, "PREIMAGE_WRONG") \
    X(USURP, usurp, "NOT_LEADER, NOT_AUTHORIZED") \
    X(TWICE, twice, "VERDICT_KNOWN") \
    X(OTHER_CHALLENGE, other_challenge, "CHALLENGE_DIFFERS, and then the round ends without it")
// clang-format on

#define X(NAME, name, bound) ORACLE_CHEAT_AT_##NAME,
enum oracle_cheat_at { ORACLE_CHEATS(X) ORACLE_CHEAT_COUNT };
#undef X
#define X(NAME, name, bound) ORACLE_CHEAT_##NAME = 1u << ORACLE_CHEAT_AT_##NAME,
enum oracle_cheat { ORACLE_CHEATS(X) };
#undef X
const char *oracle_cheat_name(enum oracle_cheat_at at);
const char *oracle_cheat_bound(enum oracle_cheat_at at);

struct adversary_oracle_options {
    struct net_loop *loop;
    const char *router;     // as above
    const struct key *key;  // lent; its chain is that of oracle/chain.h
    const char *engine, *model;
    uint32_t cheats;           // bits of enum oracle_cheat
    struct adversary_spy spy;  // for WITHHOLD: the beacon
};
struct adversary_oracle_stats {
    uint64_t heartbeats, withheld, rounds, verdicts, audits;  // accepted, but withheld
    uint64_t lies;                                            // verdicts that say the contrary
    uint64_t refused[VERDICT_COUNT];
};
struct adversary_oracle;
enum cx_err adversary_oracle_open(const struct adversary_oracle_options *options, struct adversary_oracle **ret_oracle);
void adversary_oracle_close(struct adversary_oracle *oracle);
CX_CLOSER(adversary_oracle)
/* Other cheats from now on. */
void adversary_oracle_turn(struct adversary_oracle *oracle, uint32_t cheats);
const struct adversary_oracle_stats *adversary_oracle_stats(const struct adversary_oracle *oracle);

/* ---- clients ---- */

struct adversary_client_options {
    struct net_loop *loop;
    const char *router;   // http://host:port; must stay
    const char *api_key;  // with money and all scopes; must stay
    const char *model;    // must stay
    uint32_t every_ms;
    uint64_t seed;
    struct adversary_spy spy;
};
struct adversary_client_stats {
    uint64_t references, held;  // used again with other content; of these: the same task
    uint64_t spends, short_of;  // prompts of an account without money; refused for that
    uint64_t leavers;           // streams that were left in the middle
    uint64_t snoops, unseen;    // looks at others' tasks; refused
    uint64_t breaches;          // what must never be: `breach` says the last
    char breach[96];
};
struct adversary_client;
enum cx_err adversary_client_open(const struct adversary_client_options *options, struct adversary_client **ret_client);
void adversary_client_close(struct adversary_client *client);
CX_CLOSER(adversary_client)
const struct adversary_client_stats *adversary_client_stats(const struct adversary_client *client);

/* ---- within a simulated network: adversaries.c ---- */

struct sim;
struct adversaries;
struct scores;
/* Those that the world's swarm asks for, each on a computer of its own. */
struct adversaries *adversaries_open(struct sim *sim);
/* The network heals: those whose cheat is to let time pass go away; the others go on. */
void adversaries_heal(struct adversaries *adversaries);
/* So many oracles lie as make a quorum: nothing is promised but that entries, money and digests are right. */
bool adversaries_rule(const struct sim *sim);
/* Adds what became of them. Takes NULL. */
void adversaries_close(struct adversaries *adversaries, struct scores *scores);

#endif
