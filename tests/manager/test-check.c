/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "manager/check.h"

#include <stdio.h>
#include <string.h>

struct scene {
    struct vm_status vm;
    struct host_facts source, destination;
    struct move_options options;
    struct check_input input;
    struct findings found;
};

static void good_facts(struct host_facts *facts, const char *name)
{
    *facts = (struct host_facts){.protocol = 5,
                                 .migration_enabled = true,
                                 .migration_port = 8000,
                                 .memory_free_mib = 1024,
                                 .n_migration_addresses = 1,
                                 .n_networks = 1};
    (void)snprintf(facts->name, sizeof facts->name, "%s", name);
    (void)snprintf(facts->agent_version, sizeof facts->agent_version, "0.9");
    (void)snprintf(facts->dirty_source, sizeof facts->dirty_source, "async");
    (void)snprintf(facts->networks[0].name, sizeof facts->networks[0].name, "vmnet");
    (void)snprintf(facts->networks[0].bridge, sizeof facts->networks[0].bridge, "br0");
    facts->networks[0].mtu = 1500;
    (void)snprintf(facts->migration_addresses[0], MODEL_ADDRESS_MAX, "198.18.2.11");
}

static void good_scene(struct scene *scene)
{
    *scene = (struct scene){.vm = {.state = VM_RUNNING, .spec = {.memory_mib = 512, .n_nics = 1}}};
    (void)snprintf(scene->vm.host, sizeof scene->vm.host, "h1");
    (void)snprintf(scene->vm.spec.name, sizeof scene->vm.spec.name, "web");
    (void)snprintf(scene->vm.spec.nics[0].network, MODEL_NAME_MAX, "vmnet");
    good_facts(&scene->source, "h1");
    good_facts(&scene->destination, "h2");
    scene->input = (struct check_input){.vm = &scene->vm,
                                        .source = {"h1", true, .facts = &scene->source},
                                        .destination = {"h2", true, .facts = &scene->destination},
                                        .options = &scene->options,
                                        .protocol = 5,
                                        .cpu_baseline = ""};
}

static unsigned count_findings(struct scene *scene)
{
    scene->found.n = 0;
    check_hosts(&scene->input, &scene->found);
    return scene->found.n;
}

static void assert_one(struct scene *scene, const char *id, const char *side)
{
    assert_int_equal(count_findings(scene), 1);
    assert_string_equal(scene->found.list[0].err.id, id);
    assert_string_equal(scene->found.list[0].err.side, side);
    assert_true(scene->found.list[0].err.fix[0]);
}

static void assert_argument(const struct err *err, const char *name, const char *value)
{
    const char *found = err_arg_find(err, name);
    if (!found)
        fail_msg("%s has no argument %s", err->id, name);
    assert_string_equal(found, value);
}

static void good_hosts_have_no_findings(void **state)
{
    (void)state;
    struct scene scene;
    good_scene(&scene);
    assert_int_equal(check_request(&scene.input, NULL), 0);
    assert_int_equal(count_findings(&scene), 0);
}

static void each_obstacle_is_named_with_its_side_and_cure(void **state)
{
    (void)state;
    struct scene scene;
    good_scene(&scene);
    scene.input.destination.is_connected = false;
    assert_one(&scene, "host-disconnected", "destination");
    good_scene(&scene);
    scene.destination.migration_enabled = false;
    assert_one(&scene, "migration-disabled", "destination");
    good_scene(&scene);
    scene.source.migration_enabled = false;
    assert_one(&scene, "migration-disabled", "source");
    good_scene(&scene);
    scene.destination.protocol = 7;
    assert_one(&scene, "protocol-mismatch", "destination");
    good_scene(&scene);
    (void)snprintf(scene.source.dirty_source, sizeof scene.source.dirty_source, "none");
    assert_one(&scene, "dirty-source-none", "source");
    good_scene(&scene);
    scene.destination.n_networks = 0;
    assert_one(&scene, "network-missing", "destination");
    good_scene(&scene);
    scene.destination.networks[0].mtu = 0;
    assert_one(&scene, "bridge-missing", "destination");
    assert_string_equal(scene.found.list[0].err.message,
                        "bridge br0 of network vmnet, which VM 'web' uses, does not exist on host 'h2'");
    assert_non_null(strstr(scene.found.list[0].err.fix, "ip link add br0 type bridge"));
    good_scene(&scene);
    (void)snprintf(scene.destination.qemu_problem, sizeof scene.destination.qemu_problem, "not there");
    assert_one(&scene, "qemu-missing", "destination");
}

