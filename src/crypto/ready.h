/* ready.h - within src/crypto: what libsodium wants done once before its first use. */
#ifndef CORTEN_CRYPTO_READY_H
#define CORTEN_CRYPTO_READY_H

/* Returns at once after the first time; may be called from any thread. */
void crypto_ready(void);

#endif
