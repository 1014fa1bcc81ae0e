/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a switched-off VM to a QEMU that answers: vm_start goes on to `cont`, vm_shell leaves it waiting. All
 * that QEMU needs is opened here, with the agent's rights, and inherited.
 */
#include "agent/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/cgroup.h"
#include "agent/cpu_baseline.h"
#include "agent/disks.h"
#include "agent/journal.h"
#include "agent/network.h"
#include "agent/nvram.h"
#include "agent/site.h"
#include "agent/spawn.h"
#include "agent/vm_check.h"
#include "agent/vm_process.h"
#include "base/log.h"
#include "ctl/ctl.h"
#include "qemu/caps.h"
#include "qemu/cmdline.h"

#define READY_MS 30000
#define CONT_MS 5000
/* The same instructions on every host and under both accelerators: a VM can go anywhere. */
#define DEFAULT_CPU_MODEL "qemu64"

/* What QEMU inherits; -1: none. Closed here once it is started. */
struct inheritance {
    struct spawn_request request;
    struct cmdline_config cmdline;
    char trace_env[64];
    bool own[SPAWN_FDS_MAX]; /* to be closed after the start */
};

/* Returns the child's number. */
static int give(struct inheritance *given, int fd, bool own)
{
    unsigned i = given->request.n_fds++;
    given->request.fds[i] = fd;
    given->own[i] = own;
    return SPAWN_CHILD_FD((int)i);
}

static void close_given(struct inheritance *given)
{
    for (unsigned i = 0; i < given->request.n_fds; i++)
        if (given->own[i])
            (void)close(given->request.fds[i]);
}

static int give_socket(struct vm *vm, struct inheritance *given, const char *file, int type, int *ret_number,
                       struct err *err)
{
    int fd;
    if (vm_listen(vm, file, type, &fd, err) < 0)
        return -1;
    *ret_number = give(given, fd, true);
    return 0;
}

static int give_guest_agent(struct vm *vm, struct inheritance *given, struct err *err)
{
    if (!vm->status.spec.guest_agent)
        return 0;
    return give_socket(vm, given, VM_GUEST_AGENT_SOCKET, SOCK_STREAM, &given->cmdline.guest_agent_fd, err);
}

static int give_file(struct inheritance *given, const char *path, int *ret_number, struct err *err)
{
    *ret_number = -1;
    if (!path[0])
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        (void)err_sys(err, errno, "boot-file-missing", "cannot open %s", path);
        return err_arg(err, "path", "%s", path);
    }
    *ret_number = give(given, fd, true);
    return 0;
}

static int give_console_log(struct vm *vm, struct inheritance *given, struct err *err)
{
    const struct agent_user *user = &vm->agent->config.qemu_user;
    g_autofree char *path = vm_path(vm, "console.log");
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)err_sys(err, errno, "console-failed", "cannot open %s", path);
        return err_arg(err, "path", "%s", path);
    }
    given->cmdline.console_log_fd = give(given, fd, true);
    vm->process->console_start = (uint64_t)lseek(fd, 0, SEEK_END);
    if (fchown(fd, user->uid, user->gid) < 0) {
        (void)err_sys(err, errno, "console-failed", "cannot give %s to the QEMU user", path);
        return err_arg(err, "path", "%s", path);
    }
    return 0;
}

static int give_taps(struct vm *vm, struct inheritance *given, struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    for (uint32_t i = 0; i < spec->n_nics; i++) {
        const struct host_network *network = network_find(&vm->agent->config, spec->nics[i].network);
        int fd;
        if (!network) {
            (void)err_set(err, ERR_REFUSED, "network-missing", "this host has no network %s",
                          spec->nics[i].network);
            return err_arg(err, "network", "%s", spec->nics[i].network);
        }
        if (network_tap_new(network->bridge, spec->uuid, vm->process->taps[i], &fd, err) < 0)
            return -1;
        vm->process->n_taps = i + 1;
        given->cmdline.tap_fds[i] = give(given, fd, true);
    }
    return 0;
}

