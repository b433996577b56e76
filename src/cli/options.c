#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"

#define CONFIG_SIZE_MAX (256 * 1024)
#define WORD_SIZE_MAX   64

const struct option_info options_common[] = {
    {"json", 0, OPTION_FLAG, NULL, NULL, "print JSON in place of text", 0, 0, false},
    {"config", 'c', OPTION_TEXT, "FILE", NULL, "read options from this INI file", 0, 0, false},
    {"quiet", 'q', OPTION_FLAG, NULL, NULL, "say only what was asked for, and errors", 0, 0, false},
    {"verbose", 'v', OPTION_FLAG, NULL, NULL, "log what happens, in detail", 0, 0, false},
    {"help", 'h', OPTION_FLAG, NULL, NULL, "print this", 0, 0, false},
    OPTIONS_END,
};

struct option_text {
    struct option_text *next;
    char text[];
};

/* Sources, the strongest last. */
enum { RANK_DEFAULT, RANK_FILE, RANK_ENVIRONMENT, RANK_FLAG };

/* ---- near words ---- */

/* How many characters must be put in, left out, exchanged or swapped with their neighbour to make one word of the
 * other; of words up to WORD_SIZE_MAX. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][WORD_SIZE_MAX + 1], b_size = strnlen(b, WORD_SIZE_MAX);
    size_t *above = rows[0], *row = rows[1], *next = rows[2];
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= WORD_SIZE_MAX && a[i - 1]; i++) {
        next[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = row[j - 1] + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (next[j - 1] + 1 < best)
                best = next[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above[j - 2] + 1 < best)
                best = above[j - 2] + 1;
            next[j] = best;
        }
        size_t *oldest = above;
        above = row;
        row = next;
        next = oldest;
    }
    return row[b_size];
}

const char *nearest_word(const char *name, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t least = strnlen(name, WORD_SIZE_MAX) / 2 + 1;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(name, words[i]);
        if (d >= least)
            continue;
        least = d;
        nearest = words[i];
    }
    return nearest;
}

static enum cx_err unknown(const struct options *options, const char *place, const char *name)
{
    const char *words[OPTIONS_MAX];
    for (uint32_t i = 0; i < options->count; i++)
        words[i] = options->option[i].info->name;
    const char *nearest = nearest_word(name, words, options->count);
    if (nearest)
        return cx_fail(CX_INVALID, "%s: there is no option \"%s\"; did you mean \"%s\"?", place, name, nearest);
    return cx_fail(CX_INVALID, "%s: there is no option \"%s\"; --help lists them", place, name);
}

/* ---- values ---- */

static const char *keep(struct options *options, const char *text)
{
    size_t size = strlen(text) + 1;
    struct option_text *kept = malloc(sizeof *kept + size);
    cx_assert(kept);
    memcpy(kept->text, text, size);
    kept->next = options->texts;
    options->texts = kept;
    return kept->text;
}

static enum cx_err check(const struct option_info *info, const char *from, const char *text)
{
    if (info->type == OPTION_FLAG) {
        static const char *const right[] = {"true", "false", "yes", "no", "1", "0"};
        for (size_t i = 0; i < ARRAY_COUNT(right); i++)
            if (strcmp(text, right[i]) == 0)
                return CX_OK;
        return cx_fail(CX_INVALID, "%s: %s is yes or no, not \"%s\"", from, info->name, text);
    }
    if (info->type == OPTION_TEXT)
        return CX_OK;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno == ERANGE)
        return cx_fail(CX_INVALID, "%s: %s is a number, not \"%s\"", from, info->name, text);
    if (info->max > 0 && (value < info->min || value > info->max))
        return cx_fail(CX_INVALID, "%s: %s is %llu..%llu, not %s", from, info->name, (unsigned long long)info->min,
                       (unsigned long long)info->max, text);
    return CX_OK;
}

static enum cx_err give(struct option *option, int rank, const char *from, const char *text)
{
    enum cx_err err = check(option->info, from, text);
    if (err || rank < option->rank)
        return err;
    if (rank > option->rank || !option->info->repeats)
        option->count = 0;
    if (option->count == OPTION_VALUES_MAX)
        return cx_fail(CX_INVALID, "%s: %s more than %d times", from, option->info->name, OPTION_VALUES_MAX);
    option->rank = rank;
    option->from = from;
    option->text[option->count++] = text;
    return CX_OK;
}

static struct option *find_sized(struct options *options, const char *name, size_t size)
{
    for (uint32_t i = 0; i < options->count; i++)
        if (strlen(options->option[i].info->name) == size && strncmp(options->option[i].info->name, name, size) == 0)
            return &options->option[i];
    return NULL;
}

static struct option *find_letter(struct options *options, char letter)
{
    for (uint32_t i = 0; i < options->count; i++)
        if (options->option[i].info->letter == letter)
            return &options->option[i];
    return NULL;
}

/* ---- flags ---- */

