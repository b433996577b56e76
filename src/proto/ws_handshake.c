/* How an HTTP connection becomes a WebSocket: RFC 6455, 4. */
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "proto/ws.h"

#define SHA1_SIZE 20

void ws_key(const uint8_t nonce[16], char ret_key[WS_KEY_SIZE + 1])
{
    int size = EVP_EncodeBlock((unsigned char *)ret_key, nonce, 16);
    cx_assert(size == WS_KEY_SIZE);
}

void ws_accept(const char *key, char ret_accept[WS_ACCEPT_SIZE + 1])
{
    /* RFC 6455, 1.3: the constant that proves that a server speaks WebSocket. */
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[WS_KEY_SIZE + sizeof guid];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    cx_assert(strlen(key) == WS_KEY_SIZE);
    memcpy(text, key, WS_KEY_SIZE);
    memcpy(text + WS_KEY_SIZE, guid, sizeof guid);
    int done = EVP_Digest(text, sizeof text - 1, digest, &digest_size, EVP_sha1(), NULL);
    cx_assert(done == 1);
    cx_assert(digest_size == SHA1_SIZE);
    int size = EVP_EncodeBlock((unsigned char *)ret_accept, digest, SHA1_SIZE);
    cx_assert(size == WS_ACCEPT_SIZE);
}

/* The base64 of exactly 16 bytes. */
static bool key_is_good(const char *key)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strlen(key) == WS_KEY_SIZE && strspn(key, digits) == WS_KEY_SIZE - 2 &&
           strcmp(key + WS_KEY_SIZE - 2, "==") == 0;
}

/* Steps through a comma-separated list; NULL at its end. */
static const char *next_item(const char *list, size_t *ret_size)
{
    list += strspn(list, ", \t");
    if (*list == '\0')
        return NULL;
    *ret_size = strcspn(list, ", \t");
    return list;
}

/* The first of ours that the client asked for. Subprotocol names are compared with case. */
static bool choose(const char *ours, const char *theirs, char ret_protocol[64])
{
    size_t our_size = 0, their_size = 0;
    for (const char *our = next_item(ours, &our_size); our; our = next_item(our + our_size, &our_size)) {
        const char *their = next_item(theirs, &their_size);
        for (; their; their = next_item(their + their_size, &their_size)) {
            if (our_size != their_size || our_size > 63 || memcmp(our, their, our_size) != 0)
                continue;
            memcpy(ret_protocol, our, our_size);
            ret_protocol[our_size] = '\0';
            return true;
        }
    }
    return false;
}

enum cx_err ws_upgrade_check(const struct http_request *request, const char *offers,
                             char ret_accept[WS_ACCEPT_SIZE + 1], char ret_protocol[64])
{
    const struct http_request *r = request;
    if (!r->upgrade_websocket)
        return cx_fail(CX_INVALID, "not a WebSocket handshake: Upgrade: websocket and Connection: Upgrade are missing");
    const char *version = http_field_get(r->field, r->field_count, "Sec-WebSocket-Version");
    if (!version || strcmp(version, "13") != 0)
        return cx_fail(CX_UNSUPPORTED, "Sec-WebSocket-Version must be 13");
    const char *key = http_field_get(r->field, r->field_count, "Sec-WebSocket-Key");
    if (!key || !key_is_good(key))
        return cx_fail(CX_INVALID, "Sec-WebSocket-Key must be the base64 of 16 bytes");

    char protocol[64] = "";
    bool asked = false, chosen = false;
    for (uint32_t i = 0; i < r->field_count && !chosen; i++) {
        if (strcasecmp(r->field[i].name, "Sec-WebSocket-Protocol") != 0)
            continue;
        asked = true;
        chosen = choose(offers ? offers : "", r->field[i].value, protocol);
    }
    bool must = offers && *offers;
    if (asked && must && !chosen)
        return cx_fail(CX_UNSUPPORTED, "none of the Sec-WebSocket-Protocol asked for is spoken here: use %s", offers);
    ws_accept(key, ret_accept);
    strcpy(ret_protocol, protocol);
    return CX_OK;
}

void ws_put_upgrade(struct buf *out, const char *accept, const char *protocol)
{
    buf_printf(out,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\n",
               accept);
    if (protocol && *protocol)
        buf_printf(out, "Sec-WebSocket-Protocol: %s\r\n", protocol);
    http_put_end(out);
}

void ws_put_request(struct buf *out, const char *host, const char *target, const char *key, const char *protocols,
                    const char *fields)
{
    buf_printf(out,
               "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
               target, host, key);
    if (protocols && *protocols)
        buf_printf(out, "Sec-WebSocket-Protocol: %s\r\n", protocols);
    if (fields)
        buf_text(out, fields);
    http_put_end(out);
}

enum cx_err ws_reply_check(const struct http_reply *reply, const char *key, const char *protocols,
                           char ret_protocol[64])
{
    const struct http_field *f = reply->field;
    uint32_t count = reply->field_count;
    if (reply->status != 101)
        return cx_fail(CX_DENIED, "the server answered %u %s and not 101", reply->status,
                       http_status_text(reply->status));
    const char *upgrade = http_field_get(f, count, "Upgrade");
    const char *connection = http_field_get(f, count, "Connection");
    if (!upgrade || strcasecmp(upgrade, "websocket") != 0 || !connection || !http_value_has(connection, "upgrade"))
        return cx_fail(CX_INVALID, "the server's answer does not switch to WebSocket");
    char wanted[WS_ACCEPT_SIZE + 1];
    ws_accept(key, wanted);
    const char *accept = http_field_get(f, count, "Sec-WebSocket-Accept");
    if (!accept || strcmp(accept, wanted) != 0)
        return cx_fail(CX_INVALID, "the server's Sec-WebSocket-Accept does not answer our key");
    if (http_field_get(f, count, "Sec-WebSocket-Extensions"))
        return cx_fail(CX_INVALID, "the server chose an extension that was not offered");
    const char *chosen = http_field_get(f, count, "Sec-WebSocket-Protocol");
    char protocol[64] = "";
    if (chosen && !choose(chosen, protocols ? protocols : "", protocol))
        return cx_fail(CX_INVALID, "the server chose the subprotocol %.64s, which was not asked for", chosen);
    strcpy(ret_protocol, protocol);
    return CX_OK;
}
