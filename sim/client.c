/* client.c - one client after another prompt: what it asks, when it asks again, when it goes away. */
#include "sim/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/account.h"
#include "crypto/keccak.h"
#include "net/http_client.h"
#include "proto/json.h"
#include "router/tasks.h"
#include "sim/computer.h"
#include "sim/observe.h"
#include "sim/reply.h"
#include "sim/roles.h"

#define RETRY_MS     300
#define TOTAL_MS     45000  // of one call
#define SLOW_MS_MAX  400    // that a slow reader waits between two looks
#define LEAVE_MS_MAX 1500   // after which one goes away or cancels that will
#define TWIN_MS_MAX  60     // after which the same request is sent again
#define MILLION      1000000

enum dialect_asked { ASK_TEXT, ASK_CHAT, ASK_NATIVE, ASK_COUNT };

/* What is special about a prompt: drawn when it is first asked. */
struct plan {
    enum dialect_asked dialect;
    bool named, stream, usage, slow, leaves, cancels, twice, in_session;
    uint32_t priority, timeout_s, words, tokens;
};

struct client;
/* One request under way. Twins ask the same at once. */
struct call {
    struct client *client;
    struct http_call *http;  // NULL: none
    struct reply reply;
    struct net_timer wait;  // of a slow reader
    bool twin, paused;
};

enum client_state { CLIENT_OPENS, CLIENT_ASKS, CLIENT_CLOSES, CLIENT_DONE };

struct client {
    struct clients *clients;
    uint32_t number, router, left, prompts, tries;
    enum client_state state;
    struct computer *computer;
    struct http_client *http;
    struct address payer;
    char reference[32];
    struct plan plan;
    struct call call[2];
    struct http_call *errand;  // opening or closing its session, cancelling
    struct net_timer next, leave, twin;
    uint64_t session;             // of its own; 0: none
    uint32_t session_left;        // prompts until it is closed
    uint64_t task, task_session;  // as the stream's head names them
    bool settled;                 // this prompt has its outcome
    bool resumes;                 // its stream broke, and is asked for from where it was
    struct buf had;               // the text of a stream that broke
    char last[120];
};

struct clients {
    struct sim *sim;
    struct client client[SWARM_CLIENTS_MAX];
    uint32_t answered, refused;
};

static void go_on(void *ctx);
static void ask_twin(void *ctx);

/* ---- drawing ---- */

static uint64_t below(struct client *c, uint64_t n) { return sim_below(c->clients->sim, SIM_WORK, n); }
static bool chance(struct client *c, uint32_t ppm) { return sim_chance(c->clients->sim, SIM_WORK, ppm); }

static void make_plan(struct client *c)
{
    const struct swarm *swarm = &c->clients->sim->swarm;
    struct plan *p = &c->plan;
    *p = (struct plan){.dialect = (enum dialect_asked)below(c, ASK_COUNT)};
    p->stream = chance(c, swarm->stream_ppm);
    p->usage = p->stream && below(c, 2) == 0;
    p->named = below(c, 5) > 0;
    p->slow = p->stream && chance(c, swarm->slow_reader_ppm);
    p->leaves = chance(c, swarm->disconnect_ppm);
    p->cancels = !p->leaves && chance(c, swarm->cancel_ppm);
    p->twice = p->named && !p->leaves && !p->cancels && chance(c, swarm->retry_ppm);
    p->priority = below(c, 3) == 0 ? (uint32_t)below(c, 10) : UINT32_MAX;
    p->timeout_s = below(c, 12) == 0 ? 1 + (uint32_t)below(c, 20) : 0;
    p->words = 1 + (uint32_t)below(c, swarm->prompt_words ? swarm->prompt_words : 1);
    p->tokens = 1 + (uint32_t)below(c, 24);
    p->in_session = c->session != 0;
    snprintf(c->reference, sizeof c->reference, "c%u-%u", c->number, c->prompts++);
}

/* ---- requests ---- */

static void put_corten(struct client *c, struct json_out *out)
{
    const struct plan *p = &c->plan;
    bool native = p->dialect == ASK_NATIVE;
    if (!native)
        json_out_object(out, "corten");
    if (p->named)
        json_out_text(out, "client_reference", c->reference);
    if (p->in_session && c->session)
        json_out_u64(out, "session_id", c->session);
    if (p->priority != UINT32_MAX)
        json_out_u64(out, "priority", p->priority);
    if (p->timeout_s)
        json_out_u64(out, "timeout", p->timeout_s);
    if (!native)
        json_out_end(out);
}

