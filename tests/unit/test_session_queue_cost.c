/* What a command costs the processor, among few tasks and among many. */
#include <time.h>

#include "lib/network.h"
#include "lib/test.h"

#define FEW      256
#define MANY     32768
#define MEASURED 512

static uint64_t cpu_ns(void)
{
    struct timespec now;
    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t submit(struct network *n, uint64_t session)
{
    struct command cmd = {.type = COMMAND_TASK_SUBMIT, .task_submit.session = session};
    network_fill(n, &cmd);
    network_must(n, &cmd);
    network_forget(n);
    return n->core->last_task;
}

/* Of submitting a task and cancelling it again, with `queued` others before it. */
static uint64_t cost_ns(struct network *n, uint64_t session, uint32_t *queued, uint32_t wanted)
{
    for (; *queued < wanted; ++*queued)
        submit(n, session);
    uint64_t begin = cpu_ns();
    for (uint32_t i = 0; i < MEASURED; i++) {
        struct command cmd = {.type = COMMAND_TASK_CANCEL, .task_cancel.task = submit(n, session)};
        network_fill(n, &cmd);
        network_must(n, &cmd);
    }
    return cpu_ns() - begin;
}

TEST(session_queue, the_cost_of_a_command_does_not_grow_with_the_tasks)
{
    struct network_options options = {
        .users = 1,
        .miners = 1,
        .oracles = 1,
        .set = {{param_find_name("tasks_cap")->id, 2 * MANY}, {param_find_name("references_cap")->id, 2 * MANY}},
        .set_count = 2,
    };
    struct network *n = network_open(&options);
    struct command open = {.type = COMMAND_SESSION_OPEN};
    network_fill(n, &open);
    open.session_open.escrow = amount_of(NETWORK_USER_COIN / 2);
    network_must(n, &open);
    uint32_t queued = 0;
    uint64_t session = n->core->last_session;
    uint64_t few = cost_ns(n, session, &queued, FEW), many = cost_ns(n, session, &queued, MANY);
    struct session_view view;
    CHECK(view_session(n->core, session, &view));
    CHECK(view.tasks_queued >= MANY - 16);
    /* 128 times the tasks: were it a walk through them, it would be 128 times the cost. */
    CHECK(many < 16 * few);
    network_close(n);
}