static void assert_warning(struct scene *scene, const char *id, const char *side)
{
    assert_one(scene, id, side);
    assert_int_equal(scene->found.list[0].severity, FINDING_WARNING);
    assert_int_equal(findings_first(&scene->found, NULL), 0);
}

static void what_shall_stay_is_not_moved(void **state)
{
    (void)state;
    struct scene scene;
    good_scene(&scene);
    scene.vm.spec.pinned = true;
    assert_one(&scene, "vm-pinned", "manager");
    good_scene(&scene);
    (void)snprintf(scene.vm.spec.held_by, MODEL_NAME_MAX, "nightly backup");
    assert_one(&scene, "vm-held", "manager");
    assert_argument(&scene.found.list[0].err, "holder", "nightly backup");
    good_scene(&scene);
    scene.input.destination.is_in_maintenance = true;
    assert_one(&scene, "host-in-maintenance", "destination");
    good_scene(&scene);
    scene.input.source.is_in_maintenance = true; /* away from there is what it is for */
    assert_int_equal(count_findings(&scene), 0);
}

static void what_does_not_forbid_a_move_is_a_warning(void **state)
{
    (void)state;
    struct scene scene;
    good_scene(&scene);
    scene.input.source.clock_ahead_ms = -1000;
    assert_warning(&scene, "clock-differs", "source");
    assert_string_equal(scene.found.list[0].err.message,
                        "the clock of host 'h1' differs from the manager's by 1.0 s");
    assert_argument(&scene.found.list[0].err, "direction", "behind");
    scene.input.source.clock_ahead_ms = 999;
    assert_int_equal(count_findings(&scene), 0);
    scene.input.destination.clock_ahead_ms = 61500;
    assert_warning(&scene, "clock-differs", "destination");
    assert_string_equal(scene.found.list[0].err.message,
                        "the clock of host 'h2' differs from the manager's by 61.5 s");
    assert_argument(&scene.found.list[0].err, "direction", "ahead");
    good_scene(&scene);
    scene.source.migration_mtu = 9000;
    assert_int_equal(count_findings(&scene), 0); /* the other does not say */
    scene.destination.migration_mtu = 1500;
    assert_warning(&scene, "migration-mtu-differs", "destination");
    assert_argument(&scene.found.list[0].err, "source_mtu", "9000");
    scene.destination.migration_mtu = 9000;
    assert_int_equal(count_findings(&scene), 0);
    scene.destination.migration_mbit = 1000;
    assert_int_equal(count_findings(&scene), 0);
    scene.destination.migration_mbit = 100;
    assert_warning(&scene, "migration-link-slow", "destination");
    scene.destination.migration_mbit = 0;
    scene.destination.networks[0].mtu = 9000;
    assert_warning(&scene, "network-mtu-differs", "destination");
    assert_argument(&scene.found.list[0].err, "network", "vmnet");
    scene.destination.networks[0].mtu = 1500;
    scene.destination.networks[0].isolated = true;
    assert_warning(&scene, "network-isolated", "destination");
    scene.source.networks[0].isolated = true; /* so is the VM now */
    assert_int_equal(count_findings(&scene), 0);
}

