#include "lib/random_command.h"

#include <string.h>

static void random_field(struct prng *prng, const struct field *f, const uint8_t *pool, uint8_t *ret_to)
{
    static const uint32_t size[] = {
        [FIELD_u8] = 1,
        [FIELD_u16] = 2,
        [FIELD_u32] = 4,
        [FIELD_u64] = 8,
        [FIELD_amount] = sizeof(struct amount),
        [FIELD_address] = sizeof(struct address),
        [FIELD_hash] = sizeof(struct hash),
    };
    if (f->type == FIELD_bytes) {
        struct span span = {pool + prng_below(prng, 64), (uint32_t)prng_below(prng, (uint64_t)f->size_max + 1)};
        memcpy(ret_to, &span, sizeof span);
        return;
    }
    prng_fill(prng, ret_to, size[f->type]);
}

void random_fields(struct prng *prng, struct field_list list, const uint8_t *pool, void *ret_to)
{
    for (uint32_t i = 0; i < list.count; i++)
        random_field(prng, &list.field[i], pool, (uint8_t *)ret_to + list.field[i].offset);
}

bool fields_same(struct field_list list, const void *a, const void *b)
{
    static uint8_t bytes[2][ENTRY_SIZE_MAX];
    struct bytes_writer w[2];
    for (int i = 0; i < 2; i++) {
        bytes_writer_init(&w[i], bytes[i], sizeof bytes[i]);
        fields_encode(list, i == 0 ? a : b, &w[i]);
    }
    return w[0].ok && w[1].ok && w[0].size == w[1].size && memcmp(bytes[0], bytes[1], w[0].size) == 0;
}
