/* Streams over HTTP and WebSocket: events and frames mean the same however they are cut. */
#include "base/utf8.h"
#include "fuzz/fuzz.h"
#include "proto/sse.h"
#include "proto/ws.h"

#define MESSAGE_MAX 200

/* ---- server-sent events ---- */

static struct buf read_events(int how, const uint8_t *data, size_t size, size_t cap)
{
    struct sse_decoder d;
    struct buf log = {0};
    struct fuzz_cut cut;
    char *room = malloc(cap);
    enum sse_answer answer = SSE_MORE;
    sse_decoder_init(&d, room, cap);
    fuzz_cut_init(&cut, how, data, size);
    while (answer != SSE_BAD && fuzz_cut_next(&cut))
        for (size_t done = 0; answer != SSE_BAD && done < cut.size;) {
            size_t used = 0;
            struct sse_event event;
            answer = sse_decode(&d, cut.piece + done, cut.size - done, &used, &event);
            FUZZ_CHECK(used <= cut.size - done);
            FUZZ_CHECK(answer != SSE_MORE || used == cut.size - done);
            if (answer == SSE_DONE) {
                FUZZ_CHECK(event.data[event.data_size] == 0);
                FUZZ_CHECK(utf8_is_valid(event.data, event.data_size));
                buf_printf(&log, "%s/%s=", event.event, event.id);
                buf_add(&log, event.data, event.data_size);
                buf_text(&log, "\n");
            }
            done += used;
        }
    fuzz_cut_done(&cut);
    buf_printf(&log, "%s retry %llu",
               answer == SSE_BAD    ? sse_fault_text(d.fault)
               : sse_is_between(&d) ? "between"
                                    : "inside",
               (unsigned long long)d.retry_ms);
    free(room);
    return log;
}

static void check_written(const uint8_t *data, size_t size)
{
    char *text = fuzz_text((struct span){data, (uint32_t)size});
    struct buf out = {0};
    if (utf8_is_valid(text, strlen(text)) && strlen(text) < 100) {
        sse_put(&out, &(struct sse_event){.data = text, .data_size = strlen(text), .event = "e"});
        struct buf back = read_events(FUZZ_WHOLE, (const uint8_t *)out.data, out.size, 1000);
        FUZZ_CHECK(strncmp(back.data, "e/=", 3) == 0);
        FUZZ_CHECK(strstr(back.data, "between"));
        buf_done(&back);
    }
    buf_done(&out);
    free(text);
}

FUZZ(sse, "a stream of events means the same however it is cut; what is written is read as one event")
{
    size_t cap = size ? 1 + data[0] : 1;
    struct buf whole = read_events(FUZZ_WHOLE, data, size, cap);
    for (int how = FUZZ_BYTES; how <= FUZZ_CUTS; how++) {
        struct buf cut = read_events(how, data, size, cap);
        FUZZ_CHECK(cut.size == whole.size && memcmp(cut.data, whole.data, whole.size) == 0);
        buf_done(&cut);
    }
    buf_done(&whole);
    check_written(data, size);
}

FUZZ_SEEDS(sse)
{
    fuzz_seed_text("all", "\xef\xbb\xbfid: 1\nevent: x\ndata: a\r\ndata:\xe2\x82\xac\r\r: c\n\ndata: {\"b\":1}\n\n");
    fuzz_seed_text("retry", "retry: 100\ndata\n\nid: 7\x7f\n\n:\n\ndata: [DONE]\n\n");
}

/* ---- WebSocket ---- */

