/* The simulated disks as SQLite's files: what its own unix files do, over disk_io.c instead of the system. */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "sim/disk_parts.h"

struct disk_handle {
    sqlite3_file base;
    struct disk *disk;  // NULL: SQLite's own scratch, in memory, without faults
    struct disk_inode *inode;
    char path[DISK_PATH_SIZE_MAX];
    bool new_journal;  // its name is to be kept with its first sync
    bool delete_at_close;
    int level;  // SQLITE_LOCK_*
    bool has_shm;
    uint32_t shm_shared;  // bits of locks
};

static struct {
    int error;  // for sqlite3_system_errno
    struct prng prng;
} state;

static int fail(int error, int code)
{
    state.error = error;
    return error == ENOSPC ? SQLITE_FULL : code;
}

static struct disk_handle *handle_of(sqlite3_file *file) { return (struct disk_handle *)file; }

/* ---- one file ---------------------------------------------------------------------------------- */

static int shm_unmap(sqlite3_file *file, int delete_file)
{
    (void)delete_file;
    struct disk_handle *h = handle_of(file);
    if (!h->has_shm)
        return SQLITE_OK;
    int all = SQLITE_SHM_UNLOCK;
    disk_shm_lock(h->inode->shm, h, &h->shm_shared, 0, DISK_LOCK_COUNT, all | SQLITE_SHM_SHARED);
    disk_shm_lock(h->inode->shm, h, &h->shm_shared, 0, DISK_LOCK_COUNT, all | SQLITE_SHM_EXCLUSIVE);
    disk_shm_close(h->inode);
    h->has_shm = false;
    return SQLITE_OK;
}

static int file_close(sqlite3_file *file)
{
    struct disk_handle *h = handle_of(file);
    shm_unmap(file, 0);
    disk_unlock(h->inode, &h->level, SQLITE_LOCK_NONE);
    if (h->delete_at_close && h->disk)
        disk_delete(h->disk, h->path);
    disk_inode_unref(h->inode);
    if (h->disk)
        h->disk->handles--;
    return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *ret_data, int size, sqlite3_int64 offset)
{
    struct disk_handle *h = handle_of(file);
    size_t want = (size_t)size, got = 0;
    if (h->disk) {
        int error = disk_read(h->disk, h->inode, (uint64_t)offset, ret_data, want, &got);
        if (error)
            return fail(error, SQLITE_IOERR_READ);
    } else {
        got = disk_inode_read(h->inode, (uint64_t)offset, ret_data, want);
    }
    if (got == want)
        return SQLITE_OK;
    memset((uint8_t *)ret_data + got, 0, want - got);
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    struct disk_handle *h = handle_of(file);
    int error = 0;
    if (h->disk)
        error = disk_write(h->disk, h->inode, (uint64_t)offset, data, (size_t)size);
    else
        disk_inode_write(NULL, h->inode, (uint64_t)offset, data, (size_t)size);
    return error ? fail(error, SQLITE_IOERR_WRITE) : SQLITE_OK;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct disk_handle *h = handle_of(file);
    int error = 0;
    if (h->disk)
        error = disk_truncate(h->disk, h->inode, (uint64_t)size);
    else
        disk_inode_truncate(NULL, h->inode, (uint64_t)size);
    return error ? fail(error, SQLITE_IOERR_TRUNCATE) : SQLITE_OK;
}

/* A folder that fails to sync here is passed over, as SQLite's unix files do. */
static int file_sync(sqlite3_file *file, int flags)
{
    (void)flags;
    struct disk_handle *h = handle_of(file);
    if (!h->disk)
        return SQLITE_OK;
    int error = disk_sync(h->disk, h->inode);
    if (error)
        return fail(error, SQLITE_IOERR_FSYNC);
    if (h->new_journal)
        disk_sync_folder(h->disk, h->path);
    h->new_journal = false;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    struct disk_handle *h = handle_of(file);
    if (h->disk && h->disk->dead)
        return fail(EIO, SQLITE_IOERR_FSTAT);
    *ret_size = (sqlite3_int64)h->inode->size;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int level)
{
    struct disk_handle *h = handle_of(file);
    if (h->disk && h->disk->dead)
        return fail(EIO, SQLITE_IOERR_LOCK);
    return disk_lock(h->inode, &h->level, level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    struct disk_handle *h = handle_of(file);
    disk_unlock(h->inode, &h->level, level);
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *file, int *ret_reserved)
{
    *ret_reserved = handle_of(file)->inode->level > SQLITE_LOCK_SHARED;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
    struct disk_handle *h = handle_of(file);
    switch (op) {
    case SQLITE_FCNTL_LOCKSTATE: *(int *)arg = h->level; return SQLITE_OK;
    case SQLITE_FCNTL_LAST_ERRNO: *(int *)arg = state.error; return SQLITE_OK;
    case SQLITE_FCNTL_VFSNAME: *(char **)arg = sqlite3_mprintf("%s", DISK_VFS_NAME); return SQLITE_OK;
    }
    return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *file)
{
    struct disk_handle *h = handle_of(file);
    return h->disk ? (int)h->disk->sector_size : 4096;
}

static int file_characteristics(sqlite3_file *file)
{
    struct disk_handle *h = handle_of(file);
    return h->disk && h->disk->power_safe ? SQLITE_IOCAP_POWERSAFE_OVERWRITE : 0;
}

static int shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret_memory)
{
    struct disk_handle *h = handle_of(file);
    if (h->disk && h->disk->dead)
        return fail(EIO, SQLITE_IOERR_SHMMAP);
    if (!h->has_shm)
        disk_shm_open(h->inode);
    h->has_shm = true;
    *ret_memory = disk_shm_region(h->inode, (uint32_t)region, (size_t)size, extend);
    return SQLITE_OK;
}

