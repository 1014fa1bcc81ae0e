/* SPDX-License-Identifier: Apache-2.0 */
/* A door that was taken over by a stranger's first 64 bytes is left with its sockets. */
#include <stdio.h>

#include "door/sandbox.h"
#include "sandbox_walk.h"

static int enter(void)
{
    struct err err;
    if (sandbox_enter(&err) == 0)
        return 0;
    (void)fprintf(stderr, "%s: %s\n", err.message, err.cause);
    return -1;
}

int main(void)
{
    static const struct walk_attempt attempts[] = {
        {"read the clock", walk_read_the_clock, WALK_DONE},
        {"open a file", walk_read_a_file, WALK_KILLED},
        {"make a file", walk_make_a_file, WALK_KILLED},
        {"make a TCP socket", walk_tcp_socket, WALK_KILLED},
    };
    unsigned n_wrong = walk_attempts(enter, attempts, sizeof attempts / sizeof *attempts);
    return n_wrong + walk_forbidden(enter) + walk_calls(enter) ? 1 : 0;
}
