/* build/sim: a whole network in one process, from a seed. docs/simulation.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "sim/crew.h"
#include "sim/run.h"
#include "sim/swarm_shrink.h"

#define FRESH_SECONDS 60
#define TRACES_FOLDER "tests/traces"
#define TASKS_MAX     1000000
#define SETS_MAX      64

static const char usage[] =
    "build/sim - a whole Corten network in one process: simulated clock, network and disks, from a seed\n"
    "\n"
    "  --seed N       one seed, with what its swarm is\n"
    "  --seeds A..B   these seeds\n"
    "  --seconds S    fresh seeds for so long (60)\n"
    "  --jobs N       so many seeds at once (1)\n"
    "  --calm         the same networks without faults and cheats\n"
    "  --tasks N      so many prompts a seed, in place of what it picks\n"
    "  --set NAME=N   one number of the swarm, as --seed prints it, in place of what the seed picks\n"
    "  --shrink       with --seed: if it fails, a smaller swarm that fails likewise, as --set flags\n"
    "  --each         a line for each seed\n"
    "  --trace        what happens, as it happens; with --seed\n"
    "  --save FOLDER  where a failing history is kept, shrunk, as a trace (tests/traces, where it is; none: no)\n"
    "  --json         the report as JSON\n"
    "  --help         this\n"
    "\n"
    "Ends with \"N passed, N failed\", and 1 where one failed.\n";

struct choice {
    uint64_t first, last;
    uint64_t seconds;  // 0: first..last
    uint64_t tasks;    // 0: as the seed picks
    uint64_t jobs;
    const char *save;  // NULL: nowhere
    const char *set[SETS_MAX];
    uint32_t sets;
    bool calm, trace, json, single, each, shrink;
};

static bool read_number(const char *text, const char *end_mark, uint64_t *ret)
{
    char *end;
    if (!text || *text < '0' || *text > '9')
        return false;
    *ret = strtoull(text, &end, 10);
    return strncmp(end, end_mark, strlen(end_mark)) == 0 && (*end_mark || !*end);
}

static bool read_seeds(const char *text, struct choice *choice)
{
    const char *dots = text ? strstr(text, "..") : NULL;
    return dots && read_number(text, "..", &choice->first) && read_number(dots + 2, "", &choice->last) &&
           choice->first <= choice->last;
}

/* 0: run; else the exit status + 1. */
static int read_options(int argc, char **argv, struct choice *choice)
{
    *choice = (struct choice){.first = (uint64_t)time(NULL) * 1000, .last = UINT64_MAX, .seconds = FRESH_SECONDS};
    choice->jobs = 1;
    choice->save = access(TRACES_FOLDER, W_OK) == 0 ? TRACES_FOLDER : NULL;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool good = true;
        if (strcmp(option, "--seed") == 0) {
            good = read_number(value, "", &choice->first);
            choice->last = choice->first;
            choice->seconds = 0;
            choice->single = true;
            i++;
        } else if (strcmp(option, "--seeds") == 0) {
            good = read_seeds(value, choice);
            choice->seconds = 0;
            i++;
        } else if (strcmp(option, "--seconds") == 0) {
            good = read_number(value, "", &choice->seconds) && choice->seconds > 0;
            i++;
        } else if (strcmp(option, "--jobs") == 0) {
            good = read_number(value, "", &choice->jobs) && choice->jobs > 0 && choice->jobs <= CREW_MAX;
            i++;
        } else if (strcmp(option, "--tasks") == 0) {
            good = read_number(value, "", &choice->tasks) && choice->tasks <= TASKS_MAX;
            i++;
        } else if (strcmp(option, "--set") == 0) {
            good = value && choice->sets < SETS_MAX;
            if (good)
                choice->set[choice->sets++] = value;
            i++;
        } else if (strcmp(option, "--shrink") == 0) {
            choice->shrink = true;
        } else if (strcmp(option, "--calm") == 0) {
            choice->calm = true;
        } else if (strcmp(option, "--save") == 0) {
            good = value != NULL;
            choice->save = value && strcmp(value, "none") != 0 ? value : NULL;
            i++;
        } else if (strcmp(option, "--each") == 0) {
            choice->each = true;
        } else if (strcmp(option, "--trace") == 0) {
            choice->trace = true;
        } else if (strcmp(option, "--json") == 0) {
            choice->json = true;
        } else if (strcmp(option, "--help") == 0) {
            fputs(usage, stdout);
            return 1;
        } else {
            good = false;
        }
        if (!good) {
            fprintf(stderr, "sim: cannot understand %s%s%s; build/sim --help lists the options\n", option,
                    value ? " " : "", value ? value : "");
            return 3;
        }
    }
    return 0;
}

