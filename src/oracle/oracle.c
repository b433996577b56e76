#include "oracle/oracle_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "proto/entry.h"

/* ---- asking ---- */

struct oracle_link *oracle_acting(struct oracle *oracle)
{
    for (uint32_t i = 0; i < oracle->options.routers; i++)
        if (oracle->link[i].up && oracle->link[i].has_state)
            return &oracle->link[i];
    return NULL;
}

uint64_t oracle_ask(struct oracle_link *link, struct asked what)
{
    struct oracle *oracle = link->oracle;
    struct asked *asked = malloc(sizeof *asked);
    cx_assert(asked);
    *asked = what;
    asked->link = link->at;
    asked->ref = ++oracle->ref;
    asked->next = oracle->asked;
    oracle->asked = asked;
    return asked->ref;
}

void oracle_submit(struct oracle_link *link, const struct command *cmd, struct asked asked)
{
    struct buf entry = {0};
    const struct key *const key[] = {link->oracle->options.key};
    enum cx_err err = entry_sign(cmd, router_link_network(link->wire), key, 1, &entry);
    cx_assert(!err);  // every field of ours is within its bounds
    const struct link_frame frame = {
        .type = LINK_SUBMIT,
        .submit = {.ref = oracle_ask(link, asked), .entry = {(const uint8_t *)entry.data, (uint32_t)entry.size}}};
    router_link_send(link->wire, &frame);
    buf_done(&entry);
}

static bool is_asked(const struct oracle *oracle, enum asked_kind kind)
{
    const struct asked *asked = oracle->asked;
    while (asked && asked->kind != kind)
        asked = asked->next;
    return asked != NULL;
}

static bool take_asked(struct oracle *oracle, const struct oracle_link *link, uint64_t ref, struct asked *ret_asked)
{
    for (struct asked **at = &oracle->asked; *at; at = &(*at)->next) {
        struct asked *asked = *at;
        if (asked->link != link->at || asked->ref != ref)
            continue;
        *ret_asked = *asked;
        *at = asked->next;
        free(asked);
        return true;
    }
    return false;
}

static void forget_asked(struct oracle *oracle, uint32_t link)
{
    for (struct asked **at = &oracle->asked; *at;) {
        struct asked *asked = *at;
        if (asked->link != link) {
            at = &asked->next;
            continue;
        }
        *at = asked->next;
        free(asked);
    }
}

/* ---- the chain ---- */

/* Where the chain stands is searched on a helper thread: after a long life there are many to look through. */
struct search {
    struct oracle *oracle;  // NULL: it has closed
    struct oracle_chain chain;
    struct hash value;
    bool found;
};

static void search_chain(void *ctx)
{
    struct search *search = ctx;
    search->found = oracle_chain_find(&search->chain, &search->value);
}

static void stop(struct oracle *oracle, enum cx_err err)
{
    if (oracle->stopped)
        return;
    oracle->stopped = true;
    oracle->options.on_stopped(oracle->options.ctx, err);
}

static void searched(void *ctx)
{
    struct search *search = ctx;
    struct oracle *oracle = search->oracle;
    bool found = search->found;
    if (oracle) {
        oracle->search = NULL;
        oracle->chain = search->chain;
        oracle->chain_found = found;
    }
    free(search);
    if (!oracle)
        return;
    if (found) {
        oracle_act(oracle);
    } else {
        cx_fail(CX_DENIED, "the ledger holds a hash chain that does not follow from this key: "
                           "register the end that `corten oracle chain-end` prints");
        stop(oracle, CX_DENIED);
    }
}

static void begin_search(struct oracle *oracle, const struct link_state *state)
{
    struct search *search = malloc(sizeof *search);
    cx_assert(search);
    search->oracle = oracle;
    search->chain = oracle->chain;
    search->value = state->chain;
    oracle->search = search;
    if (net_work(oracle->options.loop, search_chain, searched, search)) {
        search_chain(search);  // no helper thread to be had
        searched(search);
    }
}

/* ---- heartbeats ---- */

