/* client.h - clients on computers of their own: they ask over HTTP in every dialect, and remember what they were told.
 *
 *      ask --> told: an answer, a stream, an error --> next prompt
 *       ^        |
 *       +--------+  cut off, refused for now, interrupted: again, under the same reference
 *
 * A prompt with a reference is asked for until its outcome is known; one without is asked for once. Some read slowly,
 * some go away in the middle of a stream, some cancel, some ask twice at once; some have a session of their own. What
 * each call ended with goes to all observers (observe.h), which know what is true.
 */
#ifndef CORTEN_SIM_CLIENT_H
#define CORTEN_SIM_CLIENT_H

#include <jansson.h>

#include "base/amount.h"
#include "sim/sim.h"

#define TOLD_TEXT_MAX 48

enum told_end {
    TOLD_WHOLE,         // an answer in one piece
    TOLD_STREAM,        // a stream that ended with [DONE]
    TOLD_STREAM_ERROR,  // a stream that ended with an error
    TOLD_ERROR,         // an error with a status of its own
    TOLD_CUT,           // the connection broke, or nothing came for too long
    TOLD_LEFT,          // the client went away
    TOLD_BROKEN,        // what came was whole and against the protocol: `why`
};

/* What one call ended with. Spans and strings are valid during on_told. */
struct told {
    uint32_t client, prompt, router;
    struct address payer;
    struct hash reference;  // Keccak-256 of the client's; zero: none
    bool stream;            // it asked for one
    enum told_end end;
    unsigned status;
    char code[TOLD_TEXT_MAX];    // of an error
    char finish[TOLD_TEXT_MAX];  // "stop"
    const char *text;            // what was read, also of a stream that was cut
    size_t text_size;
    uint64_t task, session, seq;  // as told; 0: not told
    bool has_usage;
    uint32_t tokens_in, tokens_out;
    struct amount charged;
    const json_t *receipt;  // NULL: none
    const char *why;        // TOLD_BROKEN
};

/* Starts asking: swarm.tasks prompts, all together. */
struct clients *clients_open(struct sim *sim);
void clients_close(struct clients *clients);
/* From now on nobody begins another prompt: what was asked gets its outcome, and that is all. */
void clients_stop_asking(struct clients *clients);
/* Every prompt has got its outcome. */
bool clients_are_done(const struct clients *clients);
/* How many prompts were answered, and how many ended otherwise. */
uint32_t clients_answered(const struct clients *clients);
uint32_t clients_refused(const struct clients *clients);
/* Who waits, for a failure's words. */
void clients_explain(const struct clients *clients, struct buf *out);

#endif
