/* What stands between a program under a crash test and the system: see shim.h.
 *
 * CRASH_FOLDER names the folder, with its final name; CRASH_CONTROL the file of struct crash_control. Without them the
 * shim lets everything pass.
 *
 * To lose what was not synced, the shim keeps for each file the sectors that changed since its last sync as they were
 * then, and its size. Names made or removed since their folder's last sync are undone by chance as well. The
 * write-ahead log's index (-shm) is mapped memory that nobody syncs: where the power fails it is filled with noise, and
 * SQLite has to make it again from the log.
 *
 * A process that is killed leaves in the system's memory what it wrote and did not sync: the next one sees it, and the
 * power may fail on that one too. So the shim leaves what it knew beside the control page, and takes it up again. A
 * kill -9 from outside leaves nothing: then what is in the files counts as synced.
 *
 * One lock holds all operations apart, so that a file and what is known of it agree. No file is opened or closed here
 * while the program lives: closing any descriptor of a file drops the program's locks on it.
 */
#include "tests/crash/shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES_MAX 32
#define FDS_MAX   4096
#define PATH_SIZE 1024
#define GONE      ".crash-gone"  // behind the name of a file whose removal its folder's sync has not yet made durable

struct sector {
    uint64_t number;
    bool used;
    bool failed;  // a sync of it failed: no later one helps
    uint8_t before[CRASH_SECTOR];
};

struct file {
    char path[PATH_SIZE];
    enum crash_kind kind;
    int fd;                 // one that can read and write; -1: none is open
    uint64_t synced_size;   // and its size then
    struct sector *sector;  // [cap], by open addressing: changed since
    uint32_t cap, count;
    uint32_t ordinal;  // operations since the last sync
    bool known;        // synced_size was looked at, or left by another process
    bool commit;       // of a log: the frame whose head was written last ends a transaction
    bool made;         // its name is not durable
    bool gone;         // there is an earlier file of this name, whose removal is not durable
};

static struct {
    int (*open)(const char *, int, ...);
    int (*close)(int);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*pread)(int, void *, size_t, off_t);
    int (*ftruncate)(int, off_t);
    int (*fsync)(int);
    int (*fdatasync)(int);
    int (*unlink)(const char *);
    int (*rename)(const char *, const char *);
    ssize_t (*send)(int, const void *, size_t, int);
} real;

static struct crash_control *control;
static char folder[PATH_SIZE];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file file[FILES_MAX];
static int file_count;
static int file_of_fd[FDS_MAX];  // 1 + its index; 0: none of ours
static bool fails_always;
static uint64_t noise;

static void take_up(void);

static void find(const char *name, void *ret_function)
{
    void *at = dlsym(RTLD_NEXT, name);
    memcpy(ret_function, &at, sizeof at);
}

__attribute__((constructor)) static void begin(void)
{
    find("open64", &real.open);
    find("close", &real.close);
    find("write", &real.write);
    find("pwrite64", &real.pwrite);
    find("pread64", &real.pread);
    find("ftruncate64", &real.ftruncate);
    find("fsync", &real.fsync);
    find("fdatasync", &real.fdatasync);
    find("unlink", &real.unlink);
    find("rename", &real.rename);
    find("send", &real.send);
    const char *where = getenv("CRASH_FOLDER"), *path = getenv("CRASH_CONTROL");
    if (!where || !path)
        return;
    snprintf(folder, sizeof folder, "%s", where);
    int fd = real.open(path, O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        fprintf(stderr, "crash shim: %s: %s\n", path, strerror(errno));
        abort();
    }
    real.close(fd);
    control = map;
    noise = control->seed;
    take_up();
}

/* splitmix64: chance that a seed repeats. */
static uint64_t chance(void)
{
    uint64_t z = noise += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ---- files ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);
    return size >= tail && strcmp(text + size - tail, end) == 0;
}

