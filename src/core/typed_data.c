#include "core/typed_data.h"

#include "base/assert.h"
#include "base/text.h"
#include "crypto/eip712.h"

static const char *const type_name[] = {
    [FIELD_u8] = "uint8",      [FIELD_u16] = "uint16",      [FIELD_u32] = "uint32",   [FIELD_u64] = "uint64",
    [FIELD_amount] = "uint64", [FIELD_address] = "address", [FIELD_hash] = "bytes32", [FIELD_bytes] = "bytes",
};

static void put_text(struct bytes_writer *w, const char *text) { bytes_put(w, text, text_size(text)); }

uint32_t typed_data_type(const struct command_info *info, char *ret_text, uint32_t cap)
{
    struct bytes_writer w;
    bytes_writer_init(&w, ret_text, cap);
    put_text(&w, info->name);
    put_text(&w, "(");
    for (uint32_t i = 0; i < info->fields.count; i++) {
        put_text(&w, type_name[info->fields.field[i].type]);
        put_text(&w, " ");
        put_text(&w, info->fields.field[i].name);
        put_text(&w, ",");
    }
    put_text(&w, "uint64 nonce,uint64 valid_until_ms)");
    bytes_put_u8(&w, 0);
    cx_assert(w.ok);
    return w.size - 1;
}

static void add_field(struct eip712 *e, const struct field *f, const void *from)
{
    switch ((enum field_type)f->type) {
    case FIELD_u8: eip712_uint(e, *(const uint8_t *)from); return;
    case FIELD_u16: eip712_uint(e, *(const uint16_t *)from); return;
    case FIELD_u32: eip712_uint(e, *(const uint32_t *)from); return;
    case FIELD_u64: eip712_uint(e, *(const uint64_t *)from); return;
    case FIELD_amount: eip712_uint(e, ((const struct amount *)from)->credits); return;
    case FIELD_address: eip712_address(e, from); return;
    case FIELD_hash: eip712_bytes32(e, from); return;
    case FIELD_bytes: {
        struct span span = *(const struct span *)from;
        eip712_bytes(e, span.data, span.size);
        return;
    }
    }
}

void typed_data_digest(const struct command *cmd, uint64_t network_id, struct hash *ret_digest)
{
    const struct command_info *info = command_find(cmd->type);
    cx_assert(info);
    char type[TYPE_TEXT_SIZE_MAX];
    uint32_t type_size = typed_data_type(info, type, sizeof type);
    struct eip712 e;
    eip712_begin(&e, type, type_size);
    for (uint32_t i = 0; i < info->fields.count; i++)
        add_field(&e, &info->fields.field[i], (const uint8_t *)&cmd->genesis + info->fields.field[i].offset);
    eip712_uint(&e, cmd->nonce);
    eip712_uint(&e, cmd->valid_until_ms);
    struct hash domain, body;
    eip712_end(&e, &body);
    eip712_domain(network_id, &domain);
    eip712_digest(&domain, &body, ret_digest);
}
