#include "cli/client.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "net/http_client.h"

#define ANSWER_SIZE_MAX (64 * 1024 * 1024)
#define TOTAL_MS        (15 * 60 * 1000)

struct waiting {
    const struct client_request *request;
    struct client_answer *answer;
    struct net_loop *loop;
    enum cx_err err;
};

static void on_head(void *ctx, unsigned status, const char *content_type)
{
    struct waiting *w = ctx;
    (void)content_type;
    w->answer->status = status;
}

static void on_body(void *ctx, const char *data, size_t size)
{
    struct waiting *w = ctx;
    if (w->request->on_piece && w->answer->status < 400)
        w->request->on_piece(w->request->ctx, data, size);
    else
        buf_add(&w->answer->body, data, size);
}

static void on_done(void *ctx, enum cx_err err, unsigned status)
{
    struct waiting *w = ctx;
    w->err = err;
    w->answer->status = status;
    net_loop_stop(w->loop);
}

enum cx_err client_send(const struct client_request *request, struct client_answer *ret_answer)
{
    cx_auto(net_loop) loop = NULL;
    cx_auto(http_client) client = NULL;
    struct buf url = {0}, auth = {0}, type = {0};
    struct http_call *call;
    memset(ret_answer, 0, sizeof *ret_answer);
    buf_printf(&url, "%s%s", request->url, request->path);
    buf_printf(&auth, "Authorization: Bearer %s", request->api_key ? request->api_key : "");
    buf_printf(&type, "Content-Type: %s", request->content_type ? request->content_type : "application/json");
    const char *fields[] = {auth.data, type.data};
    enum cx_err err = net_loop_open(&loop);
    if (!err)
        err = http_client_open(loop, &client);
    struct waiting w = {.request = request, .answer = ret_answer, .loop = loop};
    const struct http_call_options options = {
        .method = request->method,
        .url = url.data,
        .fields = fields,
        .field_count = request->body ? 2 : 1,
        .body = request->body,
        .body_size = !request->body       ? 0
                     : request->body_size ? request->body_size
                                          : strlen(request->body),
        .stall_ms = TOTAL_MS,
        .total_ms = TOTAL_MS,
        .response_size_max = ANSWER_SIZE_MAX,
        .on_head = on_head,
        .on_body = on_body,
        .on_done = on_done,
        .ctx = &w,
    };
    if (!err)
        err = http_client_send(client, &options, &call);
    if (!err) {
        net_loop_run(loop);
        err = w.err;
        if (err)
            err = cx_fail(err, "%s: %s", url.data, cx_detail());
    }
    buf_done(&url);
    buf_done(&auth);
    buf_done(&type);
    return err;
}

void client_answer_done(struct client_answer *answer) { buf_done(&answer->body); }

enum cx_err client_error(unsigned status, const char *body, size_t size)
{
    const enum cx_err kind = status == 401 || status == 403 ? CX_DENIED
                             : status == 404                ? CX_NOT_FOUND
                             : status >= 500                ? CX_IO
                                                            : CX_INVALID;
    json_error_t why;
    json_t *root = json_loadb(body ? body : "", size, 0, &why);
    const json_t *error = json_object_get(root, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    enum cx_err err = message ? cx_fail(kind, "%s: %s", code ? code : "error", message)
                              : cx_fail(kind, "the router answered %u without a reason", status);
    json_decref(root);
    return err;
}

enum cx_err client_json(const struct options *options, const char *method, const char *path, const char *body,
                        json_t **ret_json)
{
    const struct client_request request = {.url = option_text(options, "url"),
                                           .api_key = option_text(options, "api-key"),
                                           .method = method,
                                           .path = path,
                                           .body = body};
    struct client_answer answer;
    enum cx_err err = client_send(&request, &answer);
    if (!err && answer.status >= 400)
        err = client_error(answer.status, answer.body.data, answer.body.size);
    if (!err)
        err = json_parse(answer.body.data ? answer.body.data : "", answer.body.size, ANSWER_SIZE_MAX, ret_json);
    client_answer_done(&answer);
    return err;
}
