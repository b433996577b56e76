/* What handlers do with a call before they answer it: read its parts, and put commands on the ledger. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/address_text.h"
#include "proto/entry.h"
#include "router/api_parts.h"

#define ADMIN_VALID_MS 60000  // of a command that we sign for a holder of an admin key

/* ---- reading ---- */

bool call_bad_field(struct call *call, enum cx_err err)
{
    char param[JSON_PATH_SIZE_MAX + 1];
    snprintf(param, sizeof param, "%s", json_failed_path());
    call_world(call, err, param[0] ? param : NULL);
    return false;
}

bool call_body(struct call *call, json_t **ret_root)
{
    size_t size;
    const char *body = http_request_body(call->x, &size);
    json_t *root = NULL;
    enum cx_err err = json_parse(body, size, call->route->body_max, &root);
    if (!err && !json_is_object(root)) {
        struct json_at at = json_at_root(root);
        err = json_fail(&at, NULL, "expected a JSON object");
    }
    if (err) {
        json_decref(root);
        return call_bad_field(call, err);
    }
    *ret_root = root;
    return true;
}

/* Decimal digits and nothing else, not 0. */
static bool parse_id(const char *text, uint64_t *ret_id)
{
    uint64_t id = 0;
    if (!text[0])
        return false;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9' || id > (UINT64_MAX - (uint64_t)(*c - '0')) / 10)
            return false;
        id = id * 10 + (uint64_t)(*c - '0');
    }
    *ret_id = id;
    return id != 0;
}

bool call_id(struct call *call, uint32_t part, const char *what, uint64_t *ret_id)
{
    if (parse_id(call->part[part], ret_id))
        return true;
    call_fail(call, 400, "VALUE_INVALID", what, "%s: \"%.80s\" is no id; ids are decimal numbers", what,
              call->part[part]);
    return false;
}

bool call_address(struct call *call, uint32_t part, struct address *ret_address)
{
    enum cx_err err = address_parse(call->part[part], strlen(call->part[part]), ret_address);
    if (err)
        call_world(call, err, "address");
    return err == CX_OK;
}

bool call_query_u64(struct call *call, const char *name, uint64_t max, uint64_t *ret_value)
{
    char text[32];
    uint64_t value;
    enum cx_err err = http_query_get(http_request(call->x)->query, name, text, sizeof text);
    if (err == CX_NOT_FOUND)
        return true;
    if (!err && parse_id(text, &value) && value <= max) {
        *ret_value = value;
        return true;
    }
    call_fail(call, 400, "VALUE_INVALID", name, "%s: expected a number of 1 to %" PRIu64, name, max);
    return false;
}

/* ---- commands ---- */

struct commanded {
    struct call *call;
    enum verdict known;
};

static void commanded(void *ctx, const struct replica_outcome *outcome)
{
    struct commanded *c = ctx;
    struct call *call = c->call;
    enum verdict known = c->known;
    free(c);
    if (outcome->err)
        call_world(call, outcome->err, NULL);
    else if (outcome->verdict == VERDICT_ACCEPTED || outcome->verdict == known)
        call->then(call, outcome);
    else
        call_refuse(call, outcome->verdict, NULL);
}

static void submit(struct call *call, struct span entry, enum verdict known, call_then *then)
{
    struct commanded *c = malloc(sizeof *c);
    cx_assert(c);
    *c = (struct commanded){.call = call, .known = known};
    call->then = then;
    enum cx_err err = replica_submit(call->api->options.replica, entry, NULL, 0, commanded, c);
    if (!err)
        return;
    free(c);
    call_world(call, err, NULL);
}

void call_command(struct call *call, const struct command *cmd, enum verdict known, call_then *then)
{
    struct buf entry = {0};
    enum cx_err err = entry_encode(cmd, &entry);
    if (err)
        call_world(call, err, NULL);
    else
        submit(call, (struct span){(const uint8_t *)entry.data, (uint32_t)entry.size}, known, then);
    buf_done(&entry);
}

void call_admin_command(struct call *call, struct command *cmd, enum verdict known, call_then *then)
{
    struct api *api = call->api;
    const struct key *admin = api->options.admin;
    struct account_view account = {0};
    if (!admin) {
        call_fail(call, 501, "ADMIN_MISSING", NULL,
                  "this router has no admin's key: start it with --admin-key, or send a signed command");
        return;
    }
    view_account(replica_core(api->options.replica), key_address(admin), &account);
    api->admin_nonce = u64_max(api->admin_nonce + 1, account.nonce_next);
    cmd->nonce = api->admin_nonce;
    cmd->valid_until_ms = net_wall_ms() + ADMIN_VALID_MS;
    cmd->signer_count = 1;
    struct buf entry = {0};
    enum cx_err err = entry_sign(cmd, replica_network(api->options.replica), &admin, 1, &entry);
    if (err)
        call_world(call, err, NULL);
    else
        submit(call, (struct span){(const uint8_t *)entry.data, (uint32_t)entry.size}, known, then);
    buf_done(&entry);
}
