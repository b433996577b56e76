/* archive_writer.h - an archive that is written on a thread of its own, batch by batch, and read beside it.
 *
 *      archive_writer_put(w, batch)   -> waits -> [thread: one transaction a batch] -> written
 *      archive_writer_take(w, &batch) <- gives those that are written back, in order
 *
 * A batch is lent: whoever put it keeps it, and all that its rows point to, unchanged until it is taken back. So its
 * rows can be shown from memory until they can be shown from the archive.
 *
 * Where the thread is behind by ARCHIVE_BATCHES_WAITING_MAX batches, who puts another one writes one as well: memory
 * stays bounded, and nobody waits for nothing. An archive in memory has no thread: its batches are written when they
 * are put.
 *
 * The first failure stays: nothing is written after it, for a later batch must not be there without an earlier one.
 */
#ifndef CORTEN_LEDGER_ARCHIVE_WRITER_H
#define CORTEN_LEDGER_ARCHIVE_WRITER_H

#include "ledger/archive.h"

#define ARCHIVE_BATCHES_WAITING_MAX 16

struct archive_batch {
    uint64_t seq;                // all there is to put up to and including this entry
    struct archived_task *task;  // in the order of the ledger; those of one entry as they come: the writer sorts them
    const struct archived_event *event;
    const struct archived_verdict *verdict;
    uint32_t tasks, events, verdicts;
    struct archive_batch *next;  // the writer's
};

struct archive_writer;

/* As archive_open. */
enum cx_err archive_writer_open(const char *path, uint64_t network, struct archive_writer **ret_writer);
/* Writes what waits, unless it has failed; what was not taken back is the caller's again. Takes NULL. */
void archive_writer_close(struct archive_writer *writer);
/* For the questions of the thread that puts. */
struct archive *archive_writer_reader(struct archive_writer *writer);
/* What was in the archive when it was opened. */
uint64_t archive_writer_had_seq(const struct archive_writer *writer);

void archive_writer_put(struct archive_writer *writer, struct archive_batch *batch);
/* The next one that was written; NULL: none yet. Fails as the archive did, when all that was written is taken. */
enum cx_err archive_writer_take(struct archive_writer *writer, struct archive_batch **ret_batch);
/* Forgets what is older, as archive_forget does, step by step between the batches. */
void archive_writer_forget(struct archive_writer *writer, uint64_t before_ms);

#endif
