/* SPDX-License-Identifier: Apache-2.0 */
/* Disks are made, attached, detached, made larger and changed, with real QEMU and qemu-img; what is refused
 * changes nothing and says why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/datastores.h"
#include "agent/vm_process.h"
#include "base/log.h"
#include "model/json.h"
#include "store.h"
#include "two_hosts.h"

static struct host *host;
static struct vm *vm;

static int set_up(void **state)
{
    (void)state;
    host = host_up(NULL);
    store_open(host);
    const struct vm_spec spec = hot_spec("hot");
    vm = start_vm(host, &spec);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_close(host);
    host_down(host);
    return 0;
}

/* An image of QEMU's user on the datastore. */
static void make_image(const char *file, const char *format, const char *size)
{
    g_autofree char *path = store_path(host, file);
    run_command("qemu-img create -q -f %s %s %s && chown %u:%u %s", format, path, size, HOST_UID, HOST_UID,
                path);
}

static void stop_vm(void)
{
    struct answer answer = {0};
    vm_stop(vm, true, 1, take_answer, &answer);
    wait_ok(&answer, "stop");
}

static struct err add(const struct vm_disk_wish *wish)
{
    struct answer answer = {0};
    vm_disks_add_wish(vm, wish, take_answer, &answer);
    wait_until(&answer.there, 60, "a disk more");
    return answer.err;
}

static struct err detach(const char *disk, bool deletes_file)
{
    struct answer answer = {0};
    vm_disks_detach(vm, disk, deletes_file, take_answer, &answer);
    wait_until(&answer.there, 60, "a disk less");
    return answer.err;
}

static struct err resize(const char *disk, uint64_t bytes)
{
    struct answer answer = {0};
    vm_disks_resize(vm, disk, bytes, take_answer, &answer);
    wait_until(&answer.there, 60, "a larger disk");
    return answer.err;
}

static struct err change_medium(const char *disk, const char *file)
{
    struct answer answer = {0};
    struct vm_disk medium = store_disk(file ? file : "", "raw", "");
    g_strlcpy(medium.media, "cdrom", sizeof medium.media);
    vm_disks_change_medium(vm, disk, file ? &medium : NULL, false, take_answer, &answer);
    wait_until(&answer.there, 60, "another CD");
    return answer.err;
}

static void assert_done(struct err err)
{
    if (err_is_set(&err))
        fail_msg("%s: %s (%s)", err.id, err.message, err.cause);
}

static void assert_refused(struct err err, const char *id)
{
    if (strcmp(err.id, id) != 0)
        fail_msg("'%s' (%s: %s) instead of '%s'", err.id, err.message, err.cause, id);
    assert_true(err.message[0] && err.fix[0]);
    print_message("%s: %s; %s; %s\n", err.id, err.message, err.cause, err.fix);
}

static void assert_same(void)
{
    g_autofree char *config = disks_of_config(vm);
    if (!vm->process)
        return;
    g_autofree char *qemu = disks_of_qemu(vm);
    assert_string_equal(qemu, config);
}

static int64_t size_of(uint32_t i, const char *member)
{
    g_autoptr(JsonObject) list = vm_disks_list(vm);
    return model_int(json_array_get_object_element(json_object_get_array_member(list, "disks"), i), member,
                     -1);
}

static void a_disk_is_made_and_goes_again(void **state)
{
    (void)state;
    struct vm_disk_wish wish = new_disk("");
    assert_done(add(&wish));
    assert_same();
    assert_string_equal(vm->status.spec.disks[0].file, "hot-disk0.qcow2");
    assert_int_equal(store_files(host), 1);
    assert_int_equal(size_of(0, "size_bytes"), 16 << 20);
    assert_true(size_of(0, "allocated_bytes") < 1 << 20);
    assert_done(add(&wish));
    assert_same();
    assert_done(detach("disk0", true));
    assert_same();
    assert_int_equal(store_files(host), 1);
    /* The first free slot is taken again, and a file of its own. */
    assert_done(add(&wish));
    assert_same();
    assert_int_equal(vm_disk_slot(&vm->status.spec, 1), 1);
    assert_done(detach("store:hot-disk1.qcow2", false));
    assert_true(store_has(host, "hot-disk1.qcow2"));
    assert_same();
}

