/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/agent/moves/replay_host.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/door.h"
#include "agent/job_control.h"
#include "agent/move.h"
#include "agent/precedence.h"
#include "agent/settle.h"
#include "agent/vm_process.h"
#include "base/log.h"

#define RETRY_MAX_MS 1000 /* what the agent repeats; longer times are limits, and none is ever reached */

struct job_control { /* the fake */
    struct job_handlers handlers;
    void *user;
};

static struct {
    struct agent agent;
    char uuid[MODEL_UUID_SIZE];
    struct replay_answer answer;
    struct job_control *job; /* the last one that was started, until it is freed */

    /* A write of the journal, until its order comes. */
    struct journal *journal;
    struct journal_entry entry;
    void (*written)(const struct err *err, void *user);
    void *write_user;
    bool wants_write, is_writing, has_bad_disk;
    sem_t is_in_cache, may_sync;

    struct vm *cont_vm, *end_vm;
    void (*cont_done)(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user);
    vm_done end_done, shell_done;
    void *cont_user, *end_user, *shell_user;
    struct vm_spec shell_spec;
    struct journal *shell_journal;
} me;

static const struct err none;

/* ---- the seam: what stands in the place of QEMU, of the job, of the disk ---- */

#define SEAM(type, name, ...)                                                                                \
    type __real_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__)

/* Of the agent's main thread only a journal that is opened is synced: whoever lets it come up knows what it
 * wrote. */
SEAM(int, fdatasync, int fd)
{
    (void)fd;
    if (gettid() != getpid()) {
        (void)sem_post(&me.is_in_cache);
        while (sem_wait(&me.may_sync) < 0)
            ;
        if (me.has_bad_disk) {
            errno = EIO;
            return -1;
        }
    }
    return 0;
}

/* No power fails here for what is not a journal. */
SEAM(int, fsync, int fd)
{
    (void)fd;
    return 0;
}

SEAM(guint, g_timeout_add, guint interval, GSourceFunc function, gpointer data)
{
    return __real_g_timeout_add(interval <= RETRY_MAX_MS ? 0 : interval, function, data);
}

SEAM(void, journal_write, struct journal *journal, const struct journal_entry *entry,
     void (*done)(const struct err *err, void *user), void *user)
{
    g_assert(!me.wants_write && !me.is_writing);
    me.wants_write = true;
    me.journal = journal;
    me.entry = *entry;
    me.written = done;
    me.write_user = user;
}

SEAM(void, precedence_take, pid_t qemu, pid_t job)
{
    (void)qemu;
    (void)job;
}

SEAM(void, precedence_give_back, pid_t qemu)
{
    (void)qemu;
}

SEAM(int, door_expect, struct door *door, const uint8_t ticket[CTL_SECRET_SIZE], int *ret_socket,
     struct err *err)
{
    (void)door;
    (void)ticket;
    (void)err;
    *ret_socket = eventfd(0, EFD_CLOEXEC);
    return 0;
}

SEAM(void, door_forget, struct door *door, const uint8_t ticket[CTL_SECRET_SIZE])
{
    (void)door;
    (void)ticket;
}

SEAM(int, job_control_start, const struct agent_config *config, const struct ctl_job_spec *spec,
     const int *fds, const struct job_handlers *handlers, void *user, struct job_control **ret_job,
     struct err *err)
{
    (void)config;
    (void)spec;
    (void)fds;
    (void)err;
    me.job = g_new0(struct job_control, 1);
    *me.job = (struct job_control){*handlers, user};
    *ret_job = me.job;
    return 0;
}

SEAM(void, job_control_answer, struct job_control *job, const void *body, size_t size, int fd, bool more)
{
    struct ctl_verdict verdict;
    (void)job;
    (void)fd;
    if (more)
        return;
    me.answer.is_answered = true;
    if (size == MOVE_SECRET_SIZE)
        memcpy(me.answer.secret, body, size);
    if (size == sizeof verdict) {
        memcpy(&verdict, body, sizeof verdict);
        me.answer.verdict = (enum move_verdict)verdict.kind;
        memcpy(me.answer.secret, verdict.secret, sizeof verdict.secret);
    }
}

