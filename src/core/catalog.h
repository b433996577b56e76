/* catalog.h - which models the network serves. A model is its manifest digest; name and aliases are for people.
 * Shape: model[models_cap], by slot; ids never come twice. Source: docs/protocol.md, "Catalog". */
#ifndef CORTEN_CORE_CATALOG_H
#define CORTEN_CORE_CATALOG_H

#include "base/arena.h"
#include "core/rows.h"
#include "core/step.h"

#define MODEL_NAME_SIZE_MAX    64
#define MODEL_ALIASES_SIZE_MAX 128

struct model {
    struct hash manifest_digest;
    uint32_t context, template_tokens;
    uint64_t price_in_max, price_out_max;
    uint32_t users;  // sessions and nodes that name it
    uint8_t name_size, aliases_size, quantization_size;
    char name[MODEL_NAME_SIZE_MAX];
    char aliases[MODEL_ALIASES_SIZE_MAX];
    char quantization[16];
};

struct catalog {
    struct step *step;
    struct model *model;
    struct slots slots;
    uint32_t cap;
};

bool catalog_init(struct catalog *catalog, struct arena *arena, struct step *step);
void catalog_rows(struct catalog *catalog, struct rows *rows);
void catalog_check(const struct catalog *catalog);

enum verdict catalog_put(struct catalog *catalog, const struct cmd_model_put *cmd);
enum verdict catalog_remove(struct catalog *catalog, const struct cmd_model_remove *cmd);

uint32_t catalog_find(const struct catalog *catalog, uint64_t id);                           // or SLOT_NONE
uint32_t catalog_find_name(const struct catalog *catalog, const char *name, uint32_t size);  // names and aliases
uint64_t catalog_id(const struct catalog *catalog, uint32_t model);
static inline const struct model *catalog_model(const struct catalog *catalog, uint32_t model)
{
    cx_assert(slots_is_live(&catalog->slots, model));
    return &catalog->model[model];
}
void catalog_use(struct catalog *catalog, uint32_t model);
void catalog_unuse(struct catalog *catalog, uint32_t model);

#endif
