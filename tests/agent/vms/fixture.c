/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/facts.h"
#include "agent/spawn.h"
#include "agent/vm_process.h"
#include "base/fdio.h"
#include "base/log.h"
#include "qemu/caps.h"

#define ANSWER_S 60

const char *host_cgroup;
static GPtrArray *hosts; /* that are up */
static struct left last_left;

static void remove_folder(const char *folder)
{
    g_autofree char *command = g_strdup_printf("rm -rf %s", folder);
    if (system(command) != 0)
        (void)fprintf(stderr, "cannot remove %s\n", folder);
}

unsigned processes_of(const char *uuid, int signal)
{
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    const char *name;
    unsigned n = 0;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_strdup_printf("/proc/%s/cmdline", name);
        g_autofree char *text = NULL;
        gsize size = 0;
        if (!g_ascii_isdigit(name[0]) || !g_file_get_contents(path, &text, &size, NULL) ||
            !memmem(text, size, uuid, strlen(uuid)))
            continue;
        n++;
        if (signal)
            (void)kill((int)g_ascii_strtoll(name, NULL, 10), signal);
    }
    return n;
}

void left_sweep(const struct left *left)
{
    if (!left->uuid[0])
        return;
    (void)processes_of(left->uuid, SIGKILL);
    if (left->folder[0])
        remove_folder(left->folder);
}

int hosts_sweep(void **state)
{
    (void)state;
    left_sweep(&last_left);
    for (guint i = 0; hosts && i < hosts->len; i++) {
        struct host *host = g_ptr_array_index(hosts, i);
        GHashTableIter iter;
        gpointer value;
        g_hash_table_iter_init(&iter, host->agent.vms);
        while (g_hash_table_iter_next(&iter, NULL, &value))
            if (((struct vm *)value)->status.pid) {
                (void)kill(((struct vm *)value)->status.pid, SIGKILL);
                /* Its control group goes only after it; one that was adopted is not our child. */
                (void)waitpid(((struct vm *)value)->status.pid, NULL, 0);
            }
        cgroup_close(&host->agent);
        remove_folder(host->folder);
    }
    return 0;
}

static void fail(const char *what)
{
    (void)hosts_sweep(NULL);
    (void)fprintf(stderr, "FAILED: %s\n", what);
    abort();
}

/* Whoever interrupts a test leaves it the time to take its QEMUs away, which outlive their agent. */
static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    is_interrupted = 1;
}

static gboolean on_tick(gpointer user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

/* Wakes the loop now and then, for what shows only in files and for the deadline. */
static guint tick_new(void)
{
    return g_timeout_add(20, on_tick, NULL);
}

void wait_until(const bool *flag, unsigned seconds, const char *what)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
    guint tick = tick_new();
    while (!*flag) {
        if (g_get_monotonic_time() > deadline)
            fail(what);
        if (is_interrupted)
            fail("interrupted");
        (void)g_main_context_iteration(NULL, TRUE);
    }
    (void)g_source_remove(tick);
}

static bool probed;
static bool loaded;

static void on_probed(struct agent *agent)
{
    (void)agent;
    probed = true;
}

static void on_loaded(struct agent *agent)
{
    (void)agent;
    loaded = true;
}

static void link_program(const char *folder, const char *variable, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/libexec/%s", folder, name);
    const char *target = getenv(variable);
    if (!target || (symlink(target, path) < 0 && errno != EEXIST))
        fail(variable);
}

static void make_folders(struct host *host)
{
    static const char *const folders[] = {"state/vms", "run", "libexec"};
    for (unsigned i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", host->folder, folders[i]);
        if (g_mkdir_with_parents(path, 0700) < 0)
            fail(path);
    }
    link_program(host->folder, "LAUNCH", "godwit-launch");
    link_program(host->folder, "TRACE", "godwit-trace.so");
}

static struct host *up(const char *folder, const char *qemu, const char *qemu_data,
                       void (*configure)(struct host *host))
{
    struct host *host = g_new0(struct host, 1);
    struct agent_config *config = &host->agent.config;
    log_init("test");
    (void)signal(SIGTERM, on_interrupt);
    (void)signal(SIGINT, on_interrupt);
    if (folder) {
        g_strlcpy(host->folder, folder, sizeof host->folder);
    } else {
        g_strlcpy(host->folder, "/tmp/agentvm-XXXXXX", sizeof host->folder);
        if (!mkdtemp(host->folder))
            fail("mkdtemp");
    }
    make_folders(host);
    g_strlcpy(config->name, "h1", sizeof config->name);
    (void)snprintf(config->state_dir, sizeof config->state_dir, "%s/state", host->folder);
    (void)snprintf(config->run_dir, sizeof config->run_dir, "%s/run", host->folder);
    (void)snprintf(config->libexec_dir, sizeof config->libexec_dir, "%s/libexec", host->folder);
    g_strlcpy(config->qemu_path, qemu ? qemu : "/usr/bin/qemu-system-x86_64", sizeof config->qemu_path);
    g_strlcpy(config->qemu_data_dir, qemu_data ? qemu_data : "", sizeof config->qemu_data_dir);
    config->qemu_user = (struct agent_user){HOST_UID, HOST_UID};
    config->accel = VM_ACCEL_TCG;
    config->memory_reserve_mib = 64;
    config->lease_s = 90;
    host->agent.vms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (!hosts)
        hosts = g_ptr_array_new();
    g_ptr_array_add(hosts, host);
    spawn_init(config->libexec_dir);
    probed = loaded = false;
    facts_probe(&host->agent, on_probed);
    wait_until(&probed, ANSWER_S, "facts");
    if (host_cgroup) {
        g_strlcpy(config->cgroup, host_cgroup, sizeof config->cgroup);
        cgroup_open(&host->agent);
    }
    if (configure)
        configure(host);
    vms_load(&host->agent, on_loaded);
    wait_until(&loaded, ANSWER_S, "load");
    return host;
}

