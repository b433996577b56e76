/* corten: a router, miners, oracles and the tools around them, in one program. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "cli/children.h"
#include "cli/command_line.h"

static const struct subcommand *const subcommands[] = {
    &cmd_demo, &cmd_dev,  &cmd_router,  &cmd_miner, &cmd_oracle, &cmd_ask,     &cmd_session,
    &cmd_task, &cmd_node, &cmd_account, &cmd_key,   &cmd_ledger, &cmd_receipt,
};

static void print_options(const struct option_info *infos)
{
    for (const struct option_info *o = infos; o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s%c%s--%s%s%s", o->letter ? "-" : " ", o->letter ? o->letter : ' ',
                 o->letter ? ", " : "  ", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("  %-28s %s", left, o->help);
        if (o->default_)
            printf(" (%s)", o->default_);
        putchar('\n');
    }
}

static int print_help(const struct subcommand *sub)
{
    printf("corten %s %s\n\n%s.\n\n%s\nOptions:\n", sub->name, sub->arguments, sub->summary, sub->text);
    print_options(sub->options);
    print_options(options_common);
    printf("\nEach option may also be set by the environment (CORTEN_…, in capitals) or in the file of --config,\n"
           "under [%s].\n",
           sub->name);
    return EXIT_DONE;
}

static int print_overview(FILE *to)
{
    fprintf(to, "corten turns computers that can run a language model into one network that serves it.\n\n"
                "  corten demo                     one prompt through a whole network, in one minute\n"
                "  corten dev                      a network to develop against: OpenAI's API on 127.0.0.1:5010\n\n"
                "Subcommands (corten SUBCOMMAND --help says more):\n");
    for (size_t i = 0; i < ARRAY_COUNT(subcommands); i++)
        fprintf(to, "  %-10s %s\n", subcommands[i]->name, subcommands[i]->summary);
    return to == stdout ? EXIT_DONE : EXIT_USAGE;
}

static const struct subcommand *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(subcommands); i++)
        if (strcmp(subcommands[i]->name, name) == 0)
            return subcommands[i];
    return NULL;
}

static int no_such(const char *name)
{
    const char *words[ARRAY_COUNT(subcommands)];
    for (size_t i = 0; i < ARRAY_COUNT(subcommands); i++)
        words[i] = subcommands[i]->name;
    const char *nearest = nearest_word(name, words, ARRAY_COUNT(words));
    fprintf(stderr, "corten: there is no subcommand \"%s\"", name);
    if (nearest)
        fprintf(stderr, "; did you mean \"%s\"?", nearest);
    fprintf(stderr, "\ncorten --help lists them.\n");
    return EXIT_USAGE;
}

static int run(const struct subcommand *sub, int argc, char **argv)
{
    struct options options;
    enum cx_err err = options_read(sub->name, sub->options, argc, argv, &options);
    if (err)
        return fail_usage(sub->name, "%s", cx_detail());
    if (options.help) {
        options_done(&options);
        return print_help(sub);
    }
    if (option_flag(&options, "quiet"))
        log_set_level(LOG_WARN);
    if (option_flag(&options, "verbose"))
        log_set_level(LOG_DEBUG);
    int status = sub->run(&options);
    options_done(&options);
    if (fflush(stdout) != 0 && status == EXIT_DONE)
        return EXIT_FAILED;  // what was asked for did not arrive
    return status;
}

int main(int argc, char **argv)
{
    if (getenv(CHILD_VARIABLE))
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (argc < 2)
        return print_overview(stderr);
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        puts("corten " CORTEN_VERSION);
        return EXIT_DONE;
    }
    bool is_help = strcmp(name, "help") == 0;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (is_help && argc == 2))
        return print_overview(stdout);
    const struct subcommand *sub = find(is_help ? argv[2] : name);
    if (!sub)
        return no_such(is_help ? argv[2] : name);
    return is_help ? print_help(sub) : run(sub, argc - 2, argv + 2);
}
