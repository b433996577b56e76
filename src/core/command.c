#include "core/command.h"

#include "base/assert.h"
#include "base/text.h"

#define SIGNATURE_SIZE 65

// clang-format off
#define COMMAND(id, name, NAME, authority, replay) static const struct field name##_fields[] = {
#define FIELD(command, name, type)                 {#name, offsetof(struct cmd_##command, name), 0, FIELD_##type},
#define BYTES(command, name, max)                  {#name, offsetof(struct cmd_##command, name), max, FIELD_bytes},
#define END(name) };
// clang-format on
#include "core/command.def"
#undef COMMAND
#undef FIELD
#undef BYTES
#undef END

static const struct command_info table[COMMAND_TYPE_END] = {
#define COMMAND(id, name, NAME, authority, replay) \
    [id] = {COMMAND_##NAME, #name, AUTHORITY_##authority, REPLAY_##replay, {name##_fields, ARRAY_COUNT(name##_fields)}},
#define FIELD(command, name, type)
#define BYTES(command, name, max)
#define END(name)
#include "core/command.def"
#undef COMMAND
#undef FIELD
#undef BYTES
#undef END
};

const struct command_info *command_find(uint32_t type)
{
    return type < COMMAND_TYPE_END && table[type].name ? &table[type] : NULL;
}

const struct command_info *command_find_name(const char *name)
{
    for (uint32_t i = 0; i < COMMAND_TYPE_END; i++)
        if (table[i].name && text_eq(table[i].name, name))
            return &table[i];
    return NULL;
}

const struct command_info *command_next(const struct command_info *info)
{
    for (uint32_t i = info ? (uint32_t)info->type + 1 : 0; i < COMMAND_TYPE_END; i++)
        if (table[i].name)
            return &table[i];
    return NULL;
}

uint32_t command_encode(const struct command *cmd, const uint8_t (*signature)[65], uint8_t *ret_bytes, uint32_t cap)
{
    const struct command_info *info = command_find(cmd->type);
    cx_assert(info);
    cx_assert(cmd->signer_count <= SIGNATURES_MAX);
    struct bytes_writer w;
    bytes_writer_init(&w, ret_bytes, u32_min(cap, ENTRY_SIZE_MAX));
    bytes_put_u16(&w, (uint16_t)cmd->type);
    fields_encode(info->fields, &cmd->genesis, &w);
    bytes_put_u8(&w, cmd->signer_count);
    if (cmd->signer_count > 0) {
        bytes_put_u64(&w, cmd->nonce);
        bytes_put_u64(&w, cmd->valid_until_ms);
        bytes_put(&w, signature, cmd->signer_count * (uint32_t)SIGNATURE_SIZE);
    }
    return w.ok ? w.size : 0;
}

static struct amount get_amount(struct bytes_reader *r) { return amount_of(bytes_get_u64(r)); }

static struct span get_bytes(struct bytes_reader *r, uint32_t max)
{
    uint16_t size = bytes_get_u16(r);
    r->ok = r->ok && size <= max;
    return bytes_get_span(r, size);
}

/* Straight code for each command and not a walk over its fields: every entry comes this way. */
static void decode_fields(struct bytes_reader *r, struct command *cmd)
{
#define GET_u8(to)      to = bytes_get_u8(r)
#define GET_u16(to)     to = bytes_get_u16(r)
#define GET_u32(to)     to = bytes_get_u32(r)
#define GET_u64(to)     to = bytes_get_u64(r)
#define GET_amount(to)  to = get_amount(r)
#define GET_address(to) bytes_get(r, to.b, sizeof to.b)
#define GET_hash(to)    bytes_get(r, to.b, sizeof to.b)
    // clang-format off
    switch (cmd->type) {
#define COMMAND(id, name, NAME, authority, replay) case COMMAND_##NAME:
#define FIELD(command, name, type) GET_##type(cmd->command.name);
#define BYTES(command, name, max)  cmd->command.name = get_bytes(r, max);
#define END(name) return;
#include "core/command.def"
#undef COMMAND
#undef FIELD
#undef BYTES
#undef END
    case COMMAND_TYPE_END: cx_assert(false);
    }
    // clang-format on
}

bool command_decode(struct span bytes, struct command *ret_cmd, const uint8_t **ret_signature)
{
    if (bytes.size > ENTRY_SIZE_MAX)
        return false;
    struct bytes_reader r;
    bytes_reader_init(&r, bytes.data, bytes.size);
    const struct command_info *info = command_find(bytes_get_u16(&r));
    if (!info)
        return false;
    ret_cmd->type = info->type;
    decode_fields(&r, ret_cmd);
    ret_cmd->signer_count = bytes_get_u8(&r);
    bool is_signed = ret_cmd->signer_count > 0;
    ret_cmd->nonce = is_signed ? bytes_get_u64(&r) : 0;
    ret_cmd->valid_until_ms = is_signed ? bytes_get_u64(&r) : 0;
    *ret_signature = bytes_get_span(&r, ret_cmd->signer_count * (uint32_t)SIGNATURE_SIZE).data;
    return r.ok && r.left == 0 && ret_cmd->signer_count <= SIGNATURES_MAX;
}