/* The command line of a destination has to come to what the source has after its disks came and went. */
static void the_vm_can_move_after_its_disks_changed(void **state)
{
    (void)state;
    struct host *destination = host_up(NULL);
    struct vm_disk_wish wish = new_disk("");
    (void)wait_for_console(vm, "sweeps=1", 0);
    for (unsigned i = 0; i < 3; i++)
        assert_done(add(&wish));
    assert_done(detach("disk0", true));
    make_image("cd.iso", "raw", "1M");
    struct vm_disk_wish cd = {.disk = store_disk("cd.iso", "raw", "")};
    g_strlcpy(cd.disk.media, "cdrom", sizeof cd.disk.media);
    assert_done(add(&cd));
    assert_done(change_medium("disk0", NULL));
    assert_same();
    store_share(destination, host);
    struct vm *arrived = bring_over(vm, destination);
    assert_int_equal(cont(arrived, 2000).result, VM_CONT_RUNS);
    check_goes_on(arrived, 0);
    g_autofree char *qemu = disks_of_qemu(arrived);
    g_autofree char *config = disks_of_config(vm);
    assert_string_equal(qemu, config);
    store_close(destination);
    host_down(destination);
}

static void a_disk_grows_and_never_shrinks(void **state)
{
    (void)state;
    static const char *const formats[] = {"qcow2", "raw"};
    for (unsigned i = 0; i < 2; i++) {
        struct vm_disk_wish wish = new_disk("");
        g_strlcpy(wish.disk.format, formats[i], sizeof wish.disk.format);
        assert_done(add(&wish));
        g_autofree char *name = g_strdup_printf("disk%u", i);
        assert_done(resize(name, 32 << 20));
        assert_int_equal(size_of(i, "size_bytes"), 32 << 20);
        assert_done(resize(name, 32 << 20));
        assert_refused(resize(name, 16 << 20), "disk-shrinks");
    }
    stop_vm();
    assert_done(resize("disk0", 48 << 20));
    assert_done(resize("disk1", 48 << 20));
    assert_int_equal(size_of(0, "size_bytes"), 48 << 20);
    assert_int_equal(size_of(1, "size_bytes"), 48 << 20);
}

static void copies_and_clones_begin_as_what_they_are_made_from(void **state)
{
    (void)state;
    make_image("base.qcow2", "qcow2", "16M");
    g_autofree char *base = store_path(host, "base.qcow2");
    g_autofree char *sub = store_path(host, "sub");
    run_command("qemu-io -f qcow2 -c 'write -q -P 7 0 1M' %s", base);
    run_command("mkdir %s && chown %u %s", sub, HOST_UID, sub);
    struct vm_disk_wish clone = new_disk("sub/clone.qcow2");
    clone.size_bytes = 0;
    clone.backing = store_disk("base.qcow2", "qcow2", "");
    assert_done(add(&clone));
    struct vm_disk_wish copy = new_disk("copy.raw");
    copy.size_bytes = 64 << 20;
    copy.from = store_disk("base.qcow2", "qcow2", "");
    g_strlcpy(copy.disk.format, "raw", sizeof copy.disk.format);
    assert_done(add(&copy));
    assert_same();
    assert_int_equal(size_of(0, "size_bytes"), 16 << 20);
    assert_int_equal(size_of(1, "size_bytes"), 64 << 20);
    g_autoptr(JsonObject) list = vm_disks_list(vm);
    JsonObject *first = json_array_get_object_element(json_object_get_array_member(list, "disks"), 0);
    JsonArray *chain = json_object_get_array_member(first, "backing");
    assert_int_equal(json_array_get_length(chain), 1);
    assert_true(g_str_has_suffix(json_array_get_string_element(chain, 0), "/sub/../base.qcow2"));
    stop_vm();
    static const char *const files[] = {"sub/clone.qcow2", "copy.raw"};
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *path = store_path(host, files[i]);
        run_command("qemu-io -f %s -c 'read -q -P 7 0 1M' %s | grep -q . && exit 1; true",
                    i ? "raw" : "qcow2", path);
    }
}

