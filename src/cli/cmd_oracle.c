/* corten oracle: tests nodes and audits answers. */
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "cli/command_line.h"
#include "cli/keyfile.h"
#include "crypto/address_text.h"
#include "oracle/chain.h"
#include "oracle/oracle.h"

static const struct option_info infos[] = {
    {"router", 'r', OPTION_TEXT, "URL", NULL, "http[s]://HOST:PORT of a router; may be repeated", 0, 0, true},
    {"engine", 'e', OPTION_TEXT, "ENGINE", "builtin", "what recomputes answers: builtin, echo or none", 0, 0, false},
    {"model", 'm', OPTION_TEXT, "NAME", "corten-demo", "the model, as the engine knows it", 0, 0, false},
    {"key", 0, OPTION_TEXT, "FILE", NULL, "the oracle's keystore file", 0, 0, false},
    {"password-file", 0, OPTION_TEXT, "FILE", NULL, "of the key; else CORTEN_PASSWORD, else empty", 0, 0, false},
    {"ca-file", 0, OPTION_TEXT, "FILE", NULL, "certificates to trust for https://, PEM", 0, 0, false},
    {"network", 0, OPTION_NUMBER, "ID", NULL, "with chain-end: the network's id", 0, UINT64_MAX, false},
    OPTIONS_END,
};

struct running {
    struct net_loop *loop;
    const struct options *options;
    const struct key *key;
    int code;  // to exit with
};

static void on_ready(void *ctx)
{
    struct running *r = ctx;
    char text[ADDRESS_TEXT_SIZE];
    address_print(key_address(r->key), text);
    if (option_flag(r->options, "json"))
        printf("{\"ready\":\"%s\"}\n", text);
    else
        printf("ready oracle %s\n", text);
    fflush(stdout);
}

static void on_stopped(void *ctx, enum cx_err err)
{
    struct running *r = ctx;
    r->code = fail("oracle", err);  // now: what ends afterwards has errors of its own
    net_loop_stop(r->loop);
}

static void on_signal(void *ctx, int signal)
{
    struct running *r = ctx;
    (void)signal;
    net_loop_stop(r->loop);
}

/* What a genesis or oracle_add needs of an oracle that is to join. */
static int print_chain_end(const struct options *options, const struct key *key)
{
    struct hash end;
    char address[ADDRESS_TEXT_SIZE], hex[65];
    if (!option_given(options, "network"))
        return fail_usage("oracle", "chain-end needs --network ID");
    oracle_chain_end(key, option_number(options, "network"), 0, &end);
    address_print(key_address(key), address);
    hex_encode(end.b, sizeof end.b, hex);
    if (option_flag(options, "json"))
        printf("{\"oracle\":\"%s\",\"chain_end\":\"0x%s\"}\n", address, hex);
    else
        printf("%s,%s,%s\n", address, address, hex);
    return EXIT_DONE;
}

static int run(const struct options *options)
{
    cx_auto(net_loop) loop = NULL;
    cx_auto(key) key = NULL;
    cx_auto(oracle) oracle = NULL;
    const struct option *routers = option_find(options, "router");
    bool end_only = options->arguments == 1 && strcmp(options->argument[0], "chain-end") == 0;
    if (options->arguments > 0 && !end_only)
        return fail_usage("oracle", "there is no \"%s\"; chain-end is the only word", options->argument[0]);
    enum cx_err err = keyfile_read(options, "key", &key);
    if (err)
        return fail("oracle", err);
    if (end_only)
        return print_chain_end(options, key);
    if (routers->count == 0)
        return fail_usage("oracle", "--router URL is missing");
    err = net_loop_open(&loop);
    struct running running = {.loop = loop, .options = options, .key = key, .code = EXIT_DONE};
    const char *engine = option_text(options, "engine");
    const struct oracle_options o = {.loop = loop,
                                     .router = routers->text,
                                     .routers = routers->count,
                                     .key = key,
                                     .engine = strcmp(engine, "none") == 0 ? NULL : engine,
                                     .model = option_text(options, "model"),
                                     .ca_file = option_text(options, "ca-file"),
                                     .on_ready = on_ready,
                                     .on_stopped = on_stopped,
                                     .ctx = &running};
    if (!err)
        err = net_loop_signals(loop, on_signal, &running);
    if (!err)
        err = oracle_open(&o, &oracle);
    if (err)
        return fail("oracle", err);
    net_loop_run(loop);
    return running.code;
}

const struct subcommand cmd_oracle = {
    .name = "oracle",
    .arguments = "--router URL --key FILE [--engine ENGINE] | chain-end --network ID --key FILE",
    .summary = "test nodes and audit answers",
    .text =
        "An oracle is one of the set that the network's genesis or its admins name. It sets the rounds in which nodes\n"
        "are tested, recomputes answers with an engine of its own, and reveals the randomness of picks and audits.\n\n"
        "  corten oracle --router http://127.0.0.1:5010 --key oracle.json\n"
        "  corten oracle chain-end --network 7 --key oracle.json\n"
        "      prints ORACLE,OPERATOR,END for corten router --oracle\n",
    .options = infos,
    .run = run,
};
