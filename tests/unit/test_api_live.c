/* The HTTP API over a network of echoes: what clients see, from the first byte to the last. */
#include "lib/live.h"
#include "lib/test.h"
#include "router/tasks.h"

#define CHAT   "/v1/chat/completions"
#define TEXT   "/v1/completions"
#define PROMPT "{\"model\":\"" LIVE_MODEL "\",\"prompt\":\"tell me\",\"max_tokens\":12,\"temperature\":0"
#define MESSAGES \
    "{\"model\":\"" LIVE_MODEL "\",\"messages\":[{\"role\":\"user\",\"content\":\"tell me\"}],\"max_tokens\":12"

static struct live *three(void) { return live_open(&(struct live_options){.miners = 3}); }

static void check_code(const struct reply *r, unsigned status, const char *code)
{
    if (r->status != status || strcmp(reply_code(r), code) != 0)
        test_fail(__FILE__, __LINE__, "%u %s, not %u %s: %s", r->status, reply_code(r), status, code,
                  r->body.data ? r->body.data : "");
    CHECK_STR(r->request_id[0] ? "" : "no x-request-id", "");
}

static const char *path_of(const char *format, const char *a, const char *b)
{
    static char path[8][512];
    static unsigned next;
    char *at = path[next++ % 8];
    snprintf(at, sizeof path[0], format, a, b);
    return at;
}

/* ---- who asks ---- */

TEST(api_live, a_key_is_needed_and_must_be_good)
{
    struct live *live = live_open(&(struct live_options){.miners = 0, .no_oracle = true});
    check_code(live_ask(live, "GET", "/v1/models", NULL, NULL), 401, "KEY_MISSING");
    check_code(live_ask(live, "GET", "/v1/models", "ck_other", NULL), 401, "KEY_UNKNOWN");
    CHECK_EQ(live_ask(live, "GET", "/v1/models", LIVE_KEY, NULL)->status, 200);
    struct reply *by_field = live_send(live, "GET", "/v1/models", NULL, NULL, "x-api-key: " LIVE_KEY);
    live_wait(live, by_field);
    CHECK_EQ(by_field->status, 200);
    const char *key = live_new_key(live, "{\"scopes\":[\"infer\"]}", 0);
    CHECK_EQ(live_ask(live, "GET", "/v1/models", key, NULL)->status, 200);
    check_code(live_ask(live, "POST", "/api/v1/sessions", key, "{}"), 403, "KEY_SCOPE");
    check_code(live_ask(live, "POST", "/api/v1/models", key, "{}"), 403, "KEY_SCOPE");
    struct reply *keys = live_ask(live, "GET", "/api/v1/keys", LIVE_KEY, NULL);
    const char *hash = reply_text(keys, "keys.1.key_hash");
    CHECK_EQ(live_ask(live, "DELETE", path_of("/api/v1/keys/%s%s", hash, ""), LIVE_KEY, NULL)->status, 200);
    check_code(live_ask(live, "GET", "/v1/models", key, NULL), 401, "KEY_REVOKED");
    live_close(live);
}

TEST(api_live, a_key_cannot_give_away_what_it_lacks)
{
    struct live *live = live_open(&(struct live_options){.miners = 0, .no_oracle = true});
    const char *key = live_new_key(live, "{\"scopes\":[\"infer\",\"account\"]}", 0);
    check_code(live_ask(live, "POST", "/api/v1/keys", key, "{\"scopes\":[\"admin\"]}"), 403, "KEY_SCOPE");
    struct reply *second = live_ask(live, "POST", "/api/v1/keys", key, "{\"scopes\":[\"infer\"],\"budget\":5}");
    CHECK_EQ(second->status, 201);
    struct reply *mine = live_ask(live, "GET", "/api/v1/accounts/me", key, NULL);
    CHECK_STR(reply_text(mine, "address"), reply_text(second, "account"));
    CHECK_STR(reply_text(mine, "keys.1.budget"), "5");
    check_code(
        live_ask(live, "POST", "/api/v1/keys", key, "{\"account\":\"0x00000000000000000000000000000000000000ff\"}"),
        400, "VALUE_INVALID");
    struct reply *all = live_ask(live, "GET", "/api/v1/keys", key, NULL);
    CHECK(!reply_has(all, "keys.2"));  // the admin's is not shown
    live_close(live);
}

TEST(api_live, a_key_that_expires_is_told_so)
{
    struct live *live = live_open(&(struct live_options){.miners = 0, .no_oracle = true});
    const char *key = live_new_key(live, "{\"expires_in_ms\":1}", 0);
    uint64_t seq = 0;
    struct network_view network;
    view_network(live_core(live), &network);
    seq = network.seq;
    LIVE_UNTIL(live, (view_network(live_core(live), &network), network.seq > seq + 1));  // time passes with entries
    check_code(live_ask(live, "GET", "/v1/models", key, NULL), 401, "KEY_EXPIRED");
    live_close(live);
}

/* ---- what everybody may ask ---- */

TEST(api_live, a_network_without_nodes_says_so)
{
    struct live *live = live_open(&(struct live_options){.miners = 0, .no_oracle = true});
    CHECK_EQ(live_ask(live, "GET", "/healthz", NULL, NULL)->status, 200);
    check_code(live_ask(live, "GET", "/readyz", NULL, NULL), 503, "NOT_READY");
    struct reply *status = live_ask(live, "GET", "/api/v1/status", NULL, NULL);
    CHECK_EQ(status->status, 200);
    CHECK_STR(reply_text(status, "status"), "waiting");
    CHECK(strstr(reply_text(status, "warnings.0"), "NO ORACLE LIVES"));
    CHECK_EQ(reply_number(status, "money_ok"), true);
    CHECK_STR(reply_text(status, "money.deposits"), "1000000000");
    struct reply *r = live_ask(live, "POST", TEXT, LIVE_KEY, PROMPT "}");
    check_code(r, 503, "NODES_TOO_FEW");
    CHECK_STR(r->retry_after, "1");
    live_close(live);
}

