/* Keys in files. */
#include "crypto/keystore.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/prng.h"
#include "lib/guard.h"
#include "lib/test.h"

#define SECRET "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"

/* The two examples of the format's definition (Web3 Secret Storage), both of SECRET under "testpassword". */
static const char pbkdf2_example[] =
    "{\"crypto\":{\"cipher\":\"aes-128-ctr\",\"cipherparams\":{\"iv\":\"6087dab2f9fdbbfaddc31a909735c1e6\"},"
    "\"ciphertext\":\"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46\",\"kdf\":\"pbkdf2\","
    "\"kdfparams\":{\"c\":262144,\"dklen\":32,\"prf\":\"hmac-sha256\","
    "\"salt\":\"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd\"},"
    "\"mac\":\"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2\"},"
    "\"id\":\"3198bc9c-6672-5ab3-d995-4942343ae5b6\",\"version\":3}";
static const char scrypt_example[] =
    "{\"crypto\":{\"cipher\":\"aes-128-ctr\",\"cipherparams\":{\"iv\":\"83dbcc02d8ccb40e466191a123791e0e\"},"
    "\"ciphertext\":\"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c\",\"kdf\":\"scrypt\","
    "\"kdfparams\":{\"dklen\":32,\"n\":262144,\"p\":8,\"r\":1,"
    "\"salt\":\"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19\"},"
    "\"mac\":\"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097\"},"
    "\"id\":\"3198bc9c-6672-5ab3-d995-4942343ae5b6\",\"version\":3}";

static struct key *key_of_example(void)
{
    uint8_t secret[KEY_SECRET_SIZE];
    struct key *key;
    CHECK(hex_decode(SECRET, 64, secret, sizeof secret));
    CHECK_EQ(key_from_bytes(secret, &key), CX_OK);
    return key;
}

static void check_secret(const struct key *key)
{
    char text[65];
    hex_encode(key_secret(key), KEY_SECRET_SIZE, text);
    CHECK_STR(text, SECRET);
}

static void check_example(const char *json)
{
    cx_auto(key) key = NULL;
    CHECK_EQ(keystore_decode(json, strlen(json), "testpassword", &key), CX_OK);
    check_secret(key);
    CHECK_EQ(keystore_decode(json, strlen(json), "testpasswort", &key), CX_DENIED);
}

TEST(keystore, opens_the_definitions_pbkdf2_example)
{
    check_example(pbkdf2_example);
}
TEST(keystore, opens_the_definitions_scrypt_example)
{
    check_example(scrypt_example);
}

TEST(keystore, opens_what_it_wrote_under_any_password)
{
    static const char *const passwords[] = {"", "a", "correct horse battery staple", "pässwört 🔑"};
    cx_auto(key) key = key_of_example();
    for (size_t i = 0; i < ARRAY_COUNT(passwords); i++) {
        struct buf json = {0};
        cx_auto(key) back = NULL;
        struct address address;
        CHECK_EQ(keystore_encode(key, passwords[i], KEYSTORE_SCRYPT_N_LIGHT, &json), CX_OK);
        CHECK_EQ(keystore_decode(json.data, json.size, passwords[i], &back), CX_OK);
        check_secret(back);
        CHECK_EQ(keystore_decode(json.data, json.size, "another", &back), CX_DENIED);
        CHECK(strstr(cx_detail(), "wrong password"));
        CHECK_EQ(keystore_decode_address(json.data, json.size, &address), CX_OK);
        CHECK(address_eq(&address, key_address(key)));
        CHECK(!strstr(json.data, SECRET));
        buf_done(&json);
    }
}

