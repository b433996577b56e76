/* resource.h - what session, task, node and account have in common: a verb picks a request and a way to show its
 * answer.
 */
#ifndef CORTEN_CLI_RESOURCE_H
#define CORTEN_CLI_RESOURCE_H

#include "base/amount.h"
#include "cli/client.h"
#include "cli/show.h"

#define RESOURCE_PATH_SIZE 256

struct verb {
    const char *name;           // "top-up"
    const char *arguments;      // "ID AMOUNT", for messages
    uint32_t count, count_max;  // of arguments behind the verb; count_max 0: the same
    int (*run)(const struct options *options);
};

/* Runs the verb that argument[0] names, with the nearest right one where there is none. */
int verb_run(const char *subcommand, const struct verb *verbs, size_t count, const struct options *options);
/* The n'th argument behind the verb; NULL: not given. */
const char *verb_argument(const struct options *options, uint32_t n);

/* A path from a pattern whose %s are the arguments that follow, with what is no plain character of a path escaped. */
void resource_path(char ret_path[RESOURCE_PATH_SIZE], const char *pattern, const char *first, const char *second);

/* Asks, and shows: with --json what the router said, else the rows under `key` or, with key NULL, the fields. */
int resource_rows(const char *subcommand, const struct options *options, const char *path, const char *key,
                  const struct column *columns, const char *empty);
int resource_fields(const char *subcommand, const struct options *options, const char *method, const char *path,
                    const char *body, const struct column *columns);

/* POSTs a document and shows the answer's fields. */
int resource_send(const char *subcommand, const struct options *options, const char *path, const json_t *body,
                  const struct column *columns);

/* Credits as the API writes them: decimal digits in a string. A new reference. */
json_t *json_amount(struct amount amount);
/* "250000" are credits, "0.25coins" or "0.25 coins" coins of a million. */
enum cx_err amount_read(const char *text, struct amount *ret_amount);

#endif
