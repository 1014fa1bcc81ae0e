/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structured log lines on standard error (the service manager or the parent puts them where they belong),
 * with the journal's priorities where that is the journal, and in the files of base/task_log.h:
 *   2026-11-23T00:16:30.123Z INFO godwit-agent[412] move=4f.. text
 * INFO: one line per phase change; DEBUG: per round; nothing per page. Thread: any.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

struct err;

enum log_level { LOG_DEBUG_LEVEL, LOG_INFO_LEVEL, LOG_WARN_LEVEL, LOG_ERROR_LEVEL };

/* Once, in main. `program` must outlive the process. The level comes from the environment variable LOG_LEVEL
 * (debug, info, warn, error). */
void log_init(const char *program);
/* True if what is written to `fd` goes to systemd's journal. */
bool log_is_journal(int fd);
/* Names the move this process (job) or thread works for; shown as move=ID in every later line of the thread.
 * "" clears it. */
void log_set_move(const char *move_id);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One line with everything the error knows. */
void log_error(const struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_write(LOG_DEBUG_LEVEL, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO_LEVEL, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN_LEVEL, __VA_ARGS__)

#endif
