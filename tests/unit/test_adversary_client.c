/* Clients that cheat: what they get for it, and what they pay. */
#include "lib/live.h"
#include "lib/test.h"
#include "sim/adversary.h"

#define TEXT    "/v1/completions"
#define AT_ONCE 12

static uint64_t number(const struct reply *r, const char *path) { return strtoull(reply_text(r, path), NULL, 10); }

static uint64_t balance_of(struct live *live, const char *key)
{
    return number(live_ask(live, "GET", "/api/v1/accounts/me", key, NULL), "balance");
}

static const char *prompt_of(const char *words, const char *more)
{
    static char body[4][512];
    static unsigned next;
    char *at = body[next++ % 4];
    snprintf(at, sizeof body[0],
             "{\"model\":\"" LIVE_MODEL "\",\"prompt\":\"%s\",\"max_tokens\":20,\"temperature\":0%s}", words, more);
    return at;
}

TEST(adversary_client, a_reference_with_other_content_names_the_first_task)
{
    struct live *live = live_open(&(struct live_options){.miners = 2});
    const char *key = live_new_key(live, "{}", 100000);
    static const char again[] = ",\"corten\":{\"client_reference\":\"one\"}";
    struct reply *first = live_ask(live, "POST", TEXT, key, prompt_of("tell me", again));
    CHECK_EQ(first->status, 200);
    uint64_t left = balance_of(live, key);
    struct reply *other = live_ask(live, "POST", TEXT, key, prompt_of("something else altogether", again));
    CHECK_EQ(other->status, 200);
    CHECK_STR(reply_text(other, "corten.task_id"), reply_text(first, "corten.task_id"));
    CHECK_STR(reply_text(other, "choices.0.text"), reply_text(first, "choices.0.text"));
    CHECK_EQ(balance_of(live, key), left);
    live_close(live);
}

/* Fires many prompts at once; gives what the answered ones cost, and how many were refused with that code. */
static uint64_t spend_at_once(struct live *live, const char *key, const char *code, uint32_t *ret_refused)
{
    struct reply *reply[AT_ONCE];
    uint64_t charged = 0;
    *ret_refused = 0;
    for (uint32_t i = 0; i < AT_ONCE; i++)
        reply[i] = live_send(live, "POST", TEXT, key, prompt_of("tell me", ""), NULL);
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        live_wait(live, reply[i]);
        if (reply[i]->status == 200)
            charged += number(reply[i], "corten.charged");
        else if (reply[i]->status == 402 && strcmp(reply_code(reply[i]), code) == 0)
            ++*ret_refused;
        else
            test_fail(__FILE__, __LINE__, "%u: %s", reply[i]->status, reply[i]->body.data);
    }
    return charged;
}

TEST(adversary_client, many_connections_spend_no_more_than_the_keys_budget)
{
    struct live *live = live_open(&(struct live_options){.miners = 2});
    const char *key = live_new_key(live, "{\"budget\":250}", 100000);
    uint32_t refused;
    uint64_t charged = spend_at_once(live, key, "KEY_BUDGET", &refused);
    CHECK(refused > 0);
    CHECK(refused < AT_ONCE);
    CHECK(charged <= 250);
    CHECK_EQ(balance_of(live, key), 100000 - charged);
    live_close(live);
}

TEST(adversary_client, many_connections_spend_no_more_than_there_is)
{
    struct live *live = live_open(&(struct live_options){.miners = 2});
    const char *key = live_new_key(live, "{}", 250);
    uint32_t refused;
    uint64_t charged = spend_at_once(live, key, "BALANCE_SHORT", &refused);
    CHECK(refused > 0);
    CHECK(refused < AT_ONCE);
    CHECK(charged <= 250);
    CHECK_EQ(balance_of(live, key), 250 - charged);
    live_close(live);
}

static uint32_t words_in(const struct reply *r)
{
    uint32_t words = 0;
    for (const char *at = r->body.data; at && (at = strstr(at, "\"text\":\"")); at++) {
        at += strlen("\"text\":\"");
        size_t size = strcspn(at, "\"");
        words += size > 0;
        for (size_t i = 1; i + 1 < size; i++)
            words += at[i] == ' ';
    }
    return words;
}

static bool tasks_have_ended(const struct live *live)
{
    struct network_view network;
    view_network(live_core(live), &network);
    return network.tasks_live == 0;
}

