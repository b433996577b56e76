#include "router/select.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/nearest.h"
#include "core/limits.h"
#include "router/session_terms.h"

#define NEAREST_MODELS_MAX  5
#define NEAREST_MODEL_EDITS 6    // beyond, a name is not near
#define TURN_MS             500  // between two looks at who waits

/* A shared session on its way to the ledger, and who waits for it. */
struct opening {
    struct select *select;
    struct opening *next;
    struct shared_wish wish;
    struct select_wait *wait;
};
struct select_wait {
    struct opening *opening;
    struct select_wait *next;
    select_done *done;
    void *ctx;
};
/* When a shared session was last of use. */
struct use {
    uint64_t session, at_ms;
};

struct select {
    struct select_options options;
    struct opening *opening;
    struct use *use;  // [use_count]
    uint32_t use_count;
    struct net_timer turn;
};

static const char *name_of(enum term_set set, uint32_t value)
{
    const char *name = term_name(set, value);
    return name ? name : "?";
}

__attribute__((format(printf, 4, 5))) static void refuse(struct selected *s, enum verdict verdict, const char *param,
                                                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    s->verdict = verdict;
    s->param = param;
    vsnprintf(s->message, sizeof s->message, format, args);
    va_end(args);
}

/* ---- models ---- */

void select_nearest_models(const struct core *core, const char *name, uint32_t size, char *ret_text, size_t cap)
{
    char wanted[NEAREST_SIZE_MAX + 1];
    snprintf(wanted, sizeof wanted, "%.*s", (int)u32_min(size, NEAREST_SIZE_MAX), name);
    struct model_view model;
    size_t used = 0;
    uint32_t count = 0;
    ret_text[0] = 0;
    for (int pass = 0; pass < 2 && count == 0; pass++) {
        for (uint32_t at = 0; view_model_at(core, &at, &model) && count < NEAREST_MODELS_MAX && used + 80 < cap;) {
            if (pass == 0 && nearest_distance(wanted, model.name) > NEAREST_MODEL_EDITS)
                continue;
            used += (size_t)snprintf(ret_text + used, cap - used, "%s\"%s\"", count ? ", " : "", model.name);
            count++;
        }
    }
}

static bool find_model(const struct core *core, const struct select_wish *wish, struct selected *s,
                       struct model_view *ret_model)
{
    char near[400];
    if (wish->model_size > 0) {
        if (view_model_named(core, wish->model, wish->model_size, ret_model))
            return true;
        select_nearest_models(core, wish->model, wish->model_size, near, sizeof near);
        refuse(s, VERDICT_MODEL_UNKNOWN, "model", "no model is called \"%.*s\"%s%s", (int)u32_min(wish->model_size, 64),
               wish->model, near[0] ? "; there is " : "; the catalog is empty", near);
        return false;
    }
    uint32_t at = 0;
    struct model_view other;
    if (view_model_at(core, &at, ret_model) && !view_model_at(core, &at, &other))
        return true;
    select_nearest_models(core, "", 0, near, sizeof near);
    refuse(s, VERDICT_MODEL_UNKNOWN, "model", "the request names no model, and there is not just one%s%s",
           near[0] ? ": " : "", near);
    return false;
}

/* ---- a session that somebody names ---- */

