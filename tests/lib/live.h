/* live.h - a router with an oracle and miners in one loop, over real sockets, for tests of what its clients see.
 *
 *      struct live *live = live_open(&(struct live_options){.miners = 3});
 *      struct reply *r = live_ask(live, "POST", "/v1/completions", LIVE_KEY, "{…}");
 *      CHECK_EQ(r->status, 200);
 *      live_close(live);
 */
#ifndef CORTEN_TESTS_LIVE_H
#define CORTEN_TESTS_LIVE_H

#include "base/buf.h"
#include "core/view.h"
#include "miner/miner.h"
#include "net/http_client.h"
#include "proto/json.h"
#include "router/router.h"

#define LIVE_KEY         "ck_live"  // all scopes, and money
#define LIVE_MODEL       "words"
#define LIVE_BALANCE     1000000000ull
#define LIVE_PRICE_IN    1000000  // a credit a token
#define LIVE_PRICE_OUT   2000000
#define LIVE_MINERS_MAX  4
#define LIVE_ORACLES_MAX 3
#define LIVE_PATIENCE_MS 30000

struct live_options {
    uint32_t miners;            // LIVE_MINERS_MAX at most
    const char *engine;         // of all miners; NULL: "echo"
    const char *oracle_engine;  // as wordy as the miners' is; NULL: "echo"
    const char *const *faulty;  // [miners]: of single ones; NULL: none
    const char *const *param;   // [params]: of the genesis, beside those that make it quick
    uint32_t params;
    bool no_oracle, no_admin;
    uint32_t oracles, oracle_quorum;  // LIVE_ORACLES_MAX at most; 0: 1
    uint32_t cheating_oracles;        // in the genesis only: live.cheat_key
};

struct live {
    struct net_loop *loop;
    struct key *admin, *router_key, *oracle_key[LIVE_ORACLES_MAX], *miner_key[LIVE_MINERS_MAX];
    struct key *cheat_key[LIVE_ORACLES_MAX];  // of oracles that the test opens by itself
    struct router *router;
    struct oracle *oracle[LIVE_ORACLES_MAX];
    uint32_t oracles, cheating_oracles;
    struct miner *miner[LIVE_MINERS_MAX];
    uint32_t miners;
    struct http_client *http;
    struct reply *reply;  // all there were
    char url[64];
    struct net_timer patience;
    bool founded, ready, drained;
    const char *engine;
    struct buf folder;
};

/* A request and what came of it; the live's until live_close. */
struct reply {
    struct reply *next;
    struct http_call *call;
    bool done;
    enum cx_err err;
    unsigned status;
    struct buf body;
    json_t *json;  // of a body that is JSON
    char request_id[160], retry_after[16], allow[64], type[64];
};

/* Returns when as many nodes serve as there are miners; without an oracle, at once. */
struct live *live_open(const struct live_options *options);
void live_close(struct live *live);
const struct core *live_core(const struct live *live);
/* Stops a miner as if its machine had lost power. */
void live_lose_miner(struct live *live, uint32_t n);

/* key NULL: none; body NULL: none. `field`: one more header, or NULL. */
struct reply *live_send(struct live *live, const char *method, const char *path, const char *key, const char *body,
                        const char *field);
/* The same, waited for. */
struct reply *live_ask(struct live *live, const char *method, const char *path, const char *key, const char *body);
/* Waits until it has ended. */
void live_wait(struct live *live, struct reply *reply);

/* The value at a path of keys and indexes parted by dots, as text; fails the test where there is none. */
const char *reply_text(const struct reply *reply, const char *path);
long long reply_number(const struct reply *reply, const char *path);
bool reply_has(const struct reply *reply, const char *path);  // and it is not null
/* The error's code, or "" where it was none. */
const char *reply_code(const struct reply *reply);
/* Makes a key with an account of its own and that much money; its text is the live's. */
const char *live_new_key(struct live *live, const char *terms, uint64_t credits);

/* Turns the loop until it is so. */
#define LIVE_UNTIL(live, what)                                                                             \
    do {                                                                                                   \
        net_timer_start((live)->loop, &(live)->patience, LIVE_PATIENCE_MS, live_impatient, (void *)#what); \
        while (!(what))                                                                                    \
            net_loop_turn((live)->loop, true);                                                             \
        net_timer_stop(&(live)->patience);                                                                 \
    } while (0)
void live_impatient(void *what);

#endif
