/* Entries and what is inside of them: commands, signatures, result records, and the names of things. */
#include "base/hex.h"
#include "base/utf8.h"
#include "cli/genesis.h"
#include "cli/resource.h"
#include "core/command.h"
#include "core/params.h"
#include "core/record.h"
#include "core/typed_data.h"
#include "crypto/address_text.h"
#include "crypto/cid.h"
#include "crypto/keystore.h"
#include "fuzz/fuzz.h"
#include "proto/entry.h"
#include "proto/fields_json.h"

/* ---- entries ---- */

/* What decodes has this one encoding. */
static void check_encoding(struct span entry, const struct command *cmd, const uint8_t *signatures)
{
    uint8_t again[ENTRY_SIZE_MAX], copy[SIGNATURES_MAX][65] = {{0}};
    FUZZ_CHECK(cmd->signer_count <= SIGNATURES_MAX);
    if (cmd->signer_count)
        memcpy(copy, signatures, cmd->signer_count * (size_t)65);
    uint32_t size = command_encode(cmd, (const uint8_t(*)[65])copy, again, sizeof again);
    FUZZ_CHECK(size == entry.size && memcmp(again, entry.data, size) == 0);
    FUZZ_CHECK(command_encode(cmd, (const uint8_t(*)[65])copy, again, size - 1) == 0);
}

static void check_shown(const struct command *cmd)
{
    const struct command_info *info = command_find((uint32_t)cmd->type);
    struct buf text = {0};
    struct json_out out;
    json_t *read = NULL;
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    fields_json(&out, info->name, info->fields, &cmd->genesis);
    json_out_end(&out);
    FUZZ_CHECK(json_parse(text.data, text.size, 1 << 20, &read) == CX_OK);
    FUZZ_CHECK(json_object_size(read) == info->fields.count);
    json_decref(read);
    buf_done(&text);
}

FUZZ(entry, "an entry decodes and encodes to itself, is shown as JSON, and each signature has one signer or none")
{
    struct command cmd, read;
    const uint8_t *signatures = NULL;
    struct span entry = {data, (uint32_t)size};
    memset(&cmd, 0, sizeof cmd);
    memset(&read, 0, sizeof read);
    bool decodes = size <= ENTRY_SIZE_MAX && command_decode(entry, &cmd, &signatures);
    enum cx_err err = entry_decode(entry, 7, &read);
    FUZZ_CHECK((err == CX_OK) == decodes || size > ENTRY_SIZE_MAX);
    if (!decodes)
        return;
    check_encoding(entry, &cmd, signatures);
    check_shown(&cmd);
    for (uint32_t i = 0; i < cmd.signer_count && i < 2; i++) {
        struct address signer = {{0}};
        bool good = entry_signer(&cmd, 7, signatures + i * (size_t)65, &signer) == CX_OK;
        FUZZ_CHECK(address_eq(&signer, &read.signer[i]) && good == !address_is_zero(&signer));
    }
    char type[TYPE_TEXT_SIZE_MAX];
    uint32_t type_size = typed_data_type(command_find((uint32_t)cmd.type), type, sizeof type);
    FUZZ_CHECK(type_size == strlen(type) && type_size > 0);
}

FUZZ_SEEDS(entry)
{
    const uint8_t secret[KEY_SECRET_SIZE] = {[31] = 9};
    struct key *key = NULL;
    if (key_from_bytes(secret, &key))
        fuzz_fail(__FILE__, __LINE__, "no key");
    const struct key *keys[] = {key, key};
    uint32_t i = 0;
    for (const struct command_info *info = command_next(NULL); info; info = command_next(info), i++) {
        struct command cmd = {.type = info->type, .nonce = 3};
        struct buf out = {0};
        if (i % 3 ? entry_sign(&cmd, 7, keys, i % 3, &out) : entry_encode(&cmd, &out))
            fuzz_fail(__FILE__, __LINE__, info->name);
        fuzz_seed(info->name, out.data, out.size);
        buf_done(&out);
    }
    key_close(key);
}

/* ---- records ---- */

