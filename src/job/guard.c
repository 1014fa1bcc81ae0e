/* SPDX-License-Identifier: Apache-2.0 */
/*
 * godwit-guard PAGE_FD PIDFD: watches the heartbeat of one job until that has ended, and ends it when it
 * falls silent (ctl/beat.h). A process of its own, because it has to do so while the agent is stopped. It
 * holds nothing but the page and the pidfd, least of all a userfaultfd.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "ctl/beat.h"

enum { EXIT_USAGE = 2 };

/* A descriptor's number, or -1. */
static int number(const char *text)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno || end == text || *end || value < 0 || value > INT_MAX ? -1 : (int)value;
}

int main(int argc, char **argv)
{
    struct beat *beat;
    struct err err;
    log_init("godwit-guard");
    int page = argc == 3 ? number(argv[1]) : -1;
    int pidfd = argc == 3 ? number(argv[2]) : -1;
    if (page < 0 || pidfd < 0) {
        (void)fprintf(stderr, "usage: godwit-guard PAGE_FD PIDFD\n");
        return EXIT_USAGE;
    }
    if (beat_map(page, &beat, &err) < 0) {
        log_error(&err, "guard");
        return EXIT_FAILURE;
    }
    if (beat_watch(beat, pidfd, -1) == BEAT_PROCESS_KILLED)
        log_info("the job was silent for %u ms and was ended", beat_silence_ms(beat));
    return EXIT_SUCCESS;
}