static void set_uplink(struct host_facts *facts, const char *uplink, uint32_t vlan)
{
    (void)snprintf(facts->networks[0].uplink, sizeof facts->networks[0].uplink, "%s", uplink);
    facts->networks[0].vlan = vlan;
}

static void another_vlan_of_the_same_network_is_found(void **state)
{
    (void)state;
    struct scene scene;
    good_scene(&scene);
    set_uplink(&scene.source, "eth1.100", 100);
    assert_int_equal(count_findings(&scene), 0); /* the other does not say */
    set_uplink(&scene.destination, "bond0.100", 100);
    assert_int_equal(count_findings(&scene), 0);
    set_uplink(&scene.destination, "eth1.200", 200);
    assert_one(&scene, "network-vlan-differs", "destination");
    assert_int_equal(scene.found.list[0].severity, FINDING_ERROR);
    assert_argument(&scene.found.list[0].err, "source_vlan", "100");
    assert_argument(&scene.found.list[0].err, "destination_vlan", "200");
    set_uplink(&scene.destination, "eth1", 0); /* its switch may tag */
    assert_warning(&scene, "network-vlan-untagged", "destination");
    assert_argument(&scene.found.list[0].err, "tagged", "h1");
    assert_argument(&scene.found.list[0].err, "untagged", "h2");
    set_uplink(&scene.source, "eth1", 0);
    set_uplink(&scene.destination, "eth1.100", 100);
    assert_warning(&scene, "network-vlan-untagged", "destination");
    assert_argument(&scene.found.list[0].err, "tagged", "h2");
    assert_argument(&scene.found.list[0].err, "vlan", "100");
}

static void an_uplink_that_carries_nothing_is_found(void **state)
{
    (void)state;
    struct scene scene;
    good_scene(&scene);
    (void)snprintf(scene.destination.networks[0].uplink_problem, 80, "eth1.100 is down");
    assert_warning(&scene, "network-uplink-down", "destination");
    assert_argument(&scene.found.list[0].err, "reason", "eth1.100 is down");
    scene.source.networks[0].isolated = true; /* the VM has nothing to lose */
    assert_int_equal(count_findings(&scene), 0);
}

static void the_cpu_of_an_open_model_is_kept_as_it_was(void **state)
{
    (void)state;
    struct scene scene;
    struct move_site source = {.cpu_features = "avx sse", .cpu_vendor = "GenuineIntel"};
    struct move_site destination = {.cpu_features = "avx sse vaes vmx", .cpu_vendor = "GenuineIntel"};
    good_scene(&scene);
    struct vm_spec *spec = &scene.vm.spec;
    (void)snprintf(spec->cpu_model, sizeof spec->cpu_model, "qemu64");
    (void)snprintf(spec->cpu_without, sizeof spec->cpu_without, "vmx");
    scene.found.n = 0;
    check_sites(&scene.input, &source, &destination, &scene.found); /* a named model is the same everywhere */
    check_keep_cpu(spec, &source, &destination);
    assert_int_equal(scene.found.n, 0);
    assert_string_equal(spec->cpu_without, "vmx");
    (void)snprintf(spec->cpu_model, sizeof spec->cpu_model, "host");
    check_sites(&scene.input, &source, &destination, &scene.found);
    assert_int_equal(scene.found.n, 1);
    assert_string_equal(scene.found.list[0].err.id, "cpu-config-modified");
    assert_int_equal(scene.found.list[0].severity, FINDING_WARNING);
    assert_argument(&scene.found.list[0].err, "added", "vaes");
    check_keep_cpu(spec, &source, &destination);
    check_keep_cpu(spec, &source, &destination);
    assert_string_equal(spec->cpu_without, "vmx vaes");
    (void)snprintf(destination.cpu_vendor, sizeof destination.cpu_vendor, "AuthenticAMD");
    scene.found.n = 0;
    check_sites(&scene.input, &source, &destination, &scene.found);
    assert_int_equal(scene.found.n, 1);
    assert_string_equal(scene.found.list[0].err.id, "cpu-vendor-differs");
}

