/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/spawn.h"
#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "fixture.h"

#define LEAK_FD 200

static char *proc_text(int pid, const char *file)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", pid, file);
    char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

/* The rest of the line that begins with `field`; g_free. */
static char *field_of(const char *text, const char *field)
{
    const char *at = strstr(text, field);
    assert_non_null(at);
    at += strlen(field);
    return g_strndup(at, strcspn(at, "\n"));
}

static void qemu_has_no_rights(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *vm = start_checker(host, "rights");
    g_autofree char *status = proc_text(vm->status.pid, "status");
    g_autofree char *uid = field_of(status, "\nUid:");
    g_autofree char *gid = field_of(status, "\nGid:");
    g_autofree char *groups = field_of(status, "\nGroups:");
    g_autofree char *seccomp = field_of(status, "\nSeccomp:");
    g_autofree char *no_new = field_of(status, "\nNoNewPrivs:");
    g_autofree char *permitted = field_of(status, "\nCapPrm:");
    g_autofree char *effective = field_of(status, "\nCapEff:");
    assert_string_equal(uid, "\t64101\t64101\t64101\t64101");
    assert_string_equal(gid, "\t64101\t64101\t64101\t64101");
    assert_string_equal(g_strstrip(groups), "");
    assert_string_equal(seccomp, "\t2");
    assert_string_equal(no_new, "\t1");
    assert_string_equal(permitted, "\t0000000000000000");
    assert_string_equal(effective, "\t0000000000000000");
    host_down(host);
}

static bool is_expected(const char *target, const struct host *host)
{
    static const char *const kinds[] = {
        "/dev/null", "/dev/urandom", "/memfd:ram-", "anon_inode:", "socket:[", "pipe:[", "/dev/userfaultfd"};
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (g_str_has_prefix(target, kinds[i]))
            return true;
    const char *last = strrchr(target, '/');
    static const char *const files[] = {"/console.log", "/qemu.log", "/godwit-trace.so", "/checker.elf"};
    for (unsigned i = 0; last && i < G_N_ELEMENTS(files); i++)
        if (!strcmp(last, files[i]))
            return true;
    (void)fprintf(stderr, "stray descriptor: %s (host in %s)\n", target, host->folder);
    return false;
}

/* A file of the agent (its state, its lock, a file that a test holds open) must not reach QEMU, and no
 * userfaultfd may stay in it. */
static void qemu_inherits_what_it_needs_and_nothing_else(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    /* Not close-on-exec on purpose, and above the numbers that the child gets: the launcher must close it. */
    g_autofree char *secret = g_strdup_printf("%s/state/secret", host->folder);
    int low = open(secret, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(low >= 0);
    assert_int_equal(fcntl(low, F_DUPFD, LEAK_FD), LEAK_FD);
    struct vm *vm = start_checker(host, "fds");
    int before = -1;
    for (int attempt = 0; attempt < 2; attempt++) {
        g_autofree char *folder = g_strdup_printf("/proc/%d/fd", vm->status.pid);
        DIR *dir = opendir(folder);
        assert_non_null(dir);
        int n_sockets = 0;
        const struct dirent *entry;
        while ((entry = readdir(dir))) {
            char target[512];
            if (entry->d_name[0] == '.')
                continue;
            ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
            if (length < 0)
                continue;
            target[length] = '\0';
            assert_true(is_expected(target, host));
            assert_null(strstr(target, "[userfaultfd]"));
            n_sockets += g_str_has_prefix(target, "socket:[");
        }
        (void)closedir(dir);
        /* Three listeners (QMP, console, trace), one control connection; asking for a pair leaves nothing
         * behind. */
        assert_int_equal(n_sockets, 4);
        assert_true(before == -1 || before == n_sockets);
        before = n_sockets;
        struct vm_trace trace;
        struct err err = {0};
        if (vm_open_trace(vm, &trace, &err) < 0)
            fail_msg("%s: %s", err.message, err.cause);
        struct stat facts;
        assert_int_equal(fstat(trace.ram_fd, &facts), 0);
        assert_int_equal(facts.st_size, 128 << 20);
        assert_true(trace.ram_address != 0 && trace.ram_address % 4096 == 0);
        const int fds[] = {trace.ram_fd, trace.uffd_async, trace.uffd_sync, trace.pagemap_fd, trace.pidfd};
        for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++)
            assert_int_equal(close(fds[i]), 0);
    }
    (void)close(LEAK_FD);
    (void)close(low);
    host_down(host);
}

static void on_exited(pid_t pid, int status, void *user)
{
    (void)pid;
    assert_int_equal(status, 0);
    *(bool *)user = true;
}

/* QEMU's sandbox takes rights away too: what the launcher does is seen in a child that does nothing itself.
 */
static void the_launcher_alone_takes_all_rights(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    static const char *const argv[] = {"cat", "/proc/self/status", NULL};
    g_autofree char *log_path = g_strdup_printf("%s/status", host->folder);
    const struct spawn_request request = {
        .program = "/bin/cat", .argv = argv, .user = host->agent.config.qemu_user, .log_path = log_path};
    struct err err = {0};
    pid_t pid;
    int pidfd;
    bool exited = false;
    assert_int_equal(spawn(&request, &pid, &pidfd, on_exited, &exited, &err), 0);
    wait_until(&exited, 20, "cat");
    (void)close(pidfd);
    g_autofree char *status = NULL;
    assert_true(g_file_get_contents(log_path, &status, NULL, NULL));
    static const char *const lines[] = {
        "\nUid:\t64101\t64101\t64101\t64101\n", "\nGid:\t64101\t64101\t64101\t64101\n", "\nNoNewPrivs:\t1\n",
        "\nCapPrm:\t0000000000000000\n",        "\nCapEff:\t0000000000000000\n",        "\nSeccomp:\t0\n"};
    for (unsigned i = 0; i < G_N_ELEMENTS(lines); i++)
        if (!strstr(status, lines[i]))
            fail_msg("no line %s in:%s", lines[i] + 1, status);
    g_autofree char *groups = field_of(status, "\nGroups:");
    assert_string_equal(g_strstrip(groups), "");
    host_down(host);
}

int main(void)
{
    /* A group that a child would inherit if nobody took it away. */
    const gid_t groups[] = {4};
    if (setgroups(G_N_ELEMENTS(groups), groups) < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qemu_has_no_rights),
        cmocka_unit_test(the_launcher_alone_takes_all_rights),
        cmocka_unit_test(qemu_inherits_what_it_needs_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
