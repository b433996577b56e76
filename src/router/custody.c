#include "router/custody.h"

#include <string.h>

#include "base/hex.h"
#include "core/account.h"
#include "crypto/keccak.h"
#include "crypto/random.h"

void custody_new_key(char ret_text[CUSTODY_KEY_SIZE])
{
    uint8_t secret[32];
    random_fill(secret, sizeof secret);
    memcpy(ret_text, "ck_", 3);
    hex_encode(secret, sizeof secret, ret_text + 3);
}

void custody_key_put(const struct address *router, const char *text, struct command *ret_cmd)
{
    *ret_cmd = (struct command){.type = COMMAND_KEY_PUT, .key_put.scopes = CUSTODY_SCOPES_ALL};
    keccak256(text, strlen(text), &ret_cmd->key_put.key_hash);
    account_custodial(router, &ret_cmd->key_put.key_hash, &ret_cmd->key_put.account);
}
