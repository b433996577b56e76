/* runtime.h - engines that turn a prompt into tokens, behind one interface.
 *
 *      runtime_open -> runtime_measure -> on_ready -> runtime_start ... on_chunk* on_done
 *
 * Calls and callbacks happen on the loop's thread; engines that compute do so on threads of their own.
 * A job ends with exactly one on_done, after which its handle is gone. What an engine could not finish
 * is RUNTIME_FINISH_ERROR and says whose fault it was: a cut answer is never given out as a whole one.
 *
 * Units:  temperature, top_p and penalties are fixed point, RUNTIME_UNIT (10,000) is 1.0.
 * Source: docs/protocol.md, "Engines".
 */
#ifndef CORTEN_RUNTIME_RUNTIME_H
#define CORTEN_RUNTIME_RUNTIME_H

#include "base/err.h"
#include "base/types.h"

struct net_loop;
struct runtime;
struct runtime_job;

#define RUNTIME_UNIT             10000u
#define RUNTIME_STOP_COUNT_MAX   16u
#define RUNTIME_STOP_SIZE_MAX    256u  // bytes of one stop string
#define RUNTIME_MESSAGES_MAX     1024u
#define RUNTIME_PROMPT_SIZE_MAX  (16u << 20)  // bytes of a prompt, or of all messages together
#define RUNTIME_TEMPERATURE_MAX  (2u * RUNTIME_UNIT)
#define RUNTIME_PENALTY_MAX      (2 * (int32_t)RUNTIME_UNIT)
#define RUNTIME_SLOTS_MAX        64u
#define RUNTIME_STALL_MS_DEFAULT 30000u
#define RUNTIME_MODEL_NAME       "corten-demo"  // the bundled model

enum runtime_engine { RUNTIME_BUILTIN, RUNTIME_LLAMA, RUNTIME_OPENAI, RUNTIME_ECHO, RUNTIME_ENGINE_COUNT };
enum runtime_kind { RUNTIME_CHAT, RUNTIME_COMPLETION };

enum runtime_finish {
    RUNTIME_FINISH_STOP,       // the model ended, or a stop string came
    RUNTIME_FINISH_LENGTH,     // max_tokens, or the end of the context
    RUNTIME_FINISH_CANCELLED,  // by runtime_cancel
    RUNTIME_FINISH_ERROR,      // see fault and error
};

enum runtime_fault {
    RUNTIME_FAULT_NONE,
    RUNTIME_FAULT_REQUEST,  // the client's: something this engine cannot honour
    RUNTIME_FAULT_CONTEXT,  // the client's: the prompt leaves no room in the context
    RUNTIME_FAULT_ENGINE,   // ours: the engine or its upstream failed
};

struct runtime_options {
    uint32_t slots;       // jobs at once; more wait in order. 0: 1
    uint32_t queue_max;   // jobs that may wait; 0: 64
    uint32_t context;     // for engines that cannot say; 0: what the engine says, or 4096
    uint32_t stall_ms;    // silence of an upstream that counts as an error; 0: RUNTIME_STALL_MS_DEFAULT
    const char *api_key;  // for `openai`; NULL: none. Copied
};

struct runtime_info {
    enum runtime_engine engine;
    const char *build;  // engine and version, for people and the ledger
    const char *model;
    struct hash manifest;         // SHA-256 over the sorted SHA-256s of the model's files
    bool declared;                // the manifest is only what the operator claims
    bool has_token_ids;           // results carry token ids, so that greedy answers can be recomputed
    uint32_t context;             // tokens, prompt and answer together
    uint32_t template_tokens;     // at most what the template adds to the bytes of one message
    uint32_t ttft_ms;             // 0 until measured, then at least 1
    uint64_t tokens_per_s_milli;  // tokens/s × 1000; 0 until measured
};

struct runtime_message {
    struct span role;     // system, developer, user, assistant or tool
    struct span content;  // text
};

struct runtime_request {
    enum runtime_kind kind;
    const struct runtime_message *messages;  // RUNTIME_CHAT
    uint32_t messages_count;
    struct span prompt;    // RUNTIME_COMPLETION
    struct span body;      // the client's JSON object or {NULL, 0}; `openai` passes its unknown fields on
    uint32_t max_tokens;   // > 0
    uint32_t temperature;  // 0: greedy, ties to the lowest id
    uint32_t top_p;        // 0, or RUNTIME_UNIT and more: off
    uint32_t top_k;        // 0: off
    int32_t presence_penalty;
    int32_t frequency_penalty;
    const struct span *stop;
    uint32_t stop_count;
    uint64_t seed;
    bool seed_is_client;  // whose seed it is; engines only hand it back
};

struct runtime_result {
    enum runtime_finish finish;
    enum runtime_fault fault;  // NONE unless finish is ERROR
    const char *error;         // for people; "" unless finish is ERROR
    bool seed_is_client;
    uint32_t tokens_in, tokens_out;
    const uint32_t *token_ids;  // [tokens_out]; NULL where runtime_info has no token ids
    const char *text;           // all chunks in their order; whole UTF-8 characters
    size_t text_size;
};

struct runtime_sink {
    /* Whole UTF-8 characters, whose last byte came with the token_count'th token since the last chunk. Tokens
     * after the last chunk, of a stop string for one, are counted in the result alone. */
    void (*on_chunk)(void *ctx, const char *text, size_t size, uint32_t token_count);
    /* What the result points to is gone when this returns. */
    void (*on_done)(void *ctx, const struct runtime_result *result);
};

/* spec: "builtin", "builtin=PATH.gguf", "openai=URL", "echo", "echo=FAULTS" (runtime_echo.c lists them).
 * Fails: UNSUPPORTED, NOT_FOUND, CORRUPT, INVALID, IO; cx_detail names the culprit. */
enum cx_err runtime_open(struct net_loop *loop, const char *spec, const char *model,
                         const struct runtime_options *options, struct runtime **ret);
/* Ends all jobs without calling anybody; NULL is fine. Not from inside a callback. */
void runtime_close(struct runtime *rt);
CX_CLOSER(runtime)

/* Valid until runtime_close. */
const struct runtime_info *runtime_info(const struct runtime *rt);

/* Asks the engine about itself, and measures TTFT and tokens/s with one short job; then calls on_ready
 * from the loop, with CX_OK or why the engine is not usable. One measurement at a time. */
enum cx_err runtime_measure(struct runtime *rt, void (*on_ready)(void *ctx, enum cx_err err, const char *detail),
                            void *ctx);

/* Copies the request. Fails without any callback: INVALID (named), BUSY (slots and queue are full). */
enum cx_err runtime_start(struct runtime *rt, const struct runtime_request *request, const struct runtime_sink *sink,
                          void *ctx, struct runtime_job **ret_job);
/* on_done follows from the loop, never from inside this call: CANCELLED with the text so far, unless the
 * job had ended already. */
void runtime_cancel(struct runtime_job *job);

const char *runtime_engine_name(enum runtime_engine engine);  // "builtin"
const char *runtime_finish_name(enum runtime_finish finish);  // "stop", "length", "cancelled", "error"

#endif
