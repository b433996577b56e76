/* file.h - what is done to files beside what SQLite does: whether they are there, whose they are, and that their names
 * last. The simulator's disks (sim/disk.h) have a second body for each of these.
 */
#ifndef CORTEN_BASE_FILE_H
#define CORTEN_BASE_FILE_H

#include "base/err.h"

/* CX_OK: it is there and may be read. NOT_FOUND, DENIED. */
enum cx_err file_check(const char *path);
/* Makes it, empty and readable by its owner alone, where there is none. DENIED, IO. */
enum cx_err file_create_private(const char *path);
/* Bytes from `offset` on, as many as there are. NOT_FOUND, DENIED, IO. */
enum cx_err file_read(const char *path, uint64_t offset, void *ret_data, size_t size, size_t *ret_got);
/* The names of files just made are durable only when the folder they are in is. IO: by name. */
enum cx_err file_sync_folder(const char *path);

/* The right to be the only one: a lock that the system takes back when the process dies, however it dies. */
struct file_owner;
/* Makes the file where there is none, and writes this process's id into it. BUSY: another process, or another part of
 * this one, is the owner. DENIED, IO. */
enum cx_err file_own(const char *path, struct file_owner **ret_owner);
/* NULL: nobody. */
void file_disown(struct file_owner *owner);
/* Who took it last; 0: it does not say. */
long file_owner_pid(const char *path);

#endif
