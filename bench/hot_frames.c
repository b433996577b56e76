#include "hot_frames.h"

#include <stdio.h>

#include "measure.h"
#include "proto/link.h"

#define TURNS 256

/* Written by each of them, so that no compiler makes one of all. */
static volatile enum link_type hot_now;

/* Writes the frame, and reads what was written. */
#define HOT(name, NAME, way)                                                                                     \
    __attribute__((noinline)) static void hot_json_write_##name(const struct link_frame *frame, struct buf *out) \
    {                                                                                                            \
        hot_now = LINK_##NAME;                                                                                   \
        link_encode(frame, out);                                                                                 \
    }                                                                                                            \
    __attribute__((noinline)) static void hot_json_read_##name(const struct buf *text, struct link_frame *frame) \
    {                                                                                                            \
        hot_now = LINK_##NAME;                                                                                   \
        BENCH_MUST(!link_decode(text->data, text->size, LINK_##way, frame));                                     \
        link_frame_done(frame);                                                                                  \
    }                                                                                                            \
    static void run_##name(const struct link_frame *frame)                                                       \
    {                                                                                                            \
        struct link_frame back;                                                                                  \
        struct buf out = {0};                                                                                    \
        for (unsigned i = 0; i < TURNS; i++) {                                                                   \
            buf_reset(&out);                                                                                     \
            hot_json_write_##name(frame, &out);                                                                  \
            hot_json_read_##name(&out, &back);                                                                   \
        }                                                                                                        \
        printf("json_write_" #name " %u\njson_read_" #name " %u\n", TURNS, TURNS);                               \
        buf_done(&out);                                                                                          \
    }
HOT(submit, SUBMIT, U)
HOT(result, RESULT, D)
HOT(offer, OFFER, D)
HOT(ack, ACK, U)
HOT(chunk, CHUNK, U)
HOT(precommit, PRECOMMIT, U)
HOT(reveal, REVEAL, D)
HOT(commit, COMMIT, U)

static struct span span_of(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

#define RUN(name, NAME, ...) run_##name(&(struct link_frame){.type = LINK_##NAME, .name = {__VA_ARGS__}})

/* Sizes as a short prompt of a network that has run for a while makes them. */
void frames_run(void)
{
    const uint64_t lease = 4403123456789, task = 2203123456789;
    const struct hash some = {{0x5e, 0x11, 0xc0}};
    const uint8_t entry[240] = {0, 91, 7}, record[RECORD_EXACT_SIZE] = {1, 2, 3};
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
