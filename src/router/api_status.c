/* What a router tells everybody: who it is, how the network is, whether it works; and its operator's metrics. */
#include <string.h>

#include "ledger/ledger.h"
#include "payload/payload.h"
#include "router/api_parts.h"
#include "router/hub.h"
#include "router/session_terms.h"

#define API_VERSION "1"

static void begin_json(struct json_out *out, struct buf *body)
{
    json_out_init(out, body);
    json_out_object(out, NULL);
}

static void end_json(struct call *call, unsigned status, struct json_out *out, struct buf *body)
{
    json_out_end(out);
    call_json(call, status, body);
    buf_done(body);
}

/* ---- who it is ---- */

void api_ping(struct call *call)
{
    struct buf body = {0};
    struct json_out out;
    begin_json(&out, &body);
    json_out_text(&out, "status", "ok");
    json_out_u64(&out, "time_ms", net_wall_ms());
    end_json(call, 200, &out, &body);
}

static void put_who(const struct call *call, struct json_out *out)
{
    const struct replica *replica = call->api->options.replica;
    json_out_text(out, "name", "corten");
    json_out_text(out, "api", API_VERSION);
    out_id(out, "network", replica_network(replica));
    out_address(out, "router", replica_router(replica));
}

void api_about(struct call *call)
{
    struct buf body = {0};
    struct json_out out;
    begin_json(&out, &body);
    put_who(call, &out);
    json_out_text(&out, "description",
                  "a network of nodes that run language models, behind one endpoint that speaks OpenAI's API");
    end_json(call, 200, &out, &body);
}

static void put_params(const struct core *core, struct json_out *out)
{
    json_out_object(out, "params");
    for (const struct param_info *info = param_next(NULL); info; info = param_next(info))
        json_out_u64(out, info->name, param_get(view_params(core), info));
    json_out_end(out);
}

void api_info(struct call *call)
{
    const struct api_options *o = &call->api->options;
    struct network_view network;
    struct buf body = {0};
    struct json_out out;
    view_network(replica_core(o->replica), &network);
    begin_json(&out, &body);
    put_who(call, &out);
    json_out_u64(&out, "rules_version", network.rules_version);
    json_out_u64(&out, "admin_quorum", network.admin_quorum);
    json_out_u64(&out, "oracle_quorum", network.oracle_quorum);
    json_out_object(&out, "shared");
    json_out_u64(&out, "redundancy", u32_max(o->redundancy, 1));
    out_term(&out, "validation", TERM_validation_policy, o->validation);
    json_out_u64(&out, "audit_bp", o->audit_bp);
    json_out_u64(&out, "tokens_max", SESSION_TOKENS_MAX);
    json_out_end(&out);
    json_out_object(&out, "limits");
    json_out_u64(&out, "prompt_body_max", API_PROMPT_BODY_MAX);
    json_out_u64(&out, "payload_body_max", API_PAYLOAD_BODY_MAX);
    json_out_u64(&out, "body_max", API_BODY_MAX);
    json_out_u64(&out, "reference_max", API_REFERENCE_MAX);
    json_out_u64(&out, "answer_max", TASK_TEXT_SIZE_MAX);
    json_out_u64(&out, "page_max", API_PAGE_MAX);
    json_out_u64(&out, "keep_ms", o->keep_ms);
    json_out_end(&out);
    put_params(replica_core(o->replica), &out);
    end_json(call, 200, &out, &body);
}

/* ---- how the network is ---- */

static void put_money(struct json_out *out, const struct network_view *n)
{
    json_out_object(out, "money");
    out_amount(out, "deposits", n->money.deposits);
    out_amount(out, "balances", n->money.balances);
    out_amount(out, "escrow", n->money.escrow);
    out_amount(out, "reservations", n->money.reservations);
    out_amount(out, "pending", n->money.pending);
    out_amount(out, "stake", n->money.stake);
    out_amount(out, "network", n->money.network);
    out_amount(out, "withdrawals", n->money.withdrawals);
    out_amount(out, "paid_out", n->money.paid_out);
    json_out_end(out);
    json_out_bool(out, "money_ok", n->money_holds);
}

