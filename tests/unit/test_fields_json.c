/* Commands and events as JSON, from their tables. */
#include "proto/fields_json.h"

#include "core/event.h"
#include "lib/test.h"

TEST(fields_json, names_the_numbers_of_closed_sets)
{
    const struct event event = {
        .type = EVENT_TASK_MOVED,
        .task_moved = {.task = 1ull << 60, .from = TASK_QUEUED, .to = TASK_ASSIGNED, .attempt = 1}};
    const struct event_info *info = event_find(event.type);
    struct buf text = {0};
    struct json_out out;
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    fields_json(&out, info->name, info->fields, &event.task_moved);
    json_out_end(&out);
    CHECK_STR(text.data, "{\"task\":\"1152921504606846976\",\"from\":\"QUEUED\",\"to\":\"ASSIGNED\",\"attempt\":1,"
                         "\"cause\":\"NONE\",\"deadline_ms\":\"0\"}");
    buf_done(&text);
}

TEST(fields_json, knows_a_set_for_every_state_reason_and_policy)
{
    for (const struct command_info *info = command_next(NULL); info; info = command_next(info))
        for (uint32_t i = 0; i < info->fields.count; i++) {
            const char *name = info->fields.field[i].name;
            if (strcmp(name, "reason") == 0 || strcmp(name, "validation") == 0 || strcmp(name, "finding") == 0)
                CHECK(field_terms(info->name, name) != TERM_SET_COUNT);
        }
    CHECK_EQ(field_terms("task_moved", "to"), TERM_task_state);
    CHECK_EQ(field_terms("node_moved", "to"), TERM_node_state);
    CHECK_EQ(field_terms("task_paid", "to"), TERM_SET_COUNT);
}
