/* Coming and going: challenge, hello, attaching on the ledger; and what a node or oracle submits of its own. */
#include "router/hub_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "base/log.h"
#include "crypto/random.h"

/* ---- the challenge ---- */

uint32_t hub_models(struct hub *hub, struct link_model model[LINK_MODELS_MAX], struct model_view view[LINK_MODELS_MAX])
{
    uint32_t count = 0;
    for (uint32_t at = 0;
         count < LINK_MODELS_MAX && view_model_at(replica_core(hub->options.replica), &at, &view[count]); count++)
        model[count] = (struct link_model){.id = view[count].id,
                                           .name = view[count].name,
                                           .manifest = view[count].manifest_digest,
                                           .context = view[count].context,
                                           .price_in_max = view[count].price_in_max,
                                           .price_out_max = view[count].price_out_max};
    return count;
}

void hub_challenge(struct hub_link *link)
{
    struct hub *hub = link->hub;
    const struct params *params = view_params(replica_core(hub->options.replica));
    struct model_view view[LINK_MODELS_MAX];
    struct link_model model[LINK_MODELS_MAX];
    random_fill(link->nonce.b, sizeof link->nonce.b);
    exchange_offer_generate(&link->exchange);
    const struct link_frame frame = {.type = LINK_CHALLENGE,
                                     .challenge = {.network = replica_network(hub->options.replica),
                                                   .router = *replica_router(hub->options.replica),
                                                   .nonce = link->nonce,
                                                   .exchange = link->exchange.public,
                                                   .join_rule = (uint32_t)params->join_rule,
                                                   .join_fee = amount_of(params->join_fee),
                                                   .stake_min = amount_of(params->stake_min),
                                                   .model = model,
                                                   .models = hub_models(hub, model, view)}};
    hub_send(link, &frame);
}

/* ---- nodes whose socket is gone ---- */

static void detached(void *ctx, const struct replica_outcome *outcome)
{
    struct hub *hub = ctx;
    cx_maybe(outcome->verdict == VERDICT_LINK_STALE);  // it came back meanwhile
    hub->detaching--;
    if (!hub->closing)
        hub_look_whether_drained(hub);
    hub_free_if_unused(hub);
}

static void detach(struct hub *hub, const struct address *node, uint32_t number, enum detach_reason reason)
{
    const struct command cmd = {.type = COMMAND_NODE_DETACH,
                                .node_detach = {.node = *node, .link = number, .reason = (uint8_t)reason}};
    if (replica_command(hub->options.replica, &cmd, NULL, 0, detached, hub) == CX_OK)
        hub->detaching++;
}

static void wind_absent(struct hub *hub);

static void detach_overdue(void *ctx)
{
    struct hub *hub = ctx;
    uint64_t now_ms = net_now_ms(hub->options.loop);
    for (struct hub_absent **at = &hub->absent; *at;) {
        struct hub_absent *absent = *at;
        if (absent->until_ms > now_ms) {
            at = &absent->next;
            continue;
        }
        detach(hub, &absent->node, absent->number, DETACH_TIMEOUT);
        *at = absent->next;
        free(absent);
    }
    wind_absent(hub);
}

static void wind_absent(struct hub *hub)
{
    uint64_t next_ms = TIME_NEVER;
    for (const struct hub_absent *absent = hub->absent; absent; absent = absent->next)
        next_ms = u64_min(next_ms, absent->until_ms);
    if (next_ms == TIME_NEVER)
        net_timer_stop(&hub->absent_timer);
    else
        net_timer_start_at(hub->options.loop, &hub->absent_timer, next_ms, detach_overdue, hub);
}

static void absent_add(struct hub *hub, const struct address *node, uint32_t number)
{
    struct hub_absent *absent = calloc(1, sizeof *absent);
    cx_assert(absent);
    *absent = (struct hub_absent){.next = hub->absent,
                                  .node = *node,
                                  .number = number,
                                  .until_ms = net_now_ms(hub->options.loop) + HUB_RETURN_MS};
    hub->absent = absent;
    wind_absent(hub);
}

