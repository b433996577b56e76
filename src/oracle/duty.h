/* duty.h - what an oracle has to do now: from a state frame to a list of duties. Nothing is sent or computed here.
 *
 *      leader:  REQUESTED -> CREATE    CREATED -> PREPARE    PREPARED (by us) -> START
 *      all:     STARTED… -> ANSWER_CHALLENGE    COMMITTED -> VERDICT on each place
 *               DRAWN (to us) -> ASK            ASKED -> ANSWER_AUDIT, then FINDING
 *
 * A duty is given once, until it is told to have failed; the state frames that come meanwhile do not give it again.
 *
 * Source: docs/protocol.md, "Rounds" and "Audits".
 */
#ifndef CORTEN_ORACLE_DUTY_H
#define CORTEN_ORACLE_DUTY_H

#include "proto/link.h"

enum duty_kind {
    DUTY_CREATE_ROUND,
    DUTY_PREPARE_ROUND,
    DUTY_START_ROUND,
    DUTY_ANSWER_CHALLENGE,  // with our own engine; then duty_answered
    DUTY_GIVE_VERDICT,
    DUTY_ASK_AUDIT,
    DUTY_ANSWER_AUDIT,  // recompute what is audited; then duty_answered
    DUTY_GIVE_FINDING,
};
struct duty {
    enum duty_kind kind;
    uint64_t id;                     // of round or audit
    uint64_t lease;                  // of GIVE_VERDICT; else 0
    const struct link_round *round;  // of the state that was handed in; NULL: it is about an audit
    const struct link_audit *audit;
    enum layer_result right, fast;  // of GIVE_VERDICT
    enum audit_finding finding;     // of GIVE_FINDING
    struct hash evidence;           // Keccak-256 of our own answer; zero: none
};

/* What our engine makes of a request. */
struct duty_answer {
    bool measured;         // false: no engine here can tell
    struct hash text;      // SHA-256 of the answer
    struct hash evidence;  // Keccak-256 of it
};

struct duty_book;
enum cx_err duty_book_open(const struct address *oracle, uint32_t duties, struct duty_book **ret_book);
void duty_book_close(struct duty_book *book);
CX_CLOSER(duty_book)

/* Calls `each` for what is due and was not given before. */
void duty_each(struct duty_book *book, const struct link_state *state, void (*each)(void *ctx, const struct duty *duty),
               void *ctx);
/* It came to nothing: it is due again at the next state. */
void duty_failed(struct duty_book *book, enum duty_kind kind, uint64_t id, uint64_t lease);
/* What was given and may not have arrived is due again: another router is asked. */
void duty_reset(struct duty_book *book);
/* The answer to a challenge or an audit: its verdicts are due at the next duty_each. */
void duty_answered(struct duty_book *book, enum duty_kind kind, uint64_t id, const struct duty_answer *answer);

/* The layer `fast`, from what the node's router measured. */
enum layer_result duty_fast(const struct link_state *state, const struct link_place *place);

#endif
