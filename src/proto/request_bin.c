/* The native body in binary: what a client that has many prompts a second sends, so that nobody parses JSON for it.
 *
 * The same fields with the same bounds as the body of POST /api/v1/completions, in a fixed order; numbers are
 * big-endian, a text is its size in four bytes and then UTF-8. docs/protocol.md, "Client WebSocket". */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "proto/request_parts.h"

#define FLAG_STREAM       1u
#define FLAG_SEED         2u
#define FLAG_TEMPERATURE  4u
#define FLAG_USAGE        8u
#define FLAGS             (FLAG_STREAM | FLAG_SEED | FLAG_TEMPERATURE | FLAG_USAGE)
#define PRIORITY_NOT_SAID 255

/* ---- reading ---- */

struct reader {
    struct bytes_reader in;
    enum cx_err err;  // the first one
};

static void bad(struct reader *r, const char *field, const char *why)
{
    const struct json_at nowhere = {0};
    if (!r->err)
        r->err = json_fail(&nowhere, field, "%s", why);
}

static uint32_t number(struct reader *r, const char *field, uint32_t value, uint32_t max)
{
    if (value > max)
        bad(r, field, "out of range");
    return value;
}

static int64_t fixed(struct reader *r, unsigned which)
{
    const struct request_fixed *f = &request_fixed[which];
    int64_t value = (int32_t)bytes_get_u32(&r->in);
    if (value < f->min || value > f->max)
        bad(r, f->name, "out of range");
    return value;
}

/* As in a JSON body, a text is UTF-8 without NUL. */
static struct span text(struct reader *r, const char *field)
{
    struct span span = bytes_get_span(&r->in, bytes_get_u32(&r->in));
    if (!r->in.ok)
        bad(r, field, "the frame ends within it");
    else if (span.size > 0 && (!utf8_is_valid((const char *)span.data, span.size) || memchr(span.data, 0, span.size)))
        bad(r, field, "not UTF-8, or with a NUL");
    return span;
}

static void read_stops(struct reader *r, struct request *q)
{
    q->stop_count = number(r, "stop", bytes_get_u8(&r->in), REQUEST_STOP_MAX);
    for (uint32_t i = 0; !r->err && i < q->stop_count; i++) {
        q->stop[i] = text(r, "stop");
        if (q->stop[i].size == 0 || q->stop[i].size > REQUEST_STOP_SIZE_MAX)
            bad(r, "stop", "expected 1 to 256 bytes");
    }
}

static void read_extra(struct reader *r, struct request *q)
{
    struct span extra = text(r, "extra");
    json_t *root = NULL;
    if (r->err || extra.size == 0)
        return;
    q->document = json_object();
    if (json_parse((const char *)extra.data, extra.size, REQUEST_JSON_SIZE_MAX, &root) || !json_is_object(root)) {
        bad(r, "extra", "expected a JSON object");
        json_decref(root);
        return;
    }
    json_object_set_new(q->document, "extra", root);
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        const char *why = request_unreadable(value);
        if (why)
            bad(r, "extra", why);
    }
    q->extra = json_object_size(root) > 0 ? root : NULL;
}

static void read_messages(struct reader *r, struct request *q)
{
    q->message_count = number(r, "messages", bytes_get_u32(&r->in), REQUEST_MESSAGES_MAX);
    if (q->message_count == 0)
        bad(r, "messages", "expected 1 to 1024 messages");
    if (r->err)
        return;
    q->message = calloc(q->message_count, sizeof *q->message);
    cx_assert(q->message);
    for (uint32_t i = 0; !r->err && i < q->message_count; i++) {
        struct request_message *m = &q->message[i];
        char role[16];
        m->role = text(r, "messages");
        m->content = text(r, "messages");
        if (r->err)
            return;
        uint32_t size = u32_min(m->role.size, sizeof role - 1);
        memcpy(role, m->role.size ? m->role.data : (const uint8_t *)"", size);
        role[size] = '\0';
        if (m->role.size >= sizeof role || !request_is_role(role))
            bad(r, "messages", "a role is none of system, developer, user, assistant, tool");
        q->prompt_size += m->role.size + m->content.size;
    }
}

