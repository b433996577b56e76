/* cognitive.c - the oracles: who lives, who leads, and the beacon that they make. */
#include "core/cognitive_parts.h"

#include "base/assert.h"
#include "base/mem.h"

#define DUTIES_ALL          (DUTY_ROUND | DUTY_AUDIT | DUTY_JUDGE)
#define GENESIS_ORACLE_SIZE 72  // address 20, operator 20, end of the hash chain 32: command.def, genesis

bool cognitive_init(struct cognitive *cognitive, struct arena *arena, struct step *step, struct account_book *account,
                    struct catalog *catalog, struct node_pool *node_pool, struct reputation *reputation)
{
    uint32_t cap = (uint32_t)step->params.rounds_cap;
    memset(cognitive, 0, sizeof *cognitive);
    cognitive->step = step;
    cognitive->account = account;
    cognitive->catalog = catalog;
    cognitive->node_pool = node_pool;
    cognitive->reputation = reputation;
    cognitive->leader = SLOT_NONE;
    cognitive->last_revealer = SLOT_NONE;
    cognitive->quorum = 1;
    cognitive->round = arena_take(arena, cap, sizeof *cognitive->round);
    bool ok = cognitive->round != NULL;
    ok &= slots_init(&cognitive->slots, arena, cap);
    ok &= heap_init(&cognitive->due, arena, cap);
    return ok;
}

/* ---- the set ---- */

static bool quorum_is_valid(uint32_t quorum) { return quorum >= 1 && quorum <= ORACLES_MAX; }

static uint32_t find_any(const struct cognitive *cognitive, const struct address *address)
{
    for (uint32_t i = 0; i < cognitive->oracle_count; i++)
        if (address_eq(&cognitive->oracle[i].address, address))
            return i;
    return SLOT_NONE;
}

uint32_t oracle_find(const struct cognitive *cognitive, const struct address *address)
{
    uint32_t found = find_any(cognitive, address);
    if (found != SLOT_NONE && cognitive->oracle[found].state == ORACLE_REMOVED)
        return SLOT_NONE;
    return found;
}

static void tell_oracle(struct cognitive *cognitive, uint32_t oracle)
{
    struct evt_oracle_changed *changed = &event_add(cognitive->step->out, EVENT_ORACLE_CHANGED)->oracle_changed;
    changed->oracle = cognitive->oracle[oracle].address;
    changed->state = (uint8_t)cognitive->oracle[oracle].state;
}

static void oracle_move(struct cognitive *cognitive, uint32_t oracle, enum oracle_state to)
{
    static const unsigned allowed[ORACLE_STATE_COUNT] = {
        [ORACLE_SILENT] = 1u << ORACLE_LIVE | 1u << ORACLE_REMOVED,
        [ORACLE_LIVE] = 1u << ORACLE_SILENT | 1u << ORACLE_REMOVED,
        [ORACLE_REMOVED] = 1u << ORACLE_SILENT,
    };
    struct oracle *o = &cognitive->oracle[oracle];
    cx_assert(allowed[o->state] & 1u << to);
    cognitive->live -= o->state == ORACLE_LIVE;
    o->state = to;
    cognitive->live += o->state == ORACLE_LIVE;
    cognitive_forget_calm(cognitive);
    tell_oracle(cognitive, oracle);
}

static bool has_accounts(const struct account_book *account, const struct address *oracle,
                         const struct address *operator)
{
    bool makes_own = account_find(account, oracle) == SLOT_NONE;
    bool makes_one = account_find(account, operator) == SLOT_NONE && !address_eq(oracle, operator);
    return account_has_room(account, (uint32_t)makes_own + makes_one);
}

/* An oracle is paid, and uses nonces: it has accounts. */
static void make_accounts(struct account_book *account, struct oracle *o)
{
    uint32_t made;
    enum verdict verdict = account_ensure(account, &o->address, &made);
    cx_assert(verdict == VERDICT_ACCEPTED);
    verdict = account_ensure(account, &o->operator, & o->account);
    cx_assert(verdict == VERDICT_ACCEPTED);
}

