/* SPDX-License-Identifier: Apache-2.0 */
/* In a network namespace of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/journal.h"
#include "agent/vm_process.h"
#include "fixture.h"
#include "qemu/caps.h"

#define MTU 1400

static int enter_namespace(void)
{
    return unshare(CLONE_NEWNET) == 0 &&
                   system("ip link add br0 type bridge && ip link set br0 mtu 1400 up") == 0
               ? 0
               : -1;
}

static struct host *host_with_network(void)
{
    struct host *host = host_up(NULL);
    host->agent.config.n_networks = 1;
    host->agent.config.networks[0] = (struct host_network){.name = "vmnet", .bridge = "br0"};
    return host;
}

static struct vm_spec spec_with_nics(void)
{
    struct vm_spec spec = checker_spec("net");
    spec.n_nics = 2;
    for (unsigned i = 0; i < spec.n_nics; i++) {
        g_strlcpy(spec.nics[i].network, "vmnet", sizeof spec.nics[i].network);
        (void)snprintf(spec.nics[i].mac, sizeof spec.nics[i].mac, "52:54:00:00:00:0%u", (i + 1) % 10);
    }
    return spec;
}

static int request(const char *name, unsigned long what, struct ifreq *ret)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memset(ret, 0, sizeof *ret);
    g_strlcpy(ret->ifr_name, name, sizeof ret->ifr_name);
    int result = ioctl(fd, what, ret);
    (void)close(fd);
    return result;
}

static bool is_up(const char *name)
{
    struct ifreq answer;
    assert_int_equal(request(name, SIOCGIFFLAGS, &answer), 0);
    return answer.ifr_flags & IFF_UP;
}

static void check_taps(const struct vm *vm, bool up)
{
    assert_int_equal(vm->process->n_taps, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct ifreq answer;
        const char *name = vm->process->taps[i];
        assert_true(strlen(name) > 0 && strlen(name) <= 15);
        assert_int_equal(is_up(name), up);
        assert_int_equal(request(name, SIOCGIFMTU, &answer), 0);
        assert_int_equal(answer.ifr_mtu, MTU);
    }
    assert_string_not_equal(vm->process->taps[0], vm->process->taps[1]);
}

static int listen_on_bridge(void)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    struct timeval limit = {.tv_sec = 20};
    address.sll_ifindex = (int)if_nametoindex("br0");
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* True if a frame of the guest's address waits, or comes in time. */
static bool guest_was_heard(int fd, int flags)
{
    unsigned char frame[2048];
    ssize_t got;
    while ((got = recv(fd, frame, sizeof frame, flags)) > 0)
        if (got > 12 && !memcmp(frame + 6, "\x52\x54\x00\x00\x00\x01", 6))
            return true;
    return false;
}

static void a_start_brings_it_up_and_the_end_takes_it_away(void **state)
{
    (void)state;
    struct host *host = host_with_network();
    struct vm_spec spec = spec_with_nics();
    struct vm *vm;
    struct err err = {0};
    struct answer started = {0};
    int frames = listen_on_bridge();
    assert_int_equal(vm_create(&host->agent, &spec, &vm, &err), 0);
    vm_start(vm, take_answer, &started);
    wait_ok(&started, "start");
    check_taps(vm, true);
    g_autofree char *tap = g_strdup(vm->process->taps[0]);
    /* The announcement that follows `cont` passes the bridge: the tap is its port. */
    gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (!guest_was_heard(frames, MSG_DONTWAIT)) {
        assert_true(g_get_monotonic_time() < deadline);
        (void)g_main_context_iteration(NULL, FALSE);
        (void)usleep(1000);
    }
    struct answer stopped = {0};
    vm_stop(vm, true, 0, take_answer, &stopped);
    wait_ok(&stopped, "stop");
    struct ifreq answer;
    assert_int_equal(request(tap, SIOCGIFFLAGS, &answer), -1);
    (void)close(frames);
    host_down(host);
}

static void a_shell_is_silent(void **state)
{
    (void)state;
    struct host *host = host_with_network();
    struct vm_spec spec = spec_with_nics();
    struct journal *journal;
    struct err err = {0};
    struct answer answer = {0};
    int frames = listen_on_bridge();
    vm_shell(&host->agent, &spec, "tcg", NULL, take_answer, &answer);
    assert_true(answer.there && !answer.vm);
    assert_string_equal(answer.err.id, "vm-machine-missing");
    answer = (struct answer){0};

    g_strlcpy(spec.machine, host->agent.qemu->machine, sizeof spec.machine);
    g_strlcpy(spec.cpu_model, "qemu64", sizeof spec.cpu_model);
    g_autofree char *path = vm_journal_path(&host->agent, spec.uuid);
    const struct journal_entry incoming = {.step = JOURNAL_INCOMING, .epoch = 1};
    assert_int_equal(journal_open(path, &journal, &err), 0);
    assert_int_equal(journal_write_sync(journal, &incoming, &err), 0);
    vm_shell(&host->agent, &spec, "tcg", journal, take_answer, &answer);
    wait_ok(&answer, "shell");
    check_taps(answer.vm, false);
    assert_false(guest_was_heard(frames, MSG_DONTWAIT));
    (void)close(frames);
    host_down(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_brings_it_up_and_the_end_takes_it_away),
        cmocka_unit_test(a_shell_is_silent),
    };
    if (enter_namespace() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
