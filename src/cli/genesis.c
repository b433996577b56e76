#include "cli/genesis.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "cli/options.h"
#include "core/core.h"
#include "core/params.h"

#define PARAM_SIZE 10  // u16 id, u64 value

void genesis_init(struct genesis *genesis, uint64_t network_id, uint8_t admin_quorum, uint8_t oracle_quorum)
{
    memset(genesis, 0, sizeof *genesis);
    genesis->command.network_id = network_id;
    genesis->command.rules_version = RULES_VERSION;
    genesis->command.admin_quorum = admin_quorum;
    genesis->command.oracle_quorum = oracle_quorum;
}

void genesis_admin(struct genesis *genesis, const struct address *admin)
{
    buf_add(&genesis->admins, admin->b, sizeof admin->b);
}

void genesis_oracle(struct genesis *genesis, const struct genesis_oracle *oracle)
{
    buf_add(&genesis->oracles, oracle->oracle.b, sizeof oracle->oracle.b);
    buf_add(&genesis->oracles, oracle->operator.b, sizeof oracle->operator.b);
    buf_add(&genesis->oracles, oracle->chain_end.b, sizeof oracle->chain_end.b);
}

void genesis_router(struct genesis *genesis, const struct address *router, const struct address *operator)
{
    buf_add(&genesis->routers, router->b, sizeof router->b);
    buf_add(&genesis->routers, operator->b, sizeof operator->b);
}

static enum cx_err no_such(const char *name)
{
    const char *words[256];
    size_t count = 0;
    for (const struct param_info *info = param_next(NULL); info && count < ARRAY_COUNT(words); info = param_next(info))
        words[count++] = info->name;
    const char *nearest = nearest_word(name, words, count);
    if (nearest)
        return cx_fail(CX_INVALID, "there is no parameter \"%s\"; did you mean \"%s\"?", name, nearest);
    return cx_fail(CX_INVALID, "there is no parameter \"%s\"; docs/protocol.md, \"Parameters\", lists them", name);
}

enum cx_err genesis_param(struct genesis *genesis, const char *text)
{
    char name[64];
    const char *equals = strchr(text, '=');
    size_t size = equals ? (size_t)(equals - text) : strlen(text);
    if (!equals || size == 0 || size >= sizeof name)
        return cx_fail(CX_INVALID, "\"%s\": expected name=value", text);
    memcpy(name, text, size);
    name[size] = '\0';
    const struct param_info *info = param_find_name(name);
    if (!info)
        return no_such(name);
    char *end;
    unsigned long long value = strtoull(equals + 1, &end, 10);
    if (end == equals + 1 || *end || value < info->min || value > info->max)
        return cx_fail(CX_INVALID, "%s is %llu..%llu (%s), not \"%s\"", name, (unsigned long long)info->min,
                       (unsigned long long)info->max, info->text, equals + 1);
    uint8_t bytes[PARAM_SIZE];
    struct bytes_writer w;
    bytes_writer_init(&w, bytes, sizeof bytes);
    bytes_put_u16(&w, info->id);
    bytes_put_u64(&w, value);
    buf_add(&genesis->params, bytes, w.size);
    return CX_OK;
}

static int by_id(const void *a, const void *b) { return memcmp(a, b, 2); }

static struct span span_of(const struct buf *buf)
{
    return (struct span){(const uint8_t *)buf->data, (uint32_t)buf->size};
}

void genesis_finish(struct genesis *genesis)
{
    if (genesis->params.size)
        qsort(genesis->params.data, genesis->params.size / PARAM_SIZE, PARAM_SIZE, by_id);
    genesis->command.admins = span_of(&genesis->admins);
    genesis->command.oracles = span_of(&genesis->oracles);
    genesis->command.routers = span_of(&genesis->routers);
    genesis->command.params = span_of(&genesis->params);
}

void genesis_done(struct genesis *genesis)
{
    buf_done(&genesis->admins);
    buf_done(&genesis->oracles);
    buf_done(&genesis->routers);
    buf_done(&genesis->params);
}
