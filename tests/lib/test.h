/* test.h - the test harness: TEST(place, what_holds) { CHECK(...); }
 *
 * Every object linked into build/unit adds its tests by itself. `build/unit PLACE` runs one place,
 * `build/unit PLACE.what_holds` one test. Each test runs in a process of its own, so that a failed
 * assertion or a crash is that test's alone; TEST_ABORTS passes only if the body aborts.
 */
#ifndef CORTEN_TESTS_TEST_H
#define CORTEN_TESTS_TEST_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/types.h"

struct test {
    const char *place, *name;
    void (*run)(void);
    bool aborts;
    struct test *next;
};

void test_add(struct test *test);
_Noreturn void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Skips the rest of this test; the reason is printed and counted as skipped, never as passed. */
_Noreturn void test_skip(const char *reason);
/* The name of the test that runs: for those that share a body. */
const char *test_name(void);
/* Calls done(ctx) when the test has ended well, the last of them first: fixtures clean up after themselves. */
void test_at_end(void (*done)(void *ctx), void *ctx);
/* Takes it back: ctx is gone already. */
void test_not_at_end(const void *ctx);
/* Frees memory when the test has ended well; gives it back for use. */
void *test_keep(void *memory);
/* Frees what was kept, now. */
void test_free(void *memory);
/* A fresh empty folder, removed when the test ends well. */
const char *test_folder(void);

#define TEST_ENTRY(place_, name_, aborts_)                                                                         \
    static void test_##place_##_##name_(void);                                                                     \
    static struct test entry_##place_##_##name_ = {#place_, #name_, test_##place_##_##name_, aborts_, NULL};       \
    __attribute__((constructor)) static void add_##place_##_##name_(void) { test_add(&entry_##place_##_##name_); } \
    static void test_##place_##_##name_(void)

#define TEST(place, name)        TEST_ENTRY(place, name, false)
#define TEST_ABORTS(place, name) TEST_ENTRY(place, name, true)

#define CHECK(what)                                             \
    do {                                                        \
        if (!(what))                                            \
            test_fail(__FILE__, __LINE__, "not so: %s", #what); \
    } while (0)
#define CHECK_EQ(a, b)                                                                            \
    do {                                                                                          \
        long long check_a = (long long)(a), check_b = (long long)(b);                             \
        if (check_a != check_b)                                                                   \
            test_fail(__FILE__, __LINE__, "%s is %lld, not %lld (%s)", #a, check_a, check_b, #b); \
    } while (0)
#define CHECK_STR(a, b)                                                                            \
    do {                                                                                           \
        const char *check_a = (a), *check_b = (b);                                                 \
        if (strcmp(check_a, check_b) != 0)                                                         \
            test_fail(__FILE__, __LINE__, "%s is\n  \"%s\", not\n  \"%s\"", #a, check_a, check_b); \
    } while (0)
#define CHECK_MEM(a, b, size)                                                                       \
    do {                                                                                            \
        if (memcmp((a), (b), (size)) != 0)                                                          \
            test_fail(__FILE__, __LINE__, "%s and %s differ in %zu bytes", #a, #b, (size_t)(size)); \
    } while (0)

#endif
