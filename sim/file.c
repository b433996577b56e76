/* base/file.h over simulated disks. */
#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sim/disk_parts.h"

struct file_owner {
    struct disk *disk;
    struct disk_inode *inode;
};

static enum cx_err find(const char *path, struct disk **ret_disk)
{
    struct disk *disk = disk_of(path);
    if (!disk)
        return cx_fail(CX_NOT_FOUND, "%s: %s", path, strerror(ENOENT));
    if (disk->dead)
        return cx_fail(CX_IO, "%s: %s", path, strerror(EIO));
    *ret_disk = disk;
    return CX_OK;
}

enum cx_err file_check(const char *path)
{
    struct disk *disk = NULL;
    enum cx_err err = find(path, &disk);
    if (err)
        return err;
    struct disk_name *name = disk_find(disk, path);
    return name && name->now ? CX_OK : cx_fail(CX_NOT_FOUND, "%s: %s", path, strerror(ENOENT));
}

static enum cx_err create(const char *path, struct disk **ret_disk, struct disk_inode **ret_inode)
{
    enum cx_err err = find(path, ret_disk);
    if (err)
        return err;
    *ret_inode = disk_create(*ret_disk, path);
    return *ret_inode ? CX_OK : cx_fail(CX_IO, "%s: %s", path, strerror(EIO));
}

enum cx_err file_create_private(const char *path)
{
    struct disk *disk = NULL;
    struct disk_inode *inode = NULL;
    return create(path, &disk, &inode);
}

enum cx_err file_read(const char *path, uint64_t offset, void *ret_data, size_t size, size_t *ret_got)
{
    struct disk *disk = NULL;
    enum cx_err err = find(path, &disk);
    struct disk_name *name = err ? NULL : disk_find(disk, path);
    if (err)
        return err;
    if (!name || !name->now)
        return cx_fail(CX_NOT_FOUND, "%s: %s", path, strerror(ENOENT));
    int error = disk_read(disk, name->now, offset, ret_data, size, ret_got);
    return error ? cx_fail(CX_IO, "%s: %s", path, strerror(error)) : CX_OK;
}

enum cx_err file_sync_folder(const char *path)
{
    struct disk *disk = NULL;
    enum cx_err err = find(path, &disk);
    if (err)
        return err;
    int error = disk_sync_folder(disk, path);
    return error ? cx_fail(CX_IO, "sync the folder of %s: %s", path, strerror(error)) : CX_OK;
}

/* The lock is the file's own, of the kind that SQLite has on others: only we lock this one. */
enum cx_err file_own(const char *path, struct file_owner **ret_owner)
{
    struct disk *disk = NULL;
    struct disk_inode *inode = NULL;
    enum cx_err err = create(path, &disk, &inode);
    if (err)
        return err;
    if (inode->shared_count)
        return cx_fail(CX_BUSY, "lock %s: %s", path, strerror(EWOULDBLOCK));
    int error = disk_write(disk, inode, 0, "1\n", 2);
    if (error)
        return cx_fail(CX_IO, "write %s: %s", path, strerror(error));
    struct file_owner *owner = malloc(sizeof *owner);
    cx_assert(owner);
    *owner = (struct file_owner){disk, inode};
    inode->shared_count = 1;
    disk_inode_ref(inode);
    disk->handles++;
    *ret_owner = owner;
    return CX_OK;
}

void file_disown(struct file_owner *owner)
{
    if (!owner)
        return;
    owner->inode->shared_count = 0;
    owner->disk->handles--;
    disk_inode_unref(owner->inode);
    free(owner);
}

long file_owner_pid(const char *path)
{
    char text[24] = "";
    struct disk *disk = disk_of(path);
    struct disk_name *name = disk ? disk_find(disk, path) : NULL;
    if (name && name->now)
        disk_inode_read(name->now, 0, text, sizeof text - 1);
    return strtol(text, NULL, 10);
}
