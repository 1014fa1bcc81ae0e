/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lab's service manager. DIR/services/NAME.service says what runs where; the supervisor starts each,
 * restarts what died, and ends what was switched off. It is one process, single thread, and looks
 * again on SIGHUP and when a child ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "cli/lab.h"

#define STOP_DEADLINE_MS 5000
#define RESTART_DELAY_MS 200

struct service {
    char *name;
    char **argv;
    char *log;
    pid_t pid; /* 0: not running */
    bool wanted;
    uint64_t not_before_ns;
};

static void service_free(gpointer data)
{
    struct service *service = data;
    g_free(service->name);
    g_strfreev(service->argv);
    g_free(service->log);
    g_free(service);
}

static char *service_path(const struct lab *lab, const char *service)
{
    return lab_path(lab, "services/%s.service", service);
}

static int wake_supervisor(const struct lab *lab)
{
    pid_t pid = lab_supervisor_pid(lab);
    return pid ? kill(pid, SIGHUP) : 0;
}

static int save_key_file(GKeyFile *file, const char *path, struct err *err)
{
    g_autofree char *text = g_key_file_to_data(file, NULL, NULL);
    return fdio_replace_file(path, text, strlen(text), 0644, err);
}

int lab_service_add(const struct lab *lab, const char *service, const char *node, const char *const *argv,
                    struct err *err)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autofree char *path = service_path(lab, service);
    g_autofree char *log = lab_path(lab, "log/%s.log", service);
    g_autofree char *netns = lab_netns(lab, node);
    g_key_file_set_string(file, "service", "netns", netns);
    g_key_file_set_string(file, "service", "log", log);
    g_key_file_set_boolean(file, "service", "running", TRUE);
    g_key_file_set_string_list(file, "service", "argv", argv, g_strv_length((char **)argv));
    if (save_key_file(file, path, err) < 0)
        return -1;
    (void)wake_supervisor(lab);
    return 0;
}

int lab_service_set(const struct lab *lab, const char *service, bool running, struct err *err)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autofree char *path = service_path(lab, service);
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL)) {
        (void)err_set(err, ERR_NOT_FOUND, "no-such-service", "the lab has no service '%s'", service);
        return err_fix(err, "'godwit lab status' lists them");
    }
    g_key_file_set_boolean(file, "service", "running", running);
    if (save_key_file(file, path, err) < 0)
        return -1;
    (void)wake_supervisor(lab);
    return 0;
}

/* ---- the supervisor's identity ---- */

/* What follows the name in proc(5) stat: [0] is field 3, the state. */
static char **stat_fields(pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return g_new0(char *, 1);
    const char *at = strrchr(text, ')');
    return g_strsplit(at ? at + 2 : "", " ", -1);
}

static uint64_t start_time_of(pid_t pid)
{
    g_auto(GStrv) fields = stat_fields(pid);
    /* Field 22. */
    return g_strv_length(fields) > 19 ? g_ascii_strtoull(fields[19], NULL, 10) : 0;
}

static int write_identity(const struct lab *lab)
{
    g_autofree char *path = lab_path(lab, "supervisor");
    g_autofree char *text =
        g_strdup_printf("%d %" G_GUINT64_FORMAT "\n", (int)getpid(), start_time_of(getpid()));
    struct err err = {0};
    if (fdio_replace_file(path, text, strlen(text), 0644, &err) == 0)
        return 0;
    log_error(&err, "cannot write the supervisor's identity");
    return -1;
}

pid_t lab_supervisor_pid(const struct lab *lab)
{
    g_autofree char *path = lab_path(lab, "supervisor");
    g_autofree char *text = NULL;
    int pid = 0;
    unsigned long long started = 0;
    if (!g_file_get_contents(path, &text, NULL, NULL) || sscanf(text, "%d %llu", &pid, &started) != 2 ||
        pid <= 0)
        return 0;
    g_auto(GStrv) fields = stat_fields(pid);
    /* A process 1 that does not reap leaves zombies with all of it. */
    bool is_alive = g_strv_length(fields) > 19 && *fields[0] != 'Z' && *fields[0] != 'X';
    return is_alive && started && g_ascii_strtoull(fields[19], NULL, 10) == started ? pid : 0;
}

