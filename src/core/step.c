#include "core/step.h"

#include "base/bytes.h"
#include "crypto/keccak.h"

uint64_t step_dice(const struct hash *beacon, const char tag[8], uint64_t a, uint64_t b)
{
    uint8_t number[16];
    be64_put(number, a);
    be64_put(number + 8, b);
    struct keccak k;
    struct hash hash;
    keccak_init(&k);
    keccak_add(&k, tag, 8);
    keccak_add(&k, beacon->b, sizeof beacon->b);
    keccak_add(&k, number, sizeof number);
    keccak_end(&k, &hash);
    return be64(hash.b);
}
