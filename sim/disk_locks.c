/* SQLite's locks on a file and on its shared memory, between the connections of one simulated computer. */
#include <sqlite3.h>
#include <stdlib.h>

#include "base/assert.h"
#include "sim/disk_parts.h"

/* ---- the file's lock --------------------------------------------------------------------------- */

/*      NONE --> SHARED --> RESERVED --> (PENDING) --> EXCLUSIVE
 *
 * Any number has SHARED; one may have RESERVED beside them; PENDING lets no new SHARED in; EXCLUSIVE is alone. */
int disk_lock(struct disk_inode *inode, int *level, int want)
{
    cx_assert(want > SQLITE_LOCK_NONE && want != SQLITE_LOCK_PENDING);
    if (*level >= want)
        return SQLITE_OK;
    if (*level != inode->level && (inode->level >= SQLITE_LOCK_PENDING || want > SQLITE_LOCK_SHARED))
        return SQLITE_BUSY;
    if (want == SQLITE_LOCK_SHARED) {
        inode->shared_count++;
        *level = want;
        if (inode->level < want)
            inode->level = want;
        return SQLITE_OK;
    }
    if (want == SQLITE_LOCK_EXCLUSIVE && inode->shared_count > 1) {
        *level = inode->level = SQLITE_LOCK_PENDING;
        return SQLITE_BUSY;
    }
    *level = inode->level = want;
    return SQLITE_OK;
}

void disk_unlock(struct disk_inode *inode, int *level, int want)
{
    cx_assert(want <= SQLITE_LOCK_SHARED);
    if (*level <= want)
        return;
    if (*level > SQLITE_LOCK_SHARED)
        inode->level = SQLITE_LOCK_SHARED;
    if (want == SQLITE_LOCK_NONE) {
        cx_assert(inode->shared_count > 0);
        if (--inode->shared_count == 0)
            inode->level = SQLITE_LOCK_NONE;
    }
    *level = want;
}

/* ---- shared memory ----------------------------------------------------------------------------- */

void disk_shm_open(struct disk_inode *inode)
{
    if (!inode->shm) {
        inode->shm = calloc(1, sizeof *inode->shm);
        cx_assert(inode->shm);
    }
    inode->shm->refs++;
}

void disk_shm_close(struct disk_inode *inode)
{
    struct disk_shm *shm = inode->shm;
    if (--shm->refs)
        return;
    for (uint32_t i = 0; i < shm->region_count; i++)
        free(shm->region[i]);
    free(shm->region);
    free(shm);
    inode->shm = NULL;
}

void *disk_shm_region(struct disk_inode *inode, uint32_t index, size_t size, bool extend)
{
    struct disk_shm *shm = inode->shm;
    if (index >= shm->region_count && !extend)
        return NULL;
    while (index >= shm->region_count) {
        shm->region = realloc(shm->region, (shm->region_count + 1) * sizeof *shm->region);
        cx_assert(shm->region);
        shm->region[shm->region_count] = calloc(1, size);
        cx_assert(shm->region[shm->region_count]);
        shm->region_count++;
    }
    return shm->region[index];
}

static void shm_unlock(struct disk_shm *shm, uint32_t *shared_mask, int slot, bool exclusive)
{
    if (exclusive) {
        shm->exclusive[slot] = NULL;
    } else if (*shared_mask & 1u << slot) {
        shm->shared[slot]--;
        *shared_mask &= ~(1u << slot);
    }
}

static bool shm_is_free(const struct disk_shm *shm, const struct disk_handle *handle, int slot, bool exclusive)
{
    if (shm->exclusive[slot] && shm->exclusive[slot] != handle)
        return false;
    return !exclusive || shm->shared[slot] == 0;
}

int disk_shm_lock(struct disk_shm *shm, const struct disk_handle *handle, uint32_t *shared_mask, int first, int count,
                  int flags)
{
    cx_assert(first >= 0 && count >= 1 && first + count <= DISK_LOCK_COUNT);
    bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;
    if (flags & SQLITE_SHM_UNLOCK) {
        for (int slot = first; slot < first + count; slot++)
            shm_unlock(shm, shared_mask, slot, exclusive && shm->exclusive[slot] == handle);
        return SQLITE_OK;
    }
    for (int slot = first; slot < first + count; slot++)
        if (!shm_is_free(shm, handle, slot, exclusive))
            return SQLITE_BUSY;
    for (int slot = first; slot < first + count; slot++) {
        if (exclusive) {
            shm->exclusive[slot] = handle;
        } else if (!(*shared_mask & 1u << slot)) {
            shm->shared[slot]++;
            *shared_mask |= 1u << slot;
        }
    }
    return SQLITE_OK;
}
