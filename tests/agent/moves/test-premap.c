/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/premap.h"
#include "base/err.h"

#define MIB (1ull << 20)
#define SIZE (64 * MIB)
#define GIVE_UP_S 60
/* What comes last is mapped once more has come behind it. */
#define LAST (16 * MIB)

/* A process that maps memory and never touches it. */
struct process {
    pid_t pid;
    int fd;
    void *address;
};

static struct process start(void)
{
    struct process process = {.fd = memfd_create("ram", MFD_CLOEXEC)};
    assert_true(process.fd >= 0 && ftruncate(process.fd, SIZE) == 0);
    process.address = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, process.fd, 0);
    assert_ptr_not_equal(process.address, MAP_FAILED);
    process.pid = fork();
    assert_true(process.pid >= 0);
    if (!process.pid) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void)pause();
    }
    return process;
}

static void end(struct process *process)
{
    (void)kill(process->pid, SIGKILL);
    assert_int_equal(waitpid(process->pid, NULL, 0), process->pid);
    (void)munmap(process->address, SIZE);
    (void)close(process->fd);
}

static void write_data(const struct process *process, uint64_t from, uint64_t to)
{
    static uint8_t data[MIB];
    memset(data, 0x5a, sizeof data);
    for (; from < to; from += MIB)
        assert_int_equal(pwrite(process->fd, data, MIB, (off_t)from), MIB);
}

static uint64_t mapped_bytes(const struct process *process)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)process->pid);
    g_autofree char *text = NULL;
    unsigned long kib = 0;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    const char *at = strstr(text, "RssShmem:");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "RssShmem: %lu kB", &kib), 1);
    return (uint64_t)kib << 10;
}

/* The kernel's count lags behind by up to some dozen pages a core. */
static void wait_mapped(const struct process *process, uint64_t bytes)
{
    bytes -= MIB;
    gint64 deadline = g_get_monotonic_time() + GIVE_UP_S * G_USEC_PER_SEC;
    while (mapped_bytes(process) < bytes && g_get_monotonic_time() < deadline)
        (void)usleep(1000);
    assert_in_range(mapped_bytes(process), bytes, SIZE);
}

static uint64_t allocated_bytes(const struct process *process)
{
    struct stat facts;
    assert_int_equal(fstat(process->fd, &facts), 0);
    return (uint64_t)facts.st_blocks * 512;
}

static struct premap *begin(const struct process *process)
{
    struct err err = {0};
    struct premap_memory memory = {process->pid, process->fd, (uint64_t)(uintptr_t)process->address, SIZE};
    struct premap *premap = premap_begin(&memory, &err);
    assert_non_null(premap);
    return premap;
}

static void what_has_arrived_is_mapped_and_holes_stay_holes(void **state)
{
    (void)state;
    struct process process = start();
    struct premap *premap = begin(&process);
    assert_int_equal(mapped_bytes(&process), 0);
    write_data(&process, 0, 24 * MIB);
    wait_mapped(&process, 24 * MIB - LAST);
    write_data(&process, 40 * MIB, SIZE);
    wait_mapped(&process, 24 * MIB + 24 * MIB - LAST);
    assert_int_equal(allocated_bytes(&process), 48 * MIB);
    premap_end(premap);
    end(&process);
}

static void a_qemu_that_ends_does_no_harm(void **state)
{
    (void)state;
    struct process process = start();
    struct premap *premap = begin(&process);
    end(&process);
    premap_end(premap);
    premap_end(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_arrived_is_mapped_and_holes_stay_holes),
        cmocka_unit_test(a_qemu_that_ends_does_no_harm),
    };
    return cmocka_run_group_tests_name("premap", tests, NULL, NULL);
}
