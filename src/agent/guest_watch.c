/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/guest_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/thread.h"

struct guest_watch {
    pid_t qemu;
    int qemu_pidfd;
    int job_pidfd;
    int stop_fd;
    GHashTable *waiting; /* by number, the threads that waited at the last look; the watching thread's */
    unsigned held_ms;    /* atomic */
    struct thread thread;
};

/* One that waits for a page. */
struct waiter {
    unsigned long long n_switches;
    unsigned n_looks; /* in a row without one */
    bool is_seen;     /* at this look */
};

static char *read_of_thread(const struct guest_watch *watch, const char *thread, const char *file)
{
    char *text = NULL;
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%s/%s", (int)watch->qemu, thread, file);
    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

/* How often it went to sleep by itself: once more whenever it was let go and waits again. */
static bool count_switches(const struct guest_watch *watch, const char *thread, unsigned long long *ret)
{
    static const char name[] = "\nvoluntary_ctxt_switches:";
    g_autofree char *status = read_of_thread(watch, thread, "status");
    const char *at = status ? strstr(status, name) : NULL;
    return at && sscanf(at + sizeof name - 1, "%llu", ret) == 1;
}

/* For how many looks in a row that thread has waited for the same page. */
static unsigned look_at(struct guest_watch *watch, const char *thread)
{
    gpointer number = GINT_TO_POINTER((int)g_ascii_strtoll(thread, NULL, 10));
    unsigned long long n_switches;
    g_autofree char *where = read_of_thread(watch, thread, "wchan");
    if (!where || strcmp(where, "handle_userfault") != 0 || !count_switches(watch, thread, &n_switches))
        return 0;
    struct waiter *waiter = g_hash_table_lookup(watch->waiting, number);
    if (!waiter) {
        waiter = g_new0(struct waiter, 1);
        (void)g_hash_table_insert(watch->waiting, number, waiter);
    }
    waiter->n_looks = waiter->n_switches == n_switches ? waiter->n_looks + 1 : 1;
    waiter->n_switches = n_switches;
    waiter->is_seen = true;
    return waiter->n_looks;
}

static gboolean has_gone_on(gpointer number, gpointer value, gpointer user)
{
    struct waiter *waiter = value;
    bool was_seen = waiter->is_seen;
    (void)number;
    (void)user;
    waiter->is_seen = false;
    return !was_seen;
}

static unsigned longest_wait(struct guest_watch *watch)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", (int)watch->qemu);
    g_autoptr(GDir) threads = g_dir_open(path, 0, NULL);
    const char *thread;
    unsigned longest = 0;
    while (threads && (thread = g_dir_read_name(threads)))
        longest = MAX(longest, look_at(watch, thread));
    (void)g_hash_table_foreach_remove(watch->waiting, has_gone_on, NULL);
    return longest;
}

static void *watch_guest(void *argument)
{
    struct guest_watch *watch = argument;
    struct pollfd ends[] = {{.fd = watch->stop_fd, .events = POLLIN},
                            {.fd = watch->job_pidfd, .events = POLLIN},
                            {.fd = watch->qemu_pidfd, .events = POLLIN}};
    int ready;
    while ((ready = poll(ends, G_N_ELEMENTS(ends), GUEST_WATCH_INTERVAL_MS)) <= 0) {
        if (ready < 0 || longest_wait(watch) < GUEST_WATCH_PATIENT)
            continue;
        __atomic_store_n(&watch->held_ms, GUEST_WATCH_PATIENT * GUEST_WATCH_INTERVAL_MS, __ATOMIC_RELEASE);
        (void)syscall(SYS_pidfd_send_signal, watch->job_pidfd, SIGKILL, NULL, 0);
        break;
    }
    return NULL;
}

/* The pidfd stays good for that process only, and so does its number while the pidfd shows no end. */
static int pid_behind(int pidfd, pid_t *ret_pid, struct err *err)
{
    int pid = -1;
    g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", pidfd), *text = NULL;
    if (g_file_get_contents(path, &text, NULL, NULL)) {
        const char *at = strstr(text, "\nPid:");
        if (!at || sscanf(at, "\nPid: %d", &pid) != 1)
            pid = -1;
    }
    if (pid <= 0)
        return err_set(err, ERR_PEER_LOST, "qemu-died", "the VM's QEMU process ended");
    *ret_pid = pid;
    return 0;
}

static int prepare(struct guest_watch *watch, int qemu_pidfd, int job_pidfd, struct err *err)
{
    watch->qemu_pidfd = fcntl(qemu_pidfd, F_DUPFD_CLOEXEC, 0);
    watch->job_pidfd = fcntl(job_pidfd, F_DUPFD_CLOEXEC, 0);
    watch->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch->qemu_pidfd < 0 || watch->job_pidfd < 0 || watch->stop_fd < 0)
        return err_sys(err, errno, "watch-failed", "cannot watch what the migration job does to the guest");
    if (pid_behind(watch->qemu_pidfd, &watch->qemu, err) < 0)
        return -1;
    return thread_start(&watch->thread, "guest-watch", watch_guest, watch, err);
}

int guest_watch_start(int qemu_pidfd, int job_pidfd, struct guest_watch **ret_watch, struct err *err)
{
    struct guest_watch *watch = g_new0(struct guest_watch, 1);
    watch->waiting = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    if (prepare(watch, qemu_pidfd, job_pidfd, err) < 0) {
        guest_watch_free(watch);
        return -1;
    }
    *ret_watch = watch;
    return 0;
}

unsigned guest_watch_held_ms(const struct guest_watch *watch)
{
    return watch ? __atomic_load_n(&watch->held_ms, __ATOMIC_ACQUIRE) : 0;
}

void guest_watch_free(struct guest_watch *watch)
{
    if (!watch)
        return;
    if (watch->thread.started)
        (void)eventfd_write(watch->stop_fd, 1);
    thread_join(&watch->thread);
    g_hash_table_unref(watch->waiting);
    cleanup_fd(&watch->qemu_pidfd);
    cleanup_fd(&watch->job_pidfd);
    cleanup_fd(&watch->stop_fd);
    g_free(watch);
}
