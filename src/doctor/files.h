/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of /proc and /sys. Internal to this folder. */
#ifndef DOCTOR_FILES_H
#define DOCTOR_FILES_H

#include <stdbool.h>
#include <stdint.h>

/* The text without white space at its end; g_free. NULL: it cannot be read. */
char *files_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A whole number; `fallback` if there is none. */
uint64_t files_number(const char *path, uint64_t fallback);

#endif