TEST(api_live, is_ready_when_a_prompt_would_be_answered)
{
    struct live *live = live_open(&(struct live_options){.miners = 1});
    LIVE_UNTIL(live, live->ready);
    CHECK_EQ(live_ask(live, "GET", "/readyz", NULL, NULL)->status, 200);
    struct reply *status = live_ask(live, "GET", "/api/v1/status", NULL, NULL);
    CHECK_STR(reply_text(status, "status"), "ready");
    CHECK_EQ(reply_number(status, "nodes.EPHEMERAL"), 1);
    CHECK(reply_has(status, "leader"));
    struct reply *metrics = live_ask(live, "GET", "/metrics", NULL, NULL);
    CHECK(strstr(metrics->body.data, "corten_ready 1\n"));
    CHECK(strstr(metrics->body.data, "corten_nodes{state=\"EPHEMERAL\"} 1\n"));
    CHECK(strstr(metrics->body.data, "corten_links{of=\"oracle\"} 1\n"));
    CHECK(strstr(metrics->body.data, "corten_money_ok 1\n"));
    live_lose_miner(live, 0);
    LIVE_UNTIL(live, live_ask(live, "GET", "/readyz", NULL, NULL)->status == 503);
    live_close(live);
}

TEST(api_live, every_answer_has_its_request_id_and_browsers_may_call)
{
    struct live *live = live_open(&(struct live_options){.miners = 0, .no_oracle = true});
    struct reply *r = live_send(live, "GET", "/nothing", NULL, NULL, "x-request-id: mine-7");
    live_wait(live, r);
    CHECK_STR(r->request_id, "mine-7");
    r = live_send(live, "OPTIONS", CHAT, NULL, NULL, "Access-Control-Request-Headers: authorization,x-stainless-os");
    live_wait(live, r);
    CHECK_EQ(r->status, 204);
    r = live_ask(live, "DELETE", CHAT, LIVE_KEY, NULL);
    check_code(r, 405, "METHOD_NOT_ALLOWED");
    CHECK_STR(r->allow, "POST");
    live_close(live);
}

/* ---- OpenAI's shapes ---- */

TEST(api_live, chat_in_one_piece)
{
    struct live *live = three();
    struct reply *r = live_ask(live, "POST", CHAT, LIVE_KEY, MESSAGES "}");
    CHECK_EQ(r->status, 200);
    CHECK(strncmp(reply_text(r, "id"), "chatcmpl-", 9) == 0);
    CHECK_STR(reply_text(r, "object"), "chat.completion");
    CHECK_STR(reply_text(r, "model"), LIVE_MODEL);
    CHECK_STR(reply_text(r, "choices.0.message.role"), "assistant");
    CHECK(reply_text(r, "choices.0.message.content")[0]);
    CHECK_EQ(reply_number(r, "choices.0.index"), 0);
    CHECK(strcmp(reply_text(r, "choices.0.finish_reason"), "stop") == 0 ||
          strcmp(reply_text(r, "choices.0.finish_reason"), "length") == 0);
    CHECK_EQ(reply_number(r, "usage.total_tokens"),
             reply_number(r, "usage.prompt_tokens") + reply_number(r, "usage.completion_tokens"));
    CHECK_STR(reply_text(r, "corten.session_reason"), "shared_opened");
    CHECK_STR(reply_text(r, "corten.receipt.task"), reply_text(r, "corten.task_id"));
    CHECK_STR(reply_text(live_ask(live, "POST", CHAT, LIVE_KEY, MESSAGES "}"), "corten.session_reason"), "shared");
    live_close(live);
}

/* The data of the n'th event of a stream, from 0; "" behind the last. */
static const char *event_data(const struct reply *r, unsigned n, size_t *ret_size)
{
    const char *at = r->body.data;
    while (at && (at = strstr(at, "data: "))) {
        at += 6;
        *ret_size = strcspn(at, "\n");
        if (n-- == 0)
            return at;
    }
    *ret_size = 0;
    return "";
}

/* docs/protocol.md, "OpenAI's routes": an event's id is the bytes of text up to and with it, and their sum. */
static void has_id(const char *data, const struct buf *text)
{
    char id[48];
    uint32_t sum = text_sum(TEXT_SUM_START, text->data ? text->data : "", text->size);
    int size = snprintf(id, sizeof id, "id: %zu-%08x\ndata: ", text->size, sum);
    CHECK_MEM(data - size, id, (size_t)size);
}

/* Adds up the text of a stream and counts its events; its last JSON object is r->json from then on. */
static unsigned read_stream(struct reply *r, bool chat, struct buf *text)
{
    unsigned count = 0;
    size_t size;
    for (const char *data; (data = event_data(r, count, &size)), size > 0; count++) {
        json_error_t why;
        if (size == 6 && memcmp(data, "[DONE]", 6) == 0)
            continue;
        json_decref(r->json);
        r->json = json_loadb(data, size, 0, &why);
        CHECK(r->json);
        const char *path = chat ? "choices.0.delta.content" : "choices.0.text";
        if (reply_has(r, path))
            buf_text(text, reply_text(r, path));
        has_id(data, text);
    }
    return count;
}

static bool ends_with_done(const struct reply *r)
{
    static const char done[] = "data: [DONE]\n\n";
    return r->body.size >= sizeof done - 1 &&
           memcmp(r->body.data + r->body.size - (sizeof done - 1), done, sizeof done - 1) == 0;
}