static void put_states(struct json_out *out, const char *key, enum term_set set, const uint32_t *count, uint32_t states)
{
    json_out_object(out, key);
    for (uint32_t i = 0; i < states; i++)
        json_out_u64(out, term_name(set, i), count[i]);
    json_out_end(out);
}

static void put_tasks(struct json_out *out, const struct network_view *n)
{
    json_out_object(out, "tasks");
    json_out_u64(out, "live", n->tasks_live);
    json_out_u64(out, "assignments", n->assignments_live);
    for (uint32_t i = TASK_COMPLETED; i < TASK_STATE_COUNT; i++)
        json_out_u64(out, term_name(TERM_task_state, i), n->tasks_ended[i]);
    json_out_end(out);
}

static void put_oracles(const struct core *core, struct json_out *out, const struct network_view *n)
{
    struct oracle_view oracle;
    json_out_array(out, "oracles");
    for (uint32_t at = 0; view_oracle_at(core, &at, &oracle);) {
        json_out_object(out, NULL);
        out_address(out, "address", &oracle.address);
        out_term(out, "state", TERM_oracle_state, oracle.state);
        json_out_bool(out, "leads", oracle.leads);
        json_out_u64(out, "heard_ms", oracle.heard_ms);
        json_out_end(out);
    }
    json_out_end(out);
    json_out_u64(out, "oracles_live", n->oracles_live);
    out_address(out, "leader", &n->leader);
}

static void put_routers(const struct core *core, struct json_out *out)
{
    struct router_view router;
    json_out_array(out, "routers");
    for (uint32_t at = 0; view_router_at(core, &at, &router);) {
        json_out_object(out, NULL);
        out_address(out, "address", &router.address);
        out_term(out, "state", TERM_router_state, router.state);
        json_out_end(out);
    }
    json_out_end(out);
}

static uint32_t put_models(const struct core *core, struct json_out *out)
{
    struct model_view m;
    uint32_t serving = 0;
    json_out_array(out, "models");
    for (uint32_t at = 0; view_model_at(core, &at, &m);) {
        json_out_object(out, NULL);
        out_id(out, "id", m.id);
        json_out_text(out, "name", m.name);
        json_out_u64(out, "nodes_serving", m.nodes_serving);
        json_out_u64(out, "nodes_ephemeral", m.nodes_ephemeral);
        json_out_end(out);
        serving += m.nodes_serving;
    }
    json_out_end(out);
    return serving;
}

/* What somebody should look at, in sentences. */
static void put_warnings(const struct call *call, struct json_out *out, const struct network_view *n, uint32_t serving)
{
    json_out_array(out, "warnings");
    if (n->oracles_live == 0)
        json_out_text(
            out, NULL,
            "NO ORACLE LIVES: no node is tested, so none enters the pool, and no answer is audited; nodes that "
            "serve go on. Start an oracle: corten oracle");
    if (!n->money_holds)
        json_out_text(out, NULL, "MONEY DOES NOT ADD UP: stop, and run corten ledger verify");
    if (serving == 0)
        json_out_text(out, NULL, "no node offers any model: start a miner with corten miner");
    else if (!call->api->ready)
        json_out_text(out, NULL, "no node that has passed its test is linked to this router: prompts have to wait");
    json_out_end(out);
}

