/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"
#include "machine.h"

static char line[1024];
static unsigned n_filled, n_sent;

static void append(char c)
{
    if (n_filled < sizeof line - 1)
        line[n_filled++] = c;
}

void report_text(const char *text)
{
    while (*text)
        append(*text++);
}

void report_word(const char *text)
{
    while (*text && *text != ' ')
        append(*text++);
}

void report_field(const char *name, uint64_t value)
{
    char digits[20];
    unsigned n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    append(' ');
    report_text(name);
    append('=');
    while (n)
        append(digits[--n]);
}

void report_hex(const char *name, uint64_t value)
{
    append(' ');
    report_text(name);
    report_text("=0x");
    for (int shift = 60; shift >= 0; shift -= 4)
        append("0123456789abcdef"[value >> shift & 15]);
}

void report_end(void)
{
    if (n_filled == sizeof line)
        n_filled--;
    line[n_filled++] = '\n';
}

bool report_pending(void)
{
    return n_sent < n_filled;
}

void report_pump(void)
{
    if (!report_pending() || !machine_serial_put(line[n_sent]))
        return;
    if (++n_sent == n_filled)
        n_sent = n_filled = 0;
}

void report_flush(void)
{
    while (report_pending())
        report_pump();
}