struct host *host_up(const char *folder)
{
    return up(folder, getenv("QEMU"), getenv("QEMU_DATA"), NULL);
}

struct host *host_up_with(const char *folder, void (*configure)(struct host *host))
{
    return up(folder, getenv("QEMU"), getenv("QEMU_DATA"), configure);
}

struct host *host_up_other(void)
{
    return getenv("QEMU_OTHER") ? up(NULL, getenv("QEMU_OTHER"), getenv("QEMU_OTHER_DATA"), NULL)
                                : host_up(NULL);
}

void take_answer(struct vm *vm, const struct err *err, void *user)
{
    struct answer *answer = user;
    answer->there = true;
    answer->vm = vm;
    answer->err = *err;
}

void wait_ok(struct answer *answer, const char *what)
{
    wait_until(&answer->there, ANSWER_S, what);
    if (err_is_set(&answer->err)) {
        log_error(&answer->err, "%s", what);
        fail(what);
    }
}

void host_down(struct host *host)
{
    g_autoptr(GList) vms = g_hash_table_get_values(host->agent.vms);
    for (GList *at = vms; at; at = at->next) {
        struct answer answer = {0};
        vm_end(at->data, take_answer, &answer);
        wait_ok(&answer, "end");
    }
    cgroup_close(&host->agent);
    remove_folder(host->folder);
    (void)g_ptr_array_remove(hosts, host);
    g_hash_table_unref(host->agent.vms);
    caps_free(host->agent.qemu);
    g_free(host);
}

struct vm_spec checker_spec(const char *name)
{
    struct vm_spec spec = {.memory_mib = 128, .cpus = 1, .accel = VM_ACCEL_TCG};
    model_uuid_new(spec.uuid);
    g_strlcpy(spec.name, name, sizeof spec.name);
    g_strlcpy(spec.kernel, getenv("CHECKER"), sizeof spec.kernel);
    g_strlcpy(spec.append, "mb=64 rate=10", sizeof spec.append);
    g_strlcpy(spec.machine, getenv("MACHINE") ? getenv("MACHINE") : "", sizeof spec.machine);
    return spec;
}

struct vm *start_checker(struct host *host, const char *name)
{
    const struct vm_spec spec = checker_spec(name);
    return start_vm(host, &spec);
}

struct vm *start_vm(struct host *host, const struct vm_spec *spec)
{
    struct vm *vm;
    struct answer answer = {0};
    struct err err;
    if (vm_create(&host->agent, spec, &vm, &err) < 0) {
        log_error(&err, "create");
        fail("create");
    }
    vm_start(vm, take_answer, &answer);
    wait_ok(&answer, "start");
    return vm;
}

char *console_text(struct vm *vm)
{
    g_autofree char *path = vm_path(vm, "console.log");
    char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return g_strdup("");
    return text;
}

size_t console_size(struct vm *vm)
{
    g_autofree char *text = console_text(vm);
    return strlen(text);
}

size_t wait_for_console(struct vm *vm, const char *text, size_t offset)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)ANSWER_S * G_USEC_PER_SEC;
    guint tick = tick_new();
    for (;;) {
        g_autofree char *console = console_text(vm);
        const char *at = strlen(console) > offset ? strstr(console + offset, text) : NULL;
        if (at) {
            (void)g_source_remove(tick);
            return (size_t)(at - console) + strlen(text);
        }
        if (g_get_monotonic_time() > deadline) {
            (void)fprintf(stderr, "console:\n%s\n", console);
            fail(text);
        }
        (void)g_main_context_iteration(NULL, TRUE);
    }
}

void cut_qmp(const struct vm *vm)
{
    g_autofree char *path = vm_path(vm, "qmp.sock");
    unsigned n_cut = 0;
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_un peer = {0};
        socklen_t size = sizeof peer - 1;
        if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.sun_family == AF_UNIX &&
            !strcmp(peer.sun_path, path))
            n_cut += shutdown(fd, SHUT_RDWR) == 0;
    }
    if (n_cut != 1)
        fail("cut the control connection");
}

static _Noreturn void agent_to_kill(int pipe_fd)
{
    struct host *host = host_up(NULL);
    struct vm *vm = start_checker(host, "left");
    struct left left = {.pid = vm->status.pid};
    g_strlcpy(left.folder, host->folder, sizeof left.folder);
    g_strlcpy(left.uuid, vm->status.spec.uuid, sizeof left.uuid);
    if (fdio_write(pipe_fd, &left, sizeof left, NULL) < 0)
        _exit(1);
    for (;;)
        (void)pause();
}

struct left host_of_killed_agent(void)
{
    int ends[2];
    struct left left;
    if (pipe(ends) < 0)
        fail("pipe");
    pid_t agent = fork();
    if (agent == 0)
        agent_to_kill(ends[1]);
    (void)close(ends[1]);
    if (agent < 0 || fdio_read(ends[0], &left, sizeof left, NULL) < 0)
        fail("the agent to be killed");
    (void)close(ends[0]);
    if (kill(agent, SIGKILL) < 0 || waitpid(agent, NULL, 0) != agent)
        fail("kill the agent");
    last_left = left;
    return left;
}

void run_command(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *command = g_strdup_vprintf(format, args);
    va_end(args);
    if (system(command) != 0)
        fail(command);
}
