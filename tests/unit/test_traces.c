/* Every tests/traces/NAME.trace is a test, traces.NAME. */
#include <glob.h>

#include "lib/test.h"
#include "lib/trace.h"

#define FOLDER "tests/traces/"
#define ENDING ".trace"

static void run_trace(void)
{
    static char why[4096];
    char path[512];
    snprintf(path, sizeof path, FOLDER "%s" ENDING, test_name());
    if (!trace_run(path, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
}

TEST(traces, are_found)
{
    glob_t found;
    CHECK_EQ(glob(FOLDER "*" ENDING, 0, NULL, &found), 0);
    CHECK(found.gl_pathc > 0);
    globfree(&found);
}

__attribute__((constructor)) static void add_traces(void)
{
    static glob_t found;  // the names live as long as the tests
    if (glob(FOLDER "*" ENDING, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct test *test = calloc(1, sizeof *test);
        char *name = strdup(found.gl_pathv[i] + strlen(FOLDER));
        if (!test || !name)
            abort();
        name[strlen(name) - strlen(ENDING)] = 0;
        *test = (struct test){.place = "traces", .name = name, .run = run_trace};
        test_add(test);
    }
}
