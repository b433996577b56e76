#include "cli/keyfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/keystore.h"

enum cx_err password_read(const struct options *options, char ret_password[PASSWORD_SIZE_MAX + 1])
{
    const char *path = option_text(options, "password-file");
    const char *given = getenv("CORTEN_PASSWORD");
    ret_password[0] = '\0';
    if (!path && given && strlen(given) > PASSWORD_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "CORTEN_PASSWORD: over %d bytes", PASSWORD_SIZE_MAX);
    if (!path) {
        snprintf(ret_password, PASSWORD_SIZE_MAX + 1, "%s", given ? given : "");
        return CX_OK;
    }
    FILE *file = fopen(path, "r");
    if (!file)
        return cx_fail(CX_NOT_FOUND, "--password-file: %s: %s", path, strerror(errno));
    size_t size = fread(ret_password, 1, PASSWORD_SIZE_MAX + 1, file);
    bool failed = ferror(file);
    fclose(file);
    if (failed || size > PASSWORD_SIZE_MAX)
        return cx_fail(failed ? CX_IO : CX_TOO_LARGE, "--password-file: %s cannot be read, or is over %d bytes", path,
                       PASSWORD_SIZE_MAX);
    while (size > 0 && (ret_password[size - 1] == '\n' || ret_password[size - 1] == '\r'))
        size--;
    ret_password[size] = '\0';
    return CX_OK;
}

enum cx_err keyfile_read(const struct options *options, const char *name, struct key **ret_key)
{
    const char *path = option_text(options, name);
    char password[PASSWORD_SIZE_MAX + 1];
    bool exposed = false;
    if (!path)
        return cx_fail(CX_INVALID, "--%s FILE is missing; corten key new FILE makes one", name);
    enum cx_err err = password_read(options, password);
    if (!err)
        err = keystore_read(path, password, ret_key, &exposed);
    explicit_bzero(password, sizeof password);
    if (!err && exposed)
        fprintf(stderr, "corten: warning: %s can be read by others; chmod 600 it\n", path);
    return err;
}

enum cx_err keyfile_make(const char *path, struct key **ret_key)
{
    if (access(path, F_OK) == 0)
        return keystore_read(path, "", ret_key, NULL);
    cx_auto(key) key = NULL;
    enum cx_err err = key_generate(&key);
    if (!err)
        err = keystore_write(path, key, "", KEYSTORE_SCRYPT_N_LIGHT);
    if (!err)
        *ret_key = cx_take(&key);
    return err;
}
