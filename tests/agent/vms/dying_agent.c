/* SPDX-License-Identifier: Apache-2.0 */
#include "dying_agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

static bool changes_something(uint64_t number)
{
    static const uint64_t numbers[] = {SYS_rename,    SYS_unlink, SYS_rmdir, SYS_mkdir,   SYS_fdatasync,
                                       SYS_fallocate, SYS_bind,   SYS_clone, SYS_clone3,  SYS_vfork,
                                       SYS_sendmsg,   SYS_chmod,  SYS_ioctl, SYS_fchmodat};
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++)
        if (numbers[i] == number)
            return true;
    return false;
}

static _Noreturn void dying_agent(const struct dying_verb *verb, const char *folder)
{
    struct host *host = verb->up(folder);
    if (verb->prepare)
        verb->prepare(host);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(1);
    (void)raise(SIGSTOP);
    verb->run(host);
    _exit(0);
}

struct left dying_scene;

int dying_scene_sweep(void **state)
{
    left_sweep(&dying_scene);
    return hosts_sweep(state);
}

bool dies_after_change(const struct dying_verb *verb, unsigned k)
{
    g_strlcpy(dying_scene.folder, "/tmp/agentvm-XXXXXX", sizeof dying_scene.folder);
    assert_non_null(mkdtemp(dying_scene.folder));
    unsigned n = 0;
    int status;
    int pass_on = 0;
    pid_t agent = fork();
    assert_true(agent >= 0);
    if (agent == 0)
        dying_agent(verb, dying_scene.folder);
    assert_int_equal(waitpid(agent, &status, 0), agent);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, agent, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
    for (;;) {
        struct ptrace_syscall_info info;
        assert_int_equal(ptrace(PTRACE_SYSCALL, agent, NULL, pass_on), 0);
        assert_int_equal(waitpid(agent, &status, 0), agent);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            return false;
        }
        assert_true(WIFSTOPPED(status));
        pass_on = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
        if (pass_on)
            continue;
        assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, agent, sizeof info, &info) > 0);
        static uint64_t entered;
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
            entered = info.entry.nr;
        if (info.op != PTRACE_SYSCALL_INFO_EXIT || !changes_something(entered) || ++n < k)
            continue;
        (void)fprintf(stderr, "---- %s: killed after change %u (system call %u)\n", verb->name, k,
                      (unsigned)entered);
        assert_int_equal(kill(agent, SIGKILL), 0);
        assert_int_equal(waitpid(agent, &status, 0), agent);
        return true;
    }
}
