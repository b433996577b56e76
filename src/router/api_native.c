/* /api/v1|v2|v3/completions, and the routes whose feature is not built yet. */
#include <string.h>

#include "router/completion.h"

/* With {session} in the path, it names the session. */
static void start(struct call *call, bool by_urn, bool in_path)
{
    uint64_t session = 0;
    if (in_path && !call_id(call, 0, "session_id", &session))
        return;
    completion_start(call, DIALECT_NATIVE, by_urn, session);
}

void api_native(struct call *call) { start(call, false, false); }

void api_native_in(struct call *call) { start(call, false, true); }

void api_native_urn(struct call *call) { start(call, true, false); }

void api_native_urn_in(struct call *call) { start(call, true, true); }

void api_not_built(struct call *call)
{
    static const struct {
        const char *pattern, *feature;
    } features[] = {
        {"/delegate", "delegate: consensus over session pools"},
        {"/validate", "validate: verdicts over session pools"},
        {"/offchain/result", "results written by miners over HTTP"},
        {"/commands", "commands signed by wallets over HTTP"},
        {"/embeddings", "embeddings"},
        {"/responses", "the responses API"},
        {"/messages", "Anthropic's messages API"},
    };
    const char *pattern = call->route->pattern, *feature = pattern;
    size_t size = strlen(pattern);
    for (size_t i = 0; i < ARRAY_COUNT(features); i++) {
        size_t tail = strlen(features[i].pattern);
        if (size >= tail && strcmp(pattern + size - tail, features[i].pattern) == 0)
            feature = features[i].feature;
    }
    call_fail(call, 501, "NOT_BUILT", NULL, "%s: not built in this version", feature);
}
