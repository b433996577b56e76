#include "cli/founder.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "proto/entry.h"

enum cx_err founder_look(const char *ledger_uri, bool *ret_new, uint64_t *ret_network)
{
    cx_auto(ledger) ledger = NULL;
    enum cx_err err = ledger_open(ledger_uri, &(struct ledger_options){.mode = LEDGER_READ}, &ledger);
    if (err && err != CX_NOT_FOUND)
        return err;
    *ret_new = err == CX_NOT_FOUND || ledger_head(ledger).seq == 0;
    *ret_network = err == CX_NOT_FOUND ? 0 : ledger_network(ledger);
    return CX_OK;
}

void founder_init(struct founder *founder, struct replica *replica, const struct key *admin,
                  void (*on_done)(void *ctx, enum cx_err err), void *ctx)
{
    *founder = (struct founder){.replica = replica, .admin = admin, .on_done = on_done, .ctx = ctx, .waiting = 1};
    struct account_view account;
    if (view_account(replica_core(replica), key_address(admin), &account))
        founder->nonce = account.nonce_next;
}

static void failed(struct founder *founder, enum cx_err err)
{
    if (founder->err)
        return;
    founder->err = err;
    snprintf(founder->detail, sizeof founder->detail, "%s", cx_detail());
}

static void step_ended(struct founder *founder)
{
    cx_assert(founder->waiting > 0);
    if (--founder->waiting > 0)
        return;
    enum cx_err err = founder->err ? cx_fail(founder->err, "%s", founder->detail) : CX_OK;
    founder->on_done(founder->ctx, err);
}

static void done(void *ctx, const struct replica_outcome *outcome)
{
    struct founder *founder = ctx;
    bool is_done = outcome->verdict == VERDICT_ACCEPTED || outcome->verdict == VERDICT_DEPOSIT_KNOWN ||
                   outcome->verdict == VERDICT_MODEL_KNOWN;
    if (outcome->err)
        failed(founder, outcome->err);
    else if (!is_done)
        failed(founder, cx_fail(CX_DENIED, "%s: %s", verdict_name(outcome->verdict), verdict_text(outcome->verdict)));
    step_ended(founder);
}

static void submit(struct founder *founder, struct command *cmd)
{
    struct buf entry = {0};
    cmd->nonce = ++founder->nonce;
    enum cx_err err = entry_sign(cmd, replica_network(founder->replica), &founder->admin, 1, &entry);
    founder->waiting++;
    if (!err)
        err = replica_submit(founder->replica, (struct span){(const uint8_t *)entry.data, (uint32_t)entry.size}, NULL,
                             0, done, founder);
    if (err) {
        failed(founder, err);
        founder->waiting--;
    }
    buf_done(&entry);
}

void founder_model(struct founder *founder, const struct founder_model *model)
{
    struct model_view known;
    uint32_t size = (uint32_t)strlen(model->name);
    if (view_model_named(replica_core(founder->replica), model->name, size, &known)) {
        if (hash_eq(&known.manifest_digest, &model->manifest_digest))
            return;
        failed(founder,
               cx_fail(CX_EXISTS, "the catalog's model \"%s\" has other files than this engine's", model->name));
        return;
    }
    struct command cmd = {.type = COMMAND_MODEL_PUT,
                          .model_put = {.manifest_digest = model->manifest_digest,
                                        .context = model->context,
                                        .template_tokens = model->template_tokens,
                                        .price_in_max = model->price_in_max,
                                        .price_out_max = model->price_out_max,
                                        .name = {(const uint8_t *)model->name, size}}};
    submit(founder, &cmd);
}

void founder_deposit(struct founder *founder, const struct address *account, struct amount amount,
                     const struct hash *reference)
{
    struct command cmd = {.type = COMMAND_DEPOSIT,
                          .deposit = {.account = *account, .amount = amount, .reference = *reference}};
    submit(founder, &cmd);
}

void founder_end(struct founder *founder) { step_ended(founder); }
