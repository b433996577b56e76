/* engine_request.h - canonical requests for engines, and engines' results for records: the same for a miner that
 * answers and an oracle that answers again.
 *
 * Source: docs/protocol.md, "Result record".
 */
#ifndef CORTEN_MINER_ENGINE_REQUEST_H
#define CORTEN_MINER_ENGINE_REQUEST_H

#include "core/terms.h"
#include "runtime/runtime.h"

struct engine_terms {
    uint32_t tokens_max;  // 0: the request's
    uint64_t seed;
    bool seed_of_client;
};
/* Fails as runtime_start; INVALID also where the bytes are no canonical request. */
enum cx_err engine_start(struct runtime *runtime, struct span request, const struct engine_terms *terms,
                         const struct runtime_sink *sink, void *ctx, struct runtime_job **ret_job);
/* Of a result that is no error. */
enum finish engine_finish(enum runtime_finish finish);
/* Keccak-256 of the token ids, u32 big-endian each; of nothing where the engine has none. */
struct hash engine_tokens_digest(const struct runtime_result *result);
/* As in terms.h. */
enum engine engine_term(enum runtime_engine engine);

#endif
