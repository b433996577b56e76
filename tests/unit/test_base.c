/* The containers and codecs of src/base. */
#include "base/amount.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/fenwick.h"
#include "base/heap.h"
#include "base/id_map.h"
#include "base/prng.h"
#include "base/slots.h"
#include "base/utf8.h"
#include "lib/test.h"

static uint8_t memory[1 << 16];

static struct arena arena_of_test(void)
{
    struct arena arena;
    arena_init(&arena, memory, sizeof memory);
    return arena;
}

TEST(arena, counts_over_null_what_it_takes_over_memory)
{
    struct arena count, real = arena_of_test();
    arena_init(&count, NULL, 0);
    CHECK(!arena_take(&count, 3, 7));
    CHECK(arena_take(&real, 3, 7));
    CHECK_EQ(count.used, real.used);
    CHECK(!arena_take(&real, SIZE_MAX / 2, 3));
    CHECK(!arena_take(&real, sizeof memory, 1));
}

TEST(slots, never_use_an_id_twice)
{
    struct arena arena = arena_of_test();
    struct slots slots;
    CHECK(slots_init(&slots, &arena, 2));
    uint32_t a = slots_take(&slots), b = slots_take(&slots);
    CHECK_EQ(slots_take(&slots), SLOT_NONE);
    uint64_t id = slots_id(&slots, a);
    CHECK_EQ(slots_find(&slots, id), a);
    slots_give(&slots, a);
    CHECK_EQ(slots_find(&slots, id), SLOT_NONE);
    CHECK_EQ(slots_take(&slots), a);
    CHECK(slots_id(&slots, a) != id);
    CHECK(slots_id(&slots, b) != 0);
    slots_check(&slots);
}

TEST(slots, retire_a_slot_whose_generations_are_used_up)
{
    struct arena arena = arena_of_test();
    struct slots slots;
    CHECK(slots_init(&slots, &arena, 1));
    uint32_t a = slots_take(&slots);
    slots.row[a].generation = UINT32_MAX;
    slots_give(&slots, a);
    CHECK_EQ(slots_take(&slots), SLOT_NONE);
}

TEST(heap, gives_items_by_key_and_equal_keys_by_slot)
{
    struct arena arena = arena_of_test();
    struct heap heap;
    CHECK(heap_init(&heap, &arena, 64));
    struct prng prng = {7};
    uint64_t key[64];
    for (int round = 0; round < 2000; round++) {
        uint32_t item = (uint32_t)prng_below(&prng, 64);
        if (prng_below(&prng, 4) == 0) {
            heap_remove(&heap, item);
        } else {
            key[item] = prng_below(&prng, 10);
            heap_set(&heap, item, key[item]);
        }
        heap_check(&heap);
    }
    uint64_t last = 0;
    while (heap.count) {
        uint32_t top = heap_top(&heap);
        CHECK_EQ(heap_top_key(&heap), key[top]);
        uint64_t order = key[top] << 8 | top;
        CHECK(order >= last);
        last = order;
        heap_remove(&heap, top);
    }
    CHECK(heap_top_key(&heap) == TIME_NEVER);
}

TEST(fenwick, picks_each_slot_as_often_as_it_weighs)
{
    struct arena arena = arena_of_test();
    struct fenwick fenwick;
    CHECK(fenwick_init(&fenwick, &arena, 37));
    struct prng prng = {3};
    for (uint32_t i = 0; i < 37; i++)
        fenwick_set(&fenwick, i, (uint32_t)prng_below(&prng, 5));
    fenwick_set(&fenwick, 36, 3);
    fenwick_check(&fenwick);
    uint32_t seen[37] = {0};
    for (uint64_t at = 0; at < fenwick.total; at++)
        seen[fenwick_pick(&fenwick, at)]++;
    CHECK_MEM(seen, fenwick.weight, sizeof seen);
}

TEST(id_map, agrees_with_a_search_through_all_rows)
{
    struct arena arena = arena_of_test();
    static uint8_t rows[40][20];
    struct id_map map;
    CHECK(id_map_init(&map, &arena, 40, rows, 20, 20));
    struct prng prng = {11};
    bool in[40] = {false};
    for (uint32_t i = 0; i < 40; i++)
        prng_fill(&prng, rows[i], 20);
    for (int round = 0; round < 4000; round++) {
        uint32_t slot = (uint32_t)prng_below(&prng, 40);
        if (in[slot])
            id_map_remove(&map, slot);
        else
            id_map_add(&map, slot);
        in[slot] = !in[slot];
        uint32_t other = (uint32_t)prng_below(&prng, 40);
        CHECK_EQ(id_map_find(&map, rows[other]), in[other] ? other : SLOT_NONE);
    }
}

