/* SPDX-License-Identifier: Apache-2.0 */
#include "two_hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/journal.h"
#include "agent/vm_process.h"

void copy_ram(const struct vm *from, const struct vm *to)
{
    char buffer[65536];
    for (off_t at = 0; at < (off_t)from->ram_size; at += (off_t)sizeof buffer) {
        assert_int_equal(pread(from->ram_fd, buffer, sizeof buffer, at), sizeof buffer);
        assert_int_equal(pwrite(to->ram_fd, buffer, sizeof buffer, at), sizeof buffer);
    }
}

char *save(struct vm *vm, size_t *ret_size)
{
    int pair[2];
    struct answer saved = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    vm_pass_stream(vm, pair[1]);
    vm_save(vm, take_answer, &saved);
    assert_int_equal(close(pair[1]), 0);
    GByteArray *state = g_byte_array_new();
    while (!saved.there) {
        guint8 buffer[65536];
        ssize_t got = read(pair[0], buffer, sizeof buffer);
        if (got > 0)
            (void)g_byte_array_append(state, buffer, (guint)got);
        else
            (void)g_main_context_iteration(NULL, FALSE);
    }
    wait_ok(&saved, "save");
    assert_int_equal(fcntl(pair[0], F_SETFL, 0), 0);
    for (;;) {
        guint8 buffer[65536];
        ssize_t got = read(pair[0], buffer, sizeof buffer);
        assert_true(got >= 0);
        if (!got)
            break;
        (void)g_byte_array_append(state, buffer, (guint)got);
    }
    (void)close(pair[0]);
    *ret_size = state->len;
    return (char *)g_byte_array_free(state, FALSE);
}

struct feed {
    int fd;
    const char *data;
    size_t size;
};

static gpointer feed_thread(gpointer user)
{
    struct feed *feed = user;
    size_t sent = 0;
    while (sent < feed->size) {
        ssize_t put = send(feed->fd, feed->data + sent, feed->size - sent, MSG_NOSIGNAL);
        if (put <= 0)
            break;
        sent += (size_t)put;
    }
    (void)close(feed->fd);
    return NULL;
}

void load(struct vm *vm, const char *data, size_t size, struct answer *answer)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    vm_pass_stream(vm, pair[1]);
    vm_load(vm, take_answer, answer);
    assert_int_equal(close(pair[1]), 0);
    struct feed feed = {.fd = pair[0], .data = data, .size = size};
    GThread *thread = g_thread_new("feed", feed_thread, &feed);
    wait_until(&answer->there, 60, "load");
    (void)g_thread_join(thread);
}

static void on_ran(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user)
{
    (void)vm;
    struct ran *ran = user;
    *ran = (struct ran){.there = true, .result = result, .err = *err};
}

struct ran cont(struct vm *vm, unsigned deadline_ms)
{
    struct ran ran = {0};
    vm_cont(vm, deadline_ms, on_ran, &ran);
    wait_until(&ran.there, 60, "cont");
    return ran;
}

struct vm *shell(struct host *host, const struct vm_spec *spec)
{
    struct journal *journal;
    struct err err = {0};
    struct answer answer = {0};
    g_autofree char *path = vm_journal_path(&host->agent, spec->uuid);
    const struct journal_entry incoming = {.step = JOURNAL_INCOMING, .epoch = 1};
    assert_int_equal(journal_open(path, &journal, &err), 0);
    assert_int_equal(journal_write_sync(journal, &incoming, &err), 0);
    vm_shell(&host->agent, spec, "tcg", journal, take_answer, &answer);
    wait_ok(&answer, "shell");
    assert_int_equal(answer.vm->status.state, VM_INCOMING);
    return answer.vm;
}

void pause_vm(struct vm *vm)
{
    struct answer paused = {0};
    vm_pause(vm, take_answer, &paused);
    wait_ok(&paused, "pause");
    assert_int_equal(vm->status.state, VM_PAUSED);
}

void check_goes_on(struct vm *vm, size_t from)
{
    size_t at = wait_for_console(vm, "sweeps=", from);
    at = wait_for_console(vm, "bad=0", at);
    g_autofree char *console = console_text(vm);
    assert_null(strstr(console + from, "CHK bad"));
    assert_null(strstr(console + from, "CHK start"));
}

struct vm *bring_over(struct vm *vm, struct host *destination)
{
    struct vm *arrived = shell(destination, &vm->status.spec);
    struct answer loaded = {0};
    size_t size;
    pause_vm(vm);
    copy_ram(vm, arrived);
    g_autofree char *device_state = save(vm, &size);
    load(arrived, device_state, size, &loaded);
    wait_ok(&loaded, "load");
    return arrived;
}
