/* corten account: money and keys. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/command_line.h"
#include "cli/resource.h"

static const struct option_info infos[] = {
    {"reference", 0, OPTION_TEXT, "TEXT", NULL, "deposit: of the payment outside; the same one twice counts once", 0, 0,
     false},
    {"scope", 0, OPTION_TEXT, "SCOPE", NULL, "key-new: infer, sessions, account or admin; may be repeated", 0, 0, true},
    {"budget", 0, OPTION_TEXT, "AMOUNT", NULL, "key-new: what it may spend in a period", 0, 0, false},
    {"budget-hours", 0, OPTION_NUMBER, "N", NULL, "key-new: the period; else the budget holds once", 1, 24 * 3660,
     false},
    {"in-flight", 0, OPTION_NUMBER, "N", NULL, "key-new: tasks at once", 1, UINT32_MAX, false},
    {"hours", 0, OPTION_NUMBER, "N", NULL, "key-new: how long it holds; else for ever", 1, 24 * 3660, false},
    {"account", 0, OPTION_TEXT, "ADDRESS", NULL, "key-new: for this account; else one of its own", 0, 0, false},
    {"deposit", 0, OPTION_TEXT, "AMOUNT", NULL, "key-new: what its account begins with", 0, 0, false},
    CLIENT_OPTIONS,
    OPTIONS_END,
};

static const struct column fields[] = {
    {"account", "address", SHOW_TEXT},     {"balance, coins", "balance", SHOW_COINS}, {"wallet", "wallet", SHOW_TEXT},
    {"custodial", "custodial", SHOW_TEXT}, {"restricted", "restricted", SHOW_TEXT},   {0},
};
static const struct column key_columns[] = {
    {"KEY HASH", "key_hash", SHOW_TEXT},
    {"ACCOUNT", "account", SHOW_TEXT},
    {"SCOPES", "scopes", SHOW_TEXT},
    {"BUDGET", "budget", SHOW_COINS},
    {"SPENT", "spent", SHOW_COINS},
    {"REVOKED", "revoked", SHOW_TEXT},
    {0},
};
static const struct column key_fields[] = {
    {"key", "key", SHOW_TEXT},
    {"key hash", "key_hash", SHOW_TEXT},
    {"account", "account", SHOW_TEXT},
    {"scopes", "scopes", SHOW_TEXT},
    {"budget, coins", "budget", SHOW_COINS},
    {"revoked", "revoked", SHOW_TEXT},
    {0},
};

static int show(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    const char *address = verb_argument(options, 0);
    resource_path(path, "/api/v1/accounts/%s", address ? address : "me", NULL);
    return resource_fields("account", options, NULL, path, NULL, fields);
}

static int deposit(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    struct amount amount;
    if (amount_read(verb_argument(options, 1), &amount))
        return fail_usage("account", "%s", cx_detail());
    json_t *body = json_object();
    json_object_set_new(body, "amount", json_amount(amount));
    if (option_text(options, "reference"))
        json_object_set_new(body, "reference", json_string(option_text(options, "reference")));
    resource_path(path, "/api/v1/accounts/%s/deposits", verb_argument(options, 0), NULL);
    int status = resource_send("account", options, path, body, fields);
    json_decref(body);
    return status;
}

static int keys(const struct options *options)
{
    return resource_rows("account", options, "/api/v1/keys", "keys", key_columns, "no key yet");
}

static enum cx_err write_key(const struct options *options, json_t *body)
{
    static const struct {
        const char *option, *field;
        uint64_t unit;
    } numbers[] = {{"budget-hours", "budget_period_ms", 3600000},
                   {"in-flight", "tasks_in_flight_max", 1},
                   {"hours", "expires_in_ms", 3600000}};
    const struct option *scopes = option_find(options, "scope");
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        if (option_given(options, numbers[i].option))
            json_object_set_new(
                body, numbers[i].field,
                json_integer((json_int_t)(option_number(options, numbers[i].option) * numbers[i].unit)));
    if (option_text(options, "account"))
        json_object_set_new(body, "account", json_string(option_text(options, "account")));
    if (scopes->count > 0) {
        json_t *list = json_array();
        for (uint32_t i = 0; i < scopes->count; i++)
            json_array_append_new(list, json_string(scopes->text[i]));
        json_object_set_new(body, "scopes", list);
    }
    struct amount budget;
    if (!option_text(options, "budget"))
        return CX_OK;
    enum cx_err err = amount_read(option_text(options, "budget"), &budget);
    if (!err)
        json_object_set_new(body, "budget", json_amount(budget));
    return err;
}

static enum cx_err post(const struct options *options, const char *path, json_t *body, json_t **ret_answer)
{
    char *text = json_dumps(body, JSON_COMPACT);
    cx_assert(text);
    enum cx_err err = client_json(options, "POST", path, text, ret_answer);
    free(text);
    return err;
}

static enum cx_err give(const struct options *options, const char *account, struct amount amount)
{
    char path[RESOURCE_PATH_SIZE];
    json_t *body = json_object(), *answer = NULL;
    json_object_set_new(body, "amount", json_amount(amount));
    resource_path(path, "/api/v1/accounts/%s/deposits", account, NULL);
    enum cx_err err = post(options, path, body, &answer);
    json_decref(body);
    json_decref(answer);
    return err;
}

/* The key is shown even where its first deposit fails: its text comes once. */
static int make_key(const struct options *options, json_t *body, struct amount first)
{
    json_t *key = NULL;
    enum cx_err err = post(options, "/api/v1/keys", body, &key);
    if (err)
        return fail("account", err);
    if (option_flag(options, "json"))
        show_json(key);
    else
        show_fields(key, key_fields);
    if (!amount_is_zero(first))
        err = give(options, json_find_text(key, "account"), first);
    json_decref(key);
    return err ? fail("account", err) : EXIT_DONE;
}

static int key_new(const struct options *options)
{
    struct amount first = AMOUNT_ZERO;
    json_t *body = json_object();
    enum cx_err err = write_key(options, body);
    if (!err && option_text(options, "deposit"))
        err = amount_read(option_text(options, "deposit"), &first);
    int status = err ? fail_usage("account", "%s", cx_detail()) : make_key(options, body, first);
    json_decref(body);
    return status;
}

static int key_revoke(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    resource_path(path, "/api/v1/keys/%s", verb_argument(options, 0), NULL);
    return resource_fields("account", options, "DELETE", path, NULL, key_fields);
}

static int run(const struct options *options)
{
    static const struct verb verbs[] = {
        {"show", "[ADDRESS]", 0, 1, show}, {"deposit", "ADDRESS AMOUNT", 2, 0, deposit}, {"keys", "", 0, 0, keys},
        {"key-new", "", 0, 0, key_new},    {"key-revoke", "KEY-HASH", 1, 0, key_revoke},
    };
    return verb_run("account", verbs, ARRAY_COUNT(verbs), options);
}

const struct subcommand cmd_account = {
    .name = "account",
    .arguments = "show [ADDRESS] | deposit ADDRESS AMOUNT | keys | key-new … | key-revoke KEY-HASH",
    .summary = "balances, deposits and API keys",
    .text = "Money is credits, a millionth of a coin each. An API key has an account of its own in the router's\n"
            "custody, unless it is made for another. A new key's text is shown once and kept nowhere.\n\n"
            "  corten account show                              of the key that asks\n"
            "  corten account key-new --deposit 5coins --budget 1coin --budget-hours 24\n"
            "  corten account deposit 0xAddress 2.5coins --reference \"invoice 17\"      needs an admin's key\n"
            "  corten account key-revoke 0xHash\n",
    .options = infos,
    .run = run,
};