static void give_datastore(struct host_facts *facts, const char *uuid)
{
    facts->n_datastores = 1;
    facts->datastores[0] = (struct host_datastore){.name = "store", .state = DATASTORE_OK};
    (void)snprintf(facts->datastores[0].uuid, MODEL_UUID_SIZE, "%s", uuid);
}

static void another_datastore_of_the_same_name_is_refused(void **state)
{
    (void)state;
    struct scene scene;
    good_scene(&scene);
    scene.vm.spec.n_disks = 2;
    for (unsigned i = 0; i < 2; i++)
        (void)snprintf(scene.vm.spec.disks[i].datastore, MODEL_NAME_MAX, "store");
    give_datastore(&scene.source, "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e");
    give_datastore(&scene.destination, "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e");
    assert_int_equal(count_findings(&scene), 0);
    give_datastore(&scene.destination, "00000000-6b1d-4e7a-9c55-0d2f4b6a8c1e");
    assert_one(&scene, "datastore-differs", "destination");
    assert_argument(&scene.found.list[0].err, "datastore", "store");
    assert_argument(&scene.found.list[0].err, "destination_uuid", "00000000-6b1d-4e7a-9c55-0d2f4b6a8c1e");
    scene.vm.spec.disks[0].datastore[0] = scene.vm.spec.disks[1].datastore[0] = 'S'; /* not of this VM */
    assert_int_equal(count_findings(&scene), 0);
}

static unsigned compare(struct scene *scene, const struct site_disk *source,
                        const struct site_disk *destination)
{
    struct move_site sites[2] = {{.n_disks = 1, .disks = {*source}}, {.n_disks = 1, .disks = {*destination}}};
    scene->found.n = 0;
    check_sites(&scene->input, &sites[0], &sites[1], &scene->found);
    return scene->found.n;
}

static void another_file_in_a_disks_place_is_refused(void **state)
{
    (void)state;
    static const struct site_disk it = {"/d/a", "file", 7, 1000, 0, ""};
    static const struct site_disk not_it[] = {
        {"/d/a", "file", 8, 1000, 0, ""}, {"/d/a", "file", 7, 1001, 0, ""}, {"/d/a", "block", 0, 0, 1, "x"}};
    static const struct site_disk maybe_it[] = {{"/d/a", "file", 7, 1000, 0, ""},
                                                {"/d/a", "file", 7, 0, 0, ""},
                                                {"/d/a", "file", 0, 0, 0, ""},
                                                {"/d/a", "", 0, 0, 0, ""},
                                                {"/d/b", "file", 8, 2000, 0, ""}};
    struct scene scene;
    good_scene(&scene);
    for (size_t i = 0; i < sizeof not_it / sizeof *not_it; i++) {
        assert_int_equal(compare(&scene, &it, &not_it[i]), 1);
        assert_string_equal(scene.found.list[0].err.id, "disk-differs");
        assert_string_equal(scene.found.list[0].err.side, "destination");
        assert_true(scene.found.list[0].err.cause[0] && scene.found.list[0].err.fix[0]);
        assert_argument(&scene.found.list[0].err, "path", "/d/a");
    }
    for (size_t i = 0; i < sizeof maybe_it / sizeof *maybe_it; i++)
        assert_int_equal(compare(&scene, &it, &maybe_it[i]), 0);
}