SEAM(void, job_control_fail, struct job_control *job, const struct err *why)
{
    (void)job;
    me.answer.is_answered = true;
    me.answer.err = *why;
}

SEAM(void, job_control_cancel, struct job_control *job, const struct err *why, unsigned grace_ms)
{
    (void)job;
    (void)why;
    (void)grace_ms;
}

SEAM(pid_t, job_control_pid, const struct job_control *job)
{
    (void)job;
    return 0;
}

SEAM(void, job_control_free, struct job_control *job)
{
    if (job && job == me.job)
        me.job = NULL;
    g_free(job);
}

SEAM(void, vm_find_problems, struct agent *agent, const struct vm_spec *spec, const char *accel,
     bool as_incoming, struct findings *findings)
{
    (void)agent;
    (void)spec;
    (void)accel;
    (void)as_incoming;
    (void)findings;
}

SEAM(int, vm_open_trace, struct vm *vm, struct vm_trace *ret_trace, struct err *err)
{
    (void)vm;
    (void)err;
    *ret_trace = (struct vm_trace){.ram_fd = eventfd(0, 0),
                                   .uffd_async = eventfd(0, 0),
                                   .uffd_sync = eventfd(0, 0),
                                   .pagemap_fd = eventfd(0, 0),
                                   .pidfd = eventfd(0, 0),
                                   .n_vcpus = 1};
    return 0;
}

SEAM(void, vm_pass_stream, struct vm *vm, int stream_fd)
{
    (void)vm;
    (void)stream_fd;
}

SEAM(void, vm_pause, struct vm *vm, vm_done done, void *user)
{
    vm_set_state(vm, VM_PAUSED);
    done(vm, &none, user);
}

SEAM(void, vm_save, struct vm *vm, vm_done done, void *user)
{
    done(vm, &none, user);
}

SEAM(void, vm_load, struct vm *vm, vm_done done, void *user)
{
    vm_set_state(vm, VM_PAUSED);
    done(vm, &none, user);
}

SEAM(void, vm_shell, struct agent *agent, const struct vm_spec *spec, const char *accel,
     struct journal *journal, vm_done done, void *user)
{
    (void)agent;
    (void)accel;
    me.shell_spec = *spec;
    me.shell_journal = journal;
    me.shell_done = done;
    me.shell_user = user;
}

SEAM(void, vm_cont, struct vm *vm, unsigned deadline_ms,
     void (*done)(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user), void *user)
{
    (void)deadline_ms;
    g_assert(!me.cont_done);
    me.cont_vm = vm;
    me.cont_done = done;
    me.cont_user = user;
    vm->n_conts++;
}

SEAM(void, vm_end, struct vm *vm, vm_done done, void *user)
{
    g_assert(!me.end_done);
    me.end_vm = vm;
    me.end_done = done;
    me.end_user = user;
}

/* ---- orders ---- */

static void set_qemu(struct vm *vm, enum replay_qemu qemu)
{
    static const enum vm_state states[] = {VM_OFF, VM_INCOMING, VM_PAUSED, VM_RUNNING};
    if (vm->pidfd >= 0 && qemu == QEMU_NONE) {
        (void)close(vm->pidfd);
        vm->pidfd = -1;
        g_clear_pointer(&vm->process, g_free);
    } else if (vm->pidfd < 0 && qemu != QEMU_NONE) {
        vm->pidfd = eventfd(0, EFD_CLOEXEC); /* readable: it has ended */
        vm->process = g_new0(struct vm_process, 1);
    }
    vm_set_state(vm, states[qemu]);
}

static void take_error(const struct err *err)
{
    me.answer.is_answered = true;
    me.answer.err = *err;
}

