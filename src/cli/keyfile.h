/* keyfile.h - keys that subcommands are told by the path of their keystore file.
 *
 * The password is that of --password-file, or of CORTEN_PASSWORD, or empty. */
#ifndef CORTEN_CLI_KEYFILE_H
#define CORTEN_CLI_KEYFILE_H

#include "cli/options.h"
#include "crypto/key.h"

/* Fills ret_password with the password that the options name; `password-file` must be in the table. */
#define PASSWORD_SIZE_MAX 1024
enum cx_err password_read(const struct options *options, char ret_password[PASSWORD_SIZE_MAX + 1]);

/* Reads the key of the option `name`; warns on standard error where others may read the file. */
enum cx_err keyfile_read(const struct options *options, const char *name, struct key **ret_key);
/* Reads the file, or makes it with a new key where there is none; its password is empty and its scrypt light: for
 * networks that `corten dev` makes. */
enum cx_err keyfile_make(const char *path, struct key **ret_key);

#endif
