#include "lib/duel.h"

#include <stdlib.h>

static bool serves(const struct duel *d, uint32_t n)
{
    struct node_view node;
    return view_node(live_core(d->live), key_address(d->key[n]), &node) &&
           (node.state == NODE_EPHEMERAL || node.state == NODE_RESERVED);
}

static bool all_serve(const struct duel *d)
{
    for (uint32_t i = 0; i < d->cheats; i++)
        if (!serves(d, i))
            return false;
    return true;
}

static struct key *key_of(uint8_t kind, uint8_t n)
{
    struct key *key;
    const uint8_t secret[KEY_SECRET_SIZE] = {[30] = kind, [31] = n};
    CHECK_EQ(key_from_bytes(secret, &key), CX_OK);
    return key;
}

static void add_address(struct buf *text, const struct address *address)
{
    buf_printf(text, "%s\"0x", text->size > 0 && text->data[text->size - 1] == '"' ? "," : "");
    for (size_t i = 0; i < sizeof address->b; i++)
        buf_printf(text, "%02x", address->b[i]);
    buf_text(text, "\"");
}

/* Stakes come from the operators' balances. */
static void deposit(struct duel *d, const struct address *account)
{
    struct buf path = {0}, hex = {0};
    add_address(&hex, account);
    buf_printf(&path, "/api/v1/accounts/%.*s/deposits", (int)hex.size - 2, hex.data + 1);
    struct reply *r = live_ask(d->live, "POST", path.data, LIVE_KEY, "{\"amount\":100000}");
    if (r->status != 200)
        test_fail(__FILE__, __LINE__, "deposit: %u %s", r->status, r->body.data);
    buf_done(&path);
    buf_done(&hex);
}

static const struct core *see_core(void *ctx) { return live_core(((const struct duel *)ctx)->live); }

static void open_cheat(struct duel *d, uint32_t n, const struct duel_options *options)
{
    d->key[n] = key_of(7, (uint8_t)(n + 1));
    const struct key *operator= options->one_operator ? d->operator: d->key[n];
    deposit(d, key_address(operator));
    const struct adversary_options cheat = {.loop = d->live->loop,
                                            .router = d->live->url,
                                            .key = d->key[n],
                                            .operator= operator,
                                            .engine = options->engine ? "echo=tokens=20" : "echo",
                                            .model = LIVE_MODEL,
                                            .price_in = LIVE_PRICE_IN,
                                            .price_out = LIVE_PRICE_OUT,
                                            .stake = amount_of(DUEL_STAKE),
                                            .cheats = options->what,
                                            .percent = options->percent,
                                            .every_ms = options->every_ms,
                                            .seed = 100 + n,
                                            .ring = 1,
                                            .spy = {see_core, options->text, d}};
    if (adversary_miner_open(&cheat, &d->cheat[n]))
        test_fail(__FILE__, __LINE__, "cheat: %s", cx_detail());
}

static void open_oracle(struct duel *d, uint32_t n, uint32_t cheats)
{
    const struct adversary_oracle_options options = {.loop = d->live->loop,
                                                     .router = d->live->url,
                                                     .key = d->live->cheat_key[n],
                                                     .engine = "echo",
                                                     .model = LIVE_MODEL,
                                                     .cheats = cheats,
                                                     .spy = {.core = see_core, .ctx = d}};
    if (adversary_oracle_open(&options, &d->oracle[n]))
        test_fail(__FILE__, __LINE__, "oracle: %s", cx_detail());
}

void duel_join(struct duel *d, uint32_t what)
{
    CHECK(d->cheats < DUEL_CHEATS_MAX);
    open_cheat(d, d->cheats, &(struct duel_options){.what = what});
    d->cheats++;
}

void duel_add(struct duel *d, uint32_t what)
{
    duel_join(d, what);
    LIVE_UNTIL(d->live, all_serve(d));
}

static void open_session(struct duel *d, const struct duel_options *options)
{
    struct buf body = {0}, allowed = {0};
    uint32_t nodes = options->cheats + (options->only_cheats ? 0 : options->honest);
    if (options->nodes)
        nodes = options->nodes;
    for (uint32_t i = 0; i < options->cheats; i++)
        add_address(&allowed, key_address(d->key[i]));
    buf_printf(&body,
               "{\"model\":\"" LIVE_MODEL "\",\"redundancy\":%u,\"quorum\":%u,\"nodes_min\":%u,\"nodes_max\":%u,"
               "\"ack_ms\":%u,\"precommit_ms\":%u,\"commit_ms\":%u,\"total_ms\":20000,\"attempts_max\":%u,"
               "\"audit_bp\":%u",
               options->redundancy ? options->redundancy : nodes, options->quorum ? options->quorum : 1, nodes, nodes,
               options->unhurried ? 10000 : 500, options->unhurried ? 10000 : 700, options->unhurried ? 10000 : 500,
               options->attempts ? options->attempts : 3, options->audit_bp);
    if (options->only_cheats)
        buf_printf(&body, ",\"privacy\":\"restricted\",\"allowed\":[%s]", allowed.data);
    buf_printf(&body, "%s}", options->terms ? options->terms : "");
    struct reply *r = live_ask(d->live, "POST", "/api/v1/sessions", d->api_key, body.data);
    if (r->status != 201)
        test_fail(__FILE__, __LINE__, "%u: %s for %s", r->status, r->body.data, body.data);
    d->session = strtoull(reply_text(r, "session_id"), NULL, 10);
    buf_done(&body);
    buf_done(&allowed);
}

