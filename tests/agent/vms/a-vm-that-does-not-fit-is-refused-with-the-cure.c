/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cpu_baseline.h"
#include "agent/facts.h"
#include "agent/nvram.h"
#include "agent/vm_process.h"
#include "fixture.h"
#include "model/overhead.h"
#include "qemu/caps.h"

static int set_up(void **state)
{
    *state = host_up(NULL);
    return 0;
}

static int tear_down(void **state)
{
    host_down(*state);
    return 0;
}

static void check_refused(struct host *host, const struct vm_spec *spec, const char *accel, const char *id,
                          const char *words)
{
    struct err err = {0};
    assert_int_equal(vm_check_fits(&host->agent, spec, accel, false, &err), -1);
    assert_string_equal(err.id, id);
    if (!strstr(err.message, words))
        fail_msg("'%s' is not in: %s", words, err.message);
    assert_true(err.fix[0]);
    /* Each names its host; the tests that know more look at it too. */
    assert_non_null(err_arg_find(&err, "host"));
    assert_string_equal(err_arg_find(&err, "host"), host->agent.config.name);
}

static void what_fits_is_not_refused(void **state)
{
    struct host *host = *state;
    struct vm_spec spec = checker_spec("fits");
    struct err err = {0};
    if (vm_check_fits(&host->agent, &spec, "", false, &err) < 0)
        fail_msg("%s", err.message);
}

static uint64_t number_of(const struct err *err, const char *argument)
{
    assert_non_null(err_arg_find(err, argument));
    return g_ascii_strtoull(err_arg_find(err, argument), NULL, 10);
}

/* What is free changes with the VMs of others on this machine. */
static void memory_short_by_so_much(void **state)
{
    struct host *host = *state;
    struct vm_spec spec = checker_spec("large");
    spec.memory_mib = (uint32_t)(host->agent.facts.memory_mib - 64 + 1000);
    check_refused(host, &spec, "tcg", "memory-short", " MiB short of memory");
    struct err err = {0};
    assert_int_equal(vm_check_fits(&host->agent, &spec, "tcg", false, &err), -1);
    assert_true(number_of(&err, "short_mib") >= 1000);
    assert_int_equal(number_of(&err, "overhead_mib"), vm_overhead_mib(&spec, "tcg"));
    assert_int_equal(number_of(&err, "needed_mib"), spec.memory_mib + number_of(&err, "overhead_mib"));
    assert_int_equal(number_of(&err, "short_mib") + number_of(&err, "free_mib"),
                     number_of(&err, "needed_mib"));
    assert_string_equal(err_arg_find(&err, "vm"), "large");
}

static void cpu_short_by_so_much(void **state)
{
    struct host *host = *state;
    struct vm_spec spec = checker_spec("reserving");
    uint32_t all = 100 * host->agent.facts.cpus;
    spec.cpu_reservation_percent = 40;
    struct vm *vm = start_vm(host, &spec);
    struct host_facts facts;
    facts_now(&host->agent, &facts);
    assert_int_equal(facts.cpu_reserved_percent, 40);
    struct vm_spec other = checker_spec("other");
    other.cpus = VM_CPUS_MAX;
    other.cpu_reservation_percent = all - 40 + 7;
    check_refused(host, &other, "tcg", "cpu-short", "7 percent of a core short");
    other.cpu_reservation_percent -= 7;
    struct err err = {0};
    assert_int_equal(vm_check_fits(&host->agent, &other, "tcg", false, &err), 0);
    /* Its own reservation is no obstacle to itself. */
    vm->status.spec.cpu_reservation_percent = all;
    assert_int_equal(vm_check_fits(&host->agent, &vm->status.spec, "tcg", false, &err), 0);
}

