#include "proto/request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/keccak.h"
#include "proto/request_parts.h"

/* RFC 8785 writes reals below 10^21 as whole numbers; a reader has 64 bits for these. */
#define WHOLE_NUMBER_END  0x1p63
#define WRITTEN_WHOLE_END 1e21

const struct request_fixed request_fixed[REQUEST_FIXED_COUNT] = {
    {"temperature", "temperature_e4", 0, 2 * REQUEST_UNIT, REQUEST_UNIT},
    {"top_p", "top_p_e4", 0, REQUEST_UNIT, REQUEST_UNIT},
    {"presence_penalty", "presence_penalty_e4", -2 * REQUEST_UNIT, 2 * REQUEST_UNIT, 0},
    {"frequency_penalty", "frequency_penalty_e4", -2 * REQUEST_UNIT, 2 * REQUEST_UNIT, 0},
};

bool request_is_role(const char *role)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};
    for (size_t i = 0; i < ARRAY_COUNT(roles); i++)
        if (strcmp(roles[i], role) == 0)
            return true;
    return false;
}

/* Why the canonical bytes of this value could not be read again, or NULL: whole numbers have 64 bits, and what is
 * passed on lies one level deeper there than in the body. `depth`: of the value in the body. */
static const char *unreadable(const json_t *value, unsigned depth)
{
    const char *key, *why = NULL;
    json_t *inner, *at = (json_t *)(uintptr_t)value;
    size_t i;
    double real = fabs(json_real_value(value));
    if (real >= WHOLE_NUMBER_END && real < WRITTEN_WHOLE_END)
        return "a whole number over 64 bits: send it as text";
    if ((json_is_object(value) || json_is_array(value)) && depth >= JSON_DEPTH_MAX)
        return "nested too deeply";
    json_object_foreach(at, key, inner) {
        why = why ? why : unreadable(inner, depth + 1);
    }
    json_array_foreach(at, i, inner) {
        why = why ? why : unreadable(inner, depth + 1);
    }
    return why;
}

const char *request_unreadable(const json_t *value) { return unreadable(value, 2); }

/* ---- struct request from the canonical document ---- */

struct span request_span(const json_t *text)
{
    return (struct span){(const uint8_t *)json_string_value(text), (uint32_t)json_string_length(text)};
}

static enum cx_err fill_messages(const struct json_at *root, struct request *r)
{
    struct json_at messages;
    enum cx_err err = json_need_array(root, "messages", &messages);
    if (err)
        return err;
    size_t count = json_at_count(&messages);
    if (count == 0 || count > REQUEST_MESSAGES_MAX)
        return json_fail(root, "messages", "expected 1 to %d messages", REQUEST_MESSAGES_MAX);
    r->message = calloc(count, sizeof *r->message);
    cx_assert(r->message);
    r->message_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        struct json_at message = json_at_item(&messages, i);
        const char *text;
        size_t size;
        err = json_need_text(&message, "role", &text, &size);
        if (!err)
            err = json_need_text(&message, "content", &text, &size);
        if (err)
            return err;
        r->message[i].role = request_span(json_object_get(message.value, "role"));
        r->message[i].content = request_span(json_object_get(message.value, "content"));
        r->prompt_size += r->message[i].role.size + r->message[i].content.size;
    }
    return CX_OK;
}

static enum cx_err fill_stops(const struct json_at *root, struct request *r)
{
    struct json_at stops;
    enum cx_err err = json_need_array(root, "stop", &stops);
    if (!err && json_at_count(&stops) > REQUEST_STOP_MAX)
        err = json_fail(root, "stop", "more than %d strings", REQUEST_STOP_MAX);
    for (size_t i = 0; !err && i < json_at_count(&stops); i++) {
        struct json_at item = json_at_item(&stops, i);
        const char *text;
        size_t size;
        err = json_need_text(&item, NULL, &text, &size);
        if (!err && (size == 0 || size > REQUEST_STOP_SIZE_MAX))
            err = json_fail(&item, NULL, "expected 1 to %d bytes", REQUEST_STOP_SIZE_MAX);
        if (!err)
            r->stop[r->stop_count++] = request_span(item.value);
    }
    return err;
}

static enum cx_err fill_numbers(const struct json_at *root, struct request *r)
{
    int64_t fixed[REQUEST_FIXED_COUNT], max_tokens, top_k;
    enum cx_err err = CX_OK;
    for (size_t i = 0; !err && i < REQUEST_FIXED_COUNT; i++)
        err = json_need_i64(root, request_fixed[i].canonical, request_fixed[i].min, request_fixed[i].max, &fixed[i]);
    if (!err)
        err = json_need_i64(root, "max_tokens", 0, UINT32_MAX, &max_tokens);
    if (!err)
        err = json_need_i64(root, "top_k", 0, UINT32_MAX, &top_k);
    if (err)
        return err;
    r->temperature = (uint32_t)fixed[0];
    r->top_p = (uint32_t)fixed[1];
    r->presence_penalty = (int32_t)fixed[2];
    r->frequency_penalty = (int32_t)fixed[3];
    r->max_tokens = (uint32_t)max_tokens;
    r->top_k = (uint32_t)top_k;
    return CX_OK;
}