void api_status(struct call *call)
{
    const struct core *core = replica_core(call->api->options.replica);
    struct network_view n;
    struct buf body = {0};
    struct json_out out;
    view_network(core, &n);
    begin_json(&out, &body);
    put_who(call, &out);
    json_out_text(&out, "status", call->api->draining ? "draining" : call->api->ready ? "ready" : "waiting");
    json_out_u64(&out, "seq", n.seq);
    json_out_hex(&out, "digest", n.digest.b, sizeof n.digest.b);
    json_out_u64(&out, "core_ms", n.now_ms);
    json_out_u64(&out, "ledger_ms", n.ledger_ms);
    uint32_t serving = put_models(core, &out);
    put_warnings(call, &out, &n, serving);
    put_states(&out, "nodes", TERM_node_state, n.nodes, NODE_STATE_COUNT);
    put_states(&out, "sessions", TERM_session_state, n.sessions, SESSION_STATE_COUNT);
    put_tasks(&out, &n);
    json_out_u64(&out, "rounds", n.rounds_live);
    json_out_u64(&out, "audits", n.audits_live);
    put_oracles(core, &out, &n);
    put_routers(core, &out);
    put_money(&out, &n);
    end_json(call, 200, &out, &body);
}

/* ---- whether it works ---- */

void api_healthz(struct call *call) { call_text(call, 200, "text/plain; charset=utf-8", "ok\n", 3); }

void api_readyz(struct call *call)
{
    const struct api *api = call->api;
    struct network_view n;
    if (api_is_ready(api)) {
        call_text(call, 200, "text/plain; charset=utf-8", "ready\n", 6);
        return;
    }
    view_network(replica_core(api->options.replica), &n);
    call_fail(call, 503, "NOT_READY", NULL, "%s",
              api->draining                                          ? "the router is stopping"
              : n.nodes[NODE_EPHEMERAL] + n.nodes[NODE_RESERVED] > 0 ? "the nodes that may serve are not linked here"
              : n.nodes[NODE_TESTING] > 0                            ? "nodes are being tested"
              : n.oracles_live == 0                                  ? "no oracle lives, so no node can pass its test"
                                                                     : "no node has passed its test yet");
}

/* ---- metrics ---- */

static void put_answers(struct buf *out, const struct metrics *m)
{
    uint32_t count;
    const struct route *routes = api_routes(&count);
    metrics_about(out, "corten_http_answers_total", "counter", "Answers by route and class of status.");
    for (uint32_t i = 0; i <= METRICS_ROUTES_MAX; i++)
        for (uint32_t class = 1; class < 6; class ++) {
            if (m->answers[i][class] == 0)
                continue;
            bool known = i < count;
            buf_printf(out, "corten_http_answers_total{method=\"%s\",route=\"%s\",class=\"%uxx\"} %llu\n",
                       known ? http_method_name(routes[i].method) : "", known ? routes[i].pattern : "none", class,
                       (unsigned long long)m->answers[i][class]);
        }
}

static void put_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    metrics_about(out, name, "counter", help);
    metrics_value(out, name, NULL, NULL, value);
}

static void put_gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    metrics_about(out, name, "gauge", help);
    metrics_value(out, name, NULL, NULL, value);
}

static void put_replica(struct buf *out, const struct api *api)
{
    struct replica_stats s = replica_stats(api->options.replica);
    put_counter(out, "corten_ledger_entries_total", "Entries applied by this process.", s.entries);
    put_counter(out, "corten_ledger_batches_total", "Batches applied by this process.", s.batches);
    put_counter(out, "corten_ledger_refused_total", "Commands refused, on the ledger or before it.", s.refused);
    put_counter(out, "corten_ledger_ticks_total", "Ticks appended by this process.", s.ticks);
    put_counter(out, "corten_events_total", "Events that followed from entries.", s.events);
}

static void put_runs(struct buf *out, const struct api *api)
{
    const struct metrics *m = &api->metrics;
    struct tasks_stats s = tasks_stats(api->options.tasks);
    put_counter(out, "corten_tasks_submitted_total", "Tasks accepted from clients of this router.", s.submitted);
    put_counter(out, "corten_tasks_refused_total", "Tasks refused.", s.refused);
    put_counter(out, "corten_chunks_total", "Pieces of answers that came from nodes.", s.chunks);
    put_counter(out, "corten_chunk_bytes_total", "Bytes of these.", s.bytes);
    put_counter(out, "corten_streams_total", "Streams that began.", s.streams);
    put_counter(out, "corten_streams_interrupted_total", "Streams whose node was lost.", m->streams_interrupted);
    put_counter(out, "corten_answers_replaced_total", "Streams whose answer was not the one that stands.",
                m->answers_replaced);
    put_counter(out, "corten_clients_gone_total", "Clients that left before the end.", m->clients_gone);
    put_counter(out, "corten_keys_refused_total", "Requests without a key that may.", m->keys_refused);
    put_gauge(out, "corten_tasks_live", "Tasks that this router runs.", s.live);
    put_gauge(out, "corten_requests_under_way", "Prompts whose clients wait.", api->streams);
}

