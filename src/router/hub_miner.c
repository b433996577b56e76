/* What miners say: about leases of tasks, which tasks.h takes, and about their places in rounds, which end here. */
#include "router/hub_parts.h"

#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/utf8.h"
#include "core/record.h"
#include "crypto/keccak.h"
#include "crypto/sha256.h"

static bool is_of_round(uint64_t lease)
{
    return lease % 2 == 0;  // docs/protocol.md, "Identifiers"
}

/* ---- rounds ---- */

static bool load_challenge(struct hub *hub, const struct hash *digest)
{
    if (hub->challenge.data.size > 0 && hash_eq(&hub->challenge.digest, digest))
        return true;
    buf_reset(&hub->challenge.data);
    if (payload_get(hub->options.payloads, digest, &hub->challenge.data)) {
        buf_reset(&hub->challenge.data);
        return false;
    }
    hub->challenge.digest = *digest;
    return true;
}

/* The node's place in a round that has started and that it has not answered; false: there is none. */
static bool find_place(const struct hub_link *link, struct round_view *ret_round, struct round_place_view *ret_place)
{
    const struct core *core = replica_core(link->hub->options.replica);
    for (uint32_t at = 0; view_round_at(core, &at, ret_round);) {
        if (ret_round->state != ROUND_STARTED && ret_round->state != ROUND_PRECOMMITTED)
            continue;
        for (uint32_t i = 0; i < ret_round->places; i++)
            if (address_eq(&ret_round->place[i].node, &link->node) && !ret_round->place[i].committed) {
                *ret_place = ret_round->place[i];
                return true;
            }
    }
    return false;
}

static void enter_round(struct hub_link *link, uint64_t round, uint64_t lease)
{
    if (link->round.lease == lease)
        return;
    link->round = (struct hub_round){.round = round, .lease = lease, .offered_ms = net_now_ms(link->hub->options.loop)};
    chain_start(replica_network(link->hub->options.replica), round, lease, &link->round.head);
}

static void offer_round(struct hub_link *link, const struct round_view *round, const struct round_place_view *place)
{
    struct hub *hub = link->hub;
    const struct params *params = view_params(replica_core(hub->options.replica));
    enter_round(link, round->id, place->lease);
    struct task_offer offer = {.task = round->id,
                               .lease = place->lease,
                               .seed = place->seed,
                               .round = true,
                               .stream = true,
                               .reveal = round->state == ROUND_PRECOMMITTED && place->precommitted,
                               .state = place->precommitted ? ASSIGNMENT_PRECOMMITTED
                                        : place->acked      ? ASSIGNMENT_ACKED
                                                            : ASSIGNMENT_OFFERED,
                               .chunks = link->round.chunks,
                               .tokens_max = round->tokens_max,
                               .ack_ms = (uint32_t)params->round_ack_ms,
                               .precommit_ms = (uint32_t)params->round_precommit_ms};
    if (load_challenge(hub, &round->challenge_digest)) {
        offer.request = hub->challenge.data.data;
        offer.request_size = hub->challenge.data.size;
    }
    hub_offer(hub, &link->node, &offer);
}

static void on_round_offered(struct hub *hub, const struct evt_round_offered *e)
{
    struct hub_link *link = hub_find(hub, &e->node);
    struct round_view round;
    struct round_place_view place;
    if (link && link->state == HUB_OPEN && find_place(link, &round, &place) && place.lease == e->lease)
        offer_round(link, &round, &place);
}

static void reveal_round(struct hub *hub, uint64_t round)
{
    for (struct hub_link *link = hub->link; link; link = link->next)
        if (link->round.round == round && link->round.lease != 0)
            hub_reveal(hub, &link->node, link->round.lease);
}

static void end_round(struct hub *hub, uint64_t round)
{
    for (struct hub_link *link = hub->link; link; link = link->next) {
        if (link->round.round != round || link->round.lease == 0)
            continue;
        hub_recall(hub, &link->node, link->round.lease, CAUSE_NONE);
        link->round = (struct hub_round){0};
    }
}

void hub_on_round_event(struct hub *hub, const struct event *event)
{
    if (event->type == EVENT_ROUND_OFFERED)
        on_round_offered(hub, &event->round_offered);
    else if (event->type == EVENT_ROUND_ALL_PRECOMMITTED)
        reveal_round(hub, event->round_all_precommitted.round);
    else if (event->type == EVENT_ROUND_MOVED &&
             (event->round_moved.to == ROUND_ENDED || event->round_moved.to == ROUND_ABORTED))
        end_round(hub, event->round_moved.round);
}

/* ---- what is owed ---- */

struct gathering {
    uint64_t *lease;
    uint32_t count, max;
};

static void gather(void *ctx, const struct task_offer *offer)
{
    struct gathering *g = ctx;
    if (g->count < g->max)
        g->lease[g->count++] = offer->lease;
}

