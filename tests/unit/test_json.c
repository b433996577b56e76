/* JSON: errors that name the place, exact numbers, and the form that is hashed. */
#include "lib/guard.h"
#include "lib/test.h"
#include "proto/json.h"

static json_t *parsed(const char *text)
{
    json_t *root = NULL;
    CHECK_EQ(json_parse(text, strlen(text), 10000, &root), CX_OK);
    return root;
}

TEST(json, names_the_place_of_what_is_wrong)
{
    json_t *doc = parsed("{\"messages\":[{\"role\":\"user\",\"content\":7},{}],\"n\":null,\"stream\":1}");
    struct json_at root = json_at_root(doc), messages, message;
    const char *text;
    size_t size;
    CHECK_EQ(json_need_array(&root, "messages", &messages), CX_OK);
    CHECK_EQ(json_at_count(&messages), 2);
    message = json_at_item(&messages, 0);
    CHECK_EQ(json_need_text(&message, "role", &text, &size), CX_OK);
    CHECK_STR(text, "user");
    CHECK_EQ(json_need_text(&message, "content", &text, &size), CX_INVALID);
    CHECK_STR(cx_detail(), "messages[0].content: expected a string");
    CHECK_STR(json_failed_path(), "messages[0].content");
    message = json_at_item(&messages, 1);
    CHECK_EQ(json_need_text(&message, "content", &text, &size), CX_INVALID);
    CHECK_STR(cx_detail(), "messages[1].content: missing: expected a string");
    CHECK_EQ(json_need_text(&messages, "content", &text, &size), CX_INVALID);
    CHECK_STR(cx_detail(), "messages: expected an object");
    CHECK_EQ(json_fail(&message, NULL, "is %s", "empty"), CX_INVALID);
    CHECK_STR(cx_detail(), "messages[1]: is empty");
    bool stream = true;
    CHECK_EQ(json_need_bool(&root, "stream", &stream), CX_INVALID);
    CHECK_STR(cx_detail(), "stream: expected true or false");
    json_decref(doc);
    doc = parsed("[]");
    root = json_at_root(doc);
    CHECK_EQ(json_need_object(&root, NULL, &message), CX_INVALID);
    CHECK_STR(cx_detail(), "expected an object");
    CHECK_STR(json_failed_path(), "");
    json_decref(doc);
}

TEST(json, leaves_a_value_alone_where_the_member_is_missing_or_null)
{
    json_t *doc = parsed("{\"n\":null,\"m\":\"x\"}");
    struct json_at root = json_at_root(doc);
    uint64_t n = 5;
    bool flag = true;
    CHECK_EQ(json_may_u64(&root, "n", 0, 9, &n), CX_OK);
    CHECK_EQ(json_may_u64(&root, "none", 0, 9, &n), CX_OK);
    CHECK_EQ(n, 5);
    CHECK_EQ(json_may_bool(&root, "none", &flag), CX_OK);
    CHECK(flag);
    CHECK_EQ(json_may_u64(&root, "m", 0, 9, &n), CX_INVALID);
    CHECK(!json_has(&root, "n") && json_has(&root, "m"));
    static const char *const known[] = {"n"};
    CHECK_STR(json_unknown_key(&root, known, 1), "m");
    json_decref(doc);
}

static enum cx_err fixed(const char *text, int64_t *ret_value)
{
    json_t *doc = parsed(text);
    struct json_at root = json_at_root(doc);
    enum cx_err err = json_need_fixed(&root, "t", 4, 0, 20000, ret_value);
    json_decref(doc);
    return err;
}

