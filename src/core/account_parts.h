/* account_parts.h - what account.c, account_authority.c and account_key.c share; nobody else includes it. */
#ifndef CORTEN_CORE_ACCOUNT_PARTS_H
#define CORTEN_CORE_ACCOUNT_PARTS_H

#include "core/account.h"

/* (account, router) at the head of struct delegation. */
#define DELEGATION_NAME_SIZE (2 * sizeof(uint32_t))

const struct account *account_row(const struct account_book *book, uint32_t account);
/* Adds the event account_changed. */
void account_tell(struct account_book *book, uint32_t account);
void account_key_tables(struct account_book *book, struct rows *rows);
void account_key_check(const struct account_book *book);
/* The delegation of that wallet to that router that has not expired, or SLOT_NONE. */
uint32_t delegation_find(const struct account_book *book, uint32_t account, uint32_t router);

#endif