/* Without the device the VM runs and cannot be moved; without our own object the installation is broken. */
static int give_trace(struct vm *vm, struct inheritance *given, char *preload, size_t size, struct err *err)
{
    (void)snprintf(preload, size, "%s/godwit-trace.so", vm->agent->config.libexec_dir);
    if (access(preload, R_OK) < 0) {
        (void)err_sys(err, errno, "trace-missing", "cannot read %s", preload);
        (void)err_arg(err, "path", "%s", preload);
        return err_fix(err, "install the package again, or correct 'libexec' in the agent's configuration");
    }
    int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        log_warn("VM %s cannot be moved: cannot open /dev/userfaultfd: %s", vm->status.spec.name,
                 strerror(errno));
        return 0;
    }
    int device_number = give(given, device, true);
    int listen_number;
    if (give_socket(vm, given, "trace.sock", SOCK_SEQPACKET, &listen_number, err) < 0)
        return -1;
    (void)snprintf(given->trace_env, sizeof given->trace_env, CTL_TRACE_ENV "=%d,%d", listen_number,
                   device_number);
    given->request.preload = preload;
    vm->process->has_trace = true;
    return 0;
}

static int find_disks(const struct vm *vm, struct inheritance *given, struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    for (uint32_t i = 0; i < spec->n_disks; i++)
        if (disks_path(vm->agent, spec, &spec->disks[i], given->cmdline.disk_paths[i], err) < 0)
            return -1;
    return 0;
}

static int give_all(struct vm *vm, struct inheritance *given, char *preload, size_t preload_size,
                    struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    if (spec->firmware == VM_FIRMWARE_UEFI && !vm->incoming && nvram_make(vm->agent, spec, err) < 0)
        return -1;
    if (vm_run_folder(vm, err) < 0 || find_disks(vm, given, err) < 0 || ram_new(vm, err) < 0)
        return -1;
    vm->process->qemu_ram_fd = given->cmdline.ram_fd = give(given, vm->ram_fd, false);
    if (give_socket(vm, given, "qmp.sock", SOCK_STREAM, &given->cmdline.qmp_fd, err) < 0 ||
        give_socket(vm, given, "console.sock", SOCK_STREAM, &given->cmdline.console_fd, err) < 0 ||
        give_guest_agent(vm, given, err) < 0 || give_console_log(vm, given, err) < 0 ||
        give_file(given, spec->kernel, &given->cmdline.kernel_fd, err) < 0 ||
        give_file(given, spec->initrd, &given->cmdline.initrd_fd, err) < 0 || give_taps(vm, given, err) < 0)
        return -1;
    return give_trace(vm, given, preload, preload_size, err);
}

static int spawn_qemu(struct vm *vm, struct inheritance *given, struct err *err)
{
    const struct agent_config *config = &vm->agent->config;
    g_auto(GStrv) argv = NULL;
    g_autofree char *log_path = vm_path(vm, "qemu.log");
    const char *env[] = {given->trace_env[0] ? given->trace_env : NULL, NULL};
    pid_t pid;
    if (cmdline_build(&given->cmdline, &argv, err) < 0)
        return -1;
    given->request.program = config->qemu_path;
    given->request.argv = (const char *const *)argv;
    given->request.env = env;
    given->request.user = config->qemu_user;
    given->request.group = strcmp(vm->status.accel, "kvm") ? 0 : vm->agent->kvm_group;
    given->request.log_path = log_path;
    given->request.survives = true;
    vm->process->log_start = vm_log_size(vm);
    if (spawn(&given->request, &pid, &vm->pidfd, vm_exited, vm, err) < 0)
        return -1;
    vm->status.pid = (int)pid;
    vm->process->start_time = process_start_time((int)pid);
    cgroup_place(vm);
    return 0;
}

/* On success the end of the process is watched and vm_exited cleans up; on failure all is undone here. */
static int launch(struct vm *vm, const char *accel, struct err *err)
{
    struct inheritance given = {0};
    char preload[MODEL_PATH_MAX + 32];
    vm->process = g_new0(struct vm_process, 1);
    vm->is_guest_off = false;
    vm->process->qemu_major = vm->agent->qemu->major;
    g_strlcpy(vm->status.accel, accel, sizeof vm->status.accel);
    g_strlcpy(vm->status.qemu_version, vm->agent->qemu->version, sizeof vm->status.qemu_version);
    given.cmdline.spec = &vm->status.spec;
    given.cmdline.accel = vm->status.accel;
    given.cmdline.data_dir = vm->agent->config.qemu_data_dir;
    given.cmdline.uefi_code = vm->agent->config.uefi_code;
    given.cmdline.incoming = vm->incoming;
    int result = give_all(vm, &given, preload, sizeof preload, err);
    if (result == 0)
        result = vm_process_write(vm, err);
    if (result == 0)
        result = spawn_qemu(vm, &given, err);
    close_given(&given);
    if (result < 0) {
        vm_release(vm);
        g_free(vm->process);
        vm->process = NULL;
        return -1;
    }
    log_info("VM %s (%s): QEMU %d, %s", vm->status.spec.name, vm->status.spec.uuid, vm->status.pid, accel);
    return 0;
}

