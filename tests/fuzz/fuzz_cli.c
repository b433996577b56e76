/* What people and their files say: options, configuration, URLs; what a router's answers show; what a path asks for. */
#include "cli/client.h"
#include "cli/options.h"
#include "cli/show.h"
#include "fuzz/fuzz.h"
#include "net/ws_conn_inside.h"
#include "router/api_parts.h"

/* ---- options and configuration ---- */

static const struct option_info infos[] = {
    {"listen", 'l', OPTION_TEXT, "ADDRESS", "127.0.0.1:5010", "where", 0, 0, false},
    {"miners", 0, OPTION_NUMBER, "N", "3", "how many", 1, 64, false},
    {"price-in", 0, OPTION_NUMBER, "CREDITS", NULL, "any number", 0, 0, false},
    {"found", 0, OPTION_FLAG, NULL, NULL, "begin anew", 0, 0, false},
    {"param", 'p', OPTION_TEXT, "NAME=VALUE", NULL, "may be repeated", 0, 0, true},
    OPTIONS_END,
};

static void check_options(int count, char **words)
{
    struct options o;
    enum cx_err err = options_read("dev", infos, count, words, &o);
    FUZZ_CHECK(err == CX_OK || err == CX_INVALID || err == CX_NOT_FOUND || err == CX_IO);
    if (err) {
        FUZZ_CHECK(cx_detail()[0]);
        return;
    }
    FUZZ_CHECK(o.help || (option_number(&o, "miners") >= 1 && option_number(&o, "miners") <= 64));
    FUZZ_CHECK(option_text(&o, "listen"));
    for (uint32_t i = 0; i < o.count; i++) {
        FUZZ_CHECK(o.option[i].count <= OPTION_VALUES_MAX && o.option[i].from);
        for (uint32_t k = 0; k < o.option[i].count; k++)
            FUZZ_CHECK(strlen(o.option[i].text[k]) < 1 << 20);
    }
    FUZZ_CHECK(o.arguments <= ARGUMENTS_MAX);
    options_done(&o);
}

#define WORDS_MAX 24

/* Words parted by NUL are flags, and what follows an empty one is the file. */
FUZZ(options,
     "flags and a configuration file are refused by the place of what is wrong, or every option has a good value")
{
    char *words[WORDS_MAX + 2], *text = (char *)data;
    int count = 0;
    size_t at = 0;
    while (at < size && text[at] && count < WORDS_MAX) {
        size_t word = strnlen(text + at, size - at);
        words[count++] = fuzz_text((struct span){data + at, (uint32_t)word});
        at += word + 1;
    }
    int made = count;
    if (at < size && !text[at]) {
        words[count++] = (char *)(uintptr_t) "--config";
        words[count++] = (char *)(uintptr_t)fuzz_file(0, data + at + 1, size - at - 1);
    }
    check_options(count, words);
    while (made > 0)
        free(words[--made]);
}

FUZZ_SEEDS(options)
{
    static const char flags[] = "--miners=5\0-l\0[::1]:0\0--found\0-pa=b\0--\0word";
    static const char file[] =
        "\0# a comment\nlisten = a:1\n[dev]\nminers = 4\n ; another\nparam=x=y\n[router]\nlisten = b:2\n";
    static const char both[] = "--price-in\0007\0\0[ dev ]\nfound = yes\nmimers = 3\n";
    char many[5 * (OPTION_VALUES_MAX + 1)];
    for (size_t i = 0; i < sizeof many; i += 5)
        memcpy(many + i, "-p=a", 5);
    fuzz_seed("many", many, sizeof many);
    fuzz_seed("flags", flags, sizeof flags - 1);
    fuzz_seed("file", file, sizeof file - 1);
    fuzz_seed("both", both, sizeof both - 1);
}

/* ---- addresses ---- */

FUZZ(url, "the URL of a router is refused, or has a host, a port and a target that cannot end a request line")
{
    char *text = fuzz_text((struct span){data, (uint32_t)size});
    struct ws_url url;
    if (net_ws_url_parse(text, &url) == CX_OK) {
        FUZZ_CHECK(url.host[0] && url.port > 0);
        FUZZ_CHECK(url.target[0] == 0 || url.target[0] == '/' || url.target[0] == '?');
        for (const char *c = url.target; *c; c++)
            FUZZ_CHECK(*c > ' ' && *c <= '~');
        for (const char *c = url.authority; *c; c++)
            FUZZ_CHECK(*c > ' ' && *c <= '~');
    }
    free(text);
}

FUZZ_SEEDS(url)
{
    fuzz_seed_text("plain", "ws://127.0.0.1:5010/link/miner?x=1");
    fuzz_seed_text("six", "wss://[::1]:80");
    fuzz_seed_text("name", "WS://host.example?q");
}

/* ---- answers, shown ---- */

static const struct column columns[] = {
    {"TASK", "a", SHOW_TEXT},       {"N", "b", SHOW_NUMBER},     {"COINS", "c", SHOW_COINS},
    {"STATE", "state", SHOW_STATE}, {"TIME", "time", SHOW_TIME}, {"DEEP", "a.b.c", SHOW_TEXT},
    {NULL, NULL, SHOW_TEXT},
};

