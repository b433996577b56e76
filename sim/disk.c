/* Disks and the names on them. */
#include "sim/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sim/disk_parts.h"

static struct disk *disks;  // all that are open

/* ---- opening and closing ----------------------------------------------------------------------- */

struct disk *disk_open(const struct disk_options *options)
{
    cx_assert(options->name && options->name[0] && !strchr(options->name, '/'));
    cx_assert(strlen(options->name) < DISK_NAME_SIZE_MAX);
    uint32_t sector_size = options->sector_size ? options->sector_size : 4096;
    cx_assert(sector_size == 512 || sector_size == 4096);
    struct disk *disk = calloc(1, sizeof *disk);
    cx_assert(disk);
    snprintf(disk->name, sizeof disk->name, "%s", options->name);
    disk->prng.state = options->seed;
    disk->sector_size = sector_size;
    disk->power_safe = options->power_safe;
    disk->next = disks;
    disks = disk;
    return disk;
}

void disk_close(struct disk *disk)
{
    if (!disk)
        return;
    cx_assert(disk->handles == 0);
    for (uint32_t i = 0; i < disk->entry_count; i++) {
        disk_inode_unref(disk->entry[i].now);
        disk_inode_unref(disk->entry[i].kept);
    }
    struct disk **at = &disks;
    while (*at != disk)
        at = &(*at)->next;
    *at = disk->next;
    free(disk->entry);
    free(disk);
}

struct disk *disk_of(const char *path)
{
    for (struct disk *disk = disks; disk; disk = disk->next) {
        size_t size = strlen(disk->name);
        if (strncmp(path, disk->name, size) == 0 && path[size] == '/')
            return disk;
    }
    return NULL;
}

struct disk_faults *disk_faults(struct disk *disk) { return &disk->faults; }

const struct disk_stats *disk_stats(const struct disk *disk) { return &disk->stats; }

uint64_t disk_take_latency_us(struct disk *disk)
{
    uint64_t latency_us = disk->latency_us;
    disk->latency_us = 0;
    return latency_us;
}

/* ---- faults ------------------------------------------------------------------------------------ */

bool disk_chance(struct disk *disk, uint32_t ppm) { return ppm && prng_below(&disk->prng, 1000000) < ppm; }

void disk_die(struct disk *disk) { disk->dead = true; }

void disk_die_at(struct disk *disk, uint64_t count) { disk->die_in = count; }

bool disk_is_dead(const struct disk *disk) { return disk->dead; }

void disk_fail_sync(struct disk *disk) { disk->fail_sync = true; }

enum disk_fate disk_step(struct disk *disk)
{
    if (disk->dead)
        return FATE_DEAD;
    if (disk->die_in == 0 || --disk->die_in)
        return FATE_GOOD;
    disk->dead = true;
    return FATE_DIES;
}

/* ---- names ------------------------------------------------------------------------------------- */

struct disk_name *disk_find(struct disk *disk, const char *path)
{
    for (uint32_t i = 0; i < disk->entry_count; i++)
        if (strcmp(disk->entry[i].path, path) == 0)
            return &disk->entry[i];
    return NULL;
}

static struct disk_name *add_name(struct disk *disk, const char *path)
{
    if (disk->entry_count == disk->entry_cap) {
        disk->entry_cap = disk->entry_cap ? 2 * disk->entry_cap : 8;
        disk->entry = realloc(disk->entry, disk->entry_cap * sizeof *disk->entry);
        cx_assert(disk->entry);
    }
    struct disk_name *name = &disk->entry[disk->entry_count++];
    *name = (struct disk_name){.now = NULL};
    snprintf(name->path, sizeof name->path, "%s", path);
    return name;
}

static void set(struct disk_inode **at, struct disk_inode *inode)
{
    if (inode)
        disk_inode_ref(inode);
    disk_inode_unref(*at);
    *at = inode;
}

static void drop_unused_names(struct disk *disk)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < disk->entry_count; i++)
        if (disk->entry[i].now || disk->entry[i].kept)
            disk->entry[count++] = disk->entry[i];
    disk->entry_count = count;
}

