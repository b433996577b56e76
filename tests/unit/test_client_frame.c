/* What a client says on its WebSocket: docs/protocol.md, "Client WebSocket". */
#include <string.h>

#include "lib/guard.h"
#include "lib/test.h"
#include "proto/client_frame.h"

static void check_refuses(const char *text, const char *why)
{
    struct client_frame f;
    char *copy = guard_copy(text, strlen(text));
    CHECK_EQ(client_decode(copy, strlen(text), &f), CX_INVALID);
    if (!strstr(cx_detail(), why))
        test_fail(__FILE__, __LINE__, "%s: \"%s\" does not say %s", text, cx_detail(), why);
    CHECK(!f.document && !f.body && !f.key);
    guard_free(copy, strlen(text));
}

TEST(client_frame, reads_every_frame)
{
    struct client_frame f;
    static const char submit[] =
        "{\"type\":\"submit\",\"ref\":\"18446744073709551615\",\"body\":{\"prompt\":\"a\"},\"new\":1}";
    CHECK_EQ(client_decode(submit, strlen(submit), &f), CX_OK);
    CHECK_EQ(f.type, CLIENT_SUBMIT);
    CHECK_EQ(f.ref, UINT64_MAX);
    CHECK(json_is_object(f.body));
    client_frame_done(&f);

    static const char watch[] = "{\"type\":\"watch\",\"ref\":2,\"task_id\":\"7\",\"session_id\":8,\"from\":9}";
    CHECK_EQ(client_decode(watch, strlen(watch), &f), CX_OK);
    CHECK_EQ(f.type, CLIENT_WATCH);
    CHECK_EQ(f.task, 7);
    CHECK_EQ(f.session, 8);
    CHECK_EQ(f.from, 9);
    client_frame_done(&f);

    static const char cancel[] = "{\"type\":\"cancel\",\"ref\":3,\"task_id\":7}";
    CHECK_EQ(client_decode(cancel, strlen(cancel), &f), CX_OK);
    CHECK_EQ(f.type, CLIENT_CANCEL);
    CHECK_EQ(f.session, 0);
    client_frame_done(&f);

    static const char key[] = "{\"type\":\"key\",\"key\":\"ck_1\"}";
    CHECK_EQ(client_decode(key, strlen(key), &f), CX_OK);
    CHECK_EQ(f.type, CLIENT_KEY);
    CHECK_STR(f.key, "ck_1");
    client_frame_done(&f);

    static const char leave[] = "{\"type\":\"leave\",\"ref\":4}";
    CHECK_EQ(client_decode(leave, strlen(leave), &f), CX_OK);
    CHECK_EQ(f.type, CLIENT_LEAVE);
    CHECK_EQ(f.ref, 4);
    client_frame_done(&f);
}

TEST(client_frame, names_the_field_that_is_wrong)
{
    check_refuses("", "JSON");
    check_refuses("[]", "expected a JSON object");
    check_refuses("{}", "type");
    check_refuses("{\"type\":\"offer\"}", "type: no frame \"offer\" comes this way");
    check_refuses("{\"type\":\"submit\",\"body\":{}}", "ref");
    check_refuses("{\"type\":\"submit\",\"ref\":0,\"body\":{}}", "ref");
    check_refuses("{\"type\":\"submit\",\"ref\":1}", "body");
    check_refuses("{\"type\":\"submit\",\"ref\":1,\"body\":[]}", "body");
    check_refuses("{\"type\":\"watch\",\"ref\":1}", "task_id");
    check_refuses("{\"type\":\"watch\",\"ref\":1,\"task_id\":1,\"from\":-1}", "from");
    check_refuses("{\"type\":\"cancel\",\"ref\":1,\"task_id\":\"x\"}", "task_id");
    check_refuses("{\"type\":\"key\"}", "key");
    char text[CLIENT_KEY_SIZE_MAX + 64];
    snprintf(text, sizeof text, "{\"type\":\"key\",\"key\":\"%0*d\"}", CLIENT_KEY_SIZE_MAX + 1, 0);
    check_refuses(text, "key: over 256 bytes");
}

/* ---- in binary ---- */

static void check_refuses_bytes(const void *data, size_t size, const char *why)
{
    struct client_frame f;
    char *copy = guard_copy(data, size);
    CHECK(client_decode_bin(copy, size, &f) == CX_INVALID);
    if (!strstr(cx_detail(), why))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say %s", cx_detail(), why);
    guard_free(copy, size);
}

TEST(client_frame, reads_every_frame_in_binary)
{
    static const uint8_t submit[] = {CLIENT_SUBMIT, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const uint8_t watch[] = {
        CLIENT_WATCH, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 1, 0};
    static const uint8_t cancel[] = {
        CLIENT_CANCEL, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
    static const uint8_t leave[] = {CLIENT_LEAVE, 0, 0, 0, 0, 0, 0, 0, 4};
    static const uint8_t key[] = {CLIENT_KEY, 'c', 'k', '_', '1'};
    struct client_frame f;
    CHECK_EQ(client_decode_bin(submit, sizeof submit, &f), CX_OK);
    CHECK_EQ(f.type, CLIENT_SUBMIT);
    CHECK_EQ(f.ref, 0x0102030405060708);
    CHECK_EQ(f.fields.size, 1);
    struct request request;
    CHECK_EQ(client_frame_request(&f, &request), CX_INVALID);
    CHECK_EQ(client_decode_bin(watch, sizeof watch, &f), CX_OK);
    CHECK_EQ(f.session, 8);
    CHECK_EQ(f.task, 7);
    CHECK_EQ(f.from, 256);
    CHECK_EQ(client_decode_bin(cancel, sizeof cancel, &f), CX_OK);
    CHECK_EQ(f.ref, 3);
    CHECK_EQ(f.task, 7);
    CHECK_EQ(client_decode_bin(leave, sizeof leave, &f), CX_OK);
    CHECK_EQ(f.ref, 4);
    CHECK_EQ(client_decode_bin(key, sizeof key, &f), CX_OK);
    CHECK_STR(f.key, "ck_1");
    for (size_t size = 0; size < sizeof watch; size++)
        check_refuses_bytes(watch, size, "");
}

TEST(client_frame, names_what_is_wrong_in_binary)
{
    static const uint8_t longer[] = {CLIENT_LEAVE, 0, 0, 0, 0, 0, 0, 0, 4, 0};
    static const uint8_t no_ref[] = {CLIENT_LEAVE, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t no_task[] = {
        CLIENT_CANCEL, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t nul[] = {CLIENT_KEY, 'c', 0, 'k'};
    uint8_t key[CLIENT_KEY_SIZE_MAX + 2] = {CLIENT_KEY};
    memset(key + 1, 'k', sizeof key - 1);
    check_refuses_bytes("", 0, "type");
    check_refuses_bytes("\5", 1, "type");
    check_refuses_bytes(longer, sizeof longer, "longer or shorter");
    check_refuses_bytes(no_ref, sizeof no_ref, "ref");
    check_refuses_bytes(no_task, sizeof no_task, "task_id");
    check_refuses_bytes(nul, sizeof nul, "key");
    check_refuses_bytes(key, 1, "key");
    check_refuses_bytes(key, sizeof key, "over 256");
}
