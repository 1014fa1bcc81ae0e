/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "model/move.h"

static int read_vm(const char *text, struct vm_spec *ret_spec, struct err *err)
{
    JsonObject *object = NULL;
    assert_int_equal(model_parse(text, -1, &object, NULL), 0);
    err_clear(err);
    int result = vm_spec_from_json(object, ret_spec, err);
    json_object_unref(object);
    return result;
}

static void a_spec_survives_its_json_form(void **state)
{
    (void)state;
    struct vm_spec spec, back;
    struct err err;
    assert_int_equal(
        read_vm("{\"uuid\":\"3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e\",\"name\":\"v1\",\"memory_mib\":"
                "1048576,\"cpus\":64,\"accel\":\"tcg\",\"machine\":\"pc-q35-7.2\",\"cpu_model\":"
                "\"max\",\"kernel\":\"/k,1\",\"initrd\":\"/i\",\"append\":\"console=ttyS0,115200\","
                "\"disks\":[{\"path\":\"/d/a.qcow2\",\"format\":\"qcow2\"},{\"datastore\":\"nfs\","
                "\"file\":\"web/"
                "b\",\"format\":\"raw\",\"bus\":\"virtio-scsi\",\"media\":\"cdrom\"}],\"nics\":[{\"network\":"
                "\"lan\",\"mac\":\"52:54:00:AA:bb:01\"}],"
                "\"autostart\":true}",
                &spec, &err),
        0);
    assert_int_equal(spec.n_disks, 2);
    assert_string_equal(spec.nics[0].mac, "52:54:00:aa:bb:01");
    JsonObject *object = vm_spec_to_json(&spec);
    g_autofree char *text = model_print(object, true);
    json_object_unref(object);
    assert_int_equal(read_vm(text, &back, &err), 0);
    assert_memory_equal(&spec, &back, sizeof spec);
}

static void what_may_be_left_out_has_its_default(void **state)
{
    (void)state;
    struct vm_spec spec;
    struct err err;
    assert_int_equal(read_vm("{\"name\":\"v\",\"memory_mib\":64}", &spec, &err), 0);
    assert_int_equal(spec.cpus, 1);
    assert_int_equal(spec.accel, VM_ACCEL_AUTO);
    assert_string_equal(spec.uuid, "");
}

#define VM(more) "{\"name\":\"v\",\"memory_mib\":64," more "}"

struct bad_input {
    const char *text;
    const char *message;
};

static void refuse_all(const struct bad_input *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct vm_spec spec;
        struct err err;
        if (!read_vm(cases[i].text, &spec, &err))
            fail_msg("accepted: %s", cases[i].text);
        assert_int_equal(err.code, ERR_BAD_REQUEST);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].text, err.message, cases[i].message);
    }
}

static void bad_input_is_refused_by_field_and_cure(void **state)
{
    (void)state;
    static const struct bad_input cases[] = {
        {"{\"memory_mib\":64}", "name must be 1 to 63 letters"},
        {"{\"name\":\"a b\",\"memory_mib\":64}", "name must be 1 to 63 letters"},
        {"{\"name\":7,\"memory_mib\":64}", "name must be a string"},
        {"{\"name\":\"v\"}", "memory_mib must be a whole number from 64 to 1048576"},
        {"{\"name\":\"v\",\"memory_mib\":62}", "memory_mib must be a whole number from 64 to 1048576"},
        {"{\"name\":\"v\",\"memory_mib\":1048577}", "memory_mib must be a whole number from 64 to 1048576"},
        {"{\"name\":\"v\",\"memory_mib\":4294967360}",
         "memory_mib must be a whole number from 64 to 1048576"},
        {"{\"name\":\"v\",\"memory_mib\":-64}", "memory_mib must be a whole number from 64 to 1048576"},
        {"{\"name\":\"v\",\"memory_mib\":64.0}", "memory_mib must be a whole number from 64 to 1048576"},
        {"{\"name\":\"v\",\"memory_mib\":\"64\"}", "memory_mib must be a whole number from 64 to 1048576"},
        {"{\"name\":\"v\",\"memory_mib\":null}", "memory_mib must be a whole number from 64 to 1048576"},
        {"{\"name\":\"v\",\"memory_mib\":65}", "memory_mib must be a multiple of 2"},
        {VM("\"cpus\":0"), "cpus must be a whole number from 1 to 64"},
        {VM("\"cpus\":65"), "cpus must be a whole number from 1 to 64"},
        {VM("\"memroy\":1"), "there is no field \"memroy\""},
        {VM("\"accel\":\"xen\""), "accel must be one of \"auto\", \"kvm\", \"tcg\""},
        {VM("\"accel\":1"), "accel must be one of"},
        {VM("\"uuid\":\"x\""), "uuid must be a UUID in lower case"},
        {VM("\"machine\":\"pc,accel=tcg\""), "machine must be a name QEMU knows"},
        {VM("\"cpu_model\":\"-x\""), "cpu_model must be a name QEMU knows"},
        {VM("\"kernel\":\"boot/k\""), "kernel must be an absolute path"},
        {VM("\"kernel\":\"/a/../k\""), "kernel must be an absolute path"},
        {VM("\"kernel\":\"/a/..\""), "kernel must be an absolute path"},
        {VM("\"kernel\":\"/a\\nb\""), "kernel must be an absolute path"},
        {VM("\"append\":\"quiet\""), "append must be empty when kernel is empty"},
        {VM("\"firmware\":\"coreboot\""), "firmware must be"},
        {VM("\"firmware\":\"uefi\""), "nvram must be the path of a file"},
        {VM("\"nvram\":\"/n\""), "nvram must be empty unless firmware is uefi"},
        {VM("\"firmware\":\"uefi\",\"nvram\":\"/d\",\"disks\":[{\"path\":\"/d\",\"format\":\"raw\"}]"),
         "nvram must be the path of a file that is no disk of the VM"},
        {VM("\"kernel\":\"/k\",\"append\":\"a\\nb\""), "append must be one line"},
        {VM("\"nics\":[{\"network\":\"\"}]"), "nics[0].network must be 1 to 63 letters"},
        {VM("\"nics\":[{\"network\":\"l\",\"mac\":\"53:54:00:00:00:01\"}]"), "nics[0].mac must be a unicast"},
        {VM("\"nics\":[{\"network\":\"l\",\"mac\":\"52-54-00-00-00-01\"}]"), "nics[0].mac must be a unicast"},
        {VM("\"nics\":[{\"network\":\"l\",\"mac\":\"52:54:00:00:00:01:02\"}]"),
         "nics[0].mac must be at most 17 bytes long"},
    };
    refuse_all(cases, G_N_ELEMENTS(cases));
}

