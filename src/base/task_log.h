/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file for each task and side, FOLDER/TASK.SIDE.log, beside the program's own log: what base/log.h writes
 * about a task goes to its file too. A line is about a task if it names the task's id or the id of its VM, or
 * comes from a thread that works for it (log_set_move). Lines that several tasks own go to each. What cannot
 * be written is left out: a log must not stop a move. Thread: opening and closing, one; lines, any.
 */
#ifndef BASE_TASK_LOG_H
#define BASE_TASK_LOG_H

#include <stddef.h>

struct task_log_config {
    char folder[512];    /* made if it is not there; "": no files */
    unsigned keep_files; /* of those whose task is over the newest stay */
    unsigned keep_days;  /* and none stays longer */
};

/* Environment of a child: the number of its descriptor for its own task's file, see log_init. */
#define TASK_LOG_FD_VARIABLE "LOG_TASK_FD"

/* Defaults: $LOGS_DIRECTORY/tasks, which systemd sets for LogsDirectory=, else no files; 1000 files, 30 days.
 */
void task_log_config_init(struct task_log_config *config);
/* Once. Without it there are no files. `config` is copied. */
void task_logs_init(const struct task_log_config *config);
/* Opens the file, appending, and removes files that are too many or too old. Open already: nothing. */
void task_log_open(const char *task, const char *vm, const char *side);
void task_log_close(const char *task);
/* Borrowed, for a child; -1 if there is none. */
int task_log_fd(const char *task);

/* For log.c. Calls `write_line` for each task that a text is about. */
void task_logs_each(const char *text, const char *move,
                    void (*write_line)(const char *task, int fd, void *user), void *user);

#endif
