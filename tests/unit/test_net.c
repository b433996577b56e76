/* The loop and plain connections. */
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/loop.h"
#include "lib/test.h"
#include "net/listener.h"
#include "net/loop.h"

static struct buf log_;

static void say(void *ctx) { buf_text(&log_, ctx); }

TEST(loop, fires_timers_in_the_order_of_their_times)
{
    struct net_loop *loop = test_loop();
    struct net_timer a = {0}, b = {0}, c = {0}, d = {0};
    buf_text(&log_, "");
    net_timer_start(loop, &a, 30, say, "a");
    net_timer_start(loop, &b, 10, say, "b");
    net_timer_start(loop, &c, 20, say, "c");
    net_timer_start(loop, &d, 1, say, "d");
    net_timer_start(loop, &b, 40, say, "B");
    net_timer_stop(&d);
    CHECK(net_timer_is_on(&a) && !net_timer_is_on(&d));
    RUN_UNTIL(log_.size == 3);
    CHECK_STR(log_.data, "caB");
    CHECK(!net_timer_is_on(&a));
    test_loop_done();
    buf_done(&log_);
}

#define MANY 500

struct many {
    struct net_timer timer;
    uint64_t at_ms;
};

static unsigned fired;
static uint64_t last_ms;

static void fire_many(void *ctx)
{
    struct many *m = ctx;
    CHECK(m->at_ms >= last_ms);
    last_ms = m->at_ms;
    fired++;
}

TEST(loop, keeps_its_heap_over_starts_and_stops_in_any_order)
{
    struct net_loop *loop = test_loop();
    static struct many many[MANY];
    uint64_t state = 1;
    unsigned stopped = 0;
    for (int i = 0; i < MANY; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        many[i].at_ms = net_now_ms(loop) + (state >> 33) % 50;
        net_timer_start_at(loop, &many[i].timer, many[i].at_ms, fire_many, &many[i]);
    }
    for (int i = 0; i < MANY; i += 3, stopped++)
        net_timer_stop(&many[i].timer);
    RUN_UNTIL(fired == MANY - stopped);
    test_loop_done();
}

static struct net_timer again;
static unsigned rounds;

static void start_again(void *ctx)
{
    (void)ctx;
    if (++rounds < 1000)
        net_timer_soon(test_loop(), &again, start_again, NULL);
}

TEST(loop, lets_a_timer_start_itself_again_without_starving_others)
{
    struct net_timer other = {0};
    bool told = false;
    (void)told;
    buf_text(&log_, "");
    net_timer_soon(test_loop(), &again, start_again, NULL);
    net_timer_start(test_loop(), &other, 0, say, "x");
    RUN_UNTIL(log_.size == 1);
    CHECK(rounds < 1000);
    RUN_UNTIL(rounds == 1000);
    test_loop_done();
    buf_done(&log_);
}

static struct net_timer paced;
static uint64_t fired_ms[2];
static unsigned fired_count;

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void fired_again(void *ctx)
{
    (void)ctx;
    fired_ms[fired_count++] = clock_ms();
}

/* Starts a timer for 30 ms later, and then keeps the thread for 20 ms. */
static void work_and_wait(void *ctx)
{
    fired_again(ctx);
    net_timer_start(test_loop(), &paced, 30, fired_again, NULL);
    while (clock_ms() < fired_ms[0] + 20)
        continue;
}

/* The shortest of some runs: how long the timer of work_and_wait took in truth. */
static uint64_t best_wait_ms(void (*begin)(void))
{
    uint64_t best_ms = TIME_NEVER;
    for (int i = 0; i < 10 && best_ms >= 45; i++) {
        fired_count = 0;
        begin();
        RUN_UNTIL(fired_count == 2);
        best_ms = u64_min(best_ms, fired_ms[1] - fired_ms[0]);
    }
    return best_ms;
}

static void work_in_a_timer(void) { net_timer_start(test_loop(), &paced, 1, work_and_wait, NULL); }

TEST(loop, does_not_add_the_work_of_timers_to_its_waits)
{
    CHECK(best_wait_ms(work_in_a_timer) < 45);
    test_loop_done();
}

static struct net_wake *wake;
static pthread_t thread;
static unsigned woken;

static void on_wake(void *ctx)
{
    (void)ctx;
    woken++;
}

static void *ring(void *ctx)
{
    (void)ctx;
    net_wake_send(wake);
    return NULL;
}