/* A start that failed while QEMU lives: its end comes first, then the answer. */
struct failure {
    struct vm_wait wait;
    struct err err;
};

static void on_failed_end(struct vm *vm, const struct err *err, void *user)
{
    struct failure *failure = user;
    (void)err;
    vm_wait_end(&failure->wait, vm, &failure->err);
    g_free(failure);
}

static void start_failed(struct vm *vm, const struct err *err)
{
    struct failure *failure = g_new(struct failure, 1);
    *failure = (struct failure){.wait = vm->process->starts, .err = *err};
    vm->process->starts = (struct vm_wait){0};
    vm_explain(vm, &failure->err);
    vm_end(vm, on_failed_end, failure);
}

static void on_started_cont(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user)
{
    (void)user;
    if (!vm->process)
        return; /* vm_exited has answered */
    if (result == VM_CONT_RUNS)
        vm_wait_end(&vm->process->starts, vm, err);
    else
        start_failed(vm, err);
}

static void on_prepared(struct vm *vm, const struct err *err, void *user)
{
    (void)user;
    if (!vm->process)
        return;
    if (err_is_set(err))
        start_failed(vm, err);
    else if (vm->incoming)
        vm_wait_end(&vm->process->starts, vm, err);
    else
        vm_cont(vm, CONT_MS, on_started_cont, NULL);
}

static void on_qmp(struct vm *vm, const struct err *err)
{
    if (err_is_set(err)) {
        start_failed(vm, err);
        return;
    }
    site_learn_cpu(vm);
    vm_save_prepare(vm, on_prepared, NULL);
}

static int begin(struct vm *vm, const char *accel, const struct vm_wait *wait, struct err *err)
{
    if (launch(vm, accel, err) < 0)
        return -1;
    vm->process->starts = *wait;
    struct err record_err = {0};
    /* Without its record the next agent takes it for one that never ran. */
    if (vm_process_write(vm, &record_err) < 0)
        start_failed(vm, &record_err);
    else
        vm_connect(vm, READY_MS, on_qmp);
    return 0;
}

static int may_run(const struct vm *vm, struct err *err)
{
    if (vms_check_up(vm->agent, err) < 0)
        return -1;
    return vm_check_free(vm, err) < 0 ? -1 : vm_check_owned(vm, err);
}

static int may_start(struct vm *vm, struct err *err)
{
    if (may_run(vm, err) < 0)
        return -1;
    if (vm->process || vm->n_conts) {
        (void)err_set(err, ERR_REFUSED, "vm-not-off", "VM %s is %s and cannot be started",
                      vm->status.spec.name, vm_state_name(vm->status.state));
        (void)err_arg(err, "state", "%s", vm_state_name(vm->status.state));
        (void)err_arg(err, "vm", "%s", vm->status.spec.name);
        return err_fix(err, "wait until 'godwit vm ls' shows it as off or running");
    }
    return vm_check_fits(vm->agent, &vm->status.spec, "", false, err);
}

/* What the guest is told, it keeps as long as it runs. */
static int pin_mtus(const struct agent *agent, struct vm_spec *spec, struct err *err)
{
    for (uint32_t i = 0; i < spec->n_nics; i++) {
        const struct host_network *network = network_find(&agent->config, spec->nics[i].network);
        uint32_t mtu = 0;
        if (spec->hardware >= 1 && network && network_bridge_mtu(network->bridge, &mtu, err) < 0)
            return -1;
        spec->nics[i].mtu = CLAMP(mtu, NIC_MTU_MIN, NIC_MTU_MAX) == mtu ? mtu : 0;
    }
    return 0;
}

static bool has_mtus(const struct vm_spec *before, const struct vm_spec *after)
{
    for (uint32_t i = 0; i < after->n_nics; i++)
        if (before->nics[i].mtu != after->nics[i].mtu)
            return false;
    return true;
}