enum verdict cognitive_genesis(struct cognitive *cognitive, const struct cmd_genesis *genesis)
{
    struct span list = genesis->oracles;
    uint32_t count = list.size / GENESIS_ORACLE_SIZE;
    if (list.size % GENESIS_ORACLE_SIZE || count > ORACLES_MAX || !quorum_is_valid(genesis->oracle_quorum))
        return VERDICT_VALUE_INVALID;
    struct bytes_reader r;
    bytes_reader_init(&r, list.data, list.size);
    for (uint32_t i = 0; i < count; i++) {
        struct oracle o = {.state = ORACLE_SILENT};
        bytes_get(&r, o.address.b, sizeof o.address.b);
        bytes_get(&r, o.operator.b, sizeof o.operator.b);
        bytes_get(&r, o.chain.b, sizeof o.chain.b);
        if (address_is_zero(&o.address) || address_is_zero(&o.operator) || hash_is_zero(&o.chain))
            return VERDICT_VALUE_INVALID;
        if (find_any(cognitive, &o.address) != SLOT_NONE)
            return VERDICT_VALUE_INVALID;
        if (!has_accounts(cognitive->account, &o.address, &o.operator))
            return VERDICT_ACCOUNTS_FULL;
        make_accounts(cognitive->account, &o);
        cognitive->oracle[cognitive->oracle_count++] = o;
    }
    cognitive->quorum = genesis->oracle_quorum;
    return VERDICT_ACCEPTED;
}

enum verdict cognitive_oracle_add(struct cognitive *cognitive, const struct cmd_oracle_add *cmd)
{
    if (address_is_zero(&cmd->oracle) || address_is_zero(&cmd->operator) || hash_is_zero(&cmd->chain_end))
        return VERDICT_VALUE_INVALID;
    if (!quorum_is_valid(cmd->quorum))
        return VERDICT_VALUE_INVALID;
    uint32_t oracle = find_any(cognitive, &cmd->oracle);
    if (oracle != SLOT_NONE && cognitive->oracle[oracle].state != ORACLE_REMOVED)
        return VERDICT_ORACLE_KNOWN;
    if (oracle == SLOT_NONE && cognitive->oracle_count == ORACLES_MAX)
        return VERDICT_ORACLES_FULL;
    if (!has_accounts(cognitive->account, &cmd->oracle, &cmd->operator))
        return VERDICT_ACCOUNTS_FULL;

    /* Slots are bits in rounds and votes: one that was removed comes back into its own. */
    if (oracle == SLOT_NONE) {
        oracle = cognitive->oracle_count++;
        cognitive->oracle[oracle].state = ORACLE_REMOVED;
    }
    struct oracle *o = &cognitive->oracle[oracle];
    *o = (struct oracle){cmd->oracle, cmd->operator, cmd->chain_end, .state = o->state};
    make_accounts(cognitive->account, o);
    cognitive->quorum = cmd->quorum;
    oracle_move(cognitive, oracle, ORACLE_SILENT);
    return VERDICT_ACCEPTED;
}

enum verdict cognitive_oracle_remove(struct cognitive *cognitive, const struct cmd_oracle_remove *cmd)
{
    if (!quorum_is_valid(cmd->quorum))
        return VERDICT_VALUE_INVALID;
    uint32_t oracle = oracle_find(cognitive, &cmd->oracle);
    if (oracle == SLOT_NONE)
        return VERDICT_ORACLE_UNKNOWN;

    cognitive->quorum = cmd->quorum;
    oracle_move(cognitive, oracle, ORACLE_REMOVED);
    return VERDICT_ACCEPTED;
}

/* ---- heartbeats ---- */

/* docs/protocol.md, "Randomness". */
static void extend_beacon(struct cognitive *cognitive, uint32_t oracle, const struct hash *preimage)
{
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, cognitive->beacon.b, sizeof cognitive->beacon.b);
    keccak_add(&k, cognitive->oracle[oracle].address.b, sizeof(struct address));
    keccak_add(&k, preimage->b, sizeof preimage->b);
    keccak_end(&k, &cognitive->beacon);
    cognitive->beacons++;
    cognitive->last_revealer = oracle;
    struct evt_beacon *beacon = &event_add(cognitive->step->out, EVENT_BEACON)->beacon;
    beacon->value = cognitive->beacon;
    beacon->oracle = cognitive->oracle[oracle].address;
}

