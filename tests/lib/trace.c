#include "lib/trace.h"

#include <ctype.h>
#include <stdarg.h>

#include "base/hex.h"
#include "crypto/keccak.h"
#include "lib/network.h"
#include "lib/test.h"
#include "sim/trace_text.h"

#define LINE_SIZE_MAX 1024
#define PAIRS_MAX     64
#define NAMES_MAX     512

/* A name and what it stands for: a number of the core's, or 20 or 32 bytes. */
struct name {
    char text[32];
    enum { NAME_NUMBER, NAME_ADDRESS, NAME_HASH } kind;
    uint64_t number;
    struct address address;
    struct hash hash;
};

struct pair {
    char *key, *value;
};

struct trace {
    const char *path;
    unsigned line;
    struct network *n;
    uint64_t start_ms;  // core time at @0
    struct name name[NAMES_MAX];
    uint32_t names;
    struct pair pair[PAIRS_MAX];
    uint32_t pairs;
    enum verdict verdict;  // of the last command
    bool judged;           // and whether a line asked for it, or it was accepted
    uint32_t matched;      // events that lines have asked for
    char *why;
    size_t why_size;
};

static bool fail(struct trace *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct trace *t, const char *format, ...)
{
    va_list args;
    int size = snprintf(t->why, t->why_size, "%s:%u: ", t->path, t->line);
    va_start(args, format);
    vsnprintf(t->why + size, t->why_size - (size_t)size, format, args);
    va_end(args);
    return false;
}

/* ---- names and values ---- */

static struct name *name_find(struct trace *t, const char *text)
{
    for (uint32_t i = 0; i < t->names; i++)
        if (strcmp(t->name[i].text, text) == 0)
            return &t->name[i];
    return NULL;
}

static bool name_add(struct trace *t, struct name name, const char *text)
{
    if (t->names == NAMES_MAX || strlen(text) >= sizeof name.text)
        return fail(t, "too many names, or too long a one: %s", text);
    strcpy(name.text, text);
    t->name[t->names++] = name;
    return true;
}

/* m1, u2, ...: one of the network's people, if the text reads so. */
static bool person(const char *text, struct address *ret)
{
    static const char letter[] = "amourspqnk", kind[] = "AMOURSPQNK";
    const char *at = strchr(letter, text[0]);
    if (!text[0] || !at || !isdigit((unsigned char)text[1]))
        return false;
    char *end;
    unsigned long i = strtoul(text + 1, &end, 10);
    if (text[0] == 'k' && !*end) {  // the account of the key of that name, in custody of r1
        struct hash key_hash;
        struct address router = test_address('R', 1);
        keccak256(text, strlen(text), &key_hash);
        account_custodial(&router, &key_hash, ret);
        return true;
    }
    if (*end || text[0] == 's')  // s1 is a session
        return false;
    *ret = test_address(kind[at - letter], (uint32_t)i);
    return true;
}

/* Terms of the protocol by field name, where one set is meant. */
static int term_of(const char *field, const char *value)
{
    for (uint32_t set = 0; set < TERM_SET_COUNT; set++) {
        int number = term_find((enum term_set)set, value);
        if (number < 0)
            continue;
        static const struct {
            const char *field;
            enum term_set set;
        } fits[] = {
            {"mode", TERM_session_mode},
            {"reserve", TERM_session_reserve},
            {"sla", TERM_sla},
            {"class", TERM_node_class},
            {"validation", TERM_validation_policy},
            {"on_no_verdict", TERM_on_no_verdict},
            {"stream", TERM_stream_when},
            {"access", TERM_session_access},
            {"privacy", TERM_session_privacy},
            {"result", TERM_session_result},
            {"pays", TERM_session_pays},
            {"evidence", TERM_session_evidence},
            {"route", TERM_pool_route},
            {"engine", TERM_engine},
            {"finish", TERM_finish},
            {"finding", TERM_audit_finding},
            {"right", TERM_layer_result},
            {"fast", TERM_layer_result},
            {"alive", TERM_layer_result},
            {"bound", TERM_layer_result},
            {"agreed", TERM_layer_result},
        };
        for (size_t i = 0; i < ARRAY_COUNT(fits); i++)
            if (fits[i].set == (enum term_set)set && strcmp(fits[i].field, field) == 0)
                return number;
    }
    return -1;
}

