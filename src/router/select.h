/* select.h - which session answers a request, so that nobody needs to know sessions.
 *
 *      1. the one that the request names (header or body)                               "named"
 *      2. the key's default                                                             "key_default"
 *      3. where it asks for a mode or privacy of its own: the caller's own session that
 *         fits and waits least                                                          "own"
 *      4. the router's shared session for (model, redundancy, validation)               "shared"
 *         which is opened where there is none: all who ask meanwhile wait for one       "shared_opened"
 *
 * A shared session lives until another session waits for nodes of its model and it has nothing to do; then it gives
 * them up.
 *
 * Source: docs/protocol.md, "Selection".
 */
#ifndef CORTEN_ROUTER_SELECT_H
#define CORTEN_ROUTER_SELECT_H

#include "router/replica.h"

#define SHARED_YIELD_MS 2000  // of idleness, until a shared session gives way to one that waits

struct select;

struct select_options {
    struct net_loop *loop;
    struct replica *replica;
    uint8_t redundancy, validation;  // of shared sessions where the request does not say
    uint16_t audit_bp;
};
enum cx_err select_open(const struct select_options *options, struct select **ret_select);
void select_close(struct select *select);
CX_CLOSER(select)

struct select_wish {
    struct address account;
    uint64_t key_model, key_session;  // of its key; 0: any, none
    uint64_t session;                 // named; 0: none
    const char *model;                // name or alias; "" takes the session's, or the only one there is
    uint32_t model_size;
    uint32_t redundancy;            // 0: not said
    int validation, privacy, mode;  // -1: not said
};
struct selected {
    enum verdict verdict;  // ACCEPTED, or why nothing was found
    uint64_t session, model;
    const char *reason;  // as above; a constant
    const char *param;   // of the request, that is at fault; or NULL
    char message[512];   // for people, where it was refused
};
/* A request that waits for its session to be opened. */
struct select_wait;
typedef void select_done(void *ctx, enum cx_err err, const struct selected *selected);

/* True: *ret_selected has the answer. False: `done` brings it, unless select_cancel comes first. */
bool select_session(struct select *select, const struct select_wish *wish, struct selected *ret_selected,
                    select_done *done, void *ctx, struct select_wait **ret_wait);
void select_cancel(struct select_wait *wait);  // takes NULL
/* A request went to it: keeps a shared session from giving way. */
void select_used(struct select *select, uint64_t session);

/* The names of the models nearest to this one, or of all where none is near, for people. */
void select_nearest_models(const struct core *core, const char *name, uint32_t size, char *ret_text, size_t cap);

#endif
