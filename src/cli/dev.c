#include "cli/dev.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/log.h"
#include "cli/children.h"
#include "cli/founder.h"
#include "cli/genesis.h"
#include "cli/keyfile.h"
#include "core/terms.h"
#include "crypto/keccak.h"
#include "crypto/random.h"
#include "oracle/chain.h"
#include "router/custody.h"
#include "router/router.h"
#include "runtime/runtime.h"

#define DRAIN_MS  5000
#define PATH_SIZE 4096

struct dev {
    struct dev_options options;
    char folder[PATH_SIZE], url[DEV_URL_SIZE], api_key[CUSTODY_KEY_SIZE];
    bool temporary, is_new, is_ready, stopping;
    struct key *router_key, *admin, *oracle_key;
    struct genesis genesis;
    struct runtime *runtime;  // to know the model; closed when it is in the catalog
    struct router *router;
    struct founder founder;
    struct children *children;
    enum cx_err err;
    struct net_timer soon;
    uint64_t network;  // of a ledger that was left without entries; 0: none
};

/* Short periods, so that a network of one machine is quick: docs/protocol.md, "Parameters". */
static const char *const dev_params[] = {
    "heartbeat_ms=1000",      "oracle_window_ms=5000", "backoff_ms_min=2000",      "backoff_ms_max=60000",
    "round_step_ms=5000",     "round_ack_ms=5000",     "round_precommit_ms=60000", "round_commit_ms=5000",
    "round_verdict_ms=30000", "audit_ms=60000",
};

/* ---- the end ---- */

static void stopped(struct dev *dev)
{
    enum cx_err err = dev->err;
    dev->options.on_stopped(dev->options.ctx, err);
}

static void children_stopped(void *ctx) { stopped(ctx); }

static void router_drained(void *ctx)
{
    struct dev *dev = ctx;
    children_stop(dev->children, children_stopped, dev);
}

void dev_stop(struct dev *dev)
{
    if (dev->stopping)
        return;
    dev->stopping = true;
    router_drain(dev->router, DRAIN_MS, router_drained, dev);
}

static void fail_soon(void *ctx)
{
    struct dev *dev = ctx;
    dev_stop(dev);
}

/* What went wrong is told at once, and is the end. */
static void give_up(struct dev *dev, enum cx_err err)
{
    if (dev->err || dev->stopping)
        return;
    dev->err = err;
    log_error("dev", "%s", cx_detail());
    net_timer_soon(dev->options.loop, &dev->soon, fail_soon, dev);
}

/* ---- keys and genesis ---- */

static enum cx_err key_of(struct dev *dev, const char *name, struct key **ret_key)
{
    char path[PATH_SIZE + 64];
    snprintf(path, sizeof path, "%s/keys/%s.json", dev->folder, name);
    return keyfile_make(path, ret_key);
}

static enum cx_err make_folder(struct dev *dev)
{
    if (dev->options.data) {
        if (strlen(dev->options.data) >= sizeof dev->folder)
            return cx_fail(CX_INVALID, "--data: the path is too long");
        snprintf(dev->folder, sizeof dev->folder, "%s", dev->options.data);
        if (mkdir(dev->folder, 0700) != 0 && errno != EEXIST)
            return cx_fail(CX_IO, "--data: %s: %s", dev->folder, strerror(errno));
    } else {
        const char *tmp = getenv("TMPDIR");
        snprintf(dev->folder, sizeof dev->folder, "%s/corten-dev-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        dev->temporary = mkdtemp(dev->folder) != NULL;
        if (!dev->temporary)
            return cx_fail(CX_IO, "%s: %s", dev->folder, strerror(errno));
    }
    char path[PATH_SIZE + 64];
    snprintf(path, sizeof path, "%s/keys", dev->folder);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return cx_fail(CX_IO, "%s: %s", path, strerror(errno));
    snprintf(path, sizeof path, "sqlite:%s/ledger.db", dev->folder);
    return founder_look(path, &dev->is_new, &dev->network);
}

static bool is_overridden(const struct dev *dev, const char *param)
{
    size_t size = (size_t)(strchr(param, '=') - param) + 1;
    for (uint32_t i = 0; i < dev->options.params; i++)
        if (strncmp(dev->options.param[i], param, size) == 0)
            return true;
    return false;
}

static enum cx_err build_genesis(struct dev *dev)
{
    uint64_t network = dev->network ? dev->network : 1 + (random_u64() >> 12);  // fits a JavaScript number
    struct genesis_oracle oracle = {.oracle = *key_address(dev->oracle_key), .operator= * key_address(dev->oracle_key)};
    enum cx_err err = CX_OK;
    oracle_chain_end(dev->oracle_key, network, 0, &oracle.chain_end);
    genesis_init(&dev->genesis, network, 1, 1);
    genesis_admin(&dev->genesis, key_address(dev->admin));
    genesis_oracle(&dev->genesis, &oracle);
    genesis_router(&dev->genesis, key_address(dev->router_key), key_address(dev->router_key));
    for (size_t i = 0; i < ARRAY_COUNT(dev_params) && !err; i++)
        if (!is_overridden(dev, dev_params[i]))
            err = genesis_param(&dev->genesis, dev_params[i]);
    for (uint32_t i = 0; i < dev->options.params && !err; i++)
        err = genesis_param(&dev->genesis, dev->options.param[i]);
    genesis_finish(&dev->genesis);
    return err;
}

/* ---- the API key ---- */

static bool is_loopback(const char *listen)
{
    return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]", 5) == 0 ||
           strncmp(listen, "localhost:", 10) == 0;
}

