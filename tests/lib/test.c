#include "lib/test.h"

#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_SKIPPED 77

static struct test *first, **last = &first;
static const struct test *running;  // in its own process
static char folder[64];

void test_add(struct test *test)
{
    *last = test;
    last = &test->next;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    fprintf(stderr, "%s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

void test_skip(const char *reason)
{
    printf("skip %s.%s: %s\n", running->place, running->name, reason);
    fflush(stdout);
    exit(EXIT_SKIPPED);
}

const char *test_name(void) { return running->name; }

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

const char *test_folder(void)
{
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/corten-test-XXXXXX");
        if (!mkdtemp(folder))
            test_fail(__FILE__, __LINE__, "no temporary folder");
    }
    return folder;
}

#define ENDS_MAX 4096

static struct {
    void (*done)(void *ctx);
    void *ctx;
} ends[ENDS_MAX];
static unsigned end_count;

void test_at_end(void (*done)(void *ctx), void *ctx)
{
    if (end_count == ENDS_MAX)
        test_fail(__FILE__, __LINE__, "more than %d things to clean up", ENDS_MAX);
    ends[end_count].done = done;
    ends[end_count++].ctx = ctx;
}

void test_not_at_end(const void *ctx)
{
    for (unsigned i = 0; i < end_count; i++)
        if (ends[i].ctx == ctx)
            ends[i].done = NULL;
}

void *test_keep(void *memory)
{
    test_at_end(free, memory);
    return memory;
}

void test_free(void *memory)
{
    test_not_at_end(memory);
    free(memory);
}

static void clean_up(void)
{
    while (end_count > 0) {
        end_count--;
        if (ends[end_count].done)
            ends[end_count].done(ends[end_count].ctx);
    }
}

static _Noreturn void run_here(const struct test *test)
{
    if (test->aborts)
        fclose(stderr);  // the message is expected
    running = test;
    test->run();
    clean_up();
    if (folder[0])
        nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    exit(0);
}

static bool passed(const struct test *test, int status)
{
    if (test->aborts)
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool wanted(const struct test *test, const char *only)
{
    char full[256];
    snprintf(full, sizeof full, "%s.%s", test->place, test->name);
    return !only || strcmp(only, test->place) == 0 || strcmp(only, full) == 0;
}

/* One line of the file of exceptions, "place.name why", and whether such a test exists. */
struct exception {
    char name[160], why[240];
    bool found;
};

static struct exception except[64];
static size_t except_count;

static void read_exceptions(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        test_fail(__FILE__, __LINE__, "cannot read %s", path);
    char line[512];
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        struct exception *e = &except[except_count];
        if (except_count == ARRAY_COUNT(except) || sscanf(line, "%159s %239[^\n]", e->name, e->why) != 2)
            test_fail(__FILE__, __LINE__, "%s: too many lines, or one that is not \"place.name why\": %s", path, line);
        except_count++;
    }
    fclose(file);
}

/* Why this test is not to run, or NULL. */
static const char *excepted(const struct test *test)
{
    char full[256];
    snprintf(full, sizeof full, "%s.%s", test->place, test->name);
    for (size_t i = 0; i < except_count; i++) {
        if (strcmp(except[i].name, full) == 0) {
            except[i].found = true;
            return except[i].why;
        }
    }
    return NULL;
}

/* build/unit [--except FILE] [PLACE | PLACE.NAME] */
int main(int argc, char **argv)
{
    unsigned ok = 0, failed = 0, skipped = 0;
    if (argc > 2 && strcmp(argv[1], "--except") == 0) {
        read_exceptions(argv[2]);
        argc -= 2;
        argv += 2;
    }
    const char *only = argc > 1 ? argv[1] : NULL;
    for (const struct test *test = first; test; test = test->next) {
        if (!wanted(test, only))
            continue;
        const char *why = excepted(test);
        if (why) {
            printf("skip %s.%s: %s\n", test->place, test->name, why);
            skipped++;
            continue;
        }
        fflush(NULL);
        pid_t child = fork();
        if (child < 0)
            test_fail(__FILE__, __LINE__, "no process for a test");
        if (child == 0)
            run_here(test);
        int status = 0;
        if (waitpid(child, &status, 0) != child)
            test_fail(__FILE__, __LINE__, "lost a test's process");
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED) {
            skipped++;  // it has said why
        } else if (passed(test, status)) {
            ok++;
        } else {
            printf("FAIL %s.%s\n", test->place, test->name);
            failed++;
        }
    }
    for (size_t i = 0; i < except_count; i++) {
        if (!only && !except[i].found) {
            printf("FAIL the file of exceptions names %s, which is no test\n", except[i].name);
            failed++;
        }
    }
    if (skipped)
        printf("%u passed, %u failed, %u skipped\n", ok, failed, skipped);
    else
        printf("%u passed, %u failed\n", ok, failed);
    return failed ? 1 : 0;
}
