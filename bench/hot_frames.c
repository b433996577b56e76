#include "hot_frames.h"

#include <stdio.h>

#include "measure.h"
#include "proto/link.h"
#include "proto/ws.h"

#define TURNS 256

/* Written by each of them, so that no compiler makes one of all. */
static volatile enum link_type hot_now;

static void decode(enum cx_err err, struct link_frame *frame)
{
    BENCH_MUST(!err);
    link_frame_done(frame);
}

/* A function that writes it and one that reads it, in each form. */
#define HOT(form, encode, decode_, name, NAME, way)                                                                  \
    __attribute__((noinline)) static void hot_##form##_write_##name(const struct link_frame *frame, struct buf *out) \
    {                                                                                                                \
        hot_now = LINK_##NAME;                                                                                       \
        encode(frame, out);                                                                                          \
    }                                                                                                                \
    __attribute__((noinline)) static void hot_##form##_read_##name(const struct buf *text, struct link_frame *frame) \
    {                                                                                                                \
        hot_now = LINK_##NAME;                                                                                       \
        decode(decode_(text->data, text->size, LINK_##way, frame), frame);                                           \
    }                                                                                                                \
    static void form##_##name(const struct link_frame *frame)                                                        \
    {                                                                                                                \
        struct link_frame back;                                                                                      \
        struct buf out = {0};                                                                                        \
        for (unsigned i = 0; i < TURNS; i++) {                                                                       \
            buf_reset(&out);                                                                                         \
            hot_##form##_write_##name(frame, &out);                                                                  \
            hot_##form##_read_##name(&out, &back);                                                                   \
        }                                                                                                            \
        printf(#form "_write_" #name " %u\n" #form "_read_" #name " %u\n", TURNS, TURNS);                            \
        buf_done(&out);                                                                                              \
    }
#define HOT_BOTH(name, NAME, way)                                        \
    HOT(json, link_encode, link_decode, name, NAME, way)                 \
    HOT(binary, link_encode_binary, link_decode_binary, name, NAME, way) \
    static void run_##name(const struct link_frame *frame)               \
    {                                                                    \
        json_##name(frame);                                              \
        binary_##name(frame);                                            \
    }
HOT_BOTH(submit, SUBMIT, U)
HOT_BOTH(result, RESULT, D)
HOT_BOTH(offer, OFFER, D)
HOT_BOTH(ack, ACK, U)
HOT_BOTH(chunk, CHUNK, U)
HOT_BOTH(precommit, PRECOMMIT, U)
HOT_BOTH(reveal, REVEAL, D)
HOT_BOTH(commit, COMMIT, U)

/* The WebSocket's own share, for messages of the size of an ack: what a server writes, and a client's that it reads. */
__attribute__((noinline)) static void hot_ws_write(struct buf *out)
{
    static const char message[9];
    hot_now = LINK_ACK;
    ws_put(out, WS_BINARY, true, message, sizeof message, NULL);
}

__attribute__((noinline)) static void hot_ws_read(struct ws_decoder *decoder, struct buf *in)
{
    struct ws_part part;
    size_t used;
    hot_now = LINK_ACK;
    BENCH_MUST(ws_decode(decoder, in->data, in->size, &used, &part) == WS_DONE && used == in->size);
}

static void run_ws(void)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    struct ws_decoder decoder;
    struct buf out = {0};
    ws_decoder_init(&decoder, WS_SERVER, 1024);
    for (unsigned i = 0; i < TURNS; i++) {
        buf_reset(&out);
        hot_ws_write(&out);
        buf_reset(&out);
        ws_put(&out, WS_BINARY, true, "12345678", 9, mask);
        hot_ws_read(&decoder, &out);
    }
    printf("ws_write %u\nws_read %u\n", TURNS, TURNS);
    buf_done(&out);
}

static struct span span_of(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

#define RUN(name, NAME, ...) run_##name(&(struct link_frame){.type = LINK_##NAME, .name = {__VA_ARGS__}})

/* Sizes as a short prompt of a network that has run for a while makes them. */
void frames_run(void)
{
    const uint64_t lease = 4403123456789, task = 2203123456789;
    const struct hash some = {{0x5e, 0x11, 0xc0}};
    const uint8_t entry[240] = {0, 91, 7}, record[RECORD_EXACT_SIZE] = {1, 2, 3};
    run_ws();
    RUN(submit, SUBMIT, .ref = 1234, .entry = {entry, sizeof entry});
    RUN(result, RESULT, .ref = 1234, .seq = 987654, .verdict = VERDICT_ACCEPTED);
    RUN(offer, OFFER, .lease = lease, .task = task, .session = 65537, .seed = 0x5eedf00d12345678, .stream = true,
        .together = true, .channel = true, .tokens_max = 256, .ack_ms = 2000, .precommit_ms = 30000,
        .request = span_of("{\"kind\":\"chat\",\"messages\":[{\"content\":\"Why is the sky blue?\",\"role\":\"user\"}],"
                           "\"model\":\"corten-demo\",\"temperature\":0.7,\"top_p\":1}"));
    RUN(ack, ACK, .lease = lease);
    RUN(chunk, CHUNK, .lease = lease, .n = 17, .text = span_of(" scattering"), .tokens = 2);
    RUN(precommit, PRECOMMIT, .lease = lease, .precommit = some, .has_mac = true, .mac = some);
    RUN(reveal, REVEAL, .lease = lease);
    RUN(commit, COMMIT, .lease = lease, .salt = some, .record = {record, sizeof record},
        .text = span_of("Because air scatters short waves of light more than long ones, and blue is short."));
}