TEST(api_live, chat_as_a_stream)
{
    struct live *live = three();
    struct buf text = {0};
    struct reply *r = live_ask(live, "POST", CHAT, LIVE_KEY,
                               MESSAGES ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    CHECK_EQ(r->status, 200);
    CHECK_STR(r->type, "text/event-stream; charset=utf-8");
    CHECK(ends_with_done(r));
    size_t size;
    CHECK(strstr(event_data(r, 0, &size), "\"delta\":{\"role\":\"assistant\",\"content\":\"\"}"));
    read_stream(r, true, &text);
    CHECK(text.size > 0);
    CHECK(!reply_has(r, "choices.0"));  // the last one has usage in their place
    CHECK(reply_number(r, "usage.completion_tokens") > 0);
    struct reply *task =
        live_ask(live, "GET",
                 path_of("/api/v1/tasks/%s/%s", reply_text(r, "corten.session_id"), reply_text(r, "corten.task_id")),
                 LIVE_KEY, NULL);
    CHECK_STR(reply_text(task, "result"), text.data);
    CHECK_STR(reply_text(task, "state"), "COMPLETED");
    CHECK_EQ(reply_number(task, "status"), TASK_COMPLETED);
    buf_done(&text);
    live_close(live);
}

TEST(api_live, completions_as_a_stream_without_usage)
{
    struct live *live = three();
    struct buf text = {0};
    struct reply *r = live_ask(live, "POST", TEXT, LIVE_KEY, PROMPT ",\"stream\":true}");
    read_stream(r, false, &text);
    CHECK(text.size > 0);
    CHECK(ends_with_done(r));
    CHECK(!reply_has(r, "usage"));
    CHECK(reply_has(r, "choices.0.finish_reason"));
    CHECK(reply_has(r, "corten.receipt"));
    buf_done(&text);
    live_close(live);
}

TEST(api_live, lists_models_and_names_the_nearest)
{
    struct live *live = live_open(&(struct live_options){.miners = 0, .no_oracle = true});
    struct reply *list = live_ask(live, "GET", "/v1/models", LIVE_KEY, NULL);
    CHECK_STR(reply_text(list, "object"), "list");
    CHECK_STR(reply_text(list, "data.0.id"), LIVE_MODEL);
    CHECK_STR(reply_text(live_ask(live, "GET", "/v1/models/" LIVE_MODEL, LIVE_KEY, NULL), "object"), "model");
    struct reply *wrong = live_ask(live, "GET", "/v1/models/wrods", LIVE_KEY, NULL);
    check_code(wrong, 404, "MODEL_UNKNOWN");
    CHECK(strstr(reply_text(wrong, "error.message"), "\"" LIVE_MODEL "\""));
    CHECK_EQ(live_ask(live, "POST", "/api/v1/models", LIVE_KEY,
                      "{\"name\":\"org/other\",\"manifest_digest\":\"0x"
                      "1111111111111111111111111111111111111111111111111111111111111111\",\"context\":512}")
                 ->status,
             200);
    CHECK_EQ(live_ask(live, "GET", "/v1/models/org/other", LIVE_KEY, NULL)->status, 200);
    CHECK_EQ(live_ask(live, "DELETE", "/api/v1/models/org/other", LIVE_KEY, NULL)->status, 204);
    check_code(live_ask(live, "GET", "/v1/models/org/other", LIVE_KEY, NULL), 404, "MODEL_UNKNOWN");
    live_close(live);
}

TEST(api_live, what_is_wrong_with_a_request_is_named)
{
    static const struct {
        const char *body;
        unsigned status;
        const char *code, *param;
    } cases[] = {
        {"{", 400, "VALUE_INVALID", NULL},
        {"[]", 400, "VALUE_INVALID", NULL},
        {"{\"prompt\":\"a\"}", 400, "VALUE_INVALID", "model"},
        {"{\"model\":\"" LIVE_MODEL "\"}", 400, "VALUE_INVALID", "prompt"},
        {"{\"model\":\"wrods\",\"prompt\":\"a\"}", 404, "MODEL_UNKNOWN", "model"},
        {PROMPT ",\"n\":2}", 400, "UNSUPPORTED_PARAM", "n"},
        {PROMPT ",\"logprobs\":3}", 400, "UNSUPPORTED_PARAM", "logprobs"},
        {PROMPT ",\"top_p\":7}", 400, "VALUE_INVALID", "top_p"},
        {"{\"model\":\"" LIVE_MODEL "\",\"prompt\":\"\"}", 400, "PROMPT_RANGE", "prompt"},
        {"{\"model\":\"" LIVE_MODEL "\",\"prompt\":\"a\",\"max_tokens\":99999}", 400, "context_length_exceeded",
         "max_tokens"},
        {PROMPT ",\"corten\":{\"redundancy\":9}}", 503, "NODES_TOO_FEW", "redundancy"},
        {PROMPT ",\"corten\":{\"redundancy\":16}}", 400, "VALUE_INVALID", "corten.redundancy"},
        {PROMPT ",\"corten\":{\"validation\":\"magic\"}}", 400, "VALUE_INVALID", "validation"},
        {PROMPT ",\"corten\":{\"validation\":\"judge\"}}", 501, "POLICY_NOT_BUILT", NULL},
        {PROMPT ",\"corten\":{\"privacy\":\"encrypted\"}}", 501, "NOT_BUILT", "privacy"},
        {PROMPT ",\"corten\":{\"privacy\":\"restricted\"}}", 404, "SESSION_UNKNOWN", "privacy"},
        {PROMPT ",\"corten\":{\"session_id\":99}}", 404, "SESSION_UNKNOWN", "session_id"},
    };
    struct live *live = three();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct reply *r = live_ask(live, "POST", TEXT, LIVE_KEY, cases[i].body);
        check_code(r, cases[i].status, cases[i].code);
        if (cases[i].param)
            CHECK_STR(reply_text(r, "error.param"), cases[i].param);
    }
    check_code(live_ask(live, "POST", "/api/v3/delegate", LIVE_KEY, "{}"), 501, "NOT_BUILT");
    live_close(live);
}