static bool fits(const struct core *core, const struct select_wish *wish, const struct session_view *v,
                 struct selected *s)
{
    struct model_view model, asked;
    if (v->state != SESSION_OPENING && v->state != SESSION_ACTIVE) {
        refuse(s, VERDICT_SESSION_NOT_OPEN, "session_id", "session %" PRIu64 " is %s", v->id,
               name_of(TERM_session_state, v->state));
        return false;
    }
    if (wish->key_model != 0 && wish->key_model != v->model) {
        refuse(s, VERDICT_KEY_SCOPE, "model", "the key is for another model than session %" PRIu64 " has", v->id);
        return false;
    }
    if (wish->key_session != 0 && wish->key_session != v->id) {
        refuse(s, VERDICT_KEY_SCOPE, "session_id", "the key is for session %" PRIu64 " alone", wish->key_session);
        return false;
    }
    if (wish->model_size > 0) {
        if (!find_model(core, wish, s, &asked))
            return false;
        if (asked.id != v->model && view_model(core, v->model, &model)) {
            refuse(s, VERDICT_MODEL_UNKNOWN, "model", "session %" PRIu64 " serves \"%s\" and not \"%s\"", v->id,
                   model.name, asked.name);
            return false;
        }
    }
    if (wish->redundancy != 0 && wish->redundancy != v->redundancy) {
        refuse(s, VERDICT_REDUNDANCY_RANGE, "redundancy", "session %" PRIu64 " has redundancy %u", v->id,
               v->redundancy);
        return false;
    }
    const struct {
        int asked;
        uint32_t has;
        enum term_set set;
        const char *param;
    } terms[] = {{wish->validation, v->validation, TERM_validation_policy, "validation"},
                 {wish->privacy, v->privacy, TERM_session_privacy, "privacy"},
                 {wish->mode, v->mode, TERM_session_mode, "mode"}};
    for (size_t i = 0; i < ARRAY_COUNT(terms); i++)
        if (terms[i].asked >= 0 && (uint32_t)terms[i].asked != terms[i].has) {
            refuse(s, VERDICT_VALUE_INVALID, terms[i].param, "session %" PRIu64 " has %s %s", v->id, terms[i].param,
                   name_of(terms[i].set, terms[i].has));
            return false;
        }
    return true;
}

static void take(const struct session_view *v, const char *reason, struct selected *s)
{
    s->verdict = VERDICT_ACCEPTED;
    s->session = v->id;
    s->model = v->model;
    s->reason = reason;
}

static void take_named(const struct core *core, const struct select_wish *wish, uint64_t id, const char *reason,
                       struct selected *s)
{
    struct session_view v;
    if (!view_session(core, id, &v))
        refuse(s, VERDICT_SESSION_UNKNOWN, "session_id", "there is no session %" PRIu64, id);
    else if (fits(core, wish, &v, s))
        take(&v, reason, s);
}

/* ---- the caller's own ---- */

/* How many tasks a node of it has before this one, in thousandths; one that still opens comes last. */
static uint64_t wait_of(const struct session_view *v)
{
    if (v->nodes == 0)
        return UINT64_MAX;
    return 1000ull * ((uint64_t)v->tasks_queued + v->tasks_live) / v->nodes;
}

static void take_own(const struct core *core, const struct select_wish *wish, const struct model_view *model,
                     struct selected *s)
{
    struct session_view v, best = {0};
    bool found = false;
    for (uint32_t at = 0; view_session_at(core, &at, &v);) {
        struct selected unfit;
        if (v.model != model->id || v.shared || !address_eq(&v.owner, &wish->account) || !fits(core, wish, &v, &unfit))
            continue;
        if (found && wait_of(&v) >= wait_of(&best))
            continue;
        best = v;
        found = true;
    }
    if (found)
        take(&best, "own", s);
    else
        refuse(
            s, VERDICT_SESSION_UNKNOWN, wish->privacy > 0 ? "privacy" : "mode",
            "shared sessions are public and ephemeral, and the account has no session of its own that fits: open one "
            "with POST /api/v1/sessions");
}

/* ---- shared sessions ---- */

static void opening_free(struct opening *o)
{
    struct opening **at = &o->select->opening;
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    free(o);
}

static void opened(void *ctx, const struct replica_outcome *outcome)
{
    struct opening *o = ctx;
    struct selected s = {.verdict = outcome->verdict, .reason = "shared_opened", .model = o->wish.model};
    if (!outcome->err && (outcome->verdict == VERDICT_ACCEPTED || outcome->verdict == VERDICT_SESSION_KNOWN)) {
        s.verdict = VERDICT_ACCEPTED;
        s.session = outcome->session;
    } else if (!outcome->err) {
        snprintf(s.message, sizeof s.message, "a shared session with redundancy %u and validation %s: %s",
                 o->wish.redundancy, name_of(TERM_validation_policy, o->wish.validation),
                 verdict_text(outcome->verdict));
    }
    while (o->wait) {
        struct select_wait *w = o->wait;
        o->wait = w->next;
        w->done(w->ctx, outcome->err, &s);
        free(w);
    }
    opening_free(o);
}

