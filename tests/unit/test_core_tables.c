/* The tables that everything is generated from, and the canonical bytes of rows. */
#include "core/event.h"
#include "core/params.h"
#include "core/rows.h"
#include "core/step.h"
#include "core/typed_data.h"
#include "core/verdict.h"

#include "crypto/eip712.h"
#include "lib/random_command.h"
#include "lib/test.h"

TEST(verdict, names_each_number_and_no_other)
{
    CHECK_STR(verdict_name(VERDICT_ACCEPTED), "ACCEPTED");
    CHECK_STR(verdict_name(VERDICT_LEASE_STALE), "LEASE_STALE");
    CHECK_STR(verdict_text(VERDICT_LEASE_STALE), "the lease is not live: the assignment has ended or never was");
    CHECK(!verdict_name((enum verdict)29));
    CHECK(!verdict_name(VERDICT_COUNT));
    CHECK(!verdict_text((enum verdict)100000));
}

TEST(terms, find_what_they_name)
{
    CHECK_STR(term_name(TERM_task_state, TASK_PRECOMMITTED), "PRECOMMITTED");
    CHECK_EQ(term_find(TERM_task_state, "PRECOMMITTED"), TASK_PRECOMMITTED);
    CHECK_EQ(term_find(TERM_task_state, "PRECOMMITTE"), -1);
    CHECK(!term_name(TERM_task_state, TASK_STATE_COUNT));
    CHECK(!term_name(TERM_engine, 0));
    CHECK_EQ(term_find(TERM_engine, "ECHO"), ENGINE_ECHO);
    for (uint32_t set = 0; set < TERM_SET_COUNT; set++)
        for (uint32_t value = 0; value < 32; value++) {
            const char *name = term_name((enum term_set)set, value);
            if (name)
                CHECK_EQ(term_find((enum term_set)set, name), value);
        }
}

TEST(params, have_defaults_in_their_bounds)
{
    struct params params;
    params_default(&params);
    CHECK_EQ(params.heartbeat_ms, 5000);
    uint16_t last = 0;
    for (const struct param_info *info = param_next(NULL); info; info = param_next(info)) {
        CHECK(info->id > last);
        last = info->id;
        CHECK(info->min <= info->default_ && info->default_ <= info->max);
        CHECK_EQ(param_get(&params, info), info->default_);
        CHECK(param_find(info->id) == info && param_find_name(info->name) == info);
        CHECK_EQ(param_set(&params, info->id, info->max), VERDICT_ACCEPTED);
        CHECK_EQ(param_get(&params, info), info->max);
        CHECK_EQ(param_set(&params, info->id, info->max + 1), VERDICT_VALUE_INVALID);
        if (info->min > 0)
            CHECK_EQ(param_set(&params, info->id, info->min - 1), VERDICT_VALUE_INVALID);
    }
    CHECK_EQ(param_set(&params, 31, 1), VERDICT_PARAM_UNKNOWN);
    CHECK(!param_find(0) && !param_find_name("no_such"));
}

static struct span pairs(const uint64_t *id_value, uint32_t count)
{
    static uint8_t bytes[256];
    struct bytes_writer w;
    bytes_writer_init(&w, bytes, sizeof bytes);
    for (uint32_t i = 0; i < count; i++) {
        bytes_put_u16(&w, (uint16_t)id_value[2 * i]);
        bytes_put_u64(&w, id_value[2 * i + 1]);
    }
    return (struct span){bytes, w.size};
}