static void an_unknown_machine_network_or_file(void **state)
{
    struct host *host = *state;
    struct vm_spec spec = checker_spec("parts");
    g_strlcpy(spec.machine, "pc-q35-99.0", sizeof spec.machine);
    check_refused(host, &spec, "tcg", "machine-unknown", "pc-q35-99.0");
    spec.machine[0] = '\0';
    spec.n_nics = 1;
    g_strlcpy(spec.nics[0].network, "nowhere", sizeof spec.nics[0].network);
    check_refused(host, &spec, "tcg", "network-missing", "nowhere");
    host->agent.config.n_networks = 1;
    host->agent.config.networks[0] = (struct host_network){.name = "nowhere", .bridge = "agentvm-no-br"};
    check_refused(host, &spec, "tcg", "bridge-missing", "agentvm-no-br");
    struct host_facts facts;
    facts_now(&host->agent, &facts);
    assert_int_equal(facts.n_networks, 1);
    assert_string_equal(facts.networks[0].bridge, "agentvm-no-br");
    assert_int_equal(facts.networks[0].mtu, 0);
    spec.n_nics = 0;
    g_strlcpy(spec.kernel, "/nowhere/vmlinuz", sizeof spec.kernel);
    check_refused(host, &spec, "tcg", "boot-file-missing", "/nowhere/vmlinuz");
}

static void a_file_that_the_qemu_user_may_not_open(void **state)
{
    struct host *host = *state;
    struct vm_spec spec = checker_spec("rights");
    g_autofree char *path = g_strdup_printf("%s/file", host->folder);
    assert_int_equal(close(open(path, O_WRONLY | O_CREAT, 0600)), 0);
    g_autofree char *kernel = g_strdup(spec.kernel);
    g_strlcpy(spec.kernel, path, sizeof spec.kernel);
    check_refused(host, &spec, "tcg", "boot-file-unreadable", path);
    g_strlcpy(spec.kernel, kernel, sizeof spec.kernel);

    spec.n_disks = 1;
    g_strlcpy(spec.disks[0].path, path, sizeof spec.disks[0].path);
    g_strlcpy(spec.disks[0].format, "raw", sizeof spec.disks[0].format);
    assert_int_equal(chmod(host->folder, 0755), 0);
    check_refused(host, &spec, "tcg", "disk-not-accessible", path);
    struct err err = {0};
    assert_int_equal(chown(path, HOST_UID, HOST_UID), 0);
    assert_int_equal(vm_check_fits(&host->agent, &spec, "tcg", false, &err), 0);
    assert_int_equal(unlink(path), 0);
    check_refused(host, &spec, "tcg", "disk-missing", path);
}

static void write_file(const char *path, const char *text)
{
    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(chmod(path, 0644), 0);
}

static void uefi_that_has_no_firmware_or_variables(void **state)
{
    struct host *host = *state;
    struct agent_config *config = &host->agent.config;
    struct vm_spec spec = checker_spec("uefi");
    struct err err = {0};
    struct stat facts;
    spec.firmware = VM_FIRMWARE_UEFI;
    (void)snprintf(spec.nvram, sizeof spec.nvram, "%s/store/nvram", host->folder);
    (void)snprintf(config->uefi_code, sizeof config->uefi_code, "%s/code", host->folder);
    (void)snprintf(config->uefi_vars, sizeof config->uefi_vars, "%s/vars", host->folder);
    g_autofree char *store = g_path_get_dirname(spec.nvram);
    assert_int_equal(chmod(host->folder, 0755) | mkdir(store, 0755), 0);
    check_refused(host, &spec, "tcg", "firmware-missing", config->uefi_code);
    assert_int_equal(nvram_firmware_bytes(&host->agent), 0);
    write_file(config->uefi_code, "firmware");
    assert_int_equal(nvram_firmware_bytes(&host->agent), 8);
    /* A first start makes the variables, an arrival must find them. */
    assert_int_equal(vm_check_fits(&host->agent, &spec, "tcg", false, &err), 0);
    assert_int_equal(nvram_check(&host->agent, &spec, true, &err), -1);
    assert_string_equal(err.id, "nvram-not-accessible");

    /* Neither without the right to, nor from nothing; and nothing is left of a try. */
    assert_int_equal(nvram_make(&host->agent, &spec, &err), -1);
    assert_string_equal(err.id, "nvram-not-made");
    assert_non_null(strstr(err.fix, "install -o 64101 -m 600 "));
    assert_int_equal(chown(store, HOST_UID, HOST_UID), 0);
    assert_int_equal(nvram_make(&host->agent, &spec, &err), -1);
    assert_int_equal(access(spec.nvram, F_OK), -1);
    write_file(config->uefi_vars, "as they come");
    assert_int_equal(nvram_make(&host->agent, &spec, &err), 0);
    assert_int_equal(stat(spec.nvram, &facts), 0);
    assert_true(facts.st_uid == HOST_UID && facts.st_size == 12 && (facts.st_mode & 0777) == 0600);
    /* Those that are there stay. */
    write_file(config->uefi_vars, "as they came with another version");
    assert_int_equal(nvram_make(&host->agent, &spec, &err), 0);
    assert_int_equal(stat(spec.nvram, &facts), 0);
    assert_int_equal(facts.st_size, 12);
    assert_int_equal(nvram_check(&host->agent, &spec, true, &err), 0);
}

