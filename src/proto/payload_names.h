/* payload_names.h - which pack of the table `payload` has the payload of a name.
 *
 *      payload     pack 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 ...
 *      runs        [ 1 .. 4      ] [ 5, 6 ]   without names yet
 *
 * A hash is nowhere near the one before it: an index of them would write a page for each. So names are written some
 * thousand together, as a *run*: those of the packs first..last in order, in a row for each first byte that they have.
 * A run takes up the one before it unless that one is more than twice as long, so that runs grow long and few: to find
 * a name is to look into each, with a row and a search in it, and through the packs behind the last run.
 *
 *      payload_name    run (first << 8 | first byte of the names), last, count (of names in the run, all its rows),
 *                      names (sorted; each the first eight bytes of a name and, in four, pack - first and index)
 *
 * Names of payloads that are gone stay until all of their run's are.
 */
#ifndef CORTEN_PROTO_PAYLOAD_NAMES_H
#define CORTEN_PROTO_PAYLOAD_NAMES_H

#include "base/db.h"
#include "base/types.h"

#define PAYLOAD_NAMES_MIN     4096   // payloads without names, from which on they are written
#define PAYLOAD_NAMES_IDLE    64     // the same, where a commit brings one alone
#define PAYLOAD_NAMES_RUN_MAX 65536  // names of a run that took up another

#define PAYLOAD_NAMES_PREFIX 8                 // bytes of a name
#define PAYLOAD_NAMES_ENTRY  (8 + 4)           // those, and (pack - first) << 8 | index
#define PAYLOAD_NAMES_SPAN   ((1u << 24) - 1)  // last - first of a run, at most

#define PAYLOAD_NAMES_SCHEMA                                                                   \
    "CREATE TABLE IF NOT EXISTS payload_name (run INTEGER PRIMARY KEY, last INTEGER NOT NULL," \
    " count INTEGER NOT NULL, names BLOB NOT NULL);"

struct payload_name_entry {
    uint8_t b[PAYLOAD_NAMES_ENTRY];
};
struct payload_name_entry payload_name_entry(const uint8_t *name, uint64_t packs_on, uint32_t index);
/* What it says: pack - first. */
uint32_t payload_name_packs_on(const struct payload_name_entry *entry);
/* As qsort and bsearch want it: by name, then by place. */
int payload_name_compare(const void *a, const void *b);

struct payload_names;

/* Both tables must be there. */
enum cx_err payload_names_open(sqlite3 *db, struct payload_names **ret_names);
/* Before its database. Takes NULL. */
void payload_names_close(struct payload_names *names);

/* In the transaction that put so many payloads: writes a run if it is time to. */
enum cx_err payload_names_put(struct payload_names *names, uint32_t payloads);
/* In the transaction that removed packs: removes the runs of which none is left. */
enum cx_err payload_names_forget(struct payload_names *names);

/* *ret_pack: packs behind it have no names yet. Ask before looking through them, and look into runs after that: then
 * nobody can name them in between. */
enum cx_err payload_names_last(struct payload_names *names, uint64_t *ret_pack);
/* Asks `is` about each payload whose name begins as this one, from the last run to the first, until one is it. */
typedef enum cx_err payload_is(void *ctx, uint64_t pack, uint32_t index, bool *ret_is);
enum cx_err payload_names_find(struct payload_names *names, const struct hash *sha256, payload_is *is, void *ctx);

/* Whether runs and packs fit together, all of them. */
enum cx_err payload_names_check(sqlite3 *db, bool *ret_fit);

#endif