/* The first start pins what later hosts must offer too; each start gives an open CPU model the cluster's
 * baseline, or all that this host has, and NICs the MTU of their networks. */
static int pin_machine(struct vm *vm, struct err *err)
{
    const struct vm_spec *before = &vm->status.spec;
    struct vm_spec spec = *before;
    if (pin_mtus(vm->agent, &spec, err) < 0)
        return -1;
    if (!spec.machine[0])
        g_strlcpy(spec.machine, vm->agent->qemu->machine, sizeof spec.machine);
    const char *accel = vm_accel_here(vm->agent, &spec);
    bool has_nesting = !strcmp(accel, "kvm") && cpu_model_is_open(spec.cpu_model);
    g_strlcpy(spec.cpu_without, has_nesting ? NESTING_FEATURES : "", sizeof spec.cpu_without);
    cpu_baseline_apply(vm->agent, accel, &spec);
    if (!vm_spec_cpu(&spec)[0])
        g_strlcpy(spec.cpu_model, DEFAULT_CPU_MODEL, sizeof spec.cpu_model);
    if (!strcmp(spec.machine, before->machine) && !strcmp(spec.cpu_model, before->cpu_model) &&
        !strcmp(spec.cpu_without, before->cpu_without) && !strcmp(spec.cpu_baseline, before->cpu_baseline) &&
        has_mtus(before, &spec))
        return 0;
    return vm_config_write(vm, &spec, "", err);
}

static void on_resumed(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user)
{
    struct vm_wait *wait = user;
    (void)result; /* *err is set unless it runs */
    vm_wait_end(wait, vm, err);
    g_free(wait);
}

static void resume(struct vm *vm, const struct vm_wait *wait)
{
    struct err err = {0};
    if (may_run(vm, &err) < 0)
        wait->done(vm, &err, wait->user);
    else
        vm_cont(vm, CONT_MS, on_resumed, g_memdup2(wait, sizeof *wait));
}

void vm_start(struct vm *vm, vm_done done, void *user)
{
    struct err err = {0};
    const struct vm_wait wait = {.done = done, .user = user};
    if (vm->status.state == VM_RUNNING) {
        vm_done_later(vm, done, user);
        return;
    }
    if (vm->process && vm->status.state == VM_PAUSED) {
        resume(vm, &wait);
        return;
    }
    if (may_start(vm, &err) == 0 && pin_machine(vm, &err) == 0) {
        vm_set_state(vm, VM_STARTING);
        if (begin(vm, vm_accel_here(vm->agent, &vm->status.spec), &wait, &err) == 0)
            return;
        vm_set_state(vm, VM_OFF);
    }
    done(vm, &err, user);
}

/* A shell that could not be made leaves nothing; its journal goes back to the caller. */
static void shell_undo(struct vm *vm)
{
    vm->journal = NULL;
    vm_forget(vm);
}

static void on_shell(struct vm *vm, const struct err *err, void *user)
{
    struct vm_wait *wait = user;
    if (err_is_set(err))
        shell_undo(vm);
    wait->done(err_is_set(err) ? NULL : vm, err, wait->user);
    g_free(wait);
}

void vm_shell(struct agent *agent, const struct vm_spec *spec, const char *accel, struct journal *journal,
              vm_done done, void *user)
{
    struct err err = {0};
    if (vms_check_up(agent, &err) < 0 || vm_check_fits(agent, spec, accel, true, &err) < 0) {
        done(NULL, &err, user);
        return;
    }
    struct vm *vm = vm_new(agent, spec);
    struct journal_entry entry;
    vm->journal = journal;
    vm->incoming = true;
    journal_read(journal, &entry);
    /* From the first moment: nobody else may change what the source has sent. */
    g_strlcpy(vm->status.move, entry.session, sizeof vm->status.move);
    struct vm_wait *wait = g_new(struct vm_wait, 1);
    *wait = (struct vm_wait){.done = done, .user = user};
    const struct vm_wait ready = {.done = on_shell, .user = wait};
    if (vm_config_write(vm, spec, entry.session, &err) < 0 || begin(vm, accel, &ready, &err) < 0) {
        on_shell(vm, &err, wait);
        return;
    }
    vm_set_state(vm, VM_INCOMING);
}