static void read_numbers(struct reader *r, struct request *q)
{
    q->corten.session = bytes_get_u64(&r->in);
    q->seed = bytes_get_u64(&r->in);
    q->max_tokens = bytes_get_u32(&r->in);
    q->top_k = bytes_get_u32(&r->in);
    q->temperature = (uint32_t)fixed(r, REQUEST_TEMPERATURE);
    q->top_p = (uint32_t)fixed(r, REQUEST_TOP_P);
    q->presence_penalty = (int32_t)fixed(r, REQUEST_PRESENCE_PENALTY);
    q->frequency_penalty = (int32_t)fixed(r, REQUEST_FREQUENCY_PENALTY);
    q->corten.redundancy = number(r, "redundancy", bytes_get_u8(&r->in), REDUNDANCY_MAX);
    uint8_t priority = bytes_get_u8(&r->in);
    q->corten.priority = priority == PRIORITY_NOT_SAID ? -1 : (int32_t)number(r, "priority", priority, PRIORITIES - 1);
    q->corten.timeout_ms = bytes_get_u32(&r->in);
    q->corten.precommit_ms = bytes_get_u32(&r->in);
}

static void read_all(struct reader *r, struct request *q)
{
    uint8_t kind = bytes_get_u8(&r->in), flags = bytes_get_u8(&r->in);
    number(r, "kind", kind, REQUEST_COMPLETION);
    if (flags & ~FLAGS)
        bad(r, "flags", "a flag that is not known");
    q->kind = (enum request_kind)kind;
    q->stream = flags & FLAG_STREAM;
    q->has_seed = flags & FLAG_SEED;
    q->has_temperature = flags & FLAG_TEMPERATURE;
    q->include_usage = flags & FLAG_USAGE;
    read_numbers(r, q);
    q->model = text(r, "model");
    q->corten.validation = text(r, "validation");
    q->corten.privacy = text(r, "privacy");
    q->corten.client_reference = text(r, "client_reference");
    if (!r->err)
        read_stops(r, q);
    if (!r->err)
        read_extra(r, q);
    if (r->err)
        return;
    if (q->kind == REQUEST_CHAT) {
        read_messages(r, q);
    } else {
        q->prompt = text(r, "prompt");
        q->prompt_size = q->prompt.size;
    }
    if (!r->in.ok || r->in.left > 0)
        bad(r, "body", "it is longer or shorter than its fields");
}

enum cx_err request_read_bin(struct span body, struct request *ret_request)
{
    struct request *q = ret_request;
    struct reader r = {0};
    memset(q, 0, sizeof *q);
    q->bytes = malloc(body.size + 1);
    cx_assert(q->bytes);
    if (body.size > 0)
        memcpy(q->bytes, body.data, body.size);
    bytes_reader_init(&r.in, q->bytes, body.size);
    read_all(&r, q);
    if (r.err)
        request_close(q);
    return r.err;
}

/* ---- writing ---- */

static void put_text(struct buf *out, struct span text) { buf_sized(out, text.data, text.size); }

static void put_extra(struct buf *out, const struct request *q)
{
    struct buf json = {0};
    if (q->extra)
        json_canonical(&json, q->extra);
    put_text(out, (struct span){(const uint8_t *)json.data, (uint32_t)json.size});
    buf_done(&json);
}

void request_write_bin(const struct request *q, struct buf *ret_body)
{
    struct buf *out = ret_body;
    buf_be(out, q->kind, 1);
    buf_be(out,
           (q->stream ? FLAG_STREAM : 0) | (q->has_seed ? FLAG_SEED : 0) | (q->has_temperature ? FLAG_TEMPERATURE : 0) |
               (q->include_usage ? FLAG_USAGE : 0),
           1);
    buf_be(out, q->corten.session, 8);
    buf_be(out, q->seed, 8);
    buf_be(out, q->max_tokens, 4);
    buf_be(out, q->top_k, 4);
    buf_be(out, q->temperature, 4);
    buf_be(out, q->top_p, 4);
    buf_be(out, (uint32_t)q->presence_penalty, 4);
    buf_be(out, (uint32_t)q->frequency_penalty, 4);
    buf_be(out, q->corten.redundancy, 1);
    buf_be(out, q->corten.priority < 0 ? PRIORITY_NOT_SAID : (uint64_t)q->corten.priority, 1);
    buf_be(out, q->corten.timeout_ms, 4);
    buf_be(out, q->corten.precommit_ms, 4);
    put_text(out, q->model);
    put_text(out, q->corten.validation);
    put_text(out, q->corten.privacy);
    put_text(out, q->corten.client_reference);
    buf_be(out, q->stop_count, 1);
    for (uint32_t i = 0; i < q->stop_count; i++)
        put_text(out, q->stop[i]);
    put_extra(out, q);
    if (q->kind == REQUEST_COMPLETION) {
        put_text(out, q->prompt);
        return;
    }
    buf_be(out, q->message_count, 4);
    for (uint32_t i = 0; i < q->message_count; i++) {
        put_text(out, q->message[i].role);
        put_text(out, q->message[i].content);
    }
}
