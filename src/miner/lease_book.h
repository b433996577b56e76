/* lease_book.h - what a miner owes for each lease, and what to say next. No socket, clock or engine is touched here, so
 * that a simulator can drive it.
 *
 *      offer -> (engine starts) -> ack -> chunk… -> precommit -> reveal -> commit -> recall
 *
 * What was promised survives the link: when a router's socket is back, it says how far it has come with each lease, and
 * the book goes on from there. A lease is answered once: its salt follows from the node's key, so that even a miner
 * that was started again cannot precommit to the same answer in two ways.
 *
 * A frame goes out only while the link takes it (sink.takes); what is left goes with lease_book_pump.
 *
 * Source: docs/protocol.md, "Miner link" and "Result record".
 */
#ifndef CORTEN_MINER_LEASE_BOOK_H
#define CORTEN_MINER_LEASE_BOOK_H

#include "proto/link.h"

#define LEASE_BOOK_CAP_MAX   LINK_LEASES_MAX
#define LEASE_BOOK_LINKS_MAX NODE_LINKS_MAX

/* Ways to break the protocol while serving, for tests; in rounds a node behaves, so that it comes to serve. */
struct miner_faults {
    bool wrong_reveal;        // what is revealed is not what was precommitted
    bool withhold_reveal;     // never reveals
    bool stale_lease;         // says everything again when the lease has ended
    uint32_t late_reveal_ms;  // waits so long before it reveals
    uint32_t drop_after;      // breaks off its sockets after so many chunks, once
};

struct lease_book;

struct lease_result {
    enum finish finish;
    uint32_t tokens_in, tokens_out;
    struct hash tokens_digest;  // Keccak-256 of the token ids
};

struct lease_sink {
    /* Whether the link takes frames now. */
    bool (*takes)(void *ctx, uint32_t link);
    void (*send)(void *ctx, uint32_t link, const struct link_frame *frame);
    /* Starts the engine; false, and a reason, where it cannot. The book is told by lease_book_chunk, _done and _failed,
     * never from inside. */
    bool (*start)(void *ctx, const struct link_offer *offer, enum decline_reason *ret_reason);
    /* Stops the engine. Unless `forget`, lease_book_done follows, with what there is. */
    void (*cancel)(void *ctx, uint64_t lease, bool forget);
    /* To call lease_book_release after so long. */
    void (*hold)(void *ctx, uint64_t lease, uint32_t ms);
    /* Breaks off all links. */
    void (*drop)(void *ctx);
    void *ctx;
};

struct lease_book_options {
    const struct key *key;  // the node's; lent
    struct hash manifest;   // of the model that its engine runs
    enum engine engine;
    uint32_t cap;  // leases at once, those included whose engine is done
    struct miner_faults faults;
    struct lease_sink sink;
};

enum cx_err lease_book_open(const struct lease_book_options *options, struct lease_book **ret_book);
/* Forgets everything; calls nobody. */
void lease_book_close(struct lease_book *book);
CX_CLOSER(lease_book)
/* Another manifest from the next offer on: a declared engine's is the catalog's of that name. */
void lease_book_set_manifest(struct lease_book *book, const struct hash *manifest);

/* ---- from a router ---- */

/* A link is up: its leases that are not in the list have ended. Offers for the others follow. */
void lease_book_welcome(struct lease_book *book, uint32_t link, uint64_t network, const uint64_t *lease,
                        uint32_t count);
void lease_book_link_down(struct lease_book *book, uint32_t link);
void lease_book_offer(struct lease_book *book, uint32_t link, const struct link_offer *offer);
void lease_book_promote(struct lease_book *book, uint64_t lease);
void lease_book_reveal(struct lease_book *book, uint64_t lease);
void lease_book_cancel(struct lease_book *book, uint64_t lease);
void lease_book_recall(struct lease_book *book, uint64_t lease);
/* The link takes frames again. */
void lease_book_pump(struct lease_book *book, uint32_t link);

/* ---- from the engine ---- */

/* Whole characters. Leases that have ended meanwhile are passed over. */
void lease_book_chunk(struct lease_book *book, uint64_t lease, const char *text, size_t size, uint32_t tokens);
void lease_book_done(struct lease_book *book, uint64_t lease, const struct lease_result *result);
/* The engine failed, and so does the lease: for want of context, or because it cannot, or is broken. */
void lease_book_failed(struct lease_book *book, uint64_t lease, enum decline_reason reason, const char *detail);

/* ---- from the owner ---- */

/* From now on offers are declined with DRAINING. */
void lease_book_drain(struct lease_book *book);
void lease_book_release(struct lease_book *book, uint64_t lease);
/* Leases that have not ended, as far as is known here; those of them in which the engine works. */
uint32_t lease_book_owed(const struct lease_book *book);
uint32_t lease_book_busy(const struct lease_book *book);

struct lease_book_stats {
    uint64_t offers, declined, answered, recalled, failed, chunks;
};
struct lease_book_stats lease_book_stats(const struct lease_book *book);

#endif
