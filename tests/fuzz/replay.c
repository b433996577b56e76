/* fuzz_replay [--seeds FOLDER | --list | TARGET [PATH...]] - runs inputs through their targets, without libFuzzer.
 *
 *      (nothing)         all targets: their seeds, and the files under tests/fuzz/corpus/TARGET/
 *      TARGET            the same for one; both end with "N passed, N failed"
 *      TARGET PATH...    these files, in this process: for a debugger
 *      --seeds FOLDER    writes the first inputs of each target to FOLDER/TARGET/
 *      --list            the targets, one a line
 *
 * Inputs run in processes apart, so that one that crashes is counted and the others run all the same.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz/fuzz.h"

#define INPUT_SIZE_MAX (1 << 20)
#define INPUT_S_MAX    60  // one input takes milliseconds; more is a hang

static const char *corpus = "tests/fuzz/corpus";
static unsigned passed, failed;

static bool read_input(const char *path, uint8_t **ret_data, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    uint8_t *data = malloc(INPUT_SIZE_MAX);
    *ret_size = data ? fread(data, 1, INPUT_SIZE_MAX, file) : 0;
    *ret_data = data;
    bool good = data && !ferror(file);
    fclose(file);
    return good;
}

static void path_of(const struct fuzz_target *target, const char *name, char *ret_path, size_t cap)
{
    snprintf(ret_path, cap, "%s/%s/%s", corpus, target->name, name);
}

static bool run_file(const struct fuzz_target *target, const char *path)
{
    uint8_t *data = NULL;
    size_t size = 0;
    bool good = read_input(path, &data, &size);
    if (good)
        fuzz_run(target, data, size);
    else
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    free(data);
    return good;
}

/* Runs inputs from *at on, which is where they have come to: shared with the process that waits. */
static _Noreturn void run_from(const struct fuzz_target *target, struct dirent **entry, int count, volatile int *at)
{
    char path[1024];
    for (; *at < count; ++*at) {
        alarm(INPUT_S_MAX);
        path_of(target, entry[*at]->d_name, path, sizeof path);
        if (entry[*at]->d_name[0] != '.' && !run_file(target, path))
            exit(1);
    }
    exit(0);
}

/* In processes of their own: one that crashes is counted, and the next goes on behind it. */
static void replay_all(const struct fuzz_target *target, struct dirent **entry, int count)
{
    volatile int *at = mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        fuzz_fail(__FILE__, __LINE__, "no shared memory");
    char path[1024];
    for (*at = 0; *at < count; ++*at) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            run_from(target, entry, count, at);
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child)
            fuzz_fail(__FILE__, __LINE__, "no process");
        if (*at == count && status == 0)
            break;
        failed++;
        path_of(target, *at < count ? entry[*at]->d_name : "(at its end)", path, sizeof path);
        printf("failed: fuzz_replay %s %s\n", target->name, path);
    }
    munmap((void *)(uintptr_t)at, sizeof *at);
}

/* The first inputs, as one. */
static void replay_seeds(const struct fuzz_target *target)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(INPUT_S_MAX);
        fuzz_run_seeds(target);
        exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        fuzz_fail(__FILE__, __LINE__, "no process");
    if (status == 0) {
        passed++;
        return;
    }
    failed++;
    printf("failed: fuzz_replay %s, one of its seeds: fuzz_replay --seeds FOLDER writes them\n", target->name);
}

static void replay(const struct fuzz_target *target)
{
    replay_seeds(target);
    char folder[512];
    struct dirent **entry;
    snprintf(folder, sizeof folder, "%s/%s", corpus, target->name);
    int count = scandir(folder, &entry, NULL, alphasort);
    unsigned inputs = 0, before = failed;
    for (int i = 0; i < count; i++)
        inputs += entry[i]->d_name[0] != '.';
    if (inputs == 0) {
        failed++;
        printf("failed: %s has no inputs\n", folder);
        return;
    }
    replay_all(target, entry, count);
    passed += inputs > failed - before ? inputs - (failed - before) : 0;
    for (int i = 0; i < count; i++)
        free(entry[i]);
    free(entry);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
        fuzz_write_seeds(argv[2]);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (const struct fuzz_target *t = fuzz_next(NULL); t; t = fuzz_next(t))
            printf("%s\n", t->name);
        return 0;
    }
    const struct fuzz_target *target = argc > 1 ? fuzz_find(argv[1]) : NULL;
    if (argc > 1 && !target) {
        fprintf(stderr, "fuzz_replay: %s is no target; fuzz_replay --list shows them\n", argv[1]);
        return 2;
    }
    if (argc > 2) {
        bool good = true;
        for (int i = 2; i < argc; i++)
            good = run_file(target, argv[i]) && good;
        return good ? 0 : 1;
    }
    const char *other = getenv("FUZZ_CORPUS");
    if (other)
        corpus = other;
    for (const struct fuzz_target *t = fuzz_next(NULL); t; t = fuzz_next(t))
        if (!target || t == target)
            replay(t);
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
