#include "proto/http.h"

#include <llhttp.h>
#include <strings.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/utf8.h"

/* The longest method and version with their spaces: "OPTIONS " and " HTTP/1.1". */
#define REQUEST_LINE_EXTRA 32
#define STATUS_AT          9  // behind "HTTP/1.1 "

const char *http_refusal_name(enum http_refusal refusal)
{
    static const char *const names[HTTP_REFUSAL_COUNT] = {
#define X(name, status, text) [HTTP_REFUSE_##name] = "HTTP_" #name,
        HTTP_REFUSALS(X)
#undef X
    };
    cx_assert(refusal < HTTP_REFUSAL_COUNT);
    return names[refusal];
}

unsigned http_refusal_status(enum http_refusal refusal)
{
    static const uint16_t statuses[HTTP_REFUSAL_COUNT] = {
#define X(name, status, text) [HTTP_REFUSE_##name] = status,
        HTTP_REFUSALS(X)
#undef X
    };
    cx_assert(refusal < HTTP_REFUSAL_COUNT);
    return statuses[refusal];
}

const char *http_refusal_text(enum http_refusal refusal)
{
    static const char *const texts[HTTP_REFUSAL_COUNT] = {
#define X(name, status, text) [HTTP_REFUSE_##name] = text,
        HTTP_REFUSALS(X)
#undef X
    };
    cx_assert(refusal < HTTP_REFUSAL_COUNT);
    return texts[refusal];
}

const char *http_method_name(enum http_method method)
{
    static const char *const names[HTTP_METHOD_COUNT] = {
#define X(name) [HTTP_METHOD_##name] = #name,
        HTTP_METHODS(X)
#undef X
    };
    cx_assert(method < HTTP_METHOD_COUNT);
    return names[method];
}

/* ---- the scan ---- */

/* Judges one byte of a line; line ends are dealt with by the caller. */
static enum http_refusal judge_byte(const struct http_head_scan *scan, unsigned char c)
{
    if ((c < 0x20 && c != '\t') || c == 0x7f)
        return HTTP_REFUSE_CONTROL;
    if (scan->lines > 0 && scan->line_size == 0 && (c == ' ' || c == '\t'))
        return HTTP_REFUSE_FOLDED;
    if (scan->lines == 0 && scan->line_size >= HTTP_TARGET_SIZE_MAX + REQUEST_LINE_EXTRA)
        return HTTP_REFUSE_TARGET_TOO_LONG;
    return HTTP_REFUSE_NONE;
}

/* A line has ended with CR LF. DONE: it was the empty one behind the head. */
static enum http_answer end_line(struct http_head_scan *scan, enum http_refusal *ret_refusal)
{
    scan->cr = false;
    if (scan->line_size == 0 && scan->started)
        return HTTP_DONE;
    if (!scan->started && scan->led) {
        *ret_refusal = HTTP_REFUSE_SYNTAX;
        return HTTP_BAD;
    }
    if (!scan->started) {
        scan->led = true;
        return HTTP_MORE;
    }
    scan->line_size = 0;
    scan->lines++;
    if (scan->lines > HTTP_FIELDS_MAX + 1) {
        *ret_refusal = HTTP_REFUSE_FIELDS_TOO_MANY;
        return HTTP_BAD;
    }
    return HTTP_MORE;
}

static enum http_answer scan_byte(struct http_head_scan *scan, unsigned char c, enum http_refusal *ret_refusal)
{
    bool ends = scan->cr && c == '\n';
    if (scan->size >= HTTP_HEAD_SIZE_MAX) {
        *ret_refusal = HTTP_REFUSE_HEAD_TOO_LARGE;
        return HTTP_BAD;
    }
    if (!ends && (scan->cr || c == '\n')) {
        *ret_refusal = HTTP_REFUSE_LINE_END;
        return HTTP_BAD;
    }
    if (ends) {
        scan->size += scan->started;
        return end_line(scan, ret_refusal);
    }
    if (c == '\r') {
        scan->cr = true;
        scan->size += scan->started;
        return HTTP_MORE;
    }
    *ret_refusal = judge_byte(scan, c);
    if (*ret_refusal != HTTP_REFUSE_NONE)
        return HTTP_BAD;
    scan->started = true;
    scan->line_size++;
    scan->size++;
    return HTTP_MORE;
}