/* `from`, `to`, `state`, `cause` and `reason` mean different sets in different events. */
static int term_of_record(const char *record, const char *field, const char *value)
{
    static const struct {
        const char *record, *field;
        enum term_set set;
    } fits[] = {
        {"node_moved", "from", TERM_node_state},
        {"node_moved", "to", TERM_node_state},
        {"node_moved", "reason", TERM_node_reason},
        {"node_detach", "reason", TERM_detach_reason},
        {"node_detached", "reason", TERM_detach_reason},
        {"session_moved", "from", TERM_session_state},
        {"session_moved", "to", TERM_session_state},
        {"session_moved", "reason", TERM_session_reason},
        {"session_node_released", "reason", TERM_release_reason},
        {"task_moved", "from", TERM_task_state},
        {"task_moved", "to", TERM_task_state},
        {"task_moved", "cause", TERM_fail_cause},
        {"task_fault", "cause", TERM_fail_cause},
        {"task_decline", "reason", TERM_decline_reason},
        {"assignment_moved", "from", TERM_assignment_state},
        {"assignment_moved", "to", TERM_assignment_state},
        {"assignment_moved", "cause", TERM_fail_cause},
        {"round_moved", "from", TERM_round_state},
        {"round_moved", "to", TERM_round_state},
        {"round_moved", "reason", TERM_abort_reason},
        {"round_abort", "reason", TERM_abort_reason},
        {"audit_moved", "from", TERM_audit_state},
        {"audit_moved", "to", TERM_audit_state},
        {"oracle_changed", "state", TERM_oracle_state},
        {"router_changed", "state", TERM_router_state},
    };
    for (size_t i = 0; i < ARRAY_COUNT(fits); i++)
        if (strcmp(fits[i].record, record) == 0 && strcmp(fits[i].field, field) == 0)
            return term_find(fits[i].set, value);
    return term_of(field, value);
}

/* What a parameter is called, for params_set and param_changed. */
static bool number_of(struct trace *t, const char *record, const char *field, const char *value, uint64_t *ret)
{
    char *end;
    if (value[0] == '@') {
        *ret = t->start_ms + strtoull(value + 1, &end, 10);
        return *end == 0 && end > value + 1;
    }
    *ret = strtoull(value, &end, 10);
    if (*end == 0 && end > value && value[0] != '-')
        return true;
    const struct param_info *param = strcmp(field, "param") == 0 ? param_find_name(value) : NULL;
    int term = term_of_record(record, field, value);
    *ret = param ? param->id : (uint64_t)term;
    return param || term >= 0;
}

static uint32_t number_size(const struct field *f)
{
    switch ((enum field_type)f->type) {
    case FIELD_u8: return 1;
    case FIELD_u16: return 2;
    case FIELD_u32: return 4;
    case FIELD_u64:
    case FIELD_amount: return 8;
    case FIELD_address:
    case FIELD_hash:
    case FIELD_bytes: return 0;
    }
    return 0;
}

static uint64_t load_number(const struct field *f, const void *at)
{
    uint64_t value = 0;  // little-endian machines run these tests
    memcpy(&value, at, number_size(f));
    return value;
}

/* ---- setting a command's field ---- */

