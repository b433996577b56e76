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
