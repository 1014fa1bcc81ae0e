/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for the serial port. Sending a byte costs a vCPU tens of microseconds, so a line goes out a byte at a
 * time. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Append to the line being built; text that does not fit is dropped, never the end of line. */
void report_text(const char *text);
void report_word(const char *text); /* up to the next blank */
void report_field(const char *name, uint64_t value);
void report_hex(const char *name, uint64_t value);
void report_end(void);

bool report_pending(void);
/* Sends at most one byte. */
void report_pump(void);
/* Sends all, waiting for the port. */
void report_flush(void);
