/* An oracle that cheats: what it has to do follows from the same duty book as an honest one's, and then it does
 * something else. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/view.h"
#include "crypto/keccak.h"
#include "crypto/sha256.h"
#include "miner/engine_request.h"
#include "oracle/chain.h"
#include "oracle/challenge.h"
#include "oracle/duty.h"
#include "proto/entry.h"
#include "sim/adversary.h"
#include "sim/adversary_wire.h"

#define ORACLE_REFS   256  // asked and not answered, at most
#define ORACLE_DUTIES (DUTY_ROUND | DUTY_AUDIT)

#define X(NAME, name, bound) #name,
static const char *const names[] = {ORACLE_CHEATS(X)};
#undef X
#define X(NAME, name, bound) bound,
static const char *const bounds[] = {ORACLE_CHEATS(X)};
#undef X

const char *oracle_cheat_name(enum oracle_cheat_at at) { return names[at]; }
const char *oracle_cheat_bound(enum oracle_cheat_at at) { return bounds[at]; }

/* What was asked under a ref. */
struct asking {
    uint64_t ref, id, lease;
    enum duty_kind duty;
    bool heartbeat;
};

struct oracle_work {
    struct adversary_oracle *oracle;
    struct oracle_work *next;
    struct runtime_job *job;
    enum duty_kind duty;
    uint64_t id;
};

struct adversary_oracle {
    struct adversary_oracle_options options;
    struct adversary_wire wire;
    struct runtime *runtime;
    struct duty_book *book;
    struct oracle_chain chain;
    bool chain_begun, has_state, up;
    struct link_frame state;
    struct asking asking[ORACLE_REFS];
    uint64_t ref;
    struct oracle_work *work;
    struct net_timer heartbeat, again;
    struct hash last_preimage;
    uint64_t usurped;  // the last round or audit that it reached for
    struct adversary_oracle_stats stats;
};

static bool does(const struct adversary_oracle *o, uint32_t cheats) { return (o->options.cheats & cheats) != 0; }

/* ---- saying ---- */

static uint64_t ask(struct adversary_oracle *o, struct asking asking)
{
    asking.ref = ++o->ref;
    o->asking[asking.ref % ORACLE_REFS] = asking;
    return asking.ref;
}

static void submit(struct adversary_oracle *o, const struct command *cmd, struct asking asking)
{
    struct buf entry = {0};
    if (entry_sign(cmd, o->wire.network, &o->options.key, 1, &entry) == CX_OK) {
        struct link_frame frame = {.type = LINK_SUBMIT,
                                   .submit.entry = {(const uint8_t *)entry.data, (uint32_t)entry.size}};
        frame.submit.ref = ask(o, asking);
        adversary_wire_send(&o->wire, &frame);
    }
    buf_done(&entry);
}

static void get(struct adversary_oracle *o, const struct duty *duty, const struct hash *digest)
{
    struct link_frame frame = {.type = LINK_GET, .get.digest = *digest};
    frame.get.ref = ask(o, (struct asking){.duty = duty->kind, .id = duty->id});
    adversary_wire_send(&o->wire, &frame);
}

/* ---- heartbeats ---- */

static void beat(void *ctx);

static void beat_again(struct adversary_oracle *o)
{
    net_timer_start(o->options.loop, &o->heartbeat, o->state.state.heartbeat_ms, beat, o);
}

/* One that picks among beacons would rather have one that ends in a 0 bit: it says nothing where it would not. */
static bool dislikes(const struct adversary_oracle *o, const struct hash *preimage)
{
    const struct adversary_spy *spy = &o->options.spy;
    const struct core *core = spy->core ? spy->core(spy->ctx) : NULL;
    struct network_view network;
    struct hash next;
    struct keccak k;
    if (!core)
        return false;
    view_network(core, &network);
    keccak_init(&k);
    keccak_add(&k, network.beacon.b, sizeof network.beacon.b);
    keccak_add(&k, key_address(o->options.key)->b, sizeof(struct address));
    keccak_add(&k, preimage->b, sizeof preimage->b);
    keccak_end(&k, &next);
    return next.b[31] & 1;
}

