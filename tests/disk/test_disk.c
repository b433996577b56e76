/* The simulated disk by itself: what it keeps, and that each of its faults is felt. */
#include <errno.h>

#include "base/file.h"
#include "lib/test.h"
#include "sim/disk_parts.h"

static struct disk *disk;

static struct disk_inode *fresh(uint64_t seed, uint32_t sector_size, bool power_safe)
{
    disk_close(disk);
    disk = disk_open(
        &(struct disk_options){.name = "d", .seed = seed, .sector_size = sector_size, .power_safe = power_safe});
    struct disk_inode *inode = disk_create(disk, "d/file");
    CHECK(inode);
    CHECK_EQ(disk_sync_folder(disk, "d/file"), 0);
    return inode;
}

static void put(struct disk_inode *inode, uint64_t offset, char letter, size_t size)
{
    static char bytes[1 << 16];
    memset(bytes, letter, size);
    CHECK_EQ(disk_write(disk, inode, offset, bytes, size), 0);
}

static char at(struct disk_inode *inode, uint64_t offset)
{
    char letter = '?';
    size_t got = 0;
    CHECK_EQ(disk_read(disk, inode, offset, &letter, 1, &got), 0);
    return got ? letter : '.';
}

static struct disk_inode *cut(void)
{
    disk_die(disk);
    disk_revive(disk, true);
    struct disk_name *name = disk_find(disk, "d/file");
    return name ? name->now : NULL;
}

TEST(disk, keeps_what_was_synced)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct disk_inode *inode = fresh(seed, seed % 2 ? 512 : 4096, seed % 3 == 0);
        put(inode, 0, 'a', 9000);
        put(inode, 100, 'b', 600);
        CHECK_EQ(disk_sync(disk, inode), 0);
        CHECK(cut() == inode);
        CHECK_EQ(inode->size, 9000);
        for (uint64_t i = 0; i < 9000; i++)
            CHECK_EQ(at(inode, i), i >= 100 && i < 700 ? 'b' : 'a');
    }
    disk_close(disk);
}

/* Of two writes to two sectors, every combination is seen some time, and within a sector none but whole versions. */
TEST(disk, loses_keeps_or_tears_each_sector_by_itself)
{
    unsigned seen[3][3] = {{0}};
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct disk_inode *inode = fresh(seed, 512, true);
        put(inode, 0, 'a', 1024);
        CHECK_EQ(disk_sync(disk, inode), 0);
        put(inode, 0, 'b', 1024);
        put(inode, 0, 'c', 1024);
        CHECK(cut() == inode);
        int first = at(inode, 0) - 'a', second = at(inode, 512) - 'a';
        CHECK(first >= 0 && first < 3 && second >= 0 && second < 3);
        for (uint64_t i = 0; i < 1024; i++)
            CHECK_EQ(at(inode, i) - 'a', i < 512 ? first : second);
        seen[first][second]++;
    }
    for (int i = 0; i < 9; i++)
        CHECK(seen[i / 3][i % 3] > 100);
    CHECK(disk_stats(disk)->power_cuts > 0);
    disk_close(disk);
}

TEST(disk, may_spoil_the_bytes_beside_a_write_where_that_is_not_excluded)
{
    unsigned spoilt[2] = {0};
    for (uint64_t seed = 0; seed < 2000; seed++) {
        bool power_safe = seed % 2;
        struct disk_inode *inode = fresh(seed, 4096, power_safe);
        put(inode, 0, 'a', 4096);
        CHECK_EQ(disk_sync(disk, inode), 0);
        put(inode, 1000, 'b', 10);
        CHECK(cut() == inode);
        spoilt[power_safe] += at(inode, 0) != 'a';
    }
    CHECK(spoilt[0] > 5);
    CHECK_EQ(spoilt[1], 0);
    disk_close(disk);
}

TEST(disk, loses_names_until_their_folder_is_synced)
{
    unsigned there = 0, old = 0;
    for (uint64_t seed = 0; seed < 500; seed++) {
        fresh(seed, 4096, true);
        struct disk_inode *new = disk_create(disk, "d/new");
        put(new, 0, 'n', 10);
        CHECK_EQ(disk_sync(disk, new), 0);  // the content alone
        CHECK(disk_delete(disk, "d/file"));
        old += cut() != NULL;
        there += disk_file_size(disk, "d/new") == 10;
    }
    CHECK(there > 100 && there < 400);
    CHECK(old > 100 && old < 400);
    for (uint64_t seed = 0; seed < 100; seed++) {
        fresh(seed, 4096, true);
        struct disk_inode *new = disk_create(disk, "d/new");
        put(new, 0, 'n', 10);
        CHECK_EQ(disk_sync(disk, new), 0);
        CHECK(disk_delete(disk, "d/file"));
        CHECK_EQ(file_sync_folder("d/new"), CX_OK);
        CHECK(cut() == NULL);
        CHECK_EQ(disk_file_size(disk, "d/new"), 10);
        CHECK_EQ(disk_file_size(disk, "d/file"), UINT64_MAX);
    }
    disk_close(disk);
}

