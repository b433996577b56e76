#include "lib/live.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/founder.h"
#include "cli/genesis.h"
#include "core/account.h"
#include "crypto/keccak.h"
#include "lib/test.h"
#include "oracle/chain.h"
#include "oracle/oracle.h"

#define NETWORK 11

void live_impatient(void *what)
{
    test_fail(__FILE__, __LINE__, "not so within %d ms: %s", LIVE_PATIENCE_MS, (const char *)what);
}

static struct key *key_of(uint8_t kind, uint8_t n)
{
    struct key *key;
    const uint8_t secret[KEY_SECRET_SIZE] = {[30] = kind, [31] = n};
    CHECK_EQ(key_from_bytes(secret, &key), CX_OK);
    return key;
}

/* ---- the router ---- */

static void on_ready(void *ctx) { ((struct live *)ctx)->ready = true; }

static void on_stopped(void *ctx, enum cx_err err, const char *why)
{
    (void)ctx;
    test_fail(__FILE__, __LINE__, "the router stopped: %s: %s", cx_err_name(err), why);
}

static void open_router(struct live *live, const struct genesis *genesis, bool with_admin)
{
    struct buf ledger = {0}, archive = {0};
    static const char *const keys[] = {LIVE_KEY};
    buf_printf(&ledger, "sqlite:%s/ledger.db", live->folder.data);
    buf_printf(&archive, "%s/archive.db", live->folder.data);
    const struct router_options options = {.loop = live->loop,
                                           .listen = "127.0.0.1:0",
                                           .ledger_uri = ledger.data,
                                           .archive_path = archive.data,
                                           .key = live->router_key,
                                           .admin = with_admin ? live->admin : NULL,
                                           .genesis = &genesis->command,
                                           .admin_key = keys,
                                           .admin_key_count = 1,
                                           .redundancy = 1,
                                           .validation = VALIDATION_HASH,
                                           .on_ready = on_ready,
                                           .on_stopped = on_stopped,
                                           .ctx = live};
    if (router_open(&options, &live->router))
        test_fail(__FILE__, __LINE__, "router: %s", cx_detail());
    snprintf(live->url, sizeof live->url, "http://127.0.0.1:%u", router_port(live->router));
    buf_done(&ledger);
    buf_done(&archive);
}

static void founded(void *ctx, enum cx_err err)
{
    if (err)
        test_fail(__FILE__, __LINE__, "founding: %s", cx_detail());
    ((struct live *)ctx)->founded = true;
}

static void found(struct live *live)
{
    cx_auto(runtime) runtime = NULL;
    struct founder founder;
    struct address account;
    struct hash key_hash, reference = {{7}};
    CHECK_EQ(runtime_open(live->loop, "echo", LIVE_MODEL, &(struct runtime_options){0}, &runtime), CX_OK);
    const struct runtime_info *info = runtime_info(runtime);
    founder_init(&founder, router_replica(live->router), live->admin, founded, live);
    founder_model(&founder, &(struct founder_model){.name = LIVE_MODEL,
                                                    .manifest_digest = info->manifest,
                                                    .context = info->context,
                                                    .template_tokens = info->template_tokens,
                                                    .price_in_max = 10 * LIVE_PRICE_IN,
                                                    .price_out_max = 10 * LIVE_PRICE_OUT});
    keccak256(LIVE_KEY, strlen(LIVE_KEY), &key_hash);
    account_custodial(key_address(live->router_key), &key_hash, &account);
    founder_deposit(&founder, &account, amount_of(LIVE_BALANCE), &reference);
    founder_end(&founder);
    LIVE_UNTIL(live, live->founded);
}

/* ---- who works for it ---- */

static void oracle_stopped(void *ctx, enum cx_err err)
{
    (void)ctx;
    test_fail(__FILE__, __LINE__, "the oracle stopped: %s: %s", cx_err_name(err), cx_detail());
}

static void oracle_ready(void *ctx) { (void)ctx; }

static void open_oracle(struct live *live, uint32_t n, const char *engine)
{
    const char *const routers[] = {live->url};
    const struct oracle_options options = {.loop = live->loop,
                                           .router = routers,
                                           .routers = 1,
                                           .key = live->oracle_key[n],
                                           .engine = engine,
                                           .model = LIVE_MODEL,
                                           .text_frames = n % 2,
                                           .on_ready = oracle_ready,
                                           .on_stopped = oracle_stopped,
                                           .ctx = live};
    if (oracle_open(&options, &live->oracle[n]))
        test_fail(__FILE__, __LINE__, "oracle: %s", cx_detail());
}

static void miner_stopped(void *ctx, enum cx_err err)
{
    (void)ctx;
    CHECK_EQ(err, CX_OK);
}

static void miner_ready(void *ctx) { (void)ctx; }

