/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent is killed after each system call that changes something, while it makes, detaches or changes a
 * disk of a VM that runs. The next one finds in QEMU what the config file says, before or after the change,
 * and no image that nobody has; and the disks can be changed again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/vm_process.h"
#include "dying_agent.h"
#include "store.h"

static struct host *up(const char *folder)
{
    return host_up_with(folder, store_open);
}

static struct vm *the_vm(struct host *host)
{
    return vm_find(&host->agent, dying_scene.uuid);
}

static void add_new(struct host *host)
{
    const struct vm_disk_wish wish = new_disk("");
    struct answer answer = {0};
    vm_disks_add_wish(the_vm(host), &wish, take_answer, &answer);
    wait_ok(&answer, "a new disk");
}

static void detach(struct host *host)
{
    struct answer answer = {0};
    vm_disks_detach(the_vm(host), "disk0", true, take_answer, &answer);
    wait_ok(&answer, "a disk less");
}

static void make_iso(struct host *host, const char *file)
{
    g_autofree char *path = store_path(host, file);
    g_autofree char *command =
        g_strdup_printf("qemu-img create -q -f raw %s 1M && chown %u %s", path, HOST_UID, path);
    assert_int_equal(system(command), 0);
}

static void start(struct host *host)
{
    struct vm_spec spec = hot_spec("half");
    g_strlcpy(spec.uuid, dying_scene.uuid, sizeof spec.uuid);
    (void)start_vm(host, &spec);
}

static void start_with_disk(struct host *host)
{
    start(host);
    add_new(host);
}

static void start_with_cd(struct host *host)
{
    struct vm_disk_wish drive = {.disk = store_disk("one.iso", "raw", "")};
    struct answer answer = {0};
    g_strlcpy(drive.disk.media, "cdrom", sizeof drive.disk.media);
    make_iso(host, "one.iso");
    make_iso(host, "two.iso");
    start(host);
    vm_disks_add_wish(the_vm(host), &drive, take_answer, &answer);
    wait_ok(&answer, "a drive");
}

static void change_cd(struct host *host)
{
    struct vm_disk medium = store_disk("two.iso", "raw", "");
    struct answer answer = {0};
    g_strlcpy(medium.media, "cdrom", sizeof medium.media);
    vm_disks_change_medium(the_vm(host), "disk0", &medium, false, take_answer, &answer);
    wait_ok(&answer, "another CD");
}

/* Images that are no CDs are those of the config. */
static void check_files(struct host *host, unsigned n_isos)
{
    const struct vm_spec *spec = &the_vm(host)->status.spec;
    unsigned n_disks = 0;
    for (uint32_t i = 0; i < spec->n_disks; i++)
        n_disks += !vm_disk_is_cdrom(&spec->disks[i]);
    assert_int_equal(store_files(host), n_isos + n_disks);
    g_autofree char *record =
        g_strdup_printf("%s/vms/%s" VM_MAKING, host->agent.config.state_dir, dying_scene.uuid);
    assert_false(g_file_test(record, G_FILE_TEST_EXISTS));
}

/* A disk that was detached and not yet deleted is whole, and the operator's; not a half of anything. */
static bool is_left_whole(struct host *host)
{
    return the_vm(host)->status.spec.n_disks == 0 && store_has(host, "half-disk0.qcow2");
}

static void assert_same(struct host *host)
{
    g_autofree char *qemu = disks_of_qemu(the_vm(host));
    g_autofree char *config = disks_of_config(the_vm(host));
    assert_string_equal(qemu, config);
}

static void kill_everywhere(const struct dying_verb *verb, unsigned n_isos)
{
    for (unsigned k = 1;; k++) {
        bool was_killed = dies_after_change(verb, k);
        struct host *host = up(dying_scene.folder);
        assert_int_equal(the_vm(host)->status.state, VM_RUNNING);
        assert_same(host);
        bool is_detach = verb->run == detach;
        if (!is_detach || !is_left_whole(host))
            check_files(host, n_isos);
        add_new(host);
        assert_same(host);
        store_close(host);
        host_down(host);
        if (!was_killed) {
            assert_true(k > 5); /* it was killed at all */
            return;
        }
    }
}

static void while_it_makes_a_disk(void **state)
{
    (void)state;
    kill_everywhere(&(const struct dying_verb){"make", up, start, add_new}, 0);
}

static void while_it_detaches_a_disk(void **state)
{
    (void)state;
    kill_everywhere(&(const struct dying_verb){"detach", up, start_with_disk, detach}, 0);
}

static void while_it_changes_a_cd(void **state)
{
    (void)state;
    kill_everywhere(&(const struct dying_verb){"change", up, start_with_cd, change_cd}, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_it_makes_a_disk),
        cmocka_unit_test(while_it_detaches_a_disk),
        cmocka_unit_test(while_it_changes_a_cd),
    };
    if (geteuid() != 0)
        return 77;
    model_uuid_new(dying_scene.uuid);
    return cmocka_run_group_tests(tests, NULL, dying_scene_sweep);
}