static void beat(void *ctx)
{
    struct adversary_oracle *o = ctx;
    struct command cmd = {.type = COMMAND_ORACLE_HEARTBEAT, .oracle_heartbeat.duties = ORACLE_DUTIES};
    if (!o->up || !o->has_state)
        return;
    beat_again(o);
    if (!oracle_chain_preimage(&o->chain, &cmd.oracle_heartbeat.preimage))
        return;
    if (does(o, ORACLE_CHEAT_WITHHOLD) && dislikes(o, &cmd.oracle_heartbeat.preimage)) {
        o->stats.withheld++;
        return;
    }
    struct hash preimage = cmd.oracle_heartbeat.preimage;
    if (does(o, ORACLE_CHEAT_OLD_PREIMAGE) && !hash_is_zero(&o->last_preimage)) {
        cmd.oracle_heartbeat.preimage = o->last_preimage;
        submit(o, &cmd, (struct asking){.heartbeat = true});
        cmd.oracle_heartbeat.preimage = preimage;
    }
    o->last_preimage = preimage;
    submit(o, &cmd, (struct asking){.heartbeat = true});
}

/* ---- duties ---- */

static const struct link_model *model_of(const struct link_state *state, uint64_t id)
{
    for (uint32_t i = 0; i < state->models; i++)
        if (state->model[i].id == id)
            return &state->model[i];
    return NULL;
}

static void lead(struct adversary_oracle *o, const struct duty *duty)
{
    const struct link_model *model = model_of(&o->state.state, duty->round->model);
    struct asking asking = {.duty = duty->kind, .id = duty->id};
    struct command cmd = {.type = COMMAND_ROUND_CREATE, .round_create.round = duty->id};
    struct challenge c;
    if (duty->kind == DUTY_CREATE_ROUND || !model) {
        submit(o, &cmd, asking);
        return;
    }
    struct challenge_terms terms = {.key = o->options.key,
                                    .network = o->wire.network,
                                    .round = duty->id,
                                    .model = model->name,
                                    .context = model->context};
    if (does(o, ORACLE_CHEAT_OTHER_CHALLENGE) && duty->kind == DUTY_START_ROUND)
        terms.round++;  // not the one that it has committed to
    if (challenge_make(&terms, &c))
        return;
    cmd = (struct command){.type = COMMAND_ROUND_PREPARE,
                           .round_prepare = {.round = duty->id,
                                             .challenge_hash = c.commitment,
                                             .prompt_size = c.prompt_size,
                                             .tokens_max = c.tokens_max}};
    if (duty->kind == DUTY_START_ROUND) {
        struct link_frame put = {.type = LINK_PUT,
                                 .put.data = {(const uint8_t *)c.request.data, (uint32_t)c.request.size}};
        put.put.ref = ask(o, (struct asking){.duty = duty->kind});
        adversary_wire_send(&o->wire, &put);
        cmd = (struct command){
            .type = COMMAND_ROUND_START,
            .round_start = {
                .round = duty->id, .salt = c.salt, .challenge_digest = c.digest, .request_digest = c.request_digest}};
    }
    submit(o, &cmd, asking);
    challenge_done(&c);
}

static enum layer_result contrary(enum layer_result result)
{
    if (result == LAYER_NOT_MEASURED)
        return result;
    return result == LAYER_HELD ? LAYER_BROKEN : LAYER_HELD;
}

static void judge(struct adversary_oracle *o, const struct duty *duty)
{
    struct asking asking = {.duty = duty->kind, .id = duty->id, .lease = duty->lease};
    struct command cmd = {.type = COMMAND_ROUND_VERDICT,
                          .round_verdict = {.lease = duty->lease,
                                            .right = (uint8_t)duty->right,
                                            .fast = (uint8_t)duty->fast,
                                            .evidence = duty->evidence}};
    if (duty->kind == DUTY_GIVE_FINDING)
        cmd = (struct command){
            .type = COMMAND_AUDIT_VERDICT,
            .audit_verdict = {.audit = duty->id, .finding = (uint8_t)duty->finding, .evidence = duty->evidence}};
    if (does(o, ORACLE_CHEAT_LIE)) {
        o->stats.lies++;
        if (duty->kind == DUTY_GIVE_VERDICT)
            cmd.round_verdict.right = (uint8_t)contrary(duty->right);
        else
            cmd.audit_verdict.finding = duty->finding == FINDING_FLAG ? FINDING_PASS : FINDING_FLAG;
    }
    submit(o, &cmd, asking);
    if (does(o, ORACLE_CHEAT_TWICE))
        submit(o, &cmd, asking);
}

