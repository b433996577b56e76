/* raw_server.h - a server on a thread that answers requests with bytes as they are given, good or bad. */
#ifndef CORTEN_TESTS_RAW_SERVER_H
#define CORTEN_TESTS_RAW_SERVER_H

#include "base/types.h"

struct raw_answer {
    const char *path;   // of the requests it is for
    const char *bytes;  // the whole response, or what comes of it
    bool hold;          // then waits for the client to close, in place of closing
};

struct raw_server;

/* answers live as long as the server. */
struct raw_server *raw_server_open(const struct raw_answer *answers, uint32_t count);
void raw_server_close(struct raw_server *server);
uint16_t raw_server_port(const struct raw_server *server);
/* The last whole request, head and body, of that path; waits for it. The caller frees it. */
char *raw_server_request(struct raw_server *server, const char *path);
/* Waits until a client has closed a connection that was held. */
void raw_server_wait_closed(struct raw_server *server);

#endif