static void absent_remove(struct hub *hub, const struct address *node)
{
    for (struct hub_absent **at = &hub->absent; *at;) {
        struct hub_absent *absent = *at;
        if (address_eq(&absent->node, node)) {
            *at = absent->next;
            free(absent);
        } else {
            at = &absent->next;
        }
    }
    wind_absent(hub);
}

void hub_detach_absent(struct hub *hub)
{
    while (hub->absent) {
        struct hub_absent *absent = hub->absent;
        hub->absent = absent->next;
        detach(hub, &absent->node, absent->number, DETACH_SHUTDOWN);
        free(absent);
    }
    net_timer_stop(&hub->absent_timer);
}

/* The number under which the ledger has the node at this router; 0: it has it not. */
static uint32_t number_on_ledger(const struct hub *hub, const struct node_view *node)
{
    for (uint32_t i = 0; i < node->links; i++)
        if (address_eq(&node->link[i].router, replica_router(hub->options.replica)))
            return node->link[i].link;
    return 0;
}

void hub_hold_absent(struct hub *hub)
{
    struct node_view node;
    for (uint32_t at = 0; view_node_at(replica_core(hub->options.replica), &at, &node);) {
        uint32_t number = number_on_ledger(hub, &node);
        if (number == 0)
            continue;
        hub->number = u32_max(hub->number, number);
        absent_add(hub, &node.address, number);
    }
}

/* A socket that broke may come back in a moment, and its node's work with it. */
void hub_left(struct hub_link *link, enum detach_reason reason)
{
    uint32_t number = link->number;
    link->number = 0;
    if (number == 0)
        return;
    if (reason == DETACH_CLOSED || reason == DETACH_TIMEOUT || reason == DETACH_REPLACED)
        absent_add(link->hub, &link->node, number);
    else
        detach(link->hub, &link->node, number, reason);
}

/* ---- attaching ---- */

static void fill_node(const struct hub *hub, const struct node_view *view, struct link_node *ret)
{
    uint64_t now_ms = replica_now_ms(hub->options.replica);
    *ret = (struct link_node){.state = view->state,
                              .operator= view->operator,
                              .session = view->session,
                              .retry_ms = view->retry_ms > now_ms ? view->retry_ms - now_ms : 0,
                              .slots = view->slots,
                              .level = view->level,
                              .leaving = view->leaving,
                              .models = view->models};
    for (uint32_t i = 0; i < view->models; i++)
        ret->model[i] = (struct link_node_model){.model = view->model[i].model,
                                                 .context = view->model[i].context,
                                                 .price_in = view->model[i].price_in,
                                                 .price_out = view->model[i].price_out,
                                                 .declared = view->model[i].declared,
                                                 .proved = view->model[i].proved,
                                                 .class = view->model[i].class};
}

static bool is_registered(const struct hub *hub, const struct address *address, struct node_view *ret_node)
{
    return view_node(replica_core(hub->options.replica), address, ret_node) && ret_node->state != NODE_GONE;
}

void hub_send_node(struct hub_link *link)
{
    struct node_view view;
    struct link_frame frame = {.type = LINK_NODE};
    if (!view_node(replica_core(link->hub->options.replica), &link->node, &view))
        return;
    fill_node(link->hub, &view, &frame.node);
    hub_send(link, &frame);
}

static void welcome(struct hub_link *link)
{
    const struct core *core = replica_core(link->hub->options.replica);
    struct node_view node;
    struct account_view account;
    uint64_t lease[LINK_LEASES_MAX];
    struct link_frame frame = {.type = LINK_WELCOME,
                               .welcome = {.link = link->number, .nonce_next = 1, .lease = lease}};
    if (view_account(core, &link->node, &account))
        frame.welcome.nonce_next = account.nonce_next;
    frame.welcome.registered = !link->oracle && is_registered(link->hub, &link->node, &node);
    if (frame.welcome.registered)
        fill_node(link->hub, &node, &frame.welcome.node);
    if (link->number > 0)
        frame.welcome.leases = hub_leases(link, lease, LINK_LEASES_MAX);
    hub_send(link, &frame);
    if (link->number > 0)
        hub_offer_all(link);
}