static enum cx_err open_shared(struct select *select, const struct shared_wish *wish, const struct model_view *model,
                               struct opening **ret_opening)
{
    static const char name[] = "shared";
    struct command cmd = {.type = COMMAND_SESSION_OPEN};
    session_terms(replica_core(select->options.replica), model, wish->redundancy, wish->validation, &cmd.session_open);
    cmd.session_open.owner = wish->router;
    cmd.session_open.shared = 1;
    cmd.session_open.audit_bp = select->options.audit_bp;
    cmd.session_open.access = ACCESS_PUBLIC;
    cmd.session_open.pays = PAYS_PAYER;
    cmd.session_open.name = (struct span){(const uint8_t *)name, sizeof name - 1};
    struct opening *o = calloc(1, sizeof *o);
    cx_assert(o);
    o->select = select;
    o->wish = *wish;
    o->next = select->opening;
    select->opening = o;
    enum cx_err err = replica_command(select->options.replica, &cmd, NULL, 0, opened, o);
    if (err) {
        opening_free(o);
        return err;
    }
    *ret_opening = o;
    return CX_OK;
}

static bool same_wish(const struct shared_wish *a, const struct shared_wish *b)
{
    return a->model == b->model && a->redundancy == b->redundancy && a->validation == b->validation;
}

static void join(struct opening *o, select_done *done, void *ctx, struct select_wait **ret_wait)
{
    struct select_wait *w = calloc(1, sizeof *w);
    cx_assert(w);
    *w = (struct select_wait){.opening = o, .next = o->wait, .done = done, .ctx = ctx};
    o->wait = w;
    *ret_wait = w;
}

void select_cancel(struct select_wait *wait)
{
    if (!wait)
        return;
    struct select_wait **at = &wait->opening->wait;
    while (*at != wait)
        at = &(*at)->next;
    *at = wait->next;
    free(wait);
}

/* The answer, or false where a session must be opened first. */
static bool take_shared(struct select *select, const struct select_wish *wish, const struct model_view *model,
                        struct shared_wish *ret_wish, struct selected *s)
{
    const struct core *core = replica_core(select->options.replica);
    const struct select_options *o = &select->options;
    *ret_wish = (struct shared_wish){
        .model = model->id,
        .redundancy = wish->redundancy ? wish->redundancy : u32_max(o->redundancy, 1),
        .validation =
            wish->validation >= 0 ? (enum validation_policy)wish->validation : (enum validation_policy)o->validation,
        .router = *replica_router(o->replica),
    };
    uint64_t id = view_shared_session(core, ret_wish);
    struct session_view v;
    if (id != 0 && view_session(core, id, &v)) {
        take(&v, "shared", s);
        return true;
    }
    if (model->nodes_serving >= ret_wish->redundancy)
        return false;
    refuse(s, VERDICT_NODES_TOO_FEW, ret_wish->redundancy > 1 ? "redundancy" : "model",
           "%u node%s \"%s\" in the network, and a redundancy of %u needs as many", model->nodes_serving,
           model->nodes_serving == 1 ? " offers" : "s offer", model->name, ret_wish->redundancy);
    return true;
}

bool select_session(struct select *select, const struct select_wish *wish, struct selected *ret_selected,
                    select_done *done, void *ctx, struct select_wait **ret_wait)
{
    const struct core *core = replica_core(select->options.replica);
    struct model_view model;
    struct shared_wish shared;
    *ret_wait = NULL;
    memset(ret_selected, 0, sizeof *ret_selected);
    if (wish->session != 0 || wish->key_session != 0) {
        bool named = wish->session != 0;
        take_named(core, wish, named ? wish->session : wish->key_session, named ? "named" : "key_default",
                   ret_selected);
        return true;
    }
    if (!find_model(core, wish, ret_selected, &model))
        return true;
    if (wish->key_model != 0 && wish->key_model != model.id) {
        refuse(ret_selected, VERDICT_KEY_SCOPE, "model", "the key is for another model than \"%s\"", model.name);
        return true;
    }
    if (wish->privacy > PRIVACY_PUBLIC || wish->mode > MODE_EPHEMERAL) {
        take_own(core, wish, &model, ret_selected);
        return true;
    }
    if (take_shared(select, wish, &model, &shared, ret_selected))
        return true;
    struct opening *o = select->opening;
    while (o && !same_wish(&o->wish, &shared))
        o = o->next;
    if (!o) {
        enum cx_err err = open_shared(select, &shared, &model, &o);
        if (err) {
            refuse(ret_selected, VERDICT_SESSIONS_FULL, NULL, "no session could be opened: %s", cx_detail());
            return true;
        }
    }
    join(o, done, ctx, ret_wait);
    return false;
}

