/* ws.h - WebSocket frames for both ends: masks, fragments, control frames, UTF-8, close codes.
 *
 *      bytes -> ws_decode -> parts of messages, pings, pongs, the close
 *
 * The decoder unmasks in place and gives parts as they come; whoever wants whole messages joins them.
 * It enforces RFC 6455: a violation ends in WS_BAD and the close code that the peer must get.
 */
#ifndef CORTEN_PROTO_WS_H
#define CORTEN_PROTO_WS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"
#include "proto/http.h"

/* RFC 6455, 5.5: control frames carry at most 125 bytes and are never fragmented. */
#define WS_CONTROL_SIZE_MAX 125
#define WS_REASON_SIZE_MAX  123
#define WS_HEADER_SIZE_MAX  14
#define WS_KEY_SIZE         24  // base64 of 16 bytes
#define WS_ACCEPT_SIZE      28  // base64 of SHA-1

enum ws_role { WS_CLIENT, WS_SERVER };  // ours

enum ws_answer { WS_DONE, WS_MORE, WS_BAD };

/* RFC 6455, 7.4.1. */
enum ws_close {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_NO_CODE = 1005,   // never on the wire: the peer's close frame was empty
    WS_CLOSE_ABNORMAL = 1006,  // never on the wire: there was no close frame
    WS_CLOSE_UTF8 = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_LARGE = 1009,
    WS_CLOSE_INTERNAL = 1011,
    WS_CLOSE_TRY_LATER = 1013,
};

enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* What ws_decode gives. The data lie in the caller's bytes or in the decoder, until the next call. */
struct ws_part {
    enum ws_opcode kind;  // TEXT or BINARY for every part of a message; CLOSE, PING, PONG
    bool first, last;     // of the message; both set for control frames
    const char *data;     // for CLOSE the reason
    size_t size;
    unsigned close_code;  // of CLOSE: the peer's, or WS_CLOSE_NO_CODE
};

/* A UTF-8 check that goes on where the last piece ended. All zero: at the start of a character. */
struct ws_utf8 {
    uint8_t want;       // bytes the character still needs
    uint8_t low, high;  // bounds of its next byte; 0, 0: 0x80..0xbf
};

struct ws_decoder {
    enum ws_role role;
    uint8_t header[WS_HEADER_SIZE_MAX];
    uint8_t header_size;
    bool in_payload;
    bool in_message;  // between the first and the last frame of a message
    bool part_first;  // nothing of this message was given yet
    bool ended;       // a close frame was read: nothing may follow
    enum ws_opcode message_kind;
    uint8_t mask[4];
    uint64_t frame_size, frame_at;
    uint64_t message_size, message_size_max;
    struct ws_utf8 utf8;
    char control[WS_CONTROL_SIZE_MAX];
    unsigned bad_code;  // of WS_BAD: enum ws_close
    const char *bad_text;
};

void ws_decoder_init(struct ws_decoder *decoder, enum ws_role role, uint64_t message_size_max);
/* Reads up to the end of one part; masked bytes of data are unmasked where they are. MORE: all was used
 * and nothing is to give. BAD: bad_code and bad_text; the decoder stays bad. */
enum ws_answer ws_decode(struct ws_decoder *decoder, char *data, size_t size, size_t *ret_used,
                         struct ws_part *ret_part);

/* Adds one frame. A client's is masked with `mask`, which must be unpredictable; NULL for a server. */
void ws_put(struct buf *out, enum ws_opcode opcode, bool last, const void *data, size_t size, const uint8_t mask[4]);
/* Adds a close frame; WS_CLOSE_NO_CODE sends an empty one. A reason over 123 bytes is cut between
 * characters. */
void ws_put_close(struct buf *out, unsigned code, const char *reason, const uint8_t mask[4]);
/* Whether a peer may send this code. */
bool ws_close_is_valid(unsigned code);

/* ---- the handshake ---- */

/* The Sec-WebSocket-Key of 16 random bytes, and the Sec-WebSocket-Accept that answers a key. */
void ws_key(const uint8_t nonce[16], char ret_key[WS_KEY_SIZE + 1]);
void ws_accept(const char *key, char ret_accept[WS_ACCEPT_SIZE + 1]);

/* Server: judges an upgrade request. `offers` are the subprotocols we speak, the best first, parted by
 * commas ("" or NULL: none). *ret_protocol is the chosen one (at most 63 bytes), "" where the client
 * asked for none; CX_UNSUPPORTED where it asked for others only; CX_INVALID: no handshake. The client
 * needs `Sec-WebSocket-Version: 13` in the refusal if CX_UNSUPPORTED names the version. */
enum cx_err ws_upgrade_check(const struct http_request *request, const char *offers,
                             char ret_accept[WS_ACCEPT_SIZE + 1], char ret_protocol[64]);
/* Server: the 101 answer. */
void ws_put_upgrade(struct buf *out, const char *accept, const char *protocol);
/* Client: the request, and whether the server's answer is one to it. `protocols`, parted by commas, are
 * those asked for, or NULL; `fields` are whole extra lines ("Authorization: Bearer x\r\n") or NULL. */
void ws_put_request(struct buf *out, const char *host, const char *target, const char *key, const char *protocols,
                    const char *fields);
enum cx_err ws_reply_check(const struct http_reply *reply, const char *key, const char *protocols,
                           char ret_protocol[64]);

#endif
