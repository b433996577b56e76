/* corten ask: one prompt, its answer as it comes, and the receipt checked before anybody is told that all is well. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/client.h"
#include "cli/command_line.h"
#include "cli/input.h"
#include "cli/show.h"
#include "core/limits.h"
#include "proto/receipt.h"
#include "proto/sse.h"

#define EVENT_SIZE_MAX (2u << 20)

static const struct option_info infos[] = {
    {"model", 'm', OPTION_TEXT, "NAME", NULL, "which model; else the first that the router lists", 0, 0, false},
    {"max-tokens", 'n', OPTION_NUMBER, "N", NULL, "the longest answer", 1, UINT32_MAX, false},
    {"temperature", 't', OPTION_TEXT, "X", NULL, "0 to 2; 0 takes the likeliest token each time", 0, 0, false},
    {"seed", 0, OPTION_NUMBER, "N", NULL, "a seed of one's own; else the network chooses", 0, INT64_MAX, false},
    {"complete", 0, OPTION_FLAG, NULL, NULL, "continue the prompt's text, in place of answering it", 0, 0, false},
    {"redundancy", 0, OPTION_NUMBER, "N", NULL, "miners that work on it", 1, REDUNDANCY_MAX, false},
    {"validation", 0, OPTION_TEXT, "POLICY", NULL, "hash or majority", 0, 0, false},
    {"session", 's', OPTION_NUMBER, "ID", NULL, "a session of one's own", 1, INT64_MAX, false},
    {"no-stream", 0, OPTION_FLAG, NULL, NULL, "wait for the whole answer", 0, 0, false},
    {"receipt", 'r', OPTION_TEXT, "FILE", NULL, "write the receipt there", 0, 0, false},
    CLIENT_OPTIONS,
    OPTIONS_END,
};

struct asking {
    const struct options *options;
    struct sse_decoder sse;
    char room[EVENT_SIZE_MAX];
    bool printing;  // text goes out as it comes
    bool done;      // the stream's end came, and nothing may follow it
    struct buf text, finish;
    json_t *usage, *corten, *receipt;
    enum cx_err err;
    struct buf why;  // of err: cx_detail() is overwritten by what comes after
};

static void broken(struct asking *a, const char *why)
{
    if (a->err)
        return;
    a->err = CX_IO;
    buf_text(&a->why, why);
}

/* ---- the request ---- */

/* A number as JSON writes it, and nothing else: it goes into the body as it is. */
static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 9 || (text[0] == '0' && digits > 1))
        return false;
    if (text[digits] == '\0')
        return true;
    size_t decimals = strspn(text + digits + 1, "0123456789");
    return text[digits] == '.' && decimals > 0 && text[digits + 1 + decimals] == '\0';
}

static enum cx_err read_prompt(const struct options *options, struct buf *ret_prompt)
{
    bool piped = options->arguments == 0 || (options->arguments == 1 && strcmp(options->argument[0], "-") == 0);
    if (piped)
        return input_read("-", PROMPT_SIZE_MAX, ret_prompt);
    for (uint32_t i = 0; i < options->arguments; i++) {
        buf_text(ret_prompt, i > 0 ? " " : "");
        buf_text(ret_prompt, options->argument[i]);
    }
    return CX_OK;
}

static enum cx_err first_model(const struct options *options, struct buf *ret_name)
{
    json_t *models = NULL;
    enum cx_err err = client_json(options, NULL, "/v1/models", NULL, &models);
    const char *name = json_find_text(json_array_get(json_object_get(models, "data"), 0), "id");
    if (!err && !*name)
        err = cx_fail(CX_NOT_FOUND, "the router serves no model yet");
    if (!err)
        buf_text(ret_name, name);
    json_decref(models);
    return err;
}

static void put_corten(struct json_out *out, const struct options *options)
{
    const char *validation = option_text(options, "validation");
    json_out_object(out, "corten");
    if (option_given(options, "session")) {
        char id[24];
        snprintf(id, sizeof id, "%" PRIu64, option_number(options, "session"));
        json_out_text(out, "session_id", id);
    }
    if (option_given(options, "redundancy"))
        json_out_u64(out, "redundancy", option_number(options, "redundancy"));
    if (validation)
        json_out_text(out, "validation", validation);
    json_out_end(out);
}

static void put_prompt(struct json_out *out, const struct options *options, const struct buf *prompt)
{
    if (option_flag(options, "complete")) {
        json_out_bytes(out, "prompt", prompt->data, prompt->size);
        return;
    }
    json_out_array(out, "messages");
    json_out_object(out, NULL);
    json_out_text(out, "role", "user");
    json_out_bytes(out, "content", prompt->data, prompt->size);
    json_out_end(out);
    json_out_end(out);
}