/* ---- money ---- */

static uint64_t balance_of(struct live *live, const char *key)
{
    return strtoull(reply_text(live_ask(live, "GET", "/api/v1/accounts/me", key, NULL), "balance"), NULL, 10);
}

TEST(api_live, a_payer_is_charged_exactly_what_the_answer_says)
{
    struct live *live = three();
    const char *key = live_new_key(live, "{}", 5000);
    uint64_t spent = 0;
    for (int i = 0; i < 5; i++) {
        struct reply *r = live_ask(live, "POST", i % 2 ? CHAT : TEXT, key, i % 2 ? MESSAGES "}" : PROMPT "}");
        CHECK_EQ(r->status, 200);
        uint64_t charged = strtoull(reply_text(r, "corten.charged"), NULL, 10);
        uint64_t least = (uint64_t)reply_number(r, "usage.prompt_tokens") * LIVE_PRICE_IN / 1000000 +
                         (uint64_t)reply_number(r, "usage.completion_tokens") * LIVE_PRICE_OUT / 1000000;
        CHECK(charged >= least && charged <= least + least / 10 + 3);  // fees on top, rounded up
        spent += charged;
    }
    CHECK_EQ(balance_of(live, key), 5000 - spent);
    live_close(live);
}

TEST(api_live, who_cannot_pay_is_told_what_is_missing)
{
    struct live *live = three();
    const char *poor = live_new_key(live, "{}", 0), *bounded = live_new_key(live, "{\"budget\":\"60\"}", 100000);
    struct reply *r = live_ask(live, "POST", TEXT, poor, PROMPT "}");
    check_code(r, 402, "BALANCE_SHORT");
    CHECK_STR(reply_text(r, "error.type"), "insufficient_quota");
    CHECK_EQ(live_ask(live, "POST", TEXT, bounded, "{\"model\":\"" LIVE_MODEL "\",\"prompt\":\"a\",\"max_tokens\":2}")
                 ->status,
             200);
    check_code(
        live_ask(live, "POST", TEXT, bounded, "{\"model\":\"" LIVE_MODEL "\",\"prompt\":\"a\",\"max_tokens\":500}"),
        402, "KEY_BUDGET");
    live_close(live);
}

TEST(api_live, deposits_need_an_admin_and_count_once)
{
    struct live *live = live_open(&(struct live_options){.miners = 0, .no_oracle = true});
    static const char body[] = "{\"amount\":\"77\",\"reference\":\"invoice 1\"}";
    struct reply *first = live_ask(live, "POST", "/api/v1/accounts/me/deposits", LIVE_KEY, body);
    CHECK_STR(reply_text(first, "balance"), "1000000077");
    struct reply *again = live_ask(live, "POST", "/api/v1/accounts/me/deposits", LIVE_KEY, body);
    CHECK_STR(reply_text(again, "balance"), "1000000077");
    CHECK_EQ(reply_number(again, "known"), true);
    check_code(live_ask(live, "POST", "/api/v1/accounts/me/deposits", LIVE_KEY, "{\"amount\":0}"), 400,
               "VALUE_INVALID");
    check_code(live_ask(live, "POST", "/api/v1/accounts/me/withdrawals", LIVE_KEY, "{\"amount\":5}"), 403,
               "WALLET_MISSING");
    struct reply *bound = live_ask(live, "POST", "/api/v1/accounts/me/wallet", LIVE_KEY,
                                   "{\"wallet\":\"0x00000000000000000000000000000000000000ff\"}");
    CHECK(reply_has(bound, "wallet"));
    struct reply *drawn = live_ask(live, "POST", "/api/v1/accounts/me/withdrawals", LIVE_KEY, "{\"amount\":77}");
    CHECK_STR(reply_text(drawn, "balance"), "1000000000");
    live_close(live);
    live = live_open(&(struct live_options){.miners = 0, .no_oracle = true, .no_admin = true});
    check_code(live_ask(live, "POST", "/api/v1/accounts/me/deposits", LIVE_KEY, body), 501, "ADMIN_MISSING");
    live_close(live);
}

TEST(api_live, twenty_accounts_on_three_nodes_all_get_answers)
{
    struct live *live = three();
    const char *key[20];
    struct reply *r[20];
    for (int i = 0; i < 20; i++)
        key[i] = live_new_key(live, "{}", 1000);
    for (int i = 0; i < 20; i++)
        r[i] = live_send(live, "POST", TEXT, key[i], PROMPT "}", NULL);
    for (int i = 0; i < 20; i++) {
        live_wait(live, r[i]);
        CHECK_EQ(r[i]->status, 200);
        CHECK_EQ(balance_of(live, key[i]), 1000 - strtoull(reply_text(r[i], "corten.charged"), NULL, 10));
        CHECK_STR(reply_text(r[i], "corten.session_id"), reply_text(r[0], "corten.session_id"));
    }
    struct network_view network;
    view_network(live_core(live), &network);
    CHECK_EQ(network.sessions[SESSION_ACTIVE] + network.sessions[SESSION_OPENING], 1);
    CHECK(network.money_holds);
    live_close(live);
}

/* ---- selection ---- */

