/* Commands of every type: one command, one encoding. */
#include "core/command.h"

#include "lib/guard.h"
#include "lib/random_command.h"
#include "lib/test.h"

#define ROUNDS 40  // of every type

static uint8_t pool[2048], signature[SIGNATURES_MAX][65];

static void fill_pools(struct prng *prng)
{
    prng_fill(prng, pool, sizeof pool);
    prng_fill(prng, signature, sizeof signature);
}

static void random_command(struct prng *prng, const struct command_info *info, struct command *ret_cmd)
{
    memset(ret_cmd, 0, sizeof *ret_cmd);
    ret_cmd->type = info->type;
    random_fields(prng, info->fields, pool, &ret_cmd->genesis);
    ret_cmd->signer_count = (uint8_t)(prng_below(prng, 2) ? 0 : prng_below(prng, 4));
    if (ret_cmd->signer_count > 0) {
        ret_cmd->nonce = prng_next(prng);
        ret_cmd->valid_until_ms = prng_next(prng);
    }
}

TEST(command, decodes_to_what_was_encoded)
{
    struct prng prng = {1};
    fill_pools(&prng);
    for (const struct command_info *info = command_next(NULL); info; info = command_next(info))
        for (int i = 0; i < ROUNDS; i++) {
            struct command cmd, back;
            uint8_t bytes[ENTRY_SIZE_MAX];
            random_command(&prng, info, &cmd);
            uint32_t size = command_encode(&cmd, (const uint8_t(*)[65])signature, bytes, sizeof bytes);
            CHECK(size > 0);
            uint8_t *entry = guard_copy(bytes, size);
            const uint8_t *signatures;
            CHECK(command_decode((struct span){entry, size}, &back, &signatures));
            CHECK_EQ(back.type, cmd.type);
            CHECK_EQ(back.signer_count, cmd.signer_count);
            CHECK(back.nonce == cmd.nonce && back.valid_until_ms == cmd.valid_until_ms);
            CHECK(fields_same(info->fields, &back.genesis, &cmd.genesis));
            CHECK_MEM(signatures, signature, cmd.signer_count * (size_t)65);
            guard_free(entry, size);
        }
}

/* Whatever decodes at all must encode to the same bytes again. */
static bool is_canonical(const uint8_t *entry, uint32_t size)
{
    struct command cmd;
    const uint8_t *signatures;
    memset(&cmd, 0, sizeof cmd);
    if (!command_decode((struct span){entry, size}, &cmd, &signatures))
        return true;
    uint8_t again[ENTRY_SIZE_MAX], copy[SIGNATURES_MAX][65];
    memcpy(copy, signatures, cmd.signer_count * (size_t)65);
    return command_encode(&cmd, (const uint8_t(*)[65])copy, again, sizeof again) == size &&
           memcmp(again, entry, size) == 0;
}

TEST(command, has_one_encoding)
{
    struct prng prng = {2};
    fill_pools(&prng);
    for (const struct command_info *info = command_next(NULL); info; info = command_next(info))
        for (int i = 0; i < ROUNDS; i++) {
            struct command cmd;
            uint8_t bytes[ENTRY_SIZE_MAX + 1];
            random_command(&prng, info, &cmd);
            uint32_t size = command_encode(&cmd, (const uint8_t(*)[65])signature, bytes, ENTRY_SIZE_MAX);
            bytes[prng_below(&prng, size)] ^= (uint8_t)(1 + prng_below(&prng, 255));
            uint8_t *entry = guard_copy(bytes, size);
            CHECK(is_canonical(entry, size));
            guard_free(entry, size);
        }
}

TEST(command, refuses_every_prefix_and_every_tail)
{
    struct prng prng = {3};
    fill_pools(&prng);
    for (const struct command_info *info = command_next(NULL); info; info = command_next(info)) {
        struct command cmd, back;
        uint8_t bytes[ENTRY_SIZE_MAX + 1] = {0};
        const uint8_t *signatures;
        random_command(&prng, info, &cmd);
        uint32_t size = command_encode(&cmd, (const uint8_t(*)[65])signature, bytes, ENTRY_SIZE_MAX);
        for (uint32_t cut = 0; cut < size; cut++) {
            uint8_t *entry = guard_copy(bytes, cut);
            CHECK(!command_decode((struct span){entry, cut}, &back, &signatures));
            guard_free(entry, cut);
        }
        CHECK(!command_decode((struct span){bytes, size + 1}, &back, &signatures));
        CHECK_EQ(command_encode(&cmd, (const uint8_t(*)[65])signature, bytes, size - 1), 0);
    }
}

TEST(command, takes_whatever_comes_without_reading_too_far)
{
    struct prng prng = {4};
    fill_pools(&prng);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[512];
        uint32_t size = (uint32_t)prng_below(&prng, sizeof bytes);
        prng_fill(&prng, bytes, size);
        if (size > 1) {
            bytes[0] = 0;
            bytes[1] = (uint8_t)prng_below(&prng, COMMAND_TYPE_END + 1);
        }
        uint8_t *entry = guard_copy(bytes, size);
        CHECK(is_canonical(entry, size));
        guard_free(entry, size);
    }
}
