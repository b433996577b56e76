/* terms.h - the small closed sets of the protocol. Values are stored, signed and sent: never renumbered.
 * Names for people come from term_name(): docs/glossary.md has the words.
 * Source: docs/protocol.md, "Terms". */
#ifndef CORTEN_CORE_TERMS_H
#define CORTEN_CORE_TERMS_H

#include "base/types.h"

// clang-format off
/* Each set is a list of X(VALUE, number); the enumerators are PREFIX_VALUE. */
#define NODE_STATES(X) X(UNTESTED, 0) X(TESTING, 1) X(EPHEMERAL, 2) X(RESERVED, 3) X(RELEASED, 4) \
    X(RECALIBRATING, 5) X(OFFLINE, 6) X(LEAVING, 7) X(GONE, 8) X(BANNED, 9)
#define NODE_REASONS(X) X(NONE, 0) X(ROUND_REQUESTED, 1) X(PASSED, 2) X(FAILED, 3) X(ROUND_ABORTED, 4) \
    X(PICKED, 5) X(SESSION_ENDED, 6) X(ABSENT, 7) X(RETURNED, 8) X(LEFT, 9) X(CONDEMNED, 10) X(BACKOFF_OVER, 11) \
    X(BAN_LIFTED, 12) X(REPLACED, 13)
#define NODE_CLASSES(X) X(UNVERIFIED, 0) X(VERIFIED, 1)
#define ENGINES(X) X(BUILTIN, 1) X(LLAMA, 2) X(OPENAI, 3) X(ECHO, 4)
#define DETACH_REASONS(X) X(CLOSED, 0) X(TIMEOUT, 1) X(REPLACED, 2) X(DRAINED, 3) X(PROTOCOL, 4) X(SHUTDOWN, 5)
#define SESSION_STATES(X) X(OPENING, 0) X(ACTIVE, 1) X(DRAINING, 2) X(CLOSED, 3)
#define SESSION_REASONS(X) X(NONE, 0) X(RESERVED, 1) X(NO_NODES, 2) X(OWNER, 3) X(DRAINED, 4) X(DRAIN_TIMEOUT, 5)
#define RELEASE_REASONS(X) X(NONE, 0) X(TIME, 1) X(TASKS, 2) X(IDLE, 3) X(LOST, 4) X(SLA, 5) X(SESSION_CLOSED, 6) X(OWNER, 7)
#define SESSION_MODES(X) X(EPHEMERAL, 0) X(HYBRID, 1) X(DEDICATED, 2)
#define SESSION_RESERVES(X) X(AT_OPEN, 0) X(ON_DEMAND, 1)
#define SLAS(X) X(LOW, 0) X(MEDIUM, 1) X(HIGH, 2)
#define VALIDATION_POLICIES(X) X(HASH, 0) X(MAJORITY, 1) X(SIMILARITY, 2) X(RESCORE, 3) X(JUDGE, 4)
#define ON_NO_VERDICTS(X) X(ACCEPT_UNVERIFIED, 0) X(RETRY, 1) X(REFUND, 2)
#define STREAM_WHENS(X) X(AT_ONCE, 0) X(AFTER_VALIDATION, 1)
#define SESSION_ACCESSES(X) X(PUBLIC, 0) X(MEMBERS, 1)
#define SESSION_PRIVACIES(X) X(PUBLIC, 0) X(RESTRICTED, 1) X(ENCRYPTED, 2)
#define SESSION_RESULTS(X) X(INLINE, 0) X(REFERENCE, 1) X(VERDICT, 2)
#define SESSION_PAYS(X) X(OWNER, 0) X(PAYER, 1)
#define SESSION_EVIDENCES(X) X(SIGNED, 0) X(CHANNEL, 1)
#define POOL_ROUTES(X) X(DELEGATE, 0) X(VALIDATE, 1)
#define TASK_STATES(X) X(QUEUED, 0) X(ASSIGNED, 1) X(ACKED, 2) X(PRECOMMITTED, 3) X(COMMITTED, 4) X(VALIDATED, 5) \
    X(COMPLETED, 6) X(CANCELLED, 7) X(EXPIRED, 8) X(FAILED, 9)
#define ASSIGNMENT_STATES(X) X(OFFERED, 0) X(ACKED, 1) X(PRECOMMITTED, 2) X(COMMITTED, 3) X(ACCEPTED, 4) X(REJECTED, 5) \
    X(DECLINED, 6) X(TIMED_OUT, 7) X(WITHHELD, 8) X(RECALLED, 9)
/* Why an assignment, attempt or task failed. The first seven are counted on the task. */
#define FAIL_CAUSES(X) X(NONE, 0) X(DECLINED, 1) X(ENGINE, 2) X(SILENT, 3) X(LATE, 4) X(WITHHELD, 5) X(WRONG, 6) \
    X(OUTVOTED, 7) X(NO_NODES, 8) X(POISON, 9) X(SESSION_CLOSED, 10) X(CANCELLED, 11) X(TIMEOUT, 12) X(STREAM_DIFFERS, 13) \
    X(NODE_LOST, 14) X(ROUTER_LOST, 15) X(NO_VERDICT, 16) X(PAYLOAD_MISSING, 17) X(SUPERSEDED, 18)