static void carry_out(void *ctx, const struct duty *duty)
{
    struct adversary_oracle *o = ctx;
    switch (duty->kind) {
    case DUTY_CREATE_ROUND:
    case DUTY_PREPARE_ROUND:
    case DUTY_START_ROUND:
        if (!does(o, ORACLE_CHEAT_ABSENT))
            lead(o, duty);
        break;
    case DUTY_ANSWER_CHALLENGE: get(o, duty, &duty->round->challenge); break;
    case DUTY_ANSWER_AUDIT: get(o, duty, &duty->audit->prompt); break;
    case DUTY_GIVE_VERDICT:
    case DUTY_GIVE_FINDING: judge(o, duty); break;
    case DUTY_ASK_AUDIT: {
        const struct command cmd = {.type = COMMAND_AUDIT_ASK, .audit_ask.audit = duty->id};
        submit(o, &cmd, (struct asking){.duty = duty->kind, .id = duty->id});
        break;
    }
    }
}

/* What is another's to do: rounds that another leads, audits that another was drawn for. */
static void usurp(struct adversary_oracle *o)
{
    const struct link_state *s = &o->state.state;
    for (uint32_t i = 0; i < s->audits; i++)
        if (s->audit[i].state == AUDIT_DRAWN && !s->audit[i].drawn && s->audit[i].id != o->usurped) {
            const struct command cmd = {.type = COMMAND_AUDIT_ASK, .audit_ask.audit = s->audit[i].id};
            o->usurped = s->audit[i].id;
            submit(o, &cmd, (struct asking){0});
        }
    for (uint32_t i = 0; i < s->rounds && !address_eq(&s->leader, key_address(o->options.key)); i++)
        if (s->round[i].id != o->usurped) {
            const struct command cmd = {.type = COMMAND_ROUND_ABORT,
                                        .round_abort = {.round = s->round[i].id, .reason = ABORT_NO_ENGINE}};
            o->usurped = s->round[i].id;
            submit(o, &cmd, (struct asking){0});
        }
}

static void act(void *ctx)
{
    struct adversary_oracle *o = ctx;
    if (!o->up || !o->has_state)
        return;
    const struct link_state *state = &o->state.state;
    if (!o->chain_begun) {
        o->chain_begun = true;
        oracle_chain_init(&o->chain, o->options.key, o->wire.network);
    }
    bool found = oracle_chain_is_near(&o->chain, &state->chain) || oracle_chain_find(&o->chain, &state->chain);
    if (found && !net_timer_is_on(&o->heartbeat))
        beat(o);
    if (does(o, ORACLE_CHEAT_USURP))
        usurp(o);
    if (state->live)
        duty_each(o->book, state, carry_out, o);
}

static void act_soon(struct adversary_oracle *o) { net_timer_soon(o->options.loop, &o->again, act, o); }

/* ---- its own engine ---- */

static void work_free(struct oracle_work *work)
{
    struct oracle_work **at = &work->oracle->work;
    while (*at != work)
        at = &(*at)->next;
    *at = work->next;
    free(work);
}

static void on_chunk(void *ctx, const char *text, size_t size, uint32_t token_count)
{
    cx_maybe(ctx && text && size && token_count);  // the result has it all
}

static void on_done(void *ctx, const struct runtime_result *result)
{
    struct oracle_work *work = ctx;
    struct duty_answer answer = {.measured = result->finish != RUNTIME_FINISH_ERROR};
    sha256(result->text, result->text_size, &answer.text);
    keccak256(result->text, result->text_size, &answer.evidence);
    duty_answered(work->oracle->book, work->duty, work->id, &answer);
    act_soon(work->oracle);
    work_free(work);
}

static void cannot_answer(struct adversary_oracle *o, enum duty_kind duty, uint64_t id)
{
    duty_answered(o->book, duty, id, &(struct duty_answer){.measured = false});
    act_soon(o);
}

static bool find_record(const struct adversary_oracle *o, uint64_t audit, struct record *ret_record)
{
    const struct link_state *s = &o->state.state;
    for (uint32_t i = 0; i < s->audits; i++)
        if (s->audit[i].id == audit)
            return record_decode((struct span){s->audit[i].record, s->audit[i].record_size}, ret_record);
    return false;
}

