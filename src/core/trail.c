#include "core/trail.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"

#define HEAD_SIZE 6  // of an entry: verdict, count of events

static_assert(HEAD_SIZE <= EVENT_SIZE_MAX, "there is room for a head where there is for an event");
static_assert(sizeof(struct hash) < BLAKE3_GROUP_SIZE, "a batch begins with the digest before it");

bool trail_init(struct trail *trail, struct arena *arena)
{
    trail->waiting = arena_take(arena, TRAIL_CAP, sizeof *trail->waiting);
    trail->used = 0;
    trail->open = false;
    return trail->waiting != NULL;
}

/* Where the next piece goes, of at most EVENT_SIZE_MAX bytes. */
static inline uint8_t *room(struct trail *trail)
{
    if (trail->used > BLAKE3_GROUP_SIZE) {
        blake3_add_group(&trail->digest, trail->waiting);
        trail->used -= BLAKE3_GROUP_SIZE;
        memcpy(trail->waiting, trail->waiting + BLAKE3_GROUP_SIZE, trail->used);
    }
    return trail->waiting + trail->used;
}

static void begin(struct trail *trail, const struct hash *before)
{
    cx_assert(trail->used == 0);
    blake3_init(&trail->digest);
    memcpy(trail->waiting, before->b, sizeof before->b);
    trail->used = sizeof before->b;
    trail->open = true;
}

void trail_add(struct trail *trail, const struct hash *before, enum verdict verdict, const struct event_list *events)
{
    if (!trail->open)
        begin(trail, before);
    uint8_t *head = room(trail);
    be16_put(head, (uint16_t)verdict);
    be32_put(head + 2, events->count);
    trail->used += HEAD_SIZE;
    for (uint32_t i = 0; i < events->count; i++)
        trail->used += event_encode(&events->event[i], room(trail));
    cx_assert(trail->used <= TRAIL_CAP);
}

void trail_end(struct trail *trail, struct hash *digest)
{
    if (!trail->open)
        return;
    blake3_add(&trail->digest, trail->waiting, trail->used);
    blake3_end(&trail->digest, digest);
    trail->used = 0;
    trail->open = false;
}
