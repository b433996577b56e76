/* disk_parts.h - within sim/disk*: disks, the names on them, and what the names stand for. */
#ifndef CORTEN_SIM_DISK_PARTS_H
#define CORTEN_SIM_DISK_PARTS_H

#include "base/buf.h"
#include "base/prng.h"
#include "sim/disk.h"

#define DISK_LOCK_COUNT 8  // of SQLite's shared memory

struct disk_handle;  // disk_vfs.c: an open file

/* The memory that SQLite's connections share beside a database: here really shared, and gone with the last of them. */
struct disk_shm {
    uint32_t refs;
    uint8_t **region;  // [region_count], of one size
    uint32_t region_count;
    uint32_t shared[DISK_LOCK_COUNT];
    const struct disk_handle *exclusive[DISK_LOCK_COUNT];
};

/* How long a file was before an unsynced change. */
struct disk_length {
    uint64_t size;
    uint32_t cuts;  // before it
    bool cut;       // the change made it shorter
};

/* A file's content. It lives while a name or a handle has it. `undo` is what an unsynced sector was before each write
 * to it, in the order of writes: a power cut chooses among these and `data`. File systems keep a journal of lengths: a
 * file was made shorter, and what it had behind there is gone, or neither that nor anything later has happened. A
 * version is `only` where a failed sync has forgotten that its sector differs from `data`: it is then what the disk
 * holds, whatever is synced, until the sector is written again. */
struct disk_inode {
    uint32_t refs;
    uint8_t *data;
    uint64_t size, cap;
    struct buf undo;  // struct version, each with what its sector held behind it
    uint32_t undo_count;
    size_t undo_size_max;        // then the disk writes some of it back, as disks do
    bool forgetful;              // some versions are `only`
    struct disk_length *length;  // [length_count] before each unsynced change
    uint32_t length_count, length_cap;
    uint32_t cuts;  // unsynced, that made it shorter

    int level;  // SQLite's SQLITE_LOCK_*: the strongest that a handle has
    uint32_t shared_count;
    struct disk_shm *shm;
};

struct disk_name {
    char path[DISK_PATH_SIZE_MAX];
    struct disk_inode *now, *kept;  // NULL: no file. kept: what a synced folder says
};

struct disk {
    struct disk *next;
    char name[DISK_NAME_SIZE_MAX];
    struct prng prng;
    uint32_t sector_size;
    bool power_safe, dead, fail_sync;
    uint64_t die_in;  // 0: never
    struct disk_faults faults;
    struct disk_stats stats;
    uint64_t latency_us;
    uint32_t handles;
    struct disk_name *entry;  // [entry_count]
    uint32_t entry_count, entry_cap;
};

/* What happened to an operation that would change something. */
enum disk_fate { FATE_GOOD, FATE_DEAD, FATE_DIES };

/* disk.c */
struct disk *disk_of(const char *path);
struct disk_name *disk_find(struct disk *disk, const char *path);
bool disk_chance(struct disk *disk, uint32_t ppm);
/* FATE_DIES: this very operation is the last; how much of it happens is for the caller to draw. */
enum disk_fate disk_step(struct disk *disk);
/* The file of that name, made where there is none. NULL: the disk is dead. */
struct disk_inode *disk_create(struct disk *disk, const char *path);
/* False: the disk is dead, or there is no such file (errno). */
bool disk_delete(struct disk *disk, const char *path);
/* The names in the folder that `path` is in are kept. */
void disk_sync_names(struct disk *disk, const char *path);
/* 0, or an errno: a folder's sync as programs ask for it. */
int disk_sync_folder(struct disk *disk, const char *path);

/* disk_inode.c: content. Reads stop at the end; writes and truncation note what was there. */
struct disk_inode *disk_inode_make(void);
void disk_inode_ref(struct disk_inode *inode);
void disk_inode_unref(struct disk_inode *inode);
size_t disk_inode_read(const struct disk_inode *inode, uint64_t offset, void *ret_data, size_t size);
void disk_inode_write(struct disk *disk, struct disk_inode *inode, uint64_t offset, const void *data, size_t size);
void disk_inode_truncate(struct disk *disk, struct disk_inode *inode, uint64_t size);
void disk_inode_sync(struct disk_inode *inode);
/* Some of what is unsynced reaches the disk; the rest it will not try again. Readers may see the loss at once. */
void disk_inode_fail_sync(struct disk *disk, struct disk_inode *inode);
void disk_inode_power_cut(struct disk *disk, struct disk_inode *inode);

/* disk_io.c: the operations with their faults. 0 or an errno; what was done until then stays done. */
int disk_read(struct disk *disk, struct disk_inode *inode, uint64_t offset, void *ret_data, size_t size,
              size_t *ret_got);
int disk_write(struct disk *disk, struct disk_inode *inode, uint64_t offset, const void *data, size_t size);
int disk_truncate(struct disk *disk, struct disk_inode *inode, uint64_t size);
int disk_sync(struct disk *disk, struct disk_inode *inode);

/* disk_locks.c: SQLite's result codes. */
int disk_lock(struct disk_inode *inode, int *level, int want);
void disk_unlock(struct disk_inode *inode, int *level, int want);
void disk_shm_open(struct disk_inode *inode);
void disk_shm_close(struct disk_inode *inode);
void *disk_shm_region(struct disk_inode *inode, uint32_t index, size_t size, bool extend);
int disk_shm_lock(struct disk_shm *shm, const struct disk_handle *handle, uint32_t *shared_mask, int first, int count,
                  int flags);

#endif
