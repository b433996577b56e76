/* corten demo: one prompt through a whole network, shown step by step. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/client.h"
#include "cli/command_line.h"
#include "cli/dev.h"
#include "net/process.h"
#include "proto/receipt.h"
#include "proto/sse.h"

#define START_MS  120000  // until the nodes have passed their test
#define RETEST_MS 60000   // until they have passed it again
#define LOOK_MS   100     // between two looks at the network
#define AUDIT_MS  20000   // until the audits that were drawn are decided

static const struct option_info infos[] = {
    {"prompt", 'p', OPTION_TEXT, "TEXT", "In the beginning God", "what to ask", 0, 0, false},
    {"max-tokens", 0, OPTION_NUMBER, "N", "80", "of the answer", 1, 400, false},
    {"miners", 'n', OPTION_NUMBER, "N", "3", "how many miners to start", 3, 16, false},
    {"engine", 'e', OPTION_TEXT, "ENGINE", "builtin", "builtin, openai=URL, or echo", 0, 0, false},
    {"model", 'm', OPTION_TEXT, "NAME", "corten-demo", "the model, as the engine knows it", 0, 0, false},
    OPTIONS_END,
};

struct demo {
    const struct options *options;
    struct net_loop *loop;
    struct net_process *process;
    struct net_timer timer;
    struct buf out, err;
    char url[DEV_URL_SIZE];
    bool is_over;  // the network ended by itself
    int step;
    /* The answer. */
    struct sse_decoder sse;
    char sse_room[256 * 1024];
    struct buf text, last;
    uint64_t session, task;
    char receipt_path[64];
};

static void say(struct demo *demo, const char *what)
{
    if (option_flag(demo->options, "json"))
        return;
    printf("%s%d. %s%s\n", is_colourful() ? "\033[1m" : "", ++demo->step, what, is_colourful() ? "\033[0m" : "");
    fflush(stdout);
}

/* ---- the network, in a process of its own ---- */

static void on_out(void *ctx, const char *data, size_t size)
{
    struct demo *demo = ctx;
    buf_add(&demo->out, data, size);
    char *ready = strstr(demo->out.data, "ready "), *end = ready ? strchr(ready, '\n') : NULL;
    if (!end || demo->url[0])
        return;
    snprintf(demo->url, sizeof demo->url, "%.*s", (int)(end - ready - 6), ready + 6);
    net_loop_stop(demo->loop);
}

static void on_err(void *ctx, const char *data, size_t size)
{
    struct demo *demo = ctx;
    buf_add(&demo->err, data, size);
}

static void on_exit_of(void *ctx, int status)
{
    struct demo *demo = ctx;
    (void)status;
    demo->is_over = true;
    demo->process = NULL;
    net_loop_stop(demo->loop);
}

static void too_long(void *ctx)
{
    struct demo *demo = ctx;
    net_loop_stop(demo->loop);
}

static enum cx_err start(struct demo *demo)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size < 0)
        return cx_fail(CX_IO, "/proc/self/exe cannot be read");
    self[size] = '\0';
    const struct options *o = demo->options;
    const char *const argument[] = {self,
                                    "dev",
                                    "--quiet",
                                    "--listen",
                                    "127.0.0.1:0",
                                    "--miners",
                                    option_text(o, "miners"),
                                    "--engine",
                                    option_text(o, "engine"),
                                    "--model",
                                    option_text(o, "model"),
                                    NULL};
    const struct net_process_options options = {.argument = argument,
                                                .variable = "CORTEN_CHILD=1",
                                                .on_out = on_out,
                                                .on_err = on_err,
                                                .on_exit = on_exit_of,
                                                .ctx = demo};
    enum cx_err err = net_process_start(demo->loop, &options, &demo->process);
    if (err)
        return err;
    net_timer_start(demo->loop, &demo->timer, START_MS, too_long, demo);
    net_loop_run(demo->loop);
    net_timer_stop(&demo->timer);
    if (demo->url[0])
        return CX_OK;
    return cx_fail(CX_TIMEOUT, "the network %s:\n%s", demo->is_over ? "ended" : "was not ready in two minutes",
                   demo->err.data ? demo->err.data : "");
}

static void stop(struct demo *demo)
{
    if (demo->process) {
        net_process_signal(demo->process, SIGTERM);
        net_timer_start(demo->loop, &demo->timer, 15000, too_long, demo);
        net_loop_run(demo->loop);
        net_timer_stop(&demo->timer);
    }
    net_process_drop(demo->process);
}

/* Waits, while the network goes on in its process. */
static void look_again(struct demo *demo)
{
    net_timer_start(demo->loop, &demo->timer, LOOK_MS, too_long, demo);
    net_loop_run(demo->loop);
}

/* ---- asking it ---- */

