/* The content of a file: what readers see, and what the disk may hold instead. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sim/disk_parts.h"

#define UNDO_SIZE_MAX  (1u << 20)  // of one file
#define GARBAGE_PPM    30000       // of the sectors that were under way when the power went
#define CACHE_DROP_PPM 300000      // of failed syncs: readers see at once what the disk holds

#define VERSION_ALIGN 8u  // versions stand behind each other

struct version {
    uint64_t sector;
    uint32_t number;  // in the order of writes
    uint32_t size;    // of the bytes behind it; the rest of the sector was zero
    uint32_t cuts;    // of the file, before the change that came after it
    bool cut;         // that change was one
    bool only;        // see struct disk_inode
    bool partial;     // it was a write that left some of the sector's bytes alone
};

/* ---- memory ------------------------------------------------------------------------------------ */

struct disk_inode *disk_inode_make(void)
{
    struct disk_inode *inode = calloc(1, sizeof *inode);
    cx_assert(inode);
    inode->refs = 1;
    inode->undo_size_max = UNDO_SIZE_MAX;
    return inode;
}

void disk_inode_ref(struct disk_inode *inode) { inode->refs++; }

void disk_inode_unref(struct disk_inode *inode)
{
    if (!inode || --inode->refs)
        return;
    cx_assert(!inode->shm);
    buf_done(&inode->undo);
    free(inode->length);
    free(inode->data);
    free(inode);
}

/* Bytes behind the end are zero, always. */
static void reserve(struct disk_inode *inode, uint64_t size)
{
    if (size <= inode->cap)
        return;
    uint64_t cap = u64_max(size, inode->cap ? 2 * inode->cap : 16384);
    inode->data = realloc(inode->data, cap);
    cx_assert(inode->data);
    memset(inode->data + inode->cap, 0, cap - inode->cap);
    inode->cap = cap;
}

static void set_size(struct disk_inode *inode, uint64_t size)
{
    reserve(inode, size);
    if (size < inode->size)
        memset(inode->data + size, 0, inode->size - size);
    inode->size = size;
}

/* ---- versions ---------------------------------------------------------------------------------- */

static void note_length(struct disk_inode *inode, bool cut)
{
    if (inode->length_count == inode->length_cap) {
        inode->length_cap = inode->length_cap ? 2 * inode->length_cap : 8;
        inode->length = realloc(inode->length, inode->length_cap * sizeof *inode->length);
        cx_assert(inode->length);
    }
    inode->length[inode->length_count++] = (struct disk_length){inode->size, inode->cuts, cut};
}

static void note_sector(const struct disk *disk, struct disk_inode *inode, uint64_t sector, bool cut, bool partial)
{
    uint64_t from = sector * disk->sector_size;
    reserve(inode, from + disk->sector_size);
    uint64_t used = inode->size > from ? u64_min(disk->sector_size, inode->size - from) : 0;
    uint32_t size = (uint32_t)(used + VERSION_ALIGN - 1) / VERSION_ALIGN * VERSION_ALIGN;
    struct version version = {.sector = sector,
                              .number = inode->undo_count++,
                              .size = size,
                              .cuts = inode->cuts,
                              .cut = cut,
                              .partial = partial};
    buf_add(&inode->undo, &version, sizeof version);
    buf_add(&inode->undo, inode->data + from, size);
}

static int by_sector(const void *a, const void *b)
{
    const struct version *va = *(const struct version *const *)a, *vb = *(const struct version *const *)b;
    if (va->sector != vb->sector)
        return va->sector < vb->sector ? -1 : 1;
    return va->number < vb->number ? -1 : 1;
}

/* [undo_count], sorted by sector and then by number; free it. */
static struct version **sorted(const struct disk_inode *inode)
{
    struct version **all = malloc((inode->undo_count + 1) * sizeof *all);
    cx_assert(all);
    char *at = inode->undo.data;
    for (uint32_t i = 0; i < inode->undo_count; i++) {
        all[i] = (struct version *)at;
        at += sizeof(struct version) + all[i]->size;
    }
    qsort(all, inode->undo_count, sizeof *all, by_sector);
    return all;
}

/* What became of one sector: its versions are first[0..count-1], and `data`. `cuts` of the file have happened. */
enum outcome { OUTCOME_NEW, OUTCOME_OLD, OUTCOME_BETWEEN };

