/* A network's first entry, from what its founder says. */
#include "cli/genesis.h"

#include "core/params.h"
#include "lib/test.h"

TEST(genesis, holds_parameters_in_the_order_of_their_ids)
{
    struct genesis g;
    struct params params;
    const struct address who = {.b = {1}};
    genesis_init(&g, 7, 1, 1);
    genesis_admin(&g, &who);
    genesis_router(&g, &who, &who);
    CHECK_EQ(genesis_param(&g, "audit_ms=1000"), CX_OK);
    CHECK_EQ(genesis_param(&g, "tasks_cap=17"), CX_OK);
    CHECK_EQ(genesis_param(&g, "heartbeat_ms=250"), CX_OK);
    genesis_finish(&g);
    params_default(&params);
    CHECK_EQ(params_read(&params, g.command.params), VERDICT_ACCEPTED);
    CHECK_EQ(params.tasks_cap, 17);
    CHECK_EQ(params.heartbeat_ms, 250);
    CHECK_EQ(params.audit_ms, 1000);
    CHECK_EQ(g.command.admins.size, 20);
    CHECK_EQ(g.command.routers.size, 40);
    genesis_done(&g);
}

TEST(genesis, names_what_is_wrong_with_a_parameter)
{
    struct genesis g;
    genesis_init(&g, 7, 1, 1);
    CHECK_EQ(genesis_param(&g, "hearbeat_ms=250"), CX_INVALID);
    CHECK(strstr(cx_detail(), "did you mean \"heartbeat_ms\"?"));
    CHECK_EQ(genesis_param(&g, "heartbeat_ms=1"), CX_INVALID);
    CHECK(strstr(cx_detail(), "heartbeat_ms is 100..3600000"));
    CHECK_EQ(genesis_param(&g, "heartbeat_ms=x"), CX_INVALID);
    CHECK_EQ(genesis_param(&g, "heartbeat_ms"), CX_INVALID);
    CHECK(strstr(cx_detail(), "expected name=value"));
    genesis_done(&g);
}
