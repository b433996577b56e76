/* typed_data.h - commands as EIP-712 typed messages, so that wallets can sign and contracts check them.
 *
 *      domain = {name "Corten", version "1", chainId network_id}
 *      type   = task_precommit(uint64 lease,bytes32 precommit,uint64 nonce,uint64 valid_until_ms)
 *
 * The primary type is the command's name and its members are its fields in order: u8..u64 and amount as uintN and
 * uint64, hash as bytes32, BYTES as bytes; then nonce and valid_until_ms, always.
 *
 * Source: docs/protocol.md, "Signatures".
 */
#ifndef CORTEN_CORE_TYPED_DATA_H
#define CORTEN_CORE_TYPED_DATA_H

#include "core/command.h"

#define TYPE_TEXT_SIZE_MAX 2048

/* The type string, NUL-terminated; gives its size. */
uint32_t typed_data_type(const struct command_info *info, char *ret_text, uint32_t cap);
/* The digest that is signed. */
void typed_data_digest(const struct command *cmd, uint64_t network_id, struct hash *ret_digest);

#endif
