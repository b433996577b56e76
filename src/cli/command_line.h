/* command_line.h - the table of subcommands, and how they speak to people. */
#ifndef CORTEN_CLI_COMMAND_LINE_H
#define CORTEN_CLI_COMMAND_LINE_H

#include "cli/options.h"

#define CORTEN_VERSION "0.1.0"

struct subcommand {
    const char *name;       // "dev"
    const char *arguments;  // "[--listen ADDRESS] …", for the first line of help; may be ""
    const char *summary;    // one line
    const char *text;       // what to know, with examples
    const struct option_info *options;
    int (*run)(const struct options *options);  // gives the exit status
};

/* Exit statuses, as in sysexits where one fits: 0 done, 1 it failed, 2 the command line or configuration is wrong. */
enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

extern const struct subcommand cmd_demo, cmd_dev, cmd_router, cmd_miner, cmd_oracle, cmd_ask, cmd_session, cmd_task,
    cmd_node, cmd_account, cmd_key, cmd_ledger, cmd_receipt;

/* "corten dev: what: …", with the text of the last failure, on standard error; gives EXIT_FAILED. */
int fail(const char *subcommand, enum cx_err err);
/* The same for a wrong command line, with the way to its help; gives EXIT_USAGE. */
int fail_usage(const char *subcommand, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Whether standard output is a terminal that shows colours (NO_COLOR is heeded). */
bool is_colourful(void);

#endif
