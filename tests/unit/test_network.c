/* A whole network in one loop, over real sockets: router, miners with the echo engine, oracles. */
#include "cli/founder.h"
#include "cli/genesis.h"
#include "core/account.h"
#include "crypto/keccak.h"
#include "lib/test.h"
#include "miner/miner.h"
#include "net/http_client.h"
#include "net/ws_conn.h"
#include "oracle/chain.h"
#include "oracle/oracle.h"
#include "router/router.h"

#define NETWORK          9
#define MODEL            "echo"
#define API_KEY          "ck_test"
#define MINERS_MAX       4
#define ORACLES_MAX_HERE 2
#define PATIENCE_MS      30000

struct world {
    struct net_loop *loop;
    struct key *admin, *router_key, *oracle_key[ORACLES_MAX_HERE], *miner_key[MINERS_MAX];
    struct genesis genesis;
    struct router *router;
    struct oracle *oracle[ORACLES_MAX_HERE];
    struct miner *miner[MINERS_MAX];
    enum node_state state[MINERS_MAX];
    bool miner_ready[MINERS_MAX], stopped[MINERS_MAX];
    uint32_t oracles_ready;
    struct http_client *http;
    char folder[256], url[64];
    struct net_timer patience;
    bool founded;
};

static void impatient(void *ctx)
{
    (void)ctx;
    test_fail(__FILE__, __LINE__, "nothing came of it in %d ms", PATIENCE_MS);
}

/* Turns the loop until it is so. */
#define UNTIL(world, what)                                                                   \
    do {                                                                                     \
        net_timer_start((world)->loop, &(world)->patience, PATIENCE_MS, impatient, (world)); \
        while (!(what))                                                                      \
            net_loop_turn((world)->loop, true);                                              \
        net_timer_stop(&(world)->patience);                                                  \
    } while (0)

static struct key *key_of(uint8_t kind, uint8_t n)
{
    struct key *key;
    const uint8_t secret[KEY_SECRET_SIZE] = {[30] = kind, [31] = n};
    CHECK_EQ(key_from_bytes(secret, &key), CX_OK);
    return key;
}

static void router_stopped(void *ctx, enum cx_err err, const char *why)
{
    (void)ctx;
    test_fail(__FILE__, __LINE__, "the router stopped: %s: %s", cx_err_name(err), why);
}

static void router_ready(void *ctx) { (void)ctx; }

static void founded(void *ctx, enum cx_err err)
{
    if (err)
        test_fail(__FILE__, __LINE__, "founding: %s", cx_detail());
    ((struct world *)ctx)->founded = true;
}

static void open_router(struct world *w)
{
    char ledger[300], archive[300];
    static const char *const keys[] = {API_KEY};
    snprintf(ledger, sizeof ledger, "sqlite:%s/ledger.db", w->folder);
    snprintf(archive, sizeof archive, "%s/archive.db", w->folder);
    const struct router_options options = {.loop = w->loop,
                                           .listen = "127.0.0.1:0",
                                           .ledger_uri = ledger,
                                           .archive_path = archive,
                                           .key = w->router_key,
                                           .admin = w->admin,
                                           .genesis = &w->genesis.command,
                                           .admin_key = keys,
                                           .admin_key_count = 1,
                                           .redundancy = 1,
                                           .validation = VALIDATION_HASH,
                                           .audit_bp = 10000,
                                           .on_ready = router_ready,
                                           .on_stopped = router_stopped,
                                           .ctx = w};
    if (router_open(&options, &w->router))
        test_fail(__FILE__, __LINE__, "router: %s", cx_detail());
    snprintf(w->url, sizeof w->url, "http://127.0.0.1:%u", router_port(w->router));
}

static void found(struct world *w)
{
    cx_auto(runtime) runtime = NULL;
    struct founder founder;
    struct address account;
    struct hash key_hash, reference = {{7}};
    CHECK_EQ(runtime_open(w->loop, "echo", MODEL, &(struct runtime_options){0}, &runtime), CX_OK);
    const struct runtime_info *info = runtime_info(runtime);
    founder_init(&founder, router_replica(w->router), w->admin, founded, w);
    founder_model(&founder, &(struct founder_model){.name = MODEL,
                                                    .manifest_digest = info->manifest,
                                                    .context = info->context,
                                                    .template_tokens = info->template_tokens,
                                                    .price_in_max = 1000000,
                                                    .price_out_max = 1000000});
    keccak256(API_KEY, strlen(API_KEY), &key_hash);
    account_custodial(key_address(w->router_key), &key_hash, &account);
    founder_deposit(&founder, &account, amount_of(1000000000), &reference);
    founder_end(&founder);
    UNTIL(w, w->founded);
}

