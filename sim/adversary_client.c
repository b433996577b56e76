/* A client that cheats: it uses references again for other content, spends what it does not have over many connections,
 * reads and goes, and looks at others' tasks. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/prng.h"
#include "core/view.h"
#include "net/http_client.h"
#include "proto/json.h"
#include "sim/adversary.h"

#define CALLS_MAX    12
#define AT_ONCE      5
#define BODY_MAX     (1 << 20)
#define STALL_MS     20000
#define KEY_SIZE_MAX 160

enum errand { ERRAND_KEY, ERRAND_FIRST, ERRAND_SECOND, ERRAND_SPEND, ERRAND_LEAVE, ERRAND_SNOOP };

struct errand_call {
    struct adversary_client *client;
    struct http_call *http;  // NULL: free
    enum errand errand;
    uint64_t reference;
    char task[24];  // that the reference named first
    struct buf body;
};

struct adversary_client {
    struct adversary_client_options options;
    struct http_client *http;
    struct prng prng;
    struct net_timer next;
    struct errand_call call[CALLS_MAX];
    char poor[KEY_SIZE_MAX];  // a key whose account has no money; "" until it has one
    uint64_t references;
    struct adversary_client_stats stats;
};

static void on_done(void *ctx, enum cx_err err, unsigned status);

static void on_body(void *ctx, const char *data, size_t size)
{
    struct errand_call *call = ctx;
    if (call->body.size + size <= BODY_MAX)
        buf_add(&call->body, data, size);
    if (call->errand != ERRAND_LEAVE || prng_below(&call->client->prng, 2) == 0)
        return;
    call->client->stats.leavers++;
    http_call_cancel(call->http);
    call->http = NULL;
}

static void send(struct adversary_client *c, struct errand_call what, const char *method, const char *path,
                 const char *key, const char *body)
{
    struct errand_call *call = c->call;
    while (call < c->call + CALLS_MAX && call->http)
        call++;
    if (call == c->call + CALLS_MAX)
        return;
    struct buf url = {0}, bearer = {0};
    buf_printf(&url, "%s%s", c->options.router, path);
    buf_printf(&bearer, "Authorization: Bearer %s", key);
    const char *const fields[] = {bearer.data, "Content-Type: application/json"};
    buf_reset(&call->body);
    call->client = c;
    call->errand = what.errand;
    call->reference = what.reference;
    memcpy(call->task, what.task, sizeof call->task);
    const struct http_call_options options = {.method = method,
                                              .url = url.data,
                                              .fields = fields,
                                              .field_count = ARRAY_COUNT(fields),
                                              .body = body,
                                              .body_size = body ? strlen(body) : 0,
                                              .stall_ms = STALL_MS,
                                              .on_body = on_body,
                                              .on_done = on_done,
                                              .ctx = call};
    if (http_client_send(c->http, &options, &call->http))
        call->http = NULL;
    buf_done(&url);
    buf_done(&bearer);
}

/* ---- errands ---- */

static void ask(struct adversary_client *c, struct errand_call what, const char *key, bool stream)
{
    struct buf body = {0};
    buf_printf(&body, "{\"model\":\"%s\",\"prompt\":\"%llu\",\"max_tokens\":8,\"temperature\":0", c->options.model,
               (unsigned long long)prng_next(&c->prng));
    if (what.reference)
        buf_printf(&body, ",\"corten\":{\"client_reference\":\"twice-%llu-%llu\"}", (unsigned long long)c->options.seed,
                   (unsigned long long)what.reference);
    buf_printf(&body, "%s}", stream ? ",\"stream\":true" : "");
    send(c, what, "POST", "/v1/completions", key, body.data);
    buf_done(&body);
}

static void snoop(struct adversary_client *c)
{
    const struct adversary_spy *spy = &c->options.spy;
    const struct core *core = spy->core ? spy->core(spy->ctx) : NULL;
    struct task_view task;
    struct buf path = {0};
    uint32_t at = 0;
    if (!core || !view_task_at(core, &at, &task))
        return;
    buf_printf(&path, "/api/v1/tasks/%llu/%llu", (unsigned long long)task.session, (unsigned long long)task.id);
    send(c, (struct errand_call){.errand = ERRAND_SNOOP}, "GET", path.data, c->poor, NULL);
    buf_done(&path);
}