static void beat(void *ctx)
{
    struct oracle *oracle = ctx;
    struct oracle_link *link = oracle_acting(oracle);
    if (!link || !oracle->chain_found || oracle->search || is_asked(oracle, ASKED_HEARTBEAT))
        return;
    const struct link_state *state = &link->state.state;
    struct command cmd = {.type = COMMAND_ORACLE_HEARTBEAT, .oracle_heartbeat.duties = oracle->options.duties};
    if (!oracle_chain_preimage(&oracle->chain, &cmd.oracle_heartbeat.preimage)) {
        log_warn("oracle", "the hash chain is used up; the next one is being registered");
    } else {
        oracle_submit(link, &cmd, (struct asked){.kind = ASKED_HEARTBEAT});
    }
    if (oracle_chain_left(&oracle->chain) <= ORACLE_CHAIN_LOW && !is_asked(oracle, ASKED_CHAIN)) {
        struct command chain = {.type = COMMAND_ORACLE_CHAIN, .nonce = state->nonce_next};
        oracle_chain_next_end(&oracle->chain, &chain.oracle_chain.chain_end);
        oracle_submit(link, &chain, (struct asked){.kind = ASKED_CHAIN});
    }
}

static void on_heartbeat_result(struct oracle *oracle, const struct oracle_link *link, const struct link_result *f)
{
    bool good = !f->error && f->verdict == VERDICT_ACCEPTED;
    uint64_t wait_ms = good ? link->state.state.heartbeat_ms : ORACLE_AGAIN_MS;
    net_timer_start(oracle->options.loop, &oracle->heartbeat, wait_ms, beat, oracle);
    if (!good) {
        oracle->stats.refused++;
        log_warn("oracle", "heartbeat refused verdict=%s", f->error ? f->error : verdict_name(f->verdict));
        return;
    }
    oracle->stats.heartbeats++;
    if (oracle->ready)
        return;
    oracle->ready = true;
    oracle->options.on_ready(oracle->options.ctx);
}

/* ---- what is to be done ---- */

void oracle_act(struct oracle *oracle)
{
    struct oracle_link *link = oracle_acting(oracle);
    if (!link || oracle->stopped)
        return;
    const struct link_state *state = &link->state.state;
    if (!oracle->chain_begun) {
        oracle->chain_begun = true;
        oracle_chain_init(&oracle->chain, oracle->options.key, router_link_network(link->wire));
    }
    if (oracle->search)
        return;
    if (!oracle->chain_found || !oracle_chain_is_near(&oracle->chain, &state->chain)) {
        oracle->chain_found = false;
        begin_search(oracle, state);
        return;
    }
    if (!net_timer_is_on(&oracle->heartbeat))
        beat(oracle);
    oracle->stats.live = state->live;
    oracle->stats.leads = address_eq(&state->leader, key_address(oracle->options.key));
    oracle->stats.chain_left = oracle_chain_left(&oracle->chain);
    if (state->live)
        duty_each(oracle->book, state, oracle_carry_out, oracle);
}

static void act_again(void *ctx) { oracle_act(ctx); }

void oracle_again(struct oracle *oracle, uint32_t after_ms)
{
    if (!net_timer_is_on(&oracle->again))
        net_timer_start(oracle->options.loop, &oracle->again, after_ms, act_again, oracle);
}

void oracle_act_soon(struct oracle *oracle) { net_timer_soon(oracle->options.loop, &oracle->again, act_again, oracle); }

/* ---- links ---- */

static bool on_challenge(void *ctx, const struct link_challenge *challenge, struct link_hello *ret_hello)
{
    const struct oracle_link *link = ctx;
    struct oracle *oracle = link->oracle;
    (void)ret_hello;
    if (!oracle->chain_begun || oracle->chain.network == challenge->network)
        return true;
    cx_fail(CX_DENIED, "this router serves network %llu, the others %llu", (unsigned long long)challenge->network,
            (unsigned long long)oracle->chain.network);
    return false;
}

static void on_state(struct oracle_link *link, struct link_frame *frame)
{
    struct oracle *oracle = link->oracle;
    if (link->has_state)
        link_frame_done(&link->state);
    link->state = *frame;
    memset(frame, 0, sizeof *frame);
    link->has_state = true;
    if (oracle_acting(oracle) == link)
        oracle_act(oracle);
}

static void on_result(struct oracle_link *link, const struct link_result *f)
{
    struct oracle *oracle = link->oracle;
    struct asked asked;
    if (!take_asked(oracle, link, f->ref, &asked))
        return;
    switch (asked.kind) {
    case ASKED_HEARTBEAT: on_heartbeat_result(oracle, link, f); break;
    case ASKED_CHAIN:
        if (f->error || f->verdict != VERDICT_ACCEPTED)
            log_warn("oracle", "new chain refused verdict=%s", f->error ? f->error : verdict_name(f->verdict));
        break;
    case ASKED_DUTY: oracle_on_duty_result(oracle, &asked, f); break;
    case ASKED_PUT:
    case ASKED_PAYLOAD: break;
    }
}

