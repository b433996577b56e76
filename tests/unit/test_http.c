/* HTTP without sockets: what is understood, what is refused and by which name, whole and byte by byte. */
#include "lib/feed.h"
#include "lib/test.h"
#include "proto/http.h"

/* The same verdict however the bytes are cut. */
static struct outcome read_all(const char *raw, size_t size)
{
    struct outcome whole = feed_http(raw, size, size);
    for (size_t step = 1; step <= 7; step += 2) {
        struct outcome cut = feed_http(raw, size, step);
        CHECK_STR(http_refusal_name(cut.refusal), http_refusal_name(whole.refusal));
        CHECK_EQ(cut.requests, whole.requests);
        CHECK_STR(cut.log.data, whole.log.data);
        outcome_done(&cut);
    }
    return whole;
}

struct probe {
    const char *name, *raw, *refusal;
    unsigned requests;
};

static void run_probes(const struct probe *probe, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct outcome o = read_all(probe[i].raw, strlen(probe[i].raw));
        const char *name = http_refusal_name(o.refusal);
        if (strcmp(name, probe[i].refusal) != 0 || o.requests != probe[i].requests)
            test_fail(__FILE__, __LINE__, "%s: %s after %u requests, not %s after %u", probe[i].name, name, o.requests,
                      probe[i].refusal, probe[i].requests);
        outcome_done(&o);
    }
}

#define P    "POST / HTTP/1.1\r\nHost: a\r\n"
#define NEXT "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

