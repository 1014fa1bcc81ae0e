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

/* What the moves of one version left; the VMs are named in the folder's README. */
struct version {
    const char *folder;
    const char *web, *back, *away, *off;                   /* their UUIDs */
    const char *web_session, *back_session, *away_session; /* their last moves */
    const char *web_mac, *web_tap, *off_cpu_model;
    const char *pool; /* of web, with what follows: "" before it was known */
    unsigned cpu_reservation_percent;
    bool autostarts;
    int pid;
    uint64_t start_time, ram_inode;
};

static const struct version versions[] = {
    {
        .folder = "08d2225",
        .web = "555367e4-c0fa-4b33-bb6d-51ecb2ac37c4",
        .back = "4811aa44-f061-42c0-95fc-6a2241edf069",
        .away = "970e0db2-62f1-44c8-92af-2e727a236e9f",
        .off = "ff00581a-ea16-4b68-9e68-c3471b04d8c2",
        .web_session = "885c2a7d-056e-46e9-95c6-119afadbf224",
        .back_session = "3d141733-309c-480e-89bb-859bbcb7671d",
        .away_session = "4c236c28-4445-45ca-88e5-c8df9225c202",
        .web_mac = "52:54:00:54:bf:d9",
        .web_tap = "vm555367e4-0",
        .off_cpu_model = "max",
        .pool = "",
        .pid = 26664,
        .start_time = 189622,
    },
    {
        .folder = "14eb315",
        .web = "d4690b22-6e0e-4d38-943a-6b01a008ddde",
        .back = "2c731c80-1895-471e-b79d-c971258940eb",
        .away = "b89d3553-1d08-4957-9ebf-ed8a8b5d5f2a",
        .off = "79c154d4-4f09-484e-9c5b-afac99ef7815",
        .web_session = "78cbb76c-7ee6-41dd-910a-c8a3a43a0317",
        .back_session = "6809be00-7723-4e99-bd88-63cb722a716b",
        .away_session = "47bbe035-f8d6-469f-a2b3-ecd527d18cc4",
        .web_mac = "52:54:00:eb:8c:bb",
        .web_tap = "vmd4690b22-0",
        .off_cpu_model = "",
        .pool = "staff",
        .cpu_reservation_percent = 25,
        .autostarts = true,
        .pid = 13740,
        .start_time = 115984,
        .ram_inode = 1968,
    },
};

static char *files_of(const struct version *version)
{
    return g_strdup_printf("%s/%s", getenv("OLD_FILES"), version->folder);
}

static void run(const char *format, const char *one, const char *other)
{
    g_autoptr(GString) command = g_string_new(format);
    (void)g_string_replace(command, "FROM", one, 0);
    (void)g_string_replace(command, "TO", other, 0);
    assert_int_equal(system(command->str), 0);
}

/* Checks each version on a host whose folders are those that its agent left. */
static void for_each_version(void (*check)(struct host *host, const struct version *version))
{
    for (unsigned i = 0; i < G_N_ELEMENTS(versions); i++) {
        char folder[] = "/tmp/agentvm-XXXXXX";
        g_autofree char *files = files_of(&versions[i]);
        print_message("files of %s\n", versions[i].folder);
        assert_non_null(mkdtemp(folder));
        run("mkdir TO/state TO/run && cp -r FROM/vms TO/state/ && cp -r FROM/run TO/run/vms", files, folder);
        struct host *host = host_up(folder);
        check(host, &versions[i]);
        host_down(host);
    }
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

static void check_vms(struct host *host, const struct version *version)
{
    assert_int_equal(g_hash_table_size(host->agent.vms), 3);
    const struct vm_spec *web = &vm_find(&host->agent, version->web)->status.spec;
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
    assert_string_equal(web->nics[0].mac, version->web_mac);
    assert_string_equal(web->pool, version->pool);
    assert_int_equal(web->cpu_reservation_percent, version->cpu_reservation_percent);
    assert_int_equal(web->autostart, version->autostarts);
    const struct vm_spec *off = &vm_find(&host->agent, version->off)->status.spec;
    assert_string_equal(off->machine, "");
    assert_string_equal(off->cpu_model, version->off_cpu_model);
    assert_string_equal(off->append, "vcpus=1 mb=32, \"q\"");
    assert_string_equal(off->disks[0].format, "raw");
    assert_int_equal(vm_find(&host->agent, version->back)->status.spec.accel, VM_ACCEL_TCG);
}

static void vm_files_are_read_whole(void **state)
{
    (void)state;
    for_each_version(check_vms);
}

static void check_journals(struct host *host, const struct version *version)
{
    const struct {
        const char *uuid;
        enum journal_step step;
        uint64_t epoch;
        const char *session;
        bool is_destination;
    } cases[] = {
        {version->web, JOURNAL_OWNED, 3, version->web_session, true},
        {version->back, JOURNAL_RESUMED, 3, version->back_session, false},
        {version->away, JOURNAL_GONE, 2, version->away_session, false},
        {version->off, JOURNAL_OWNED, 1, "", false},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct journal_entry entry = entry_of(host, cases[i].uuid);
        print_message("%s: %s, epoch %u\n", cases[i].uuid, journal_step_name(entry.step),
                      (unsigned)entry.epoch);
        assert_int_equal(entry.step, cases[i].step);
        assert_int_equal(entry.epoch, cases[i].epoch);
        assert_string_equal(entry.session, cases[i].session);
        assert_int_equal(entry.is_destination, cases[i].is_destination);
    }
}

static void journals_say_who_owns_the_vm(void **state)
{
    (void)state;
    for_each_version(check_journals);
}

/* The processes of these files are gone, so that the agent's start makes the VMs off. */
static void check_process(struct host *host, const struct version *version)
{
    struct vm *vm = vm_find(&host->agent, version->web);
    struct err err = {0};
    assert_int_equal(vm->status.state, VM_OFF);
    assert_null(vm->process);
    assert_int_equal(vm->status.pid, 0);

    g_autofree char *from =
        g_strdup_printf("%s/%s/run/%s", getenv("OLD_FILES"), version->folder, version->web);
    g_autofree char *to = g_strdup_printf("%s/run/vms/%s", host->folder, version->web);
    run("cp FROM/process.json TO/", from, to);
    assert_int_equal(vm_process_read(vm, &err), 0);
    assert_int_equal(vm->status.pid, version->pid);
    assert_int_equal(vm->process->start_time, version->start_time);
    assert_int_equal(vm->process->ram_inode, version->ram_inode);
    assert_int_equal(vm->process->qemu_ram_fd, 3);
    assert_int_equal(vm->process->qemu_major, 7);
    assert_true(vm->process->has_trace);
    assert_false(vm->incoming);
    assert_int_equal(vm->process->n_taps, 1);
    assert_string_equal(vm->process->taps[0], version->web_tap);
    assert_string_equal(vm->status.qemu_version, "7.2.22");
    assert_string_equal(vm->status.accel, "tcg");
    assert_string_equal(vm->status.move, version->web_session);
    g_clear_pointer(&vm->process, g_free);
}

static void process_files_tell_what_adoption_needs(void **state)
{
    (void)state;
    for_each_version(check_process);
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
