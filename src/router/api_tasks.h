/* api_tasks.h - within src/router: the tasks that a caller may see. */
#ifndef CORTEN_ROUTER_API_TASKS_H
#define CORTEN_ROUTER_API_TASKS_H

#include "router/api_parts.h"

struct seen_task {
    struct finished_task task;  // of a live one, what is known so far
    bool live;
    struct task_view view;  // of a live one
};

/* Who pays for it, who owns its session, and the router's admins see a task. */
bool task_may_see(const struct call *call, uint64_t session, const struct address *payer);
/* session 0: whichever. False: there is none that the caller may see; nothing was answered. */
bool task_see(const struct call *call, uint64_t session, uint64_t task, struct seen_task *ret);
/* The task of the path; both parts the same: by its id alone. False: the caller has been told. */
bool task_find(struct call *call, uint32_t session_part, uint32_t task_part, struct seen_task *ret);
/* Members that every form of a task has. */
void task_put_head(struct json_out *out, const struct finished_task *task);

#endif
