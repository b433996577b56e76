/* The canonical bytes of the whole state: root, snapshot, and back. Source: docs/protocol.md, "Snapshots". */
#include "base/assert.h"
#include "base/mem.h"
#include "core/core_parts.h"

static const char magic[8] = "CORTENSN";
#define HEAD_SIZE (8 + 4 + 8 + 8 + 32)  // magic, rules, network, seq, running digest
#define ROOT_SIZE 32

static void pending_table(struct core *core, struct rows *rows)
{
    rows_table(rows, &core->pending_count, PENDING_CHANGES_MAX);
    for (uint32_t i = 0; i < core->pending_count; i++) {
        row_u16(rows, &core->pending[i].param);
        row_u64(rows, &core->pending[i].value);
        row_u64(rows, &core->pending[i].effective_seq);
    }
    rows_table_end(rows);
}

/* Capacities are those that the program was opened with, and not read over. */
static void param_table(struct core *core, struct rows *rows)
{
    uint32_t count = 0;
    for (const struct param_info *info = param_next(NULL); info; info = param_next(info))
        count++;
    rows_table(rows, &count, count);
    for (const struct param_info *info = param_next(NULL); info; info = param_next(info)) {
        uint16_t id = info->id;
        uint64_t value = param_get(&core->step.params, info), before = value;
        row_u16(rows, &id);
        row_u64(rows, &value);
        if (!rows_reading(rows))
            continue;
        if (id != info->id || (id < PARAM_CAPACITY_ID_END && value != before) ||
            param_set(&core->step.params, id, value) != VERDICT_ACCEPTED)
            rows->ok = false;
    }
    rows_table_end(rows);
}

static void frame_rows(struct core *core, struct rows *rows)
{
    rows_module(rows, "core");
    row_bytes(rows, &core->genesis, sizeof core->genesis);
    row_bytes(rows, &core->step.chain, sizeof core->step.chain);
    row_u64(rows, &core->step.seq);
    row_u64(rows, &core->step.now_ms);
    row_u64(rows, &core->step.ledger_ms);
    row_u64(rows, &core->step.network_id);
    row_u32(rows, &core->step.rules_version);
    row_bool(rows, &core->begun);
    param_table(core, rows);
    pending_table(core, rows);
    rows_module_end(rows);
}

static void all_rows(struct core *core, struct rows *rows)
{
    frame_rows(core, rows);
    account_rows(&core->account, rows);
    payment_rows(&core->payment, rows);
    catalog_rows(&core->catalog, rows);
    reputation_rows(&core->reputation, rows, &core->node_pool.slots);
    node_pool_rows(&core->node_pool, rows);
    session_rows(&core->session, rows);
    cognitive_rows(&core->cognitive, rows);
    validation_rows(&core->validation, rows);
    session_queue_rows(&core->session_queue, rows);
}

void core_root(struct core *core, struct hash *ret_root)
{
    struct rows rows;
    rows_init(&rows, ROWS_HASH);
    all_rows(core, &rows);
    cx_assert(rows.ok);
    rows_root(&rows, ret_root);
}

uint64_t core_snapshot_size(struct core *core)
{
    struct rows rows;
    rows_init(&rows, ROWS_COUNT);
    all_rows(core, &rows);
    return HEAD_SIZE + rows.size + ROOT_SIZE;
}

static void put_head(const struct core *core, struct bytes_writer *w)
{
    bytes_put(w, magic, sizeof magic);
    bytes_put_u32(w, core->step.rules_version);
    bytes_put_u64(w, core->step.network_id);
    bytes_put_u64(w, core->step.seq);
    bytes_put(w, core->step.chain.b, sizeof core->step.chain.b);
}

bool core_snapshot_write(struct core *core, uint8_t *ret_bytes, uint64_t size)
{
    struct rows rows;
    struct hash root;
    cx_assert(!core->trail.open);
    if (size > UINT32_MAX)
        return false;
    rows_init(&rows, ROWS_WRITE);
    bytes_writer_init(&rows.w, ret_bytes, (uint32_t)size);
    put_head(core, &rows.w);
    all_rows(core, &rows);
    rows_root(&rows, &root);
    bytes_put(&rows.w, root.b, sizeof root.b);
    return rows.ok && rows.w.ok && rows.w.size == size;
}

bool core_snapshot_read(struct core *core, struct span bytes)
{
    struct rows rows;
    struct hash root, written, genesis = core->genesis;
    uint8_t head[HEAD_SIZE], own[HEAD_SIZE];
    struct bytes_writer w;
    cx_assert(core->step.seq == 0);
    rows_init(&rows, ROWS_READ);
    bytes_reader_init(&rows.r, bytes.data, bytes.size);
    bytes_get(&rows.r, head, sizeof head);
    if (!rows.r.ok)
        return false;
    all_rows(core, &rows);
    rows_root(&rows, &root);
    bytes_get(&rows.r, written.b, sizeof written.b);
    bytes_writer_init(&w, own, sizeof own);
    put_head(core, &w);
    return rows.ok && rows.r.ok && rows.r.left == 0 && hash_eq(&root, &written) && hash_eq(&genesis, &core->genesis) &&
           memcmp(head, own, sizeof head) == 0 && core->step.rules_version == RULES_VERSION;
}