FUZZ(record, "a result record decodes and encodes to itself; a chain and a precommit take any bytes")
{
    struct record record;
    struct span bytes = {data, (uint32_t)size};
    if (!record_decode(bytes, &record))
        return;
    uint8_t again[RECORD_SIZE_MAX];
    FUZZ_CHECK(size == RECORD_EXACT_SIZE);
    FUZZ_CHECK(record_encode(&record, again, sizeof again) == size && memcmp(again, data, size) == 0);
    struct precommit_terms terms = {.network_id = 7, .lease = 5};
    struct hash a, b;
    precommit_hash(&terms, bytes, &a);
    terms.salt.b[0] ^= 1;
    precommit_hash(&terms, bytes, &b);
    FUZZ_CHECK(!hash_eq(&a, &b));
}

FUZZ_SEEDS(record)
{
    uint8_t bytes[RECORD_SIZE_MAX];
    struct record record = {
        .engine = ENGINE_ECHO, .seed = 3, .seed_of_client = 1, .finish = 1, .tokens_in = 1, .tokens_out = 2};
    uint32_t size = record_encode(&record, bytes, sizeof bytes);
    fuzz_seed("record", bytes, size);
    bytes[size] = 0;
    fuzz_seed("longer", bytes, size + 1);
}

/* ---- names ---- */

static void check_hash_names(const char *text, size_t size)
{
    struct hash hash;
    char again[URN_TEXT_SIZE];
    enum cx_err err = cid_decode(text, size, &hash);
    FUZZ_CHECK(err == CX_OK || err == CX_INVALID || err == CX_UNSUPPORTED);
    if (err == CX_OK) {
        cid_encode(&hash, again);
        FUZZ_CHECK(strlen(again) == size && memcmp(again, text, size) == 0);
    }
    err = urn_decode(text, size, &hash);
    FUZZ_CHECK(err == CX_OK || err == CX_INVALID || err == CX_UNSUPPORTED);
    if (err == CX_OK) {
        urn_encode(&hash, again);
        FUZZ_CHECK(strlen(again) == size && memcmp(again, text, size) == 0);
    }
}

static void check_address(const char *text, size_t size)
{
    struct address address, second;
    char again[ADDRESS_TEXT_SIZE];
    if (address_parse(text, size, &address))
        return;
    address_print(&address, again);
    FUZZ_CHECK(size == ADDRESS_TEXT_SIZE - 1 && strncasecmp(again, text, size) == 0);
    FUZZ_CHECK(address_parse(again, strlen(again), &second) == CX_OK && address_eq(&address, &second));
}

static void check_hex(const char *text, size_t size)
{
    uint8_t bytes[32], again[32];
    char written[65];
    for (size_t count = 0; count <= sizeof bytes; count += 4)
        if (hex_decode(text, size, bytes, count)) {
            FUZZ_CHECK(size == 2 * count);
            hex_encode(bytes, count, written);
            FUZZ_CHECK(strncasecmp(written, text, size) == 0);
            FUZZ_CHECK(hex_decode(written, size, again, count) && memcmp(bytes, again, count) == 0);
        }
}

static void check_utf8(const char *text, size_t size)
{
    size_t at = 0, prefix = utf8_whole_prefix(text, size);
    FUZZ_CHECK(prefix <= size && size - prefix < 4);
    while (at < size) {
        size_t step = utf8_step(text + at, size - at);
        FUZZ_CHECK(step <= 4 && step <= size - at);
        if (step == 0)
            break;
        at += step;
    }
    FUZZ_CHECK(utf8_is_valid(text, size) == (at == size));
    struct buf out = {0};
    json_t *read = NULL;
    buf_json_string(&out, text, size);
    bool has_nul = size && memchr(text, 0, size);
    FUZZ_CHECK((json_parse(out.data, out.size, 1 << 20, &read) == CX_OK) != has_nul);
    FUZZ_CHECK(has_nul || at < size ||
               (json_string_length(read) == size && memcmp(json_string_value(read), text, size) == 0));
    json_decref(read);
    buf_done(&out);
}

FUZZ(names, "CIDs, addresses, hexadecimal and UTF-8 have one reading, and what is read is written the same")
{
    check_hash_names((char *)data, size);
    check_address((char *)data, size);
    check_hex((char *)data, size);
    check_utf8((char *)data, size);
}

FUZZ_SEEDS(names)
{
    const struct hash hash = {{1, 2, 3}};
    const struct address address = {{0xab, 0xcd, 0xef, 4}};
    char text[URN_TEXT_SIZE];
    cid_encode(&hash, text);
    fuzz_seed_text("cid", text);
    urn_encode(&hash, text);
    fuzz_seed_text("urn", text);
    address_print(&address, text);
    fuzz_seed_text("address", text);
    fuzz_seed_text("hex", "00ffAA10");
    fuzz_seed_text("utf8", "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\xa0\x80");
}