/* Everybody knows the development key, so it opens nothing that others can reach. */
static void choose_api_key(struct dev *dev)
{
    if (is_loopback(dev->options.listen))
        snprintf(dev->api_key, sizeof dev->api_key, "%s", DEV_API_KEY);
}

static void first_key(void *ctx, const char *text)
{
    struct dev *dev = ctx;
    snprintf(dev->api_key, sizeof dev->api_key, "%s", text);
    dev->options.on_first_key(dev->options.ctx, text);
}

/* ---- children ---- */

static void child_ready(void *ctx, const char *name)
{
    struct dev *dev = ctx;
    if (!dev->options.quiet)
        log_info("dev", "%s is ready", name);
}

static void child_failed(void *ctx, const char *name, const char *why)
{
    struct dev *dev = ctx;
    give_up(dev,
            cx_fail(CX_IO, "%s ended %d times before it was ready; its last words: %s", name, CHILD_FAILS_MAX, why));
}

/* By the environment, because everybody sees what stands on a command line. */
static void hand_on_engine_key(const struct dev *dev)
{
    if (dev->options.engine_key && setenv("CORTEN_ENGINE_KEY", dev->options.engine_key, 1) != 0)
        log_warn("dev", "--engine-key: the environment has no room for it");
}

static enum cx_err start_miner(struct dev *dev, uint32_t number)
{
    char name[32], key[PATH_SIZE + 64], router[DEV_URL_SIZE], slots[16];
    cx_auto(key) made = NULL;
    snprintf(name, sizeof name, "miner-%u", number);
    snprintf(key, sizeof key, "%s/keys/%s.json", dev->folder, name);
    snprintf(router, sizeof router, "ws%s", dev->url + strlen("http"));
    snprintf(slots, sizeof slots, "%u", dev->options.slots);
    enum cx_err err = keyfile_make(key, &made);
    if (err)
        return err;
    const char *argument[CHILD_ARGUMENTS_MAX] = {
        "miner",   "--router",         router,    "--key", key, "--engine", dev->options.engine,
        "--model", dev->options.model, "--slots", slots};
    uint32_t count = 11;
    for (uint32_t i = 0; i < dev->options.faults && count + 2 < CHILD_ARGUMENTS_MAX; i++) {
        const char *colon = strchr(dev->options.fault[i], ':');
        if (!colon || strtoul(dev->options.fault[i], NULL, 10) != number)
            continue;
        argument[count++] = "--fault";
        argument[count++] = colon + 1;
    }
    if (dev->options.quiet)
        argument[count++] = "--quiet";
    return children_start(dev->children, name, argument, count);
}

static enum cx_err start_oracle(struct dev *dev)
{
    char key[PATH_SIZE + 64];
    snprintf(key, sizeof key, "%s/keys/oracle.json", dev->folder);
    /* An engine that only the operator can vouch for cannot be recomputed here. */
    const char *engine = strncmp(dev->options.engine, "openai", 6) == 0 ? "none" : dev->options.engine;
    const char *argument[] = {"oracle",
                              "--router",
                              dev->url,
                              "--key",
                              key,
                              "--engine",
                              engine,
                              "--model",
                              dev->options.model,
                              dev->options.quiet ? "--quiet" : NULL};
    return children_start(dev->children, "oracle", argument, dev->options.quiet ? 10 : 9);
}

static void founded(void *ctx, enum cx_err err)
{
    struct dev *dev = ctx;
    runtime_close(dev->runtime);
    dev->runtime = NULL;
    hand_on_engine_key(dev);
    if (!err && !dev->options.no_oracle)
        err = start_oracle(dev);
    for (uint32_t i = 1; i <= dev->options.miners && !err; i++)
        err = start_miner(dev, i);
    if (err)
        give_up(dev, err);
}

/* ---- model and money ---- */

/* The key that the network was founded with: its account gets the money, once. */
static bool founders_key(const struct dev *dev, struct key_view *ret_key)
{
    uint32_t at = 0;
    return view_key_at(replica_core(router_replica(dev->router)), &at, ret_key);
}

