/* Whole ledgers: checked, carried to another backend, copied while somebody writes. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/ledger_tool.h"
#include "lib/ledger_suite.h"

static char path[2][256], uri[2][270];

static void name_files(void)
{
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/%d", test_folder(), i);
        snprintf(uri[i], sizeof uri[i], "sqlite:%s/%d.db", test_folder(), i);
    }
}

static struct ledger_totals fill(const char *at, uint64_t batches)
{
    static const char *const words[] = {"a", "few", "words"};
    struct ledger *ledger = suite_open(at, LEDGER_CREATE, 1);
    for (uint64_t i = 1; i <= batches; i++)
        CHECK_EQ(suite_append(ledger, 1, i, words, 1 + (uint32_t)(i % 3)).err, CX_OK);
    struct ledger_totals totals;
    CHECK_EQ(ledger_verify(ledger, NULL, NULL, &totals), CX_OK);
    CHECK_EQ(totals.batches, batches);
    CHECK_EQ(totals.entries, ledger_head(ledger).seq);
    ledger_close(ledger);
    return totals;
}

static enum cx_err export(const char *from, const char *to, struct ledger_totals *ret_totals) {
    struct ledger *ledger = suite_open(from, LEDGER_READ, 0);
    enum cx_err err = ledger_export(ledger, to, NULL, NULL, ret_totals);
    ledger_close(ledger);
    return err;
}

static void note_progress(void *ctx, uint64_t done, uint64_t total)
{
    uint64_t *last = ctx;
    CHECK(done >= *last && done <= total);
    *last = done;
}

TEST(ledger_tool, carries_a_ledger_to_another_backend_and_back)
{
    name_files();
    struct ledger_totals was = fill(uri[0], 50), is;
    CHECK_EQ(export(uri[0], path[0], &is), CX_OK);
    CHECK_MEM(&is.head.chain, &was.head.chain, 32);
    CHECK_EQ(export(uri[0], path[0], &is), CX_EXISTS);

    struct ledger *mem = suite_open("mem:carried", LEDGER_CREATE, 9);
    uint64_t last = 0;
    CHECK_EQ(ledger_import(path[0], "mem:carried", note_progress, &last, &is), CX_OK);
    CHECK_EQ(last, was.entries);
    CHECK_EQ(export("mem:carried", path[1], &is), CX_OK);
    ledger_close(mem);
    CHECK_EQ(ledger_import(path[1], uri[1], NULL, NULL, &is), CX_OK);
    CHECK_EQ(is.entries, was.entries);
    CHECK_EQ(is.batches, was.batches);
    CHECK_EQ(is.size, was.size);
    CHECK_MEM(&is.head.chain, &was.head.chain, 32);

    /* Its router goes on with the next epoch, on the same chain. */
    struct ledger *ledger = suite_open(uri[1], LEDGER_WRITE, 1);
    CHECK_EQ(ledger_epoch(ledger), 2);
    CHECK_EQ(suite_append_one(ledger, 1, 51, "late").err, CX_FENCED);
    CHECK_EQ(suite_append_one(ledger, 2, 1, "next").seq, was.head.seq + 1);
    CHECK_EQ(ledger_verify(ledger, NULL, NULL, &is), CX_OK);
    ledger_close(ledger);
    CHECK_EQ(ledger_import(path[1], uri[1], NULL, NULL, &is), CX_EXISTS);
}

TEST(ledger_tool, carries_a_ledger_without_entries)
{
    name_files();
    struct ledger_totals totals = fill(uri[0], 0);
    CHECK_EQ(export(uri[0], path[0], &totals), CX_OK);
    CHECK_EQ(ledger_import(path[0], uri[1], NULL, NULL, &totals), CX_OK);
    CHECK_EQ(totals.entries, 0);
}

/* Every byte of the file counts: turned, or cut off behind it, the file is refused. */
TEST(ledger_tool, refuses_every_damaged_or_cut_file)
{
    name_files();
    struct ledger_totals totals = fill(uri[0], 3);
    CHECK_EQ(export(uri[0], path[0], &totals), CX_OK);
    uint8_t bytes[1024];
    FILE *file = fopen(path[0], "rb");
    CHECK(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    CHECK(size > 200 && size < sizeof bytes);
    for (size_t at = 0; at < 2 * size; at++) {
        size_t keep = at < size ? size : at - size;
        if (at < size)
            bytes[at] ^= 0x10;
        file = fopen(path[1], "wb");
        CHECK(file);
        CHECK_EQ(fwrite(bytes, 1, keep, file), keep);
        CHECK_EQ(fclose(file), 0);
        enum cx_err err = ledger_import(path[1], "mem:", NULL, NULL, &totals);
        if (err != CX_CORRUPT && err != CX_INVALID)
            test_fail(__FILE__, __LINE__, "damage %zu of %zu: %s", at, size, cx_err_name(err));
        CHECK(strstr(cx_detail(), path[1]));
        if (at < size)
            bytes[at] ^= 0x10;
    }
}

struct writing {
    const char *uri;
    _Atomic bool stop;
    _Atomic uint64_t durable;
};

static void *write_on(void *ctx)
{
    struct writing *writing = ctx;
    struct ledger *ledger = suite_open(writing->uri, LEDGER_WRITE, 1);
    for (uint64_t i = 1; !writing->stop; i++)
        writing->durable = suite_append_one(ledger, 2, i, "while it is copied").seq;
    ledger_close(ledger);
    return NULL;
}

TEST(ledger_tool, copies_a_ledger_while_another_writes)
{
    name_files();
    struct ledger_totals was = fill(uri[0], 300), is;
    struct writing writing = {.uri = uri[0]};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, write_on, &writing), 0);
    struct ledger *reader = suite_open(uri[0], LEDGER_READ, 0);
    while (writing.durable == 0)
        CHECK_EQ(ledger_poll(reader), CX_OK);
    uint64_t before = writing.durable, last = 0;
    CHECK_EQ(ledger_backup(uri[0], path[0], note_progress, &last, &is), CX_OK);
    uint64_t after = writing.durable;
    writing.stop = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    ledger_close(reader);
    CHECK(last > 0);
    CHECK(is.head.seq >= before);
    CHECK(is.head.seq <= after + 1);
    CHECK(is.entries > was.entries);
    CHECK_EQ(ledger_backup(uri[0], path[0], NULL, NULL, &is), CX_EXISTS);
    CHECK_EQ(ledger_backup("mem:x", path[1], NULL, NULL, &is), CX_UNSUPPORTED);
    struct stat st;
    CHECK_EQ(stat(path[0], &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0600);

    /* The copy is a ledger like any other. */
    char copy[270];
    snprintf(copy, sizeof copy, "sqlite:%s", path[0]);
    struct ledger *ledger = suite_open(copy, LEDGER_WRITE, 1);
    CHECK_EQ(suite_append_one(ledger, ledger_epoch(ledger), 1, "on").err, CX_OK);
    ledger_close(ledger);
}
