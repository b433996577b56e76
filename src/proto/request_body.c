/* What clients send as JSON. A body is first turned into the canonical document; what struct request says is read from
 * that alone, so that a miner and a verifier read the same. */
#include <string.h>

#include "base/assert.h"
#include "core/limits.h"
#include "proto/request_parts.h"

#define FIXED_DECIMALS 4

/* ---- the canonical document ---- */

static enum cx_err fixed_from_body(const struct json_at *body, json_t *document)
{
    for (size_t i = 0; i < REQUEST_FIXED_COUNT; i++) {
        const struct request_fixed *f = &request_fixed[i];
        int64_t value = f->normal;
        enum cx_err err = json_may_fixed(body, f->name, FIXED_DECIMALS, f->min, f->max, &value);
        if (err)
            return err;
        json_object_set_new(document, f->canonical, json_integer(value));
    }
    return CX_OK;
}

static enum cx_err counts_from_body(const struct json_at *body, json_t *document)
{
    int64_t max_tokens = 0, top_k = 0;
    enum cx_err err = json_may_i64(body, "max_tokens", 1, UINT32_MAX, &max_tokens);
    if (!err)
        err = json_may_i64(body, "max_completion_tokens", 1, UINT32_MAX, &max_tokens);
    if (!err)
        err = json_may_i64(body, "top_k", 0, UINT32_MAX, &top_k);
    if (err)
        return err;
    json_object_set_new(document, "max_tokens", json_integer(max_tokens));
    json_object_set_new(document, "top_k", json_integer(top_k));
    return CX_OK;
}

static enum cx_err add_stop(const struct json_at *at, const char *key, json_t *list)
{
    const char *text;
    size_t size;
    enum cx_err err = json_need_text(at, key, &text, &size);
    if (err)
        return err;
    if (size == 0 || size > REQUEST_STOP_SIZE_MAX)
        return json_fail(at, key, "expected 1 to %d bytes", REQUEST_STOP_SIZE_MAX);
    json_array_append_new(list, json_stringn(text, size));
    return CX_OK;
}

static enum cx_err stop_from_body(const struct json_at *body, json_t *document)
{
    json_t *list = json_array();
    json_object_set_new(document, "stop", list);
    if (!json_has(body, "stop"))
        return CX_OK;
    if (!json_is_array(json_object_get(body->value, "stop")))
        return add_stop(body, "stop", list);
    struct json_at stops;
    enum cx_err err = json_need_array(body, "stop", &stops);
    if (!err && json_at_count(&stops) > REQUEST_STOP_MAX)
        err = json_fail(body, "stop", "more than %d strings", REQUEST_STOP_MAX);
    for (size_t i = 0; !err && i < json_at_count(&stops); i++) {
        struct json_at item = json_at_item(&stops, i);
        err = add_stop(&item, NULL, list);
    }
    return err;
}

/* What is left of the body goes to the engine; what no engine here honours is refused by name. */
static enum cx_err extra_from_body(const struct json_at *body, const char *const *known, size_t known_count,
                                   json_t *document)
{
    json_t *extra = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)body->value, key, value) {
        size_t i = 0;
        while (i < known_count && strcmp(known[i], key) != 0)
            i++;
        if (i < known_count || json_is_null(value))
            continue;
        const char *why = request_unreadable(value);
        if (why) {
            json_decref(extra);
            return json_fail(body, key, "%s", why);
        }
        json_object_set(extra, key, value);
    }
    if (json_object_size(extra) == 0)
        json_decref(extra);
    else
        json_object_set_new(document, "extra", extra);
    return CX_OK;
}

static enum cx_err unsupported(const struct json_at *body, const char *key, const char *why)
{
    enum cx_err err = json_fail(body, key, "%s", why);
    cx_maybe(err);
    return CX_UNSUPPORTED;
}