static enum cx_err ask(struct demo *demo, const char *method, const char *path, const char *body, json_t **ret_json)
{
    const struct client_request request = {
        .url = demo->url, .api_key = DEV_API_KEY, .method = method, .path = path, .body = body};
    struct client_answer answer;
    enum cx_err err = client_send(&request, &answer);
    if (!err && answer.status >= 400)
        err = client_error(answer.status, answer.body.data, answer.body.size);
    if (!err)
        err = json_parse(answer.body.data ? answer.body.data : "", answer.body.size, 1 << 24, ret_json);
    client_answer_done(&answer);
    return err;
}

static const char *text_at(const json_t *at, const char *key)
{
    const char *text = json_string_value(json_object_get(at, key));
    return text ? text : "";
}

static uint64_t number_at(const json_t *at, const char *key)
{
    const json_t *value = json_object_get(at, key);
    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : strtoull(text_at(at, key), NULL, 10);
}

/* ---- steps ---- */

/* Looks at the status until `seen` is content with it, or the time is over. The caller owns *ret_status. */
static enum cx_err watch_status(struct demo *demo, uint32_t for_ms, bool (*seen)(const struct demo *, const json_t *),
                                json_t **ret_status, bool *ret_seen)
{
    enum cx_err err = CX_OK;
    *ret_status = NULL;
    *ret_seen = false;
    for (uint32_t waited_ms = 0; !err; waited_ms += LOOK_MS) {
        json_decref(*ret_status);
        *ret_status = NULL;
        err = ask(demo, NULL, "/api/v1/status", NULL, ret_status);
        *ret_seen = !err && seen(demo, *ret_status);
        if (*ret_seen || waited_ms >= for_ms)
            break;
        look_again(demo);
    }
    return err;
}

static bool all_passed(const struct demo *demo, const json_t *status)
{
    return number_at(json_object_get(status, "nodes"), "EPHEMERAL") >= option_number(demo->options, "miners");
}

static bool none_pending(const struct demo *demo, const json_t *status)
{
    (void)demo;
    return number_at(json_object_get(status, "money"), "pending") == 0;
}

static enum cx_err show_network(struct demo *demo)
{
    json_t *status;
    bool passed;
    enum cx_err err = watch_status(demo, START_MS, all_passed, &status, &passed);
    uint64_t nodes = number_at(json_object_get(status, "nodes"), "EPHEMERAL");
    if (!err && !passed)
        err = cx_fail(CX_TIMEOUT, "only %" PRIu64 " of %s nodes passed their test", nodes,
                      option_text(demo->options, "miners"));
    if (!err && !option_flag(demo->options, "json"))
        printf("   %s: a router, %s miners, an oracle; %" PRIu64 " nodes passed\n", demo->url,
               option_text(demo->options, "miners"), nodes);
    json_decref(status);
    return err;
}

static enum cx_err open_session(struct demo *demo)
{
    struct buf body = {0};
    json_t *session = NULL;
    buf_printf(&body,
               "{\"model\":\"%s\",\"name\":\"demo\",\"redundancy\":3,\"quorum\":2,\"nodes_min\":3,\"nodes_max\":3,"
               "\"validation\":\"majority\",\"escrow\":\"100000\"}",
               option_text(demo->options, "model"));
    enum cx_err err = ask(demo, NULL, "/api/v1/sessions", body.data, &session);
    if (!err)
        demo->session = number_at(session, "session_id");
    if (!err && !option_flag(demo->options, "json"))
        printf("   session %" PRIu64 ": three miners on each prompt, the majority's answer stands, escrow 0.1 coins\n",
               demo->session);
    json_decref(session);
    buf_done(&body);
    return err;
}

static void on_event(struct demo *demo, const struct sse_event *event)
{
    if (event->data_size == 6 && memcmp(event->data, "[DONE]", 6) == 0)
        return;
    json_error_t why;
    json_t *chunk = json_loadb(event->data, event->data_size, 0, &why);
    const json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
    const char *piece = text_at(choice, "text");
    buf_text(&demo->text, piece);
    if (!option_flag(demo->options, "json")) {
        fputs(piece, stdout);
        fflush(stdout);
    }
    const json_t *corten = json_object_get(chunk, "corten");
    if (corten) {
        buf_reset(&demo->last);
        char *text = json_dumps(corten, JSON_COMPACT);
        cx_assert(text);
        buf_text(&demo->last, text);
        free(text);
    }
    if (json_object_get(chunk, "error")) {
        buf_reset(&demo->last);
        buf_text(&demo->last, text_at(json_object_get(chunk, "error"), "message"));
    }
    json_decref(chunk);
}

static void on_piece(void *ctx, const char *data, size_t size)
{
    struct demo *demo = ctx;
    while (size > 0) {
        struct sse_event event;
        size_t used;
        enum sse_answer answer = sse_decode(&demo->sse, data, size, &used, &event);
        data += used;
        size -= used;
        if (answer == SSE_DONE)
            on_event(demo, &event);
        else
            break;
    }
}

