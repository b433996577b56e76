#include "crypto/ready.h"

#include <pthread.h>
#include <sodium.h>

#include "base/assert.h"

static void prepare(void)
{
    /* Negative only where the operating system gives no random numbers: nothing safe can follow. */
    int failed = sodium_init();
    cx_assert(failed >= 0);
}

/* sodium_init() itself takes a lock at every call, which MACs on several threads would wait for. */
void crypto_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare);
}