/* What a failed sync has given up no later sync brings to the disk, though readers saw it all the while. */
TEST(disk, forgets_at_a_failed_sync_and_later_syncs_do_not_help)
{
    unsigned lost = 0, dropped = 0, kept = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct disk_inode *inode = fresh(seed, 512, true);
        put(inode, 0, 'a', 512);
        CHECK_EQ(disk_sync(disk, inode), 0);
        put(inode, 0, 'b', 512);
        disk_fail_sync(disk);
        CHECK_EQ(disk_sync(disk, inode), EIO);
        char seen = at(inode, 0);
        CHECK_EQ(disk_sync(disk, inode), 0);
        CHECK_EQ(at(inode, 0), seen);
        CHECK(cut() == inode);
        lost += seen == 'b' && at(inode, 0) == 'a';
        dropped += seen == 'a';
        kept += at(inode, 0) == 'b';
        CHECK(seen == 'b' || at(inode, 0) == 'a');
    }
    CHECK(lost > 100);
    CHECK(dropped > 50);
    CHECK(kept > 100);
    /* Written again, it is synced again. */
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct disk_inode *inode = fresh(seed, 512, true);
        put(inode, 0, 'a', 1024);
        disk_fail_sync(disk);
        CHECK_EQ(disk_sync(disk, inode), EIO);
        put(inode, 0, 'b', 1024);
        CHECK_EQ(disk_sync(disk, inode), 0);
        CHECK(cut() == inode);
        CHECK_EQ(at(inode, 0), 'b');
        CHECK_EQ(at(inode, 1023), 'b');
    }
    disk_close(disk);
}

TEST(disk, is_full_until_there_is_room)
{
    struct disk_inode *inode = fresh(1, 4096, true);
    disk_faults(disk)->capacity = 10000;
    put(inode, 0, 'a', 9000);
    char more[2000] = "";
    CHECK_EQ(disk_write(disk, inode, 9000, more, sizeof more), ENOSPC);
    CHECK(inode->size <= 10000);
    put(inode, 0, 'b', 9000);  // what is there may be written over
    CHECK_EQ(disk_truncate(disk, inode, 5000), 0);
    put(inode, 5000, 'c', 2000);
    CHECK_EQ(disk_stats(disk)->writes_full, 1);
    disk_close(disk);
}

TEST(disk, fails_now_and_then_as_it_is_told)
{
    struct disk_inode *inode = fresh(1, 4096, true);
    put(inode, 0, 'a', 100);
    *disk_faults(disk) = (struct disk_faults){.read_fail_ppm = 100000,
                                              .write_fail_ppm = 100000,
                                              .sync_fail_ppm = 100000,
                                              .sync_us_min = 10,
                                              .sync_us_max = 20};
    unsigned failed[3] = {0};
    char letter = 'x';
    size_t got = 0;
    for (int i = 0; i < 1000; i++) {
        failed[0] += disk_read(disk, inode, 0, &letter, 1, &got) != 0;
        failed[1] += disk_write(disk, inode, 0, "x", 1) != 0;
        failed[2] += disk_sync(disk, inode) != 0;
    }
    for (int i = 0; i < 3; i++)
        CHECK(failed[i] > 50 && failed[i] < 200);
    CHECK_EQ(disk_stats(disk)->reads_failed, failed[0]);
    CHECK_EQ(disk_stats(disk)->writes_failed, failed[1]);
    CHECK_EQ(disk_stats(disk)->syncs_failed, failed[2]);
    uint64_t took = disk_take_latency_us(disk);
    CHECK(took >= 10 * 1000 && took <= 20 * 1000);
    CHECK_EQ(disk_take_latency_us(disk), 0);
    disk_close(disk);
}

TEST(disk, does_nothing_once_it_is_dead)
{
    struct disk_inode *inode = fresh(1, 4096, true);
    put(inode, 0, 'a', 100);
    CHECK_EQ(disk_sync(disk, inode), 0);
    disk_die_at(disk, 3);
    put(inode, 0, 'b', 100);
    put(inode, 0, 'b', 100);
    char c[100] = "";
    size_t got = 0;
    CHECK(!disk_is_dead(disk));
    CHECK_EQ(disk_write(disk, inode, 0, c, sizeof c), EIO);
    CHECK(disk_is_dead(disk));
    CHECK_EQ(disk_write(disk, inode, 0, c, sizeof c), EIO);
    CHECK_EQ(disk_sync(disk, inode), EIO);
    CHECK_EQ(disk_read(disk, inode, 0, c, sizeof c, &got), EIO);
    CHECK_EQ(disk_truncate(disk, inode, 0), EIO);
    CHECK(!disk_delete(disk, "d/file"));
    CHECK(disk_create(disk, "d/other") == NULL);
    CHECK_EQ(file_check("d/file"), CX_IO);
    CHECK_EQ(file_sync_folder("d/file"), CX_IO);
    disk_revive(disk, false);  // the process was killed, the power stayed
    CHECK_EQ(at(inode, 99) == 'b' || at(inode, 99) == 0, 1);
    CHECK_EQ(inode->size, 100);
    disk_close(disk);
}

TEST(disk, has_one_owner_of_a_lock)
{
    fresh(1, 4096, true);
    struct file_owner *owner = NULL, *second = NULL;
    CHECK_EQ(file_own("d/file-owner", &owner), CX_OK);
    CHECK_EQ(file_own("d/file-owner", &second), CX_BUSY);
    CHECK(file_owner_pid("d/file-owner") > 0);
    file_disown(owner);
    CHECK_EQ(file_own("d/file-owner", &owner), CX_OK);
    file_disown(owner);
    CHECK_EQ(file_check("d/none"), CX_NOT_FOUND);
    CHECK_EQ(file_check("other/file"), CX_NOT_FOUND);
    disk_close(disk);
}

/* Where nobody syncs, what a file costs stays in proportion to its size. */
TEST(disk, does_not_keep_all_versions_for_ever)
{
    struct disk_inode *inode = fresh(1, 512, true);
    for (int i = 0; i < 20000; i++)
        put(inode, (uint64_t)(i % 100) * 512, 'a', 512);
    CHECK(inode->undo.size < (2 << 20));
    disk_close(disk);
}
