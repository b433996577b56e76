#include "cli/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "cli/command_line.h"

#define CREDITS_A_COIN 1000000
#define COIN_DIGITS    6
#define ELLIPSIS       "…"
#define BOLD           "\033[1m"

/* ---- finding ---- */

const json_t *json_find(const json_t *at, const char *path)
{
    while (at && *path) {
        size_t size = strcspn(path, ".");
        at = json_object_getn(at, path, size);
        path += size + (path[size] == '.');
    }
    return at;
}

const char *json_find_text(const json_t *at, const char *path)
{
    const char *text = json_string_value(json_find(at, path));
    return text ? text : "";
}

uint64_t json_find_u64(const json_t *at, const char *path)
{
    const json_t *value = json_find(at, path);
    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : strtoull(json_find_text(at, path), NULL, 10);
}

/* ---- one value ---- */

/* Control characters would steer the terminal, or break the line. */
static void add_clean(struct buf *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < size && (unsigned char)text[i + 1] < 0xa0);
        buf_add(out, control ? "?" : text + i, 1);
        i += c == 0xc2 && control;  // C1 controls have two bytes
    }
}

static void add_plain(struct buf *out, const json_t *value)
{
    if (json_is_string(value))
        add_clean(out, json_string_value(value), json_string_length(value));
    else if (json_is_integer(value))
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        buf_printf(out, "%g", json_real_value(value));
    else if (json_is_boolean(value))
        buf_text(out, json_is_true(value) ? "yes" : "no");
}

static void add_joined(struct buf *out, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (i > 0)
            buf_text(out, ", ");
        const json_t *item = json_array_get(list, i);
        add_plain(out, json_is_object(item) && json_object_get(item, "name") ? json_object_get(item, "name") : item);
    }
}

void show_value(const json_t *value, struct buf *ret_text)
{
    if (json_is_array(value))
        add_joined(ret_text, value);
    else
        add_plain(ret_text, value);
}

static void add_coins(struct buf *out, uint64_t credits)
{
    char part[COIN_DIGITS + 1];
    snprintf(part, sizeof part, "%06" PRIu64, credits % CREDITS_A_COIN);
    size_t size = COIN_DIGITS;
    while (size > 0 && part[size - 1] == '0')
        size--;
    buf_printf(out, "%" PRIu64 "%s%.*s", credits / CREDITS_A_COIN, size > 0 ? "." : "", (int)size, part);
}

static void add_time(struct buf *out, uint64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];
    if (!gmtime_r(&seconds, &tm) || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        return;
    buf_printf(out, "%s.%03uZ", text, (unsigned)(ms % 1000));
}

static void add_value(struct buf *out, const json_t *object, const struct column *column)
{
    const json_t *value = json_find(object, column->path);
    if (!value || json_is_null(value))
        return;
    switch (column->show) {
    case SHOW_TEXT:
    case SHOW_NUMBER:
    case SHOW_STATE: show_value(value, out); return;
    case SHOW_COINS: add_coins(out, json_find_u64(object, column->path)); return;
    case SHOW_TIME: add_time(out, json_find_u64(object, column->path)); return;
    }
}

/* ---- colours ---- */

static const char *colour_of(const char *state)
{
    static const char *const good[] = {"EPHEMERAL", "RESERVED", "ACTIVE", "COMPLETED", "ACCEPTED", "LIVE", "PRESENT"};
    static const char *const bad[] = {"BANNED", "FAILED", "EXPIRED", "REJECTED", "WITHHELD", "OFFLINE", "SILENT"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        if (strcmp(state, good[i]) == 0)
            return "\033[32m";
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (strcmp(state, bad[i]) == 0)
            return "\033[31m";
    return "\033[33m";
}

static void put(const char *text, const char *colour)
{
    if (colour && is_colourful())
        printf("%s%s\033[0m", colour, text);
    else
        fputs(text, stdout);
}

/* ---- tables ---- */

static size_t width_of(const char *text)
{
    size_t width = 0;
    for (const char *c = text; *c; c++)
        width += ((unsigned char)*c & 0xc0) != 0x80;
    return width;
}

static char *cell(const json_t *row, const struct column *column)
{
    struct buf text = {0};
    add_value(&text, row, column);
    if (text.size > SHOW_CELL_SIZE) {
        size_t size = utf8_whole_prefix(text.data, SHOW_CELL_SIZE - strlen(ELLIPSIS));
        text.size = size;
        buf_text(&text, ELLIPSIS);
    }
    char *copy = strdup(text.data ? text.data : "");
    cx_assert(copy);
    buf_done(&text);
    return copy;
}

static bool is_right(const struct column *column) { return column->show == SHOW_NUMBER || column->show == SHOW_COINS; }

static void put_cell(const char *text, const struct column *column, size_t width, bool last, const char *colour)
{
    int pad = (int)(width - width_of(text));
    if (is_right(column))
        printf("%*s", pad, "");
    put(text, colour);
    if (last)
        putchar('\n');
    else
        printf("%*s", is_right(column) ? 2 : pad + 2, "");
}

void show_rows(const json_t *rows, const struct column *columns, const char *empty)
{
    size_t count = json_array_size(rows), wide = 0, width[SHOW_COLUMNS_MAX];
    if (count == 0) {
        puts(empty);
        return;
    }
    for (; columns[wide].title; wide++) {
        cx_assert(wide < SHOW_COLUMNS_MAX);
        width[wide] = width_of(columns[wide].title);
    }
    char **cells = calloc(count * wide, sizeof *cells);
    cx_assert(cells);
    for (size_t i = 0; i < count * wide; i++) {
        cells[i] = cell(json_array_get(rows, i / wide), &columns[i % wide]);
        if (width_of(cells[i]) > width[i % wide])
            width[i % wide] = width_of(cells[i]);
    }
    for (size_t c = 0; c < wide; c++)
        put_cell(columns[c].title, &columns[c], width[c], c + 1 == wide, BOLD);
    for (size_t i = 0; i < count * wide; i++) {
        const struct column *column = &columns[i % wide];
        put_cell(cells[i], column, width[i % wide], (i + 1) % wide == 0,
                 column->show == SHOW_STATE ? colour_of(cells[i]) : NULL);
        free(cells[i]);
    }
    free(cells);
}

void show_fields(const json_t *object, const struct column *columns)
{
    size_t width = 0;
    for (const struct column *c = columns; c->title; c++)
        if (width_of(c->title) > width)
            width = width_of(c->title);
    for (const struct column *c = columns; c->title; c++) {
        struct buf text = {0};
        add_value(&text, object, c);
        if (text.size > 0) {
            printf("%s%*s", c->title, (int)(width - width_of(c->title)) + 2, "");
            put(text.data, c->show == SHOW_STATE ? colour_of(text.data) : NULL);
            putchar('\n');
        }
        buf_done(&text);
    }
}

void show_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
    putchar('\n');
}

void show_text(const char *text, size_t size)
{
    if (!isatty(STDOUT_FILENO)) {
        fwrite(text, 1, size, stdout);
        return;
    }
    struct buf clean = {0};
    for (size_t i = 0; i < size; i++) {
        size_t line = 0;
        while (i + line < size && text[i + line] != '\n' && text[i + line] != '\t')
            line++;
        add_clean(&clean, text + i, line);
        i += line;
        if (i < size)
            buf_add(&clean, text + i, 1);
    }
    fwrite(clean.data ? clean.data : "", 1, clean.size, stdout);
    buf_done(&clean);
}
