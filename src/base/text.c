#include "base/text.h"

uint32_t text_size(const char *text)
{
    uint32_t size = 0;
    while (text[size])
        size++;
    return size;
}

bool text_eq(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}
