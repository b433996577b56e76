/* Receipts, and what happened to a task or node and why. */
#include <string.h>

#include "proto/fields_json.h"
#include "router/api_tasks.h"

#define WHY_NODE_EVENTS 100  // the last ones, of a node

/* ---- receipts ---- */

static void answer_receipt(struct call *call, const struct seen_task *s)
{
    struct buf json = {0};
    enum cx_err err = history_receipt_json(call->api->options.history, s->task.session, s->task.task, &json);
    if (err)
        call_world(call, err, "task_id");
    else
        call_json(call, 200, &json);
    buf_done(&json);
}

void api_receipt(struct call *call)
{
    struct seen_task s;
    if (task_find(call, 0, 0, &s))
        answer_receipt(call, &s);
}

void api_receipt_of(struct call *call)
{
    struct seen_task s;
    if (task_find(call, 0, 1, &s))
        answer_receipt(call, &s);
}

/* ---- why ---- */

static bool put_event(void *ctx, const struct history_event *event)
{
    struct json_out *out = ctx;
    const struct event_info *info = event_find(event->event.type);
    json_out_object(out, NULL);
    json_out_u64(out, "seq", event->seq);
    json_out_u64(out, "time_ms", event->time_ms);
    json_out_text(out, "event", info->name);
    fields_json(out, info->name, info->fields, &event->event.network_opened);
    json_out_end(out);
    return true;
}

static void why_task(struct call *call)
{
    struct seen_task s;
    if (!task_find(call, 0, 0, &s))
        return;
    struct buf body = {0};
    struct json_out out;
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    task_put_head(&out, &s.task);
    json_out_array(&out, "events");
    enum cx_err err = history_task_events(call->api->options.history, s.task.task, put_event, &out);
    json_out_end(&out);
    json_out_end(&out);
    if (err)
        call_world(call, err, NULL);
    else
        call_json(call, 200, &body);
    buf_done(&body);
}

static const char *node_reason(const struct node_view *n)
{
    if (!n->present)
        return "no router that lives holds a link of it";
    if (n->leaving)
        return "it leaves: no new offers";
    switch (n->state) {
    case NODE_UNTESTED: return "it waits for its first test; a live oracle sets one";
    case NODE_TESTING: return "it is being tested";
    case NODE_EPHEMERAL: return "it has passed and waits for a session to pick it";
    case NODE_RESERVED:
        return n->busy > 0 ? "it works for a session" : "a session holds it, and has nothing for it now";
    case NODE_RELEASED: return "it left a session, and waits to be tested again";
    case NODE_RECALIBRATING: return "it failed a test, and waits for the next one";
    case NODE_OFFLINE: return "it was absent for too long; it is tested again when it comes back";
    case NODE_LEAVING: return "it leaves: what runs ends, nothing new comes";
    case NODE_GONE: return "it has left";
    case NODE_BANNED: return "it is banned";
    case NODE_STATE_COUNT: break;
    }
    return "";
}

static void why_node(struct call *call)
{
    struct address address;
    struct node_view node;
    if (!call_address(call, 0, &address))
        return;
    if (!view_node(replica_core(call->api->options.replica), &address, &node)) {
        call_refuse(call, VERDICT_NODE_UNKNOWN, "node");
        return;
    }
    struct buf body = {0};
    struct json_out out;
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    out_address(&out, "node", &node.address);
    out_term(&out, "state", TERM_node_state, node.state);
    json_out_text(&out, "why", node_reason(&node));
    json_out_u64(&out, "since_ms", node.since_ms);
    json_out_u64(&out, "retry_ms", node.retry_ms);
    json_out_array(&out, "events");
    enum cx_err err = history_node_events(call->api->options.history, &address, WHY_NODE_EVENTS, put_event, &out);
    json_out_end(&out);
    json_out_end(&out);
    if (err)
        call_world(call, err, NULL);
    else
        call_json(call, 200, &body);
    buf_done(&body);
}

void api_why(struct call *call)
{
    if (strncmp(call->part[0], "0x", 2) == 0)
        why_node(call);
    else
        why_task(call);
}
