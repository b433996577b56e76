/* corten router: the endpoint in front of the miners. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hex.h"
#include "base/log.h"
#include "cli/command_line.h"
#include "cli/founder.h"
#include "cli/genesis.h"
#include "cli/keyfile.h"
#include "crypto/address_text.h"
#include "crypto/random.h"
#include "router/router.h"

#define DRAIN_MS 20000

static const struct option_info infos[] = {
    {"listen", 'l', OPTION_TEXT, "ADDRESS", "127.0.0.1:5010", "where to serve; port 0 lets the system choose", 0, 0,
     false},
    {"data", 'd', OPTION_TEXT, "DIR", NULL, "folder of ledger, payloads and archive", 0, 0, false},
    {"ledger", 0, OPTION_TEXT, "URI", NULL, "sqlite:PATH, in place of DIR/ledger.db", 0, 0, false},
    {"key", 0, OPTION_TEXT, "FILE", NULL, "the router's keystore file", 0, 0, false},
    {"password-file", 0, OPTION_TEXT, "FILE", NULL, "of the keys; else CORTEN_PASSWORD, else empty", 0, 0, false},
    {"admin-key", 0, OPTION_TEXT, "FILE", NULL, "an admin's key: for deposits, models and invitations over HTTP", 0, 0,
     false},
    {"redundancy", 0, OPTION_NUMBER, "N", "1", "of the shared sessions", 1, REDUNDANCY_MAX, false},
    {"validation", 0, OPTION_TEXT, "POLICY", "hash", "of the shared sessions: hash or majority", 0, 0, false},
    {"found", 0, OPTION_FLAG, NULL, NULL, "begin a new network where the ledger is empty", 0, 0, false},
    {"network", 0, OPTION_NUMBER, "ID", NULL, "found: its id; else a random one", 1, UINT64_MAX, false},
    {"admin", 0, OPTION_TEXT, "ADDRESS", NULL, "found: an admin; may be repeated; --admin-key's is one", 0, 0, true},
    {"admin-quorum", 0, OPTION_NUMBER, "K", "1", "found: admins that must sign", 1, ADMINS_MAX, false},
    {"oracle", 0, OPTION_TEXT, "ORACLE,OPERATOR,END", NULL,
     "found: an oracle, from corten oracle chain-end; may be repeated", 0, 0, true},
    {"oracle-quorum", 0, OPTION_NUMBER, "K", "1", "found: oracles that must agree", 1, ORACLES_MAX, false},
    {"param", 0, OPTION_TEXT, "NAME=VALUE", NULL, "found: a parameter; may be repeated", 0, 0, true},
    {"engine", 0, OPTION_TEXT, "ENGINE", NULL, "found: put this engine's model into the catalog", 0, 0, false},
    {"model", 'm', OPTION_TEXT, "NAME", "corten-demo", "found: the model's name", 0, 0, false},
    {"price-in-max", 0, OPTION_NUMBER, "CREDITS", FOUNDER_PRICE_IN_MAX, "found: what a million tokens read may cost", 0,
     PRICE_MAX, false},
    {"price-out-max", 0, OPTION_NUMBER, "CREDITS", FOUNDER_PRICE_OUT_MAX, "found: and written", 0, PRICE_MAX, false},
    OPTIONS_END,
};

struct running {
    const struct options *options;
    struct net_loop *loop;
    struct router *router;
    struct founder founder;
    struct genesis genesis;
    struct key *key, *admin;
    struct buf ledger, archive;  // their places
    int code;                    // to exit with
    bool draining;
};

/* ---- founding ---- */

static enum cx_err read_oracle(const char *text, struct genesis_oracle *ret)
{
    char copy[256];
    char *part[3], *rest = copy;
    snprintf(copy, sizeof copy, "%s", text);
    for (int i = 0; i < 3; i++)
        if (!(part[i] = strsep(&rest, ",")))
            return cx_fail(CX_INVALID, "--oracle: \"%s\" is not ORACLE,OPERATOR,END; corten oracle chain-end prints it",
                           text);
    enum cx_err err = address_parse(part[0], strlen(part[0]), &ret->oracle);
    if (!err)
        err = address_parse(part[1], strlen(part[1]), &ret->operator);
    if (err)
        return cx_fail(CX_INVALID, "--oracle: %s", cx_detail());
    if (!hex_decode(part[2], strlen(part[2]), ret->chain_end.b, sizeof ret->chain_end.b))
        return cx_fail(CX_INVALID, "--oracle: the chain's end is 64 hexadecimal digits");
    return CX_OK;
}

