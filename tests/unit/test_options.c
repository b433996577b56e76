/* Options: three sources in their order of strength, and words for what is wrong that name the place. */
#include "cli/options.h"
#include "lib/test.h"

static const struct option_info infos[] = {
    {"listen", 'l', OPTION_TEXT, "ADDRESS", "127.0.0.1:5010", "where", 0, 0, false},
    {"miners", 0, OPTION_NUMBER, "N", "3", "how many", 1, 64, false},
    {"price-in", 0, OPTION_NUMBER, "CREDITS", NULL, "any number", 0, 0, false},
    {"found", 0, OPTION_FLAG, NULL, NULL, "begin anew", 0, 0, false},
    {"param", 'p', OPTION_TEXT, "NAME=VALUE", NULL, "may be repeated", 0, 0, true},
    OPTIONS_END,
};

#define WORDS_MAX 40

/* Reads words as main() hands them on, parted by single spaces. They live as long as the test. */
static enum cx_err read_words(const char *line, struct options *ret_options)
{
    static char copy[1024];
    static char *words[WORDS_MAX];
    int count = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        words[count++] = word;
    return options_read("dev", infos, count, words, ret_options);
}

static const char *write_file(const char *text)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/corten.ini", test_folder());
    FILE *file = fopen(path, "w");
    CHECK(file);
    CHECK(fputs(text, file) >= 0);
    CHECK_EQ(fclose(file), 0);
    return path;
}

static enum cx_err read_file(const char *text, const char *more, struct options *ret_options)
{
    char line[700];
    snprintf(line, sizeof line, "--config %s %s", write_file(text), more);
    return read_words(line, ret_options);
}

/* Refused, and the words say all of these. */
static void check_refused(enum cx_err err, const char *says, const char *says_too)
{
    CHECK(err != CX_OK);
    if (!strstr(cx_detail(), says) || !strstr(cx_detail(), says_too))
        test_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\" or \"%s\"", cx_detail(), says, says_too);
}

TEST(options, defaults_hold_where_nobody_says_otherwise)
{
    struct options o;
    CHECK_EQ(read_words("", &o), CX_OK);
    CHECK_STR(option_text(&o, "listen"), "127.0.0.1:5010");
    CHECK_EQ(option_number(&o, "miners"), 3);
    CHECK_EQ(option_number(&o, "price-in"), 0);
    CHECK(!option_flag(&o, "found"));
    CHECK(!option_text(&o, "param"));
    CHECK(!option_given(&o, "listen"));
    CHECK_STR(option_find(&o, "listen")->from, "default");
    options_done(&o);
}

TEST(options, flags_are_read_in_every_spelling_and_leave_the_arguments)
{
    struct options o;
    CHECK_EQ(read_words("--miners=5 show -l 0.0.0.0:80 --found 42 --json -- --miners -", &o), CX_OK);
    CHECK_EQ(option_number(&o, "miners"), 5);
    CHECK_STR(option_text(&o, "listen"), "0.0.0.0:80");
    CHECK(option_flag(&o, "found"));
    CHECK(option_flag(&o, "json"));
    CHECK(option_given(&o, "miners"));
    CHECK_EQ(o.arguments, 4);
    CHECK_STR(o.argument[0], "show");
    CHECK_STR(o.argument[1], "42");
    CHECK_STR(o.argument[2], "--miners");
    CHECK_STR(o.argument[3], "-");
    options_done(&o);
}

TEST(options, a_flag_may_be_denied_and_the_last_one_counts)
{
    struct options o;
    CHECK_EQ(read_words("--found --found=no --miners 4 --miners 6", &o), CX_OK);
    CHECK(!option_flag(&o, "found"));
    CHECK_EQ(option_number(&o, "miners"), 6);
    options_done(&o);
}

TEST(options, repeated_ones_are_gathered_from_the_strongest_source_only)
{
    struct options o;
    CHECK_EQ(read_file("param = x=1\nparam = y=2\nparam = z=3\n", "", &o), CX_OK);
    CHECK_EQ(option_find(&o, "param")->count, 3);
    CHECK_STR(option_find(&o, "param")->text[1], "y=2");
    options_done(&o);
    CHECK_EQ(read_file("param = x=1\n", "-p a=1 -p b=2", &o), CX_OK);
    CHECK_EQ(option_find(&o, "param")->count, 2);
    CHECK_STR(option_find(&o, "param")->text[0], "a=1");
    CHECK_STR(option_text(&o, "param"), "b=2");
    options_done(&o);
}

TEST(options, more_repetitions_than_there_is_room_for_are_refused)
{
    struct options o;
    char line[512] = "";
    for (int i = 0; i <= OPTION_VALUES_MAX; i++)
        strcat(line, "-p a=1 ");
    check_refused(read_words(line, &o), "-p", "param more than 16 times");
}

TEST(options, environment_overrides_the_file_and_flags_override_both)
{
    struct options o;
    setenv("CORTEN_MINERS", "7", 1);
    setenv("CORTEN_PRICE_IN", "9", 1);
    CHECK_EQ(read_file("[dev]\nminers = 5\nlisten = 1.2.3.4:5\nprice-in=8\n", "--price-in 10", &o), CX_OK);
    CHECK_EQ(option_number(&o, "miners"), 7);
    CHECK_STR(option_find(&o, "miners")->from, "CORTEN_MINERS");
    CHECK_EQ(option_number(&o, "price-in"), 10);
    CHECK_STR(option_find(&o, "price-in")->from, "--price-in");
    CHECK_STR(option_text(&o, "listen"), "1.2.3.4:5");
    CHECK(strstr(option_find(&o, "listen")->from, "corten.ini:3"));
    options_done(&o);
}