TEST(amount, scales_beyond_64_bits_and_rounds_as_named)
{
    struct amount r;
    CHECK(amount_scale_up(amount_of(10), 1, 3, &r) && r.credits == 4);
    CHECK(amount_scale_down(amount_of(10), 1, 3, &r) && r.credits == 3);
    CHECK(amount_scale_down(amount_of(UINT64_MAX), UINT64_MAX, UINT64_MAX, &r) && r.credits == UINT64_MAX);
    CHECK(amount_scale_down(amount_of(1ull << 63), 1000000, 2000000, &r) && r.credits == 1ull << 62);
    CHECK(amount_scale_up(amount_of((1ull << 63) + 1), 1000000, 2000000, &r) && r.credits == (1ull << 62) + 1);
    CHECK(!amount_scale_down(amount_of(UINT64_MAX), 3, 2, &r));
    CHECK(!amount_add(amount_of(UINT64_MAX), amount_of(1), &r));
    CHECK(!amount_sub(amount_of(1), amount_of(2), &r));
}

TEST(bytes, read_back_what_was_written_and_stay_failed)
{
    uint8_t at[15];
    struct bytes_writer w;
    bytes_writer_init(&w, at, sizeof at);
    bytes_put_u8(&w, 1);
    bytes_put_u16(&w, 0x0203);
    bytes_put_u32(&w, 0x04050607);
    bytes_put_u64(&w, 0x08090a0b0c0d0e0f);
    CHECK(w.ok);
    for (uint8_t i = 0; i < 15; i++)
        CHECK_EQ(at[i], i + 1);
    bytes_put_u8(&w, 0);
    CHECK(!w.ok);
    struct bytes_reader r;
    bytes_reader_init(&r, at, 3);
    CHECK_EQ(bytes_get_u16(&r), 0x0102);
    CHECK_EQ(bytes_get_u16(&r), 0);
    CHECK(!r.ok);
    CHECK_EQ(bytes_get_u8(&r), 0);
}

TEST(utf8, refuses_what_rfc_3629_refuses)
{
    CHECK(utf8_is_valid("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    static const char *const bad[] = {"\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xf5", "\xc3"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CHECK(!utf8_is_valid(bad[i], strlen(bad[i])));
    CHECK_EQ(utf8_whole_prefix("a\xe2\x82", 3), 1);
    CHECK_EQ(utf8_whole_prefix("a\xe2\x82\xac", 4), 4);
    CHECK_EQ(utf8_whole_prefix("a\x80", 2), 2);
}

TEST(utf8, finds_every_byte_that_is_not_plain_wherever_it_stands)
{
    char text[20];
    for (unsigned c = 0; c <= UINT8_MAX; c++)
        for (size_t at = 0; at < sizeof text; at++) {
            memset(text, 'a', sizeof text);
            text[at] = (char)c;
            bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
            CHECK_EQ(utf8_plain(text, sizeof text), plain ? sizeof text : at);
            CHECK_EQ(utf8_plain(text, at), at);
        }
}

TEST(buf, writes_numbers_as_printf_does)
{
    static const int64_t numbers[] = {0, 1, -1, 9, 10, -10, 99, 100, 1234567890, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        char want[24];
        struct buf buf = {0};
        snprintf(want, sizeof want, "%" PRId64, numbers[i]);
        buf_i64(&buf, numbers[i]);
        CHECK_STR(buf.data, want);
        CHECK_EQ(buf.size, strlen(want));
        buf_reset(&buf);
        snprintf(want, sizeof want, "%" PRIu64, (uint64_t)numbers[i]);
        buf_u64(&buf, (uint64_t)numbers[i]);
        CHECK_STR(buf.data, want);
        buf_done(&buf);
    }
}

TEST(buf, writes_json_strings_that_are_always_valid)
{
    struct buf buf = {0};
    buf_json_string(&buf, "a\"\\\n\x01\xff\xc3\xa9", 8);
    CHECK_STR(buf.data, "\"a\\\"\\\\\\n\\u0001\\ufffd\xc3\xa9\"");
    buf_drop(&buf, 2);
    CHECK_STR(buf.data, "\\\"\\\\\\n\\u0001\\ufffd\xc3\xa9\"");
    buf_done(&buf);
}