TEST(json, reads_decimals_exactly)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0.7", 7000}, {"0.1", 1000},     {"1", 10000},   {"2", 20000},   {"0", 0},
                {"0.0001", 1}, {"1.9999", 19999}, {"1e-1", 1000}, {"2e0", 20000}, {"0.30000000000000004", 3000}};
    char text[64];
    int64_t value = 0;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        snprintf(text, sizeof text, "{\"t\":%s}", good[i].text);
        CHECK_EQ(fixed(text, &value), CX_OK);
        CHECK_EQ(value, good[i].value);
    }
    for (int i = 0; i <= 20000; i++) {
        snprintf(text, sizeof text, "{\"t\":%d.%04d}", i / 10000, i % 10000);
        CHECK_EQ(fixed(text, &value), CX_OK);
        CHECK_EQ(value, i);
    }
    CHECK_EQ(fixed("{\"t\":2.0001}", &value), CX_INVALID);
    CHECK_STR(cx_detail(), "t: must be from 0 to 2");
    CHECK_EQ(fixed("{\"t\":-0.1}", &value), CX_INVALID);
    CHECK_EQ(fixed("{\"t\":1e300}", &value), CX_INVALID);
    CHECK_EQ(fixed("{\"t\":9223372036854775807}", &value), CX_INVALID);
    CHECK_EQ(fixed("{\"t\":\"1\"}", &value), CX_INVALID);
    CHECK_STR(cx_detail(), "t: expected a number");
}

TEST(json, reads_integers_without_floats)
{
    json_t *doc = parsed("{\"a\":9007199254740993,\"b\":\"18446744073709551615\",\"c\":1.0,\"d\":\"01\",\"e\":-1,\"f\":"
                         "\"99999999999999999999\"}");
    struct json_at root = json_at_root(doc);
    uint64_t u;
    int64_t i;
    CHECK_EQ(json_need_u64(&root, "a", 0, UINT64_MAX, &u), CX_OK);
    CHECK(u == 9007199254740993u);
    CHECK_EQ(json_need_u64(&root, "b", 0, UINT64_MAX, &u), CX_OK);
    CHECK(u == UINT64_MAX);
    CHECK_EQ(json_need_u64(&root, "c", 0, 9, &u), CX_INVALID);
    CHECK_EQ(json_need_i64(&root, "c", 0, 9, &i), CX_INVALID);
    CHECK_EQ(json_need_u64(&root, "d", 0, 9, &u), CX_INVALID);
    CHECK_EQ(json_need_u64(&root, "e", 0, 9, &u), CX_INVALID);
    CHECK_STR(cx_detail(), "e: must not be negative");
    CHECK_EQ(json_need_i64(&root, "e", -5, 5, &i), CX_OK);
    CHECK_EQ(i, -1);
    CHECK_EQ(json_need_u64(&root, "f", 0, UINT64_MAX, &u), CX_INVALID);
    CHECK_EQ(json_need_u64(&root, "a", 0, 10, &u), CX_INVALID);
    CHECK_STR(cx_detail(), "a: must be from 0 to 10, not 9007199254740993");
    json_decref(doc);
}

TEST(json, reads_hexadecimal_of_one_size)
{
    json_t *doc = parsed("{\"a\":\"0x00ff\",\"b\":\"00FF\",\"c\":\"0x00f\",\"d\":\"0x00fg\"}");
    struct json_at root = json_at_root(doc);
    uint8_t bytes[2] = {1, 1};
    CHECK_EQ(json_need_hex(&root, "a", bytes, 2), CX_OK);
    CHECK(bytes[0] == 0 && bytes[1] == 255);
    CHECK_EQ(json_need_hex(&root, "b", bytes, 2), CX_OK);
    CHECK_EQ(json_need_hex(&root, "c", bytes, 2), CX_INVALID);
    CHECK_EQ(json_need_hex(&root, "d", bytes, 2), CX_INVALID);
    CHECK_STR(cx_detail(), "d: expected 2 bytes as hexadecimal digits");
    CHECK_EQ(json_need_hex(&root, "e", bytes, 2), CX_INVALID);
    json_decref(doc);
}

TEST(json, refuses_bad_documents)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "{\"a\":1,\"a\":2}",
                                      "[1,]",
                                      "1 2",
                                      "{\"a\":\"\xff\"}",
                                      "nul",
                                      "[\"\\u0000\"]",
                                      "{'a':1}",
                                      "[1e999]",
                                      "[01]",
                                      "[99999999999999999999]",
                                      "\"\\ud800\""};
    json_t *root = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        size_t size = strlen(bad[i]);
        char *copy = guard_copy(bad[i], size);
        if (json_parse(copy, size, 100, &root) != CX_INVALID)
            test_fail(__FILE__, __LINE__, "accepted: %s", bad[i]);
        guard_free(copy, size);
    }
    CHECK_EQ(json_parse("[1]", 3, 2, &root), CX_TOO_LARGE);
}

