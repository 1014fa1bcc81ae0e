/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "qemu/cmdline.h"

static struct vm_spec spec;
static struct cmdline_config config;

static int set_up(void **state)
{
    (void)state;
    spec = (struct vm_spec){.uuid = "1cb5c4a7-d5e5-4aa0-b401-afe5781ea6c8",
                            .name = "web",
                            .memory_mib = 256,
                            .cpus = 2,
                            .machine = "pc-q35-7.2",
                            .cpu_model = "qemu64"};
    config = (struct cmdline_config){.spec = &spec,
                                     .accel = "tcg",
                                     .data_dir = "",
                                     .qmp_fd = 4,
                                     .ram_fd = 3,
                                     .console_fd = 5,
                                     .kernel_fd = -1,
                                     .initrd_fd = -1};
    return 0;
}

static char **build(void)
{
    char **argv;
    struct err err = {0};
    if (cmdline_build(&config, &argv, &err) < 0)
        fail_msg("%s", err.message);
    return argv;
}

/* The n-th value of an option, or NULL. */
static const char *value_of(char **argv, const char *option, unsigned n)
{
    for (unsigned i = 0; argv[i]; i++)
        if (!strcmp(argv[i], option) && n-- == 0)
            return argv[i + 1];
    return NULL;
}

static void memory_is_a_shared_named_file(void **state)
{
    (void)state;
    g_auto(GStrv) argv = build();
    assert_string_equal(value_of(argv, "-object", 0),
                        "memory-backend-file,id=ram,size=256M,share=on,mem-path=/proc/self/fd/3");
    assert_non_null(strstr(value_of(argv, "-machine", 0), "pc-q35-7.2,memory-backend=ram"));
    assert_string_equal(value_of(argv, "-m", 0), "size=256M");
}