enum cx_err request_fill(struct request *r)
{
    struct json_at root = json_at_root(r->document);
    const char *kind, *model, *prompt;
    size_t size;
    enum cx_err err = json_need_text(&root, "kind", &kind, &size);
    if (!err && strcmp(kind, "chat") != 0 && strcmp(kind, "completion") != 0)
        err = json_fail(&root, "kind", "expected \"chat\" or \"completion\"");
    if (!err)
        err = json_need_text(&root, "model", &model, &size);
    if (err)
        return err;
    r->kind = strcmp(kind, "chat") == 0 ? REQUEST_CHAT : REQUEST_COMPLETION;
    r->model = request_span(json_object_get(r->document, "model"));
    if (r->kind == REQUEST_CHAT) {
        err = fill_messages(&root, r);
    } else {
        err = json_need_text(&root, "prompt", &prompt, &size);
        r->prompt = request_span(json_object_get(r->document, "prompt"));
        r->prompt_size = r->prompt.size;
    }
    if (!err)
        err = fill_stops(&root, r);
    if (!err)
        err = fill_numbers(&root, r);
    r->extra = json_object_get(r->document, "extra");
    return err;
}

enum cx_err request_parse(const char *bytes, size_t size, struct request *ret_request)
{
    struct request *r = ret_request;
    memset(r, 0, sizeof *r);
    r->corten.priority = -1;
    enum cx_err err = json_parse(bytes, size, REQUEST_JSON_SIZE_MAX, &r->document);
    if (!err) {
        struct json_at root = json_at_root(r->document);
        err = json_is_object(r->document) ? request_fill(r) : json_fail(&root, NULL, "expected a JSON object");
    }
    if (err)
        request_close(r);
    return err;
}

void request_close(struct request *request)
{
    json_decref(request->document);
    json_decref(request->wishes);
    free(request->message);
    free(request->bytes);
    memset(request, 0, sizeof *request);
}

/* ---- writing ---- */

static void put_member(struct buf *out, const char *name)
{
    buf_text(out, out->data[out->size - 1] == '{' ? "\"" : ",\"");
    buf_text(out, name);
    buf_add(out, "\":", 2);
}

static void put_number(struct buf *out, const char *name, int64_t value)
{
    put_member(out, name);
    buf_i64(out, value);
}

static void put_text(struct buf *out, const char *name, struct span text)
{
    put_member(out, name);
    json_canonical_text(out, text);
}

static void put_messages(struct buf *out, const struct request *r)
{
    put_member(out, "messages");
    buf_add(out, "[", 1);
    for (uint32_t i = 0; i < r->message_count; i++) {
        buf_text(out, i == 0 ? "{" : ",{");
        put_text(out, "content", r->message[i].content);
        put_text(out, "role", r->message[i].role);
        buf_add(out, "}", 1);
    }
    buf_add(out, "]", 1);
}

static void put_stops(struct buf *out, const struct request *r)
{
    put_member(out, "stop");
    buf_add(out, "[", 1);
    for (uint32_t i = 0; i < r->stop_count; i++) {
        buf_text(out, i == 0 ? "" : ",");
        json_canonical_text(out, r->stop[i]);
    }
    buf_add(out, "]", 1);
}

/* What it will need where nothing is escaped: so that the buffer grows once. */
static size_t plain_size(const struct request *r)
{
    size_t size = 256 + r->model.size + r->prompt.size;
    for (uint32_t i = 0; i < r->message_count; i++)
        size += 32 + r->message[i].content.size;
    return size;
}

/* The members in the order of RFC 8785, which is that of their names. */
void request_canonical(const struct request *r, struct buf *ret_bytes)
{
    struct buf *out = ret_bytes;
    bool chat = r->kind == REQUEST_CHAT;
    buf_reserve(out, plain_size(r));
    buf_add(out, "{", 1);
    if (r->extra) {
        put_member(out, "extra");
        json_canonical(out, r->extra);
    }
    put_number(out, "frequency_penalty_e4", r->frequency_penalty);
    put_member(out, "kind");
    buf_text(out, chat ? "\"chat\"" : "\"completion\"");
    put_number(out, "max_tokens", r->max_tokens);
    if (chat)
        put_messages(out, r);
    put_text(out, "model", r->model);
    put_number(out, "presence_penalty_e4", r->presence_penalty);
    if (!chat)
        put_text(out, "prompt", r->prompt);
    put_stops(out, r);
    put_number(out, "temperature_e4", r->temperature);
    put_number(out, "top_k", r->top_k);
    put_number(out, "top_p_e4", r->top_p);
    buf_add(out, "}", 1);
}

void request_digest(const void *bytes, size_t size, struct hash *ret_digest) { keccak256(bytes, size, ret_digest); }
