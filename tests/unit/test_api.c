/* The HTTP API without a network behind it: routes, verdicts, errors, metrics. */
#include "base/nearest.h"
#include "lib/test.h"
#include "router/api_parts.h"

/* ---- routes ---- */

static char part[CALL_PARTS_MAX][CALL_PART_SIZE_MAX + 1];
static struct api_error error;

static const char *pattern_of(enum http_method method, const char *path)
{
    const struct route *route = route_find(method, path, part, &error);
    return route ? route->pattern : "";
}

TEST(api, finds_routes_and_their_parts)
{
    CHECK_STR(pattern_of(HTTP_METHOD_POST, "/v1/chat/completions"), "/v1/chat/completions");
    CHECK_STR(pattern_of(HTTP_METHOD_GET, "/api/v1/tasks/7/9"), "/api/v1/tasks/{session}/{task}");
    CHECK_STR(part[0], "7");
    CHECK_STR(part[1], "9");
    CHECK_STR(pattern_of(HTTP_METHOD_GET, "/api/v1/tasks/7"), "/api/v1/tasks/{session}");
    CHECK_STR(pattern_of(HTTP_METHOD_GET, "/api/v1/tasks/7/"), "/api/v1/tasks/{session}");
    CHECK_STR(pattern_of(HTTP_METHOD_HEAD, "/healthz"), "/healthz");
}

TEST(api, a_models_name_may_have_slashes)
{
    CHECK_STR(pattern_of(HTTP_METHOD_GET, "/v1/models/org/model:7b"), "/v1/models/{model*}");
    CHECK_STR(part[0], "org/model:7b");
    CHECK_STR(pattern_of(HTTP_METHOD_GET, "/v1/models/org%2Fmodel"), "/v1/models/{model*}");
    CHECK_STR(part[0], "org/model");
    CHECK_STR(pattern_of(HTTP_METHOD_GET, "/v1/models"), "/v1/models");
}

TEST(api, an_unknown_path_names_the_nearest_route)
{
    static const struct {
        enum http_method method;
        const char *path, *nearest;
    } cases[] = {
        {HTTP_METHOD_POST, "/v1/chat/completion", "POST /v1/chat/completions"},
        {HTTP_METHOD_GET, "/v1/model", "GET /v1/models"},
        {HTTP_METHOD_GET, "/api/v3/why/", "GET /api/v3/why/{task or node}"},
        {HTTP_METHOD_GET, "/health", "GET /healthz"},
        {HTTP_METHOD_GET, "/", "GET /about"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CHECK_STR(pattern_of(cases[i].method, cases[i].path), "");
        CHECK_EQ(error.status, 404);
        CHECK_STR(error.code, "ROUTE_UNKNOWN");
        if (!strstr(error.message, cases[i].nearest))
            test_fail(__FILE__, __LINE__, "%s: %s", cases[i].path, error.message);
    }
}

TEST(api, another_method_is_told_which_it_takes)
{
    CHECK_STR(pattern_of(HTTP_METHOD_DELETE, "/v1/models"), "");
    CHECK_EQ(error.status, 405);
    CHECK_STR(error.allow, "GET");
    CHECK_STR(pattern_of(HTTP_METHOD_PUT, "/api/v1/sessions/1"), "");
    CHECK_STR(error.allow, "GET, DELETE");
}

TEST(api, odd_paths_are_no_route)
{
    char path[600] = "/api/v1/sessions/";
    memset(path + strlen(path), '7', 400);
    static const char *const paths[] = {"*", "/api/v1/sessions/%zz", "/api/v1/sessions/%00", "//", "/v1//models"};
    CHECK_STR(pattern_of(HTTP_METHOD_GET, path), "");
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        CHECK_STR(pattern_of(HTTP_METHOD_GET, paths[i]), "");
}

TEST(api, every_pattern_leads_to_its_own_route)
{
    uint32_t count;
    const struct route *routes = api_routes(&count);
    for (uint32_t i = 0; i < count; i++) {
        const struct route *found = route_find(routes[i].method, routes[i].pattern, part, &error);
        if (found != &routes[i])
            test_fail(__FILE__, __LINE__, "%s is hidden by %s", routes[i].pattern, found ? found->pattern : "none");
        CHECK(routes[i].handle);
    }
}

/* ---- verdicts and ends ---- */

TEST(api, every_verdict_has_a_status_of_its_own)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < VERDICT_COUNT; i++) {
        if (!verdict_name((enum verdict)i))
            continue;
        unsigned status = verdict_status((enum verdict)i);
        error_of_verdict((enum verdict)i, &error);
        CHECK_EQ(error.status, status);
        CHECK(error.message[0]);
        if (i == VERDICT_ACCEPTED ? status != 200 : status < 400 || status == 500)
            test_fail(__FILE__, __LINE__, "%s has status %u", verdict_name((enum verdict)i), status);
        CHECK_EQ(error.retry, status == 429 || status == 503);
        seen++;
    }
    CHECK(seen > 100);
    CHECK_EQ(verdict_status(VERDICT_BALANCE_SHORT), 402);
    CHECK_EQ(verdict_status(VERDICT_KEY_BUDGET), 402);
    CHECK_EQ(verdict_status(VERDICT_RATE_LIMITED), 429);
    CHECK_EQ(verdict_status(VERDICT_NODES_TOO_FEW), 503);
    CHECK_EQ(verdict_status(VERDICT_MODEL_UNKNOWN), 404);
    CHECK_STR(verdict_code(VERDICT_CONTEXT_EXCEEDED), "context_length_exceeded");
    CHECK_STR(verdict_code(VERDICT_LEASE_STALE), "LEASE_STALE");
}

