/* Wires: two pipes of pieces between two computers, who listens where, and all that befalls them on the way. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "net/listener.h"
#include "sim/net_inside.h"

#define FD_BASE              (1 << 20)  // what stands for a socket that was accepted
#define PORT_FIRST           49152      // of those who dial
#define RETRY_US_MAX         1000000    // after a partition, until what was sent into it is sent again
#define LISTENER_CHOSEN_PORT 20000

enum piece_kind { PIECE_DIAL, PIECE_OPEN, PIECE_DATA, PIECE_END, PIECE_BREAK };

struct piece {
    struct piece *next;
    uint64_t at_us;
    enum piece_kind kind;
    uint32_t size;
    char data[];
};

/* Towards one side. */
struct pipe {
    struct wire *wire;
    uint32_t to;
    struct piece *first, **last;
    struct sim_event event;  // the first piece arrives
    uint64_t last_at_us;
    size_t flying;  // bytes on their way; on a lost wire for ever
    struct buf unread;
    size_t unread_at;
    bool ended;  // the peer's end follows what is unread
    bool held;   // a partition keeps the first piece
};

struct side {
    struct wire *wire;
    uint32_t number;
    struct computer *computer;
    struct net_conn *conn;    // NULL: not yet, or not any more
    struct sim_event room;    // its window opens
    struct sim_event broken;  // it hears that the wire broke
    bool waits;               // for room
    bool said_end;
};

struct wire {
    struct net_link all;
    struct net_world *net;
    struct side side[2];  // 0 dialled
    struct pipe pipe[2];  // towards side[i]
    uint16_t port[2];
    uint32_t pins;  // of events that use it
    bool lost;      // nothing gets through any more
    bool accepted;  // side 1 was given to a listener
};

struct net_listener {
    struct net_link all;
    struct net_loop *loop;
    uint16_t port;
    void (*on_accept)(void *ctx, int fd);
    void *ctx;
};

struct net_world {
    struct sim *sim;
    struct net_faults faults;
    struct net_link wires, listeners;
    uint32_t wire_count;
    uint16_t port_next;
    struct wire *accepting;  // within on_accept
};

static struct wire *wire_of(struct net_link *all) { return (struct wire *)((char *)all - offsetof(struct wire, all)); }

static struct net_listener *listener_of(struct net_link *all)
{
    return (struct net_listener *)((char *)all - offsetof(struct net_listener, all));
}

/* ---- life ---- */

struct net_world *net_world_open(struct sim *sim)
{
    struct net_world *net = calloc(1, sizeof *net);
    cx_assert(net);
    net->sim = sim;
    net->port_next = PORT_FIRST;
    net->faults = (struct net_faults){.latency_us_min = 100, .latency_us_max = 500};
    net_link_init(&net->wires);
    net_link_init(&net->listeners);
    return net;
}

static void empty(struct sim *sim, struct pipe *pipe)
{
    sim_stop(sim, &pipe->event);
    while (pipe->first) {
        struct piece *piece = pipe->first;
        pipe->first = piece->next;
        free(piece);
    }
    pipe->last = &pipe->first;
    pipe->held = false;
}

static void wire_free(struct wire *wire)
{
    struct sim *sim = wire->net->sim;
    for (int i = 0; i < 2; i++) {
        cx_assert(!wire->side[i].conn);
        empty(sim, &wire->pipe[i]);
        sim_stop(sim, &wire->side[i].room);
        sim_stop(sim, &wire->side[i].broken);
        buf_done(&wire->pipe[i].unread);
    }
    net_link_remove(&wire->all);
    wire->net->wire_count--;
    free(wire);
}

/* When nobody holds an end and nothing is on its way. */
static void tidy(struct wire *wire)
{
    if (wire->pins > 0 || wire->side[0].conn || wire->side[1].conn)
        return;
    if (wire->lost || (!wire->pipe[0].first && !wire->pipe[1].first))
        wire_free(wire);
}