static bool list_of_addresses(struct trace *t, const char *value, struct span *ret)
{
    static uint8_t pool[64][SESSION_LIST_MAX * 20 + 20];
    static uint32_t used;
    uint8_t *at = pool[used++ % ARRAY_COUNT(pool)];
    char copy[LINE_SIZE_MAX];
    uint32_t size = 0;
    snprintf(copy, sizeof copy, "%s", value);
    for (char *save = NULL, *one = strtok_r(copy, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        struct address a;
        if (!person(one, &a) || size + 20 > sizeof pool[0])
            return fail(t, "not a list of addresses: %s", value);
        memcpy(at + size, a.b, sizeof a.b);
        size += (uint32_t)sizeof a.b;
    }
    *ret = (struct span){at, size};
    return true;
}

/* Names of sessions, as session_pool_put takes them. */
static bool list_of_ids(struct trace *t, const char *value, struct span *ret)
{
    static uint8_t pool[64][(POOL_SESSIONS_MAX + 1) * sizeof(uint64_t)];
    static uint32_t used;
    uint8_t *at = pool[used++ % ARRAY_COUNT(pool)];
    char copy[LINE_SIZE_MAX];
    uint32_t size = 0;
    snprintf(copy, sizeof copy, "%s", value);
    for (char *save = NULL, *one = strtok_r(copy, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        const struct name *name = name_find(t, one);
        uint64_t id = name ? name->number : 0;
        if (size > POOL_SESSIONS_MAX * sizeof id || (!name && !number_of(t, "", "", one, &id)))
            return fail(t, "not a list of sessions: %s", value);
        be64_put(at + size, id);
        size += (uint32_t)sizeof id;
    }
    *ret = (struct span){at, size};
    return true;
}

static bool set_bytes(struct trace *t, const struct field *f, const char *value, void *to)
{
    struct span span;
    struct address first;
    char head[16];
    snprintf(head, sizeof head, "%.*s", (int)strcspn(value, ","), value);
    if (person(head, &first)) {
        if (!list_of_addresses(t, value, &span))
            return false;
    } else if (strcmp(value, "-") == 0) {
        span = (struct span){0};
    } else if (strcmp(f->name, "sessions") == 0) {
        if (!list_of_ids(t, value, &span))
            return false;
    } else {
        static char pool[64][LINE_SIZE_MAX];
        static uint32_t used;
        char *at = pool[used++ % ARRAY_COUNT(pool)];
        snprintf(at, sizeof pool[0], "%s", value);
        span = (struct span){(const uint8_t *)at, (uint32_t)strlen(at)};
    }
    memcpy(to, &span, sizeof span);
    return true;
}

static bool set_field(struct trace *t, const char *record, const struct field *f, const char *value, void *base)
{
    uint8_t *to = (uint8_t *)base + f->offset;
    const struct name *name = name_find(t, value);
    uint64_t number;
    switch ((enum field_type)f->type) {
    case FIELD_u8:
    case FIELD_u16:
    case FIELD_u32:
    case FIELD_u64:
    case FIELD_amount:
        if (name && name->kind == NAME_NUMBER)
            number = name->number;
        else if (!number_of(t, record, f->name, value, &number))
            return fail(t, "%s=%s: no number, and no name of one", f->name, value);
        if (number_size(f) < 8 && number >> (8 * number_size(f)))
            return fail(t, "%s=%s: too large", f->name, value);
        memcpy(to, &number, number_size(f));
        return true;
    case FIELD_address: {
        struct address a = {{0}};
        if (name && name->kind == NAME_ADDRESS)
            a = name->address;
        else if (strcmp(value, "0") != 0 && !person(value, &a))
            return fail(t, "%s=%s: nobody is called so", f->name, value);
        memcpy(to, a.b, sizeof a.b);
        return true;
    }
    case FIELD_hash: {
        struct hash h = {{0}};
        if (name && name->kind == NAME_HASH)
            h = name->hash;
        else if (strcmp(value, "0") != 0)
            keccak256(value, strlen(value), &h);  // any word stands for its hash
        memcpy(to, h.b, sizeof h.b);
        return true;
    }
    case FIELD_bytes: return set_bytes(t, f, value, to);
    }
    return false;
}

/* ---- comparing an event's field ---- */

/* 1: as asked; 0: not; -1: asked for what cannot be. A name that is new gets its meaning here. */
static int field_matches(struct trace *t, const char *record, const struct field *f, const char *value,
                         const void *base, struct name *bind)
{
    const uint8_t *at = (const uint8_t *)base + f->offset;
    const struct name *name = name_find(t, value);
    uint64_t number;
    struct address a;
    if (strcmp(value, "*") == 0)
        return 1;
    switch ((enum field_type)f->type) {
    case FIELD_u8:
    case FIELD_u16:
    case FIELD_u32:
    case FIELD_u64:
    case FIELD_amount:
        if (name)
            return name->kind == NAME_NUMBER && load_number(f, at) == name->number;
        if (number_of(t, record, f->name, value, &number))
            return load_number(f, at) == number;
        if (f->type != FIELD_u64 || !isalpha((unsigned char)value[0]) || isupper((unsigned char)value[0]))
            return -1;
        *bind = (struct name){.kind = NAME_NUMBER, .number = load_number(f, at)};
        return 1;
    case FIELD_address:
        memcpy(&a, at, sizeof a);
        if (name)
            return name->kind == NAME_ADDRESS && address_eq(&name->address, &a);
        struct address wanted = {{0}};
        if (strcmp(value, "0") == 0 || person(value, &wanted))
            return address_eq(&wanted, &a);
        *bind = (struct name){.kind = NAME_ADDRESS, .address = a};
        return 1;
    case FIELD_hash: {
        struct hash h, word = {{0}};
        memcpy(&h, at, sizeof h);
        if (name)
            return name->kind == NAME_HASH && hash_eq(&name->hash, &h);
        if (strcmp(value, "0") == 0)
            return hash_eq(&word, &h);
        keccak256(value, strlen(value), &word);
        if (hash_eq(&word, &h))
            return 1;
        *bind = (struct name){.kind = NAME_HASH, .hash = h};
        return 1;
    }
    case FIELD_bytes: {
        struct span span;
        memcpy(&span, at, sizeof span);
        return span.size == strlen(value) && memcmp(span.data, value, span.size) == 0;
    }
    }
    return -1;
}

static const struct field *field_named(struct field_list list, const char *name)
{
    for (uint32_t i = 0; i < list.count; i++)
        if (strcmp(list.field[i].name, name) == 0)
            return &list.field[i];
    return NULL;
}

/* Whether this event is what the line asks for; binds what it names first. */
static int event_matches(struct trace *t, const struct event_info *info, const struct event *event)
{
    struct name bind[PAIRS_MAX];
    uint32_t names = t->names;
    if (event->type != info->type)
        return 0;
    for (uint32_t i = 0; i < t->pairs; i++) {
        const struct field *f = field_named(info->fields, t->pair[i].key);
        if (!f) {
            fail(t, "%s has no field %s", info->name, t->pair[i].key);
            return -1;
        }
        bind[i].text[0] = 0;
        bind[i].kind = (unsigned)-1;
        int same = field_matches(t, info->name, f, t->pair[i].value, &event->network_opened, &bind[i]);
        if (same < 0)
            fail(t, "%s=%s: no number, term or name", f->name, t->pair[i].value);
        bool is_new = same > 0 && bind[i].kind != (unsigned)-1;
        if (same <= 0 || (is_new && !name_add(t, bind[i], t->pair[i].value))) {
            t->names = names;  // another event may be meant
            return same;
        }
    }
    return 1;
}

/* ---- lines ---- */

static bool split_pairs(struct trace *t, char *text)
{
    t->pairs = 0;
    for (char *save = NULL, *word = strtok_r(text, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
        char *eq = strchr(word, '=');
        if (!eq || t->pairs == PAIRS_MAX)
            return fail(t, "not field=value: %s", word);
        *eq = 0;
        t->pair[t->pairs++] = (struct pair){word, eq + 1};
    }
    return true;
}

static const char *pair_value(const struct trace *t, const char *key)
{
    for (uint32_t i = 0; i < t->pairs; i++)
        if (strcmp(t->pair[i].key, key) == 0)
            return t->pair[i].value;
    return NULL;
}

/* Nothing refused may pass unasked. */
static bool end_command(struct trace *t)
{
    if (!t->judged)
        return fail(t, "the command before was refused: %s", verdict_name(t->verdict));
    return true;
}

/* Who signs (`by=u1,u2` or `by=nobody`), who appends (`router=r2` where that is no field) and `nonce`. */
static bool is_ours(const char *key)
{
    return strcmp(key, "by") == 0 || strcmp(key, "via") == 0 || strcmp(key, "nonce") == 0 ||
           strcmp(key, "valid_until_ms") == 0 || strcmp(key, "answer") == 0;
}

static bool set_pairs(struct trace *t, const struct command_info *info, struct command *cmd)
{
    for (uint32_t i = 0; i < t->pairs; i++) {
        const struct field *f = field_named(info->fields, t->pair[i].key);
        if (f && !set_field(t, info->name, f, t->pair[i].value, &cmd->genesis))
            return false;
        bool names_result = (info->type == COMMAND_TASK_SUBMIT && strcmp(t->pair[i].key, "task") == 0) ||
                            (info->type == COMMAND_SESSION_OPEN && strcmp(t->pair[i].key, "session") == 0);
        if (!f && !names_result && !is_ours(t->pair[i].key))
            return fail(t, "%s has no field %s", info->name, t->pair[i].key);
    }
    return true;
}

static bool sign(struct trace *t, struct command *cmd)
{
    const char *by = pair_value(t, "by"), *via = pair_value(t, "via"), *nonce = pair_value(t, "nonce");
    const char *until = pair_value(t, "valid_until_ms");
    struct span signers;
    if (via && !person(via, &cmd->author))
        return fail(t, "via=%s: no router", via);
    if (by && strcmp(by, "nobody") != 0 && strcmp(by, "garbage") != 0) {
        if (!list_of_addresses(t, by, &signers))
            return false;
        cmd->signer_count = (uint8_t)(signers.size / 20);
        memcpy(cmd->signer, signers.data, signers.size);
    }
    if (!by)
        network_sign(t->n, cmd);
    else if (cmd->nonce == 0)
        cmd->nonce = ++t->n->nonce;
    if (by && strcmp(by, "garbage") == 0)
        cmd->signer_count = 1;  // of nobody: the zero address
    if (nonce)
        cmd->nonce = strtoull(nonce, NULL, 10);
    if (until && !number_of(t, "", "", until, &cmd->valid_until_ms))
        return fail(t, "valid_until_ms=%s: no time", until);
    if (until)  // in the ledger's time
        cmd->valid_until_ms += NETWORK_LEDGER_START_MS;
    return true;
}

static bool name_results(struct trace *t, const struct command_info *info)
{
    const char *task = info->type == COMMAND_TASK_SUBMIT ? pair_value(t, "task") : NULL;
    const char *session = info->type == COMMAND_SESSION_OPEN ? pair_value(t, "session") : NULL;
    const char *text = task ? task : session;
    if (!text || t->verdict != VERDICT_ACCEPTED)
        return true;
    if (name_find(t, text))
        return fail(t, "%s has a meaning already", text);
    uint64_t number = task ? t->n->core->last_task : t->n->core->last_session;
    return name_add(t, (struct name){.kind = NAME_NUMBER, .number = number}, text);
}

static bool run_command(struct trace *t, const char *name)
{
    const struct command_info *info = command_find_name(name);
    struct command cmd;
    if (!info)
        return fail(t, "no command %s", name);
    memset(&cmd, 0, sizeof cmd);
    cmd.type = info->type;
    if (info->type == COMMAND_ORACLE_HEARTBEAT && !pair_value(t, "by"))
        return fail(t, "oracle_heartbeat needs by=");
    /* Signers and ids first: what is commonly held depends on them. Then what the line says goes before. */
    if (!set_pairs(t, info, &cmd) || !sign(t, &cmd))
        return false;
    if (pair_value(t, "answer"))
        network_answer(t->n, cmd.task_ack.lease, pair_value(t, "answer"));
    network_fill(t->n, &cmd);
    if (!set_pairs(t, info, &cmd))
        return false;
    if (!pair_value(t, "by")) {
        cmd.signer_count = 0;
        network_sign(t->n, &cmd);
    }
    t->verdict = network_append(t->n, &cmd);
    t->judged = t->verdict == VERDICT_ACCEPTED;
    core_check(t->n->core);
    return name_results(t, info);
}

/* > bytes HEX: an entry that need be no command. */
static bool run_bytes(struct trace *t, const char *hex)
{
    uint8_t bytes[LINE_SIZE_MAX];
    size_t size = hex ? strlen(hex) / 2 : 0;
    if (hex && !hex_decode(hex, strlen(hex), bytes, size))
        return fail(t, "not hexadecimal: %s", hex);
    t->verdict = network_append_bytes(t->n, bytes, (uint32_t)size);
    t->judged = t->verdict == VERDICT_ACCEPTED;
    core_check(t->n->core);
    return true;
}

static bool wait_until(struct trace *t, const char *at)
{
    char *end;
    uint64_t ms = t->start_ms + strtoull(at, &end, 10);
    if (*end || end == at || ms < core_now_ms(t->n->core))
        return fail(t, "@%s: no time, or one that has passed", at);
    network_go_to(t->n, ms);
    return true;
}

static bool command_line(struct trace *t, char *text)
{
    char *save = NULL;
    if (!t->n)
        return fail(t, "the first line opens the network");
    if (!end_command(t))
        return false;
    network_forget(t->n);
    t->matched = 0;
    if (text[0] == '@') {
        char *at = strtok_r(text + 1, " \t", &save);
        if (!wait_until(t, at))
            return false;
        text = save;
    }
    char *arrow = strtok_r(text, " \t", &save);
    char *name = strtok_r(NULL, " \t", &save);
    if (!arrow || strcmp(arrow, ">") != 0 || !name)
        return fail(t, "not @time > command");
    if (strcmp(name, "bytes") == 0)
        return run_bytes(t, strtok_r(NULL, " \t", &save));
    return split_pairs(t, save) && run_command(t, name);
}

static bool event_line(struct trace *t, char *text)
{
    char *save = NULL, *name = strtok_r(text + 1, " \t", &save);
    const struct event_info *info = name ? event_find_name(name) : NULL;
    if (!info)
        return fail(t, "no event %s", name ? name : "");
    if (!split_pairs(t, save))
        return false;
    for (uint32_t i = t->matched; i < t->n->seen_count; i++) {
        int same = event_matches(t, info, &t->n->seen[i]);
        if (same < 0)
            return false;
        if (same > 0) {
            t->matched = i + 1;
            return true;
        }
    }
    int size = fail(t, "no such %s; what came after the last line:", name);
    size = (int)strlen(t->why);
    for (uint32_t i = t->matched; i < t->n->seen_count && (size_t)size + 64 < t->why_size; i++)
        size +=
            snprintf(t->why + size, t->why_size - (size_t)size, " %s", event_find((uint32_t)t->n->seen[i].type)->name);
    return false;
}

/* "! VERDICT" of the last command; "- event": none of that name came. */
static bool verdict_line(struct trace *t, char *text)
{
    char *save = NULL, *name = strtok_r(text + 1, " \t", &save);
    if (!name || !verdict_name(t->verdict) || strcmp(name, verdict_name(t->verdict)) != 0)
        return fail(t, "%s, not %s", verdict_name(t->verdict), name ? name : "");
    t->judged = true;
    return true;
}

static bool absence_line(struct trace *t, char *text)
{
    char *save = NULL, *name = strtok_r(text + 1, " \t", &save);
    const struct event_info *info = name ? event_find_name(name) : NULL;
    if (!info)
        return fail(t, "no event %s", name ? name : "");
    if (!split_pairs(t, save))
        return false;
    for (uint32_t i = 0; i < t->n->seen_count; i++)
        if (event_matches(t, info, &t->n->seen[i]) != 0)
            return fail(t, "there is such a %s", name);
    return true;
}

/* ---- set-up and other lines of words ---- */

static bool option(struct trace *t, struct network_options *o, const char *key, const char *value)
{
    static const struct {
        const char *key;
        size_t offset;
    } known[] = {
        {"admins", offsetof(struct network_options, admins)},
        {"admin_quorum", offsetof(struct network_options, admin_quorum)},
        {"oracles", offsetof(struct network_options, oracles)},
        {"oracle_quorum", offsetof(struct network_options, oracle_quorum)},
        {"routers", offsetof(struct network_options, routers)},
        {"users", offsetof(struct network_options, users)},
        {"miners", offsetof(struct network_options, miners)},
        {"operators", offsetof(struct network_options, operators)},
    };
    const struct param_info *param = param_find_name(key);
    uint64_t number;
    if (!number_of(t, "", key, value, &number))
        return fail(t, "%s=%s: no number", key, value);
    for (size_t i = 0; i < ARRAY_COUNT(known); i++)
        if (strcmp(known[i].key, key) == 0) {
            uint32_t count = (uint32_t)number;
            memcpy((uint8_t *)o + known[i].offset, &count, sizeof count);
            return true;
        }
    if (strcmp(key, "slots") == 0)
        o->slots = (uint8_t)number;
    else if (strcmp(key, "engine") == 0)
        o->engine = (uint8_t)number;
    else if (strcmp(key, "price_in") == 0)
        o->price_in = number;
    else if (strcmp(key, "price_out") == 0)
        o->price_out = number;
    else if (strcmp(key, "untested") == 0)
        o->untested = number == 1;
    else if (strcmp(key, "raw") == 0)
        o->raw = number == 1;
    else if (strcmp(key, "empty") == 0)
        o->empty = number == 1;
    else if (param && o->set_count < NETWORK_SET_MAX) {
        uint32_t at = o->set_count++;  // ids ascending
        for (; at > 0 && o->set[at - 1].param > param->id; at--)
            o->set[at] = o->set[at - 1];
        o->set[at].param = param->id;
        o->set[at].value = number;
    } else {
        return fail(t, "network has no %s", key);
    }
    return true;
}

static bool network_line(struct trace *t)
{
    struct network_options options = {.users = 2};
    if (t->n)
        return fail(t, "the network is open");
    for (uint32_t i = 0; i < t->pairs; i++)
        if (!option(t, &options, t->pair[i].key, t->pair[i].value))
            return false;
    t->n = network_open(&options);
    network_batch_end(t->n);
    t->start_ms = core_now_ms(t->n->core);
    t->verdict = VERDICT_ACCEPTED;
    t->judged = true;
    struct model_view m;
    uint32_t at = 0;
    return !view_model_at(t->n->core, &at, &m) ||
           name_add(t, (struct name){.kind = NAME_NUMBER, .number = m.id}, "echo");
}

static bool hush_line(struct trace *t, bool hushed)
{
    for (uint32_t i = 0; i < t->pairs; i++) {
        unsigned long which = strtoul(t->pair[i].value, NULL, 10);
        if (strcmp(t->pair[i].key, "router") == 0 && which >= 1 && which <= t->n->options.routers)
            t->n->hushed_router[which - 1] = hushed;
        else if (strcmp(t->pair[i].key, "oracle") == 0 && which >= 1 && which <= t->n->options.oracles)
            t->n->hushed_oracle[which - 1] = hushed;
        else
            return fail(t, "hush and unhush know router=N and oracle=N");
    }
    return true;
}

/* state FIELD=VALUE: what a view says now. */
static bool look_line(struct trace *t)
{
    const char *account = pair_value(t, "account"), *node = pair_value(t, "node"), *session = pair_value(t, "session"),
               *task = pair_value(t, "task"), *state = pair_value(t, "state"), *balance = pair_value(t, "balance");
    struct address a;
    uint64_t number;
    if (account && balance) {
        struct account_view view;
        if (!person(account, &a) || !view_account(t->n->core, &a, &view) || !number_of(t, "", "", balance, &number))
            return fail(t, "no account %s", account);
        if (view.balance.credits != number)
            return fail(t, "%s has %" PRIu64, account, view.balance.credits);
        return true;
    }
    const struct name *name = name_find(t, session ? session : task ? task : "");
    if (node && state) {
        struct node_view view;
        if ((!person(node, &a) && !name_find(t, node)) ||
            !view_node(t->n->core, name_find(t, node) ? &name_find(t, node)->address : &a, &view))
            return fail(t, "no node %s", node);
        const char *is = term_name(TERM_node_state, view.state);
        return strcmp(is, state) == 0 || fail(t, "%s is %s", node, is);
    }
    if (session && state && name) {
        struct session_view view;
        const char *is =
            view_session(t->n->core, name->number, &view) ? term_name(TERM_session_state, view.state) : "CLOSED";
        return strcmp(is, state) == 0 || fail(t, "%s is %s", session, is);
    }
    if (task && state && name) {
        struct task_view view;
        const char *is = view_task(t->n->core, name->number, &view) ? term_name(TERM_task_state, view.state) : "ENDED";
        return strcmp(is, state) == 0 || fail(t, "%s is %s", task, is);
    }
    return fail(t, "is account=.. balance=.., or is node|session|task=.. state=..");
}

static bool do_rounds(struct trace *t)
{
    network_test_nodes(t->n);
    core_check(t->n->core);
    return true;
}

static bool word_line(struct trace *t, char *text)
{
    char *save = NULL, *word = strtok_r(text, " \t", &save);
    if (!split_pairs(t, save))
        return false;
    if (strcmp(word, "network") == 0)
        return network_line(t);
    if (!t->n)
        return fail(t, "the first line opens the network");
    if (strcmp(word, "hush") == 0)
        return hush_line(t, true);
    if (strcmp(word, "unhush") == 0)
        return hush_line(t, false);
    if (strcmp(word, "rounds") == 0)
        return end_command(t) && do_rounds(t);
    if (strcmp(word, "is") == 0)
        return look_line(t);
    return fail(t, "no such line: %s", word);
}

static bool run_line(struct trace *t, char *text)
{
    text[strcspn(text, "#\r\n")] = 0;
    while (isspace((unsigned char)*text))
        text++;
    switch (text[0]) {
    case 0: return true;
    case '@':
    case '>': return command_line(t, text);
    case '<': return event_line(t, text);
    case '!': return verdict_line(t, text);
    case '-': return absence_line(t, text);
    default: return word_line(t, text);
    }
}

/* The whole history once more, on another core: the same digest. */
static bool replay(struct trace *t)
{
    struct hash live, again;
    network_batch_end(t->n);
    struct core *core = network_replay(t->n, NULL, 0, t->n->entry_count);
    core_digest(t->n->core, &live);
    core_digest(core, &again);
    test_free(core);
    return hash_eq(&live, &again) || fail(t, "a replay of this history has another digest");
}

/* The whole file, or NULL where it cannot be read. The caller frees it. */
static char *text_of(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    char *text = NULL;
    size_t size = 0, cap = 0, got;
    do {
        cap += 65536;
        text = realloc(text, cap + 1);
        CHECK(text);
        got = fread(text + size, 1, cap - size, file);
        size += got;
    } while (got > 0);
    fclose(file);
    text[size] = 0;
    return text;
}

/* 1: it is one, and well; 0: it is none; -1: it is one, and ret_why says what is wrong. */
static int run_exact(const char *path, char *ret_why, size_t why_size)
{
    struct history history = {0};
    struct check check = {0};
    char *text = text_of(path);
    if (!text || !trace_is_exact(text)) {
        free(text);
        return 0;
    }
    bool reads = trace_play(text, &history, &check, ret_why, why_size);
    if (reads && check.failed)
        snprintf(ret_why, why_size, "%s: entry %" PRIu64 ": %s: %s", path, check.seq, checker_name(check.checker),
                 check.text);
    history_done(&history);
    free(text);
    return reads && !check.failed ? 1 : -1;
}

bool trace_run(const char *path, char *ret_why, size_t why_size)
{
    int exact = run_exact(path, ret_why, why_size);
    if (exact != 0)
        return exact > 0;
    struct trace *t = calloc(1, sizeof *t);
    char line[LINE_SIZE_MAX];
    CHECK(t);
    t->path = path;
    t->why = ret_why;
    t->why_size = why_size;
    FILE *file = fopen(path, "r");
    if (!file)
        return fail(t, "cannot be read");
    bool ok = true;
    while (ok && fgets(line, sizeof line, file)) {
        t->line++;
        ok = strchr(line, '\n') ? run_line(t, line) : fail(t, "too long a line");
    }
    fclose(file);
    ok = ok && (t->n || fail(t, "nothing in it")) && end_command(t) && replay(t);
    if (t->n)
        network_close(t->n);
    free(t);
    return ok;
}