enum http_answer http_head_scan(struct http_head_scan *scan, const char *data, size_t size, size_t *ret_used,
                                size_t *ret_skip, enum http_refusal *ret_refusal)
{
    size_t skip = scan->started ? 0 : size;
    for (size_t i = 0; i < size; i++) {
        bool was_started = scan->started;
        enum http_refusal refusal = HTTP_REFUSE_NONE;
        enum http_answer answer = scan_byte(scan, (unsigned char)data[i], &refusal);
        if (!was_started && scan->started)
            skip = i;
        if (answer == HTTP_MORE)
            continue;
        if (answer == HTTP_BAD)
            *ret_refusal = refusal;
        *ret_used = i + 1;
        *ret_skip = skip < i + 1 ? skip : i + 1;
        return answer;
    }
    *ret_used = size;
    *ret_skip = skip;
    return HTTP_MORE;
}

/* ---- the parse ---- */

struct parse {
    char *target;
    size_t target_size;
    struct http_field *field;
    char *name, *value;  // of the field on its way
    size_t name_size, value_size;
    uint32_t field_count;
    bool whole;  // llhttp saw the end of the head too
    bool torn;   // a field without a name, or in pieces that do not touch
};

/* The strings of a head lie in the caller's writable buffer, though llhttp calls them const. */
static void extend(struct parse *p, char **at, size_t *at_size, const char *piece, size_t size)
{
    if (!*at) {
        *at = (char *)(uintptr_t)piece;
        *at_size = size;
    } else if (*at + *at_size == piece) {
        *at_size += size;
    } else {
        p->torn = true;
    }
}

/* Ends the field on its way with NULs: where its colon, space or line end was. */
static void close_field(struct parse *p)
{
    if (!p->name) {
        p->torn = true;  // a colon without a name before it
        return;
    }
    cx_assert(p->field_count < HTTP_FIELDS_MAX);
    static char empty[1];
    char *value = p->value ? p->value : empty;
    size_t size = p->value ? p->value_size : 0;
    while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
        size--;
    p->name[p->name_size] = '\0';
    if (p->value)
        value[size] = '\0';
    p->field[p->field_count++] = (struct http_field){p->name, value};
    p->name = p->value = NULL;
}

static int on_target(llhttp_t *llhttp, const char *at, size_t size)
{
    struct parse *p = llhttp->data;
    extend(p, &p->target, &p->target_size, at, size);
    return 0;
}

static int on_name(llhttp_t *llhttp, const char *at, size_t size)
{
    struct parse *p = llhttp->data;
    extend(p, &p->name, &p->name_size, at, size);
    return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t size)
{
    struct parse *p = llhttp->data;
    if (size > 0)
        extend(p, &p->value, &p->value_size, at, size);
    return 0;
}

static int on_value_complete(llhttp_t *llhttp)
{
    close_field(llhttp->data);
    return 0;
}

/* Not a place to stop: behind it llhttp judges how the head frames its body. */
static int on_head(llhttp_t *llhttp)
{
    struct parse *p = llhttp->data;
    p->whole = true;
    return 0;
}

static enum http_refusal refusal_of(llhttp_errno_t err)
{
    switch ((int)err) {
    case HPE_INVALID_METHOD: return HTTP_REFUSE_METHOD_UNKNOWN;
    case HPE_INVALID_URL: return HTTP_REFUSE_TARGET_BAD;
    case HPE_INVALID_VERSION:
    case HPE_PAUSED_H2_UPGRADE: return HTTP_REFUSE_VERSION;
    case HPE_INVALID_HEADER_TOKEN: return HTTP_REFUSE_FIELD_BAD;
    case HPE_INVALID_CONTENT_LENGTH: return HTTP_REFUSE_LENGTH_BAD;
    case HPE_UNEXPECTED_CONTENT_LENGTH: return HTTP_REFUSE_LENGTH_TWICE;
    case HPE_INVALID_TRANSFER_ENCODING: return HTTP_REFUSE_ENCODING;
    case HPE_LF_EXPECTED:
    case HPE_STRICT: return HTTP_REFUSE_LINE_END;
    }
    return HTTP_REFUSE_SYNTAX;  // of llhttp's other codes none has a better name here
}

