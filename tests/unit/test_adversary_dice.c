/* Who tries to choose the dice: what the order of entries can do to the draw of audits, and what it cannot.
 *
 * Source: docs/protocol.md, "Randomness" and "Audits".
 */
#include "base/bytes.h"
#include "core/cognitive.h"
#include "crypto/blake3.h"
#include "crypto/keccak.h"
#include "lib/bench.h"

#define TASKS    60
#define HALF     5000  // basis points: audit_bp
#define HOLD_MAX 2     // heartbeats of 5 s that a commit can be held back within its deadline

static void half(struct cmd_session_open *s)
{
    s->audit_bp = HALF;
    s->commit_ms = 15000;  // as routers have it by default
}

static struct bench half_audited(void)
{
    return bench_open(&(struct network_options){.miners = 1, .oracles = 1}, 1, half);
}

/* The preimage that the oracle reveals next: whoever carries its heartbeat has it before it stands. */
static struct hash next_preimage(const struct bench *b)
{
    struct oracle_view oracle;
    uint32_t at = 0;
    CHECK(view_oracle_at(b->n->core, &at, &oracle));
    for (uint32_t i = 1; i <= NETWORK_CHAIN; i++) {
        struct hash over;
        keccak256(b->n->chain[0][i].b, sizeof(struct hash), &over);
        if (hash_eq(&over, &oracle.chain))
            return b->n->chain[0][i];
        keccak256(b->n->chain[0][i - 1].b, sizeof(struct hash), &over);
        if (hash_eq(&over, &oracle.chain))
            return b->n->chain[0][i - 1];
    }
    test_fail(__FILE__, __LINE__, "the chain has no such value");
}

/* Whether the next beacon would have this lease audited. */
static bool would_be_drawn(const struct bench *b, uint64_t lease)
{
    struct network_view network;
    const struct hash preimage = next_preimage(b);
    const struct address oracle = test_address('O', 1);
    struct hash beacon, draw;
    struct keccak k;
    uint8_t bytes[8 + 32 + 16] = "corten/a";
    view_network(b->n->core, &network);
    keccak_init(&k);
    keccak_add(&k, network.beacon.b, sizeof network.beacon.b);
    keccak_add(&k, oracle.b, sizeof oracle.b);
    keccak_add(&k, preimage.b, sizeof preimage.b);
    keccak_end(&k, &beacon);
    memcpy(bytes + 8, beacon.b, sizeof beacon.b);
    be64_put(bytes + 40, lease);
    be64_put(bytes + 48, 0);
    blake3(bytes, sizeof bytes, &draw);
    return be64(draw.b) % 10000 < HALF;
}

static void beat(struct bench *b) { bench_wait(b, view_params(b->n->core)->heartbeat_ms); }

/* How many of TASKS answers are audited, where each commit is held back as long as `holds` says. */
static uint32_t audited(bool (*holds)(const struct bench *b, uint64_t lease))
{
    struct bench b = half_audited();
    uint32_t drawn = 0;
    for (uint32_t i = 0; i < TASKS; i++) {
        uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
        bench_must(&b, COMMAND_TASK_ACK, lease);
        bench_must(&b, COMMAND_TASK_PRECOMMIT, lease);
        for (uint32_t held = 0; held < HOLD_MAX && holds(&b, lease); held++)
            beat(&b);
        bench_must(&b, COMMAND_TASK_COMMIT, lease);
        network_forget(b.n);
        beat(&b);
        for (uint32_t e = 0; e < b.n->seen_count; e++)
            drawn += b.n->seen[e].type == EVENT_AUDIT_MOVED && b.n->seen[e].audit_moved.to == AUDIT_DRAWN;
    }
    bench_close(&b);
    return drawn;
}

static bool never(const struct bench *b, uint64_t lease)
{
    cx_maybe(b && lease);
    return false;
}

/* All that a router has without the next preimage: the beacon that stands, and the lease. */
static bool by_present_beacon(const struct bench *b, uint64_t lease)
{
    struct network_view network;
    view_network(b->n->core, &network);
    return (network.beacon.b[0] ^ (uint8_t)lease) & 1;
}

TEST(adversary_dice, a_router_without_the_next_preimage_chooses_nothing)
{
    uint32_t honest = audited(never), blind = audited(by_present_beacon);
    /* Of 60 halves, four standard deviations. */
    CHECK(honest >= TASKS / 2 - 15);
    CHECK(honest <= TASKS / 2 + 15);
    CHECK(blind >= TASKS / 2 - 15);
    CHECK(blind <= TASKS / 2 + 15);
}

/* The rule's limit, which docs/protocol.md names: the router through which the oracle speaks has read the preimage
 * before anything stands, and holds back what it would draw. Its only bound is the commit's deadline. */
TEST(adversary_dice, a_router_that_carries_the_heartbeats_keeps_answers_out_of_audits)
{
    uint32_t honest = audited(never), steered = audited(would_be_drawn);
    CHECK(steered < honest / 2);
    CHECK(steered > 0);  // a commit cannot wait for ever
}
