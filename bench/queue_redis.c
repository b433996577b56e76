/* Redis: a stream a worker and a hash a task, appendfsync always; each transition is one script that looks at state and
 * owner first, which is what somebody who has to be right needs. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue_peer.h"

#define ID_SIZE  32
#define KEY_SIZE 48

static const char guard[] =
    "local key, to, owner, from, value = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]\n"
    "if to == 'created' then\n"
    "  if redis.call('EXISTS', key) == 1 then return redis.error_reply('it exists') end\n"
    "  redis.call('HSET', key, 'state', to, 'owner', owner)\n"
    "  return 1\n"
    "end\n"
    "local is = redis.call('HMGET', key, 'state', 'owner')\n"
    "if is[1] ~= from or is[2] ~= owner then return redis.error_reply('not in this state, or not its owner') end\n"
    "if to == 'completed' then\n"
    "  redis.call('DEL', key)\n"
    "  redis.call('XACK', KEYS[2], 'workers', value)\n"
    "  redis.call('XDEL', KEYS[2], value)\n"
    "else\n"
    "  redis.call('HSET', key, 'state', to, 'value', value)\n"
    "end\n"
    "return 1\n";

struct connection {
    redisContext *redis;
    char script[64], stream[32], owner[16];
    uint32_t client, depth;
    uint64_t next;
    char (*id)[ID_SIZE];  // [depth]: of the stream's entries
    char body[QUEUE_BODY_SIZE + 1];
};

static redisContext *dial(const struct server *server)
{
    redisContext *redis = redisConnect("127.0.0.1", server->port);
    BENCH_MUST(redis && !redis->err);
    return redis;
}

static bool start(const struct queue_wish *wish, struct server *server, struct queue_result *result)
{
    char port[8], log[512];
    snprintf(port, sizeof port, "%u", server_free_port());
    snprintf(log, sizeof log, "%s/redis.log", wish->folder);
    const char *const argv[] = {"redis-server",
                                "--port",
                                port,
                                "--bind",
                                "127.0.0.1",
                                "--dir",
                                wish->folder,
                                "--save",
                                "",
                                "--appendonly",
                                "yes",
                                "--appendfsync",
                                "always",
                                "--auto-aof-rewrite-percentage",
                                "0",
                                NULL};
    if (server_start(server, argv, log, (uint16_t)atoi(port)))
        return true;
    snprintf(result->why, sizeof result->why, "redis-server did not start: see %.200s", log);
    return false;
}

static void *connect_to(const struct server *server, uint32_t client, uint32_t depth)
{
    struct connection *c = bench_take(1, sizeof *c);
    c->redis = dial(server);
    c->client = client;
    c->depth = depth;
    c->id = bench_take(depth, sizeof *c->id);
    snprintf(c->stream, sizeof c->stream, "work:%u", client);
    snprintf(c->owner, sizeof c->owner, "%u", client);
    memset(c->body, 'x', QUEUE_BODY_SIZE);
    redisReply *reply = redisCommand(c->redis, "XGROUP CREATE %s workers $ MKSTREAM", c->stream);
    BENCH_MUST(reply && reply->type != REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    reply = redisCommand(c->redis, "SCRIPT LOAD %s", guard);
    BENCH_MUST(reply && reply->type == REDIS_REPLY_STRING);
    snprintf(c->script, sizeof c->script, "%s", reply->str);
    freeReplyObject(reply);
    return c;
}

static void take_replies(struct connection *c, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        redisReply *reply;
        BENCH_MUST(redisGetReply(c->redis, (void **)&reply) == REDIS_OK && reply->type != REDIS_REPLY_ERROR);
        freeReplyObject(reply);
    }
}

static const char *key_of(const struct connection *c, uint32_t i, char key[KEY_SIZE])
{
    snprintf(key, KEY_SIZE, "task:%u:%llu", c->client, (unsigned long long)(c->next + i));
    return key;
}

static void move_all(struct connection *c, const char *to, const char *from, const char *value)
{
    char key[KEY_SIZE];
    for (uint32_t i = 0; i < c->depth; i++)
        redisAppendCommand(c->redis, "EVALSHA %s 1 %s %s %s %s %s", c->script, key_of(c, i, key), to, c->owner, from,
                           value);
}

static void submit(struct connection *c)
{
    char key[KEY_SIZE];
    for (uint32_t i = 0; i < c->depth; i++)
        redisAppendCommand(c->redis, "XADD %s * task %s body %s", c->stream, key_of(c, i, key), c->body);
    move_all(c, "created", "", "");
    take_replies(c, 2 * c->depth);
}

static void ack(struct connection *c)
{
    redisReply *reply;
    redisAppendCommand(c->redis, "XREADGROUP GROUP workers worker COUNT %u STREAMS %s >", c->depth, c->stream);
    move_all(c, "acked", "created", "-");
    BENCH_MUST(redisGetReply(c->redis, (void **)&reply) == REDIS_OK && reply->type == REDIS_REPLY_ARRAY);
    const redisReply *entries = reply->element[0]->element[1];
    BENCH_MUST(entries->elements == c->depth);
    for (uint32_t i = 0; i < c->depth; i++)
        snprintf(c->id[i], ID_SIZE, "%s", entries->element[i]->element[0]->str);
    freeReplyObject(reply);
    take_replies(c, c->depth);
}

static void complete(struct connection *c)
{
    char key[KEY_SIZE];
    for (uint32_t i = 0; i < c->depth; i++)
        redisAppendCommand(c->redis, "EVALSHA %s 2 %s %s completed %s committed %s", c->script, key_of(c, i, key),
                           c->stream, c->owner, c->id[i]);
    take_replies(c, c->depth);
}

static void cycle(void *connection)
{
    struct connection *c = connection;
    static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    submit(c);
    ack(c);
    move_all(c, "precommitted", "acked", hash);
    take_replies(c, c->depth);
    move_all(c, "committed", "precommitted", hash);
    take_replies(c, c->depth);
    complete(c);
    c->next += c->depth;
}

static void close_it(void *connection)
{
    struct connection *c = connection;
    redisFree(c->redis);
    free(c->id);
    free(c);
}

void queue_redis(const struct queue_wish *wish, struct queue_result *ret_result)
{
    static const struct peer peer = {start, connect_to, cycle, close_it};
    queue_peer(&peer, wish, ret_result);
}
