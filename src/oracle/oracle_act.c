/* Duties carried out: what is submitted for each, and what becomes of it. */
#include "oracle/oracle_parts.h"

#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "oracle/challenge.h"

static const struct link_model *model_of(const struct link_state *state, uint64_t id)
{
    for (uint32_t i = 0; i < state->models; i++)
        if (state->model[i].id == id)
            return &state->model[i];
    return NULL;
}

static void submit(struct oracle_link *link, const struct duty *duty, const struct command *cmd)
{
    oracle_submit(link, cmd,
                  (struct asked){.kind = ASKED_DUTY, .duty = duty->kind, .id = duty->id, .lease = duty->lease});
}

static void get(struct oracle_link *link, enum duty_kind duty, uint64_t id, const struct hash *digest)
{
    struct link_frame frame = {.type = LINK_GET, .get.digest = *digest};
    frame.get.ref = oracle_ask(link, (struct asked){.kind = ASKED_PAYLOAD, .duty = duty, .id = id});
    router_link_send(link->wire, &frame);
}

/* ---- leading ---- */

/* Prepares or starts: the challenge follows from key and round, so it is made for each step anew. */
static void submit_challenge(struct oracle_link *link, const struct duty *duty)
{
    const struct link_state *state = &link->state.state;
    const struct link_model *model = model_of(state, duty->round->model);
    struct challenge c;
    if (!model)
        return;
    const struct challenge_terms terms = {.key = link->oracle->options.key,
                                          .network = router_link_network(link->wire),
                                          .round = duty->id,
                                          .model = model->name,
                                          .context = model->context};
    if (challenge_make(&terms, &c)) {
        log_error("oracle", "no challenge could be made: %s", cx_detail());
        return;
    }
    struct command cmd = {.type = COMMAND_ROUND_PREPARE,
                          .round_prepare = {.round = duty->id,
                                            .challenge_hash = c.commitment,
                                            .prompt_size = c.prompt_size,
                                            .tokens_max = c.tokens_max}};
    if (duty->kind == DUTY_START_ROUND) {
        struct link_frame put = {.type = LINK_PUT,
                                 .put.data = {(const uint8_t *)c.request.data, (uint32_t)c.request.size}};
        put.put.ref = oracle_ask(link, (struct asked){.kind = ASKED_PUT});
        router_link_send(link->wire, &put);
        cmd = (struct command){
            .type = COMMAND_ROUND_START,
            .round_start = {
                .round = duty->id, .salt = c.salt, .challenge_digest = c.digest, .request_digest = c.request_digest}};
    }
    submit(link, duty, &cmd);
    challenge_done(&c);
}

/* ---- each duty ---- */

static void answer_challenge(struct oracle_link *link, const struct duty *duty)
{
    struct oracle *oracle = link->oracle;
    const struct link_model *model = model_of(&link->state.state, duty->round->model);
    if (model && oracle_can_answer(oracle, &model->manifest))
        get(link, duty->kind, duty->id, &duty->round->challenge);
    else
        oracle_cannot_answer(oracle, duty->kind, duty->id);
}

static void answer_audit(struct oracle_link *link, const struct duty *duty)
{
    struct oracle *oracle = link->oracle;
    const struct link_audit *audit = duty->audit;
    struct record record;
    /* What was cancelled was cut by the client's wish, and no engine can tell where that fell. */
    bool can = audit->record_size > 0 && record_decode((struct span){audit->record, audit->record_size}, &record) &&
               record.finish != FINISH_CANCELLED && oracle_can_answer(oracle, &record.manifest_digest);
    if (can)
        get(link, duty->kind, duty->id, &audit->prompt);
    else
        oracle_cannot_answer(oracle, duty->kind, duty->id);
}