static struct world *world(uint32_t oracles)
{
    struct world *w = calloc(1, sizeof *w);
    static const char *const params[] = {"heartbeat_ms=200",     "oracle_window_ms=600",    "backoff_ms_min=100",
                                         "backoff_ms_max=400",   "round_step_ms=2000",      "round_ack_ms=3000",
                                         "round_commit_ms=3000", "round_precommit_ms=5000", "round_verdict_ms=4000"};
    CHECK_EQ(net_loop_open(&w->loop), CX_OK);
    snprintf(w->folder, sizeof w->folder, "%s", test_folder());
    w->admin = key_of(1, 1);
    w->router_key = key_of(2, 1);
    genesis_init(&w->genesis, NETWORK, 1, 1);
    genesis_admin(&w->genesis, key_address(w->admin));
    genesis_router(&w->genesis, key_address(w->router_key), key_address(w->router_key));
    for (uint32_t i = 0; i < oracles; i++) {
        w->oracle_key[i] = key_of(3, (uint8_t)(i + 1));
        struct genesis_oracle o = {*key_address(w->oracle_key[i]), *key_address(w->oracle_key[i]), {{0}}};
        oracle_chain_end(w->oracle_key[i], NETWORK, 0, &o.chain_end);
        genesis_oracle(&w->genesis, &o);
    }
    for (uint32_t i = 0; i < MINERS_MAX; i++)
        w->miner_key[i] = key_of(4, (uint8_t)(i + 1));
    for (size_t i = 0; i < ARRAY_COUNT(params); i++)
        CHECK_EQ(genesis_param(&w->genesis, params[i]), CX_OK);
    genesis_finish(&w->genesis);
    open_router(w);
    found(w);
    CHECK_EQ(http_client_open(w->loop, &w->http), CX_OK);
    return w;
}

static void world_close(struct world *w)
{
    for (uint32_t i = 0; i < MINERS_MAX; i++) {
        miner_close(w->miner[i]);
        key_close(w->miner_key[i]);
    }
    for (uint32_t i = 0; i < ORACLES_MAX_HERE; i++) {
        oracle_close(w->oracle[i]);
        key_close(w->oracle_key[i]);
    }
    http_client_close(w->http);
    router_close(w->router);
    genesis_done(&w->genesis);
    net_loop_close(w->loop);
    key_close(w->admin);
    key_close(w->router_key);
    free(w);
}

static const struct core *core_of(const struct world *w) { return replica_core(router_replica(w->router)); }

/* ---- oracles ---- */

static void oracle_ready(void *ctx) { ((struct world *)ctx)->oracles_ready++; }

static void oracle_stopped(void *ctx, enum cx_err err)
{
    (void)ctx;
    test_fail(__FILE__, __LINE__, "an oracle stopped: %s: %s", cx_err_name(err), cx_detail());
}

static void open_oracle(struct world *w, uint32_t n, const char *engine)
{
    const char *const routers[] = {w->url};
    const struct oracle_options options = {.loop = w->loop,
                                           .router = routers,
                                           .routers = 1,
                                           .key = w->oracle_key[n],
                                           .engine = engine,
                                           .model = MODEL,
                                           .on_ready = oracle_ready,
                                           .on_stopped = oracle_stopped,
                                           .ctx = w};
    if (oracle_open(&options, &w->oracle[n]))
        test_fail(__FILE__, __LINE__, "oracle: %s", cx_detail());
}

/* ---- miners ---- */

struct miner_ctx {
    struct world *world;
    uint32_t n;
};
static struct miner_ctx miner_ctx[MINERS_MAX];

static void miner_ready(void *ctx)
{
    const struct miner_ctx *m = ctx;
    m->world->miner_ready[m->n] = true;
}

static void miner_state(void *ctx, enum node_state state)
{
    const struct miner_ctx *m = ctx;
    m->world->state[m->n] = state;
}

