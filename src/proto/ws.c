#include "proto/ws.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/utf8.h"

#define FIN      0x80
#define RESERVED 0x70
#define OPCODE   0x0f
#define MASKED   0x80
#define SIZE_7   0x7f
#define SIZE_16  126
#define SIZE_64  127

/* ---- UTF-8 across pieces ---- */

/* The lead byte of a character: how many more bytes, and the bounds of the first of them. */
static bool utf8_lead(struct ws_utf8 *u, uint8_t c)
{
    if (c < 0xc2 || c > 0xf4)
        return false;
    u->want = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    u->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    u->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    return true;
}

static bool utf8_go_on(struct ws_utf8 *u, const char *data, size_t size)
{
    size_t i = 0;
    while (i < size) {
        uint64_t eight;
        if (u->want == 0 && size - i >= sizeof eight) {
            memcpy(&eight, data + i, sizeof eight);
            if ((eight & 0x8080808080808080u) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        uint8_t c = (uint8_t)data[i++];
        if (u->want == 0) {
            if (c >= 0x80 && !utf8_lead(u, c))
                return false;
            continue;
        }
        if (c < u->low || c > u->high)
            return false;
        u->want--;
        u->low = 0x80;
        u->high = 0xbf;
    }
    return true;
}

/* ---- decoding ---- */

void ws_decoder_init(struct ws_decoder *decoder, enum ws_role role, uint64_t message_size_max)
{
    *decoder = (struct ws_decoder){.role = role, .message_size_max = message_size_max};
}

static enum ws_answer bad(struct ws_decoder *d, enum ws_close code, const char *text)
{
    d->bad_code = code;
    d->bad_text = text;
    return WS_BAD;
}

/* How many bytes the header takes, as far as its first two tell. */
static uint8_t header_need(const struct ws_decoder *d)
{
    if (d->header_size < 2)
        return 2;
    uint8_t size = d->header[1] & SIZE_7;
    uint8_t need = size == SIZE_64 ? 10 : size == SIZE_16 ? 4 : 2;
    return d->header[1] & MASKED ? (uint8_t)(need + 4) : need;
}

static bool is_control(enum ws_opcode opcode) { return opcode >= WS_CLOSE; }

/* What the first two bytes already decide. */
static enum ws_answer judge_start(struct ws_decoder *d)
{
    bool fin = d->header[0] & FIN;
    unsigned opcode = d->header[0] & OPCODE;
    if (d->ended)
        return bad(d, WS_CLOSE_PROTOCOL, "a frame follows the close frame");
    if (d->header[0] & RESERVED)
        return bad(d, WS_CLOSE_PROTOCOL, "a reserved bit is set");
    if ((d->header[1] & MASKED) != (d->role == WS_SERVER ? MASKED : 0))
        return bad(d, WS_CLOSE_PROTOCOL,
                   d->role == WS_SERVER ? "a client's frame is not masked" : "a server's frame is masked");
    if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG)
        return bad(d, WS_CLOSE_PROTOCOL, "the opcode is not known");
    if (opcode >= WS_CLOSE && (!fin || (d->header[1] & SIZE_7) > WS_CONTROL_SIZE_MAX))
        return bad(d, WS_CLOSE_PROTOCOL, "a control frame is fragmented or over 125 bytes");
    if (opcode == WS_CONTINUATION && !d->in_message)
        return bad(d, WS_CLOSE_PROTOCOL, "a continuation without a message");
    if ((opcode == WS_TEXT || opcode == WS_BINARY) && d->in_message)
        return bad(d, WS_CLOSE_PROTOCOL, "a message inside a message");
    return WS_DONE;
}

/* RFC 6455, 5.2: the shortest form of the length, and its top bit clear. */
static enum ws_answer read_size(struct ws_decoder *d)
{
    uint8_t size = d->header[1] & SIZE_7;
    d->frame_size = size;
    if (size == SIZE_16)
        d->frame_size = be16(d->header + 2);
    if (size == SIZE_64)
        d->frame_size = be64(d->header + 2);
    if ((size == SIZE_16 && d->frame_size < SIZE_16) || (size == SIZE_64 && d->frame_size <= UINT16_MAX) ||
        d->frame_size > INT64_MAX)
        return bad(d, WS_CLOSE_PROTOCOL, "a frame's length is not in its shortest form");
    return WS_DONE;
}

static enum ws_opcode frame_opcode(const struct ws_decoder *d) { return (enum ws_opcode)(d->header[0] & OPCODE); }

/* The header is whole: the frame begins. */
static enum ws_answer begin_frame(struct ws_decoder *d)
{
    if (read_size(d) == WS_BAD)
        return WS_BAD;
    if (d->header[1] & MASKED)
        memcpy(d->mask, d->header + d->header_size - 4, 4);
    d->frame_at = 0;
    d->in_payload = true;
    enum ws_opcode opcode = frame_opcode(d);
    if (is_control(opcode))
        return WS_DONE;
    if (opcode != WS_CONTINUATION) {
        d->message_kind = opcode;
        d->message_size = 0;
        d->in_message = d->part_first = true;
        d->utf8 = (struct ws_utf8){0};
    }
    if (d->frame_size > d->message_size_max - d->message_size)
        return bad(d, WS_CLOSE_TOO_LARGE, "the message is over the limit");
    d->message_size += d->frame_size;
    return WS_DONE;
}

/* Takes header bytes until the frame begins: DONE. */
static enum ws_answer decode_header(struct ws_decoder *d, const char *data, size_t size, size_t *ret_used)
{
    size_t i = 0;
    for (uint8_t need = header_need(d); d->header_size < need; need = header_need(d)) {
        size_t take = (size_t)u64_min(need - d->header_size, size - i);
        memcpy(d->header + d->header_size, data + i, take);
        d->header_size = (uint8_t)(d->header_size + take);
        i += take;
        if (d->header_size == 2 && judge_start(d) == WS_BAD)
            return WS_BAD;
        if (d->header_size < need) {
            *ret_used = i;
            return WS_MORE;
        }
    }
    *ret_used = i;
    return begin_frame(d);
}

/* RFC 6455, 5.3, eight bytes at a time; `at` is the place in the frame. */
static void unmask(char *data, size_t size, const uint8_t mask[4], uint64_t at)
{
    uint8_t thrice[12];
    for (size_t k = 0; k < sizeof thrice; k += 4)
        memcpy(thrice + k, mask, 4);
    const uint8_t *turned = thrice + (at & 3);
    uint64_t wide, eight;
    memcpy(&wide, turned, 8);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&eight, data + i, 8);
        eight ^= wide;
        memcpy(data + i, &eight, 8);
    }
    for (; i < size; i++)
        data[i] = (char)((uint8_t)data[i] ^ turned[i & 7]);
}

