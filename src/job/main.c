/* SPDX-License-Identifier: Apache-2.0 */
/* godwit-job --control FD --beat FD | --probe */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "job/job.h"

enum { EXIT_USAGE = 2 };

/* A descriptor's number, or -1. */
static int number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    return end == text || *end || value < 0 || value > 65535 ? -1 : (int)value;
}

int main(int argc, char **argv)
{
    static const struct job_hooks none;
    log_init("godwit-job");
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc == 2 && !strcmp(argv[1], "--probe"))
        return job_probe();
    bool has_form = argc == 5 && !strcmp(argv[1], "--control") && !strcmp(argv[3], "--beat");
    int control = has_form ? number(argv[2]) : -1;
    int beat = has_form ? number(argv[4]) : -1;
    if (control < 0 || beat < 0) {
        (void)fprintf(stderr, "usage: godwit-job --control FD --beat FD | --probe\n");
        return EXIT_USAGE;
    }
    return job_run(control, beat, &none);
}