/* Runs llhttp over the whole head; the fields are closed strings afterwards. */
static enum http_refusal run(llhttp_type_t type, char *head, size_t size, struct parse *p, llhttp_t *ret_llhttp)
{
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_url = on_target;
    settings.on_header_field = on_name;
    settings.on_header_value = on_value;
    settings.on_header_value_complete = on_value_complete;
    settings.on_headers_complete = on_head;
    llhttp_init(ret_llhttp, type, &settings);
    ret_llhttp->data = p;
    llhttp_errno_t err = llhttp_execute(ret_llhttp, head, size);
    if (err != HPE_OK && err != HPE_PAUSED_UPGRADE)
        return refusal_of(err);
    if (!p->whole)
        return HTTP_REFUSE_SYNTAX;
    if (p->torn)
        return HTTP_REFUSE_FIELD_BAD;
    return HTTP_REFUSE_NONE;
}

static enum http_refusal parse_method(const char *text, size_t size, enum http_method *ret_method)
{
    for (enum http_method m = 0; m < HTTP_METHOD_COUNT; m++) {
        const char *name = http_method_name(m);
        if (strlen(name) == size && memcmp(name, text, size) == 0) {
            *ret_method = m;
            return HTTP_REFUSE_NONE;
        }
    }
    return HTTP_REFUSE_METHOD_UNKNOWN;
}

/* Method, space, target, space, version: what is not that is no request at all, and has no method to know. */
static enum http_refusal parse_line(const char *head, size_t size, struct http_request *r)
{
    const char *end = memchr(head, '\r', size);
    const char *first = memchr(head, ' ', size);
    if (!end || !first || first > end)
        return HTTP_REFUSE_SYNTAX;
    const char *second = memchr(first + 1, ' ', (size_t)(end - first - 1));
    if (!second || end - second != 9 || memcmp(second, " HTTP/", 6) != 0 || second[7] != '.')
        return HTTP_REFUSE_SYNTAX;
    if (second[6] != '1' || (second[8] != '0' && second[8] != '1'))
        return HTTP_REFUSE_VERSION;
    r->version_1_0 = second[8] == '0';
    return parse_method(head, (size_t)(first - head), &r->method);
}

/* Origin form only: RFC 9112, 3.2.1, and "*" with OPTIONS. Proxies' absolute form is not for us. */
static enum http_refusal parse_target(struct parse *p, struct http_request *r)
{
    if (!p->target || p->target_size == 0)
        return HTTP_REFUSE_TARGET_BAD;
    if (p->target_size > HTTP_TARGET_SIZE_MAX)
        return HTTP_REFUSE_TARGET_TOO_LONG;
    bool star = p->target_size == 1 && p->target[0] == '*' && r->method == HTTP_METHOD_OPTIONS;
    if (p->target[0] != '/' && !star)
        return HTTP_REFUSE_TARGET_BAD;
    p->target[p->target_size] = '\0';
    for (const char *c = p->target; *c; c++) {
        if (*c <= ' ' || *c > '~' || *c == '#')
            return HTTP_REFUSE_TARGET_BAD;
    }
    char *mark = strchr(p->target, '?');
    if (mark)
        *mark = '\0';
    r->path = p->target;
    r->query = mark ? mark + 1 : "";
    return HTTP_REFUSE_NONE;
}

/* RFC 9110, 7.2: a host and perhaps a port; may be empty. */
static bool host_is_good(const char *host)
{
    return host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=:[]")] ==
           '\0';
}

static enum http_refusal parse_length(const char *value, uint64_t *ret_length)
{
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || digits > 18 || value[digits] != '\0')
        return HTTP_REFUSE_LENGTH_BAD;
    uint64_t length = 0;
    for (size_t i = 0; i < digits; i++)
        length = length * 10 + (uint64_t)(value[i] - '0');
    *ret_length = length;
    return HTTP_REFUSE_NONE;
}

