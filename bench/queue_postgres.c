/* PostgreSQL: a table, SKIP LOCKED, and each transition a statement of its own that looks at state and owner. */
#include <libpq-fe.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue_peer.h"

#define DEPTH_MAX 64

enum step { SUBMIT, ACK, PRECOMMIT, COMMIT, COMPLETE, STEP_COUNT };

static const char *const statements[STEP_COUNT] = {
    [SUBMIT] = "INSERT INTO task (owner, state, body) VALUES ($1, 0, $2)",
    [ACK] = "UPDATE task SET state = 1 WHERE id = (SELECT id FROM task WHERE owner = $1 AND state = 0 ORDER BY id"
            " LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id",
    [PRECOMMIT] = "UPDATE task SET state = 2, hash = $3 WHERE id = $2 AND owner = $1 AND state = 1",
    [COMMIT] = "UPDATE task SET state = 3, result = $3 WHERE id = $2 AND owner = $1 AND state = 2",
    [COMPLETE] = "UPDATE task SET state = 4 WHERE id = $2 AND owner = $1 AND state = 3",
};
static const int parameters[STEP_COUNT] = {2, 1, 3, 3, 2};
static const char *const names[STEP_COUNT] = {"submit", "ack", "precommit", "commit", "complete"};

struct connection {
    PGconn *pg;
    uint32_t depth;
    char owner[16], body[QUEUE_BODY_SIZE + 1];
    char id[DEPTH_MAX][24];
};

static PGconn *dial(const struct server *server)
{
    char where[128];
    snprintf(where, sizeof where, "host=127.0.0.1 port=%u user=postgres dbname=postgres", server->port);
    while (PQping(where) == PQPING_REJECT)
        ;  // it listens, and is still starting
    PGconn *pg = PQconnectdb(where);
    if (PQstatus(pg) != CONNECTION_OK)
        fprintf(stderr, "%s", PQerrorMessage(pg));
    BENCH_MUST(PQstatus(pg) == CONNECTION_OK);
    return pg;
}

static void run(PGconn *pg, const char *sql)
{
    PGresult *result = PQexec(pg, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        fprintf(stderr, "%s", PQerrorMessage(pg));
    BENCH_MUST(PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
}

/* It refuses to run as root: then it runs as the user that its package made. */
static bool start(const struct queue_wish *wish, struct server *server, struct queue_result *result)
{
    char script[2048], log[512];
    uint16_t port = server_free_port();
    snprintf(log, sizeof log, "%s/postgres.log", wish->folder);
    snprintf(script, sizeof script,
             "set -e; bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); as=; cd '%s'; mkdir pg\n"
             "if [ \"$(id -u)\" = 0 ]; then as='setpriv --reuid=postgres --regid=postgres --init-groups';"
             " chown postgres pg; chmod 711 .; fi\n"
             "$as \"$bin/initdb\" -D pg/data -A trust -U postgres --no-instructions >&2\n"
             "exec $as \"$bin/postgres\" -D pg/data -p %u -c listen_addresses=127.0.0.1"
             " -c unix_socket_directories='' -c fsync=on -c synchronous_commit=on -c shared_buffers=512MB"
             " -c max_wal_size=8GB -c max_connections=200",
             wish->folder, port);
    const char *const argv[] = {"sh", "-c", script, NULL};
    if (!server_start(server, argv, log, port)) {
        snprintf(result->why, sizeof result->why, "PostgreSQL did not start: see %.200s", log);
        return false;
    }
    PGconn *pg = dial(server);
    run(pg, "CREATE TABLE task (id bigserial PRIMARY KEY, owner int NOT NULL, state smallint NOT NULL, body text,"
            " hash text, result text) WITH (fillfactor = 50)");
    run(pg, "CREATE INDEX waiting ON task (owner, id) WHERE state = 0");
    PQfinish(pg);
    return true;
}

static void *connect_to(const struct server *server, uint32_t client, uint32_t depth)
{
    struct connection *c = bench_take(1, sizeof *c);
    BENCH_MUST(depth <= DEPTH_MAX);
    c->pg = dial(server);
    c->depth = depth;
    snprintf(c->owner, sizeof c->owner, "%u", client);
    memset(c->body, 'x', QUEUE_BODY_SIZE);
    for (int i = 0; i < STEP_COUNT; i++) {
        PGresult *result = PQprepare(c->pg, names[i], statements[i], parameters[i], NULL);
        BENCH_MUST(PQresultStatus(result) == PGRES_COMMAND_OK);
        PQclear(result);
    }
    BENCH_MUST(PQenterPipelineMode(c->pg) == 1);
    return c;
}

static void take_result(struct connection *c, enum step step, uint32_t i)
{
    PGresult *result = PQgetResult(c->pg);
    if (step == ACK) {
        BENCH_MUST(PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1);
        snprintf(c->id[i], sizeof c->id[i], "%s", PQgetvalue(result, 0, 0));
    } else {
        BENCH_MUST(PQresultStatus(result) == PGRES_COMMAND_OK && strcmp(PQcmdTuples(result), "1") == 0);
    }
    PQclear(result);
    BENCH_MUST(PQgetResult(c->pg) == NULL);
    result = PQgetResult(c->pg);
    BENCH_MUST(PQresultStatus(result) == PGRES_PIPELINE_SYNC);
    PQclear(result);
}

/* A sync behind each statement: each is a transaction of its own, as it is without a pipeline. */
static void all(struct connection *c, enum step step)
{
    static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for (uint32_t i = 0; i < c->depth; i++) {
        const char *const values[] = {c->owner, step == SUBMIT ? c->body : c->id[i], hash};
        BENCH_MUST(PQsendQueryPrepared(c->pg, names[step], parameters[step], values, NULL, NULL, 0) == 1);
        BENCH_MUST(PQpipelineSync(c->pg) == 1);
    }
    for (uint32_t i = 0; i < c->depth; i++)
        take_result(c, step, i);
}

static void cycle(void *connection)
{
    for (int step = SUBMIT; step < STEP_COUNT; step++)
        all(connection, (enum step)step);
}

static void close_it(void *connection)
{
    struct connection *c = connection;
    PQfinish(c->pg);
    free(c);
}

void queue_postgres(const struct queue_wish *wish, struct queue_result *ret_result)
{
    static const struct peer peer = {start, connect_to, cycle, close_it};
    queue_peer(&peer, wish, ret_result);
}