static void attach_failed(struct hub_link *link, const struct replica_outcome *outcome)
{
    struct node_view node;
    struct hub *hub = link->hub;
    if (outcome->err) {
        hub_shut(link, DETACH_CLOSED, LINK_CLOSE_LATER, "the ledger is behind");
    } else if (outcome->verdict == VERDICT_LINK_STALE && is_registered(hub, &link->node, &node)) {
        hub->number = u32_max(hub->number, number_on_ledger(hub, &node));
        hub_attach(link);
    } else {
        hub_refuse(link, verdict_name(outcome->verdict), "%s", verdict_text(outcome->verdict));
    }
}

struct attaching {
    struct hub_link *link;
    uint32_t number;
};

static void attached(void *ctx, const struct replica_outcome *outcome)
{
    struct attaching *attaching = ctx;
    struct hub_link *link = attaching->link;
    uint32_t number = attaching->number;
    bool good = !outcome->err && outcome->verdict == VERDICT_ACCEPTED;
    free(attaching);
    link->attaching = false;
    if (link->state == HUB_GONE) {
        if (good && !link->hub->closing)
            absent_add(link->hub, &link->node, number);
    } else if (!good) {
        attach_failed(link, outcome);
    } else if (link->told) {
        absent_add(link->hub, &link->node, number);
    } else {
        char node[2 * sizeof link->node.b + 1];
        hex_encode(link->node.b, sizeof link->node.b, node);
        absent_remove(link->hub, &link->node);
        link->number = number;
        link->state = HUB_OPEN;
        log_info("hub", "node attached node=0x%s link=%u", node, number);
        welcome(link);
    }
    hub_let_go(link);
}

void hub_attach(struct hub_link *link)
{
    struct hub *hub = link->hub;
    if (link->attaching || link->told)
        return;
    struct attaching *attaching = malloc(sizeof *attaching);
    cx_assert(attaching);
    *attaching = (struct attaching){link, ++hub->number};
    const struct command cmd = {.type = COMMAND_NODE_ATTACH,
                                .node_attach = {.node = link->node, .link = attaching->number}};
    if (replica_command(hub->options.replica, &cmd, NULL, 0, attached, attaching)) {
        free(attaching);
        hub_shut(link, DETACH_CLOSED, LINK_CLOSE_LATER, "the ledger is behind");
        return;
    }
    link->attaching = true;
    hub_hold(link);
}

/* ---- the hello ---- */

static void welcome_oracle(struct hub_link *link)
{
    struct oracle_view oracle;
    if (!view_oracle(replica_core(link->hub->options.replica), &link->node, &oracle)) {
        hub_refuse(link, "ORACLE_UNKNOWN", "this oracle is not in the network's set: admins add it with oracle_add");
        return;
    }
    link->state = HUB_OPEN;
    welcome(link);
    hub_send_state(link);
}

static void replace(struct hub_link *old)
{
    hub_unindex(old);
    hub_left(old, DETACH_REPLACED);
    old->state = HUB_KNOWN;
    hub_shut(old, DETACH_REPLACED, LINK_CLOSE_REPLACED, "a newer link of this node");
}

void hub_on_hello(struct hub_link *link, const struct link_hello *hello)
{
    struct hub *hub = link->hub;
    const struct link_hello_terms terms = {.network = replica_network(hub->options.replica),
                                           .router = *replica_router(hub->options.replica),
                                           .node = hello->node,
                                           .nonce = link->nonce,
                                           .router_exchange = link->exchange.public,
                                           .node_exchange = hello->exchange};
    if (link_hello_check(&terms, hello->signature)) {
        hub_refuse(link, "SIGNATURE", "%s", cx_detail());
        return;
    }
    enum cx_err err = exchange_agree(&link->exchange, EXCHANGE_CALLED, &hello->exchange, &link->mac_key);
    exchange_offer_wipe(&link->exchange);
    if (err) {
        hub_refuse(link, "EXCHANGE", "%s", cx_detail());
        return;
    }
    net_timer_stop(&link->timer);
    net_ws_set_message_size_max(link->ws, LINK_UP_SIZE_MAX);
    link->node = hello->node;
    link->state = HUB_KNOWN;
    if (link->oracle) {
        welcome_oracle(link);
        return;
    }
    struct hub_link *old = hub_find(hub, &link->node);
    if (old)
        replace(old);
    hub_index(link);
    struct node_view node;
    if (is_registered(hub, &link->node, &node))
        hub_attach(link);
    else
        welcome(link);
}

