/* WebSocket frames without sockets: both roles, whole and byte by byte. */
#include "lib/feed.h"
#include "lib/test.h"
#include "proto/ws.h"

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

static void expect(enum ws_role role, const void *raw, size_t size, const char *wanted)
{
    for (size_t step = size > 2000 ? 500 : 1; step <= size; step += step < 40 ? 1 : 997) {
        struct buf log = feed_ws(role, raw, size, step, 100000);
        CHECK_STR(log.data, wanted);
        buf_done(&log);
    }
    struct buf log = feed_ws(role, raw, size, size, 100000);
    CHECK_STR(log.data, wanted);
    buf_done(&log);
}

#define EXPECT(role, bytes, wanted) expect(role, bytes, sizeof bytes - 1, wanted)

TEST(ws, reads_the_frames_that_the_rfc_shows)
{
    EXPECT(WS_CLIENT, "\x81\x05Hello", "text:Hello;");
    EXPECT(WS_SERVER, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "text:Hello;");
    EXPECT(WS_CLIENT, "\x01\x03Hel\x80\x02lo", "text:Hello;");
    EXPECT(WS_CLIENT, "\x89\x05Hello", "ping:Hello;");
    EXPECT(WS_SERVER, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "pong:Hello;");
}

TEST(ws, answers_the_key_that_the_rfc_shows)
{
    char accept[WS_ACCEPT_SIZE + 1], key[WS_KEY_SIZE + 1];
    ws_accept("dGhlIHNhbXBsZSBub25jZQ==", accept);
    CHECK_STR(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    ws_key((const uint8_t *)"the sample nonce", key);
    CHECK_STR(key, "dGhlIHNhbXBsZSBub25jZQ==");
}

TEST(ws, lets_control_frames_stand_between_fragments)
{
    EXPECT(WS_CLIENT,
           "\x01\x01"
           "a"
           "\x89\x01"
           "p"
           "\x00\x00"
           "\x00\x01"
           "b"
           "\x8a\x00"
           "\x80\x00"
           "\x82\x01"
           "x",
           "ping:p;pong:;text:ab;binary:x;");
    EXPECT(WS_CLIENT, "\x81\x00\x82\x00", "text:;binary:;");
}

TEST(ws, refuses_what_breaks_the_frame)
{
    EXPECT(WS_SERVER, "\x81\x05Hello", "bad 1002");                                /* not masked */
    EXPECT(WS_CLIENT, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "bad 1002"); /* masked */
    EXPECT(WS_CLIENT, "\xc1\x00", "bad 1002");                                     /* reserved bits */
    EXPECT(WS_CLIENT, "\xa1\x00", "bad 1002");
    EXPECT(WS_CLIENT, "\x91\x00", "bad 1002");
    EXPECT(WS_CLIENT, "\x83\x00", "bad 1002"); /* opcodes */
    EXPECT(WS_CLIENT, "\x87\x00", "bad 1002");
    EXPECT(WS_CLIENT, "\x8b\x00", "bad 1002");
    EXPECT(WS_CLIENT, "\x8f\x00", "bad 1002");
    EXPECT(WS_CLIENT, "\x80\x00", "bad 1002"); /* continues nothing */
    EXPECT(WS_CLIENT,
           "\x01\x01"
           "a"
           "\x81\x01"
           "b",
           "bad 1002");                                /* a message in a message */
    EXPECT(WS_CLIENT, "\x09\x00", "bad 1002");         /* a ping in pieces */
    EXPECT(WS_CLIENT, "\x89\x7e\x00\x7e", "bad 1002"); /* a long ping */
    EXPECT(WS_CLIENT, "\x82\x7e\x00\x7d", "bad 1002"); /* lengths not in the shortest form */
    EXPECT(WS_CLIENT, "\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", "bad 1002");
    EXPECT(WS_CLIENT, "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", "bad 1002");
    EXPECT(WS_CLIENT, "\x88\x00\x81\x00", "close 1005:;bad 1002"); /* bytes behind the end */
}

TEST(ws, judges_close_frames)
{
    EXPECT(WS_CLIENT, "\x88\x00", "close 1005:;");
    EXPECT(WS_CLIENT, "\x88\x02\x03\xe8", "close 1000:;");
    EXPECT(WS_CLIENT,
           "\x88\x05\x03\xe8"
           "bye",
           "close 1000:bye;");
    EXPECT(WS_CLIENT, "\x88\x01\x03", "bad 1002");
    EXPECT(WS_CLIENT, "\x88\x03\x03\xe8\xff", "bad 1007");
    static const struct {
        unsigned code;
        bool valid;
    } codes[] = {{0, false},    {999, false}, {1000, true},  {1003, true},  {1004, false}, {1005, false},
                 {1006, false}, {1007, true}, {1014, true},  {1015, false}, {1016, false}, {2999, false},
                 {3000, true},  {4999, true}, {5000, false}, {65535, false}};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++)
        CHECK_EQ(ws_close_is_valid(codes[i].code), codes[i].valid);
}

