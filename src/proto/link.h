/* link.h - the frames between a router and its miners and oracles, as structs, and in the two forms that they travel
 * in.
 *
 *      struct link_frame --link_encode---------> one JSON object --link_decode---------> struct link_frame
 *      struct link_frame --link_encode_binary--> bytes           --link_decode_binary--> struct link_frame
 *
 * Both have the same fields, which link.def lists. A decoded frame needs link_frame_done. From JSON, what it points to
 * is its own; from bytes, its spans lie in the message and are lent with it, and the rest is its own. What is malformed
 * is refused with the path of the field. What an end does not know is passed over, so that either end may grow.
 *
 * Source: docs/protocol.md, "Miner link".
 */
#ifndef CORTEN_PROTO_LINK_H
#define CORTEN_PROTO_LINK_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "core/command.h"
#include "core/limits.h"
#include "core/record.h"
#include "core/terms.h"
#include "core/verdict.h"
#include "crypto/exchange.h"
#include "crypto/key.h"

#define LINK_VERSION     1
#define LINK_PATH_MINER  "/link/miner"  // on a router
#define LINK_PATH_ORACLE "/link/oracle"

/* Subprotocols: JSON in text messages, and bytes in binary ones. */
#define LINK_PROTOCOL_MINER         "corten.miner.v1"
#define LINK_PROTOCOL_ORACLE        "corten.oracle.v1"
#define LINK_PROTOCOL_MINER_BINARY  "corten.miner.v1+bin"
#define LINK_PROTOCOL_ORACLE_BINARY "corten.oracle.v1+bin"
/* Both, as either end offers them: the better one first. */
#define LINK_PROTOCOLS_MINER  LINK_PROTOCOL_MINER_BINARY ", " LINK_PROTOCOL_MINER
#define LINK_PROTOCOLS_ORACLE LINK_PROTOCOL_ORACLE_BINARY ", " LINK_PROTOCOL_ORACLE

#define LINK_UP_SIZE_MAX      (8u << 20)   // bytes of a frame to the router: a whole answer
#define LINK_DOWN_SIZE_MAX    (40u << 20)  // of a frame from it: a whole prompt, escaped
#define LINK_HELLO_SIZE_MAX   4096u        // of a frame before the welcome
#define LINK_TEXT_SIZE_MAX    (4u << 20)   // of an answer
#define LINK_CHUNK_SIZE_MAX   65536u       // of the text of one chunk
#define LINK_DETAIL_SIZE_MAX  511u         // of words for people
#define LINK_NAME_SIZE_MAX    64u          // of a model
#define LINK_BUILD_SIZE_MAX   32u
#define LINK_PUT_SIZE_MAX     65536u  // of a challenge
#define LINK_CHUNKS_A_HEAD    16      // docs/protocol.md, "Result record"
#define LINK_MODELS_MAX       64
#define LINK_LEASES_MAX       512  // that a node owes at once
#define LINK_STATE_ROUNDS_MAX 32   // of one state frame; others come when these have moved on
#define LINK_STATE_AUDITS_MAX 32

/* What closes a socket, beyond RFC 6455's own codes. */
enum link_close {
    LINK_CLOSE_DRAINED = 1001,   // the sender goes away in order
    LINK_CLOSE_BREACH = 1008,    // the peer broke the protocol: an error frame said how
    LINK_CLOSE_REPLACED = 4001,  // the same node opened a newer link
    LINK_CLOSE_LATER = 1013,     // try again: the ledger is behind, or all links are taken
};

/* X(what stands in `type`, enumerator, way): D from the router, U to it. The place in this list is the type's number on
 * the wire: new ones come last. */
#define LINK_TYPES(X)          \
    X(challenge, CHALLENGE, D) \
    X(hello, HELLO, U)         \
    X(welcome, WELCOME, D)     \
    X(node, NODE, D)           \
    X(submit, SUBMIT, U)       \
    X(result, RESULT, D)       \
    X(offer, OFFER, D)         \
    X(ack, ACK, U)             \
    X(decline, DECLINE, U)     \
    X(promote, PROMOTE, D)     \
    X(chunk, CHUNK, U)         \
    X(precommit, PRECOMMIT, U) \
    X(reveal, REVEAL, D)       \
    X(commit, COMMIT, U)       \
    X(fault, FAULT, U)         \
    X(cancel, CANCEL, D)       \
    X(recall, RECALL, D)       \
    X(drain, DRAIN, D)         \
    X(stats, STATS, U)         \
    X(error, ERROR, D)         \
    X(state, STATE, D)         \
    X(put, PUT, U)             \
    X(get, GET, U)             \
    X(payload, PAYLOAD, D)

