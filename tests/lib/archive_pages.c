#include "lib/archive_pages.h"

#include "lib/test.h"

struct falling {
    uint64_t seq, task;
    uint32_t count;
};

static bool falls(void *ctx, const struct archived_task *task)
{
    struct falling *before = ctx;
    CHECK(task->seq < before->seq || (task->seq == before->seq && (int64_t)task->task < (int64_t)before->task));
    *before = (struct falling){task->seq, task->task, before->count + 1};
    return true;
}

uint32_t archive_pages_walk(struct archive *archive, struct archive_query query)
{
    struct falling last = {UINT64_MAX, 0, 0};
    for (;;) {
        uint32_t had = last.count;
        CHECK_EQ(archive_tasks(archive, &query, falls, &last), CX_OK);
        CHECK(last.count - had <= query.limit);
        if (last.count == had)
            return had;
        query.before_seq = last.seq;
        query.before_task = last.task;
    }
}
