/* bench/core: how many commands a second core_apply takes on one thread, and what a task costs in memory.
 *
 * 100,000 nodes throughout; 10,000, 100,000 and 1,000,000 live tasks, of which four tenths are assigned. Measured is
 * core_apply with core_batch_end, in CPU time of the thread, in batches of BATCH_ENTRIES_MAX; making the commands, and
 * what the router learns from their events, is not. Then the same with decoding, and each command by itself.
 *
 * How the cost grows with the tasks is measured by two such networks in turns, one of the fewest and one of the most:
 * on a machine that others use too, one that is measured behind the other says more about the machine.
 */
#include <stdio.h>
#include <stdlib.h>

#include "load.h"
#include "measure.h"

#define NODES 100000
#define USERS 10000
#define TASKS 1000000
#define WARM  4  // commands for each live lease before anything is measured
#define TURNS 8  // of each of the two networks

static const uint32_t sizes[] = {10000, 100000, TASKS};

struct result {
    uint32_t live, assigned;
    uint64_t commands, ns;         // core_apply
    uint64_t decoded, decoded_ns;  // command_decode and core_apply
    struct spread kind[COMMAND_TYPE_END];
    uint64_t clock_ns;  // what reading the clock twice adds to each of `kind`
};

/* As drivers do: asks for what the next entries will touch. */
static void look_ahead(const struct load *load, uint32_t i)
{
    for (enum expect_stage stage = EXPECT_FAR; stage <= EXPECT_NEXT; stage++) {
        uint32_t at = i + (EXPECT_NEXT + 1 - stage) * EXPECT_DISTANCE;
        if (at < load->count)
            core_expect(load->core, load->entry[at].bytes, stage);
    }
}

static uint64_t apply_batch(struct load *load, bool decode)
{
    struct command cmd;
    const uint8_t *signature;
    uint64_t begin = thread_ns();
    for (uint32_t i = 0; i < load->count; i++) {
        struct load_entry *e = &load->entry[i];
        look_ahead(load, i);
        if (decode) {
            cmd.time_ms = e->cmd.time_ms;
            cmd.author = e->cmd.author;
            BENCH_MUST(command_decode(e->bytes, &cmd, &signature));
            for (uint32_t k = 0; k < cmd.signer_count; k++)
                cmd.signer[k] = e->cmd.signer[k];
        }
        load_note(load, i, core_apply(load->core, e->bytes, decode ? &cmd : &e->cmd, &load->out), &load->out);
    }
    core_batch_end(load->core);
    return thread_ns() - begin;
}

static void measure_batches(struct load *load, double seconds, bool decode, uint64_t *ret_commands, uint64_t *ret_ns)
{
    uint64_t until = wall_ns() + (uint64_t)(seconds * 1e9);
    *ret_commands = *ret_ns = 0;
    while (wall_ns() < until) {
        load_make(load);
        *ret_ns += apply_batch(load, decode);
        *ret_commands += load->count;
        load_learn(load);
    }
}

static void measure_kinds(struct load *load, double seconds, struct result *r)
{
    uint64_t until = wall_ns() + (uint64_t)(seconds * 1e9);
    uint64_t begin = wall_ns();
    for (int i = 0; i < 1000; i++)
        wall_ns();
    r->clock_ns = (wall_ns() - begin) / 1000;
    while (wall_ns() < until) {
        load_make(load);
        for (uint32_t i = 0; i < load->count; i++) {
            struct load_entry *e = &load->entry[i];
            begin = wall_ns();
            enum verdict verdict = core_apply(load->core, e->bytes, &e->cmd, &load->out);
            spread_add(&r->kind[e->cmd.type], wall_ns() - begin);
            load_note(load, i, verdict, &load->out);
        }
        core_batch_end(load->core);
        load_learn(load);
    }
}

static void fill(struct load *load, uint32_t tasks)
{
    load_fill(load, tasks);
    for (uint64_t i = 0; i < (uint64_t)load->leases * WARM; i += load->count)
        load_run(load);
}

/* That so many tasks are still live and assigned as were to be measured. */
static void must_have(const struct load *load, uint32_t tasks)
{
    BENCH_MUST(load->core->session_queue.tasks.live + BATCH_ENTRIES_MAX > tasks);
    BENCH_MUST(load->core->session_queue.assignment_live > (uint64_t)tasks * 39 / 100);
}

