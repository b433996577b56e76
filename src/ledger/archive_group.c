/* A group of archived tasks as bytes, and packed as one LZ4 block.
 *
 *      session 8 | task 8 | seq 8 | state 4 | payer 20 | reference 32 | submitted 8 | finished 8 | prompt 32 | answer
 * 32 nodes 4 | body 4 | line 4       how many, and how many bytes the nodes, 20 bytes each | the body | the time-line
 *
 * Tasks say the same sessions, nodes, times and hashes over and over, each in its head, its body and its time-line, and
 * so do those that ended together: what is left is little more than hashes and signatures.
 */
#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "ledger/archive_parts.h"

#define HEAD_SIZE (3 * 8 + 4 + sizeof(struct address) + 3 * sizeof(struct hash) + 2 * 8 + 3 * 4)

/* archive_task_put bounds each of the three that a task has of its own. */
#define TASK_SIZE_MAX  (HEAD_SIZE + 3 * ARCHIVE_BODY_SIZE_MAX)
#define PLAIN_SIZE_MAX (TASK_SIZE_MAX > ARCHIVE_GROUP_SIZE ? TASK_SIZE_MAX : ARCHIVE_GROUP_SIZE)

static_assert(PLAIN_SIZE_MAX <= LZ4_MAX_INPUT_SIZE, "LZ4 packs it at once");

void group_reset(struct group *g)
{
    g->place = 0;
    g->count = 0;
    buf_reset(&g->plain);
}

void group_done(struct group *g)
{
    buf_done(&g->plain);
    free(g->at);
}

/* ---- tasks ---- */

static size_t size_of(const struct archived_task *task)
{
    return HEAD_SIZE + task->node_count * sizeof *task->node + task->body.size + task->line.size;
}

bool group_has_room(const struct group *g, const struct archived_task *task)
{
    return g->count == 0 || g->plain.size + size_of(task) <= ARCHIVE_GROUP_SIZE;
}

/* The next task begins here. */
static void add_at(struct group *g, size_t at)
{
    if (g->count == g->cap) {
        g->cap = g->cap ? 2 * g->cap : 64;
        g->at = realloc(g->at, g->cap * sizeof *g->at);
        cx_assert(g->at);
    }
    g->at[g->count++] = (uint32_t)at;
}

void group_add(struct group *g, const struct archived_task *task)
{
    cx_assert(group_has_room(g, task));
    cx_assert(size_of(task) <= TASK_SIZE_MAX);
    struct bytes_writer w;
    struct buf *plain = &g->plain;
    add_at(g, plain->size);
    buf_reserve(plain, size_of(task));
    bytes_writer_init(&w, plain->data + plain->size, (uint32_t)size_of(task));
    bytes_put_u64(&w, task->session);
    bytes_put_u64(&w, task->task);
    bytes_put_u64(&w, task->seq);
    bytes_put_u32(&w, task->state);
    bytes_put(&w, task->payer.b, sizeof task->payer.b);
    bytes_put(&w, task->reference.b, sizeof task->reference.b);
    bytes_put_u64(&w, task->submitted_ms);
    bytes_put_u64(&w, task->finished_ms);
    bytes_put(&w, task->prompt.b, sizeof task->prompt.b);
    bytes_put(&w, task->answer.b, sizeof task->answer.b);
    bytes_put_u32(&w, task->node_count);
    bytes_put_u32(&w, task->body.size);
    bytes_put_u32(&w, task->line.size);
    bytes_put(&w, task->node, task->node_count * (uint32_t)sizeof *task->node);
    bytes_put(&w, task->body.data, task->body.size);
    bytes_put(&w, task->line.data, task->line.size);
    cx_assert(w.ok && w.size == w.cap);
    plain->size += w.size;
}

/* False: there is less of it than it says. */
static bool get(struct bytes_reader *r, struct archived_task *ret_task)
{
    struct archived_task task = {0};
    task.session = bytes_get_u64(r);
    task.task = bytes_get_u64(r);
    task.seq = bytes_get_u64(r);
    task.state = bytes_get_u32(r);
    bytes_get(r, task.payer.b, sizeof task.payer.b);
    bytes_get(r, task.reference.b, sizeof task.reference.b);
    task.submitted_ms = bytes_get_u64(r);
    task.finished_ms = bytes_get_u64(r);
    bytes_get(r, task.prompt.b, sizeof task.prompt.b);
    bytes_get(r, task.answer.b, sizeof task.answer.b);
    task.node_count = bytes_get_u32(r);
    task.body.size = bytes_get_u32(r);
    task.line.size = bytes_get_u32(r);
    if (!r->ok || task.node_count > r->left / sizeof *task.node)
        return false;
    static_assert(_Alignof(struct address) == 1, "nodes are read where they lie");
    task.node = (const struct address *)bytes_get_span(r, task.node_count * (uint32_t)sizeof *task.node).data;
    task.body = bytes_get_span(r, task.body.size);
    task.line = bytes_get_span(r, task.line.size);
    *ret_task = task;
    return r->ok;
}

void group_task(const struct group *g, uint32_t index, struct archived_task *ret_task)
{
    cx_assert(index < g->count);
    struct bytes_reader r;
    uint32_t at = g->at[index];
    bytes_reader_init(&r, g->plain.data + at, (uint32_t)g->plain.size - at);
    bool good = get(&r, ret_task);
    cx_assert(good);  // group_unpack has read it once
}

/* ---- packing ---- */

void group_pack(const struct group *g, struct buf *packed)
{
    cx_assert(g->count > 0);
    cx_assert(g->plain.size <= PLAIN_SIZE_MAX);
    int room = LZ4_compressBound((int)g->plain.size);
    buf_reset(packed);
    buf_reserve(packed, (size_t)room);
    int size = LZ4_compress_default(g->plain.data, packed->data, (int)g->plain.size, room);
    cx_assert(size > 0);  // there is room for the worst
    packed->size = (size_t)size;
}

static bool is_before(const struct archived_task *a, const struct archived_task *b)
{
    return a->seq < b->seq || (a->seq == b->seq && (int64_t)a->task < (int64_t)b->task);
}

/* False: one is not whole, or they are not in the order of pages. */
static bool find_tasks(struct group *g)
{
    struct bytes_reader r;
    struct archived_task task, last = {0};
    bytes_reader_init(&r, g->plain.data, (uint32_t)g->plain.size);
    while (r.left > 0) {
        add_at(g, g->plain.size - r.left);
        if (!get(&r, &task) || (g->count > 1 && !is_before(&last, &task)))
            return false;
        last = task;
    }
    return true;
}

bool group_unpack(struct group *g, struct span packed, uint64_t count, uint64_t size)
{
    group_reset(g);
    if (packed.size == 0 || packed.size > INT32_MAX || count == 0 || size > PLAIN_SIZE_MAX)
        return false;
    buf_reserve(&g->plain, size);
    int had = LZ4_decompress_safe((const char *)packed.data, g->plain.data, (int)packed.size, (int)size);
    if (had >= 0 && (uint64_t)had == size) {
        g->plain.size = size;
        if (find_tasks(g) && g->count == count)
            return true;
    }
    group_reset(g);
    return false;
}
