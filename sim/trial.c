#include "sim/trial.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"

#define STATUS_DIED 1

void *trial_share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cx_assert(memory != MAP_FAILED);
    return memory;
}

void trial_unshare(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size);
}

/* ---- children ---- */

static _Noreturn void child(void (*job)(void *ctx), void *ctx, uint32_t seconds, int words)
{
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(words, STDERR_FILENO);
    alarm(seconds);
    job(ctx);
    _exit(0);
}

/* The last whole line of what was written. */
static void last_line(FILE *file, char *ret_words, size_t size)
{
    char line[1024];
    ret_words[0] = 0;
    rewind(file);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strstr(line, "assertion failed") || ret_words[0] == 0)
            snprintf(ret_words, size, "%s", line);
    }
}

bool trial_run(void (*job)(void *ctx), void *ctx, uint32_t seconds, char *ret_words, size_t words_size)
{
    FILE *words = tmpfile();
    int status;
    cx_assert(words);
    fflush(NULL);
    pid_t pid = fork();
    cx_assert(pid >= 0);
    if (pid == 0)
        child(job, ctx, seconds, fileno(words));
    while (waitpid(pid, &status, 0) < 0)
        ;
    bool returned = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    last_line(words, ret_words, words_size);
    if (!returned && WIFSIGNALED(status) && (WTERMSIG(status) == SIGALRM || ret_words[0] == 0))
        snprintf(ret_words, words_size, "%s",
                 WTERMSIG(status) == SIGALRM ? "it ran too long" : strsignal(WTERMSIG(status)));
    fclose(words);
    return returned;
}

/* ---- the tape ---- */

struct tape_head {
    uint64_t time_ms;
    struct address author;
    uint32_t size;
    uint32_t batch_end;
};

struct trial_tape *trial_tape_open(void)
{
    struct trial_tape *tape = trial_share(TRIAL_TAPE_CAP);
    tape->cap = TRIAL_TAPE_CAP - sizeof *tape;
    return tape;
}

void trial_tape_close(struct trial_tape *tape) { trial_unshare(tape, TRIAL_TAPE_CAP); }

void trial_tape_clear(struct trial_tape *tape)
{
    tape->size = 0;
    tape->count = 0;
}

void trial_tape_add(struct trial_tape *tape, const struct history_entry *entry)
{
    const struct tape_head head = {entry->time_ms, entry->author, entry->size, entry->batch_end};
    cx_assert(tape->size + sizeof head + entry->size <= tape->cap);
    memcpy(tape->data + tape->size, &head, sizeof head);
    memcpy(tape->data + tape->size + sizeof head, entry->bytes, entry->size);
    tape->size += sizeof head + entry->size;
    tape->count++;
}

void trial_tape_read(const struct trial_tape *tape, struct history *ret_history)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < tape->count; i++) {
        struct tape_head head;
        memcpy(&head, tape->data + at, sizeof head);
        history_add_bytes(ret_history, head.time_ms, &head.author,
                          (struct span){tape->data + at + sizeof head, head.size});
        ret_history->entry[ret_history->count - 1].batch_end = head.batch_end == 1;
        at += sizeof head + head.size;
    }
}