static void miner_stopped(void *ctx, enum cx_err err)
{
    const struct miner_ctx *m = ctx;
    CHECK_EQ(err, CX_OK);
    m->world->stopped[m->n] = true;
}

static void open_miner_with(struct world *w, uint32_t n, const char *engine, struct miner_faults faults)
{
    const char *const routers[] = {w->url};
    miner_ctx[n] = (struct miner_ctx){w, n};
    w->miner_ready[n] = w->stopped[n] = false;
    const struct miner_options options = {.loop = w->loop,
                                          .router = routers,
                                          .routers = 1,
                                          .key = w->miner_key[n],
                                          .engine = engine,
                                          .model = MODEL,
                                          .slots = 2,
                                          .price_in = 1000,
                                          .price_out = 2000,
                                          .faults = faults,
                                          .on_ready = miner_ready,
                                          .on_state = miner_state,
                                          .on_stopped = miner_stopped,
                                          .ctx = &miner_ctx[n]};
    if (miner_open(&options, &w->miner[n]))
        test_fail(__FILE__, __LINE__, "miner: %s", cx_detail());
}

static void open_miner(struct world *w, uint32_t n, const char *engine)
{
    open_miner_with(w, n, engine, (struct miner_faults){0});
}

static struct node_view node_of(const struct world *w, uint32_t n)
{
    struct node_view view = {0};
    CHECK(view_node(core_of(w), key_address(w->miner_key[n]), &view));
    return view;
}

static bool serves(const struct world *w, uint32_t n)
{
    return w->state[n] == NODE_EPHEMERAL || w->state[n] == NODE_RESERVED;
}

/* ---- prompts ---- */

struct asked {
    bool done;
    enum cx_err err;
    unsigned status;
    char body[65536];
    struct http_call *call;
};

static void answered(void *ctx, enum cx_err err, unsigned status)
{
    struct asked *asked = ctx;
    size_t size;
    const char *body = http_call_body(asked->call, &size);
    asked->done = true;
    asked->err = err;
    asked->status = status;
    snprintf(asked->body, sizeof asked->body, "%.*s", (int)size, body ? body : "");
}

static void ask(struct world *w, struct asked *asked, const char *body)
{
    static const char *const fields[] = {"Content-Type: application/json", "Authorization: Bearer " API_KEY};
    char url[128];
    snprintf(url, sizeof url, "%s/v1/completions", w->url);
    memset(asked, 0, sizeof *asked);
    const struct http_call_options options = {.url = url,
                                              .fields = fields,
                                              .field_count = 2,
                                              .body = body,
                                              .body_size = strlen(body),
                                              .on_done = answered,
                                              .ctx = asked};
    CHECK_EQ(http_client_send(w->http, &options, &asked->call), CX_OK);
}

#define PROMPT "{\"model\":\"" MODEL "\",\"prompt\":\"tell me\",\"max_tokens\":40,\"temperature\":0"

static void check_answered(const struct asked *asked)
{
    if (asked->err || asked->status != 200 || !strstr(asked->body, "\"finish_reason\""))
        test_fail(__FILE__, __LINE__, "%s %u: %s", cx_err_name(asked->err), asked->status, asked->body);
}

/* ---- nodes come to serve ---- */

TEST(network, a_node_serves_after_its_round)
{
    struct world *w = world(1);
    open_oracle(w, 0, "echo");
    open_miner(w, 0, "echo");
    UNTIL(w, w->miner_ready[0] && w->oracles_ready == 1);
    UNTIL(w, serves(w, 0));
    struct node_view node = node_of(w, 0);
    CHECK(node.model[0].proved);
    CHECK_EQ(node.model[0].class, CLASS_VERIFIED);
    CHECK_EQ(node.model[0].price_out, 2000);
    CHECK_EQ(node.slots, 2);
    CHECK_EQ(oracle_stats(w->oracle[0]).rounds_led, 1);
    struct miner_why why;
    miner_why(w->miner[0], &why);
    CHECK(why.attached && why.registered && why.model_offered && why.engine_ready);
    world_close(w);
}

