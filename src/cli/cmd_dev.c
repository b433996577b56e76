/* corten dev: a whole network in one terminal. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/command_line.h"
#include "cli/dev.h"
#include "core/limits.h"
#include "core/terms.h"

static const struct option_info infos[] = {
    {"listen", 'l', OPTION_TEXT, "ADDRESS", "127.0.0.1:5010", "where to serve; port 0 lets the system choose", 0, 0,
     false},
    {"data", 'd', OPTION_TEXT, "DIR", NULL, "keep everything here; else in a temporary folder", 0, 0, false},
    {"miners", 'n', OPTION_NUMBER, "N", "3", "how many miners to start", 0, 64, false},
    {"engine", 'e', OPTION_TEXT, "ENGINE", "builtin", "builtin, openai=URL, or echo (for tests)", 0, 0, false},
    {"model", 'm', OPTION_TEXT, "NAME", "corten-demo", "the model, as the engine knows it", 0, 0, false},
    {"engine-key", 0, OPTION_TEXT, "KEY", NULL, "the API key of an openai engine", 0, 0, false},
    {"slots", 0, OPTION_NUMBER, "N", "4", "tasks at once on each miner", 1, NODE_SLOTS_MAX, false},
    {"redundancy", 0, OPTION_NUMBER, "N", "1", "miners that work on each prompt", 1, REDUNDANCY_MAX, false},
    {"validation", 0, OPTION_TEXT, "POLICY", "hash", "how answers are checked: hash or majority", 0, 0, false},
    {"param", 0, OPTION_TEXT, "NAME=VALUE", NULL, "a parameter of the network; may be repeated", 0, 0, true},
    {"no-oracle", 0, OPTION_FLAG, NULL, NULL, "for tests: nobody tests the nodes", 0, 0, false},
    {"fault", 0, OPTION_TEXT, "N:FAULT", NULL, "for tests: a fault of the N'th miner; may be repeated", 0, 0, true},
    OPTIONS_END,
};

struct running {
    const struct options *options;
    struct net_loop *loop;
    struct dev *dev;
    enum cx_err err;
};

static void on_first_key(void *ctx, const char *text)
{
    (void)ctx;
    fprintf(stderr, "corten dev: the API key, shown this once: %s\n", text);
}

static void on_ready(void *ctx, const char *url, const char *api_key)
{
    struct running *r = ctx;
    if (option_flag(r->options, "json"))
        printf("{\"ready\":\"%s\"}\n", url);
    else
        printf("ready %s\n", url);
    fflush(stdout);
    if (option_flag(r->options, "quiet") || option_flag(r->options, "json"))
        return;
    fprintf(stderr,
            "\nOpenAI's API is at %s/v1; the key is %s. In another terminal:\n\n"
            "  corten ask \"In the beginning\"%s%s\n"
            "  curl %s/v1/chat/completions -H 'Authorization: Bearer %s' \\\n"
            "       -H 'Content-Type: application/json' \\\n"
            "       -d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"In the beginning\"}]}'\n\n"
            "Ctrl-C ends it%s.\n",
            url, api_key ? api_key : "the one that was shown at the first start",
            strcmp(url, "http://127.0.0.1:5010") == 0 ? "" : " --url ",
            strcmp(url, "http://127.0.0.1:5010") == 0 ? "" : url, url, api_key ? api_key : "KEY",
            option_text(r->options, "model"),
            option_text(r->options, "data") ? "" : ", and removes its temporary folder");
}

static void on_stopped(void *ctx, enum cx_err err)
{
    struct running *r = ctx;
    r->err = err;
    net_loop_stop(r->loop);
}

static void on_signal(void *ctx, int signal)
{
    struct running *r = ctx;
    (void)signal;
    dev_stop(r->dev);
}

static int run(const struct options *options)
{
    cx_auto(net_loop) loop = NULL;
    cx_auto(dev) dev = NULL;
    const struct option *params = option_find(options, "param"), *faults = option_find(options, "fault");
    const char *validation = option_text(options, "validation");
    bool majority = strcmp(validation, "majority") == 0;
    if (options->arguments > 0)
        return fail_usage("dev", "\"%s\" is too much", options->argument[0]);
    if (!majority && strcmp(validation, "hash") != 0)
        return fail_usage("dev", "--validation is hash or majority; similarity, rescore and judge are not built");
    if (option_number(options, "miners") > 0 && option_number(options, "redundancy") > option_number(options, "miners"))
        return fail_usage("dev", "--redundancy %s needs as many --miners", option_text(options, "redundancy"));
    struct running running = {.options = options};
    struct dev_options d = {.listen = option_text(options, "listen"),
                            .data = option_text(options, "data"),
                            .engine = option_text(options, "engine"),
                            .model = option_text(options, "model"),
                            .engine_key = option_text(options, "engine-key"),
                            .miners = (uint32_t)option_number(options, "miners"),
                            .slots = (uint32_t)option_number(options, "slots"),
                            .redundancy = (uint32_t)option_number(options, "redundancy"),
                            .validation = majority ? VALIDATION_MAJORITY : VALIDATION_HASH,
                            .param = params->text,
                            .params = params->count,
                            .fault = faults->text,
                            .faults = faults->count,
                            .no_oracle = option_flag(options, "no-oracle"),
                            .quiet = option_flag(options, "quiet"),
                            .on_first_key = on_first_key,
                            .on_ready = on_ready,
                            .on_stopped = on_stopped,
                            .ctx = &running};
    enum cx_err err = net_loop_open(&loop);
    running.loop = d.loop = loop;
    if (!err)
        err = dev_open(&d, &dev);
    running.dev = dev;
    if (!err)
        err = net_loop_signals(loop, on_signal, &running);
    if (err)
        return fail("dev", err);
    net_loop_run(loop);
    return running.err ? EXIT_FAILED : EXIT_DONE;  // what went wrong was logged when it did
}

const struct subcommand cmd_dev = {
    .name = "dev",
    .arguments = "[--miners N] [--engine ENGINE --model NAME] [--data DIR]",
    .summary = "a whole network in one terminal, to develop against",
    .text = "Starts a router, miners and an oracle, tests the miners, and prints \"ready URL\" once a prompt would be\n"
            "answered. On loopback the API key is default-dev-token; elsewhere a new one is made and shown once.\n\n"
            "  corten dev                                            the bundled model, three miners\n"
            "  corten dev --redundancy 3 --validation majority       three miners on each prompt\n"
            "  corten dev --engine openai=http://127.0.0.1:11434 --model llama3.2    in front of an Ollama\n"
            "  corten dev --data net                                 keeps its ledger; starts again where it was\n",
    .options = infos,
    .run = run,
};