static void a_cd_is_changed(void **state)
{
    (void)state;
    make_image("one.iso", "raw", "1M");
    make_image("two.iso", "raw", "2M");
    struct vm_disk_wish drive = {.disk = store_disk("one.iso", "raw", "")};
    g_strlcpy(drive.disk.media, "cdrom", sizeof drive.disk.media);
    assert_done(add(&drive));
    assert_done(change_medium("disk0", "two.iso"));
    assert_same();
    assert_int_equal(size_of(0, "size_bytes"), 2 << 20);
    assert_done(change_medium("disk0", NULL));
    assert_same();
    assert_done(change_medium("disk0", NULL));
    assert_done(change_medium("disk0", "one.iso"));
    assert_same();
    assert_refused(change_medium("disk0", "nosuch.iso"), "disk-missing");
    assert_same();
    assert_refused(resize("disk0", 4 << 20), "disk-kind");
    stop_vm();
    assert_done(change_medium("disk0", NULL));
    assert_done(change_medium("disk0", "two.iso"));
    assert_done(detach("disk0", false));
    assert_int_equal(vm->status.spec.n_disks, 0);
}

/* The firmware resets the controller a moment after the machine was reset, which shuts the tray, also between
 * two steps of a change. */
static void a_cd_is_changed_while_the_guest_resets(void **state)
{
    (void)state;
    static const char *const files[] = {"one.iso", "two.iso"};
    make_image(files[0], "raw", "1M");
    make_image(files[1], "raw", "2M");
    struct vm_disk_wish drive = {.disk = store_disk(files[0], "raw", "")};
    g_strlcpy(drive.disk.media, "cdrom", sizeof drive.disk.media);
    assert_done(add(&drive));
    for (unsigned i = 1; i <= 60; i++) {
        if (i % 10 == 1)
            vm_qmp(vm, "system_reset", NULL, -1, NULL, NULL);
        assert_done(change_medium("disk0", files[i % 2]));
        assert_same();
    }
}

static void what_is_wrong_is_said_and_changes_nothing(void **state)
{
    (void)state;
    make_image("there.qcow2", "qcow2", "16M");
    make_image("there.raw", "raw", "16M");
    struct vm_disk_wish wish = new_disk("there.qcow2");
    assert_refused(add(&wish), "disk-exists");
    wish = new_disk("nosuch/new.qcow2");
    assert_refused(add(&wish), "disk-image-failed");
    wish = new_disk("new.qcow2");
    g_strlcpy(wish.disk.datastore, "nosuch", sizeof wish.disk.datastore);
    assert_refused(add(&wish), "datastore-missing");
    wish = new_disk("new.qcow2");
    wish.backing = store_disk("nosuch.qcow2", "qcow2", "");
    assert_refused(add(&wish), "disk-backing-missing");
    wish.backing = store_disk("there.raw", "qcow2", "");
    assert_refused(add(&wish), "disk-format-differs");
    wish.backing = store_disk("there.raw", "raw", "");
    wish.size_bytes = 1 << 20;
    assert_refused(add(&wish), "disk-shrinks");
    g_strlcpy(wish.disk.format, "raw", sizeof wish.disk.format);
    assert_refused(add(&wish), "disk-clone");
    wish = new_disk("new.qcow2");
    wish.from = store_disk("nosuch.qcow2", "qcow2", "");
    assert_refused(add(&wish), "disk-missing");
    wish = new_disk("new.qcow2");
    g_strlcpy(wish.disk.bus, "virtio-blk", sizeof wish.disk.bus);
    assert_refused(add(&wish), "hot-plug-bus");
    wish = (struct vm_disk_wish){.disk = store_disk("there.raw", "qcow2", "")};
    assert_refused(add(&wish), "disk-format-differs");
    wish = (struct vm_disk_wish){.disk = store_disk("nosuch.raw", "raw", "")};
    assert_refused(add(&wish), "disk-missing");
    assert_refused(detach("disk0", false), "disk-not-found");
    assert_refused(change_medium("disk0", NULL), "disk-not-found");
    assert_int_equal(store_files(host), 2);
    assert_int_equal(vm->status.spec.n_disks, 0);
    assert_same();
    wish = (struct vm_disk_wish){.disk = store_disk("there.raw", "raw", "")};
    assert_done(add(&wish));
    assert_refused(change_medium("disk0", NULL), "disk-kind");
    vm->status.spec.kernel[0] = '\0';
    assert_refused(detach("disk0", false), "disk-is-boot");
    vm->status.spec.hardware = 1;
    g_strlcpy(vm->status.spec.kernel, "/k", sizeof vm->status.spec.kernel);
    assert_refused(detach("disk0", false), "hot-plug-missing");
    g_strlcpy(vm->status.move, "5d1cbd6b-6c4f-4f0c-8a4e-1d7d0c4c9f11", sizeof vm->status.move);
    assert_refused(detach("disk0", false), "vm-is-moving");
    vm->status.move[0] = '\0';
}