static void open_miner(struct live *live, uint32_t n, const char *engine)
{
    const char *const routers[] = {live->url};
    const struct miner_options options = {.loop = live->loop,
                                          .router = routers,
                                          .routers = 1,
                                          .key = live->miner_key[n],
                                          .engine = engine,
                                          .model = LIVE_MODEL,
                                          .slots = 4,
                                          .text_frames = n % 2,
                                          .price_in = LIVE_PRICE_IN,
                                          .price_out = LIVE_PRICE_OUT,
                                          .on_ready = miner_ready,
                                          .on_stopped = miner_stopped,
                                          .ctx = live};
    if (miner_open(&options, &live->miner[n]))
        test_fail(__FILE__, __LINE__, "miner: %s", cx_detail());
}

void live_lose_miner(struct live *live, uint32_t n)
{
    miner_close(live->miner[n]);
    live->miner[n] = NULL;
}

static bool all_serve(const struct live *live)
{
    struct network_view network;
    view_network(live_core(live), &network);
    return network.nodes[NODE_EPHEMERAL] + network.nodes[NODE_RESERVED] == live->miners;
}

/* ---- opening ---- */

static void found_oracle(struct genesis *genesis, const struct key *key)
{
    struct genesis_oracle oracle = {*key_address(key), *key_address(key), {{0}}};
    oracle_chain_end(key, NETWORK, 0, &oracle.chain_end);
    genesis_oracle(genesis, &oracle);
}

static void found_network(struct live *live, const struct live_options *options)
{
    static const char *const params[] = {"heartbeat_ms=200",     "oracle_window_ms=600",    "backoff_ms_min=100",
                                         "backoff_ms_max=400",   "round_step_ms=2000",      "round_ack_ms=3000",
                                         "round_commit_ms=3000", "round_precommit_ms=5000", "round_verdict_ms=4000"};
    struct genesis genesis;
    genesis_init(&genesis, NETWORK, 1, options->oracle_quorum ? (uint8_t)options->oracle_quorum : 1);
    genesis_admin(&genesis, key_address(live->admin));
    genesis_router(&genesis, key_address(live->router_key), key_address(live->router_key));
    for (uint32_t i = 0; i < live->oracles; i++)
        found_oracle(&genesis, live->oracle_key[i]);
    for (uint32_t i = 0; i < live->cheating_oracles; i++)
        found_oracle(&genesis, live->cheat_key[i]);
    for (size_t i = 0; i < ARRAY_COUNT(params); i++)
        CHECK_EQ(genesis_param(&genesis, params[i]), CX_OK);
    for (uint32_t i = 0; i < options->params; i++)
        CHECK_EQ(genesis_param(&genesis, options->param[i]), CX_OK);
    genesis_finish(&genesis);
    open_router(live, &genesis, !options->no_admin);
    genesis_done(&genesis);
}

struct live *live_open(const struct live_options *options)
{
    struct live *live = calloc(1, sizeof *live);
    log_set_level(LOG_ERROR);
    CHECK_EQ(net_loop_open(&live->loop), CX_OK);
    buf_text(&live->folder, test_folder());
    live->admin = key_of(1, 1);
    live->router_key = key_of(2, 1);
    live->oracles = options->oracles ? options->oracles : 1;
    live->cheating_oracles = options->cheating_oracles;
    for (uint32_t i = 0; i < live->oracles; i++)
        live->oracle_key[i] = key_of(3, (uint8_t)(i + 1));
    for (uint32_t i = 0; i < live->cheating_oracles; i++)
        live->cheat_key[i] = key_of(5, (uint8_t)(i + 1));
    live->miners = options->miners;
    for (uint32_t i = 0; i < options->miners; i++)
        live->miner_key[i] = key_of(4, (uint8_t)(i + 1));
    found_network(live, options);
    found(live);
    CHECK_EQ(http_client_open(live->loop, &live->http), CX_OK);
    for (uint32_t i = 0; i < live->oracles && !options->no_oracle; i++)
        open_oracle(live, i, options->oracle_engine ? options->oracle_engine : "echo");
    for (uint32_t i = 0; i < options->miners; i++) {
        const char *engine = options->faulty && options->faulty[i] ? options->faulty[i] : options->engine;
        open_miner(live, i, engine ? engine : "echo");
    }
    LIVE_UNTIL(live, options->no_oracle || all_serve(live));
    return live;
}

static void reply_free(struct reply *r)
{
    buf_done(&r->body);
    json_decref(r->json);
    free(r);
}

void live_close(struct live *live)
{
    for (uint32_t i = 0; i < LIVE_MINERS_MAX; i++) {
        miner_close(live->miner[i]);
        key_close(live->miner_key[i]);
    }
    for (uint32_t i = 0; i < LIVE_ORACLES_MAX; i++) {
        oracle_close(live->oracle[i]);
        key_close(live->oracle_key[i]);
        key_close(live->cheat_key[i]);
    }
    http_client_close(live->http);
    router_close(live->router);
    net_loop_close(live->loop);
    key_close(live->admin);
    key_close(live->router_key);
    while (live->reply) {
        struct reply *r = live->reply;
        live->reply = r->next;
        reply_free(r);
    }
    buf_done(&live->folder);
    free(live);
}

