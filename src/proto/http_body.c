/* Bodies on their way in: counted, or in chunks. Everything is judged byte by byte in one place, so that a
 * body cut anywhere means the same. */
#include "base/assert.h"
#include "proto/http.h"

/* size extensions CR LF (data CR LF size extensions CR LF)* 0 CR LF CR LF,
 * where an extension is ;name, ;name=value or ;name="value". */
enum state {
    SIZE,
    NAME_BEGIN,
    NAME,
    VALUE_BEGIN,
    VALUE,
    QUOTED,
    QUOTED_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LAST_CR,
    LAST_LF,
    ENDED,
};

enum http_refusal http_body_init(struct http_body *body, const struct http_request *request, uint64_t size_max)
{
    *body = (struct http_body){.framing = request->framing, .size_max = size_max, .state = SIZE};
    if (request->framing == HTTP_BODY_NONE)
        body->state = ENDED;
    if (request->framing != HTTP_BODY_LENGTH)
        return HTTP_REFUSE_NONE;
    if (request->content_length > size_max)
        return HTTP_REFUSE_BODY_TOO_LARGE;
    body->left = request->content_length;
    body->state = DATA;
    return HTTP_REFUSE_NONE;
}

static int digit_of(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        return (c | 0x20) - 'a' + 10;
    return -1;
}

static enum http_refusal size_byte(struct http_body *body, unsigned char c)
{
    int digit = digit_of(c);
    if (digit >= 0) {
        if (body->digits == HTTP_CHUNK_DIGITS_MAX)
            return HTTP_REFUSE_CHUNK;
        body->digits++;
        body->left = body->left << 4 | (uint64_t)digit;
        return HTTP_REFUSE_NONE;
    }
    if (body->digits == 0 || (c != '\r' && c != ';'))
        return HTTP_REFUSE_CHUNK;
    body->state = c == ';' ? NAME_BEGIN : SIZE_LF;
    return HTTP_REFUSE_NONE;
}

/* What follows a byte of an extension; ENDED: it does not belong there. */
static enum state next_of_extension(enum state state, unsigned char c)
{
    bool token = http_is_token((const char[]){(char)c, '\0'});
    bool closes = state == NAME || state == VALUE || state == QUOTED_END;
    if (state == QUOTED)
        return c == '"' ? QUOTED_END : (c < 0x20 && c != '\t') || c == 0x7f || c == '\\' ? ENDED : QUOTED;
    if (closes && c == '\r')
        return SIZE_LF;
    if (closes && c == ';')
        return NAME_BEGIN;
    if (state == NAME && c == '=')
        return VALUE_BEGIN;
    if (state == VALUE_BEGIN && c == '"')
        return QUOTED;
    if (!token || state == QUOTED_END)
        return ENDED;
    return state == NAME_BEGIN || state == NAME ? NAME : VALUE;
}

/* Extensions mean nothing to us, but what is none may hide the end of the line from somebody. */
static enum http_refusal extension_byte(struct http_body *body, unsigned char c)
{
    enum state next = next_of_extension((enum state)body->state, c);
    if (next == ENDED || ++body->extension > HTTP_CHUNK_EXTENSION_SIZE_MAX)
        return HTTP_REFUSE_CHUNK;
    body->state = (uint8_t)next;
    return HTTP_REFUSE_NONE;
}

/* The line with a chunk's size has ended. */
static enum http_refusal begin_chunk(struct http_body *body)
{
    if (body->left > body->size_max - body->size)
        return HTTP_REFUSE_BODY_TOO_LARGE;
    body->state = body->left > 0 ? DATA : LAST_CR;
    body->digits = 0;
    body->extension = 0;
    return HTTP_REFUSE_NONE;
}

static enum http_refusal expect(struct http_body *body, unsigned char c, unsigned char wanted, enum state next)
{
    if (c != wanted)
        return HTTP_REFUSE_CHUNK;
    body->state = (uint8_t)next;
    return HTTP_REFUSE_NONE;
}

/* One byte of what stands around the data. */
static enum http_refusal frame_byte(struct http_body *body, unsigned char c)
{
    switch ((enum state)body->state) {
    case SIZE: return size_byte(body, c);
    case NAME_BEGIN:
    case NAME:
    case VALUE_BEGIN:
    case VALUE:
    case QUOTED:
    case QUOTED_END: return extension_byte(body, c);
    case SIZE_LF: return c == '\n' ? begin_chunk(body) : HTTP_REFUSE_CHUNK;
    case DATA_CR: return expect(body, c, '\r', DATA_LF);
    case DATA_LF: return expect(body, c, '\n', SIZE);
    case LAST_CR: return c == '\r' ? expect(body, c, '\r', LAST_LF) : HTTP_REFUSE_TRAILER;
    case LAST_LF: return expect(body, c, '\n', ENDED);
    case DATA:
    case ENDED: break;
    }
    cx_assert(false);
    return HTTP_REFUSE_CHUNK;
}

static struct span take_data(struct http_body *body, const char *data, size_t size)
{
    uint64_t take = u64_min(u64_min(body->left, size), UINT32_MAX);
    body->left -= take;
    body->size += take;
    if (body->left == 0)
        body->state = body->framing == HTTP_BODY_CHUNKED ? DATA_CR : ENDED;
    return (struct span){(const uint8_t *)data, (uint32_t)take};
}

enum http_answer http_body_decode(struct http_body *body, const char *data, size_t size, size_t *ret_used,
                                  struct span *ret_piece, enum http_refusal *ret_refusal)
{
    *ret_piece = (struct span){0};
    size_t i = 0;
    while (i < size && body->state != ENDED) {
        if (body->state == DATA) {
            if (ret_piece->size > 0)
                break;  // one piece a call
            *ret_piece = take_data(body, data + i, size - i);
            i += ret_piece->size;
            continue;
        }
        enum http_refusal refusal = frame_byte(body, (unsigned char)data[i]);
        i++;
        if (refusal != HTTP_REFUSE_NONE) {
            *ret_refusal = refusal;
            *ret_used = i;
            return HTTP_BAD;
        }
    }
    *ret_used = i;
    return body->state == ENDED ? HTTP_DONE : HTTP_MORE;
}
