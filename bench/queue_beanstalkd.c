/* beanstalkd: it has put, reserve and delete, of which put and delete are on disk; no owner, no hash, no commit. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue_peer.h"

#define ROOM (128 * 1024)

struct connection {
    int fd;
    uint32_t depth;
    char put[QUEUE_BODY_SIZE + 64];
    size_t put_size;
    char out[ROOM], in[ROOM];
    unsigned long long id[64];
};

static bool start(const struct queue_wish *wish, struct server *server, struct queue_result *result)
{
    char port[8], log[512], folder[512];
    snprintf(port, sizeof port, "%u", server_free_port());
    snprintf(log, sizeof log, "%s/beanstalkd.log", wish->folder);
    snprintf(folder, sizeof folder, "%s/beanstalkd", wish->folder);
    mkdir(folder, 0700);
    const char *const argv[] = {"beanstalkd", "-l", "127.0.0.1", "-p", port, "-b", folder, "-f0", NULL};
    if (server_start(server, argv, log, (uint16_t)atoi(port)))
        return true;
    snprintf(result->why, sizeof result->why, "beanstalkd did not start: see %.200s", log);
    return false;
}

static void *connect_to(const struct server *server, uint32_t client, uint32_t depth)
{
    struct connection *c = bench_take(1, sizeof *c);
    int one = 1;
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(server->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char tube[64];
    BENCH_MUST(depth <= sizeof c->id / sizeof c->id[0]);
    c->depth = depth;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    BENCH_MUST(c->fd >= 0 && connect(c->fd, (struct sockaddr *)&at, sizeof at) == 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int head = snprintf(c->put, sizeof c->put, "put 0 0 600 %d\r\n", QUEUE_BODY_SIZE);
    memset(c->put + head, 'x', QUEUE_BODY_SIZE);
    memcpy(c->put + head + QUEUE_BODY_SIZE, "\r\n", 2);
    c->put_size = (size_t)head + QUEUE_BODY_SIZE + 2;
    int size = snprintf(tube, sizeof tube, "use w%u\r\nwatch w%u\r\nignore default\r\n", client, client);
    BENCH_MUST(write(c->fd, tube, (size_t)size) == size);
    for (uint32_t lines = 0; lines < 3;) {
        ssize_t got = read(c->fd, c->in, ROOM);
        BENCH_MUST(got > 0);
        for (ssize_t i = 0; i < got; i++)
            lines += c->in[i] == '\n';
    }
    return c;
}

static void send_all(struct connection *c, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t sent = write(c->fd, c->out + at, size - at);
        BENCH_MUST(sent > 0);
        at += (size_t)sent;
    }
}

/* Reads until so many lines are there that begin with the word; what it read ends in NUL. */
static void read_lines(struct connection *c, const char *word, uint32_t count, size_t body)
{
    size_t size = 0;
    for (;;) {
        uint32_t found = 0;
        c->in[size] = '\0';
        const char *at = c->in, *end = c->in + size;
        while (found < count) {
            const char *line = memchr(at, '\n', (size_t)(end - at));
            if (!line || (size_t)(end - line - 1) < body)
                break;
            BENCH_MUST(strncmp(at, word, strlen(word)) == 0);
            if (body > 0)
                c->id[found] = strtoull(at + strlen(word), NULL, 10);
            at = line + 1 + body;
            found++;
        }
        if (found == count)
            return;
        BENCH_MUST(size + 1 < ROOM);
        ssize_t got = read(c->fd, c->in + size, ROOM - 1 - size);
        BENCH_MUST(got > 0);
        size += (size_t)got;
    }
}

static void cycle(void *connection)
{
    struct connection *c = connection;
    size_t size = 0;
    for (uint32_t i = 0; i < c->depth; i++, size += c->put_size)
        memcpy(c->out + size, c->put, c->put_size);
    send_all(c, size);
    read_lines(c, "INSERTED ", c->depth, 0);
    size = 0;
    for (uint32_t i = 0; i < c->depth; i++)
        size += (size_t)snprintf(c->out + size, ROOM - size, "reserve\r\n");
    send_all(c, size);
    read_lines(c, "RESERVED ", c->depth, QUEUE_BODY_SIZE + 2);
    size = 0;
    for (uint32_t i = 0; i < c->depth; i++)
        size += (size_t)snprintf(c->out + size, ROOM - size, "delete %llu\r\n", c->id[i]);
    send_all(c, size);
    read_lines(c, "DELETED", c->depth, 0);
}

static void close_it(void *connection)
{
    struct connection *c = connection;
    close(c->fd);
    free(c);
}

void queue_beanstalkd(const struct queue_wish *wish, struct queue_result *ret_result)
{
    static const struct peer peer = {start, connect_to, cycle, close_it};
    queue_peer(&peer, wish, ret_result);
}