TEST(params, are_read_all_or_not_at_all)
{
    struct params params, before;
    params_default(&params);
    before = params;
    CHECK_EQ(params_read(&params, pairs((uint64_t[]){7, 12, 32, 200}, 2)), VERDICT_ACCEPTED);
    CHECK_EQ(params.nodes_cap, 12);
    CHECK_EQ(params.heartbeat_ms, 200);
    params = before;
    CHECK_EQ(params_read(&params, pairs((uint64_t[]){32, 200, 7, 12}, 2)), VERDICT_COMMAND_MALFORMED);
    CHECK_EQ(params_read(&params, pairs((uint64_t[]){7, 12, 7, 12}, 2)), VERDICT_COMMAND_MALFORMED);
    CHECK_EQ(params_read(&params, pairs((uint64_t[]){7, 12, 31, 1}, 2)), VERDICT_PARAM_UNKNOWN);
    CHECK_EQ(params_read(&params, pairs((uint64_t[]){7, 12, 8, 0}, 2)), VERDICT_VALUE_INVALID);
    struct span cut = pairs((uint64_t[]){7, 12}, 1);
    cut.size--;
    CHECK_EQ(params_read(&params, cut), VERDICT_COMMAND_MALFORMED);
    CHECK_MEM(&params, &before, sizeof params);
    CHECK_EQ(params_read(&params, (struct span){0}), VERDICT_ACCEPTED);
}

TEST(command, is_found_by_number_and_by_name)
{
    uint32_t count = 0;
    for (const struct command_info *info = command_next(NULL); info; info = command_next(info), count++) {
        CHECK(command_find((uint32_t)info->type) == info);
        CHECK(command_find_name(info->name) == info);
        CHECK(info->fields.count > 0);
    }
    CHECK(count > 50);
    CHECK(!command_find(0) && !command_find(19) && !command_find(COMMAND_TYPE_END) && !command_find(UINT32_MAX));
    CHECK(!command_find_name("task"));
    CHECK_EQ(command_find_name("task_precommit")->authority, AUTHORITY_LEASE);
    CHECK_EQ(command_find_name("deposit")->replay, REPLAY_NONCE);
}

TEST(command, is_laid_out_as_the_protocol_says)
{
    struct command cmd = {.type = COMMAND_TASK_ACK, .task_ack.lease = 0x0102030405060708};
    uint8_t bytes[32];
    CHECK_EQ(command_encode(&cmd, NULL, bytes, sizeof bytes), 11);
    CHECK_MEM(bytes, "\x00\x5c\x01\x02\x03\x04\x05\x06\x07\x08\x00", 11);
}

TEST(command, refuses_bytes_over_their_maximum)
{
    static const uint8_t text[65];
    struct command cmd = {.type = COMMAND_MODEL_PUT, .model_put.name = {text, 64}};
    uint8_t bytes[512];
    CHECK(command_encode(&cmd, NULL, bytes, sizeof bytes) > 0);
    cmd.model_put.name.size = 65;
    CHECK_EQ(command_encode(&cmd, NULL, bytes, sizeof bytes), 0);
}

TEST(event, is_found_by_number_and_by_name)
{
    uint32_t count = 0;
    for (uint32_t type = 0; type < EVENT_TYPE_END; type++) {
        const struct event_info *info = event_find(type);
        if (!info)
            continue;
        count++;
        CHECK_EQ(info->type, type);
        CHECK(event_find_name(info->name) == info);
    }
    CHECK(count > 40);
    CHECK(!event_find(EVENT_TYPE_END) && !event_find_name("moved"));
}

TEST(event, is_added_empty)
{
    struct event room[2];
    memset(room, 0xff, sizeof room);
    struct event_list list = {room, 2, 0};
    struct event *event = event_add(&list, EVENT_TASK_PAID);
    CHECK_EQ(event->type, EVENT_TASK_PAID);
    CHECK(event->task_paid.task == 0 && amount_is_zero(event->task_paid.amount));
    CHECK_EQ(list.count, 1);
}

TEST_ABORTS(event, is_never_one_too_many)
{
    struct event room[1];
    struct event_list list = {room, 1, 1};
    event_add(&list, EVENT_BEACON);
}

