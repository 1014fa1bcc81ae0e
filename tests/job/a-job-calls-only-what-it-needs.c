/* SPDX-License-Identifier: Apache-2.0 */
/* A job that was taken over by what it read from the network is left with little: tried in the sandbox of the
 * source's job and of the destination's. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job/sandbox.h"
#include "sandbox_walk.h"

static int enter(bool connects)
{
    const struct sandbox_needs needs = {.qemu_pid = (int)getppid(), .connects = connects};
    struct err err;
    if (sandbox_enter(&needs, &err) == 0)
        return 0;
    (void)fprintf(stderr, "%s: %s\n", err.message, err.cause);
    return -1;
}

static int enter_as_source(void)
{
    return enter(true);
}

static int enter_as_destination(void)
{
    return enter(false);
}

static int end_a_thread_of_qemu(void)
{
    return syscall(SYS_tgkill, walk_parent, walk_parent, SIGTERM) < 0 ? errno : 0;
}

static int let_a_descriptor_signal_another(void)
{
    return fcntl(STDIN_FILENO, F_SETOWN, walk_parent) < 0 ? errno : 0;
}

static unsigned try(sandbox_entry as, bool connects)
{
    const struct walk_attempt attempts[] = {
        {"read the clock", walk_read_the_clock, WALK_DONE},
        {"open a file", walk_read_a_file, EACCES},
        {"make a file", walk_make_a_file, EACCES},
        {"end a thread of QEMU", end_a_thread_of_qemu, WALK_KILLED},
        {"let a descriptor signal another process", let_a_descriptor_signal_another, WALK_KILLED},
        {"make a TCP socket", walk_tcp_socket, connects ? WALK_DONE : WALK_KILLED},
    };
    (void)printf("---- the %s's job\n", connects ? "source" : "destination");
    return walk_attempts(as, attempts, sizeof attempts / sizeof *attempts) + walk_forbidden(as) +
           walk_calls(as);
}

int main(void)
{
    unsigned n_wrong = try(enter_as_source, true);
    return n_wrong + try(enter_as_destination, false) ? 1 : 0;
}
