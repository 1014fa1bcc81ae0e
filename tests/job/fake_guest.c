/* SPDX-License-Identifier: Apache-2.0 */
/* The guest of the fake agent: see fake_agent.h. */
#include "fake_guest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/userfaultfd.h>

#include "base/clock.h"
#include "base/err.h"

#define PAGE 4096u
enum { COMMAND_STOP = 's', COMMAND_RUN = 'r', COMMAND_PASS = 'p', COMMAND_PAIR = 'u', COMMAND_GAP = 'g' };

static void send_pair(int commands)
{
    struct ctl_msg msg;
    int pair[2];
    int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    pair[0] = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    pair[1] = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    ctl_fill(&msg, COMMAND_PAIR, 0, NULL, 0);
    if (device < 0 || pair[1] < 0 || ctl_send(commands, &msg, pair, 2, NULL) < 0)
        _exit(2);
    (void)close(pair[0]);
    (void)close(pair[1]);
    (void)close(device);
}

static void write_page(uint8_t *ram, uint64_t *stamp)
{
    uint64_t n_pages = FAKE_RAM_SIZE / PAGE;
    uint64_t page = (*stamp * 2654435761u) % n_pages;
    uint64_t *words = (uint64_t *)(void *)(ram + page * PAGE);
    for (unsigned i = 0; i < PAGE / sizeof *words; i += 8)
        words[i] = ++*stamp;
}

/* Rewrites random pages for ever, and does as it is told in between. */
static void run_guest(uint8_t *ram, int commands)
{
    uint64_t stamp = 1;
    bool stopped = false;
    uint64_t longest_ns = 0, last_ns = clock_now_ns();
    for (;;) {
        uint8_t command;
        ssize_t got = recv(commands, &command, 1, stopped ? 0 : MSG_DONTWAIT);
        if (got == 0)
            _exit(0);
        if (got == 1 && command == COMMAND_PAIR) {
            send_pair(commands);
        } else if (got == 1 && command == COMMAND_GAP) {
            uint32_t gap_ms = (uint32_t)(longest_ns / NS_PER_MS);
            longest_ns = 0;
            if (send(commands, &gap_ms, sizeof gap_ms, MSG_NOSIGNAL) != sizeof gap_ms)
                _exit(0);
        } else if (got == 1) {
            if (command == COMMAND_PASS)
                for (unsigned page = 0; page < FAKE_RAM_SIZE / PAGE; page++)
                    ram[page * PAGE + 8]++;
            else
                stopped = command == COMMAND_STOP;
            if (send(commands, &command, 1, MSG_NOSIGNAL) != 1)
                _exit(0);
        }
        if (!stopped)
            for (unsigned i = 0; i < 16; i++)
                write_page(ram, &stamp);
        uint64_t now_ns = clock_now_ns();
        if (!stopped && now_ns - last_ns > longest_ns)
            longest_ns = now_ns - last_ns;
        last_ns = now_ns;
        /* A part of the memory rests, so that the machine can do something else and rounds shrink. */
        if (!stopped)
            (void)usleep(500);
    }
}

void fake_guest_start(struct fake_guest *guest)
{
    int ends[2];
    guest->ram = memfd_create("fake-guest", MFD_CLOEXEC);
    assert_true(guest->ram >= 0);
    assert_int_equal(ftruncate(guest->ram, FAKE_RAM_SIZE), 0);
    uint8_t *ram = mmap(NULL, FAKE_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, guest->ram, 0);
    assert_true(ram != MAP_FAILED);
    for (size_t i = 0; i < FAKE_RAM_SIZE / 2; i++) /* the upper half is holes at first */
        ram[i] = (uint8_t)(i * 31 + (i >> 12));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    guest->pid = fork();
    assert_true(guest->pid >= 0);
    if (!guest->pid) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(ends[0]);
        run_guest(ram, ends[1]);
    }
    (void)close(ends[1]);
    guest->commands = ends[0];
    guest->address = (uint64_t)ram; /* the child has it at the same place */
    guest->pidfd = (int)syscall(SYS_pidfd_open, guest->pid, 0);
    assert_true(guest->pidfd >= 0);
    assert_int_equal(munmap(ram, FAKE_RAM_SIZE), 0);
}

static void tell(struct fake_guest *guest, uint8_t command)
{
    uint8_t answer = 0;
    assert_int_equal(send(guest->commands, &command, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(guest->commands, &answer, 1, 0), 1);
    assert_int_equal(answer, command);
}

void fake_guest_stop(struct fake_guest *guest)
{
    tell(guest, COMMAND_STOP);
}

void fake_guest_run(struct fake_guest *guest)
{
    tell(guest, COMMAND_RUN);
}

void fake_guest_pass(struct fake_guest *guest)
{
    tell(guest, COMMAND_PASS);
}

void fake_guest_pair(struct fake_guest *guest, int ret_pair[2])
{
    uint8_t command = COMMAND_PAIR;
    struct ctl_msg msg;
    struct err err;
    size_t n_fds = 2;
    assert_int_equal(send(guest->commands, &command, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(ctl_recv(guest->commands, &msg, ret_pair, &n_fds, &err), 0);
    assert_int_equal(n_fds, 2);
}

unsigned fake_guest_gap_ms(struct fake_guest *guest)
{
    uint8_t command = COMMAND_GAP;
    uint32_t gap_ms = 0;
    assert_int_equal(send(guest->commands, &command, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(guest->commands, &gap_ms, sizeof gap_ms, 0), sizeof gap_ms);
    return gap_ms;
}

void fake_guest_end(struct fake_guest *guest)
{
    if (!guest->pid)
        return;
    (void)kill(guest->pid, SIGKILL);
    (void)waitpid(guest->pid, NULL, 0);
    (void)close(guest->commands);
    (void)close(guest->pidfd);
    (void)close(guest->ram);
    guest->pid = 0;
}