uint32_t hub_leases(struct hub_link *link, uint64_t *lease, uint32_t max)
{
    struct gathering g = {lease, 0, max};
    struct round_view round;
    struct round_place_view place;
    tasks_each_offer(link->hub->options.tasks, &link->node, gather, &g);
    if (g.count < max && find_place(link, &round, &place))
        lease[g.count++] = place.lease;
    return g.count;
}

static void offer_task(void *ctx, const struct task_offer *offer)
{
    struct hub_link *link = ctx;
    hub_offer(link->hub, &link->node, offer);
}

void hub_offer_all(struct hub_link *link)
{
    struct round_view round;
    struct round_place_view place;
    tasks_each_offer(link->hub->options.tasks, &link->node, offer_task, link);
    if (find_place(link, &round, &place))
        offer_round(link, &round, &place);
}

/* ---- leases of rounds ---- */

static void on_round_chunk(struct hub_link *link, const struct link_chunk *f)
{
    struct hub_round *r = &link->round;
    bool fits = f->n == r->chunks && f->text.size <= LINK_TEXT_SIZE_MAX - r->size;
    if (fits)
        chain_extend(&r->head, f->text.data, f->text.size);
    if (!fits || (f->has_head ? !hash_eq(&f->head, &r->head) : (f->n + 1) % LINK_CHUNKS_A_HEAD == 0)) {
        hub_refuse(link, "CHUNK", "chunk %llu of lease %llu breaks the chain", (unsigned long long)f->n,
                   (unsigned long long)f->lease);
        return;
    }
    if (r->first_ms == 0)
        r->first_ms = net_now_ms(link->hub->options.loop);
    r->chunks++;
    r->size += f->text.size;
}

static void on_round_precommit(struct hub_link *link, const struct link_precommit *f)
{
    const struct command cmd = {.type = COMMAND_ROUND_PRECOMMIT,
                                .round_precommit = {.lease = f->lease, .precommit = f->precommit},
                                .signer_count = 1};
    uint8_t bytes[ENTRY_SIZE_MAX];
    if (!f->has_signature) {
        hub_refuse(link, "SIGNATURE", "a precommit in a round is signed");
        return;
    }
    if (link->round.precommitted)
        return;
    link->round.precommitted = true;
    uint32_t size = command_encode(&cmd, &f->signature, bytes, sizeof bytes);
    cx_assert(size > 0);
    enum cx_err err = replica_submit(link->hub->options.replica, (struct span){bytes, size}, NULL, 0, NULL, NULL);
    cx_maybe(err);  // busy: the round's deadline decides
}

static void on_round_commit(struct hub_link *link, const struct link_commit *f)
{
    struct hub *hub = link->hub;
    struct hub_round *r = &link->round;
    struct record record;
    struct hash digest;
    keccak256(f->text.data, f->text.size, &digest);
    if (!record_decode(f->record, &record) || !hash_eq(&record.text_digest, &digest)) {
        hub_refuse(link, "COMMIT", "the record is none, or not that of the text");
        return;
    }
    if (r->committed)
        return;
    uint64_t now_ms = net_now_ms(hub->options.loop), first_ms = r->first_ms ? r->first_ms : now_ms;
    struct command cmd = {.type = COMMAND_ROUND_COMMIT,
                          .round_commit = {.lease = f->lease,
                                           .salt = f->salt,
                                           .payload_size = f->text.size,
                                           .ttft_ms = (uint32_t)(first_ms - r->offered_ms),
                                           .duration_ms = (uint32_t)(now_ms - r->offered_ms),
                                           .record = f->record}};
    sha256(f->text.data, f->text.size, &cmd.round_commit.payload_digest);
    const struct ledger_blob blob = {.sha256 = cmd.round_commit.payload_digest,
                                     .data = f->text,
                                     .keep_until_ms = net_wall_ms() + hub->options.keep_ms};
    r->committed = replica_command(hub->options.replica, &cmd, &blob, 1, NULL, NULL) == CX_OK;
}

static void on_round_ack(struct hub_link *link, const struct link_lease *f)
{
    if (link->round.acked)
        return;
    link->round.acked = true;
    hub_command(link->hub, &(struct command){.type = COMMAND_ROUND_ACK, .round_ack.lease = f->lease});
}

static void on_round_lease(struct hub_link *link, const struct link_frame *f)
{
    if (f->type == LINK_ACK)
        on_round_ack(link, &f->ack);
    else if (f->type == LINK_CHUNK)
        on_round_chunk(link, &f->chunk);
    else if (f->type == LINK_PRECOMMIT)
        on_round_precommit(link, &f->precommit);
    else if (f->type == LINK_COMMIT)
        on_round_commit(link, &f->commit);
    else if (f->type == LINK_DECLINE)
        log_warn("hub", "node declines its round lease=%llu detail=\"%s\"", (unsigned long long)f->decline.lease,
                 f->decline.detail);
    else if (f->type == LINK_FAULT)
        log_warn("hub", "node fails its round lease=%llu detail=\"%s\"", (unsigned long long)f->fault.lease,
                 f->fault.detail);
}