static void put_prompt(struct client *c, struct json_out *out)
{
    struct buf text = {0};
    for (uint32_t i = 0; i < c->plan.words; i++)
        buf_printf(&text, "%s%s-w%u", i ? " " : "", c->reference, i);
    if (c->plan.dialect != ASK_CHAT) {
        json_out_bytes(out, "prompt", text.data, text.size);
    } else {
        json_out_array(out, "messages");
        json_out_object(out, NULL);
        json_out_text(out, "role", "user");
        json_out_bytes(out, "content", text.data, text.size);
        json_out_end(out);
        json_out_end(out);
    }
    buf_done(&text);
}

/* The same plan makes the same bytes: that is what asking again means. */
static void write_request(struct client *c, bool stream, struct buf *body)
{
    struct json_out out;
    json_out_init(&out, body);
    json_out_object(&out, NULL);
    json_out_text(&out, "model", SIM_MODEL);
    put_prompt(c, &out);
    json_out_u64(&out, "max_tokens", c->plan.tokens);
    if (stream)
        json_out_bool(&out, "stream", true);
    if (stream && c->plan.usage && c->plan.dialect != ASK_NATIVE) {
        json_out_object(&out, "stream_options");
        json_out_bool(&out, "include_usage", true);
        json_out_end(&out);
    }
    put_corten(c, &out);
    json_out_end(&out);
}

static enum cx_err send_to(struct client *c, const char *method, const char *path, const struct buf *body,
                           const char *field, struct http_call_options *options, struct http_call **ret)
{
    char auth[64], url[160];
    snprintf(auth, sizeof auth, "Authorization: Bearer %s", roles_api_key(c->number));
    snprintf(url, sizeof url, "http://router-%u:%u%s", c->router, SIM_PORT, path);
    const char *fields[] = {auth, "Content-Type: application/json", field};
    options->method = method;
    options->url = url;
    options->fields = fields;
    options->field_count = field ? 3 : 2;
    options->body = body ? body->data : NULL;
    options->body_size = body ? body->size : 0;
    options->total_ms = TOTAL_MS;
    return http_client_send(c->http, options, ret);
}

/* ---- an errand: what is done besides asking ---- */

static void errand_done(void *ctx, enum cx_err err, unsigned status)
{
    struct client *c = ctx;
    size_t size = 0;
    const char *body = http_call_body(c->errand, &size);
    json_t *json = NULL;
    if (!err && status < 300 && c->state == CLIENT_OPENS &&
        json_parse(body, size, HTTP_REPLY_SIZE_MAX, &json) == CX_OK) {
        const char *id = json_string_value(json_object_get(json, "session_id"));
        c->session = id ? strtoull(id, NULL, 10) : 0;
        c->session_left = 1 + (uint32_t)below(c, 6);
        json_decref(json);
    }
    bool final = !err && (status < 500 && status != 429);
    c->errand = NULL;
    snprintf(c->last, sizeof c->last, "errand: %s %u", cx_err_name(err), status);
    if (c->state == CLIENT_OPENS && final)
        c->state = CLIENT_ASKS;
    if (c->state == CLIENT_CLOSES && final) {
        c->session = 0;
        c->state = c->left > 0 ? CLIENT_ASKS : CLIENT_DONE;
    }
    if (c->state != CLIENT_DONE)
        net_timer_start(c->computer->loop, &c->next, final ? 1 : RETRY_MS, go_on, c);
}

static void run_errand(struct client *c, const char *method, const char *path, const struct buf *body)
{
    struct http_call_options options = {.on_done = errand_done, .ctx = c};
    enum cx_err err = send_to(c, method, path, body, NULL, &options, &c->errand);
    cx_assert(!err);
}

static void open_session(struct client *c)
{
    struct buf body = {0};
    uint32_t redundancy = 1 + (uint32_t)below(c, c->clients->sim->swarm.miners < 3 ? c->clients->sim->swarm.miners : 3);
    bool majority = redundancy == 3 && below(c, 2) == 0;
    /* One after another: in which order arguments are evaluated is the compiler's affair. */
    uint32_t quorum = majority ? 2 : 1 + (uint32_t)below(c, redundancy);
    bool channel = below(c, 2), at_once = below(c, 2);
    uint32_t attempts = 1 + (uint32_t)below(c, 3), total_ms = 5000 + (uint32_t)below(c, 40000);
    uint32_t tasks_per_node = (uint32_t)below(c, 8), audit_bp = (uint32_t)below(c, 10001);
    buf_printf(&body,
               "{\"model\":\"" SIM_MODEL "\",\"reference\":\"s%u\",\"redundancy\":%u,\"quorum\":%u,\"nodes_min\":%u,"
               "\"nodes_max\":%u,\"validation\":\"%s\",\"evidence\":\"%s\",\"stream\":\"%s\",\"attempts_max\":%u,"
               "\"total_ms\":%u,\"tasks_per_node_max\":%u,\"audit_bp\":%u}",
               c->number, redundancy, quorum, redundancy, redundancy + 1, majority ? "majority" : "hash",
               channel ? "channel" : "signed", at_once ? "at_once" : "after_validation", attempts, total_ms,
               tasks_per_node, audit_bp);
    run_errand(c, "POST", "/api/v1/sessions", &body);
    buf_done(&body);
}

