/* SPDX-License-Identifier: Apache-2.0 */
/* The tickets that jobs wait for. Single thread. */
#ifndef DOOR_TICKETS_H
#define DOOR_TICKETS_H

#include <stdint.h>

#include "base/err.h"
#include "ctl/ctl.h"

#define TICKETS_MAX 64

struct tickets {
    struct ticket {
        uint8_t secret[CTL_SECRET_SIZE];
        int job; /* owned; -1: free */
    } all[TICKETS_MAX];
};

void tickets_init(struct tickets *tickets);
/* Takes over `job` also on failure. A ticket that is known goes to the new job from now on. */
int tickets_expect(struct tickets *tickets, const uint8_t secret[CTL_SECRET_SIZE], int job, struct err *err);
void tickets_forget(struct tickets *tickets, const uint8_t secret[CTL_SECRET_SIZE]);
/* NULL if nobody waits for it. Takes the same time whatever the ticket is. */
struct ticket *tickets_find(struct tickets *tickets, const uint8_t secret[CTL_SECRET_SIZE]);
/* Closes the way to the job and wipes the secret. */
void ticket_clear(struct ticket *ticket);
void tickets_clear(struct tickets *tickets);

#endif