static void on_payload(struct oracle_link *link, const struct link_payload *f)
{
    struct asked asked;
    if (take_asked(link->oracle, link, f->ref, &asked) && asked.kind == ASKED_PAYLOAD)
        oracle_on_payload(link, &asked, f);
}

static void on_frame(void *ctx, struct link_frame *frame)
{
    struct oracle_link *link = ctx;
    if (frame->type == LINK_WELCOME)
        link->up = true;
    else if (frame->type == LINK_STATE)
        on_state(link, frame);
    else if (frame->type == LINK_RESULT)
        on_result(link, &frame->result);
    else if (frame->type == LINK_PAYLOAD)
        on_payload(link, &frame->payload);
}

static void on_down(void *ctx, const char *why)
{
    struct oracle_link *link = ctx;
    struct oracle *oracle = link->oracle;
    if (!link->up)
        return;
    log_warn("oracle", "link lost router=%s why=\"%s\"", router_link_url(link->wire), why);
    link->up = false;
    if (link->has_state)
        link_frame_done(&link->state);
    link->has_state = false;
    forget_asked(oracle, link->at);
    duty_reset(oracle->book);
    oracle_act_soon(oracle);
}

static void on_drain(void *ctx)
{
    cx_maybe(ctx != NULL);  // what an oracle says is small and follows what it is told
}

static enum cx_err open_links(struct oracle *oracle)
{
    static const struct router_link_events events = {on_challenge, on_frame, on_down, on_drain};
    if (oracle->options.routers == 0 || oracle->options.routers > ORACLE_ROUTERS_MAX)
        return cx_fail(CX_INVALID, "an oracle links to 1..%d routers", ORACLE_ROUTERS_MAX);
    for (uint32_t i = 0; i < oracle->options.routers; i++) {
        struct oracle_link *link = &oracle->link[i];
        link->oracle = oracle;
        link->at = i;
        const char *protocols = oracle->options.text_frames ? LINK_PROTOCOL_ORACLE : LINK_PROTOCOLS_ORACLE;
        const struct router_link_options options = {.loop = oracle->options.loop,
                                                    .url = oracle->options.router[i],
                                                    .path = LINK_PATH_ORACLE,
                                                    .protocols = protocols,
                                                    .place = "oracle",
                                                    .ca_file = oracle->options.ca_file,
                                                    .key = oracle->options.key,
                                                    .events = &events,
                                                    .ctx = link};
        enum cx_err err = router_link_open(&options, &link->wire);
        if (err)
            return err;
    }
    return CX_OK;
}

/* ---- opening ---- */

enum cx_err oracle_open(const struct oracle_options *options, struct oracle **ret_oracle)
{
    cx_auto(oracle) oracle = calloc(1, sizeof *oracle);
    cx_assert(oracle);
    oracle->options = *options;
    if (oracle->options.duties == 0)
        oracle->options.duties = DUTY_ROUND | DUTY_AUDIT;
    enum cx_err err = duty_book_open(key_address(options->key), oracle->options.duties, &oracle->book);
    if (!err && options->engine)
        err = runtime_open(options->loop, options->engine, options->model, &(struct runtime_options){0},
                           &oracle->runtime);
    if (!err)
        err = open_links(oracle);
    if (err)
        return err;
    for (uint32_t i = 0; i < options->routers; i++)
        router_link_start(oracle->link[i].wire);
    *ret_oracle = cx_take(&oracle);
    return CX_OK;
}

void oracle_close(struct oracle *oracle)
{
    if (!oracle)
        return;
    net_timer_stop(&oracle->heartbeat);
    net_timer_stop(&oracle->again);
    for (uint32_t i = 0; i < ORACLE_ROUTERS_MAX; i++) {
        router_link_close(oracle->link[i].wire);
        if (oracle->link[i].has_state)
            link_frame_done(&oracle->link[i].state);
        forget_asked(oracle, i);
    }
    if (oracle->search)
        oracle->search->oracle = NULL;
    runtime_close(oracle->runtime);
    oracle_forget_jobs(oracle);
    duty_book_close(oracle->book);
    free(oracle);
}

struct oracle_stats oracle_stats(const struct oracle *oracle)
{
    struct oracle_stats stats = oracle->stats;
    for (uint32_t i = 0; i < oracle->options.routers; i++)
        stats.linked = stats.linked || oracle->link[i].up;
    return stats;
}
