/* check_core_dice.c - the oracles: whether beacon, seeds and draws are those that nobody could choose, and who leads.
 * Source: docs/protocol.md, "Randomness" and "Rounds". */
#include "base/bytes.h"
#include "crypto/blake3.h"
#include "crypto/keccak.h"
#include "sim/check_core_parts.h"

uint32_t oracle_index(const struct check_core *c, const struct address *address)
{
    for (uint32_t i = 0; i < c->oracles; i++)
        if (address_eq(&c->oracle[i].address, address))
            return i;
    return SLOT_NONE;
}

uint32_t oracles_live(const struct check_core *c)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < c->oracles; i++)
        live += c->oracle[i].state == ORACLE_LIVE;
    return live;
}

/* B(tag | dice | a | b), its first eight bytes. */
uint64_t check_dice(struct check_core *c, const char tag[8], uint64_t a, uint64_t b)
{
    const struct hash *dice = oracles_live(c) > 0 ? &c->beacon : &c->chain;
    uint8_t number[16];
    struct blake3 draw;
    struct hash hash;
    be64_put(number, a);
    be64_put(number + 8, b);
    blake3_init(&draw);
    blake3_add(&draw, tag, 8);
    blake3_add(&draw, dice->b, sizeof dice->b);
    blake3_add(&draw, number, sizeof number);
    blake3_end(&draw, &hash);
    return be64(hash.b);
}

/* ---- events ---- */

static bool beacon(struct check_core *c, const struct evt_beacon *e)
{
    const struct command *cmd = c->entry->cmd;
    uint32_t at = oracle_index(c, &e->oracle);
    MUST(c, DICE, at != SLOT_NONE && cmd->type == COMMAND_ORACLE_HEARTBEAT && address_eq(&cmd->signer[0], &e->oracle),
         "a beacon without a heartbeat of its oracle %08x", short_of(&e->oracle));
    const struct hash *preimage = &cmd->oracle_heartbeat.preimage;
    struct hash chain, value;
    keccak256(preimage->b, sizeof preimage->b, &chain);
    MUST(c, DICE, hash_eq(&chain, &c->oracle[at].chain), "oracle %08x revealed what is not its next preimage",
         short_of(&e->oracle));
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, c->beacon.b, sizeof c->beacon.b);
    keccak_add(&k, e->oracle.b, sizeof e->oracle.b);
    keccak_add(&k, preimage->b, sizeof preimage->b);
    keccak_end(&k, &value);
    MUST(c, DICE, hash_eq(&value, &e->value), "the beacon is not what oracle %08x makes of it", short_of(&e->oracle));
    c->beacon = value;
    c->beacons++;
    c->last_revealer = at;
    c->oracle[at].chain = *preimage;
    c->oracle[at].heard_ms = c->now_ms;
    c->oracle[at].duties = cmd->oracle_heartbeat.duties;
    return true;
}

static bool oracle_changed(struct check_core *c, const struct evt_oracle_changed *e)
{
    const struct command *cmd = c->entry->cmd;
    uint32_t at = oracle_index(c, &e->oracle);
    if (at == SLOT_NONE) {
        MUST(c, EFFECT, cmd && cmd->type == COMMAND_ORACLE_ADD && c->oracles < ORACLES_MAX,
             "oracle %08x appears without an oracle_add", short_of(&e->oracle));
        at = c->oracles++;
        c->oracle[at] = (struct oracle_book){.address = e->oracle, .state = ORACLE_REMOVED};
    }
    struct oracle_book *o = &c->oracle[at];
    bool added = o->state == ORACLE_REMOVED && e->state == ORACLE_SILENT;
    if (added)
        *o = (struct oracle_book){
            .address = e->oracle, .operator= cmd->oracle_add.operator, .chain = cmd->oracle_add.chain_end };
    if (o->state == ORACLE_LIVE && e->state == ORACLE_SILENT)
        MUST(c, LEADER, c->now_ms > o->heard_ms + c->params.silent_periods * c->params.heartbeat_ms,
             "oracle %08x is SILENT, and was heard at %" PRIu64, short_of(&e->oracle), o->heard_ms);
    o->state = (enum oracle_state)e->state;
    return true;
}