#define X(name, NAME, way) LINK_##NAME,
enum link_type { LINK_TYPES(X) LINK_TYPE_COUNT };
#undef X
enum link_way { LINK_U, LINK_D };

/* A model of the catalog. */
struct link_model {
    uint64_t id;
    const char *name;
    struct hash manifest;
    uint32_t context;
    uint64_t price_in_max, price_out_max;
};
/* The router's first word. */
struct link_challenge {
    uint64_t network;
    struct address router;
    struct hash nonce;
    struct exchange_public exchange;  // its half, new for each link
    uint32_t join_rule;               // 0 open, 1 by invitation, 2 by approval
    struct amount join_fee, stake_min;
    const struct link_model *model;  // [models]
    uint32_t models;
};
/* Who this is, proved over the challenge and both halves of the exchange. An oracle leaves operator, engine, build and
 * slots away. */
struct link_hello {
    uint32_t version;
    struct address node, operator;
    struct exchange_public exchange;    // this end's half
    uint8_t signature[SIGNATURE_SIZE];  // of link_hello_digest
    uint8_t engine;                     // enum engine; 0: none
    uint32_t slots;
    const char *build;
};
/* A node as the network has it, for the node's owner. */
struct link_node {
    enum node_state state;
    struct address operator;
    uint64_t session;   // 0: none
    uint64_t retry_ms;  // until it may be tested again
    uint32_t slots, level;
    bool leaving;
    struct link_node_model {
        uint64_t model;
        uint32_t context;
        uint64_t price_in, price_out;
        bool declared, proved;
        enum node_class class;
    } model[NODE_MODELS_MAX];
    uint32_t models;
};
/* After the hello, and again when the node was registered meanwhile. Leases that are not in the list have ended;
 * an offer follows for each that is. */
struct link_welcome {
    uint32_t link;        // 0: the node is not registered, and not attached
    uint64_t nonce_next;  // of its account, for the commands that it signs
    bool registered;
    struct link_node node;  // where it is registered
    const uint64_t *lease;  // [leases]
    uint32_t leases;
};
/* An entry that the sender has signed. Each submit is answered by one result with its ref. */
struct link_submit {
    uint64_t ref;
    struct span entry;
};
struct link_result {
    uint64_t ref, seq;  // seq 0: refused before it was appended
    const char *error;  // NULL; or what the world said, and there is no verdict
    enum verdict verdict;
    const char *message;  // the verdict in words
};
struct link_offer {
    uint64_t lease, task, session, seed;
    bool round;  // task is the round's id, session 0
    bool seed_of_client;
    bool stream;          // send chunks as they come
    bool together;        // reveal with the precommit: there is no neighbour to copy
    bool channel;         // precommits carry the link's MAC in place of a signature
    bool reveal, cancel;  // due already
    enum assignment_state state;
    uint64_t chunks;  // frames of its stream that are there: it goes on behind them
    uint32_t tokens_max, ack_ms, precommit_ms, relayed_tokens;
    struct span request;  // its canonical bytes
};
struct link_lease {  // ack, promote, reveal
    uint64_t lease;
};
struct link_decline {
    uint64_t lease;
    enum decline_reason reason;
    const char *detail;
};
struct link_chunk {
    uint64_t lease, n;  // n: 0 for the first
    struct span text;   // whole characters
    uint32_t tokens;
    bool has_head;
    struct hash head;  // of the chain behind this chunk
};
struct link_precommit {
    uint64_t lease;
    struct hash precommit;
    bool has_signature, has_mac;
    uint8_t signature[SIGNATURE_SIZE];
    struct hash mac;  // of link_precommit_mac
};
struct link_commit {
    uint64_t lease;
    struct hash salt;
    struct span record, text;
};
struct link_fault {
    uint64_t lease;
    enum decline_reason reason;  // ENGINE where the frame does not say
    const char *detail;
};
struct link_cancel {
    uint64_t lease;
    uint32_t relayed_tokens;
};
struct link_recall {
    uint64_t lease;
    enum fail_cause cause;  // NONE: it ended well
};
struct link_drain {
    uint8_t nothing;
};
struct link_stats {
    uint32_t ttft_ms, tokens_per_s_milli, busy;
};
struct link_error {
    const char *code, *message;
};
/* What an oracle may act on now. Nodes of its own operator are not its business and left out. */
struct link_place {
    uint64_t lease, seed;
    struct address node;                                      // zero: it left
    struct hash payload;                                      // SHA-256 of its answer; zero: none
    bool acked, precommitted, committed, bound, judged, own;  // judged, own: by this oracle, of its operator
    uint32_t ttft_ms, duration_ms, tokens_out;
};
struct link_round {
    uint64_t id, model, deadline_ms;
    enum round_state state;
    struct address leader;                                  // who took it up
    struct hash challenge_hash, challenge, request_digest;  // challenge: SHA-256, from STARTED on
    uint32_t tokens_max, places;
    struct link_place place[ROUND_NODES_MAX];
};
struct link_audit {
    uint64_t id, task, lease, deadline_ms;
    enum audit_state state;
    bool drawn;                  // this oracle was
    struct hash prompt, answer;  // SHA-256 of the stored bytes
    uint8_t record[RECORD_SIZE_MAX];
    uint32_t record_size;  // 0: this router has no record of the task
};
struct link_state {
    uint64_t seq, now_ms, nonce_next;
    struct address leader;
    struct hash chain;  // the value whose preimage this oracle owes next
    bool live;          // this oracle is
    uint32_t duties;
    uint64_t heartbeat_ms, ttft_ms_max, tokens_per_s_milli_min;
    const struct link_model *model;  // [models]
    const struct link_round *round;  // [rounds]
    const struct link_audit *audit;  // [audits]
    uint32_t models, rounds, audits;
};
/* A payload that the next entry will name: answered by a result with its ref. */
struct link_put {
    uint64_t ref;
    struct span data;
};
struct link_get {
    uint64_t ref;
    struct hash digest;  // SHA-256
};
struct link_payload {
    uint64_t ref;
    struct hash digest;
    struct span data;
    const char *error;  // NULL; else there are no data
};