static void take_prepared(struct agent *agent, const struct move_answer *answer, const struct err *err,
                          void *user)
{
    (void)agent;
    take_error(err);
    if (!answer)
        return;
    me.answer.has_spec = true;
    me.answer.is_source = user != NULL;
    me.answer.spec = answer->spec;
}

static void take_done(struct agent *agent, const struct move_answer *answer, const struct err *err,
                      void *user)
{
    (void)agent;
    (void)answer;
    (void)user;
    take_error(err);
}

static void take_verdict(enum move_verdict verdict, const uint8_t secret[MOVE_SECRET_SIZE],
                         const struct err *err, void *user)
{
    (void)user;
    take_error(err);
    me.answer.verdict = verdict;
    if (secret)
        memcpy(me.answer.secret, secret, MOVE_SECRET_SIZE);
}

static void journal_written(const struct err *err, void *user)
{
    (void)user;
    me.is_writing = false;
    me.written(err, me.write_user);
}

static void let_write(void)
{
    g_assert(me.wants_write);
    me.wants_write = false;
    me.is_writing = true;
    __real_journal_write(me.journal, &me.entry, journal_written, NULL);
    while (sem_wait(&me.is_in_cache) < 0)
        ;
}

static void let_sync(bool fails)
{
    g_assert(me.is_writing);
    me.has_bad_disk = fails;
    (void)sem_post(&me.may_sync);
    while (me.is_writing)
        (void)g_main_context_iteration(NULL, TRUE);
    me.has_bad_disk = false;
}

