/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "model/json.h"
#include "model/vm_disks.h"

static struct vm_spec spec;

static struct vm_disk disk_at(const char *file)
{
    struct vm_disk disk = {.format = "qcow2", .datastore = "shared", .bus = "virtio-scsi"};
    g_strlcpy(disk.file, file, sizeof disk.file);
    return disk;
}

static uint32_t add(const char *file)
{
    const struct vm_disk disk = disk_at(file);
    uint32_t i;
    assert_int_equal(vm_disks_add(&spec, &disk, &i, NULL), 0);
    return i;
}

static int set_up(void **state)
{
    (void)state;
    spec = (struct vm_spec){.name = "web", .memory_mib = 64, .cpus = 1};
    (void)add("a");
    (void)add("b");
    (void)add("c");
    return 0;
}

static void assert_name(uint32_t i, const char *expected)
{
    char name[VM_DISK_NAME_SIZE];
    vm_disk_name(&spec, i, name);
    assert_string_equal(name, expected);
}

/* The version before knows of no slots: a list without gaps has none. */
static void slots_are_written_only_where_places_do_not_say_them(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(spec.disks[i].slot, 0);
    vm_disks_remove(&spec, 0);
    assert_int_equal(spec.n_disks, 2);
    assert_name(0, "disk1");
    assert_name(1, "disk2");
    assert_int_equal(vm_spec_check(&spec, NULL), 0);
    vm_disks_remove(&spec, 0);
    assert_name(0, "disk2");
}

static void a_new_disk_takes_the_first_free_slot(void **state)
{
    (void)state;
    vm_disks_remove(&spec, 1);
    uint32_t i = add("d");
    assert_int_equal(i, 2);
    assert_name(1, "disk2");
    assert_name(i, "disk1");
    assert_int_equal(vm_spec_check(&spec, NULL), 0);
}

static void there_is_an_end_to_disks(void **state)
{
    (void)state;
    struct err err;
    uint32_t i;
    for (uint32_t n = 3; n < VM_DISKS_MAX; n++)
        (void)add((const char[]){(char)('a' + n), '\0'});
    const struct vm_disk more = disk_at("more");
    assert_int_equal(vm_disks_add(&spec, &more, &i, &err), -1);
    assert_string_equal(err.id, "disk-too-many");
    assert_string_equal(err.message, "VM 'web' has 8 disks and can have no more");
}

static void two_disks_in_one_slot_are_refused(void **state)
{
    (void)state;
    struct err err;
    spec.disks[2].slot = 1;
    assert_int_equal(vm_spec_check(&spec, &err), -1);
    assert_string_equal(err.id, "disk-slot-twice");
    assert_string_equal(err.message, "disks[2].slot must differ from disks[0].slot");
}

static void a_disk_is_found_by_name_and_by_image(void **state)
{
    (void)state;
    struct err err;
    uint32_t i;
    vm_disks_remove(&spec, 0);
    assert_int_equal(vm_disks_find(&spec, "disk2", &i, NULL), 0);
    assert_int_equal(i, 1);
    assert_int_equal(vm_disks_find(&spec, "shared:b", &i, NULL), 0);
    assert_int_equal(i, 0);
    assert_int_equal(vm_disks_find(&spec, "disk0", &i, &err), -1);
    assert_string_equal(err.id, "disk-not-found");
    assert_string_equal(err.message, "VM 'web' has no disk 'disk0'");
    assert_string_equal(err.cause, "it has disk1 (shared:b), disk2 (shared:c)");
}

static void only_a_cd_drive_may_be_empty(void **state)
{
    (void)state;
    spec.disks[1] = (struct vm_disk){.format = "raw", .media = "cdrom"};
    spec.disks[2] = (struct vm_disk){.format = "raw", .media = "cdrom"};
    assert_int_equal(vm_spec_check(&spec, NULL), 0);
    spec.disks[1] = (struct vm_disk){.format = "raw"};
    assert_int_equal(vm_spec_check(&spec, NULL), -1);
}

