/* corten account: money and keys. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
    {"account", "address", SHOW_TEXT},
    {"balance, coins", "balance", SHOW_COINS},
    {"reserved, coins", "reserved", SHOW_COINS},
    {"pending, coins", "pending", SHOW_COINS},
    {"stake, coins", "stake", SHOW_COINS},
    {"wallet", "wallet", SHOW_TEXT},
    {"restricted", "restricted", SHOW_TEXT},
    {"roles", "roles", SHOW_TEXT},
    {0},
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
    resource_path(path, "/api/v1/accounts/%s/deposit", verb_argument(options, 0), NULL);
    int status = resource_send("account", options, path, body, fields);
    json_decref(body);
    return status;
}

static int keys(const struct options *options)
{
    return resource_rows("account", options, "/api/v1/keys", "keys", key_columns, "no key yet");
}

static enum cx_err write_amount(const struct options *options, const char *name, json_t *body)
{
    struct amount amount;
    if (!option_text(options, name))
        return CX_OK;
    enum cx_err err = amount_read(option_text(options, name), &amount);
    if (!err)
        json_object_set_new(body, name, json_amount(amount));
    return err;
}

static enum cx_err write_key(const struct options *options, json_t *body)
{
    static const struct {
        const char *option, *field;
        uint64_t unit;
    } numbers[] = {{"budget-hours", "budget_period_ms", 3600000},
                   {"in-flight", "tasks_in_flight_max", 1},
                   {"hours", "valid_ms", 3600000}};
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
    enum cx_err err = write_amount(options, "budget", body);
    return err ? err : write_amount(options, "deposit", body);
}

static int key_new(const struct options *options)
{
    json_t *body = json_object();
    enum cx_err err = write_key(options, body);
    int status = err ? fail_usage("account", "%s", cx_detail())
                     : resource_send("account", options, "/api/v1/keys", body, key_fields);
    json_decref(body);
    return status;
}

static int key_revoke(const struct options *options)
{
    char path[RESOURCE_PATH_SIZE];
    resource_path(path, "/api/v1/keys/%s/revoke", verb_argument(options, 0), NULL);
    return resource_fields("account", options, "POST", path, "{}", key_fields);
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