int lab_supervisor_start(const struct lab *lab, struct err *err)
{
    if (lab_supervisor_pid(lab))
        return 0;
    g_autofree char *program = g_build_filename(lab->bin_dir, "godwit", NULL);
    g_autofree char *log = lab_path(lab, "log/supervisor.log");
    const char *argv[] = {
        "setsid", "--fork", "sh", "-c", "exec \"$0\" lab supervise --dir \"$1\" >>\"$2\" 2>&1 </dev/null",
        program,  lab->dir, log,  NULL};
    if (lab_run(argv, NULL, err) < 0)
        return -1;
    for (int tries = 0; tries < 250; tries++) {
        if (lab_supervisor_pid(lab))
            return 0;
        g_usleep(20000);
    }
    (void)err_set(err, ERR_TIMEOUT, "supervisor-not-up", "the lab's supervisor did not start within 5 s");
    return err_fix(err, "see %s", log);
}

int lab_supervisor_stop(const struct lab *lab, struct err *err)
{
    pid_t pid = lab_supervisor_pid(lab);
    if (!pid)
        return 0;
    (void)kill(pid, SIGTERM);
    for (int tries = 0; tries < 500; tries++) {
        if (!lab_supervisor_pid(lab))
            return 0;
        g_usleep(20000);
    }
    return err_set(err, ERR_TIMEOUT, "supervisor-stays",
                   "the lab's supervisor (pid %d) did not end within 10 s", (int)pid);
}

/* ---- the supervisor itself ---- */

static void load_services(const struct lab *lab, GPtrArray *services)
{
    g_autofree char *path = lab_path(lab, "services");
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        if (!g_str_has_suffix(name, ".service"))
            continue;
        g_autofree char *file_path = g_build_filename(path, name, NULL);
        g_autoptr(GKeyFile) file = g_key_file_new();
        if (!g_key_file_load_from_file(file, file_path, G_KEY_FILE_NONE, NULL))
            continue;
        g_autofree char *plain = g_strndup(name, strlen(name) - strlen(".service"));
        struct service *service = NULL;
        for (guint i = 0; i < services->len; i++)
            if (!strcmp(((struct service *)services->pdata[i])->name, plain))
                service = services->pdata[i];
        if (!service) {
            service = g_new0(struct service, 1);
            service->name = g_strdup(plain);
            g_ptr_array_add(services, service);
        }
        g_autofree char *netns = g_key_file_get_string(file, "service", "netns", NULL);
        g_auto(GStrv) command = g_key_file_get_string_list(file, "service", "argv", NULL, NULL);
        g_autoptr(GPtrArray) argv = g_ptr_array_new();
        g_autofree char *program = g_build_filename(lab->bin_dir, "godwit", NULL);
        g_autofree char *kvm_dir = lab_path(lab, "hosts/%s", plain);
        const char *front[] = {program, "lab", "enter", "--netns", netns, "--kvm-dir", kvm_dir, "--"};
        for (size_t i = 0; i < G_N_ELEMENTS(front); i++)
            g_ptr_array_add(argv, g_strdup(front[i]));
        for (char **word = command; word && *word; word++)
            g_ptr_array_add(argv, g_strdup(*word));
        g_ptr_array_add(argv, NULL);
        g_strfreev(service->argv);
        service->argv = (char **)g_ptr_array_free(g_steal_pointer(&argv), FALSE);
        g_free(service->log);
        service->log = g_key_file_get_string(file, "service", "log", NULL);
        service->wanted = g_key_file_get_boolean(file, "service", "running", NULL);
    }
}

static void service_start(struct service *service)
{
    pid_t pid = fork();
    if (pid < 0) {
        log_warn("cannot fork for %s: %s", service->name, g_strerror(errno));
        return;
    }
    if (pid == 0) {
        sigset_t none;
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        int log = open(service->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (log >= 0) {
            (void)dup2(log, STDOUT_FILENO);
            (void)dup2(log, STDERR_FILENO);
        }
        (void)execv(service->argv[0], service->argv);
        _exit(127);
    }
    service->pid = pid;
    log_info("%s started, pid %d", service->name, (int)pid);
}

static void reap(GPtrArray *services)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (guint i = 0; i < services->len; i++) {
            struct service *service = services->pdata[i];
            if (service->pid != pid)
                continue;
            log_info("%s ended with status 0x%x%s", service->name, status,
                     service->wanted ? ", will be restarted" : "");
            service->pid = 0;
            service->not_before_ns = clock_now_ns() + RESTART_DELAY_MS * NS_PER_MS;
        }
}

