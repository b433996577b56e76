/* replay.c - the core without a C library, for whoever wants to check a ledger by themselves: a browser, an auditor,
 * one day a chain. It is the same source as the router's; only the memory comes from elsewhere.
 *
 * The host writes an entry into `room`, asks for the digests that its signers signed, recovers these, and has the entry
 * applied. tools/wasm/replay.mjs does so. All numbers that pass are 32 bits, or 64 as BigInt.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "core/core.h"
#include "core/typed_data.h"

#define EXPORT(name) __attribute__((export_name(#name)))
#define WASM_PAGE    65536

static struct {
    uint8_t entry[ENTRY_SIZE_MAX];
    struct address author, signer[SIGNATURES_MAX];
    struct hash answer;
} room;
static struct event event[EVENTS_PER_COMMAND_MAX];
static struct core *core;
static uint64_t network_id;

/* Where the host puts what it passes, and finds what it asked for. */
EXPORT(room_entry) uint8_t *room_entry(void) { return room.entry; }
EXPORT(room_author) uint8_t *room_author(void) { return room.author.b; }
EXPORT(room_signer) uint8_t *room_signer(uint32_t i) { return room.signer[i].b; }
EXPORT(room_answer) uint8_t *room_answer(void) { return room.answer.b; }

static bool decode(uint32_t size, struct command *ret_cmd, const uint8_t **ret_signature)
{
    memset(ret_cmd, 0, sizeof *ret_cmd);
    return size <= ENTRY_SIZE_MAX && command_decode((struct span){room.entry, size}, ret_cmd, ret_signature);
}

/* The genesis in the room sizes the tables. 0: it is none, or memory does not suffice. */
EXPORT(replay_open) uint32_t replay_open(uint32_t size)
{
    struct command cmd;
    const uint8_t *signature;
    if (core || !decode(size, &cmd, &signature) || cmd.type != COMMAND_GENESIS)
        return 0;
    size_t wanted = core_size(&cmd.genesis);
    uint32_t pages = (uint32_t)((wanted + WASM_PAGE - 1) / WASM_PAGE);
    size_t before = wanted ? __builtin_wasm_memory_grow(0, pages) : SIZE_MAX;
    if (before == SIZE_MAX)
        return 0;
    network_id = cmd.genesis.network_id;
    core = core_open((void *)(before * WASM_PAGE), wanted, &cmd.genesis);
    return core != NULL;
}

/* How many signatures the entry carries; 0 also where it does not decode. */
EXPORT(replay_signatures) uint32_t replay_signatures(uint32_t size)
{
    struct command cmd;
    const uint8_t *signature;
    return decode(size, &cmd, &signature) ? cmd.signer_count : 0;
}

/* Where the i-th signature lies; the digest that it is over is put into room_answer. */
EXPORT(replay_signature) const uint8_t *replay_signature(uint32_t size, uint32_t i)
{
    struct command cmd;
    const uint8_t *signature;
    if (!decode(size, &cmd, &signature) || i >= cmd.signer_count)
        return NULL;
    typed_data_digest(&cmd, network_id, &room.answer);
    return signature + i * 65;
}

/* Applies the entry with the author and signers in the room; gives the verdict. */
EXPORT(replay_apply) uint32_t replay_apply(uint32_t size, uint64_t time_ms)
{
    struct event_list out = {event, EVENTS_PER_COMMAND_MAX, 0};
    struct command cmd;
    const uint8_t *signature;
    cx_assert(core);
    cx_assert(size <= ENTRY_SIZE_MAX);
    struct span bytes = {room.entry, size};
    bool decodes = decode(size, &cmd, &signature);
    cmd.time_ms = time_ms;
    cmd.author = room.author;
    if (decodes)
        memcpy(cmd.signer, room.signer, cmd.signer_count * sizeof cmd.signer[0]);
    return core_apply(core, bytes, decodes ? &cmd : NULL, &out);
}

EXPORT(replay_batch_end) void replay_batch_end(void) { core_batch_end(core); }
EXPORT(replay_seq) uint64_t replay_seq(void) { return core_seq(core); }

/* The running digest, and the root over all tables, into room_answer. */
EXPORT(replay_digest) void replay_digest(void) { core_digest(core, &room.answer); }
EXPORT(replay_root) void replay_root(void) { core_root(core, &room.answer); }
EXPORT(replay_check) void replay_check(void) { core_check(core); }
