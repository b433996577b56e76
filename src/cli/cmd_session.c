/* corten session: who may ask, which model answers, how many nodes work on each prompt, and who pays. */
#include <stdio.h>
#include <string.h>

#include "cli/command_line.h"
#include "cli/resource.h"
#include "core/limits.h"

static const struct option_info infos[] = {
    {"model", 'm', OPTION_TEXT, "NAME", NULL, "create: which model; else the only one there is", 0, 0, false},
    {"name", 0, OPTION_TEXT, "TEXT", NULL, "create: for people", 0, 0, false},
    {"redundancy", 0, OPTION_NUMBER, "N", NULL, "create: nodes that work on each prompt", 1, REDUNDANCY_MAX, false},
    {"quorum", 0, OPTION_NUMBER, "N", NULL, "create: answers that are needed", 1, REDUNDANCY_MAX, false},
    {"nodes-min", 0, OPTION_NUMBER, "N", NULL, "create: nodes reserved at once", 1, SESSION_NODES_MAX, false},
    {"nodes-max", 0, OPTION_NUMBER, "N", NULL, "create: nodes it may grow to", 1, SESSION_NODES_MAX, false},
    {"validation", 0, OPTION_TEXT, "POLICY", NULL, "create: hash or majority", 0, 0, false},
    {"escrow", 0, OPTION_TEXT, "AMOUNT", NULL, "create: what it may spend, in credits or as 0.5coins", 0, 0, false},
    {"set", 0, OPTION_TEXT, "FIELD=VALUE", NULL, "create: any other field of the session; may be repeated", 0, 0, true},
    CLIENT_OPTIONS,
    OPTIONS_END,
};

static const struct column list_columns[] = {
    {"SESSION", "session_id", SHOW_NUMBER},
    {"STATE", "state", SHOW_STATE},
    {"MODEL", "model", SHOW_TEXT},
    {"NODES", "nodes", SHOW_NUMBER},
    {"LIVE", "tasks_live", SHOW_NUMBER},
    {"ESCROW", "escrow", SHOW_COINS},
    {"NAME", "name", SHOW_TEXT},
    {0},
};
static const struct column fields[] = {
    {"session", "session_id", SHOW_TEXT},
    {"name", "name", SHOW_TEXT},
    {"state", "state", SHOW_STATE},
    {"degraded", "degraded", SHOW_TEXT},
    {"shared", "shared", SHOW_TEXT},
    {"owner", "owner", SHOW_TEXT},
    {"model", "model", SHOW_TEXT},
    {"mode", "mode", SHOW_TEXT},
    {"redundancy", "redundancy", SHOW_TEXT},
    {"quorum", "quorum", SHOW_TEXT},
    {"validation", "validation", SHOW_TEXT},
    {"privacy", "privacy", SHOW_TEXT},
    {"pays", "pays", SHOW_TEXT},
    {"nodes at least", "nodes_min", SHOW_TEXT},
    {"nodes at most", "nodes_max", SHOW_TEXT},
    {"nodes now", "nodes", SHOW_TEXT},
    {"tasks live", "tasks_live", SHOW_TEXT},
    {"escrow, coins", "escrow", SHOW_COINS},
    {0},
};

static int list(const struct options *options)
{
    return resource_rows("session", options, "/api/v1/sessions", "sessions", list_columns,
                         "no session yet; a prompt opens a shared one by itself");
}

static int show(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    resource_path(path, "/api/v1/sessions/%s", verb_argument(options, 0), NULL);
    return resource_fields("session", options, NULL, path, NULL, fields);
}

/* Numbers, true and false go as such, everything else as text. */
static enum cx_err set_field(json_t *body, const char *text)
{
    const char *equals = strchr(text, '=');
    json_error_t why;
    if (!equals || equals == text)
        return cx_fail(CX_INVALID, "--set: expected FIELD=VALUE, not \"%s\"", text);
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY, &why);
    if (!value)
        value = json_string(equals + 1);
    if (!value || json_object_setn_new(body, text, (size_t)(equals - text), value) != 0)
        return cx_fail(CX_INVALID, "--set: \"%s\" is no UTF-8", text);
    return CX_OK;
}

static enum cx_err write_session(const struct options *options, json_t *body)
{
    static const struct {
        const char *option, *field;
    } texts[] = {{"model", "model"}, {"name", "name"}, {"validation", "validation"}},
      numbers[] = {
          {"redundancy", "redundancy"}, {"quorum", "quorum"}, {"nodes-min", "nodes_min"}, {"nodes-max", "nodes_max"}};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        if (option_text(options, texts[i].option))
            json_object_set_new(body, texts[i].field, json_string(option_text(options, texts[i].option)));
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        if (option_given(options, numbers[i].option))
            json_object_set_new(body, numbers[i].field,
                                json_integer((json_int_t)option_number(options, numbers[i].option)));
    enum cx_err err = CX_OK;
    if (option_text(options, "escrow")) {
        struct amount escrow;
        err = amount_read(option_text(options, "escrow"), &escrow);
        if (!err)
            json_object_set_new(body, "escrow", json_amount(escrow));
    }
    const struct option *set = option_find(options, "set");
    for (uint32_t i = 0; i < set->count && !err; i++)
        err = set_field(body, set->text[i]);
    return err;
}

static int create(const struct options *options)
{
    json_t *body = json_object();
    enum cx_err err = write_session(options, body);
    int status = err ? fail_usage("session", "%s", cx_detail())
                     : resource_send("session", options, "/api/v1/sessions", body, fields);
    json_decref(body);
    return status;
}

static int top_up(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    struct amount amount;
    if (amount_read(verb_argument(options, 1), &amount))
        return fail_usage("session", "%s", cx_detail());
    json_t *body = json_object();
    json_object_set_new(body, "amount", json_amount(amount));
    resource_path(path, "/api/v1/sessions/%s/top-up", verb_argument(options, 0), NULL);
    int status = resource_send("session", options, path, body, fields);
    json_decref(body);
    return status;
}

static int close_it(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    resource_path(path, "/api/v1/sessions/%s/close", verb_argument(options, 0), NULL);
    return resource_fields("session", options, "POST", path, "{}", fields);
}

static int run(const struct options *options)
{
    static const struct verb verbs[] = {
        {"list", "", 0, 0, list},        {"show", "ID", 1, 0, show},
        {"create", "", 0, 0, create},    {"top-up", "ID AMOUNT", 2, 0, top_up},
        {"close", "ID", 1, 0, close_it},
    };
    return verb_run("session", verbs, ARRAY_COUNT(verbs), options);
}

const struct subcommand cmd_session = {
    .name = "session",
    .arguments = "list | show ID | create … | top-up ID AMOUNT | close ID",
    .summary = "open, look at and close sessions",
    .text = "A session says who may ask, which model answers, how many nodes work on each prompt, how the answer is\n"
            "checked and who pays. Nobody needs one: a prompt without a session goes to a shared one.\n\n"
            "  corten session list\n"
            "  corten session create --model corten-demo --redundancy 3 --quorum 2 --nodes-min 3 \\\n"
            "                        --validation majority --escrow 0.5coins\n"
            "  corten ask --session ID \"In the beginning\"\n"
            "  corten session top-up ID 250000         adds credits, a millionth of a coin each\n"
            "  corten session close ID                 lets what runs end, and refunds the rest\n",
    .options = infos,
    .run = run,
};