void net_world_close(struct net_world *net)
{
    while (!net_link_is_alone(&net->wires))
        wire_free(wire_of(net->wires.next));
    cx_assert(net_link_is_alone(&net->listeners));
    free(net);
}

void net_world_set(struct net_world *net, const struct net_faults *faults) { net->faults = *faults; }

uint32_t net_connection_count(const struct net_world *net) { return net->wire_count; }

/* ---- pieces ---- */

static uint64_t latency_us(struct net_world *net)
{
    const struct net_faults *f = &net->faults;
    uint64_t us = sim_between(net->sim, SIM_NET, f->latency_us_min, f->latency_us_max);
    if (sim_chance(net->sim, SIM_NET, f->late_ppm)) {
        sim_count_fault(net->sim, FAULT_DELAY);
        us += sim_below(net->sim, SIM_NET, (uint64_t)f->late_us + 1);
    }
    return us;
}

static void on_arrival(void *ctx);

static void await_first(struct wire *wire, struct pipe *pipe)
{
    if (pipe->first && !pipe->held)
        sim_at(wire->net->sim, &pipe->event, u64_max(pipe->first->at_us, wire->net->sim->now_us), NULL, on_arrival,
               pipe);
    else
        sim_stop(wire->net->sim, &pipe->event);
}

static void add_piece(struct wire *wire, uint32_t to, enum piece_kind kind, const void *data, size_t size)
{
    struct pipe *pipe = &wire->pipe[to];
    struct piece *piece = malloc(sizeof *piece + size);
    cx_assert(piece);
    uint64_t at_us = wire->net->sim->now_us + latency_us(wire->net);
    pipe->last_at_us = u64_max(pipe->last_at_us, at_us);
    *piece = (struct piece){.at_us = pipe->last_at_us, .kind = kind, .size = (uint32_t)size};
    if (size > 0)
        memcpy(piece->data, data, size);
    *pipe->last = piece;
    pipe->last = &piece->next;
    if (pipe->first == piece)
        await_first(wire, pipe);
}

/* What an end sends; from a computer that is dead, or on a wire that is lost, it comes nowhere. */
static void put(struct wire *wire, uint32_t from, enum piece_kind kind, const void *data, size_t size)
{
    wire->pipe[!from].flying += size;
    if (!wire->lost && !computer_is_dead(wire->side[from].computer))
        add_piece(wire, !from, kind, data, size);
}

/* ---- breaking ---- */

static void on_broken(void *ctx)
{
    struct side *s = ctx;
    struct wire *wire = s->wire;
    if (!s->conn || !s->computer->up)
        return;
    wire->pins++;
    computer_enter(s->computer);
    net_conn_broken(s->conn, CX_IO, wire->accepted ? "the connection broke" : "nobody listens there");
    computer_leave(s->computer);
    wire->pins--;
    tidy(wire);
}

static void tell_broken(struct wire *wire, uint32_t side)
{
    struct side *s = &wire->side[side];
    if (s->conn)
        sim_after(wire->net->sim, &s->broken, latency_us(wire->net), NULL, on_broken, s);
}

static void lose(struct wire *wire)
{
    wire->lost = true;
    empty(wire->net->sim, &wire->pipe[0]);
    empty(wire->net->sim, &wire->pipe[1]);
}

static void break_wire(struct wire *wire)
{
    struct sim *sim = wire->net->sim;
    sim_count_fault(sim, FAULT_BREAK);
    lose(wire);
    uint32_t silent = 0;  // bits of sides that hear nothing
    if (sim_chance(sim, SIM_NET, wire->net->faults.half_open_ppm)) {
        sim_count_fault(sim, FAULT_HALF_OPEN);
        silent = 1 + (uint32_t)sim_below(sim, SIM_NET, 3);
    }
    for (uint32_t side = 0; side < 2; side++)
        if (!(silent & 1u << side))
            tell_broken(wire, side);
}

