#include "core/step.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "crypto/blake3.h"

uint64_t step_dice(const struct hash *beacon, const char tag[8], uint64_t a, uint64_t b)
{
    uint8_t bytes[8 + sizeof(struct hash) + 16];
    struct bytes_writer w;
    struct hash hash;
    bytes_writer_init(&w, bytes, sizeof bytes);
    bytes_put(&w, tag, 8);
    bytes_put(&w, beacon->b, sizeof beacon->b);
    bytes_put_u64(&w, a);
    bytes_put_u64(&w, b);
    cx_assert(w.ok);
    blake3(bytes, w.size, &hash);
    return be64(hash.b);
}
