/* SPDX-License-Identifier: Apache-2.0 */
/* What a process in a sandbox may still do: tried out, each time in a child that enters it first. */
#ifndef TESTS_JOB_SANDBOX_WALK_H
#define TESTS_JOB_SANDBOX_WALK_H

#include <stddef.h>
#include <sys/types.h>

/* Of the process that tries: for attempts, which cannot ask. */
extern pid_t walk_parent;

/* 0, or -1 and a reason on standard error. */
typedef int (*sandbox_entry)(void);

/* How an attempt ended: WALK_DONE, the error number that it got, or WALK_KILLED by the filter. */
#define WALK_DONE 0
#define WALK_KILLED 1000
#define WALK_BROKEN 2000 /* of something else */

struct walk_attempt {
    const char *what;
    int (*act)(void); /* 0 or an error number */
    int end;
};

/* Prints each and how it ended; how many ended otherwise than they should. */
unsigned walk_attempts(sandbox_entry enter, const struct walk_attempt *attempts, size_t n);
/* Makes every system call that there is, with arguments that mean nothing, and prints which are not answered
 * by death. How many of those are on a list of what no helper may ever call. */
unsigned walk_calls(sandbox_entry enter);
/* walk_attempts of what every helper that tries it is killed for. */
unsigned walk_forbidden(sandbox_entry enter);

/* Attempts whose end depends on the helper. */
int walk_read_a_file(void);
int walk_make_a_file(void);
int walk_tcp_socket(void);
int walk_read_the_clock(void);

#endif
