/* Routes under /v1, as OpenAI's own clients call them. */
#include <string.h>

#include "router/completion.h"

void api_chat(struct call *call) { completion_start(call, DIALECT_CHAT, false, 0); }

void api_completions(struct call *call) { completion_start(call, DIALECT_TEXT, false, 0); }

static void put_model(struct json_out *out, const struct model_view *m)
{
    json_out_object(out, NULL);
    json_out_text(out, "id", m->name);
    json_out_text(out, "object", "model");
    json_out_u64(out, "created", 0);  // the catalog keeps no dates
    json_out_text(out, "owned_by", "corten");
    json_out_object(out, "corten");
    out_id(out, "model_id", m->id);
    out_hash(out, "manifest_digest", &m->manifest_digest);
    json_out_text(out, "aliases", m->aliases);
    json_out_text(out, "quantization", m->quantization);
    json_out_u64(out, "context", m->context);
    json_out_u64(out, "template_tokens", m->template_tokens);
    out_id(out, "price_in_max", m->price_in_max);
    out_id(out, "price_out_max", m->price_out_max);
    json_out_u64(out, "nodes_serving", m->nodes_serving);
    json_out_u64(out, "nodes_ephemeral", m->nodes_ephemeral);
    json_out_end(out);
    json_out_end(out);
}

/* A key that is for one model sees that one. */
static bool may_see(const struct call *call, const struct model_view *m)
{
    return call->key.model == 0 || call->key.model == m->id;
}

void api_models(struct call *call)
{
    const struct core *core = replica_core(call->api->options.replica);
    struct buf body = {0};
    struct json_out out;
    struct model_view m;
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    json_out_text(&out, "object", "list");
    json_out_array(&out, "data");
    for (uint32_t at = 0; view_model_at(core, &at, &m);)
        if (may_see(call, &m))
            put_model(&out, &m);
    json_out_end(&out);
    json_out_end(&out);
    call_json(call, 200, &body);
    buf_done(&body);
}

void api_model(struct call *call)
{
    const struct core *core = replica_core(call->api->options.replica);
    const char *name = call->part[0];
    struct model_view m;
    char near[400];
    if (!view_model_named(core, name, (uint32_t)strlen(name), &m) || !may_see(call, &m)) {
        select_nearest_models(core, name, (uint32_t)strlen(name), near, sizeof near);
        call_fail(call, 404, "MODEL_UNKNOWN", "model", "no model is called \"%.64s\"%s%s", name,
                  near[0] ? "; there is " : "; the catalog is empty", near);
        return;
    }
    struct buf body = {0};
    struct json_out out;
    json_out_init(&out, &body);
    put_model(&out, &m);
    call_json(call, 200, &body);
    buf_done(&body);
}