static void close_session(struct client *c)
{
    char path[64];
    snprintf(path, sizeof path, "/api/v1/sessions/%llu", (unsigned long long)c->session);
    run_errand(c, "DELETE", path, NULL);
}

static void nothing(void *ctx, enum cx_err err, unsigned status)
{
    (void)err, (void)status;
    ((struct client *)ctx)->errand = NULL;
}

static void cancel_task(struct client *c)
{
    char path[96];
    struct http_call_options options = {.on_done = nothing, .ctx = c};
    if (c->errand)
        return;
    snprintf(path, sizeof path, "/api/v1/tasks/%llu/%llu", (unsigned long long)c->task_session,
             (unsigned long long)c->task);
    enum cx_err err = send_to(c, "DELETE", path, NULL, NULL, &options, &c->errand);
    cx_assert(!err);
}

/* ---- what came ---- */

static void tell(struct call *call)
{
    struct client *c = call->client;
    struct told *t = &call->reply.told;
    t->client = c->number;
    t->prompt = c->prompts;
    t->router = c->router;
    t->payer = c->payer;
    t->stream = call->reply.streams;
    if (c->plan.named)
        keccak256(c->reference, (uint32_t)strlen(c->reference), &t->reference);
    sim_trace(c->clients->sim, "client %u %s: end %u status %u %s task %llx %zu bytes", c->number, c->reference,
              (unsigned)t->end, t->status, t->code, (unsigned long long)t->task, t->text_size);
    snprintf(c->last, sizeof c->last, "%s: end %u status %u %s", c->reference, (unsigned)t->end, t->status, t->code);
    observe_told(c->clients->sim, t);
}

/* Whether another call may say more than this one. */
static bool wants_again(const struct client *c, const struct told *t)
{
    switch (t->end) {
    case TOLD_WHOLE:
    case TOLD_STREAM:
    case TOLD_BROKEN: return false;
    case TOLD_CUT:
    case TOLD_LEFT: return c->plan.named;
    case TOLD_STREAM_ERROR:
        return c->plan.named && (strcmp(t->code, "stream_interrupted") == 0 ||
                                 strcmp(t->code, "answer_replaced") == 0 || strcmp(t->code, "STOPPING") == 0);
    case TOLD_ERROR: break;
    }
    if (strcmp(t->code, "answer_replaced") == 0 || strcmp(t->code, "stream_interrupted") == 0)
        return c->plan.named;
    if (strcmp(t->code, "SESSION_UNKNOWN") == 0 || strcmp(t->code, "SESSION_NOT_OPEN") == 0)
        return false;
    bool passing = t->status == 429 || t->status == 500 || t->status == 503 || t->status == 421;
    return t->task == 0 && passing;
}

static void next_prompt(struct client *c)
{
    c->left--;
    c->tries = 0;
    c->settled = true;
    c->resumes = false;
    c->task = 0;
    if (c->session && c->session_left > 0 && --c->session_left == 0)
        c->state = CLIENT_CLOSES;
    if (c->left == 0 && c->session)
        c->state = CLIENT_CLOSES;
    if (c->left == 0 && c->state == CLIENT_ASKS)
        c->state = CLIENT_DONE;
    if (c->state != CLIENT_DONE)
        net_timer_start(c->computer->loop, &c->next, c->clients->sim->swarm.think_ms, go_on, c);
}

static bool is_busy(const struct client *c) { return c->call[0].http || c->call[1].http; }

/* One stream alone, whose task is known; in half of the cases. */
static bool may_resume(struct client *c, const struct call *call)
{
    bool cut = call->reply.told.end == TOLD_CUT || call->reply.told.end == TOLD_LEFT;
    return cut && call->reply.streams && !c->plan.twice && c->task != 0 && below(c, 2) == 0;
}

