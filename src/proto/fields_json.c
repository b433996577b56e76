#include "proto/fields_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/address_text.h"

/* Which fields hold numbers of closed sets. `name` NULL: in every command and event. */
static const struct {
    const char *name, *field;
    enum term_set set;
} meanings[] = {
    {"node_moved", "from", TERM_node_state},
    {"node_moved", "to", TERM_node_state},
    {"node_moved", "reason", TERM_node_reason},
    {"session_moved", "from", TERM_session_state},
    {"session_moved", "to", TERM_session_state},
    {"session_moved", "reason", TERM_session_reason},
    {"session_node_released", "reason", TERM_release_reason},
    {"task_moved", "from", TERM_task_state},
    {"task_moved", "to", TERM_task_state},
    {"assignment_moved", "from", TERM_assignment_state},
    {"assignment_moved", "to", TERM_assignment_state},
    {"round_moved", "from", TERM_round_state},
    {"round_moved", "to", TERM_round_state},
    {"round_moved", "reason", TERM_abort_reason},
    {"round_abort", "reason", TERM_abort_reason},
    {"round_result", "alive", TERM_layer_result},
    {"round_result", "bound", TERM_layer_result},
    {"round_result", "right", TERM_layer_result},
    {"round_result", "fast", TERM_layer_result},
    {"round_result", "agreed", TERM_layer_result},
    {"round_verdict", "right", TERM_layer_result},
    {"round_verdict", "fast", TERM_layer_result},
    {"audit_moved", "from", TERM_audit_state},
    {"audit_moved", "to", TERM_audit_state},
    {"oracle_changed", "state", TERM_oracle_state},
    {"router_changed", "state", TERM_router_state},
    {"node_detach", "reason", TERM_detach_reason},
    {"node_detached", "reason", TERM_detach_reason},
    {"task_decline", "reason", TERM_decline_reason},
    {"session_open", "stream", TERM_stream_when},
    {NULL, "cause", TERM_fail_cause},
    {NULL, "finish", TERM_finish},
    {NULL, "finding", TERM_audit_finding},
    {NULL, "class", TERM_node_class},
    {NULL, "engine", TERM_engine},
    {NULL, "mode", TERM_session_mode},
    {NULL, "reserve", TERM_session_reserve},
    {NULL, "sla", TERM_sla},
    {NULL, "validation", TERM_validation_policy},
    {NULL, "on_no_verdict", TERM_on_no_verdict},
    {NULL, "access", TERM_session_access},
    {NULL, "privacy", TERM_session_privacy},
    {NULL, "result", TERM_session_result},
    {NULL, "pays", TERM_session_pays},
    {NULL, "evidence", TERM_session_evidence},
    {NULL, "route", TERM_pool_route},
};

enum term_set field_terms(const char *name, const char *field)
{
    for (size_t i = 0; i < ARRAY_COUNT(meanings); i++)
        if (strcmp(meanings[i].field, field) == 0 && (!meanings[i].name || strcmp(meanings[i].name, name) == 0))
            return meanings[i].set;
    return TERM_SET_COUNT;
}

static void number(struct json_out *out, const char *name, const char *field, uint64_t value)
{
    enum term_set set = field_terms(name, field);
    const char *term = set == TERM_SET_COUNT ? NULL : term_name(set, (uint32_t)value);
    if (term)
        json_out_text(out, field, term);
    else
        json_out_u64(out, field, value);
}

static void number64(struct json_out *out, const char *field, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    json_out_text(out, field, text);
}

void fields_json(struct json_out *out, const char *name, struct field_list list, const void *from)
{
    for (uint32_t i = 0; i < list.count; i++) {
        const struct field *field = &list.field[i];
        const uint8_t *at = (const uint8_t *)from + field->offset;
        char address[ADDRESS_TEXT_SIZE];
        struct span bytes;
        switch ((enum field_type)field->type) {
        case FIELD_u8: number(out, name, field->name, *at); break;
        case FIELD_u16: number(out, name, field->name, *(const uint16_t *)(const void *)at); break;
        case FIELD_u32: number(out, name, field->name, *(const uint32_t *)(const void *)at); break;
        case FIELD_u64: number64(out, field->name, *(const uint64_t *)(const void *)at); break;
        case FIELD_amount: number64(out, field->name, ((const struct amount *)(const void *)at)->credits); break;
        case FIELD_address:
            address_print((const struct address *)at, address);
            json_out_text(out, field->name, address);
            break;
        case FIELD_hash: json_out_hex(out, field->name, at, 32); break;
        case FIELD_bytes:
            bytes = *(const struct span *)(const void *)at;
            json_out_hex(out, field->name, bytes.data, bytes.size);
            break;
        }
    }
}
