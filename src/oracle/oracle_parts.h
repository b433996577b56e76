/* oracle_parts.h - within src/oracle: what oracle.c (links, heartbeats), oracle_act.c (duties) and oracle_job.c (its
 * own engine) share. */
#ifndef CORTEN_ORACLE_ORACLE_PARTS_H
#define CORTEN_ORACLE_ORACLE_PARTS_H

#include "base/buf.h"
#include "miner/router_link.h"
#include "oracle/chain.h"
#include "oracle/duty.h"
#include "oracle/oracle.h"
#include "runtime/runtime.h"

#define ORACLE_AGAIN_MS 200  // until what came to nothing is looked at again

struct oracle_link {
    struct oracle *oracle;
    struct router_link *wire;
    uint32_t at;  // its place in oracle.link[]
    bool up, has_state;
    struct link_frame state;  // the last one
};

/* What a link was asked and has not answered. */
enum asked_kind { ASKED_DUTY, ASKED_HEARTBEAT, ASKED_CHAIN, ASKED_PUT, ASKED_PAYLOAD };
struct asked {
    struct asked *next;
    uint32_t link;
    uint64_t ref;
    enum asked_kind kind;
    enum duty_kind duty;  // ASKED_DUTY, ASKED_PAYLOAD: what for
    uint64_t id, lease;
};

/* A request that our engine answers, for a challenge or an audit. */
struct oracle_job {
    struct oracle *oracle;
    struct oracle_job *next;
    struct runtime_job *running;
    enum duty_kind duty;
    uint64_t id;
};

struct oracle {
    struct oracle_options options;
    struct runtime *runtime;  // NULL: no engine
    struct duty_book *book;
    struct oracle_link link[ORACLE_ROUTERS_MAX];
    struct asked *asked;
    struct oracle_job *job;
    struct oracle_chain chain;
    bool chain_begun, chain_found;
    struct search *search;  // under way
    struct net_timer heartbeat, again;
    uint64_t ref;
    bool ready, stopped;
    struct oracle_stats stats;
};

/* The link that is acted through, with its state; NULL: there is none. */
struct oracle_link *oracle_acting(struct oracle *oracle);
/* Remembers what is asked, and gives its ref. */
uint64_t oracle_ask(struct oracle_link *link, struct asked asked);
/* Signs and submits. */
void oracle_submit(struct oracle_link *link, const struct command *cmd, struct asked asked);
/* Does what the acting link's state asks for. */
void oracle_act(struct oracle *oracle);
void oracle_act_soon(struct oracle *oracle);
void oracle_again(struct oracle *oracle, uint32_t after_ms);

/* oracle_act.c */
void oracle_carry_out(void *ctx, const struct duty *duty);
void oracle_on_payload(struct oracle_link *link, const struct asked *asked, const struct link_payload *payload);
void oracle_on_duty_result(struct oracle *oracle, const struct asked *asked, const struct link_result *result);

/* oracle_job.c */
bool oracle_can_answer(const struct oracle *oracle, const struct hash *manifest);
/* Answers with our engine; the answer reaches the book later, as `measured` false where there is none. */
void oracle_answer(struct oracle *oracle, enum duty_kind duty, uint64_t id, struct span request, uint64_t seed,
                   bool seed_of_client);
void oracle_cannot_answer(struct oracle *oracle, enum duty_kind duty, uint64_t id);
void oracle_forget_jobs(struct oracle *oracle);

#endif