static void settle(GPtrArray *services)
{
    for (guint i = 0; i < services->len; i++) {
        struct service *service = services->pdata[i];
        if (service->wanted && !service->pid && clock_now_ns() >= service->not_before_ns)
            service_start(service);
        if (!service->wanted && service->pid)
            (void)kill(service->pid, SIGTERM);
    }
}

static void stop_all(GPtrArray *services)
{
    uint64_t deadline_ns = clock_now_ns() + STOP_DEADLINE_MS * NS_PER_MS;
    for (guint i = 0; i < services->len; i++)
        ((struct service *)services->pdata[i])->wanted = false;
    for (bool left = true; left;) {
        left = false;
        for (guint i = 0; i < services->len; i++) {
            struct service *service = services->pdata[i];
            if (service->pid) {
                left = true;
                (void)kill(service->pid, clock_now_ns() < deadline_ns ? SIGTERM : SIGKILL);
            }
        }
        g_usleep(20000);
        reap(services);
    }
}

static pid_t parent_of(pid_t pid)
{
    g_auto(GStrv) fields = stat_fields(pid);
    /* Field 4 of proc(5) stat. */
    return g_strv_length(fields) > 1 ? (pid_t)g_ascii_strtoll(fields[1], NULL, 10) : 0;
}

/* The power of the lab's hosts goes off: what outlives an agent (QEMU) became our child when the agent ended,
 * because we are the subreaper, and is ended and reaped here, so that not even a zombie stays. */
static void end_orphans(void)
{
    for (;;) {
        g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
        for (const char *name; proc && (name = g_dir_read_name(proc));) {
            pid_t pid = (pid_t)strtol(name, NULL, 10);
            if (pid > 0 && parent_of(pid) == getpid())
                (void)kill(pid, SIGKILL);
        }
        if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
            return;
    }
}

int lab_supervise(const struct lab *lab)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    /* Without it nobody could end us. */
    if (write_identity(lab) < 0)
        return CLI_FAILED;
    g_autoptr(GPtrArray) services = g_ptr_array_new_with_free_func(service_free);
    while (lab_exists(lab)) {
        load_services(lab, services);
        settle(services);
        const struct timespec wait = {.tv_nsec = 200 * 1000000};
        int signal_number = sigtimedwait(&set, NULL, &wait);
        reap(services);
        if (signal_number == SIGTERM || signal_number == SIGINT)
            break;
    }
    stop_all(services);
    end_orphans();
    return CLI_DONE;
}

/* ---- entering a host ---- */

/* A device node that the host's QEMU user may open, as udev's rules give it on a real host; only this mount
 * namespace sees it. */
static int mount_kvm_node(const char *kvm_dir)
{
    struct stat its;
    if (stat("/dev/kvm", &its) < 0 || access(kvm_dir, F_OK) < 0)
        return 0;
    g_autofree char *dir = g_build_filename(kvm_dir, "dev", NULL);
    g_autofree char *node = g_build_filename(dir, "kvm", NULL);
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return -1;
    if (mount("lab-dev", dir, "tmpfs", MS_NOSUID | MS_NOEXEC, "size=64k,mode=755") < 0)
        return -1;
    mode_t old = umask(0);
    int made = mknod(node, S_IFCHR | 0660, its.st_rdev);
    (void)umask(old);
    if (made < 0 || chown(node, 0, LAB_QEMU_UID) < 0)
        return -1;
    return mount(node, "/dev/kvm", NULL, MS_BIND, NULL);
}

int lab_enter(const char *netns, const char *kvm_dir, char **argv)
{
    g_autofree char *path = g_strconcat("/run/netns/", netns, NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) {
        fprintf(stderr, "godwit: cannot enter %s: %s\n", netns, g_strerror(errno));
        return CLI_FAILED;
    }
    if (kvm_dir && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount("lab-sys", "/sys", "sysfs", 0, NULL) < 0 || mount_kvm_node(kvm_dir) < 0)) {
        fprintf(stderr, "godwit: cannot prepare the host's file systems: %s\n", g_strerror(errno));
        return CLI_FAILED;
    }
    (void)execvp(argv[0], argv);
    fprintf(stderr, "godwit: cannot run %s: %s\n", argv[0], g_strerror(errno));
    return 127;
}
