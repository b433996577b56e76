/* Whether the write-ahead log beside a database was damaged after it was written.
 *
 * SQLite takes a log as far as its sums go and drops the rest without a word: that is right for what a crash left, and
 * wrong for a bit that has turned, with which everything behind it would be gone. But each commit is synced before the
 * next one is written. So where a commit stands behind the place at which the sums end, and something was written
 * behind that commit, a crash cannot have done it. Of the last commit nobody can tell.
 *
 *      log    = magic 4 | version 4 | page size 4 | number 4 | salt 8 | sum 8 | frame ...
 *      frame  = page 4 | pages after the commit, else 0 4 | salt 8 | sum 8 | the page
 *
 * A frame's sum goes over the sum before it, its own first 8 bytes and the page. Numbers are big-endian.
 *
 * Source: "WAL-mode File Format", sqlite.org/walformat.html.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/db.h"
#include "base/file.h"

#define LOG_MAGIC       0x377f0682u  // the last bit: sums are over big-endian words
#define LOG_HEAD_SIZE   32
#define FRAME_HEAD      24
#define PAGE_SIZE_LEAST 512
#define PAGE_SIZE_MOST  65536
#define LOG_TRIES       8  // while others begin new ones

struct sum {
    uint32_t a, b;
};

static uint32_t word(const uint8_t *p, bool big)
{
    return big ? be32(p) : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void add(struct sum *sum, const uint8_t *data, size_t size, bool big)
{
    for (size_t i = 0; i + 8 <= size; i += 8) {
        sum->a += word(data + i, big) + sum->b;
        sum->b += word(data + i + 4, big) + sum->a;
    }
}

static bool same(struct sum x, struct sum y) { return x.a == y.a && x.b == y.b; }

static struct sum sum_at(const uint8_t *p) { return (struct sum){be32(p), be32(p + 4)}; }

static bool is_zero(const uint8_t *data, size_t size)
{
    size_t i = 0;
    while (i < size && data[i] == 0)
        i++;
    return i == size;
}

static enum cx_err damaged(const char *path, const char *where, uint64_t frame)
{
    return cx_fail(CX_CORRUPT,
                   "%s is damaged at %s %llu, and what was written behind it would be lost: restore it from a backup",
                   path, where, (unsigned long long)frame);
}

static struct sum sum_after(struct sum before, const uint8_t *frame, size_t page_size, bool big)
{
    add(&before, frame, 8, big);
    add(&before, frame + FRAME_HEAD, page_size, big);
    return before;
}

/* Whether a frame with a wrong sum is a commit but for the one bit that said so. */
static bool was_commit(struct sum before, uint8_t *frame, size_t page_size, bool big)
{
    bool found = false;
    for (int bit = 0; bit < 32 && !found; bit++) {
        frame[4 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        found = same(sum_after(before, frame, page_size, big), sum_at(frame + 16));
        frame[4 + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    return found;
}

/* Walks over the frames. `broken` is the first with a wrong sum, counted from 1; 0: none yet. A frame goes on from the
 * one before it where its sum does, be it from what that one says or, as that may be what is damaged, from what it is.
 */
static enum cx_err check_frames(const char *path, const uint8_t head[LOG_HEAD_SIZE], uint8_t *frame, size_t page_size)
{
    bool big = head[3] & 1, commit_before = false;
    struct sum before_said = sum_at(head + 24), before_is = before_said;
    uint64_t broken = 0;
    uint8_t what_before[8] = {0};  // page and pages after the commit
    size_t size = FRAME_HEAD + page_size;
    for (uint64_t n = 1;; n++) {
        size_t got = 0;
        enum cx_err err = file_read(path, LOG_HEAD_SIZE + (n - 1) * size, frame, size, &got);
        if (err || got < size)
            return err;
        struct sum said = sum_at(frame + 16), is = sum_after(before_said, frame, page_size, big);
        bool salted = memcmp(frame + 8, head + 16, 8) == 0;
        bool goes_on = same(is, said) || same(sum_after(before_is, frame, page_size, big), said);
        if (goes_on && !broken && !salted)
            return damaged(path, "frame", n);  // frames of older logs have other sums
        if (goes_on && salted && broken && commit_before)
            return damaged(path, "frame", broken);
        /* A commit is repeated, unsynced, where a write may spoil what is beside it: that nobody misses. */
        if (!goes_on && !broken && commit_before && memcmp(frame, what_before, 8) == 0)
            return CX_OK;
        memcpy(what_before, frame, 8);
        commit_before = salted && be32(frame + 4) != 0;
        if (!goes_on && !broken) {
            broken = n;
            commit_before |= be32(frame + 4) == 0 && was_commit(before_said, frame, page_size, big);
        }
        before_said = said;
        before_is = is;
    }
}

static bool head_fits(const uint8_t head[LOG_HEAD_SIZE])
{
    struct sum sum = {0, 0};
    uint32_t page_size = be32(head + 8);
    add(&sum, head, 24, head[3] & 1);
    return (be32(head) & ~1u) == LOG_MAGIC && same(sum, sum_at(head + 24)) && page_size >= PAGE_SIZE_LEAST &&
           page_size <= PAGE_SIZE_MOST;
}

/* Whether it fits again with another value of one byte. Where not, a crash has spoilt its sector: then nothing was in
 * the log yet. */
static bool head_was_good(uint8_t head[LOG_HEAD_SIZE])
{
    bool good = false;
    for (int at = 0; at < LOG_HEAD_SIZE && !good; at++) {
        uint8_t is = head[at];
        for (int value = 0; value < 256 && !good; value++) {
            head[at] = (uint8_t)value;
            good = head_fits(head);
        }
        head[at] = is;
    }
    return good;
}

static enum cx_err check_log(const char *path, uint8_t head[LOG_HEAD_SIZE])
{
    if (!head_fits(head))
        return head_was_good(head) ? damaged(path, "frame", 0) : CX_OK;
    size_t page_size = be32(head + 8);
    uint8_t *frame = malloc(FRAME_HEAD + page_size);
    cx_assert(frame);
    enum cx_err err = check_frames(path, head, frame, page_size);
    free(frame);
    return err;
}

/* There is no log, or nothing in it yet: *ret_there is false. */
static enum cx_err read_head(const char *path, uint8_t ret_head[LOG_HEAD_SIZE], bool *ret_there)
{
    size_t got = 0;
    enum cx_err err = file_read(path, 0, ret_head, LOG_HEAD_SIZE, &got);
    *ret_there = !err && got == LOG_HEAD_SIZE && !is_zero(ret_head, LOG_HEAD_SIZE);
    return err == CX_NOT_FOUND ? CX_OK : err;
}

/* Where somebody has begun a new log meanwhile, the frames of the old one are not what counts. */
enum cx_err db_log_check(const char *database)
{
    char path[4096];
    uint8_t head[LOG_HEAD_SIZE], now[LOG_HEAD_SIZE];
    bool there = false;
    snprintf(path, sizeof path, "%s-wal", database);
    for (int tries = 0; tries < LOG_TRIES; tries++) {
        enum cx_err err = read_head(path, head, &there);
        if (!err && there)
            err = check_log(path, head);
        if (err != CX_CORRUPT)
            return err;
        err = read_head(path, now, &there);
        if (err || !there)
            return err;
        if (memcmp(head, now, sizeof head) == 0)
            return CX_CORRUPT;
    }
    return cx_fail(CX_BUSY, "%s: another program begins new logs all the time", path);
}