static void other_variables_or_firmware_of_uefi_are_refused(void **state)
{
    (void)state;
    struct scene scene;
    good_scene(&scene);
    struct move_site source = {.nvram = {"/d/v", "file", 7, 1000, 0, ""}, .firmware_bytes = 4096};
    struct move_site destination = source;
    scene.found.n = 0;
    check_sites(&scene.input, &source, &destination, &scene.found);
    assert_int_equal(scene.found.n, 0);
    destination.nvram.inode = 8;
    destination.firmware_bytes = 2048;
    check_sites(&scene.input, &source, &destination, &scene.found);
    assert_int_equal(scene.found.n, 2);
    assert_string_equal(scene.found.list[0].err.id, "nvram-differs");
    assert_argument(&scene.found.list[0].err, "path", "/d/v");
    assert_string_equal(scene.found.list[1].err.id, "firmware-differs");
    assert_argument(&scene.found.list[1].err, "destination_bytes", "2048");
    /* A host whose agent is older says nothing. */
    destination = (struct move_site){0};
    scene.found.n = 0;
    check_sites(&scene.input, &source, &destination, &scene.found);
    assert_int_equal(scene.found.n, 0);
}

static void another_device_in_a_disks_place_is_refused(void **state)
{
    (void)state;
    static const struct site_disk it = {"/dev/a", "block", 0, 0, 4096, "naa.1"};
    static const struct {
        struct site_disk disk;
        unsigned n_findings;
    } rows[] = {{{"/dev/a", "block", 0, 0, 4096, "naa.1"}, 0},
                {{"/dev/a", "block", 0, 0, 4096, ""}, 0},
                {{"/dev/a", "block", 0, 0, 4096, "naa.2"}, 1},
                {{"/dev/a", "block", 0, 0, 8192, "naa.1"}, 1}};
    struct scene scene;
    good_scene(&scene);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(compare(&scene, &it, &rows[i].disk), rows[i].n_findings);
}

static void each_missing_cpu_feature_is_named(void **state)
{
    (void)state;
    struct move_site source = {.cpu_features = "avx avx2 sha-ni sse"};
    struct move_site destination = {.cpu_features = "avx sse vaes"};
    struct scene scene;
    good_scene(&scene);
    check_sites(&scene.input, &source, &destination, &scene.found);
    assert_int_equal(scene.found.n, 1);
    assert_string_equal(scene.found.list[0].err.id, "cpu-features-missing");
    assert_argument(&scene.found.list[0].err, "missing", "avx2 sha-ni");
    assert_non_null(strstr(scene.found.list[0].err.message, "avx2 sha-ni"));
    scene.found.n = 0;
    check_sites(&scene.input, &destination, &(struct move_site){0}, &scene.found); /* it does not say */
    check_sites(&scene.input, &(struct move_site){0}, &destination, &scene.found);
    check_sites(&scene.input, &source, &source, &scene.found);
    assert_int_equal(scene.found.n, 0);
}

static void short_memory_is_counted(void **state)
{
    (void)state;
    struct scene scene;
    good_scene(&scene);
    scene.destination.memory_free_mib = 500;
    assert_one(&scene, "memory-short", "destination");
    assert_non_null(strstr(scene.found.list[0].err.message, "12 MiB short"));
    assert_argument(&scene.found.list[0].err, "host", "h2");
    assert_argument(&scene.found.list[0].err, "vm", "web");
    assert_argument(&scene.found.list[0].err, "needed_mib", "512");
    assert_argument(&scene.found.list[0].err, "free_mib", "500");
    assert_argument(&scene.found.list[0].err, "short_mib", "12");
    scene.destination.memory_free_mib = 512;
    assert_int_equal(count_findings(&scene), 0);
    scene.vm.overhead_mib = 60;
    assert_one(&scene, "memory-short", "destination");
    assert_argument(&scene.found.list[0].err, "needed_mib", "572");
    assert_argument(&scene.found.list[0].err, "overhead_mib", "60");
    assert_non_null(strstr(scene.found.list[0].err.cause, "572 MiB, 60 of them"));
    scene.destination.memory_free_mib = 572;
    assert_int_equal(count_findings(&scene), 0);
}