static enum cx_err read_flags(struct options *options, int argc, char **argv)
{
    bool only_arguments = false;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        if (only_arguments || word[0] != '-' || !word[1]) {
            if (options->arguments == ARGUMENTS_MAX)
                return cx_fail(CX_INVALID, "more than %d arguments", ARGUMENTS_MAX);
            options->argument[options->arguments++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            only_arguments = true;
            continue;
        }
        const char *name = word + (word[1] == '-' ? 2 : 1), *equals = strchr(name, '=');
        size_t size = equals ? (size_t)(equals - name) : strlen(name);
        struct option *option = word[1] == '-' ? find_sized(options, name, size)
                                : size == 1    ? find_letter(options, name[0])
                                               : NULL;
        if (!option) {
            char unknown_name[WORD_SIZE_MAX + 1];
            snprintf(unknown_name, sizeof unknown_name, "%.*s", (int)size, name);
            return unknown(options, word, unknown_name);
        }
        const char *text = equals ? equals + 1 : option->info->type == OPTION_FLAG ? "true" : NULL;
        if (!text && i + 1 < argc)
            text = argv[++i];
        if (!text)
            return cx_fail(CX_INVALID, "%s: %s is missing", word, option->info->value);
        enum cx_err err = give(option, RANK_FLAG, word, text);
        if (err)
            return err;
    }
    return CX_OK;
}

/* ---- environment ---- */

static enum cx_err read_environment(struct options *options)
{
    for (uint32_t i = 0; i < options->count; i++) {
        char name[WORD_SIZE_MAX + 8];
        snprintf(name, sizeof name, "CORTEN_%s", options->option[i].info->name);
        for (char *c = name; *c; c++)
            *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        const char *text = getenv(name);
        enum cx_err err = text ? give(&options->option[i], RANK_ENVIRONMENT, keep(options, name), text) : CX_OK;
        if (err)
            return err;
    }
    return CX_OK;
}

/* ---- the file ---- */

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        text[--size] = '\0';
    return text;
}

/* One line: a comment, a [section], or name = value. */
static enum cx_err read_line(struct options *options, const char *section, const char *place, char *line, bool *ours)
{
    line = trim(line);
    if (!*line || *line == '#' || *line == ';')
        return CX_OK;
    size_t size = strlen(line);
    if (*line == '[') {
        if (line[size - 1] != ']')
            return cx_fail(CX_INVALID, "%s: a section ends with ]", place);
        line[size - 1] = '\0';
        *ours = strcmp(trim(line + 1), section) == 0;
        return CX_OK;
    }
    char *equals = strchr(line, '=');
    if (!equals)
        return cx_fail(CX_INVALID, "%s: expected name = value", place);
    *equals = '\0';
    if (!*ours)
        return CX_OK;
    char *name = trim(line);
    struct option *option = find_sized(options, name, strlen(name));
    if (!option)
        return unknown(options, place, keep(options, name));
    return give(option, RANK_FILE, keep(options, place), keep(options, trim(equals + 1)));
}

static enum cx_err read_file(struct options *options, const char *section, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return cx_fail(CX_NOT_FOUND, "--config: %s cannot be read", path);
    char line[4096], place[512];
    enum cx_err err = CX_OK;
    bool ours = true;
    for (unsigned number = 1; !err && fgets(line, sizeof line, file); number++) {
        snprintf(place, sizeof place, "%s:%u", path, number);
        err = strlen(line) + 1 == sizeof line ? cx_fail(CX_INVALID, "%s: the line is too long", place)
                                              : read_line(options, section, place, line, &ours);
    }
    if (!err && ferror(file))
        err = cx_fail(CX_IO, "--config: reading %s failed", path);
    fclose(file);
    return err;
}

/* ---- all together ---- */

static void add_infos(struct options *options, const struct option_info *infos)
{
    for (const struct option_info *info = infos; info->name; info++) {
        cx_assert(options->count < OPTIONS_MAX);
        struct option *option = &options->option[options->count++];
        *option = (struct option){.info = info, .from = "default"};
        if (info->default_)
            option->text[option->count++] = info->default_;
    }
}

enum cx_err options_read(const char *section, const struct option_info *infos, int argc, char **argv,
                         struct options *ret_options)
{
    struct options *o = ret_options;
    memset(o, 0, sizeof *o);
    add_infos(o, infos);
    add_infos(o, options_common);
    enum cx_err err = read_flags(o, argc, argv);
    o->help = !err && option_flag(o, "help");
    if (!err && !o->help)
        err = read_environment(o);
    const char *path = err || o->help ? NULL : option_text(o, "config");
    if (path)
        err = read_file(o, section, path);
    if (err)
        options_done(o);
    return err;
}

void options_done(struct options *options)
{
    while (options->texts) {
        struct option_text *next = options->texts->next;
        free(options->texts);
        options->texts = next;
    }
}

const struct option *option_find(const struct options *options, const char *name)
{
    for (uint32_t i = 0; i < options->count; i++)
        if (strcmp(options->option[i].info->name, name) == 0)
            return &options->option[i];
    cx_assert(false);  // only options of the table are asked for
    return NULL;
}

bool option_flag(const struct options *options, const char *name)
{
    const char *text = option_text(options, name);
    return text && (strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "1") == 0);
}

const char *option_text(const struct options *options, const char *name)
{
    const struct option *option = option_find(options, name);
    return option->count ? option->text[option->count - 1] : NULL;
}

uint64_t option_number(const struct options *options, const char *name)
{
    const char *text = option_text(options, name);
    return text ? strtoull(text, NULL, 10) : 0;
}

bool option_given(const struct options *options, const char *name)
{
    return option_find(options, name)->rank > RANK_DEFAULT;
}