/* A call has ended. The prompt is settled when no twin is under way and nothing more can be learned. */
static void finish(struct call *call)
{
    struct client *c = call->client;
    tell(call);
    const struct told *t = &call->reply.told;
    bool answered = t->end == TOLD_WHOLE || t->end == TOLD_STREAM, again = wants_again(c, t);
    if (again && may_resume(c, call)) {
        c->resumes = true;
        buf_reset(&c->had);
        buf_add(&c->had, t->text, t->text_size);
    }
    reply_done(&call->reply);
    if (!again && !c->settled) {
        c->clients->answered += answered;
        c->clients->refused += !answered;
        c->settled = true;
    }
    if (is_busy(c))
        return;
    net_timer_stop(&c->leave);
    net_timer_stop(&c->twin);
    if (c->settled)
        next_prompt(c);
    else
        net_timer_start(c->computer->loop, &c->next, RETRY_MS, go_on, c);
}

static void on_head(void *ctx, unsigned status, const char *content_type)
{
    struct call *call = ctx;
    struct client *c = call->client;
    reply_head(&call->reply, status, content_type);
    const char *session = http_call_header(call->http, "corten-session"),
               *task = http_call_header(call->http, "corten-task");
    if (session && task) {
        c->task_session = strtoull(session, NULL, 10);
        c->task = strtoull(task, NULL, 10);
    }
}

static void look_again(void *ctx)
{
    struct call *call = ctx;
    call->paused = false;
    http_call_resume(call->http);
}

static void on_body(void *ctx, const char *data, size_t size)
{
    struct call *call = ctx;
    struct client *c = call->client;
    reply_body(&call->reply, data, size);
    if (!c->plan.slow || call->paused || below(c, 3) > 0)
        return;
    call->paused = true;
    sim_count_fault(c->clients->sim, FAULT_SLOW);
    http_call_pause(call->http);
    net_timer_start(c->computer->loop, &call->wait, 1 + below(c, SLOW_MS_MAX), look_again, call);
}

static void on_done(void *ctx, enum cx_err err, unsigned status)
{
    struct call *call = ctx;
    (void)status;
    net_timer_stop(&call->wait);
    call->http = NULL;
    call->paused = false;
    reply_end(&call->reply, err == CX_OK);
    finish(call);
}

/* ---- going away ---- */

static void leave(void *ctx)
{
    struct client *c = ctx;
    struct call *call = &c->call[0];
    if (!call->http)
        return;
    if (c->plan.cancels && c->task) {
        cancel_task(c);
        return;
    }
    http_call_cancel(call->http);
    net_timer_stop(&call->wait);
    call->http = NULL;
    call->paused = false;
    reply_end(&call->reply, false);
    call->reply.told.end = TOLD_LEFT;
    finish(call);
}

/* ---- asking ---- */

static void ask(struct client *c, struct call *call, bool stream)
{
    struct buf body = {0};
    static const char *const path[ASK_COUNT] = {
        [ASK_TEXT] = "/v1/completions", [ASK_CHAT] = "/v1/chat/completions", [ASK_NATIVE] = "/api/v1/completions"};
    write_request(c, stream, &body);
    reply_init(&call->reply);
    struct http_call_options options = {.on_head = on_head, .on_body = on_body, .on_done = on_done, .ctx = call};
    enum cx_err err = send_to(c, "POST", path[c->plan.dialect], &body, NULL, &options, &call->http);
    cx_assert(!err);
    buf_done(&body);
}

/* A stream that broke goes on where it was, with what came of it before. */
static void resume(struct client *c, struct call *call)
{
    char path[96], id[40];
    snprintf(path, sizeof path, "/api/v1/tasks/%llu/%llu?stream=1", (unsigned long long)c->task_session,
             (unsigned long long)c->task);
    snprintf(id, sizeof id, "Last-Event-ID: %zu-%08x", c->had.size,
             text_sum(TEXT_SUM_START, c->had.data ? c->had.data : "", c->had.size));
    reply_init(&call->reply);
    if (c->had.size > 0)
        buf_add(&call->reply.text, c->had.data, c->had.size);
    struct http_call_options options = {.on_head = on_head, .on_body = on_body, .on_done = on_done, .ctx = call};
    enum cx_err err = send_to(c, "GET", path, NULL, id, &options, &call->http);
    cx_assert(!err);
}

static void ask_twin(void *ctx)
{
    struct client *c = ctx;
    if (c->call[1].http || !c->call[0].http)
        return;
    sim_count_fault(c->clients->sim, FAULT_DUPLICATE);
    ask(c, &c->call[1], below(c, 2) == 0);
}

