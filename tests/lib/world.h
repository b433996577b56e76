/* world.h - the modules of the core from account to session over one clock, for tests of nodes, rounds and sessions. */
#ifndef CORTEN_TESTS_WORLD_H
#define CORTEN_TESTS_WORLD_H

#include "core/cognitive.h"
#include "core/session.h"

struct world {
    struct step step;
    struct event_list out;
    struct event event[EVENTS_PER_COMMAND_MAX];
    struct account_book account;
    struct payment payment;
    struct catalog catalog;
    struct reputation reputation;
    struct node_pool pool;
    struct session_book session;
    struct cognitive cognitive;
    struct arena arena;
    uint32_t beats[ORACLES_MAX];  // heartbeats that each oracle has made
    bool mute[ORACLES_MAX];       // makes none while time passes
    uint32_t link;                // the last one given
    uint32_t sweeps;
    bool says_oracle_lives;  // to sessions, though cognitive knows of none
};

/* Routers 0 and 1 live; models "one" and "two" are in the catalog, slots 0 and 1; 16 nodes at most. */
struct world *world_open(void);
/* Another one, with the same tables and nothing in them. */
struct world *world_empty(void);
/* Runs what is due, to the end; then whether all still agrees. Sessions hear of nodes once there is a session. */
void world_settle(struct world *w);
/* So much later, with both routers and the oracles that live heard meanwhile. */
void world_wait(struct world *w, uint64_t ms);
/* As many milliseconds with router 0 silent. */
void world_wait_without(struct world *w, uint64_t ms);

struct address world_node_address(uint32_t n);
struct address world_operator_address(uint32_t n);
/* Node n: registered by operator `operator`, attached to router 0, with model 0. Gives its slot: UNTESTED, waiting. */
uint32_t world_join(struct world *w, uint32_t n, uint32_t operator);
enum verdict world_register(struct world *w, uint32_t n, uint32_t operator, uint64_t stake);
enum verdict world_offer(struct world *w, uint32_t n, uint32_t model, uint64_t price);
enum verdict world_attach(struct world *w, uint32_t n, uint32_t router);
enum verdict world_detach(struct world *w, uint32_t n, uint32_t router);
enum verdict world_leave(struct world *w, uint32_t n);
/* A round of everybody who waits for model 0, which all pass. */
void world_pass_all(struct world *w);
/* world_join, and passed: EPHEMERAL, or in a session that waited for it. */
uint32_t world_admit(struct world *w, uint32_t n, uint32_t operator);
/* Oracle n, slot n: of an operator of its own, with a hash chain of WORLD_CHAIN heartbeats. Quorum as given. */
#define WORLD_CHAIN 400
struct address world_oracle_address(uint32_t n);
void world_oracle(struct world *w, uint32_t n, uint32_t quorum);
enum verdict world_beat(struct world *w, uint32_t n, uint32_t duties);
enum node_state world_state(const struct world *w, uint32_t n);
/* Forgets the events so far; the last of a type, or NULL; how many of a type. */
void world_forget(struct world *w);
const struct event *world_event(const struct world *w, enum event_type type);
uint32_t world_events(const struct world *w, enum event_type type);
/* Writes all rows, reads them into a second world, and compares both roots and what a check says. */
void world_copy_is_equal(struct world *w);

#endif