TEST(api_live, redundancy_and_validation_choose_the_shared_session)
{
    struct live *live = three();
    struct reply *one = live_ask(live, "POST", TEXT, LIVE_KEY, PROMPT "}");
    /* The first one has all three nodes to give way with: it does, once it has been idle. */
    struct reply *three_of =
        live_ask(live, "POST", TEXT, LIVE_KEY, PROMPT ",\"corten\":{\"redundancy\":3,\"validation\":\"majority\"}}");
    CHECK_EQ(three_of->status, 200);
    CHECK(strcmp(reply_text(one, "corten.session_id"), reply_text(three_of, "corten.session_id")) != 0);
    CHECK_STR(reply_text(three_of, "corten.receipt.validation"), "MAJORITY");
    CHECK_EQ(reply_number(three_of, "corten.receipt.redundancy"), 3);
    CHECK(reply_has(three_of, "corten.receipt.answers.2"));
    CHECK_STR(reply_text(one, "choices.0.text"), reply_text(three_of, "choices.0.text"));
    live_close(live);
}

static const char *open_session(struct live *live, const char *key, const char *terms)
{
    struct buf body = {0};
    buf_printf(&body, "{\"model\":\"" LIVE_MODEL "\"%s}", terms);
    struct reply *r = live_ask(live, "POST", "/api/v1/sessions", key, body.data);
    if (r->status != 201)
        test_fail(__FILE__, __LINE__, "%u: %s", r->status, r->body.data);
    buf_done(&body);
    return reply_text(r, "session_id");
}

TEST(api_live, a_session_of_ones_own_is_paid_from_its_escrow)
{
    struct live *live = three();
    const char *key = live_new_key(live, "{\"scopes\":[\"infer\",\"sessions\"]}", 10000);
    const char *id = open_session(live, key, ",\"escrow\":\"2000\",\"name\":\"mine\",\"metadata\":\"x\"");
    CHECK_EQ(balance_of(live, key), 8000);
    struct reply *r = live_ask(live, "POST", path_of("/api/v1/completions/%s%s", id, ""), key,
                               "{\"prompt\":\"tell me\",\"max_tokens\":4}");
    CHECK_EQ(r->status, 200);
    CHECK_STR(reply_text(r, "corten.session_reason"), "named");
    CHECK_STR(reply_text(r, "session_id"), id);
    CHECK(reply_has(r, "task_id"));
    CHECK_EQ(balance_of(live, key), 8000);
    uint64_t charged = strtoull(reply_text(r, "corten.charged"), NULL, 10);
    struct reply *topped =
        live_ask(live, "POST", path_of("/api/v1/sessions/%s/top-up%s", id, ""), key, "{\"amount\":10}");
    CHECK_EQ(strtoull(reply_text(topped, "escrow"), NULL, 10), 2010 - charged);
    CHECK_STR(reply_text(topped, "name"), "mine");
    struct reply *header = live_send(live, "POST", TEXT, key, PROMPT "}", path_of("Corten-Session: %s%s", id, ""));
    live_wait(live, header);
    CHECK_STR(reply_text(header, "corten.session_id"), id);
    charged += strtoull(reply_text(header, "corten.charged"), NULL, 10);
    CHECK_EQ(live_ask(live, "POST", path_of("/api/v1/sessions/%s/close%s", id, ""), key, "{}")->status, 200);
    LIVE_UNTIL(live, balance_of(live, key) == 10000 - charged);  // what is left of the escrow comes back
    live_close(live);
}

TEST(api_live, a_session_of_others_is_not_to_be_seen)
{
    struct live *live = three();
    const char *key = live_new_key(live, "{\"scopes\":[\"infer\",\"sessions\"]}", 10000);
    const char *id = open_session(live, LIVE_KEY, ",\"escrow\":2000");
    check_code(live_ask(live, "GET", path_of("/api/v1/sessions/%s%s", id, ""), key, NULL), 404, "SESSION_UNKNOWN");
    check_code(live_ask(live, "DELETE", path_of("/api/v1/sessions/%s%s", id, ""), key, NULL), 404, "SESSION_UNKNOWN");
    struct reply *r = live_ask(live, "POST", path_of("/api/v1/completions/%s%s", id, ""), key, "{\"prompt\":\"a\"}");
    check_code(r, 403, "SESSION_ACCESS");
    struct reply *list = live_ask(live, "GET", "/api/v1/sessions", key, NULL);
    CHECK(!reply_has(list, "sessions.0"));
    CHECK(reply_has(live_ask(live, "GET", "/api/v1/sessions", LIVE_KEY, NULL), "sessions.0"));
    live_close(live);
}

TEST(api_live, a_named_session_must_fit_the_request)
{
    struct live *live = three();
    const char *id = open_session(live, LIVE_KEY, ",\"escrow\":20000,\"mode\":\"hybrid\"");
    static const struct {
        const char *more, *param;
    } cases[] = {{",\"redundancy\":2", "redundancy"},
                 {",\"validation\":\"majority\"", "validation"},
                 {",\"privacy\":\"restricted\"", "privacy"}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct reply *r = live_ask(live, "POST", TEXT, LIVE_KEY,
                                   path_of(PROMPT ",\"corten\":{\"session_id\":%s%s}}", id, cases[i].more));
        CHECK_EQ(r->status, 400);
        CHECK_STR(reply_text(r, "error.param"), cases[i].param);
    }
    struct reply *by_mode = live_send(live, "POST", TEXT, LIVE_KEY, PROMPT "}", "Corten-Mode: hybrid");
    live_wait(live, by_mode);
    CHECK_STR(reply_text(by_mode, "corten.session_id"), id);
    CHECK_STR(reply_text(by_mode, "corten.session_reason"), "own");
    live_close(live);
}

