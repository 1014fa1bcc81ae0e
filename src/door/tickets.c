/* SPDX-License-Identifier: Apache-2.0 */
#include "door/tickets.h"

#include <string.h>
#include <unistd.h>

void tickets_init(struct tickets *tickets)
{
    memset(tickets, 0, sizeof *tickets);
    for (unsigned i = 0; i < TICKETS_MAX; i++)
        tickets->all[i].job = -1;
}

void ticket_clear(struct ticket *ticket)
{
    if (ticket->job >= 0)
        (void)close(ticket->job);
    ticket->job = -1;
    explicit_bzero(ticket->secret, sizeof ticket->secret);
}

void tickets_clear(struct tickets *tickets)
{
    for (unsigned i = 0; i < TICKETS_MAX; i++)
        ticket_clear(&tickets->all[i]);
}

/* 1 if equal, else 0, without a branch on the bytes. */
static unsigned equal_secret(const uint8_t *a, const uint8_t *b)
{
    volatile uint8_t difference = 0;
    for (unsigned i = 0; i < CTL_SECRET_SIZE; i++)
        difference = (uint8_t)(difference | (a[i] ^ b[i]));
    return difference == 0;
}

struct ticket *tickets_find(struct tickets *tickets, const uint8_t secret[CTL_SECRET_SIZE])
{
    struct ticket *found = NULL;
    for (unsigned i = 0; i < TICKETS_MAX; i++) {
        struct ticket *at = &tickets->all[i];
        if (equal_secret(at->secret, secret) & (at->job >= 0))
            found = at;
    }
    return found;
}

int tickets_expect(struct tickets *tickets, const uint8_t secret[CTL_SECRET_SIZE], int job, struct err *err)
{
    struct ticket *ticket = tickets_find(tickets, secret);
    for (unsigned i = 0; !ticket && i < TICKETS_MAX; i++)
        if (tickets->all[i].job < 0)
            ticket = &tickets->all[i];
    if (!ticket) {
        (void)close(job);
        return err_set(err, ERR_REFUSED, "door-tickets-full", "the door waits for %d tickets already",
                       TICKETS_MAX);
    }
    ticket_clear(ticket);
    memcpy(ticket->secret, secret, CTL_SECRET_SIZE);
    ticket->job = job;
    return 0;
}

void tickets_forget(struct tickets *tickets, const uint8_t secret[CTL_SECRET_SIZE])
{
    struct ticket *ticket = tickets_find(tickets, secret);
    if (ticket)
        ticket_clear(ticket);
}
