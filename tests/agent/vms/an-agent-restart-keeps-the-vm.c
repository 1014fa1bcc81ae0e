/* SPDX-License-Identifier: Apache-2.0 */
/* The agent is a child process here, so that it can be killed like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/vm_process.h"
#include "base/fdio.h"
#include "fixture.h"

struct told {
    char folder[64];
    char uuid[MODEL_UUID_SIZE];
    int pid;
    uint64_t ram_inode;
    int is_running;
};

static uint64_t inode_of(int fd)
{
    struct stat facts;
    assert_int_equal(fstat(fd, &facts), 0);
    return facts.st_ino;
}

/* The first agent: starts a VM (or is killed before its `cont`), tells about it and waits to be killed. */
static void first_agent(int pipe_fd, bool interrupt)
{
    struct host *host = host_up(NULL);
    struct told told = {0};
    struct vm *vm;
    if (interrupt) {
        struct vm_spec spec = checker_spec("keep");
        struct answer answer = {0};
        struct err err;
        assert_int_equal(vm_create(&host->agent, &spec, &vm, &err), 0);
        vm_start(vm, take_answer, &answer);
        assert_int_equal(vm->status.state, VM_STARTING);
    } else {
        vm = start_checker(host, "keep");
    }
    g_strlcpy(told.folder, host->folder, sizeof told.folder);
    g_strlcpy(told.uuid, vm->status.spec.uuid, sizeof told.uuid);
    told.pid = vm->status.pid;
    told.ram_inode = inode_of(vm->ram_fd);
    assert_int_equal(fdio_write(pipe_fd, &told, sizeof told, NULL), 0);
    for (;;)
        (void)pause();
}

static struct told start_and_kill_agent(bool interrupt)
{
    int ends[2];
    struct told told;
    assert_int_equal(pipe(ends), 0);
    pid_t agent = fork();
    assert_true(agent >= 0);
    if (agent == 0) {
        first_agent(ends[1], interrupt);
        _exit(1);
    }
    (void)close(ends[1]);
    assert_int_equal(fdio_read(ends[0], &told, sizeof told, NULL), 0);
    (void)close(ends[0]);
    assert_int_equal(kill(agent, SIGKILL), 0);
    assert_int_equal(waitpid(agent, NULL, 0), agent);
    return told;
}

/* Nobody may collect the orphan of a killed agent where the tests run: a zombie has ended too. */
static bool has_ended(int pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;
    return !g_file_get_contents(path, &text, NULL, NULL) || strstr(text, ") Z ");
}

static void check_adopted(const struct told *told)
{
    struct host *host = host_up(told->folder);
    struct vm *vm = vm_find(&host->agent, told->uuid);
    assert_non_null(vm);
    assert_int_equal(vm->status.state, VM_RUNNING);
    assert_int_equal(vm->status.pid, told->pid);
    assert_string_equal(vm->status.accel, "tcg");
    assert_true(vm->status.qemu_version[0]);
    assert_true(inode_of(vm->ram_fd) == told->ram_inode);
    size_t at = wait_for_console(vm, "CHK filled", 0);
    (void)wait_for_console(vm, "bad=0", at);
    struct vm_trace trace;
    struct err err = {0};
    assert_int_equal(vm_open_trace(vm, &trace, &err), 0);

    struct answer stopped = {0};
    vm_stop(vm, true, 0, take_answer, &stopped);
    wait_ok(&stopped, "stop");
    assert_int_equal(vm->status.state, VM_OFF);
    assert_true(has_ended(told->pid));
    host_down(host);
}

static void a_running_vm_is_adopted(void **state)
{
    (void)state;
    struct told told = start_and_kill_agent(false);
    check_adopted(&told);
}

static void an_interrupted_start_is_completed(void **state)
{
    (void)state;
    struct told told = start_and_kill_agent(true);
    check_adopted(&told);
}

static void a_qemu_that_ended_meanwhile_is_off(void **state)
{
    (void)state;
    struct told told = start_and_kill_agent(false);
    assert_int_equal(kill(told.pid, SIGKILL), 0);
    while (!has_ended(told.pid))
        (void)usleep(1000);
    struct host *host = host_up(told.folder);
    struct vm *vm = vm_find(&host->agent, told.uuid);
    assert_non_null(vm);
    assert_int_equal(vm->status.state, VM_OFF);
    host_down(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_running_vm_is_adopted),
        cmocka_unit_test(an_interrupted_start_is_completed),
        cmocka_unit_test(a_qemu_that_ended_meanwhile_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