TEST(network, four_nodes_and_two_oracles)
{
    struct world *w = world(2);
    for (uint32_t i = 0; i < MINERS_MAX; i++)
        open_miner(w, i, "echo");
    open_oracle(w, 0, "echo");
    open_oracle(w, 1, "echo");
    UNTIL(w, serves(w, 0) && serves(w, 1) && serves(w, 2) && serves(w, 3));
    world_close(w);
}

TEST(network, a_node_whose_answers_are_wrong_never_serves)
{
    struct world *w = world(1);
    open_oracle(w, 0, "echo");
    open_miner(w, 0, "echo=wrong");
    UNTIL(w, w->state[0] == NODE_RECALIBRATING);
    CHECK(!node_of(w, 0).model[0].proved);
    UNTIL(w, w->state[0] == NODE_TESTING);
    UNTIL(w, w->state[0] == NODE_RECALIBRATING);
    world_close(w);
}

TEST(network, without_an_engine_of_the_oracle_right_is_not_measured)
{
    struct world *w = world(1);
    open_oracle(w, 0, NULL);
    open_miner(w, 0, "echo");
    UNTIL(w, serves(w, 0));
    CHECK_EQ(node_of(w, 0).model[0].class, CLASS_UNVERIFIED);
    world_close(w);
}

/* ---- prompts are answered ---- */

TEST(network, a_prompt_is_answered_paid_and_audited)
{
    struct world *w = world(1);
    struct asked *asked = malloc(sizeof *asked);
    open_oracle(w, 0, "echo");
    open_miner(w, 0, "echo");
    UNTIL(w, serves(w, 0));
    ask(w, asked, PROMPT "}");
    UNTIL(w, asked->done);
    check_answered(asked);
    ask(w, asked, PROMPT ",\"stream\":true}");
    UNTIL(w, asked->done);
    check_answered(asked);
    CHECK(strstr(asked->body, "data: [DONE]"));
    UNTIL(w, oracle_stats(w->oracle[0]).audits >= 1);
    struct network_view network;
    view_network(core_of(w), &network);
    CHECK(network.money_holds);
    CHECK_EQ(network.tasks_ended[TASK_COMPLETED], 2);
    free(asked);
    world_close(w);
}

/* The node keeps its lease, and the stream goes on where the socket broke. */
TEST(network, a_socket_that_breaks_in_mid_answer_costs_nothing)
{
    struct world *w = world(1);
    struct asked *asked = malloc(sizeof *asked);
    open_oracle(w, 0, "echo=tokens=40");
    open_miner_with(w, 0, "echo=tokens=40,slow=10", (struct miner_faults){.drop_after = 5});
    UNTIL(w, serves(w, 0));
    ask(w, asked, PROMPT ",\"stream\":true}");
    UNTIL(w, asked->done);
    check_answered(asked);
    CHECK(strstr(asked->body, "data: [DONE]"));
    struct network_view network;
    view_network(core_of(w), &network);
    CHECK_EQ(network.tasks_ended[TASK_COMPLETED], 1);
    free(asked);
    world_close(w);
}

TEST(network, a_miner_that_drains_ends_what_runs_and_goes)
{
    struct world *w = world(1);
    struct asked *asked = malloc(sizeof *asked);
    open_oracle(w, 0, "echo=tokens=30");
    open_miner(w, 0, "echo=tokens=30,slow=10");
    UNTIL(w, serves(w, 0));
    ask(w, asked, PROMPT "}");
    struct miner_why why;
    UNTIL(w, (miner_why(w->miner[0], &why), why.busy > 0));
    miner_drain(w->miner[0]);
    UNTIL(w, w->stopped[0] && asked->done);
    check_answered(asked);
    UNTIL(w, !node_of(w, 0).present);
    free(asked);
    world_close(w);
}

/* ---- who comes back ---- */

TEST(network, a_miner_and_an_oracle_that_were_started_again_go_on)
{
    struct world *w = world(1);
    open_oracle(w, 0, "echo");
    open_miner(w, 0, "echo");
    UNTIL(w, serves(w, 0));
    miner_close(cx_take(&w->miner[0]));
    oracle_close(cx_take(&w->oracle[0]));
    w->oracles_ready = 0;
    open_oracle(w, 0, "echo");
    open_miner(w, 0, "echo");
    UNTIL(w, w->miner_ready[0] && w->oracles_ready == 1);
    UNTIL(w, oracle_stats(w->oracle[0]).heartbeats >= 3);
    CHECK(node_of(w, 0).present);
    world_close(w);
}

