#include "runtime/openai_body.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "proto/json.h"

#define MODELS_SIZE_MAX (4u << 20)
#define SHOWN_SIZE_MAX  300u  // bytes of foreign text in an error

/* ---- the request ---- */

/* Members that we write ourselves, and Corten's own, which no engine knows. */
static const char *const own_members[] = {
    "model",
    "messages",
    "prompt",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "seed",
    "stream",
    "stream_options",
    "n",
    "corten",
    "session_id",
    "priority",
    "timeout",
    "precommit_timeout",
    "client_reference",
    "prompt_type",
    "prompt_template",
};

static bool is_own(const char *member)
{
    for (size_t i = 0; i < ARRAY_COUNT(own_members); i++)
        if (strcmp(own_members[i], member) == 0)
            return true;
    return false;
}

static void put_span(struct json_out *out, const char *key, struct span text)
{
    json_out_bytes(out, key, (const char *)text.data, text.size);
}

static void put_prompt(struct json_out *out, const struct runtime_request *r)
{
    if (r->kind == RUNTIME_COMPLETION) {
        put_span(out, "prompt", r->prompt);
        return;
    }
    json_out_array(out, "messages");
    for (uint32_t i = 0; i < r->messages_count; i++) {
        json_out_object(out, NULL);
        put_span(out, "role", r->messages[i].role);
        put_span(out, "content", r->messages[i].content);
        json_out_end(out);
    }
    json_out_end(out);
}

/* What is off is left out: some servers refuse members that they do not know. */
static void put_sampling(struct json_out *out, const struct runtime_request *r)
{
    json_out_u64(out, "max_tokens", r->max_tokens);
    json_out_fixed(out, "temperature", r->temperature, 4);
    if (r->top_p > 0 && r->top_p < RUNTIME_UNIT)
        json_out_fixed(out, "top_p", r->top_p, 4);
    if (r->top_k > 0)
        json_out_u64(out, "top_k", r->top_k);
    if (r->presence_penalty)
        json_out_fixed(out, "presence_penalty", r->presence_penalty, 4);
    if (r->frequency_penalty)
        json_out_fixed(out, "frequency_penalty", r->frequency_penalty, 4);
    json_out_u64(out, "seed", r->seed & OPENAI_SEED_MASK);
    if (r->stop_count == 0)
        return;
    json_out_array(out, "stop");
    for (uint32_t i = 0; i < r->stop_count; i++)
        put_span(out, NULL, r->stop[i]);
    json_out_end(out);
}

static enum cx_err put_unknown(struct json_out *out, struct span body)
{
    json_t *root, *value;
    const char *key;
    if (body.size == 0)
        return CX_OK;
    enum cx_err err = json_parse((const char *)body.data, body.size, body.size, &root);
    if (err)
        return err;
    if (!json_is_object(root)) {
        json_decref(root);
        return cx_fail(CX_INVALID, "body: expected a JSON object");
    }
    json_object_foreach(root, key, value)
        if (!is_own(key))
            json_out_value(out, key, value);
    json_decref(root);
    return CX_OK;
}

enum cx_err openai_put_request(struct buf *out, const struct runtime_request *request, const char *model)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_object(&json, NULL);
    json_out_text(&json, "model", model);
    put_prompt(&json, request);
    put_sampling(&json, request);
    json_out_bool(&json, "stream", true);
    json_out_object(&json, "stream_options");
    json_out_bool(&json, "include_usage", true);
    json_out_end(&json);
    enum cx_err err = put_unknown(&json, request->body);
    json_out_end(&json);
    return err;
}

/* ---- foreign text in errors ---- */

