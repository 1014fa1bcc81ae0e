/* SPDX-License-Identifier: Apache-2.0 */
/* The job, with one bit of the received memory flipped before checksums are compared. Never installed. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "job/job.h"

static void flip(int ram_fd, void *user)
{
    (void)user;
    uint8_t byte = 0;
    off_t place = 3 * 4096 + 17;
    if (pread(ram_fd, &byte, 1, place) != 1)
        abort();
    byte ^= 4;
    if (pwrite(ram_fd, &byte, 1, place) != 1)
        abort();
}

int main(int argc, char **argv)
{
    const struct job_hooks hooks = {.before_verify = flip};
    log_init("job-flips-a-bit");
    (void)signal(SIGPIPE, SIG_IGN);
    return argc == 5 ? job_run(atoi(argv[2]), atoi(argv[4]), &hooks) : 2;
}