#define DECLINE_REASONS(X) X(BUSY, 0) X(ENGINE, 1) X(CONTEXT, 2) X(PAYLOAD_MISSING, 3) X(UNSUPPORTED, 4) X(DRAINING, 5)
#define FINISHES(X) X(STOP, 0) X(LENGTH, 1) X(CANCELLED, 2)
#define ROUND_STATES(X) X(REQUESTED, 0) X(CREATED, 1) X(PREPARED, 2) X(STARTED, 3) X(PRECOMMITTED, 4) X(COMMITTED, 5) \
    X(ENDED, 6) X(ABORTED, 7)
#define ABORT_REASONS(X) X(NONE, 0) X(NO_LEADER, 1) X(NO_CHALLENGE, 2) X(NODES_LOST, 3) X(NO_VERDICTS, 4) X(NO_ENGINE, 5)
#define LAYER_RESULTS(X) X(NOT_MEASURED, 0) X(HELD, 1) X(BROKEN, 2)
/* WAITING: its task is done, the dice are not cast; SPARED: they spared it. */
#define AUDIT_STATES(X) X(WAITING, 0) X(DRAWN, 1) X(ASKED, 2) X(DECIDED, 3) X(VOID, 4) X(SPARED, 5)
#define AUDIT_FINDINGS(X) X(NONE, 0) X(PASS, 1) X(FLAG, 2) X(UNMEASURABLE, 3)
#define ORACLE_STATES(X) X(SILENT, 0) X(LIVE, 1) X(REMOVED, 2)
#define ROUTER_STATES(X) X(SILENT, 0) X(PRESENT, 1) X(REMOVED, 2)

#define TERM_SETS(SET)                                                                              \
    SET(node_state, NODE_STATES) SET(node_reason, NODE_REASONS) SET(node_class, NODE_CLASSES)       \
    SET(engine, ENGINES) SET(detach_reason, DETACH_REASONS) SET(session_state, SESSION_STATES)      \
    SET(session_reason, SESSION_REASONS) SET(release_reason, RELEASE_REASONS)                       \
    SET(session_mode, SESSION_MODES) SET(session_reserve, SESSION_RESERVES) SET(sla, SLAS)          \
    SET(validation_policy, VALIDATION_POLICIES) SET(on_no_verdict, ON_NO_VERDICTS)                  \
    SET(stream_when, STREAM_WHENS) SET(session_access, SESSION_ACCESSES)                            \
    SET(session_privacy, SESSION_PRIVACIES) SET(session_result, SESSION_RESULTS)                    \
    SET(session_pays, SESSION_PAYS) SET(session_evidence, SESSION_EVIDENCES)                        \
    SET(pool_route, POOL_ROUTES) SET(task_state, TASK_STATES)                                       \
    SET(assignment_state, ASSIGNMENT_STATES) SET(fail_cause, FAIL_CAUSES)                           \
    SET(decline_reason, DECLINE_REASONS) SET(finish, FINISHES) SET(round_state, ROUND_STATES)       \
    SET(abort_reason, ABORT_REASONS) SET(layer_result, LAYER_RESULTS) SET(audit_state, AUDIT_STATES) \
    SET(audit_finding, AUDIT_FINDINGS) SET(oracle_state, ORACLE_STATES) SET(router_state, ROUTER_STATES)