static void ask_prompt(struct client *c)
{
    if (c->settled) {
        c->settled = false;
        make_plan(c);
    }
    bool first = c->tries++ == 0;
    if (c->resumes) {
        c->resumes = false;
        resume(c, &c->call[0]);
        return;
    }
    ask(c, &c->call[0], c->plan.stream && (first || below(c, 2) == 0));
    if (first && (c->plan.leaves || c->plan.cancels))
        net_timer_start(c->computer->loop, &c->leave, below(c, LEAVE_MS_MAX), leave, c);
    if (first && c->plan.twice)
        net_timer_start(c->computer->loop, &c->twin, below(c, TWIN_MS_MAX), ask_twin, c);
}

static void go_on(void *ctx)
{
    struct client *c = ctx;
    if (c->errand) {
        net_timer_start(c->computer->loop, &c->next, RETRY_MS, go_on, c);
        return;
    }
    switch (c->state) {
    case CLIENT_OPENS: open_session(c); return;
    case CLIENT_ASKS: ask_prompt(c); return;
    case CLIENT_CLOSES: close_session(c); return;
    case CLIENT_DONE: return;
    }
}

/* ---- life ---- */

static void start_client(void *ctx)
{
    struct client *c = ctx;
    enum cx_err err = http_client_open(c->computer->loop, &c->http);
    cx_assert(!err);
    if (c->state != CLIENT_DONE)
        go_on(c);
}

static void halt_client(void *ctx)
{
    struct client *c = ctx;
    net_timer_stop(&c->next);
    net_timer_stop(&c->leave);
    net_timer_stop(&c->twin);
    for (uint32_t i = 0; i < ARRAY_COUNT(c->call); i++) {
        net_timer_stop(&c->call[i].wait);
        if (c->call[i].http)
            reply_done(&c->call[i].reply);
        c->call[i].http = NULL;
    }
    c->errand = NULL;
    http_client_close(c->http);
    c->http = NULL;
}

static void open_client(struct clients *clients, uint32_t i)
{
    struct sim *sim = clients->sim;
    struct client *c = &clients->client[i];
    char name[COMPUTER_NAME_SIZE];
    struct hash key_hash;
    *c = (struct client){.clients = clients, .number = i, .router = i % sim->swarm.routers, .settled = true};
    c->left = sim->swarm.tasks / sim->swarm.clients + (i < sim->swarm.tasks % sim->swarm.clients);
    c->state = c->left == 0 ? CLIENT_DONE : below(c, 4) == 0 ? CLIENT_OPENS : CLIENT_ASKS;
    for (uint32_t k = 0; k < ARRAY_COUNT(c->call); k++)
        c->call[k] = (struct call){.client = c, .twin = k > 0};
    keccak256(roles_api_key(i), (uint32_t)strlen(roles_api_key(i)), &key_hash);
    account_custodial(key_address(role_key(ROLE_ROUTER, c->router)), &key_hash, &c->payer);
    snprintf(name, sizeof name, "client-%u", i);
    c->computer = computer_open(sim, name, &(struct program){start_client, halt_client, c});
    computer_start(c->computer);
}

struct clients *clients_open(struct sim *sim)
{
    struct clients *clients = calloc(1, sizeof *clients);
    cx_assert(clients);
    clients->sim = sim;
    for (uint32_t i = 0; i < sim->swarm.clients; i++)
        open_client(clients, i);
    return clients;
}

void clients_close(struct clients *clients)
{
    for (uint32_t i = 0; i < clients->sim->swarm.clients; i++) {
        computer_halt(clients->client[i].computer);
        buf_done(&clients->client[i].had);
    }
    free(clients);
}

void clients_stop_asking(struct clients *clients)
{
    for (uint32_t i = 0; i < clients->sim->swarm.clients; i++)
        clients->client[i].left = u32_min(clients->client[i].left, 1);
}

bool clients_are_done(const struct clients *clients)
{
    for (uint32_t i = 0; i < clients->sim->swarm.clients; i++)
        if (clients->client[i].state != CLIENT_DONE)
            return false;
    return true;
}

uint32_t clients_answered(const struct clients *clients) { return clients->answered; }
uint32_t clients_refused(const struct clients *clients) { return clients->refused; }

void clients_explain(const struct clients *clients, struct buf *out)
{
    for (uint32_t i = 0; i < clients->sim->swarm.clients; i++) {
        const struct client *c = &clients->client[i];
        if (c->state != CLIENT_DONE)
            buf_printf(out, " client %u: %u left, after %s", i, c->left, c->last);
    }
}
