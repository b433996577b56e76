/* trial.h - runs what may fail an assertion, in a child process.
 *
 * A checker that fails says so and returns; an assertion of the core ends the process. Who tries many histories wants
 * to hear of both and go on. What the child finds it writes into memory that it shares with its parent.
 */
#ifndef CORTEN_SIM_TRIAL_H
#define CORTEN_SIM_TRIAL_H

#include "sim/history.h"

/* Zeroed; given back at the end of the process or by trial_unshare. Takes room only where it is written to. */
void *trial_share(size_t size);
void trial_unshare(void *memory, size_t size);

/* Runs job(ctx) in a child, for at most so many seconds (0: for ever). True: it returned. False: it died, and ret_words
 * has the last line that it wrote to standard error, "file:line: assertion failed: ...", or how it ended. */
bool trial_run(void (*job)(void *ctx), void *ctx, uint32_t seconds, char *ret_words, size_t words_size);

/* A history in shared memory, entry behind entry. */
struct trial_tape {
    uint64_t size, cap;
    uint32_t count;
    uint8_t data[];
};
#define TRIAL_TAPE_CAP (256u << 20)
struct trial_tape *trial_tape_open(void);
void trial_tape_close(struct trial_tape *tape);
void trial_tape_clear(struct trial_tape *tape);
void trial_tape_add(struct trial_tape *tape, const struct history_entry *entry);
void trial_tape_read(const struct trial_tape *tape, struct history *ret_history);

#endif