TEST(api_live, a_key_for_one_session_uses_it)
{
    struct live *live = three();
    const char *id = open_session(live, LIVE_KEY, ",\"escrow\":20000");
    struct reply *made = live_ask(live, "POST", "/api/v1/keys", LIVE_KEY,
                                  path_of("{\"account\":\"me\",\"session_id\":\"%s\"%s}", id, ""));
    const char *key = reply_text(made, "key");
    struct reply *r = live_ask(live, "POST", TEXT, key, PROMPT "}");
    CHECK_STR(reply_text(r, "corten.session_reason"), "key_default");
    CHECK_STR(reply_text(r, "corten.session_id"), id);
    live_close(live);
}

/* ---- references ---- */

TEST(api_live, a_reference_names_one_task)
{
    struct live *live = three();
    const char *key = live_new_key(live, "{}", 5000);
    static const char body[] = PROMPT ",\"corten\":{\"client_reference\":\"order 7\"}}";
    struct reply *first = live_ask(live, "POST", TEXT, key, body);
    uint64_t left = balance_of(live, key);
    struct reply *again = live_ask(live, "POST", TEXT, key, body);
    CHECK_STR(reply_text(again, "corten.task_id"), reply_text(first, "corten.task_id"));
    CHECK_STR(reply_text(again, "choices.0.text"), reply_text(first, "choices.0.text"));
    struct reply *header = live_send(live, "POST", TEXT, key, PROMPT ",\"stream\":true}", "Idempotency-Key: order 7");
    live_wait(live, header);
    struct buf text = {0};
    read_stream(header, false, &text);
    CHECK_STR(reply_text(header, "corten.task_id"), reply_text(first, "corten.task_id"));
    CHECK_STR(text.data, reply_text(first, "choices.0.text"));
    CHECK_EQ(balance_of(live, key), left);
    struct reply *other = live_ask(live, "POST", TEXT, LIVE_KEY, body);  // another payer's is another one
    CHECK(strcmp(reply_text(other, "corten.task_id"), reply_text(first, "corten.task_id")) != 0);
    buf_done(&text);
    live_close(live);
}

/* ---- tasks ---- */

#define SLOW \
    (&(struct live_options){.miners = 1, .engine = "echo=tokens=60,slow=20", .oracle_engine = "echo=tokens=60"})

/* Waits until the stream has so many bytes. */
static void wait_for(struct live *live, const struct reply *r, const char *text)
{
    LIVE_UNTIL(live, r->body.data && strstr(r->body.data, text));
}

static struct task_view only_task(const struct live *live)
{
    struct task_view view = {0};
    uint32_t at = 0;
    CHECK(view_task_at(live_core(live), &at, &view));
    return view;
}

#define LONG "{\"model\":\"" LIVE_MODEL "\",\"prompt\":\"tell me\",\"max_tokens\":60,\"temperature\":0"

TEST(api_live, a_stream_that_broke_is_resumed_where_it_was)
{
    struct live *live = live_open(SLOW);
    struct reply *broken =
        live_send(live, "POST", TEXT, LIVE_KEY, LONG ",\"stream\":true,\"corten\":{\"client_reference\":\"r\"}}", NULL);
    wait_for(live, broken, "\"text\":");
    struct task_view task = only_task(live);
    struct buf had = {0}, path = {0}, field = {0};
    read_stream(broken, false, &had);
    http_call_cancel(broken->call);
    buf_printf(&path, "/api/v1/tasks/%llu/%llu?stream=1", (unsigned long long)task.session,
               (unsigned long long)task.id);
    buf_printf(&field, "Last-Event-ID: %zu-%08x", had.size, text_sum(TEXT_SUM_START, had.data, had.size));
    struct reply *rest = live_send(live, "GET", path.data, LIVE_KEY, NULL, field.data);
    live_wait(live, rest);
    CHECK(ends_with_done(rest));
    read_stream(rest, false, &had);
    path.size -= strlen("?stream=1");
    path.data[path.size] = 0;
    struct reply *whole = live_ask(live, "GET", path.data, LIVE_KEY, NULL);
    CHECK_STR(had.data, reply_text(whole, "result"));
    struct reply *ended = live_send(live, "GET", path.data, LIVE_KEY, NULL, "Accept: text/event-stream");
    live_wait(live, ended);
    buf_reset(&had);
    read_stream(ended, false, &had);
    CHECK_STR(had.data, reply_text(whole, "result"));
    /* Who had the text of an attempt that failed is told so, however much of it. */
    for (const char *const *other = (const char *const[]){"Last-Event-ID: 4-12345678", "Last-Event-ID: 4000", NULL};
         *other; other++) {
        buf_printf(&path, "?stream=1");
        struct reply *lost = live_send(live, "GET", path.data, LIVE_KEY, NULL, *other);
        path.size -= strlen("?stream=1");
        path.data[path.size] = 0;
        live_wait(live, lost);
        CHECK(strstr(lost->body.data, "\"answer_replaced\""));
        CHECK(!ends_with_done(lost));
    }
    buf_done(&had);
    buf_done(&path);
    buf_done(&field);
    live_close(live);
}

static bool task_ended_as(const struct live *live, enum task_state state)
{
    struct network_view network;
    view_network(live_core(live), &network);
    return network.tasks_ended[state] == 1 && network.tasks_live == 0;
}