/* ---- what people write on a command line ---- */

/* Credits as they stand, coins with at most six places. */
static void check_amount(const char *text)
{
    struct amount amount;
    if (amount_read(text, &amount))
        return;
    const char *point = strchr(text, '.');
    size_t places = point ? strspn(point + 1, "0123456789") : 0;
    FUZZ_CHECK(places <= 6);
    if (!strchr(text, 'c')) {
        FUZZ_CHECK(!point && amount.credits == strtoull(text, NULL, 10));
        return;
    }
    uint64_t part = places ? strtoull(point + 1, NULL, 10) : 0;
    for (; places < 6; places++)
        part *= 10;
    FUZZ_CHECK(amount.credits == strtoull(text, NULL, 10) * 1000000 + part);
}

FUZZ(amount, "an amount is a whole number of credits, or coins of a million, or is refused; a genesis takes NAME=VALUE")
{
    char *text = fuzz_text((struct span){data, (uint32_t)size});
    check_amount(text);
    struct genesis genesis;
    genesis_init(&genesis, 7, 1, 1);
    if (genesis_param(&genesis, text) == CX_OK) {
        genesis_finish(&genesis);
        struct params params;
        params_default(&params);
        FUZZ_CHECK(params_read(&params, genesis.command.params) == VERDICT_ACCEPTED);
    }
    genesis_done(&genesis);
    free(text);
}

FUZZ_SEEDS(amount)
{
    fuzz_seed_text("credits", "250000");
    fuzz_seed_text("coins", "0.25 coins");
    fuzz_seed_text("most", "18446744073709551615");
    fuzz_seed_text("most-coins", "18446744073709.551615coins");
    fuzz_seed_text("param", "heartbeat_ms=1000");
}

/* ---- keystores ---- */

/* Passwords are slow to try on purpose: files that ask for more than this are passed over. */

static bool is_cheap(const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    json_t *crypto = json_object_get(root, "crypto");
    json_t *params = json_object_get(crypto ? crypto : json_object_get(root, "Crypto"), "kdfparams");
    json_int_t n = json_integer_value(json_object_get(params, "n")),
               c = json_integer_value(json_object_get(params, "c"));
    json_int_t r = json_integer_value(json_object_get(params, "r")),
               p = json_integer_value(json_object_get(params, "p"));
    bool cheap = n >= 0 && n <= 64 && c >= 0 && c <= 64 && r >= 0 && r <= 8 && p >= 0 && p <= 4;
    json_decref(root);
    return cheap;
}

FUZZ(keystore, "a key file is refused by name or opens, and then holds the key of the address that it names")
{
    struct address claimed;
    struct key *key = NULL;
    enum cx_err named = keystore_decode_address((char *)data, size, &claimed);
    FUZZ_CHECK(named == CX_OK || named == CX_NOT_FOUND || named == CX_INVALID || named == CX_UNSUPPORTED ||
               named == CX_TOO_LARGE);
    if (!is_cheap((char *)data, size))
        return;
    if (keystore_decode((char *)data, size, "pass", &key))
        return;
    FUZZ_CHECK(named == CX_NOT_FOUND || address_eq(&claimed, key_address(key)));
    key_close(key);
}

FUZZ_SEEDS(keystore)
{
    const uint8_t secret[KEY_SECRET_SIZE] = {[31] = 9};
    struct key *key = NULL;
    struct buf out = {0};
    if (key_from_bytes(secret, &key) || keystore_encode(key, "pass", 2, &out))
        fuzz_fail(__FILE__, __LINE__, "no key");
    fuzz_seed("scrypt", out.data, out.size);
    fuzz_seed_text(
        "pbkdf2",
        "{\"version\":3,\"crypto\":{\"cipher\":\"aes-128-ctr\",\"ciphertext\":"
        "\"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46\",\"cipherparams\":{\"iv\":"
        "\"6087dab2f9fdbbfaddc31a909735c1e6\"},\"kdf\":\"pbkdf2\",\"kdfparams\":{\"c\":2,\"dklen\":32,"
        "\"prf\":\"hmac-sha256\",\"salt\":\"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd\"},"
        "\"mac\":\"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2\"}}");
    /* What would go beyond its room. */
    fuzz_seed_text("long-address", "{\"version\":3,\"address\":"
                                   "\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425\"}");
    buf_done(&out);
    key_close(key);
}
