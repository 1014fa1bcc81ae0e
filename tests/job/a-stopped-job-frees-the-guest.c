/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real jobs and the real guard; fake agents and a fake guest that writes all the time. A job that is stopped
 * while the guest's writes wait for it is ended by its guard, soon, and the guest goes on; nobody but the job
 * holds a userfaultfd, so nothing else could keep the guest.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_agent.h"
#include "fake_guest.h"

#define GAP_MAX_MS 2000 /* the aim is 500; machines of tests are slow */

static const char *guard_path;
static struct fake_world world;

static int begin(void **state)
{
    (void)state;
    fake_world_start(&world);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fake_world_end(&world);
    return 0;
}

static bool both_ended(const struct fake_world *now)
{
    return now->source.has_result && now->destination.has_result;
}

static bool source_sends(const struct fake_world *now)
{
    return now->source.is_sending;
}

static bool source_hung_up(const struct fake_world *now)
{
    return now->source.control < 0;
}

static bool destination_ended(const struct fake_world *now)
{
    return now->destination.has_result;
}

static void start_both(enum ctl_dirty dirty, uint64_t bandwidth_bytes_s)
{
    struct ctl_job_spec spec;
    fake_spec(&world, CTL_ROLE_DESTINATION, &spec);
    fake_start_destination(&world, &spec, fake_programs.job);
    fake_spec(&world, CTL_ROLE_SOURCE, &spec);
    spec.dirty = dirty;
    spec.bandwidth_bytes_s = bandwidth_bytes_s;
    fake_start_source(&world, &spec);
}

/* A destination that has lost its source waits for it to come back, until the manager tells it. */
static void end_destination(void)
{
    fake_cancel(&world.destination, "the source's job was ended");
    fake_serve_until(&world, destination_ended);
    assert_int_equal(world.destination.result.error.code, ERR_CANCELLED);
    fake_reap_job(&world.destination);
}

static void a_move_must_succeed(void)
{
    start_both(CTL_DIRTY_SYNC, 0);
    fake_serve_until(&world, both_ended);
    assert_true(world.source.result.ok && world.destination.result.ok);
    assert_true(fake_ram_is_equal(&world));
    fake_reap_job(&world.source);
    fake_reap_job(&world.destination);
}

static pid_t start_guard(const struct fake_side *side)
{
    int pidfd = (int)syscall(SYS_pidfd_open, side->job, 0);
    assert_true(pidfd >= 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        char page[16], job[16];
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)snprintf(page, sizeof page, "%d", fcntl(side->beat_fd, F_DUPFD, 50));
        (void)snprintf(job, sizeof job, "%d", fcntl(pidfd, F_DUPFD, 50));
        (void)execl(guard_path, "godwit-guard", page, job, NULL);
        _exit(91);
    }
    (void)close(pidfd);
    return pid;
}

static void collect_guard(pid_t guard)
{
    int status = -1;
    assert_int_equal(waitpid(guard, &status, 0), guard);
    assert_int_equal(status, 0);
}