static void measure(struct load *load, uint32_t tasks, double seconds, struct result *ret)
{
    fill(load, tasks);
    measure_batches(load, seconds, false, &ret->commands, &ret->ns);
    measure_batches(load, seconds / 2, true, &ret->decoded, &ret->decoded_ns);
    measure_kinds(load, seconds / 2, ret);
    ret->live = load->core->session_queue.tasks.live;
    ret->assigned = load->core->session_queue.assignment_live;
    must_have(load, tasks);
}

/* What a command costs in the one ÷ in the other. */
static double measure_in_turns(struct load *many, struct load *few, double seconds)
{
    uint64_t commands[2] = {0}, ns[2] = {0};
    for (uint32_t i = 0; i < 2 * TURNS; i++) {
        uint64_t more_commands = 0, more_ns = 0;
        measure_batches(i % 2 ? few : many, seconds / TURNS, false, &more_commands, &more_ns);
        commands[i % 2] += more_commands;
        ns[i % 2] += more_ns;
    }
    return (double)ns[0] / (double)commands[0] / ((double)ns[1] / (double)commands[1]);
}

static double per_second(uint64_t count, uint64_t ns) { return (double)count * 1e9 / (double)ns; }

static void show(const struct result *r)
{
    printf("\n%u live tasks, %u assigned: %.0f commands/s (%.0f ns each); with decoding %.0f/s (%.0f ns)\n", r->live,
           r->assigned, per_second(r->commands, r->ns), (double)r->ns / (double)r->commands,
           per_second(r->decoded, r->decoded_ns), (double)r->decoded_ns / (double)r->decoded);
    printf("    %-18s %9s %8s %8s   (wall ns, of which the clock %u)\n", "command", "count", "p50", "p99",
           (unsigned)r->clock_ns);
    for (uint32_t type = 0; type < COMMAND_TYPE_END; type++)
        if (r->kind[type].count > 0)
            printf("    %-18s %9llu %8llu %8llu\n", command_find(type)->name, (unsigned long long)r->kind[type].count,
                   (unsigned long long)spread_at(&r->kind[type], 0.5),
                   (unsigned long long)spread_at(&r->kind[type], 0.99));
}

/* Bytes of the arena that one more row takes: rows, indexes, and what other modules keep beside them. */
static double bytes_each(const struct load *load, uint16_t param)
{
    struct cmd_genesis genesis = load->genesis;
    uint8_t params[1024];
    size_t size[2];
    BENCH_MUST(genesis.params.size <= sizeof params);
    genesis.params.data = params;
    for (uint32_t n = 0; n < 2; n++) {
        for (uint32_t i = 0; i < genesis.params.size; i++)
            params[i] = load->genesis.params.data[i];
        for (uint32_t i = 0; i < genesis.params.size; i += 10)
            if (be16(params + i) == param)
                be64_put(params + i + 2, (n + 1) * (uint64_t)TASKS);
        size[n] = core_size(&genesis);
    }
    return (double)(size[1] - size[0]) / TASKS;
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_options(argc, argv, "bench/core", 5);
    uint64_t begin = process_ns();
    const struct load_options options = {.nodes = NODES, .users = USERS, .tasks = TASKS};
    struct load *load = load_open(&options), *other = load_open(&options);
    printf("%u nodes in %u sessions, %u users: made twice in %.1f s of CPU; each core takes %.0f MiB\n", NODES,
           load->sessions, USERS, (double)(process_ns() - begin) / 1e9, (double)load->core_size / 1048576);
    double task = bytes_each(load, 12), assignment = bytes_each(load, 13);
    printf("a task takes %.0f bytes with its indexes and its reservation (row %zu), an assignment %.0f (row %zu)\n",
           task, sizeof(struct task), assignment, sizeof(struct assignment));

    struct result *result = bench_take(ARRAY_COUNT(sizes), sizeof *result);
    for (uint32_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        measure(load, sizes[i], o.seconds, &result[i]);
        show(&result[i]);
    }
    const struct result *many = &result[ARRAY_COUNT(sizes) - 1];
    fill(other, sizes[0]);
    double flatness = measure_in_turns(load, other, o.seconds);
    must_have(load, TASKS);
    must_have(other, sizes[0]);
    core_check(load->core);
    core_check(other->core);
    printf("\ncost of a command at %u tasks / at %u, in turns: %.2f; CPU in all %.1f s\n", many->live,
           other->core->session_queue.tasks.live, flatness, (double)process_ns() / 1e9);
    if (o.json)
        printf("{\"commands_per_s\": %.0f, \"bytes_per_task\": %.0f, \"flatness\": %.3f}\n",
               per_second(many->commands, many->ns), task, flatness);
    free(result);
    load_close(load);
    load_close(other);
}
