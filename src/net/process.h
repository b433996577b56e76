/* process.h - child processes: their output comes in on the loop, and their end.
 *
 *      net_process_start --on_out, on_err…--> on_exit, after the last output; then it is gone
 */
#ifndef CORTEN_NET_PROCESS_H
#define CORTEN_NET_PROCESS_H

#include "net/loop.h"

struct net_process;

struct net_process_options {
    const char *const *argument;  // NULL ends it; argument[0] is the program's path
    const char *variable;         // "NAME=value", added to the environment; NULL: none
    void (*on_out)(void *ctx, const char *data, size_t size);
    void (*on_err)(void *ctx, const char *data, size_t size);
    /* status: the exit status, or 128 + the signal that ended it. */
    void (*on_exit)(void *ctx, int status);
    void *ctx;
};

/* Standard input is empty. NOT_FOUND, IO: it could not be started. */
enum cx_err net_process_start(struct net_loop *loop, const struct net_process_options *options,
                              struct net_process **ret_process);
void net_process_signal(struct net_process *process, int signal);
/* Kills it and calls nobody any more. Takes NULL. */
void net_process_drop(struct net_process *process);
int net_process_id(const struct net_process *process);

#endif
