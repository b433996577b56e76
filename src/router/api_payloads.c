/* Payloads by their content: storing them, and reading those that one has to do with. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/cid.h"
#include "crypto/sha256.h"
#include "payload/payload.h"
#include "router/api_payloads.h"

#define DAY_MS           (24ull * 60 * 60 * 1000)
#define SEARCH_PAGES_MAX 10  // of the caller's ended tasks, the last first, in which a payload is looked for
#define PUTS_REMEMBERED  4096

/* What was put by whom, so that its owner may read it before a task names it. The oldest gives way. */
struct put {
    struct address account;
    struct hash sha256;
};
/* What an account has put today. */
struct quota {
    struct address account;
    uint64_t day, size;
};
struct puts {
    struct put *put;  // [PUTS_REMEMBERED], a ring
    uint32_t next;
    struct quota *quota;  // [quotas]
    uint32_t quotas;
};

static struct puts *puts_of(struct api *api)
{
    if (!api->puts) {
        api->puts = calloc(1, sizeof *api->puts);
        cx_assert(api->puts);
        api->puts->put = calloc(PUTS_REMEMBERED, sizeof *api->puts->put);
        cx_assert(api->puts->put);
    }
    return api->puts;
}

void payloads_done(struct api *api)
{
    if (!api->puts)
        return;
    free(api->puts->put);
    free(api->puts->quota);
    free(api->puts);
}

static struct quota *quota_of(struct puts *puts, const struct address *account)
{
    uint64_t day = net_wall_ms() / DAY_MS;
    uint32_t i = 0;
    while (i < puts->quotas && !address_eq(&puts->quota[i].account, account))
        i++;
    if (i == puts->quotas) {
        puts->quota = realloc(puts->quota, (puts->quotas + 1) * sizeof *puts->quota);
        cx_assert(puts->quota);
        puts->quota[puts->quotas++] = (struct quota){.account = *account, .day = day};
    }
    struct quota *quota = &puts->quota[i];
    if (quota->day != day)
        *quota = (struct quota){.account = *account, .day = day};
    return quota;
}

/* ---- who may read ---- */

struct search {
    const struct hash *sha256;
    bool found;
    uint64_t seq, task;  // of the last row
    uint32_t rows;
};

static bool compare(void *ctx, const struct finished_task *row)
{
    struct search *search = ctx;
    search->rows++;
    search->seq = row->end_seq;
    search->task = row->task;
    search->found = hash_eq(&row->prompt_digest, search->sha256) || hash_eq(&row->payload_digest, search->sha256);
    return !search->found;
}

static bool is_of_ended_task(const struct call *call, const struct hash *sha256)
{
    struct search search = {.sha256 = sha256};
    struct archive_query query = {.by = ARCHIVE_BY_PAYER, .address = call->account, .limit = ARCHIVE_PAGE_MAX};
    for (uint32_t page = 0; page < SEARCH_PAGES_MAX; page++) {
        search.rows = 0;
        if (history_tasks(call->api->options.history, &query, compare, &search) || search.found ||
            search.rows < ARCHIVE_PAGE_MAX)
            break;
        query.before_seq = search.seq;
        query.before_task = search.task;
    }
    return search.found;
}

static bool is_of_live_task(const struct call *call, const struct hash *sha256)
{
    struct task_view view;
    struct finished_task created;
    for (uint32_t at = 0; view_task_at(replica_core(call->api->options.replica), &at, &view);)
        if (address_eq(&view.payer, &call->account) &&
            history_created(call->api->options.history, view.id, &created) == CX_OK &&
            hash_eq(&created.prompt_digest, sha256))
            return true;
    return false;
}

bool payload_may_read(const struct call *call, const struct hash *sha256)
{
    const struct puts *puts = puts_of(call->api);
    if (call_may(call, SCOPE_ADMIN))
        return true;
    for (uint32_t i = 0; i < PUTS_REMEMBERED; i++)
        if (hash_eq(&puts->put[i].sha256, sha256) && address_eq(&puts->put[i].account, &call->account))
            return true;
    return is_of_live_task(call, sha256) || is_of_ended_task(call, sha256);
}

/* ---- routes ---- */

static bool digest_is_as_said(struct call *call, const struct hash *sha256)
{
    char said[128];
    struct hash other;
    enum cx_err err = http_query_get(http_request(call->x)->query, "cid", said, sizeof said);
    if (err == CX_NOT_FOUND)
        return true;
    if (!err)
        err = strncmp(said, "ipfs://", 7) == 0 ? urn_decode(said, strlen(said), &other)
                                               : cid_decode(said, strlen(said), &other);
    if (err) {
        call_world(call, err, "cid");
        return false;
    }
    if (hash_eq(&other, sha256))
        return true;
    call_fail(call, 400, "DIGEST_DIFFERS", "cid", "the body's SHA-256 is not the one that its CID names");
    return false;
}

static void answer_put(struct call *call, const struct hash *sha256, size_t size, uint64_t keep_until_ms)
{
    char cid[CID_TEXT_SIZE];
    struct buf body = {0};
    struct json_out out;
    cid_encode(sha256, cid);
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    json_out_text(&out, "cid", cid);
    out_urn(&out, "urn", sha256);
    out_hash(&out, "sha256", sha256);
    json_out_u64(&out, "size", size);
    json_out_u64(&out, "keep_until_ms", keep_until_ms);
    json_out_end(&out);
    call_json(call, 201, &body);
    buf_done(&body);
}

void api_payload_put(struct call *call)
{
    size_t size;
    const char *body = http_request_body(call->x, &size);
    struct puts *puts = puts_of(call->api);
    struct quota *quota = quota_of(puts, &call->account);
    uint64_t keep_until_ms = net_wall_ms() + call->api->options.keep_ms;
    struct hash sha256_;
    if (size == 0) {
        call_fail(call, 400, "VALUE_INVALID", NULL, "the body is empty");
        return;
    }
    sha256(body, size, &sha256_);
    if (!digest_is_as_said(call, &sha256_))
        return;
    if (size > API_PAYLOAD_QUOTA - u64_min(quota->size, API_PAYLOAD_QUOTA)) {
        call_fail(call, 429, "PAYLOAD_QUOTA", NULL, "an account may put %llu bytes a day",
                  (unsigned long long)API_PAYLOAD_QUOTA);
        return;
    }
    enum cx_err err = payload_put(call->api->options.payloads, body, size, keep_until_ms, &sha256_);
    if (err) {
        call_world(call, err, NULL);
        return;
    }
    quota->size += size;
    puts->put[puts->next] = (struct put){.account = call->account, .sha256 = sha256_};
    puts->next = (puts->next + 1) % PUTS_REMEMBERED;
    answer_put(call, &sha256_, size, keep_until_ms);
}

void api_payload_get(struct call *call)
{
    struct hash sha256;
    struct buf data = {0};
    enum cx_err err = cid_decode(call->part[0], strlen(call->part[0]), &sha256);
    if (err) {
        call_world(call, err, "cid");
        return;
    }
    if (!payload_may_read(call, &sha256)) {
        call_fail(call, 404, "NOT_FOUND", "cid", "no payload of this account has that name, or it is no longer kept");
        return;
    }
    err = payload_get(call->api->options.payloads, &sha256, &data);
    if (err)
        call_world(call, err, "cid");
    else
        call_text(call, 200, "application/octet-stream", data.data ? data.data : "", data.size);
    buf_done(&data);
}
