/* Child processes on the loop. */
#include "net/process.h"

#include "base/buf.h"
#include "lib/test.h"

struct seen {
    struct net_loop *loop;
    struct buf out, err;
    int status;
};

static void on_out(void *ctx, const char *data, size_t size) { buf_add(&((struct seen *)ctx)->out, data, size); }

static void on_err(void *ctx, const char *data, size_t size) { buf_add(&((struct seen *)ctx)->err, data, size); }

static void on_exit_of(void *ctx, int status)
{
    struct seen *seen = ctx;
    seen->status = status;
}

static struct seen run(const char *script, const char *variable, int signal)
{
    const char *const argument[] = {"/bin/sh", "-c", script, NULL};
    struct seen seen = {.status = -1};
    struct net_process *process;
    CHECK_EQ(net_loop_open(&seen.loop), CX_OK);
    const struct net_process_options options = {.argument = argument,
                                                .variable = variable,
                                                .on_out = on_out,
                                                .on_err = on_err,
                                                .on_exit = on_exit_of,
                                                .ctx = &seen};
    CHECK_EQ(net_process_start(seen.loop, &options, &process), CX_OK);
    CHECK(net_process_id(process) > 0);
    if (signal)
        net_process_signal(process, signal);
    net_loop_run(seen.loop);
    net_loop_close(seen.loop);
    return seen;
}

TEST(process, tells_output_and_status_of_a_child)
{
    struct seen seen = run("echo out $HUE; echo err >&2; exit 7", "HUE=blue", 0);
    CHECK_STR(seen.out.data, "out blue\n");
    CHECK_STR(seen.err.data, "err\n");
    CHECK_EQ(seen.status, 7);
    buf_done(&seen.out);
    buf_done(&seen.err);
}

TEST(process, tells_which_signal_ended_a_child)
{
    struct seen seen = run("read line < /dev/tty; exec cat /dev/zero > /dev/null", NULL, 9);
    CHECK_EQ(seen.status, 137);
    buf_done(&seen.out);
    buf_done(&seen.err);
}

TEST(process, says_what_could_not_be_started)
{
    const char *const argument[] = {"/nowhere/at/all", NULL};
    struct net_loop *loop;
    struct net_process *process;
    CHECK_EQ(net_loop_open(&loop), CX_OK);
    const struct net_process_options options = {
        .argument = argument, .on_out = on_out, .on_err = on_err, .on_exit = on_exit_of};
    CHECK_EQ(net_process_start(loop, &options, &process), CX_NOT_FOUND);
    CHECK(strstr(cx_detail(), "/nowhere/at/all"));
    net_loop_close(loop);
}