TEST(api_live, who_goes_away_cancels_and_pays_for_what_came)
{
    struct live *live = live_open(SLOW);
    const char *key = live_new_key(live, "{}", 5000);
    struct reply *r = live_send(live, "POST", TEXT, key, LONG ",\"stream\":true}", NULL);
    wait_for(live, r, "\"text\":");
    http_call_cancel(r->call);
    LIVE_UNTIL(live, task_ended_as(live, TASK_CANCELLED));
    uint64_t left = balance_of(live, key);
    CHECK(left > 5000 - 60 * 2);
    live_close(live);
}

TEST(api_live, a_task_is_cancelled_by_who_pays_and_nobody_else)
{
    struct live *live = live_open(SLOW);
    const char *key = live_new_key(live, "{}", 5000), *other = live_new_key(live, "{}", 5000);
    struct reply *r = live_send(live, "POST", TEXT, key, LONG "}", NULL);
    struct network_view network;
    LIVE_UNTIL(live, (view_network(live_core(live), &network), network.tasks_live == 1));
    struct task_view task = only_task(live);
    struct buf path = {0};
    buf_printf(&path, "/api/v1/tasks/%llu/%llu", (unsigned long long)task.session, (unsigned long long)task.id);
    check_code(live_ask(live, "DELETE", path.data, other, NULL), 404, "TASK_UNKNOWN");
    check_code(live_ask(live, "GET", path.data, other, NULL), 404, "TASK_UNKNOWN");
    struct reply *seen = live_ask(live, "GET", path.data, key, NULL);
    CHECK(reply_has(seen, "assignments.0.node"));
    CHECK(!reply_has(seen, "result"));
    CHECK_EQ(live_ask(live, "DELETE", path.data, key, NULL)->status, 202);
    live_wait(live, r);
    check_code(r, 410, "TASK_CANCELLED");
    LIVE_UNTIL(live, task_ended_as(live, TASK_CANCELLED));
    check_code(live_ask(live, "DELETE", path.data, key, NULL), 409, "TASK_ENDED");
    struct reply *ended = live_ask(live, "GET", path.data, key, NULL);
    CHECK_STR(reply_text(ended, "state"), "CANCELLED");
    buf_done(&path);
    live_close(live);
}

TEST(api_live, too_slow_is_said_with_its_status)
{
    struct live *live = live_open(SLOW);
    struct reply *r =
        live_ask(live, "POST", "/api/v1/completions", LIVE_KEY, "{\"prompt\":\"a\",\"max_tokens\":60,\"timeout\":0.3}");
    check_code(r, 504, "TOO_SLOW");
    CHECK(reply_has(r, "error.task_id"));
    CHECK_EQ(reply_number(r, "error.retry.after_ms"), 1000);
    r = live_ask(live, "POST", "/api/v1/completions", LIVE_KEY,
                 "{\"prompt\":\"a\",\"max_tokens\":60,\"timeout\":0.3,\"stream\":true}");
    CHECK_EQ(r->status, 200);
    CHECK(!ends_with_done(r));
    struct buf text = {0};
    read_stream(r, false, &text);
    CHECK(text.size > 0);
    CHECK(strcmp(reply_code(r), "TOO_SLOW") == 0 || strcmp(reply_code(r), "stream_interrupted") == 0);
    buf_done(&text);
    live_close(live);
}

/* The stream ends at once and says so; the task goes on with another node, and its answer can be polled. */
TEST(api_live, a_stream_whose_node_is_lost_ends_with_an_error_and_the_task_goes_on)
{
    struct live *live = live_open(
        &(struct live_options){.miners = 2, .engine = "echo=tokens=60,slow=20", .oracle_engine = "echo=tokens=60"});
    const char *id = open_session(live, LIVE_KEY, ",\"escrow\":20000,\"nodes_min\":2,\"precommit_ms\":2500");
    struct buf path = {0};
    buf_printf(&path, "/api/v1/completions/%s", id);
    struct reply *r = live_send(live, "POST", path.data, LIVE_KEY,
                                "{\"prompt\":\"tell me\",\"max_tokens\":60,\"stream\":true}", NULL);
    wait_for(live, r, "\"text\":");
    struct task_view task = only_task(live);
    struct assignment_view assignment;
    uint32_t at = 0;
    CHECK(view_assignment_of(live_core(live), task.id, &at, &assignment));
    live_lose_miner(live, address_eq(&assignment.node, key_address(live->miner_key[0])) ? 0 : 1);
    live_wait(live, r);
    CHECK(!ends_with_done(r));
    struct buf text = {0};
    read_stream(r, false, &text);
    CHECK_STR(reply_code(r), "stream_interrupted");
    CHECK(text.size > 0);
    LIVE_UNTIL(live, task_ended_as(live, TASK_COMPLETED));
    buf_reset(&path);
    buf_printf(&path, "/api/v1/tasks/%s/%s", id, reply_text(r, "error.task_id"));
    struct reply *whole = live_ask(live, "GET", path.data, LIVE_KEY, NULL);
    CHECK(strlen(reply_text(whole, "result")) > 60);
    CHECK_EQ(reply_number(whole, "attempts"), 2);
    buf_done(&text);
    buf_done(&path);
    live_close(live);
}

