/* entry.h - ledger entries from the outside: signing commands, and finding out who signed.
 *
 * The core is handed the signers of an entry; here they are recovered, on whichever thread has time. The result is a
 * pure function of the bytes and the network id.
 *
 * Source: docs/protocol.md, "Entries" and "Signatures".
 */
#ifndef CORTEN_PROTO_ENTRY_H
#define CORTEN_PROTO_ENTRY_H

#include "base/buf.h"
#include "base/err.h"
#include "core/command.h"
#include "crypto/key.h"

/* Adds the entry of an unsigned command. INVALID: a field is over its maximum. */
enum cx_err entry_encode(const struct command *cmd, struct buf *ret_bytes);
/* Adds the entry signed by these keys, in this order. */
enum cx_err entry_sign(const struct command *cmd, uint64_t network_id, const struct key *const *key, uint32_t key_count,
                       struct buf *ret_bytes);
/* One signature over the command alone, for those who collect several; v 27 or 28. */
void entry_signature(const struct command *cmd, uint64_t network_id, const struct key *key,
                     uint8_t ret_signature[SIGNATURE_SIZE]);
/* Who made this signature over the command. INVALID: nobody can have. */
enum cx_err entry_signer(const struct command *cmd, uint64_t network_id, const uint8_t signature[SIGNATURE_SIZE],
                         struct address *ret_signer);
/* Decodes, and recovers the signers (zero: that signature is bad). Spans of the command point into `bytes`.
 * INVALID: it does not decode; the core's verdict on it is COMMAND_UNKNOWN or COMMAND_MALFORMED. */
enum cx_err entry_decode(struct span bytes, uint64_t network_id, struct command *ret_cmd);

#endif