static void a_bad_disk_is_refused_by_field_and_cure(void **state)
{
    (void)state;
    static const struct bad_input cases[] = {
        {VM("\"disks\":{}"), "disks must be an array"},
        {VM("\"disks\":[7]"), "disks[0] must be an object"},
        {VM("\"disks\":[{\"path\":\"/a\",\"format\":\"vmdk\"}]"),
         "disks[0].format must be \"qcow2\" or \"raw\""},
        {VM("\"disks\":[{\"path\":\"/a\"}]"), "disks[0].format must be \"qcow2\" or \"raw\""},
        {VM("\"disks\":[{\"path\":\"/a\",\"format\":\"raw\",\"x\":1}]"), "there is no field \"disks[0].x\""},
        {VM("\"disks\":[{\"path\":\"/a\",\"format\":\"raw\"},{\"path\":\"/a\",\"format\":\"raw\"}]"),
         "disks[1].path must differ from disks[0].path"},
        {VM("\"disks\":[{\"path\":\"/a\",\"format\":\"raw\",\"bus\":\"ide\"}]"),
         "disks[0].bus must be \"virtio-blk\" or \"virtio-scsi\""},
        {VM("\"disks\":[{\"path\":\"/a\",\"format\":\"raw\",\"media\":\"tape\"}]"),
         "disks[0].media must be \"disk\" or \"cdrom\""},
        {VM("\"disks\":[{\"path\":\"/a\",\"format\":\"raw\",\"media\":\"cdrom\",\"bus\":\"virtio-blk\"}]"),
         "disks[0].bus must be virtio-scsi or empty for a CD"},
        {VM("\"disks\":[{\"format\":\"raw\"}]"), "disks[0].path must be an absolute path"},
        {VM("\"disks\":[{\"path\":\"/a\",\"datastore\":\"d\",\"file\":\"a\",\"format\":\"raw\"}]"),
         "disks[0].path must be empty where datastore and file say"},
        {VM("\"disks\":[{\"datastore\":\"d\",\"format\":\"raw\"}]"), "disks[0].file must be the file on"},
        {VM("\"disks\":[{\"file\":\"a\",\"format\":\"raw\"}]"), "disks[0].datastore must be the datastore"},
        {VM("\"disks\":[{\"datastore\":\"a/b\",\"file\":\"a\",\"format\":\"raw\"}]"),
         "disks[0].datastore must be 1 to 63 letters"},
        {VM("\"disks\":[{\"datastore\":\"d\",\"file\":\"/a\",\"format\":\"raw\"}]"),
         "disks[0].file must be a path below the datastore's folder"},
        {VM("\"disks\":[{\"datastore\":\"d\",\"file\":\"../a\",\"format\":\"raw\"}]"),
         "disks[0].file must be a path below the datastore's folder"},
        {VM("\"disks\":[{\"datastore\":\"d\",\"file\":\"a/../../b\",\"format\":\"raw\"}]"),
         "disks[0].file must be a path below the datastore's folder"},
        {VM("\"disks\":[{\"datastore\":\"d\",\"file\":\"..\",\"format\":\"raw\"}]"),
         "disks[0].file must be a path below the datastore's folder"},
        {VM("\"disks\":[{\"datastore\":\"d\",\"file\":\"a\",\"format\":\"raw\"},{\"datastore\":\"d\","
            "\"file\":\"a\",\"format\":\"raw\"}]"),
         "disks[1].file must differ from disks[0].file"},
        {VM("\"disks\":[{},{},{},{},{},{},{},{},{}]"), "disks must be at most 8 elements long"},
    };
    refuse_all(cases, G_N_ELEMENTS(cases));
}