const struct core *live_core(const struct live *live) { return replica_core(router_replica(live->router)); }

/* ---- requests ---- */

static void keep(const struct http_call *call, const char *name, char *ret, size_t cap)
{
    const char *value = http_call_header(call, name);
    snprintf(ret, cap, "%s", value ? value : "");
}

static void on_body(void *ctx, const char *data, size_t size)
{
    struct reply *r = ctx;
    buf_add(&r->body, data, size);
}

static void on_done(void *ctx, enum cx_err err, unsigned status)
{
    struct reply *r = ctx;
    json_error_t why;
    r->done = true;
    r->err = err;
    r->status = status;
    keep(r->call, "x-request-id", r->request_id, sizeof r->request_id);
    keep(r->call, "Retry-After", r->retry_after, sizeof r->retry_after);
    keep(r->call, "Allow", r->allow, sizeof r->allow);
    keep(r->call, "Content-Type", r->type, sizeof r->type);
    if (r->body.data)
        r->json = json_loadb(r->body.data, r->body.size, 0, &why);
    r->call = NULL;
}

struct reply *live_send(struct live *live, const char *method, const char *path, const char *key, const char *body,
                        const char *field)
{
    struct reply *r = calloc(1, sizeof *r);
    struct buf url = {0}, auth = {0};
    r->next = live->reply;
    live->reply = r;
    buf_printf(&url, "%s%s", live->url, path);
    buf_printf(&auth, "Authorization: Bearer %s", key ? key : "");
    const char *fields[3];
    uint32_t count = 0;
    if (key)
        fields[count++] = auth.data;
    if (field)
        fields[count++] = field;
    const struct http_call_options options = {.method = method,
                                              .url = url.data,
                                              .fields = fields,
                                              .field_count = count,
                                              .body = body,
                                              .body_size = body ? strlen(body) : 0,
                                              .on_body = on_body,
                                              .on_done = on_done,
                                              .ctx = r};
    CHECK_EQ(http_client_send(live->http, &options, &r->call), CX_OK);
    buf_done(&url);
    buf_done(&auth);
    return r;
}

void live_wait(struct live *live, struct reply *reply)
{
    LIVE_UNTIL(live, reply->done);
    if (reply->err)
        test_fail(__FILE__, __LINE__, "%s: %s", cx_err_name(reply->err), cx_detail());
}

struct reply *live_ask(struct live *live, const char *method, const char *path, const char *key, const char *body)
{
    struct reply *r = live_send(live, method, path, key, body, NULL);
    live_wait(live, r);
    return r;
}

/* ---- answers ---- */

static const json_t *find(const struct reply *reply, const char *path)
{
    const json_t *at = reply->json;
    char part[64];
    while (at && *path) {
        size_t size = strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", (int)size, path);
        at = json_is_array(at) ? json_array_get(at, strtoul(part, NULL, 10)) : json_object_get(at, part);
        path += size + (path[size] == '.');
    }
    return at;
}

bool reply_has(const struct reply *reply, const char *path)
{
    const json_t *at = find(reply, path);
    return at && !json_is_null(at);
}

static const char *body_of(const struct reply *reply) { return reply->body.data ? reply->body.data : ""; }

const char *reply_text(const struct reply *reply, const char *path)
{
    const char *text = json_string_value(find(reply, path));
    if (!text)
        test_fail(__FILE__, __LINE__, "no text at %s in %u: %s", path, reply->status, body_of(reply));
    return text;
}

long long reply_number(const struct reply *reply, const char *path)
{
    const json_t *at = find(reply, path);
    if (!json_is_integer(at) && !json_is_boolean(at))
        test_fail(__FILE__, __LINE__, "no number at %s in %u: %s", path, reply->status, body_of(reply));
    return json_is_boolean(at) ? json_is_true(at) : json_integer_value(at);
}

const char *reply_code(const struct reply *reply)
{
    const char *code = json_string_value(find(reply, "error.code"));
    return code ? code : "";
}

const char *live_new_key(struct live *live, const char *terms, uint64_t credits)
{
    struct buf path = {0}, body = {0};
    struct reply *made = live_ask(live, "POST", "/api/v1/keys", LIVE_KEY, terms);
    CHECK_EQ(made->status, 201);
    buf_printf(&path, "/api/v1/accounts/%s/deposits", reply_text(made, "account"));
    buf_printf(&body, "{\"amount\":%llu}", (unsigned long long)credits);
    if (credits > 0)
        CHECK_EQ(live_ask(live, "POST", path.data, LIVE_KEY, body.data)->status, 200);
    buf_done(&path);
    buf_done(&body);
    return reply_text(made, "key");
}