static void a_host_without_the_baseline_takes_no_vm(void **state)
{
    (void)state;
    struct scene scene;
    good_scene(&scene);
    scene.input.cpu_baseline = "Westmere";
    assert_one(&scene, "cpu-baseline-unsupported", "destination");
    assert_non_null(strstr(scene.found.list[0].err.cause, "upgrade it"));
    /* One that has not been told yet has nothing to say. */
    scene.destination.keeps_cpu_baseline = true;
    assert_int_equal(count_findings(&scene), 0);
    (void)snprintf(scene.destination.cpu_baseline, sizeof scene.destination.cpu_baseline, "Westmere");
    assert_int_equal(count_findings(&scene), 0);
    (void)snprintf(scene.destination.cpu_baseline_problem, sizeof scene.destination.cpu_baseline_problem,
                   "under kvm it lacks aes");
    assert_one(&scene, "cpu-baseline-unsupported", "destination");
    assert_argument(&scene.found.list[0].err, "baseline", "Westmere");
    assert_non_null(strstr(scene.found.list[0].err.cause, "lacks aes"));
    /* What it says of another baseline is over. */
    scene.input.cpu_baseline = "Nehalem";
    assert_int_equal(count_findings(&scene), 0);
    scene.input.cpu_baseline = "";
    assert_int_equal(count_findings(&scene), 0);
}

static void a_request_for_the_same_host_or_a_stopped_vm_is_refused(void **state)
{
    (void)state;
    struct scene scene;
    struct err err = {0};
    good_scene(&scene);
    scene.input.destination.name = "h1";
    assert_int_equal(check_request(&scene.input, &err), -1);
    assert_string_equal(err.id, "same-host");
    good_scene(&scene);
    scene.vm.state = VM_OFF;
    assert_int_equal(check_request(&scene.input, &err), -1);
    assert_string_equal(err.id, "vm-is-off");
    assert_non_null(strstr(err.fix, "godwit vm start web"));
    scene.vm.state = VM_PAUSED;
    assert_int_equal(check_request(&scene.input, &err), -1);
    assert_string_equal(err.id, "vm-not-running");
}

/* Its disks go to another datastore: nothing of the migration network or of the CPU matters. */
static void a_vm_that_stays_needs_only_its_host(void **state)
{
    (void)state;
    struct scene scene;
    struct err err = {0};
    good_scene(&scene);
    scene.input.destination = scene.input.source;
    (void)snprintf(scene.options.datastore, sizeof scene.options.datastore, "fast");
    (void)snprintf(scene.source.dirty_source, sizeof scene.source.dirty_source, "none");
    scene.source.migration_enabled = false;
    scene.source.memory_free_mib = 0;
    scene.vm.spec.pinned = true;
    assert_int_equal(check_request(&scene.input, NULL), 0);
    assert_int_equal(count_findings(&scene), 0);
    scene.vm.state = VM_OFF;
    assert_int_equal(check_request(&scene.input, NULL), 0);
    (void)snprintf(scene.vm.spec.held_by, sizeof scene.vm.spec.held_by, "backup");
    assert_one(&scene, "vm-held", "manager");
    scene.vm.state = VM_PAUSED;
    assert_int_equal(check_request(&scene.input, &err), -1);
    assert_string_equal(err.id, "vm-not-running");
    (void)snprintf(scene.options.pool, sizeof scene.options.pool, "prod");
    assert_int_equal(check_request(&scene.input, &err), -1);
    assert_string_equal(err.id, "field-invalid");
}

