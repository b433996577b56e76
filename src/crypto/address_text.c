#include "crypto/address_text.h"

#include <string.h>

#include "base/hex.h"
#include "crypto/keccak.h"

#define DIGIT_COUNT (2 * sizeof(struct address))
#define SHOWN_MAX   64  // of what somebody typed, in an error

static bool is_lower(char c) { return c >= 'a' && c <= 'f'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'F'; }

void address_print(const struct address *address, char ret_text[ADDRESS_TEXT_SIZE])
{
    ret_text[0] = '0';
    ret_text[1] = 'x';
    char *digit = ret_text + 2;
    hex_encode(address->b, sizeof address->b, digit);

    /* EIP-55: a letter is upper case where the hash of the lower-case digits has 8 or more in its place. */
    struct hash hash;
    keccak256(digit, DIGIT_COUNT, &hash);
    for (size_t i = 0; i < DIGIT_COUNT; i++) {
        unsigned nibble = (unsigned)hash.b[i / 2] >> (i % 2 ? 0 : 4) & 15;
        if (nibble >= 8 && is_lower(digit[i]))
            digit[i] = (char)(digit[i] - 'a' + 'A');
    }
}

enum cx_err address_parse(const char *text, size_t size, struct address *ret_address)
{
    int shown = size < SHOWN_MAX ? (int)size : SHOWN_MAX;
    struct address address;
    if (size != DIGIT_COUNT + 2 || text[0] != '0' || text[1] != 'x')
        return cx_fail(CX_INVALID, "\"%.*s\" is no address: it needs 0x and 40 hexadecimal digits", shown, text);
    if (!hex_decode(text + 2, size - 2, address.b, sizeof address.b))
        return cx_fail(CX_INVALID, "\"%.*s\" is no address: a character is no hexadecimal digit", shown, text);

    bool lower = false, upper = false;
    for (size_t i = 2; i < size; i++) {
        lower = lower || is_lower(text[i]);
        upper = upper || is_upper(text[i]);
    }
    char right[ADDRESS_TEXT_SIZE];
    address_print(&address, right);
    if (lower && upper && memcmp(text, right, size) != 0)
        return cx_fail(CX_INVALID,
                       "address %.*s has a wrong checksum: its digits would be written %s; look for a typing error",
                       shown, text, right);
    *ret_address = address;
    return CX_OK;
}
