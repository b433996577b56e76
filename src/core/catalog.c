#include "core/catalog.h"

#include "base/assert.h"
#include "base/mem.h"

bool catalog_init(struct catalog *catalog, struct arena *arena, struct step *step)
{
    memset(catalog, 0, sizeof *catalog);
    catalog->step = step;
    catalog->cap = (uint32_t)step->params.models_cap;
    catalog->model = arena_take(arena, catalog->cap, sizeof *catalog->model);
    bool ok = catalog->model != NULL;
    ok &= slots_init(&catalog->slots, arena, catalog->cap);
    return ok;
}

/* ---- names ---- */

static bool is_name_char(uint8_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c == '.' || c == '_' || c == ':' || c == '/' || c == '-';
}

static bool is_name(struct span name)
{
    if (name.size == 0 || name.size > MODEL_NAME_SIZE_MAX)
        return false;
    for (uint32_t i = 0; i < name.size; i++)
        if (!is_name_char(name.data[i]))
            return false;
    return true;
}

/* Takes the next alias off the list; false where there is none. */
static bool next_alias(struct span *list, struct span *ret_alias)
{
    if (!list->data)
        return false;
    uint32_t size = 0;
    while (size < list->size && list->data[size] != ',')
        size++;
    *ret_alias = (struct span){list->data, size};
    *list = size < list->size ? (struct span){list->data + size + 1, list->size - size - 1} : (struct span){0};
    return true;
}

static bool are_aliases(struct span aliases)
{
    struct span alias;
    if (aliases.size == 0)
        return true;
    while (next_alias(&aliases, &alias))
        if (!is_name(alias))
            return false;
    return true;
}

static bool span_eq(struct span a, struct span b) { return a.size == b.size && memcmp(a.data, b.data, a.size) == 0; }

static struct span name_of(const struct model *m) { return (struct span){(const uint8_t *)m->name, m->name_size}; }

static bool is_called(const struct model *m, struct span name)
{
    struct span aliases = {(const uint8_t *)m->aliases, m->aliases_size}, alias;
    if (span_eq(name_of(m), name))
        return true;
    if (aliases.size == 0)
        return false;
    while (next_alias(&aliases, &alias))
        if (span_eq(alias, name))
            return true;
    return false;
}

static uint32_t find_called(const struct catalog *catalog, struct span name)
{
    for (uint32_t i = 0; i < catalog->slots.used; i++)
        if (slots_is_live(&catalog->slots, i) && is_called(&catalog->model[i], name))
            return i;
    return SLOT_NONE;
}

static uint32_t find_digest(const struct catalog *catalog, const struct hash *digest)
{
    for (uint32_t i = 0; i < catalog->slots.used; i++)
        if (slots_is_live(&catalog->slots, i) && hash_eq(&catalog->model[i].manifest_digest, digest))
            return i;
    return SLOT_NONE;
}

/* ---- commands ---- */

static void tell(struct catalog *catalog, uint32_t model, bool removed)
{
    struct evt_model_changed *event = &event_add(catalog->step->out, EVENT_MODEL_CHANGED)->model_changed;
    event->model = slots_id(&catalog->slots, model);
    event->removed = removed;
}

/* Whether another model than `self` has a name or alias of the command's. */
static bool names_are_taken(const struct catalog *catalog, const struct cmd_model_put *cmd, uint32_t self)
{
    struct span aliases = cmd->aliases, alias;
    uint32_t other = find_called(catalog, cmd->name);
    if (other != SLOT_NONE && other != self)
        return true;
    while (cmd->aliases.size > 0 && next_alias(&aliases, &alias)) {
        other = find_called(catalog, alias);
        if (other != SLOT_NONE && other != self)
            return true;
    }
    return false;
}

enum verdict catalog_put(struct catalog *catalog, const struct cmd_model_put *cmd)
{
    if (!is_name(cmd->name) || !are_aliases(cmd->aliases) || hash_is_zero(&cmd->manifest_digest) || cmd->context == 0)
        return VERDICT_VALUE_INVALID;
    if (cmd->price_in_max > PRICE_MAX || cmd->price_out_max > PRICE_MAX)
        return VERDICT_PRICE_RANGE;
    uint32_t model = find_digest(catalog, &cmd->manifest_digest);
    if (model != SLOT_NONE && !span_eq(name_of(&catalog->model[model]), cmd->name))
        return VERDICT_MODEL_KNOWN;
    if (names_are_taken(catalog, cmd, model))
        return VERDICT_MODEL_KNOWN;
    if (model == SLOT_NONE) {
        model = slots_take(&catalog->slots);
        if (model == SLOT_NONE)
            return VERDICT_MODELS_FULL;
        memset(&catalog->model[model], 0, sizeof catalog->model[model]);
    }

