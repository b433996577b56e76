#include "lib/bench.h"

static void check(struct bench *b)
{
    struct network_view net;
    core_check(b->n->core);
    view_network(b->n->core, &net);
    CHECK(net.money_holds);
}

struct bench bench_on(struct network *n, uint8_t redundancy, void (*tweak)(struct cmd_session_open *))
{
    struct bench b = {.n = n};
    struct network_view net;
    view_network(n->core, &net);
    struct command cmd = {.type = COMMAND_SESSION_OPEN, .session_open.redundancy = redundancy};
    cmd.session_open.nodes_min = (uint16_t)net.nodes[NODE_EPHEMERAL];
    network_fill(n, &cmd);
    if (tweak)
        tweak(&cmd.session_open);
    b.session = network_session(n, &cmd);
    network_settle(n);
    check(&b);
    return b;
}

struct bench bench_open(const struct network_options *options, uint8_t redundancy,
                        void (*tweak)(struct cmd_session_open *))
{
    struct network_options o = options ? *options : (struct network_options){0};
    o.miners = o.miners ? o.miners : 4;
    o.oracles = o.oracles ? o.oracles : 2;
    o.users = o.users ? o.users : 2;
    return bench_on(network_open(&o), redundancy, tweak);
}

void bench_close(struct bench *b) { network_close(b->n); }

enum verdict bench_do(struct bench *b, const struct command *cmd)
{
    struct command once = *cmd;  // signed anew each time
    enum verdict verdict = network_do(b->n, &once);
    check(b);
    return verdict;
}

struct command bench_submission(struct bench *b)
{
    struct command cmd = {.type = COMMAND_TASK_SUBMIT, .task_submit.session = b->session};
    network_fill(b->n, &cmd);
    return cmd;
}

uint64_t bench_submit(struct bench *b)
{
    struct command cmd = bench_submission(b);
    network_forget(b->n);
    CHECK_EQ(bench_do(b, &cmd), VERDICT_ACCEPTED);
    return b->n->core->last_task;
}

enum verdict bench_lease(struct bench *b, enum command_type type, uint64_t lease)
{
    struct command cmd = {.type = type};
    cmd.task_ack.lease = lease;  // the first field of all of them
    network_fill(b->n, &cmd);
    return bench_do(b, &cmd);
}

void bench_must(struct bench *b, enum command_type type, uint64_t lease)
{
    CHECK_STR(verdict_name(bench_lease(b, type, lease)), "ACCEPTED");
}

enum verdict bench_decline(struct bench *b, uint64_t lease, enum decline_reason reason)
{
    struct command cmd = {.type = COMMAND_TASK_DECLINE, .task_decline = {lease, (uint8_t)reason}};
    return bench_do(b, &cmd);
}

enum verdict bench_fault(struct bench *b, uint64_t lease, enum fail_cause cause)
{
    struct command cmd = {.type = COMMAND_TASK_FAULT, .task_fault = {lease, (uint8_t)cause}};
    return bench_do(b, &cmd);
}

enum verdict bench_cancel(struct bench *b, uint64_t task, uint32_t relayed)
{
    struct command cmd = {.type = COMMAND_TASK_CANCEL, .task_cancel = {.task = task, .relayed_tokens = relayed}};
    network_fill(b->n, &cmd);
    return bench_do(b, &cmd);
}

void bench_wait(struct bench *b, uint64_t ms)
{
    network_wait(b->n, ms);
    check(b);
}

uint32_t bench_leases(struct bench *b, uint64_t task, uint64_t ret_lease[REDUNDANCY_MAX])
{
    struct assignment_view a;
    uint32_t count = 0;
    for (uint32_t at = 0; view_assignment_of(b->n->core, task, &at, &a);) {
        CHECK(count < REDUNDANCY_MAX);
        uint32_t i = count++;
        for (; i > 0 && ret_lease[i - 1] > a.lease; i--)
            ret_lease[i] = ret_lease[i - 1];
        ret_lease[i] = a.lease;
    }
    return count;
}

uint64_t bench_nth(struct bench *b, uint64_t task, uint32_t i)
{
    uint64_t lease[REDUNDANCY_MAX];
    CHECK(i < bench_leases(b, task, lease));
    return lease[i];
}

void bench_all(struct bench *b, uint64_t task, enum command_type type)
{
    uint64_t lease[REDUNDANCY_MAX];
    uint32_t count = bench_leases(b, task, lease);
    for (uint32_t i = 0; i < count; i++)
        bench_must(b, type, lease[i]);
}

void bench_answer(struct bench *b, uint64_t task, const char *const *text)
{
    uint64_t lease[REDUNDANCY_MAX];
    uint32_t count = bench_leases(b, task, lease);
    for (uint32_t i = 0; i < count; i++)
        network_answer(b->n, lease[i], text[i]);
    bench_all(b, task, COMMAND_TASK_ACK);
    bench_all(b, task, COMMAND_TASK_PRECOMMIT);
    for (uint32_t i = 0; i < count; i++)
        bench_must(b, COMMAND_TASK_COMMIT, lease[i]);
}

enum task_state bench_state(struct bench *b, uint64_t task)
{
    struct task_view t;
    if (view_task(b->n->core, task, &t))
        return t.state;
    for (uint32_t i = b->n->seen_count; i > 0; i--) {
        const struct event *e = &b->n->seen[i - 1];
        if (e->type == EVENT_TASK_MOVED && e->task_moved.task == task)
            return (enum task_state)e->task_moved.to;
    }
    test_fail(__FILE__, __LINE__, "no such task in the events since the last bench_submit");
}

bool bench_task_moved(struct bench *b, uint64_t task, enum task_state from, enum task_state to, enum fail_cause cause)
{
    for (uint32_t i = 0; i < b->n->seen_count; i++) {
        const struct evt_task_moved *e = &b->n->seen[i].task_moved;
        if (b->n->seen[i].type == EVENT_TASK_MOVED && e->task == task && e->from == from && e->to == to &&
            e->cause == cause)
            return true;
    }
    return false;
}

bool bench_moved(struct bench *b, uint64_t lease, enum assignment_state from, enum assignment_state to,
                 enum fail_cause cause)
{
    for (uint32_t i = 0; i < b->n->seen_count; i++) {
        const struct evt_assignment_moved *e = &b->n->seen[i].assignment_moved;
        if (b->n->seen[i].type == EVENT_ASSIGNMENT_MOVED && e->lease == lease && e->from == from && e->to == to &&
            e->cause == cause)
            return true;
    }
    return false;
}

struct task_view bench_view(struct bench *b, uint64_t task)
{
    struct task_view t;
    CHECK(view_task(b->n->core, task, &t));
    return t;
}

struct assignment_view bench_assignment(struct bench *b, uint64_t lease)
{
    struct assignment_view a;
    CHECK(view_assignment(b->n->core, lease, &a));
    return a;
}

struct node_view bench_node(struct bench *b, const struct address *node)
{
    struct node_view view;
    CHECK(view_node(b->n->core, node, &view));
    return view;
}

struct amount bench_balance(struct bench *b, char kind, uint32_t i)
{
    struct address address = test_address(kind, i);
    struct account_view view;
    return view_account(b->n->core, &address, &view) ? view.balance : AMOUNT_ZERO;
}