/* Fields of the API that ask for something no engine of this version gives. Their harmless values pass. */
static enum cx_err refuse_unsupported(const struct json_at *body)
{
    static const char *const lists[] = {"tools", "functions"};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        const json_t *value = json_object_get(body->value, lists[i]);
        if (json_is_array(value) ? json_array_size(value) > 0 : value && !json_is_null(value))
            return unsupported(body, lists[i], "no node here calls tools");
    }
    static const char *const ones[] = {"n", "best_of"};
    for (size_t i = 0; i < ARRAY_COUNT(ones); i++) {
        int64_t value = 1;
        enum cx_err err = json_may_i64(body, ones[i], 1, 128, &value);
        if (err)
            return err;
        if (value > 1)
            return unsupported(body, ones[i], "one answer a request; ask again for more");
    }
    static const char *const absent[] = {"logit_bias",         "suffix",      "audio", "prediction",
                                         "web_search_options", "top_logprobs"};
    for (size_t i = 0; i < ARRAY_COUNT(absent); i++) {
        const json_t *value = json_object_get(body->value, absent[i]);
        bool empty = json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0);
        if (value && !empty)
            return unsupported(body, absent[i], "no node here honours it");
    }
    static const char *const flags[] = {"logprobs", "echo"};
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        const json_t *value = json_object_get(body->value, flags[i]);
        if (value && !json_is_null(value) && !json_is_false(value))
            return unsupported(body, flags[i], "no node here gives log-probabilities or the prompt back");
    }
    struct json_at format;
    if (json_has(body, "response_format")) {
        const char *type;
        size_t size;
        enum cx_err err = json_need_object(body, "response_format", &format);
        if (!err)
            err = json_need_text(&format, "type", &type, &size);
        if (err)
            return err;
        if (strcmp(type, "text") != 0)
            return unsupported(&format, "type", "no node here keeps to a schema; \"text\" is served");
    }
    return CX_OK;
}

/* ---- chat ---- */

/* A message's content: a string, or parts that are all text, joined. */
static enum cx_err content_text(const struct json_at *message, struct buf *ret_text)
{
    const json_t *content = json_object_get(message->value, "content");
    const char *text;
    size_t size;
    if (!json_is_array(content)) {
        enum cx_err err = json_need_text(message, "content", &text, &size);
        if (!err)
            buf_add(ret_text, text, size);
        return err;
    }
    struct json_at parts;
    enum cx_err err = json_need_array(message, "content", &parts);
    for (size_t i = 0; !err && i < json_at_count(&parts); i++) {
        struct json_at part = json_at_item(&parts, i);
        const char *type;
        err = json_need_text(&part, "type", &type, &size);
        if (!err && strcmp(type, "text") != 0)
            return unsupported(&part, "type", "models here read text alone; parts of type \"text\" are served");
        if (!err)
            err = json_need_text(&part, "text", &text, &size);
        if (!err)
            buf_add(ret_text, text, size);
    }
    return err;
}

static enum cx_err messages_from_body(const struct json_at *body, json_t *document)
{
    struct json_at messages;
    enum cx_err err = json_need_array(body, "messages", &messages);
    if (err)
        return err;
    if (json_at_count(&messages) == 0 || json_at_count(&messages) > REQUEST_MESSAGES_MAX)
        return json_fail(body, "messages", "expected 1 to %d messages", REQUEST_MESSAGES_MAX);
    json_t *list = json_array();
    json_object_set_new(document, "messages", list);
    struct buf text = {0};
    for (size_t i = 0; !err && i < json_at_count(&messages); i++) {
        struct json_at message = json_at_item(&messages, i);
        const char *role;
        size_t size;
        err = json_need_text(&message, "role", &role, &size);
        if (!err && !request_is_role(role))
            err = json_fail(&message, "role", "\"%s\" is none of system, developer, user, assistant, tool", role);
        buf_reset(&text);
        if (!err)
            err = content_text(&message, &text);
        if (!err)
            json_array_append_new(
                list, json_pack("{s:s, s:s%}", "role", role, "content", text.data ? text.data : "", text.size));
    }
    buf_done(&text);
    return err;
}

/* ---- completions ---- */

