/* shim.h - what the crash tests and the program under test share: a page of memory in a file that both map.
 *
 *      tests/crash/control.mjs --writes: armed, action, wanted, room--> control <--counts, says when it acted-- shim.c
 *
 * shim.c stands between the program and the system (LD_PRELOAD). It counts what the program writes below one folder,
 * and what it sends. Such an operation is a *boundary*, and has a class:
 *
 *      class = phase 2 | kind of file 4 | operation 4 | part 3 | ordinal 3      16 bits, the phase highest
 *
 * where the ordinal says how many operations the same file had since its last sync: 0, 1, 2, 3, 4-7, 8-15, 16-31, more.
 * At the boundary it is told of, the shim acts once; most acts end the process by SIGKILL, as a crash does. All numbers
 * are 8 bytes, in the machine's order.
 */
#ifndef CORTEN_TESTS_SHIM_H
#define CORTEN_TESTS_SHIM_H

#include <stdatomic.h>
#include <stdint.h>

#define CRASH_CLASSES   65536
#define CRASH_SECTOR    512  // what a disk writes whole or not at all
#define CRASH_ANY_CLASS UINT64_MAX
#define CRASH_ROOM_ALL  UINT64_MAX

/* The names of kinds, operations and parts in control.mjs stand in this order. */
enum crash_kind {
    CRASH_LEDGER,
    CRASH_LEDGER_LOG,
    CRASH_LEDGER_SHARED,
    CRASH_OWNER,
    CRASH_ARCHIVE,
    CRASH_ARCHIVE_LOG,
    CRASH_ARCHIVE_SHARED,
    CRASH_FOLDER,
    CRASH_SOCKET,
    CRASH_OTHER,
};

enum crash_op { CRASH_WRITE, CRASH_TRUNCATE, CRASH_SYNC, CRASH_UNLINK, CRASH_RENAME, CRASH_CREATE, CRASH_SEND };

enum crash_part {
    CRASH_PART_NONE,
    CRASH_PART_HEAD,         // of a file, or of an HTTP answer
    CRASH_PART_FRAME,        // a write-ahead log's frame, its head; or a WebSocket's
    CRASH_PART_PAGE,         // its page; or a page of a database
    CRASH_PART_COMMIT,       // the head of the frame that ends a transaction
    CRASH_PART_COMMIT_PAGE,  // its page
};

enum crash_action {
    CRASH_NOTHING,
    CRASH_BEFORE,        // SIGKILL in place of the operation
    CRASH_AFTER,         // SIGKILL right behind it
    CRASH_TORN,          // some sectors of a write from its beginning, or some bytes of what is sent; then SIGKILL
    CRASH_POWER_BEFORE,  // SIGKILL in place of it, and what was not synced is kept or lost by chance, sector by sector
    CRASH_POWER_AFTER,   // the same behind it
    CRASH_FAIL_ONCE,     // a write or a sync fails with EIO; what it should have made durable is lost, whatever later
                         // syncs say
    CRASH_FAIL_ALWAYS,   // and all later ones do
};

struct crash_control {
    _Atomic uint64_t armed;    // 1: act at the boundary that is told of; the shim clears it
    uint64_t countdown;        // boundaries of that class to pass over before
    uint64_t wanted;           // the class, or CRASH_ANY_CLASS
    uint64_t mask;             // bits of the class that count
    uint64_t sends;            // 1: what is sent counts for CRASH_ANY_CLASS; 2: nothing else does
    uint64_t action;           // enum crash_action
    uint64_t seed;             // of what is kept and lost
    _Atomic uint64_t phase;    // 0..3, as the test says
    _Atomic uint64_t room;     // bytes by which files may grow until the disk is full
    _Atomic uint64_t fired;    // 1: it has acted
    uint64_t fired_class;      // at which boundary
    uint64_t lost;             // sectors that were not kept
    _Atomic uint64_t cut;      // 1: the power fails where the process ends by itself
    _Atomic uint64_t refused;  // writes that found the disk full, and syncs that failed
    uint64_t count[CRASH_CLASSES];
};

#endif
