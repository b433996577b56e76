#include "cli/resource.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/command_line.h"

#define VERBS_MAX   16
#define COIN_DIGITS 6

/* ---- verbs ---- */

static int no_such_verb(const char *subcommand, const struct verb *verbs, size_t count, const char *name)
{
    const char *words[VERBS_MAX];
    struct buf all = {0};
    cx_assert(count <= VERBS_MAX);
    for (size_t i = 0; i < count; i++) {
        words[i] = verbs[i].name;
        buf_printf(&all, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ", verbs[i].name);
    }
    const char *nearest = name ? nearest_word(name, words, count) : NULL;
    int status;
    if (nearest)
        status = fail_usage(subcommand, "there is no \"%s\"; did you mean \"%s\"?", name, nearest);
    else if (name)
        status = fail_usage(subcommand, "there is no \"%s\"; expected %s", name, all.data);
    else
        status = fail_usage(subcommand, "expected %s", all.data);
    buf_done(&all);
    return status;
}

int verb_run(const char *subcommand, const struct verb *verbs, size_t count, const struct options *options)
{
    const char *name = options->arguments > 0 ? options->argument[0] : NULL;
    for (size_t i = 0; name && i < count; i++) {
        if (strcmp(verbs[i].name, name) != 0)
            continue;
        uint32_t given = options->arguments - 1;
        uint32_t max = verbs[i].count_max ? verbs[i].count_max : verbs[i].count;
        if (given < verbs[i].count || given > max)
            return fail_usage(subcommand, "expected %s%s%s", name, *verbs[i].arguments ? " " : "", verbs[i].arguments);
        return verbs[i].run(options);
    }
    return no_such_verb(subcommand, verbs, count, name);
}

const char *verb_argument(const struct options *options, uint32_t n)
{
    return n + 1 < options->arguments ? options->argument[n + 1] : NULL;
}

/* ---- paths ---- */

static void add_escaped(struct buf *out, const char *text)
{
    for (; *text; text++)
        if (isalnum((unsigned char)*text) || strchr("-._~", *text))
            buf_add(out, text, 1);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
}

void resource_path(char ret_path[RESOURCE_PATH_SIZE], const char *pattern, const char *first, const char *second)
{
    const char *part[] = {first, second};
    struct buf path = {0};
    for (size_t n = 0; *pattern; pattern++) {
        if (pattern[0] != '%') {
            buf_add(&path, pattern, 1);
            continue;
        }
        cx_assert(pattern[1] == 's' && n < ARRAY_COUNT(part) && part[n]);
        add_escaped(&path, part[n++]);
        pattern++;
    }
    snprintf(ret_path, RESOURCE_PATH_SIZE, "%s", path.data);
    buf_done(&path);
}

/* ---- asking and showing ---- */

int resource_rows(const char *subcommand, const struct options *options, const char *path, const char *key,
                  const struct column *columns, const char *empty)
{
    json_t *answer = NULL;
    enum cx_err err = client_json(options, NULL, path, NULL, &answer);
    if (err)
        return fail(subcommand, err);
    if (option_flag(options, "json"))
        show_json(answer);
    else
        show_rows(json_object_get(answer, key), columns, empty);
    json_decref(answer);
    return EXIT_DONE;
}

int resource_fields(const char *subcommand, const struct options *options, const char *method, const char *path,
                    const char *body, const struct column *columns)
{
    json_t *answer = NULL;
    enum cx_err err = client_json(options, method, path, body, &answer);
    if (err)
        return fail(subcommand, err);
    if (option_flag(options, "json"))
        show_json(answer);
    else
        show_fields(answer, columns);
    json_decref(answer);
    return EXIT_DONE;
}

int resource_send(const char *subcommand, const struct options *options, const char *path, const json_t *body,
                  const struct column *columns)
{
    char *text = json_dumps(body, JSON_COMPACT);
    cx_assert(text);
    int status = resource_fields(subcommand, options, "POST", path, text, columns);
    free(text);
    return status;
}

/* ---- money ---- */

json_t *json_amount(struct amount amount)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, amount.credits);
    return json_string(text);
}

enum cx_err amount_read(const char *text, struct amount *ret_amount)
{
    char digits[32] = "";
    size_t whole = strspn(text, "0123456789"), decimals = 0;
    const char *unit = text + whole;
    if (*unit == '.') {
        decimals = strspn(unit + 1, "0123456789");
        unit += 1 + decimals;
    }
    unit += *unit == ' ';
    bool coins = strcmp(unit, "coins") == 0 || strcmp(unit, "coin") == 0;
    if (whole == 0 || whole + COIN_DIGITS >= sizeof digits || decimals > COIN_DIGITS || (*unit && !coins) ||
        (!coins && text[whole]))
        return cx_fail(CX_INVALID, "\"%s\" is no amount; expected credits as 250000, or coins as 0.25coins", text);
    snprintf(digits, sizeof digits, "%.*s%.*s%.*s", (int)whole, text, (int)decimals, text + whole + 1,
             coins ? (int)(COIN_DIGITS - decimals) : 0, "000000");
    uint64_t credits = strtoull(digits, NULL, 10);
    char again[32];
    snprintf(again, sizeof again, "%" PRIu64, credits);
    if (strcmp(again, digits + strspn(digits, "0")) != 0 && credits != 0)
        return cx_fail(CX_INVALID, "\"%s\" is more than money can be", text);
    *ret_amount = amount_of(credits);
    return CX_OK;
}
