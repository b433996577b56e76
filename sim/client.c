#include "sim/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "net/http_client.h"
#include "sim/computer.h"
#include "sim/roles.h"

#define RETRY_MS  300
#define TOTAL_MS  60000
#define TRIES_MAX 200

struct client {
    struct clients *clients;
    uint32_t number, left, tries;
    struct computer *computer;
    struct http_client *http;
    struct http_call *call;
    struct net_timer next;
    char reference[32];
    char last[160];
};

struct clients {
    struct sim *sim;
    struct client client[SWARM_CLIENTS_MAX];
    uint32_t answered, refused;
};

static void ask(void *ctx);

static void on_done(void *ctx, enum cx_err err, unsigned status)
{
    struct client *c = ctx;
    size_t size = 0;
    const char *body = http_call_body(c->call, &size);
    snprintf(c->last, sizeof c->last, "%s %u %.100s", cx_err_name(err), status, body);
    c->call = NULL;
    bool answered = !err && status == 200;
    bool again = (err || status >= 500 || status == 429 || status == 409) && c->tries < TRIES_MAX;
    sim_trace(c->clients->sim, "client %u: %s", c->number, c->last);
    if (again) {
        net_timer_start(c->computer->loop, &c->next, RETRY_MS, ask, c);
        return;
    }
    c->clients->answered += answered;
    c->clients->refused += !answered;
    c->tries = 0;
    c->left--;
    if (c->left > 0)
        net_timer_start(c->computer->loop, &c->next, c->clients->sim->swarm.think_ms, ask, c);
}

static void ask(void *ctx)
{
    struct client *c = ctx;
    struct buf body = {0};
    char auth[64], url[96];
    uint32_t router = c->tries % c->clients->sim->swarm.routers;
    snprintf(auth, sizeof auth, "Authorization: Bearer %s", roles_api_key(c->number));
    snprintf(url, sizeof url, "http://router-%u:%u/v1/completions", router, SIM_PORT);
    const char *fields[] = {auth, "Content-Type: application/json"};
    buf_printf(&body,
               "{\"model\":\"" SIM_MODEL "\",\"prompt\":\"prompt %u of client %u\",\"max_tokens\":16,"
               "\"corten\":{\"client_reference\":\"c%u-%u\"}}",
               c->left, c->number, c->number, c->left);
    c->tries++;
    const struct http_call_options options = {.url = url,
                                              .fields = fields,
                                              .field_count = 2,
                                              .body = body.data,
                                              .body_size = body.size,
                                              .total_ms = TOTAL_MS,
                                              .on_done = on_done,
                                              .ctx = c};
    enum cx_err err = http_client_send(c->http, &options, &c->call);
    cx_assert(!err);
    buf_done(&body);
}

static void start_client(void *ctx)
{
    struct client *c = ctx;
    enum cx_err err = http_client_open(c->computer->loop, &c->http);
    cx_assert(!err);
    if (c->left > 0)
        ask(c);
}

static void halt_client(void *ctx)
{
    struct client *c = ctx;
    net_timer_stop(&c->next);
    http_client_close(c->http);
    c->http = NULL;
}

struct clients *clients_open(struct sim *sim)
{
    struct clients *clients = calloc(1, sizeof *clients);
    cx_assert(clients);
    clients->sim = sim;
    for (uint32_t i = 0; i < sim->swarm.clients; i++) {
        struct client *c = &clients->client[i];
        char name[COMPUTER_NAME_SIZE];
        *c = (struct client){.clients = clients, .number = i};
        c->left = sim->swarm.tasks / sim->swarm.clients + (i < sim->swarm.tasks % sim->swarm.clients);
        snprintf(name, sizeof name, "client-%u", i);
        c->computer = computer_open(sim, name, &(struct program){start_client, halt_client, c});
        computer_start(c->computer);
    }
    return clients;
}

void clients_close(struct clients *clients)
{
    for (uint32_t i = 0; i < clients->sim->swarm.clients; i++)
        computer_halt(clients->client[i].computer);
    free(clients);
}

bool clients_are_done(const struct clients *clients)
{
    for (uint32_t i = 0; i < clients->sim->swarm.clients; i++)
        if (clients->client[i].left > 0)
            return false;
    return true;
}

uint32_t clients_answered(const struct clients *clients) { return clients->answered; }
uint32_t clients_refused(const struct clients *clients) { return clients->refused; }

void clients_explain(const struct clients *clients, struct buf *out)
{
    for (uint32_t i = 0; i < clients->sim->swarm.clients; i++) {
        const struct client *c = &clients->client[i];
        if (c->left > 0)
            buf_printf(out, " client %u: %u left, after %s", i, c->left, c->last);
    }
}