TEST(step, dice_depend_on_all_they_are_thrown_from)
{
    struct hash beacon = {{1}}, other = {{2}};
    uint64_t dice = step_dice(&beacon, "ct.pick1", 1, 2);
    CHECK(dice == step_dice(&beacon, "ct.pick1", 1, 2));
    CHECK(dice != step_dice(&other, "ct.pick1", 1, 2));
    CHECK(dice != step_dice(&beacon, "ct.pick2", 1, 2));
    CHECK(dice != step_dice(&beacon, "ct.pick1", 2, 2));
    CHECK(dice != step_dice(&beacon, "ct.pick1", 1, 1));
}

TEST(typed_data, writes_types_as_wallets_read_them)
{
    char text[TYPE_TEXT_SIZE_MAX];
    typed_data_type(command_find_name("task_precommit"), text, sizeof text);
    CHECK_STR(text, "task_precommit(uint64 lease,bytes32 precommit,uint64 nonce,uint64 valid_until_ms)");
    typed_data_type(command_find_name("node_register"), text, sizeof text);
    CHECK_STR(text, "node_register(address node,address operator,bytes32 encryption_key,uint8 slots,uint8 engine,"
                    "uint64 stake,bytes32 invite,bytes build,uint64 nonce,uint64 valid_until_ms)");
    for (const struct command_info *info = command_next(NULL); info; info = command_next(info))
        CHECK_EQ(typed_data_type(info, text, sizeof text), strlen(text));
}

TEST(typed_data, signs_each_field_and_the_network)
{
    static uint8_t pool[2048];
    struct prng prng = {7};
    prng_fill(&prng, pool, sizeof pool);
    for (const struct command_info *info = command_next(NULL); info; info = command_next(info)) {
        struct command cmd = {.type = info->type, .nonce = 1, .valid_until_ms = 2};
        random_fields(&prng, info->fields, pool, &cmd.genesis);
        struct hash digest, other;
        typed_data_digest(&cmd, 9, &digest);
        typed_data_digest(&cmd, 8, &other);
        CHECK(!hash_eq(&digest, &other));
        for (uint32_t i = 0; i < info->fields.count; i++) {
            struct command changed = cmd;
            struct field_list one = {info->fields.field + i, 1};
            while (fields_same(one, &changed.genesis, &cmd.genesis))
                random_fields(&prng, one, pool, &changed.genesis);
            typed_data_digest(&changed, 9, &other);
            CHECK(!hash_eq(&digest, &other));
        }
        struct command changed = cmd;
        changed.nonce++;
        typed_data_digest(&changed, 9, &other);
        CHECK(!hash_eq(&digest, &other));
        changed = cmd;
        changed.valid_until_ms++;
        typed_data_digest(&changed, 9, &other);
        CHECK(!hash_eq(&digest, &other));
    }
}

/* ---- rows ---- */

enum colour { RED, GREEN, COLOURS };
struct thing {
    uint8_t a;
    uint16_t b;
    uint32_t c, slot;
    uint64_t d;
    struct amount e;
    struct hash f;
    enum colour colour;
    bool g;
};

static uint8_t memory[1 << 20];

struct things {
    struct thing thing[3];
    uint32_t count;
    struct slots slots;
    struct heap heap;
};

static void things_init(struct things *things)
{
    static struct arena arena;
    if (!arena.at)
        arena_init(&arena, memory, sizeof memory);
    memset(things, 0, sizeof *things);
    CHECK(slots_init(&things->slots, &arena, 4));
    CHECK(heap_init(&things->heap, &arena, 4));
}

static void things_rows(struct things *t, struct rows *rows)
{
    rows_module(rows, "things");
    rows_table(rows, &t->count, 3);
    for (uint32_t i = 0; i < t->count; i++) {
        row_u8(rows, &t->thing[i].a);
        row_u16(rows, &t->thing[i].b);
        row_u32(rows, &t->thing[i].c);
        row_slot(rows, &t->thing[i].slot, 5);
        row_u64(rows, &t->thing[i].d);
        row_amount(rows, &t->thing[i].e);
        row_bytes(rows, &t->thing[i].f, sizeof t->thing[i].f);
        row_enum(rows, &t->thing[i].colour, COLOURS);
        row_bool(rows, &t->thing[i].g);
    }
    rows_table_end(rows);
    row_slots(rows, &t->slots);
    row_heap(rows, &t->heap);
    rows_module_end(rows);
}

