/* An exact trace, played. */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "core/params.h"
#include "sim/trace_names.h"
#include "sim/trace_text.h"

#define LINE_SIZE_MAX 16384
#define PAIRS_MAX     64
#define LISTS_MAX     8  // bytes fields of one command

struct pair {
    char *key, *value;
};

struct player {
    struct trace_names names;
    struct stage stage;
    bool is_open;
    struct history *history;
    struct check *check;
    uint64_t start_ms, time_ms;
    struct pair pair[PAIRS_MAX];
    uint32_t pairs;
    uint8_t list[LISTS_MAX][ENTRY_SIZE_MAX];
    uint32_t lists;
    unsigned line;
    char *why;
    size_t why_size;
};

static bool fail(struct player *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct player *p, const char *format, ...)
{
    va_list args;
    int size = snprintf(p->why, p->why_size, "line %u: ", p->line);
    va_start(args, format);
    vsnprintf(p->why + size, p->why_size - (size_t)size, format, args);
    va_end(args);
    return false;
}

/* ---- values ---- */

static bool read_hex(const char *value, void *ret_data, uint32_t cap, uint32_t *ret_size)
{
    size_t digits = strncmp(value, "0x", 2) == 0 ? strlen(value + 2) : 1;
    *ret_size = (uint32_t)(digits / 2);
    return digits % 2 == 0 && *ret_size <= cap && hex_decode(value + 2, digits, ret_data, *ret_size);
}

static bool read_number(struct player *p, const char *value, uint64_t *ret)
{
    char *end;
    const struct trace_name *name = trace_names_find(&p->names, value);
    if (name && !name->is_address) {
        *ret = name->number;
        return true;
    }
    *ret = strtoull(value, &end, 10);
    if (isdigit((unsigned char)value[0]) && *end == 0)
        return true;
    /* A name that got no meaning because its event did not come: nobody is called 0. */
    *ret = 0;
    return isalpha((unsigned char)value[0]) != 0;
}

static bool read_address(struct player *p, const char *value, struct address *ret)
{
    uint32_t size;
    const struct trace_name *name = trace_names_find(&p->names, value);
    *ret = (struct address){{0}};
    if (name && name->is_address)
        *ret = name->address;
    else if (strcmp(value, "0") != 0 && !trace_person(value, ret))
        return read_hex(value, ret->b, sizeof ret->b, &size) && size == sizeof ret->b;
    return true;
}

