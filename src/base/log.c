/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

#define LINE_MAX_BYTES 1600

static const char *const level_names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
static const char *program_name = "";
static enum log_level threshold = LOG_INFO_LEVEL;
static _Thread_local char current_move[48];

void log_init(const char *program)
{
    program_name = program;
    const char *wanted = getenv("LOG_LEVEL");
    if (!wanted)
        return;
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (unsigned i = 0; i < 4; i++)
        if (!strcmp(wanted, names[i]))
            threshold = (enum log_level)i;
}

bool log_is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long device;
    unsigned long inode;
    struct stat its;
    return stream && sscanf(stream, "%lu:%lu", &device, &inode) == 2 && fstat(fd, &its) == 0 &&
           its.st_dev == device && its.st_ino == inode;
}

void log_set_move(const char *move_id)
{
    (void)snprintf(current_move, sizeof current_move, "%s", move_id);
}

static void emit(enum log_level level, const char *text)
{
    char time_text[CLOCK_TEXT_SIZE];
    char line[LINE_MAX_BYTES + 128];
    int length = snprintf(line, sizeof line, "%s %s %s[%d]%s%s %s\n",
                          clock_format(clock_wall_ms(), time_text), level_names[level], program_name,
                          (int)getpid(), current_move[0] ? " move=" : "", current_move, text);
    if (length >= (int)sizeof line) {
        length = sizeof line - 1;
        line[length - 1] = '\n';
    }
    /* One write, so that lines of several threads do not mix. A log that cannot be written must not stop a
     * move. */
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)length);
    (void)ignored;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level < threshold)
        return;
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    emit(level, text);
}

void log_error(const struct err *err, const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof text)
        (void)snprintf(text + used, sizeof text - (size_t)used, ": %s [%s %s]%s%s%s%s", err->message,
                       err_code_name(err->code), err->id, err->cause[0] ? "; cause: " : "", err->cause,
                       err->fix[0] ? "; fix: " : "", err->fix);
    emit(LOG_ERROR_LEVEL, text);
}