static enum outcome draw(struct disk *disk, struct version *const *first, uint32_t count, uint32_t cuts,
                         uint32_t *ret_index)
{
    *ret_index = 0;
    /* After a failed sync nobody writes this sector. */
    if (count == 1 && first[0]->only)
        return OUTCOME_OLD;
    uint32_t least = 0, most = 0;
    while (most < count && first[most]->cuts + first[most]->cut <= cuts) {
        most++;
        if (first[most - 1]->cut)
            least = most;
    }
    *ret_index = least + (uint32_t)prng_below(&disk->prng, most - least + 1);
    if (*ret_index == count)
        return OUTCOME_NEW;
    return *ret_index == 0 ? OUTCOME_OLD : OUTCOME_BETWEEN;
}

static bool any_partial(struct version *const *first, uint32_t count)
{
    bool partial = false;
    for (uint32_t i = 0; i < count; i++)
        partial |= first[i]->partial;
    return partial;
}

static uint32_t same_sector(struct version *const *all, uint32_t left)
{
    uint32_t count = 1;
    while (count < left && all[count]->sector == all[0]->sector)
        count++;
    return count;
}

static void clear(struct disk_inode *inode)
{
    buf_reset(&inode->undo);
    inode->undo_count = 0;
    inode->forgetful = false;
    inode->cuts = 0;
}

static const uint8_t *bytes_of(const struct version *version) { return (const uint8_t *)(version + 1); }

/* The lengths since the file was last made shorter. */
static void settle_length(struct disk_inode *inode)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < inode->length_count; i++)
        if (inode->length[i].cuts == inode->cuts)
            inode->length[count++] = (struct disk_length){inode->length[i].size, 0, false};
    inode->length_count = count;
}

/* Draws for every sector what of it is on the disk. The rest stays unsynced, or is forgotten. */
static void write_back(struct disk *disk, struct disk_inode *inode, bool forget)
{
    uint32_t cuts = inode->cuts;
    settle_length(inode);
    struct version **all = sorted(inode);
    struct buf old = inode->undo;
    uint32_t total = inode->undo_count, number = 0;
    inode->undo = (struct buf){0};
    clear(inode);
    for (uint32_t i = 0, count; i < total; i += count) {
        uint32_t index = 0;
        count = same_sector(all + i, total - i);
        if (draw(disk, all + i, count, cuts, &index) == OUTCOME_NEW)
            continue;
        struct version version = *all[i + index];
        version.number = number++;
        version.cuts = 0;
        version.cut = false;
        version.only = forget || (count == 1 && version.only);
        version.partial = any_partial(all + i, count);
        inode->forgetful |= version.only;
        buf_add(&inode->undo, &version, sizeof version);
        buf_add(&inode->undo, bytes_of(all[i + index]), version.size);
    }
    inode->undo_count = number;
    buf_done(&old);
    free(all);
}

/* Where nobody ever syncs, disks write by themselves some day. */
static void bound_undo(struct disk *disk, struct disk_inode *inode)
{
    if (inode->undo.size <= inode->undo_size_max)
        return;
    write_back(disk, inode, false);
    inode->undo_size_max = inode->undo.size > UNDO_SIZE_MAX / 2 ? 2 * inode->undo.size : UNDO_SIZE_MAX;
}

/* ---- reading and writing ----------------------------------------------------------------------- */

size_t disk_inode_read(const struct disk_inode *inode, uint64_t offset, void *ret_data, size_t size)
{
    size_t there = offset < inode->size ? (size_t)u64_min(size, inode->size - offset) : 0;
    if (there)
        memcpy(ret_data, inode->data + offset, there);
    return there;
}

void disk_inode_write(struct disk *disk, struct disk_inode *inode, uint64_t offset, const void *data, size_t size)
{
    if (size == 0)
        return;
    uint64_t end = offset + size;
    if (disk) {
        uint64_t sector_size = disk->sector_size;
        for (uint64_t sector = offset / sector_size; sector * sector_size < end; sector++) {
            bool whole = sector * sector_size >= offset && (sector + 1) * sector_size <= end;
            note_sector(disk, inode, sector, false, !whole);
        }
    }
    if (end > inode->size) {
        if (disk)
            note_length(inode, false);
        set_size(inode, end);
    }
    memcpy(inode->data + offset, data, size);
    if (disk)
        bound_undo(disk, inode);
}

