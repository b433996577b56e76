#include "base/nearest.h"

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static uint32_t size_of(const char *text)
{
    uint32_t size = 0;
    while (size < NEAREST_SIZE_MAX && text[size])
        size++;
    return size;
}

/* Levenshtein's table, of which one row is kept. */
uint32_t nearest_distance(const char *a, const char *b)
{
    uint32_t row[NEAREST_SIZE_MAX + 1];
    uint32_t a_size = size_of(a), b_size = size_of(b);
    for (uint32_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a_size; i++) {
        uint32_t corner = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b_size; j++) {
            uint32_t change = corner + (lower(a[i - 1]) != lower(b[j - 1]));
            corner = row[j];
            row[j] = u32_min(change, u32_min(row[j - 1], row[j]) + 1);
        }
    }
    return row[b_size];
}