bool ws_close_is_valid(unsigned code)
{
    if (code >= 3000 && code <= 4999)
        return true;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

static enum ws_answer give_close(struct ws_decoder *d, struct ws_part *ret_part)
{
    d->ended = true;
    ret_part->close_code = WS_CLOSE_NO_CODE;
    if (d->frame_size == 0)
        return WS_DONE;
    if (d->frame_size == 1)
        return bad(d, WS_CLOSE_PROTOCOL, "a close frame has half a code");
    ret_part->close_code = be16((const uint8_t *)d->control);
    if (!ws_close_is_valid(ret_part->close_code))
        return bad(d, WS_CLOSE_PROTOCOL, "a close code that must not be sent");
    ret_part->data = d->control + 2;
    ret_part->size = (size_t)d->frame_size - 2;
    if (!utf8_is_valid(ret_part->data, ret_part->size))
        return bad(d, WS_CLOSE_UTF8, "the reason of a close is not UTF-8");
    return WS_DONE;
}

static void end_frame(struct ws_decoder *d)
{
    d->in_payload = false;
    d->header_size = 0;
}

/* Gathers a control frame. */
static enum ws_answer decode_control(struct ws_decoder *d, const char *data, size_t size, struct ws_part *ret_part)
{
    cx_assert(d->frame_at + size <= WS_CONTROL_SIZE_MAX);
    if (size)
        memcpy(d->control + d->frame_at, data, size);
    d->frame_at += size;
    if (d->frame_at < d->frame_size)
        return WS_MORE;
    end_frame(d);
    enum ws_opcode opcode = frame_opcode(d);
    *ret_part = (struct ws_part){.kind = opcode, .first = true, .last = true};
    if (opcode == WS_CLOSE)
        return give_close(d, ret_part);
    ret_part->data = d->control;
    ret_part->size = (size_t)d->frame_size;
    return WS_DONE;
}

/* Gives a part of a message. An empty one is given only where it ends the message. */
static enum ws_answer decode_message(struct ws_decoder *d, const char *data, size_t size, struct ws_part *ret_part)
{
    d->frame_at += size;
    bool frame_ends = d->frame_at == d->frame_size;
    bool last = frame_ends && (d->header[0] & FIN);
    if (d->message_kind == WS_TEXT) {
        if (!utf8_go_on(&d->utf8, data, size) || (last && d->utf8.want > 0))
            return bad(d, WS_CLOSE_UTF8, "a text message is not UTF-8");
    }
    if (frame_ends)
        end_frame(d);
    if (last)
        d->in_message = false;
    if (size == 0 && !last)
        return WS_MORE;
    *ret_part = (struct ws_part){d->message_kind, d->part_first, last, data, size, 0};
    d->part_first = false;
    return WS_DONE;
}

/* One frame, or what there is of it. */
static enum ws_answer decode_some(struct ws_decoder *d, char *data, size_t size, size_t *ret_used,
                                  struct ws_part *ret_part)
{
    size_t header = 0;
    if (!d->in_payload) {
        enum ws_answer answer = decode_header(d, data, size, &header);
        if (answer != WS_DONE) {
            *ret_used = header;
            return answer;
        }
    }
    size_t take = (size_t)u64_min(size - header, d->frame_size - d->frame_at);
    *ret_used = header + take;
    if (take == 0 && d->frame_at < d->frame_size)
        return WS_MORE;
    if (d->header[1] & MASKED)
        unmask(data + header, take, d->mask, d->frame_at);
    if (is_control(frame_opcode(d)))
        return decode_control(d, data + header, take, ret_part);
    return decode_message(d, data + header, take, ret_part);
}

enum ws_answer ws_decode(struct ws_decoder *decoder, char *data, size_t size, size_t *ret_used,
                         struct ws_part *ret_part)
{
    size_t at = 0;
    if (decoder->bad_code)
        return WS_BAD;
    while (at < size) {
        size_t used = 0;
        enum ws_answer answer = decode_some(decoder, data + at, size - at, &used, ret_part);
        at += used;
        if (answer != WS_MORE) {
            *ret_used = at;
            return answer;
        }
    }
    *ret_used = at;
    return WS_MORE;
}

/* ---- encoding ---- */

static size_t put_header(uint8_t *header, enum ws_opcode opcode, bool last, size_t size, const uint8_t mask[4])
{
    size_t header_size = 2;
    header[0] = (uint8_t)((last ? FIN : 0) | opcode);
    header[1] = (uint8_t)size;
    if (size > UINT16_MAX) {
        header[1] = SIZE_64;
        be64_put(header + 2, size);
        header_size = 10;
    } else if (size >= SIZE_16) {
        header[1] = SIZE_16;
        header[2] = (uint8_t)(size >> 8);
        header[3] = (uint8_t)size;
        header_size = 4;
    }
    if (mask) {
        header[1] |= MASKED;
        memcpy(header + header_size, mask, 4);
        header_size += 4;
    }
    return header_size;
}

void ws_put(struct buf *out, enum ws_opcode opcode, bool last, const void *data, size_t size, const uint8_t mask[4])
{
    buf_reserve(out, WS_HEADER_SIZE_MAX + size);
    char *at = out->data + out->size;
    size_t header_size = put_header((uint8_t *)at, opcode, last, size, mask);
    if (size > 0)
        memcpy(at + header_size, data, size);
    if (mask)
        unmask(at + header_size, size, mask, 0);
    out->size += header_size + size;
    out->data[out->size] = '\0';
}

void ws_put_close(struct buf *out, unsigned code, const char *reason, const uint8_t mask[4])
{
    char payload[WS_CONTROL_SIZE_MAX];
    size_t size = 0;
    if (code != WS_CLOSE_NO_CODE) {
        cx_assert(ws_close_is_valid(code));
        size_t reason_size = reason ? strlen(reason) : 0;
        if (reason_size > WS_REASON_SIZE_MAX)
            reason_size = utf8_whole_prefix(reason, WS_REASON_SIZE_MAX);
        if (!utf8_is_valid(reason ? reason : "", reason_size))
            reason_size = 0;
        payload[0] = (char)(code >> 8);
        payload[1] = (char)code;
        if (reason_size)
            memcpy(payload + 2, reason, reason_size);
        size = 2 + reason_size;
    }
    ws_put(out, WS_CLOSE, true, payload, size, mask);
}