/* ---- what they submit ---- */

struct answer_to {
    struct hub_link *link;
    uint64_t ref;
};

static void send_result(struct hub_link *link, uint64_t ref, const struct replica_outcome *outcome)
{
    struct link_frame frame = {.type = LINK_RESULT,
                               .result = {.ref = ref, .seq = outcome->seq, .verdict = outcome->verdict}};
    if (outcome->err)
        frame.result.error = outcome->err == CX_CANCELLED ? "the router goes away" : cx_detail();
    hub_send(link, &frame);
}

static void submitted(void *ctx, const struct replica_outcome *outcome)
{
    struct answer_to *answer = ctx;
    struct hub_link *link = answer->link;
    if (link->state != HUB_GONE)
        send_result(link, answer->ref, outcome);
    if (link->state == HUB_OPEN && !link->oracle)
        hub_send_node(link);
    hub_let_go(link);
    free(answer);
}

/* A node speaks for itself alone; an oracle's commands name no one but are signed. */
static bool may_submit(const struct hub_link *link, const struct command *cmd)
{
    const struct command_info *info = command_find(cmd->type);
    if (link->oracle)
        return info->authority == AUTHORITY_ORACLE || info->authority == AUTHORITY_LEADER;
    if (cmd->type == COMMAND_NODE_REGISTER)
        return address_eq(&cmd->node_register.node, &link->node);
    if (cmd->type == COMMAND_NODE_MODEL_PUT)
        return address_eq(&cmd->node_model_put.node, &link->node);
    return cmd->type == COMMAND_NODE_LEAVE && address_eq(&cmd->node_leave.node, &link->node);
}

static enum cx_err submit_entry(struct hub_link *link, const struct link_submit *submit, const struct command *cmd)
{
    struct ledger_blob blob = {0};
    uint32_t blobs = 0;
    if (cmd->type == COMMAND_ROUND_START) {
        bool has = false;
        if (hub_put_of(link, &cmd->round_start.challenge_digest, &blob))
            blobs = 1;
        else if (payload_has(link->hub->options.payloads, &cmd->round_start.challenge_digest, &has, NULL) || !has)
            return cx_fail(CX_NOT_FOUND, "put the challenge before the entry that starts its round");
    }
    struct answer_to *answer = malloc(sizeof *answer);
    cx_assert(answer);
    *answer = (struct answer_to){link, submit->ref};
    enum cx_err err = replica_submit(link->hub->options.replica, submit->entry, &blob, blobs, submitted, answer);
    if (err)
        free(answer);
    else
        hub_hold(link);
    return err;
}

void hub_on_submit(struct hub_link *link, const struct link_submit *submit)
{
    struct command cmd;
    const uint8_t *signature;
    if (!hub_count_submit(link))
        return;
    struct replica_outcome outcome = {.verdict = VERDICT_COMMAND_MALFORMED};
    if (command_decode(submit->entry, &cmd, &signature)) {
        if (!may_submit(link, &cmd)) {
            hub_refuse(link, "SUBMIT", "%s is not this link's to submit", command_find(cmd.type)->name);
            return;
        }
        outcome.err = link->refs > HUB_ANSWERS_MAX ? cx_fail(CX_BUSY, "%u results are awaited", HUB_ANSWERS_MAX)
                                                   : submit_entry(link, submit, &cmd);
        if (!outcome.err)
            return;
    }
    send_result(link, submit->ref, &outcome);
}
