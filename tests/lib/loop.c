#include "lib/loop.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/test.h"

#define TEST_MS_MAX 20000

static struct net_loop *loop;
static struct net_timer watchdog;

static void too_long(void *ctx)
{
    (void)ctx;
    test_fail(__FILE__, __LINE__, "the test waits for what does not come");
}

struct net_loop *test_loop(void)
{
    if (!loop) {
        CHECK_EQ(net_loop_open(&loop), CX_OK);
        net_timer_start(loop, &watchdog, TEST_MS_MAX, too_long, NULL);
    }
    return loop;
}

void test_loop_done(void)
{
    net_timer_stop(&watchdog);
    net_loop_close(loop);
    loop = NULL;
}

static void on_open(void *ctx)
{
    struct raw *raw = ctx;
    raw->open = true;
}

static void on_data(void *ctx, char *data, size_t size)
{
    struct raw *raw = ctx;
    buf_add(&raw->in, data, size);
}

static void on_end(void *ctx, enum cx_err err)
{
    struct raw *raw = ctx;
    raw->conn = NULL;
    raw->err = err;
}

void raw_open(struct raw *raw, uint16_t port)
{
    static const struct net_conn_events events = {.on_open = on_open, .on_data = on_data, .on_end = on_end};
    *raw = (struct raw){0};
    buf_text(&raw->in, "");
    CHECK_EQ(net_conn_connect(test_loop(), &(struct net_target){.host = "127.0.0.1", .port = port}, &events, raw,
                              &raw->conn),
             CX_OK);
}

void raw_send(struct raw *raw, const char *bytes)
{
    CHECK(raw->conn);
    net_conn_send(raw->conn, bytes, strlen(bytes));
}

bool raw_has(const struct raw *raw, const char *text) { return strstr(raw->in.data, text) != NULL; }

void raw_done(struct raw *raw)
{
    net_conn_close(raw->conn);
    raw->conn = NULL;
    buf_done(&raw->in);
}

int socket_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}
