/* The catalog of models. */
#include "core/catalog.h"

#include "lib/core_parts.h"
#include "lib/test.h"

static struct span text(const char *s) { return (struct span){(const uint8_t *)s, (uint32_t)strlen(s)}; }

static struct catalog *catalog_open(struct parts *p)
{
    struct catalog *catalog = test_keep(calloc(1, sizeof *catalog));
    CHECK(catalog && catalog_init(catalog, &p->arena, &p->step));
    return catalog;
}

static struct cmd_model_put wish(uint32_t digest, const char *name, const char *aliases)
{
    return (struct cmd_model_put){
        .manifest_digest = test_hash('m', digest), .context = 2048, .name = text(name), .aliases = text(aliases)};
}

static enum verdict put(struct catalog *catalog, uint32_t digest, const char *name, const char *aliases)
{
    struct cmd_model_put cmd = wish(digest, name, aliases);
    return catalog_put(catalog, &cmd);
}

TEST(catalog, finds_models_by_name_and_alias)
{
    struct parts *p = parts_open();
    struct catalog *catalog = catalog_open(p);
    CHECK_EQ(put(catalog, 1, "corten-demo", "demo,org/Demo:1b"), VERDICT_ACCEPTED);
    uint64_t id = parts_event(p, EVENT_MODEL_CHANGED)->model_changed.model;
    uint32_t model = catalog_find(catalog, id);
    CHECK(model != SLOT_NONE);
    CHECK_EQ(catalog_find_name(catalog, "corten-demo", 11), model);
    CHECK_EQ(catalog_find_name(catalog, "demo", 4), model);
    CHECK_EQ(catalog_find_name(catalog, "org/Demo:1b", 11), model);
    CHECK_EQ(catalog_find_name(catalog, "dem", 3), SLOT_NONE);
    CHECK_EQ(catalog_find_name(catalog, "", 0), SLOT_NONE);
    CHECK(catalog_id(catalog, model) == id);
    catalog_check(catalog);
}

TEST(catalog, refuses_what_is_no_name)
{
    struct parts *p = parts_open();
    struct catalog *catalog = catalog_open(p);
    static const char *const name[] = {"", "a b", "a,b", "caf\xc3\xa9", "a\n"};
    for (size_t i = 0; i < ARRAY_COUNT(name); i++)
        CHECK_EQ(put(catalog, 1, name[i], ""), VERDICT_VALUE_INVALID);
    static const char *const aliases[] = {",", "a,", ",a", "a,,b", "a b"};
    for (size_t i = 0; i < ARRAY_COUNT(aliases); i++)
        CHECK_EQ(put(catalog, 1, "a", aliases[i]), VERDICT_VALUE_INVALID);
    struct cmd_model_put cmd = wish(1, "a", "");
    cmd.context = 0;
    CHECK_EQ(catalog_put(catalog, &cmd), VERDICT_VALUE_INVALID);
    cmd = wish(1, "a", "");
    cmd.manifest_digest = (struct hash){{0}};
    CHECK_EQ(catalog_put(catalog, &cmd), VERDICT_VALUE_INVALID);
    cmd = wish(1, "a", "");
    cmd.price_out_max = PRICE_MAX + 1;
    CHECK_EQ(catalog_put(catalog, &cmd), VERDICT_PRICE_RANGE);
    cmd.price_out_max = PRICE_MAX;
    CHECK_EQ(catalog_put(catalog, &cmd), VERDICT_ACCEPTED);
}

