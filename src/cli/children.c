#include "cli/children.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "net/process.h"

#define LINE_SIZE_MAX 8192

struct child {
    struct children *children;
    char name[32];
    char *argument[CHILD_ARGUMENTS_MAX + 2];  // the binary first, NULL last
    struct net_process *process;              // NULL: not running
    struct buf out_line, err_line, last;      // last: the last line on standard error
    struct net_timer restart;
    uint32_t fails;
    bool is_ready;
};

struct children {
    struct children_options options;
    struct child *child[CHILDREN_MAX];
    uint32_t count;
    struct net_timer stop;
    bool stopping;
    void (*done)(void *ctx);
    void *done_ctx;
};

static void start_again(void *ctx);

/* ---- lines ---- */

static void on_line(struct child *child, const char *line, bool is_out)
{
    if (is_out && strncmp(line, "ready", 5) == 0 && !child->is_ready) {
        child->is_ready = true;
        child->fails = 0;
        child->children->options.on_ready(child->children->options.ctx, child->name);
    }
    if (!is_out) {
        buf_reset(&child->last);
        buf_text(&child->last, line);
    }
    if (!is_out && !child->children->options.quiet)
        fprintf(stderr, "%s | %s\n", child->name, line);
}

static void on_bytes(struct child *child, struct buf *lines, const char *data, size_t size, bool is_out)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != '\n' && lines->size < LINE_SIZE_MAX) {
            buf_add(lines, &data[i], 1);
            continue;
        }
        buf_add(lines, "", 0);
        on_line(child, lines->data, is_out);
        buf_reset(lines);
    }
}

static void on_out(void *ctx, const char *data, size_t size)
{
    struct child *child = ctx;
    on_bytes(child, &child->out_line, data, size, true);
}

static void on_err(void *ctx, const char *data, size_t size)
{
    struct child *child = ctx;
    on_bytes(child, &child->err_line, data, size, false);
}

/* ---- one child's life ---- */

static void all_ended(struct children *children)
{
    for (uint32_t i = 0; i < children->count; i++)
        if (children->child[i]->process)
            return;
    net_timer_stop(&children->stop);
    if (children->done)
        children->done(children->done_ctx);
    children->done = NULL;
}

static void on_exit_of(void *ctx, int status)
{
    struct child *child = ctx;
    struct children *children = child->children;
    child->process = NULL;
    if (children->stopping) {
        all_ended(children);
        return;
    }
    if (!child->is_ready)
        child->fails++;
    if (child->fails >= CHILD_FAILS_MAX) {
        children->options.on_failed(children->options.ctx, child->name,
                                    child->last.data ? child->last.data : "it ended without a word");
        return;
    }
    if (!children->options.quiet)
        fprintf(stderr, "%s | ended with status %d, starts again\n", child->name, status);
    child->is_ready = false;
    net_timer_start(children->options.loop, &child->restart, CHILD_RESTART_MS, start_again, child);
}

static enum cx_err spawn(struct child *child)
{
    const struct net_process_options options = {.argument = (const char *const *)child->argument,
                                                .variable = CHILD_VARIABLE "=1",
                                                .on_out = on_out,
                                                .on_err = on_err,
                                                .on_exit = on_exit_of,
                                                .ctx = child};
    return net_process_start(child->children->options.loop, &options, &child->process);
}

static void start_again(void *ctx)
{
    struct child *child = ctx;
    enum cx_err err = spawn(child);
    if (err)
        child->children->options.on_failed(child->children->options.ctx, child->name, cx_detail());
}

/* ---- all of them ---- */

enum cx_err children_open(const struct children_options *options, struct children **ret_children)
{
    struct children *children = calloc(1, sizeof *children);
    cx_assert(children);
    children->options = *options;
    *ret_children = children;
    return CX_OK;
}

enum cx_err children_start(struct children *children, const char *name, const char *const *argument, uint32_t count)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size < 0)
        return cx_fail(CX_IO, "/proc/self/exe: %s", strerror(errno));
    self[size] = '\0';
    cx_assert(count <= CHILD_ARGUMENTS_MAX);
    cx_assert(children->count < CHILDREN_MAX);
    struct child *child = calloc(1, sizeof *child);
    cx_assert(child);
    child->children = children;
    snprintf(child->name, sizeof child->name, "%s", name);
    child->argument[0] = strdup(self);
    for (uint32_t i = 0; i < count; i++)
        child->argument[i + 1] = strdup(argument[i]);
    children->child[children->count++] = child;
    return spawn(child);
}

static void kill_all(void *ctx)
{
    struct children *children = ctx;
    for (uint32_t i = 0; i < children->count; i++)
        if (children->child[i]->process)
            net_process_signal(children->child[i]->process, SIGKILL);
}

static void none_to_stop(void *ctx) { all_ended(ctx); }

void children_stop(struct children *children, void (*done)(void *ctx), void *ctx)
{
    children->stopping = true;
    children->done = done;
    children->done_ctx = ctx;
    bool any = false;
    for (uint32_t i = 0; i < children->count; i++) {
        net_timer_stop(&children->child[i]->restart);
        if (!children->child[i]->process)
            continue;
        any = true;
        net_process_signal(children->child[i]->process, SIGTERM);
    }
    if (any)
        net_timer_start(children->options.loop, &children->stop, CHILDREN_STOP_MS, kill_all, children);
    else
        net_timer_soon(children->options.loop, &children->stop, none_to_stop, children);
}

void children_close(struct children *children)
{
    if (!children)
        return;
    net_timer_stop(&children->stop);
    for (uint32_t i = 0; i < children->count; i++) {
        struct child *child = children->child[i];
        net_timer_stop(&child->restart);
        net_process_drop(child->process);
        for (char **argument = child->argument; *argument; argument++)
            free(*argument);
        buf_done(&child->out_line);
        buf_done(&child->err_line);
        buf_done(&child->last);
        free(child);
    }
    free(children);
}