static enum cx_err prompt_from_body(const struct json_at *body, json_t *document)
{
    const char *text;
    size_t size;
    struct json_at list;
    const json_t *prompt = json_object_get(body->value, "prompt");
    enum cx_err err;
    if (json_is_array(prompt)) {
        err = json_need_array(body, "prompt", &list);
        if (!err && json_at_count(&list) != 1)
            return unsupported(body, "prompt", "one prompt a request");
        struct json_at item = json_at_item(&list, 0);
        err = json_need_text(&item, NULL, &text, &size);
    } else {
        err = json_need_text(body, "prompt", &text, &size);
    }
    if (!err)
        json_object_set_new(document, "prompt", json_stringn(text, size));
    return err;
}

/* ---- what is not canonical ---- */

static enum cx_err read_corten(const struct json_at *at, struct request *r)
{
    uint64_t redundancy = r->corten.redundancy;
    int64_t priority = r->corten.priority;
    const char *text = NULL;
    size_t size = 0;
    enum cx_err err = json_may_u64(at, "session_id", 1, UINT64_MAX, &r->corten.session);
    if (!err)
        err = json_may_u64(at, "redundancy", 1, REDUNDANCY_MAX, &redundancy);
    if (!err)
        err = json_may_i64(at, "priority", 0, PRIORITIES - 1, &priority);
    r->corten.redundancy = (uint32_t)redundancy;
    r->corten.priority = (int32_t)priority;
    static const char *const texts[] = {"validation", "privacy", "client_reference"};
    struct span *const to[] = {&r->corten.validation, &r->corten.privacy, &r->corten.client_reference};
    for (size_t i = 0; !err && i < ARRAY_COUNT(texts); i++) {
        text = NULL;
        err = json_may_text(at, texts[i], &text, &size);
        if (!err && text) {
            json_t *copy = json_stringn(text, size);
            json_array_append_new(r->wishes, copy);
            *to[i] = request_span(copy);
        }
    }
    /* Seconds, as the seeds' clients send them; fractions are fine. */
    int64_t timeout_ms = r->corten.timeout_ms, precommit_ms = r->corten.precommit_ms;
    if (!err)
        err = json_may_fixed(at, "timeout", 3, 1, UINT32_MAX, &timeout_ms);
    if (!err)
        err = json_may_fixed(at, "precommit_timeout", 3, 1, UINT32_MAX, &precommit_ms);
    r->corten.timeout_ms = (uint32_t)timeout_ms;
    r->corten.precommit_ms = (uint32_t)precommit_ms;
    return err;
}

static enum cx_err read_wishes(const struct json_at *body, struct request *r)
{
    struct json_at options, corten;
    enum cx_err err = json_may_bool(body, "stream", &r->stream);
    if (!err && json_has(body, "stream_options")) {
        err = json_need_object(body, "stream_options", &options);
        if (!err)
            err = json_may_bool(&options, "include_usage", &r->include_usage);
    }
    if (!err && json_has(body, "seed")) {
        int64_t seed;
        err = json_need_i64(body, "seed", INT64_MIN, INT64_MAX, &seed);
        if (!err) {
            r->seed = (uint64_t)seed;
            r->has_seed = true;
        }
    }
    r->has_temperature = json_has(body, "temperature");
    r->corten.priority = -1;
    if (!err && json_has(body, "corten")) {
        err = json_need_object(body, "corten", &corten);
        if (!err)
            err = read_corten(&corten, r);
    }
    return err;
}

/* ---- the three bodies ---- */

typedef enum cx_err read_prompt(const struct json_at *body, json_t *document);

struct dialect {
    const char *kind;
    const char *const *known;  // fields that do not travel to the engine
    size_t known_count;
    read_prompt *prompt;
    bool native, model_needed;
};

static enum cx_err read_document(const struct dialect *d, const struct json_at *body, json_t *document)
{
    const char *model = "";
    size_t size = 0;
    enum cx_err err = refuse_unsupported(body);
    if (!err && d->model_needed)
        err = json_need_text(body, "model", &model, &size);
    else if (!err)
        err = json_may_text(body, "model", &model, &size);
    if (err)
        return err;
    json_object_set_new(document, "kind", json_string(d->kind));
    json_object_set_new(document, "model", json_stringn(model, size));
    err = d->prompt(body, document);
    if (!err)
        err = fixed_from_body(body, document);
    if (!err)
        err = counts_from_body(body, document);
    if (!err)
        err = stop_from_body(body, document);
    if (!err)
        err = extra_from_body(body, d->known, d->known_count, document);
    return err;
}

