/* GGUF files: what is read, and that nothing bad is read past. */
#include "runtime/gguf.h"

#include "lib/guard.h"
#include "lib/test.h"
#include "lib/tiny_gguf.h"
#include "runtime/llama_model.h"

static struct gguf *read_or_fail(const struct buf *file)
{
    struct gguf *gguf = malloc(sizeof *gguf);
    CHECK(gguf);
    if (gguf_read((const uint8_t *)file->data, file->size, gguf))
        test_fail(__FILE__, __LINE__, "%s", cx_detail());
    return gguf;
}

static void check_refused(const struct buf *file, enum cx_err err, const char *words)
{
    struct gguf *gguf = malloc(sizeof *gguf);
    CHECK(gguf);
    CHECK_EQ(gguf_read((const uint8_t *)file->data, file->size, gguf), err);
    if (!strstr(cx_detail(), words))
        test_fail(__FILE__, __LINE__, "\"%s\" is not in \"%s\"", words, cx_detail());
    free(gguf);
}

TEST(gguf, keys_and_tensors_are_found)
{
    struct buf file = {0};
    tiny_gguf(&file, &(struct tiny_options){0});
    struct gguf *gguf = read_or_fail(&file);
    uint32_t width;
    struct span name;
    CHECK_EQ(gguf_need_u32(gguf, "llama.embedding_length", 1, 100, &width), CX_OK);
    CHECK_EQ(width, TINY_WIDTH);
    CHECK_EQ(gguf_need_text(gguf, "general.architecture", &name), CX_OK);
    CHECK_EQ(name.size, 5);
    const struct gguf_tensor *t = gguf_find_tensor(gguf, "token_embd.weight");
    CHECK(t);
    CHECK_EQ(t->dims[0], TINY_WIDTH);
    CHECK_EQ(t->size, TINY_VOCAB * TINY_WIDTH * 4);
    CHECK(!gguf_find(gguf, "no.such.key"));
    CHECK(!gguf_find_tensor(gguf, "no.such.tensor"));
    free(gguf);
    buf_done(&file);
}

TEST(gguf, wrong_types_and_ranges_name_the_key)
{
    struct buf file = {0};
    tiny_gguf(&file, &(struct tiny_options){0});
    struct gguf *gguf = read_or_fail(&file);
    uint32_t number;
    struct span text;
    CHECK_EQ(gguf_need_u32(gguf, "llama.embedding_length", 1, 8, &number), CX_CORRUPT);
    CHECK(strstr(cx_detail(), "llama.embedding_length"));
    CHECK_EQ(gguf_need_u32(gguf, "general.architecture", 1, 8, &number), CX_CORRUPT);
    CHECK_EQ(gguf_need_text(gguf, "missing.key", &text), CX_CORRUPT);
    CHECK(strstr(cx_detail(), "missing.key"));
    free(gguf);
    buf_done(&file);
}

/* A file cut anywhere is refused, and nothing behind its end is touched. */
TEST(gguf, every_cut_is_refused)
{
    struct buf file = {0};
    struct gguf *gguf = malloc(sizeof *gguf);
    tiny_gguf(&file, &(struct tiny_options){0});
    CHECK(gguf);
    size_t header = tiny_header_size(&file);
    for (size_t size = 0; size < file.size; size += size < header || size + 4001 > file.size ? 1 : 4001) {
        const uint8_t *cut = guard_copy(file.data, size);
        enum cx_err err = gguf_read(cut, size, gguf);
        if (err != CX_CORRUPT)
            test_fail(__FILE__, __LINE__, "cut at %zu: %s", size, cx_err_name(err));
        guard_free((void *)(uintptr_t)cut, size);
    }
    free(gguf);
    buf_done(&file);
}

/* Every byte of the header garbled in several ways: either it is refused, or the model that comes of it can be
 * opened or refused without a crash (the sanitizers watch). */
TEST(gguf, every_garbled_byte_is_survived)
{
    static const uint8_t garble[] = {0x01, 0x80, 0xff};
    struct buf file = {0};
    tiny_gguf(&file, &(struct tiny_options){0});
    size_t header = tiny_header_size(&file);
    uint32_t refused = 0, opened = 0;
    CHECK(header > 1000);
    uint8_t *bad = guard_copy(file.data, file.size);
    for (size_t at = 0; at < header; at++)
        for (size_t g = 0; g < ARRAY_COUNT(garble); g++) {
            uint8_t was = bad[at];
            struct llama_model *model = NULL;
            bad[at] ^= garble[g];
            if (llama_model_open(bad, file.size, &model)) {
                refused++;
                CHECK(cx_detail()[0] != '\0');
            } else {
                opened++;
            }
            llama_model_close(model);
            bad[at] = was;
        }
    CHECK(refused > header);
    CHECK(opened > 0);
    guard_free(bad, file.size);
    buf_done(&file);
}

TEST(gguf, other_files_and_versions_are_named)
{
    struct buf file = {0};
    buf_text(&file, "PK\003\004 something else that is long enough");
    check_refused(&file, CX_CORRUPT, "not a GGUF file");
    buf_reset(&file);
    tiny_gguf(&file, &(struct tiny_options){0});
    file.data[4] = 2;
    check_refused(&file, CX_UNSUPPORTED, "version");
    buf_done(&file);
}

TEST(gguf, counts_have_bounds)
{
    struct buf file = {0};
    tiny_gguf(&file, &(struct tiny_options){0});
    file.data[10] = 0x10;
    check_refused(&file, CX_TOO_LARGE, "number of tensors");
    file.data[10] = 0;
    file.data[18] = 0x10;
    check_refused(&file, CX_TOO_LARGE, "number of keys");
    buf_done(&file);
}

TEST(gguf, other_quantizations_are_refused_by_name)
{
    struct buf file = {0};
    tiny_gguf(&file, &(struct tiny_options){.tensor_type = 12});
    check_refused(&file, CX_UNSUPPORTED, "Q4_K");
    check_refused(&file, CX_UNSUPPORTED, "token_embd.weight");
    buf_done(&file);
}
