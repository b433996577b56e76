#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/assert.h"

struct file_owner {
    int fd;
};

enum cx_err file_check(const char *path)
{
    if (access(path, R_OK) == 0)
        return CX_OK;
    return cx_fail(errno == EACCES ? CX_DENIED : CX_NOT_FOUND, "%s: %s", path, strerror(errno));
}

static enum cx_err open_private(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return cx_fail(errno == EACCES ? CX_DENIED : CX_IO, "%s: %s", path, strerror(errno));
    *ret_fd = fd;
    return CX_OK;
}

enum cx_err file_create_private(const char *path)
{
    int fd = -1;
    enum cx_err err = open_private(path, &fd);
    if (!err)
        close(fd);
    return err;
}

static enum cx_err read_failed(const char *path)
{
    enum cx_err err = errno == EACCES ? CX_DENIED : errno == ENOENT ? CX_NOT_FOUND : CX_IO;
    return cx_fail(err, "%s: %s", path, strerror(errno));
}

enum cx_err file_read(const char *path, uint64_t offset, void *ret_data, size_t size, size_t *ret_got)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return read_failed(path);
    size_t got = 0;
    ssize_t n = 1;
    while (got < size && n > 0) {
        n = pread(fd, (uint8_t *)ret_data + got, size - got, (off_t)(offset + got));
        got += n > 0 ? (size_t)n : 0;
    }
    enum cx_err err = n < 0 ? read_failed(path) : CX_OK;
    close(fd);
    if (!err)
        *ret_got = got;
    return err;
}

enum cx_err file_sync_folder(const char *path)
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == folder)
        slash[1] = '\0';
    else if (slash)
        *slash = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = fd < 0 ? -1 : fsync(fd);
    enum cx_err err = code ? cx_fail(CX_IO, "sync the folder of %s: %s", path, strerror(errno)) : CX_OK;
    if (fd >= 0)
        close(fd);
    return err;
}

static enum cx_err lock_and_sign(int fd, const char *path)
{
    if (flock(fd, LOCK_EX | LOCK_NB))
        return cx_fail(errno == EWOULDBLOCK ? CX_BUSY : CX_IO, "lock %s: %s", path, strerror(errno));
    char pid[24];
    int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)size, 0) != size)
        return cx_fail(CX_IO, "write %s: %s", path, strerror(errno));
    return CX_OK;
}

enum cx_err file_own(const char *path, struct file_owner **ret_owner)
{
    int fd = -1;
    enum cx_err err = open_private(path, &fd);
    if (err)
        return err;
    err = lock_and_sign(fd, path);
    if (err) {
        close(fd);
        return err;
    }
    struct file_owner *owner = malloc(sizeof *owner);
    cx_assert(owner);
    owner->fd = fd;
    *ret_owner = owner;
    return CX_OK;
}

void file_disown(struct file_owner *owner)
{
    if (!owner)
        return;
    close(owner->fd);
    free(owner);
}

long file_owner_pid(const char *path)
{
    char text[24] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    return strtol(text, NULL, 10);
}
