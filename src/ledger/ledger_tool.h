/* ledger_tool.h - what people do to whole ledgers: check, carry to another backend, copy while one is running.
 *
 * The portable file, numbers big-endian; batches stand in it as they stand on the ledger, so that its chain is the
 * ledger's own, whatever backend it is imported into:
 *
 *      file  = "corten-ledger-1\n" 16 | network 8 | batch ... | end
 *      batch = 'B' 1 | seq 8 | count 4 | router 20 | epoch 8 | number 8 | time_ms 8 | chain 32 | size 4 | body
 *      end   = 'E' 1 | seq of the last entry 8 | batches 8 | chain 32
 *
 * Source: docs/protocol.md, "Ledger".
 */
#ifndef CORTEN_LEDGER_LEDGER_TOOL_H
#define CORTEN_LEDGER_LEDGER_TOOL_H

#include "ledger/ledger.h"

#define LEDGER_FILE_MAGIC "corten-ledger-1\n"

/* Called now and then, and at the end with done == total. Entries, or pages for ledger_backup; total 0: not known. */
typedef void ledger_progress(void *ctx, uint64_t done, uint64_t total);

struct ledger_totals {
    uint64_t entries;
    uint64_t batches;
    uint64_t size;  // bytes of bodies
    struct ledger_head head;
};

/* Reads everything and checks sizes, positions, times and chain; in a `sqlite:` ledger also the file's own order, the
 * log beside it, payloads by their names and routers' epochs. What the commands mean is not looked at. Of damage
 * nothing goes unnoticed but in the last commit of a log that no process has closed: it looks like one that a crash cut
 * off. */
enum cx_err ledger_verify(struct ledger *ledger, ledger_progress *progress, void *ctx,
                          struct ledger_totals *ret_totals);
/* Writes the portable file, whole or not at all. EXISTS: the path is taken. */
enum cx_err ledger_export(struct ledger *ledger, const char *path, ledger_progress *progress, void *ctx,
                          struct ledger_totals *ret_totals);
/* Makes a new ledger of the file's network and contents. EXISTS: there is one with entries already. CORRUPT: what in
 * the file is damaged, by batch; the batches before it are then imported. */
enum cx_err ledger_import(const char *path, const char *uri, ledger_progress *progress, void *ctx,
                          struct ledger_totals *ret_totals);
/* Copies a `sqlite:` ledger, its payloads too, as it is at one moment, while another process may write to it; then
 * checks the copy. EXISTS: the path is taken. UNSUPPORTED: other backends, by name. */
enum cx_err ledger_backup(const char *uri, const char *path, ledger_progress *progress, void *ctx,
                          struct ledger_totals *ret_totals);

#endif