static enum crash_kind kind_of(const char *path)
{
    static const struct {
        const char *end;
        enum crash_kind kind;
    } kinds[] = {
        {"/ledger.db", CRASH_LEDGER},
        {"/ledger.db-wal", CRASH_LEDGER_LOG},
        {"/ledger.db-shm", CRASH_LEDGER_SHARED},
        {"/ledger.db-owner", CRASH_OWNER},
        {"/archive.db", CRASH_ARCHIVE},
        {"/archive.db-wal", CRASH_ARCHIVE_LOG},
        {"/archive.db-shm", CRASH_ARCHIVE_SHARED},
    };
    if (strcmp(path, folder) == 0)
        return CRASH_FOLDER;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (ends_with(path, kinds[i].end))
            return kinds[i].kind;
    return CRASH_OTHER;
}

static bool is_log(const struct file *f) { return f->kind == CRASH_LEDGER_LOG || f->kind == CRASH_ARCHIVE_LOG; }

/* Mapped memory: written to behind our back. */
static bool is_shared(const struct file *f)
{
    return f->kind == CRASH_LEDGER_SHARED || f->kind == CRASH_ARCHIVE_SHARED;
}

static bool is_ours(const char *path)
{
    size_t size = strlen(folder);
    return control && strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == '\0') &&
           !ends_with(path, GONE);
}

static struct file *file_named(const char *path)
{
    for (int i = 0; i < file_count; i++)
        if (strcmp(file[i].path, path) == 0)
            return &file[i];
    if (file_count == FILES_MAX)
        abort();
    struct file *f = &file[file_count++];
    *f = (struct file){.kind = kind_of(path), .fd = -1};
    snprintf(f->path, sizeof f->path, "%s", path);
    return f;
}

static struct file *file_open_as(int fd)
{
    return control && fd >= 0 && fd < FDS_MAX && file_of_fd[fd] ? &file[file_of_fd[fd] - 1] : NULL;
}

static uint64_t size_of(int fd)
{
    struct stat s;
    return fstat(fd, &s) ? 0 : (uint64_t)s.st_size;
}

/* ---- what a crash may undo ---- */

static struct sector *sector_at(struct file *f, uint64_t number)
{
    uint32_t at = (uint32_t)(number * 0x9e3779b1u) & (f->cap - 1);
    while (f->sector[at].used && f->sector[at].number != number)
        at = (at + 1) & (f->cap - 1);
    return &f->sector[at];
}

static void make_room(struct file *f)
{
    if (f->count * 2 < f->cap)
        return;
    struct file old = *f;
    f->cap = old.cap ? 2 * old.cap : 256;
    f->sector = calloc(f->cap, sizeof *f->sector);
    if (!f->sector)
        abort();
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.sector[i].used)
            *sector_at(f, old.sector[i].number) = old.sector[i];
    free(old.sector);
}

/* Before bytes from..to of the file change. */
static void remember(struct file *f, int fd, uint64_t from, uint64_t to)
{
    for (uint64_t n = from / CRASH_SECTOR; n * CRASH_SECTOR < to; n++) {
        make_room(f);
        struct sector *s = sector_at(f, n);
        if (s->used) {
            s->failed = false;  // written again: the next sync may be good
            continue;
        }
        *s = (struct sector){.number = n, .used = true};
        f->count++;
        if (n * CRASH_SECTOR < f->synced_size && real.pread(fd, s->before, CRASH_SECTOR, (off_t)(n * CRASH_SECTOR)) < 0)
            abort();
    }
}

static void synced(struct file *f, int fd)
{
    f->ordinal = 0;
    f->synced_size = size_of(fd);
    struct sector *old = f->sector;
    uint32_t cap = f->cap, failed = 0;
    for (uint32_t i = 0; i < cap; i++)
        failed += old[i].used && old[i].failed;
    f->sector = NULL;
    f->cap = f->count = 0;
    for (uint32_t i = 0; i < cap && failed > 0; i++)
        if (old[i].used && old[i].failed) {
            make_room(f);
            *sector_at(f, old[i].number) = old[i];
            f->count++;
        }
    free(old);
}

static void sync_failed(struct file *f)
{
    for (uint32_t i = 0; i < f->cap; i++)
        f->sector[i].failed = f->sector[i].used;
}