static void check_end(enum fail_cause cause, uint32_t attempts, bool context, unsigned status, const char *code)
{
    const struct task_end end = {.task = 9, .session = 8, .state = TASK_FAILED, .cause = cause, .causes = {0, 2}};
    error_of_end(&end, attempts, context, &error);
    CHECK_EQ(error.status, status);
    CHECK_STR(error.code, code);
    CHECK_EQ(error.task, 9);
}

TEST(api, nobody_too_slow_rejected_and_our_fault_are_different_errors)
{
    check_end(CAUSE_NO_NODES, 0, false, 503, "NO_NODES");
    check_end(CAUSE_TIMEOUT, 0, false, 503, "NO_NODES");
    check_end(CAUSE_TIMEOUT, 2, false, 504, "TOO_SLOW");
    check_end(CAUSE_SILENT, 3, false, 504, "NODES_SILENT");
    check_end(CAUSE_DECLINED, 3, false, 503, "NODES_DECLINED");
    check_end(CAUSE_DECLINED, 3, true, 400, "context_length_exceeded");
    check_end(CAUSE_ENGINE, 3, false, 502, "ENGINE_FAILED");
    check_end(CAUSE_OUTVOTED, 3, false, 502, "ANSWER_REJECTED");
    check_end(CAUSE_POISON, 1, false, 422, "POISON");
    check_end(CAUSE_CANCELLED, 1, false, 410, "TASK_CANCELLED");
    check_end(CAUSE_SESSION_CLOSED, 1, false, 503, "SESSION_CLOSED");
    check_end(CAUSE_ROUTER_LOST, 1, false, 500, "ROUTER_FAILED");
    for (uint32_t cause = 0; cause < FAIL_CAUSE_COUNT; cause++) {
        error_of_end(&(struct task_end){.cause = (enum fail_cause)cause}, 1, false, &error);
        CHECK(error.status >= 400 && error.message[0]);
    }
}

TEST(api, errors_have_one_shape)
{
    struct buf out = {0};
    check_end(CAUSE_DECLINED, 3, false, 503, "NODES_DECLINED");
    error_write(&out, &error);
    CHECK_STR(out.data,
              "{\"error\":{\"code\":\"NODES_DECLINED\",\"message\":\"nobody answered: every node that was asked "
              "declined\",\"type\":\"server_error\",\"param\":null,\"session_id\":\"8\",\"task_id\":\"9\","
              "\"reasons\":{\"DECLINED\":2},\"retry\":{\"after_ms\":1000,\"same_reference\":false}}}");
    buf_done(&out);
}

/* ---- commands from JSON ---- */