static void things_fill(struct things *t)
{
    things_init(t);
    t->count = 2;
    t->thing[0] = (struct thing){1, 2, 3, 4, 5, amount_of(6), {{7}}, GREEN, true};
    t->thing[1] = (struct thing){9, 9, 9, SLOT_NONE, 9, amount_of(9), {{9}}, RED, false};
    for (int i = 0; i < 4; i++)
        slots_take(&t->slots);
    slots_give(&t->slots, 1);
    slots_give(&t->slots, 2);
    heap_set(&t->heap, 3, 10);
    heap_set(&t->heap, 1, 30);
    heap_set(&t->heap, 2, 20);
}

static uint32_t things_write(struct things *t, uint8_t *ret_bytes, uint32_t cap, struct hash *ret_root)
{
    struct rows rows;
    rows_init(&rows, ROWS_WRITE);
    bytes_writer_init(&rows.w, ret_bytes, cap);
    things_rows(t, &rows);
    rows_root(&rows, ret_root);
    return rows.ok ? rows.w.size : 0;
}

static bool things_read(struct things *t, const uint8_t *bytes, uint32_t size, struct hash *ret_root)
{
    struct rows rows;
    things_init(t);
    rows_init(&rows, ROWS_READ);
    bytes_reader_init(&rows.r, bytes, size);
    things_rows(t, &rows);
    rows_root(&rows, ret_root);
    return rows.ok && rows.r.left == 0;
}

TEST(rows, are_read_as_they_were_written)
{
    struct things a, b;
    uint8_t bytes[512], again[512];
    struct hash root, read_root, again_root;
    things_fill(&a);
    uint32_t size = things_write(&a, bytes, sizeof bytes, &root);
    struct rows count;
    rows_init(&count, ROWS_COUNT);
    things_rows(&a, &count);
    CHECK_EQ(count.size, size);
    CHECK(things_read(&b, bytes, size, &read_root));
    CHECK(hash_eq(&root, &read_root));
    CHECK_EQ(things_write(&b, again, sizeof again, &again_root), size);
    CHECK_MEM(bytes, again, size);
    slots_check(&b.slots);
    heap_check(&b.heap);
    CHECK_EQ(slots_take(&b.slots), 2);
    CHECK_EQ(heap_top(&b.heap), 3);
    CHECK_EQ(b.thing[0].colour, GREEN);
}

TEST(rows, hash_without_writing)
{
    struct things a;
    uint8_t bytes[512];
    struct hash root, hashed;
    struct rows rows;
    things_fill(&a);
    things_write(&a, bytes, sizeof bytes, &root);
    rows_init(&rows, ROWS_HASH);
    things_rows(&a, &rows);
    rows_root(&rows, &hashed);
    CHECK(hash_eq(&root, &hashed));
    a.thing[1].d++;
    rows_init(&rows, ROWS_HASH);
    things_rows(&a, &rows);
    rows_root(&rows, &hashed);
    CHECK(!hash_eq(&root, &hashed));
}

TEST(rows, notice_every_changed_byte)
{
    struct things a, b;
    uint8_t bytes[512];
    struct hash root, other;
    things_fill(&a);
    uint32_t size = things_write(&a, bytes, sizeof bytes, &root);
    for (uint32_t i = 0; i < size; i++) {
        static const uint8_t flip[] = {1, 0x80, 0xff};
        for (uint32_t f = 0; f < sizeof flip; f++) {
            bytes[i] ^= flip[f];
            CHECK(!things_read(&b, bytes, size, &other) || !hash_eq(&root, &other));
            bytes[i] ^= flip[f];
        }
        CHECK(!things_read(&b, bytes, i, &other));
    }
    CHECK_EQ(things_write(&a, bytes, size - 1, &root), 0);
}
