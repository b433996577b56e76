/* A whole network in one loop, over real sockets: router, miners with the echo engine, oracles. */
#include "base/hex.h"
#include "cli/founder.h"
#include "cli/genesis.h"
#include "core/account.h"
#include "core/reputation.h"
#include "crypto/keccak.h"
#include "lib/test.h"
#include "miner/miner.h"
#include "net/http_client.h"
#include "net/ws_conn.h"
#include "oracle/chain.h"
#include "oracle/oracle.h"
#include "payload/payload.h"
#include "proto/entry.h"
#include "router/router.h"
#include "router/session_terms.h"

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
    uint16_t port;  // of the router, once it had one
    bool founded, drained;
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
    char ledger[300], archive[300], listen[64];
    static const char *const keys[] = {API_KEY};
    snprintf(ledger, sizeof ledger, "sqlite:%s/ledger.db", w->folder);
    snprintf(archive, sizeof archive, "%s/archive.db", w->folder);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", w->port);
    const struct router_options options = {.loop = w->loop,
                                           .listen = listen,
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
    w->port = router_port(w->router);
    snprintf(w->url, sizeof w->url, "http://127.0.0.1:%u", w->port);
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
                                           .text_frames = n % 2,  // so that both forms meet
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
                                          .text_frames = n % 2,
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

/* How often the miners' assignments were counted so. */
static uint64_t counted(const struct world *w, uint32_t n, uint32_t count) { return node_of(w, n).count[count]; }

/* A client that goes away in mid-stream cancels its task: the node stops, and is paid for what was relayed. */
TEST(network, a_client_that_goes_away_cancels_its_task)
{
    struct world *w = world(1);
    struct asked *asked = malloc(sizeof *asked);
    struct network_view network;
    struct miner_why why;
    open_oracle(w, 0, "echo=tokens=40");
    open_miner(w, 0, "echo=tokens=40,slow=30");
    UNTIL(w, serves(w, 0));
    ask(w, asked, PROMPT ",\"stream\":true}");
    UNTIL(w, (miner_why(w->miner[0], &why), why.stats.chunks >= 30));  // those of its round too
    http_call_cancel(asked->call);
    UNTIL(w, (view_network(core_of(w), &network), network.tasks_ended[TASK_CANCELLED] == 1));
    UNTIL(w, (miner_why(w->miner[0], &why), why.owed == 0));
    CHECK_EQ(why.busy, 0);
    CHECK_EQ(counted(w, 0, COUNT_TASK_COMMITTED), 1);
    CHECK(network.money_holds);
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

/* ---- several answers to one prompt ---- */

#define THREE ",\"corten\":{\"redundancy\":3,\"validation\":\"majority\"}"

static void open_all(struct world *w, uint32_t count, uint32_t bad, struct miner_faults faults)
{
    open_oracle(w, 0, "echo");
    for (uint32_t i = 0; i < count; i++)
        open_miner_with(w, i, "echo", i == bad ? faults : (struct miner_faults){0});
    for (uint32_t i = 0; i < count; i++)
        UNTIL(w, serves(w, i));
}

TEST(network, three_nodes_answer_and_a_majority_decides)
{
    struct world *w = world(1);
    struct asked *asked = malloc(sizeof *asked);
    open_all(w, 3, MINERS_MAX, (struct miner_faults){0});
    ask(w, asked, PROMPT THREE "}");
    UNTIL(w, asked->done);
    check_answered(asked);
    ask(w, asked, PROMPT THREE ",\"stream\":true}");
    UNTIL(w, asked->done);
    check_answered(asked);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(counted(w, i, COUNT_TASK_ACCEPTED), 2);
    free(asked);
    world_close(w);
}

struct opened {
    bool done;
    uint64_t session;
};

static void opened(void *ctx, const struct replica_outcome *outcome)
{
    if (outcome->err || outcome->verdict != VERDICT_ACCEPTED)
        test_fail(__FILE__, __LINE__, "session_open: %s", verdict_name(outcome->verdict));
    *(struct opened *)ctx = (struct opened){true, outcome->session};
}

/* A session of three that does not wait long for reveals. */
static uint64_t open_session(struct world *w)
{
    struct opened session = {0};
    struct model_view model;
    struct hash key_hash;
    struct command cmd = {.type = COMMAND_SESSION_OPEN};
    CHECK(view_model_named(core_of(w), MODEL, strlen(MODEL), &model));
    session_terms(core_of(w), &model, 3, VALIDATION_MAJORITY, &cmd.session_open);
    keccak256(API_KEY, strlen(API_KEY), &key_hash);
    account_custodial(key_address(w->router_key), &key_hash, &cmd.session_open.owner);
    cmd.session_open.commit_ms = 300;
    cmd.session_open.escrow = amount_of(1000000);
    CHECK_EQ(replica_command(router_replica(w->router), &cmd, NULL, 0, opened, &session), CX_OK);
    UNTIL(w, session.done);
    return session.session;
}

/* Two of three stand, and the third is the one that is blamed. */
static void check_one_bad(struct miner_faults faults, uint32_t count)
{
    struct world *w = world(1);
    struct asked *asked = malloc(sizeof *asked);
    char prompt[256];
    open_all(w, 3, 1, faults);
    snprintf(prompt, sizeof prompt, PROMPT ",\"corten\":{\"session_id\":\"%" PRIu64 "\"}}", open_session(w));
    ask(w, asked, prompt);
    UNTIL(w, asked->done);
    check_answered(asked);
    CHECK_EQ(counted(w, 0, COUNT_TASK_ACCEPTED), 1);
    CHECK_EQ(counted(w, 1, COUNT_TASK_ACCEPTED), 0);
    CHECK_EQ(counted(w, 2, COUNT_TASK_ACCEPTED), 1);
    CHECK_EQ(counted(w, 1, count), 1);
    struct network_view network;
    view_network(core_of(w), &network);
    CHECK(network.money_holds);
    free(asked);
    world_close(w);
}

TEST(network, a_wrong_reveal_is_rejected)
{
    check_one_bad((struct miner_faults){.wrong_reveal = true}, COUNT_WRONG);
}

TEST(network, a_withheld_reveal_is_blamed)
{
    check_one_bad((struct miner_faults){.withhold_reveal = true}, COUNT_WITHHELD);
}

TEST(network, a_late_reveal_is_too_late)
{
    check_one_bad((struct miner_faults){.late_reveal_ms = 600000}, COUNT_WITHHELD);
}

TEST(network, what_is_said_of_a_lease_that_ended_changes_nothing)
{
    struct world *w = world(1);
    struct asked *asked = malloc(sizeof *asked);
    open_all(w, 1, 0, (struct miner_faults){.stale_lease = true});
    for (int i = 0; i < 2; i++) {
        ask(w, asked, PROMPT "}");
        UNTIL(w, asked->done);
        check_answered(asked);
    }
    struct miner_why why;
    UNTIL(w, (miner_why(w->miner[0], &why), why.stats.recalled >= 3));  // its round, and both tasks
    CHECK_EQ(why.links_up, 1);
    CHECK_EQ(counted(w, 0, COUNT_TASK_ACCEPTED), 2);
    CHECK_EQ(counted(w, 0, COUNT_TASK_COMMITTED), 2);
    free(asked);
    world_close(w);
}

TEST(network, a_node_that_dies_is_replaced)
{
    struct world *w = world(1);
    struct asked *asked = malloc(sizeof *asked);
    open_oracle(w, 0, "echo=tokens=40");
    open_miner(w, 0, "echo=tokens=40,slow=20");
    UNTIL(w, serves(w, 0));
    ask(w, asked, PROMPT "}");
    struct miner_why why;
    UNTIL(w, (miner_why(w->miner[0], &why), why.busy > 0));
    miner_close(cx_take(&w->miner[0]));
    open_miner(w, 1, "echo=tokens=40");
    UNTIL(w, asked->done);
    check_answered(asked);
    CHECK_EQ(counted(w, 1, COUNT_TASK_ACCEPTED), 1);
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

TEST(network, a_router_that_was_started_again_finds_its_nodes)
{
    struct world *w = world(1);
    struct asked *asked = malloc(sizeof *asked);
    open_oracle(w, 0, "echo");
    open_miner(w, 0, "echo");
    UNTIL(w, serves(w, 0));
    uint32_t first = node_of(w, 0).link[0].link;
    router_close(cx_take(&w->router));
    struct miner_why why;
    UNTIL(w, (miner_why(w->miner[0], &why), why.links_up == 0));
    open_router(w);
    CHECK(node_of(w, 0).present);
    UNTIL(w, (miner_why(w->miner[0], &why), why.links_up == 1));
    CHECK(node_of(w, 0).link[0].link > first);
    ask(w, asked, PROMPT "}");
    UNTIL(w, asked->done);
    check_answered(asked);
    free(asked);
    world_close(w);
}

static void drained(void *ctx) { ((struct world *)ctx)->drained = true; }

TEST(network, a_router_that_drains_detaches_its_nodes)
{
    struct world *w = world(1);
    open_oracle(w, 0, "echo");
    open_miner(w, 0, "echo");
    UNTIL(w, serves(w, 0));
    router_drain(w->router, 100, drained, w);
    UNTIL(w, w->drained);
    CHECK(!node_of(w, 0).present);
    world_close(w);
}

TEST(network, when_the_leading_oracle_falls_silent_another_leads)
{
    struct world *w = world(2);
    open_oracle(w, 0, "echo");
    open_oracle(w, 1, "echo");
    open_miner(w, 0, "echo");
    UNTIL(w, serves(w, 0));
    struct network_view network;
    view_network(core_of(w), &network);
    uint32_t leads = address_eq(&network.leader, key_address(w->oracle_key[0])) ? 0 : 1;
    oracle_close(cx_take(&w->oracle[leads]));
    open_miner(w, 1, "echo");
    UNTIL(w, serves(w, 1));
    CHECK(oracle_stats(w->oracle[1 - leads]).rounds_led > 0);
    world_close(w);
}

/* ---- garbage ---- */

struct probe {
    struct net_ws *ws;
    bool binary;
    bool open, closed;
    unsigned code, results;
    bool reveal;
    char said[4096], offer[4096];
};

static void probe_open(void *ctx, const char *protocol)
{
    (void)protocol;
    ((struct probe *)ctx)->open = true;
}

static void probe_message(void *ctx, bool text, const char *data, size_t size)
{
    struct probe *probe = ctx;
    struct link_frame frame;
    struct buf json = {0};
    CHECK(text != probe->binary);
    if (probe->binary) {
        CHECK_EQ(link_decode_binary(data, size, LINK_D, &frame), CX_OK);
        link_encode(&frame, &json);
        link_frame_done(&frame);
    } else {
        buf_add(&json, data, size);
    }
    snprintf(probe->said, sizeof probe->said, "%s", json.data);
    buf_done(&json);
    if (strstr(probe->said, "\"type\":\"offer\""))
        memcpy(probe->offer, probe->said, sizeof probe->offer);
    probe->results += strstr(probe->said, "\"type\":\"result\"") != NULL;
    probe->reveal = probe->reveal || strstr(probe->said, "\"type\":\"reveal\"");
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
    probe->binary = link_protocol_is_binary(protocol);
    const struct net_ws_options options = {.events = &events, .ctx = probe, .protocols = protocol};
    CHECK_EQ(net_ws_connect(w->loop, url, &options, &probe->ws), CX_OK);
    UNTIL(w, probe->said[0] || probe->closed);
    CHECK(strstr(probe->said, "\"type\":\"challenge\""));
}

static void check_breach(struct world *w, struct probe *probe, const char *code)
{
    UNTIL(w, probe->closed);
    if (!strstr(probe->said, code))
        test_fail(__FILE__, __LINE__, "%s does not say %s", probe->said, code);
    CHECK_EQ(probe->code, LINK_CLOSE_BREACH);
}

static void check_refused(struct world *w, const char *path, const char *protocol, const char *frame, const char *code)
{
    struct probe probe;
    probe_link(w, &probe, path, protocol);
    CHECK(net_ws_send_text(probe.ws, frame, strlen(frame)));
    check_breach(w, &probe, code);
}

static void check_refused_bytes(struct world *w, const char *path, const char *protocol, const char *data, size_t size,
                                const char *code)
{
    struct probe probe;
    probe_link(w, &probe, path, protocol);
    CHECK(net_ws_send_binary(probe.ws, data, size));
    check_breach(w, &probe, code);
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
    buf_printf(
        &hello,
        "{\"type\":\"hello\",\"version\":1,\"node\":\"0x%.40s\",\"exchange\":\"0x%.64s\",\"signature\":\"0x%.130s\"}",
        zeros, zeros, zeros);
    const char *const path[] = {LINK_PATH_MINER, LINK_PATH_ORACLE};
    const char *const protocol[] = {LINK_PROTOCOL_MINER, LINK_PROTOCOL_ORACLE};
    for (int i = 0; i < 2; i++) {
        check_refused(w, path[i], protocol[i], "garbage", "\"FRAME\"");
        check_refused(w, path[i], protocol[i], "{\"type\":\"offer\"}", "\"FRAME\"");
        check_refused(w, path[i], protocol[i], "{\"type\":\"ack\",\"lease\":1}", "\"HELLO\"");
        check_refused(w, path[i], protocol[i], hello.data, "\"SIGNATURE\"");
        check_refused_bytes(w, path[i], protocol[i], hello.data, hello.size, "frames are text on this link");
    }
    struct probe probe;
    while (hello.size <= LINK_HELLO_SIZE_MAX)
        buf_text(&hello, "          ");
    probe_link(w, &probe, path[0], protocol[0]);
    CHECK(net_ws_send_text(probe.ws, hello.data, hello.size));
    UNTIL(w, probe.closed);
    CHECK_EQ(probe.code, WS_CLOSE_TOO_LARGE);
    struct miner_why why;
    miner_why(w->miner[0], &why);
    CHECK_EQ(why.links_up, 1);
    CHECK(oracle_stats(w->oracle[0]).linked);
    buf_done(&hello);
    world_close(w);
}

TEST(network, garbage_in_binary_ends_that_link_alone_with_a_name)
{
    struct world *w = world(1);
    const char *const path[] = {LINK_PATH_MINER, LINK_PATH_ORACLE};
    const char *const protocol[] = {LINK_PROTOCOL_MINER_BINARY, LINK_PROTOCOL_ORACLE_BINARY};
    struct buf hello = {0};
    link_encode_binary(&(struct link_frame){.type = LINK_HELLO, .hello.version = LINK_VERSION}, &hello);
    for (int i = 0; i < 2; i++) {
        check_refused(w, path[i], protocol[i], "{\"type\":\"ack\",\"lease\":1}", "frames are binary on this link");
        check_refused_bytes(w, path[i], protocol[i], "garbage", 7, "no frame 103 comes this way");
        check_refused_bytes(w, path[i], protocol[i], "\x06", 1, "no frame 6 comes this way");
        check_refused_bytes(w, path[i], protocol[i], "", 0, "type: missing");
        check_refused_bytes(w, path[i], protocol[i], "\x07\0\0\0\0\0\0\0\1", 9, "\"HELLO\"");
        check_refused_bytes(w, path[i], protocol[i], hello.data, hello.size - 1, "build: missing");
        check_refused_bytes(w, path[i], protocol[i], hello.data, hello.size, "\"SIGNATURE\"");
    }
    buf_done(&hello);
    world_close(w);
}

/* A hello as `key` would make it, for the challenge that the probe has heard. */
static void probe_hello(struct world *w, struct probe *probe, const struct key *key)
{
    struct link_frame challenge, hello = {.type = LINK_HELLO, .hello.version = LINK_VERSION};
    struct exchange_offer offer;
    struct buf text = {0};
    exchange_offer_generate(&offer);
    CHECK_EQ(link_decode(probe->said, strlen(probe->said), LINK_D, &challenge), CX_OK);
    const struct link_hello_terms terms = {.network = challenge.challenge.network,
                                           .router = challenge.challenge.router,
                                           .node = *key_address(key),
                                           .nonce = challenge.challenge.nonce,
                                           .router_exchange = challenge.challenge.exchange,
                                           .node_exchange = offer.public};
    hello.hello.node = terms.node;
    hello.hello.exchange = offer.public;
    link_hello_sign(&terms, key, hello.hello.signature);
    probe->said[0] = '\0';
    if (probe->binary) {
        link_encode_binary(&hello, &text);
        CHECK(net_ws_send_binary(probe->ws, text.data, text.size));
    } else {
        link_encode(&hello, &text);
        CHECK(net_ws_send_text(probe->ws, text.data, text.size));
    }
    UNTIL(w, probe->said[0] || probe->closed);
    link_frame_done(&challenge);
    buf_done(&text);
}

static void check_says(struct world *w, struct probe *probe, const char *frame, const char *what)
{
    probe->said[0] = '\0';
    CHECK(net_ws_send_text(probe->ws, frame, strlen(frame)));
    UNTIL(w, probe->said[0] || probe->closed);
    if (!strstr(probe->said, what))
        test_fail(__FILE__, __LINE__, "%s: %s does not say %s", frame, probe->said, what);
}

/* The one it likes best of those that are asked for, and each by itself. */
TEST(network, a_router_speaks_bytes_where_both_can)
{
    static const char binary_last[] = LINK_PROTOCOL_MINER ", " LINK_PROTOCOL_MINER_BINARY;
    static const char unknown_first[] = "x, " LINK_PROTOCOL_MINER;
    static const char *const asked[] = {LINK_PROTOCOLS_MINER, binary_last, LINK_PROTOCOL_MINER_BINARY,
                                        LINK_PROTOCOL_MINER, unknown_first};
    static const bool bytes[] = {true, true, true, false, false};
    struct world *w = world(1);
    struct key *stranger = key_of(5, 1);
    for (size_t i = 0; i < ARRAY_COUNT(asked); i++) {
        static const struct net_ws_events events = {probe_open, probe_message, probe_close, NULL};
        struct probe probe = {.binary = bytes[i]};
        char url[128];
        snprintf(url, sizeof url, "ws%s%s", w->url + 4, LINK_PATH_MINER);
        const struct net_ws_options options = {.events = &events, .ctx = &probe, .protocols = asked[i]};
        CHECK_EQ(net_ws_connect(w->loop, url, &options, &probe.ws), CX_OK);
        UNTIL(w, probe.said[0] || probe.closed);
        CHECK_STR(net_ws_protocol(probe.ws), bytes[i] ? LINK_PROTOCOL_MINER_BINARY : LINK_PROTOCOL_MINER);
        probe_hello(w, &probe, stranger);
        CHECK(strstr(probe.said, "\"type\":\"welcome\""));
        net_ws_close(probe.ws);
    }
    key_close(stranger);
    world_close(w);
}

TEST(network, a_lease_of_another_node_ends_the_link_of_who_names_it)
{
    struct world *w = world(1);
    struct asked *asked = malloc(sizeof *asked);
    struct probe probe;
    open_oracle(w, 0, "echo=tokens=40");
    open_miner(w, 0, "echo=tokens=40,slow=20");
    open_miner(w, 1, "echo=tokens=40,slow=20");
    UNTIL(w, serves(w, 0) && serves(w, 1));
    ask(w, asked, PROMPT "}");
    struct miner_why why[2];
    UNTIL(w, (miner_why(w->miner[0], &why[0]), miner_why(w->miner[1], &why[1]), why[0].busy + why[1].busy > 0));
    uint32_t idle = why[0].busy > 0 ? 1 : 0;
    struct task_view task;
    struct assignment_view assignment;
    uint32_t at = 0, of = 0;
    CHECK(view_task_at(core_of(w), &at, &task));
    CHECK(view_assignment_of(core_of(w), task.id, &of, &assignment));
    miner_close(cx_take(&w->miner[idle]));
    probe_link(w, &probe, LINK_PATH_MINER, LINK_PROTOCOL_MINER);
    probe_hello(w, &probe, w->miner_key[idle]);
    CHECK(strstr(probe.said, "\"type\":\"welcome\""));
    char frame[128];
    snprintf(frame, sizeof frame, "{\"type\":\"ack\",\"lease\":\"%" PRIu64 "\"}", assignment.lease);
    check_says(w, &probe, frame, "LEASE_FOREIGN");
    UNTIL(w, probe.closed && asked->done);
    check_answered(asked);
    free(asked);
    world_close(w);
}

TEST(network, a_link_submits_for_itself_alone_and_not_too_often)
{
    struct world *w = world(2);
    struct probe probe;
    struct key *stranger = key_of(5, 1);
    static const char malformed[] = "{\"type\":\"submit\",\"ref\":3,\"entry\":\"0x00\"}";
    const struct key *const keys[] = {stranger};
    struct buf entry = {0}, frame = {0};
    const struct command leave = {
        .type = COMMAND_NODE_LEAVE, .nonce = 1, .node_leave.node = *key_address(w->miner_key[0])};
    CHECK_EQ(entry_sign(&leave, NETWORK, keys, 1, &entry), CX_OK);
    link_encode(&(struct link_frame){.type = LINK_SUBMIT,
                                     .submit = {.ref = 1, .entry = {(uint8_t *)entry.data, (uint32_t)entry.size}}},
                &frame);
    probe_link(w, &probe, LINK_PATH_MINER, LINK_PROTOCOL_MINER);
    probe_hello(w, &probe, stranger);
    CHECK(strstr(probe.said, "\"link\":0"));
    check_says(w, &probe, "{\"type\":\"ack\",\"lease\":1}", "NOT_ATTACHED");
    UNTIL(w, probe.closed);

    probe_link(w, &probe, LINK_PATH_MINER, LINK_PROTOCOL_MINER);
    probe_hello(w, &probe, stranger);
    check_says(w, &probe, malformed, "COMMAND_MALFORMED");
    check_says(w, &probe, frame.data, "\"SUBMIT\"");
    UNTIL(w, probe.closed);

    probe_link(w, &probe, LINK_PATH_MINER, LINK_PROTOCOL_MINER);
    probe_hello(w, &probe, stranger);
    for (int i = 0; i < 1000; i++)
        net_ws_send_text(probe.ws, malformed, strlen(malformed));
    UNTIL(w, probe.closed);
    CHECK(strstr(probe.said, "\"RATE\""));
    buf_done(&entry);
    buf_done(&frame);
    key_close(stranger);
    world_close(w);
}

/* Many audits at once are the network's doing. An oracle that was shut out for them asked for all of them again when it
 * came back, and was shut out again, for ever. */
TEST(network, an_oracle_with_much_to_do_is_slowed_down_and_not_shut_out)
{
    struct world *w = world(2);
    struct probe probe;
    char frame[128];
    const int count = 600;
    probe_link(w, &probe, LINK_PATH_ORACLE, LINK_PROTOCOL_ORACLE);
    probe_hello(w, &probe, w->oracle_key[1]);
    for (int i = 1; i <= count; i++) {
        snprintf(frame, sizeof frame, "{\"type\":\"submit\",\"ref\":%d,\"entry\":\"0x00\"}", i);
        CHECK(net_ws_send_text(probe.ws, frame, strlen(frame)));
    }
    UNTIL(w, probe.results == (unsigned)count || probe.closed);
    CHECK(!probe.closed);
    net_ws_close(probe.ws);
    world_close(w);
}

TEST(network, an_oracle_gets_what_rounds_and_audits_name_and_nothing_else)
{
    struct world *w = world(2);
    struct probe probe;
    struct hash prompt;
    char frame[256], hex[65];
    struct asked *asked = malloc(sizeof *asked);
    open_oracle(w, 0, "echo");
    open_miner(w, 0, "echo");
    UNTIL(w, serves(w, 0));
    ask(w, asked, PROMPT "}");
    UNTIL(w, asked->done);
    UNTIL(w, oracle_stats(w->oracle[0]).audits >= 1);
    memset(prompt.b, 1, sizeof prompt.b);
    hex_encode(prompt.b, sizeof prompt.b, hex);
    snprintf(frame, sizeof frame, "{\"type\":\"get\",\"ref\":1,\"digest\":\"0x%s\"}", hex);
    probe_link(w, &probe, LINK_PATH_ORACLE, LINK_PROTOCOL_ORACLE);
    probe_hello(w, &probe, w->miner_key[0]);
    CHECK(strstr(probe.said, "ORACLE_UNKNOWN"));
    UNTIL(w, probe.closed);
    probe_link(w, &probe, LINK_PATH_ORACLE, LINK_PROTOCOL_ORACLE);
    probe_hello(w, &probe, w->oracle_key[1]);
    UNTIL(w, strstr(probe.said, "\"type\":\"state\""));
    check_says(w, &probe, frame, "no round or audit of now names this payload");
    check_says(w, &probe, "{\"type\":\"ack\",\"lease\":1}", "is no frame of an oracle");
    UNTIL(w, probe.closed);
    free(asked);
    world_close(w);
}

/* ---- a neighbour's precommit ---- */

/* What another node has revealed, as everybody can read it on the ledger. */
struct overheard {
    struct replica_listener listener;
    uint64_t own_lease;
    bool has;
    struct hash salt, payload;
    uint8_t record[RECORD_SIZE_MAX];
    uint32_t record_size;
};

static void overhear(void *ctx, const struct replica_moment *moment, const struct event *event)
{
    struct overheard *o = ctx;
    if (event->type != EVENT_TASK_REVEALED || event->task_revealed.lease == o->own_lease || o->has)
        return;
    const struct cmd_task_commit *commit = &moment->command->task_commit;
    o->has = true;
    o->salt = commit->salt;
    o->payload = commit->payload_digest;
    o->record_size = commit->record.size;
    memcpy(o->record, commit->record.data, commit->record.size);
}

static void probe_send(struct probe *probe, const struct link_frame *frame)
{
    struct buf text = {0};
    link_encode(frame, &text);
    CHECK(net_ws_send_text(probe->ws, text.data, text.size));
    buf_done(&text);
}

/* The precommit of another assignment of the task, once there is one. */
static bool find_precommit(const struct world *w, uint64_t task, uint64_t own_lease, struct hash *ret_precommit)
{
    struct assignment_view a;
    for (uint32_t at = 0; view_assignment_of(core_of(w), task, &at, &a);)
        if (a.lease != own_lease && a.state == ASSIGNMENT_PRECOMMITTED) {
            *ret_precommit = a.precommit;
            return true;
        }
    return false;
}

static void copy_answer(struct world *w, struct probe *probe, const struct key *key)
{
    struct overheard o = {.listener = {.on_event = overhear, .ctx = &o}};
    struct link_frame offer, precommit = {.type = LINK_PRECOMMIT}, commit = {.type = LINK_COMMIT};
    char uri[300];
    cx_auto(payload_store) store = NULL;
    struct buf text = {0};
    UNTIL(w, probe->offer[0]);
    CHECK_EQ(link_decode(probe->offer, strlen(probe->offer), LINK_D, &offer), CX_OK);
    uint64_t lease = o.own_lease = offer.offer.lease;
    replica_listen(router_replica(w->router), &o.listener);
    probe_send(probe, &(struct link_frame){.type = LINK_ACK, .ack.lease = lease});
    UNTIL(w, find_precommit(w, offer.offer.task, lease, &precommit.precommit.precommit));
    precommit.precommit.lease = lease;
    precommit.precommit.has_signature = true;
    const struct command cmd = {.type = COMMAND_TASK_PRECOMMIT,
                                .task_precommit = {.lease = lease, .precommit = precommit.precommit.precommit}};
    entry_signature(&cmd, NETWORK, key, precommit.precommit.signature);
    probe_send(probe, &precommit);
    UNTIL(w, probe->reveal && o.has);
    snprintf(uri, sizeof uri, "sqlite:%s/ledger.db", w->folder);
    CHECK_EQ(payload_store_open(uri, &store), CX_OK);
    CHECK_EQ(payload_get(store, &o.payload, &text), CX_OK);
    commit.commit = (struct link_commit){.lease = lease,
                                         .salt = o.salt,
                                         .record = {o.record, o.record_size},
                                         .text = {(const uint8_t *)text.data, (uint32_t)text.size}};
    probe_send(probe, &commit);
    UNTIL(w, counted(w, 2, COUNT_WRONG) == 1);
    replica_unlisten(router_replica(w->router), &o.listener);
    link_frame_done(&offer);
    buf_done(&text);
}

TEST(network, a_copied_precommit_gains_nothing)
{
    struct world *w = world(1);
    struct asked *asked = malloc(sizeof *asked);
    struct probe probe;
    open_all(w, 3, MINERS_MAX, (struct miner_faults){0});
    miner_close(cx_take(&w->miner[2]));
    probe_link(w, &probe, LINK_PATH_MINER, LINK_PROTOCOL_MINER);
    probe_hello(w, &probe, w->miner_key[2]);
    UNTIL(w, strstr(probe.said, "\"type\":\"welcome\""));
    ask(w, asked, PROMPT THREE "}");
    copy_answer(w, &probe, w->miner_key[2]);
    UNTIL(w, asked->done);
    check_answered(asked);
    CHECK_EQ(counted(w, 2, COUNT_TASK_ACCEPTED), 0);
    CHECK_EQ(counted(w, 0, COUNT_TASK_ACCEPTED), 1);
    CHECK_EQ(counted(w, 1, COUNT_TASK_ACCEPTED), 1);
    net_ws_close(probe.ws);
    free(asked);
    world_close(w);
}
