/* SPDX-License-Identifier: Apache-2.0 */
/* Which disks move along, and under which names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "manager/storage.h"

static void add_disk(struct move_spec *spec, const char *datastore, const char *file, const char *media)
{
    struct vm_disk *disk = &spec->vm.disks[spec->vm.n_disks++];
    (void)g_strlcpy(disk->datastore, datastore, sizeof disk->datastore);
    (void)g_strlcpy(*datastore ? disk->file : disk->path, file, sizeof disk->file);
    (void)g_strlcpy(disk->media, media, sizeof disk->media);
}

static struct host_facts host_with(const char *datastore, const char *uuid)
{
    struct host_facts facts = {.n_datastores = 1};
    (void)g_strlcpy(facts.datastores[0].name, datastore, sizeof facts.datastores[0].name);
    (void)g_strlcpy(facts.datastores[0].uuid, uuid, sizeof facts.datastores[0].uuid);
    return facts;
}

static struct move_spec spec_to(const char *datastore)
{
    struct move_spec spec = {0};
    (void)g_strlcpy(spec.options.datastore, datastore, sizeof spec.options.datastore);
    add_disk(&spec, "a", "web/system.qcow2", "");
    add_disk(&spec, "a", "install.iso", "cdrom");
    add_disk(&spec, "", "/srv/images/data.raw", "");
    add_disk(&spec, "b", "old/system.qcow2", "");
    return spec;
}

static const struct vm_disk *moved(const struct move_spec *spec, unsigned n)
{
    return &spec->vm.disks[spec->disks[n].disk];
}

static void without_a_datastore_all_disks_stay(void **state)
{
    (void)state;
    struct move_spec spec = spec_to("");
    struct host_facts facts = host_with("a", "1");
    storage_plan(&facts, &facts, &spec);
    assert_int_equal(spec.n_disks, 0);
    assert_string_equal(spec.vm.disks[0].datastore, "a");
}

static void all_but_cds_go_under_their_names(void **state)
{
    (void)state;
    struct move_spec spec = spec_to("c");
    struct host_facts source = host_with("a", "1"), destination = host_with("c", "2");
    storage_plan(&source, &destination, &spec);
    assert_int_equal(spec.n_disks, 3);
    assert_string_equal(moved(&spec, 0)->file, "system.qcow2");
    assert_string_equal(moved(&spec, 1)->file, "data.raw");
    assert_string_equal(moved(&spec, 1)->path, "");
    /* Its name is taken. */
    assert_string_equal(moved(&spec, 2)->file, "3-system.qcow2");
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(moved(&spec, i)->datastore, "c");
    assert_string_equal(spec.vm.disks[1].datastore, "a");
    assert_string_equal(spec.vm.disks[1].file, "install.iso");
}

/* What the datastore is, says its identity. */
static void disks_that_are_there_stay(void **state)
{
    (void)state;
    struct host_facts source = host_with("a", "1"), same = host_with("a", "1"), other = host_with("a", "2");
    struct move_spec spec = spec_to("a");
    storage_plan(&source, &same, &spec);
    assert_int_equal(spec.n_disks, 2);
    assert_int_equal(spec.disks[0].disk, 2);
    assert_int_equal(spec.disks[1].disk, 3);
    spec = spec_to("a");
    storage_plan(&source, &other, &spec);
    assert_int_equal(spec.n_disks, 3);
    spec = spec_to("a");
    storage_plan(NULL, &same, &spec);
    assert_int_equal(spec.n_disks, 3);
}

/* One host has one datastore of a name, whether or not it has an identity yet. */
static void on_one_host_the_name_says_what_is_there(void **state)
{
    (void)state;
    struct host_facts here = host_with("a", "");
    struct move_spec spec = spec_to("a");
    struct err err = {0};
    (void)g_strlcpy(here.name, "h1", sizeof here.name);
    storage_plan(&here, &here, &spec);
    assert_int_equal(spec.n_disks, 2);
    assert_int_equal(storage_check_here(&spec, &err), 0);
    spec.vm.n_disks = 2; /* those that are there, and a CD */
    storage_plan(&here, &here, &spec);
    assert_int_equal(storage_check_here(&spec, &err), -1);
    assert_string_equal(err.id, "disks-are-there");
}

static void the_sources_word_is_placed_as_planned(void **state)
{
    (void)state;
    struct host_facts source = host_with("a", "1"), destination = host_with("c", "2");
    struct move_spec plan = spec_to("c"), answer = spec_to("c");
    storage_plan(&source, &destination, &plan);
    answer.n_disks = plan.n_disks;
    for (unsigned i = 0; i < plan.n_disks; i++)
        answer.disks[i] = (struct move_disk){plan.disks[i].disk, 1000 + i, 10 + i};
    storage_take(&answer, &plan);
    assert_int_equal(plan.disks[2].size_bytes, 1002);
    assert_int_equal(plan.disks[2].used_bytes, 12);
    assert_string_equal(moved(&plan, 2)->file, "3-system.qcow2");
    assert_string_equal(moved(&plan, 2)->datastore, "c");
}

static void a_datastore_without_room_is_found(void **state)
{
    (void)state;
    struct host_facts source = host_with("a", "1"), destination = host_with("c", "2");
    struct move_spec plan = spec_to("c");
    storage_plan(&source, &destination, &plan);
    destination.datastores[0].capacity_bytes = 10ull << 30;
    const uint64_t all = 3ull << 30;
    for (unsigned size_is_known = 0; size_is_known < 2; size_is_known++) {
        for (unsigned i = 0; i < plan.n_disks; i++)
            plan.disks[i] = (struct move_disk){plan.disks[i].disk, size_is_known * (8ull << 30), 1ull << 30};
        /* With the reserve. */
        for (unsigned fits = 0; fits < 2; fits++) {
            struct findings findings = {0};
            destination.datastores[0].free_bytes = all + (64ull << 20) - !fits;
            storage_find_room(&plan, &destination, &findings);
            assert_int_equal(findings.n, size_is_known && !fits);
            if (findings.n)
                assert_string_equal(findings.list[0].err.id, "datastore-no-room");
        }
    }
    /* Of a host that has not looked at it yet nothing is known. */
    destination.datastores[0].capacity_bytes = destination.datastores[0].free_bytes = 0;
    struct findings findings = {0};
    storage_find_room(&plan, &destination, &findings);
    assert_int_equal(findings.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_datastore_all_disks_stay),
        cmocka_unit_test(all_but_cds_go_under_their_names),
        cmocka_unit_test(disks_that_are_there_stay),
        cmocka_unit_test(on_one_host_the_name_says_what_is_there),
        cmocka_unit_test(the_sources_word_is_placed_as_planned),
        cmocka_unit_test(a_datastore_without_room_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