static int shm_lock(sqlite3_file *file, int first, int count, int flags)
{
    struct disk_handle *h = handle_of(file);
    if (flags & SQLITE_SHM_LOCK && h->disk && h->disk->dead)
        return fail(EIO, SQLITE_IOERR_SHMLOCK);
    return disk_shm_lock(h->inode->shm, h, &h->shm_shared, first, count, flags);
}

static void shm_barrier(sqlite3_file *file) { (void)file; }

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

/* ---- all files --------------------------------------------------------------------------------- */

static int open_named(struct disk_handle *h, const char *path, int flags)
{
    struct disk *disk = disk_of(path);
    if (!disk || disk->dead)
        return fail(disk ? EIO : ENOENT, SQLITE_CANTOPEN);
    struct disk_name *name = disk_find(disk, path);
    h->inode = name ? name->now : NULL;
    if (!h->inode && !(flags & SQLITE_OPEN_CREATE))
        return fail(ENOENT, SQLITE_CANTOPEN);
    if (!h->inode)
        h->inode = disk_create(disk, path);
    if (!h->inode)
        return fail(EIO, SQLITE_CANTOPEN);
    disk_inode_ref(h->inode);
    snprintf(h->path, sizeof h->path, "%s", path);
    h->disk = disk;
    disk->handles++;
    return SQLITE_OK;
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret_flags)
{
    (void)vfs;
    struct disk_handle *h = handle_of(file);
    memset(h, 0, sizeof *h);
    int journals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL;
    h->new_journal = flags & SQLITE_OPEN_CREATE && flags & journals;
    h->delete_at_close = flags & SQLITE_OPEN_DELETEONCLOSE;
    int code = SQLITE_OK;
    if (path)
        code = open_named(h, path, flags);
    else
        h->inode = disk_inode_make();
    if (code)
        return code;
    h->base.pMethods = &methods;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
    (void)vfs;
    struct disk *disk = disk_of(path);
    if (!disk || disk->dead)
        return fail(EIO, SQLITE_IOERR_DELETE);
    if (!disk_delete(disk, path))
        return fail(errno, errno == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE);
    int error = sync_folder ? disk_sync_folder(disk, path) : 0;
    return error ? fail(error, SQLITE_IOERR_DIR_FSYNC) : SQLITE_OK;
}

/* An empty file is none, to SQLite's unix files. */
static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret_there)
{
    (void)vfs;
    struct disk *disk = disk_of(path);
    if (disk && disk->dead)
        return fail(EIO, SQLITE_IOERR_ACCESS);
    struct disk_name *name = disk ? disk_find(disk, path) : NULL;
    *ret_there = name && name->now && (flags != SQLITE_ACCESS_EXISTS || name->now->size > 0);
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int size, char *ret_path)
{
    (void)vfs;
    return snprintf(ret_path, (size_t)size, "%s", path) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *ret_bytes)
{
    (void)vfs;
    prng_fill(&state.prng, ret_bytes, (size_t)size);
    return size;
}

/* Nothing else runs meanwhile: who waits for a lock here gets it at once or never. */
static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return us;
}

/* Milliseconds of the Julian calendar. Nothing of ours asks SQLite for the time. */
static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *ret_ms)
{
    (void)vfs;
    *ret_ms = 212500000000000;
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *ret_text)
{
    (void)vfs;
    (void)size;
    (void)ret_text;
    return state.error;
}

static sqlite3_vfs vfs = {
    .iVersion = 2,
    .szOsFile = sizeof(struct disk_handle),
    .mxPathname = DISK_PATH_SIZE_MAX - 1,
    .zName = DISK_VFS_NAME,
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_path,
    .xRandomness = vfs_randomness,
    .xSleep = vfs_sleep,
    .xCurrentTimeInt64 = vfs_time,
    .xGetLastError = vfs_last_error,
};

void disk_install(uint64_t seed)
{
    state.prng.state = seed;
    state.error = 0;
    int code = sqlite3_vfs_register(&vfs, 1);
    cx_assert(code == SQLITE_OK);
    sqlite3_randomness(0, NULL);  // begins anew, with ours
}

void disk_uninstall(void)
{
    sqlite3_vfs_unregister(&vfs);
    sqlite3_randomness(0, NULL);
}
