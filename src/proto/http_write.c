/* What a server writes back. */
#include <string.h>

#include "base/assert.h"
#include "proto/http.h"

const char *http_status_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } known[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if (known[i].status == status)
            return known[i].text;
    }
    return "";
}

void http_put_status(struct buf *out, unsigned status)
{
    cx_assert(status >= 100 && status <= 999);
    if (status == 200)
        buf_add(out, "HTTP/1.1 200 OK\r\n", 17);
    else
        buf_printf(out, "HTTP/1.1 %u %s\r\n", status, http_status_text(status));
}

bool http_is_token(const char *name)
{
    return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                      "!#$%&'*+-.^_`|~")] == '\0';
}

static bool is_value(const char *value)
{
    for (; *value; value++) {
        if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
            return false;
    }
    return true;
}

enum cx_err http_put_field(struct buf *out, const char *name, const char *value)
{
    if (!http_is_token(name) || !is_value(value))
        return cx_fail(CX_INVALID, "header field \"%.64s\": a control character would break the head", name);
    buf_text(out, name);
    buf_add(out, ": ", 2);
    buf_text(out, value);
    buf_add(out, "\r\n", 2);
    return CX_OK;
}

void http_put_length(struct buf *out, uint64_t size)
{
    buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)size);
}

void http_put_end(struct buf *out) { buf_add(out, "\r\n", 2); }

/* Chunk sizes have a fixed number of digits, so that the size can be written after the data. RFC 9112,
 * 7.1, allows leading zeros. */
#define CHUNK_DIGITS    HTTP_CHUNK_DIGITS_MAX
#define CHUNK_HEAD_SIZE (CHUNK_DIGITS + 2)
#define CHUNK_SIZE_MAX  UINT32_MAX

size_t http_chunk_begin(struct buf *out)
{
    size_t at = out->size;
    buf_add(out, "00000000\r\n", CHUNK_HEAD_SIZE);
    return at;
}

static void write_digits(char *to, size_t size)
{
    for (int i = CHUNK_DIGITS - 1; i >= 0; i--, size >>= 4)
        to[i] = "0123456789abcdef"[size & 15];
}

void http_chunk_end(struct buf *out, size_t begun_at)
{
    cx_assert(begun_at + CHUNK_HEAD_SIZE <= out->size);
    size_t size = out->size - begun_at - CHUNK_HEAD_SIZE;
    cx_assert(size <= CHUNK_SIZE_MAX);
    if (size == 0) {
        out->size = begun_at;  // a chunk of size 0 would end the body
        out->data[out->size] = '\0';
        return;
    }
    write_digits(out->data + begun_at, size);
    buf_add(out, "\r\n", 2);
}

void http_put_chunk(struct buf *out, const void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t take = size - at < CHUNK_SIZE_MAX ? size - at : CHUNK_SIZE_MAX;
        size_t begun_at = http_chunk_begin(out);
        buf_add(out, (const char *)data + at, take);
        http_chunk_end(out, begun_at);
        at += take;
    }
}

void http_put_last_chunk(struct buf *out) { buf_add(out, "0\r\n\r\n", 5); }