static enum cx_err stream_answer(struct demo *demo)
{
    struct buf body = {0};
    const char *prompt = option_text(demo->options, "prompt");
    buf_text(&body, "{\"prompt\":");
    buf_json_string(&body, prompt, strlen(prompt));
    buf_printf(
        &body,
        ",\"model\":\"%s\",\"max_tokens\":%s,\"temperature\":0,\"stream\":true,\"corten\":{\"session_id\":\"%" PRIu64
        "\"}}",
        option_text(demo->options, "model"), option_text(demo->options, "max-tokens"), demo->session);
    if (!option_flag(demo->options, "json"))
        printf("   %s", prompt);
    sse_decoder_init(&demo->sse, demo->sse_room, sizeof demo->sse_room);
    const struct client_request request = {.url = demo->url,
                                           .api_key = DEV_API_KEY,
                                           .path = "/v1/completions",
                                           .body = body.data,
                                           .on_piece = on_piece,
                                           .ctx = demo};
    struct client_answer answer;
    enum cx_err err = client_send(&request, &answer);
    if (!option_flag(demo->options, "json"))
        putchar('\n');
    if (!err && answer.status >= 400)
        err = client_error(answer.status, answer.body.data, answer.body.size);
    client_answer_done(&answer);
    buf_done(&body);
    json_error_t why;
    json_t *corten = json_loads(demo->last.data ? demo->last.data : "", 0, &why);
    demo->task = number_at(corten, "task_id");
    json_decref(corten);
    if (!err && demo->task == 0)
        err = cx_fail(CX_IO, "the stream ended badly: %s", demo->last.data ? demo->last.data : "without a word");
    return err;
}

static void show_event(const json_t *event, uint64_t first_ms)
{
    const char *name = text_at(event, "event");
    uint64_t after_ms = number_at(event, "time_ms") - first_ms;
    if (strcmp(name, "task_moved") == 0)
        printf("   +%5" PRIu64 " ms  %s%s\n", after_ms, text_at(event, "to"),
               strcmp(text_at(event, "to"), "PRECOMMITTED") == 0 ? "  (every miner is bound to a hash of its answer)"
                                                                 : "");
    else if (strcmp(name, "task_created") == 0)
        printf("   +%5" PRIu64 " ms  QUEUED  (stored, and durable)\n", after_ms);
    else if (strcmp(name, "assignment_moved") == 0)
        printf("   +%5" PRIu64 " ms      %.10s… %s\n", after_ms, text_at(event, "node"), text_at(event, "to"));
}

static enum cx_err show_steps(struct demo *demo)
{
    char path[96];
    json_t *why = NULL, *event;
    size_t i;
    bool completed = false;
    snprintf(path, sizeof path, "/api/v3/why/%" PRIu64, demo->task);
    enum cx_err err = ask(demo, NULL, path, NULL, &why);
    const json_t *events = json_object_get(why, "events");
    uint64_t first_ms = number_at(json_array_get(events, 0), "time_ms");
    json_array_foreach((json_t *)(uintptr_t)events, i, event) {
        completed |=
            strcmp(text_at(event, "event"), "task_moved") == 0 && strcmp(text_at(event, "to"), "COMPLETED") == 0;
        if (!option_flag(demo->options, "json"))
            show_event(event, first_ms);
    }
    if (!err && !completed)
        err = cx_fail(CX_INVALID, "task %" PRIu64 " was not completed", demo->task);
    json_decref(why);
    return err;
}

static enum cx_err check_receipt(struct demo *demo)
{
    char path[96];
    struct buf report = {0}, text = {0};
    json_t *json = NULL;
    struct receipt *receipt = malloc(sizeof *receipt);
    cx_assert(receipt);
    snprintf(path, sizeof path, "/api/v3/receipts/%" PRIu64, demo->task);
    enum cx_err err = ask(demo, NULL, path, NULL, &json);
    if (!err) {
        char *dump = json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        cx_assert(dump);
        buf_text(&text, dump);
        free(dump);
        err = receipt_read(text.data, text.size, receipt);
    }
    if (!err)
        err = receipt_verify(receipt, demo->text.data ? demo->text.data : "", demo->text.size, &report);
    if (!err && amount_is_zero(receipt->charged))
        err = cx_fail(CX_INVALID, "task %" PRIu64 " was not paid for", demo->task);
    for (char *line = report.data, *end; !err && !option_flag(demo->options, "json") && line && *line; line = end + 1) {
        end = strchr(line, '\n');
        printf("   %.*s\n", (int)(end - line), line);
    }
    if (!err && !option_flag(demo->options, "json"))
        printf("   charged %" PRIu64 " credits, paid to %u miners, the router and the oracle\n",
               receipt->charged.credits, receipt->answers);
    json_decref(json);
    buf_done(&report);
    buf_done(&text);
    free(receipt);
    return err;
}