static void print(struct buf *text)
{
    if (text->size > 0)
        fwrite(text->data, 1, text->size, stdout);
    fflush(stdout);
    buf_reset(text);
}

/* "miners=2": false where the swarm has no such number. */
static bool set_one(struct swarm *swarm, const char *text)
{
    char name[64];
    uint64_t value;
    size_t size = strcspn(text, "=");
    if (size >= sizeof name || !text[size] || !read_number(text + size + 1, "", &value))
        return false;
    memcpy(name, text, size);
    name[size] = 0;
    return swarm_set(swarm, name, value);
}

static bool pick(const struct choice *choice, uint64_t seed, struct swarm *ret_swarm)
{
    if (choice->calm)
        swarm_calm(seed, ret_swarm);
    else
        swarm_pick(seed, ret_swarm);
    if (choice->tasks)
        ret_swarm->tasks = (uint32_t)choice->tasks;
    for (uint32_t i = 0; i < choice->sets; i++)
        if (!set_one(ret_swarm, choice->set[i])) {
            fprintf(stderr, "sim: --set %s: the swarm has no such number; --seed N prints them\n", choice->set[i]);
            return false;
        }
    return true;
}

/* A smaller swarm that fails like the one of this seed. */
static int shrink_seed(const struct choice *choice)
{
    struct swarm picked, swarm, small;
    struct check check;
    struct buf out = {0};
    uint32_t trials;
    if (!pick(choice, choice->first, &swarm))
        return 2;
    if (choice->calm)
        swarm_calm(choice->first, &picked);
    else
        swarm_pick(choice->first, &picked);
    if (!swarm_shrink(&swarm, &small, &check, &trials)) {
        printf("seed %llu does not fail\n", (unsigned long long)choice->first);
        return 0;
    }
    swarm_print(&small, &out);
    printf("%s: %s\n%.*s\nafter %u trials: build/sim --seed %llu%s", checker_name(check.checker), check.text,
           (int)out.size, out.data, trials, (unsigned long long)choice->first, choice->calm ? " --calm" : "");
    buf_reset(&out);
    swarm_print_set(&picked, &small, &out);
    printf("%.*s\n", (int)out.size, out.data ? out.data : "");
    buf_done(&out);
    return 1;
}

static void run_one(void *ctx, uint64_t seed, struct report *all)
{
    const struct choice *choice = ctx;
    struct swarm swarm;
    struct report one = {0};
    struct buf out = {0};
    bool picked = pick(choice, seed, &swarm);
    cx_assert(picked);  // as main has seen of another seed
    if (choice->single && !choice->json) {
        swarm_print(&swarm, &out);
        buf_text(&out, "\n");
        print(&out);
    }
    bool well = run_swarm(&swarm, &(struct run_options){.trace = choice->trace, .save = choice->save}, &one, &out);
    report_add(all, &one);
    if ((choice->single || choice->each || !well) && !choice->json)
        print(&out);
    else if (!well)
        fwrite(out.data, 1, out.size, stderr);
    buf_done(&out);
}

int main(int argc, char **argv)
{
    struct choice choice;
    int status = read_options(argc, argv, &choice);
    if (status)
        return status - 1;
    struct swarm swarm;
    if (!pick(&choice, choice.first, &swarm))
        return 2;
    run_prepare();
    if (choice.shrink)
        return shrink_seed(&choice);
    static struct report all;
    struct buf out = {0};
    double seconds = 0;
    const struct crew_options crew = {.first = choice.first,
                                      .last = choice.last,
                                      .seconds = (double)choice.seconds,
                                      .jobs = (uint32_t)choice.jobs,
                                      .run = run_one,
                                      .ctx = &choice};
    if (choice.single)
        run_one(&choice, choice.first, &all);
    else
        crew_run(&crew, &all, &seconds);
    if (choice.json)
        report_json(&all, seconds, &out);
    else if (!choice.single)
        report_print(&all, seconds, &out);
    print(&out);
    buf_done(&out);
    if (!choice.json)
        printf("%llu passed, %llu failed\n", (unsigned long long)(all.seeds - all.failed),
               (unsigned long long)all.failed);
    return all.failed > 0 || !report_is_just(&all);
}
