/* keystore_file.c - keystores on disk: the half of keystore.h that does input and output. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "crypto/keystore.h"
#include "crypto/random.h"

#define FILE_MODE 0600

static enum cx_err write_all(int fd, const char *path, const struct buf *json)
{
    /* The process may mask more than the file needs, or less than a key needs. */
    if (fchmod(fd, FILE_MODE) != 0)
        return cx_fail(CX_IO, "mode of %s: %s", path, strerror(errno));
    for (size_t at = 0; at < json->size;) {
        ssize_t n = write(fd, json->data + at, json->size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cx_fail(CX_IO, "write %s: %s", path, strerror(errno));
        at += (size_t)n;
    }
    if (fsync(fd) != 0)
        return cx_fail(CX_IO, "sync %s: %s", path, strerror(errno));
    return CX_OK;
}

/* After this the name survives a crash as well as the bytes do. */
static enum cx_err sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int size = snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    cx_assert(size > 0 && size < PATH_MAX);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return cx_fail(CX_IO, "open folder %s: %s", folder, strerror(errno));
    enum cx_err err = CX_OK;
    if (fsync(fd) != 0)
        err = cx_fail(CX_IO, "sync folder %s: %s", folder, strerror(errno));
    close(fd);
    return err;
}

/* The bytes go to a name of their own; link() then gives them the right name, and, unlike rename(), never
 * takes it from a file that has it already. */
static enum cx_err write_new(const char *path, const struct buf *json)
{
    char draft[PATH_MAX];
    if (snprintf(draft, sizeof draft, "%s.%016" PRIx64 ".tmp", path, random_u64()) >= (int)sizeof draft)
        return cx_fail(CX_TOO_LARGE, "the path of the key file is too long");
    int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return cx_fail(CX_IO, "create %s: %s", draft, strerror(errno));
    enum cx_err err = write_all(fd, draft, json);
    if (close(fd) != 0 && !err)
        err = cx_fail(CX_IO, "close %s: %s", draft, strerror(errno));
    if (!err && link(draft, path) != 0)
        err = errno == EEXIST ? cx_fail(CX_EXISTS, "%s exists already; a key is never overwritten", path)
                              : cx_fail(CX_IO, "name %s: %s", path, strerror(errno));
    unlink(draft);
    return err ? err : sync_folder(path);
}

enum cx_err keystore_write(const char *path, const struct key *key, const char *password, uint32_t scrypt_n)
{
    /* Asked first to save the wait; what counts is link(). */
    if (access(path, F_OK) == 0)
        return cx_fail(CX_EXISTS, "%s exists already; a key is never overwritten", path);
    struct buf json = {0};
    enum cx_err err = keystore_encode(key, password, scrypt_n, &json);
    if (!err)
        err = write_new(path, &json);
    buf_done(&json);
    return err;
}

static enum cx_err read_fd(int fd, const char *path, struct buf *ret_json, bool *ret_exposed)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return cx_fail(CX_IO, "look at %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return cx_fail(CX_INVALID, "%s is no file", path);
    if (st.st_size > KEYSTORE_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "%s has %lld bytes, over %d", path, (long long)st.st_size, KEYSTORE_SIZE_MAX);
    *ret_exposed = (st.st_mode & (S_IRWXG | S_IRWXO)) != 0;

    char part[4096];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cx_fail(CX_IO, "read %s: %s", path, strerror(errno));
        buf_add(ret_json, part, (size_t)n);
        if (ret_json->size > KEYSTORE_SIZE_MAX)
            return cx_fail(CX_TOO_LARGE, "%s has over %d bytes", path, KEYSTORE_SIZE_MAX);
    }
    return CX_OK;
}

/* O_NONBLOCK: a pipe of that name must not hold us. */
static enum cx_err read_file(const char *path, struct buf *ret_json, bool *ret_exposed)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return cx_fail(errno == ENOENT ? CX_NOT_FOUND : CX_IO, "open %s: %s", path, strerror(errno));
    enum cx_err err = read_fd(fd, path, ret_json, ret_exposed);
    close(fd);
    return err;
}

/* Puts the path before what the decoder said about the content. */
static enum cx_err of_file(enum cx_err err, const char *path)
{
    return err ? cx_fail(err, "%s: %s", path, cx_detail()) : CX_OK;
}

enum cx_err keystore_read(const char *path, const char *password, struct key **ret_key, bool *ret_exposed)
{
    struct buf json = {0};
    bool exposed = false;
    enum cx_err err = read_file(path, &json, &exposed);
    if (!err)
        err = of_file(keystore_decode(json.data ? json.data : "", json.size, password, ret_key), path);
    buf_done(&json);
    if (!err && ret_exposed)
        *ret_exposed = exposed;
    return err;
}

enum cx_err keystore_read_address(const char *path, struct address *ret_address)
{
    struct buf json = {0};
    bool exposed;
    enum cx_err err = read_file(path, &json, &exposed);
    if (!err)
        err = of_file(keystore_decode_address(json.data ? json.data : "", json.size, ret_address), path);
    buf_done(&json);
    return err;
}