static void qemu_gets_no_more_than_it_needs(void **state)
{
    (void)state;
    g_auto(GStrv) argv = build();
    assert_string_equal(value_of(argv, "-sandbox", 0),
                        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    assert_true(g_strv_contains((const char *const *)argv, "-nodefaults"));
    assert_true(g_strv_contains((const char *const *)argv, "-no-user-config"));
    assert_string_equal(value_of(argv, "-vga", 0), "none");
    assert_string_equal(value_of(argv, "-display", 0), "none");
    assert_false(g_strv_contains((const char *const *)argv, "-daemonize"));
    assert_false(g_strv_contains((const char *const *)argv, "-runas"));
    assert_false(g_strv_contains((const char *const *)argv, "-incoming"));
    assert_true(g_strv_contains((const char *const *)argv, "-S"));
}

static void the_accelerator_is_spelled_out(void **state)
{
    (void)state;
    g_auto(GStrv) tcg = build();
    assert_string_equal(value_of(tcg, "-accel", 0), "tcg,thread=multi,tb-size=128");
    config.accel = "kvm";
    g_auto(GStrv) kvm = build();
    assert_string_equal(value_of(kvm, "-accel", 0), "kvm");
}

static void commas_cannot_add_options(void **state)
{
    (void)state;
    g_strlcpy(spec.name, "a,debug-threads=off", sizeof spec.name);
    g_strlcpy(spec.cpu_model, "qemu64,+x", sizeof spec.cpu_model);
    spec.n_disks = 1;
    g_strlcpy(config.disk_paths[0], "/d/a,b\"c\\d", sizeof config.disk_paths[0]);
    g_strlcpy(spec.disks[0].format, "raw", sizeof spec.disks[0].format);
    g_auto(GStrv) argv = build();
    assert_string_equal(value_of(argv, "-name", 0), "guest=a,,debug-threads=off,debug-threads=on");
    assert_string_equal(value_of(argv, "-cpu", 0), "qemu64,,+x");
    g_autoptr(JsonNode) node = json_from_string(value_of(argv, "-blockdev", 0), NULL);
    assert_non_null(node);
    JsonObject *file = json_node_get_object(node);
    assert_string_equal(json_object_get_string_member(file, "filename"), "/d/a,b\"c\\d");
}

static void disks_go_through_the_page_cache_and_are_locked(void **state)
{
    (void)state;
    spec.n_disks = 2;
    for (unsigned i = 0; i < 2; i++) {
        g_strlcpy(config.disk_paths[i], "/d", sizeof config.disk_paths[i]);
        g_strlcpy(spec.disks[i].format, "qcow2", sizeof spec.disks[i].format);
    }
    g_auto(GStrv) argv = build();
    for (unsigned i = 0; i < 4; i++) {
        g_autoptr(JsonNode) node = json_from_string(value_of(argv, "-blockdev", i), NULL);
        JsonObject *object = json_node_get_object(node);
        assert_false(
            json_object_get_boolean_member(json_object_get_object_member(object, "cache"), "direct"));
        if (i % 2 == 0) {
            assert_string_equal(json_object_get_string_member(object, "aio"), "threads");
            assert_string_equal(json_object_get_string_member(object, "locking"), "on");
        }
    }
    assert_null(value_of(argv, "-blockdev", 4));
}

static bool flag_of(JsonObject *object, const char *member)
{
    return json_object_get_boolean_member_with_default(object, member, FALSE);
}

/* The firmware is one for all VMs and read only; the variables are the VM's own, and locked as a disk is. */
static void uefi_is_two_images_and_bios_none(void **state)
{
    (void)state;
    g_auto(GStrv) bios = build();
    assert_null(strstr(value_of(bios, "-machine", 0), "pflash"));
    spec.firmware = VM_FIRMWARE_UEFI;
    g_strlcpy(spec.nvram, "/d/v", sizeof spec.nvram);
    config.uefi_code = "/f/code";
    g_auto(GStrv) uefi = build();
    assert_non_null(strstr(value_of(uefi, "-machine", 0), ",pflash0=pflash0,pflash1=pflash1"));
    static const char *const paths[] = {"/f/code", "/d/v"};
    for (unsigned i = 0; i < 4; i++) {
        g_autoptr(JsonNode) node = json_from_string(value_of(uefi, "-blockdev", i), NULL);
        JsonObject *object = json_node_get_object(node);
        assert_int_equal(flag_of(object, "read-only"), i < 2);
        assert_false(flag_of(json_object_get_object_member(object, "cache"), "direct"));
        if (i % 2 == 0) {
            assert_string_equal(json_object_get_string_member(object, "filename"), paths[i / 2]);
            assert_string_equal(json_object_get_string_member(object, "locking"), "on");
        }
    }
    assert_null(value_of(uefi, "-blockdev", 4));
}

/* A CD is never written, and both kinds keep their places beside virtio-blk disks. */
static void scsi_disks_and_cds_share_one_controller(void **state)
{
    (void)state;
    static const char *const devices[] = {
        "virtio-rng-pci,id=vrng,rng=rng,bus=pcie.0,addr=0x2",
        "virtio-scsi-pci,id=scsi,bus=pcie.0,addr=0x18",
        "virtio-blk-pci,id=vdisk0,drive=disk0,bus=pcie.0,addr=0x10,bootindex=1",
        "scsi-hd,id=vdisk1,drive=disk1.7,bus=scsi.0,scsi-id=1,bootindex=2",
        "scsi-cd,id=vdisk2,drive=disk2,bus=scsi.0,scsi-id=2,bootindex=3",
    };
    spec.n_disks = 3;
    for (unsigned i = 0; i < 3; i++)
        g_strlcpy(spec.disks[i].format, "raw", sizeof spec.disks[i].format);
    g_strlcpy(spec.disks[1].bus, "virtio-scsi", sizeof spec.disks[1].bus);
    spec.disks[1].moves = 7; /* to other datastores: its device is the same, its nodes have another name */
    g_strlcpy(spec.disks[2].media, "cdrom", sizeof spec.disks[2].media);
    g_strlcpy(spec.disks[2].path, "/d/cd.iso", sizeof spec.disks[2].path);
    g_auto(GStrv) argv = build();
    for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++)
        assert_string_equal(value_of(argv, "-device", i), devices[i]);
    for (unsigned i = 0; i < 6; i++) {
        g_autoptr(JsonNode) node = json_from_string(value_of(argv, "-blockdev", i), NULL);
        assert_int_equal(
            json_object_get_boolean_member_with_default(json_node_get_object(node), "read-only", FALSE),
            i >= 4);
    }
}