TEST(keystore, never_writes_the_same_file_twice)
{
    cx_auto(key) key = key_of_example();
    struct buf a = {0}, b = {0};
    CHECK_EQ(keystore_encode(key, "p", 2, &a), CX_OK);
    CHECK_EQ(keystore_encode(key, "p", 2, &b), CX_OK);
    CHECK(strcmp(a.data, b.data) != 0);
    /* RFC 4122: the version is the third group's first digit, the variant is in the fourth's. */
    const char *id = strstr(a.data, "\"id\": \"") + 7;
    CHECK(id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-' && id[36] == '"');
    CHECK(id[14] == '4');
    CHECK(strchr("89ab", id[19]));
    buf_done(&a);
    buf_done(&b);
}

/* json with its first `from` replaced; the caller frees. */
static char *changed(const char *json, const char *from, const char *to)
{
    const char *at = strstr(json, from);
    CHECK(at);
    size_t size = strlen(json) - strlen(from) + strlen(to) + 1;
    char *text = malloc(size);
    CHECK(text);
    snprintf(text, size, "%.*s%s%s", (int)(at - json), json, to, at + strlen(from));
    return text;
}

static void check_refused(const char *json, const char *from, const char *to, enum cx_err err, const char *detail)
{
    char *text = changed(json, from, to);
    struct key *key = NULL;
    CHECK_EQ(keystore_decode(text, strlen(text), "testpassword", &key), err);
    if (!strstr(cx_detail(), detail))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", cx_detail(), detail);
    CHECK(!key);
    free(text);
}

TEST(keystore, refuses_by_name_what_it_does_not_support)
{
    check_refused(scrypt_example, "\"version\":3", "\"version\":1", CX_UNSUPPORTED, "version 1");
    check_refused(scrypt_example, "\"kdf\":\"scrypt\"", "\"kdf\":\"argon2id\"", CX_UNSUPPORTED, "argon2id");
    check_refused(scrypt_example, "aes-128-ctr", "aes-128-cbc", CX_UNSUPPORTED, "aes-128-cbc");
    check_refused(scrypt_example, "\"dklen\":32", "\"dklen\":64", CX_UNSUPPORTED, "dklen");
    check_refused(pbkdf2_example, "hmac-sha256", "hmac-sha512", CX_UNSUPPORTED, "hmac-sha512");
}

/* Each of these would take gigabytes or hours if it were believed; the test's own time is the proof. */
TEST(keystore, bounds_what_a_file_may_cost)
{
    check_refused(scrypt_example, "\"n\":262144", "\"n\":1073741824", CX_TOO_LARGE, "\"n\"");
    check_refused(scrypt_example, "\"n\":262144", "\"n\":16777216", CX_TOO_LARGE, "1024 MiB");
    check_refused(scrypt_example, "\"r\":1", "\"r\":64", CX_TOO_LARGE, "1024 MiB");
    check_refused(scrypt_example, "\"p\":8", "\"p\":17", CX_TOO_LARGE, "p is 17");
    check_refused(scrypt_example, "\"p\":8,\"r\":1", "\"p\":16,\"r\":8", CX_TOO_LARGE, "n × r × p");
    check_refused(scrypt_example, "\"n\":262144,\"p\":8,\"r\":1", "\"n\":2,\"p\":16,\"r\":16777216", CX_TOO_LARGE,
                  "1024 MiB");
    check_refused(scrypt_example, "\"n\":262144", "\"n\":99999999999999999999", CX_INVALID, "JSON");
    check_refused(pbkdf2_example, "262144", "4294967297", CX_TOO_LARGE, "\"c\"");
    char *large = calloc(1, KEYSTORE_SIZE_MAX + 2);
    CHECK(large);
    memset(large, ' ', KEYSTORE_SIZE_MAX + 1);
    struct key *key;
    CHECK_EQ(keystore_decode(large, KEYSTORE_SIZE_MAX + 1, "", &key), CX_TOO_LARGE);
    free(large);
}

TEST(keystore, names_the_field_that_is_wrong)
{
    check_refused(scrypt_example, "{\"crypto\":", "[{\"crypto\":", CX_INVALID, "JSON");
    check_refused(scrypt_example, "\"crypto\":", "\"kripto\":", CX_INVALID, "\"crypto\"");
    check_refused(scrypt_example, "\"version\":3", "\"version\":\"3\"", CX_INVALID, "\"version\"");
    check_refused(scrypt_example, "\"version\":3", "\"version\":3,\"version\":3", CX_INVALID, "JSON");
    check_refused(scrypt_example, "\"mac\":\"2103", "\"mac\":\"21", CX_INVALID, "\"mac\" has 31 bytes");
    check_refused(scrypt_example, "\"mac\":\"2103", "\"mac\":\"21x3", CX_INVALID, "\"mac\" is not hexadecimal");
    check_refused(scrypt_example, "\"mac\":\"2103", "\"mac\":\"21034", CX_INVALID, "\"mac\" is not hexadecimal");
    check_refused(scrypt_example, "\"iv\":\"83dbcc02d8ccb40e466191a123791e0e\"", "\"iv\":7", CX_INVALID, "\"iv\"");
    check_refused(scrypt_example, "\"n\":262144", "\"n\":262143", CX_INVALID, "power of two");
    check_refused(scrypt_example, "\"n\":262144", "\"n\":1", CX_INVALID, "power of two");
    check_refused(scrypt_example, "\"r\":1", "\"r\":0", CX_INVALID, "\"r\"");
    check_refused(scrypt_example, "\"r\":1", "\"r\":-1", CX_INVALID, "\"r\"");
    check_refused(scrypt_example, "\"r\":1", "\"r\":1.5", CX_INVALID, "\"r\"");
    check_refused(scrypt_example, "\"kdfparams\":{", "\"kdfparams\":8,\"x\":{", CX_INVALID, "\"kdfparams\"");
    check_refused(scrypt_example, "\"version\":3", "\"version\":3,\"address\":\"12\"", CX_INVALID, "\"address\"");
}

TEST(keystore, takes_other_wallets_spelling)
{
    cx_auto(key) key = key_of_example();
    struct buf json = {0};
    CHECK_EQ(keystore_encode(key, "testpassword", 2, &json), CX_OK);
    char *capital = changed(json.data, "\"crypto\"", "\"Crypto\"");
    char *prefixed = changed(capital, "\"mac\": \"", "\"mac\": \"0x");
    cx_auto(key) back = NULL;
    CHECK_EQ(keystore_decode(prefixed, strlen(prefixed), "testpassword", &back), CX_OK);
    check_secret(back);
    free(capital);
    free(prefixed);
    buf_done(&json);
}

TEST(keystore, notices_an_address_that_is_not_the_keys)
{
    cx_auto(key) key = key_of_example();
    struct buf json = {0};
    struct key *back = NULL;
    CHECK_EQ(keystore_encode(key, "", 2, &json), CX_OK);
    char *at = strstr(json.data, "\"address\": \"") + 12;
    *at = *at == '0' ? '1' : '0';
    CHECK_EQ(keystore_decode(json.data, json.size, "", &back), CX_CORRUPT);
    CHECK(!back);
    CHECK(strstr(cx_detail(), "but the key inside"));
    struct address address;
    CHECK_EQ(keystore_decode_address(scrypt_example, strlen(scrypt_example), &address), CX_NOT_FOUND);
    buf_done(&json);
}

TEST(keystore, refuses_its_own_callers_excess)
{
    cx_auto(key) key = key_of_example();
    struct buf json = {0};
    char password[KEYSTORE_PASSWORD_SIZE_MAX + 2];
    memset(password, 'p', sizeof password);
    password[sizeof password - 1] = '\0';
    CHECK_EQ(keystore_encode(key, password, 2, &json), CX_TOO_LARGE);
    CHECK_EQ(keystore_encode(key, "", 3, &json), CX_INVALID);
    CHECK_EQ(keystore_encode(key, "", 1u << 20, &json), CX_TOO_LARGE);
    CHECK_EQ(keystore_encode(key, "", 1u << 31, &json), CX_TOO_LARGE);
    CHECK_EQ(json.size, 0);
}

/* ---- files ---- */

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", test_folder(), name);
    return path;
}

