/* SPDX-License-Identifier: Apache-2.0 */
/* The QEMU program goes away and comes back, as in a package's upgrade, while the agent and a VM run.
 * $QEMU_OTHER comes back, if it is set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/facts.h"
#include "fixture.h"
#include "qemu/caps.h"

/* The manager asks for the facts again and again; so does this. */
static void ask_until(struct host *host, bool has_qemu)
{
    struct host_facts facts;
    gint64 deadline = g_get_monotonic_time() + 60 * (gint64)G_USEC_PER_SEC;
    do {
        assert_true(g_get_monotonic_time() < deadline);
        facts_now(&host->agent, &facts);
        (void)g_main_context_iteration(NULL, FALSE);
    } while (host->agent.is_probing || (facts.qemu_version[0] != '\0') != has_qemu);
}

static void the_program_goes_and_another_comes(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *old = start_checker(host, "old");
    const struct vm_status before = old->status;
    const char *other = getenv("QEMU_OTHER");
    g_autofree char *program = g_strdup(other ? other : host->agent.config.qemu_path);
    char *path = host->agent.config.qemu_path;

    (void)snprintf(path, sizeof host->agent.config.qemu_path, "%s/qemu", host->folder);
    ask_until(host, false);
    assert_null(host->agent.qemu);
    assert_int_equal(host->agent.facts.n_machines, 0);
    assert_non_null(strstr(host->agent.facts.qemu_problem, path));
    assert_int_equal(old->status.state, VM_RUNNING);

    assert_int_equal(symlink(program, path), 0);
    ask_until(host, true);
    assert_non_null(host->agent.qemu);
    assert_string_equal(host->agent.facts.qemu_problem, "");
    assert_true(host->agent.facts.n_machines > 1);
    assert_string_equal(host->agent.facts.machines[0], host->agent.qemu->machine);
    const struct vm *new = start_checker(host, "new");
    assert_string_equal(new->status.qemu_version, host->agent.facts.qemu_version);
    assert_string_equal(old->status.qemu_version, before.qemu_version);
    assert_int_equal(old->status.pid, before.pid);
    host_down(host);
}

/* Between two looks at the file a VM may start with the new program: its own process is asked. */
static void a_vm_tells_the_version_that_it_runs_with(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    g_autofree char *version = g_strdup(host->agent.qemu->version);
    g_strlcpy(host->agent.qemu->version, "7.2.99", sizeof host->agent.qemu->version);
    const struct vm *vm = start_checker(host, "one");
    assert_string_equal(vm->status.qemu_version, version);
    host_down(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_program_goes_and_another_comes),
        cmocka_unit_test(a_vm_tells_the_version_that_it_runs_with),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
