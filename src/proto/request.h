/* request.h - what a client asks of a model, from any of the APIs, in one canonical form.
 *
 *      chat body, completions body, native body --request_read_…--> struct request --request_canonical--> bytes
 *      the native body in binary                --request_read_bin-->
 *      bytes (as stored, offered and hashed)  --request_parse--> struct request
 *
 * The canonical bytes are the prompt's payload; their SHA-256 is its URN, their Keccak-256 the request_digest that a
 * miner commits to. Sampling fields are fixed point, REQUEST_UNIT is 1.0.
 *
 * Source: docs/protocol.md, "Result record".
 */
#ifndef CORTEN_PROTO_REQUEST_H
#define CORTEN_PROTO_REQUEST_H

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"
#include "proto/json.h"

#define REQUEST_UNIT          10000
#define REQUEST_MESSAGES_MAX  1024
#define REQUEST_STOP_MAX      16
#define REQUEST_STOP_SIZE_MAX 256

enum request_kind { REQUEST_CHAT, REQUEST_COMPLETION };

struct request_message {
    struct span role, content;  // content: text parts joined
};

/* Strings belong to `document` (the canonical one), `wishes` and `bytes`; request_close frees all. */
struct request {
    json_t *document, *wishes;
    void *bytes;  // of a body in binary
    enum request_kind kind;
    struct request_message *message;  // [message_count], REQUEST_CHAT
    uint32_t message_count;
    struct span prompt;                  // REQUEST_COMPLETION
    struct span model;                   // as asked for: a name or alias
    uint32_t max_tokens;                 // 0: not given
    uint32_t temperature, top_p, top_k;  // defaults 1.0, 1.0, 0
    int32_t presence_penalty, frequency_penalty;
    struct span stop[REQUEST_STOP_MAX];
    uint32_t stop_count;
    bool has_seed, has_temperature;  // whether the body said so
    uint64_t seed;
    const json_t *extra;   // what is passed on to the engine; an object or NULL
    uint32_t prompt_size;  // bytes of text in prompt or messages
    /* Not part of the canonical form: */
    bool stream, include_usage;
    struct span user;
    /* The native and `corten` fields. */
    struct {
        uint64_t session;     // 0: not given
        uint32_t redundancy;  // 0: not given
        struct span validation, privacy, client_reference;
        int32_t priority;                   // -1: not given
        uint32_t timeout_ms, precommit_ms;  // 0: not given
    } corten;
};

/* CX_INVALID: cx_detail() says what is wrong and json_failed_path() where. CX_UNSUPPORTED: a field that is known and
 * that no engine here can honour (tools, n > 1, images, …), named by json_failed_path(). */
enum cx_err request_read_chat(const char *body, size_t size, struct request *ret_request);
enum cx_err request_read_completion(const char *body, size_t size, struct request *ret_request);
/* The native body: session_id, prompt, prompt_type, prompt_template, stream, timeout, … (seconds become ms). */
enum cx_err request_read_native(const char *body, size_t size, struct request *ret_request);
enum cx_err request_read_native_json(const json_t *body, struct request *ret_request);  // the same, parsed
/* The native body in binary: docs/protocol.md, "Client WebSocket". */
enum cx_err request_read_bin(struct span body, struct request *ret_request);
void request_write_bin(const struct request *request, struct buf *ret_body);
/* The canonical bytes and nothing else. */
enum cx_err request_parse(const char *bytes, size_t size, struct request *ret_request);
void request_close(struct request *request);

/* With max_tokens and temperature as finally decided. */
void request_canonical(const struct request *request, struct buf *ret_bytes);
void request_digest(const void *bytes, size_t size, struct hash *ret_digest);  // Keccak-256

#endif
