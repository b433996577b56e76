/* check_nodes.c - what befell the honest: whether one was condemned, or cut off for bytes that it did not send. */
#include "sim/check_world_parts.h"

/* DESIGN 15.8: at most one in 1,000 is condemned within 10,000 audits. */
#define AUDITS_OF_BOUND    10000.0
#define CONDEMNED_OF_BOUND 0.001
#define CHANCE_MIN         1e-6

static bool is_honest(const struct checks *c, const struct address *node)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(c->honest); i++)
        if (!address_is_zero(&c->honest[i]) && address_eq(&c->honest[i], node))
            return true;
    return false;
}

/* As many oracles as make a quorum may say what they like: then nobody is safe, and nothing is promised. */
static bool oracles_can_lie(const struct checks *c)
{
    return c->sim->swarm.adversary[ADVERSARY_LYING_ORACLE] >= c->sim->swarm.oracle_quorum;
}

static void audited(struct checks *c, const struct evt_audit_moved *e)
{
    if (e->to == AUDIT_DECIDED && is_honest(c, &e->node) && !oracles_can_lie(c))
        c->sim->check.honest_audits++;
}

static void condemned(struct checks *c, const struct evt_node_moved *e)
{
    c->sim->check.looks[CHECKER_HONEST]++;
    if (e->to == NODE_BANNED && is_honest(c, &e->node) && !oracles_can_lie(c))
        c->sim->check.honest_condemned++;
}

/* Only bytes that break the protocol detach for PROTOCOL, and the honest send none. */
static void detached(struct checks *c, const struct evt_node_detached *e)
{
    c->sim->check.looks[CHECKER_BAD_BYTES]++;
    if (e->reason == DETACH_PROTOCOL && is_honest(c, &e->node))
        check_fail(&c->sim->check, CHECKER_BAD_BYTES, c->entries,
                   "an honest miner's connection ended for what it never sent");
}

void nodes_watch(struct checks *c, const struct event *e)
{
    if (e->type == EVENT_AUDIT_MOVED)
        audited(c, &e->audit_moved);
    else if (e->type == EVENT_NODE_MOVED)
        condemned(c, &e->node_moved);
    else if (e->type == EVENT_NODE_DETACHED)
        detached(c, &e->node_detached);
}

/* The chance of so many or more, by the binomial law of many audits that each condemn with the rate of the bound. */
bool check_honest_bound(uint64_t audits, uint64_t condemned)
{
    double rate = CONDEMNED_OF_BOUND / AUDITS_OF_BOUND, fewer = 0, exactly = 1;
    for (uint64_t i = 0; i < audits; i++)
        exactly *= 1 - rate;
    for (uint64_t k = 0; k < condemned && k <= audits; k++) {
        fewer += exactly;
        exactly *= (double)(audits - k) / (double)(k + 1) * rate / (1 - rate);
    }
    return 1 - fewer >= CHANCE_MIN;
}
