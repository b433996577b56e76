#include "base/utf8.h"

/* RFC 3629, 4: the lead byte gives the length and narrows the second byte. 0: no lead byte. */
static size_t lead(unsigned char c, unsigned char *ret_low, unsigned char *ret_high)
{
    *ret_low = 0x80;
    *ret_high = 0xbf;
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        return 2;
    if (c >= 0xe0 && c <= 0xef) {
        if (c == 0xe0)
            *ret_low = 0xa0;
        if (c == 0xed)
            *ret_high = 0x9f;
        return 3;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        if (c == 0xf0)
            *ret_low = 0x90;
        if (c == 0xf4)
            *ret_high = 0x8f;
        return 4;
    }
    return 0;
}

/* How many of the first character's bytes are there and right; *ret_need is how many it has. */
static size_t measure(const char *text, size_t size, size_t *ret_need)
{
    unsigned char low, high;
    size_t need = lead((unsigned char)text[0], &low, &high);
    *ret_need = need;
    if (need == 0)
        return 0;
    size_t have = 1;
    for (; have < need && have < size; have++) {
        unsigned char c = (unsigned char)text[have];
        if (c < low || c > high)
            break;
        low = 0x80;
        high = 0xbf;
    }
    return have;
}

size_t utf8_step(const char *text, size_t size)
{
    size_t need;
    if (size == 0)
        return 0;
    return measure(text, size, &need) == need ? need : 0;
}

static bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

/* Some bit where a byte under 0x80 is less than n, and none where there is no such byte. */
#define EACH(byte)           (0x0101010101010101u * (uint64_t)(byte))
#define MARK_LESS(word, n)   (((word)-EACH(n)) & ~(word)&EACH(0x80))
#define MARK_EQUAL(word, to) MARK_LESS((word) ^ EACH(to), 1)

/* Whether all eight bytes stand for themselves. */
static bool are_plain(const char *text)
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    return !(MARK_LESS(word, 0x20) | MARK_EQUAL(word, '"') | MARK_EQUAL(word, '\\') | MARK_EQUAL(word, 0x7f) |
             (word & EACH(0x80)));
}

size_t utf8_plain(const char *text, size_t size)
{
    size_t i = 0;
    while (i + 8 <= size && are_plain(text + i))
        i += 8;
    while (i < size && is_plain((unsigned char)text[i]))
        i++;
    return i;
}

static bool are_ascii(const char *text)
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    return (word & EACH(0x80)) == 0;
}

bool utf8_is_valid(const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t step = size - i >= 8 && are_ascii(text + i) ? 8 : utf8_step(text + i, size - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

size_t utf8_whole_prefix(const char *text, size_t size)
{
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        size_t need;
        size_t have = measure(text + size - back, back, &need);
        if (need > 1 && have == back && have < need)
            return size - back;
        if (need > 0)
            break;
    }
    return size;
}
