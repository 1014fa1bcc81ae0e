/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/vm_process.h"
#include "base/fdio.h"
#include "fixture.h"

#define STATE_S 60

static void wait_for_state(const struct vm *vm, enum vm_state state)
{
    gint64 deadline = g_get_monotonic_time() + STATE_S * G_USEC_PER_SEC;
    while (vm->status.state != state) {
        assert_true(g_get_monotonic_time() < deadline);
        (void)g_main_context_iteration(NULL, FALSE);
        (void)usleep(1000);
    }
}

static void wait_for_word(int fd, const char *word)
{
    g_autoptr(GString) text = g_string_new(NULL);
    while (!strstr(text->str, word)) {
        char byte;
        assert_int_equal(fdio_read(fd, &byte, 1, NULL), 0);
        g_string_append_c(text, byte);
    }
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static const char hello[] = "{\"execute\":\"qmp_capabilities\"}\n";
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    wait_for_word(fd, "QMP");
    assert_int_equal(fdio_write(fd, hello, strlen(hello), NULL), 0);
    wait_for_word(fd, "return");
    return fd;
}

/* Takes QEMU's only control connection while the agent has none; its main loop stands meanwhile. */
static int take_connection(const struct vm *vm)
{
    g_autofree char *path = vm_path(vm, "qmp.sock");
    cut_qmp(vm);
    return connect_to(path);
}

static void tell(int fd, const char *command)
{
    g_autofree char *text = g_strdup_printf("{\"execute\":\"%s\"}\n", command);
    assert_int_equal(fdio_write(fd, text, strlen(text), NULL), 0);
    wait_for_word(fd, "return");
}

static void what_happened_meanwhile_is_asked(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *vm = start_checker(host, "cut");
    int fd = take_connection(vm);
    tell(fd, "stop");
    (void)close(fd);
    assert_int_equal(vm->status.state, VM_RUNNING); /* nobody has said */
    wait_for_state(vm, VM_PAUSED);
    fd = take_connection(vm);
    tell(fd, "cont");
    (void)close(fd);
    wait_for_state(vm, VM_RUNNING);
    host_down(host);
}

static void a_qemu_that_did_not_answer_for_long_is_known_again_when_it_does(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *vm = start_checker(host, "mute");
    int fd = take_connection(vm);
    wait_for_state(vm, VM_UNKNOWN);
    (void)close(fd);
    wait_for_state(vm, VM_RUNNING);
    struct answer paused = {0};
    vm_pause(vm, take_answer, &paused);
    wait_ok(&paused, "pause");
    assert_int_equal(vm->status.state, VM_PAUSED);
    host_down(host);
}

static void check_died(const struct vm *vm, struct answer *answer)
{
    g_autofree char *name =
        g_strdup_printf("VM %s on host %s ended", vm->status.spec.name, vm->agent->config.name);
    wait_until(&answer->there, STATE_S, "the answer");
    assert_string_equal(answer->err.id, "qemu-died");
    assert_non_null(strstr(answer->err.message, name));
    assert_non_null(strstr(answer->err.message, "signal 9"));
    assert_true(answer->err.fix[0]);
    wait_for_state(vm, VM_OFF);
}

static void a_qemu_that_dies_under_a_move_is_not_reported_as_a_lost_connection(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *vm = start_checker(host, "dies");
    struct answer pause = {0};
    assert_int_equal(kill(vm->status.pid, SIGKILL), 0);
    vm_pause(vm, take_answer, &pause);
    check_died(vm, &pause);
    vm = start_checker(host, "dies2");
    struct answer save = {0};
    int stream[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
    assert_int_equal(kill(vm->status.pid, SIGKILL), 0);
    vm_pass_stream(vm, stream[0]);
    vm_save(vm, take_answer, &save);
    check_died(vm, &save);
    (void)close(stream[0]);
    (void)close(stream[1]);
    host_down(host);
}

/* The agent was killed before `cont`, and the next one cannot reach QEMU when it starts. */
static void a_guest_that_stood_meanwhile_goes_on(void **state)
{
    (void)state;
    struct left left = host_of_killed_agent();
    g_autofree char *path = g_strdup_printf("%s/run/vms/%s/qmp.sock", left.folder, left.uuid);
    int fd = connect_to(path);
    tell(fd, "stop");
    struct host *host = host_up(left.folder);
    const struct vm *vm = vm_find(&host->agent, left.uuid);
    assert_int_equal(vm->status.state, VM_UNKNOWN);
    (void)close(fd);
    wait_for_state(vm, VM_RUNNING);
    host_down(host);
}

/* Nobody knows whose it is, and it may be the only one. */
static void a_guest_whose_journal_is_lost_is_left_alone(void **state)
{
    (void)state;
    struct left left = host_of_killed_agent();
    g_autofree char *path = g_strdup_printf("%s/run/vms/%s/qmp.sock", left.folder, left.uuid);
    g_autofree char *journal = g_strdup_printf("%s/state/vms/%s.journal", left.folder, left.uuid);
    g_autofree char *config = g_strdup_printf("%s/state/vms/%s.json", left.folder, left.uuid);
    assert_int_equal(unlink(journal), 0);
    assert_int_equal(unlink(config), 0);
    int fd = connect_to(path);
    struct host *host = host_up(left.folder);
    const struct vm *vm = vm_find(&host->agent, left.uuid);
    assert_non_null(vm);
    assert_int_equal(vm->status.state, VM_UNKNOWN);
    (void)close(fd);
    wait_for_state(vm, VM_RUNNING);
    assert_int_equal(vm->status.pid, left.pid);
    assert_int_equal(vm_check_owned(vm, NULL), -1);
    host_down(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_happened_meanwhile_is_asked),
        cmocka_unit_test(a_qemu_that_dies_under_a_move_is_not_reported_as_a_lost_connection),
        cmocka_unit_test(a_guest_that_stood_meanwhile_goes_on),
        cmocka_unit_test(a_guest_whose_journal_is_lost_is_left_alone),
        cmocka_unit_test(a_qemu_that_did_not_answer_for_long_is_known_again_when_it_does),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