static enum cx_err retest(struct demo *demo)
{
    char path[96];
    json_t *closed = NULL;
    snprintf(path, sizeof path, "/api/v1/sessions/%" PRIu64 "/close", demo->session);
    enum cx_err err = ask(demo, "POST", path, "{}", &closed);
    json_decref(closed);
    json_t *status = NULL;
    bool passed = false;
    if (!err)
        err = watch_status(demo, RETEST_MS, all_passed, &status, &passed);
    if (!err && !passed)
        err = cx_fail(CX_TIMEOUT, "not all nodes passed their test again within a minute");
    json_decref(status);
    if (!err && !option_flag(demo->options, "json"))
        printf("   the session is closed, its escrow returned; all nodes were tested again and passed\n");
    return err;
}

static enum cx_err show_money(struct demo *demo)
{
    json_t *status;
    bool settled;
    enum cx_err err = watch_status(demo, AUDIT_MS, none_pending, &status, &settled);
    cx_maybe(settled);  // an audit may take longer; then its pay is shown as pending
    const json_t *money = json_object_get(status, "money");
    if (!err && !json_is_true(json_object_get(status, "money_ok")))
        err = cx_fail(CX_CORRUPT, "money is not conserved");
    if (!err && !option_flag(demo->options, "json"))
        printf("   deposits %" PRIu64 " = balances %" PRIu64 " + escrow %" PRIu64 " + reservations %" PRIu64
               " + pending %" PRIu64 " + stake %" PRIu64 " + network %" PRIu64 " + withdrawals %" PRIu64
               "\n   seq %" PRIu64 " digest %s money ok\n",
               number_at(money, "deposits"), number_at(money, "balances"), number_at(money, "escrow"),
               number_at(money, "reservations"), number_at(money, "pending"), number_at(money, "stake"),
               number_at(money, "network"), number_at(money, "withdrawals") + number_at(money, "paid_out"),
               number_at(status, "seq"), text_at(status, "digest"));
    if (!err && option_flag(demo->options, "json")) {
        json_t *all = json_pack("{s:s%, s:I, s:I, s:o}", "text", demo->text.data ? demo->text.data : "",
                                demo->text.size, "task_id", (json_int_t)demo->task, "session_id",
                                (json_int_t)demo->session, "money", json_incref((json_t *)(uintptr_t)money));
        json_dumpf(all, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(all);
    }
    json_decref(status);
    return err;
}

static enum cx_err walk(struct demo *demo)
{
    static const struct {
        const char *title;
        enum cx_err (*run)(struct demo *demo);
    } steps[] = {
        {"A network starts: a router, miners and an oracle", start},
        {"The nodes are tested before they may serve", show_network},
        {"A session: who may ask, how many miners answer, who pays", open_session},
        {"The prompt goes out, and tokens stream back", stream_answer},
        {"What the session queue did with it", show_steps},
        {"The receipt, checked without the network", check_receipt},
        {"The nodes are tested again", retest},
        {"Money", show_money},
    };
    enum cx_err err = CX_OK;
    for (size_t i = 0; i < ARRAY_COUNT(steps) && !err; i++) {
        say(demo, steps[i].title);
        err = steps[i].run(demo);
    }
    return err;
}

static int run(const struct options *options)
{
    struct demo *demo = calloc(1, sizeof *demo);
    cx_assert(demo);
    demo->options = options;
    enum cx_err err = net_loop_open(&demo->loop);
    if (!err)
        err = walk(demo);
    int status = err ? fail("demo", err) : EXIT_DONE;
    if (demo->loop)
        stop(demo);
    net_loop_close(demo->loop);
    if (!err && !option_flag(options, "json"))
        printf(
            "\nNext:\n"
            "  corten dev                      such a network to keep, with OpenAI's API on http://127.0.0.1:5010/v1\n"
            "  corten ask \"Let there be\"      a prompt to it, from another terminal\n"
            "  corten --help                   everything else\n");
    buf_done(&demo->out);
    buf_done(&demo->err);
    buf_done(&demo->text);
    buf_done(&demo->last);
    free(demo);
    return status;
}

const struct subcommand cmd_demo = {
    .name = "demo",
    .arguments = "[--prompt TEXT]",
    .summary = "one prompt through a whole network, shown step by step",
    .text = "Starts a network of its own on a free port, tests its nodes, asks three miners one prompt, shows how the\n"
            "task went, checks the receipt, and ends the network. Exit status 0 only if the answer was streamed,\n"
            "validated and paid, its receipt holds, and the nodes passed their test again.\n",
    .options = infos,
    .run = run,
};
