/* SPDX-License-Identifier: Apache-2.0 */
#include "base/task_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define OPEN_MAX_FILES 64
#define ID_SIZE 48
#define SUFFIX ".log"
#define DAY_S (24 * 60 * 60)
#define KEEP_FILES 1000
#define KEEP_DAYS 30

struct open_file {
    char task[ID_SIZE]; /* "": this place is free */
    char vm[ID_SIZE];
    int fd;
};

static struct task_log_config settings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of `files` */
static struct open_file files[OPEN_MAX_FILES];

void task_log_config_init(struct task_log_config *config)
{
    const char *folder = getenv("LOGS_DIRECTORY");
    *config = (struct task_log_config){.keep_files = KEEP_FILES, .keep_days = KEEP_DAYS};
    if (folder && folder[0] == '/')
        (void)snprintf(config->folder, sizeof config->folder, "%s/tasks", folder);
}

void task_logs_init(const struct task_log_config *config)
{
    settings = *config;
    if (!settings.folder[0] || mkdir(settings.folder, 0750) == 0 || errno == EEXIST)
        return;
    log_warn("no logs of single tasks: cannot make the folder %s: %s", settings.folder, strerror(errno));
    settings.folder[0] = '\0';
}

/* ---- rotation ---- */
struct old_file {
    char *path;
    time_t written_s;
};

static int newest_first(const void *left, const void *right)
{
    const struct old_file *a = left;
    const struct old_file *b = right;
    return (a->written_s < b->written_s) - (a->written_s > b->written_s);
}

static bool is_open(const char *name)
{
    for (unsigned i = 0; i < OPEN_MAX_FILES; i++)
        if (files[i].task[0] && !strncmp(name, files[i].task, strlen(files[i].task)))
            return true;
    return false;
}

/* Adds the log that `name` is to the list, if it is one of a task that is over. */
static void note(const char *name, struct old_file **list, size_t *n)
{
    char path[1024];
    struct stat its;
    size_t length = strlen(name);
    if (length < sizeof SUFFIX || strcmp(name + length - strlen(SUFFIX), SUFFIX) != 0 || is_open(name))
        return;
    int needed = snprintf(path, sizeof path, "%s/%s", settings.folder, name);
    if (needed < 0 || (size_t)needed >= sizeof path || lstat(path, &its) < 0 || !S_ISREG(its.st_mode))
        return;
    struct old_file *longer = realloc(*list, (*n + 1) * sizeof **list);
    if (!longer)
        return;
    *list = longer;
    longer[*n] = (struct old_file){strdup(path), its.st_mtime};
    if (longer[*n].path)
        (*n)++;
}

static void prune(void)
{
    DIR *folder = opendir(settings.folder);
    struct old_file *list = NULL;
    size_t n = 0;
    if (!folder)
        return;
    for (const struct dirent *entry; (entry = readdir(folder));)
        note(entry->d_name, &list, &n);
    (void)closedir(folder);
    if (n)
        qsort(list, n, sizeof *list, newest_first);
    time_t oldest_s = (time_t)(clock_wall_ms() / 1000) - (time_t)settings.keep_days * DAY_S;
    for (size_t i = 0; i < n; i++) {
        if ((i >= settings.keep_files || list[i].written_s < oldest_s) && unlink(list[i].path) < 0)
            log_warn("cannot remove the old log %s: %s", list[i].path, strerror(errno));
        free(list[i].path);
    }
    free(list);
}

/* ---- open files ---- */
static struct open_file *find(const char *task)
{
    for (unsigned i = 0; i < OPEN_MAX_FILES; i++)
        if (!strcmp(files[i].task, task))
            return &files[i];
    return NULL;
}

void task_log_open(const char *task, const char *vm, const char *side)
{
    char path[1024];
    if (!settings.folder[0] || !task[0] || find(task))
        return;
    int needed = snprintf(path, sizeof path, "%s/%s.%s" SUFFIX, settings.folder, task, side);
    if (needed < 0 || (size_t)needed >= sizeof path)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    struct open_file *file = find("");
    if (fd < 0 || !file) {
        log_warn("task %s has no log of its own: %s: %s", task, path,
                 fd < 0 ? strerror(errno) : "too many are open");
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    (void)pthread_mutex_lock(&lock);
    (void)snprintf(file->task, sizeof file->task, "%s", task);
    (void)snprintf(file->vm, sizeof file->vm, "%s", vm);
    file->fd = fd;
    (void)pthread_mutex_unlock(&lock);
    prune();
}

void task_log_close(const char *task)
{
    struct open_file *file = task[0] ? find(task) : NULL;
    if (!file)
        return;
    (void)pthread_mutex_lock(&lock);
    file->task[0] = '\0';
    (void)close(file->fd);
    (void)pthread_mutex_unlock(&lock);
}

int task_log_fd(const char *task)
{
    const struct open_file *file = task[0] ? find(task) : NULL;
    return file ? file->fd : -1;
}

void task_logs_each(const char *text, const char *move,
                    void (*write_line)(const char *task, int fd, void *user), void *user)
{
    (void)pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < OPEN_MAX_FILES; i++) {
        const struct open_file *file = &files[i];
        if (file->task[0] && (!strcmp(file->task, move) || strstr(text, file->task) ||
                              (file->vm[0] && strstr(text, file->vm))))
            write_line(file->task, file->fd, user);
    }
    (void)pthread_mutex_unlock(&lock);
}
