#include "queue_corten.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/log.h"
#include "crypto/key.h"
#include "miner/miner.h"
#include "net/http_client.h"
#include "net/ws_conn.h"
#include "proto/client_frame.h"
#include "queue_worker.h"
#include "server.h"

#define MODEL      "words"
#define ENGINE     "echo=tokens=1"
#define API_KEY    "default-dev-token"
#define START_MS   60000
#define WARM_SHARE 0.2  // of the time, before anything is counted

struct client {
    struct bench *bench;
    struct net_ws *ws;
    struct miner *miner;  // until it serves
    struct queue_worker *worker;
    struct key *key;
    bool open, serves;
    uint64_t ref;
    uint64_t began_ns[QUEUE_DEPTH_MAX];  // of the task whose ref is that modulo depth
};

struct bench {
    const struct queue_wish *wish;
    struct server server;
    struct net_loop *loop;
    struct http_client *http;
    struct http_call *call;
    struct client client[QUEUE_CLIENTS_MAX];
    char url[64], body[QUEUE_BODY_SIZE];
    uint64_t session;
    struct buf frame;  // the next to be sent
    bool answered, counting, over;
    unsigned status;
    uint64_t done;
    struct spread spread;
    struct net_timer timer;
};

static void too_late(void *ctx)
{
    (void)ctx;
    bench_failed(__FILE__, __LINE__, "the network did not start in time");
}

#define UNTIL(bench, what)                                                            \
    do {                                                                              \
        net_timer_start((bench)->loop, &(bench)->timer, START_MS, too_late, (bench)); \
        while (!(what))                                                               \
            net_loop_turn((bench)->loop, true);                                       \
        net_timer_stop(&(bench)->timer);                                              \
    } while (0)

/* ---- the network ---- */

static void on_state(void *ctx, enum node_state state)
{
    ((struct client *)ctx)->serves = state == NODE_EPHEMERAL || state == NODE_RESERVED;
}

static void on_ready(void *ctx) { (void)ctx; }

static void on_stopped(void *ctx, enum cx_err err)
{
    (void)ctx;
    (void)err;
    bench_failed(__FILE__, __LINE__, cx_detail());
}

static void start_miner(struct bench *b, uint32_t n)
{
    struct client *client = &b->client[n];
    const char *const routers[] = {b->url};
    const uint8_t secret[KEY_SECRET_SIZE] = {[0] = 0x51, [31] = (uint8_t)(n + 1)};
    client->bench = b;
    BENCH_MUST(key_from_bytes(secret, &client->key) == CX_OK);
    const struct miner_options options = {.loop = b->loop,
                                          .router = routers,
                                          .routers = 1,
                                          .key = client->key,
                                          .engine = ENGINE,
                                          .model = MODEL,
                                          .slots = QUEUE_DEPTH_MAX,
                                          .price_in = 1000,
                                          .price_out = 1000,
                                          .on_ready = on_ready,
                                          .on_state = on_state,
                                          .on_stopped = on_stopped,
                                          .ctx = client};
    BENCH_MUST(miner_open(&options, &client->miner) == CX_OK);
}

static bool all_serve(const struct bench *b)
{
    for (uint32_t i = 0; i < b->wish->clients; i++)
        if (!b->client[i].serves)
            return false;
    return true;
}

static bool all_work(const struct bench *b)
{
    for (uint32_t i = 0; i < b->wish->clients; i++)
        if (!queue_worker_is_up(b->client[i].worker))
            return false;
    return true;
}

/* The nodes have joined and passed their round as whole miners; what works from now on has no engine. */
static void start_workers(struct bench *b)
{
    for (uint32_t i = 0; i < b->wish->clients; i++) {
        miner_close(b->client[i].miner);
        b->client[i].miner = NULL;
        b->client[i].worker = queue_worker_open(b->loop, b->url, b->client[i].key);
    }
    UNTIL(b, all_work(b));
}

