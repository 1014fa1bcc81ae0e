/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory this process has needed. Guest RAM is not in it: a job never maps it. */
#ifndef JOB_MEMORY_H
#define JOB_MEMORY_H

#include <stdint.h>

/* A descriptor for memory_peak_bytes, opened while files still can be; -1: there is none. */
int memory_open(void);
/* The most that was resident at any time, in bytes; 0: nobody knows. */
uint64_t memory_peak_bytes(int fd);

#endif