    struct model *m = &catalog->model[model];
    uint32_t users = m->users;
    *m = (struct model){
        .manifest_digest = cmd->manifest_digest,
        .context = cmd->context,
        .template_tokens = cmd->template_tokens,
        .price_in_max = cmd->price_in_max,
        .price_out_max = cmd->price_out_max,
        .users = users,
        .name_size = (uint8_t)cmd->name.size,
        .aliases_size = (uint8_t)cmd->aliases.size,
        .quantization_size = (uint8_t)cmd->quantization.size,
    };
    memcpy(m->name, cmd->name.data, cmd->name.size);
    if (cmd->aliases.size > 0)
        memcpy(m->aliases, cmd->aliases.data, cmd->aliases.size);
    if (cmd->quantization.size > 0)
        memcpy(m->quantization, cmd->quantization.data, cmd->quantization.size);
    tell(catalog, model, false);
    return VERDICT_ACCEPTED;
}

enum verdict catalog_remove(struct catalog *catalog, const struct cmd_model_remove *cmd)
{
    uint32_t model = catalog_find(catalog, cmd->model);
    if (model == SLOT_NONE)
        return VERDICT_MODEL_UNKNOWN;
    if (catalog->model[model].users > 0)
        return VERDICT_MODEL_IN_USE;
    tell(catalog, model, true);
    slots_give(&catalog->slots, model);
    return VERDICT_ACCEPTED;
}

/* ---- asking ---- */

uint32_t catalog_find(const struct catalog *catalog, uint64_t id) { return slots_find(&catalog->slots, id); }

uint32_t catalog_find_name(const struct catalog *catalog, const char *name, uint32_t size)
{
    return size == 0 ? SLOT_NONE : find_called(catalog, (struct span){(const uint8_t *)name, size});
}

uint64_t catalog_id(const struct catalog *catalog, uint32_t model) { return slots_id(&catalog->slots, model); }

void catalog_use(struct catalog *catalog, uint32_t model)
{
    cx_assert(slots_is_live(&catalog->slots, model));
    catalog->model[model].users++;
}

void catalog_unuse(struct catalog *catalog, uint32_t model)
{
    cx_assert(slots_is_live(&catalog->slots, model));
    cx_assert(catalog->model[model].users > 0);
    catalog->model[model].users--;
}

/* ---- rows ---- */

static void row_text(struct rows *rows, char *text, uint8_t *size, uint32_t cap)
{
    row_u8(rows, size);
    if (*size > cap) {
        rows->ok = false;
        *size = 0;
    }
    row_bytes(rows, text, *size);
}

void catalog_rows(struct catalog *catalog, struct rows *rows)
{
    rows_module(rows, "catalog");
    row_slots(rows, &catalog->slots);
    uint32_t count = catalog->slots.used;
    rows_table(rows, &count, catalog->cap);
    for (uint32_t i = 0; i < count; i++) {
        struct model *m = &catalog->model[i];
        if (!slots_is_live(&catalog->slots, i))
            continue;
        row_bytes(rows, &m->manifest_digest, sizeof m->manifest_digest);
        row_u32(rows, &m->context);
        row_u32(rows, &m->template_tokens);
        row_u64(rows, &m->price_in_max);
        row_u64(rows, &m->price_out_max);
        row_u32(rows, &m->users);
        row_text(rows, m->name, &m->name_size, sizeof m->name);
        row_text(rows, m->aliases, &m->aliases_size, sizeof m->aliases);
        row_text(rows, m->quantization, &m->quantization_size, sizeof m->quantization);
    }
    rows_table_end(rows);
    rows_module_end(rows);
}

void catalog_check(const struct catalog *catalog)
{
    slots_check(&catalog->slots);
    for (uint32_t i = 0; i < catalog->slots.used; i++) {
        if (!slots_is_live(&catalog->slots, i))
            continue;
        const struct model *m = &catalog->model[i];
        cx_assert(find_digest(catalog, &m->manifest_digest) == i);
        cx_assert(find_called(catalog, name_of(m)) == i);
        cx_assert(is_name(name_of(m)));
        cx_assert(m->price_in_max <= PRICE_MAX);
        cx_assert(m->price_out_max <= PRICE_MAX);
    }
}
