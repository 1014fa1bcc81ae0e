/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The job is a process of its own that holds the only reference to the synchronous userfaultfd of our address
 * space. It is stopped, a write of ours blocks, then it is killed: the kernel must release the write.
 */
#include "rig.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct writer {
    struct thread thread;
    uint8_t *page;
    int task;  /* atomic: thread id, once it is about to write */
    bool done; /* atomic */
};

static void *write_once(void *argument)
{
    struct writer *writer = argument;
    __atomic_store_n(&writer->task, (int)gettid(), __ATOMIC_RELEASE);
    memset(writer->page, 0x77, 8);
    __atomic_store_n(&writer->done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* The kernel says where the thread sleeps. */
static bool is_blocked_in_fault(int task)
{
    char path[64], where[64] = "";
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/stat", task);
    FILE *file = fopen(path, "r");
    char state = '?';
    if (file) {
        (void)fscanf(file, "%*d (%63[^)]) %c", where, &state);
        (void)fclose(file);
    }
    return state == 'S' || state == 'D';
}

static void await_block(struct writer *writer)
{
    unsigned seen = 0;
    while (seen < 20) {
        int task = __atomic_load_n(&writer->task, __ATOMIC_ACQUIRE);
        seen = task && is_blocked_in_fault(task) ? seen + 1 : 0;
        (void)poll(NULL, 0, 5);
    }
}

/* The child: becomes the job, says so, and works until it is killed. */
static void be_the_job(struct engine_source_config config, int ready_fd)
{
    struct engine_source *source;
    struct err err;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when this test itself dies */
    if (engine_source_new(&config, &source, &err) < 0) {
        (void)fprintf(stderr, "job: %s (%s)\n", err.message, err.cause);
        _exit(1);
    }
    (void)!write(ready_fd, "r", 1);
    (void)pause();
    _exit(0);
}

static pid_t start_job(struct rig *rig, struct rig_attempt *attempt)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    rig_open(attempt);
    struct engine_source_config config = rig_source_config(rig, attempt);
    pid_t job = fork();
    assert_true(job >= 0);
    if (!job)
        be_the_job(config, ready[1]);
    /* Nobody but the job holds these from here on. */
    (void)close(config.uffd_async);
    (void)close(config.uffd_sync);
    (void)close(config.ram_fd);
    (void)close(config.pagemap_fd);
    (void)close(config.channels[0]);
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return job;
}

static void end_job(pid_t job, struct rig_attempt *attempt)
{
    assert_int_equal(kill(job, SIGKILL), 0);
    assert_int_equal(waitpid(job, NULL, 0), job);
    (void)close(attempt->destination_channels[0]);
    rig_close(attempt);
}

static void blocked_writer_is_released(void **state)
{
    (void)state;
    struct rig rig;
    struct err err;
    rig_init(&rig, 8 * MIB);
    rig_fill(&rig, 0, 8 * MIB, 61);
    struct rig_attempt attempt = {.n_channels = 1, .dirty = ENGINE_DIRTY_SYNC};
    pid_t job = start_job(&rig, &attempt);

    struct writer served = {.page = rig.guest};
    assert_int_equal(thread_start(&served.thread, "guest", write_once, &served, &err), 0);
    thread_join(&served.thread); /* a job that lives lets us write */

    assert_int_equal(kill(job, SIGSTOP), 0);
    int status;
    assert_int_equal(waitpid(job, &status, WUNTRACED), job);
    struct writer blocked = {.page = rig.guest + MIB};
    assert_int_equal(thread_start(&blocked.thread, "guest", write_once, &blocked, &err), 0);
    await_block(&blocked);
    assert_false(__atomic_load_n(&blocked.done, __ATOMIC_ACQUIRE));

    end_job(job, &attempt);
    thread_join(&blocked.thread);
    assert_true(blocked.done);
    assert_int_equal(rig.source[MIB], 0x77);

    struct rig_attempt next = {.n_channels = 1, .dirty = ENGINE_DIRTY_SYNC, .verify = true};
    rig_move(&rig, &next);
    rig_clear(&rig);
}

static void async_writer_never_blocks(void **state)
{
    (void)state;
    struct rig rig;
    struct err err;
    rig_init(&rig, 8 * MIB);
    rig_fill(&rig, 0, 8 * MIB, 62);
    struct rig_attempt attempt = {.n_channels = 1, .dirty = ENGINE_DIRTY_ASYNC};
    pid_t job = start_job(&rig, &attempt);
    assert_int_equal(kill(job, SIGSTOP), 0);
    struct writer writer = {.page = rig.guest + MIB};
    assert_int_equal(thread_start(&writer.thread, "guest", write_once, &writer, &err), 0);
    thread_join(&writer.thread);
    assert_true(writer.done);
    end_job(job, &attempt);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocked_writer_is_released),
        cmocka_unit_test(async_writer_never_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