TEST(loop, is_woken_by_another_thread)
{
    CHECK_EQ(net_wake_open(test_loop(), on_wake, NULL, &wake), CX_OK);
    CHECK_EQ(pthread_create(&thread, NULL, ring, NULL), 0);
    RUN_UNTIL(woken > 0);
    pthread_join(thread, NULL);
    net_wake_close(wake);
    test_loop_done();
}

static pthread_t job_thread;
static bool job_done;

static void job(void *ctx)
{
    *(int *)ctx = 42;
    job_thread = pthread_self();
}

static void after_job(void *ctx)
{
    CHECK_EQ(*(int *)ctx, 42);
    CHECK(!pthread_equal(job_thread, pthread_self()));
    job_done = true;
}

TEST(loop, runs_jobs_on_another_thread_and_their_end_here)
{
    int value = 0;
    CHECK_EQ(net_work(test_loop(), job, after_job, &value), CX_OK);
    RUN_UNTIL(job_done);
    test_loop_done();
}

static int got_signal;

static void on_signal(void *ctx, int number)
{
    (void)ctx;
    got_signal = number;
    net_loop_stop(test_loop());
}

TEST(loop, stops_at_a_signal)
{
    CHECK_EQ(net_loop_signals(test_loop(), on_signal, NULL), CX_OK);
    CHECK_EQ(raise(SIGTERM), 0);
    net_loop_run(test_loop());
    CHECK_EQ(got_signal, SIGTERM);
    test_loop_done();
}

