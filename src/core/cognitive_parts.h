/* cognitive_parts.h - between the files of cognitive. Source: docs/protocol.md, "Rounds". */
#ifndef CORTEN_CORE_COGNITIVE_PARTS_H
#define CORTEN_CORE_COGNITIVE_PARTS_H

#include "core/cognitive.h"

/* The only writer of round.state, of its deadline and its place in the heap. */
void round_move(struct cognitive *cognitive, uint32_t round, enum round_state to, enum abort_reason reason,
                uint64_t deadline_ms);
/* What cognitive.live is, counted. */
uint32_t cognitive_count_live(const struct cognitive *cognitive);
/* Asserts what is kept about who lives and how long nothing changes in it. */
void cognitive_check_calm(const struct cognitive *cognitive);
/* A model whose nodes wait while an oracle leads and there is room, or SLOT_NONE; and the round they get. */
uint32_t round_wanted(const struct cognitive *cognitive);
void round_request(struct cognitive *cognitive, uint32_t model);
/* Goes on through every phase in which nobody is outstanding. */
void round_advance(struct cognitive *cognitive, uint32_t round);
/* Its deadline has come. */
void round_is_due(struct cognitive *cognitive, uint32_t round);
/* Its nodes go back to where they came from. */
void round_abort(struct cognitive *cognitive, uint32_t round, enum abort_reason reason);
/* The end of the phase STARTED for acks, and for precommits. */
uint64_t round_ack_deadline_ms(const struct cognitive *cognitive, const struct round *r);
uint64_t round_precommit_deadline_ms(const struct cognitive *cognitive, const struct round *r);
/* What follows from the oracles' verdicts on a place so far. */
struct finding {
    bool decided;  // more verdicts cannot change it
    enum layer_result right, fast, agreed;
};
struct finding place_finding(const struct cognitive *cognitive, const struct round_place *p);

#endif
