/* small_main.c - build/sim_small: goes through the small worlds, and shrinks what fails there.
 *
 *      sim_small [--world NAME] [--depth N] [--deeper N] [--json] [--save FOLDER]
 *      sim_small --play TRACE          plays an exact trace
 *      sim_small --worlds              says what there is
 *
 * --depth goes to this depth in each world, --deeper so much deeper than usual. --save: a failing history is shrunk,
 * and written as FOLDER/found_CHECKER_WORLD.trace.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "sim/shrink.h"
#include "sim/small.h"
#include "sim/trace_text.h"
#include "sim/trial.h"

struct options {
    const char *world, *save, *play;
    uint32_t depth, deeper;
    bool json;
};

/* One world's exploration, in memory that the child shares. */
struct job {
    const struct small_world *world;
    uint32_t depth;
    struct check check;
    struct small_trail trail;
    struct small_report report;
    struct trial_tape *tape;
};

static void explore(void *ctx)
{
    struct job *job = ctx;
    small_run(job->world, job->depth, &job->check, &job->trail, &job->report);
}

static void on_tape(void *ctx, const struct history_entry *entry) { trial_tape_add(ctx, entry); }

static void walk(void *ctx)
{
    struct job *job = ctx;
    small_walk(job->world, &job->trail, on_tape, job->tape);
}

/* ---- words ---- */

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_world(const struct job *job, const struct options *options, double seconds)
{
    const struct small_report *r = &job->report;
    if (options->json) {
        struct buf text = {0};
        buf_json_string(&text, job->check.text, strlen(job->check.text));
        printf("{\"world\":\"%s\",\"depth\":%" PRIu32 ",\"complete\":%s,\"states\":%" PRIu64 ",\"moves\":%" PRIu64
               ",\"accepted\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"lively\":%" PRIu64 ",\"replays\":%" PRIu64
               ",\"snapshots\":%" PRIu64 ",\"commands\":%" PRIu32 ",\"events\":%" PRIu32 ",\"completed\":%" PRIu64
               ",\"cancelled\":%" PRIu64 ",\"expired\":%" PRIu64 ",\"failed\":%" PRIu64
               ",\"checker\":%s%s%s,\"why\":%s}\n",
               job->world->name, r->depth, r->complete ? "true" : "false", r->states, r->moves, r->accepted, r->refused,
               r->lively, r->replays, r->snapshots, r->commands, r->events, r->ended[TASK_COMPLETED],
               r->ended[TASK_CANCELLED], r->ended[TASK_EXPIRED], r->ended[TASK_FAILED], job->check.failed ? "\"" : "",
               job->check.failed ? checker_name(job->check.checker) : "null", job->check.failed ? "\"" : "", text.data);
        buf_done(&text);
        return;
    }
    printf("%-10s depth %2" PRIu32 "%s  %8" PRIu64 " states %9" PRIu64 " moves (%" PRIu64 " refused)  %7" PRIu64
           " let rest  %6.1f s\n",
           job->world->name, r->depth, r->complete ? "*" : " ", r->states, r->moves, r->refused, r->lively, seconds);
    if (job->check.failed)
        printf("  %s: %s\n", checker_name(job->check.checker), job->check.text);
}

static bool write_file(const char *path, const struct buf *text)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        fprintf(stderr, "%s cannot be written\n", path);
        return false;
    }
    bool ok = fwrite(text->data, 1, text->size, file) == text->size;
    return fclose(file) == 0 && ok;
}

static void save(const struct job *job, const char *folder)
{
    char path[512], comment[CHECK_TEXT_SIZE + 300], words[CHECK_TEXT_SIZE];
    struct history found = {0}, small = {0};
    struct check check;
    struct shrink_report report;
    struct buf text = {0};
    trial_run(walk, (void *)(uintptr_t)job, 0, words, sizeof words);
    trial_tape_read(job->tape, &found);
    snprintf(path, sizeof path, "%s/found_%s_%s.trace", folder, checker_name(job->check.checker), job->world->name);
    if (!shrink(&found, NULL, &small, &check, &report)) {
        printf("  its history does not fail on a fresh core\n");
    } else {
        snprintf(comment, sizeof comment,
                 "# %s: %s\n# Found in the small world \"%s\", %" PRIu32 " of %" PRIu32 " entries are left.\n",
                 checker_name(check.checker), check.text, job->world->name, report.to, report.from);
        trace_write(&small, comment, &text);
        if (write_file(path, &text))
            printf("  %" PRIu32 " entries, shrunk to %" PRIu32 " in %" PRIu32 " trials: %s\n", report.from, report.to,
                   report.trials, path);
    }
    buf_done(&text);
    history_done(&found);
    history_done(&small);
}

static bool run_world(const struct small_world *world, const struct options *options)
{
    struct job *job = trial_share(sizeof *job);
    char words[CHECK_TEXT_SIZE];
    double begin = seconds_now();
    job->world = world;
    job->depth = options->depth ? options->depth : world->depth + options->deeper;
    job->tape = trial_tape_open();
    if (!trial_run(explore, job, 0, words, sizeof words)) {
        check_fail(&job->check, CHECKER_CORE_CHECK, 0, "%s", words);
    }
    print_world(job, options, seconds_now() - begin);
    fflush(stdout);
    bool well = !job->check.failed;
    if (!well && options->save)
        save(job, options->save);
    trial_tape_close(job->tape);
    trial_unshare(job, sizeof *job);
    return well;
}

/* ---- a trace ---- */

static bool play(const char *path)
{
    static char text[1 << 20];
    char why[1024] = "";
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "%s cannot be read\n", path);
        return false;
    }
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    struct history history = {0};
    struct check check = {0};
    bool reads = trace_play(text, &history, &check, why, sizeof why);
    if (!reads)
        printf("%s: %s\n", path, why);
    else if (check.failed)
        printf("%s: %s: %s\n", path, checker_name(check.checker), check.text);
    else
        printf("%s: %" PRIu32 " entries, all well\n", path, history.count);
    history_done(&history);
    return reads && !check.failed;
}

static int usage(void)
{
    fprintf(stderr, "usage: sim_small [--world NAME] [--depth N] [--deeper N] [--json] [--save FOLDER]\n"
                    "       sim_small --play TRACE | --worlds\n");
    return 2;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--json") == 0) {
            o->json = true;
            continue;
        }
        if (!value)
            return false;
        if (strcmp(argv[i], "--world") == 0)
            o->world = value;
        else if (strcmp(argv[i], "--save") == 0)
            o->save = value;
        else if (strcmp(argv[i], "--play") == 0)
            o->play = value;
        else if (strcmp(argv[i], "--depth") == 0)
            o->depth = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--deeper") == 0)
            o->deeper = (uint32_t)strtoul(value, NULL, 10);
        else
            return false;
        i++;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    if (argc == 2 && strcmp(argv[1], "--worlds") == 0) {
        for (const struct small_world *w = small_worlds(); w->name; w++)
            printf("%-10s %s\n", w->name, w->what);
        return 0;
    }
    if (!read_options(argc, argv, &options))
        return usage();
    if (options.play)
        return play(options.play) ? 0 : 1;
    uint32_t passed = 0, failed = 0;
    for (const struct small_world *w = small_worlds(); w->name; w++)
        if (!options.world || strcmp(options.world, w->name) == 0) {
            if (run_world(w, &options))
                passed++;
            else
                failed++;
        }
    if (passed + failed == 0)
        return usage();
    if (!options.json)
        printf("%" PRIu32 " passed, %" PRIu32 " failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
