#include "sim/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "proto/json.h"
#include "router/tasks.h"

static void broken(struct reply *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void broken(struct reply *r, const char *format, ...)
{
    if (r->why[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->why, sizeof r->why, format, arguments);
    va_end(arguments);
}

void reply_init(struct reply *r)
{
    memset(r, 0, sizeof *r);
    r->told.end = TOLD_CUT;
}

void reply_done(struct reply *r)
{
    buf_done(&r->body);
    buf_done(&r->text);
    json_decref(r->receipt);
    free(r->room);
    r->room = NULL;
}

void reply_head(struct reply *r, unsigned status, const char *content_type)
{
    r->told.status = status;
    r->streams = strncmp(content_type, "text/event-stream", 17) == 0;
    if (!r->streams)
        return;
    if (status != 200)
        broken(r, "a stream with status %u", status);
    r->room = malloc(REPLY_EVENT_MAX);
    cx_assert(r->room);
    sse_decoder_init(&r->decoder, r->room, REPLY_EVENT_MAX);
}

/* ---- JSON ---- */

/* A number, or its digits in a string. */
static uint64_t number_of(const json_t *value)
{
    const char *text = json_string_value(value);
    return text ? strtoull(text, NULL, 10) : (uint64_t)json_integer_value(value);
}

static void copy_text(char *to, size_t cap, const json_t *value)
{
    const char *text = json_string_value(value);
    snprintf(to, cap, "%s", text ? text : "");
}

static void read_error(struct reply *r, const json_t *error)
{
    const char *message = json_string_value(json_object_get(error, "message"));
    const char *type = json_string_value(json_object_get(error, "type"));
    copy_text(r->told.code, sizeof r->told.code, json_object_get(error, "code"));
    r->told.task = number_of(json_object_get(error, "task_id"));
    r->told.session = number_of(json_object_get(error, "session_id"));
    if (!r->told.code[0] || !message || !message[0] || !type)
        broken(r, "an error without code, message or type");
}

static void read_usage(struct reply *r, const json_t *usage)
{
    if (!json_is_object(usage))
        return;
    r->told.has_usage = true;
    r->told.tokens_in = (uint32_t)number_of(json_object_get(usage, "prompt_tokens"));
    r->told.tokens_out = (uint32_t)number_of(json_object_get(usage, "completion_tokens"));
    if (number_of(json_object_get(usage, "total_tokens")) != (uint64_t)r->told.tokens_in + r->told.tokens_out)
        broken(r, "the usage does not add up");
}

static void read_corten(struct reply *r, const json_t *corten)
{
    struct told *t = &r->told;
    if (!json_is_object(corten))
        return;
    t->task = number_of(json_object_get(corten, "task_id"));
    t->session = number_of(json_object_get(corten, "session_id"));
    t->seq = number_of(json_object_get(corten, "seq"));
    t->charged = amount_of(number_of(json_object_get(corten, "charged")));
    json_t *receipt = json_object_get(corten, "receipt");
    if (!json_is_object(receipt))
        return;
    json_decref(r->receipt);
    r->receipt = json_incref(receipt);
}

/* The text of a choice, of a message or a piece of one; NULL: it has none. */
static const json_t *text_of(const json_t *choice)
{
    const json_t *message = json_object_get(choice, "message"), *delta = json_object_get(choice, "delta");
    if (message)
        return json_object_get(message, "content");
    return delta ? json_object_get(delta, "content") : json_object_get(choice, "text");
}

static void read_choice(struct reply *r, const json_t *choice)
{
    const json_t *text = text_of(choice), *finish = json_object_get(choice, "finish_reason");
    if (r->has_finish && (json_string_length(text) > 0 || json_is_string(finish)))
        broken(r, "text or a finish behind the finish");
    if (json_is_string(text))
        buf_add(&r->text, json_string_value(text), json_string_length(text));
    if (!json_is_string(finish))
        return;
    r->has_finish = true;
    copy_text(r->told.finish, sizeof r->told.finish, finish);
}

static json_t *parse(struct reply *r, const char *text, size_t size)
{
    json_t *json = NULL;
    if (json_parse(text, size, HTTP_REPLY_SIZE_MAX, &json) != CX_OK || !json_is_object(json))
        broken(r, "what came is no JSON: %.60s", text);
    return json;
}

/* ---- streams ---- */

static void read_chunk(struct reply *r, const json_t *chunk, const char *id)
{
    const json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
    if (choice)
        read_choice(r, choice);
    read_usage(r, json_object_get(chunk, "usage"));
    read_corten(r, json_object_get(chunk, "corten"));
    char bytes[40];
    uint32_t sum = text_sum(TEXT_SUM_START, r->text.data ? r->text.data : "", r->text.size);
    snprintf(bytes, sizeof bytes, "%zu-%08x", r->text.size, sum);
    if (!id || strcmp(id, bytes) != 0)
        broken(r, "an event's id is %s, and it should be %s", id ? id : "missing", bytes);
}

static void read_event(struct reply *r, const struct sse_event *event)
{
    if (r->ended) {
        broken(r, "an event behind the end of the stream: %.60s", event->data);
        return;
    }
    if (event->data_size == 6 && memcmp(event->data, "[DONE]", 6) == 0) {
        r->ended = true;
        r->told.end = TOLD_STREAM;
        if (!r->has_finish)
            broken(r, "[DONE] without a finish reason");
        return;
    }
    json_t *json = parse(r, event->data, event->data_size);
    const json_t *error = json_object_get(json, "error");
    if (error) {
        r->ended = true;
        r->told.end = TOLD_STREAM_ERROR;
        read_error(r, error);
    } else if (json) {
        read_chunk(r, json, event->id);
    }
    json_decref(json);
}

static void read_events(struct reply *r, const char *data, size_t size)
{
    struct sse_event event;
    while (size > 0) {
        size_t used = 0;
        enum sse_answer answer = sse_decode(&r->decoder, data, size, &used, &event);
        data += used;
        size -= used;
        if (answer == SSE_BAD) {
            broken(r, "the stream is no stream of events: %s", sse_fault_text(r->decoder.fault));
            return;
        }
        if (answer == SSE_DONE)
            read_event(r, &event);
    }
}

void reply_body(struct reply *r, const char *data, size_t size)
{
    if (r->streams)
        read_events(r, data, size);
    else
        buf_add(&r->body, data, size);
}

/* ---- the end ---- */

static void read_whole(struct reply *r)
{
    json_t *json = parse(r, r->body.data ? r->body.data : "", r->body.size);
    const json_t *error = json_object_get(json, "error");
    r->told.end = r->told.status == 200 && !error ? TOLD_WHOLE : TOLD_ERROR;
    if ((r->told.status >= 400) != (error != NULL))
        broken(r, "status %u with%s an error", r->told.status, error ? "" : "out");
    if (error) {
        read_error(r, error);
    } else {
        const json_t *choice = json_array_get(json_object_get(json, "choices"), 0);
        if (choice)
            read_choice(r, choice);
        read_usage(r, json_object_get(json, "usage"));
        read_corten(r, json_object_get(json, "corten"));
    }
    json_decref(json);
}

void reply_end(struct reply *r, bool whole)
{
    struct told *t = &r->told;
    if (whole && !r->streams)
        read_whole(r);
    if (whole && r->streams && !r->ended)
        broken(r, "a stream ended without its end");
    if (whole && r->streams && !sse_is_between(&r->decoder))
        broken(r, "a stream ended within an event");
    t->text = r->text.data ? r->text.data : "";
    t->text_size = r->text.size;
    t->receipt = r->receipt;
    if (!r->why[0])
        return;
    t->end = TOLD_BROKEN;
    t->why = r->why;
}
