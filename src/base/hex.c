#include "base/hex.h"

void hex_encode(const void *data, size_t size, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++) {
        ret_text[2 * i] = digits[p[i] >> 4];
        ret_text[2 * i + 1] = digits[p[i] & 15];
    }
    ret_text[2 * size] = '\0';
}

/* What a character is worth; over 15: it is no digit. */
static uint8_t digit(char c)
{
    static const uint8_t value[UINT8_MAX + 1] = {
        ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
        ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
        ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
    };
    return (uint8_t)(value[(uint8_t)c] - 1);
}

bool hex_decode(const char *text, size_t text_size, void *ret_data, size_t size)
{
    uint8_t *p = ret_data;
    if (text_size != 2 * size)
        return false;
    uint8_t all = 0;
    for (size_t i = 0; i < text_size; i++)
        all |= digit(text[i]);
    if (all > 15)
        return false;
    for (size_t i = 0; i < size; i++)
        p[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
    return true;
}
