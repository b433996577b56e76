/* Whether runs of names and packs of payloads fit together. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "proto/payload_names.h"
#include "proto/payload_rows.h"

struct check {
    sqlite3_stmt *packs;
    uint64_t first, last, count;  // of the run
    uint64_t before;              // the last pack of the run before it
    bool is_open;                 // it has rows so far
    struct buf names;             // of the run: PAYLOAD_NAMES_ENTRY bytes each
    struct buf there;             // its packs that are left, eight bytes each
    bool fit;
};

static int compare_packs(const void *a, const void *b) { return memcmp(a, b, sizeof(uint64_t)); }

static size_t entry_count(const struct check *check) { return check->names.size / PAYLOAD_NAMES_ENTRY; }

static const struct payload_name_entry *entry_at(const struct check *check, size_t i)
{
    return (const struct payload_name_entry *)check->names.data + i;
}

/* Sorted, none twice, each in its row and of a pack of the run. */
static bool entries_are_well(const struct check *check, size_t from, uint8_t byte)
{
    for (size_t i = from; i < entry_count(check); i++) {
        const struct payload_name_entry *entry = entry_at(check, i);
        if (entry->b[0] != byte || payload_name_packs_on(entry) > check->last - check->first ||
            (i > 0 && payload_name_compare(entry_at(check, i - 1), entry) >= 0))
            return false;
    }
    return true;
}

/* Each payload has its name. */
static bool has_names(const struct check *check, uint64_t pack, struct span list)
{
    for (uint32_t i = 0; i < list.size / PAYLOAD_LIST_SIZE; i++) {
        struct payload_name_entry entry = payload_name_entry(list.data + i * PAYLOAD_LIST_SIZE, pack - check->first, i);
        if (check->names.size == 0 ||
            !bsearch(&entry, check->names.data, entry_count(check), sizeof entry, payload_name_compare))
            return false;
    }
    return true;
}

/* How many names are of packs that are left. */
static uint64_t count_there(const struct check *check)
{
    uint64_t count = 0;
    for (size_t i = 0; i < entry_count(check) && check->there.size > 0; i++) {
        uint8_t pack[8];
        be64_put(pack, check->first + payload_name_packs_on(entry_at(check, i)));
        count += bsearch(pack, check->there.data, check->there.size / sizeof pack, sizeof pack, compare_packs) != NULL;
    }
    return count;
}

static enum cx_err end_run(struct check *check)
{
    uint64_t payloads = 0;
    bool row = true;
    enum cx_err err = CX_OK;
    check->fit &= check->count == entry_count(check);
    buf_reset(&check->there);
    db_bind_u64(check->packs, 1, check->before);
    db_bind_u64(check->packs, 2, check->last);
    while (check->fit && !err && !(err = db_step(check->packs, &row)) && row) {
        uint64_t pack = db_u64(check->packs, 0);
        struct span list = db_span(check->packs, 1);
        check->fit = pack >= check->first && has_names(check, pack, list);
        payloads += list.size / PAYLOAD_LIST_SIZE;
        buf_be(&check->there, pack, 8);
    }
    sqlite3_reset(check->packs);
    check->fit &= payloads == count_there(check);
    check->before = check->last;
    check->is_open = false;
    buf_reset(&check->names);
    return err;
}

static enum cx_err add_row(struct check *check, sqlite3_stmt *rows)
{
    uint64_t run = db_u64(rows, 0);
    struct span names = db_span(rows, 3);
    enum cx_err err = CX_OK;
    if (check->is_open && run >> 8 != check->first)
        err = end_run(check);
    size_t from = entry_count(check);
    if (!check->is_open) {
        check->is_open = true;
        check->first = run >> 8;
        check->last = db_u64(rows, 1);
        check->count = db_u64(rows, 2);
        check->fit &= check->first > check->before && check->last >= check->first &&
                      check->last - check->first <= PAYLOAD_NAMES_SPAN;
    }
    buf_add(&check->names, names.data, names.size - names.size % PAYLOAD_NAMES_ENTRY);
    check->fit &= check->last == db_u64(rows, 1) && check->count == db_u64(rows, 2) && names.size > 0 &&
                  names.size % PAYLOAD_NAMES_ENTRY == 0 && entries_are_well(check, from, (uint8_t)run);
    return err;
}

enum cx_err payload_names_check(sqlite3 *db, bool *ret_fit)
{
    struct check check = {.fit = true};
    sqlite3_stmt *rows = NULL;
    bool row = true;
    enum cx_err err = db_prepare(db, "SELECT run, last, count, names FROM payload_name ORDER BY run", &rows);
    if (!err)
        err =
            db_prepare(db, "SELECT pack, list FROM payload WHERE pack > ?1 AND pack <= ?2 ORDER BY pack", &check.packs);
    while (check.fit && !err && !(err = db_step(rows, &row)) && row)
        err = add_row(&check, rows);
    if (check.fit && !err && check.is_open)
        err = end_run(&check);
    sqlite3_finalize(rows);
    sqlite3_finalize(check.packs);
    buf_done(&check.names);
    buf_done(&check.there);
    *ret_fit = check.fit;
    return err;
}