static enum cx_err build_genesis(struct running *r, uint64_t network)
{
    const struct options *o = r->options;
    if (option_given(o, "network"))
        network = option_number(o, "network");
    else if (network == 0)
        network = 1 + (random_u64() >> 12);  // fits a JavaScript number
    genesis_init(&r->genesis, network, (uint8_t)option_number(o, "admin-quorum"),
                 (uint8_t)option_number(o, "oracle-quorum"));
    const struct option *admins = option_find(o, "admin"), *oracles = option_find(o, "oracle");
    const struct option *params = option_find(o, "param");
    enum cx_err err = CX_OK;
    if (r->admin)
        genesis_admin(&r->genesis, key_address(r->admin));
    for (uint32_t i = 0; i < admins->count && !err; i++) {
        struct address admin;
        err = address_parse(admins->text[i], strlen(admins->text[i]), &admin);
        genesis_admin(&r->genesis, &admin);
    }
    for (uint32_t i = 0; i < oracles->count && !err; i++) {
        struct genesis_oracle oracle;
        err = read_oracle(oracles->text[i], &oracle);
        if (!err)
            genesis_oracle(&r->genesis, &oracle);
    }
    for (uint32_t i = 0; i < params->count && !err; i++)
        err = genesis_param(&r->genesis, params->text[i]);
    if (!err && r->genesis.admins.size == 0)
        err = cx_fail(CX_INVALID, "--found needs an admin: --admin-key FILE or --admin ADDRESS");
    genesis_router(&r->genesis, key_address(r->key), key_address(r->key));
    genesis_finish(&r->genesis);
    return err;
}

static void print_ready(struct running *r)
{
    const char *listen = option_text(r->options, "listen"), *colon = strrchr(listen, ':');
    int host = colon ? (int)(colon - listen) : (int)strlen(listen);
    if (option_flag(r->options, "json"))
        printf("{\"ready\":\"http://%.*s:%u\"}\n", host, listen, router_port(r->router));
    else
        printf("ready http://%.*s:%u\n", host, listen, router_port(r->router));
    fflush(stdout);
}

static void print_key(void *ctx, const char *text)
{
    (void)ctx;
    fprintf(stderr, "corten router: the admin API key, shown this once: %s\n", text);
}

/* What was founded is durable: only now may others use the admin's next nonce. */
static void founded(void *ctx, enum cx_err err)
{
    struct running *r = ctx;
    if (!err) {
        print_ready(r);
        return;
    }
    r->code = fail("router: founding", err);
    net_loop_stop(r->loop);
}

/* The catalog's entry for the engine that miners are to run. */
static enum cx_err put_model(struct running *r)
{
    cx_auto(runtime) runtime = NULL;
    const char *engine = option_text(r->options, "engine"), *model = option_text(r->options, "model");
    if (!engine) {
        print_ready(r);
        return CX_OK;
    }
    if (!r->admin)
        return cx_fail(CX_INVALID, "--engine needs --admin-key, to put its model into the catalog");
    enum cx_err err = runtime_open(r->loop, engine, model, &(struct runtime_options){0}, &runtime);
    if (err)
        return err;
    const struct runtime_info *info = runtime_info(runtime);
    const struct founder_model m = {.name = model,
                                    .manifest_digest = info->manifest,
                                    .context = info->context,
                                    .template_tokens = info->template_tokens,
                                    .price_in_max = option_number(r->options, "price-in-max"),
                                    .price_out_max = option_number(r->options, "price-out-max")};
    founder_init(&r->founder, router_replica(r->router), r->admin, founded, r);
    founder_model(&r->founder, &m);
    founder_end(&r->founder);
    return CX_OK;
}

/* ---- running ---- */

static void on_ready(void *ctx)
{
    struct running *r = ctx;
    cx_maybe(r->draining);
    log_info("router", "nodes serve: prompts are answered");
}

static void on_stopped(void *ctx, enum cx_err err, const char *why)
{
    struct running *r = ctx;
    r->code = fail("router", cx_fail(err, "%s", why));  // now: what is closed afterwards has errors of its own
    net_loop_stop(r->loop);
}

static void on_progress(void *ctx, uint64_t seq, uint64_t of)
{
    struct running *r = ctx;
    if (isatty(STDERR_FILENO) && !option_flag(r->options, "quiet") && seq % 4096 == 0)
        fprintf(stderr, "\rreplaying the ledger: %" PRIu64 " of %" PRIu64, seq, of);
}

static void drained(void *ctx)
{
    struct running *r = ctx;
    net_loop_stop(r->loop);
}

static void on_signal(void *ctx, int signal)
{
    struct running *r = ctx;
    (void)signal;
    if (r->draining) {
        net_loop_stop(r->loop);
        return;
    }
    r->draining = true;
    router_drain(r->router, DRAIN_MS, drained, r);
}

