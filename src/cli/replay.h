/* replay.h - a whole ledger through a fresh core. */
#ifndef CORTEN_CLI_REPLAY_H
#define CORTEN_CLI_REPLAY_H

#include "base/err.h"
#include "base/types.h"
#include "core/event.h"
#include "core/verdict.h"
#include "ledger/ledger.h"

struct replay_options {
    const char *uri;
    bool check;  // core_check at the end
    /* Every entry, decided: cmd NULL where it does not decode. May be NULL. */
    void (*each)(void *ctx, const struct ledger_entry *entry, const struct command *cmd, enum verdict verdict,
                 const struct event_list *events);
    void (*progress)(void *ctx, uint64_t done, uint64_t total);  // may be NULL
    void *ctx;
};
struct replay_result {
    uint64_t seq, refused;
    struct hash digest, root;
    bool money_holds;          // after every entry
    uint64_t money_broke_seq;  // else the first after which it did not
};

/* NOT_FOUND: no ledger, or an empty one. CORRUPT: what is damaged, by row. */
enum cx_err replay_ledger(const struct replay_options *options, struct replay_result *ret_result);

#endif