/* What is left after others have gone keeps name and address, and so does what came in the place of one. */
static void a_disk_keeps_its_place_while_others_go(void **state)
{
    (void)state;
    spec.n_disks = 2;
    for (unsigned i = 0; i < 2; i++) {
        g_strlcpy(spec.disks[i].format, "raw", sizeof spec.disks[i].format);
        g_strlcpy(spec.disks[i].bus, "virtio-scsi", sizeof spec.disks[i].bus);
    }
    spec.disks[0].slot = 3;
    g_auto(GStrv) argv = build();
    assert_string_equal(value_of(argv, "-device", 2),
                        "scsi-hd,id=vdisk2,drive=disk2,bus=scsi.0,scsi-id=2,bootindex=3");
    assert_string_equal(value_of(argv, "-device", 3),
                        "scsi-hd,id=vdisk1,drive=disk1,bus=scsi.0,scsi-id=1,bootindex=2");
}

/* An empty drive has no image, and the controller is there for disks that will come. */
static void a_drive_may_be_empty_and_a_controller_without_disks(void **state)
{
    (void)state;
    spec.hardware = VM_HARDWARE_HOT_DISKS;
    g_auto(GStrv) none = build();
    bool has_controller = false;
    for (unsigned i = 0; none[i]; i++)
        has_controller |= !strcmp(none[i], "virtio-scsi-pci,id=scsi,bus=pcie.0,addr=0x18");
    assert_true(has_controller);
    spec.hardware = 0;
    spec.n_disks = 1;
    g_strlcpy(spec.disks[0].format, "raw", sizeof spec.disks[0].format);
    g_strlcpy(spec.disks[0].media, "cdrom", sizeof spec.disks[0].media);
    g_auto(GStrv) argv = build();
    assert_null(value_of(argv, "-blockdev", 0));
    assert_string_equal(value_of(argv, "-device", 2), "scsi-cd,id=vdisk0,bus=scsi.0,scsi-id=0,bootindex=1");
}

/* Ids and addresses are the same on both sides, whatever numbers the descriptors have there. */
static void both_sides_have_the_same_devices(void **state)
{
    (void)state;
    spec.n_nics = 2;
    spec.n_disks = 2;
    for (unsigned i = 0; i < 2; i++) {
        g_strlcpy(spec.nics[i].mac, "52:54:00:00:00:01", sizeof spec.nics[i].mac);
        g_strlcpy(config.disk_paths[i], "/d", sizeof config.disk_paths[i]);
        g_strlcpy(spec.disks[i].format, "raw", sizeof spec.disks[i].format);
        config.tap_fds[i] = 6 + (int)i;
    }
    g_auto(GStrv) source = build();
    config.incoming = true;
    config.ram_fd = 9;
    config.tap_fds[0] = 20;
    g_auto(GStrv) destination = build();
    unsigned n = 0;
    for (const char *device; (device = value_of(source, "-device", n)); n++) {
        assert_string_equal(device, value_of(destination, "-device", n));
        assert_non_null(strstr(device, "id="));
        assert_non_null(strstr(device, "bus=pcie.0,addr=0x"));
    }
    assert_int_equal(n, 5);
    assert_string_equal(value_of(destination, "-incoming", 0), "defer");
    assert_string_equal(value_of(destination, "-netdev", 0), "tap,id=net0,fd=20,vhost=off");
}

static void a_spec_without_machine_is_refused(void **state)
{
    (void)state;
    char **argv;
    struct err err = {0};
    spec.machine[0] = '\0';
    assert_int_equal(cmdline_build(&config, &argv, &err), -1);
    assert_int_equal(err.code, ERR_BAD_REQUEST);
}