TEST(loop, gives_bytes_that_do_not_repeat)
{
    uint8_t a[1000], b[1000];
    net_random(test_loop(), a, sizeof a);
    net_random(test_loop(), b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    unsigned zeros = 0;
    for (size_t i = 0; i < sizeof a; i++)
        zeros += a[i] == 0;
    CHECK(zeros < 30);
    test_loop_done();
}

/* ---- connections ---- */

/* The server's end of one connection, for the tests below. */
struct end {
    struct net_conn *conn;
    struct buf in;
    unsigned drained, ended;
    size_t low;
    enum cx_err err;
    char why[200];
    bool close_in_data, finish_in_data, work_in_drain;
};

static struct end server;
static struct net_listener *listener;

static void on_data(void *ctx, char *data, size_t size)
{
    struct end *end = ctx;
    buf_add(&end->in, data, size);
    if (end->close_in_data) {
        net_conn_close(end->conn);
        end->conn = NULL;
    } else if (end->finish_in_data) {
        net_conn_send(end->conn, "last words", 10);
        net_conn_finish(end->conn);
        end->conn = NULL;
    }
}

static void on_end(void *ctx, enum cx_err err)
{
    struct end *end = ctx;
    end->conn = NULL;
    end->ended++;
    end->err = err;
    snprintf(end->why, sizeof end->why, "%s", cx_detail());
}

static void on_drain(void *ctx)
{
    struct end *end = ctx;
    CHECK(net_conn_queued(end->conn) <= end->low);
    end->drained++;
    if (end->work_in_drain)
        work_and_wait(NULL);
}

static const struct net_conn_events events = {.on_data = on_data, .on_end = on_end, .on_drain = on_drain};

static void on_accept(void *ctx, int fd)
{
    struct end *end = ctx;
    CHECK_EQ(net_conn_adopt(test_loop(), fd, &events, end, &end->conn), CX_OK);
}

static uint16_t listen_here(void)
{
    buf_text(&server.in, "");
    CHECK_EQ(net_listener_open(test_loop(), "127.0.0.1:0", on_accept, &server, &listener), CX_OK);
    return net_listener_port(listener);
}

static void tear_down(void)
{
    net_conn_close(server.conn);
    net_listener_close(listener);
    test_loop_done();
    buf_done(&server.in);
}

TEST(conn, carries_bytes_both_ways)
{
    struct raw client;
    raw_open(&client, listen_here());
    raw_send(&client, "hel");
    raw_send(&client, "lo");
    RUN_UNTIL(server.in.size == 5);
    CHECK_STR(server.in.data, "hello");
    net_conn_send(server.conn, "world", 5);
    RUN_UNTIL(client.in.size == 5);
    char peer[64];
    net_conn_peer(client.conn, peer, sizeof peer);
    CHECK(strncmp(peer, "127.0.0.1:", 10) == 0);
    raw_done(&client);
    RUN_UNTIL(server.ended);
    CHECK_EQ(server.err, CX_CLOSED);
    tear_down();
}

TEST(conn, sends_a_turns_bytes_in_one_segment)
{
    int fd = socket_to(listen_here());
    RUN_UNTIL(server.conn);
    for (int i = 0; i < 100; i++)
        net_conn_send(server.conn, "0123456789", 10);
    CHECK_EQ(net_conn_queued(server.conn), 1000);
    net_loop_turn(test_loop(), false);
    CHECK_EQ(net_conn_queued(server.conn), 0);
    char in[2000];
    CHECK_EQ(recv(fd, in, sizeof in, 0), 1000);
    close(fd);
    tear_down();
}

static struct net_turn_end turn_end, stopped_end;

static void end_and_again(void *ctx)
{
    bool *once_more = ctx;
    CHECK_EQ(net_conn_queued(server.conn), *once_more ? 3 : 0);  // 0: in the next turn
    net_conn_send(server.conn, "d", 1);
    if (*once_more)
        net_at_turn_end(test_loop(), &turn_end, end_and_again, ctx);
    *once_more = false;
}

/* What runs at the end of a turn still finds everything here; what it sends itself leaves with the rest. */
TEST(conn, sends_behind_what_runs_at_the_end_of_a_turn)
{
    bool once_more = true;
    int fd = socket_to(listen_here());
    RUN_UNTIL(server.conn);
    net_conn_send(server.conn, "abc", 3);
    net_at_turn_end(test_loop(), &turn_end, end_and_again, &once_more);
    net_at_turn_end(test_loop(), &turn_end, end_and_again, &once_more);  // once, however often it is asked for
    net_at_turn_end(test_loop(), &stopped_end, end_and_again, &once_more);
    net_turn_end_stop(&stopped_end);
    net_turn_end_stop(&stopped_end);
    net_loop_turn(test_loop(), false);
    CHECK(!once_more);
    char in[10];
    CHECK_EQ(recv(fd, in, sizeof in, 0), 5);
    close(fd);
    tear_down();
}

static void send_now(void *ctx)
{
    net_conn_send(server.conn, ctx, 3);
    net_loop_flush(test_loop());
    CHECK_EQ(net_conn_queued(server.conn), 0);
}

TEST(conn, sends_at_once_where_that_is_asked_for)
{
    struct net_timer timer = {0};
    int fd = socket_to(listen_here());
    RUN_UNTIL(server.conn);
    net_timer_soon(test_loop(), &timer, send_now, "abc");
    RUN_UNTIL(!net_timer_is_on(&timer));
    char in[10];
    CHECK_EQ(recv(fd, in, sizeof in, 0), 3);
    close(fd);
    tear_down();
}

TEST(conn, tells_who_cannot_be_reached)
{
    struct raw client;
    uint16_t port = listen_here();
    net_listener_close(listener);
    listener = NULL;
    raw_open(&client, port);
    RUN_UNTIL(!client.conn);
    CHECK_EQ(client.err, CX_IO);
    CHECK(strstr(cx_detail(), "cannot connect to 127.0.0.1 port"));
    CHECK(!client.open);
    raw_done(&client);
    static const struct net_conn_events none = {.on_data = on_data, .on_end = on_end};
    CHECK_EQ(net_conn_connect(test_loop(), &(struct net_target){.host = "no such host.invalid", .port = 1}, &none,
                              &server, &server.conn),
             CX_OK);
    RUN_UNTIL(server.ended);
    CHECK_EQ(server.err, CX_NOT_FOUND);
    tear_down();
}

TEST(conn, can_be_given_up_while_it_connects)
{
    struct raw a, b;
    uint16_t port = listen_here();
    raw_open(&a, port);
    raw_open(&b, port);
    net_conn_close(a.conn);
    a.conn = NULL;
    RUN_UNTIL(b.open);
    CHECK(!a.open);
    raw_done(&a);
    raw_done(&b);
    tear_down();
}

TEST(conn, can_be_closed_and_finished_inside_its_own_callback)
{
    struct raw client;
    server.close_in_data = true;
    uint16_t port = listen_here();
    raw_open(&client, port);
    raw_send(&client, "x");
    RUN_UNTIL(!client.conn);
    raw_done(&client);
    server.close_in_data = false;
    server.finish_in_data = true;
    raw_open(&client, port);
    raw_send(&client, "y");
    RUN_UNTIL(!client.conn);
    CHECK_STR(client.in.data, "last words");
    CHECK_EQ(server.ended, 0);
    raw_done(&client);
    tear_down();
}

TEST(conn, says_when_a_slow_reader_has_caught_up)
{
    int fd = socket_to(listen_here());
    RUN_UNTIL(server.conn);
    static char block[64 * 1024];
    server.low = 1024;
    net_conn_set_limits(server.conn, &(struct net_conn_limits){.high = 256 * 1024, .low = server.low});
    size_t sent = 0;
    while (!net_conn_is_full(server.conn)) {
        net_conn_send(server.conn, block, sizeof block);
        sent += sizeof block;
        net_loop_turn(test_loop(), false);
    }
    CHECK_EQ(server.drained, 0);
    size_t got = 0;
    while (got < sent) {
        ssize_t size = recv(fd, block, sizeof block, MSG_DONTWAIT);
        got += size > 0 ? (size_t)size : 0;
        net_loop_turn(test_loop(), false);
    }
    RUN_UNTIL(server.drained == 1);
    CHECK(!net_conn_is_full(server.conn));
    CHECK_EQ(net_conn_queued(server.conn), 0);
    close(fd);
    tear_down();
}

static void work_in_the_end_of_a_turn(void) { net_conn_send(server.conn, "more than high", 14); }

/* libuv alone would: it looks at the clock before a turn's bytes are sent. */
TEST(conn, does_not_add_the_work_of_sending_to_the_loops_waits)
{
    int fd = socket_to(listen_here());
    RUN_UNTIL(server.conn);
    server.work_in_drain = true;
    server.low = 1;
    net_conn_set_limits(server.conn, &(struct net_conn_limits){.high = 10, .low = server.low});
    CHECK(best_wait_ms(work_in_the_end_of_a_turn) < 45);
    close(fd);
    tear_down();
}

TEST(conn, ends_where_the_queue_is_over_its_limit)
{
    int fd = socket_to(listen_here());
    RUN_UNTIL(server.conn);
    static char block[64 * 1024];
    net_conn_set_limits(server.conn, &(struct net_conn_limits){.queue_max = 512 * 1024});
    while (!server.ended) {
        if (server.conn)
            net_conn_send(server.conn, block, sizeof block);
        net_loop_turn(test_loop(), false);
    }
    CHECK_EQ(server.err, CX_TOO_LARGE);
    close(fd);
    tear_down();
}

TEST(conn, gives_up_a_peer_that_takes_nothing)
{
    int fd = socket_to(listen_here());
    RUN_UNTIL(server.conn);
    static char block[8 * 1024 * 1024];
    net_conn_set_limits(server.conn, &(struct net_conn_limits){.write_stall_ms = 50});
    net_conn_send(server.conn, block, sizeof block);
    RUN_UNTIL(server.ended);
    CHECK_EQ(server.err, CX_TIMEOUT);
    CHECK_STR(server.why, "the peer takes no bytes");
    close(fd);
    tear_down();
}

TEST(conn, leaves_bytes_in_the_socket_while_it_is_paused)
{
    struct raw client;
    raw_open(&client, listen_here());
    RUN_UNTIL(client.open && server.conn);
    net_conn_pause(server.conn);
    raw_send(&client, "x");
    net_loop_turn(test_loop(), false);
    net_loop_turn(test_loop(), false);
    CHECK_EQ(server.in.size, 0);
    net_conn_resume(server.conn);
    RUN_UNTIL(server.in.size == 1);
    raw_done(&client);
    tear_down();
}

TEST(conn, sends_what_waits_to_a_peer_that_ended_its_side)
{
    int fd = socket_to(listen_here());
    RUN_UNTIL(server.conn);
    static char block[15 * 1024 * 1024];
    net_conn_send(server.conn, block, sizeof block);
    net_loop_turn(test_loop(), false);
    CHECK(net_conn_queued(server.conn) > 0);
    shutdown(fd, SHUT_WR);
    RUN_UNTIL(server.ended);
    CHECK_EQ(server.err, CX_CLOSED);
    size_t got = 0;
    for (ssize_t size = 1; size != 0;) {
        size = recv(fd, block, sizeof block, MSG_DONTWAIT);
        got += size > 0 ? (size_t)size : 0;
        net_loop_turn(test_loop(), false);
    }
    CHECK_EQ(got, sizeof block);
    close(fd);
    tear_down();
}

TEST(listener, names_bad_and_taken_addresses)
{
    struct net_listener *other = NULL;
    uint16_t port = listen_here();
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    CHECK_EQ(net_listener_open(test_loop(), address, on_accept, &server, &other), CX_BUSY);
    CHECK(strstr(cx_detail(), address));
    static const char *const bad[] = {"127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", ""};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CHECK_EQ(net_listener_open(test_loop(), bad[i], on_accept, &server, &other), CX_INVALID);
    tear_down();
}
