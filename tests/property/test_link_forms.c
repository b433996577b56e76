/* Frames of every type in both forms: what is said is what is read, whatever the form. */
#include "lib/guard.h"
#include "lib/random_frame.h"
#include "lib/test.h"

#define ROUNDS 120  // of every type

struct form {
    const char *name;
    void (*encode)(const struct link_frame *frame, struct buf *out);
    enum cx_err (*decode)(const void *data, size_t size, enum link_way way, struct link_frame *ret_frame);
};

static enum cx_err decode_json(const void *data, size_t size, enum link_way way, struct link_frame *ret_frame)
{
    return link_decode(data, size, way, ret_frame);
}

static const struct form json = {"JSON", link_encode, decode_json};
static const struct form binary = {"binary", link_encode_binary, link_decode_binary};

static void check_says(const struct form *form, const struct link_frame *frame, struct buf *ret_bytes)
{
    struct link_frame back;
    struct buf again = {0};
    buf_reset(ret_bytes);
    form->encode(frame, ret_bytes);
    char *bytes = guard_copy(ret_bytes->data, ret_bytes->size);
    if (form->decode(bytes, ret_bytes->size, link_type_way(frame->type), &back))
        test_fail(__FILE__, __LINE__, "%s of %s: %s", form->name, link_type_name(frame->type), cx_detail());
    if (!frames_same(&back, frame))
        test_fail(__FILE__, __LINE__, "%s of %s says something else", form->name, link_type_name(frame->type));
    form->encode(&back, &again);
    CHECK_EQ(again.size, ret_bytes->size);
    CHECK_MEM(again.data, ret_bytes->data, again.size);
    link_frame_done(&back);
    guard_free(bytes, ret_bytes->size);
    buf_done(&again);
}

/* From one form to the other, by way of the struct. */
static void check_turns(const struct form *from, const struct buf *bytes, enum link_way way, const struct form *to,
                        const struct buf *want)
{
    struct link_frame frame;
    struct buf turned = {0};
    CHECK_EQ(from->decode(bytes->data, bytes->size, way, &frame), CX_OK);
    to->encode(&frame, &turned);
    CHECK_EQ(turned.size, want->size);
    CHECK_MEM(turned.data, want->data, turned.size);
    link_frame_done(&frame);
    buf_done(&turned);
}

TEST(link_forms, every_frame_comes_back_as_it_went_in_both)
{
    struct prng prng = {1};
    struct link_frame frame;
    struct buf text = {0}, bytes = {0};
    for (uint32_t type = 0; type < LINK_TYPE_COUNT; type++)
        for (int i = 0; i < ROUNDS; i++) {
            enum link_way way = link_type_way((enum link_type)type);
            random_frame(&prng, (enum link_type)type, &frame);
            check_says(&json, &frame, &text);
            check_says(&binary, &frame, &bytes);
            check_turns(&json, &text, way, &binary, &bytes);
            check_turns(&binary, &bytes, way, &json, &text);
        }
    buf_done(&text);
    buf_done(&bytes);
}

/* Every field is there, so a frame that is cut is none; what stands behind it is a later version's. */
TEST(link_forms, a_binary_frame_may_be_longer_and_not_shorter)
{
    struct prng prng = {2};
    struct link_frame frame, back;
    struct buf bytes = {0};
    for (uint32_t type = 0; type < LINK_TYPE_COUNT; type++)
        for (int i = 0; i < ROUNDS / 4; i++) {
            enum link_way way = link_type_way((enum link_type)type);
            random_frame(&prng, (enum link_type)type, &frame);
            buf_reset(&bytes);
            link_encode_binary(&frame, &bytes);
            size_t whole = bytes.size;
            for (size_t size = 0; size < whole; size += 1 + size / 64) {
                char *cut = guard_copy(bytes.data, size);
                CHECK_EQ(link_decode_binary(cut, size, way, &back), CX_INVALID);
                CHECK(strstr(cx_detail(), ": missing: the frame ends before or in it"));
                guard_free(cut, size);
            }
            buf_text(&bytes, "later");
            CHECK_EQ(link_decode_binary(bytes.data, bytes.size, way, &back), CX_OK);
            CHECK(frames_same(&back, &frame));
            link_frame_done(&back);
        }
    buf_done(&bytes);
}

/* Whatever the bytes are, they are read within their end, and what is given is whole. */
static void check_broken(const struct form *form, uint64_t seed)
{
    struct prng prng = {seed};
    struct link_frame frame, back;
    struct buf bytes = {0}, again = {0};
    uint32_t refused = 0;
    for (uint32_t i = 0; i < LINK_TYPE_COUNT * ROUNDS; i++) {
        enum link_type type = (enum link_type)(i % LINK_TYPE_COUNT);
        random_frame(&prng, type, &frame);
        buf_reset(&bytes);
        form->encode(&frame, &bytes);
        size_t size = bytes.size;
        for (uint64_t flips = prng_below(&prng, 3); flips > 0; flips--)
            bytes.data[prng_below(&prng, size)] = (char)prng_below(&prng, 256);
        if (prng_below(&prng, 2))
            size = prng_below(&prng, size + 1);
        char *broken = guard_copy(bytes.data, size);
        if (form->decode(broken, size, link_type_way(type), &back)) {
            refused++;
        } else {
            buf_reset(&again);
            json.encode(&back, &again);  // both touch all that was given
            binary.encode(&back, &again);
            link_frame_done(&back);
        }
        guard_free(broken, size);
    }
    CHECK(refused > LINK_TYPE_COUNT * ROUNDS / 2);
    buf_done(&bytes);
    buf_done(&again);
}

TEST(link_forms, broken_json_is_read_to_its_end_and_no_further)
{
    check_broken(&json, 3);
}

TEST(link_forms, broken_bytes_are_read_to_their_end_and_no_further)
{
    check_broken(&binary, 4);
}