static enum cx_err read_session(const char *text, struct buf *lists, struct command *cmd)
{
    static const char *const skip[] = {"owner", NULL}, *const also[] = {"model", NULL};
    json_t *root = NULL;
    CHECK_EQ(json_parse(text, strlen(text), 4096, &root), CX_OK);
    struct json_at at = json_at_root(root);
    *cmd = (struct command){.type = COMMAND_SESSION_OPEN};
    enum cx_err err =
        fields_from_json(&at, command_find(COMMAND_SESSION_OPEN), &(struct fields_wish){skip, also, lists}, cmd);
    json_decref(root);
    return err;
}

TEST(api, a_body_says_what_a_command_has)
{
    struct buf lists[API_LISTS_MAX] = {{0}};
    struct command cmd;
    CHECK_EQ(read_session(
                 "{\"model\":\"x\",\"redundancy\":3,\"validation\":\"majority\",\"escrow\":\"17\",\"diversity\":true,"
                 "\"stream\":\"after-validation\",\"pays\":1,\"total_ms\":\"5000\",\"sla\":null,"
                 "\"allowed\":[\"0x00000000000000000000000000000000000000ff\"]}",
                 lists, &cmd),
             CX_OK);
    const struct cmd_session_open *c = &cmd.session_open;
    CHECK_EQ(c->redundancy, 3);
    CHECK_EQ(c->validation, VALIDATION_MAJORITY);
    CHECK_EQ(c->escrow.credits, 17);
    CHECK_EQ(c->diversity, 1);
    CHECK_EQ(c->stream, STREAM_AFTER_VALIDATION);
    CHECK_EQ(c->pays, PAYS_PAYER);
    CHECK_EQ(c->total_ms, 5000);
    CHECK_EQ(c->allowed.size, 20);
    CHECK_EQ(c->allowed.data[19], 0xff);
    buf_done(&lists[0]);
}

TEST(api, a_field_that_is_wrong_is_named)
{
    static const struct {
        const char *text, *path;
    } cases[] = {
        {"{\"redundency\":3}", "redundency"},
        {"{\"owner\":\"0x00000000000000000000000000000000000000ff\"}", "owner"},
        {"{\"validation\":\"magic\"}", "validation"},
        {"{\"redundancy\":300}", "redundancy"},
        {"{\"escrow\":-1}", "escrow"},
        {"{\"allowed\":[\"0x12\"]}", "allowed[0]"},
        {"{\"name\":\"12345678901234567890123456789012345678901234567890123456789012345\"}", "name"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf lists[API_LISTS_MAX] = {{0}};
        struct command cmd;
        CHECK_EQ(read_session(cases[i].text, lists, &cmd), CX_INVALID);
        CHECK_STR(json_failed_path(), cases[i].path);
        buf_done(&lists[0]);
    }
}

/* ---- metrics ---- */

TEST(api, histograms_are_cumulative)
{
    struct histogram h = {0};
    struct buf out = {0};
    const uint64_t times[] = {1, 5, 6, 130000};
    for (size_t i = 0; i < ARRAY_COUNT(times); i++)
        histogram_add(&h, times[i]);
    metrics_histogram(&out, "x", "of a test", &h);
    CHECK(strstr(out.data, "# TYPE x histogram\n"));
    CHECK(strstr(out.data, "x_bucket{le=\"0.005\"} 2\n"));
    CHECK(strstr(out.data, "x_bucket{le=\"0.010\"} 3\n"));
    CHECK(strstr(out.data, "x_bucket{le=\"120.000\"} 3\n"));
    CHECK(strstr(out.data, "x_bucket{le=\"+Inf\"} 4\n"));
    CHECK(strstr(out.data, "x_sum 130.012\n"));
    CHECK(strstr(out.data, "x_count 4\n"));
    buf_done(&out);
}

TEST(api, nearest_counts_what_must_change)
{
    CHECK_EQ(nearest_distance("", ""), 0);
    CHECK_EQ(nearest_distance("abc", ""), 3);
    CHECK_EQ(nearest_distance("", "abc"), 3);
    CHECK_EQ(nearest_distance("kitten", "sitting"), 3);
    CHECK_EQ(nearest_distance("Models", "mOdels"), 0);
    char a[200], b[200];
    memset(a, 'a', sizeof a - 1);
    memset(b, 'b', sizeof b - 1);
    a[199] = b[199] = 0;
    CHECK_EQ(nearest_distance(a, b), NEAREST_SIZE_MAX);
}