TEST(options, a_file_may_be_named_by_the_environment)
{
    struct options o;
    setenv("CORTEN_CONFIG", write_file("miners = 8\n"), 1);
    CHECK_EQ(read_words("", &o), CX_OK);
    CHECK_EQ(option_number(&o, "miners"), 8);
    options_done(&o);
}

TEST(options, a_file_speaks_to_all_above_its_first_section_and_then_to_each)
{
    struct options o;
    CHECK_EQ(read_file("# all\n  miners = 9  \n\n; more\n[router]\nlisten = r\nredundancy = 3\n[ dev ]\nfound = yes\n",
                       "", &o),
             CX_OK);
    CHECK_EQ(option_number(&o, "miners"), 9);
    CHECK_STR(option_text(&o, "listen"), "127.0.0.1:5010");
    CHECK(option_flag(&o, "found"));
    options_done(&o);
}

TEST(options, an_unknown_name_is_refused_with_its_place_and_the_nearest_right_one)
{
    struct options o;
    check_refused(read_words("--minres 3", &o), "--minres: there is no option \"minres\"", "did you mean \"miners\"?");
    check_refused(read_words("--lsiten=x", &o), "there is no option \"lsiten\"", "did you mean \"listen\"?");
    check_refused(read_words("-x", &o), "-x: there is no option \"x\"", "--help lists them");
    check_refused(read_words("--entirely-else", &o), "\"entirely-else\"", "--help lists them");
    check_refused(read_file("listen = a\nmienrs = 3\n", "", &o), "corten.ini:2: there is no option \"mienrs\"",
                  "did you mean \"miners\"?");
}

TEST(options, a_wrong_value_is_refused_with_its_place_and_what_would_be_right)
{
    struct options o;
    check_refused(read_words("--miners three", &o), "--miners: miners is a number", "\"three\"");
    check_refused(read_words("--miners 3x", &o), "--miners", "\"3x\"");
    check_refused(read_words("--miners -3", &o), "--miners", "\"-3\"");
    check_refused(read_words("--miners 65", &o), "--miners: miners is 1..64", "not 65");
    check_refused(read_words("--miners 0", &o), "miners is 1..64", "not 0");
    check_refused(read_words("--price-in 18446744073709551616", &o), "price-in is a number", "18446744073709551616");
    check_refused(read_words("--found=maybe", &o), "found is yes or no", "\"maybe\"");
    check_refused(read_file("\nminers = many\n", "", &o), "corten.ini:2: miners is a number", "\"many\"");
    setenv("CORTEN_MINERS", "lots", 1);
    check_refused(read_words("", &o), "CORTEN_MINERS: miners is a number", "\"lots\"");
}

TEST(options, a_value_that_a_stronger_source_overrides_is_still_checked)
{
    struct options o;
    check_refused(read_file("miners = 0\n", "--miners 2", &o), "corten.ini:1", "miners is 1..64");
}

TEST(options, a_missing_value_is_asked_for_by_its_name)
{
    struct options o;
    check_refused(read_words("--found --listen", &o), "--listen: ADDRESS", "missing");
    check_refused(read_words("-l", &o), "-l: ADDRESS", "missing");
}

TEST(options, a_line_that_is_none_is_refused_with_its_number)
{
    struct options o;
    check_refused(read_file("miners = 3\nlisten\n", "", &o), "corten.ini:2", "expected name = value");
    check_refused(read_file("[dev\n", "", &o), "corten.ini:1", "a section ends with ]");
    char text[5000] = "listen = ";
    memset(text + 9, 'a', sizeof text - 10);
    check_refused(read_file(text, "", &o), "corten.ini:1", "the line is too long");
}

TEST(options, a_file_that_is_not_there_is_refused_by_name)
{
    struct options o;
    CHECK_EQ(read_words("--config /nowhere/corten.ini", &o), CX_NOT_FOUND);
    CHECK(strstr(cx_detail(), "/nowhere/corten.ini"));
}

TEST(options, too_many_arguments_are_refused)
{
    struct options o;
    check_refused(read_words("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", &o), "more than 16", "arguments");
}

TEST(options, help_is_given_even_where_environment_and_file_are_wrong)
{
    struct options o;
    setenv("CORTEN_MINERS", "lots", 1);
    CHECK_EQ(read_words("-h", &o), CX_OK);
    CHECK(o.help);
    options_done(&o);
}

static const char *const subcommands[] = {"demo", "dev", "router", "miner", "oracle", "key", "ledger"};

static const char *near(const char *name)
{
    const char *found = nearest_word(name, subcommands, ARRAY_COUNT(subcommands));
    return found ? found : "none";
}

TEST(options, the_nearest_word_is_one_slip_away_or_none)
{
    CHECK_STR(near("kye"), "key");
    CHECK_STR(near("ky"), "key");
    CHECK_STR(near("keyy"), "key");
    CHECK_STR(near("roter"), "router");
    CHECK_STR(near("ruoter"), "router");
    CHECK_STR(near("orcale"), "oracle");
    CHECK_STR(near("legder"), "ledger");
    CHECK_STR(near("dve"), "dev");
    CHECK_STR(near("banana"), "none");
    CHECK_STR(near("x"), "none");
    CHECK_STR(near(""), "none");
}
