/* SPDX-License-Identifier: Apache-2.0 */
/* VM files, journals and process files that an agent of an earlier version wrote (tests/agent/data). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/journal.h"
#include "agent/vm_process.h"
#include "fixture.h"

#define WEB "555367e4-c0fa-4b33-bb6d-51ecb2ac37c4"
#define BACK "4811aa44-f061-42c0-95fc-6a2241edf069"
#define AWAY "970e0db2-62f1-44c8-92af-2e727a236e9f"
#define OFF "ff00581a-ea16-4b68-9e68-c3471b04d8c2"

static void run(const char *format, const char *one, const char *other)
{
    g_autoptr(GString) command = g_string_new(format);
    (void)g_string_replace(command, "FROM", one, 0);
    (void)g_string_replace(command, "TO", other, 0);
    assert_int_equal(system(command->str), 0);
}

/* A host whose folders are those that the old agent left. */
static struct host *host_of_old_files(void)
{
    char folder[] = "/tmp/agentvm-XXXXXX";
    assert_non_null(mkdtemp(folder));
    run("mkdir TO/state TO/run && cp -r FROM/vms TO/state/ && cp -r FROM/run TO/run/vms", getenv("OLD_FILES"),
        folder);
    return host_up(folder);
}

static struct journal_entry entry_of(const struct host *host, const char *uuid)
{
    struct journal *journal;
    struct journal_entry entry;
    struct err err = {0};
    g_autofree char *path = vm_journal_path(&host->agent, uuid);
    assert_int_equal(journal_open(path, &journal, &err), 0);
    journal_read(journal, &entry);
    journal_close(journal);
    return entry;
}

static void vm_files_are_read_whole(void **state)
{
    (void)state;
    struct host *host = host_of_old_files();
    assert_int_equal(g_hash_table_size(host->agent.vms), 3);
    const struct vm_spec *web = &vm_find(&host->agent, WEB)->status.spec;
    assert_string_equal(web->name, "web");
    assert_int_equal(web->memory_mib, 256);
    assert_int_equal(web->cpus, 2);
    assert_int_equal(web->accel, VM_ACCEL_AUTO);
    assert_string_equal(web->machine, "pc-q35-7.2");
    assert_string_equal(web->cpu_model, "qemu64");
    assert_string_equal(web->kernel, "/srv/vm/vmlinuz");
    assert_string_equal(web->initrd, "/srv/vm/initrd");
    assert_non_null(strstr(web->append, "gw.ip=198.18.3.10/24"));
    assert_int_equal(web->n_disks, 1);
    assert_string_equal(web->disks[0].path, "/srv/vm/data.qcow2");
    assert_string_equal(web->disks[0].format, "qcow2");
    assert_int_equal(web->n_nics, 1);
    assert_string_equal(web->nics[0].network, "vmnet");
    assert_string_equal(web->nics[0].mac, "52:54:00:54:bf:d9");
    const struct vm_spec *off = &vm_find(&host->agent, OFF)->status.spec;
    assert_string_equal(off->machine, "");
    assert_string_equal(off->append, "vcpus=1 mb=32, \"q\"");
    assert_string_equal(off->disks[0].format, "raw");
    assert_int_equal(vm_find(&host->agent, BACK)->status.spec.accel, VM_ACCEL_TCG);
    host_down(host);
}

static void journals_say_who_owns_the_vm(void **state)
{
    (void)state;
    static const struct {
        const char *uuid;
        enum journal_step step;
        uint64_t epoch;
        const char *session;
        bool is_destination;
    } cases[] = {
        {WEB, JOURNAL_OWNED, 3, "885c2a7d-056e-46e9-95c6-119afadbf224", true},
        {BACK, JOURNAL_RESUMED, 3, "3d141733-309c-480e-89bb-859bbcb7671d", false},
        {AWAY, JOURNAL_GONE, 2, "4c236c28-4445-45ca-88e5-c8df9225c202", false},
        {OFF, JOURNAL_OWNED, 1, "", false},
    };
    struct host *host = host_of_old_files();
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct journal_entry entry = entry_of(host, cases[i].uuid);
        print_message("%s: %s, epoch %u\n", cases[i].uuid, journal_step_name(entry.step),
                      (unsigned)entry.epoch);
        assert_int_equal(entry.step, cases[i].step);
        assert_int_equal(entry.epoch, cases[i].epoch);
        assert_string_equal(entry.session, cases[i].session);
        assert_int_equal(entry.is_destination, cases[i].is_destination);
    }
    host_down(host);
}

/* The processes of these files are gone, so that the agent's start makes the VMs off. */
static void process_files_tell_what_adoption_needs(void **state)
{
    (void)state;
    struct host *host = host_of_old_files();
    struct vm *vm = vm_find(&host->agent, WEB);
    struct err err = {0};
    assert_int_equal(vm->status.state, VM_OFF);
    assert_null(vm->process);
    assert_int_equal(vm->status.pid, 0);

    run("cp FROM/run/" WEB "/process.json TO/run/vms/" WEB "/", getenv("OLD_FILES"), host->folder);
    assert_int_equal(vm_process_read(vm, &err), 0);
    assert_int_equal(vm->status.pid, 26664);
    assert_int_equal(vm->process->start_time, 189622);
    assert_int_equal(vm->process->qemu_ram_fd, 3);
    assert_int_equal(vm->process->qemu_major, 7);
    assert_true(vm->process->has_trace);
    assert_false(vm->incoming);
    assert_int_equal(vm->process->n_taps, 1);
    assert_string_equal(vm->process->taps[0], "vm555367e4-0");
    assert_string_equal(vm->status.qemu_version, "7.2.22");
    assert_string_equal(vm->status.accel, "tcg");
    assert_string_equal(vm->status.move, "885c2a7d-056e-46e9-95c6-119afadbf224");
    g_clear_pointer(&vm->process, g_free);
    host_down(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vm_files_are_read_whole),
        cmocka_unit_test(journals_say_who_owns_the_vm),
        cmocka_unit_test(process_files_tell_what_adoption_needs),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
