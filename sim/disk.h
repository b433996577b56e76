/* disk.h - the disks of simulated computers: what SQLite and base/file.h see as files, and what a power cut leaves.
 *
 *      disk_install(seed)                      the process's SQLite then knows no other files than these
 *      disk_open(&options) -> disk             all paths "NAME/..." are on it
 *      disk_die(disk); close what is open; disk_revive(disk, true)      a power cut and what is left of the files
 *
 * A disk holds what was written; what was not synced it may forget:
 *
 *      write --> unsynced --sync--> kept for good
 *                   |
 *                   +--power cut--> for each sector, any of its versions since the last sync: lost, kept or between
 *                   +--failed sync-> the same, but readers still see what they wrote until the next power cut
 *
 * Names are durable only when their folder is synced, as SQLite does with the first sync of a new journal. Without
 * power_safe, a sector that was being written may be garbage as a whole, with its neighbours' bytes. A killed process
 * (disk_revive with power kept) loses locks and shared memory, no bytes.
 *
 * All choices come from the seed and from the order of calls. One thread.
 */
#ifndef CORTEN_SIM_DISK_H
#define CORTEN_SIM_DISK_H

#include "base/types.h"

#define DISK_VFS_NAME      "corten-sim"
#define DISK_NAME_SIZE_MAX 32
#define DISK_PATH_SIZE_MAX 256

struct disk;

/* Faults that happen by themselves, in millionths of the operations of their kind; latencies in microseconds. All zero:
 * a disk that only forgets. May be changed at any time. */
struct disk_faults {
    uint32_t read_fail_ppm, write_fail_ppm, sync_fail_ppm;
    uint32_t sync_lie_ppm;  // says it has synced and has not: no ordinary disk; for tests that must then fail
    uint32_t write_us_max, sync_us_min, sync_us_max;
    uint64_t capacity;  // bytes of all files; 0: as many as you like
};

struct disk_options {
    const char *name;  // without '/'
    uint64_t seed;
    uint32_t sector_size;  // 512 or 4096; 0: 4096
    bool power_safe;       // a write never harms the bytes beside it
};

/* What a disk has done and done wrong. */
struct disk_stats {
    uint64_t reads, writes, syncs, deletes;
    uint64_t power_cuts;
    uint64_t sectors_lost, sectors_torn, sectors_garbage;  // lost: the oldest version; torn: one between
    uint64_t names_lost, sizes_lost;
    uint64_t reads_failed, writes_failed, syncs_failed, writes_full, bits_flipped;
};

/* Makes the simulated disks SQLite's files. The seed is SQLite's randomness from here on; call again for each world. */
void disk_install(uint64_t seed);
/* Gives SQLite its ordinary files back. */
void disk_uninstall(void);

struct disk *disk_open(const struct disk_options *options);
/* Everything on it was closed. */
void disk_close(struct disk *disk);

struct disk_faults *disk_faults(struct disk *disk);
const struct disk_stats *disk_stats(const struct disk *disk);
/* The time that operations took since the last call: who ran them is to finish that much later. */
uint64_t disk_take_latency_us(struct disk *disk);

/* From now on everything fails and nothing changes. */
void disk_die(struct disk *disk);
/* The same within the count-th operation from now (1: the next) that would change something; 0: not at all. */
void disk_die_at(struct disk *disk, uint64_t count);
bool disk_is_dead(const struct disk *disk);
/* After all that was open on it was closed. power_lost: what was not synced is drawn, else everything is there. */
void disk_revive(struct disk *disk, bool power_lost);

/* The next sync fails. */
void disk_fail_sync(struct disk *disk);

/* Damages one bit, also of what is kept for good. False: there is no such byte. */
bool disk_flip(struct disk *disk, const char *path, uint64_t offset, unsigned bit);
/* Bytes of all files. */
uint64_t disk_used(const struct disk *disk);
/* UINT64_MAX: there is no such file. */
uint64_t disk_file_size(const struct disk *disk, const char *path);
/* The nth file's path; NULL: there are not so many. */
const char *disk_file_name(const struct disk *disk, uint32_t n);

#endif
