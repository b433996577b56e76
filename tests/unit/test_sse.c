/* Server-sent events, written and read, whole and byte by byte. */
#include "lib/feed.h"
#include "lib/test.h"
#include "proto/sse.h"

static void expect(const char *raw, size_t cap, const char *wanted)
{
    size_t size = strlen(raw);
    for (size_t step = 1; step <= size; step++) {
        struct buf log = feed_sse(raw, size, step, cap);
        CHECK_STR(log.data, wanted);
        buf_done(&log);
    }
}

TEST(sse, reads_what_the_standard_shows)
{
    expect("data: YHOO\ndata: +2\ndata: 10\n\n", 100, "/=YHOO|+2|10;between");
    expect(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n", 100,
           "/1=first event;/=second event;/= third event;between");
    expect("data\n\ndata\ndata\n\ndata:", 100, "/=;/=|;inside");
    expect("data:test\n\ndata: test\n\n", 100, "/=test;/=test;between");
    expect("event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n", 100, "add/=73857293;remove/=2153;between");
}

TEST(sse, takes_every_line_end_and_a_byte_order_mark)
{
    expect("\xef\xbb\xbf"
           "data: a\r\ndata: b\r\n\r\n",
           100, "/=a|b;between");
    expect("data: a\rdata: b\r\r", 100, "/=a|b;between");
    expect("data: a\r\n\ndata: b\n\r", 100, "/=a;/=b;between");
    expect("data: a\n\n\xef\xbb\xbf"
           "data: b\n\n",
           100, "/=a;between");
}

TEST(sse, reads_a_completion_stream)
{
    expect("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n: ping\n\ndata: [DONE]\n\n", 100,
           "/={\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]};/=[DONE];between");
    expect("data: a\n\ndata: cut", 100, "/=a;inside");
}

TEST(sse, ignores_what_it_does_not_know_and_events_without_data)
{
    expect("event: nothing\n\nfoo: bar\nfoo\ndata: x\nretry: 10\nretry: x\n\n", 100, "/=x;between");
}

TEST(sse, keeps_its_limits)
{
    expect("data: 1234\n\n", 11, "/=1234;between");
    expect("data: 1234\n\n", 10, "an event is over the limit");
    expect("data: 12\ndata: 34\n\n", 12, "/=12|34;between");
    expect("data: 12\ndata: 34\n\n", 11, "an event is over the limit");
    expect("data: \xff\n\n", 100, "the stream is not UTF-8");
    struct buf raw = {0};
    buf_text(&raw, "id: ");
    for (int i = 0; i < SSE_NAME_SIZE_MAX + 1; i++)
        buf_text(&raw, "x");
    buf_text(&raw, "\n\n");
    expect(raw.data, 1000, "an event's name or id is over 127 bytes");
    buf_done(&raw);
}

TEST(sse, stays_bad)
{
    struct sse_decoder d;
    char room[8];
    size_t used = 0;
    struct sse_event event;
    sse_decoder_init(&d, room, sizeof room);
    CHECK_EQ(sse_decode(&d, "data: too long\n\n", 16, &used, &event), SSE_BAD);
    CHECK_EQ(sse_decode(&d, "data:\n\n", 7, &used, &event), SSE_BAD);
}

TEST(sse, reads_back_what_it_writes)
{
    struct buf out = {0};
    sse_put(&out, &(struct sse_event){"7", "chunk", "one\ntwo\r\nthree\rfour\n", 20});
    sse_put_comment(&out, "ping");
    sse_put(&out, &(struct sse_event){NULL, NULL, "[DONE]", 6});
    sse_put(&out, &(struct sse_event){"8\nevil: x", NULL, "", 0});
    CHECK_STR(out.data, "id: 7\nevent: chunk\ndata: one\ndata: two\ndata: three\ndata: four\ndata: \n\n: ping\n\n"
                        "data: [DONE]\n\nid: 8 evil: x\ndata: \n\n");
    expect(out.data, 100, "chunk/7=one|two|three|four|;/7=[DONE];/8 evil: x=;between");
    buf_done(&out);
}