TEST(ws, checks_utf8_across_fragments)
{
    EXPECT(WS_CLIENT, "\x01\x02\xce\xba\x00\x01\xe2\x80\x02\x82\xac", "text:\xce\xba\xe2\x82\xac;");
    EXPECT(WS_CLIENT, "\x01\x01\xce\x80\x00", "bad 1007"); /* ends inside a character */
    EXPECT(WS_CLIENT, "\x81\x01\xff", "bad 1007");
    EXPECT(WS_CLIENT, "\x81\x02\xc0\x80", "bad 1007"); /* overlong */
    EXPECT(WS_CLIENT, "\x81\x03\xe0\x9f\xbf", "bad 1007");
    EXPECT(WS_CLIENT, "\x81\x03\xed\xa0\x80", "bad 1007");     /* a surrogate */
    EXPECT(WS_CLIENT, "\x81\x04\xf4\x90\x80\x80", "bad 1007"); /* over U+10FFFF */
    EXPECT(WS_CLIENT, "\x81\x04\xf4\x8f\xbf\xbf", "text:\xf4\x8f\xbf\xbf;");
    EXPECT(WS_CLIENT,
           "\x81\x0a"
           "12345678\xce\xba",
           "text:12345678\xce\xba;");
    EXPECT(WS_CLIENT, "\x82\x02\xff\xc0", "binary:\xff\xc0;"); /* binary may be anything */
}

TEST(ws, bounds_a_message_not_only_a_frame)
{
    struct buf log = feed_ws(WS_CLIENT, "\x82\x0b", 2, 1, 10);
    CHECK_STR(log.data, "bad 1009");
    buf_done(&log);
    log = feed_ws(WS_CLIENT,
                  "\x02\x05"
                  "12345"
                  "\x80\x06",
                  9, 1, 10);
    CHECK_STR(log.data, "bad 1009");
    buf_done(&log);
    log = feed_ws(WS_CLIENT,
                  "\x02\x05"
                  "12345"
                  "\x80\x05"
                  "12345",
                  14, 1, 10);
    CHECK_STR(log.data, "binary:1234512345;");
    buf_done(&log);
    log = feed_ws(WS_CLIENT, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10, 1, 10);
    CHECK_STR(log.data, "bad 1009");
    buf_done(&log);
}

TEST(ws, reads_back_what_it_writes_in_every_length)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 64, 125, 126, 127, 1000, 65535, 65536, 70001};
    char *data = calloc(1, 70001);
    for (size_t i = 0; i < 70001; i++)
        data[i] = (char)('a' + i % 26);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        for (int role = 0; role < 2; role++) {
            struct buf out = {0}, wanted = {0};
            ws_put(&out, WS_TEXT, true, data, sizes[i], role == WS_SERVER ? mask : NULL);
            if (sizes[i] > 64)
                buf_printf(&wanted, "text of %zu;", sizes[i]);
            else
                buf_printf(&wanted, "text:%.*s;", (int)sizes[i], data);
            expect(role ? WS_SERVER : WS_CLIENT, out.data, out.size, wanted.data);
            buf_done(&out);
            buf_done(&wanted);
        }
    }
    free(data);
}

TEST(ws, writes_close_frames_with_reasons_that_fit)
{
    struct buf out = {0};
    ws_put_close(&out, WS_CLOSE_NO_CODE, NULL, NULL);
    ws_put_close(&out, 1000, "bye", NULL);
    CHECK_MEM(out.data,
              "\x88\x00\x88\x05\x03\xe8"
              "bye",
              9);
    buf_reset(&out);
    char reason[200];
    memset(reason, 'x', sizeof reason);
    memcpy(reason + 121, "\xe2\x82\xac", 3); /* would be cut inside */
    reason[199] = '\0';
    ws_put_close(&out, 1001, reason, mask);
    CHECK_EQ(out.size, 2 + 4 + 2 + 121);
    buf_done(&out);
}

static struct http_request request_of(const char *raw, char room[600], struct http_field *field)
{
    struct http_request r;
    snprintf(room, 600, "%s", raw);
    CHECK_EQ(http_request_parse(room, strlen(room), field, &r), HTTP_REFUSE_NONE);
    return r;
}