static int change(struct vm_spec *spec, const char *text, struct err *err)
{
    g_autoptr(JsonObject) changes = NULL;
    assert_int_equal(model_parse(text, -1, &changes, NULL), 0);
    err_clear(err);
    return vm_spec_change(spec, changes, err);
}

static void a_change_leaves_the_rest_as_it_was(void **state)
{
    (void)state;
    struct vm_spec spec, before;
    struct err err;
    assert_int_equal(read_vm(VM("\"uuid\":\"3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e\",\"kernel\":\"/k\","
                                "\"append\":\"quiet\",\"disks\":[{\"path\":\"/a\",\"format\":\"raw\"},"
                                "{\"path\":\"/b\",\"format\":\"raw\"}]"),
                             &spec, &err),
                     0);
    before = spec;
    assert_false(spec.autostart);
    assert_int_equal(change(&spec, "{\"name\":\"w\",\"autostart\":true}", &err), 0);
    assert_null(vm_spec_needs_restart(&before, &spec));
    assert_int_equal(change(&spec, "{\"memory_mib\":128}", &err), 0);
    assert_string_equal(vm_spec_needs_restart(&before, &spec), "memory_mib");
    struct vm_spec expected = before;
    g_strlcpy(expected.name, "w", sizeof expected.name);
    expected.autostart = true;
    expected.memory_mib = 128;
    assert_memory_equal(&spec, &expected, sizeof spec);
    assert_int_equal(change(&spec, "{\"disks\":[]}", &err), 0);
    assert_int_equal(spec.n_disks, 0);
    assert_string_equal(spec.disks[0].path, "");
}

static void a_wrong_change_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text, *id, *message;
    } cases[] = {
        {"{}", "nothing-to-change", "nothing to change"},
        {"{\"uuid\":\"3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1f\"}", "uuid-invalid", "uuid cannot be changed"},
        {"{\"cpus\":2,\"memory_mib\":7}", "field-out-of-range", "memory_mib must be"},
        {"{\"cpus\":2,\"kernel\":\"\"}", "kernel-missing", "append must be empty"},
        {"{\"cpus\":2,\"autostart\":\"yes\"}", "field-wrong-type", "autostart must be true or false"},
        {"{\"cpus\":2,\"memroy\":1}", "field-unknown", "memroy"},
    };
    struct vm_spec spec, before;
    struct err err;
    assert_int_equal(read_vm(VM("\"uuid\":\"3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e\",\"kernel\":\"/k\","
                                "\"append\":\"quiet\""),
                             &spec, &err),
                     0);
    before = spec;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_int_equal(change(&spec, cases[i].text, &err), -1);
        assert_int_equal(err.code, ERR_BAD_REQUEST);
        assert_string_equal(err.id, cases[i].id);
        assert_non_null(strstr(err.message, cases[i].message));
        assert_memory_equal(&spec, &before, sizeof spec);
    }
}

static void a_status_from_a_newer_program_is_understood(void **state)
{
    (void)state;
    JsonObject *object = NULL;
    struct vm_status status;
    struct err err = {0};
    assert_int_equal(
        model_parse("{\"spec\":{\"name\":\"v\",\"memory_mib\":2097152,\"tpm\":true},\"state\":\"incoming\","
                    "\"pid\":12,\"epoch\":7,\"weather\":\"fine\"}",
                    -1, &object, NULL),
        0);
    assert_int_equal(vm_status_from_json(object, &status, &err), 0);
    json_object_unref(object);
    assert_int_equal(status.spec.memory_mib, 2097152);
    assert_int_equal(status.state, VM_INCOMING);
    assert_int_equal(status.pid, 12);
    assert_int_equal(status.epoch, 7);
}

static void an_unknown_state_is_never_taken_for_off(void **state)
{
    (void)state;
    JsonObject *object = NULL;
    struct vm_status status;
    struct err err = {0};
    assert_int_equal(model_parse("{\"state\":\"suspended\"}", -1, &object, NULL), 0);
    assert_int_equal(vm_status_from_json(object, &status, &err), -1);
    assert_int_equal(status.state, VM_UNKNOWN);
    json_object_unref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spec_survives_its_json_form),
        cmocka_unit_test(what_may_be_left_out_has_its_default),
        cmocka_unit_test(bad_input_is_refused_by_field_and_cure),
        cmocka_unit_test(a_bad_disk_is_refused_by_field_and_cure),
        cmocka_unit_test(a_change_leaves_the_rest_as_it_was),
        cmocka_unit_test(a_wrong_change_changes_nothing),
        cmocka_unit_test(a_status_from_a_newer_program_is_understood),
        cmocka_unit_test(an_unknown_state_is_never_taken_for_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
