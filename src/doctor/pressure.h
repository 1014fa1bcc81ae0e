/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's pressure stall information. Pure. Internal to this folder. */
#ifndef DOCTOR_PRESSURE_H
#define DOCTOR_PRESSURE_H

/* Share of the last minute in which some, or all, that wanted to run waited, in percent. */
struct pressure {
    double some, full; /* `full` is 0 where the kernel does not say */
};

/* Text of a file of /proc/pressure. -1: it is none. */
int pressure_parse(const char *text, struct pressure *ret_pressure);

#endif