static unsigned files_in_folder(void)
{
    unsigned count = 0;
    DIR *folder = opendir(test_folder());
    CHECK(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

TEST(keystore, writes_a_file_for_its_owner_alone)
{
    cx_auto(key) key = key_of_example();
    cx_auto(key) back = NULL;
    const char *path = path_of("key.json");
    struct stat st;
    struct address address;
    bool exposed = true;
    umask(0);
    CHECK_EQ(keystore_write(path, key, "secret", 2), CX_OK);
    CHECK_EQ(stat(path, &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0600);
    CHECK_EQ(st.st_nlink, 1);
    CHECK_EQ(files_in_folder(), 1);
    CHECK_EQ(keystore_read(path, "secret", &back, &exposed), CX_OK);
    CHECK(!exposed);
    check_secret(back);
    CHECK_EQ(keystore_read_address(path, &address), CX_OK);
    CHECK(address_eq(&address, key_address(key)));
    CHECK_EQ(keystore_read(path, "wrong", &back, NULL), CX_DENIED);
    CHECK(strstr(cx_detail(), "key.json"));
}

TEST(keystore, tells_when_others_may_read_the_file)
{
    cx_auto(key) key = key_of_example();
    const char *path = path_of("key.json");
    CHECK_EQ(keystore_write(path, key, "", 2), CX_OK);
    static const mode_t open_modes[] = {0640, 0604, 0620, 0644};
    for (size_t i = 0; i < ARRAY_COUNT(open_modes); i++) {
        cx_auto(key) back = NULL;
        bool exposed = false;
        CHECK_EQ(chmod(path, open_modes[i]), 0);
        CHECK_EQ(keystore_read(path, "", &back, &exposed), CX_OK);
        CHECK(exposed);
    }
}

TEST(keystore, never_overwrites_a_file)
{
    cx_auto(key) old = key_of_example();
    cx_auto(key) new = NULL;
    cx_auto(key) back = NULL;
    CHECK_EQ(key_generate(&new), CX_OK);
    const char *path = path_of("key.json");
    CHECK_EQ(keystore_write(path, old, "", 2), CX_OK);
    CHECK_EQ(keystore_write(path, new, "", 2), CX_EXISTS);
    CHECK(strstr(cx_detail(), "never overwritten"));
    CHECK_EQ(keystore_read(path, "", &back, NULL), CX_OK);
    check_secret(back);
    CHECK_EQ(files_in_folder(), 1);
    /* access() says that nothing is there; link() does not take the name all the same. */
    CHECK_EQ(symlink("nowhere", path_of("link.json")), 0);
    CHECK_EQ(keystore_write(path_of("link.json"), new, "", 2), CX_EXISTS);
    CHECK_EQ(files_in_folder(), 2);
}

TEST(keystore, says_which_path_is_wrong)
{
    cx_auto(key) key = key_of_example();
    struct key *back = NULL;
    CHECK_EQ(keystore_read(path_of("none.json"), "", &back, NULL), CX_NOT_FOUND);
    CHECK(strstr(cx_detail(), "none.json"));
    CHECK_EQ(keystore_read(test_folder(), "", &back, NULL), CX_INVALID);
    CHECK_EQ(keystore_write(path_of("none/key.json"), key, "", 2), CX_IO);
    CHECK_EQ(mkfifo(path_of("pipe"), 0600), 0);
    CHECK_EQ(keystore_read(path_of("pipe"), "", &back, NULL), CX_INVALID);
    char path[5000];
    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = '\0';
    CHECK_EQ(keystore_write(path, key, "", 2), CX_TOO_LARGE);
    int fd = open(path_of("large.json"), O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, KEYSTORE_SIZE_MAX + 1), 0);
    close(fd);
    CHECK_EQ(keystore_read(path_of("large.json"), "", &back, NULL), CX_TOO_LARGE);
    fd = open(path_of("empty.json"), O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(keystore_read(path_of("empty.json"), "", &back, NULL), CX_INVALID);
    CHECK(!back);
}

/* ---- whatever comes ---- */

/* A file with changed bytes either says what is wrong or opens to the same key; it is cheap either way. */
TEST(keystore, survives_changed_and_cut_files)
{
    cx_auto(key) key = key_of_example();
    struct buf json = {0};
    CHECK_EQ(keystore_encode(key, "p", 2, &json), CX_OK);
    struct prng prng = {8};
    for (int round = 0; round < 3000; round++) {
        size_t size = prng_below(&prng, 3) ? json.size : prng_below(&prng, json.size);
        char *text = guard_copy(json.data, size);
        for (uint64_t changes = prng_below(&prng, 4); changes > 0 && size > 0; changes--) {
            static const char likely[] = "{}[]\":,0189afx\\ \n\0";
            size_t at = prng_below(&prng, size);
            text[at] = prng_below(&prng, 2) ? likely[prng_below(&prng, sizeof likely)] : (char)prng_next(&prng);
        }
        cx_auto(key) back = NULL;
        enum cx_err err = keystore_decode(text, size, "p", &back);
        CHECK((err == CX_OK) == (back != NULL));
        if (back)
            check_secret(back);
        struct address address;
        CHECK(keystore_decode_address(text, size, &address) < CX_ERR_COUNT);
        guard_free(text, size);
    }
    buf_done(&json);
}

TEST(keystore, survives_deep_nesting)
{
    char *deep = malloc(KEYSTORE_SIZE_MAX);
    CHECK(deep);
    memset(deep, '[', KEYSTORE_SIZE_MAX);
    struct key *key;
    CHECK_EQ(keystore_decode(deep, KEYSTORE_SIZE_MAX, "", &key), CX_INVALID);
    free(deep);
}