TEST(adversary_client, who_has_read_all_and_goes_pays_for_what_it_read)
{
    struct live *live = live_open(
        &(struct live_options){.miners = 1, .engine = "echo=slow=40,tokens=10", .oracle_engine = "echo=tokens=10"});
    const char *key = live_new_key(live, "{}", 100000);
    struct reply *r = live_send(live, "POST", TEXT, key, prompt_of("tell me", ",\"stream\":true"), NULL);
    LIVE_UNTIL(live, words_in(r) >= 8);
    uint32_t words = words_in(r);
    CHECK(!r->done);
    http_call_cancel(r->call);
    r->call = NULL;
    LIVE_UNTIL(live, tasks_have_ended(live));
    uint64_t paid = 100000 - balance_of(live, key);
    CHECK(paid >= 2ull * words);  // LIVE_PRICE_OUT a token
    struct network_view network;
    view_network(live_core(live), &network);
    CHECK_EQ(network.tasks_ended[TASK_CANCELLED] + network.tasks_ended[TASK_COMPLETED], 1);
    CHECK(network.money_holds);
    live_close(live);
}

TEST(adversary_client, what_others_asked_is_not_to_be_had)
{
    struct live *live = live_open(&(struct live_options){.miners = 1});
    const char *key = live_new_key(live, "{}", 100000), *thief = live_new_key(live, "{}", 100000);
    struct reply *r = live_ask(live, "POST", TEXT, key, prompt_of("a secret", ",\"user\":\"me\""));
    CHECK_EQ(r->status, 200);
    static const char *const path[] = {"/api/v1/tasks/%s/%s", "/api/v1/tasks/%s/%s?stream=1", "/api/v3/receipts/%s/%s"};
    for (size_t i = 0; i < ARRAY_COUNT(path); i++) {
        char of[256];
        snprintf(of, sizeof of, path[i], reply_text(r, "corten.session_id"), reply_text(r, "corten.task_id"));
        CHECK_EQ(live_ask(live, "GET", of, key, NULL)->status, 200);
        CHECK_EQ(live_ask(live, "GET", of, thief, NULL)->status, 404);
    }
    char of[256];
    snprintf(of, sizeof of, "/api/v3/payloads/%s", reply_text(r, "corten.urn") + strlen("ipfs://"));
    CHECK_EQ(live_ask(live, "GET", of, key, NULL)->status, 200);
    CHECK_EQ(live_ask(live, "GET", of, thief, NULL)->status, 404);
    snprintf(of, sizeof of, "/api/v1/tasks/%s/%s", reply_text(r, "corten.session_id"), reply_text(r, "corten.task_id"));
    CHECK(live_ask(live, "DELETE", of, thief, NULL)->status >= 400);
    /* A reference is its payer's: the same words of another name another task. */
    static const char named[] = ",\"corten\":{\"client_reference\":\"mine\"}";
    struct reply *own = live_ask(live, "POST", TEXT, key, prompt_of("a secret", named));
    struct reply *other = live_ask(live, "POST", TEXT, thief, prompt_of("a guess", named));
    CHECK_EQ(other->status, 200);
    CHECK(strcmp(reply_text(own, "corten.task_id"), reply_text(other, "corten.task_id")) != 0);
    live_close(live);
}

/* ---- all of it at once, as in the simulator ---- */

static const struct core *see_core(void *ctx) { return live_core(ctx); }

TEST(adversary_client, one_that_tries_everything_gets_nothing)
{
    struct live *live = live_open(
        &(struct live_options){.miners = 2, .engine = "echo=slow=5,tokens=8", .oracle_engine = "echo=tokens=8"});
    struct adversary_client *client;
    const struct adversary_client_options options = {.loop = live->loop,
                                                     .router = live->url,
                                                     .api_key = LIVE_KEY,
                                                     .model = LIVE_MODEL,
                                                     .every_ms = 10,
                                                     .seed = 3,
                                                     .spy = {.core = see_core, .ctx = live}};
    CHECK_EQ(adversary_client_open(&options, &client), CX_OK);
    const struct adversary_client_stats *s = adversary_client_stats(client);
    LIVE_UNTIL(live, s->held >= 5 && s->short_of >= 10 && s->leavers >= 3 && s->unseen >= 3);
    CHECK_EQ(s->breaches, 0);
    CHECK_EQ(s->spends, s->short_of);
    CHECK_EQ(s->snoops, s->unseen);
    CHECK_EQ(s->references - s->held <= 4, 1);  // those under way
    adversary_client_close(client);
    struct network_view network;
    view_network(live_core(live), &network);
    CHECK(network.money_holds);
    live_close(live);
}
