/* node_pool_presence.c - which routers hold a node, and what follows when none does any more or one does again. */
#include "base/assert.h"
#include "core/node_pool_parts.h"

static struct node_link *link_of(const struct node_pool *pool, uint32_t place)
{
    return &pool->node[place / NODE_LINKS_MAX].link[place % NODE_LINKS_MAX];
}

static uint32_t *router_head(struct node_pool *pool, const struct node_link *link)
{
    return link->up ? &pool->router[link->router].up : &pool->router[link->router].down;
}

static void router_add(struct node_pool *pool, uint32_t place, bool up)
{
    struct node_link *link = link_of(pool, place);
    link->up = up;
    uint32_t *head = router_head(pool, link);
    link->prev = SLOT_NONE;
    link->next = *head;
    if (*head != SLOT_NONE)
        link_of(pool, *head)->prev = place;
    *head = place;
}

static void router_remove(struct node_pool *pool, uint32_t place)
{
    struct node_link *link = link_of(pool, place);
    *(link->prev == SLOT_NONE ? router_head(pool, link) : &link_of(pool, link->prev)->next) = link->next;
    if (link->next != SLOT_NONE)
        link_of(pool, link->next)->prev = link->prev;
}

static bool has_link_up(const struct node *n)
{
    for (uint32_t i = 0; i < NODE_LINKS_MAX; i++)
        if (n->link[i].router != SLOT_NONE && n->link[i].up)
            return true;
    return false;
}

void node_pool_begin_absence(const struct node_pool *pool, struct node *n)
{
    n->absent_ms = pool->step->now_ms;
    n->offline_ms = n->absent_ms + pool->step->params.node_absent_ms;
}

static void went_absent(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    node_pool_change(pool, node);
    node_pool_begin_absence(pool, n);
    if (n->held && n->list != NODE_LIST_LOST)
        node_pool_list(pool, node, NODE_LIST_LOST);
    node_pool_settle(pool, node);
}

static void came_back(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    node_pool_change(pool, node);
    n->absent_ms = TIME_NEVER;
    n->overdue = false;
    /* One that is on the list of the lost is looked at when it is taken off that. */
    if (n->state == NODE_RESERVED && n->list == NODE_LIST_NONE)
        node_pool_list(pool, node, NODE_LIST_NEWS);
    node_pool_settle(pool, node);
    if (n->state == NODE_OFFLINE)
        node_pool_move(pool, node, n->back_to, NODE_REASON_RETURNED);
}

static void presence_may_have_changed(struct node_pool *pool, uint32_t node)
{
    const struct node *n = &pool->node[node];
    bool present = has_link_up(n);
    if (present && n->absent_ms != TIME_NEVER)
        came_back(pool, node);
    if (!present && n->absent_ms == TIME_NEVER)
        went_absent(pool, node);
}

uint16_t node_pool_attached(const struct node *n)
{
    uint32_t attached = 0;
    for (uint32_t i = 0; i < NODE_LINKS_MAX; i++)
        if (n->link[i].router != SLOT_NONE)
            attached |= 1u << n->link[i].router;
    return (uint16_t)attached;
}

static uint32_t link_to(const struct node *n, uint32_t router)
{
    for (uint32_t i = 0; i < NODE_LINKS_MAX; i++)
        if (n->link[i].router == router)
            return i;
    return SLOT_NONE;
}

void node_pool_tell_session(struct node_pool *pool, uint32_t node)
{
    const struct node *n = &pool->node[node];
    if (n->state == NODE_RESERVED && n->absent_ms == TIME_NEVER && n->list == NODE_LIST_NONE)
        node_pool_list(pool, node, NODE_LIST_NEWS);
}