/* A small file system: what is copied must fit, and what does not leaves nothing. */
static void a_copy_that_does_not_fit_is_not_begun(void **state)
{
    (void)state;
    struct vm_disk_wish wish = new_disk("");
    g_autofree char *big = g_strdup_printf("%s/big.raw", host->folder);
    run_command("head -c 40M /dev/urandom > %s && chown %u %s", big, HOST_UID, big);
    struct host *small = host_up(NULL);
    g_autofree char *mount =
        g_strdup_printf("mkdir %s/store && mount -t tmpfs -o size=24m,uid=%u none %s/store", small->folder,
                        HOST_UID, small->folder);
    run_command("%s", mount);
    store_open(small);
    struct host_datastore now;
    do
        (void)usleep(10000);
    while (datastores_get(&small->agent, "store", &now) && !now.capacity_bytes);
    struct vm *other;
    const struct vm_spec spec = hot_spec("small");
    struct answer answer = {0};
    assert_int_equal(vm_create(&small->agent, &spec, &other, NULL), 0);
    wish.size_bytes = 0;
    g_strlcpy(wish.from.path, big, sizeof wish.from.path);
    g_strlcpy(wish.from.format, "raw", sizeof wish.from.format);
    vm_disks_add_wish(other, &wish, take_answer, &answer);
    wait_until(&answer.there, 60, "the refusal");
    assert_refused(answer.err, "disk-no-room");
    assert_int_equal(store_files(small), 0);
    /* What nobody could see before ends in the middle of the copy. */
    answer = (struct answer){0};
    now.capacity_bytes = 0;
    run_command("head -c 20M /dev/urandom > %s/store/filler", small->folder);
    g_autofree char *fits = g_strdup_printf("%s/fits.raw", host->folder);
    run_command("head -c 10M /dev/urandom > %s && chown %u %s", fits, HOST_UID, fits);
    g_strlcpy(wish.from.path, fits, sizeof wish.from.path);
    vm_disks_add_wish(other, &wish, take_answer, &answer);
    wait_until(&answer.there, 60, "the failure");
    assert_refused(answer.err, "disk-image-failed");
    assert_int_equal(store_files(small), 1);
    assert_int_equal(other->status.spec.n_disks, 0);
    store_close(small);
    run_command("umount -l %s/store", small->folder);
    host_down(small);
}

/* While one change is under way the VM is held, and says for what. */
static void one_change_at_a_time(void **state)
{
    (void)state;
    const struct vm_disk_wish wish = new_disk("");
    struct answer first = {0}, second = {0};
    struct err err = {0};
    vm_disks_add_wish(vm, &wish, take_answer, &first);
    vm_disks_add_wish(vm, &wish, take_answer, &second);
    assert_true(second.there);
    assert_refused(second.err, "vm-disks-changing");
    assert_string_equal(second.err.cause, "making and attaching store:hot-disk0.qcow2");
    assert_int_equal(vm_remove(vm, &err), -1);
    assert_refused(err, "vm-disks-changing");
    wait_ok(&first, "the first disk");
    assert_same();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_disk_is_made_and_goes_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_vm_can_move_after_its_disks_changed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_disk_grows_and_never_shrinks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(copies_and_clones_begin_as_what_they_are_made_from, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_cd_is_changed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cd_is_changed_while_the_guest_resets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_said_and_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_copy_that_does_not_fit_is_not_begun, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_change_at_a_time, set_up, tear_down),
    };
    return geteuid() != 0 ? 77 : cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
