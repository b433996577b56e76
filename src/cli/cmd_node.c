/* corten node: the nodes of the network, and how to bring one in. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

static int show(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    resource_path(path, "/api/v1/miners/%s", verb_argument(options, 0), NULL);
    return resource_fields("node", options, NULL, path, NULL, fields);
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
    snprintf(body, sizeof body, "{\"valid_ms\":%" PRIu64 "}", option_number(options, "hours") * 3600000);
    enum cx_err err = client_json(options, "POST", "/api/v1/invites", body, &answer);
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
