/* corten miner: a node of the network. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "cli/command_line.h"
#include "cli/keyfile.h"
#include "core/terms.h"
#include "crypto/address_text.h"
#include "miner/miner.h"

static const struct option_info infos[] = {
    {"router", 'r', OPTION_TEXT, "URL", NULL, "ws[s]://HOST:PORT of a router; may be repeated", 0, 0, true},
    {"engine", 'e', OPTION_TEXT, "ENGINE", "builtin", "builtin, openai=URL, or echo (for tests)", 0, 0, false},
    {"model", 'm', OPTION_TEXT, "NAME", "corten-demo", "the model, as the engine knows it", 0, 0, false},
    {"key", 0, OPTION_TEXT, "FILE", NULL, "the node's keystore file", 0, 0, false},
    {"operator-key", 0, OPTION_TEXT, "FILE", NULL, "who owns the node and is paid; else the node itself", 0, 0, false},
    {"password-file", 0, OPTION_TEXT, "FILE", NULL, "of the keys; else CORTEN_PASSWORD, else empty", 0, 0, false},
    {"slots", 0, OPTION_NUMBER, "N", "1", "tasks at once", 1, NODE_SLOTS_MAX, false},
    {"context", 0, OPTION_NUMBER, "TOKENS", NULL, "for engines that cannot say", 1, UINT32_MAX, false},
    {"price-in", 0, OPTION_NUMBER, "CREDITS", "1000000", "per million tokens read", 0, PRICE_MAX, false},
    {"price-out", 0, OPTION_NUMBER, "CREDITS", "2000000", "per million tokens written", 0, PRICE_MAX, false},
    {"stake", 0, OPTION_NUMBER, "CREDITS", NULL, "else what the network asks for", 0, UINT64_MAX, false},
    {"invite", 0, OPTION_TEXT, "HEX", NULL, "from corten node invite", 0, 0, false},
    {"engine-key", 0, OPTION_TEXT, "KEY", NULL, "the API key of an openai engine", 0, 0, false},
    {"ca-file", 0, OPTION_TEXT, "FILE", NULL, "certificates to trust for wss://, PEM", 0, 0, false},
    {"fault", 0, OPTION_TEXT, "NAME[=N]", NULL,
     "for tests: wrong-reveal, withhold-reveal, late-reveal=MS, stale-lease, drop-after=CHUNKS", 0, 0, true},
    OPTIONS_END,
};

struct running {
    struct net_loop *loop;
    struct miner *miner;
    const struct options *options;
    int code;  // to exit with
    bool draining;
};

static void on_ready(void *ctx)
{
    struct running *r = ctx;
    char node[ADDRESS_TEXT_SIZE];
    address_print(miner_node(r->miner), node);
    if (option_flag(r->options, "json"))
        printf("{\"ready\":\"%s\"}\n", node);
    else
        printf("ready node %s\n", node);
    fflush(stdout);
}

static void on_state(void *ctx, enum node_state state)
{
    struct running *r = ctx;
    struct miner_why why;
    miner_why(r->miner, &why);
    log_info("miner", "state=%s %s", term_name(TERM_node_state, state), why.text);
}

static void on_stopped(void *ctx, enum cx_err err)
{
    struct running *r = ctx;
    if (err)
        r->code = fail("miner", err);  // now: what ends afterwards has errors of its own
    net_loop_stop(r->loop);
}

/* The first signal drains; the second ends at once. */
static void on_signal(void *ctx, int signal)
{
    struct running *r = ctx;
    (void)signal;
    if (r->draining) {
        net_loop_stop(r->loop);
        return;
    }
    r->draining = true;
    log_info("miner", "draining: running tasks end, no new ones are taken; once more to stop at once");
    miner_drain(r->miner);
}

static enum cx_err read_fault(const char *text, struct miner_faults *ret)
{
    unsigned value = 0;
    if (strcmp(text, "wrong-reveal") == 0)
        ret->wrong_reveal = true;
    else if (strcmp(text, "withhold-reveal") == 0)
        ret->withhold_reveal = true;
    else if (strcmp(text, "stale-lease") == 0)
        ret->stale_lease = true;
    else if (sscanf(text, "late-reveal=%u", &value) == 1)
        ret->late_reveal_ms = value;
    else if (sscanf(text, "drop-after=%u", &value) == 1)
        ret->drop_after = value;
    else
        return cx_fail(CX_INVALID, "--fault: there is no \"%s\"; --help lists them", text);
    return CX_OK;
}

static enum cx_err fill(const struct options *options, struct miner_options *m)
{
    const struct option *routers = option_find(options, "router"), *faults = option_find(options, "fault");
    const char *invite = option_text(options, "invite");
    enum cx_err err = CX_OK;
    if (routers->count == 0)
        return cx_fail(CX_INVALID, "--router URL is missing");
    if (invite && !hex_decode(invite, strlen(invite), m->invite.b, sizeof m->invite.b))
        return cx_fail(CX_INVALID, "--invite: expected 64 hexadecimal digits");
    for (uint32_t i = 0; i < faults->count && !err; i++)
        err = read_fault(faults->text[i], &m->faults);
    m->router = routers->text;
    m->routers = routers->count;
    m->engine = option_text(options, "engine");
    m->model = option_text(options, "model");
    m->api_key = option_text(options, "engine-key");
    m->slots = (uint32_t)option_number(options, "slots");
    m->context = (uint32_t)option_number(options, "context");
    m->price_in = option_number(options, "price-in");
    m->price_out = option_number(options, "price-out");
    m->stake = amount_of(option_number(options, "stake"));
    m->ca_file = option_text(options, "ca-file");
    return err;
}

static int run(const struct options *options)
{
    cx_auto(net_loop) loop = NULL;
    cx_auto(key) key = NULL;
    cx_auto(key) operator= NULL;
    cx_auto(miner) miner = NULL;
    struct running running = {.options = options, .code = EXIT_DONE};
    struct miner_options m = {.on_ready = on_ready, .on_state = on_state, .on_stopped = on_stopped, .ctx = &running};
    enum cx_err err = fill(options, &m);
    if (err)
        return fail_usage("miner", "%s", cx_detail());
    err = keyfile_read(options, "key", &key);
    if (!err && option_text(options, "operator-key"))
        err = keyfile_read(options, "operator-key", &operator);
    if (!err)
        err = net_loop_open(&loop);
    m.loop = running.loop = loop;
    m.key = key;
    m.operator= operator;
    if (!err)
        err = net_loop_signals(loop, on_signal, &running);
    if (!err)
        err = miner_open(&m, &miner);
    if (err)
        return fail("miner", err);
    running.miner = miner;
    net_loop_run(loop);
    return running.code;
}

const struct subcommand cmd_miner = {
    .name = "miner",
    .arguments = "--router ws://HOST:PORT --key FILE [--engine ENGINE --model NAME]",
    .summary = "serve a model to the network",
    .text = "A miner needs an outbound connection only. It registers its node, is tested by an oracle, and then takes\n"
            "tasks; it prints \"ready\" when it is attached. SIGTERM drains it: what runs ends, nothing new comes.\n\n"
            "  corten key new miner.json\n"
            "  corten miner --router ws://127.0.0.1:5010 --key miner.json\n"
            "  corten miner --router wss://router.example --key miner.json \\\n"
            "               --engine openai=http://127.0.0.1:8080 --model llama-3.1-8b --slots 4\n",
    .options = infos,
    .run = run,
};
