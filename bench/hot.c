/* bench/hot: the hot paths, each in a function of its own: of the core, on a small network that is always the same, and
 * of the frames between routers and miners.
 *
 * It measures nothing itself. tools/instructions runs it under callgrind, which counts what each of these functions
 * executes with all that it calls, and divides by the counts that are printed here.
 */
#include <stdio.h>

#include "hot_frames.h"
#include "load.h"
#include "measure.h"

#define NODES   512
#define USERS   64
#define TASKS   4096
#define WARM    16
#define BATCHES 8

/* Written by each of them, so that no compiler makes one of all. */
static volatile enum command_type hot_now;

#define HOT(name, type)                                                                                   \
    __attribute__((noinline)) static enum verdict hot_##name(struct load *load, struct load_entry *entry) \
    {                                                                                                     \
        hot_now = COMMAND_##type;                                                                         \
        return core_apply(load->core, entry->bytes, &entry->cmd, &load->out);                             \
    }
HOT(task_submit, TASK_SUBMIT)
HOT(task_ack, TASK_ACK)
HOT(task_streams, TASK_STREAMS)
HOT(task_precommit, TASK_PRECOMMIT)
HOT(task_commit, TASK_COMMIT)
HOT(task_cancel, TASK_CANCEL)
HOT(task_decline, TASK_DECLINE)
HOT(other, TICK)

static enum verdict apply(struct load *load, struct load_entry *entry)
{
    enum command_type type = entry->cmd.type;
    if (type == COMMAND_TASK_SUBMIT)
        return hot_task_submit(load, entry);
    if (type == COMMAND_TASK_ACK)
        return hot_task_ack(load, entry);
    if (type == COMMAND_TASK_STREAMS)
        return hot_task_streams(load, entry);
    if (type == COMMAND_TASK_PRECOMMIT)
        return hot_task_precommit(load, entry);
    if (type == COMMAND_TASK_COMMIT)
        return hot_task_commit(load, entry);
    if (type == COMMAND_TASK_CANCEL)
        return hot_task_cancel(load, entry);
    if (type == COMMAND_TASK_DECLINE)
        return hot_task_decline(load, entry);
    return hot_other(load, entry);
}

__attribute__((noinline)) static void hot_decode(struct load *load)
{
    struct command cmd;
    const uint8_t *signature;
    for (uint32_t i = 0; i < load->count; i++)
        BENCH_MUST(command_decode(load->entry[i].bytes, &cmd, &signature));
}

__attribute__((noinline)) static void hot_batch_end(struct load *load) { core_batch_end(load->core); }

int main(void)
{
    struct load *load = load_open(&(struct load_options){.nodes = NODES, .users = USERS, .tasks = TASKS});
    uint64_t count[COMMAND_TYPE_END] = {0}, entries = 0;
    load_fill(load, TASKS);
    for (uint32_t i = 0; i < WARM; i++)
        load_run(load);
    for (uint32_t n = 0; n < BATCHES; n++) {
        load_make(load);
        hot_decode(load);
        for (uint32_t i = 0; i < load->count; i++) {
            enum verdict verdict = apply(load, &load->entry[i]);
            load_note(load, i, verdict, &load->out);
            count[load->entry[i].cmd.type]++;
        }
        hot_batch_end(load);
        load_learn(load);
        entries += load->count;
    }
    for (uint32_t type = 0; type < COMMAND_TYPE_END; type++)
        if (count[type] > 0)
            printf("%s %llu\n", command_find(type)->name, (unsigned long long)count[type]);
    printf("decode %llu\nbatch_end %llu\n", (unsigned long long)entries, (unsigned long long)entries);
    load_close(load);
    frames_run();
}
