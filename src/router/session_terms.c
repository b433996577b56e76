#include "router/session_terms.h"

uint32_t session_terms_room(const struct model_view *model)
{
    return model->context > model->template_tokens + 1 ? model->context - model->template_tokens - 1 : 1;
}

bool session_terms_asked(const struct core *core, uint64_t model, uint64_t *ret_in, uint64_t *ret_out)
{
    struct node_view node;
    uint64_t in = 0, out = 0;
    bool asked = false;
    for (uint32_t at = 0; view_node_at(core, &at, &node);)
        for (uint32_t i = 0; i < node.models; i++) {
            if (node.model[i].model != model || node.state == NODE_GONE || node.state == NODE_BANNED)
                continue;
            in = u64_max(in, node.model[i].price_in);
            out = u64_max(out, node.model[i].price_out);
            asked = true;
        }
    *ret_in = in;
    *ret_out = out;
    return asked;
}

/* Prices are below 2^40: the product does not overflow. */
static uint64_t cap(uint64_t asked, uint64_t bound) { return u64_min(asked * SESSION_PRICE_HEADROOM, bound); }

void session_terms(const struct core *core, const struct model_view *model, uint32_t redundancy,
                   enum validation_policy validation, struct cmd_session_open *ret_cmd)
{
    uint64_t in = model->price_in_max, out = model->price_out_max;
    if (session_terms_asked(core, model->id, &in, &out)) {
        in = cap(in, model->price_in_max);
        out = cap(out, model->price_out_max);
    } else {
        in = model->price_in_max;
        out = model->price_out_max;
    }
    *ret_cmd = (struct cmd_session_open){
        .model = model->id,
        .mode = MODE_EPHEMERAL,
        .redundancy = (uint8_t)redundancy,
        .quorum = (uint8_t)(redundancy / 2 + 1),
        .nodes_min = (uint16_t)redundancy,
        .nodes_max = SESSION_NODES_MAX,
        .reserve = RESERVE_AT_OPEN,
        .sla = SLA_LOW,
        .class = CLASS_UNVERIFIED,
        .reserve_ms = SESSION_RESERVE_MS,
        .tasks_per_node_max = SESSION_NODE_TASKS,
        .validation = (uint8_t)validation,
        .audit_bp = SESSION_AUDIT_BP,
        .on_no_verdict = ON_NO_VERDICT_ACCEPT_UNVERIFIED,
        .stream = STREAM_AT_ONCE,
        .access = ACCESS_MEMBERS,
        .privacy = PRIVACY_PUBLIC,
        .result = RESULT_INLINE,
        .pays = PAYS_OWNER,
        .evidence = EVIDENCE_SIGNED,
        .price_in_max = in,
        .price_out_max = out,
        .priority = SESSION_PRIORITY,
        .tokens_max = u32_min(SESSION_TOKENS_MAX, session_terms_room(model)),
        .attempts_max = SESSION_ATTEMPTS_MAX,
        .ack_ms = SESSION_ACK_MS,
        .precommit_ms = SESSION_PRECOMMIT_MS,
        .commit_ms = SESSION_COMMIT_MS,
        .total_ms = SESSION_TOTAL_MS,
        .open_ms = SESSION_OPEN_MS,
        .drain_ms = SESSION_DRAIN_MS,
    };
}
