/* options.h - what a subcommand may be told, and by whom: flags override the environment, that overrides the file.
 *
 *      static const struct option_info infos[] = {
 *          {"listen", 0, OPTION_TEXT, "ADDRESS", "127.0.0.1:5010", "where to serve HTTP"},
 *          {"miners", 0, OPTION_NUMBER, "N", "3", "how many miners to start", 1, 64},
 *          OPTIONS_END
 *      };
 *
 *      --miners 3, --miners=3        CORTEN_MINERS=3        miners = 3   under [dev] in the file
 *
 * Every option has these three spellings, a default and a line of help, all from one table. A name that is none is
 * refused with its place and the nearest right one.
 */
#ifndef CORTEN_CLI_OPTIONS_H
#define CORTEN_CLI_OPTIONS_H

#include "base/err.h"
#include "base/types.h"

#define OPTIONS_MAX       48
#define OPTION_VALUES_MAX 16  // of an option that may be repeated
#define ARGUMENTS_MAX     16
#define OPTIONS_END \
    {               \
        0           \
    }

enum option_type { OPTION_FLAG, OPTION_TEXT, OPTION_NUMBER };

struct option_info {
    const char *name;  // "listen"; NULL ends the table
    char letter;       // 0: none
    enum option_type type;
    const char *value;     // what help calls the value; NULL for flags
    const char *default_;  // as text; NULL: none
    const char *help;
    uint64_t min, max;  // OPTION_NUMBER; both 0: any
    bool repeats;
};

struct option {
    const struct option_info *info;
    const char *text[OPTION_VALUES_MAX];  // as given last by the strongest source
    uint32_t count;
    const char *from;  // "--listen", "CORTEN_LISTEN", "corten.ini:12", "default"
    int rank;          // of that source
};

struct options {
    struct option option[OPTIONS_MAX];
    uint32_t count;
    const char *argument[ARGUMENTS_MAX];
    uint32_t arguments;
    bool help;
    struct option_text *texts;  // copies that the file needed
};

/* Options that every subcommand has: --json, --config FILE, --quiet, --verbose, --help. */
extern const struct option_info options_common[];

/* Reads file, environment and flags, in that order of strength. `section` is the subcommand's name, and the file's
 * section; options outside any section hold for all. INVALID: cx_detail() names the culprit and the nearest right name.
 */
enum cx_err options_read(const char *section, const struct option_info *infos, int argc, char **argv,
                         struct options *ret_options);
void options_done(struct options *options);

/* The option must be in the table. */
bool option_flag(const struct options *options, const char *name);
const char *option_text(const struct options *options, const char *name);  // NULL: none
uint64_t option_number(const struct options *options, const char *name);
bool option_given(const struct options *options, const char *name);  // not by default
const struct option *option_find(const struct options *options, const char *name);

/* What is nearest to `name` among the words, or NULL where nothing is near: for "did you mean". */
const char *nearest_word(const char *name, const char *const *words, size_t count);

#endif