/* What the fields of a request say about it, as far as it is gathered one by one. */
struct meaning {
    unsigned hosts, lengths, encodings;
    bool close, keep_alive, connection_upgrade, websocket;
};

static enum http_refusal weigh_field(const struct http_field *field, struct meaning *m, struct http_request *r)
{
    const char *value = field->value;
    if (!http_is_token(field->name))
        return HTTP_REFUSE_FIELD_BAD;
    if (strcasecmp(field->name, "Host") == 0) {
        r->host = value;
        if (++m->hosts > 1 || !host_is_good(value))
            return HTTP_REFUSE_HOST_BAD;
    } else if (strcasecmp(field->name, "Content-Length") == 0) {
        if (++m->lengths > 1)
            return HTTP_REFUSE_LENGTH_TWICE;
        r->framing = HTTP_BODY_LENGTH;
        return parse_length(value, &r->content_length);
    } else if (strcasecmp(field->name, "Transfer-Encoding") == 0) {
        if (++m->encodings > 1 || strcasecmp(value, "chunked") != 0)
            return HTTP_REFUSE_ENCODING;
    } else if (strcasecmp(field->name, "Expect") == 0) {
        if (strcasecmp(value, "100-continue") != 0)
            return HTTP_REFUSE_EXPECT;
        r->expect_continue = true;
    } else if (strcasecmp(field->name, "Connection") == 0) {
        m->close |= http_value_has(value, "close");
        m->keep_alive |= http_value_has(value, "keep-alive");
        m->connection_upgrade |= http_value_has(value, "upgrade");
    } else if (strcasecmp(field->name, "Upgrade") == 0) {
        m->websocket |= http_value_has(value, "websocket");
    }
    return HTTP_REFUSE_NONE;
}

static enum http_refusal weigh(struct http_request *r)
{
    struct meaning m = {0};
    for (uint32_t i = 0; i < r->field_count; i++) {
        enum http_refusal refusal = weigh_field(&r->field[i], &m, r);
        if (refusal != HTTP_REFUSE_NONE)
            return refusal;
    }
    if (m.hosts == 0 && !r->version_1_0)
        return HTTP_REFUSE_HOST_MISSING;
    if (m.encodings && r->version_1_0)
        return HTTP_REFUSE_ENCODING_1_0;
    if (m.encodings && m.lengths)
        return HTTP_REFUSE_LENGTH_TWICE;
    if (m.encodings)
        r->framing = HTTP_BODY_CHUNKED;
    if (r->framing == HTTP_BODY_LENGTH && r->content_length == 0)
        r->framing = HTTP_BODY_NONE;
    r->keep_alive = !m.close && (!r->version_1_0 || m.keep_alive);
    r->expect_continue = r->expect_continue && !r->version_1_0;  // RFC 9110, 10.1.1
    r->upgrade_websocket = m.websocket && m.connection_upgrade && r->method == HTTP_METHOD_GET && !r->version_1_0;
    return HTTP_REFUSE_NONE;
}

enum http_refusal http_request_parse(char *head, size_t size, struct http_field *field,
                                     struct http_request *ret_request)
{
    struct parse p = {.field = field};
    struct http_request r = {.host = "", .field = field};
    llhttp_t llhttp;
    enum http_refusal refusal = parse_line(head, size, &r);
    if (refusal == HTTP_REFUSE_NONE)
        refusal = run(HTTP_REQUEST, head, size, &p, &llhttp);
    r.field_count = p.field_count;
    if (refusal == HTTP_REFUSE_NONE)
        refusal = parse_target(&p, &r);
    if (refusal == HTTP_REFUSE_NONE)
        refusal = weigh(&r);
    if (refusal == HTTP_REFUSE_NONE)
        *ret_request = r;
    return refusal;
}