static void on_payload(struct adversary_oracle *o, const struct link_payload *f)
{
    static const struct runtime_sink sink = {on_chunk, on_done};
    const struct asking *asking = &o->asking[f->ref % ORACLE_REFS];
    struct record record = {0};
    if (asking->ref != f->ref)
        return;
    bool can = !f->error && (asking->duty != DUTY_ANSWER_AUDIT || find_record(o, asking->id, &record));
    if (!can) {
        cannot_answer(o, asking->duty, asking->id);
        return;
    }
    struct oracle_work *work = calloc(1, sizeof *work);
    cx_assert(work);
    *work = (struct oracle_work){.oracle = o, .next = o->work, .duty = asking->duty, .id = asking->id};
    o->work = work;
    const struct engine_terms terms = {.seed = record.seed, .seed_of_client = record.seed_of_client};
    if (engine_start(o->runtime, f->data, &terms, &sink, work, &work->job)) {
        cannot_answer(o, work->duty, work->id);
        work_free(work);
    }
}

/* ---- the link ---- */

static void on_result(struct adversary_oracle *o, const struct link_result *f)
{
    const struct asking asking = o->asking[f->ref % ORACLE_REFS];
    if (asking.ref != f->ref)
        return;
    if (f->error || f->verdict != VERDICT_ACCEPTED) {
        o->stats.refused[f->error ? VERDICT_ACCEPTED : f->verdict]++;
        if (f->verdict == VERDICT_NOT_LEADER && asking.id != 0)
            duty_failed(o->book, asking.duty, asking.id, asking.lease);
        return;
    }
    o->stats.heartbeats += asking.heartbeat;
    o->stats.rounds += !asking.heartbeat && asking.duty == DUTY_START_ROUND && asking.id != 0;
    o->stats.verdicts += asking.duty == DUTY_GIVE_VERDICT;
    o->stats.audits += asking.duty == DUTY_GIVE_FINDING;
}

static void on_hello(void *ctx, const struct link_challenge *challenge, struct link_hello *hello)
{
    cx_maybe(ctx && challenge && hello);  // an oracle's has nothing to spoil that a miner's has not
}

static void on_frame(void *ctx, struct link_frame *f)
{
    struct adversary_oracle *o = ctx;
    if (f->type == LINK_WELCOME) {
        o->up = true;
    } else if (f->type == LINK_STATE) {
        if (o->has_state)
            link_frame_done(&o->state);
        o->state = *f;
        memset(f, 0, sizeof *f);
        o->has_state = true;
        act(o);
    } else if (f->type == LINK_RESULT) {
        on_result(o, &f->result);
    } else if (f->type == LINK_PAYLOAD) {
        on_payload(o, &f->payload);
    }
}

static void on_down(void *ctx)
{
    struct adversary_oracle *o = ctx;
    o->up = false;
    net_timer_stop(&o->heartbeat);
    duty_reset(o->book);
}

enum cx_err adversary_oracle_open(const struct adversary_oracle_options *options, struct adversary_oracle **ret_oracle)
{
    static const struct adversary_wire_events events = {on_hello, on_frame, on_down};
    cx_auto(adversary_oracle) o = calloc(1, sizeof *o);
    cx_assert(o);
    o->options = *options;
    enum cx_err err = duty_book_open(key_address(options->key), ORACLE_DUTIES, &o->book);
    if (!err)
        err = runtime_open(options->loop, options->engine, options->model, &(struct runtime_options){.slots = 4},
                           &o->runtime);
    if (err)
        return err;
    o->wire = (struct adversary_wire){
        .loop = options->loop, .protocol = LINK_PROTOCOL_ORACLE, .key = options->key, .events = &events, .ctx = o};
    err = adversary_wire_open(&o->wire, options->router, LINK_PATH_ORACLE);
    if (err)
        return err;
    *ret_oracle = cx_take(&o);
    return CX_OK;
}

void adversary_oracle_close(struct adversary_oracle *o)
{
    if (!o)
        return;
    net_timer_stop(&o->heartbeat);
    net_timer_stop(&o->again);
    adversary_wire_close(&o->wire);
    if (o->has_state)
        link_frame_done(&o->state);
    runtime_close(o->runtime);
    while (o->work)
        work_free(o->work);
    duty_book_close(o->book);
    free(o);
}

const struct adversary_oracle_stats *adversary_oracle_stats(const struct adversary_oracle *o) { return &o->stats; }

void adversary_oracle_turn(struct adversary_oracle *o, uint32_t cheats) { o->options.cheats = cheats; }
