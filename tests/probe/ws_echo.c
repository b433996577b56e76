/* ws_echo - our WebSocket ends for tests/e2e/ws.test.mjs, against those of others.
 *
 *      ws_echo serve                 prints "ready PORT"; echoes every message until SIGTERM
 *      ws_echo connect URL [CA]      sends messages of all sizes, prints "echoed N", closes; exit 0 if all was so
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_server.h"
#include "net/ws_conn.h"

static struct net_loop *loop;

/* ---- serve ---- */

struct guest {
    struct net_ws *ws;
    struct guest **at, *next;  // in the list of all
};

static struct guest *guests;

static void forget(struct guest *guest)
{
    *guest->at = guest->next;
    if (guest->next)
        guest->next->at = guest->at;
    free(guest);
}

static void on_guest_message(void *ctx, bool text, const char *data, size_t size)
{
    struct guest *guest = ctx;
    if (text && size == 5 && memcmp(data, "close", 5) == 0)
        net_ws_shut(guest->ws, 4001, "as you wish");
    else if (text)
        net_ws_send_text(guest->ws, data, size);
    else
        net_ws_send_binary(guest->ws, data, size);
}

static void on_guest_close(void *ctx, unsigned code, const char *reason)
{
    printf("closed %u %s\n", code, reason);
    forget(ctx);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    static const struct net_ws_events events = {.on_message = on_guest_message, .on_close = on_guest_close};
    struct guest *guest = calloc(1, sizeof *guest);
    struct net_ws_options options = {.events = &events,
                                     .ctx = guest,
                                     .message_size_max = 16 * 1024 * 1024,
                                     .limits = {.queue_max = 64 * 1024 * 1024}};
    (void)ctx;
    guest->at = &guests;
    guest->next = guests;
    if (guests)
        guests->at = &guest->next;
    guests = guest;
    http_upgrade(x, "corten.echo,corten.other", &options, &guest->ws);
    if (!guest->ws)
        forget(guest);
}

static void on_signal(void *ctx, int number)
{
    (void)number;
    http_server_close(ctx);
    while (guests) {
        net_ws_close(guests->ws);
        forget(guests);
    }
    net_loop_stop(loop);
}

static int serve(void)
{
    struct http_server *server = NULL;
    struct http_server_options options = {.listen = "127.0.0.1:0", .on_request = on_request};
    if (http_server_open(loop, &options, &server)) {
        fprintf(stderr, "ws_echo: %s\n", cx_detail());
        return 1;
    }
    if (net_loop_signals(loop, on_signal, server))
        return 1;
    printf("ready %u\n", http_server_port(server));
    net_loop_run(loop);
    return 0;
}

/* ---- connect ---- */

static const size_t sizes[] = {0, 1, 7, 125, 126, 127, 65535, 65536, 70000, 1000000};
#define SIZE_COUNT (sizeof sizes / sizeof *sizes)

struct caller {
    struct net_ws *ws;
    char *bytes;
    unsigned echoed, wrong;
    bool closed_well;
};

static void on_open(void *ctx, const char *protocol)
{
    struct caller *caller = ctx;
    printf("open %s\n", protocol);
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        net_ws_send_text(caller->ws, caller->bytes, sizes[i]);
        net_ws_send_binary(caller->ws, caller->bytes, sizes[i]);
    }
}

static void on_message(void *ctx, bool text, const char *data, size_t size)
{
    struct caller *caller = ctx;
    unsigned n = caller->echoed++;
    bool right =
        text == (n % 2 == 0) && n / 2 < SIZE_COUNT && size == sizes[n / 2] && memcmp(data, caller->bytes, size) == 0;
    caller->wrong += !right;
    if (caller->echoed == 2 * SIZE_COUNT) {
        printf("echoed %u\n", caller->echoed - caller->wrong);
        net_ws_shut(caller->ws, 1000, "all echoed");
    }
}

static void on_close(void *ctx, unsigned code, const char *reason)
{
    struct caller *caller = ctx;
    printf("closed %u %s\n", code, reason);
    caller->closed_well = code == 1000;
    net_loop_stop(loop);
}

static int call(const char *url, const char *ca_file)
{
    static const struct net_ws_events events = {.on_open = on_open, .on_message = on_message, .on_close = on_close};
    size_t size_max = sizes[SIZE_COUNT - 1];
    struct caller caller = {.bytes = malloc(size_max)};
    for (size_t i = 0; i < size_max; i++)
        caller.bytes[i] = (char)('a' + i % 26);
    struct net_ws_options options = {
        .events = &events, .ctx = &caller, .protocols = "corten.other,corten.echo", .ca_file = ca_file};
    if (net_ws_connect(loop, url, &options, &caller.ws)) {
        fprintf(stderr, "ws_echo: %s\n", cx_detail());
        return 1;
    }
    net_loop_run(loop);
    free(caller.bytes);
    return caller.closed_well && caller.echoed == 2 * SIZE_COUNT && caller.wrong == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (net_loop_open(&loop))
        return 1;
    int status = 2;
    if (argc == 2 && strcmp(argv[1], "serve") == 0)
        status = serve();
    else if (argc >= 3 && strcmp(argv[1], "connect") == 0)
        status = call(argv[2], argc > 3 ? argv[3] : NULL);
    else
        fprintf(stderr, "usage: ws_echo serve | ws_echo connect URL [CA]\n");
    net_loop_close(loop);
    return status;
}
