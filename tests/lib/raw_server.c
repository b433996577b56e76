#include "lib/raw_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/test.h"

#define REQUEST_SIZE_MAX (1u << 20)

struct raw_server {
    const struct raw_answer *answers;
    uint32_t count;
    int listener;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char *request;    // the last one; NULL: none yet
    bool was_closed;  // by a client, while held
    int held;         // the socket; -1: none
    bool closing;
};

/* Whether the head and as many bytes of body as it says are there. */
static bool is_whole(const char *request, size_t size)
{
    const char *end = strstr(request, "\r\n\r\n"), *length = strcasestr(request, "\r\ncontent-length:");
    if (!end)
        return false;
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    return size >= (size_t)(end - request) + 4 + body;
}

static bool read_request(int fd, char *request)
{
    size_t size = 0;
    request[0] = '\0';
    while (!is_whole(request, size)) {
        ssize_t got = recv(fd, request + size, REQUEST_SIZE_MAX - 1 - size, 0);
        if (got <= 0)
            return false;
        size += (size_t)got;
        request[size] = '\0';
    }
    return true;
}

static bool is_for(const char *request, const char *path)
{
    const char *at = strchr(request, ' ');
    size_t size = strlen(path);
    return at && strncmp(at + 1, path, size) == 0 && at[1 + size] == ' ';
}

static void send_all(int fd, const char *bytes)
{
    size_t size = strlen(bytes);
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        bytes += sent;
        size -= (size_t)sent;
    }
}

static void hold(struct raw_server *s, int fd)
{
    char byte;
    pthread_mutex_lock(&s->mutex);
    s->held = s->closing ? -1 : fd;
    pthread_mutex_unlock(&s->mutex);
    while (s->held >= 0 && recv(fd, &byte, 1, 0) > 0)
        ;
    pthread_mutex_lock(&s->mutex);
    s->held = -1;
    s->was_closed = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static void answer(struct raw_server *s, int fd, char *request)
{
    if (!read_request(fd, request))
        return;
    pthread_mutex_lock(&s->mutex);
    free(s->request);
    s->request = strdup(request);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    for (uint32_t i = 0; i < s->count; i++)
        if (is_for(request, s->answers[i].path)) {
            send_all(fd, s->answers[i].bytes);
            if (s->answers[i].hold)
                hold(s, fd);
            return;
        }
}

static void *serve(void *ctx)
{
    struct raw_server *s = ctx;
    char *request = malloc(REQUEST_SIZE_MAX);
    for (int fd; request && (fd = accept(s->listener, NULL, NULL)) >= 0; close(fd))
        answer(s, fd, request);
    free(request);
    return NULL;
}

struct raw_server *raw_server_open(const struct raw_answer *answers, uint32_t count)
{
    struct raw_server *s = calloc(1, sizeof *s);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    CHECK(s);
    s->answers = answers;
    s->count = count;
    s->held = -1;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(s->listener >= 0);
    CHECK_EQ(bind(s->listener, (struct sockaddr *)&at, sizeof at), 0);
    CHECK_EQ(listen(s->listener, 16), 0);
    CHECK_EQ(getsockname(s->listener, (struct sockaddr *)&at, &size), 0);
    s->port = ntohs(at.sin_port);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->changed, NULL);
    CHECK_EQ(pthread_create(&s->thread, NULL, serve, s), 0);
    return s;
}

void raw_server_close(struct raw_server *s)
{
    pthread_mutex_lock(&s->mutex);
    s->closing = true;
    if (s->held >= 0)
        shutdown(s->held, SHUT_RDWR);
    pthread_mutex_unlock(&s->mutex);
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    free(s->request);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

uint16_t raw_server_port(const struct raw_server *s) { return s->port; }

char *raw_server_request(struct raw_server *s, const char *path)
{
    pthread_mutex_lock(&s->mutex);
    while (!s->request || !is_for(s->request, path))
        pthread_cond_wait(&s->changed, &s->mutex);
    char *request = strdup(s->request);
    pthread_mutex_unlock(&s->mutex);
    return request;
}

void raw_server_wait_closed(struct raw_server *s)
{
    pthread_mutex_lock(&s->mutex);
    while (!s->was_closed)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}