enum verdict cognitive_heartbeat(struct cognitive *cognitive, const struct cmd_oracle_heartbeat *cmd, uint32_t oracle)
{
    cx_assert(oracle < cognitive->oracle_count);
    struct oracle *o = &cognitive->oracle[oracle];
    if (cmd->duties & ~(uint32_t)DUTIES_ALL)
        return VERDICT_VALUE_INVALID;
    struct hash hash;
    keccak256(cmd->preimage.b, sizeof cmd->preimage.b, &hash);
    if (!hash_eq(&hash, &o->chain))
        return VERDICT_PREIMAGE_WRONG;

    o->chain = cmd->preimage;
    o->heard_ms = cognitive->step->now_ms;
    o->duties = cmd->duties;
    cognitive_forget_calm(cognitive);
    if (o->state == ORACLE_SILENT)
        oracle_move(cognitive, oracle, ORACLE_LIVE);
    extend_beacon(cognitive, oracle, &cmd->preimage);
    return VERDICT_ACCEPTED;
}

enum verdict cognitive_chain(struct cognitive *cognitive, const struct cmd_oracle_chain *cmd, uint32_t oracle)
{
    cx_assert(oracle < cognitive->oracle_count);
    if (hash_is_zero(&cmd->chain_end))
        return VERDICT_VALUE_INVALID;
    cognitive->oracle[oracle].chain = cmd->chain_end;
    return VERDICT_ACCEPTED;
}

/* ---- who leads ---- */

static uint64_t silent_ms(const struct cognitive *cognitive, const struct oracle *o)
{
    const struct params *params = &cognitive->step->params;
    if (o->state != ORACLE_LIVE)
        return TIME_NEVER;
    return o->heard_ms + params->silent_periods * params->heartbeat_ms + 1;
}

/* When a leader has missed a heartbeat, and is passed over. */
static uint64_t missed_ms(const struct cognitive *cognitive, const struct oracle *o)
{
    return o->heard_ms + 2 * cognitive->step->params.heartbeat_ms;
}

/* Those that may lead, in the order of their slots. */
static uint32_t candidates(const struct cognitive *cognitive, uint32_t ret_oracle[ORACLES_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < cognitive->oracle_count; i++)
        if (cognitive->oracle[i].state == ORACLE_LIVE && cognitive->oracle[i].duties & DUTY_ROUND)
            ret_oracle[count++] = i;
    return count;
}

uint32_t oracle_leader(const struct cognitive *cognitive)
{
    uint64_t now_ms = cognitive->step->now_ms;
    uint32_t oracle[ORACLES_MAX], count = candidates(cognitive, oracle);
    if (count == 0)
        return SLOT_NONE;
    uint32_t first = (uint32_t)(now_ms / cognitive->step->params.oracle_window_ms % count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t turn = oracle[(first + i) % count];
        if (now_ms < missed_ms(cognitive, &cognitive->oracle[turn]))
            return turn;
    }
    return oracle[first];
}

/* The next moment at which oracle_leader may say something else by time alone. */
static uint64_t leader_due_ms(const struct cognitive *cognitive)
{
    uint64_t now_ms = cognitive->step->now_ms, window_ms = cognitive->step->params.oracle_window_ms;
    uint32_t oracle[ORACLES_MAX], count = candidates(cognitive, oracle);
    if (oracle_leader(cognitive) != cognitive->leader)
        return 0;
    if (count < 2)
        return TIME_NEVER;
    uint64_t due_ms = (now_ms / window_ms + 1) * window_ms;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at_ms = missed_ms(cognitive, &cognitive->oracle[oracle[i]]);
        if (at_ms > now_ms)
            due_ms = u64_min(due_ms, at_ms);
    }
    return due_ms;
}

static void tell_leader(struct cognitive *cognitive)
{
    cognitive->leader = oracle_leader(cognitive);
    cognitive_forget_calm(cognitive);
    struct evt_leader_changed *changed = &event_add(cognitive->step->out, EVENT_LEADER_CHANGED)->leader_changed;
    if (cognitive->leader != SLOT_NONE)
        changed->leader = cognitive->oracle[cognitive->leader].address;
}

/* ---- asking ---- */

uint32_t oracle_accounts(const struct cognitive *cognitive, uint32_t ret_account[ORACLES_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < cognitive->oracle_count; i++)
        if (cognitive->oracle[i].state == ORACLE_LIVE)
            ret_account[count++] = cognitive->oracle[i].account;
    return count;
}