static void on_answer(void *ctx, enum cx_err err, unsigned status)
{
    struct bench *b = ctx;
    size_t size;
    const char *body = http_call_body(b->call, &size);
    json_error_t why;
    json_t *root = err ? NULL : json_loadb(body, size, 0, &why);
    const char *id = json_string_value(json_object_get(root, "session_id"));
    b->status = err ? 0 : status;
    if (b->status != 201)
        fprintf(stderr, "%.*s\n", (int)size, body ? body : "");
    b->session = id ? strtoull(id, NULL, 10) : 0;
    json_decref(root);
    b->answered = true;
}

/* A session of its own that has all the nodes. */
static void open_session(struct bench *b)
{
    static const char *const fields[] = {"Authorization: Bearer " API_KEY};
    char url[128], body[512];
    snprintf(url, sizeof url, "%s/api/v1/sessions", b->url);
    snprintf(body, sizeof body,
             "{\"model\":\"" MODEL "\",\"nodes_min\":%u,\"nodes_max\":%u,\"tasks_per_node_max\":%d,\"audit_bp\":0,"
             "\"evidence\":\"%s\"}",
             b->wish->clients, b->wish->clients, QUEUE_DEPTH_MAX, b->wish->is_signed ? "SIGNED" : "CHANNEL");
    const struct http_call_options options = {.url = url,
                                              .fields = fields,
                                              .field_count = 1,
                                              .body = body,
                                              .body_size = strlen(body),
                                              .on_done = on_answer,
                                              .ctx = b};
    BENCH_MUST(http_client_open(b->loop, &b->http) == CX_OK);
    BENCH_MUST(http_client_send(b->http, &options, &b->call) == CX_OK);
    UNTIL(b, b->answered);
    BENCH_MUST(b->status == 201);
}

/* ---- clients ---- */

/* In binary, as somebody sends who has many prompts a second: docs/protocol.md, "Client WebSocket". */
static void submit(struct client *client)
{
    struct bench *b = client->bench;
    uint8_t head[9] = {CLIENT_SUBMIT};
    char number[17];
    const struct request request = {.kind = REQUEST_COMPLETION,
                                    .prompt = {(const uint8_t *)b->body, QUEUE_BODY_SIZE},
                                    .max_tokens = 1,
                                    .has_temperature = true,
                                    .top_p = REQUEST_UNIT,
                                    .corten = {.session = b->session, .priority = -1}};
    uint64_t ref = ++client->ref;
    be64_put(head + 1, ref);
    /* Each task has a body of its own, which is stored under its hash: equal ones would be one. */
    snprintf(number, sizeof number, "%06x%010llx", (unsigned)(client - b->client), (unsigned long long)ref);
    memcpy(b->body, number, sizeof number - 1);
    buf_reset(&b->frame);
    buf_add(&b->frame, head, sizeof head);
    request_write_bin(&request, &b->frame);
    client->began_ns[ref % b->wish->depth] = wall_ns();
    net_ws_send_binary(client->ws, b->frame.data, b->frame.size);
}

static void on_message(void *ctx, bool text, const char *data, size_t size)
{
    struct client *client = ctx;
    struct bench *b = client->bench;
    const uint8_t *bytes = (const uint8_t *)data;
    BENCH_MUST(!text && size >= 9);
    if (bytes[0] == CLIENT_SAYS_ERROR) {
        fprintf(stderr, "%.*s\n", (int)size - 9, data + 9);
        bench_failed(__FILE__, __LINE__, "a task was refused");
    }
    if (bytes[0] != CLIENT_SAYS_ANSWER)
        return;
    uint64_t ref = be64(bytes + 1);
    if (b->counting) {
        b->done++;
        spread_add(&b->spread, wall_ns() - client->began_ns[ref % b->wish->depth]);
    }
    if (!b->over) {
        /* The next one takes the place of the one that ended. */
        submit(client);
    }
}

static void on_open(void *ctx, const char *protocol)
{
    BENCH_MUST(strcmp(protocol, CLIENT_PROTOCOL_BIN) == 0);
    ((struct client *)ctx)->open = true;
}

static void on_close(void *ctx, unsigned code, const char *reason)
{
    (void)ctx;
    (void)code;
    bench_failed(__FILE__, __LINE__, reason);
}

static bool all_open(const struct bench *b)
{
    for (uint32_t i = 0; i < b->wish->clients; i++)
        if (!b->client[i].open)
            return false;
    return true;
}

