/* SPDX-License-Identifier: Apache-2.0 */
/* One process, as /proc has it. Internal to this folder. */
#ifndef DOCTOR_PROCESS_H
#define DOCTOR_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* 'R', 'S', 'D', 'T' … of /proc/PID/stat; 0: there is no such process. */
char process_state(pid_t pid);
/* When it began, seconds of the wall clock; 0: there is no such process. */
int64_t process_started_s(pid_t pid);
/* It belongs to that unit of systemd. */
bool process_is_of_unit(pid_t pid, const char *unit);
/* "active (running)", or why it is not: what systemd says of a unit; g_free. NULL: there is no systemd, or no
 * such unit. */
char *process_unit_state(const char *unit);
/* Who listens at a unix socket: the kernel knows, however much it hangs. 0: nobody. */
pid_t process_listening_at(const char *path);

#endif
