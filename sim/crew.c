#include "sim/crew.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

/* What a child and its parent share. */
struct member {
    pid_t pid;      // 0: none runs
    uint64_t seed;  // under way, or the next
    bool over;
    struct report report;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* False: there is none any more. */
static bool go_on(const struct crew_options *o, struct member *m)
{
    if (o->last - m->seed < o->jobs)
        return false;
    m->seed += o->jobs;
    return true;
}

static void work(const struct crew_options *o, struct member *m, double until_s)
{
    do {
        o->run(o->ctx, m->seed, &m->report);
    } while (go_on(o, m) && (o->seconds <= 0 || now_s() < until_s));
    m->over = true;
}

static void start(const struct crew_options *o, struct member *m, double until_s)
{
    fflush(stdout);
    pid_t pid = fork();
    cx_assert(pid >= 0);
    if (pid == 0) {
        work(o, m, until_s);
        fflush(stdout);
        _exit(0);
    }
    m->pid = pid;
}

/* Its seed has failed, and the others that were its own go on. */
static void died(const struct crew_options *o, struct member *m, int status)
{
    m->report.seeds++;
    m->report.failed++;
    printf("seed %llu: FAILED, its process ended by %s %d\n  repeat: build/sim --seed %llu\n",
           (unsigned long long)m->seed, WIFSIGNALED(status) ? "signal" : "status",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (unsigned long long)m->seed);
    m->over = !go_on(o, m);
}

static struct member *member_of(struct member *members, uint32_t count, pid_t pid)
{
    for (uint32_t i = 0; i < count; i++)
        if (members[i].pid == pid)
            return &members[i];
    return NULL;
}

static double children_cpu_s(void)
{
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

void crew_run(const struct crew_options *options, struct report *all, double *ret_cpu_s)
{
    const struct crew_options *o = options;
    cx_assert(o->jobs > 0 && o->jobs <= CREW_MAX);
    size_t size = o->jobs * sizeof(struct member);
    struct member *members = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cx_assert(members != MAP_FAILED);
    double until_s = now_s() + o->seconds;
    uint32_t running = 0;
    for (uint32_t i = 0; i < o->jobs && o->last - o->first >= i; i++, running++) {
        members[i].seed = o->first + i;
        start(o, &members[i], until_s);
    }
    while (running > 0) {
        int status = 0;
        pid_t pid = wait(&status);
        cx_assert(pid > 0);
        struct member *m = member_of(members, o->jobs, pid);
        if (!m)
            continue;
        if (!m->over && status != 0)
            died(o, m, status);
        if (m->over || (o->seconds > 0 && now_s() >= until_s))
            running--;
        else
            start(o, m, until_s);
    }
    for (uint32_t i = 0; i < o->jobs; i++)
        report_add(all, &members[i].report);
    munmap(members, size);
    *ret_cpu_s = children_cpu_s();
}
