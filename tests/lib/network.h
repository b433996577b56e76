/* network.h - a whole network over one core: its people, its clock, its history.
 *
 * Signatures are played: the 65 bytes carry the signer's address, so that a recorded history replays by itself. Time is
 * core time: the ledger's clock never steps further than CLOCK_STEP_MS_MAX at once, because the routers that are not
 * hushed keep heartbeats coming, the oracles reveal, and due deadlines are ticked, as in life.
 *
 * Addresses: admins 'A', routers 'R' (operators 'Q'), oracles 'O' (operators 'P'), miners 'M' (operators 'N'),
 * users 'U', each from 1; test_address(kind, n) of core_parts.h.
 */
#ifndef CORTEN_TESTS_NETWORK_H
#define CORTEN_TESTS_NETWORK_H

#include "core/core.h"
#include "core/view.h"
#include "lib/core_parts.h"
#include "sim/check_core.h"

#define NETWORK_ID              7
#define NETWORK_LEDGER_START_MS 1700000000000ull  // the ledger's time at core time 0
#define NETWORK_EVENTS          65536             // remembered since network_forget
#define NETWORK_CHAIN           16384             // heartbeats of one oracle
#define NETWORK_SET_MAX         32
#define NETWORK_USER_COIN       1000000000ull  // credits that each user begins with

struct network_options {
    uint32_t admins, admin_quorum, oracles, oracle_quorum, routers, users, miners, operators;  // 0: 1; users, miners: 0
    struct {
        uint16_t param;
        uint64_t value;
    } set[NETWORK_SET_MAX];  // as the genesis sets them, ids ascending
    uint32_t set_count;
    bool empty;                    // not even the genesis
    bool raw;                      // nothing behind the genesis: no heartbeats, no model, no accounts
    bool untested;                 // miners are registered and attached, but not tested
    uint64_t price_in, price_out;  // of miners; 0: 500,000 and 1,000,000
    uint8_t slots;                 // of miners; 0: 2
    uint8_t engine;                // 0: ENGINE_ECHO
};

/* One entry of the history. */
struct network_entry {
    uint64_t time_ms;
    struct address author;
    uint8_t *bytes;
    uint32_t size;
    enum verdict verdict;
    bool batch_end;
};

/* What a miner answered, or is about to. */
struct network_answer {
    uint64_t lease;
    struct hash salt, head;
    uint8_t record[RECORD_SIZE_MAX];
    uint32_t record_size, text_size;
    struct hash payload_digest, precommit;
};

struct network {
    struct core *core;
    void *memory;
    size_t memory_size;
    struct network_options options;
    uint8_t genesis_bytes[ENTRY_SIZE_MAX];
    struct cmd_genesis genesis;                                   // spans point into genesis_bytes
    uint64_t ledger_ms;                                           // the ledger's clock
    bool hushed_router[ROUTERS_MAX], hushed_oracle[ORACLES_MAX];  // do not heartbeat
    uint64_t beat_ms;                                             // core time of the last heartbeats
    uint32_t revealed[ORACLES_MAX];
    struct hash *chain[ORACLES_MAX];  // [NETWORK_CHAIN + 1]: each is the hash of the one before
    uint64_t nonce;                   // grows with every signed command
    uint32_t links, references;
    struct event_list out;  // of the last entry
    struct event *event;
    struct event *seen;  // [NETWORK_EVENTS], since network_forget
    uint32_t seen_count;
    uint32_t accepted[COMMAND_TYPE_END];
    struct network_entry *entry;
    uint32_t entry_count, entry_cap;
    struct network_answer *answer;
    uint32_t answer_count, answer_cap;
    uint32_t batch_size, batch_left;  // entries a batch at most; 1 at first
    struct check_core *books;         // checked after every entry; NULL: not
    struct check check;
};

/* Fails the test where set-up does not go well. */
struct network *network_open(const struct network_options *options);
void network_close(struct network *n);
void network_forget(struct network *n);
/* From here on nothing checks this network: a test is about to do what no core would. */
void network_unwatch(struct network *n);
/* Compares the books with the whole core. */
void network_check(struct network *n);
/* The last event of that type since network_forget, or NULL; how many. */
const struct event *network_event(const struct network *n, enum event_type type);
uint32_t network_events(const struct network *n, enum event_type type);

/* Appends at the present moment; events are remembered. Signers are those of cmd; the author is router 1 unless given.
 */
enum verdict network_append(struct network *n, struct command *cmd);
/* Raw bytes that need not decode. */
enum verdict network_append_bytes(struct network *n, const void *bytes, uint32_t size);
/* Ends the present batch. */
void network_batch_end(struct network *n);
/* Lets core time go to `ms`, with heartbeats and ticks. */
void network_go_to(struct network *n, uint64_t ms);
void network_wait(struct network *n, uint64_t ms);
/* Ticks while something is due. */
void network_settle(struct network *n);

/* Fills what a command of this type would commonly hold, where its ids (payer, owner, session, task, lease, round,
 * node) are given; every other field is overwritten. */
void network_fill(struct network *n, struct command *cmd);
/* Who would commonly sign, a nonce, and who would append. */
void network_sign(struct network *n, struct command *cmd);
/* network_sign and network_append. */
enum verdict network_do(struct network *n, struct command *cmd);
/* network_do, and it must be accepted. */
void network_must(struct network *n, struct command *cmd);

/* Miner i registers, offers the model and attaches to every router. */
void network_join(struct network *n, uint32_t i);
void network_attach(struct network *n, uint32_t i, uint32_t router);
/* Takes the steps that leader, nodes and oracles owe to the rounds there are; false: none. */
bool network_round_step(struct network *n);
/* Until no node waits for a test that it could have. */
void network_test_nodes(struct network *n);

/* The answer that the holder of this lease works out for this text; kept, so that precommit and commit agree. */
struct network_answer *network_answer(struct network *n, uint64_t lease, const char *text);
/* A session of user 1 that nodes can be reserved for; `cmd` may be NULL or a filled one. */
uint64_t network_session(struct network *n, struct command *cmd);
uint64_t network_submit(struct network *n, uint64_t session);
/* Takes the live assignments of a task through ack, precommit and commit with these texts, by ascending lease. */
void network_run_task(struct network *n, uint64_t task, const char *const *text, uint32_t count);

/* A second core that applied the entries [from, to) behind what it holds; NULL core: a new one. */
struct core *network_replay(const struct network *n, struct core *core, uint32_t from, uint32_t to);

#endif
