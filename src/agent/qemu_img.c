/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/qemu_img.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/spawn.h"
#include "agent/vm_process.h"
#include "base/cleanup.h"

#define WORDS_MAX 256
/* "    (12.34/100%)" and a return, at most so often as there are percents. */
#define OUTPUT_MAX 8192
#define CHILD_NICE 5

struct qemu_img_child {
    struct agent *agent;
    char image[MODEL_PATH_MAX];
    char *folder, *log_path;
    unsigned limit_s;
    bool is_late;
    int pidfd;
    guint timer;
    void (*done)(const struct err *err, void *user);
    void *user;
};

/* The folder stays if the VM has something in it. */
static void child_free(struct qemu_img_child *child)
{
    (void)unlink(child->log_path);
    (void)rmdir(child->folder);
    g_free(child->log_path);
    g_free(child->folder);
    g_free(child);
}

/* What it wrote, but for the progress that it overwrites itself; g_free. */
static char *output_of(const struct qemu_img_child *child, bool wants_progress)
{
    char text[OUTPUT_MAX + 1];
    auto_fd fd = open(child->log_path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : pread(fd, text, OUTPUT_MAX, 0);
    text[got > 0 ? got : 0] = '\0';
    char *last = strrchr(text, '\r');
    if (!wants_progress)
        return g_strdup(last ? last + 1 : text);
    if (!last)
        return g_strdup("");
    *last = '\0';
    char *begin = strrchr(text, '(');
    return g_strdup(begin ? begin + 1 : "");
}

/* In one line; g_free. */
static char *last_words(const struct qemu_img_child *child)
{
    g_autofree char *text = output_of(child, false);
    if (strlen(text) > WORDS_MAX)
        text[WORDS_MAX] = '\0';
    char *valid = g_utf8_make_valid(text, -1);
    (void)g_strstrip(valid);
    return g_strdelimit(valid, "\r\n", ' ');
}

double qemu_img_share(const struct qemu_img_child *child)
{
    g_autofree char *text = output_of(child, true);
    return CLAMP(g_ascii_strtod(text, NULL) / 100, 0.0, 1.0);
}

static void say_late(const struct qemu_img_child *child, struct err *err)
{
    const char *host = child->agent->config.name;
    (void)err_set(err, ERR_TIMEOUT, "disk-image-late",
                  "qemu-img was not done with %s on host '%s' after %u s", child->image, host,
                  child->limit_s);
    (void)err_arg(err, "path", "%s", child->image);
    (void)err_arg(err, "host", "%s", host);
    (void)err_arg(err, "waited_s", "%u", child->limit_s);
    (void)err_fix(err, "see that the storage works and is not overloaded");
}

static void say_failed(const struct qemu_img_child *child, struct err *err)
{
    const char *host = child->agent->config.name;
    g_autofree char *words = last_words(child);
    (void)err_set(err, ERR_INTERNAL, "disk-image-failed", "qemu-img failed with %s on host '%s'",
                  child->image, host);
    (void)err_arg(err, "path", "%s", child->image);
    (void)err_arg(err, "host", "%s", host);
    (void)err_cause(err, "%s", words[0] ? words : "it said nothing");
    (void)err_fix(err, "see that the folder is there, may be written by the QEMU user (uid %u), and has room",
                  child->agent->config.qemu_user.uid);
}

static void on_exit_of_child(pid_t pid, int status, void *user)
{
    struct qemu_img_child *child = user;
    struct err err = {0};
    (void)pid;
    if (status != 0 && child->is_late)
        say_late(child, &err);
    else if (status != 0)
        say_failed(child, &err);
    if (child->timer)
        (void)g_source_remove(child->timer);
    (void)close(child->pidfd);
    void (*done)(const struct err *err, void *user) = child->done;
    void *caller = child->user;
    /* Before whoever is told calls again. */
    child_free(child);
    done(&err, caller);
}

void qemu_img_kill(struct qemu_img_child *child)
{
    (void)syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
}

static gboolean on_limit(gpointer user)
{
    struct qemu_img_child *child = user;
    child->timer = 0;
    child->is_late = true;
    qemu_img_kill(child);
    return G_SOURCE_REMOVE;
}

/* The one that belongs to the QEMU in use, where there is one. */
static const char *program(const struct agent *agent, char ret_path[MODEL_PATH_MAX])
{
    g_autofree char *folder = g_path_get_dirname(agent->config.qemu_path);
    g_autofree char *beside = g_build_filename(folder, "qemu-img", NULL);
    (void)g_strlcpy(ret_path, access(beside, X_OK) == 0 ? beside : "/usr/bin/qemu-img", MODEL_PATH_MAX);
    return ret_path;
}

static int start(struct qemu_img_child *child, const char *const *argv, struct err *err)
{
    char path[MODEL_PATH_MAX];
    pid_t pid;
    const struct spawn_request request = {.program = program(child->agent, path),
                                          .argv = argv,
                                          .user = child->agent->config.qemu_user,
                                          .nice = CHILD_NICE,
                                          .log_path = child->log_path};
    if (g_mkdir_with_parents(child->folder, 0700) < 0) {
        (void)err_sys(err, errno, "folder-failed", "cannot make the folder %s", child->folder);
        return err_arg(err, "path", "%s", child->folder);
    }
    (void)unlink(child->log_path);
    if (spawn(&request, &pid, &child->pidfd, on_exit_of_child, child, err) < 0)
        return -1;
    child->timer = g_timeout_add_seconds(child->limit_s, on_limit, child);
    return 0;
}

int qemu_img_start(const struct qemu_img *call, void (*done)(const struct err *err, void *user), void *user,
                   struct qemu_img_child **ret_child, struct err *err)
{
    struct qemu_img_child *child = g_new0(struct qemu_img_child, 1);
    child->agent = call->agent;
    child->limit_s = call->limit_s;
    child->done = done;
    child->user = user;
    g_strlcpy(child->image, call->image, sizeof child->image);
    child->folder = g_strdup_printf("%s/vms/%s", call->agent->config.run_dir, call->uuid);
    child->log_path = g_build_filename(child->folder, VM_IMAGE_LOG, NULL);
    if (start(child, call->argv, err) < 0) {
        child_free(child);
        return -1;
    }
    *ret_child = child;
    return 0;
}

int qemu_img_run(const struct qemu_img *call, void (*done)(const struct err *err, void *user), void *user,
                 struct err *err)
{
    struct qemu_img_child *child;
    return qemu_img_start(call, done, user, &child, err);
}