/* A limit for files stands in for a disk that takes nothing: the write gets EFBIG. */
static void refuse_write(void)
{
    struct rlimit usual, nothing;
    g_assert(me.wants_write);
    g_assert(getrlimit(RLIMIT_FSIZE, &usual) == 0 && signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    nothing = usual;
    nothing.rlim_cur = 0;
    g_assert(setrlimit(RLIMIT_FSIZE, &nothing) == 0);
    me.wants_write = false;
    me.is_writing = true;
    __real_journal_write(me.journal, &me.entry, journal_written, NULL);
    while (me.is_writing)
        (void)g_main_context_iteration(NULL, TRUE);
    g_assert(setrlimit(RLIMIT_FSIZE, &usual) == 0);
}

static void ask(const struct replay_order *order)
{
    struct ctl_verdict verdict = {.kind = (uint32_t)order->verdict};
    struct job_control *job = me.job;
    if (!job) {
        take_error(&(struct err){.code = ERR_NOT_FOUND, .id = "no-job"});
        return;
    }
    memcpy(verdict.secret, order->secret, sizeof verdict.secret);
    job->handlers.request((enum ctl_type)order->kind,
                          order->kind == CTL_QUIT ? (const uint8_t *)&verdict : order->secret, job->user);
}

static void end_job(void)
{
    struct job_control *job = me.job;
    const struct err why = {.code = ERR_PEER_LOST, .id = "job-died"};
    if (job)
        job->handlers.ended(&why, job->user);
}

static void start_shell(bool fails)
{
    vm_done done = g_steal_pointer(&me.shell_done);
    const struct err why = {.code = ERR_INTERNAL, .id = "start-failed"};
    g_assert(done);
    if (fails) {
        done(NULL, &why, me.shell_user);
        return;
    }
    struct vm *vm = vm_new(&me.agent, &me.shell_spec);
    vm->journal = me.shell_journal;
    vm->incoming = true;
    set_qemu(vm, QEMU_WAITS);
    done(vm, &none, me.shell_user);
}

static void answer_cont(enum vm_cont_result result)
{
    struct vm *vm = me.cont_vm;
    const struct err why = {.code = ERR_PEER_LOST, .id = "fake-cont"};
    g_assert(me.cont_done);
    vm->n_conts--;
    if (result == VM_CONT_RUNS) {
        vm->incoming = false;
        set_qemu(vm, QEMU_RUNS);
    }
    (g_steal_pointer(&me.cont_done))(vm, result, result == VM_CONT_RUNS ? &none : &why, me.cont_user);
}

static void answer_end(void)
{
    g_assert(me.end_done);
    set_qemu(me.end_vm, QEMU_NONE);
    (g_steal_pointer(&me.end_done))(me.end_vm, &none, me.end_user);
}

static void qemu_dies(struct vm *vm)
{
    const uint64_t one = 1;
    if (vm && vm->pidfd >= 0)
        g_assert(write(vm->pidfd, &one, sizeof one) == sizeof one);
}

static void qemu_ended(struct vm *vm)
{
    if (!vm)
        return;
    void (*ended)(struct vm *, void *) = vm->ended;
    set_qemu(vm, QEMU_NONE);
    vm->ended = NULL;
    if (ended)
        ended(vm, vm->ended_user);
}

static void take_settled(const struct ownership *ownership, const struct err *err, void *user)
{
    (void)ownership;
    (void)user;
    take_error(err);
}

static void settle(const struct replay_order *order)
{
    struct settle_order by_hand = {
        .is_owner = order->kind != 0, .epoch = order->spec.epoch, .has_spec = true, .spec = order->spec.vm};
    settle_apply(&me.agent, me.uuid, &by_hand, take_settled, NULL);
}

/* By vm_start's rules. */
static void operator_runs(struct vm *vm)
{
    struct err err = {0};
    if (!vm)
        (void)err_set(&err, ERR_NOT_FOUND, "vm-not-found", "there is no VM");
    else if (vm_check_free(vm, &err) == 0 && vm_check_owned(vm, &err) == 0)
        set_qemu(vm, QEMU_RUNS);
    take_error(&err);
}

static void carry_out(const struct replay_order *order)
{
    struct vm *vm = vm_find(&me.agent, me.uuid);
    const char *id = order->spec.id;
    struct err err = {0};
    switch (order->verb) {
    case REPLAY_LOOK:
        break;
    case REPLAY_PREPARE_SOURCE:
        moves_prepare_source(&me.agent, &order->spec, take_prepared, &me);
        break;
    case REPLAY_PREPARE_DESTINATION:
        moves_prepare_destination(&me.agent, &order->spec, take_prepared, NULL);
        break;
    case REPLAY_START:
        moves_start_source(&me.agent, &order->spec, take_done, NULL);
        break;
    case REPLAY_JOB:
        ask(order);
        break;
    case REPLAY_JOB_ENDS:
        end_job();
        break;
    case REPLAY_CANCEL:
        (void)moves_cancel(&me.agent, id, NULL, &err);
        take_error(&err);
        break;
    case REPLAY_COMMIT:
        moves_commit(&me.agent, id, me.uuid, order->secret, take_verdict, NULL);
        break;
    case REPLAY_VERDICT:
        moves_verdict(&me.agent, id, order->verdict, order->secret, take_done, NULL);
        break;
    case REPLAY_WRITE:
        let_write();
        break;
    case REPLAY_REFUSE:
        refuse_write();
        break;
    case REPLAY_SYNC:
        let_sync(order->kind != 0);
        break;
    case REPLAY_SHELL:
        start_shell(order->kind != 0);
        break;
    case REPLAY_CONT:
        answer_cont((enum vm_cont_result)order->kind);
        break;
    case REPLAY_END:
        answer_end();
        break;
    case REPLAY_QEMU_DIES:
        qemu_dies(vm);
        break;
    case REPLAY_QEMU_ENDED:
        qemu_ended(vm);
        break;
    case REPLAY_QEMU_RUNS:
        if (vm)
            set_qemu(vm, QEMU_RUNS);
        break;
    case REPLAY_SETTLE:
        settle(order);
        break;
    case REPLAY_OPERATOR_RUNS:
        operator_runs(vm);
        break;
    }
}

static void describe(const char *id)
{
    struct replay_answer *answer = &me.answer;
    struct vm *vm = vm_find(&me.agent, me.uuid);
    struct move *move = moves_find(&me.agent, id);
    struct move_status status;
    if (move) {
        moves_status(move, &status);
        answer->is_known = true;
        memcpy(answer->commit, status.commit, sizeof answer->commit);
        answer->said = status.verdict;
        memcpy(answer->said_secret, status.verdict_secret, sizeof answer->said_secret);
    }
    answer->wants_write = me.wants_write;
    answer->is_writing = me.is_writing;
    answer->step = me.entry.step;
    answer->epoch = me.entry.epoch;
    answer->wants_shell = me.shell_done != NULL;
    answer->wants_cont = me.cont_done != NULL;
    answer->wants_end = me.end_done != NULL;
    if (me.job)
        g_strlcpy(answer->job, ((const struct move *)me.job->user)->status.id, sizeof answer->job);
    answer->may_run = vm && vm_check_owned(vm, NULL) == 0;
}

/* ---- the process ---- */

/* A VM is listed after a restart if its QEMU lives, or if it is this host's; what is GIVEN may come back. The
 * record of a QEMU that lives is not where the journals are: it leads to the VM also when those are lost. */
static void load_vm(enum replay_qemu qemu)
{
    struct journal *journal;
    struct journal_entry entry;
    struct vm_spec spec = {.name = "moved", .memory_mib = 128, .cpus = 1};
    if (move_open_journal(&me.agent, me.uuid, qemu != QEMU_NONE, &journal, NULL) < 0)
        return;
    journal_read(journal, &entry);
    if (qemu == QEMU_NONE && !journal_may_run(journal) && entry.step != JOURNAL_GIVEN) {
        journal_close(journal);
        return;
    }
    g_strlcpy(spec.uuid, me.uuid, sizeof spec.uuid);
    struct vm *vm = vm_new(&me.agent, &spec);
    vm->journal = journal;
    set_qemu(vm, qemu);
    vm_refresh(vm);
    vm_lease_load(vm);
}

static void agent_up(const char *folder, const char *uuid, enum replay_qemu qemu)
{
    struct agent_config *config = &me.agent.config;
    g_strlcpy(me.uuid, uuid, sizeof me.uuid);
    g_strlcpy(config->name, "replayed", sizeof config->name);
    g_strlcpy(config->state_dir, folder, sizeof config->state_dir);
    g_strlcpy(config->run_dir, folder, sizeof config->run_dir);
    config->lease_s = 3600;
    config->migration_enabled = true;
    config->migration_port = 8000;
    g_strlcpy(me.agent.facts.dirty_source, "async", sizeof me.agent.facts.dirty_source);
    me.agent.door = (struct door *)&me; /* only the fakes see it */
    me.agent.vms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    (void)sem_init(&me.is_in_cache, 0, 0);
    (void)sem_init(&me.may_sync, 0, 0);
    load_vm(qemu);
    moves_recover(&me.agent);
    settle_recover(&me.agent);
}

static void settle_down(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void serve(int fd)
{
    static struct replay_order order;
    settle_down();
    while (recv(fd, &order, sizeof order, 0) == sizeof order) {
        me.answer = (struct replay_answer){0};
        carry_out(&order);
        settle_down();
        describe(order.spec.id);
        if (send(fd, &me.answer, sizeof me.answer, MSG_NOSIGNAL) != sizeof me.answer)
            break;
    }
}

pid_t replay_host_start(const char *folder, const char *uuid, enum replay_qemu qemu, int *ret_socket)
{
    int ends[2];
    int room = 4 * (int)sizeof(struct replay_answer);
    g_autofree char *log = g_strdup_printf("%s/log", folder);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    for (unsigned i = 0; i < 2; i++)
        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        (void)close(ends[0]);
        (void)signal(SIGABRT, SIG_DFL);
        (void)signal(SIGTERM, SIG_DFL);
        (void)signal(SIGINT, SIG_DFL);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || dup2(fd, STDERR_FILENO) < 0)
            _exit(1);
        log_init("host");
        agent_up(folder, uuid, qemu);
        serve(ends[1]);
        _exit(0);
    }
    (void)close(ends[1]);
    *ret_socket = ends[0];
    return pid;
}