static void gone_name(const struct file *f, char ret_path[PATH_SIZE + 16])
{
    snprintf(ret_path, PATH_SIZE + 16, "%.1000s%s", f->path, GONE);
}

static void folder_synced(void)
{
    char gone[PATH_SIZE + 16];
    for (int i = 0; i < file_count; i++) {
        file[i].made = false;
        if (!file[i].gone)
            continue;
        file[i].gone = false;
        gone_name(&file[i], gone);
        real.unlink(gone);
    }
}

/* ---- a power cut ---- */

static void fill_with_noise(const struct file *f)
{
    uint64_t block[64];
    int fd = real.open(f->path, O_WRONLY | O_CLOEXEC);
    for (uint64_t at = 0, size = fd < 0 ? 0 : size_of(fd); at < size; at += sizeof block) {
        for (size_t i = 0; i < sizeof block / sizeof *block; i++)
            block[i] = chance();
        if (real.pwrite(fd, block, sizeof block, (off_t)at) < 0)
            break;
    }
}

static void undo_name(struct file *f)
{
    char gone[PATH_SIZE + 16];
    if (f->made && chance() % 2)
        real.unlink(f->path);
    if (f->gone && chance() % 2) {
        gone_name(f, gone);
        real.rename(gone, f->path);
    }
}

/* The file as a disk may have it: some of what was not synced, and the size then or now. */
static void undo(struct file *f)
{
    static const uint8_t zeros[CRASH_SECTOR];
    int fd = f->fd >= 0 ? f->fd : real.open(f->path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || (f->count == 0 && size_of(fd) == f->synced_size))
        return;
    uint64_t now = size_of(fd);
    unsigned keep_of_8 = (unsigned)(chance() % 9);
    bool size_lost = keep_of_8 == 0 || chance() % 2;
    uint64_t size = size_lost ? f->synced_size : now;
    if (size != now && real.ftruncate(fd, (off_t)size))
        abort();
    for (uint32_t i = 0; i < f->cap; i++) {
        const struct sector *s = &f->sector[i];
        uint64_t at = s->number * CRASH_SECTOR;
        if (!s->used || at >= size)
            continue;
        bool was_cut = at >= now;
        if (!was_cut && !s->failed && chance() % 8 < keep_of_8)
            continue;
        size_t count = size - at < CRASH_SECTOR ? (size_t)(size - at) : CRASH_SECTOR;
        if (real.pwrite(fd, at < f->synced_size ? s->before : zeros, count, (off_t)at) < 0)
            abort();
        control->lost++;
    }
}

static void cut_power(void)
{
    for (int i = 0; i < file_count; i++)
        if (is_shared(&file[i]))
            fill_with_noise(&file[i]);
        else if (file[i].kind != CRASH_FOLDER)
            undo(&file[i]);
    for (int i = 0; i < file_count; i++)
        undo_name(&file[i]);
}

__attribute__((destructor)) static void end(void)
{
    if (!control || !atomic_load(&control->cut))
        return;
    pthread_mutex_lock(&lock);
    cut_power();
    pthread_mutex_unlock(&lock);
}

/* ---- what a process leaves to the next ---- */

static void left_name(char ret_path[PATH_SIZE])
{
    snprintf(ret_path, PATH_SIZE, "%.1000s.left", getenv("CRASH_CONTROL"));
}

static void must_write(int fd, const void *data, size_t size)
{
    if (real.write(fd, data, size) != (ssize_t)size)
        abort();
}

static void leave(void)
{
    char path[PATH_SIZE];
    left_name(path);
    int fd = real.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (int i = 0; i < file_count; i++) {
        must_write(fd, &file[i], sizeof file[i]);
        for (uint32_t n = 0; n < file[i].cap; n++)
            if (file[i].sector[n].used)
                must_write(fd, &file[i].sector[n], sizeof file[i].sector[n]);
    }
}

