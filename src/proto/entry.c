#include "proto/entry.h"

#include "base/assert.h"
#include "core/typed_data.h"

void entry_signature(const struct command *cmd, uint64_t network_id, const struct key *key,
                     uint8_t ret_signature[SIGNATURE_SIZE])
{
    struct hash digest;
    typed_data_digest(cmd, network_id, &digest);
    key_sign(key, &digest, ret_signature);
}

static enum cx_err encode(const struct command *cmd, const uint8_t (*signature)[SIGNATURE_SIZE], struct buf *ret_bytes)
{
    uint8_t bytes[ENTRY_SIZE_MAX];
    uint32_t size = command_encode(cmd, signature, bytes, sizeof bytes);
    if (size == 0) {
        const struct command_info *info = command_find(cmd->type);
        return cx_fail(CX_INVALID, "%s: a field is over its maximum size", info ? info->name : "unknown command");
    }
    buf_add(ret_bytes, bytes, size);
    return CX_OK;
}

enum cx_err entry_encode(const struct command *cmd, struct buf *ret_bytes)
{
    cx_assert(cmd->signer_count == 0);
    return encode(cmd, NULL, ret_bytes);
}

enum cx_err entry_sign(const struct command *cmd, uint64_t network_id, const struct key *const *key, uint32_t key_count,
                       struct buf *ret_bytes)
{
    cx_assert(key_count > 0);
    cx_assert(key_count <= SIGNATURES_MAX);
    uint8_t signature[SIGNATURES_MAX][SIGNATURE_SIZE];
    struct command signed_cmd = *cmd;
    signed_cmd.signer_count = (uint8_t)key_count;
    for (uint32_t i = 0; i < key_count; i++) {
        entry_signature(cmd, network_id, key[i], signature[i]);
        signed_cmd.signer[i] = *key_address(key[i]);
    }
    return encode(&signed_cmd, (const uint8_t(*)[SIGNATURE_SIZE])signature, ret_bytes);
}

enum cx_err entry_signer(const struct command *cmd, uint64_t network_id, const uint8_t signature[SIGNATURE_SIZE],
                         struct address *ret_signer)
{
    struct hash digest;
    typed_data_digest(cmd, network_id, &digest);
    return key_recover(&digest, signature, ret_signer);
}

enum cx_err entry_decode(struct span bytes, uint64_t network_id, struct command *ret_cmd)
{
    const uint8_t *signature;
    if (!command_decode(bytes, ret_cmd, &signature))
        return cx_fail(CX_INVALID, "not an entry: %u bytes that are no command's canonical form", bytes.size);
    if (ret_cmd->signer_count == 0)
        return CX_OK;
    struct hash digest;
    typed_data_digest(ret_cmd, network_id, &digest);
    for (uint32_t i = 0; i < ret_cmd->signer_count; i++) {
        ret_cmd->signer[i] = (struct address){0};
        enum cx_err err = key_recover(&digest, signature + i * SIGNATURE_SIZE, &ret_cmd->signer[i]);
        if (err)
            ret_cmd->signer[i] = (struct address){0};
    }
    return CX_OK;
}