static void found(void *ctx, enum cx_err err, const char *detail)
{
    struct dev *dev = ctx;
    if (err) {
        give_up(dev, cx_fail(err, "--engine %s: %s", dev->options.engine, detail));
        return;
    }
    const struct runtime_info *info = runtime_info(dev->runtime);
    const struct founder_model model = {.name = dev->options.model,
                                        .manifest_digest = info->manifest,
                                        .context = info->context,
                                        .template_tokens = info->template_tokens,
                                        .price_in_max = strtoull(FOUNDER_PRICE_IN_MAX, NULL, 10),
                                        .price_out_max = strtoull(FOUNDER_PRICE_OUT_MAX, NULL, 10)};
    founder_init(&dev->founder, router_replica(dev->router), dev->admin, founded, dev);
    founder_model(&dev->founder, &model);
    struct key_view key;
    if (founders_key(dev, &key)) {
        struct hash reference;
        static const char once[] = "corten dev: the first deposit";
        keccak256(once, sizeof once - 1, &reference);
        founder_deposit(&dev->founder, &key.account, amount_of(DEV_BALANCE), &reference);
    }
    founder_end(&dev->founder);
}

/* ---- the router ---- */

static void router_ready(void *ctx)
{
    struct dev *dev = ctx;
    if (dev->is_ready)
        return;
    dev->is_ready = true;
    dev->options.on_ready(dev->options.ctx, dev->url, dev->api_key[0] ? dev->api_key : NULL);
}

static void router_stopped(void *ctx, enum cx_err err, const char *why)
{
    struct dev *dev = ctx;
    give_up(dev, cx_fail(err, "%s", why));
}

static enum cx_err open_router(struct dev *dev)
{
    char ledger[PATH_SIZE + 64], archive[PATH_SIZE + 64];
    const char *const admin_key[] = {dev->api_key};
    snprintf(ledger, sizeof ledger, "sqlite:%s/ledger.db", dev->folder);
    snprintf(archive, sizeof archive, "%s/archive.db", dev->folder);
    const struct router_options options = {.loop = dev->options.loop,
                                           .listen = dev->options.listen,
                                           .ledger_uri = ledger,
                                           .archive_path = archive,
                                           .key = dev->router_key,
                                           .admin = dev->admin,
                                           .genesis = dev->is_new ? &dev->genesis.command : NULL,
                                           .admin_key = admin_key,
                                           .admin_key_count = dev->api_key[0] ? 1 : 0,
                                           .on_first_key = dev->options.on_first_key ? first_key : NULL,
                                           .redundancy = (uint8_t)dev->options.redundancy,
                                           .validation = dev->options.validation,
                                           .audit_bp = 1000,
                                           .on_ready = router_ready,
                                           .on_stopped = router_stopped,
                                           .ctx = dev};
    enum cx_err err = router_open(&options, &dev->router);
    if (err)
        return err;
    const char *colon = strrchr(dev->options.listen, ':');
    int host = colon ? (int)(colon - dev->options.listen) : (int)strlen(dev->options.listen);
    snprintf(dev->url, sizeof dev->url, "http://%.*s:%u", host, dev->options.listen, router_port(dev->router));
    return CX_OK;
}

/* ---- opening ---- */

static enum cx_err begin(struct dev *dev)
{
    enum cx_err err = make_folder(dev);
    if (!err)
        err = key_of(dev, "router", &dev->router_key);
    if (!err)
        err = key_of(dev, "admin", &dev->admin);
    if (!err)
        err = key_of(dev, "oracle", &dev->oracle_key);
    if (!err && dev->is_new)
        err = build_genesis(dev);
    if (err)
        return err;
    choose_api_key(dev);
    err = runtime_open(dev->options.loop, dev->options.engine, dev->options.model,
                       &(struct runtime_options){.api_key = dev->options.engine_key}, &dev->runtime);
    if (!err)
        err = open_router(dev);
    if (!err)
        err = children_open(&(struct children_options){.loop = dev->options.loop,
                                                       .quiet = dev->options.quiet,
                                                       .on_ready = child_ready,
                                                       .on_failed = child_failed,
                                                       .ctx = dev},
                            &dev->children);
    return err ? err : runtime_measure(dev->runtime, found, dev);
}

enum cx_err dev_open(const struct dev_options *options, struct dev **ret_dev)
{
    struct dev *dev = calloc(1, sizeof *dev);
    cx_assert(dev);
    dev->options = *options;
    enum cx_err err = begin(dev);
    if (err) {
        dev_close(dev);
        return err;
    }
    *ret_dev = dev;
    return CX_OK;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void dev_close(struct dev *dev)
{
    if (!dev)
        return;
    net_timer_stop(&dev->soon);
    children_close(dev->children);
    runtime_close(dev->runtime);
    router_close(dev->router);
    genesis_done(&dev->genesis);
    key_close(dev->router_key);
    key_close(dev->admin);
    key_close(dev->oracle_key);
    if (dev->temporary)
        nftw(dev->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(dev);
}

const char *dev_url(const struct dev *dev) { return dev->url; }

const char *dev_folder(const struct dev *dev) { return dev->folder; }