TEST(api_live, receipts_and_time_lines)
{
    struct live *live = three();
    struct reply *r = live_ask(live, "POST", TEXT, LIVE_KEY, PROMPT "}");
    const char *task = reply_text(r, "corten.task_id"), *session = reply_text(r, "corten.session_id");
    struct reply *receipt = live_ask(live, "GET", path_of("/api/v3/receipts/%s%s", task, ""), LIVE_KEY, NULL);
    CHECK_STR(reply_text(receipt, "task"), task);
    CHECK_STR(reply_text(receipt, "format"), "corten-receipt/1");
    CHECK_EQ(live_ask(live, "GET", path_of("/api/v3/receipts/%s/%s", session, task), LIVE_KEY, NULL)->status, 200);
    struct reply *why = live_ask(live, "GET", path_of("/api/v3/why/%s%s", task, ""), LIVE_KEY, NULL);
    static const char *const states[] = {"QUEUED",    "ASSIGNED",  "ACKED",    "PRECOMMITTED",
                                         "COMMITTED", "VALIDATED", "COMPLETED"};
    const char *at = why->body.data;
    for (size_t i = 1; i < ARRAY_COUNT(states); i++) {
        at = strstr(at, path_of("\"to\":\"%s\"%s", states[i], ""));
        if (!at)
            test_fail(__FILE__, __LINE__, "no step to %s in %s", states[i], why->body.data);
    }
    const char *node = reply_text(receipt, "answers.0.node");
    struct reply *of_node = live_ask(live, "GET", path_of("/api/v3/why/%s%s", node, ""), LIVE_KEY, NULL);
    CHECK(reply_has(of_node, "why"));
    CHECK(reply_has(of_node, "events.0.event"));
    const char *other = live_new_key(live, "{}", 10);
    check_code(live_ask(live, "GET", path_of("/api/v3/receipts/%s%s", task, ""), other, NULL), 404, "TASK_UNKNOWN");
    check_code(live_ask(live, "GET", path_of("/api/v3/why/%s%s", task, ""), other, NULL), 404, "TASK_UNKNOWN");
    struct reply *list = live_ask(live, "GET", path_of("/api/v1/tasks/%s?limit=1%s", session, ""), LIVE_KEY, NULL);
    CHECK_STR(reply_text(list, "tasks.0.task_id"), task);
    CHECK(!reply_has(live_ask(live, "GET", path_of("/api/v1/tasks/%s%s", session, ""), other, NULL), "tasks.0"));
    live_close(live);
}

/* ---- payloads ---- */

TEST(api_live, a_prompt_and_an_answer_by_their_urn)
{
    struct live *live = three();
    const char *other = live_new_key(live, "{}", 5000);
    struct reply *put = live_ask(live, "PUT", "/api/v3/payloads", LIVE_KEY, "tell me");
    CHECK_EQ(put->status, 201);
    const char *cid = reply_text(put, "cid");
    struct reply *got = live_ask(live, "GET", path_of("/api/v3/payloads/%s%s", cid, ""), LIVE_KEY, NULL);
    CHECK_STR(got->body.data, "tell me");
    check_code(live_ask(live, "GET", path_of("/api/v3/payloads/%s%s", cid, ""), other, NULL), 404, "NOT_FOUND");
    check_code(live_ask(live, "PUT", path_of("/api/v3/payloads?cid=%s%s", cid, ""), LIVE_KEY, "another"), 400,
               "DIGEST_DIFFERS");
    const char *id = open_session(live, LIVE_KEY, ",\"escrow\":20000,\"result\":\"reference\"");
    struct reply *by_urn =
        live_ask(live, "POST", path_of("/api/v3/completions/%s%s", id, ""), LIVE_KEY,
                 path_of("{\"prompt\":\"%s\",\"temperature\":0,\"max_tokens\":12%s}", reply_text(put, "urn"), ""));
    CHECK_EQ(by_urn->status, 200);
    CHECK_STR(reply_text(by_urn, "choices.0.text"), "");
    const char *answer = reply_text(by_urn, "urn") + strlen("ipfs://");
    struct reply *text = live_ask(live, "GET", path_of("/api/v3/payloads/%s%s", answer, ""), LIVE_KEY, NULL);
    CHECK_EQ(text->status, 200);
    struct reply *inline_ = live_ask(live, "POST", path_of("/api/v1/completions/%s%s", id, ""), LIVE_KEY,
                                     "{\"prompt\":\"tell me\",\"temperature\":0,\"max_tokens\":12}");
    CHECK_STR(reply_text(inline_, "choices.0.text"), text->body.data);
    struct reply *stolen = live_ask(live, "POST", "/api/v3/completions", other,
                                    path_of("{\"prompt\":\"%s\"%s}", reply_text(put, "urn"), ""));
    check_code(stolen, 400, "VALUE_INVALID");
    live_close(live);
}

/* ---- the end ---- */

static void drained(void *ctx) { ((struct live *)ctx)->drained = true; }

TEST(api_live, what_runs_ends_and_nothing_new_begins_when_the_router_drains)
{
    struct live *live = live_open(SLOW);
    struct reply *r = live_send(live, "POST", TEXT, LIVE_KEY, LONG ",\"stream\":true}", NULL);
    wait_for(live, r, "\"text\":");
    router_drain(live->router, 20000, drained, live);
    live_wait(live, r);
    CHECK(ends_with_done(r));
    LIVE_UNTIL(live, live->drained);
    live_close(live);
}

TEST(api_live, a_drain_that_lasts_too_long_ends_streams_with_an_error)
{
    struct live *live = live_open(
        &(struct live_options){.miners = 1, .engine = "echo=tokens=400,slow=20", .oracle_engine = "echo=tokens=400"});
    struct reply *r =
        live_send(live, "POST", TEXT, LIVE_KEY,
                  "{\"model\":\"" LIVE_MODEL "\",\"prompt\":\"a\",\"max_tokens\":400,\"stream\":true}", NULL);
    wait_for(live, r, "\"text\":");
    router_drain(live->router, 50, drained, live);
    live_wait(live, r);
    CHECK(!ends_with_done(r));
    struct buf text = {0};
    read_stream(r, false, &text);
    CHECK_STR(reply_code(r), "STOPPING");
    LIVE_UNTIL(live, live->drained);
    buf_done(&text);
    live_close(live);
}