TEST(network, a_newer_link_of_a_node_replaces_the_older)
{
    struct world *w = world(1);
    open_miner(w, 0, "echo");
    UNTIL(w, w->miner_ready[0]);
    uint32_t first = node_of(w, 0).link[0].link;
    struct miner *older = cx_take(&w->miner[0]);
    open_miner(w, 0, "echo");
    UNTIL(w, w->miner_ready[0]);
    CHECK(node_of(w, 0).link[0].link > first);
    CHECK(node_of(w, 0).present);
    miner_close(older);
    world_close(w);
}

/* ---- garbage ---- */

struct probe {
    struct net_ws *ws;
    bool open, closed;
    unsigned code;
    char said[4096];
};

static void probe_open(void *ctx, const char *protocol)
{
    (void)protocol;
    ((struct probe *)ctx)->open = true;
}

static void probe_message(void *ctx, bool text, const char *data, size_t size)
{
    struct probe *probe = ctx;
    CHECK(text);
    snprintf(probe->said, sizeof probe->said, "%.*s", (int)size, data);
}

static void probe_close(void *ctx, unsigned code, const char *reason)
{
    struct probe *probe = ctx;
    (void)reason;
    probe->closed = true;
    probe->code = code;
}

static void probe_link(struct world *w, struct probe *probe, const char *path, const char *protocol)
{
    static const struct net_ws_events events = {probe_open, probe_message, probe_close, NULL};
    char url[128];
    memset(probe, 0, sizeof *probe);
    snprintf(url, sizeof url, "ws%s%s", w->url + 4, path);
    const struct net_ws_options options = {.events = &events, .ctx = probe, .protocols = protocol};
    CHECK_EQ(net_ws_connect(w->loop, url, &options, &probe->ws), CX_OK);
    UNTIL(w, probe->said[0] || probe->closed);
    CHECK(strstr(probe->said, "\"type\":\"challenge\""));
}

static void check_refused(struct world *w, const char *path, const char *protocol, const char *frame, const char *code)
{
    struct probe probe;
    probe_link(w, &probe, path, protocol);
    CHECK(net_ws_send_text(probe.ws, frame, strlen(frame)));
    UNTIL(w, probe.closed);
    if (!strstr(probe.said, code))
        test_fail(__FILE__, __LINE__, "%s: %s does not say %s", frame, probe.said, code);
    CHECK_EQ(probe.code, LINK_CLOSE_BREACH);
}

TEST(network, garbage_on_a_link_ends_that_link_alone_with_a_name)
{
    struct world *w = world(1);
    open_oracle(w, 0, "echo");
    open_miner(w, 0, "echo");
    UNTIL(w, serves(w, 0));
    char zeros[131];
    memset(zeros, '0', sizeof zeros);
    struct buf hello = {0};
    buf_printf(&hello, "{\"type\":\"hello\",\"version\":1,\"node\":\"0x%.40s\",\"signature\":\"0x%.130s\"}", zeros,
               zeros);
    const char *const path[] = {LINK_PATH_MINER, LINK_PATH_ORACLE};
    const char *const protocol[] = {LINK_PROTOCOL_MINER, LINK_PROTOCOL_ORACLE};
    for (int i = 0; i < 2; i++) {
        check_refused(w, path[i], protocol[i], "garbage", "\"FRAME\"");
        check_refused(w, path[i], protocol[i], "{\"type\":\"offer\"}", "\"FRAME\"");
        check_refused(w, path[i], protocol[i], "{\"type\":\"ack\",\"lease\":1}", "\"HELLO\"");
        check_refused(w, path[i], protocol[i], hello.data, "\"SIGNATURE\"");
    }
    while (hello.size <= LINK_HELLO_SIZE_MAX)
        buf_text(&hello, "          ");
    check_refused(w, path[0], protocol[0], hello.data, "\"HELLO\"");
    struct miner_why why;
    miner_why(w->miner[0], &why);
    CHECK_EQ(why.links_up, 1);
    CHECK(oracle_stats(w->oracle[0]).linked);
    buf_done(&hello);
    world_close(w);
}