static void put_network(struct buf *out, const struct network_view *n)
{
    metrics_about(out, "corten_nodes", "gauge", "Nodes by state.");
    for (uint32_t i = 0; i < NODE_STATE_COUNT; i++)
        metrics_value(out, "corten_nodes", "state", term_name(TERM_node_state, i), n->nodes[i]);
    metrics_about(out, "corten_sessions", "gauge", "Sessions by state.");
    for (uint32_t i = 0; i < SESSION_STATE_COUNT; i++)
        metrics_value(out, "corten_sessions", "state", term_name(TERM_session_state, i), n->sessions[i]);
    metrics_about(out, "corten_network_tasks_ended_total", "counter", "Tasks of the whole network by how they ended.");
    for (uint32_t i = TASK_COMPLETED; i < TASK_STATE_COUNT; i++)
        metrics_value(out, "corten_network_tasks_ended_total", "state", term_name(TERM_task_state, i),
                      n->tasks_ended[i]);
    put_gauge(out, "corten_network_tasks_live", "Tasks of the whole network that have not ended.", n->tasks_live);
    put_gauge(out, "corten_rounds_live", "Rounds that have not ended.", n->rounds_live);
    put_gauge(out, "corten_audits_live", "Audits that have not ended.", n->audits_live);
    put_gauge(out, "corten_oracles_live", "Oracles that live.", n->oracles_live);
    put_gauge(out, "corten_ledger_seq", "Position of the last entry.", n->seq);
    put_gauge(out, "corten_money_ok", "1: all money adds up.", n->money_holds);
    put_gauge(out, "corten_money_deposits_credits", "All that was ever deposited.", n->money.deposits.credits);
    put_gauge(out, "corten_money_reservations_credits", "Set aside for tasks.", n->money.reservations.credits);
}

void api_metrics(struct call *call)
{
    const struct api *api = call->api;
    struct buf out = {0};
    struct network_view n;
    struct hub_link_view link;
    uint64_t miners = 0, oracles = 0;
    view_network(replica_core(api->options.replica), &n);
    for (uint32_t at = 0; hub_link_at(api->options.hub, &at, &link);)
        *(link.oracle ? &oracles : &miners) += 1;
    put_gauge(&out, "corten_ready", "1: a prompt would be answered.", api_is_ready(api));
    metrics_about(&out, "corten_links", "gauge", "Sockets of miners and oracles.");
    metrics_value(&out, "corten_links", "of", "miner", miners);
    metrics_value(&out, "corten_links", "of", "oracle", oracles);
    put_replica(&out, api);
    put_runs(&out, api);
    put_network(&out, &n);
    put_answers(&out, &api->metrics);
    metrics_histogram(&out, "corten_request_seconds", "From a request's last byte to its answer's last.",
                      &api->metrics.request);
    metrics_histogram(&out, "corten_first_token_seconds", "From a request's last byte to its stream's first text.",
                      &api->metrics.first_token);
    call_text(call, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.size);
    buf_done(&out);
}

/* ---- links ---- */

/* The exchange is the hub's from here on. */
void api_link_miner(struct call *call)
{
    struct api *api = call->api;
    call_ended(call, 101);
    hub_accept_miner(api->options.hub, call->x);
}

void api_link_oracle(struct call *call)
{
    struct api *api = call->api;
    call_ended(call, 101);
    hub_accept_oracle(api->options.hub, call->x);
}
