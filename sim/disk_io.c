/* Reading, writing and syncing, and how they go wrong. */
#include <errno.h>

#include "base/assert.h"
#include "sim/disk_parts.h"

uint64_t disk_used(const struct disk *disk)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < disk->entry_count; i++)
        if (disk->entry[i].now)
            used += disk->entry[i].now->size;
    return used;
}

static bool fits(const struct disk *disk, const struct disk_inode *inode, uint64_t end)
{
    if (disk->faults.capacity == 0 || end <= inode->size)
        return true;
    return disk_used(disk) + (end - inode->size) <= disk->faults.capacity;
}

int disk_read(struct disk *disk, struct disk_inode *inode, uint64_t offset, void *ret_data, size_t size,
              size_t *ret_got)
{
    disk->stats.reads++;
    if (disk->dead)
        return EIO;
    if (disk_chance(disk, disk->faults.read_fail_ppm)) {
        disk->stats.reads_failed++;
        return EIO;
    }
    *ret_got = disk_inode_read(inode, offset, ret_data, size);
    return 0;
}

/* An interrupted write has come to the end of some sector, or to its own, or nowhere. */
static void write_some(struct disk *disk, struct disk_inode *inode, uint64_t offset, const void *data, size_t size)
{
    uint64_t end = offset + prng_below(&disk->prng, size + disk->sector_size);
    end = u64_min(offset + size, end / disk->sector_size * disk->sector_size);
    size_t part = end > offset ? (size_t)(end - offset) : 0;
    if (fits(disk, inode, offset + part))
        disk_inode_write(disk, inode, offset, data, part);
}

int disk_write(struct disk *disk, struct disk_inode *inode, uint64_t offset, const void *data, size_t size)
{
    disk->stats.writes++;
    enum disk_fate fate = disk_step(disk);
    if (fate == FATE_DEAD)
        return EIO;
    if (disk->faults.write_us_max)
        disk->latency_us += prng_below(&disk->prng, disk->faults.write_us_max + 1);
    bool full = !fits(disk, inode, offset + size), fails = disk_chance(disk, disk->faults.write_fail_ppm);
    disk->stats.writes_full += full;
    disk->stats.writes_failed += fails;
    if (fate == FATE_DIES || full || fails) {
        write_some(disk, inode, offset, data, size);
        return full ? ENOSPC : EIO;
    }
    disk_inode_write(disk, inode, offset, data, size);
    return 0;
}

int disk_truncate(struct disk *disk, struct disk_inode *inode, uint64_t size)
{
    disk->stats.writes++;
    enum disk_fate fate = disk_step(disk);
    if (fate == FATE_DEAD || (fate == FATE_DIES && prng_below(&disk->prng, 2)))
        return EIO;
    if (!fits(disk, inode, size)) {
        disk->stats.writes_full++;
        return ENOSPC;
    }
    disk_inode_truncate(disk, inode, size);
    return fate == FATE_GOOD ? 0 : EIO;
}

int disk_sync(struct disk *disk, struct disk_inode *inode)
{
    disk->stats.syncs++;
    enum disk_fate fate = disk_step(disk);
    if (fate == FATE_DEAD || (fate == FATE_DIES && prng_below(&disk->prng, 2)))
        return EIO;
    const struct disk_faults *faults = &disk->faults;
    cx_assert(faults->sync_us_max >= faults->sync_us_min);
    if (faults->sync_us_max)
        disk->latency_us +=
            faults->sync_us_min + prng_below(&disk->prng, faults->sync_us_max - faults->sync_us_min + 1u);
    bool fails = disk->fail_sync || disk_chance(disk, faults->sync_fail_ppm);
    disk->fail_sync = false;
    if (fails) {
        disk->stats.syncs_failed++;
        disk_inode_fail_sync(disk, inode);
        return EIO;
    }
    if (!disk_chance(disk, faults->sync_lie_ppm))
        disk_inode_sync(inode);
    return fate == FATE_GOOD ? 0 : EIO;
}
