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
#include "base/task_log.h"

#define LINE_MAX_BYTES 1600

static const char *const level_names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
static const char *program_name = "";
static enum log_level threshold = LOG_INFO_LEVEL;
static _Thread_local char current_move[48];
static bool to_journal;
static int task_fd = -1; /* of this process' only task, from its parent */

void log_init(const char *program)
{
    program_name = program;
    to_journal = log_is_journal(STDERR_FILENO);
    const char *fd_text = getenv(TASK_LOG_FD_VARIABLE);
    if (fd_text)
        task_fd = (int)strtol(fd_text, NULL, 10);
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

struct line {
    enum log_level level;
    char time_text[CLOCK_TEXT_SIZE];
    const char *text;
    char move[48]; /* "": of none */
};

/* One write, so that lines of several threads do not mix. A log that cannot be written must not stop a move.
 */
static void write_line(int fd, const char *prefix, const struct line *line)
{
    char bytes[LINE_MAX_BYTES + 128];
    int length = snprintf(bytes, sizeof bytes, "%s%s %s %s[%d]%s%s %s\n", prefix, line->time_text,
                          level_names[line->level], program_name, (int)getpid(),
                          line->move[0] ? " move=" : "", line->move, line->text);
    if (length >= (int)sizeof bytes) {
        length = sizeof bytes - 1;
        bytes[length - 1] = '\n';
    }
    ssize_t ignored = write(fd, bytes, (size_t)length);
    (void)ignored;
}

static void write_to_task(const char *task, int fd, void *user)
{
    struct line *line = user;
    (void)snprintf(line->move, sizeof line->move, "%s", task);
    write_line(fd, "", line);
}

static void emit(enum log_level level, const char *text)
{
    /* The journal takes the level from here, as sd-daemon(3) says. */
    static const char *const priorities[] = {"<7>", "<6>", "<4>", "<3>"};
    struct line line = {.level = level, .text = text};
    (void)clock_format(clock_wall_ms(), line.time_text);
    (void)snprintf(line.move, sizeof line.move, "%s", current_move);
    task_logs_each(text, current_move, write_to_task, &line);
    if (task_fd >= 0)
        write_line(task_fd, "", &line);
    write_line(STDERR_FILENO, to_journal ? priorities[level] : "", &line);
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
