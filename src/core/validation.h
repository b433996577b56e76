/* validation.h - which committed answers stand, and the audits that look again after they stood.
 *
 *      audit:  WAITING -> DRAWN -> ASKED -> DECIDED | VOID         WAITING -> SPARED
 *
 * Validation gates a task by its session's policy; an audit never does. Whether a task is audited is drawn from the
 * first beacon after its commit, so nobody knows while answering. An audit holds all that it needs after the task has
 * left the core, and the pay that waits for it.
 *
 * Shape:  audit[audits_cap] by slot; those in WAITING are one list, oldest first.
 * Source: docs/protocol.md, "Validation" and "Audits".
 */
#ifndef CORTEN_CORE_VALIDATION_H
#define CORTEN_CORE_VALIDATION_H

#include "core/cognitive.h"
#include "core/payment.h"

struct audit {
    enum audit_state state;
    uint64_t task, lease;
    uint64_t node_id;  // its slot and generation: it may be gone by now
    struct address node, node_operator;
    uint32_t at;      // index in the node's model[]
    uint32_t oracle;  // who was drawn
    uint32_t audit_bp;
    uint64_t deadline_ms;  // from WAITING on
    uint64_t beacons;      // heartbeats at its commit: the draw takes a later one
    uint32_t judged_by;    // bits by oracle slot
    uint8_t passes, flags, unmeasurable;
    bool counts;          // false where agreement is no evidence: then it moves nobody's test
    uint32_t prev, next;  // in the list of WAITING
};

struct validation {
    struct step *step;
    struct account_book *account;
    struct cognitive *cognitive;
    struct node_pool *node_pool;
    struct payment *payment;
    struct reputation *reputation;
    struct audit *audit;
    struct slots slots;
    struct heap due;  // by audit: deadlines
    struct {
        uint32_t head, tail;
    } waiting;
};

bool validation_init(struct validation *validation, struct arena *arena, struct step *step,
                     struct account_book *account, struct cognitive *cognitive, struct node_pool *node_pool,
                     struct payment *payment, struct reputation *reputation);
void validation_rows(struct validation *validation, struct rows *rows);
void validation_check(const struct validation *validation);
uint64_t validation_due_ms(const struct validation *validation);
void validation_sweep(struct validation *validation);  // one draw, or one deadline

/* The decision. `answer` has one row for each reveal that matched, by ascending lease. */
struct answer {
    struct hash text_digest;
    bool accepted;  // out
};
/* Marks who stands by `policy` (HASH: all; MAJORITY: those of the text digest that at least
 * floor(redundancy / 2) + 1 share); gives how many. */
uint32_t validation_decide(enum validation_policy policy, uint32_t redundancy, struct answer *answer, uint32_t count);

/* Audits. Enters an accepted assignment into the draw; SLOT_NONE where none is needed (no oracle lives, the table is
 * full, rate 0), then it is paid at once. */
struct audit_terms {
    uint64_t task, lease;
    uint32_t node, at, audit_bp;
    bool counts;
};
uint32_t audit_enter(struct validation *validation, const struct audit_terms *terms);
enum verdict audit_ask(struct validation *validation, const struct cmd_audit_ask *cmd, uint32_t oracle);
enum verdict audit_verdict(struct validation *validation, const struct cmd_audit_verdict *cmd, uint32_t oracle);

#endif
