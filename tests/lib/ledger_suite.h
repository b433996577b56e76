/* ledger_suite.h - what every ledger must do, as functions over a backend: a new one passes when all of them do.
 *
 *      LEDGER_SUITE(mem, &mem_backend)      makes one TEST of each scenario, in place ledger_mem
 */
#ifndef CORTEN_TESTS_LEDGER_SUITE_H
#define CORTEN_TESTS_LEDGER_SUITE_H

#include "ledger/ledger.h"
#include "lib/test.h"

#define SUITE_NETWORK 77

enum suite_field {
    SUITE_SEQ,
    SUITE_COUNT,
    SUITE_ROUTER,
    SUITE_EPOCH,
    SUITE_NUMBER,
    SUITE_TIME,
    SUITE_CHAIN,
    SUITE_BODY,
    SUITE_FIELD_COUNT,
};

struct suite_backend {
    /* A URI where there is no ledger yet. */
    void (*place)(char ret_uri[256]);
    /* Opens what keeps the ledger there while nobody else has it open; may be NULL. */
    struct ledger *(*anchor)(const char *uri);
    /* Turns the highest bit of one byte (counted from the least significant one in numbers) of a stored batch. The
     * ledger is closed, but for its anchor. */
    void (*damage)(const char *uri, struct ledger *anchor, uint64_t seq, enum suite_field field, uint32_t byte);
    /* The next append's outcome is UNKNOWN, and the batch is on the ledger or not. NULL: that cannot happen here. */
    void (*lose_answer)(struct ledger *ledger, bool appended);
};

struct suite_result {
    bool done;
    enum cx_err err;
    uint64_t seq, time_ms;
};

struct address suite_router(uint8_t last_byte);
struct ledger *suite_open(const char *uri, enum ledger_mode mode, uint8_t router);
/* Appends the commands as one batch of router 1 and waits until it is durable. */
struct suite_result suite_append(struct ledger *ledger, uint64_t epoch, uint64_t number, const char *const *command,
                                 uint32_t count);
struct suite_result suite_append_one(struct ledger *ledger, uint64_t epoch, uint64_t number, const char *command);
/* Polls until the append has ended. */
void suite_wait(struct ledger *ledger, const struct suite_result *result);
void suite_done(void *ctx, enum cx_err err, uint64_t seq, uint64_t time_ms);

/* Writes what it is handed as "seq:command " into a buffer. */
struct suite_seen {
    char text[4096];
    uint32_t size, batches;
    uint32_t refuse;  // this many calls are answered with "no more now"
};
bool suite_see(void *ctx, const struct ledger_batch *batch);

void suite_gives_back_what_was_appended_in_order(const struct suite_backend *backend);
void suite_answers_a_repeat_with_the_first_position(const struct suite_backend *backend);
void suite_fences_an_old_epoch(const struct suite_backend *backend);
void suite_refuses_gaps_and_epochs_never_taken(const struct suite_backend *backend);
void suite_hands_everything_to_a_follower_once(const struct suite_backend *backend);
void suite_waits_for_a_follower_that_is_behind(const struct suite_backend *backend);
void suite_shows_a_reader_what_another_handle_writes(const struct suite_backend *backend);
void suite_continues_after_reopening(const struct suite_backend *backend);
void suite_finds_every_flipped_byte(const struct suite_backend *backend);
void suite_keeps_to_its_limits(const struct suite_backend *backend);
void suite_never_lets_time_go_back(const struct suite_backend *backend);
void suite_says_unknown_and_takes_the_batch_again(const struct suite_backend *backend);
void suite_opens_only_what_was_meant(const struct suite_backend *backend);
void suite_takes_so_many_batches_and_no_more(const struct suite_backend *backend);

#define LEDGER_SUITE_ONE(kind, backend, name) \
    TEST(ledger_##kind, name)                 \
    {                                         \
        suite_##name(backend);                \
    }
#define LEDGER_SUITE(kind, backend)                                            \
    LEDGER_SUITE_ONE(kind, backend, gives_back_what_was_appended_in_order)     \
    LEDGER_SUITE_ONE(kind, backend, answers_a_repeat_with_the_first_position)  \
    LEDGER_SUITE_ONE(kind, backend, fences_an_old_epoch)                       \
    LEDGER_SUITE_ONE(kind, backend, refuses_gaps_and_epochs_never_taken)       \
    LEDGER_SUITE_ONE(kind, backend, hands_everything_to_a_follower_once)       \
    LEDGER_SUITE_ONE(kind, backend, waits_for_a_follower_that_is_behind)       \
    LEDGER_SUITE_ONE(kind, backend, shows_a_reader_what_another_handle_writes) \
    LEDGER_SUITE_ONE(kind, backend, continues_after_reopening)                 \
    LEDGER_SUITE_ONE(kind, backend, finds_every_flipped_byte)                  \
    LEDGER_SUITE_ONE(kind, backend, keeps_to_its_limits)                       \
    LEDGER_SUITE_ONE(kind, backend, never_lets_time_go_back)                   \
    LEDGER_SUITE_ONE(kind, backend, says_unknown_and_takes_the_batch_again)    \
    LEDGER_SUITE_ONE(kind, backend, opens_only_what_was_meant)                 \
    LEDGER_SUITE_ONE(kind, backend, takes_so_many_batches_and_no_more)

#endif