static void connect_clients(struct bench *b)
{
    static const struct net_ws_events events = {on_open, on_message, on_close, NULL};
    char url[128];
    snprintf(url, sizeof url, "ws%s" CLIENT_PATH, b->url + 4);
    for (uint32_t i = 0; i < b->wish->clients; i++) {
        const struct net_ws_options options = {.events = &events,
                                               .ctx = &b->client[i],
                                               .message_size_max = CLIENT_FRAME_SIZE_MAX,
                                               .protocols = CLIENT_PROTOCOL_BIN,
                                               .fields = "Authorization: Bearer " API_KEY "\r\n"};
        BENCH_MUST(net_ws_connect(b->loop, url, &options, &b->client[i].ws) == CX_OK);
    }
    UNTIL(b, all_open(b));
}

/* ---- the run ---- */

static void ring(void *ctx) { *(bool *)ctx = true; }

static void run_for(struct bench *b, double seconds)
{
    bool over = false;
    struct net_timer timer = {0};
    net_timer_start(b->loop, &timer, (uint64_t)(1000 * seconds), ring, &over);
    while (!over)
        net_loop_turn(b->loop, true);
}

static void measure(struct bench *b, struct queue_result *ret_result)
{
    for (uint32_t i = 0; i < b->wish->clients; i++)
        for (uint32_t d = 0; d < b->wish->depth; d++)
            submit(&b->client[i]);
    run_for(b, WARM_SHARE * b->wish->seconds);
    double server = server_cpu(&b->server);
    uint64_t began = wall_ns(), cpu = process_ns();
    b->counting = true;
    run_for(b, b->wish->seconds);
    b->counting = false;
    b->over = true;
    double seconds = (double)(wall_ns() - began) / 1e9;
    ret_result->per_s = (double)b->done / seconds;
    ret_result->p50_ms = (double)spread_at(&b->spread, 0.5) / 1e6;
    ret_result->p99_ms = (double)spread_at(&b->spread, 0.99) / 1e6;
    ret_result->server_cpu = (server_cpu(&b->server) - server) / seconds;
    ret_result->client_cpu = (double)(process_ns() - cpu) / 1e9 / seconds;
    ret_result->ran = true;
}

static void start_router(struct bench *b)
{
    char listen[32], log[512], data[512];
    uint16_t port = server_free_port();
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    snprintf(b->url, sizeof b->url, "http://%s", listen);
    snprintf(log, sizeof log, "%s/corten.log", b->wish->folder);
    snprintf(data, sizeof data, "%s/corten", b->wish->folder);
    const char *program = getenv("CORTEN");
    const char *const argv[] = {program ? program : "build/corten",
                                "dev",
                                "--quiet",
                                "--miners",
                                "0",
                                "--engine",
                                ENGINE,
                                "--model",
                                MODEL,
                                "--listen",
                                listen,
                                "--data",
                                data,
                                NULL};
    BENCH_MUST(server_start(&b->server, argv, log, port));
}

void queue_corten(const struct queue_wish *wish, struct queue_result *ret_result)
{
    struct bench *b = bench_take(1, sizeof *b);
    b->wish = wish;
    BENCH_MUST(wish->clients <= QUEUE_CLIENTS_MAX && wish->depth <= QUEUE_DEPTH_MAX);
    memset(b->body, 'x', QUEUE_BODY_SIZE);
    log_set_level(LOG_ERROR);
    start_router(b);
    BENCH_MUST(net_loop_open(&b->loop) == CX_OK);
    for (uint32_t i = 0; i < wish->clients; i++)
        start_miner(b, i);
    UNTIL(b, all_serve(b));
    start_workers(b);
    open_session(b);
    connect_clients(b);
    measure(b, ret_result);
    for (uint32_t i = 0; i < wish->clients; i++) {
        net_ws_close(b->client[i].ws);
        queue_worker_close(b->client[i].worker);
        key_close(b->client[i].key);
    }
    http_client_close(b->http);
    server_stop(&b->server);
    net_loop_close(b->loop);
    buf_done(&b->frame);
    free(b);
}