struct link_frame {
    enum link_type type;
    union {
        struct link_challenge challenge;
        struct link_hello hello;
        struct link_welcome welcome;
        struct link_node node;
        struct link_submit submit;
        struct link_result result;
        struct link_offer offer;
        struct link_lease ack, promote, reveal;
        struct link_decline decline;
        struct link_chunk chunk;
        struct link_precommit precommit;
        struct link_commit commit;
        struct link_fault fault;
        struct link_cancel cancel;
        struct link_recall recall;
        struct link_drain drain;
        struct link_stats stats;
        struct link_error error;
        struct link_state state;
        struct link_put put;
        struct link_get get;
        struct link_payload payload;
    };
    json_t *document;            // of a frame that was JSON
    struct link_memory *memory;  // its arrays and strings
};

/* Adds the frame's text. Spans of text must be UTF-8, without NUL. */
void link_encode(const struct link_frame *frame, struct buf *out);
/* Reads a frame that comes this way. CX_INVALID, CX_TOO_LARGE: cx_detail() says which field, and why. */
enum cx_err link_decode(const char *text, size_t size, enum link_way way, struct link_frame *ret_frame);
/* The same in binary. Frames without strings and arrays, which is all but a few, take no memory. */
void link_encode_binary(const struct link_frame *frame, struct buf *out);
enum cx_err link_decode_binary(const void *data, size_t size, enum link_way way, struct link_frame *ret_frame);
void link_frame_done(struct link_frame *frame);
const char *link_type_name(enum link_type type);
enum link_way link_type_way(enum link_type type);
bool link_protocol_is_binary(const char *protocol);

/* What a hello signs: H("corten/h" | network u64 | router 20 | nonce 32 | node 20 | router's exchange 32 | node's 32).
 */
struct link_hello_terms {
    uint64_t network;
    struct address router, node;
    struct hash nonce;
    struct exchange_public router_exchange, node_exchange;
};
void link_hello_digest(const struct link_hello_terms *terms, struct hash *ret_digest);
void link_hello_sign(const struct link_hello_terms *terms, const struct key *key,
                     uint8_t ret_signature[SIGNATURE_SIZE]);
/* CX_DENIED: somebody else signed, or nobody. */
enum cx_err link_hello_check(const struct link_hello_terms *terms, const uint8_t signature[SIGNATURE_SIZE]);

/* What stands for a precommit's signature where a session's evidence is the channel: the MAC of
 * "corten/e" | lease u64 | precommit 32 under the key that hello and challenge agreed on. */
void link_precommit_mac(const struct mac_key *key, const struct link_precommit *precommit, struct hash *ret_mac);
/* CX_DENIED: it has none, or another's. */
enum cx_err link_precommit_check(const struct mac_key *key, const struct link_precommit *precommit);

#endif