static void write_body(const struct options *options, const char *model, const struct buf *prompt, struct buf *ret_body)
{
    struct json_out out;
    const char *temperature = option_text(options, "temperature");
    bool stream = !option_flag(options, "no-stream");
    json_out_init(&out, ret_body);
    json_out_object(&out, NULL);
    json_out_text(&out, "model", model);
    put_prompt(&out, options, prompt);
    if (option_given(options, "max-tokens"))
        json_out_u64(&out, "max_tokens", option_number(options, "max-tokens"));
    if (temperature)
        json_out_raw(&out, "temperature", temperature, strlen(temperature));
    if (option_given(options, "seed"))
        json_out_u64(&out, "seed", option_number(options, "seed"));
    json_out_bool(&out, "stream", stream);
    if (stream) {
        json_out_object(&out, "stream_options");
        json_out_bool(&out, "include_usage", true);
        json_out_end(&out);
    }
    put_corten(&out, options);
    json_out_end(&out);
}

/* ---- the answer ---- */

static void keep(json_t **at, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);
    if (!value || json_is_null(value))
        return;
    json_decref(*at);
    *at = json_incref(value);
}

/* A choice of any of the four shapes: chat or completion, whole or in pieces. */
static void take_choice(struct asking *a, const json_t *choice)
{
    static const char *const places[] = {"delta.content", "message.content", "text"};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        const json_t *text = json_find(choice, places[i]);
        if (!json_is_string(text))
            continue;
        buf_add(&a->text, json_string_value(text), json_string_length(text));
        if (a->printing) {
            show_text(json_string_value(text), json_string_length(text));
            fflush(stdout);
        }
    }
    const char *finish = json_find_text(choice, "finish_reason");
    if (*finish) {
        buf_reset(&a->finish);
        buf_text(&a->finish, finish);
    }
}

/* A piece of a stream, or the whole answer. */
static void take(struct asking *a, const json_t *said)
{
    if (json_object_get(said, "error")) {
        struct buf why = {0};
        const char *code = json_find_text(said, "error.code");
        buf_printf(&why, "%s%s%s", code, *code ? ": " : "", json_find_text(said, "error.message"));
        broken(a, why.data);
        buf_done(&why);
        return;
    }
    const json_t *choice = json_array_get(json_object_get(said, "choices"), 0);
    if (choice)
        take_choice(a, choice);
    keep(&a->usage, said, "usage");
    keep(&a->corten, said, "corten");
}

static void take_event(struct asking *a, const struct sse_event *event)
{
    if (a->done) {
        broken(a, "the router sent more after the stream's end");
        return;
    }
    if (event->data_size == 6 && memcmp(event->data, "[DONE]", 6) == 0) {
        a->done = true;
        return;
    }
    json_t *chunk = NULL;
    if (json_parse(event->data, event->data_size, EVENT_SIZE_MAX, &chunk) != CX_OK)
        broken(a, "the router's stream has an event that is not JSON");
    else
        take(a, chunk);
    json_decref(chunk);
}

static void on_piece(void *ctx, const char *data, size_t size)
{
    struct asking *a = ctx;
    while (size > 0 && !a->err) {
        struct sse_event event;
        size_t used = 0;
        enum sse_answer answer = sse_decode(&a->sse, data, size, &used, &event);
        if (answer == SSE_DONE)
            take_event(a, &event);
        if (answer == SSE_BAD)
            broken(a, sse_fault_text(a->sse.fault));
        data += used;
        size -= used;
    }
}

static enum cx_err send(struct asking *a, const char *body)
{
    const struct options *o = a->options;
    bool stream = !option_flag(o, "no-stream");
    const struct client_request request = {
        .url = option_text(o, "url"),
        .api_key = option_text(o, "api-key"),
        .path = option_flag(o, "complete") ? "/v1/completions" : "/v1/chat/completions",
        .body = body,
        .on_piece = stream ? on_piece : NULL,
        .ctx = a,
    };
    struct client_answer answer;
    json_t *whole = NULL;
    sse_decoder_init(&a->sse, a->room, sizeof a->room);
    enum cx_err err = client_send(&request, &answer);
    if (!err && answer.status >= 400)
        err = client_error(answer.status, answer.body.data, answer.body.size);
    if (!err && !stream)
        err = json_parse(answer.body.data ? answer.body.data : "", answer.body.size, EVENT_SIZE_MAX * 8, &whole);
    if (whole)
        take(a, whole);
    json_decref(whole);
    client_answer_done(&answer);
    if (err)
        return err;
    if (stream && !a->done)
        broken(a, "the stream broke off before its end");
    if (!a->finish.size)
        broken(a, "the answer has no finish reason");
    return a->err ? cx_fail(a->err, "%s", a->why.data) : CX_OK;
}

/* ---- its proof ---- */

static enum cx_err fetch_receipt(struct asking *a)
{
    char path[128];
    keep(&a->receipt, a->corten, "receipt");
    if (json_is_object(a->receipt))
        return CX_OK;
    const char *task = json_find_text(a->corten, "task_id");
    if (!*task)
        return cx_fail(CX_INVALID, "the answer names no task, so it cannot be checked");
    json_decref(a->receipt);
    a->receipt = NULL;
    snprintf(path, sizeof path, "/api/v3/receipts/%.64s", task);
    return client_json(a->options, NULL, path, NULL, &a->receipt);
}

