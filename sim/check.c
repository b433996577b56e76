#include "sim/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *checker_name(enum checker checker)
{
    static const char *const name[CHECKER_COUNT] = {
#define X_CHECKER(NAME, name) [CHECKER_##NAME] = #name,
        CHECKERS(X_CHECKER)
#undef X_CHECKER
    };
    return checker < CHECKER_COUNT ? name[checker] : NULL;
}

enum checker checker_find(const char *name)
{
    enum checker checker = 0;
    while (checker < CHECKER_COUNT && strcmp(checker_name(checker), name) != 0)
        checker++;
    return checker;
}

bool check_fail(struct check *check, enum checker checker, uint64_t seq, const char *format, ...)
{
    check->failures++;
    if (check->failed)
        return false;
    check->failed = true;
    check->checker = checker;
    check->seq = seq;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check->text, sizeof check->text, format, arguments);
    va_end(arguments);
    return false;
}
