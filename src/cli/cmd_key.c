/* corten key: keystore files, which wallets read and write as well. */
#include <stdio.h>
#include <string.h>

#include "cli/command_line.h"
#include "cli/keyfile.h"
#include "crypto/address_text.h"
#include "crypto/keystore.h"

static const struct option_info infos[] = {
    {"password-file", 0, OPTION_TEXT, "FILE", NULL, "the password; else CORTEN_PASSWORD, else empty", 0, 0, false},
    {"light", 0, OPTION_FLAG, NULL, NULL, "new: a key that opens fast, for tests", 0, 0, false},
    OPTIONS_END,
};

static int print_address(const struct options *options, const char *path, const struct address *address)
{
    char text[ADDRESS_TEXT_SIZE];
    address_print(address, text);
    if (option_flag(options, "json"))
        printf("{\"address\":\"%s\"}\n", text);
    else if (path)
        printf("%s  %s\n", text, path);
    else
        printf("%s\n", text);
    return EXIT_DONE;
}

static int make(const struct options *options, const char *path)
{
    char password[PASSWORD_SIZE_MAX + 1];
    cx_auto(key) key = NULL;
    enum cx_err err = password_read(options, password);
    if (!err)
        err = key_generate(&key);
    if (!err)
        err = keystore_write(path, key, password,
                             option_flag(options, "light") ? KEYSTORE_SCRYPT_N_LIGHT : KEYSTORE_SCRYPT_N);
    if (!err && !password[0])
        fprintf(stderr, "corten key: note: %s has an empty password; CORTEN_PASSWORD or --password-file sets one\n",
                path);
    explicit_bzero(password, sizeof password);
    return err ? fail("key", err) : print_address(options, path, key_address(key));
}

static int show(const struct options *options, const char *path)
{
    struct address address;
    enum cx_err err = keystore_read_address(path, &address);
    return err ? fail("key", err) : print_address(options, NULL, &address);
}

/* Opens it, so that a forgotten password shows now and not at the next start. */
static int check(const struct options *options, const char *path)
{
    char password[PASSWORD_SIZE_MAX + 1];
    cx_auto(key) key = NULL;
    bool exposed = false;
    enum cx_err err = password_read(options, password);
    if (!err)
        err = keystore_read(path, password, &key, &exposed);
    explicit_bzero(password, sizeof password);
    if (err)
        return fail("key", err);
    if (exposed)
        fprintf(stderr, "corten key: warning: %s can be read by others; chmod 600 it\n", path);
    return print_address(options, NULL, key_address(key));
}

static int run(const struct options *options)
{
    if (options->arguments != 2)
        return fail_usage("key", "expected new FILE, address FILE or check FILE");
    const char *verb = options->argument[0], *path = options->argument[1];
    if (strcmp(verb, "new") == 0)
        return make(options, path);
    if (strcmp(verb, "address") == 0)
        return show(options, path);
    if (strcmp(verb, "check") == 0)
        return check(options, path);
    return fail_usage("key", "there is no \"%s\"; expected new, address or check", verb);
}

const struct subcommand cmd_key = {
    .name = "key",
    .arguments = "new | address | check  FILE",
    .summary = "make and look at keys (Ethereum keystore files)",
    .text = "A router, miner, oracle or operator is a secp256k1 key in an Ethereum keystore file (version 3),\n"
            "which wallets can import.\n\n"
            "  corten key new miner.json            makes a key and prints its address\n"
            "  corten key address miner.json        prints the address, without the password\n"
            "  corten key check miner.json          opens it, to see that the password is right\n",
    .options = infos,
    .run = run,
};
