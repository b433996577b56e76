#include "sim/score.h"

const char *score_name(enum score score)
{
#define X(NAME, name) #name,
    static const char *const names[] = {SCORES(X)};
    return names[score];
}

const char *oracle_score_name(enum oracle_score score)
{
    static const char *const names[] = {ORACLE_SCORES(X)};
    return names[score];
}

const char *other_score_name(enum other_score score)
{
    static const char *const names[] = {OTHER_SCORES(X)};
#undef X
    return names[score];
}

/* ---- for people ---- */

typedef const char *score_namer(uint32_t n);

static const char *name_of_miner(uint32_t n) { return score_name(n); }
static const char *name_of_oracle(uint32_t n) { return oracle_score_name(n); }
static const char *name_of_other(uint32_t n) { return other_score_name(n); }

static void print_row(const char *title, const uint64_t *score, uint32_t count, score_namer *name, struct buf *out)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++)
        any = any || score[i];
    if (!any)
        return;
    buf_printf(out, "cheat %s:", title);
    for (uint32_t i = 0; i < count; i++)
        if (score[i])
            buf_printf(out, " %s=%llu", name(i), (unsigned long long)score[i]);
    buf_text(out, "\n");
}

void scores_print(const struct scores *scores, struct buf *out)
{
    for (uint32_t i = 0; i < CHEAT_COUNT; i++)
        print_row(cheat_name(i), scores->miner[i], SCORE_COUNT, name_of_miner, out);
    for (uint32_t i = 0; i < ORACLE_CHEAT_COUNT; i++)
        print_row(oracle_cheat_name(i), scores->oracle[i], ORACLE_SCORE_COUNT, name_of_oracle, out);
    print_row("others", scores->other, OTHER_SCORE_COUNT, name_of_other, out);
}

/* ---- for programs ---- */

static void json_row(const char *title, const uint64_t *score, uint32_t count, score_namer *name, struct buf *out)
{
    buf_printf(out, "\"%s\":{", title);
    for (uint32_t i = 0; i < count; i++)
        buf_printf(out, "%s\"%s\":%llu", i ? "," : "", name(i), (unsigned long long)score[i]);
    buf_text(out, "},");
}

void scores_json(const struct scores *scores, struct buf *out)
{
    buf_text(out, "\"cheats\":{");
    for (uint32_t i = 0; i < CHEAT_COUNT; i++)
        json_row(cheat_name(i), scores->miner[i], SCORE_COUNT, name_of_miner, out);
    for (uint32_t i = 0; i < ORACLE_CHEAT_COUNT; i++)
        json_row(oracle_cheat_name(i), scores->oracle[i], ORACLE_SCORE_COUNT, name_of_oracle, out);
    json_row("others", scores->other, OTHER_SCORE_COUNT, name_of_other, out);
    out->size--;  // the last comma
    buf_text(out, "},");
}
