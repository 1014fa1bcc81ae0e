/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The preloaded object in a real, unprivileged, sandboxed QEMU: each question gets a pair of userfaultfds
 * that were never used, belong to QEMU's address space, and of which QEMU keeps no copy. Arguments: the
 * object, the QEMU binary. Runs as root.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/userfaultfd.h>

#include "ctl/ctl.h"

#define RAM_SIZE (64u << 20)
#define QEMU_UID 64103
enum { CHILD_LISTEN = 10, CHILD_DEVICE = 11, CHILD_RAM = 12 };

struct host {
    char folder[64];
    struct sockaddr_un address;
    pid_t qemu;
    int out; /* QEMU's standard output: QMP */
};

static const char *object_path;
static const char *qemu_path;
static struct host host; /* of the running test; ended by its teardown also when an assertion failed */

static int ask_for_pair(int ret_fds[2], uint8_t answer[8])
{
    int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(s >= 0);
    assert_int_equal(connect(s, (const struct sockaddr *)&host.address, sizeof host.address), 0);
    char ask = CTL_TRACE_ASK;
    (void)send(s, &ask, 1, MSG_NOSIGNAL);
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } control = {0};
    struct iovec data = {.iov_base = answer, .iov_len = 8};
    struct msghdr header = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(s, &header, MSG_CMSG_CLOEXEC);
    struct cmsghdr *rights = got < 0 ? NULL : CMSG_FIRSTHDR(&header);
    char more;
    assert_true(recv(s, &more, 1, 0) <= 0);
    if (rights) {
        assert_int_equal(rights->cmsg_len, CMSG_LEN(2 * sizeof(int)));
        memcpy(ret_fds, CMSG_DATA(rights), 2 * sizeof(int));
    }
    (void)close(s);
    return (int)got;
}

/* Gives the child a private /dev/kvm that its user may open; the system's own stays as it is. */
static void open_kvm_to_user(const char *folder)
{
    char node[96];
    struct stat kvm;
    (void)snprintf(node, sizeof node, "%s/kvm", folder);
    if (stat("/dev/kvm", &kvm) < 0 || unshare(CLONE_NEWNS) < 0 ||
        mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mknod(node, S_IFCHR | 0600, kvm.st_rdev) < 0 ||
        chown(node, QEMU_UID, QEMU_UID) < 0 || mount(node, "/dev/kvm", NULL, MS_BIND, NULL) < 0)
        _exit(90);
}

static void become_qemu(int listener, int out, const char *accel, const char *fds)
{
    int device = open("/dev/userfaultfd", O_RDWR);
    int ram = memfd_create("guest-ram", 0);
    if (device < 0 || ram < 0 || ftruncate(ram, RAM_SIZE) < 0)
        _exit(91);
    if (!strcmp(accel, "kvm"))
        open_kvm_to_user(host.folder);
    if (dup2(out, 1) < 0 || dup2(listener, CHILD_LISTEN) < 0 || dup2(device, CHILD_DEVICE) < 0 ||
        dup2(ram, CHILD_RAM) < 0)
        _exit(92);
    closefrom(CHILD_RAM + 1);
    if (setgroups(0, NULL) < 0 || setresgid(QEMU_UID, QEMU_UID, QEMU_UID) < 0 ||
        setresuid(QEMU_UID, QEMU_UID, QEMU_UID) < 0)
        _exit(93);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the change of user, which clears it */
    (void)setenv("LD_PRELOAD", object_path, 1);
    (void)setenv(CTL_TRACE_ENV, fds, 1);
    execl(qemu_path, qemu_path, "-accel", accel, "-machine", "q35,memory-backend=ram", "-m", "64", "-object",
          "memory-backend-file,id=ram,size=64M,share=on,mem-path=/proc/self/fd/12", "-nodefaults", "-display",
          "none", "-vga", "none", "-S", "-qmp", "stdio", "-sandbox",
          "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", NULL);
    _exit(94);
}

/* Starts QEMU and returns once its monitor speaks: by then its sandbox is on. */
static void start_qemu(const char *accel, const char *fds)
{
    (void)snprintf(host.folder, sizeof host.folder, "/tmp/job-trace-XXXXXX");
    assert_non_null(mkdtemp(host.folder));
    host.address.sun_family = AF_UNIX;
    (void)snprintf(host.address.sun_path, sizeof host.address.sun_path, "%s/trace", host.folder);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&host.address, sizeof host.address), 0);
    assert_int_equal(chmod(host.folder, 0755), 0);
    assert_int_equal(chmod(host.address.sun_path, 0777), 0); /* so that the uid check itself is tested */
    assert_int_equal(listen(listener, 4), 0);
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    host.qemu = fork();
    assert_true(host.qemu >= 0);
    if (!host.qemu)
        become_qemu(listener, out[1], accel, fds);
    (void)close(listener);
    (void)close(out[1]);
    host.out = out[0];
    char greeting[512] = "";
    assert_true(read(host.out, greeting, sizeof greeting - 1) > 0);
    assert_non_null(strstr(greeting, "QMP"));
}