void net_break_one(struct net_world *net)
{
    if (net->wire_count == 0)
        return;
    uint64_t nth = sim_below(net->sim, SIM_FAULTS, net->wire_count);
    struct net_link *at = net->wires.next;
    while (nth-- > 0)
        at = at->next;
    if (!wire_of(at)->lost)
        break_wire(wire_of(at));
}

void net_break_all(struct computer *computer, bool silent)
{
    struct net_world *net = computer->sim->net;
    for (struct net_link *at = net->wires.next; at != &net->wires; at = at->next) {
        struct wire *wire = wire_of(at);
        if (wire->lost || (wire->side[0].computer != computer && wire->side[1].computer != computer))
            continue;
        sim_count_fault(net->sim, silent ? FAULT_HALF_OPEN : FAULT_BREAK);
        lose(wire);
        for (uint32_t side = 0; side < 2 && !silent; side++)
            tell_broken(wire, side);
    }
}

/* A peer may be told by the network; else it finds out by itself, at the latest when it sends to the next start. */
void net_computer_down(struct computer *computer)
{
    struct net_world *net = computer->sim->net;
    struct net_link *next = net->wires.next;
    while (next != &net->wires) {
        struct wire *wire = wire_of(next);
        next = next->next;
        for (uint32_t side = 0; side < 2; side++) {
            struct side *s = &wire->side[side];
            if (s->computer != computer || !s->conn)
                continue;
            s->conn->wire = NULL;
            s->conn = NULL;
            sim_stop(net->sim, &s->room);
            sim_stop(net->sim, &s->broken);
            empty(net->sim, &wire->pipe[side]);
            if (sim_chance(net->sim, SIM_NET, net->faults.half_open_ppm))
                sim_count_fault(net->sim, FAULT_HALF_OPEN);
            else
                tell_broken(wire, !side);
        }
        tidy(wire);
    }
}

/* ---- partitions ---- */

void net_set_group(struct computer *computer, uint32_t group) { computer->group = group; }

static bool are_parted(const struct wire *wire)
{
    return wire->side[0].computer->group != wire->side[1].computer->group;
}

void net_heal(struct net_world *net)
{
    for (uint32_t i = 0; i < net->sim->computer_count; i++)
        net->sim->computer[i]->group = 0;
    for (struct net_link *at = net->wires.next; at != &net->wires; at = at->next) {
        struct wire *wire = wire_of(at);
        for (int i = 0; i < 2; i++) {
            struct pipe *pipe = &wire->pipe[i];
            if (!pipe->held)
                continue;
            pipe->held = false;
            pipe->first->at_us = net->sim->now_us + sim_below(net->sim, SIM_NET, RETRY_US_MAX);
            await_first(wire, pipe);
        }
    }
}

/* ---- listening ---- */

static struct net_listener *find_listener(struct net_world *net, const struct computer *computer, uint16_t port)
{
    for (struct net_link *at = net->listeners.next; at != &net->listeners; at = at->next) {
        struct net_listener *l = listener_of(at);
        if (l->loop->computer == computer && l->port == port)
            return l;
    }
    return NULL;
}

enum cx_err net_listener_open(struct net_loop *loop, const char *address, void (*on_accept)(void *ctx, int fd),
                              void *ctx, struct net_listener **ret_listener)
{
    const char *colon = strrchr(address, ':');
    if (!colon)
        return cx_fail(CX_INVALID, "\"%s\" is no address to listen on", address);
    uint16_t port = (uint16_t)strtoul(colon + 1, NULL, 10);
    if (port == 0)
        port = LISTENER_CHOSEN_PORT;
    if (find_listener(loop->sim->net, loop->computer, port))
        return cx_fail(CX_BUSY, "cannot listen on %s: it is taken", address);
    struct net_listener *l = calloc(1, sizeof *l);
    cx_assert(l);
    *l = (struct net_listener){.loop = loop, .port = port, .on_accept = on_accept, .ctx = ctx};
    net_link_init(&l->all);
    net_link_add(&loop->sim->net->listeners, &l->all);
    *ret_listener = l;
    return CX_OK;
}

