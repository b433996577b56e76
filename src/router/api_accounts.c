/* Accounts and their keys: what one has, who may spend it, money in and out. */
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "crypto/address_text.h"
#include "crypto/keccak.h"
#include "crypto/random.h"
#include "router/api_parts.h"
#include "router/custody.h"

static const struct core *core_of(const struct call *call) { return replica_core(call->api->options.replica); }

/* ---- scopes ---- */

static const struct {
    const char *name;
    uint32_t scope;
} scopes[] = {{"infer", SCOPE_INFER}, {"sessions", SCOPE_SESSIONS}, {"account", SCOPE_ACCOUNT}, {"admin", SCOPE_ADMIN}};

static void put_scopes(struct json_out *out, uint32_t value)
{
    json_out_array(out, "scopes");
    for (size_t i = 0; i < ARRAY_COUNT(scopes); i++)
        if (value & scopes[i].scope)
            json_out_text(out, NULL, scopes[i].name);
    json_out_end(out);
}

static enum cx_err read_scopes(const struct json_at *body, uint32_t *ret_scopes)
{
    struct json_at array;
    if (!json_has(body, "scopes"))
        return CX_OK;
    enum cx_err err = json_need_array(body, "scopes", &array);
    *ret_scopes = 0;
    for (size_t i = 0; !err && i < json_at_count(&array); i++) {
        struct json_at item = json_at_item(&array, i);
        const char *name;
        size_t size, k = 0;
        err = json_need_text(&item, NULL, &name, &size);
        while (!err && k < ARRAY_COUNT(scopes) && strcmp(scopes[k].name, name) != 0)
            k++;
        if (!err && k == ARRAY_COUNT(scopes))
            err = json_fail(&item, NULL, "\"%.40s\" is none of infer, sessions, account, admin", name);
        else if (!err)
            *ret_scopes |= scopes[k].scope;
    }
    return err;
}

/* ---- keys ---- */

static void put_key(const struct call *call, struct json_out *out, const struct key_view *k)
{
    struct model_view model;
    json_out_object(out, NULL);
    out_hash(out, "key_hash", &k->hash);
    out_address(out, "account", &k->account);
    put_scopes(out, k->scopes);
    json_out_text(out, "model", k->model && view_model(core_of(call), k->model, &model) ? model.name : NULL);
    if (k->session)
        out_id(out, "session_id", k->session);
    else
        json_out_null(out, "session_id");
    out_amount(out, "budget", k->budget);
    out_amount(out, "spent", k->spent);
    json_out_u64(out, "budget_period_ms", k->budget_period_ms);
    json_out_u64(out, "period_ms", k->period_ms);
    json_out_u64(out, "tasks_in_flight", k->in_flight);
    json_out_u64(out, "tasks_in_flight_max", k->in_flight_max);
    json_out_u64(out, "expires_ms", k->expires_ms);
    json_out_bool(out, "revoked", k->revoked);
    json_out_end(out);
}

void api_keys(struct call *call)
{
    struct key_view k;
    struct buf body = {0};
    struct json_out out;
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    json_out_array(&out, "keys");
    for (uint32_t at = 0; view_key_at(core_of(call), &at, &k);)
        if (address_eq(&k.account, &call->account) || call_may(call, SCOPE_ADMIN))
            put_key(call, &out, &k);
    json_out_end(&out);
    json_out_end(&out);
    call_json(call, 200, &body);
    buf_done(&body);
}

/* A new key on its way; lives in the exchange. */
struct new_key {
    char text[CUSTODY_KEY_SIZE];
    struct hash hash;
};

static void key_is_put(struct call *call, const struct replica_outcome *outcome)
{
    const struct new_key *key = call->then_ctx;
    struct key_view k;
    struct buf body = {0};
    struct json_out out;
    (void)outcome;
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    json_out_text(&out, "key", key->text);  // told once: its text is nowhere kept
    if (view_key(core_of(call), &key->hash, &k)) {
        out_address(&out, "account", &k.account);
        json_out_hex(&out, "key_hash", k.hash.b, sizeof k.hash.b);
        put_scopes(&out, k.scopes);
        json_out_u64(&out, "expires_ms", k.expires_ms);
    }
    json_out_end(&out);
    call_json(call, 201, &body);
    buf_done(&body);
}

