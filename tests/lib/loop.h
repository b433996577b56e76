/* loop.h - tests that run an event loop: turns until something holds, and a client that shows raw bytes. */
#ifndef CORTEN_TESTS_LOOP_H
#define CORTEN_TESTS_LOOP_H

#include "base/buf.h"
#include "net/conn.h"

/* The loop of this test; fails the test when it has run for 20 s. */
struct net_loop *test_loop(void);
/* Closes it: every handle must be gone or go. */
void test_loop_done(void);

/* Turns the loop until the condition holds. */
#define RUN_UNTIL(what)                                                                           \
    do {                                                                                          \
        while (!(what)) {                                                                         \
            if (!net_loop_turn(test_loop(), true) && !(what))                                     \
                test_fail(__FILE__, __LINE__, "nothing can happen any more, and not: %s", #what); \
        }                                                                                         \
    } while (0)

/* A TCP client on the loop: sends raw bytes, keeps what comes. */
struct raw {
    struct net_conn *conn;  // NULL: it ended
    struct buf in;
    bool open;
    enum cx_err err;  // of the end
};

void raw_open(struct raw *raw, uint16_t port);
void raw_send(struct raw *raw, const char *bytes);
bool raw_has(const struct raw *raw, const char *text);
void raw_done(struct raw *raw);

/* A connected blocking socket to a port of this machine. */
int socket_to(uint16_t port);

#endif
