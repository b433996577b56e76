#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/loop_inside.h"

#define BACKLOG            1024
#define ACCEPTS_A_TURN_MAX 64
#define OUT_OF_FILES_MS    100  // before we try again

struct net_listener {
    uv_poll_t poll;
    struct net_loop *loop;
    struct net_timer timer;
    void (*on_accept)(void *ctx, int fd);
    void *ctx;
    int fd;
    uint16_t port;
    bool closed;
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void try_again(void *ctx)
{
    struct net_listener *l = ctx;
    uv_poll_start(&l->poll, UV_READABLE, on_poll);
}

static int accept_one(struct net_listener *l)
{
    int fd = accept(l->fd, NULL, NULL);
    if (fd < 0)
        return -1;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct net_listener *l = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN_MAX && !l->closed; i++) {
        int fd = accept_one(l);
        if (fd >= 0) {
            l->on_accept(l->ctx, fd);
            continue;
        }
        /* The connection stays in the backlog and would ring at once again. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            uv_poll_stop(&l->poll);
            net_timer_start(l->loop, &l->timer, OUT_OF_FILES_MS, try_again, l);
        }
        return;
    }
}

/* Splits "host:port" and "[host]:port". */
static enum cx_err split(const char *address, char host[256], char service[8])
{
    const char *colon = strrchr(address, ':');
    size_t size = colon ? (size_t)(colon - address) : 0;
    const char *from = address;
    if (size >= 2 && from[0] == '[' && from[size - 1] == ']') {
        from++;
        size -= 2;
    }
    if (!colon || size == 0 || size > 255 || strlen(colon + 1) == 0 || strlen(colon + 1) > 5 ||
        colon[1 + strspn(colon + 1, "0123456789")] != '\0' || atoi(colon + 1) > UINT16_MAX)
        return cx_fail(CX_INVALID, "\"%s\" is no address to listen on: write it like 127.0.0.1:5010", address);
    memcpy(host, from, size);
    host[size] = '\0';
    strcpy(service, colon + 1);
    return CX_OK;
}

/* A bound socket, or -1 with errno. */
static int bound_socket(const struct addrinfo *address)
{
    int one = 1;
    int fd = socket(address->ai_family, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static enum cx_err listen_on(const char *address, int *ret_fd)
{
    char host[256], service[8];
    enum cx_err err = split(address, host, service);
    if (err)
        return err;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int missing = getaddrinfo(host, service, &hints, &found);
    if (missing)
        return cx_fail(CX_INVALID, "cannot listen on %s: %s", address, gai_strerror(missing));
    int fd = bound_socket(found);
    int error = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return cx_fail(error == EADDRINUSE ? CX_BUSY : CX_IO, "cannot listen on %s: %s", address, strerror(error));
    *ret_fd = fd;
    return CX_OK;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

enum cx_err net_listener_open(struct net_loop *loop, const char *address, void (*on_accept)(void *ctx, int fd),
                              void *ctx, struct net_listener **ret_listener)
{
    int fd = -1;
    enum cx_err err = listen_on(address, &fd);
    if (err)
        return err;
    struct net_listener *l = calloc(1, sizeof *l);
    cx_assert(l);
    *l = (struct net_listener){.loop = loop, .on_accept = on_accept, .ctx = ctx, .fd = fd, .port = port_of(fd)};
    int failed = uv_poll_init(&loop->uv, &l->poll, fd);
    if (failed) {
        close(fd);
        free(l);
        return cx_fail(CX_IO, "cannot listen on %s: %s", address, uv_strerror(failed));
    }
    l->poll.data = l;
    uv_poll_start(&l->poll, UV_READABLE, on_poll);
    *ret_listener = l;
    return CX_OK;
}

static void on_closed(uv_handle_t *handle) { free(handle->data); }

void net_listener_close(struct net_listener *listener)
{
    if (!listener)
        return;
    cx_assert(!listener->closed);
    listener->closed = true;
    net_timer_stop(&listener->timer);
    uv_close((uv_handle_t *)&listener->poll, on_closed);
    close(listener->fd);
}

uint16_t net_listener_port(const struct net_listener *listener) { return listener->port; }
