/* children.h - the programs that `corten dev` starts: each is this binary with another subcommand.
 *
 * A child that ends by itself is started again after a while; one that ends CHILD_FAILS_MAX times without having become
 * ready is given up, and so is everything. Their lines on standard error come out with their name in front.
 */
#ifndef CORTEN_CLI_CHILDREN_H
#define CORTEN_CLI_CHILDREN_H

#include "base/err.h"
#include "net/loop.h"

/* Set in a child's environment: it ends when its parent does, however that ended. */
#define CHILD_VARIABLE "CORTEN_CHILD"

#define CHILDREN_MAX        80
#define CHILD_ARGUMENTS_MAX 32
#define CHILD_FAILS_MAX     5
#define CHILD_RESTART_MS    1000
#define CHILDREN_STOP_MS    10000  // from SIGTERM to SIGKILL

struct children;

struct children_options {
    struct net_loop *loop;
    bool quiet;
    void (*on_ready)(void *ctx, const char *name);                    // it printed "ready"
    void (*on_failed)(void *ctx, const char *name, const char *why);  // given up
    void *ctx;
};

enum cx_err children_open(const struct children_options *options, struct children **ret_children);
/* Kills what is left, at once. */
void children_close(struct children *children);
CX_CLOSER(children)
/* argument[0..count-1] follow the binary's name; all is copied. */
enum cx_err children_start(struct children *children, const char *name, const char *const *argument, uint32_t count);
/* SIGTERM to all; done when the last has ended. */
void children_stop(struct children *children, void (*done)(void *ctx), void *ctx);

#endif