/* ---- leases of tasks ---- */

static void on_task_precommit(struct hub_link *link, const struct link_precommit *f, uint64_t session)
{
    struct session_view view;
    bool channel =
        view_session(replica_core(link->hub->options.replica), session, &view) && view.evidence == EVIDENCE_CHANNEL;
    if (!f->has_signature && !channel)
        hub_refuse(link, "SIGNATURE", "a precommit in this session is signed");
    else if (!f->has_signature && link_precommit_check(&link->mac_key, f))
        hub_refuse(link, "MAC", "%s", cx_detail());
    else
        tasks_on_precommit(link->hub->options.tasks, f->lease, &f->precommit, f->has_signature ? f->signature : NULL);
}

static void on_task_chunk(struct hub_link *link, const struct link_chunk *f)
{
    struct tasks *tasks = link->hub->options.tasks;
    if (tasks_on_chunk(tasks, f->lease, f->n, (const char *)f->text.data, f->text.size, f->tokens,
                       f->has_head ? &f->head : NULL))
        return;
    tasks_on_fault(tasks, f->lease, DECLINE_ENGINE);
    hub_refuse(link, "CHUNK", "chunk %llu of lease %llu breaks the chain or a limit", (unsigned long long)f->n,
               (unsigned long long)f->lease);
}

static void on_task_lease(struct hub_link *link, const struct link_frame *f, uint64_t session)
{
    struct tasks *tasks = link->hub->options.tasks;
    if (f->type == LINK_ACK) {
        tasks_on_ack(tasks, f->ack.lease);
    } else if (f->type == LINK_DECLINE) {
        tasks_on_decline(tasks, f->decline.lease, f->decline.reason);
    } else if (f->type == LINK_CHUNK) {
        on_task_chunk(link, &f->chunk);
    } else if (f->type == LINK_PRECOMMIT) {
        on_task_precommit(link, &f->precommit, session);
    } else if (f->type == LINK_COMMIT) {
        tasks_on_commit(tasks, f->commit.lease, &f->commit.salt, f->commit.record, (const char *)f->commit.text.data,
                        f->commit.text.size);
    } else if (f->type == LINK_FAULT) {
        log_warn("hub", "node faults lease=%llu detail=\"%s\"", (unsigned long long)f->fault.lease, f->fault.detail);
        tasks_on_fault(tasks, f->fault.lease, f->fault.reason);
    }
}

/* ---- every lease ---- */

/* Whose lease it is: this node's, nobody's any more, or another's. */
enum holder { HOLDER_THIS, HOLDER_NOBODY, HOLDER_OTHER };

static enum holder holder_of(const struct hub_link *link, uint64_t lease, uint64_t *ret_session)
{
    struct assignment_view view;
    *ret_session = 0;
    if (is_of_round(lease))
        return link->round.lease == lease ? HOLDER_THIS : HOLDER_NOBODY;
    if (!view_assignment(replica_core(link->hub->options.replica), lease, &view))
        return HOLDER_NOBODY;
    *ret_session = view.session;
    return address_eq(&view.node, &link->node) ? HOLDER_THIS : HOLDER_OTHER;
}

static void on_lease(struct hub_link *link, const struct link_frame *f, uint64_t lease)
{
    uint64_t session;
    if (link->state != HUB_OPEN) {
        hub_refuse(link, "NOT_ATTACHED", "this node is not attached: register it first");
        return;
    }
    switch (holder_of(link, lease, &session)) {
    case HOLDER_OTHER:
        hub_refuse(link, "LEASE_FOREIGN", "lease %llu is another node's", (unsigned long long)lease);
        break;
    case HOLDER_NOBODY:
        /* It crossed with its recall, or that was lost: said again where the miner may still be waiting. */
        if (f->type == LINK_PRECOMMIT || f->type == LINK_COMMIT)
            hub_recall(link->hub, &link->node, lease, CAUSE_LATE);
        break;
    case HOLDER_THIS:
        if (is_of_round(lease))
            on_round_lease(link, f);
        else
            on_task_lease(link, f, session);
        break;
    }
}

void hub_on_miner_frame(struct hub_link *link, const struct link_frame *f)
{
    if (f->type == LINK_SUBMIT)
        hub_on_submit(link, &f->submit);
    else if (f->type == LINK_STATS)
        link->stats = f->stats;
    else if (f->type == LINK_ACK)
        on_lease(link, f, f->ack.lease);
    else if (f->type == LINK_DECLINE)
        on_lease(link, f, f->decline.lease);
    else if (f->type == LINK_CHUNK)
        on_lease(link, f, f->chunk.lease);
    else if (f->type == LINK_PRECOMMIT)
        on_lease(link, f, f->precommit.lease);
    else if (f->type == LINK_COMMIT)
        on_lease(link, f, f->commit.lease);
    else if (f->type == LINK_FAULT)
        on_lease(link, f, f->fault.lease);
    else
        hub_refuse(link, "FRAME", "%s is no frame of a miner", link_type_name(f->type));
}
