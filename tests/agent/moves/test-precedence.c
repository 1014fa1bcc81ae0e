/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/precedence.h"

#define OPERATORS_PRIORITY 5

/* A process with four threads: ordinary, with the name of a vCPU, with a policy of the operator's, and one
 * that begins when it is told to. Shared with the test. */
struct process {
    pid_t pid;
    int ordinary, vcpu, arranged, late; /* atomic: thread ids, once they run */
    bool begin_late;                    /* atomic */
};

static void *run_ordinary(void *argument)
{
    __atomic_store_n((int *)argument, (int)gettid(), __ATOMIC_RELEASE);
    for (;;)
        (void)pause();
    return NULL;
}

static void *run_arranged(void *argument)
{
    const struct sched_param param = {.sched_priority = OPERATORS_PRIORITY};
    (void)sched_setscheduler(0, SCHED_RR, &param);
    return run_ordinary(argument);
}

static void *run_vcpu(void *argument)
{
    (void)prctl(PR_SET_NAME, "CPU 0/KVM");
    return run_ordinary(argument);
}

static void run_process(struct process *process)
{
    pthread_t thread;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)pthread_create(&thread, NULL, run_ordinary, &process->ordinary);
    (void)pthread_create(&thread, NULL, run_vcpu, &process->vcpu);
    (void)pthread_create(&thread, NULL, run_arranged, &process->arranged);
    while (!__atomic_load_n(&process->begin_late, __ATOMIC_ACQUIRE))
        (void)usleep(1000);
    (void)pthread_create(&thread, NULL, run_ordinary, &process->late);
    for (;;)
        (void)pause();
}

static int wait_for(const int *thread)
{
    while (!__atomic_load_n(thread, __ATOMIC_ACQUIRE))
        (void)usleep(1000);
    return *thread;
}

static struct process *start(void)
{
    struct process *process =
        mmap(NULL, sizeof *process, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(process, MAP_FAILED);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid)
        run_process(process);
    process->pid = pid;
    (void)wait_for(&process->ordinary);
    (void)wait_for(&process->vcpu);
    (void)wait_for(&process->arranged);
    return process;
}

static void end(struct process *process)
{
    assert_int_equal(kill(process->pid, SIGKILL), 0);
    assert_int_equal(waitpid(process->pid, NULL, 0), process->pid);
    (void)munmap(process, sizeof *process);
}

static int priority_of(int thread)
{
    struct sched_param param;
    assert_int_equal(sched_getparam(thread, &param), 0);
    return param.sched_priority;
}

static void assert_arranged(const struct process *process)
{
    assert_int_equal(sched_getscheduler(process->arranged), SCHED_RR);
    assert_int_equal(priority_of(process->arranged), OPERATORS_PRIORITY);
}

static void all_of_a_switch_over_come_first_until_it_is_over(void **state)
{
    (void)state;
    struct process *qemu = start(), *job = start();
    precedence_take(qemu->pid, job->pid);
    assert_int_equal(sched_getscheduler(qemu->pid), SCHED_RR);
    assert_int_equal(sched_getscheduler(qemu->ordinary), SCHED_RR);
    assert_int_equal(sched_getscheduler(job->ordinary), SCHED_RR);
    assert_int_equal(sched_getscheduler(qemu->vcpu), SCHED_RR);
    /* Who stops a vCPU does not wait for it. */
    assert_true(priority_of(qemu->vcpu) < priority_of(qemu->pid));
    assert_true(priority_of(qemu->vcpu) < priority_of(job->pid));
    assert_true(priority_of(qemu->vcpu) < priority_of(0));
    assert_arranged(qemu);
    __atomic_store_n(&qemu->begin_late, true, __ATOMIC_RELEASE);
    assert_int_equal(sched_getscheduler(wait_for(&qemu->late)), SCHED_RR);
    precedence_give_back(qemu->pid);
    assert_int_equal(sched_getscheduler(qemu->pid), SCHED_OTHER);
    assert_int_equal(sched_getscheduler(qemu->ordinary), SCHED_OTHER);
    assert_int_equal(sched_getscheduler(qemu->vcpu), SCHED_OTHER);
    assert_int_equal(sched_getscheduler(qemu->late), SCHED_OTHER);
    assert_arranged(qemu);
    end(qemu);
    end(job);
}

static void a_qemu_whose_agent_died_loses_it(void **state)
{
    (void)state;
    struct process *qemu = start();
    precedence_take(qemu->pid, 0);
    precedence_withdraw(qemu->pid);
    assert_int_equal(sched_getscheduler(qemu->ordinary), SCHED_OTHER);
    assert_arranged(qemu);
    precedence_give_back(0);
    end(qemu);
}

static void the_agent_has_it_as_long_as_one_needs_it_and_its_children_do_not(void **state)
{
    (void)state;
    precedence_take(0, 0);
    precedence_take(0, 0);
    assert_int_equal(sched_getscheduler(0), SCHED_RR | SCHED_RESET_ON_FORK);
    struct process *child = start();
    assert_int_equal(sched_getscheduler(child->pid), SCHED_OTHER);
    end(child);
    precedence_give_back(0);
    assert_int_equal(sched_getscheduler(0), SCHED_RR | SCHED_RESET_ON_FORK);
    precedence_give_back(0);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_a_switch_over_come_first_until_it_is_over),
        cmocka_unit_test(a_qemu_whose_agent_died_loses_it),
        cmocka_unit_test(the_agent_has_it_as_long_as_one_needs_it_and_its_children_do_not),
    };
    const struct sched_param lowest = {.sched_priority = 1}, none = {0};
    if (sched_setscheduler(0, SCHED_RR, &lowest) < 0) {
        (void)fprintf(stderr, "this machine does not let root set a real-time policy\n");
        return 77;
    }
    (void)sched_setscheduler(0, SCHED_OTHER, &none);
    return cmocka_run_group_tests_name("precedence", tests, NULL, NULL);
}