/* What standard output got while `show` ran. */
static char *shown(const json_t *value)
{
    FILE *out = stdout;
    char *text = NULL;
    size_t size = 0;
    fflush(out);
    stdout = open_memstream(&text, &size);
    FUZZ_CHECK(stdout);
    show_rows(value, columns, "none");
    show_fields(value, columns);
    fclose(stdout);
    stdout = out;
    FUZZ_CHECK(text && strlen(text) == size);
    return text;
}

FUZZ(show, "whatever a router answers, no control character of it reaches the terminal, and an error has its words")
{
    json_t *root = NULL;
    FUZZ_CHECK(client_error(400 + (unsigned)(size % 200), (char *)data, size) != CX_OK && cx_detail()[0]);
    if (json_parse((char *)data, size, 1 << 16, &root))
        return;
    char *text = shown(root);
    for (const char *c = text; *c; c++) {
        FUZZ_CHECK(((uint8_t)*c >= ' ' && *c != 0x7f) || *c == '\n');
        FUZZ_CHECK((uint8_t)*c != 0xc2 || (uint8_t)c[1] >= 0xa0);  // C1 controls
    }
    free(text);
    struct buf value = {0};
    show_value(root, &value);
    buf_done(&value);
    (void)json_find_u64(root, "a.b");
    FUZZ_CHECK(json_find_text(root, "error.message"));
    json_decref(root);
}

FUZZ_SEEDS(show)
{
    fuzz_seed_text("rows",
                   "[{\"a\":\"x\\u001b[31m\",\"b\":5,\"c\":\"1500000\",\"state\":\"COMPLETED\",\"time\":1700000000000},"
                   "{\"a\":{\"b\":{\"c\":[1,\"y\",true]}},\"b\":-1.5,\"c\":0,\"time\":\"0\"}]");
    fuzz_seed_text("error", "{\"error\":{\"code\":\"C\",\"message\":\"m\"}}");
    fuzz_seed_text("wide", "{\"a\":\"\\u20ac\\u009b\\u202e\xf0\x9f\x98\x80\",\"time\":18446744073709551615}");
}

/* ---- paths and bodies of the native API ---- */

static void check_command(const json_t *root, const char *name)
{
    static const char *const skip[] = {"owner", NULL}, *const also[] = {"timeout", NULL};
    const struct command_info *info = command_find_name(name);
    struct buf lists[API_LISTS_MAX] = {{0}};
    struct command cmd;
    struct json_at at = json_at_root(root);
    memset(&cmd, 0, sizeof cmd);
    cmd.type = info->type;
    if (fields_from_json(&at, info, &(struct fields_wish){skip, also, lists}, &cmd) == CX_OK) {
        uint8_t bytes[ENTRY_SIZE_MAX];
        FUZZ_CHECK(command_encode(&cmd, NULL, bytes, sizeof bytes) > 0);
    } else {
        FUZZ_CHECK(cx_detail()[0]);
    }
    for (size_t i = 0; i < API_LISTS_MAX; i++)
        buf_done(&lists[i]);
}

FUZZ(api, "a path has a route or an answer that names one; a body has a command that can be appended or a reason")
{
    static const char *const commands[] = {"session_open", "key_put",     "deposit",
                                           "model_put",    "node_invite", "task_cancel"};
    struct fuzz_in in = {data, size};
    char *path = fuzz_text(fuzz_span(&in, 1000));
    char part[CALL_PARTS_MAX][CALL_PART_SIZE_MAX + 1] = {{0}};
    struct api_error error;
    struct buf out = {0};
    json_t *root = NULL;
    for (int method = 0; method < HTTP_METHOD_COUNT && path[0] == '/'; method++) {
        const struct route *route = route_find((enum http_method)method, path, part, &error);
        FUZZ_CHECK(route || ((error.status == 404 || error.status == 405) && error.message[0]));
        if (route)
            continue;
        error_write(&out, &error);
        FUZZ_CHECK(json_parse(out.data, out.size, 1 << 16, &root) == CX_OK);
        json_decref(root);
        buf_reset(&out);
    }
    struct span body = fuzz_rest(&in);
    if (json_parse((const char *)body.data, body.size, 1 << 16, &root) == CX_OK) {
        if (json_is_object(root))
            for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
                check_command(root, commands[i]);
        json_decref(root);
    }
    buf_done(&out);
    free(path);
}

static void seed_api(const char *name, const char *path, const char *body)
{
    struct buf out = {0};
    const uint8_t size[2] = {0, (uint8_t)strlen(path)};
    buf_add(&out, size, 2);
    buf_text(&out, path);
    buf_text(&out, body);
    fuzz_seed(name, out.data, out.size);
    buf_done(&out);
}

FUZZ_SEEDS(api)
{
    seed_api("session", "/api/v1/sessions/7/tasks/8/receipt",
             "{\"model\":\"1\",\"redundancy\":3,\"validation\":\"majority\",\"mode\":\"hybrid\",\"escrow\":\"5\","
             "\"name\":\"n\","
             "\"members\":[\"0x00000000000000000000000000000000000000aa\"]}");
    seed_api("model", "/v1/models/a/b%20c/",
             "{\"name\":\"m\",\"manifest_digest\":\"0x00\",\"context\":5,\"aliases\":\"a\"}");
    seed_api("unknown", "/api/v1/taks", "{\"account\":\"0x52908400098527886E0F7030069857D2E4169EE7\",\"amount\":5}");
}
