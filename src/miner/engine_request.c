#include "miner/engine_request.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "crypto/keccak.h"
#include "proto/request.h"

static_assert(REQUEST_UNIT == RUNTIME_UNIT, "sampling fields go over as they are");
static_assert(REQUEST_STOP_MAX == RUNTIME_STOP_COUNT_MAX, "every stop string that a request may have");

static void write_extra(const struct request *request, struct buf *out)
{
    if (request->extra)
        json_canonical(out, request->extra);
}

enum cx_err engine_start(struct runtime *runtime, struct span bytes, const struct engine_terms *terms,
                         const struct runtime_sink *sink, void *ctx, struct runtime_job **ret_job)
{
    struct request request;
    enum cx_err err = request_parse((const char *)bytes.data, bytes.size, &request);
    if (err)
        return err;
    struct buf extra = {0};
    struct runtime_message *message = calloc(request.message_count + 1, sizeof *message);
    cx_assert(message);
    for (uint32_t i = 0; i < request.message_count; i++)
        message[i] = (struct runtime_message){request.message[i].role, request.message[i].content};
    write_extra(&request, &extra);
    const struct runtime_request wish = {
        .kind = request.kind == REQUEST_CHAT ? RUNTIME_CHAT : RUNTIME_COMPLETION,
        .messages = message,
        .messages_count = request.message_count,
        .prompt = request.prompt,
        .body = {(const uint8_t *)extra.data, (uint32_t)extra.size},
        .max_tokens = terms->tokens_max ? terms->tokens_max : request.max_tokens,
        .temperature = request.temperature,
        .top_p = request.top_p,
        .top_k = request.top_k,
        .presence_penalty = request.presence_penalty,
        .frequency_penalty = request.frequency_penalty,
        .stop = request.stop,
        .stop_count = request.stop_count,
        .seed = terms->seed,
        .seed_is_client = terms->seed_of_client,
    };
    err = runtime_start(runtime, &wish, sink, ctx, ret_job);
    buf_done(&extra);
    free(message);
    request_close(&request);
    return err;
}

enum finish engine_finish(enum runtime_finish finish)
{
    switch (finish) {
    case RUNTIME_FINISH_STOP: return FINISH_STOP;
    case RUNTIME_FINISH_LENGTH: return FINISH_LENGTH;
    case RUNTIME_FINISH_CANCELLED: return FINISH_CANCELLED;
    case RUNTIME_FINISH_ERROR: break;
    }
    cx_assert(finish != RUNTIME_FINISH_ERROR);
    return FINISH_STOP;
}

enum engine engine_term(enum runtime_engine engine)
{
    switch (engine) {
    case RUNTIME_BUILTIN: return ENGINE_BUILTIN;
    case RUNTIME_LLAMA: return ENGINE_LLAMA;
    case RUNTIME_OPENAI: return ENGINE_OPENAI;
    case RUNTIME_ECHO: return ENGINE_ECHO;
    case RUNTIME_ENGINE_COUNT: break;
    }
    cx_assert(engine != RUNTIME_ENGINE_COUNT);
    return ENGINE_ECHO;
}

struct hash engine_tokens_digest(const struct runtime_result *result)
{
    struct keccak k;
    struct hash digest;
    keccak_init(&k);
    for (uint32_t i = 0; result->token_ids && i < result->tokens_out; i++) {
        uint8_t id[4];
        struct bytes_writer w;
        bytes_writer_init(&w, id, sizeof id);
        bytes_put_u32(&w, result->token_ids[i]);
        keccak_add(&k, id, sizeof id);
    }
    keccak_end(&k, &digest);
    return digest;
}