static bool read_params(struct player *p, char *value, struct bytes_writer *w)
{
    for (char *save = NULL, *one = strtok_r(value, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        char *colon = strchr(one, ':');
        uint64_t number;
        if (!colon)
            return false;
        *colon = 0;
        const struct param_info *info = param_find_name(one);
        if (!info || !read_number(p, colon + 1, &number))
            return false;
        bytes_put_u16(w, info->id);
        bytes_put_u64(w, number);
    }
    return w->ok;
}

static bool read_bytes(struct player *p, const struct field *f, char *value, struct span *ret)
{
    if (p->lists == LISTS_MAX)
        return false;
    uint8_t *at = p->list[p->lists++];
    uint32_t size;
    struct bytes_writer w;
    if (strcmp(f->name, "params") == 0 && strchr(value, ':')) {
        bytes_writer_init(&w, at, ENTRY_SIZE_MAX);
        bool ok = read_params(p, value, &w);
        *ret = (struct span){at, w.size};
        return ok;
    }
    if (strncmp(value, "0x", 2) == 0) {
        bool ok = read_hex(value, at, ENTRY_SIZE_MAX, &size);
        *ret = (struct span){at, size};
        return ok;
    }
    size = (uint32_t)strlen(value);
    memcpy(at, value, size);
    *ret = (struct span){at, size};
    return true;
}

static bool store_number(uint64_t number, uint32_t size, void *to)
{
    memcpy(to, &number, size);  // little-endian machines run these tests
    return size == 8 || number >> (8 * size) == 0;
}

static bool read_value(struct player *p, const struct field *f, char *value, void *to)
{
    uint64_t number = 0;
    struct address address;
    struct hash hash = {{0}};
    struct span span;
    uint32_t size;
    switch ((enum field_type)f->type) {
    case FIELD_u8: return read_number(p, value, &number) && store_number(number, 1, to);
    case FIELD_u16: return read_number(p, value, &number) && store_number(number, 2, to);
    case FIELD_u32: return read_number(p, value, &number) && store_number(number, 4, to);
    case FIELD_u64:
    case FIELD_amount: return read_number(p, value, &number) && store_number(number, 8, to);
    case FIELD_address:
        if (!read_address(p, value, &address))
            return false;
        memcpy(to, &address, sizeof address);
        return true;
    case FIELD_hash:
        if (!read_hex(value, hash.b, sizeof hash.b, &size) || size != sizeof hash.b)
            return false;
        memcpy(to, &hash, sizeof hash);
        return true;
    case FIELD_bytes:
        if (!read_bytes(p, f, value, &span))
            return false;
        memcpy(to, &span, sizeof span);
        return true;
    }
    return false;
}

static const struct field *field_named(struct field_list list, const char *name)
{
    for (uint32_t i = 0; i < list.count; i++)
        if (strcmp(list.field[i].name, name) == 0)
            return &list.field[i];
    return NULL;
}

/* ---- commands ---- */

static bool read_signers(struct player *p, char *value, struct command *cmd)
{
    for (char *save = NULL, *one = strtok_r(value, ",", &save); one; one = strtok_r(NULL, ",", &save))
        if (cmd->signer_count == SIGNATURES_MAX || !read_address(p, one, &cmd->signer[cmd->signer_count++]))
            return false;
    return true;
}

static bool read_pair(struct player *p, const struct command_info *info, struct pair pair, struct command *cmd,
                      bool *ret_batch_end)
{
    const struct field *f = field_named(info->fields, pair.key);
    if (f)
        return read_value(p, f, pair.value, (uint8_t *)&cmd->genesis + f->offset);
    if (strcmp(pair.key, "by") == 0)
        return read_signers(p, pair.value, cmd);
    if (strcmp(pair.key, "via") == 0)
        return read_address(p, pair.value, &cmd->author);
    if (strcmp(pair.key, "nonce") == 0)
        return read_number(p, pair.value, &cmd->nonce);
    if (strcmp(pair.key, "valid_until_ms") == 0)
        return read_number(p, pair.value, &cmd->valid_until_ms);
    if (strcmp(pair.key, "batch") == 0) {
        *ret_batch_end = false;
        return true;
    }
    return false;
}

static bool apply_last(struct player *p)
{
    struct history_entry *e = &p->history->entry[p->history->count - 1];
    struct command genesis;
    if (!p->is_open) {
        if (!history_decode(e, &genesis) || genesis.type != COMMAND_GENESIS ||
            !stage_open(&p->stage, &genesis.genesis, p->check))
            return fail(p, "the first entry is no genesis that a network can begin with");
        p->is_open = true;
    }
    stage_apply(&p->stage, e);
    core_check(p->stage.core);
    return true;
}

static bool split(struct player *p, char *text)
{
    p->pairs = 0;
    for (char *save = NULL, *word = strtok_r(text, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
        char *is = strchr(word, '=');
        if (!is || p->pairs == PAIRS_MAX)
            return fail(p, "not key=value: %s", word);
        *is = 0;
        p->pair[p->pairs++] = (struct pair){word, is + 1};
    }
    return true;
}

/* > bytes 0x..: an entry that need be no command. */
static bool bytes_line(struct player *p, char *text)
{
    uint8_t bytes[ENTRY_SIZE_MAX];
    uint32_t size;
    struct address author = {{0}};
    char *save = NULL, *hex = strtok_r(text, " \t", &save);
    if (!hex || !read_hex(hex, bytes, sizeof bytes, &size))
        return fail(p, "not > bytes 0x..");
    if (!split(p, save))
        return false;
    for (uint32_t i = 0; i < p->pairs; i++)
        if (strcmp(p->pair[i].key, "via") == 0 && !read_address(p, p->pair[i].value, &author))
            return fail(p, "via=%s: nobody is called so", p->pair[i].value);
    history_add_bytes(p->history, p->time_ms, &author, (struct span){bytes, size});
    return apply_last(p);
}

static bool entry_line(struct player *p, char *text)
{
    char *save = NULL, *word = strtok_r(text, " \t", &save);
    if (word && word[0] == '@') {
        p->time_ms = p->start_ms + (uint64_t)strtoll(word + 1, NULL, 10);
        word = strtok_r(NULL, " \t", &save);
    }
    char *name = word && strcmp(word, ">") == 0 ? strtok_r(NULL, " \t", &save) : NULL;
    if (!name)
        return fail(p, "not @time > command");
    if (strcmp(name, "bytes") == 0)
        return bytes_line(p, save);
    const struct command_info *info = command_find_name(name);
    if (!info)
        return fail(p, "no command %s", name);
    if (!split(p, save))
        return false;
    struct command cmd;
    bool batch_end = true;
    memset(&cmd, 0, sizeof cmd);
    cmd.type = info->type;
    cmd.time_ms = p->time_ms;
    p->lists = 0;
    for (uint32_t i = 0; i < p->pairs; i++)
        if (!read_pair(p, info, p->pair[i], &cmd, &batch_end))
            return fail(p, "%s=%s: no field of %s, or no value", p->pair[i].key, p->pair[i].value, info->name);
    history_add(p->history, &cmd);
    p->history->entry[p->history->count - 1].batch_end = batch_end;
    return apply_last(p);
}

/* ---- names ---- */

/* Whether the event is the one that is asked for: what is known already is the same. Then names what is not. */
static bool names_event(struct player *p, const struct event_info *info, const struct event *event)
{
    if (event->type != info->type)
        return false;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < p->pairs; i++) {
            const struct field *f = field_named(info->fields, p->pair[i].key);
            const struct trace_name *known = trace_names_find(&p->names, p->pair[i].value);
            uint64_t number;
            if (!f || f->type != FIELD_u64)
                return false;
            memcpy(&number, (const uint8_t *)&event->network_opened + f->offset, sizeof number);
            if (known && known->number != number)
                return false;
            if (known || pass == 0)
                continue;
            struct trace_name name = {.number = number, .field = f->name};
            snprintf(name.text, sizeof name.text, "%s", p->pair[i].value);
            trace_names_add(&p->names, &name);
        }
    return true;
}

static bool name_line(struct player *p, char *text)
{
    char *save = NULL, *word = strtok_r(text + 1, " \t", &save);
    const struct event_info *info = word ? event_find_name(word) : NULL;
    if (!info || !p->is_open)
        return fail(p, "no event %s", word ? word : "");
    if (!split(p, save))
        return false;
    for (uint32_t i = 0; i < p->stage.out.count; i++)
        if (names_event(p, info, &p->stage.out.event[i]))
            break;
    return true;
}

static bool who_line(struct player *p, char *text)
{
    char *save = NULL, *word = strtok_r(text, " \t", &save);
    char *hex = strtok_r(NULL, " \t", &save);
    struct trace_name name = {.is_address = true};
    uint32_t size;
    if (!word || strlen(word) >= sizeof name.text || !hex ||
        !read_hex(hex, name.address.b, sizeof name.address.b, &size) || size != sizeof name.address.b)
        return fail(p, "not who NAME 0x..");
    snprintf(name.text, sizeof name.text, "%s", word);
    trace_names_add(&p->names, &name);
    return true;
}

static bool network_line(struct player *p, char *text)
{
    if (!split(p, text))
        return false;
    for (uint32_t i = 0; i < p->pairs; i++)
        if (strcmp(p->pair[i].key, "start_ms") == 0 && !read_number(p, p->pair[i].value, &p->start_ms))
            return fail(p, "start_ms=%s: no number", p->pair[i].value);
    p->time_ms = p->start_ms;
    return true;
}

static bool play_line(struct player *p, char *text)
{
    static const char network[] = "network ", who[] = "who ";
    text[strcspn(text, "#\r\n")] = 0;
    while (isspace((unsigned char)*text))
        text++;
    switch (text[0]) {
    case 0: return true;
    case '@':
    case '>': return entry_line(p, text);
    case '?': return name_line(p, text);
    default: break;
    }
    if (strncmp(text, network, sizeof network - 1) == 0)
        return network_line(p, text + sizeof network - 1);
    if (strncmp(text, who, sizeof who - 1) == 0)
        return who_line(p, text + sizeof who - 1);
    return fail(p, "no such line: %s", text);
}

/* ---- all of it ---- */

bool trace_is_exact(const char *text)
{
    while (*text) {
        size_t size = strcspn(text, "\n");
        size_t blank = strspn(text, " \t");
        if (blank < size && text[blank] != '#') {
            const char *found = strstr(text, "exact=1");
            return strncmp(text, "network", 7) == 0 && found && found < text + size;
        }
        text += size + (text[size] == '\n');
    }
    return false;
}

/* The same entries on another core come to the same state. */
static void replay(struct player *p)
{
    struct stage again;
    struct command genesis;
    struct hash live, same;
    if (!history_decode(&p->history->entry[0], &genesis) || !stage_open(&again, &genesis.genesis, NULL))
        return;
    for (uint32_t i = 0; i < p->history->count; i++)
        stage_apply(&again, &p->history->entry[i]);
    core_root(p->stage.core, &live);
    core_root(again.core, &same);
    if (!hash_eq(&live, &same))
        check_fail(p->check, CHECKER_REPLAY, p->history->count, "a replay comes to another state");
    stage_close(&again);
}

bool trace_play(const char *text, struct history *ret_history, struct check *ret_check, char *ret_why, size_t why_size)
{
    struct player *p = calloc(1, sizeof *p);
    char *line = malloc(LINE_SIZE_MAX);
    bool ok = p && line;
    if (!ok)
        return false;
    *p = (struct player){.history = ret_history, .check = ret_check, .why = ret_why, .why_size = why_size};
    while (ok && *text && !ret_check->failed) {
        size_t size = strcspn(text, "\n");
        p->line++;
        if (size >= LINE_SIZE_MAX) {
            ok = fail(p, "too long a line");
            break;
        }
        memcpy(line, text, size);
        line[size] = 0;
        ok = play_line(p, line);
        text += size + (text[size] == '\n');
    }
    if (ok && !p->is_open)
        ok = fail(p, "nothing in it");
    if (ok && !ret_check->failed)
        check_core_whole(p->stage.books, p->stage.core, ret_check);
    if (ok && !ret_check->failed)
        replay(p);
    if (ok && !ret_check->failed)
        stage_rests(&p->stage, &p->history->entry[p->history->count - 1].author);
    if (p->is_open)
        stage_close(&p->stage);
    trace_names_done(&p->names);
    free(p);
    free(line);
    return ok;
}