static void no_cpu_but_up_to_the_baseline(void **state)
{
    struct host *host = *state;
    struct vm_spec spec = checker_spec("cpu");
    struct err err = {0};
    /* TCG has no such thing. */
    assert_int_equal(cpu_baseline_set(&host->agent, "Haswell", &err), 0);
    assert_non_null(strstr(host->agent.facts.cpu_baseline_problem, "invpcid"));
    check_refused(host, &spec, "tcg", "cpu-baseline-unsupported", "Haswell");
    assert_int_equal(cpu_baseline_set(&host->agent, "Westmere", &err), 0);
    assert_string_equal(host->agent.facts.cpu_baseline_problem, "");
    assert_int_equal(vm_check_fits(&host->agent, &spec, "tcg", false, &err), 0);
    (void)g_strlcpy(spec.cpu_model, "EPYC", sizeof spec.cpu_model);
    check_refused(host, &spec, "tcg", "cpu-beyond-baseline", "avx2");
    struct vm *vm;
    assert_int_equal(vm_create(&host->agent, &spec, &vm, &err), -1);
    assert_string_equal(err.id, "cpu-beyond-baseline");
    (void)g_strlcpy(spec.cpu_model, "no-such-cpu", sizeof spec.cpu_model);
    check_refused(host, &spec, "tcg", "cpu-model-unknown", "no-such-cpu");
    /* Started anew it has the baseline, or its own model without what no test covers. */
    (void)g_strlcpy(spec.cpu_model, "max", sizeof spec.cpu_model);
    cpu_baseline_apply(&host->agent, "tcg", &spec);
    assert_string_equal(vm_spec_cpu(&spec), "Westmere");
    assert_string_equal(spec.cpu_model, "max");
    (void)g_strlcpy(spec.cpu_model, "qemu64", sizeof spec.cpu_model);
    cpu_baseline_apply(&host->agent, "tcg", &spec);
    assert_string_equal(vm_spec_cpu(&spec), "qemu64");
    assert_string_equal(spec.cpu_without, "svm");
    /* It is kept. */
    host->agent.facts.cpu_baseline[0] = '\0';
    cpu_baseline_open(&host->agent);
    assert_string_equal(host->agent.facts.cpu_baseline, "Westmere");
    assert_int_equal(cpu_baseline_set(&host->agent, "", &err), 0);
    cpu_baseline_apply(&host->agent, "tcg", &spec);
    assert_string_equal(spec.cpu_baseline, "");
}

static void kvm_or_qemu_that_is_not_there(void **state)
{
    struct host *host = *state;
    struct vm_spec spec = checker_spec("kvm");
    host->agent.kvm_works = false;
    check_refused(host, &spec, "kvm", "kvm-missing", "needs KVM");
    caps_free(host->agent.qemu);
    host->agent.qemu = NULL;
    check_refused(host, &spec, "tcg", "qemu-missing", "QEMU cannot be run");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_fits_is_not_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_short_by_so_much, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_cpu_but_up_to_the_baseline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cpu_short_by_so_much, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_machine_network_or_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_the_qemu_user_may_not_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(uefi_that_has_no_firmware_or_variables, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kvm_or_qemu_that_is_not_there, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
