/* core_parts.h - a step, memory and addresses for tests of single modules of the core. */
#ifndef CORTEN_TESTS_CORE_PARTS_H
#define CORTEN_TESTS_CORE_PARTS_H

#include "core/payment.h"

/* A module's surroundings: small tables, core time 0, entry 1, events collected in `out`. */
struct parts {
    struct step step;
    struct event_list out;
    struct event event[EVENTS_PER_COMMAND_MAX];
    struct arena arena;
    struct account_book account;
    struct payment payment;
};

/* A fresh one; account and payment are open, with one admin, and router 0 as the appending router. */
struct parts *parts_open(void);
/* The n-th address of a kind: different for each letter and number, and never zero. */
struct address test_address(char kind, uint32_t n);
struct hash test_hash(char kind, uint32_t n);
/* Credits by a deposit of its own; the account is made where it has to be. Gives its slot. */
uint32_t parts_deposit(struct parts *parts, const struct address *account, uint64_t credits);
/* The last event of that type, or NULL. */
const struct event *parts_event(const struct parts *parts, enum event_type type);

#endif
