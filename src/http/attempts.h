/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to http/: from where wrong tokens came of late. Who has shown too many waits, with a right one too:
 * else the wait would not slow down guessing. Single thread.
 */
#ifndef HTTP_ATTEMPTS_H
#define HTTP_ATTEMPTS_H

#include "http/place.h"

#define ATTEMPTS_MAX 20
#define ATTEMPTS_WINDOW_S 60
#define ATTEMPTS_PLACES_MAX 256

struct attempts {
    struct attempts_place {
        uint8_t address[PLACE_SIZE];
        unsigned n;        /* within the window; 0: free */
        uint64_t since_ns; /* the window's beginning */
    } places[ATTEMPTS_PLACES_MAX];
};

/* Seconds, rounded up, until somebody at this address is heard again; 0: now. Only addresses of a network
 * ever wait; `from` may be NULL. */
unsigned attempts_wait_s(const struct attempts *attempts, GSocketAddress *from, uint64_t now_ns);
/* A wrong token came from there. True: with this one the wait begins. */
bool attempts_note(struct attempts *attempts, GSocketAddress *from, uint64_t now_ns);

#endif