static int policy_of(const char *text)
{
    char name[32];
    snprintf(name, sizeof name, "%s", text);
    for (char *c = name; *c; c++)
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    int policy = term_find(TERM_validation_policy, name);
    return policy == VALIDATION_HASH || policy == VALIDATION_MAJORITY ? policy : -1;
}

static enum cx_err open_router(struct running *r)
{
    const struct options *o = r->options;
    int policy = policy_of(option_text(o, "validation"));
    if (policy < 0)
        return cx_fail(CX_INVALID, "--validation is hash or majority; similarity, rescore and judge are not built");
    const struct router_options options = {.loop = r->loop,
                                           .listen = option_text(o, "listen"),
                                           .ledger_uri = r->ledger.data,
                                           .archive_path = r->archive.data,
                                           .key = r->key,
                                           .admin = r->admin,
                                           .genesis = option_flag(o, "found") ? &r->genesis.command : NULL,
                                           .on_first_key = option_flag(o, "found") ? print_key : NULL,
                                           .redundancy = (uint8_t)option_number(o, "redundancy"),
                                           .validation = (uint8_t)policy,
                                           .audit_bp = 1000,
                                           .on_ready = on_ready,
                                           .on_stopped = on_stopped,
                                           .on_progress = on_progress,
                                           .ctx = r};
    return router_open(&options, &r->router);
}

static enum cx_err choose_places(struct running *r)
{
    const char *data = option_text(r->options, "data"), *uri = option_text(r->options, "ledger");
    if (data) {
        if (mkdir(data, 0700) != 0 && errno != EEXIST)
            return cx_fail(CX_IO, "--data: %s: %s", data, strerror(errno));
        buf_printf(&r->ledger, "sqlite:%s/ledger.db", data);
        buf_printf(&r->archive, "%s/archive.db", data);
    }
    if (uri) {
        buf_reset(&r->ledger);
        buf_text(&r->ledger, uri);
    }
    if (uri && !data)
        buf_printf(&r->archive, "%s.archive", uri + (strncmp(uri, "sqlite:", 7) == 0 ? 7 : 0));
    if (!uri && !data)
        return cx_fail(CX_INVALID, "--data DIR (or --ledger sqlite:PATH) is missing");
    return CX_OK;
}

/* Also where an earlier start died on the way: the same command goes on with what it left. */
static enum cx_err prepare_founding(struct running *r)
{
    bool is_new;
    uint64_t network;
    enum cx_err err = founder_look(r->ledger.data, &is_new, &network);
    return err ? err : build_genesis(r, network);
}

static enum cx_err start(struct running *r)
{
    enum cx_err err = keyfile_read(r->options, "key", &r->key);
    if (!err && option_text(r->options, "admin-key"))
        err = keyfile_read(r->options, "admin-key", &r->admin);
    if (!err)
        err = choose_places(r);
    if (!err && option_flag(r->options, "found"))
        err = prepare_founding(r);
    if (!err)
        err = net_loop_open(&r->loop);
    if (!err)
        err = net_loop_signals(r->loop, on_signal, r);
    if (!err)
        err = open_router(r);
    return err ? err : put_model(r);
}

static int run(const struct options *options)
{
    struct running r = {.options = options, .code = EXIT_DONE};
    if (options->arguments > 0)
        return fail_usage("router", "\"%s\" is too much", options->argument[0]);
    enum cx_err err = start(&r);
    if (err)
        r.code = fail("router", err);
    else
        net_loop_run(r.loop);
    router_close(r.router);
    net_loop_close(r.loop);
    key_close(r.key);
    key_close(r.admin);
    genesis_done(&r.genesis);
    buf_done(&r.ledger);
    buf_done(&r.archive);
    return r.code;
}

const struct subcommand cmd_router = {
    .name = "router",
    .arguments = "--listen ADDRESS --data DIR --key FILE [--found …]",
    .summary = "serve clients and miners, and keep the ledger",
    .text = "A router speaks OpenAI's API to clients and the miner protocol to miners and oracles, and appends every\n"
            "decision to its ledger. The first start founds the network:\n\n"
            "  corten key new router.json && corten key new admin.json && corten key new oracle.json\n"
            "  corten router --data net --key router.json --found --network 7 --admin-key admin.json \\\n"
            "                --engine builtin --model corten-demo \\\n"
            "                --oracle $(corten oracle chain-end --network 7 --key oracle.json)\n\n"
            "It prints an admin API key once. Later starts need --data and --key alone. It prints \"ready\" when it\n"
            "serves; prompts are answered once nodes have passed their test (GET /readyz).\n",
    .options = infos,
    .run = run,
};