#define X_NODE(name, n) NODE_##name = n,
enum node_state { NODE_STATES(X_NODE) NODE_STATE_COUNT };
#define X_NODE_REASON(name, n) NODE_REASON_##name = n,
enum node_reason { NODE_REASONS(X_NODE_REASON) };
#define X_CLASS(name, n) CLASS_##name = n,
enum node_class { NODE_CLASSES(X_CLASS) NODE_CLASS_COUNT };
#define X_ENGINE(name, n) ENGINE_##name = n,
enum engine { ENGINES(X_ENGINE) };
#define X_DETACH(name, n) DETACH_##name = n,
enum detach_reason { DETACH_REASONS(X_DETACH) DETACH_REASON_COUNT };
#define X_SESSION(name, n) SESSION_##name = n,
enum session_state { SESSION_STATES(X_SESSION) SESSION_STATE_COUNT };
#define X_SESSION_REASON(name, n) SESSION_REASON_##name = n,
enum session_reason { SESSION_REASONS(X_SESSION_REASON) };
#define X_RELEASE(name, n) RELEASE_##name = n,
enum release_reason { RELEASE_REASONS(X_RELEASE) };
#define X_MODE(name, n) MODE_##name = n,
enum session_mode { SESSION_MODES(X_MODE) SESSION_MODE_COUNT };
#define X_RESERVE(name, n) RESERVE_##name = n,
enum session_reserve { SESSION_RESERVES(X_RESERVE) SESSION_RESERVE_COUNT };
#define X_SLA(name, n) SLA_##name = n,
enum sla { SLAS(X_SLA) SLA_COUNT };
#define X_VALIDATION(name, n) VALIDATION_##name = n,
enum validation_policy { VALIDATION_POLICIES(X_VALIDATION) VALIDATION_POLICY_COUNT };
#define X_ON_NO_VERDICT(name, n) ON_NO_VERDICT_##name = n,
enum on_no_verdict { ON_NO_VERDICTS(X_ON_NO_VERDICT) ON_NO_VERDICT_COUNT };
#define X_STREAM(name, n) STREAM_##name = n,
enum stream_when { STREAM_WHENS(X_STREAM) STREAM_WHEN_COUNT };
#define X_ACCESS(name, n) ACCESS_##name = n,
enum session_access { SESSION_ACCESSES(X_ACCESS) SESSION_ACCESS_COUNT };
#define X_PRIVACY(name, n) PRIVACY_##name = n,
enum session_privacy { SESSION_PRIVACIES(X_PRIVACY) SESSION_PRIVACY_COUNT };
#define X_RESULT(name, n) RESULT_##name = n,
enum session_result { SESSION_RESULTS(X_RESULT) SESSION_RESULT_COUNT };
#define X_PAYS(name, n) PAYS_##name = n,
enum session_pays { SESSION_PAYS(X_PAYS) SESSION_PAYS_COUNT };
#define X_EVIDENCE(name, n) EVIDENCE_##name = n,
enum session_evidence { SESSION_EVIDENCES(X_EVIDENCE) SESSION_EVIDENCE_COUNT };
#define X_ROUTE(name, n) ROUTE_##name = n,
enum pool_route { POOL_ROUTES(X_ROUTE) POOL_ROUTE_COUNT };
#define X_TASK(name, n) TASK_##name = n,
enum task_state { TASK_STATES(X_TASK) TASK_STATE_COUNT };
#define X_ASSIGNMENT(name, n) ASSIGNMENT_##name = n,
enum assignment_state { ASSIGNMENT_STATES(X_ASSIGNMENT) ASSIGNMENT_STATE_COUNT };
#define X_CAUSE(name, n) CAUSE_##name = n,
enum fail_cause { FAIL_CAUSES(X_CAUSE) FAIL_CAUSE_COUNT };
#define FAIL_CAUSES_COUNTED 8      // DECLINED .. OUTVOTED, by value
#define X_DECLINE(name, n) DECLINE_##name = n,
enum decline_reason { DECLINE_REASONS(X_DECLINE) DECLINE_REASON_COUNT };
#define X_FINISH(name, n) FINISH_##name = n,
enum finish { FINISHES(X_FINISH) FINISH_COUNT };
#define X_ROUND(name, n) ROUND_##name = n,
enum round_state { ROUND_STATES(X_ROUND) ROUND_STATE_COUNT };
#define X_ABORT(name, n) ABORT_##name = n,
enum abort_reason { ABORT_REASONS(X_ABORT) ABORT_REASON_COUNT };
#define X_LAYER(name, n) LAYER_##name = n,
enum layer_result { LAYER_RESULTS(X_LAYER) LAYER_RESULT_COUNT };
#define X_AUDIT(name, n) AUDIT_##name = n,
enum audit_state { AUDIT_STATES(X_AUDIT) AUDIT_STATE_COUNT };
#define X_FINDING(name, n) FINDING_##name = n,
enum audit_finding { AUDIT_FINDINGS(X_FINDING) AUDIT_FINDING_COUNT };
#define X_ORACLE(name, n) ORACLE_##name = n,
enum oracle_state { ORACLE_STATES(X_ORACLE) ORACLE_STATE_COUNT };
#define X_ROUTER(name, n) ROUTER_##name = n,
enum router_state { ROUTER_STATES(X_ROUTER) ROUTER_STATE_COUNT };

// clang-format on

/* Bits. */
enum oracle_duty { DUTY_ROUND = 1, DUTY_AUDIT = 2, DUTY_JUDGE = 4 };
enum key_scope { SCOPE_INFER = 1, SCOPE_SESSIONS = 2, SCOPE_ACCOUNT = 4, SCOPE_ADMIN = 8 };
enum router_check { CHECK_USAGE = 1, CHECK_FINISH = 2, CHECK_TOKENS_MAX = 4, CHECK_SCHEMA = 8, CHECK_TEXT = 16 };

enum term_set {
#define SET(name, values) TERM_##name,
    TERM_SETS(SET)
#undef SET
        TERM_SET_COUNT
};

/* "PRECOMMITTED"; NULL for a value outside the set. */
const char *term_name(enum term_set set, uint32_t value);
/* The value of that name, or -1. */
int term_find(enum term_set set, const char *name);

#endif