/* One line of at most SHOWN_SIZE_MAX bytes of UTF-8; control characters become blanks, and what is no text '?'. */
static void put_shown(struct buf *out, const char *text, size_t size)
{
    if (size > SHOWN_SIZE_MAX)
        size = utf8_whole_prefix(text, SHOWN_SIZE_MAX);
    for (size_t at = 0, step; at < size; at += step) {
        step = utf8_step(text + at, size - at);
        bool control = (unsigned char)text[at] < ' ' || text[at] == 0x7f;
        if (step > 0 && !control)
            buf_add(out, text + at, step);
        else
            buf_text(out, step > 0 ? " " : "?");
        step = step > 0 ? step : 1;
    }
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool is_about_context(const json_t *error)
{
    static const char *const names[] = {"context_length_exceeded", "exceed_context_size_error"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(text_of(error, "code"), names[i]) == 0 || strcmp(text_of(error, "type"), names[i]) == 0)
            return true;
    /* vLLM gives no code for it. */
    return strstr(text_of(error, "message"), "maximum context length") != NULL;
}

enum runtime_fault openai_read_error(unsigned status, const char *body, size_t size, struct buf *ret_text)
{
    json_t *root = NULL;
    const json_t *error = json_parse(body, size, MODELS_SIZE_MAX, &root) ? NULL : root;
    if (json_is_object(json_object_get(error, "error")))
        error = json_object_get(error, "error");
    const char *message = text_of(error, "message");
    if (!message[0])
        message = text_of(error, "error");
    buf_printf(ret_text, "the engine's server answered with status %u: ", status);
    put_shown(ret_text, message[0] ? message : body, message[0] ? strlen(message) : size);
    bool clients = status == 400 || status == 413 || status == 422;
    enum runtime_fault fault = !clients                  ? RUNTIME_FAULT_ENGINE
                               : is_about_context(error) ? RUNTIME_FAULT_CONTEXT
                                                         : RUNTIME_FAULT_REQUEST;
    json_decref(root);
    return fault;
}

/* ---- the stream ---- */

void openai_stream_init(struct openai_stream *s, enum runtime_kind kind)
{
    *s = (struct openai_stream){.kind = kind, .room = malloc(OPENAI_EVENT_SIZE_MAX)};
    cx_assert(s->room);
    sse_decoder_init(&s->sse, s->room, OPENAI_EVENT_SIZE_MAX);
}

void openai_stream_done(struct openai_stream *s)
{
    free(s->room);
    buf_done(&s->error);
}

static bool refuse(struct openai_stream *s, const char *why, const char *text, size_t size)
{
    if (s->error.size == 0) {
        buf_printf(&s->error, "the engine's server sent %s: ", why);
        put_shown(&s->error, text, size);
    }
    return false;
}

static bool read_finish(struct openai_stream *s, const json_t *reason)
{
    const char *text = json_string_value(reason);
    if (!text)
        return refuse(s, "a finish_reason that is no text", "", 0);
    if (strcmp(text, "stop") == 0)
        s->finish = RUNTIME_FINISH_STOP;
    else if (strcmp(text, "length") == 0)
        s->finish = RUNTIME_FINISH_LENGTH;
    else
        return refuse(s, "a finish_reason that is no end of an answer", text, strlen(text));
    s->has_finish = true;
    return true;
}

static bool read_count(struct openai_stream *s, const json_t *usage, const char *key, uint32_t *ret_count)
{
    const json_t *count = json_object_get(usage, key);
    if (!json_is_integer(count) || json_integer_value(count) < 0 || json_integer_value(count) > UINT32_MAX)
        return refuse(s, "usage without a good count", key, strlen(key));
    *ret_count = (uint32_t)json_integer_value(count);
    return true;
}

static bool read_choice(struct openai_stream *s, const json_t *choice,
                        void (*on_text)(void *ctx, const char *text, size_t size), void *ctx)
{
    const json_t *text, *reason = json_object_get(choice, "finish_reason");
    if (s->kind == RUNTIME_CHAT)
        text = json_object_get(json_object_get(choice, "delta"), "content");
    else
        text = json_object_get(choice, "text");
    if (text && !json_is_null(text) && !json_is_string(text))
        return refuse(s, "content that is no text", "", 0);
    if (json_string_length(text) > 0) {
        if (s->has_finish)
            return refuse(s, "text after its finish_reason", json_string_value(text), json_string_length(text));
        on_text(ctx, json_string_value(text), json_string_length(text));
    }
    return !reason || json_is_null(reason) || read_finish(s, reason);
}

static bool read_object(struct openai_stream *s, const json_t *root,
                        void (*on_text)(void *ctx, const char *text, size_t size), void *ctx)
{
    const json_t *error = json_object_get(root, "error"), *choices = json_object_get(root, "choices"),
                 *usage = json_object_get(root, "usage");
    if (error && !json_is_null(error)) {
        const char *message = json_is_string(error) ? json_string_value(error) : text_of(error, "message");
        return refuse(s, "an error in its stream", message, strlen(message));
    }
    if (!json_is_array(choices))
        return refuse(s, "an event without choices", "", 0);
    if (json_array_size(choices) > 1)
        return refuse(s, "several choices where one was asked for", "", 0);
    if (json_array_size(choices) == 1 && !read_choice(s, json_array_get(choices, 0), on_text, ctx))
        return false;
    if (!json_is_object(usage))
        return true;
    s->has_usage = read_count(s, usage, "prompt_tokens", &s->tokens_in) &&
                   read_count(s, usage, "completion_tokens", &s->tokens_out);
    return s->has_usage;
}

static bool read_event(struct openai_stream *s, const struct sse_event *event,
                       void (*on_text)(void *ctx, const char *text, size_t size), void *ctx)
{
    json_t *root;
    if (s->is_done)
        return refuse(s, "an event after [DONE]", event->data, event->data_size);
    if (event->data_size == 6 && memcmp(event->data, "[DONE]", 6) == 0) {
        s->is_done = true;
        return true;
    }
    if (json_parse(event->data, event->data_size, OPENAI_EVENT_SIZE_MAX, &root))
        return refuse(s, "an event that is no JSON", event->data, event->data_size);
    bool ok = json_is_object(root) ? read_object(s, root, on_text, ctx)
                                   : refuse(s, "an event that is no JSON object", event->data, event->data_size);
    json_decref(root);
    return ok;
}

bool openai_stream_add(struct openai_stream *s, const char *data, size_t size,
                       void (*on_text)(void *ctx, const char *text, size_t size), void *ctx)
{
    while (size > 0 && s->error.size == 0) {
        struct sse_event event;
        size_t used = 0;
        switch (sse_decode(&s->sse, data, size, &used, &event)) {
        case SSE_DONE:
            if (!read_event(s, &event, on_text, ctx))
                return false;
            break;
        case SSE_MORE: return true;
        case SSE_BAD:
            return refuse(s, "a bad event stream", sse_fault_text(s->sse.fault), strlen(sse_fault_text(s->sse.fault)));
        }
        data += used;
        size -= used;
    }
    return s->error.size == 0;
}

bool openai_stream_end(struct openai_stream *s)
{
    if (s->error.size > 0)
        return false;
    if (!sse_is_between(&s->sse))
        return refuse(s, "a stream that ends inside an event", "", 0);
    if (!s->has_finish)
        return refuse(s, "a stream that ends without a finish_reason", "", 0);
    return s->is_done || refuse(s, "a stream that ends without [DONE]", "", 0);
}

/* ---- models ---- */

static bool is_model(const char *id, const char *wanted)
{
    size_t size = strlen(wanted);
    const char *base = strrchr(id, '/') ? strrchr(id, '/') + 1 : id;
    if (strcmp(id, wanted) == 0)
        return true;
    /* llama-server names a model by its file, Ollama adds a tag. */
    return strncmp(base, wanted, size) == 0 &&
           (!base[size] || strcmp(base + size, ".gguf") == 0 || strcmp(base + size, ":latest") == 0);
}

static void read_context(const json_t *model, uint32_t *ret_context)
{
    const json_t *at[] = {json_object_get(model, "max_model_len"),
                          json_object_get(json_object_get(model, "meta"), "n_ctx")};
    for (size_t i = 0; i < ARRAY_COUNT(at); i++)
        if (json_is_integer(at[i]) && json_integer_value(at[i]) > 0 && json_integer_value(at[i]) <= UINT32_MAX)
            *ret_context = (uint32_t)json_integer_value(at[i]);
}

static enum cx_err find_among(const json_t *models, const char *wanted, struct buf *ret_id, uint32_t *ret_context)
{
    struct buf list = {0};
    size_t index;
    json_t *model;
    json_array_foreach(models, index, model) {
        const char *id = text_of(model, "id");
        if (id[0] && (!wanted || is_model(id, wanted))) {
            buf_text(ret_id, id);
            read_context(model, ret_context);
            buf_done(&list);
            return CX_OK;
        }
        if (list.size < SHOWN_SIZE_MAX)
            buf_printf(&list, "%s%s", list.size ? ", " : "", id);
    }
    enum cx_err err = cx_fail(CX_NOT_FOUND, "the engine's server does not serve model %s, but: %s",
                              wanted ? wanted : "", list.size ? list.data : "none");
    buf_done(&list);
    return err;
}

enum cx_err openai_find_model(const char *json, size_t size, const char *wanted, struct buf *ret_id,
                              uint32_t *ret_context)
{
    json_t *root;
    enum cx_err err = json_parse(json, size, MODELS_SIZE_MAX, &root);
    if (err)
        return cx_fail(CX_INVALID, "the engine's list of models is no JSON");
    const json_t *data = json_object_get(root, "data");
    err = json_is_array(data) ? find_among(data, wanted, ret_id, ret_context)
                              : cx_fail(CX_INVALID, "the engine's list of models has no \"data\"");
    json_decref(root);
    return err;
}
