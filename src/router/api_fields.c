/* Commands from JSON, by their tables: what a body may say is what the command has. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/address_text.h"
#include "proto/fields_json.h"
#include "router/api_parts.h"

static bool is_among(const char *const *names, const char *name)
{
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* "at_once" for AT_ONCE; or the number. */
static enum cx_err read_term(const struct json_at *object, const char *key, enum term_set set, uint64_t max,
                             uint64_t *ret_value)
{
    const char *text = NULL;
    size_t size = 0;
    char name[32];
    if (!json_is_string(json_object_get(object->value, key)))
        return json_need_u64(object, key, 0, max, ret_value);
    enum cx_err err = json_need_text(object, key, &text, &size);
    if (err)
        return err;
    size_t i = 0;
    for (; i < size && i < sizeof name - 1; i++)
        name[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 'a' + 'A' : text[i] == '-' ? '_' : text[i]);
    name[i] = 0;
    int value = term_find(set, name);
    if (value < 0)
        return json_fail(object, key, "\"%.40s\" is not known", text);
    *ret_value = (uint64_t)value;
    return CX_OK;
}

static enum cx_err read_number(const struct json_at *object, const struct command_info *info, const struct field *field,
                               uint64_t max, uint64_t *ret_value)
{
    enum term_set set = field_terms(info->name, field->name);
    const json_t *value = json_object_get(object->value, field->name);
    if (set != TERM_SET_COUNT)
        return read_term(object, field->name, set, max, ret_value);
    if (json_is_boolean(value)) {
        *ret_value = json_is_true(value);
        return CX_OK;
    }
    return json_need_u64(object, field->name, 0, max, ret_value);
}

static enum cx_err read_address(const struct json_at *at, const char *key, struct address *ret)
{
    const char *text;
    size_t size;
    enum cx_err err = json_need_text(at, key, &text, &size);
    if (!err && address_parse(text, size, ret))
        err = json_fail(at, key, "%s", cx_detail());
    return err;
}

static enum cx_err read_addresses(const struct json_at *object, const struct field *field, struct buf *list)
{
    struct json_at array;
    enum cx_err err = json_need_array(object, field->name, &array);
    if (!err && json_at_count(&array) * sizeof(struct address) > field->size_max)
        err = json_fail(object, field->name, "at most %zu addresses", field->size_max / sizeof(struct address));
    for (size_t i = 0; !err && i < json_at_count(&array); i++) {
        struct json_at item = json_at_item(&array, i);
        struct address address;
        err = read_address(&item, NULL, &address);
        if (!err)
            buf_add(list, &address, sizeof address);
    }
    return err;
}

static enum cx_err read_bytes(const struct json_at *object, const struct field *field, struct buf *lists,
                              struct span *ret)
{
    if (!json_is_array(json_object_get(object->value, field->name))) {
        const char *text;
        size_t size;
        enum cx_err err = json_need_text(object, field->name, &text, &size);
        if (!err && size > field->size_max)
            err = json_fail(object, field->name, "at most %u bytes", field->size_max);
        if (!err)
            *ret = (struct span){(const uint8_t *)text, (uint32_t)size};
        return err;
    }
    uint32_t i = 0;
    while (i < API_LISTS_MAX - 1 && lists[i].size > 0)
        i++;
    enum cx_err err = read_addresses(object, field, &lists[i]);
    if (!err)
        *ret = (struct span){(const uint8_t *)lists[i].data, (uint32_t)lists[i].size};
    return err;
}

static enum cx_err read_field(const struct json_at *object, const struct command_info *info, const struct field *field,
                              struct buf *lists, void *to)
{
    uint64_t value = 0;
    enum cx_err err = CX_OK;
    switch ((enum field_type)field->type) {
    case FIELD_u8:
        err = read_number(object, info, field, UINT8_MAX, &value);
        if (!err)
            *(uint8_t *)to = (uint8_t)value;
        break;
    case FIELD_u16:
        err = read_number(object, info, field, UINT16_MAX, &value);
        if (!err)
            *(uint16_t *)to = (uint16_t)value;
        break;
    case FIELD_u32:
        err = read_number(object, info, field, UINT32_MAX, &value);
        if (!err)
            *(uint32_t *)to = (uint32_t)value;
        break;
    case FIELD_u64: return json_need_u64(object, field->name, 0, UINT64_MAX, to);
    case FIELD_amount: return json_need_u64(object, field->name, 0, UINT64_MAX, &((struct amount *)to)->credits);
    case FIELD_address: return read_address(object, field->name, to);
    case FIELD_hash: return json_need_hex(object, field->name, to, sizeof(struct hash));
    case FIELD_bytes: return read_bytes(object, field, lists, to);
    }
    return err;
}

static const struct field *find_field(const struct command_info *info, const char *name)
{
    for (uint32_t i = 0; i < info->fields.count; i++)
        if (strcmp(info->fields.field[i].name, name) == 0)
            return &info->fields.field[i];
    return NULL;
}

enum cx_err fields_from_json(const struct json_at *object, const struct command_info *info,
                             const struct fields_wish *wish, struct command *ret_cmd)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object->value, key, value) {
        const struct field *field = find_field(info, key);
        if (is_among(wish->also, key) || json_is_null(value))
            continue;
        if (!field || is_among(wish->skip, key))
            return json_fail(object, key, "%s", field ? "this is not the request's to say" : "there is no such field");
        uint8_t *fields = (uint8_t *)&ret_cmd->genesis;  // all commands begin at the same place
        enum cx_err err = read_field(object, info, field, wish->lists, fields + field->offset);
        if (err)
            return err;
    }
    return CX_OK;
}
