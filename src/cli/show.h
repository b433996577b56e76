/* show.h - a router's JSON, shown to people: tables of rows, lists of fields.
 *
 *      static const struct column columns[] = {
 *          {"TASK", "task_id", SHOW_TEXT},
 *          {"CHARGED", "charged", SHOW_COINS},
 *          {0}
 *      };
 *      show_rows(json_object_get(answer, "tasks"), columns, "no tasks yet");
 *
 * What came from elsewhere cannot steer the terminal: control characters are shown as '?'.
 */
#ifndef CORTEN_CLI_SHOW_H
#define CORTEN_CLI_SHOW_H

#include "cli/options.h"
#include "proto/json.h"

#define SHOW_COLUMNS_MAX 16
#define SHOW_CELL_SIZE   160  // bytes of one cell of a table; more is cut, with an ellipsis

enum show {
    SHOW_TEXT,    // strings, numbers, yes and no, lists joined by commas
    SHOW_NUMBER,  // to the right
    SHOW_COINS,   // credits as coins: 1500000 is 1.5
    SHOW_STATE,   // coloured by what it means
    SHOW_TIME,    // milliseconds since 1970 as UTC
};
struct column {
    const char *title;
    const char *path;  // "money.balances"
    enum show show;
};

/* The member at a path of keys parted by points; NULL: there is none. Borrowed. */
const json_t *json_find(const json_t *at, const char *path);
/* "" where it is none. */
const char *json_find_text(const json_t *at, const char *path);
/* A number, or its digits in a string; 0 where it is none. */
uint64_t json_find_u64(const json_t *at, const char *path);

/* A table, one line a row; columns end with a NULL title. `empty` is said where there is no row. */
void show_rows(const json_t *rows, const struct column *columns, const char *empty);
/* One line a field; what is missing or null is left out. */
void show_fields(const json_t *object, const struct column *columns);
/* One value as a table shows it: text, number, yes or no, or a list of these. */
void show_value(const json_t *value, struct buf *ret_text);
/* For --json: what the router said. */
void show_json(const json_t *value);

/* Text of any size to standard output, without what could steer a terminal where it is one. */
void show_text(const char *text, size_t size);

#endif
