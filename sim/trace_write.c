/* A history as an exact trace. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "core/params.h"
#include "sim/trace_names.h"
#include "sim/trace_text.h"

struct writer {
    struct trace_names names;
    struct buf who, body;
    uint64_t start_ms, time_ms;
};

static void put_hex(struct buf *out, const void *data, size_t size)
{
    char text[2 * ENTRY_SIZE_MAX + 1];
    hex_encode(data, size, text);
    buf_printf(out, "0x%s", text);
}

/* What somebody is called who first shows up in this field. */
static char letter_of_people(const char *field)
{
    static const struct {
        const char *field;
        char letter;
    } fits[] = {{"router", 'r'}, {"author", 'r'}, {"oracle", 'o'}, {"node", 'm'}, {"operator", 'n'}, {"admin", 'a'}};
    for (size_t i = 0; i < ARRAY_COUNT(fits); i++)
        if (strcmp(fits[i].field, field) == 0)
            return fits[i].letter;
    return 'u';
}

static void put_address(struct writer *w, const char *field, const struct address *address)
{
    char text[TRACE_NAME_SIZE];
    const struct trace_name *known = trace_names_of_address(&w->names, address);
    if (address_is_zero(address)) {
        buf_text(&w->body, "0");
    } else if (known) {
        buf_text(&w->body, known->text);
    } else if (trace_person_name(address, text)) {
        buf_text(&w->body, text);
    } else {
        struct trace_name name = trace_names_next(&w->names, letter_of_people(field));
        name.is_address = true;
        name.address = *address;
        trace_names_add(&w->names, &name);
        buf_printf(&w->who, "who %s ", name.text);
        put_hex(&w->who, address->b, sizeof address->b);
        buf_text(&w->who, "\n");
        buf_text(&w->body, name.text);
    }
}

static bool is_word(struct span span)
{
    if (span.size == 0 || (span.size >= 2 && memcmp(span.data, "0x", 2) == 0))
        return false;
    for (uint32_t i = 0; i < span.size; i++)
        if (!isalnum(span.data[i]) && !strchr("._/", span.data[i]))
            return false;
    return true;
}

static void put_params(struct buf *out, struct span pairs)
{
    struct bytes_reader r;
    bytes_reader_init(&r, pairs.data, pairs.size);
    for (const char *comma = ""; r.left > 0; comma = ",") {
        const struct param_info *info = param_find(bytes_get_u16(&r));
        uint64_t value = bytes_get_u64(&r);
        buf_printf(out, "%s%s:%" PRIu64, comma, info ? info->name : "?", value);
    }
}

static bool are_params(const struct field *f, struct span pairs)
{
    struct params params;
    params_default(&params);
    return strcmp(f->name, "params") == 0 && pairs.size > 0 && params_read(&params, pairs) == VERDICT_ACCEPTED;
}

static void put_number(struct writer *w, const struct field *f, uint64_t number)
{
    const struct trace_name *name = trace_letter_of(f) ? trace_names_of_number(&w->names, f->name, number) : NULL;
    if (name)
        buf_text(&w->body, name->text);
    else
        buf_printf(&w->body, "%" PRIu64, number);
}

static uint64_t load(const void *at, uint32_t size)
{
    uint64_t value = 0;  // little-endian machines run these tests
    memcpy(&value, at, size);
    return value;
}

static void put_value(struct writer *w, const struct field *f, const void *at)
{
    struct span span;
    switch ((enum field_type)f->type) {
    case FIELD_u8: put_number(w, f, load(at, 1)); return;
    case FIELD_u16: put_number(w, f, load(at, 2)); return;
    case FIELD_u32: put_number(w, f, load(at, 4)); return;
    case FIELD_u64:
    case FIELD_amount: put_number(w, f, load(at, 8)); return;
    case FIELD_address: put_address(w, f->name, at); return;
    case FIELD_hash: put_hex(&w->body, at, sizeof(struct hash)); return;
    case FIELD_bytes:
        memcpy(&span, at, sizeof span);
        if (are_params(f, span))
            put_params(&w->body, span);
        else if (is_word(span))
            buf_add(&w->body, span.data, span.size);
        else
            put_hex(&w->body, span.data, span.size);
        return;
    }
}

static bool says_nothing(const struct field *f, const void *at)
{
    struct span span;
    struct hash hash = {{0}};
    switch ((enum field_type)f->type) {
    case FIELD_u8: return load(at, 1) == 0;
    case FIELD_u16: return load(at, 2) == 0;
    case FIELD_u32: return load(at, 4) == 0;
    case FIELD_u64:
    case FIELD_amount: return load(at, 8) == 0;
    case FIELD_address: return address_is_zero(at);
    case FIELD_hash: memcpy(&hash, at, sizeof hash); return hash_is_zero(&hash);
    case FIELD_bytes: memcpy(&span, at, sizeof span); return span.size == 0;
    }
    return false;
}