void net_listener_close(struct net_listener *listener)
{
    if (!listener)
        return;
    net_link_remove(&listener->all);
    free(listener);
}

uint16_t net_listener_port(const struct net_listener *listener) { return listener->port; }

/* ---- arriving ---- */

static void answer_dial(struct wire *wire)
{
    struct net_world *net = wire->net;
    struct net_listener *l = find_listener(net, wire->side[1].computer, wire->port[1]);
    if (!l) {
        put(wire, 1, PIECE_BREAK, NULL, 0);
        return;
    }
    put(wire, 1, PIECE_OPEN, NULL, 0);
    net->accepting = wire;
    l->on_accept(l->ctx, FD_BASE);
    net->accepting = NULL;
    if (!wire->side[1].conn)
        put(wire, 1, PIECE_BREAK, NULL, 0);
}

static void deliver(struct wire *wire, uint32_t to, const struct piece *piece)
{
    struct pipe *pipe = &wire->pipe[to];
    struct net_conn *c = wire->side[to].conn;
    switch (piece->kind) {
    case PIECE_DIAL: answer_dial(wire); return;
    case PIECE_OPEN:
        wire->accepted = true;
        if (c)
            net_conn_opened(c);
        return;
    case PIECE_DATA:
        pipe->flying -= piece->size;
        if (!c) {
            put(wire, to, PIECE_BREAK, NULL, 0);
            return;
        }
        buf_add(&pipe->unread, piece->data, piece->size);
        net_conn_readable(c);
        return;
    case PIECE_END:
        pipe->ended = true;
        if (c)
            net_conn_readable(c);
        return;
    case PIECE_BREAK:
        if (c)
            net_conn_broken(c, CX_IO, wire->accepted ? "the connection broke" : "nobody listens there");
        return;
    }
}

static void arrive(struct wire *wire, uint32_t to)
{
    struct pipe *pipe = &wire->pipe[to];
    struct computer *computer = wire->side[to].computer;
    if (are_parted(wire)) {
        pipe->held = true;
        return;
    }
    struct piece *piece = pipe->first;
    pipe->first = piece->next;
    if (!pipe->first)
        pipe->last = &pipe->first;
    await_first(wire, pipe);
    if (computer->up) {
        computer_enter(computer);
        deliver(wire, to, piece);
        computer_leave(computer);
    } else if (piece->kind == PIECE_DIAL && !sim_chance(wire->net->sim, SIM_NET, wire->net->faults.half_open_ppm)) {
        add_piece(wire, 0, PIECE_BREAK, NULL, 0);  // the machine is there, the program is not
    }
    free(piece);
}

static void on_arrival(void *ctx)
{
    struct pipe *pipe = ctx;
    struct wire *wire = pipe->wire;
    wire->pins++;
    arrive(wire, pipe->to);
    wire->pins--;
    tidy(wire);
}

/* ---- what ends do ---- */

struct wire *wire_dial(struct net_conn *c, const char *host, uint16_t port)
{
    struct sim *sim = c->loop->sim;
    struct net_world *net = sim->net;
    struct computer *to = computer_find(sim, host);
    if (!to)
        return NULL;
    struct wire *wire = calloc(1, sizeof *wire);
    cx_assert(wire);
    wire->net = net;
    wire->port[0] = net->port_next++;
    wire->port[1] = port;
    if (net->port_next == 0)
        net->port_next = PORT_FIRST;
    for (uint32_t i = 0; i < 2; i++) {
        wire->side[i] = (struct side){.wire = wire, .number = i, .computer = i == 0 ? c->loop->computer : to};
        wire->pipe[i] = (struct pipe){.wire = wire, .to = i};
        wire->pipe[i].last = &wire->pipe[i].first;
    }
    wire->side[0].conn = c;
    net_link_init(&wire->all);
    net_link_add(&net->wires, &wire->all);
    net->wire_count++;
    c->side = 0;
    put(wire, 0, PIECE_DIAL, NULL, 0);
    return wire;
}

