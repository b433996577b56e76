/* What oracles hear and say: the state that they may act on, their entries, and the payloads that these need. */
#include "router/hub_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/sha256.h"

bool hub_concerns_oracles(const struct event *event)
{
    return event->type == EVENT_ORACLE_CHANGED || event->type == EVENT_LEADER_CHANGED || event->type == EVENT_BEACON ||
           event->type == EVENT_PARAM_CHANGED || event->type == EVENT_MODEL_CHANGED ||
           event->type == EVENT_ROUND_MOVED || event->type == EVENT_ROUND_ANSWER || event->type == EVENT_ROUND_RESULT ||
           event->type == EVENT_AUDIT_MOVED;
}

/* ---- state ---- */

/* One oracle, as the views number it. */
struct who {
    struct oracle_view view;
    uint32_t bit;
};

static bool find_oracle(const struct hub_link *link, struct who *ret_who)
{
    const struct core *core = replica_core(link->hub->options.replica);
    uint32_t place = 0;
    for (uint32_t at = 0; view_oracle_at(core, &at, &ret_who->view); place++)
        if (address_eq(&ret_who->view.address, &link->node)) {
            ret_who->bit = 1u << place;
            return true;
        }
    return false;
}

static bool is_own(const struct core *core, const struct who *who, const struct address *node)
{
    struct node_view view;
    return view_node(core, node, &view) && address_eq(&view.operator, & who->view.operator);
}

static void fill_place(const struct core *core, const struct who *who, const struct round_place_view *p,
                       struct link_place *ret)
{
    *ret = (struct link_place){.lease = p->lease,
                               .seed = p->seed,
                               .node = p->node,
                               .payload = p->payload_digest,
                               .acked = p->acked,
                               .precommitted = p->precommitted,
                               .committed = p->committed,
                               .bound = p->bound == LAYER_HELD,
                               .judged = (p->judged_by & who->bit) != 0,
                               .own = !address_is_zero(&p->node) && is_own(core, who, &p->node),
                               .ttft_ms = p->ttft_ms,
                               .duration_ms = p->duration_ms,
                               .tokens_out = p->tokens_out};
}

/* Before the start a round is its leader's; from then on everybody's who has not judged all that there is. */
static bool round_is_due(const struct who *who, const struct link_round *round)
{
    if (round->state < ROUND_STARTED)
        return who->view.leads;
    for (uint32_t i = 0; i < round->places; i++)
        if (!address_is_zero(&round->place[i].node) && !round->place[i].judged && !round->place[i].own)
            return true;
    return false;
}

static uint32_t fill_rounds(const struct hub *hub, const struct who *who, struct link_round *round)
{
    const struct core *core = replica_core(hub->options.replica);
    struct round_view view;
    uint32_t count = 0;
    for (uint32_t at = 0; count < LINK_STATE_ROUNDS_MAX && view_round_at(core, &at, &view);) {
        struct link_round *r = &round[count];
        *r = (struct link_round){.id = view.id,
                                 .model = view.model,
                                 .deadline_ms = view.deadline_ms,
                                 .state = view.state,
                                 .leader = view.leader,
                                 .challenge_hash = view.challenge_hash,
                                 .challenge = view.challenge_digest,
                                 .request_digest = view.request_digest,
                                 .tokens_max = view.tokens_max,
                                 .places = view.places};
        for (uint32_t i = 0; i < view.places; i++)
            fill_place(core, who, &view.place[i], &r->place[i]);
        count += round_is_due(who, r);
    }
    return count;
}

static enum cx_err find_audited(struct hub *hub, const struct audit_view *audit, struct audited_answer *ret_answer)
{
    struct hub_audited *kept = &hub->audited[(uint32_t)audit->id % HUB_AUDITED];
    if (kept->audit != audit->id || kept->lease != audit->lease) {
        enum cx_err err = history_audited(hub->options.history, audit->id, audit->lease, &kept->answer);
        if (err) {
            kept->audit = 0;
            return err;
        }
        kept->audit = audit->id;
        kept->lease = audit->lease;
    }
    *ret_answer = kept->answer;
    return CX_OK;
}

static bool audit_is_open(const struct audit_view *view, bool drawn)
{
    return (view->state == AUDIT_DRAWN && drawn) || (view->state == AUDIT_ASKED && !(drawn && view->judged_by_drawn));
}

static uint32_t fill_audits(struct hub *hub, const struct who *who, struct link_audit *audit)
{
    const struct core *core = replica_core(hub->options.replica);
    struct audit_view view;
    uint32_t count = 0;
    for (uint32_t at = 0; hub->options.history && count < LINK_STATE_AUDITS_MAX && view_audit_at(core, &at, &view);) {
        bool drawn = address_eq(&view.oracle, &who->view.address);
        struct audited_answer answer;
        if (!audit_is_open(&view, drawn) || is_own(core, who, &view.node))
            continue;
        struct link_audit *a = &audit[count++];
        *a = (struct link_audit){.id = view.id,
                                 .task = view.task,
                                 .lease = view.lease,
                                 .deadline_ms = view.deadline_ms,
                                 .state = view.state,
                                 .drawn = drawn};
        if (find_audited(hub, &view, &answer))
            continue;
        a->prompt = answer.prompt_digest;
        a->answer = answer.payload_digest;
        a->record_size = answer.record_size;
        memcpy(a->record, answer.record, answer.record_size);
    }
    return count;
}