static enum cx_err read_terms(const struct call *call, const struct json_at *body, struct cmd_key_put *cmd)
{
    const char *model = NULL;
    size_t size = 0;
    uint64_t in_flight = 0, expires_in_ms = 0;
    struct model_view m;
    enum cx_err err = read_scopes(body, &cmd->scopes);
    if (!err)
        err = json_may_text(body, "model", &model, &size);
    if (!err && model && !view_model_named(core_of(call), model, (uint32_t)size, &m))
        err = json_fail(body, "model", "no model is called \"%.64s\"", model);
    if (!err && model)
        cmd->model = m.id;
    if (!err)
        err = json_may_u64(body, "session_id", 1, UINT64_MAX, &cmd->session);
    if (!err)
        err = json_may_u64(body, "budget", 0, UINT64_MAX, &cmd->budget.credits);
    if (!err)
        err = json_may_u64(body, "budget_period_ms", 0, UINT64_MAX, &cmd->budget_period_ms);
    if (!err)
        err = json_may_u64(body, "tasks_in_flight_max", 0, UINT32_MAX, &in_flight);
    if (!err)
        err = json_may_u64(body, "expires_in_ms", 1, UINT64_MAX, &expires_in_ms);
    cmd->tasks_in_flight_max = (uint32_t)in_flight;
    if (expires_in_ms)
        cmd->expires_ms = u64_add_sat(replica_now_ms(call->api->options.replica), expires_in_ms);
    return err;
}

/* Whose key it is to be: with an admin's key an account of its own, unless the body names one; else the caller's. */
static enum cx_err read_account(const struct call *call, const struct json_at *body, struct cmd_key_put *cmd)
{
    const char *text = NULL;
    size_t size = 0;
    struct address account = call->account;
    enum cx_err err = json_may_text(body, "account", &text, &size);
    if (err)
        return err;
    if (text && strcmp(text, "me") != 0) {
        if (address_parse(text, size, &account))
            return json_fail(body, "account", "%s", cx_detail());
        if (!address_eq(&account, &call->account) && !call_may(call, SCOPE_ADMIN))
            return json_fail(body, "account", "only an admin's key makes keys of other accounts");
    }
    if (text || !call_may(call, SCOPE_ADMIN))
        cmd->account = account;
    return CX_OK;
}

void api_key_put(struct call *call)
{
    struct command cmd;
    json_t *root;
    if (!call_body(call, &root))
        return;
    struct json_at body = json_at_root(root);
    struct new_key *key = http_alloc(call->x, sizeof *key);
    custody_new_key(key->text);
    custody_key_put(replica_router(call->api->options.replica), key->text, &cmd);
    cmd.key_put.scopes = SCOPE_INFER;
    key->hash = cmd.key_put.key_hash;
    call->then_ctx = key;
    enum cx_err err = read_account(call, &body, &cmd.key_put);
    if (!err)
        err = read_terms(call, &body, &cmd.key_put);
    json_decref(root);
    if (err)
        call_bad_field(call, err);
    else if (cmd.key_put.scopes & ~call->key.scopes)
        call_fail(call, 403, "KEY_SCOPE", "scopes", "a key cannot give away scopes that it lacks");
    else
        call_command(call, &cmd, VERDICT_ACCEPTED, key_is_put);
}

static void key_is_revoked(struct call *call, const struct replica_outcome *outcome)
{
    struct hash hash;
    struct key_view k = {.revoked = false};
    struct buf body = {0};
    struct json_out out;
    (void)outcome;
    bool is_hash = hex_decode(call->part[0] + 2, strlen(call->part[0] + 2), hash.b, sizeof hash.b);
    cx_assert(is_hash);
    bool found = view_key(core_of(call), &hash, &k);
    cx_assert(found);
    json_out_init(&out, &body);
    put_key(call, &out, &k);
    call_json(call, 200, &body);
    buf_done(&body);
}

void api_key_revoke(struct call *call)
{
    struct hash hash;
    struct key_view k;
    const char *text = call->part[0];
    if (strncmp(text, "0x", 2) != 0 || !hex_decode(text + 2, strlen(text + 2), hash.b, sizeof hash.b)) {
        call_fail(call, 400, "VALUE_INVALID", "key_hash", "a key is named by its hash: 0x and 64 hexadecimal digits");
        return;
    }
    bool may =
        view_key(core_of(call), &hash, &k) && (address_eq(&k.account, &call->account) || call_may(call, SCOPE_ADMIN));
    if (!may) {
        call_fail(call, 404, "KEY_UNKNOWN", "key_hash", "no key of this account has that hash");
        return;
    }
    const struct command cmd = {.type = COMMAND_KEY_REVOKE, .key_revoke = {.account = k.account, .key_hash = k.hash}};
    call_command(call, &cmd, VERDICT_KEY_REVOKED, key_is_revoked);
}

/* ---- accounts ---- */

