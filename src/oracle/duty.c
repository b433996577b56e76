#include "oracle/duty.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define DUTIES_MAX  1024  // due in one state: every place of every round, and every audit, with room
#define ANSWERS_MAX (LINK_STATE_ROUNDS_MAX + LINK_STATE_AUDITS_MAX)
static_assert(LINK_STATE_ROUNDS_MAX * (ROUND_NODES_MAX + 2) + 2 * LINK_STATE_AUDITS_MAX <= DUTIES_MAX,
              "all that a state can ask for has room");

struct given {
    enum duty_kind kind;
    uint64_t id, lease;
};
struct known {
    bool audit;
    uint64_t id;
    bool due;  // the last state asked for it
    struct duty_answer answer;
};

struct duty_book {
    struct address oracle;
    uint32_t duties;
    struct given given[DUTIES_MAX];
    uint32_t given_count;
    struct known known[2 * ANSWERS_MAX];
    uint32_t known_count;
    struct duty due[DUTIES_MAX];  // while a state is looked at
    uint32_t due_count;
};

enum cx_err duty_book_open(const struct address *oracle, uint32_t duties, struct duty_book **ret_book)
{
    struct duty_book *book = calloc(1, sizeof *book);
    cx_assert(book);
    book->oracle = *oracle;
    book->duties = duties;
    *ret_book = book;
    return CX_OK;
}

void duty_book_close(struct duty_book *book) { free(book); }

/* ---- answers ---- */

static struct known *known_find(struct duty_book *book, bool audit, uint64_t id)
{
    for (uint32_t i = 0; i < book->known_count; i++)
        if (book->known[i].audit == audit && book->known[i].id == id)
            return &book->known[i];
    return NULL;
}

void duty_answered(struct duty_book *book, enum duty_kind kind, uint64_t id, const struct duty_answer *answer)
{
    bool audit = kind == DUTY_ANSWER_AUDIT;
    cx_assert(audit || kind == DUTY_ANSWER_CHALLENGE);
    struct known *known = known_find(book, audit, id);
    if (!known && book->known_count == ARRAY_COUNT(book->known))
        return;  // more than two states can ask for: it is computed again if it is still due
    if (!known)
        known = &book->known[book->known_count++];
    *known = (struct known){.audit = audit, .id = id, .due = true, .answer = *answer};
}

/* ---- rounds ---- */

static void add(struct duty_book *book, struct duty duty)
{
    cx_assert(book->due_count < DUTIES_MAX);
    book->due[book->due_count++] = duty;
}

enum layer_result duty_fast(const struct link_state *state, const struct link_place *place)
{
    if (place->ttft_ms > state->ttft_ms_max)
        return LAYER_BROKEN;
    if (place->duration_ms <= place->ttft_ms || place->tokens_out < 2)
        return LAYER_HELD;  // too quick, or too short, to tell a rate
    uint64_t rate = (uint64_t)(place->tokens_out - 1) * 1000000 / (place->duration_ms - place->ttft_ms);
    return rate < state->tokens_per_s_milli_min ? LAYER_BROKEN : LAYER_HELD;
}

static void lead_round(struct duty_book *book, const struct link_round *round)
{
    struct duty duty = {.id = round->id, .round = round};
    switch (round->state) {
    case ROUND_REQUESTED: duty.kind = DUTY_CREATE_ROUND; break;
    case ROUND_CREATED: duty.kind = DUTY_PREPARE_ROUND; break;
    case ROUND_PREPARED:
        /* The challenge of another leader is known to that one alone: we make our own. */
        duty.kind = address_eq(&round->leader, &book->oracle) ? DUTY_START_ROUND : DUTY_PREPARE_ROUND;
        break;
    case ROUND_STARTED:
    case ROUND_PRECOMMITTED:
    case ROUND_COMMITTED:
    case ROUND_ENDED:
    case ROUND_ABORTED:
    case ROUND_STATE_COUNT: return;
    }
    add(book, duty);
}

static void judge_places(struct duty_book *book, const struct link_state *state, const struct link_round *round,
                         const struct duty_answer *answer)
{
    for (uint32_t i = 0; i < round->places; i++) {
        const struct link_place *p = &round->place[i];
        if (address_is_zero(&p->node) || !p->committed || !p->bound || p->judged || p->own)
            continue;
        struct duty duty = {.kind = DUTY_GIVE_VERDICT, .id = round->id, .lease = p->lease, .round = round};
        duty.fast = duty_fast(state, p);
        duty.right = LAYER_NOT_MEASURED;
        if (answer->measured)
            duty.right = hash_eq(&answer->text, &p->payload) ? LAYER_HELD : LAYER_BROKEN;
        duty.evidence = answer->evidence;
        add(book, duty);
    }
}