void hub_send_state(struct hub_link *link)
{
    struct hub *hub = link->hub;
    const struct core *core = replica_core(hub->options.replica);
    struct who who;
    if (!find_oracle(link, &who) || who.view.state == ORACLE_REMOVED) {
        hub_refuse(link, "ORACLE_UNKNOWN", "this oracle was removed from the network's set");
        return;
    }
    struct network_view network;
    struct account_view account;
    struct link_round *round = malloc(LINK_STATE_ROUNDS_MAX * sizeof *round);
    struct link_audit *audit = malloc(LINK_STATE_AUDITS_MAX * sizeof *audit);
    cx_assert(round);
    cx_assert(audit);
    struct model_view view[LINK_MODELS_MAX];
    struct link_model model[LINK_MODELS_MAX];
    view_network(core, &network);
    const struct link_frame frame = {
        .type = LINK_STATE,
        .state = {.seq = network.seq,
                  .now_ms = network.now_ms,
                  .nonce_next = view_account(core, &link->node, &account) ? account.nonce_next : 1,
                  .leader = network.leader,
                  .chain = who.view.chain,
                  .live = who.view.state == ORACLE_LIVE,
                  .duties = who.view.duties,
                  .heartbeat_ms = view_params(core)->heartbeat_ms,
                  .ttft_ms_max = view_params(core)->ttft_ms_max,
                  .tokens_per_s_milli_min = view_params(core)->tokens_per_s_milli_min,
                  .model = model,
                  .models = hub_models(hub, model, view),
                  .round = round,
                  .rounds = fill_rounds(hub, &who, round),
                  .audit = audit,
                  .audits = fill_audits(hub, &who, audit)}};
    hub_send(link, &frame);
    free(round);
    free(audit);
}

/* ---- payloads ---- */

void hub_drop_puts(struct hub_link *link)
{
    for (uint32_t i = 0; i < HUB_PUTS_MAX; i++)
        buf_done(&link->put[i].data);
}

bool hub_put_of(struct hub_link *link, const struct hash *digest, struct ledger_blob *ret_blob)
{
    for (uint32_t i = 0; i < HUB_PUTS_MAX; i++)
        if (link->put[i].data.size > 0 && hash_eq(&link->put[i].digest, digest)) {
            *ret_blob = (struct ledger_blob){
                .sha256 = *digest,
                .data = {(const uint8_t *)link->put[i].data.data, (uint32_t)link->put[i].data.size},
                .keep_until_ms = net_wall_ms() + link->hub->options.keep_ms};
            return true;
        }
    return false;
}

/* The oldest makes room: an oracle names what it has put at once. */
static void on_put(struct hub_link *link, const struct link_put *f)
{
    if (!hub_count_submit(link))
        return;
    struct hub_put *put = &link->put[link->puts++ % HUB_PUTS_MAX];
    buf_reset(&put->data);
    buf_add(&put->data, f->data.data, f->data.size);
    sha256(f->data.data, f->data.size, &put->digest);
    hub_send(link, &(struct link_frame){.type = LINK_RESULT, .result = {.ref = f->ref, .verdict = VERDICT_ACCEPTED}});
}

static bool is_of_a_round(const struct core *core, const struct hash *digest)
{
    struct round_view round;
    for (uint32_t at = 0; view_round_at(core, &at, &round);) {
        if (round.state < ROUND_STARTED)
            continue;
        if (hash_eq(&round.challenge_digest, digest))
            return true;
        for (uint32_t i = 0; i < round.places; i++)
            if (hash_eq(&round.place[i].payload_digest, digest))
                return true;
    }
    return false;
}

static bool is_of_an_audit(struct hub *hub, const struct hash *digest)
{
    const struct core *core = replica_core(hub->options.replica);
    struct audit_view audit;
    struct audited_answer answer;
    for (uint32_t at = 0; hub->options.history && view_audit_at(core, &at, &audit);)
        if ((audit.state == AUDIT_DRAWN || audit.state == AUDIT_ASKED) && find_audited(hub, &audit, &answer) == CX_OK &&
            (hash_eq(&answer.prompt_digest, digest) || hash_eq(&answer.payload_digest, digest)))
            return true;
    return false;
}

static void on_get(struct hub_link *link, const struct link_get *f)
{
    struct hub *hub = link->hub;
    struct buf data = {0};
    struct link_frame frame = {.type = LINK_PAYLOAD, .payload = {.ref = f->ref, .digest = f->digest}};
    if (!hub_count_submit(link))
        return;
    bool may = is_of_a_round(replica_core(hub->options.replica), &f->digest) || is_of_an_audit(hub, &f->digest);
    if (!may)
        frame.payload.error = "no round or audit of now names this payload";
    else if (payload_get(hub->options.payloads, &f->digest, &data))
        frame.payload.error = "this router does not have it";
    else
        frame.payload.data = (struct span){(const uint8_t *)data.data, (uint32_t)data.size};
    hub_send(link, &frame);
    buf_done(&data);
}

void hub_on_oracle_frame(struct hub_link *link, const struct link_frame *f)
{
    if (f->type == LINK_SUBMIT)
        hub_on_submit(link, &f->submit);
    else if (f->type == LINK_PUT)
        on_put(link, &f->put);
    else if (f->type == LINK_GET)
        on_get(link, &f->get);
    else
        hub_refuse(link, "FRAME", "%s is no frame of an oracle", link_type_name(f->type));
}
