#include "router/client_reply.h"

#include <string.h>

#include "proto/client_frame.h"
#include "router/api_tasks.h"
#include "router/client_link.h"

/* ---- in JSON ---- */

static void json_begin(struct client_reply *reply, struct json_out *out, const char *type, uint64_t ref)
{
    json_out_init(out, &reply->out);
    json_out_object(out, NULL);
    json_out_text(out, "type", type);
    if (ref != 0)
        json_out_u64(out, "ref", ref);
}

static void json_ids(struct json_out *out, const struct prompt *p)
{
    out_id(out, "session_id", p->session);
    out_id(out, "task_id", p->task);
}

static void json_answer(struct json_out *out, const struct prompt *p, const struct task_end *end)
{
    json_ids(out, p);
    json_out_text(out, "model", p->model);
    if (!p->stream)
        json_out_bytes(out, "text", end->text, end->text_size);
    json_out_text(out, "finish_reason", out_finish(end->finish));
    out_usage(out, end);
    out_amount(out, "charged", end->charged);
    json_out_u64(out, "seq", end->seq);
    out_urn(out, "urn", &end->payload_digest);
}

/* ---- in binary ---- */

static void bin_begin(struct client_reply *reply, enum client_said said, uint64_t ref)
{
    buf_be(&reply->out, said, 1);
    buf_be(&reply->out, ref, 8);
}

static void bin_ids(struct buf *out, const struct prompt *p)
{
    buf_be(out, p->session, 8);
    buf_be(out, p->task, 8);
}

static void bin_answer(struct buf *out, const struct prompt *p, const struct task_end *end)
{
    bin_ids(out, p);
    buf_be(out, end->finish, 1);
    buf_be(out, end->tokens_in, 4);
    buf_be(out, end->tokens_out, 4);
    buf_be(out, end->charged.credits, 8);
    buf_be(out, end->seq, 8);
    buf_add(out, end->payload_digest.b, sizeof end->payload_digest.b);
    buf_sized(out, p->model, strlen(p->model));
    buf_sized(out, p->stream ? "" : end->text, p->stream ? 0 : end->text_size);
}

/* ---- each frame in both ---- */

void client_reply_welcome(struct client_reply *reply, uint64_t network, const struct address *router)
{
    struct json_out out;
    buf_reset(&reply->out);
    if (reply->bin) {
        bin_begin(reply, CLIENT_SAYS_WELCOME, 0);
        buf_be(&reply->out, network, 8);
        buf_add(&reply->out, router->b, sizeof router->b);
        buf_be(&reply->out, CLIENT_PROMPTS_MAX, 4);
        return;
    }
    json_begin(reply, &out, "welcome", 0);
    out_id(&out, "network", network);
    out_address(&out, "router", router);
    json_out_u64(&out, "prompts_max", CLIENT_PROMPTS_MAX);
    json_out_end(&out);
}

void client_reply_accepted(struct client_reply *reply, uint64_t ref, const struct prompt *prompt)
{
    struct json_out out;
    buf_reset(&reply->out);
    if (reply->bin) {
        bin_begin(reply, CLIENT_SAYS_ACCEPTED, ref);
        bin_ids(&reply->out, prompt);
        buf_be(&reply->out, prompt->known, 1);
        return;
    }
    json_begin(reply, &out, "accepted", ref);
    json_ids(&out, prompt);
    json_out_bool(&out, "known", prompt->known);
    json_out_end(&out);
}

void client_reply_text(struct client_reply *reply, uint64_t ref, size_t at, const char *text, size_t size)
{
    struct json_out out;
    buf_reset(&reply->out);
    if (reply->bin) {
        bin_begin(reply, CLIENT_SAYS_TEXT, ref);
        buf_be(&reply->out, at, 4);
        buf_sized(&reply->out, text, size);
        return;
    }
    json_begin(reply, &out, "text", ref);
    json_out_u64(&out, "at", at);
    json_out_bytes(&out, "text", text, size);
    json_out_end(&out);
}

void client_reply_answer(struct client_reply *reply, uint64_t ref, const struct prompt *prompt,
                         const struct task_end *end)
{
    struct json_out out;
    buf_reset(&reply->out);
    if (reply->bin) {
        bin_begin(reply, CLIENT_SAYS_ANSWER, ref);
        bin_answer(&reply->out, prompt, end);
        return;
    }
    json_begin(reply, &out, "answer", ref);
    json_answer(&out, prompt, end);
    json_out_end(&out);
}

void client_reply_cancelled(struct client_reply *reply, uint64_t ref)
{
    struct json_out out;
    buf_reset(&reply->out);
    if (reply->bin) {
        bin_begin(reply, CLIENT_SAYS_CANCELLED, ref);
        return;
    }
    json_begin(reply, &out, "cancelled", ref);
    json_out_end(&out);
}

/* An error is rare and has many members: in binary it is the same JSON behind a head. */
void client_reply_error(struct client_reply *reply, uint64_t ref, const struct api_error *error)
{
    struct json_out out;
    buf_reset(&reply->out);
    if (reply->bin) {
        bin_begin(reply, CLIENT_SAYS_ERROR, ref);
        error_write(&reply->out, error);
        return;
    }
    json_begin(reply, &out, "error", ref);
    error_put(&out, error);
    json_out_end(&out);
}