static void go_on(void *ctx)
{
    struct adversary_client *c = ctx;
    net_timer_start(c->options.loop, &c->next, c->options.every_ms, go_on, c);
    if (c->poor[0] == '\0') {
        send(c, (struct errand_call){.errand = ERRAND_KEY}, "POST", "/api/v1/keys", c->options.api_key,
             "{\"scopes\":[\"infer\"]}");
        return;
    }
    switch (prng_below(&c->prng, 4)) {
    case 0:
        ask(c, (struct errand_call){.errand = ERRAND_FIRST, .reference = ++c->references}, c->options.api_key, false);
        break;
    case 1:
        for (uint32_t i = 0; i < AT_ONCE; i++)
            ask(c, (struct errand_call){.errand = ERRAND_SPEND}, c->poor, false);
        break;
    case 2: ask(c, (struct errand_call){.errand = ERRAND_LEAVE}, c->options.api_key, true); break;
    default: snoop(c);
    }
}

/* ---- what came of them ---- */

static void text_at(const struct errand_call *call, const char *a, const char *b, char *ret, size_t cap)
{
    json_t *json = NULL;
    ret[0] = '\0';
    if (call->body.size == 0 || json_parse(call->body.data, call->body.size, BODY_MAX, &json))
        return;
    const json_t *at = json_object_get(json, a);
    const char *text = json_string_value(b ? json_object_get(at, b) : at);
    snprintf(ret, cap, "%s", text ? text : "");
    json_decref(json);
}

static void breach(struct adversary_client *c, const char *what)
{
    c->stats.breaches++;
    snprintf(c->stats.breach, sizeof c->stats.breach, "%s", what);
}

static void on_first(struct adversary_client *c, const struct errand_call *call)
{
    struct errand_call again = {.errand = ERRAND_SECOND, .reference = call->reference};
    text_at(call, "corten", "task_id", again.task, sizeof again.task);
    c->stats.references++;
    ask(c, again, c->options.api_key, false);
}

static void on_second(struct adversary_client *c, const struct errand_call *call)
{
    char task[24];
    text_at(call, "corten", "task_id", task, sizeof task);
    if (strcmp(task, call->task) == 0)
        c->stats.held++;
    else
        breach(c, "a reference that was used again names another task");
}

static void on_done(void *ctx, enum cx_err err, unsigned status)
{
    struct errand_call *call = ctx;
    struct adversary_client *c = call->client;
    struct errand_call was = *call;
    call->http = NULL;
    if (err)
        return;
    switch (was.errand) {
    case ERRAND_KEY:
        if (status == 201)
            text_at(call, "key", NULL, c->poor, sizeof c->poor);
        break;
    case ERRAND_FIRST:
        if (status == 200)
            on_first(c, &was);
        break;
    case ERRAND_SECOND:
        if (status == 200)
            on_second(c, &was);
        break;
    case ERRAND_SPEND:
        c->stats.spends++;
        c->stats.short_of += status == 402;
        if (status == 200)
            breach(c, "an account without money has got an answer");
        break;
    case ERRAND_LEAVE: break;
    case ERRAND_SNOOP:
        c->stats.snoops++;
        c->stats.unseen += status >= 400;
        if (status == 200)
            breach(c, "another's task was shown");
        break;
    }
}

enum cx_err adversary_client_open(const struct adversary_client_options *options, struct adversary_client **ret_client)
{
    cx_auto(adversary_client) c = calloc(1, sizeof *c);
    cx_assert(c);
    c->options = *options;
    c->prng.state = options->seed;
    enum cx_err err = http_client_open(options->loop, &c->http);
    if (err)
        return err;
    net_timer_start(options->loop, &c->next, options->every_ms, go_on, c);
    *ret_client = cx_take(&c);
    return CX_OK;
}

void adversary_client_close(struct adversary_client *c)
{
    if (!c)
        return;
    net_timer_stop(&c->next);
    http_client_close(c->http);
    for (uint32_t i = 0; i < CALLS_MAX; i++)
        buf_done(&c->call[i].body);
    free(c);
}

const struct adversary_client_stats *adversary_client_stats(const struct adversary_client *c) { return &c->stats; }