/* "" or all devices, one after the other. */
static char *devices_of(char **argv)
{
    GString *all = g_string_new(NULL);
    for (unsigned i = 0; value_of(argv, "-device", i); i++)
        g_string_append_printf(all, "%s ", value_of(argv, "-device", i));
    return g_string_free(all, FALSE);
}

static void a_vm_keeps_the_devices_of_its_hardware_version(void **state)
{
    (void)state;
    spec.n_nics = 1;
    g_strlcpy(spec.nics[0].mac, "52:54:00:00:00:01", sizeof spec.nics[0].mac);
    g_auto(GStrv) old = build();
    g_autofree char *old_devices = devices_of(old);
    static const char *const added[] = {"pvpanic", "virtio-balloon-pci", "i6300esb", "host_mtu"};
    for (unsigned i = 0; i < G_N_ELEMENTS(added); i++)
        assert_null(strstr(old_devices, added[i]));
    spec.hardware = 1;
    spec.nics[0].mtu = 9000;
    g_auto(GStrv) now = build();
    g_autofree char *devices = devices_of(now);
    for (unsigned i = 0; i < G_N_ELEMENTS(added); i++)
        assert_non_null(strstr(devices, added[i]));
    assert_non_null(strstr(devices, "host_mtu=9000"));
}

static void what_the_guest_writes_is_logged_and_a_panic_stops_it(void **state)
{
    (void)state;
    config.console_log_fd = 9;
    g_auto(GStrv) argv = build();
    bool has_console = false;
    for (unsigned i = 0; value_of(argv, "-chardev", i); i++)
        has_console |=
            !strcmp(value_of(argv, "-chardev", i),
                    "socket,id=console,fd=5,server=on,wait=off,logfile=/proc/self/fd/9,logappend=on");
    assert_true(has_console);
    assert_string_equal(value_of(argv, "-action", 0), "panic=pause");
}

static void the_guest_agents_port_is_there_only_if_it_is_wanted(void **state)
{
    (void)state;
    g_auto(GStrv) without = build();
    for (unsigned i = 0; without[i]; i++)
        assert_null(strstr(without[i], "vserial"));
    spec.guest_agent = true;
    config.guest_agent_fd = 9;
    g_auto(GStrv) argv = build();
    bool has_port = false, has_socket = false;
    for (unsigned i = 0; argv[i]; i++) {
        has_port |= strstr(argv[i], "name=org.qemu.guest_agent.0") != NULL;
        has_socket |= !strcmp(argv[i], "socket,id=qga,fd=9,server=on,wait=off");
    }
    assert_true(has_port && has_socket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_vm_keeps_the_devices_of_its_hardware_version, set_up),
        cmocka_unit_test_setup(what_the_guest_writes_is_logged_and_a_panic_stops_it, set_up),
        cmocka_unit_test_setup(the_guest_agents_port_is_there_only_if_it_is_wanted, set_up),
        cmocka_unit_test_setup(memory_is_a_shared_named_file, set_up),
        cmocka_unit_test_setup(qemu_gets_no_more_than_it_needs, set_up),
        cmocka_unit_test_setup(the_accelerator_is_spelled_out, set_up),
        cmocka_unit_test_setup(commas_cannot_add_options, set_up),
        cmocka_unit_test_setup(disks_go_through_the_page_cache_and_are_locked, set_up),
        cmocka_unit_test_setup(uefi_is_two_images_and_bios_none, set_up),
        cmocka_unit_test_setup(scsi_disks_and_cds_share_one_controller, set_up),
        cmocka_unit_test_setup(a_disk_keeps_its_place_while_others_go, set_up),
        cmocka_unit_test_setup(a_drive_may_be_empty_and_a_controller_without_disks, set_up),
        cmocka_unit_test_setup(both_sides_have_the_same_devices, set_up),
        cmocka_unit_test_setup(a_spec_without_machine_is_refused, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
