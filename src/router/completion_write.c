/* The shapes that clients of OpenAI's API know, with `corten` beside them. */
#include <inttypes.h>
#include <string.h>

#include "router/completion.h"

static void put_head(const struct completion *c, struct json_out *out, const char *object)
{
    char id[40];
    snprintf(id, sizeof id, "%s-%016" PRIx64, c->dialect == DIALECT_CHAT ? "chatcmpl" : "cmpl", c->prompt.task);
    json_out_text(out, "id", id);
    json_out_text(out, "object", object);
    json_out_u64(out, "created", c->created_s);
    json_out_text(out, "model", c->prompt.model);
    json_out_text(out, "system_fingerprint", c->prompt.fingerprint[0] ? c->prompt.fingerprint : NULL);
    if (c->dialect == DIALECT_NATIVE) {
        out_id(out, "task_id", c->prompt.task);
        out_id(out, "session_id", c->prompt.session);
    }
}

static void put_corten(const struct completion *c, struct json_out *out, const struct task_end *end)
{
    json_out_object(out, "corten");
    out_id(out, "session_id", c->prompt.session);
    json_out_text(out, "session_reason", c->prompt.selected.reason);
    out_id(out, "task_id", c->prompt.task);
    out_amount(out, "charged", end->charged);
    json_out_u64(out, "seq", end->seq);
    out_urn(out, "urn", &end->payload_digest);
    struct buf receipt = {0};
    if (history_receipt_json(c->call->api->options.history, end->session, end->task, &receipt) == CX_OK)
        json_out_raw(out, "receipt", receipt.data, receipt.size);
    else
        json_out_null(out, "receipt");
    buf_done(&receipt);
    json_out_end(out);
}

/* ---- streams ---- */

static bool is_chat(const struct completion *c) { return c->dialect == DIALECT_CHAT; }

/* Where a resumed stream goes on, behind `sent` bytes; and behind which: a client that came without a sum gets none. */
static void put_id(const struct completion *c, struct buf *out, size_t sent)
{
    if (c->prompt.summed)
        buf_printf(out, "id: %zu-%08x\ndata: ", sent, sent == c->prompt.sent ? c->prompt.sum : TEXT_SUM_START);
    else
        buf_printf(out, "id: %zu\ndata: ", sent);
}

/* Opens the event and its object, up to and with "choices". `sent`: the bytes of text up to and with this event. */
static void event_begin(struct completion *c, struct buf *out, struct json_out *json, size_t sent)
{
    put_id(c, out, sent);
    json_out_init(json, out);
    json_out_object(json, NULL);
    put_head(c, json, is_chat(c) ? "chat.completion.chunk" : "text_completion");
    json_out_array(json, "choices");
}

static void event_end(struct buf *out, struct json_out *json)
{
    json_out_end(json);
    buf_text(out, "\n\n");
}

static void put_choice(const struct completion *c, struct json_out *json, const char *role, const char *text,
                       size_t size, const char *finish)
{
    json_out_object(json, NULL);
    json_out_u64(json, "index", 0);
    if (is_chat(c)) {
        json_out_object(json, "delta");
        if (role)
            json_out_text(json, "role", role);
        if (text)
            json_out_bytes(json, "content", text, size);
        json_out_end(json);
    } else {
        json_out_bytes(json, "text", text ? text : "", size);
    }
    json_out_null(json, "logprobs");
    json_out_text(json, "finish_reason", finish);
    json_out_end(json);
    json_out_end(json);  // of choices
}

static void put_lead(struct completion *c, struct buf *out)
{
    struct json_out json;
    c->led = true;
    if (!is_chat(c))
        return;
    event_begin(c, out, &json, 0);  // before any text
    put_choice(c, &json, "assistant", "", 0, NULL);
    if (c->prompt.request.include_usage)
        json_out_null(&json, "usage");
    event_end(out, &json);
}

void completion_put_text(struct completion *c, struct buf *out, const char *text, size_t size)
{
    struct json_out json;
    if (!c->led)
        put_lead(c, out);
    event_begin(c, out, &json, c->prompt.sent);
    put_choice(c, &json, NULL, text, size, NULL);
    if (c->prompt.request.include_usage)
        json_out_null(&json, "usage");
    event_end(out, &json);
}

void completion_put_last(struct completion *c, struct buf *out, const struct task_end *end)
{
    struct json_out json;
    if (!c->led)
        put_lead(c, out);
    event_begin(c, out, &json, c->prompt.sent);
    put_choice(c, &json, NULL, NULL, 0, out_finish(end->finish));
    if (c->prompt.request.include_usage) {
        json_out_null(&json, "usage");
        event_end(out, &json);
        event_begin(c, out, &json, c->prompt.sent);
        json_out_end(&json);  // no choices
        out_usage(&json, end);
    }
    put_corten(c, &json, end);
    event_end(out, &json);
    buf_text(out, "data: [DONE]\n\n");
}

void completion_put_error(struct completion *c, struct buf *out, const struct api_error *error)
{
    put_id(c, out, c->prompt.sent);
    error_write(out, error);
    buf_text(out, "\n\n");
}

/* ---- in one piece ---- */

void completion_put_whole(const struct completion *c, struct buf *out, const struct task_end *end)
{
    struct json_out json;
    bool hidden = c->by_urn && c->prompt.result != RESULT_INLINE;
    const char *text = hidden || !end->text ? "" : end->text;
    size_t size = hidden ? 0 : end->text_size;
    json_out_init(&json, out);
    json_out_object(&json, NULL);
    put_head(c, &json, is_chat(c) ? "chat.completion" : "text_completion");
    json_out_array(&json, "choices");
    json_out_object(&json, NULL);
    json_out_u64(&json, "index", 0);
    if (is_chat(c)) {
        json_out_object(&json, "message");
        json_out_text(&json, "role", "assistant");
        json_out_bytes(&json, "content", text, size);
        json_out_null(&json, "refusal");
        json_out_end(&json);
    } else {
        json_out_bytes(&json, "text", text, size);
    }
    json_out_null(&json, "logprobs");
    json_out_text(&json, "finish_reason", out_finish(end->finish));
    json_out_end(&json);
    json_out_end(&json);
    out_usage(&json, end);
    if (c->by_urn)
        out_urn(&json, "urn", &end->payload_digest);
    put_corten(c, &json, end);
    json_out_end(&json);
}
