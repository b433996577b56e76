/* What the small subcommands show, and the amounts that they read. */
#include <unistd.h>

#include "cli/resource.h"
#include "lib/test.h"

/* What `show` prints for this JSON, to a pipe: without colours. */
static const char *shown(const char *json, const struct column *columns, bool rows)
{
    static char text[4096];
    json_error_t why;
    json_t *value = json_loads(json, 0, &why);
    int pipe_fd[2], out = dup(STDOUT_FILENO);
    CHECK(value);
    CHECK_EQ(pipe(pipe_fd), 0);
    fflush(stdout);
    CHECK(dup2(pipe_fd[1], STDOUT_FILENO) >= 0);
    close(pipe_fd[1]);
    if (rows)
        show_rows(value, columns, "nothing");
    else
        show_fields(value, columns);
    fflush(stdout);
    CHECK(dup2(out, STDOUT_FILENO) >= 0);
    close(out);
    ssize_t size = read(pipe_fd[0], text, sizeof text - 1);
    CHECK(size >= 0);
    text[size] = '\0';
    close(pipe_fd[0]);
    json_decref(value);
    return text;
}

static const struct column columns[] = {
    {"NAME", "name", SHOW_TEXT}, {"N", "n", SHOW_NUMBER},    {"COINS", "coins", SHOW_COINS},
    {"AT", "at", SHOW_TIME},     {"STATE", "s", SHOW_STATE}, {0},
};

TEST(show, rows_line_up_by_characters_with_numbers_to_the_right)
{
    CHECK_STR(shown("[{\"name\":\"größe\",\"n\":7,\"coins\":\"1500000\",\"at\":0,\"s\":\"ACTIVE\"},"
                    "{\"name\":\"x\",\"n\":\"123\",\"coins\":1,\"s\":\"CLOSED\"}]",
                    columns, true),
              "NAME     N     COINS  AT                        STATE\n"
              "größe    7       1.5  1970-01-01 00:00:00.000Z  ACTIVE\n"
              "x      123  0.000001                            CLOSED\n");
}

TEST(show, no_rows_are_said_in_words)
{
    CHECK_STR(shown("[]", columns, true), "nothing\n");
}

TEST(show, fields_that_are_missing_or_null_are_left_out)
{
    CHECK_STR(shown("{\"name\":[\"a\",\"b\"],\"n\":null,\"coins\":\"2000000\"}", columns, false),
              "NAME   a, b\nCOINS  2\n");
}

TEST(show, what_came_from_elsewhere_cannot_steer_a_terminal)
{
    CHECK_STR(shown("{\"name\":\"a\\u001b[2Jb\\nc\\u009bd\\u007fe\\u00e9\"}", columns, false),
              "NAME   a?[2Jb?c?d?eé\n");
}

TEST(show, long_cells_are_cut_between_characters)
{
    char json[1000] = "[{\"name\":\"";
    for (int i = 0; i < 150; i++)
        strcat(json, "é");
    strcat(json, "\"}]");
    const char *text = shown(json, (const struct column[]){{"NAME", "name", SHOW_TEXT}, {0}}, true);
    const char *line = strchr(text, '\n') + 1;
    CHECK_EQ(strlen(line), SHOW_CELL_SIZE);  // 78 characters, the ellipsis and the line's end
    CHECK_STR(line + SHOW_CELL_SIZE - 6, "é…\n");
}

static const char *read_as(const char *text)
{
    static char digits[32];
    struct amount amount;
    if (amount_read(text, &amount))
        return "refused";
    snprintf(digits, sizeof digits, "%" PRIu64, amount.credits);
    return digits;
}

TEST(show, amounts_are_credits_or_coins_to_the_credit)
{
    CHECK_STR(read_as("250000"), "250000");
    CHECK_STR(read_as("0"), "0");
    CHECK_STR(read_as("007"), "7");
    CHECK_STR(read_as("1coin"), "1000000");
    CHECK_STR(read_as("0.25coins"), "250000");
    CHECK_STR(read_as("2.5 coins"), "2500000");
    CHECK_STR(read_as("0.000001coins"), "1");
    CHECK_STR(read_as("18446744073709551615"), "18446744073709551615");
    CHECK_STR(read_as("18446744073709.551615coins"), "18446744073709551615");
}

TEST(show, what_is_no_amount_is_refused)
{
    static const char *const wrong[] = {
        "",
        "-1",
        "1.5",
        "coins",
        "1.0000001coins",
        "1e6",
        "1,5coins",
        "18446744073709551616",
        ".5coins",
        "5 euros",
        "18446744073710coins",
        "99999999999999999999999999999999999999",
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        if (strcmp(read_as(wrong[i]), "refused") != 0)
            test_fail(__FILE__, __LINE__, "\"%s\" was read as %s", wrong[i], read_as(wrong[i]));
}

TEST(show, paths_escape_what_is_not_plain)
{
    char path[RESOURCE_PATH_SIZE];
    resource_path(path, "/a/%s/b/%s", "1/2?x", "0xAb-_.~");
    CHECK_STR(path, "/a/1%2F2%3Fx/b/0xAb-_.~");
}