TEST(http, refuses_every_framing_trick_of_the_study)
{
    static const struct probe probes[] = {
        {"Content-Length and chunked", P "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "HTTP_LENGTH_TWICE", 0},
        {"chunked and Content-Length", P "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
         "HTTP_LENGTH_TWICE", 0},
        {"two different Content-Length", P "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "HTTP_LENGTH_TWICE",
         0},
        {"the same Content-Length twice", P "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "HTTP_LENGTH_TWICE",
         0},
        {"two lengths in one field", P "Content-Length: 5, 5\r\n\r\nhello", "HTTP_LENGTH_BAD", 0},
        {"Content-Length: +5", P "Content-Length: +5\r\n\r\nhello", "HTTP_LENGTH_BAD", 0},
        {"Content-Length: -1", P "Content-Length: -1\r\n\r\nhello", "HTTP_LENGTH_BAD", 0},
        {"Content-Length: 0x5", P "Content-Length: 0x5\r\n\r\nhello", "HTTP_LENGTH_BAD", 0},
        {"Content-Length without digits", P "Content-Length:\r\n\r\nhello", "HTTP_LENGTH_BAD", 0},
        {"Content-Length overflow", P "Content-Length: 99999999999999999999999\r\n\r\nhello", "HTTP_LENGTH_BAD", 0},
        {"space before colon", P "Content-Length : 5\r\n\r\nhello", "HTTP_FIELD_BAD", 0},
        {"bare CR inside a value", P "X: a\rb\r\n\r\n", "HTTP_LINE_END", 0},
        {"bare LF line ends", "GET / HTTP/1.1\nHost: a\n\n", "HTTP_LINE_END", 0},
        {"bare LF at one line", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "HTTP_LINE_END", 0},
        {"obs-fold", P "X: a\r\n b\r\n\r\n", "HTTP_FOLDED", 0},
        {"obs-fold with a tab", P "X: a\r\n\tb\r\n\r\n", "HTTP_FOLDED", 0},
        {"folded first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "HTTP_FOLDED", 0},
        {"unknown Transfer-Encoding and CL", P "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\nhello",
         "HTTP_LENGTH_TWICE", 0},
        {"Transfer-Encoding: identity", P "Transfer-Encoding: identity\r\n\r\n", "HTTP_ENCODING", 0},
        {"LF in chunk extension", P "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n", "HTTP_CHUNK", 0},
        {"comma in chunk extension", P "Transfer-Encoding: chunked\r\n\r\n5;a,b\r\nhello\r\n0\r\n\r\n", "HTTP_CHUNK",
         0},
        {"nameless chunk extension", P "Transfer-Encoding: chunked\r\n\r\n5;\r\nhello\r\n0\r\n\r\n", "HTTP_CHUNK", 0},
        {"open quote in chunk extension", P "Transfer-Encoding: chunked\r\n\r\n5;a=\"\r\nhello\r\n0\r\n\r\n",
         "HTTP_CHUNK", 0},
        {"chunk size overflow", P "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
         "HTTP_CHUNK", 0},
        {"chunk size of zeros", P "Transfer-Encoding: chunked\r\n\r\n000000005\r\nhello\r\n0\r\n\r\n", "HTTP_CHUNK", 0},
        {"chunk size with a sign", P "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", "HTTP_CHUNK", 0},
        {"chunk size with 0x", P "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "HTTP_CHUNK", 0},
        {"chunk without size", P "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", "HTTP_CHUNK", 0},
        {"chunk longer than said", P "Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n", "HTTP_CHUNK", 0},
        {"chunk size ended by LF", P "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", "HTTP_CHUNK", 0},
        {"chunk data ended by LF", P "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", "HTTP_CHUNK", 0},
        {"trailer", P "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n", "HTTP_TRAILER", 0},
        {"gzip, chunked", P "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "HTTP_ENCODING", 0},
        {"chunked, gzip", P "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "HTTP_ENCODING", 0},
        {"chunked with a tab behind it", P "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", "HTTP_ENCODING", 0},
        {"chunked twice", P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "HTTP_ENCODING", 0},
        {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP_ENCODING_1_0",
         0},
        {"missing Host", "GET / HTTP/1.1\r\n\r\n", "HTTP_HOST_MISSING", 0},
        {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "HTTP_HOST_BAD", 0},
        {"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "HTTP_HOST_BAD", 0},
        {"Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "HTTP_HOST_BAD", 0},
        {"smuggled behind a good one", P "Content-Length: 5\r\n\r\nhello" P "Content-Length: 1\r\n X\r\n\r\n" NEXT,
         "HTTP_FOLDED", 1},
    };
    run_probes(probes, ARRAY_COUNT(probes));
}

TEST(http, refuses_what_is_no_request_by_name)
{
    static const struct probe probes[] = {
        {"TLS hello", "\x16\x03\x01\x02\x00\x01", "HTTP_CONTROL", 0},
        {"words", "hello world\r\n\r\n", "HTTP_SYNTAX", 0},
        {"SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP_SYNTAX", 0},
        {"NUL cannot stand in C text, DEL can", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_CONTROL", 0},
        {"control in a value", P "X: a\x01 b\r\n\r\n", "HTTP_CONTROL", 0},
        {"unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_METHOD_UNKNOWN", 0},
        {"lower-case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_METHOD_UNKNOWN", 0},
        {"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_METHOD_UNKNOWN", 0},
        {"PATCH", "PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_METHOD_UNKNOWN", 0},
        {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP_VERSION", 0},
        {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP_VERSION", 0},
        {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "HTTP_VERSION", 0},
        {"HTTP/0.9", "GET /\r\n\r\n", "HTTP_SYNTAX", 0},
        {"absolute form", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_TARGET_BAD", 0},
        {"authority form", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_TARGET_BAD", 0},
        {"version of letters", "GET / HTTP/x.y\r\nHost: a\r\n\r\n", "HTTP_VERSION", 0},
        {"four words", "GET / x HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_SYNTAX", 0},
        {"tabs for spaces", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_SYNTAX", 0},
        {"no target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_TARGET_BAD", 0},
        {"fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_TARGET_BAD", 0},
        {"raw UTF-8 in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_TARGET_BAD", 0},
        {"star with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_TARGET_BAD", 0},
        {"field without colon", P "nonsense\r\n\r\n", "HTTP_FIELD_BAD", 0},
        {"field without name", P ": x\r\n\r\n", "HTTP_FIELD_BAD", 0},
        {"expectation", P "Expect: 200-maybe\r\n\r\n", "HTTP_EXPECT", 0},
        {"two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP_SYNTAX", 0},
        {"body over the limit", P "Content-Length: 1001\r\n\r\n", "HTTP_BODY_TOO_LARGE", 0},
        {"chunks over the limit", P "Transfer-Encoding: chunked\r\n\r\n3e9\r\n", "HTTP_BODY_TOO_LARGE", 0},
    };
    run_probes(probes, ARRAY_COUNT(probes));
    struct outcome o = read_all("GET /\0 HTTP/1.1\r\n", 17);
    CHECK_STR(http_refusal_name(o.refusal), "HTTP_CONTROL");
    outcome_done(&o);
}

static struct outcome read_text(const char *raw) { return read_all(raw, strlen(raw)); }

TEST(http, reads_requests_that_follow_each_other)
{
    struct outcome o =
        read_text("GET /a?x=1&y HTTP/1.1\r\nHost: h:80\r\n\r\n"
                  "\r\n" P "Content-Length: 5\r\n\r\nhello" P
                  "transfer-encoding: Chunked\r\n\r\n5;ext=\"v\"\r\nhello\r\n00006\r\n world\r\n0\r\n\r\n"
                  "OPTIONS * HTTP/1.1\r\nHost:\r\nConnection: foo , Close\r\n\r\n");
    CHECK_STR(http_refusal_name(o.refusal), "HTTP_NONE");
    CHECK_STR(o.log.data, "GET /a?x=1&y []POST / [hello]POST / [hello world]OPTIONS * [] close");
    outcome_done(&o);
    o = read_text("GET / HTTP/1.0\r\n\r\n");
    CHECK_STR(o.log.data, "GET / [] close");
    outcome_done(&o);
    o = read_text("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    CHECK_STR(o.log.data, "GET / []");
    outcome_done(&o);
}

static struct http_request parse(const char *raw, char *room, struct http_field *field)
{
    struct http_request r;
    strcpy(room, raw);
    CHECK_EQ(http_request_parse(room, strlen(raw), field, &r), HTTP_REFUSE_NONE);
    return r;
}

TEST(http, gives_fields_as_strings_without_the_space_around)
{
    char room[400];
    struct http_field field[HTTP_FIELDS_MAX];
    struct http_request r =
        parse("POST /x HTTP/1.1\r\nHost: a:1\r\nX-One:  two words \t\r\nEmpty:\r\nExpect: 100-Continue\r\n"
              "X-Utf: \xc3\xa9\r\nContent-Length: 7\r\n\r\n",
              room, field);
    CHECK_EQ(r.field_count, 6);
    CHECK_STR(http_field_get(r.field, r.field_count, "x-one"), "two words");
    CHECK_STR(http_field_get(r.field, r.field_count, "EMPTY"), "");
    CHECK_STR(http_field_get(r.field, r.field_count, "x-utf"), "\xc3\xa9");
    CHECK(!http_field_get(r.field, r.field_count, "X-On"));
    CHECK_STR(r.host, "a:1");
    CHECK_EQ(r.content_length, 7);
    CHECK(r.expect_continue && r.keep_alive && !r.upgrade_websocket);
    r = parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n", room,
              field);
    CHECK(r.upgrade_websocket);
}

/* A request whose size is told by `what`: 'f' fields, 'h' bytes of one value, 't' bytes of target. */
static const char *refusal_of_size(char what, size_t count)
{
    struct buf raw = {0};
    buf_text(&raw, "GET /");
    for (size_t i = 1; i < count && what == 't'; i++)
        buf_text(&raw, "a");
    buf_text(&raw, " HTTP/1.1\r\nHost: a\r\n");
    for (size_t i = 1; i < count && what == 'f'; i++)
        buf_text(&raw, "a: b\r\n");
    if (what == 'h') {
        buf_text(&raw, "a: ");
        while (raw.size < count - 4)
            buf_text(&raw, "b");
        buf_text(&raw, "\r\n");
    }
    buf_text(&raw, "\r\n");
    struct outcome whole = feed_http(raw.data, raw.size, raw.size), bytes = feed_http(raw.data, raw.size, 1000);
    CHECK_EQ(whole.refusal, bytes.refusal);
    buf_done(&raw);
    outcome_done(&whole);
    outcome_done(&bytes);
    return http_refusal_name(whole.refusal);
}

TEST(http, keeps_its_limits_to_the_byte)
{
    CHECK_STR(refusal_of_size('f', HTTP_FIELDS_MAX), "HTTP_NONE");
    CHECK_STR(refusal_of_size('f', HTTP_FIELDS_MAX + 1), "HTTP_FIELDS_TOO_MANY");
    CHECK_STR(refusal_of_size('h', HTTP_HEAD_SIZE_MAX), "HTTP_NONE");
    CHECK_STR(refusal_of_size('h', HTTP_HEAD_SIZE_MAX + 1), "HTTP_HEAD_TOO_LARGE");
    CHECK_STR(refusal_of_size('h', 1 << 20), "HTTP_HEAD_TOO_LARGE");
    CHECK_STR(refusal_of_size('t', HTTP_TARGET_SIZE_MAX), "HTTP_NONE");
    CHECK_STR(refusal_of_size('t', HTTP_TARGET_SIZE_MAX + 1), "HTTP_TARGET_TOO_LONG");
    CHECK_STR(refusal_of_size('t', 1 << 15), "HTTP_TARGET_TOO_LONG");
}

TEST(http, decodes_queries_and_paths)
{
    char value[32];
    CHECK_EQ(http_query_get("a=1&name=J%c3%bcrgen+K&empty=&bare", "name", value, sizeof value), CX_OK);
    CHECK_STR(value, "J\xc3\xbcrgen K");
    CHECK_EQ(http_query_get("a=1&empty=&bare", "empty", value, sizeof value), CX_OK);
    CHECK_STR(value, "");
    CHECK_EQ(http_query_get("a=1&empty=&bare", "bare", value, sizeof value), CX_OK);
    CHECK_STR(value, "");
    CHECK_EQ(http_query_get("ab=1", "a", value, sizeof value), CX_NOT_FOUND);
    CHECK_EQ(http_query_get("a=%zz", "a", value, sizeof value), CX_INVALID);
    CHECK_EQ(http_query_get("a=%4", "a", value, sizeof value), CX_INVALID);
    CHECK_EQ(http_query_get("a=%00", "a", value, sizeof value), CX_INVALID);
    CHECK_EQ(http_query_get("a=%ff", "a", value, sizeof value), CX_INVALID);
    CHECK_EQ(http_query_get("a=12345", "a", value, 5), CX_TOO_LARGE);
    CHECK_EQ(http_query_get("a=1234", "a", value, 5), CX_OK);
    CHECK_EQ(http_path_part("/api/v1/tasks/a%2Fb+c", 3, value, sizeof value), CX_OK);
    CHECK_STR(value, "a/b+c");
    CHECK_EQ(http_path_part("/api/", 1, value, sizeof value), CX_OK);
    CHECK_STR(value, "");
    CHECK_EQ(http_path_part("/api", 1, value, sizeof value), CX_NOT_FOUND);
    CHECK_EQ(http_path_count("/api/v1/tasks"), 3);
}

TEST(http, writes_heads_that_nobody_can_break)
{
    struct buf out = {0};
    http_put_status(&out, 404);
    CHECK_EQ(http_put_field(&out, "X-A", "b"), CX_OK);
    CHECK_EQ(http_put_field(&out, "X-A", "b\r\nSet-Cookie: c"), CX_INVALID);
    CHECK_EQ(http_put_field(&out, "X A", "b"), CX_INVALID);
    http_put_length(&out, 7);
    http_put_end(&out);
    CHECK_STR(out.data, "HTTP/1.1 404 Not Found\r\nX-A: b\r\nContent-Length: 7\r\n\r\n");
    buf_done(&out);
}

TEST(http, writes_chunks_that_it_reads_back)
{
    struct buf out = {0};
    buf_text(&out, P "Transfer-Encoding: chunked\r\n\r\n");
    http_put_chunk(&out, "hello", 5);
    http_put_chunk(&out, "", 0);
    size_t at = http_chunk_begin(&out);
    http_chunk_end(&out, at);
    at = http_chunk_begin(&out);
    for (int i = 0; i < 100; i++)
        buf_text(&out, "12345");
    http_chunk_end(&out, at);
    http_put_last_chunk(&out);
    struct outcome o = read_all(out.data, out.size);
    CHECK_EQ(o.refusal, HTTP_REFUSE_NONE);
    CHECK_EQ(o.requests, 1);
    CHECK_EQ(o.log.size, strlen("POST / []") + 505);
    buf_done(&out);
    outcome_done(&o);
}

TEST(http, parses_a_servers_answer)
{
    char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Accept: x\r\n\r\n";
    struct http_field field[HTTP_FIELDS_MAX];
    struct http_reply reply;
    CHECK_EQ(http_reply_parse(head, sizeof head - 1, field, &reply), HTTP_REFUSE_NONE);
    CHECK_EQ(reply.status, 101);
    CHECK_STR(http_field_get(reply.field, reply.field_count, "sec-websocket-accept"), "x");
    char bad[] = "HTTX/1.1 101 x\r\n\r\n";
    CHECK(http_reply_parse(bad, sizeof bad - 1, field, &reply) != HTTP_REFUSE_NONE);
}

TEST(http, a_servers_status_has_three_digits)
{
    static const char *const bad[] = {"1", "0", "10", "099", "0200", "1000", "2000"};
    struct http_field field[HTTP_FIELDS_MAX];
    struct http_reply reply;
    char head[64];
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        int size = snprintf(head, sizeof head, "HTTP/1.1 %s OK\r\nA: b\r\n\r\n", bad[i]);
        CHECK_EQ(http_reply_parse(head, (size_t)size, field, &reply), HTTP_REFUSE_SYNTAX);
    }
    int size = snprintf(head, sizeof head, "HTTP/1.1 200\r\n\r\n");
    CHECK_EQ(http_reply_parse(head, (size_t)size, field, &reply), HTTP_REFUSE_NONE);
    CHECK_EQ(reply.status, 200);
}