uint32_t oracle_quorum(const struct cognitive *cognitive) { return cognitive->quorum; }

uint32_t oracle_draw(const struct cognitive *cognitive, uint64_t dice)
{
    uint32_t drawable[ORACLES_MAX], count = 0;
    for (uint32_t i = 0; i < cognitive->oracle_count; i++)
        if (cognitive->oracle[i].state == ORACLE_LIVE && cognitive->oracle[i].duties & DUTY_AUDIT)
            drawable[count++] = i;
    /* Who made the beacon could have known what it draws. */
    for (uint32_t i = 0; count > 1 && i < count; i++) {
        if (drawable[i] != cognitive->last_revealer)
            continue;
        for (uint32_t k = i; k + 1 < count; k++)
            drawable[k] = drawable[k + 1];
        count--;
    }
    return count ? drawable[dice % count] : SLOT_NONE;
}

const struct address *oracle_operator(const struct cognitive *cognitive, uint32_t oracle)
{
    cx_assert(oracle < cognitive->oracle_count);
    return &cognitive->oracle[oracle].operator;
}

bool cognitive_dice(const struct cognitive *cognitive, struct hash *ret_dice)
{
    bool lives = oracle_live_count(cognitive) > 0;
    *ret_dice = lives ? cognitive->beacon : cognitive->step->chain;
    return lives;
}

/* ---- time ---- */

static uint32_t first_silent(const struct cognitive *cognitive)
{
    uint32_t first = SLOT_NONE;
    uint64_t first_ms = TIME_NEVER;
    for (uint32_t i = 0; i < cognitive->oracle_count; i++) {
        uint64_t at_ms = silent_ms(cognitive, &cognitive->oracle[i]);
        if (at_ms >= first_ms)
            continue;
        first = i;
        first_ms = at_ms;
    }
    return first;
}

/* When time alone may change who lives or who leads. */
static uint64_t find_calm(const struct cognitive *cognitive)
{
    uint32_t silent = first_silent(cognitive);
    uint64_t due_ms = leader_due_ms(cognitive);
    return silent == SLOT_NONE ? due_ms : u64_min(due_ms, silent_ms(cognitive, &cognitive->oracle[silent]));
}

/* The same: until it has come, it is what was found last. */
static uint64_t calm_ms(const struct cognitive *cognitive)
{
    return cognitive->step->now_ms < cognitive->calm_ms ? cognitive->calm_ms : find_calm(cognitive);
}

uint64_t cognitive_due_ms(const struct cognitive *cognitive)
{
    if (round_wanted(cognitive) != SLOT_NONE)
        return 0;
    return u64_min(calm_ms(cognitive), heap_top_key(&cognitive->due));
}

bool cognitive_may_be_due(struct cognitive *cognitive)
{
    uint64_t now_ms = cognitive->step->now_ms;
    cognitive->calm_ms = calm_ms(cognitive);
    if (now_ms >= cognitive->calm_ms || heap_top_key(&cognitive->due) <= now_ms)
        return true;
    return round_wanted(cognitive) != SLOT_NONE;
}

uint32_t cognitive_count_live(const struct cognitive *cognitive)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < cognitive->oracle_count; i++)
        live += cognitive->oracle[i].state == ORACLE_LIVE;
    return live;
}

void cognitive_check_calm(const struct cognitive *cognitive)
{
    cx_assert(cognitive->live == cognitive_count_live(cognitive));
    if (cognitive->step->now_ms < cognitive->calm_ms)
        cx_assert(cognitive->calm_ms == find_calm(cognitive));
}

void cognitive_sweep(struct cognitive *cognitive)
{
    uint64_t now_ms = cognitive->step->now_ms;
    uint32_t silent = first_silent(cognitive);
    if (silent != SLOT_NONE && silent_ms(cognitive, &cognitive->oracle[silent]) <= now_ms)
        oracle_move(cognitive, silent, ORACLE_SILENT);
    else if (oracle_leader(cognitive) != cognitive->leader)
        tell_leader(cognitive);
    else if (round_wanted(cognitive) != SLOT_NONE)
        round_request(cognitive, round_wanted(cognitive));
    else if (heap_top_key(&cognitive->due) <= now_ms)
        round_is_due(cognitive, heap_top(&cognitive->due));
}
