/* corten node: the nodes of the network, and how to bring one in. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cli/command_line.h"
#include "cli/resource.h"

static const struct option_info infos[] = {
    {"hours", 0, OPTION_NUMBER, "N", "24", "invite: how long it holds", 1, 24 * 365, false},
    {"engine", 'e', OPTION_TEXT, "ENGINE", "builtin", "invite: for the line to paste", 0, 0, false},
    {"model", 'm', OPTION_TEXT, "NAME", "corten-demo", "invite: for the line to paste", 0, 0, false},
    CLIENT_OPTIONS,
    OPTIONS_END,
};

static const struct column list_columns[] = {
    {"NODE", "address", SHOW_TEXT},         {"STATE", "state", SHOW_STATE},
    {"PRESENT", "present", SHOW_TEXT},      {"LEVEL", "level", SHOW_NUMBER},
    {"SLOTS", "slots", SHOW_NUMBER},        {"BUSY", "busy", SHOW_NUMBER},
    {"ENGINE", "engine", SHOW_TEXT},        {"MODELS", "models", SHOW_TEXT},
    {"SESSION", "session_id", SHOW_NUMBER}, {0},
};
static const struct column fields[] = {
    {"node", "address", SHOW_TEXT},        {"operator", "operator", SHOW_TEXT},
    {"state", "state", SHOW_STATE},        {"why", "why", SHOW_TEXT},
    {"present", "present", SHOW_TEXT},     {"level", "level", SHOW_TEXT},
    {"engine", "engine", SHOW_TEXT},       {"build", "build", SHOW_TEXT},
    {"slots", "slots", SHOW_TEXT},         {"busy", "busy", SHOW_TEXT},
    {"session", "session_id", SHOW_TEXT},  {"models", "models", SHOW_TEXT},
    {"stake, coins", "stake", SHOW_COINS}, {0},
};

static int list(const struct options *options)
{
    return resource_rows("node", options, "/api/v1/miners", "miners", list_columns,
                         "no node yet; corten miner brings one in");
}

static json_t *find_node(const json_t *answer, const char *address)
{
    json_t *node;
    size_t i;
    json_array_foreach(json_object_get(answer, "miners"), i, node) {
        if (strcasecmp(json_find_text(node, "address"), address) == 0)
            return node;
    }
    return NULL;
}

/* What it is, and why it has no work where it has none. */
static enum cx_err look_up(const struct options *options, const char *address, json_t **ret_node)
{
    char path[RESOURCE_PATH_SIZE];
    json_t *nodes = NULL, *why = NULL;
    resource_path(path, "/api/v3/why/%s", address, NULL);
    enum cx_err err = client_json(options, NULL, "/api/v1/miners", NULL, &nodes);
    if (!err)
        err = client_json(options, NULL, path, NULL, &why);
    json_t *node = err ? NULL : find_node(nodes, address);
    if (!err && !node)
        err = cx_fail(CX_NOT_FOUND, "no node has the address %s", address);
    if (node) {
        json_object_set(node, "why", json_object_get(why, "why"));
        *ret_node = json_incref(node);
    }
    json_decref(nodes);
    json_decref(why);
    return err;
}

static int show(const struct options *options)
{
    json_t *node = NULL;
    enum cx_err err = look_up(options, verb_argument(options, 0), &node);
    if (err)
        return fail("node", err);
    if (option_flag(options, "json"))
        show_json(node);
    else
        show_fields(node, fields);
    json_decref(node);
    return EXIT_DONE;
}

/* The one line that whoever owns the machine pastes. */
static void print_line(const struct options *options, const char *invite)
{
    const char *url = option_text(options, "url");
    bool tls = strncmp(url, "https://", 8) == 0;
    const char *host = strstr(url, "://");
    printf("corten key new miner.json && corten miner --router %s://%s --key miner.json --engine %s --model %s "
           "--invite %s\n",
           tls ? "wss" : "ws", host ? host + 3 : url, option_text(options, "engine"), option_text(options, "model"),
           invite);
}

static int invite(const struct options *options)
{
    char body[64];
    json_t *answer = NULL;
    snprintf(body, sizeof body, "{\"expires_in_ms\":%" PRIu64 "}", option_number(options, "hours") * 3600000);
    enum cx_err err = client_json(options, "POST", "/api/v1/nodes/invites", body, &answer);
    if (err)
        return fail("node", err);
    const char *text = json_find_text(answer, "invite");
    if (option_flag(options, "json"))
        show_json(answer);
    else
        print_line(options, strncmp(text, "0x", 2) == 0 ? text + 2 : text);
    json_decref(answer);
    return EXIT_DONE;
}

static int run(const struct options *options)
{
    static const struct verb verbs[] = {
        {"list", "", 0, 0, list},
        {"show", "ADDRESS", 1, 0, show},
        {"invite", "", 0, 0, invite},
    };
    return verb_run("node", verbs, ARRAY_COUNT(verbs), options);
}

const struct subcommand cmd_node = {
    .name = "node",
    .arguments = "list | show ADDRESS | invite",
    .summary = "look at the nodes, and invite new ones",
    .text = "A node is a miner's entry in the pool: its state says whether it waits, serves, or has to pass a test.\n\n"
            "  corten node list\n"
            "  corten node show 0xAddress          and why it has no work, where it has none\n"
            "  corten node invite --hours 48       prints the one line that the owner of a GPU pastes\n",
    .options = infos,
    .run = run,
};