/* A place for a link: a free one, or one to a router that is no longer the network's. */
static uint32_t link_place(const struct node_pool *pool, const struct node *n)
{
    uint32_t at = link_to(n, SLOT_NONE);
    for (uint32_t i = 0; i < NODE_LINKS_MAX && at == SLOT_NONE; i++)
        if (router_find(pool->account, router_address(pool->account, n->link[i].router)) == SLOT_NONE)
            at = i;
    return at;
}

enum verdict node_pool_attach(struct node_pool *pool, const struct cmd_node_attach *cmd)
{
    uint32_t node = node_pool_find(pool, &cmd->node);
    uint32_t router = pool->step->router;
    cx_assert(router < ROUTERS_MAX);
    if (node == SLOT_NONE)
        return VERDICT_NODE_UNKNOWN;
    struct node *n = &pool->node[node];
    if (n->state == NODE_BANNED)
        return VERDICT_NODE_BANNED;
    uint32_t at = link_to(n, router);
    if (at != SLOT_NONE && cmd->link <= n->link[at].link)
        return VERDICT_LINK_STALE;
    if (at == SLOT_NONE)
        at = link_place(pool, n);
    if (at == SLOT_NONE)
        return VERDICT_LINKS_FULL;

    uint32_t place = node * NODE_LINKS_MAX + at;
    if (n->link[at].router != SLOT_NONE)
        router_remove(pool, place);
    n->link[at].router = router;
    n->link[at].link = cmd->link;
    n->attached = node_pool_attached(n);
    router_add(pool, place, router_is_present(pool->account, router));
    struct evt_node_attached *attached = &event_add(pool->step->out, EVENT_NODE_ATTACHED)->node_attached;
    attached->node = n->address;
    attached->router = *router_address(pool->account, router);
    attached->link = cmd->link;
    presence_may_have_changed(pool, node);
    node_pool_tell_session(pool, node);  // a task of this router may have waited for it
    return VERDICT_ACCEPTED;
}

enum verdict node_pool_detach(struct node_pool *pool, const struct cmd_node_detach *cmd)
{
    if (cmd->reason >= DETACH_REASON_COUNT)
        return VERDICT_VALUE_INVALID;
    uint32_t node = node_pool_find(pool, &cmd->node);
    if (node == SLOT_NONE)
        return VERDICT_NODE_UNKNOWN;
    struct node *n = &pool->node[node];
    uint32_t at = link_to(n, pool->step->router);
    if (at == SLOT_NONE || n->link[at].link != cmd->link)
        return VERDICT_LINK_STALE;

    router_remove(pool, node * NODE_LINKS_MAX + at);
    n->link[at] = (struct node_link){.router = SLOT_NONE};
    n->attached = node_pool_attached(n);
    struct evt_node_detached *detached = &event_add(pool->step->out, EVENT_NODE_DETACHED)->node_detached;
    detached->node = n->address;
    detached->router = *router_address(pool->account, pool->step->router);
    detached->reason = cmd->reason;
    presence_may_have_changed(pool, node);
    return VERDICT_ACCEPTED;
}

uint32_t node_pool_link_to_turn(const struct node_pool *pool)
{
    for (uint32_t i = 0; i < routers_used(pool->account); i++) {
        uint32_t up = pool->router[i].up, down = pool->router[i].down;
        uint32_t turn = router_is_present(pool->account, i) ? down : up;
        if (turn != SLOT_NONE)
            return turn;
    }
    return SLOT_NONE;
}

void node_pool_turn_link(struct node_pool *pool, uint32_t place)
{
    bool up = !link_of(pool, place)->up;
    router_remove(pool, place);
    router_add(pool, place, up);
    presence_may_have_changed(pool, place / NODE_LINKS_MAX);
}

void node_pool_cut_links(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    for (uint32_t i = 0; i < NODE_LINKS_MAX; i++) {
        if (n->link[i].router == SLOT_NONE)
            continue;
        router_remove(pool, node * NODE_LINKS_MAX + i);
        n->link[i].router = SLOT_NONE;
    }
    n->attached = 0;
}
