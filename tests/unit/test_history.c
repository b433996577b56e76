/* A history with everything in it, replayed here, and written for other builds of the core (tools/wasm) to replay. */
#include "ledger/backend.h"

#include "lib/network.h"
#include "lib/test.h"

/* Three miners, two oracles; sessions with one answer and with a vote of three; a refusal of each kind; time. */
static struct network *lively(void)
{
    static const char *const text[] = {"yes", "yes", "no"};
    struct network *n = network_open(&(struct network_options){.oracles = 2, .users = 2, .miners = 4});
    struct command cmd = {.type = COMMAND_SESSION_OPEN};
    uint64_t one = network_session(n, NULL);
    network_run_task(n, network_submit(n, one), text, 1);
    cmd.session_open.owner = test_address('U', 2);
    cmd.session_open.redundancy = 3;
    cmd.session_open.validation = VALIDATION_MAJORITY;
    network_fill(n, &cmd);
    cmd.session_open.audit_bp = 10000;
    n->batch_size = 7;
    uint64_t three = network_session(n, &cmd);
    for (int i = 0; i < 5; i++) {
        network_run_task(n, network_submit(n, three), text, 3);
        network_wait(n, 1500);
    }
    network_submit(n, three);
    network_append_bytes(n, "\xff\xff", 2);
    network_wait(n, 90000);
    network_batch_end(n);
    CHECK(network_events(n, EVENT_TASK_ANSWER) == 6);
    return n;
}

TEST(history, has_one_digest_however_often_it_is_replayed)
{
    struct network *n = lively();
    struct hash live, again;
    core_check(n->core);
    core_digest(n->core, &live);
    for (int i = 0; i < 2; i++) {
        struct core *core = network_replay(n, NULL, 0, n->entry_count);
        core_digest(core, &again);
        CHECK(hash_eq(&live, &again));
        test_free(core);
    }
}

/* ---- docs/protocol.md, "Ledger": the portable file ---- */

static void write_number(FILE *file, uint64_t value, uint32_t size)
{
    uint8_t b[8];
    be64_put(b, value);
    CHECK_EQ(fwrite(b + 8 - size, 1, size, file), size);
}

static void write_batch(FILE *file, struct ledger_batch *batch, struct hash *chain)
{
    struct hash before = *chain;
    ledger_chain_next(&before, batch, chain);
    fputc('B', file);
    write_number(file, batch->seq, 8);
    write_number(file, batch->count, 4);
    CHECK_EQ(fwrite(batch->router.b, 1, 20, file), 20);
    write_number(file, batch->epoch, 8);
    write_number(file, batch->number, 8);
    write_number(file, batch->time_ms, 8);
    CHECK_EQ(fwrite(chain->b, 1, 32, file), 32);
    write_number(file, batch->body.size, 4);
    CHECK_EQ(fwrite(batch->body.data, 1, batch->body.size, file), batch->body.size);
}

static uint64_t write_file(const struct network *n, const char *path)
{
    static uint8_t body[LEDGER_BATCH_SIZE_MAX];
    FILE *file = fopen(path, "wb");
    struct hash chain;
    uint64_t number = 0;
    CHECK(file);
    ledger_chain_start(NETWORK_ID, &chain);
    fputs("corten-ledger-1\n", file);
    write_number(file, NETWORK_ID, 8);
    for (uint32_t i = 0; i < n->entry_count;) {
        struct bytes_writer w;
        struct ledger_batch batch = {.seq = i + 1, .router = n->entry[i].author, .epoch = 1, .number = ++number};
        bytes_writer_init(&w, body, sizeof body);
        for (bool ends = false; !ends; i++, batch.count++) {
            CHECK(address_eq(&n->entry[i].author, &batch.router));
            CHECK(batch.count == 0 || batch.time_ms == n->entry[i].time_ms);
            batch.time_ms = n->entry[i].time_ms;
            bytes_put_u16(&w, (uint16_t)n->entry[i].size);
            bytes_put(&w, n->entry[i].bytes, n->entry[i].size);
            ends = n->entry[i].batch_end;
        }
        batch.body = (struct span){body, w.size};
        write_batch(file, &batch, &chain);
    }
    fputc('E', file);
    write_number(file, n->entry_count, 8);
    write_number(file, number, 8);
    CHECK_EQ(fwrite(chain.b, 1, 32, file), 32);
    CHECK_EQ(fclose(file), 0);
    return number;
}

/* CORTEN_HISTORY=PATH: where to write it; "PATH.expected" gets what its replay should say. */
TEST(history, is_written_for_other_builds)
{
    const char *path = getenv("CORTEN_HISTORY");
    char own[256], expected[512];
    snprintf(own, sizeof own, "%s/history", test_folder());
    path = path ? path : own;
    struct network *n = lively();
    CHECK(write_file(n, path) > 10);
    struct hash digest, root;
    core_digest(n->core, &digest);
    core_root(n->core, &root);
    snprintf(expected, sizeof expected, "%s.expected", path);
    FILE *file = fopen(expected, "w");
    CHECK(file);
    fprintf(file, "seq %u digest 0x", n->entry_count);
    for (int i = 0; i < 32; i++)
        fprintf(file, "%02x", digest.b[i]);
    fprintf(file, " root 0x");
    for (int i = 0; i < 32; i++)
        fprintf(file, "%02x", root.b[i]);
    fputc('\n', file);
    CHECK_EQ(fclose(file), 0);
}