TEST(catalog, keeps_names_and_digests_apart)
{
    struct parts *p = parts_open();
    struct catalog *catalog = catalog_open(p);
    CHECK_EQ(put(catalog, 1, "one", "uno"), VERDICT_ACCEPTED);
    CHECK_EQ(put(catalog, 1, "two", ""), VERDICT_MODEL_KNOWN);
    CHECK_EQ(put(catalog, 2, "one", ""), VERDICT_MODEL_KNOWN);
    CHECK_EQ(put(catalog, 2, "uno", ""), VERDICT_MODEL_KNOWN);
    CHECK_EQ(put(catalog, 2, "two", "one"), VERDICT_MODEL_KNOWN);
    CHECK_EQ(put(catalog, 2, "two", "due,uno"), VERDICT_MODEL_KNOWN);
    CHECK_EQ(put(catalog, 2, "two", "due"), VERDICT_ACCEPTED);
    CHECK_EQ(put(catalog, 3, "three", ""), VERDICT_ACCEPTED);
    CHECK_EQ(put(catalog, 4, "four", ""), VERDICT_MODELS_FULL);
    catalog_check(catalog);
}

TEST(catalog, changes_the_terms_of_a_model_it_knows)
{
    struct parts *p = parts_open();
    struct catalog *catalog = catalog_open(p);
    CHECK_EQ(put(catalog, 1, "one", "uno"), VERDICT_ACCEPTED);
    catalog_use(catalog, 0);
    struct cmd_model_put cmd = wish(1, "one", "eins");
    cmd.context = 99;
    CHECK_EQ(catalog_put(catalog, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(catalog_model(catalog, 0)->context, 99);
    CHECK_EQ(catalog_model(catalog, 0)->users, 1);
    CHECK_EQ(catalog_find_name(catalog, "uno", 3), SLOT_NONE);
    CHECK_EQ(catalog_find_name(catalog, "eins", 4), 0);
}

TEST(catalog, keeps_what_is_in_use)
{
    struct parts *p = parts_open();
    struct catalog *catalog = catalog_open(p);
    CHECK_EQ(put(catalog, 1, "one", ""), VERDICT_ACCEPTED);
    uint64_t id = catalog_id(catalog, 0);
    struct cmd_model_remove remove = {id};
    catalog_use(catalog, 0);
    CHECK_EQ(catalog_remove(catalog, &remove), VERDICT_MODEL_IN_USE);
    catalog_unuse(catalog, 0);
    CHECK_EQ(catalog_remove(catalog, &remove), VERDICT_ACCEPTED);
    CHECK_EQ(parts_event(p, EVENT_MODEL_CHANGED)->model_changed.removed, 1);
    CHECK_EQ(catalog_remove(catalog, &remove), VERDICT_MODEL_UNKNOWN);
    CHECK_EQ(catalog_find(catalog, id), SLOT_NONE);
    CHECK_EQ(catalog_find_name(catalog, "one", 3), SLOT_NONE);
}

TEST(catalog, is_read_back_as_it_was)
{
    struct parts *p = parts_open();
    struct catalog *a = catalog_open(p), *b = catalog_open(p);
    CHECK_EQ(put(a, 1, "one", "uno"), VERDICT_ACCEPTED);
    CHECK_EQ(put(a, 2, "two", ""), VERDICT_ACCEPTED);
    CHECK_EQ(catalog_remove(a, &(struct cmd_model_remove){catalog_id(a, 0)}), VERDICT_ACCEPTED);
    uint8_t bytes[2048];
    struct rows rows;
    rows_init(&rows, ROWS_WRITE);
    bytes_writer_init(&rows.w, bytes, sizeof bytes);
    catalog_rows(a, &rows);
    uint32_t size = rows.w.size;
    CHECK(rows.ok);
    rows_init(&rows, ROWS_READ);
    bytes_reader_init(&rows.r, bytes, size);
    catalog_rows(b, &rows);
    CHECK(rows.ok && rows.r.left == 0);
    catalog_check(b);
    CHECK_EQ(catalog_find_name(b, "two", 3), 1);
    CHECK_EQ(put(b, 3, "three", ""), VERDICT_ACCEPTED);
    CHECK_EQ(put(a, 3, "three", ""), VERDICT_ACCEPTED);
    CHECK(catalog_id(a, catalog_find_name(a, "three", 5)) == catalog_id(b, catalog_find_name(b, "three", 5)));
}
