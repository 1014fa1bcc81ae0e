/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "ctl/ctl.h"

static void who_can_take_no_descriptor_says_so(void **state)
{
    (void)state;
    int pair[2], got_fd = -1;
    size_t n_fds = 1;
    struct rlimit before;
    static struct ctl_msg msg;
    struct err err;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    ctl_fill(&msg, CTL_LOAD, 1, NULL, 0);
    assert_int_equal(ctl_send(pair[0], &msg, &pair[0], 1, &err), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int ret = ctl_recv(pair[1], &msg, &got_fd, &n_fds, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(ret, -1);
    assert_string_equal(err.id, "no-descriptor");
    assert_non_null(strstr(err.cause, "Too many open files"));
    (void)close(pair[0]);
    (void)close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_can_take_no_descriptor_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