struct wire *wire_take(struct net_loop *loop, int fd, struct net_conn *c)
{
    struct wire *wire = loop->sim->net->accepting;
    cx_assert(fd == FD_BASE && wire && !wire->side[1].conn);
    wire->side[1].conn = c;
    c->side = 1;
    return wire;
}

size_t wire_room(const struct wire *wire, uint32_t side)
{
    const struct pipe *pipe = &wire->pipe[!side];
    size_t used = pipe->flying + (pipe->unread.size - pipe->unread_at);
    return used < NET_WINDOW_SIZE ? NET_WINDOW_SIZE - used : 0;
}

void wire_send(struct wire *wire, uint32_t side, const void *data, size_t size)
{
    struct sim *sim = wire->net->sim;
    const struct net_faults *f = &wire->net->faults;
    const char *bytes = data;
    if (!wire->lost && sim_chance(sim, SIM_NET, f->break_ppm))
        break_wire(wire);
    if (size > 1 && sim_chance(sim, SIM_NET, f->split_ppm)) {
        size_t first = 1 + sim_below(sim, SIM_NET, size - 1);
        sim_count_fault(sim, FAULT_SPLIT);
        put(wire, side, PIECE_DATA, bytes, first);
        bytes += first;
        size -= first;
    }
    put(wire, side, PIECE_DATA, bytes, size);
    wire->side[side].waits = wire_room(wire, side) == 0;
}

void wire_send_end(struct wire *wire, uint32_t side)
{
    if (wire->side[side].said_end)
        return;
    wire->side[side].said_end = true;
    put(wire, side, PIECE_END, NULL, 0);
}

void wire_let_go(struct wire *wire, uint32_t side, bool broken)
{
    struct side *s = &wire->side[side];
    struct sim *sim = wire->net->sim;
    s->conn = NULL;
    sim_stop(sim, &s->room);
    sim_stop(sim, &s->broken);
    if (broken)
        put(wire, side, PIECE_BREAK, NULL, 0);
    else
        wire_send_end(wire, side);
    tidy(wire);
}

static void on_room(void *ctx)
{
    struct side *s = ctx;
    struct wire *wire = s->wire;
    if (!s->conn || !s->computer->up)
        return;
    wire->pins++;
    computer_enter(s->computer);
    net_conn_writable(s->conn);
    computer_leave(s->computer);
    wire->pins--;
    tidy(wire);
}

size_t wire_unread(const struct wire *wire, uint32_t side)
{
    return wire->pipe[side].unread.size - wire->pipe[side].unread_at;
}

size_t wire_read(struct wire *wire, uint32_t side, void *ret_data, size_t cap)
{
    struct pipe *pipe = &wire->pipe[side];
    struct side *writer = &wire->side[!side];
    size_t left = wire_unread(wire, side), size = left < cap ? left : cap;
    if (size == 0)
        return 0;
    memcpy(ret_data, pipe->unread.data + pipe->unread_at, size);
    pipe->unread_at += size;
    if (pipe->unread_at == pipe->unread.size) {
        buf_reset(&pipe->unread);
        pipe->unread_at = 0;
    }
    if (writer->conn && writer->waits && !wire->lost && !writer->room.slot) {
        writer->waits = false;
        sim_after(wire->net->sim, &writer->room, latency_us(wire->net), NULL, on_room, writer);
    }
    return size;
}

bool wire_has_ended(const struct wire *wire, uint32_t side)
{
    return wire->pipe[side].ended && wire_unread(wire, side) == 0;
}

void wire_peer(const struct wire *wire, uint32_t side, char *ret_text, size_t cap)
{
    snprintf(ret_text, cap, "%s:%u", wire->side[!side].computer->name, wire->port[!side]);
}