static void take_up(void)
{
    char path[PATH_SIZE];
    struct file old;
    left_name(path);
    FILE *left = fopen(path, "r");
    while (left && fread(&old, sizeof old, 1, left) == 1) {
        struct file *f = file_named(old.path);
        *f = old;
        f->fd = -1;
        f->sector = NULL;
        f->cap = f->count = 0;
        for (uint32_t n = 0; n < old.count; n++) {
            struct sector s;
            if (fread(&s, sizeof s, 1, left) != 1)
                abort();
            make_room(f);
            *sector_at(f, s.number) = s;
            f->count++;
        }
    }
    if (left)
        fclose(left);
    real.unlink(path);
}

static _Noreturn void die(void)
{
    for (;;)
        kill(getpid(), SIGKILL);
}

/* ---- boundaries ---- */

static uint64_t ordinal_class(uint32_t ordinal)
{
    uint64_t class = ordinal < 4 ? ordinal : 4;
    for (uint32_t bound = 8; class >= 4 && class < 7 && ordinal >= bound; bound *= 2)
        class ++;
    return class;
}

static uint64_t class_of(enum crash_kind kind, enum crash_op op, enum crash_part part, uint32_t ordinal)
{
    uint64_t phase = atomic_load(&control->phase) & 3;
    return phase << 14 | (uint64_t)kind << 10 | (uint64_t)op << 6 | (uint64_t)part << 3 | ordinal_class(ordinal);
}

/* What is to be done at this boundary. `class` is noted if it is anything. */
static enum crash_action act(uint64_t class, bool is_send)
{
    control->count[class]++;
    if (!atomic_load(&control->armed))
        return CRASH_NOTHING;
    bool counts = control->wanted == (class & control->mask);
    if (control->wanted == CRASH_ANY_CLASS)
        counts = is_send ? control->sends > 0 : control->sends < 2;
    if (!counts || control->countdown-- > 0)
        return CRASH_NOTHING;
    atomic_store(&control->armed, 0);
    noise = control->seed;
    control->fired_class = class;
    atomic_store(&control->fired, 1);
    return (enum crash_action)control->action;
}

static void act_before(enum crash_action action)
{
    if (action == CRASH_POWER_BEFORE)
        cut_power();
    if (action == CRASH_BEFORE)
        leave();
    if (action == CRASH_BEFORE || action == CRASH_POWER_BEFORE)
        die();
}

static void act_after(enum crash_action action)
{
    int error = errno;
    if (action == CRASH_POWER_AFTER)
        cut_power();
    if (action == CRASH_AFTER || action == CRASH_TORN)
        leave();
    if (action == CRASH_AFTER || action == CRASH_POWER_AFTER || action == CRASH_TORN)
        die();
    errno = error;
}

/* Boundaries that are not writes to an open file: nothing of them can be torn. */
static enum crash_action act_whole(struct file *f, enum crash_op op)
{
    enum crash_action action = act(class_of(f->kind, op, CRASH_PART_NONE, f->ordinal), false);
    if (op != CRASH_SYNC)
        f->ordinal++;
    act_before(action);
    return action;
}

/* ---- writing ---- */

static enum crash_part part_of(struct file *f, const void *data, size_t size, uint64_t at)
{
    const uint8_t *bytes = data;
    if (at == 0 && (!is_log(f) || size == 32))
        return CRASH_PART_HEAD;
    if (!is_log(f))
        return CRASH_PART_PAGE;
    if (size != 24)
        return f->commit ? CRASH_PART_COMMIT_PAGE : CRASH_PART_PAGE;
    f->commit = bytes[4] || bytes[5] || bytes[6] || bytes[7];  // the database's size after the transaction
    return f->commit ? CRASH_PART_COMMIT : CRASH_PART_FRAME;
}

/* How much of this write the disk has room for. */
static size_t room_for(int fd, size_t size, uint64_t at)
{
    uint64_t room = atomic_load(&control->room), now = size_of(fd), end = at + size;
    uint64_t growth = end > now ? end - now : 0;
    if (room == CRASH_ROOM_ALL)
        return size;
    if (growth > room) {
        uint64_t all = now + room > at ? now + room - at : 0;
        growth = room;
        size = all < size ? (size_t)all : size;
    }
    atomic_fetch_sub(&control->room, growth);
    return size;
}