struct disk_inode *disk_create(struct disk *disk, const char *path)
{
    struct disk_name *name = disk_find(disk, path);
    if (name && name->now)
        return name->now;
    enum disk_fate fate = disk_step(disk);
    if (fate == FATE_DEAD)
        return NULL;
    if (!name)
        name = add_name(disk, path);
    name->now = disk_inode_make();
    return fate == FATE_DIES ? NULL : name->now;
}

bool disk_delete(struct disk *disk, const char *path)
{
    struct disk_name *name = disk_find(disk, path);
    errno = name && name->now ? EIO : ENOENT;
    if (!name || !name->now)
        return false;
    enum disk_fate fate = disk_step(disk);
    if (fate == FATE_DEAD || (fate == FATE_DIES && prng_below(&disk->prng, 2)))
        return false;
    set(&name->now, NULL);
    disk->stats.deletes++;
    drop_unused_names(disk);
    return fate == FATE_GOOD;
}

static size_t folder_size(const char *path) { return (size_t)(strrchr(path, '/') - path); }

void disk_sync_names(struct disk *disk, const char *path)
{
    size_t size = folder_size(path);
    for (uint32_t i = 0; i < disk->entry_count; i++) {
        struct disk_name *name = &disk->entry[i];
        if (folder_size(name->path) == size && memcmp(name->path, path, size) == 0)
            set(&name->kept, name->now);
    }
    drop_unused_names(disk);
}

int disk_sync_folder(struct disk *disk, const char *path)
{
    disk->stats.syncs++;
    enum disk_fate fate = disk_step(disk);
    bool fails = disk->fail_sync || disk_chance(disk, disk->faults.sync_fail_ppm);
    disk->fail_sync = false;
    if (fate == FATE_DEAD || fails) {
        disk->stats.syncs_failed += fate != FATE_DEAD;
        return EIO;
    }
    if (fate == FATE_DIES && prng_below(&disk->prng, 2))
        return EIO;
    if (!disk_chance(disk, disk->faults.sync_lie_ppm))
        disk_sync_names(disk, path);
    return fate == FATE_GOOD ? 0 : EIO;
}

/* ---- after death ------------------------------------------------------------------------------- */

/* What a folder that was not synced says: the old entry, the new one, or that the old one is gone. */
static void draw_name(struct disk *disk, struct disk_name *name)
{
    if (name->now == name->kept)
        return;
    uint64_t draw = prng_below(&disk->prng, 5);
    struct disk_inode *is = draw < 2 ? name->now : draw < 4 ? name->kept : NULL;
    disk->stats.names_lost += is != name->now;
    set(&name->now, is);
    set(&name->kept, is);
}

void disk_revive(struct disk *disk, bool power_lost)
{
    cx_assert(disk->handles == 0);
    disk->dead = false;
    disk->die_in = 0;
    disk->fail_sync = false;
    disk->latency_us = 0;
    if (!power_lost)
        return;
    disk->stats.power_cuts++;
    for (uint32_t i = 0; i < disk->entry_count; i++)
        draw_name(disk, &disk->entry[i]);
    drop_unused_names(disk);
    for (uint32_t i = 0; i < disk->entry_count; i++)
        disk_inode_power_cut(disk, disk->entry[i].now);
}

/* ---- from outside ------------------------------------------------------------------------------ */

bool disk_flip(struct disk *disk, const char *path, uint64_t offset, unsigned bit)
{
    cx_assert(bit < 8);
    struct disk_name *name = disk_find(disk, path);
    if (!name || !name->now || offset >= name->now->size)
        return false;
    name->now->data[offset] ^= (uint8_t)(1u << bit);
    disk->stats.bits_flipped++;
    return true;
}

uint64_t disk_file_size(const struct disk *disk, const char *path)
{
    for (uint32_t i = 0; i < disk->entry_count; i++)
        if (disk->entry[i].now && strcmp(disk->entry[i].path, path) == 0)
            return disk->entry[i].now->size;
    return UINT64_MAX;
}

const char *disk_file_name(const struct disk *disk, uint32_t n)
{
    for (uint32_t i = 0; i < disk->entry_count; i++)
        if (disk->entry[i].now && n-- == 0)
            return disk->entry[i].path;
    return NULL;
}