void disk_inode_truncate(struct disk *disk, struct disk_inode *inode, uint64_t size)
{
    if (disk && size != inode->size) {
        uint64_t sector_size = disk->sector_size;
        for (uint64_t sector = size / sector_size; sector * sector_size < inode->size; sector++)
            note_sector(disk, inode, sector, true, false);
        note_length(inode, size < inode->size);
        inode->cuts += size < inode->size;
    }
    set_size(inode, size);
    if (disk)
        bound_undo(disk, inode);
}

/* ---- syncing ----------------------------------------------------------------------------------- */

/* Versions that a failed sync left stay, unless their sector was written since. */
static void keep_forgotten(struct disk_inode *inode)
{
    struct version **all = sorted(inode);
    struct buf old = inode->undo;
    uint32_t total = inode->undo_count, number = 0;
    inode->undo = (struct buf){0};
    clear(inode);
    for (uint32_t i = 0, count; i < total; i += count) {
        count = same_sector(all + i, total - i);
        if (count > 1 || !all[i]->only)
            continue;
        all[i]->number = number++;
        inode->forgetful = true;
        buf_add(&inode->undo, all[i], sizeof *all[i] + all[i]->size);
    }
    inode->undo_count = number;
    buf_done(&old);
    free(all);
}

void disk_inode_sync(struct disk_inode *inode)
{
    if (inode->forgetful)
        keep_forgotten(inode);
    else
        clear(inode);
    inode->length_count = 0;
    inode->undo_size_max = UNDO_SIZE_MAX;
}

static void draw_length(struct disk *disk, struct disk_inode *inode, uint32_t cuts)
{
    uint32_t least = 0, most = 0, count = inode->length_count;
    while (most < count && inode->length[most].cuts + inode->length[most].cut <= cuts) {
        most++;
        if (inode->length[most - 1].cut)
            least = most;
    }
    uint32_t index = least + (uint32_t)prng_below(&disk->prng, most - least + 1);
    if (index < count) {
        set_size(inode, inode->length[index].size);
        disk->stats.sizes_lost++;
    }
    inode->length_count = 0;
}

static void put_sector(struct disk *disk, struct disk_inode *inode, struct version *const *first, uint32_t count,
                       uint32_t cuts)
{
    uint32_t index = 0, size = disk->sector_size;
    enum outcome outcome = draw(disk, first, count, cuts, &index);
    uint8_t *at = inode->data + first[0]->sector * size;
    bool settled = count == 1 && first[0]->only;
    if (!settled && !disk->power_safe && any_partial(first, count) && disk_chance(disk, GARBAGE_PPM)) {
        prng_fill(&disk->prng, at, size);
        disk->stats.sectors_garbage++;
        return;
    }
    switch (outcome) {
    case OUTCOME_NEW: return;
    case OUTCOME_OLD: disk->stats.sectors_lost++; break;
    case OUTCOME_BETWEEN: disk->stats.sectors_torn++; break;
    }
    memcpy(at, bytes_of(first[index]), first[index]->size);
    memset(at + first[index]->size, 0, size - first[index]->size);
}

/* What readers see becomes what the disk holds. */
static void forget(struct disk *disk, struct disk_inode *inode)
{
    struct version **all = sorted(inode);
    uint32_t cuts = (uint32_t)prng_below(&disk->prng, inode->cuts + 1);
    for (uint32_t i = 0, count; i < inode->undo_count; i += count) {
        count = same_sector(all + i, inode->undo_count - i);
        put_sector(disk, inode, all + i, count, cuts);
    }
    free(all);
    clear(inode);
    draw_length(disk, inode, cuts);
    if (inode->cap > inode->size)
        memset(inode->data + inode->size, 0, inode->cap - inode->size);
}

void disk_inode_fail_sync(struct disk *disk, struct disk_inode *inode)
{
    write_back(disk, inode, true);
    if (disk_chance(disk, CACHE_DROP_PPM))
        forget(disk, inode);
}

void disk_inode_power_cut(struct disk *disk, struct disk_inode *inode) { forget(disk, inode); }