enum http_refusal http_reply_parse(char *head, size_t size, struct http_field *field, struct http_reply *ret_reply)
{
    struct parse p = {.field = field};
    llhttp_t llhttp;
    enum http_refusal refusal = run(HTTP_RESPONSE, head, size, &p, &llhttp);
    if (refusal != HTTP_REFUSE_NONE)
        return refusal;
    if (llhttp_get_http_major(&llhttp) != 1 || llhttp_get_http_minor(&llhttp) > 1)
        return HTTP_REFUSE_VERSION;
    /* RFC 9112, 4: three digits. llhttp takes fewer, and zeros in front. */
    unsigned status = (unsigned)llhttp_get_status_code(&llhttp);
    char behind = head[STATUS_AT + 3];
    if (status < 100 || status > 999 || (behind >= '0' && behind <= '9'))
        return HTTP_REFUSE_SYNTAX;
    *ret_reply = (struct http_reply){status, field, p.field_count};
    return HTTP_REFUSE_NONE;
}

/* ---- looking things up ---- */

const char *http_field_get(const struct http_field *field, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcasecmp(field[i].name, name) == 0)
            return field[i].value;
    }
    return NULL;
}

bool http_value_has(const char *value, const char *token)
{
    size_t token_size = strlen(token);
    while (*value) {
        value += strspn(value, ", \t");
        size_t size = strcspn(value, ",");
        size_t trimmed = size;
        while (trimmed > 0 && (value[trimmed - 1] == ' ' || value[trimmed - 1] == '\t'))
            trimmed--;
        if (trimmed == token_size && strncasecmp(value, token, token_size) == 0)
            return true;
        value += size;
    }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Gives the byte at from[*at] and moves on; -1: a bad escape, or a NUL. */
static int decode_byte(const char *from, size_t size, size_t *at, bool plus_is_space)
{
    char c = from[(*at)++];
    if (c == '+' && plus_is_space)
        return ' ';
    if (c != '%')
        return (unsigned char)c;
    if (size - *at < 2)
        return -1;
    int high = hex_digit(from[*at]), low = hex_digit(from[*at + 1]);
    *at += 2;
    if (high < 0 || low < 0 || (high | low) == 0)
        return -1;
    return high << 4 | low;
}

static enum cx_err decode_text(const char *from, size_t size, bool plus_is_space, char *ret_text, size_t cap)
{
    size_t to = 0;
    for (size_t i = 0; i < size;) {
        int byte = decode_byte(from, size, &i, plus_is_space);
        if (byte < 0)
            return cx_fail(CX_INVALID, "\"%.*s\" has a bad %%XX escape", (int)size, from);
        if (to + 1 >= cap)
            return cx_fail(CX_TOO_LARGE, "\"%.*s\" is over %zu bytes", 64, from, cap - 1);
        ret_text[to++] = (char)byte;
    }
    if (!utf8_is_valid(ret_text, to))
        return cx_fail(CX_INVALID, "\"%.*s\" is no UTF-8 when decoded", (int)size, from);
    ret_text[to] = '\0';
    return CX_OK;
}

enum cx_err http_query_get(const char *query, const char *name, char *ret_value, size_t cap)
{
    cx_assert(cap > 0);
    size_t name_size = strlen(name);
    while (*query) {
        size_t size = strcspn(query, "&");
        size_t key = strcspn(query, "=&");
        if (key == name_size && memcmp(query, name, key) == 0) {
            const char *value = key < size ? query + key + 1 : query + size;
            return decode_text(value, (size_t)(query + size - value), true, ret_value, cap);
        }
        query += size;
        query += *query == '&';
    }
    return cx_fail(CX_NOT_FOUND, "the query has no \"%s\"", name);
}

enum cx_err http_path_part(const char *path, unsigned n, char *ret_part, size_t cap)
{
    cx_assert(cap > 0);
    const char *at = *path == '/' ? path + 1 : path;
    for (; n > 0; n--) {
        at += strcspn(at, "/");
        if (*at == '\0')
            return cx_fail(CX_NOT_FOUND, "the path is shorter");
        at++;
    }
    return decode_text(at, strcspn(at, "/"), false, ret_part, cap);
}

unsigned http_path_count(const char *path)
{
    unsigned count = 0;
    for (; *path; path++)
        count += *path == '/';
    return count;
}
