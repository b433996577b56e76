/* What a client asks: its body and headers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/cid.h"
#include "crypto/keccak.h"
#include "payload/payload.h"
#include "router/api_payloads.h"
#include "router/completion.h"

/* A native prompt may be named by its URN, of a payload that the caller may read: puts its text in its place. */
static enum cx_err fetch_prompt(const struct completion *c, json_t *body)
{
    const char *urn = json_string_value(json_object_get(body, "prompt"));
    struct json_at at = json_at_root(body);
    struct hash sha256;
    struct buf text = {0};
    if (!urn || strncmp(urn, "ipfs://", 7) != 0)
        return CX_OK;
    if (urn_decode(urn, strlen(urn), &sha256))
        return json_fail(&at, "prompt", "%s", cx_detail());
    if (!payload_may_read(c->call, &sha256) || payload_get(c->call->api->options.payloads, &sha256, &text) != CX_OK)
        return json_fail(&at, "prompt", "no payload of this account has that name, or it is no longer kept");
    json_t *prompt = json_stringn(text.data ? text.data : "", text.size);
    buf_done(&text);
    if (!prompt)
        return json_fail(&at, "prompt", "the payload is no text in UTF-8");
    json_object_set_new(body, "prompt", prompt);
    return CX_OK;
}

static enum cx_err read_native(struct completion *c, const char *text, size_t size)
{
    json_t *body = NULL;
    if (!c->by_urn)
        return request_read_native(text, size, &c->prompt.request);
    enum cx_err err = json_parse(text, size, API_PROMPT_BODY_MAX, &body);
    if (!err)
        err = fetch_prompt(c, body);
    if (!err) {
        struct buf whole = {0};
        json_canonical(&whole, body);
        err = request_read_native(whole.data, whole.size, &c->prompt.request);
        buf_done(&whole);
    }
    json_decref(body);
    return err;
}

static bool read_body(struct completion *c)
{
    size_t size;
    const char *body = http_request_body(c->call->x, &size);
    enum cx_err err = CX_OK;
    switch (c->dialect) {
    case DIALECT_CHAT: err = request_read_chat(body, size, &c->prompt.request); break;
    case DIALECT_TEXT: err = request_read_completion(body, size, &c->prompt.request); break;
    case DIALECT_NATIVE: err = read_native(c, body, size); break;
    }
    if (!err)
        return true;
    struct api_error error;
    char param[JSON_PATH_SIZE_MAX + 1];
    snprintf(param, sizeof param, "%s", json_failed_path());
    error_of_world(err, cx_detail(), &error);
    error.param = param[0] ? param : NULL;
    completion_fail(c, &error);
    return false;
}

/* The client's own name for the request, from its body or header. */
static bool read_reference(struct completion *c)
{
    struct api_error error;
    struct span text = c->prompt.request.corten.client_reference;
    const char *header = http_header(c->call->x, "Idempotency-Key");
    if (text.size == 0 && header)
        text = (struct span){(const uint8_t *)header, (uint32_t)strlen(header)};
    if (prompt_refer(&c->prompt, text, &error))
        return true;
    completion_fail(c, &error);
    return false;
}

static bool read_session(struct completion *c, uint64_t session)
{
    const char *header = http_header(c->call->x, "Corten-Session");
    if (session != 0) {
        c->prompt.request.corten.session = session;
    } else if (header) {
        char *end;
        unsigned long long id = strtoull(header, &end, 10);
        if (id == 0 || *end || header[0] < '0' || header[0] > '9') {
            struct api_error error = {0};
            error_say(&error, 400, "VALUE_INVALID", "Corten-Session", "\"%.40s\" is no session's id", header);
            completion_fail(c, &error);
            return false;
        }
        c->prompt.request.corten.session = id;
    }
    return true;
}

void completion_start(struct call *call, enum dialect dialect, bool by_urn, uint64_t session)
{
    struct completion *c = completion_new(call, dialect);
    c->by_urn = by_urn;
    if (!read_body(c) || !read_reference(c) || !read_session(c, session))
        return;
    if (c->prompt.request.stream)
        completion_stream(c);
    prompt_start(&c->prompt);
}