static struct buf read_frames(enum ws_role role, int how, const uint8_t *data, size_t size)
{
    struct ws_decoder d;
    struct buf log = {0}, message = {0};
    struct fuzz_cut cut;
    enum ws_answer answer = WS_MORE;
    ws_decoder_init(&d, role, MESSAGE_MAX);
    fuzz_cut_init(&cut, how, data, size);
    buf_text(&log, "");
    while (answer != WS_BAD && fuzz_cut_next(&cut))
        for (size_t done = 0; answer != WS_BAD && done < cut.size;) {
            size_t used = 0;
            struct ws_part part;
            answer = ws_decode(&d, cut.piece + done, cut.size - done, &used, &part);
            FUZZ_CHECK(used <= cut.size - done);
            FUZZ_CHECK(answer != WS_MORE || used == cut.size - done);
            done += used;
            if (answer != WS_DONE)
                continue;
            if (part.kind == WS_TEXT || part.kind == WS_BINARY) {
                if (part.first)
                    buf_reset(&message);
                buf_add(&message, part.data, part.size);
                FUZZ_CHECK(message.size <= MESSAGE_MAX);
                if (!part.last)
                    continue;
                FUZZ_CHECK(part.kind == WS_BINARY || utf8_is_valid(message.data, message.size));
                buf_printf(&log, "message %d ", (int)part.kind);
                buf_add(&log, message.data, message.size);
            } else {
                FUZZ_CHECK(part.first && part.last && part.size <= WS_CONTROL_SIZE_MAX);
                FUZZ_CHECK(part.kind != WS_CLOSE || part.close_code == WS_CLOSE_NO_CODE ||
                           ws_close_is_valid(part.close_code));
                FUZZ_CHECK(part.kind != WS_CLOSE || utf8_is_valid(part.data, part.size));
                buf_printf(&log, "control %d %u ", (int)part.kind, part.kind == WS_CLOSE ? part.close_code : 0);
                buf_add(&log, part.data, part.size);
            }
            buf_text(&log, "\n");
        }
    fuzz_cut_done(&cut);
    if (answer == WS_BAD)
        buf_printf(&log, "bad %u %s", d.bad_code, d.bad_text);
    buf_done(&message);
    return log;
}

static void check_frames(enum ws_role role, const uint8_t *data, size_t size)
{
    struct buf whole = read_frames(role, FUZZ_WHOLE, data, size);
    for (int how = FUZZ_BYTES; how <= FUZZ_CUTS; how++) {
        struct buf cut = read_frames(role, how, data, size);
        FUZZ_CHECK(cut.size == whole.size && memcmp(cut.data, whole.data, whole.size) == 0);
        buf_done(&cut);
    }
    buf_done(&whole);
}

FUZZ(ws_server, "a client's frames mean the same however they are cut; messages are bounded, text is UTF-8")
{
    check_frames(WS_SERVER, data, size);
}

FUZZ(ws_client, "a server's frames mean the same however they are cut; messages are bounded, text is UTF-8")
{
    check_frames(WS_CLIENT, data, size);
}

static void seed_frames(const uint8_t *mask)
{
    static const char text[] = "abc\xe2\x82\xac\xf0\x9f\x98\x80", long_text[150] = {'a'};
    for (size_t cut = 3; cut < 8; cut += 2) {
        struct buf out = {0};
        char name[32];
        ws_put(&out, WS_TEXT, false, text, cut, mask);
        ws_put(&out, WS_PING, true, "p", 1, mask);
        ws_put(&out, WS_CONTINUATION, true, text + cut, sizeof text - 1 - cut, mask);
        ws_put(&out, WS_BINARY, cut != 3, long_text, sizeof long_text, mask);
        if (cut == 3)  // together over MESSAGE_MAX
            ws_put(&out, WS_CONTINUATION, true, long_text, sizeof long_text, mask);
        ws_put(&out, WS_PONG, true, "", 0, mask);
        ws_put_close(&out, 1000, "bye", mask);
        snprintf(name, sizeof name, "cut-%zu", cut);
        fuzz_seed(name, out.data, out.size);
        buf_done(&out);
    }
}

FUZZ_SEEDS(ws_server) { seed_frames((const uint8_t *)"\x01\x80\x00\x7f"); }
FUZZ_SEEDS(ws_client) { seed_frames(NULL); }