static void the_first_disk_that_is_no_cd_boots_unless_there_is_a_kernel(void **state)
{
    (void)state;
    g_strlcpy(spec.disks[0].media, "cdrom", sizeof spec.disks[0].media);
    assert_false(vm_disk_is_boot(&spec, 0));
    assert_true(vm_disk_is_boot(&spec, 1));
    assert_false(vm_disk_is_boot(&spec, 2));
    g_strlcpy(spec.kernel, "/k", sizeof spec.kernel);
    assert_false(vm_disk_is_boot(&spec, 1));
}

#define DISK "\"disk\":{\"datastore\":\"d\",\"file\":\"f\",\"format\":\"qcow2\"}"

static void a_wish_keeps_what_it_says(void **state)
{
    (void)state;
    struct vm_disk_wish wish;
    g_autoptr(JsonObject) asked = NULL;
    assert_int_equal(model_parse("{" DISK ",\"create\":{\"size_bytes\":1048576,\"backing\":{\"datastore\":"
                                 "\"d\",\"file\":\"base\",\"format\":\"raw\"}}}",
                                 -1, &asked, NULL),
                     0);
    assert_int_equal(vm_disk_wish_from_json(asked, &wish, NULL), 0);
    g_autoptr(JsonObject) again = vm_disk_wish_to_json(&wish);
    assert_int_equal(vm_disk_wish_from_json(again, &wish, NULL), 0);
    assert_true(wish.is_new);
    assert_int_equal(wish.size_bytes, 1048576);
    assert_string_equal(wish.disk.file, "f");
    assert_string_equal(wish.backing.file, "base");
    assert_string_equal(wish.from.format, "");
}

static void a_bad_wish_is_refused_by_member(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{}", "the request needs the member 'disk'"},
        {"{\"disk\":7}", "the member 'disk' must be an object"},
        {"{\"disk\":{\"format\":\"qcow2\"}}", "datastore must be a datastore (or path be that of a file)"},
        {"{" DISK ",\"more\":1}", "the request has an unknown member 'more'"},
        {"{" DISK ",\"create\":{}}",
         "size_bytes must be a multiple of 512, from 1 MiB (1048576) to 64 TiB (70368744177664)"},
        {"{" DISK ",\"create\":{\"size_bytes\":1048577}}",
         "size_bytes must be a multiple of 512, from 1 MiB (1048576) to 64 TiB (70368744177664)"},
        {"{" DISK ",\"create\":{\"size_bytes\":1048576,\"thick\":true}}",
         "create has an unknown member 'thick'"},
        {"{\"disk\":{\"path\":\"/f\",\"format\":\"raw\"},\"create\":{\"size_bytes\":1048576}}",
         "datastore must be given: a new image is made on a datastore"},
        {"{" DISK ",\"create\":{\"from\":{\"path\":\"/a\",\"format\":\"raw\"},\"backing\":{\"path\":\"/"
         "b\",\"format\":\"raw\"}}}",
         "backing must be left out where there is 'from'"},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct vm_disk_wish wish;
        struct err err = {0};
        g_autoptr(JsonObject) object = NULL;
        assert_int_equal(model_parse(cases[i].text, -1, &object, NULL), 0);
        assert_int_equal(vm_disk_wish_from_json(object, &wish, &err), -1);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(err.code, ERR_BAD_REQUEST);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(slots_are_written_only_where_places_do_not_say_them, set_up),
        cmocka_unit_test_setup(a_new_disk_takes_the_first_free_slot, set_up),
        cmocka_unit_test_setup(there_is_an_end_to_disks, set_up),
        cmocka_unit_test_setup(two_disks_in_one_slot_are_refused, set_up),
        cmocka_unit_test_setup(a_disk_is_found_by_name_and_by_image, set_up),
        cmocka_unit_test_setup(only_a_cd_drive_may_be_empty, set_up),
        cmocka_unit_test_setup(the_first_disk_that_is_no_cd_boots_unless_there_is_a_kernel, set_up),
        cmocka_unit_test(a_wish_keeps_what_it_says),
        cmocka_unit_test(a_bad_wish_is_refused_by_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
