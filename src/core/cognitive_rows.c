/* cognitive_rows.c - canonical bytes of oracles and rounds, and whether they contradict themselves. */
#include "core/cognitive_parts.h"

#include "base/assert.h"

static void row_oracle(const struct cognitive *cognitive, struct rows *rows, struct oracle *o)
{
    row_bytes(rows, o->address.b, sizeof o->address.b);
    row_bytes(rows, o->operator.b, sizeof o->operator.b);
    row_bytes(rows, o->chain.b, sizeof o->chain.b);
    row_u64(rows, &o->heard_ms);
    row_u32(rows, &o->duties);
    row_enum(rows, &o->state, ORACLE_STATE_COUNT);
    if (!rows_reading(rows))
        return;
    o->account = account_find(cognitive->account, &o->operator);
    if (o->account == SLOT_NONE)
        rows->ok = false;
}

static void row_place(const struct cognitive *cognitive, struct rows *rows, struct round_place *p)
{
    row_slot(rows, &p->node, node_pool_cap(cognitive->node_pool));
    row_u64(rows, &p->lease);
    row_bytes(rows, p->precommit.b, sizeof p->precommit.b);
    row_bytes(rows, p->payload_digest.b, sizeof p->payload_digest.b);
    row_u64(rows, &p->seed);
    row_u32(rows, &p->ttft_ms);
    row_u32(rows, &p->duration_ms);
    row_u32(rows, &p->tokens_out);
    row_u32(rows, &p->context);
    row_u32(rows, &p->judged_by);
    row_u8(rows, &p->right_held);
    row_u8(rows, &p->right_broken);
    row_u8(rows, &p->fast_held);
    row_u8(rows, &p->fast_broken);
    row_u8(rows, &p->judged);
    row_enum(rows, &p->alive, LAYER_RESULT_COUNT);
    row_enum(rows, &p->bound, LAYER_RESULT_COUNT);
    row_bool(rows, &p->acked);
    row_bool(rows, &p->precommitted);
    row_bool(rows, &p->committed);
}

static void row_round(const struct cognitive *cognitive, struct rows *rows, struct round *r)
{
    row_enum(rows, &r->state, ROUND_STATE_COUNT);
    row_slot(rows, &r->model, (uint32_t)cognitive->step->params.models_cap);
    row_slot(rows, &r->leader, ORACLES_MAX);
    row_bytes(rows, r->challenge_hash.b, sizeof r->challenge_hash.b);
    row_bytes(rows, r->challenge_digest.b, sizeof r->challenge_digest.b);
    row_bytes(rows, r->request_digest.b, sizeof r->request_digest.b);
    row_u32(rows, &r->prompt_size);
    row_u32(rows, &r->tokens_max);
    row_u64(rows, &r->deadline_ms);
    row_u64(rows, &r->started_ms);
    row_enum(rows, &r->places, ROUND_NODES_MAX + 1);
    for (uint32_t i = 0; i < r->places; i++)
        row_place(cognitive, rows, &r->place[i]);
}

void cognitive_rows(struct cognitive *cognitive, struct rows *rows)
{
    rows_module(rows, "cognitive");
    rows_table(rows, &cognitive->oracle_count, ORACLES_MAX);
    for (uint32_t i = 0; i < cognitive->oracle_count; i++)
        row_oracle(cognitive, rows, &cognitive->oracle[i]);
    if (rows_reading(rows))
        cognitive->live = cognitive_count_live(cognitive);
    row_u32(rows, &cognitive->quorum);
    row_slot(rows, &cognitive->leader, ORACLES_MAX);
    row_slot(rows, &cognitive->last_revealer, ORACLES_MAX);
    row_bytes(rows, cognitive->beacon.b, sizeof cognitive->beacon.b);
    row_u64(rows, &cognitive->beacons);
    rows_table_end(rows);

    uint32_t live = cognitive->slots.live;
    rows_table(rows, &live, cognitive->slots.cap);
    row_slots(rows, &cognitive->slots);
    for (uint32_t i = 0; i < cognitive->slots.used; i++) {
        if (!slots_is_live(&cognitive->slots, i))
            continue;
        struct round *r = &cognitive->round[i];
        row_round(cognitive, rows, r);
        if (rows_reading(rows))
            heap_set(&cognitive->due, i, r->deadline_ms);
    }
    rows_table_end(rows);
    rows_module_end(rows);
}

static void check_place(const struct cognitive *cognitive, const struct round *r, const struct round_place *p)
{
    const struct node *n = node_pool_node(cognitive->node_pool, p->node);
    cx_assert(n->in_round);
    cx_assert((p->lease != 0) == (r->state >= ROUND_STARTED));
    cx_assert(p->judged == __builtin_popcount(p->judged_by));
    cx_assert(p->right_held + p->right_broken <= p->judged);
    cx_assert(p->fast_held + p->fast_broken <= p->judged);
    if (p->precommitted)
        cx_assert(p->acked && p->alive == LAYER_HELD);
    if (p->committed)
        cx_assert(p->precommitted && p->bound != LAYER_NOT_MEASURED);
    if (p->judged)
        cx_assert(p->bound == LAYER_HELD);
    if (p->lease)
        cx_assert(round_lease_node(cognitive, p->lease) == p->node);
}

void cognitive_check(const struct cognitive *cognitive)
{
    uint32_t places = 0;
    slots_check(&cognitive->slots);
    heap_check(&cognitive->due);
    cx_assert(cognitive->oracle_count <= ORACLES_MAX);
    cognitive_check_calm(cognitive);
    for (uint32_t i = 0; i < cognitive->oracle_count; i++)
        cx_assert(cognitive->oracle[i].account == account_find(cognitive->account, &cognitive->oracle[i].operator));
    cx_assert(cognitive->due.count == cognitive->slots.live);
    for (uint32_t i = 0; i < cognitive->slots.used; i++) {
        if (!slots_is_live(&cognitive->slots, i))
            continue;
        const struct round *r = &cognitive->round[i];
        cx_assert(r->state < ROUND_ENDED);
        cx_assert(r->places >= 1 && r->places <= ROUND_NODES_MAX);
        cx_assert(heap_key(&cognitive->due, i) == r->deadline_ms);
        for (uint32_t k = 0; k < r->places; k++) {
            if (r->place[k].node == SLOT_NONE)
                continue;
            check_place(cognitive, r, &r->place[k]);
            places++;
        }
    }
    cx_assert(places == node_pool_count_in_rounds(cognitive->node_pool));
}