static enum cx_err read_root(const struct dialect *d, const json_t *root, struct request *r)
{
    struct json_at body = json_at_root(root);
    enum cx_err err = json_is_object(root) ? CX_OK : json_fail(&body, NULL, "expected a JSON object");
    memset(r, 0, sizeof *r);
    r->document = json_object();
    r->wishes = json_array();
    if (!err)
        err = read_document(d, &body, r->document);
    if (!err)
        err = request_fill(r);
    if (!err)
        err = read_wishes(&body, r);
    if (!err && d->native)
        err = read_corten(&body, r);
    if (err)
        request_close(r);
    return err;
}

static enum cx_err read_body(const struct dialect *d, const char *text, size_t size, struct request *r)
{
    json_t *root = NULL;
    memset(r, 0, sizeof *r);
    enum cx_err err = json_parse(text, size, REQUEST_JSON_SIZE_MAX, &root);
    if (!err)
        err = read_root(d, root, r);
    json_decref(root);
    return err;
}

/* Fields of every dialect. `user`, `store`, `metadata` and their like are for billing and logs of others. */
#define KNOWN_ALWAYS                                                                                               \
    "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k",   \
        "presence_penalty", "frequency_penalty", "stop", "seed", "n", "user", "store", "metadata", "service_tier", \
        "corten", "logprobs", "top_logprobs", "logit_bias"

enum cx_err request_read_chat(const char *body, size_t size, struct request *ret_request)
{
    static const char *const known[] = {
        KNOWN_ALWAYS,          "messages",        "tools",      "tool_choice", "functions", "function_call",
        "parallel_tool_calls", "response_format", "modalities", "audio",       "prediction"};
    return read_body(&(struct dialect){"chat", known, ARRAY_COUNT(known), messages_from_body, false, true}, body, size,
                     ret_request);
}

enum cx_err request_read_completion(const char *body, size_t size, struct request *ret_request)
{
    static const char *const known[] = {KNOWN_ALWAYS, "prompt", "best_of", "echo", "suffix"};
    return read_body(&(struct dialect){"completion", known, ARRAY_COUNT(known), prompt_from_body, false, true}, body,
                     size, ret_request);
}

/* prompt_type: 0 the model's chat template around the prompt, 1 the raw prompt, 2 prompt_template as the system's
 * message and the prompt as the user's. */
static enum cx_err native_prompt(const struct json_at *body, json_t *document)
{
    const char *prompt, *template = "";
    size_t size, template_size = 0;
    int64_t type = 1;
    enum cx_err err = json_may_i64(body, "prompt_type", 0, 2, &type);
    if (!err)
        err = json_need_text(body, "prompt", &prompt, &size);
    if (!err)
        err = json_may_text(body, "prompt_template", &template, &template_size);
    if (err)
        return err;
    if (type == 1) {
        json_object_set_new(document, "prompt", json_stringn(prompt, size));
        return CX_OK;
    }
    json_t *list = json_array();
    json_object_set_new(document, "kind", json_string("chat"));
    json_object_set_new(document, "messages", list);
    if (type == 2)
        json_array_append_new(list, json_pack("{s:s, s:s%}", "role", "system", "content", template, template_size));
    json_array_append_new(list, json_pack("{s:s, s:s%}", "role", "user", "content", prompt, size));
    return CX_OK;
}

static const char *const native_known[] = {KNOWN_ALWAYS, "prompt",     "prompt_type",       "prompt_template",
                                           "session_id", "timeout",    "precommit_timeout", "client_reference",
                                           "priority",   "redundancy", "validation",        "privacy"};
static const struct dialect native = {"completion",  native_known, ARRAY_COUNT(native_known),
                                      native_prompt, true,         false};

enum cx_err request_read_native(const char *body, size_t size, struct request *ret_request)
{
    return read_body(&native, body, size, ret_request);
}

enum cx_err request_read_native_json(const json_t *body, struct request *ret_request)
{
    return read_root(&native, body, ret_request);
}
