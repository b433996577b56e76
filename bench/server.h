/* server.h - a server under measurement: a process of its own that listens on a port of loopback. */
#ifndef CORTEN_BENCH_SERVER_H
#define CORTEN_BENCH_SERVER_H

#include <sys/types.h>

#include "base/types.h"

struct server {
    pid_t pid;
    uint16_t port;
};

/* A port that nobody listens on. */
uint16_t server_free_port(void);
/* Starts it with its output in `log`, and waits until the port takes connections. False: it ended before. */
bool server_start(struct server *server, const char *const *argv, const char *log, uint16_t port);
/* CPU seconds of the process and of those that it has started. */
double server_cpu(const struct server *server);
/* SIGTERM, and waits. */
void server_stop(struct server *server);

#endif