static int stop_qemu(void **state)
{
    (void)state;
    if (!host.qemu)
        return 0;
    char node[96];
    (void)kill(host.qemu, SIGKILL);
    (void)waitpid(host.qemu, NULL, 0);
    (void)close(host.out);
    (void)unlink(host.address.sun_path);
    (void)snprintf(node, sizeof node, "%s/kvm", host.folder);
    (void)unlink(node);
    (void)rmdir(host.folder);
    host = (struct host){0};
    return 0;
}

static uint64_t ram_address_of(pid_t pid)
{
    char path[64];
    char line[512];
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    assert_non_null(maps);
    uint64_t found = 0;
    while (!found && fgets(line, sizeof line, maps))
        if (strstr(line, "memfd:guest-ram"))
            found = strtoull(line, NULL, 16);
    (void)fclose(maps);
    assert_true(found);
    return found;
}

static void assert_fresh_and_of(int uffd, pid_t pid)
{
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
    assert_int_equal(ioctl(uffd, UFFDIO_API, &api), 0); /* a used one says EINVAL */
    struct uffdio_register ram = {.range = {.start = ram_address_of(pid), .len = RAM_SIZE},
                                  .mode = UFFDIO_REGISTER_MODE_WP};
    assert_int_equal(ioctl(uffd, UFFDIO_REGISTER, &ram), 0);
    assert_int_equal(ioctl(uffd, UFFDIO_UNREGISTER, &ram.range), 0);
}

static void assert_keeps_no_copy(pid_t pid)
{
    for (int fd = 0; fd < 1024; fd++) {
        char path[64];
        char target[256] = "";
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
        if (readlink(path, target, sizeof target - 1) > 0)
            assert_null(strstr(target, "[userfaultfd]"));
    }
}

static void assert_all_threads_are_sandboxed(pid_t pid)
{
    char command[128];
    (void)snprintf(command, sizeof command, "grep -L '^Seccomp:[[:space:]]*2' /proc/%d/task/*/status",
                   (int)pid);
    FILE *bare = popen(command, "re");
    char line[256];
    assert_non_null(bare);
    assert_null(fgets(line, sizeof line, bare));
    (void)pclose(bare);
}

/* Ends the connection of another user without a word. */
static void assert_other_users_get_nothing(void)
{
    pid_t stranger = fork();
    if (!stranger) {
        int fds[2];
        uint8_t answer[8];
        if (setresuid(QEMU_UID, QEMU_UID, QEMU_UID) < 0)
            _exit(1);
        _exit(ask_for_pair(fds, answer) <= 0 ? 0 : 2);
    }
    int status = -1;
    assert_int_equal(waitpid(stranger, &status, 0), stranger);
    assert_int_equal(status, 0);
}

static void check_accel(const char *accel)
{
    start_qemu(accel, "10,11");
    assert_all_threads_are_sandboxed(host.qemu);
    assert_other_users_get_nothing();
    for (int attempt = 0; attempt < 3; attempt++) {
        int fds[2] = {-1, -1};
        uint8_t answer[8] = {0};
        assert_int_equal(ask_for_pair(fds, answer), 1);
        assert_int_equal(answer[0], CTL_TRACE_PAIR);
        assert_fresh_and_of(fds[0], host.qemu);
        assert_fresh_and_of(fds[1], host.qemu);
        /* The socket has ended, so the object has closed its copies: it does so before it closes the socket.
         */
        assert_keeps_no_copy(host.qemu);
        (void)close(fds[0]);
        (void)close(fds[1]);
    }
}

static void works_under_tcg(void **state)
{
    (void)state;
    check_accel("tcg");
}

static void works_under_kvm(void **state)
{
    (void)state;
    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        print_message("no /dev/kvm here\n");
        skip();
    }
    check_accel("kvm");
}

static void does_not_disturb_when_misused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "10", "11,10", "10,10", "1,2", "10,11,12", "700,701", "x,y"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        start_qemu("tcg", wrong[i]);
        (void)stop_qemu(NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    object_path = argv[1];
    qemu_path = argv[2];
    if (getuid() != 0) {
        print_message("needs root\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(works_under_tcg, stop_qemu),
                                       cmocka_unit_test_teardown(works_under_kvm, stop_qemu),
                                       cmocka_unit_test_teardown(does_not_disturb_when_misused, stop_qemu)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