static void each_finding_carries_what_it_speaks_of(void **state)
{
    (void)state;
    struct scene scene;
    struct err err = {0};
    good_scene(&scene);
    scene.input.destination.is_connected = false;
    assert_one(&scene, "host-disconnected", "destination");
    assert_argument(&scene.found.list[0].err, "host", "h2");
    good_scene(&scene);
    scene.destination.migration_enabled = false;
    assert_one(&scene, "migration-disabled", "destination");
    assert_argument(&scene.found.list[0].err, "host", "h2");
    good_scene(&scene);
    scene.destination.protocol = 7;
    (void)snprintf(scene.destination.agent_version, sizeof scene.destination.agent_version, "0.9");
    assert_one(&scene, "protocol-mismatch", "destination");
    assert_argument(&scene.found.list[0].err, "host", "h2");
    assert_argument(&scene.found.list[0].err, "agent_protocol", "7");
    assert_argument(&scene.found.list[0].err, "manager_protocol", "5");
    assert_argument(&scene.found.list[0].err, "agent_version", "0.9");
    good_scene(&scene);
    (void)snprintf(scene.source.dirty_source, sizeof scene.source.dirty_source, "none");
    (void)snprintf(scene.source.dirty_detail, sizeof scene.source.dirty_detail, "no userfaultfd");
    assert_one(&scene, "dirty-source-none", "source");
    assert_argument(&scene.found.list[0].err, "host", "h1");
    assert_argument(&scene.found.list[0].err, "detail", "no userfaultfd");
    good_scene(&scene);
    scene.destination.n_networks = 0;
    assert_one(&scene, "network-missing", "destination");
    assert_argument(&scene.found.list[0].err, "network", "vmnet");
    good_scene(&scene);
    scene.destination.networks[0].mtu = 0;
    assert_one(&scene, "bridge-missing", "destination");
    assert_argument(&scene.found.list[0].err, "network", "vmnet");
    assert_argument(&scene.found.list[0].err, "bridge", "br0");
    assert_argument(&scene.found.list[0].err, "host", "h2");
    good_scene(&scene);
    (void)snprintf(scene.destination.qemu_problem, sizeof scene.destination.qemu_problem, "not there");
    assert_one(&scene, "qemu-missing", "destination");
    assert_argument(&scene.found.list[0].err, "problem", "not there");
    good_scene(&scene);
    scene.vm.state = VM_PAUSED;
    assert_int_equal(check_request(&scene.input, &err), -1);
    assert_argument(&err, "vm", "web");
    assert_argument(&err, "host", "h1");
    assert_argument(&err, "state", "paused");
}

static void addresses_are_paired_by_family(void **state)
{
    (void)state;
    struct scene scene;
    struct move_spec spec = {0};
    struct err err = {0};
    good_scene(&scene);
    scene.destination.n_migration_addresses = 2;
    (void)snprintf(scene.destination.migration_addresses[0], MODEL_ADDRESS_MAX, "fd00::12");
    (void)snprintf(scene.destination.migration_addresses[1], MODEL_ADDRESS_MAX, "198.18.2.12");
    assert_int_equal(check_addresses(&scene.source, &scene.destination, &spec, &err), 0);
    assert_int_equal(spec.n_addresses, 1);
    assert_string_equal(spec.addresses[0], "198.18.2.12");
    assert_string_equal(spec.source_addresses[0], "198.18.2.11");
    scene.destination.n_migration_addresses = 1;
    assert_int_equal(check_addresses(&scene.source, &scene.destination, &spec, &err), -1);
    assert_string_equal(err.id, "migration-addresses");
}