static size_t torn_size(size_t size, uint64_t at)
{
    uint64_t first = at / CRASH_SECTOR, last = (at + size - 1) / CRASH_SECTOR;
    uint64_t sectors = chance() % (last - first + 1);
    return sectors == 0 ? 0 : (size_t)((first + sectors) * CRASH_SECTOR - at);
}

static ssize_t write_file(struct file *f, int fd, const void *data, size_t size, uint64_t at)
{
    pthread_mutex_lock(&lock);
    enum crash_action action = act(class_of(f->kind, CRASH_WRITE, part_of(f, data, size, at), f->ordinal), false);
    f->ordinal++;
    act_before(action);
    size_t fits = room_for(fd, size, at);
    if (action == CRASH_TORN)
        fits = torn_size(size, at);
    ssize_t wrote = -1;
    if (action == CRASH_FAIL_ONCE || action == CRASH_FAIL_ALWAYS) {
        atomic_fetch_add(&control->refused, 1);
        pthread_mutex_unlock(&lock);
        errno = EIO;
        return -1;
    }
    if (!is_shared(f))
        remember(f, fd, at, at + fits);
    if (fits > 0 || size == 0 || action == CRASH_TORN) {
        wrote = real.pwrite(fd, data, fits, (off_t)at);
    } else {
        errno = ENOSPC;
        atomic_fetch_add(&control->refused, 1);
    }
    act_after(action);
    pthread_mutex_unlock(&lock);
    return wrote;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    struct file *f = file_open_as(fd);
    return f ? write_file(f, fd, data, size, (uint64_t)at) : real.pwrite(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

ssize_t write(int fd, const void *data, size_t size)
{
    struct file *f = file_open_as(fd);
    if (!f)
        return real.write(fd, data, size);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t wrote = write_file(f, fd, data, size, (uint64_t)at);
    if (wrote > 0)
        lseek(fd, at + wrote, SEEK_SET);
    return wrote;
}

/* Nothing of ours writes in pieces; if a library begins to, it must be seen. */
ssize_t pwritev64(int fd, const struct iovec *part, int count, off_t at)
{
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        ssize_t wrote = pwrite64(fd, part[i].iov_base, part[i].iov_len, at + all);
        if (wrote < 0)
            return all > 0 ? all : -1;
        all += wrote;
        if ((size_t)wrote < part[i].iov_len)
            break;
    }
    return all;
}

ssize_t pwritev(int fd, const struct iovec *part, int count, off_t at) { return pwritev64(fd, part, count, at); }

int ftruncate64(int fd, off_t size)
{
    struct file *f = file_open_as(fd);
    if (!f)
        return real.ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    enum crash_action action = act_whole(f, CRASH_TRUNCATE);
    uint64_t now = size_of(fd);
    if ((uint64_t)size < now && !is_shared(f))
        remember(f, fd, (uint64_t)size, now < f->synced_size ? now : f->synced_size);
    int code = real.ftruncate(fd, size);
    act_after(action);
    pthread_mutex_unlock(&lock);
    return code;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* The only mappings of ours that write are those of -shm, which nobody syncs. */
int msync(void *at, size_t size, int flags)
{
    (void)at;
    (void)size;
    (void)flags;
    abort();
}

/* ---- syncing ---- */

static int sync_file(struct file *f, int fd, int (*how)(int))
{
    pthread_mutex_lock(&lock);
    enum crash_action action = act_whole(f, CRASH_SYNC);
    int code;
    fails_always = fails_always || action == CRASH_FAIL_ALWAYS;
    if (fails_always || action == CRASH_FAIL_ONCE) {
        sync_failed(f);
        atomic_fetch_add(&control->refused, 1);
        errno = EIO;
        code = -1;
    } else {
        code = how(fd);
        if (code == 0 && f->kind == CRASH_FOLDER)
            folder_synced();
        else if (code == 0)
            synced(f, fd);
    }
    act_after(action);
    pthread_mutex_unlock(&lock);
    return code;
}

int fsync(int fd)
{
    struct file *f = file_open_as(fd);
    return f ? sync_file(f, fd, real.fsync) : real.fsync(fd);
}

int fdatasync(int fd)
{
    struct file *f = file_open_as(fd);
    return f ? sync_file(f, fd, real.fdatasync) : real.fdatasync(fd);
}

/* ---- names ---- */

/* The file stays under another name until its folder is synced, so that a power cut can bring it back. */
int unlink(const char *path)
{
    char gone[PATH_SIZE + 16];
    if (!is_ours(path))
        return real.unlink(path);
    pthread_mutex_lock(&lock);
    struct file *f = file_named(path);
    enum crash_action action = act_whole(f, CRASH_UNLINK);
    gone_name(f, gone);
    bool durable = !f->made;
    int code = durable ? real.rename(path, gone) : real.unlink(path);
    if (code == 0) {
        f->gone = f->gone || durable;
        f->made = false;
        f->fd = -1;
        f->synced_size = 0;
        free(f->sector);
        f->sector = NULL;
        f->cap = f->count = 0;
    }
    act_after(action);
    pthread_mutex_unlock(&lock);
    return code;
}

int rename(const char *from, const char *to)
{
    if (!is_ours(from) && !is_ours(to))
        return real.rename(from, to);
    pthread_mutex_lock(&lock);
    enum crash_action action = act_whole(file_named(to), CRASH_RENAME);
    int code = real.rename(from, to);
    act_after(action);
    pthread_mutex_unlock(&lock);
    return code;
}

static int open_ours(const char *path, int flags, mode_t mode)
{
    pthread_mutex_lock(&lock);
    struct file *f = file_named(path);
    struct stat s;
    bool makes = (flags & O_CREAT) && stat(path, &s) != 0;
    enum crash_action action = makes ? act_whole(f, CRASH_CREATE) : CRASH_NOTHING;
    int fd = real.open(path, flags, mode);
    if (fd >= 0 && fd < FDS_MAX) {
        if (!f->known && !makes)
            f->synced_size = size_of(fd);
        f->known = true;
        file_of_fd[fd] = 1 + (int)(f - file);
        f->made = f->made || makes;
        if ((flags & O_ACCMODE) == O_RDWR)
            f->fd = fd;
    }
    act_after(action);
    pthread_mutex_unlock(&lock);
    return fd;
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? (mode_t)va_arg(more, int) : 0;
    va_end(more);
    return is_ours(path) ? open_ours(path, flags, mode) : real.open(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? (mode_t)va_arg(more, int) : 0;
    va_end(more);
    return open64(path, flags, mode);
}

int close(int fd)
{
    struct file *f = file_open_as(fd);
    if (!f)
        return real.close(fd);
    pthread_mutex_lock(&lock);
    file_of_fd[fd] = 0;
    if (f->fd == fd)
        f->fd = -1;
    for (int other = 0; f->fd < 0 && other < FDS_MAX; other++)
        if (file_of_fd[other] == 1 + (int)(f - file) && (fcntl(other, F_GETFL) & O_ACCMODE) == O_RDWR)
            f->fd = other;
    int code = real.close(fd);
    pthread_mutex_unlock(&lock);
    return code;
}

/* ---- sending ---- */

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    const uint8_t *bytes = data;
    if (!control || size == 0)
        return real.send(fd, data, size, flags);
    pthread_mutex_lock(&lock);
    enum crash_part part = size >= 5 && memcmp(data, "HTTP/", 5) == 0 ? CRASH_PART_HEAD
                           : bytes[0] >= 0x80                         ? CRASH_PART_FRAME
                                                                      : CRASH_PART_PAGE;
    enum crash_action action = act(class_of(CRASH_SOCKET, CRASH_SEND, part, 0), true);
    act_before(action);
    if (action == CRASH_TORN)
        size = chance() % size;
    ssize_t sent = size > 0 ? real.send(fd, data, size, flags) : 0;
    act_after(action);
    pthread_mutex_unlock(&lock);
    return sent;
}