static enum cx_err write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return cx_fail(CX_IO, "--receipt: %s cannot be written", path);
    bool failed = fputs(text, file) < 0;
    failed |= fputc('\n', file) == EOF;
    failed |= fclose(file) != 0;
    return failed ? cx_fail(CX_IO, "--receipt: writing %s failed", path) : CX_OK;
}

/* The receipt is checked against the very text that was printed. */
static enum cx_err check_receipt(struct asking *a)
{
    struct receipt *receipt = malloc(sizeof *receipt);
    struct buf report = {0};
    cx_assert(receipt);
    char *text = json_dumps(a->receipt, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    cx_assert(text);
    enum cx_err err = receipt_read(text, strlen(text), receipt);
    if (!err)
        err = receipt_verify(receipt, a->text.data ? a->text.data : "", a->text.size, &report);
    if (err)
        err = cx_fail(err, "the receipt does not hold: %s", cx_detail());
    if (option_flag(a->options, "verbose"))
        fputs(report.data ? report.data : "", stderr);
    if (!err && option_text(a->options, "receipt"))
        err = write_file(option_text(a->options, "receipt"), text);
    free(text);
    free(receipt);
    buf_done(&report);
    return err;
}

/* ---- telling ---- */

static void print_json(const struct asking *a)
{
    struct buf text = {0};
    struct json_out out;
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_bytes(&out, "text", a->text.data ? a->text.data : "", a->text.size);
    json_out_text(&out, "finish_reason", a->finish.data);
    json_out_value(&out, "usage", a->usage);
    json_out_text(&out, "task_id", json_find_text(a->corten, "task_id"));
    json_out_text(&out, "session_id", json_find_text(a->corten, "session_id"));
    json_out_bool(&out, "verified", true);
    json_out_end(&out);
    puts(text.data);
    buf_done(&text);
}

static void print_end(const struct asking *a)
{
    if (option_flag(a->options, "quiet"))
        return;
    if (option_flag(a->options, "verbose"))
        fprintf(stderr, "finish %s, %" PRIu64 " tokens in, %" PRIu64 " out; session %s (%s), task %s\n", a->finish.data,
                json_find_u64(a->usage, "prompt_tokens"), json_find_u64(a->usage, "completion_tokens"),
                json_find_text(a->corten, "session_id"), json_find_text(a->corten, "session_reason"),
                json_find_text(a->corten, "task_id"));
    fprintf(stderr, "verified: task %s\n", json_find_text(a->corten, "task_id"));
}

static enum cx_err ask(struct asking *a)
{
    struct buf prompt = {0}, model = {0}, body = {0};
    enum cx_err err = read_prompt(a->options, &prompt);
    if (!err && prompt.size == 0)
        err = cx_fail(CX_INVALID, "the prompt is empty");
    if (!err && option_text(a->options, "model"))
        buf_text(&model, option_text(a->options, "model"));
    else if (!err)
        err = first_model(a->options, &model);
    if (!err) {
        write_body(a->options, model.data, &prompt, &body);
        err = send(a, body.data);
    }
    if (a->printing && a->text.size > 0 && a->text.data[a->text.size - 1] != '\n')
        putchar('\n');
    if (!err)
        err = fetch_receipt(a);
    if (!err)
        err = check_receipt(a);
    buf_done(&prompt);
    buf_done(&model);
    buf_done(&body);
    return err;
}

static int run(const struct options *options)
{
    const char *temperature = option_text(options, "temperature");
    if (temperature && !is_number(temperature))
        return fail_usage("ask", "--temperature is a number from 0 to 2, not \"%s\"", temperature);
    if (options->arguments == 0 && isatty(STDIN_FILENO))
        return fail_usage("ask", "what? Give a prompt, or - to read it from standard input");
    struct asking *a = calloc(1, sizeof *a);
    cx_assert(a);
    a->options = options;
    a->printing = !option_flag(options, "json");
    enum cx_err err = ask(a);
    if (!err && !a->printing)
        print_json(a);
    if (!err)
        print_end(a);
    int status = err ? fail("ask", err) : EXIT_DONE;
    json_decref(a->usage);
    json_decref(a->corten);
    json_decref(a->receipt);
    buf_done(&a->text);
    buf_done(&a->finish);
    buf_done(&a->why);
    free(a);
    return status;
}

const struct subcommand cmd_ask = {
    .name = "ask",
    .arguments = "[PROMPT | -]",
    .summary = "ask one prompt and check the answer's receipt",
    .text =
        "Prints the answer as it comes, on standard output; then fetches its receipt and checks it without trusting\n"
        "the router: a node signed a hash of this text before anybody saw it. It says \"verified\" on standard\n"
        "error. A stream that breaks off, or a receipt that does not hold, is an error: exit status 1.\n\n"
        "  corten ask \"In the beginning\"                     of the network that corten dev started\n"
        "  corten ask --complete \"In the beginning\"          continues the text\n"
        "  corten ask --redundancy 3 --validation majority --temperature 0 \"And God said\"\n"
        "  corten ask - < question.txt > answer.txt          from a file\n"
        "  corten ask --receipt r.json \"And it came to pass\" keeps the proof\n",
    .options = infos,
    .run = run,
};
