/* address_text.h - addresses as people and wallets write them: 0x and 40 hexadecimal digits, whose case is
 * a checksum (EIP-55). */
#ifndef CORTEN_CRYPTO_ADDRESS_TEXT_H
#define CORTEN_CRYPTO_ADDRESS_TEXT_H

#include "base/err.h"
#include "base/types.h"

#define ADDRESS_TEXT_SIZE 43  // with 0x and the NUL

void address_print(const struct address *address, char ret_text[ADDRESS_TEXT_SIZE]);
/* Takes all digits in lower case or all in upper case (then nothing can be checked), or the mixed case of
 * EIP-55. INVALID: another form, or a checksum that does not fit; the text then names the right one. */
enum cx_err address_parse(const char *text, size_t size, struct address *ret_address);

#endif