static void stop_process(pid_t pid)
{
    int status = 0;
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

/* Waits for the end of a job that is stopped; nobody but its guard can bring it about. */
static void await_end_by_guard(struct fake_side *side)
{
    siginfo_t info = {0};
    assert_int_equal(waitid(P_PID, (id_t)side->job, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(info.si_code, CLD_KILLED);
    assert_int_equal(info.si_status, SIGKILL);
    assert_true(beat_silence_ms(side->beat) > 0);
}

/* The kernel says so: it sleeps, and in no system call. */
static bool guest_waits_for_a_page(void)
{
    char path[64], text[8] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/syscall", (int)world.guest.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    (void)!fgets(text, sizeof text, file);
    (void)fclose(file);
    return !strncmp(text, "-1 ", 3);
}

static void a_job_stopped_in_a_synchronous_copy_hardly_stops_the_guest(void **state)
{
    (void)state;
    fake_guest_stop(&world.guest); /* so that no page is free yet */
    start_both(CTL_DIRTY_SYNC, 2000000);
    pid_t guard = start_guard(&world.source);
    fake_serve_until(&world, source_sends);
    (void)fake_guest_gap_ms(&world.guest);
    stop_process(guard); /* or it might be too fast to see anything */
    stop_process(world.source.job);
    fake_guest_run(&world.guest);
    while (!guest_waits_for_a_page())
        (void)poll(NULL, 0, 1);
    assert_int_equal(kill(guard, SIGCONT), 0);
    await_end_by_guard(&world.source);
    unsigned gap_ms = fake_guest_gap_ms(&world.guest);
    print_message("longest gap of the guest: %u ms, job silent for %u ms\n", gap_ms,
                  beat_silence_ms(world.source.beat));
    assert_true(gap_ms <= GAP_MAX_MS);
    collect_guard(guard);
    fake_kill_job(&world.source);
    end_destination();
    fake_guest_must_run(&world);
    a_move_must_succeed();
}

static void a_job_stopped_in_an_asynchronous_copy_is_ended_too(void **state)
{
    (void)state;
    start_both(CTL_DIRTY_ASYNC, 2000000);
    pid_t guard = start_guard(&world.source);
    fake_serve_until(&world, source_sends);
    stop_process(world.source.job);
    await_end_by_guard(&world.source);
    collect_guard(guard);
    fake_kill_job(&world.source);
    end_destination();
    a_move_must_succeed();
}

static void a_destination_job_that_is_stopped_is_ended_too(void **state)
{
    (void)state;
    start_both(CTL_DIRTY_SYNC, 2000000);
    pid_t guard = start_guard(&world.destination);
    fake_serve_until(&world, source_sends);
    stop_process(world.destination.job);
    await_end_by_guard(&world.destination);
    collect_guard(guard);
    fake_kill_job(&world.destination);
    fake_serve_until(&world, source_hung_up);
    fake_kill_job(&world.source);
    fake_guest_must_run(&world);
    a_move_must_succeed();
}

static void a_job_that_works_is_left_alone(void **state)
{
    (void)state;
    start_both(CTL_DIRTY_SYNC, 0);
    pid_t guards[] = {start_guard(&world.source), start_guard(&world.destination)};
    fake_serve_until(&world, both_ended);
    assert_true(world.source.result.ok && world.destination.result.ok);
    assert_int_equal(beat_silence_ms(world.source.beat) + beat_silence_ms(world.destination.beat), 0);
    fake_reap_job(&world.source);
    fake_reap_job(&world.destination);
    collect_guard(guards[0]);
    collect_guard(guards[1]);
}

/* How many userfaultfds a process holds. */
static unsigned count_userfaultfds(const char *pid)
{
    char path[300], target[64];
    unsigned count = 0;
    (void)snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *dir = opendir(path);
    if (!dir)
        return 0; /* has ended meanwhile */
    for (const struct dirent *entry; (entry = readdir(dir));) {
        ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
        if (length > 0) {
            target[length] = '\0';
            count += strstr(target, "[userfaultfd]") != NULL;
        }
    }
    (void)closedir(dir);
    return count;
}

static bool is_ours(const char *pid)
{
    const pid_t ours[] = {getpid(), world.guest.pid, world.door, world.destination.job};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (atoi(pid) == ours[i])
            return true;
    return false;
}

static void nobody_but_the_source_job_holds_the_userfaultfds(void **state)
{
    (void)state;
    char pid[16];
    start_both(CTL_DIRTY_SYNC, 2000000);
    pid_t guard = start_guard(&world.source);
    fake_serve_until(&world, source_sends);
    (void)snprintf(pid, sizeof pid, "%d", (int)world.source.job);
    assert_int_equal(count_userfaultfds(pid), 2);
    (void)snprintf(pid, sizeof pid, "%d", (int)guard);
    assert_int_equal(count_userfaultfds(pid), 0);
    DIR *dir = opendir("/proc");
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (is_ours(entry->d_name))
            assert_int_equal(count_userfaultfds(entry->d_name), 0);
    (void)closedir(dir);
    fake_kill_job(&world.source);
    collect_guard(guard);
}

#define GUARD_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    if (getuid() != 0) {
        print_message("needs root\n");
        return 77;
    }
    fake_programs = (struct fake_programs){.job = argv[1], .door = argv[2]};
    guard_path = argv[3];
    const struct CMUnitTest tests[] = {
        GUARD_TEST(a_job_stopped_in_a_synchronous_copy_hardly_stops_the_guest),
        GUARD_TEST(a_job_stopped_in_an_asynchronous_copy_is_ended_too),
        GUARD_TEST(a_destination_job_that_is_stopped_is_ended_too),
        GUARD_TEST(a_job_that_works_is_left_alone),
        GUARD_TEST(nobody_but_the_source_job_holds_the_userfaultfds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