static bool is_active(const struct duel *d)
{
    struct session_view session;
    if (d->session == 0)
        return true;
    CHECK(view_session(live_core(d->live), d->session, &session));
    return session.state == SESSION_ACTIVE;
}

struct duel *duel_open(const struct duel_options *options)
{
    struct duel *d = calloc(1, sizeof *d);
    d->live = live_open(&(struct live_options){.miners = options->honest,
                                               .no_oracle = options->no_honest_oracle,
                                               .engine = options->engine,
                                               .oracle_engine = options->engine,
                                               .oracles = options->oracles,
                                               .oracle_quorum = options->oracle_quorum,
                                               .cheating_oracles = options->cheating_oracles,
                                               .param = options->param,
                                               .params = options->params});
    d->operator= key_of(8, 1);
    for (uint32_t i = 0; i < options->cheating_oracles; i++)
        open_oracle(d, i, options->oracle_cheats);
    d->cheats = options->cheats;
    for (uint32_t i = 0; i < options->cheats; i++)
        open_cheat(d, i, options);
    LIVE_UNTIL(d->live, all_serve(d));
    d->api_key = live_new_key(d->live, "{\"scopes\":[\"infer\",\"sessions\"]}", 1000000);
    if (options->honest + options->cheats > 0)
        open_session(d, options);
    LIVE_UNTIL(d->live, is_active(d));
    d->balance = duel_balance(d);
    return d;
}

void duel_close(struct duel *d)
{
    struct network_view network;
    view_network(live_core(d->live), &network);
    CHECK(network.money_holds);
    for (uint32_t i = 0; i < d->cheats; i++) {
        adversary_miner_close(d->cheat[i]);
        key_close(d->key[i]);
    }
    for (uint32_t i = 0; i < LIVE_ORACLES_MAX; i++)
        adversary_oracle_close(d->oracle[i]);
    key_close(d->operator);
    live_close(d->live);
    free(d);
}

struct reply *duel_send(struct duel *d, const char *more)
{
    struct buf body = {0};
    buf_printf(&body,
               "{\"model\":\"" LIVE_MODEL "\",\"prompt\":\"tell me\",\"max_tokens\":400,"
               "\"corten\":{\"session_id\":\"%" PRIu64 "\"}%s}",
               d->session, more ? more : "");
    struct reply *r = live_send(d->live, "POST", "/v1/completions", d->api_key, body.data, NULL);
    buf_done(&body);
    return r;
}

struct reply *duel_prompt(struct duel *d, const char *more)
{
    struct reply *r = duel_send(d, more);
    live_wait(d->live, r);
    return r;
}

uint64_t duel_balance(struct duel *d)
{
    return strtoull(reply_text(live_ask(d->live, "GET", "/api/v1/accounts/me", d->api_key, NULL), "balance"), NULL, 10);
}

void duel_check_answered(struct duel *d, const struct reply *r)
{
    if (r->status != 200)
        test_fail(__FILE__, __LINE__, "%u: %s", r->status, r->body.data);
    const char *text = reply_text(r, "choices.0.text");
    if (text[0] == '\0' || strstr(text, "so it is"))
        test_fail(__FILE__, __LINE__, "no honest answer: %s", r->body.data);
    uint64_t charged = strtoull(reply_text(r, "corten.charged"), NULL, 10), balance = duel_balance(d);
    CHECK(charged > 0);
    CHECK_EQ(d->balance - balance, charged);
    d->balance = balance;
}

void duel_check_refunded(struct duel *d, const struct reply *r, unsigned status, const char *code)
{
    if (r->status != status || strcmp(reply_code(r), code) != 0)
        test_fail(__FILE__, __LINE__, "%u %s, not %u %s: %s", r->status, reply_code(r), status, code, r->body.data);
    CHECK_EQ(duel_balance(d), d->balance);
}

struct node_view duel_node(const struct duel *d, uint32_t cheat)
{
    struct node_view view = {0};
    CHECK(view_node(live_core(d->live), key_address(d->key[cheat]), &view));
    return view;
}

struct node_view duel_honest(const struct duel *d, uint32_t miner)
{
    struct node_view view = {0};
    CHECK(view_node(live_core(d->live), key_address(d->live->miner_key[miner]), &view));
    return view;
}

uint64_t duel_count(const struct duel *d, uint32_t cheat, enum node_count count)
{
    return duel_node(d, cheat).count[count];
}

const struct adversary_stats *duel_stats(const struct duel *d, uint32_t cheat)
{
    return adversary_miner_stats(d->cheat[cheat]);
}
