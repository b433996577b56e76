/* Whether the write-ahead log beside a ledger's file was damaged after it was written.
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

#include "base/bytes.h"
#include "base/file.h"
#include "ledger/sqlite_store.h"

#define LOG_MAGIC       0x377f0682u  // the last bit: sums are over big-endian words
#define LOG_HEAD_SIZE   32
#define FRAME_HEAD      24
#define PAGE_SIZE_LEAST 512
#define PAGE_SIZE_MOST  65536

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
                   "%s is damaged at %s %llu, and what was written behind it would be lost: restore the ledger from a "
                   "backup",
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
        commit_before = salted && be32(frame + 4) != 0;
        if (!goes_on && !broken) {
            broken = n;
            commit_before |= be32(frame + 4) == 0 && was_commit(before_said, frame, page_size, big);
        }
        before_said = said;
        before_is = is;
    }
}

enum cx_err sqlite_log_check(const char *place)
{
    char path[4096];
    uint8_t head[LOG_HEAD_SIZE];
    size_t got = 0;
    snprintf(path, sizeof path, "%s-wal", place);
    enum cx_err err = file_read(path, 0, head, sizeof head, &got);
    if (err == CX_NOT_FOUND || (!err && (got < sizeof head || is_zero(head, sizeof head))))
        return CX_OK;
    if (err)
        return err;
    struct sum sum = {0, 0};
    uint32_t page_size = be32(head + 8);
    add(&sum, head, 24, head[3] & 1);
    /* It is smaller than a sector: a crash leaves the old one or the new one. */
    if ((be32(head) & ~1u) != LOG_MAGIC || !same(sum, sum_at(head + 24)) || page_size < PAGE_SIZE_LEAST ||
        page_size > PAGE_SIZE_MOST)
        return damaged(path, "byte", 0);
    uint8_t *frame = malloc(FRAME_HEAD + page_size);
    cx_assert(frame);
    err = check_frames(path, head, frame, page_size);
    free(frame);
    return err;
}