void oracle_carry_out(void *ctx, const struct duty *duty)
{
    struct oracle *oracle = ctx;
    struct oracle_link *link = oracle_acting(oracle);
    struct command cmd = {0};
    cx_assert(link);
    switch (duty->kind) {
    case DUTY_CREATE_ROUND:
        cmd = (struct command){.type = COMMAND_ROUND_CREATE, .round_create.round = duty->id};
        submit(link, duty, &cmd);
        break;
    case DUTY_PREPARE_ROUND:
    case DUTY_START_ROUND: submit_challenge(link, duty); break;
    case DUTY_ANSWER_CHALLENGE: answer_challenge(link, duty); break;
    case DUTY_GIVE_VERDICT:
        cmd = (struct command){.type = COMMAND_ROUND_VERDICT,
                               .round_verdict = {.lease = duty->lease,
                                                 .right = (uint8_t)duty->right,
                                                 .fast = (uint8_t)duty->fast,
                                                 .evidence = duty->evidence}};
        submit(link, duty, &cmd);
        break;
    case DUTY_ASK_AUDIT:
        cmd = (struct command){.type = COMMAND_AUDIT_ASK, .audit_ask.audit = duty->id};
        submit(link, duty, &cmd);
        break;
    case DUTY_ANSWER_AUDIT: answer_audit(link, duty); break;
    case DUTY_GIVE_FINDING:
        cmd = (struct command){
            .type = COMMAND_AUDIT_VERDICT,
            .audit_verdict = {.audit = duty->id, .finding = (uint8_t)duty->finding, .evidence = duty->evidence}};
        submit(link, duty, &cmd);
        break;
    }
}

/* ---- what came of them ---- */

static const struct link_audit *audit_of(const struct link_state *state, uint64_t id)
{
    for (uint32_t i = 0; i < state->audits; i++)
        if (state->audit[i].id == id)
            return &state->audit[i];
    return NULL;
}

/* Payloads are where their node is linked: the router behind this one may have it. */
static bool ask_next(struct oracle_link *link, const struct asked *asked, const struct hash *digest)
{
    struct oracle *oracle = link->oracle;
    for (uint32_t i = link->at + 1; i < oracle->options.routers; i++)
        if (oracle->link[i].up) {
            get(&oracle->link[i], asked->duty, asked->id, digest);
            return true;
        }
    return false;
}

void oracle_on_payload(struct oracle_link *link, const struct asked *asked, const struct link_payload *f)
{
    struct oracle *oracle = link->oracle;
    struct record record = {0};
    if (f->error) {
        log_warn("oracle", "payload missing router=%s id=%llu detail=\"%s\"", router_link_url(link->wire),
                 (unsigned long long)asked->id, f->error);
        if (!ask_next(link, asked, &f->digest))
            oracle_cannot_answer(oracle, asked->duty, asked->id);
        return;
    }
    if (asked->duty == DUTY_ANSWER_AUDIT) {
        const struct oracle_link *acting = oracle_acting(oracle);
        const struct link_audit *audit = acting ? audit_of(&acting->state.state, asked->id) : NULL;
        if (!audit || !record_decode((struct span){audit->record, audit->record_size}, &record))
            return;  // it ended meanwhile
    }
    oracle_answer(oracle, asked->duty, asked->id, f->data, record.seed, record.seed_of_client);
}

static void count(struct oracle *oracle, const struct asked *asked)
{
    oracle->stats.rounds_led += asked->duty == DUTY_START_ROUND;
    oracle->stats.verdicts += asked->duty == DUTY_GIVE_VERDICT;
    oracle->stats.audits += asked->duty == DUTY_GIVE_FINDING;
}

void oracle_on_duty_result(struct oracle *oracle, const struct asked *asked, const struct link_result *f)
{
    if (!f->error && f->verdict == VERDICT_ACCEPTED) {
        count(oracle, asked);
        return;
    }
    oracle->stats.refused++;
    log_warn("oracle", "refused duty=%d id=%llu verdict=%s", (int)asked->duty, (unsigned long long)asked->id,
             f->error ? f->error : verdict_name(f->verdict));
    /* The window has just turned, or the router could not: the next state decides whether it is still ours to do. What
     * the rules refuse stays refused. */
    if (f->error || f->verdict == VERDICT_NOT_LEADER) {
        duty_failed(oracle->book, asked->duty, asked->id, asked->lease);
        oracle_again(oracle, ORACLE_AGAIN_MS);
    }
}