#define UPGRADE "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13     "Sec-WebSocket-Version: 13\r\n"

TEST(ws, judges_handshakes_of_clients)
{
    static const struct {
        const char *raw, *offers;
        enum cx_err err;
        const char *protocol;
    } cases[] = {
        {UPGRADE KEY V13 "\r\n", NULL, CX_OK, ""},
        {UPGRADE KEY V13 "Sec-WebSocket-Protocol: b, a\r\n\r\n", "a,b", CX_OK, "a"},
        {UPGRADE KEY V13 "Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: b\r\n\r\n", "a, b", CX_OK, "b"},
        {UPGRADE KEY V13 "Sec-WebSocket-Protocol: x\r\n\r\n", "a", CX_UNSUPPORTED, NULL},
        {UPGRADE KEY V13 "Sec-WebSocket-Protocol: A\r\n\r\n", "a", CX_UNSUPPORTED, NULL},
        {UPGRADE KEY V13 "Sec-WebSocket-Protocol: x\r\n\r\n", NULL, CX_OK, ""},
        {UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n", NULL, CX_UNSUPPORTED, NULL},
        {UPGRADE V13 "\r\n", NULL, CX_INVALID, NULL},
        {UPGRADE V13 "Sec-WebSocket-Key: short\r\n\r\n", NULL, CX_INVALID, NULL},
        {"GET / HTTP/1.1\r\nHost: a\r\n" KEY V13 "\r\n", NULL, CX_INVALID, NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char room[600], accept[WS_ACCEPT_SIZE + 1], protocol[64];
        struct http_field field[HTTP_FIELDS_MAX];
        struct http_request r = request_of(cases[i].raw, room, field);
        CHECK_EQ(ws_upgrade_check(&r, cases[i].offers, accept, protocol), cases[i].err);
        if (cases[i].err)
            continue;
        CHECK_STR(protocol, cases[i].protocol);
        CHECK_STR(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

TEST(ws, judges_answers_of_servers)
{
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    static const struct {
        const char *raw, *protocols;
        enum cx_err err;
    } cases[] = {
        {SWITCH ACCEPT "\r\n", NULL, CX_OK},
        {SWITCH ACCEPT "Sec-WebSocket-Protocol: b\r\n\r\n", "a,b", CX_OK},
        {SWITCH ACCEPT "Sec-WebSocket-Protocol: c\r\n\r\n", "a,b", CX_INVALID},
        {SWITCH ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", NULL, CX_INVALID},
        {SWITCH "Sec-WebSocket-Accept: AAAALMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", NULL, CX_INVALID},
        {SWITCH "\r\n", NULL, CX_INVALID},
        {"HTTP/1.1 101 x\r\n" ACCEPT "\r\n", NULL, CX_INVALID},
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", NULL, CX_DENIED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char head[400], protocol[64];
        struct http_field field[HTTP_FIELDS_MAX];
        struct http_reply reply;
        snprintf(head, sizeof head, "%s", cases[i].raw);
        CHECK_EQ(http_reply_parse(head, strlen(head), field, &reply), HTTP_REFUSE_NONE);
        CHECK_EQ(ws_reply_check(&reply, "dGhlIHNhbXBsZSBub25jZQ==", cases[i].protocols, protocol), cases[i].err);
    }
}

TEST(ws, accepts_its_own_handshake)
{
    struct buf out = {0};
    char accept[WS_ACCEPT_SIZE + 1], protocol[64];
    struct http_field field[HTTP_FIELDS_MAX];
    struct http_request r;
    struct http_reply reply;
    ws_put_request(&out, "h:1", "/miner?x=1", "dGhlIHNhbXBsZSBub25jZQ==", "p1, p2", "Authorization: Bearer x\r\n");
    CHECK_EQ(http_request_parse(out.data, out.size, field, &r), HTTP_REFUSE_NONE);
    CHECK_EQ(ws_upgrade_check(&r, "p2", accept, protocol), CX_OK);
    CHECK_STR(r.query, "x=1");
    buf_reset(&out);
    ws_put_upgrade(&out, accept, protocol);
    CHECK_EQ(http_reply_parse(out.data, out.size, field, &reply), HTTP_REFUSE_NONE);
    CHECK_EQ(ws_reply_check(&reply, "dGhlIHNhbXBsZSBub25jZQ==", "p1, p2", protocol), CX_OK);
    CHECK_STR(protocol, "p2");
    buf_done(&out);
}
