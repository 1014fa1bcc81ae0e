/* SPDX-License-Identifier: Apache-2.0 */
/* godwit-job --control FD | --probe */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "job/job.h"

enum { EXIT_USAGE = 2 };

int main(int argc, char **argv)
{
    static const struct job_hooks none;
    log_init("godwit-job");
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc == 2 && !strcmp(argv[1], "--probe"))
        return job_probe();
    char *end = NULL;
    long control = argc == 3 && !strcmp(argv[1], "--control") ? strtol(argv[2], &end, 10) : -1;
    if (!end || end == argv[2] || *end || control < 0 || control > 65535) {
        (void)fprintf(stderr, "usage: godwit-job --control FD | --probe\n");
        return EXIT_USAGE;
    }
    return job_run((int)control, &none);
}
