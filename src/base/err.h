/* err.h - how the world says no: disk, peer, memory, configuration. (Rules say no by verdicts.)
 *
 *      if (fd < 0)
 *          return cx_fail(CX_IO, "open %s: %s", path, strerror(errno));
 *
 * The code is for programs, the text for people; the text is kept per thread until the next failure.
 */
#ifndef CORTEN_BASE_ERR_H
#define CORTEN_BASE_ERR_H

#include "base/types.h"

#define CX_ERRS(X)                                                                 \
    X(OK, "ok")                                                                    \
    X(MEMORY, "out of memory")                                                     \
    X(IO, "input or output failed")                                                \
    X(NOT_FOUND, "not found")                                                      \
    X(EXISTS, "exists already")                                                    \
    X(CORRUPT, "stored data is damaged")                                           \
    X(INVALID, "bad input") /* from a user, file or peer */                        \
    X(TOO_LARGE, "over a limit")                                                   \
    X(DENIED, "not allowed")                                                       \
    X(BUSY, "in use")                                                              \
    X(CLOSED, "closed")                                                            \
    X(TIMEOUT, "took too long")                                                    \
    X(UNSUPPORTED, "not supported")                                                \
    X(UNKNOWN, "outcome unknown") /* it may or may not have happened: ask again */ \
    X(FENCED, "superseded by a newer epoch")                                       \
    X(CANCELLED, "cancelled")

#define X(name, text) CX_##name,
enum cx_err { CX_ERRS(X) CX_ERR_COUNT };
#undef X

/* "CORRUPT", for programs and logs. */
const char *cx_err_name(enum cx_err err);
/* Keeps the text for cx_detail, cut at 511 bytes, and returns err. */
enum cx_err cx_fail(enum cx_err err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The text of this thread's last cx_fail; never NULL. */
const char *cx_detail(void);

/* Scoped ownership: cx_auto(ledger) l = NULL;  closes with ledger_close(l) at the end of the scope,
 * after CX_CLOSER(ledger) stood once behind the type's declaration. cx_take empties the variable. */
#define CX_CLOSER(type) \
    static inline void type##_auto_close(struct type **p) { type##_close(*p); }
#define cx_auto(type) __attribute__((cleanup(type##_auto_close))) struct type *
#define cx_take(p)                      \
    __extension__({                     \
        __typeof__(*(p)) taken_ = *(p); \
        *(p) = NULL;                    \
        taken_;                         \
    })

#endif
