#include "net/process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/loop_inside.h"

#define PIPE_READ_SIZE 4096

extern char **environ;

struct net_process {
    struct net_process_options options;
    uv_process_t process;
    uv_pipe_t out, err;
    char read[PIPE_READ_SIZE];
    uint32_t open;  // handles that are not closed yet
    bool ended, dropped;
    int status;
};

static void on_closed(uv_handle_t *handle)
{
    struct net_process *p = handle->data;
    if (--p->open > 0)
        return;
    if (!p->dropped)
        p->options.on_exit(p->options.ctx, p->status);
    free(p);
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *ret_buf)
{
    struct net_process *p = handle->data;
    (void)wanted;
    *ret_buf = uv_buf_init(p->read, sizeof p->read);
}

static void on_piece(uv_stream_t *stream, ssize_t size, const uv_buf_t *piece)
{
    struct net_process *p = stream->data;
    if (size < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    if (p->dropped || size == 0)
        return;
    if (stream == (uv_stream_t *)&p->out)
        p->options.on_out(p->options.ctx, piece->base, (size_t)size);
    else
        p->options.on_err(p->options.ctx, piece->base, (size_t)size);
}

static void on_exit_of(uv_process_t *process, int64_t status, int signal)
{
    struct net_process *p = process->data;
    p->ended = true;
    p->status = signal ? 128 + signal : (int)status;
    uv_close((uv_handle_t *)process, on_closed);
}

/* The environment with one more variable; the strings stay where they are. */
static char **environment_with(const char *variable)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **all = calloc(count + 2, sizeof *all);
    cx_assert(all);
    memcpy(all, environ, count * sizeof *all);
    all[count] = (char *)(uintptr_t)variable;
    return all;
}

enum cx_err net_process_start(struct net_loop *loop, const struct net_process_options *options,
                              struct net_process **ret_process)
{
    struct net_process *p = calloc(1, sizeof *p);
    cx_assert(p);
    p->options = *options;
    p->process.data = p->out.data = p->err.data = p;
    uv_pipe_init(&loop->uv, &p->out, 0);
    uv_pipe_init(&loop->uv, &p->err, 0);
    p->out.data = p->err.data = p;
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->out},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->err}};
    char **environment = environment_with(options->variable);
    const uv_process_options_t how = {.file = options->argument[0],
                                      .args = (char **)(uintptr_t)options->argument,
                                      .env = environment,
                                      .stdio = stdio,
                                      .stdio_count = 3,
                                      .exit_cb = on_exit_of};
    int err = uv_spawn(&loop->uv, &p->process, &how);
    free(environment);
    p->process.data = p;
    p->open = 3;
    if (err) {
        p->dropped = true;
        uv_close((uv_handle_t *)&p->process, on_closed);
        uv_close((uv_handle_t *)&p->out, on_closed);
        uv_close((uv_handle_t *)&p->err, on_closed);
        return cx_fail(err == UV_ENOENT ? CX_NOT_FOUND : CX_IO, "%s: %s", options->argument[0], uv_strerror(err));
    }
    uv_read_start((uv_stream_t *)&p->out, on_room, on_piece);
    uv_read_start((uv_stream_t *)&p->err, on_room, on_piece);
    *ret_process = p;
    return CX_OK;
}

void net_process_signal(struct net_process *process, int signal)
{
    if (!process->ended)
        uv_process_kill(&process->process, signal);
}

void net_process_drop(struct net_process *process)
{
    if (!process)
        return;
    process->dropped = true;
    net_process_signal(process, SIGKILL);
}

int net_process_id(const struct net_process *process) { return process->process.pid; }