/* The account of the path: "me" is the caller's. False: the caller has been told. */
static bool find_account(struct call *call, struct account_view *ret)
{
    struct address address = call->account;
    if (strcmp(call->part[0], "me") != 0 && !call_address(call, 0, &address))
        return false;
    bool may = address_eq(&address, &call->account) || call_may(call, SCOPE_ADMIN);
    if (may && view_account(core_of(call), &address, ret))
        return true;
    call_refuse(call, VERDICT_ACCOUNT_UNKNOWN, "address");
    return false;
}

static void answer_account(struct call *call, unsigned status, const struct account_view *a, bool known)
{
    struct buf body = {0};
    struct json_out out;
    struct key_view k;
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    out_address(&out, "address", &a->address);
    out_amount(&out, "balance", a->balance);
    out_address(&out, "wallet", &a->wallet);
    json_out_bool(&out, "custodial", a->custodial);
    json_out_bool(&out, "restricted", a->restricted);
    out_id(&out, "nonce_next", a->nonce_next);
    if (known)
        json_out_bool(&out, "known", true);
    json_out_array(&out, "keys");
    for (uint32_t at = 0; view_key_at(core_of(call), &at, &k);)
        if (address_eq(&k.account, &a->address))
            put_key(call, &out, &k);
    json_out_end(&out);
    json_out_end(&out);
    call_json(call, status, &body);
    buf_done(&body);
}

void api_account(struct call *call)
{
    struct account_view a;
    if (find_account(call, &a))
        answer_account(call, 200, &a, false);
}

/* The account as it is now, after a command about it. */
static void account_changed(struct call *call, const struct replica_outcome *outcome)
{
    struct address address = call->account;
    struct account_view a;
    bool is_address =
        strcmp(call->part[0], "me") == 0 || address_parse(call->part[0], strlen(call->part[0]), &address) == CX_OK;
    cx_assert(is_address);
    if (view_account(core_of(call), &address, &a))
        answer_account(call, 200, &a, outcome->verdict == VERDICT_DEPOSIT_KNOWN);
    else
        call_refuse(call, VERDICT_ACCOUNT_UNKNOWN, "address");
}

void api_deposit(struct call *call)
{
    struct command cmd = {.type = COMMAND_DEPOSIT, .deposit.account = call->account};
    const char *reference = NULL;
    size_t size = 0;
    json_t *root;
    if (strcmp(call->part[0], "me") != 0 && !call_address(call, 0, &cmd.deposit.account))
        return;
    if (!call_body(call, &root))
        return;
    struct json_at body = json_at_root(root);
    enum cx_err err = json_need_u64(&body, "amount", 1, UINT64_MAX, &cmd.deposit.amount.credits);
    if (!err)
        err = json_may_text(&body, "reference", &reference, &size);
    if (!err && size > API_REFERENCE_MAX)
        err = json_fail(&body, "reference", "at most %d bytes", API_REFERENCE_MAX);
    /* Without a name of its own the payment is one of a kind. */
    if (reference && size > 0)
        keccak256(reference, size, &cmd.deposit.reference);
    else
        random_fill(cmd.deposit.reference.b, sizeof cmd.deposit.reference.b);
    json_decref(root);
    if (err)
        call_bad_field(call, err);
    else
        call_admin_command(call, &cmd, VERDICT_DEPOSIT_KNOWN, account_changed);
}

void api_wallet(struct call *call)
{
    struct account_view a;
    json_t *root;
    const char *text = "";
    size_t size = 0;
    if (!find_account(call, &a) || !call_body(call, &root))
        return;
    struct json_at body = json_at_root(root);
    struct command cmd = {.type = COMMAND_ACCOUNT_BIND, .account_bind.account = a.address};
    enum cx_err err = json_need_text(&body, "wallet", &text, &size);
    if (!err && address_parse(text, size, &cmd.account_bind.wallet))
        err = json_fail(&body, "wallet", "%s", cx_detail());
    json_decref(root);
    if (err)
        call_bad_field(call, err);
    else
        call_command(call, &cmd, VERDICT_ACCEPTED, account_changed);
}

void api_withdraw(struct call *call)
{
    struct account_view a;
    json_t *root;
    if (!find_account(call, &a) || !call_body(call, &root))
        return;
    struct json_at body = json_at_root(root);
    struct command cmd = {.type = COMMAND_WITHDRAW, .withdraw.account = a.address};
    enum cx_err err = json_need_u64(&body, "amount", 1, UINT64_MAX, &cmd.withdraw.amount.credits);
    json_decref(root);
    if (err)
        call_bad_field(call, err);
    else
        call_command(call, &cmd, VERDICT_ACCEPTED, account_changed);
}
