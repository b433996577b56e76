/* corten task: what became of a prompt, and why. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/command_line.h"
#include "cli/resource.h"

static const struct option_info infos[] = {
    CLIENT_OPTIONS,
    OPTIONS_END,
};

static const struct column list_columns[] = {
    {"TASK", "task_id", SHOW_NUMBER},       {"STATE", "state", SHOW_STATE}, {"SUBMITTED", "submitted_ms", SHOW_TIME},
    {"FINISHED", "finished_ms", SHOW_TIME}, {"PAYER", "payer", SHOW_TEXT},  {0},
};
static const struct column fields[] = {
    {"task", "task_id", SHOW_TEXT},
    {"session", "session_id", SHOW_TEXT},
    {"state", "state", SHOW_STATE},
    {"cause", "cause", SHOW_TEXT},
    {"finish", "finish_reason", SHOW_TEXT},
    {"attempt", "attempt", SHOW_TEXT},
    {"attempts", "attempts", SHOW_TEXT},
    {"nodes", "assigned_miners", SHOW_TEXT},
    {"payer", "payer", SHOW_TEXT},
    {"submitted", "submitted_ms", SHOW_TIME},
    {"finished", "finished_ms", SHOW_TIME},
    {"tokens in", "usage.prompt_tokens", SHOW_TEXT},
    {"tokens out", "usage.completion_tokens", SHOW_TEXT},
    {"reserved, coins", "reserved", SHOW_COINS},
    {"charged, coins", "charged", SHOW_COINS},
    {"prompt", "prompt", SHOW_TEXT},
    {"answer", "urn", SHOW_TEXT},
    {"text", "result", SHOW_TEXT},
    {0},
};

/* Those that live, and then those that ended, the last first. */
static int list(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    json_t *answer = NULL;
    resource_path(path, "/api/v1/tasks/%s", verb_argument(options, 0), NULL);
    enum cx_err err = client_json(options, NULL, path, NULL, &answer);
    if (err)
        return fail("task", err);
    if (option_flag(options, "json")) {
        show_json(answer);
    } else {
        json_t *rows = json_array();
        json_array_extend(rows, json_object_get(answer, "live"));
        json_array_extend(rows, json_object_get(answer, "tasks"));
        show_rows(rows, list_columns, "no task in this session yet");
        json_decref(rows);
    }
    json_decref(answer);
    return EXIT_DONE;
}

static int show(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    resource_path(path, "/api/v1/tasks/%s/%s", verb_argument(options, 0), verb_argument(options, 1));
    return resource_fields("task", options, NULL, path, NULL, fields);
}

static int cancel(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    resource_path(path, "/api/v1/tasks/%s/%s", verb_argument(options, 0), verb_argument(options, 1));
    return resource_fields("task", options, "DELETE", path, NULL, fields);
}

/* One line an event, with the time since the first. */
static void print_event(const json_t *event, uint64_t first_ms)
{
    const char *key;
    json_t *value;
    printf("+%7" PRIu64 " ms  ", json_find_u64(event, "time_ms") - first_ms);
    const char *name = json_find_text(event, "event");
    show_text(name, strlen(name));
    json_object_foreach((json_t *)(uintptr_t)event, key, value) {
        if (strcmp(key, "event") == 0 || strcmp(key, "time_ms") == 0 || strcmp(key, "seq") == 0 || json_is_null(value))
            continue;
        struct buf text = {0};
        show_value(value, &text);
        printf("  %s=%s", key, text.data ? text.data : "");
        buf_done(&text);
    }
    putchar('\n');
}

static int why(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    json_t *answer = NULL, *event;
    size_t i;
    resource_path(path, "/api/v3/why/%s", verb_argument(options, 0), NULL);
    enum cx_err err = client_json(options, NULL, path, NULL, &answer);
    if (err)
        return fail("task", err);
    if (option_flag(options, "json")) {
        show_json(answer);
    } else {
        const json_t *events = json_object_get(answer, "events");
        uint64_t first_ms = json_find_u64(json_array_get(events, 0), "time_ms");
        json_array_foreach((json_t *)(uintptr_t)events, i, event)
            print_event(event, first_ms);
    }
    json_decref(answer);
    return EXIT_DONE;
}

static int run(const struct options *options)
{
    static const struct verb verbs[] = {
        {"list", "SESSION", 1, 0, list},
        {"show", "SESSION TASK", 2, 0, show},
        {"cancel", "SESSION TASK", 2, 0, cancel},
        {"why", "TASK", 1, 0, why},
    };
    return verb_run("task", verbs, ARRAY_COUNT(verbs), options);
}

const struct subcommand cmd_task = {
    .name = "task",
    .arguments = "list SESSION | show SESSION TASK | cancel SESSION TASK | why TASK",
    .summary = "look at prompts, cancel them, and see what happened to them",
    .text =
        "A task is one prompt in a session's queue. Answers name their session and task in the field \"corten\".\n\n"
        "  corten task list SESSION\n"
        "  corten task show SESSION TASK       its state, and its answer once it has one\n"
        "  corten task cancel SESSION TASK     what was read until then is paid, and no more\n"
        "  corten task why TASK                every step of it: who was asked, who answered, who did not\n",
    .options = infos,
    .run = run,
};
