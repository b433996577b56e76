/* command.h - one entry of the ledger: a command, who appended it, who signed it, and when.
 *
 *      entry bytes = type u16 | fields | signature count u8 | if any: nonce u64, valid_until_ms u64, 65 bytes each
 *
 * One command has one encoding: decode refuses every other. Signatures are EIP-712 over the fields, nonce and
 * valid_until_ms (core/typed_data.h); who made them is found outside the core and handed in.
 *
 * Source: docs/protocol.md, "Entries".
 */
#ifndef CORTEN_CORE_COMMAND_H
#define CORTEN_CORE_COMMAND_H

#include "core/field.h"
#include "core/limits.h"

#define FIELD_C_u8      uint8_t
#define FIELD_C_u16     uint16_t
#define FIELD_C_u32     uint32_t
#define FIELD_C_u64     uint64_t
#define FIELD_C_amount  struct amount
#define FIELD_C_address struct address
#define FIELD_C_hash    struct hash

// clang-format off
#define COMMAND(id, name, NAME, authority, replay) struct cmd_##name {
#define FIELD(command, name, type)                 FIELD_C_##type name;
#define BYTES(command, name, max)                  struct span name;
#define END(name) };
// clang-format on
#include "core/command.def"
#undef COMMAND
#undef FIELD
#undef BYTES
#undef END

enum command_type {
#define COMMAND(id, name, NAME, authority, replay) COMMAND_##NAME = id,
#define FIELD(command, name, type)
#define BYTES(command, name, max)
#define END(name)
#include "core/command.def"
#undef COMMAND
#undef FIELD
#undef BYTES
#undef END
    COMMAND_TYPE_END
};

/* Who may author a command: docs/protocol.md, "Authority". */
enum authority {
    AUTHORITY_GENESIS,  // nobody: it is the first entry
    AUTHORITY_ROUTER,   // the appending router, by the ledger's word
    AUTHORITY_OWNER,    // the account it names, signed; or the router that has custody or a delegation
    AUTHORITY_PAYER,    // likewise, and a router for the keys it serves
    AUTHORITY_NODE,     // the node it names, signed; registration with its operator
    AUTHORITY_LEASE,    // the node that holds the lease, signed; its router where evidence is `channel`
    AUTHORITY_ORACLE,   // an oracle, signed
    AUTHORITY_LEADER,   // the oracle that leads, signed
    AUTHORITY_ADMIN,    // admin_quorum admins, signed
};
enum replay { REPLAY_SAFE, REPLAY_NONCE };

struct command {
    uint64_t time_ms;       // stamped by the ledger
    struct address author;  // the router that appended it
    enum command_type type;
    uint64_t nonce;
    uint64_t valid_until_ms;                // 0: for ever
    uint8_t signer_count;                   // signatures
    struct address signer[SIGNATURES_MAX];  // recovered; zero: bad
    union {
#define COMMAND(id, name, NAME, authority, replay) struct cmd_##name name;
#define FIELD(command, name, type)
#define BYTES(command, name, max)
#define END(name)
#include "core/command.def"
#undef COMMAND
#undef FIELD
#undef BYTES
#undef END
    };
};

struct command_info {
    enum command_type type;
    const char *name;  // "task_submit"
    enum authority authority;
    enum replay replay;
    struct field_list fields;
};

/* The description of a type, or NULL. */
const struct command_info *command_find(uint32_t type);
const struct command_info *command_find_name(const char *name);
/* In order of id; NULL gives the first, the last gives NULL. */
const struct command_info *command_next(const struct command_info *info);

/* Writes the entry with these signatures (65 bytes each). Gives its size, or 0 where cap is too small or a field is
 * over its maximum. */
uint32_t command_encode(const struct command *cmd, const uint8_t (*signature)[65], uint8_t *ret_bytes, uint32_t cap);

/* Reads an entry; time, author and signers stay as they are. ret_signature points at signer_count × 65 bytes in
 * `bytes`; spans of the command point into it too. False: unknown type, or not the one canonical encoding. */
bool command_decode(struct span bytes, struct command *ret_cmd, const uint8_t **ret_signature);

#endif
