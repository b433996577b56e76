#include "crypto/ready.h"

#include <sodium.h>

#include "base/assert.h"

void crypto_ready(void)
{
    /* Negative only where the operating system gives no random numbers: nothing safe can follow. */
    int failed = sodium_init();
    cx_assert(failed >= 0);
}