static void put_command(struct writer *w, const struct command *cmd)
{
    const struct command_info *info = command_find((uint32_t)cmd->type);
    buf_printf(&w->body, "> %s", info->name);
    for (uint32_t i = 0; i < info->fields.count; i++) {
        const void *at = (const uint8_t *)&cmd->genesis + info->fields.field[i].offset;
        if (says_nothing(&info->fields.field[i], at))
            continue;
        buf_printf(&w->body, " %s=", info->fields.field[i].name);
        put_value(w, &info->fields.field[i], at);
    }
    if (cmd->signer_count > 0)
        buf_text(&w->body, " by=");
    for (uint32_t i = 0; i < cmd->signer_count; i++) {
        buf_text(&w->body, i ? "," : "");
        put_address(w, info->authority == AUTHORITY_ADMIN ? "admin" : info->name, &cmd->signer[i]);
    }
    if (cmd->nonce != 0)
        buf_printf(&w->body, " nonce=%" PRIu64, cmd->nonce);
    if (cmd->valid_until_ms != 0)
        buf_printf(&w->body, " valid_until_ms=%" PRIu64, cmd->valid_until_ms);
}

static void put_entry(struct writer *w, const struct history_entry *e)
{
    struct command cmd;
    if (e->time_ms != w->time_ms)
        buf_printf(&w->body, "@%" PRId64 " ", (int64_t)(e->time_ms - w->start_ms));
    w->time_ms = e->time_ms;
    if (history_decode(e, &cmd)) {
        put_command(w, &cmd);
    } else {
        buf_text(&w->body, "> bytes ");
        put_hex(&w->body, e->bytes, e->size);
    }
    if (!address_is_zero(&e->author)) {
        buf_text(&w->body, " via=");
        put_address(w, "author", &e->author);
    }
    buf_text(&w->body, e->batch_end ? "\n" : " batch=goes_on\n");
}

/* ---- names for what entries bring about ---- */

/* Whether a command from here on names this number. */
static bool is_used(const struct history *history, uint32_t from, const struct field *f, uint64_t number)
{
    for (uint32_t i = from; i < history->count; i++) {
        struct command cmd;
        if (!history_decode(&history->entry[i], &cmd))
            continue;
        const struct field_list fields = command_find((uint32_t)cmd.type)->fields;
        for (uint32_t k = 0; k < fields.count; k++)
            if (fields.field[k].type == FIELD_u64 && strcmp(fields.field[k].name, f->name) == 0 &&
                load((const uint8_t *)&cmd.genesis + fields.field[k].offset, 8) == number)
                return true;
    }
    return false;
}

/* "? task_offered task=t1 lease=l1": what is known already says which event is meant. */
static void name_numbers(struct writer *w, const struct history *history, uint32_t next, const struct event *event)
{
    const struct event_info *info = event_find((uint32_t)event->type);
    struct trace_name fresh[4];
    uint32_t count = 0;
    for (uint32_t i = 0; i < info->fields.count && count < ARRAY_COUNT(fresh); i++) {
        const struct field *f = &info->fields.field[i];
        char letter = trace_letter_of(f);
        uint64_t number = letter ? load((const uint8_t *)&event->network_opened + f->offset, 8) : 0;
        if (number == 0 || trace_names_of_number(&w->names, f->name, number) || !is_used(history, next, f, number))
            continue;
        fresh[count] = trace_names_next(&w->names, letter);
        fresh[count].number = number;
        fresh[count].field = f->name;
        trace_names_add(&w->names, &fresh[count++]);
    }
    if (count == 0)
        return;
    buf_printf(&w->body, "  ? %s", info->name);
    for (uint32_t i = 0; i < info->fields.count; i++) {
        const struct field *f = &info->fields.field[i];
        const void *at = (const uint8_t *)&event->network_opened + f->offset;
        if (!trace_letter_of(f) || !trace_names_of_number(&w->names, f->name, load(at, 8)))
            continue;
        buf_printf(&w->body, " %s=", f->name);
        put_value(w, f, at);
    }
    buf_text(&w->body, "\n");
}

void trace_write(const struct history *history, const char *comment, struct buf *out)
{
    struct writer w = {0};
    struct stage stage = {0};
    struct command genesis;
    bool plays = history->count > 0 && history_decode(&history->entry[0], &genesis) &&
                 genesis.type == COMMAND_GENESIS && stage_open(&stage, &genesis.genesis, NULL);
    w.start_ms = history->count > 0 ? history->entry[0].time_ms : 0;
    for (uint32_t i = 0; i < history->count; i++) {
        put_entry(&w, &history->entry[i]);
        if (!plays || i + 1 == history->count)
            continue;  // the last one may fail an assertion, and names nothing
        stage_apply(&stage, &history->entry[i]);
        for (uint32_t k = 0; k < stage.out.count; k++)
            name_numbers(&w, history, i + 1, &stage.out.event[k]);
    }
    buf_printf(out, "%snetwork exact=1 start_ms=%" PRIu64 "\n", comment, w.start_ms);
    if (w.who.size > 0)
        buf_add(out, w.who.data, w.who.size);
    if (w.body.size > 0)
        buf_add(out, w.body.data, w.body.size);
    if (plays)
        stage_close(&stage);
    trace_names_done(&w.names);
    buf_done(&w.who);
    buf_done(&w.body);
}