static void look_at_round(struct duty_book *book, const struct link_state *state, const struct link_round *round)
{
    if (address_eq(&state->leader, &book->oracle))
        lead_round(book, round);
    if (round->state < ROUND_STARTED || round->state > ROUND_COMMITTED || hash_is_zero(&round->challenge))
        return;
    struct known *known = known_find(book, false, round->id);
    if (!known) {
        add(book, (struct duty){.kind = DUTY_ANSWER_CHALLENGE, .id = round->id, .round = round});
        return;
    }
    known->due = true;
    if (round->state != ROUND_STARTED)
        judge_places(book, state, round, &known->answer);
}

/* ---- audits ---- */

static enum audit_finding finding_of(const struct link_audit *audit, const struct duty_answer *answer)
{
    if (!answer->measured)
        return FINDING_UNMEASURABLE;
    return hash_eq(&answer->text, &audit->answer) ? FINDING_PASS : FINDING_FLAG;
}

static void look_at_audit(struct duty_book *book, const struct link_audit *audit)
{
    struct duty duty = {.id = audit->id, .audit = audit};
    struct known *known = known_find(book, true, audit->id);
    if (known)
        known->due = true;
    if (audit->state == AUDIT_DRAWN && audit->drawn) {
        duty.kind = DUTY_ASK_AUDIT;
    } else if (audit->state != AUDIT_ASKED) {
        return;
    } else if (!known) {
        duty.kind = DUTY_ANSWER_AUDIT;
    } else {
        duty.kind = DUTY_GIVE_FINDING;
        duty.finding = finding_of(audit, &known->answer);
        duty.evidence = known->answer.evidence;
    }
    add(book, duty);
}

/* ---- what is due ---- */

static bool is(const struct given *given, enum duty_kind kind, uint64_t id, uint64_t lease)
{
    return given->kind == kind && given->id == id && given->lease == lease;
}

static bool was_given(const struct duty_book *book, const struct duty *duty)
{
    for (uint32_t i = 0; i < book->given_count; i++)
        if (is(&book->given[i], duty->kind, duty->id, duty->lease))
            return true;
    return false;
}

static void collect(struct duty_book *book, const struct link_state *state)
{
    book->due_count = 0;
    for (uint32_t i = 0; i < book->known_count; i++)
        book->known[i].due = false;
    for (uint32_t i = 0; i < state->rounds && book->duties & DUTY_ROUND; i++)
        look_at_round(book, state, &state->round[i]);
    for (uint32_t i = 0; i < state->audits && book->duties & DUTY_AUDIT; i++)
        look_at_audit(book, &state->audit[i]);
}

/* What is not due any more may become so again, and then it is another time. */
static void forget(struct duty_book *book)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < book->given_count; i++) {
        bool due = false;
        for (uint32_t d = 0; d < book->due_count && !due; d++)
            due = is(&book->given[i], book->due[d].kind, book->due[d].id, book->due[d].lease);
        if (due)
            book->given[kept++] = book->given[i];
    }
    book->given_count = kept;
    kept = 0;
    for (uint32_t i = 0; i < book->known_count; i++)
        if (book->known[i].due)
            book->known[kept++] = book->known[i];
    book->known_count = kept;
}

void duty_each(struct duty_book *book, const struct link_state *state, void (*each)(void *ctx, const struct duty *duty),
               void *ctx)
{
    collect(book, state);
    forget(book);
    for (uint32_t i = 0; i < book->due_count; i++) {
        const struct duty duty = book->due[i];
        if (was_given(book, &duty))
            continue;
        cx_assert(book->given_count < DUTIES_MAX);
        book->given[book->given_count++] = (struct given){duty.kind, duty.id, duty.lease};
        each(ctx, &duty);
    }
}

void duty_failed(struct duty_book *book, enum duty_kind kind, uint64_t id, uint64_t lease)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < book->given_count; i++)
        if (!is(&book->given[i], kind, id, lease))
            book->given[kept++] = book->given[i];
    book->given_count = kept;
}

void duty_reset(struct duty_book *book) { book->given_count = 0; }