bool oracle_event(struct check_core *c, const struct event *e)
{
    if (e->type == EVENT_BEACON)
        return beacon(c, &e->beacon);
    if (e->type == EVENT_ORACLE_CHANGED)
        return oracle_changed(c, &e->oracle_changed);
    c->leader = e->leader_changed.leader;
    return true;
}

/* ---- behind the events ---- */

/* By windows over the oracles that live and have the duty, in the order of their slots; one that has not been heard for
 * two heartbeats is passed over while another has. Zero: nobody. */
static struct address leader_now(const struct check_core *c)
{
    uint32_t able[ORACLES_MAX], count = 0;
    for (uint32_t i = 0; i < c->oracles; i++)
        if (c->oracle[i].state == ORACLE_LIVE && c->oracle[i].duties & DUTY_ROUND)
            able[count++] = i;
    if (count == 0)
        return (struct address){0};
    uint64_t window = c->now_ms / c->params.oracle_window_ms;
    for (uint32_t turn = 0; turn < count; turn++) {
        const struct oracle_book *o = &c->oracle[able[(window + turn) % count]];
        if (c->now_ms - o->heard_ms < 2 * c->params.heartbeat_ms)
            return o->address;
    }
    return c->oracle[able[window % count]].address;
}

/* What only the leader may do was done by the leader. */
static bool led(struct check_core *c)
{
    const struct command *cmd = c->entry->cmd;
    bool leads = cmd->type == COMMAND_ROUND_CREATE || cmd->type == COMMAND_ROUND_PREPARE ||
                 cmd->type == COMMAND_ROUND_START || cmd->type == COMMAND_ROUND_ABORT;
    if (!leads || c->entry->verdict != VERDICT_ACCEPTED)
        return true;
    struct address leader = leader_now(c);
    MUST(c, LEADER, cmd->signer_count > 0 && address_eq(&cmd->signer[0], &leader),
         "%s by oracle %08x, and oracle %08x leads", command_find(cmd->type)->name, short_of(&cmd->signer[0]),
         short_of(&leader));
    return true;
}

bool oracle_after(struct check_core *c)
{
    const struct command *cmd = c->entry->cmd;
    if (!cmd || !c->begun)
        return true;
    if (cmd->type == COMMAND_ORACLE_CHAIN && c->entry->verdict == VERDICT_ACCEPTED)
        c->oracle[oracle_index(c, &cmd->signer[0])].chain = cmd->oracle_chain.chain_end;
    bool quorum = c->entry->verdict == VERDICT_ACCEPTED;
    if (quorum && cmd->type == COMMAND_ORACLE_ADD)
        c->oracle_quorum = cmd->oracle_add.quorum;
    if (quorum && cmd->type == COMMAND_ORACLE_REMOVE)
        c->oracle_quorum = cmd->oracle_remove.quorum;
    if (cmd->type == COMMAND_ORACLE_HEARTBEAT)
        MUST(c, DICE,
             (c->entry->verdict == VERDICT_ACCEPTED) ==
                 (c->entry->events->count > 0 &&
                  c->entry->events->event[c->entry->events->count - 1].type == EVENT_BEACON),
             "a heartbeat was answered %s and made %s beacon", verdict_name(c->entry->verdict),
             c->entry->verdict == VERDICT_ACCEPTED ? "no" : "a");
    struct address leader = leader_now(c);
    if (core_next_tick_ms(c->core) > c->now_ms)
        MUST(c, LEADER, address_eq(&leader, &c->leader),
             "oracle %08x is told to lead at %" PRIu64 ", and oracle %08x does", short_of(&c->leader), c->now_ms,
             short_of(&leader));
    return led(c);
}