TEST(json, bounds_the_nesting)
{
    char text[2 * JSON_DEPTH_MAX + 3];
    json_t *root = NULL;
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    CHECK_EQ(json_parse(text, 2 * JSON_DEPTH_MAX + 2, 1000, &root), CX_INVALID);
    CHECK_STR(cx_detail(), "the JSON is nested over 64 levels");
    CHECK_EQ(json_parse(text + 1, 2 * JSON_DEPTH_MAX, 1000, &root), CX_OK);
    json_decref(root);
    CHECK_EQ(json_parse("[\"[[[\\\"[[\"]", 11, 1000, &root), CX_OK);
    json_decref(root);
}

TEST(json, writes_objects_arrays_and_commas)
{
    struct buf buf = {0};
    struct json_out out;
    json_out_init(&out, &buf);
    json_out_object(&out, NULL);
    json_out_text(&out, "a", "x\"\n");
    json_out_array(&out, "b");
    json_out_u64(&out, NULL, UINT64_MAX);
    json_out_i64(&out, NULL, INT64_MIN);
    json_out_object(&out, NULL);
    json_out_end(&out);
    json_out_bool(&out, NULL, false);
    json_out_end(&out);
    json_out_null(&out, "c");
    json_out_fixed(&out, "d", 7000, 4);
    json_out_fixed(&out, "e", -12345, 3);
    json_out_fixed(&out, "f", 20000, 4);
    json_out_hex(&out, "g", "\x00\xff", 2);
    json_out_text(&out, "h", NULL);
    json_out_end(&out);
    CHECK_STR(buf.data, "{\"a\":\"x\\\"\\n\",\"b\":[18446744073709551615,-9223372036854775808,{},false],\"c\":null,"
                        "\"d\":0.7,\"e\":-12.345,\"f\":2,\"g\":\"0x00ff\",\"h\":null}");
    buf_done(&buf);
}

static void check_canonical(const char *text, const char *wanted)
{
    json_t *doc = parsed(text);
    struct buf out = {0};
    json_canonical(&out, doc);
    CHECK_STR(out.data, wanted);
    buf_done(&out);
    json_decref(doc);
}

TEST(json, has_one_form_to_hash)
{
    check_canonical(" { \"b\" : [ 1 , 2 ] , \"a\" : null, \"\": true } ", "{\"\":true,\"a\":null,\"b\":[1,2]}");
    /* RFC 8785, 3.2.2 */
    check_canonical("{\"numbers\":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"
                    "\"string\":\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\","
                    "\"literals\":[null,true,false]}",
                    "{\"literals\":[null,true,false],"
                    "\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
                    "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
    /* RFC 8785, 3.2.3: sorted by UTF-16 */
    check_canonical("{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}",
                    "{\"\\r\":2,\"1\":4,\"\xc2\x80\":6,\"\xc3\xb6\":7,\"\xe2\x82\xac\":1,\"\xf0\x9f\x98\x80\":5,"
                    "\"\xef\xac\xb3\":3}");
    /* RFC 8785, appendix B */
    check_canonical("[0.0,-0.0,5e-324,1.7976931348623157e308,9007199254740992.0,295147905179352830000.0,"
                    "9.999999999999997e22,1e23,999999999999999900000.0,1e21,9.999999999999997e-7,0.000001,"
                    "333333333.33333325,-1424953923781206.25,123456789012345680000.0]",
                    "[0,0,5e-324,1.7976931348623157e+308,9007199254740992,295147905179352830000,"
                    "9.999999999999997e+22,1e+23,999999999999999900000,1e+21,9.999999999999997e-7,0.000001,"
                    "333333333.33333325,-1424953923781206.2,123456789012345680000]");
}

TEST(json, takes_no_nul_between_its_words)
{
    static const struct {
        const char *text;
        size_t size;
    } bad[] = {{"{\"a\":null\0}", 11}, {"[1\0]", 4}, {"[1]\0", 4}, {"\0[1]", 4}, {"[true\0,1]", 9}, {"[\"\0\"]", 5}};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        json_t *root = NULL;
        CHECK_EQ(json_parse(bad[i].text, bad[i].size, 100, &root), CX_INVALID);
    }
}