static void a_machine_type_that_is_too_new_names_both_versions_and_the_cure(void **state)
{
    (void)state;
    struct scene scene;
    good_scene(&scene);
    (void)snprintf(scene.vm.qemu_version, sizeof scene.vm.qemu_version, "10.0.2");
    (void)snprintf(scene.vm.spec.machine, sizeof scene.vm.spec.machine, "pc-q35-10.0");
    (void)snprintf(scene.destination.qemu_version, sizeof scene.destination.qemu_version, "7.2.22");
    /* An agent that tells no machine types looks itself. */
    assert_int_equal(count_findings(&scene), 0);
    scene.destination.n_machines = 2;
    (void)snprintf(scene.destination.machines[0], sizeof scene.destination.machines[0], "pc-q35-7.2");
    (void)snprintf(scene.destination.machines[1], sizeof scene.destination.machines[1], "pc-q35-7.1");
    assert_one(&scene, "machine-unknown", "destination");
    assert_string_equal(scene.found.list[0].err.message,
                        "QEMU 7.2.22 on host 'h2' has no machine type pc-q35-10.0, which VM 'web' has");
    assert_non_null(strstr(scene.found.list[0].err.cause, "under QEMU 10.0.2 on host 'h1'"));
    assert_non_null(strstr(scene.found.list[0].err.fix, "install QEMU 10.0 or later on 'h2'"));
    assert_non_null(strstr(scene.found.list[0].err.fix, "--machine pc-q35-7.2"));
    assert_string_equal(err_arg_find(&scene.found.list[0].err, "machine"), "pc-q35-10.0");
    (void)snprintf(scene.vm.spec.machine, sizeof scene.vm.spec.machine, "pc-q35-7.1");
    assert_int_equal(count_findings(&scene), 0);
}

static void encryption_is_used_when_wanted_and_possible(void **state)
{
    (void)state;
    static const struct {
        const char *wish;
        uint32_t source, destination; /* protocols */
        bool encrypts;
        const char *refused_for;
    } cases[] = {
        {"", 3, 3, true, NULL},
        {"", 2, 3, false, NULL},
        {"", 3, 2, false, NULL},
        {"opportunistic", 4, 3, true, NULL},
        {"opportunistic", 3, 2, false, NULL},
        {"disabled", 3, 3, false, NULL},
        {"required", 3, 3, true, NULL},
        {"required", 2, 3, false, "source"},
        {"required", 3, 2, false, "destination"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct host_facts source = {.protocol = cases[i].source, .name = "h1", .agent_version = "0.9"};
        struct host_facts destination = {
            .protocol = cases[i].destination, .name = "h2", .agent_version = "0.9"};
        struct err err = {0};
        bool encrypts = !cases[i].encrypts;
        int result = check_encryption(&source, &destination, cases[i].wish, &encrypts, &err);
        assert_int_equal(encrypts, cases[i].encrypts);
        assert_int_equal(result, cases[i].refused_for ? -1 : 0);
        if (!cases[i].refused_for)
            continue;
        assert_string_equal(err.id, "encryption-unknown");
        assert_string_equal(err.side, cases[i].refused_for);
        assert_true(err.cause[0] && err.fix[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_hosts_have_no_findings),
        cmocka_unit_test(each_obstacle_is_named_with_its_side_and_cure),
        cmocka_unit_test(what_shall_stay_is_not_moved),
        cmocka_unit_test(what_does_not_forbid_a_move_is_a_warning),
        cmocka_unit_test(another_vlan_of_the_same_network_is_found),
        cmocka_unit_test(an_uplink_that_carries_nothing_is_found),
        cmocka_unit_test(the_cpu_of_an_open_model_is_kept_as_it_was),
        cmocka_unit_test(another_datastore_of_the_same_name_is_refused),
        cmocka_unit_test(another_file_in_a_disks_place_is_refused),
        cmocka_unit_test(other_variables_or_firmware_of_uefi_are_refused),
        cmocka_unit_test(another_device_in_a_disks_place_is_refused),
        cmocka_unit_test(each_missing_cpu_feature_is_named),
        cmocka_unit_test(short_memory_is_counted),
        cmocka_unit_test(a_host_without_the_baseline_takes_no_vm),
        cmocka_unit_test(a_machine_type_that_is_too_new_names_both_versions_and_the_cure),
        cmocka_unit_test(a_request_for_the_same_host_or_a_stopped_vm_is_refused),
        cmocka_unit_test(a_vm_that_stays_needs_only_its_host),
        cmocka_unit_test(each_finding_carries_what_it_speaks_of),
        cmocka_unit_test(addresses_are_paired_by_family),
        cmocka_unit_test(encryption_is_used_when_wanted_and_possible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