/* ---- giving way ---- */

static struct use *use_of(struct select *select, uint64_t session)
{
    for (uint32_t i = 0; i < select->use_count; i++)
        if (select->use[i].session == session)
            return &select->use[i];
    select->use = realloc(select->use, (select->use_count + 1) * sizeof *select->use);
    cx_assert(select->use);
    struct use *use = &select->use[select->use_count++];
    *use = (struct use){.session = session, .at_ms = net_now_ms(select->options.loop)};
    return use;
}

void select_used(struct select *select, uint64_t session)
{
    struct session_view v;
    if (view_session(replica_core(select->options.replica), session, &v) && v.shared)
        use_of(select, session)->at_ms = net_now_ms(select->options.loop);
}

/* Forgets sessions that are no more. */
static void tidy_uses(struct select *select)
{
    struct session_view v;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < select->use_count; i++)
        if (view_session(replica_core(select->options.replica), select->use[i].session, &v))
            select->use[kept++] = select->use[i];
    select->use_count = kept;
}

static bool gives_way(struct select *select, const struct session_view *v, uint64_t model, uint64_t for_session)
{
    if (!v->shared || v->model != model || v->id == for_session || v->state != SESSION_ACTIVE || v->tasks_live > 0 ||
        v->tasks_queued > 0 || !address_eq(&v->owner, replica_router(select->options.replica)))
        return false;
    return net_now_ms(select->options.loop) - use_of(select, v->id)->at_ms >= SHARED_YIELD_MS;
}

static void close_shared(struct select *select, uint64_t session)
{
    const struct command cmd = {
        .type = COMMAND_SESSION_CLOSE,
        .session_close = {.owner = *replica_router(select->options.replica), .session = session}};
    enum cx_err err = replica_command(select->options.replica, &cmd, NULL, 0, NULL, NULL);
    cx_maybe(err);  // busy: at the next turn
}

static void make_way(struct select *select, const struct session_view *waits)
{
    struct session_view v;
    for (uint32_t at = 0; view_session_at(replica_core(select->options.replica), &at, &v);) {
        if (!gives_way(select, &v, waits->model, waits->id))
            continue;
        log_info("router", "shared session gives way session=%" PRIu64 " to=%" PRIu64, v.id, waits->id);
        close_shared(select, v.id);
    }
}

/* A shared session whose caps no node meets any more would wait for ever: the next request opens one with new caps. */
static bool is_priced_out(const struct select *select, const struct session_view *v)
{
    uint64_t in, out;
    return v->shared && v->nodes == 0 && address_eq(&v->owner, replica_router(select->options.replica)) &&
           session_terms_asked(replica_core(select->options.replica), v->model, &in, &out) &&
           (in > v->price_in_max || out > v->price_out_max);
}

/* Whether it wants nodes that others may have: to open, or because it lost some that its tasks wait for. */
static bool waits_for_nodes(const struct session_view *v)
{
    return v->state == SESSION_OPENING || (v->state == SESSION_ACTIVE && v->degraded && v->tasks_live > 0);
}

static void take_turn(void *ctx)
{
    struct select *select = ctx;
    const struct core *core = replica_core(select->options.replica);
    struct session_view v;
    tidy_uses(select);
    for (uint32_t at = 0; view_session_at(core, &at, &v);) {
        if (!waits_for_nodes(&v))
            continue;
        if (is_priced_out(select, &v))
            close_shared(select, v.id);
        else
            make_way(select, &v);
    }
    net_timer_start(select->options.loop, &select->turn, TURN_MS, take_turn, select);
}

enum cx_err select_open(const struct select_options *options, struct select **ret_select)
{
    struct select *select = calloc(1, sizeof *select);
    cx_assert(select);
    select->options = *options;
    net_timer_start(options->loop, &select->turn, TURN_MS, take_turn, select);
    *ret_select = select;
    return CX_OK;
}

void select_close(struct select *select)
{
    if (!select)
        return;
    net_timer_stop(&select->turn);
    while (select->opening)
        opened(select->opening, &(struct replica_outcome){.err = CX_CANCELLED});
    free(select->use);
    free(select);
}
