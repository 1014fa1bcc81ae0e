/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/move.h"

/* Through text, as between two hosts. */
static JsonObject *transmit(JsonObject *object)
{
    g_autofree char *text = model_print(object, false);
    json_object_unref(object);
    JsonObject *received = NULL;
    assert_int_equal(model_parse(text, -1, &received, NULL), 0);
    return received;
}

static void fill_spec(struct move_spec *spec)
{
    memset(spec, 0, sizeof *spec);
    model_uuid_new(spec->id);
    strcpy(spec->vm.name, "v");
    spec->vm.memory_mib = 128;
    spec->vm.cpus = 2;
    strcpy(spec->accel, "kvm");
    strcpy(spec->source, "a");
    strcpy(spec->destination, "b");
    spec->epoch = 5;
    spec->n_channels = 4;
    spec->n_addresses = 2;
    strcpy(spec->addresses[0], "198.18.2.2");
    strcpy(spec->addresses[1], "fd00::2");
    spec->port = 8000;
    spec->n_source_addresses = 1;
    strcpy(spec->source_addresses[0], "198.18.2.1");
    memset(spec->key, 0xa5, sizeof spec->key);
    memset(spec->ready_hash, 0x5a, sizeof spec->ready_hash);
    spec->ticket[31] = 1;
    move_options_init(&spec->options);
    spec->options.verify = true;
}

static void a_spec_survives_its_json_form(void **state)
{
    (void)state;
    struct move_spec spec, back;
    struct err err = {0};
    fill_spec(&spec);
    g_autoptr(JsonObject) object = transmit(move_spec_to_json(&spec));
    assert_false(json_object_has_member(object, "commit_hash"));
    assert_int_equal(move_spec_from_json(object, &back, &err), 0);
    assert_memory_equal(&spec, &back, sizeof spec);
}

static void check_all_is_known(const char *where, JsonNode *ours, JsonNode *theirs)
{
    if (JSON_NODE_HOLDS_ARRAY(ours)) {
        JsonArray *one = json_node_get_array(ours), *other = json_node_get_array(theirs);
        for (guint i = 0; i < json_array_get_length(one) && json_array_get_length(other); i++)
            check_all_is_known(where, json_array_get_element(one, i), json_array_get_element(other, 0));
    }
    if (!JSON_NODE_HOLDS_OBJECT(ours))
        return;
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;
    json_object_iter_init(&iter, json_node_get_object(ours));
    while (json_object_iter_next(&iter, &name, &node)) {
        g_autofree char *path = g_strdup_printf("%s.%s", where, name);
        if (!json_object_has_member(json_node_get_object(theirs), name))
            fail_msg("%s is new: an agent of the version before refuses it, mark it NEWER", path);
        check_all_is_known(path, node, json_object_get_member(json_node_get_object(theirs), name));
    }
}

/* $OLD_FILES/move-spec.json is what that version wrote, with every member that it knows. */
static void the_version_before_knows_each_member_of_a_plain_move(void **state)
{
    (void)state;
    g_autofree char *path = g_strdup_printf("%s/move-spec.json", getenv("OLD_FILES"));
    g_autofree char *text = NULL;
    JsonObject *object = NULL;
    struct move_spec spec;
    struct err err = {0};
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_int_equal(model_parse(text, -1, &object, NULL), 0);
    g_autoptr(JsonNode) theirs = json_node_init_object(json_node_alloc(), object);
    json_object_unref(object);
    assert_int_equal(move_spec_from_json(json_node_get_object(theirs), &spec, &err), 0);
    JsonObject *lean = transmit(move_spec_to_json(&spec));
    g_autoptr(JsonNode) ours = json_node_init_object(json_node_alloc(), lean);
    json_object_unref(lean);
    check_all_is_known("spec", ours, theirs);
}

/* The version before reads specifications strictly and does not know what came later. */
static void a_spec_names_a_newer_member_only_when_it_is_used(void **state)
{
    (void)state;
    struct move_spec spec;
    fill_spec(&spec);
    g_autoptr(JsonObject) lean = move_spec_to_json(&spec);
    JsonObject *options = json_object_get_object_member(lean, "options");
    assert_false(json_object_has_member(options, "priority"));
    assert_false(json_object_has_member(options, "resume_limit_s"));
    assert_true(json_object_has_member(options, "channels"));
    strcpy(spec.options.priority, "high");
    g_autoptr(JsonObject) used = move_spec_to_json(&spec);
    options = json_object_get_object_member(used, "options");
    assert_string_equal(json_object_get_string_member(options, "priority"), "high");
    g_autoptr(JsonObject) whole = move_options_to_json(&spec.options);
    assert_true(json_object_has_member(whole, "priority"));
}

static void normal_priority_is_what_was_before(void **state)
{
    (void)state;
    struct move_options options;
    struct err err = {0};
    JsonObject *object = NULL;
    assert_int_equal(model_parse("{\"priority\":\"normal\"}", -1, &object, NULL), 0);
    assert_int_equal(move_options_from_json(object, &options, &err), 0);
    json_object_unref(object);
    assert_string_equal(options.priority, "");
    assert_false(move_is_urgent(&options));
}

/* Each changes one field of a good specification to something wrong. */
static void break_key(struct move_spec *spec)
{
    memset(spec->key, 0, sizeof spec->key);
}
static void break_address(struct move_spec *spec)
{
    strcpy(spec->addresses[1], "host.example");
}
static void break_port(struct move_spec *spec)
{
    spec->port = 0;
}
static void break_vm(struct move_spec *spec)
{
    spec->vm.memory_mib = 129;
}
static void break_vm_cpus(struct move_spec *spec)
{
    spec->vm.cpus = 0;
}
static void break_options(struct move_spec *spec)
{
    spec->options.switchover_limit_s = 3601;
}
static void break_id(struct move_spec *spec)
{
    spec->id[0] = '/';
}

static void a_bad_spec_is_refused_by_field(void **state)
{
    (void)state;
    static const struct {
        void (*damage)(struct move_spec *spec);
        const char *message;
    } cases[] = {
        {break_key, "key must be 64 hexadecimal digits, not all zero"},
        {break_address, "addresses[1] must be a numeric IPv4 or IPv6 address"},
        {break_port, "port must be a whole number from 1 to 65535"},
        {break_vm, "vm: memory_mib must be a multiple of 2"},
        {break_vm_cpus, "vm.cpus must be a whole number from 1 to 64"},
        {break_options, "options.switchover_limit_s must be a whole number from 1 to 3600"},
        {break_id, "id must be a UUID"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct move_spec spec, back;
        struct err err = {0};
        fill_spec(&spec);
        cases[i].damage(&spec);
        g_autoptr(JsonObject) object = transmit(move_spec_to_json(&spec));
        assert_int_equal(move_spec_from_json(object, &back, &err), -1);
        assert_int_equal(err.code, ERR_BAD_REQUEST);
        if (!strstr(err.message, cases[i].message))
            fail_msg("\"%s\" lacks \"%s\"", err.message, cases[i].message);
    }
}

static void options_left_out_keep_their_defaults(void **state)
{
    (void)state;
    struct move_options options;
    struct err err = {0};
    JsonObject *object = NULL;
    assert_int_equal(model_parse("{\"bandwidth_mb_s\":50}", -1, &object, NULL), 0);
    assert_int_equal(move_options_from_json(object, &options, &err), 0);
    json_object_unref(object);
    assert_int_equal(options.max_downtime_ms, 100);
    assert_int_equal(options.switchover_limit_s, 100);
    assert_int_equal(options.bandwidth_mb_s, 50);
    assert_string_equal(options.dirty_source, "auto");
}

static void bad_options_are_refused_by_field(void **state)
{
    (void)state;
    const char *const texts[][2] = {
        {"{\"max_downtime_ms\":0}", "max_downtime_ms must be a whole number from 1 to 10000"},
        {"{\"channels\":17}", "channels must be a whole number from 0 to 16"},
        {"{\"resume_limit_s\":81}", "resume_limit_s must be a whole number from 0 to 80"},
        {"{\"verify\":1}", "verify must be true or false"},
        {"{\"encryption\":\"yes\"}", "encryption must be \"disabled\", \"opportunistic\" or \"required\""},
        {"{\"dirty_source\":\"fast\"}", "dirty_source must be \"auto\", \"async\" or \"sync\""},
        {"{\"priority\":\"urgent\"}", "priority must be \"high\" or \"normal\""},
        {"{\"max_downtime\":1}", "there is no field \"max_downtime\""},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        struct move_options options;
        struct err err = {0};
        JsonObject *object = NULL;
        assert_int_equal(model_parse(texts[i][0], -1, &object, NULL), 0);
        assert_int_equal(move_options_from_json(object, &options, &err), -1);
        json_object_unref(object);
        assert_string_equal(err.message, texts[i][1]);
    }
}

static void a_status_survives_its_json_form(void **state)
{
    (void)state;
    struct move_status *status = g_new0(struct move_status, 1);
    struct move_status *back = g_new0(struct move_status, 1);
    struct err err = {0};
    model_uuid_new(status->id);
    status->is_source = true;
    status->state = MOVE_FAILED;
    status->version = 9;
    status->bytes_on_wire = INT64_MAX;
    status->copy_start_ms = 1795392990123;
    status->resumes = 3;
    status->bytes_resent = 1ull << 40;
    status->is_down = true;
    status->n_rounds = MOVE_ROUNDS_MAX;
    for (uint32_t i = 0; i < MOVE_ROUNDS_MAX; i++)
        status->rounds[i] = (struct move_round){i, 2 * i, 3 * i, 4 * i, 5 * i, 6 * i};
    strcpy(status->encryption, "none");
    (void)err_set(&status->error, ERR_PEER_LOST, "peer-lost", "the destination went away");
    err_place(&status->error, "copy", "source");
    status->commit[0] = 1;
    move_timeline_add(&status->timeline, 1795392990123, "vm held", "epoch 7");
    move_timeline_add(&status->timeline, 1795392990124, "connected", NULL);
    status->verdict = VERDICT_RETURNED;
    g_autoptr(JsonObject) object = transmit(move_status_to_json(status));
    assert_int_equal(move_status_from_json(object, back, &err), 0);
    assert_memory_equal(status, back, sizeof *status);
    g_free(status);
    g_free(back);
}

static void what_a_restarted_side_forgot_stays_in_its_timeline(void **state)
{
    (void)state;
    struct move_timeline known = {0};
    struct move_timeline reported = {0};
    move_timeline_take(&known, &reported);
    assert_int_equal(known.n_events, 0);
    move_timeline_add(&reported, 10, "vm held", NULL);
    move_timeline_take(&known, &reported);
    move_timeline_add(&reported, 10, "job started", NULL);
    move_timeline_add(&reported, 20, "connected", NULL);
    move_timeline_take(&known, &reported);
    assert_int_equal(known.n_events, 3);
    reported.n_events = 0;
    move_timeline_add(&reported, 30, "agent restarted", "the journal says GIVEN");
    move_timeline_take(&known, &reported);
    move_timeline_take(&known, &reported);
    assert_int_equal(known.n_events, 4);
    assert_string_equal(known.events[2].event, "connected");
    assert_string_equal(known.events[3].detail, "the journal says GIVEN");
}

static void a_full_timeline_keeps_its_newest_event(void **state)
{
    (void)state;
    struct move_timeline timeline = {0};
    for (int64_t i = 0; i < MOVE_EVENTS_MAX + 9; i++)
        move_timeline_add(&timeline, i, "noise", NULL);
    move_timeline_add(&timeline, 999, "over", NULL);
    assert_int_equal(timeline.n_events, MOVE_EVENTS_MAX);
    assert_int_equal(timeline.events[MOVE_EVENTS_MAX - 1].time_ms, 999);
    assert_int_equal(timeline.events[MOVE_EVENTS_MAX - 2].time_ms, MOVE_EVENTS_MAX - 2);
}

static void a_detail_that_is_cut_stays_utf8(void **state)
{
    (void)state;
    struct move_timeline timeline = {0};
    g_autoptr(GString) detail = g_string_new("x");
    while (detail->len < 2 * MOVE_EVENT_DETAIL)
        g_string_append(detail, "\u00e9");
    move_timeline_add(&timeline, 1, "failed", detail->str);
    assert_true(g_utf8_validate(timeline.events[0].detail, -1, NULL));
    assert_true(strlen(timeline.events[0].detail) >= MOVE_EVENT_DETAIL - 4);
}

static void the_order_of_a_move_is_known(void **state)
{
    (void)state;
    assert_true(move_event_rank("READY released") < move_event_rank("READY received"));
    assert_true(move_event_rank("COMMIT released") < move_event_rank("COMMIT received"));
    assert_true(move_event_rank("guest runs") < move_event_rank("verdict received"));
    assert_true(move_event_rank("ending") < move_event_rank("of a later version"));
}

static void a_counter_beyond_json_stays_the_largest_number(void **state)
{
    (void)state;
    struct move_status *status = g_new0(struct move_status, 1);
    status->stun_ns = UINT64_MAX;
    g_autoptr(JsonObject) object = move_status_to_json(status);
    assert_true(json_object_get_int_member(object, "stun_ns") == INT64_MAX);
    g_free(status);
}

static void host_facts_survive_their_json_form(void **state)
{
    (void)state;
    struct host_facts facts = {.name = "a",
                               .protocol = 1,
                               .memory_mib = 4096,
                               .migration_enabled = true,
                               .migration_port = 65535,
                               .n_migration_addresses = 1,
                               .migration_addresses = {"198.18.2.1"},
                               .n_machines = 2,
                               .machines = {"pc-q35-10.0", "pc-q35-7.2"},
                               .n_networks = 1,
                               .networks = {{"lan", "br0", 1500}},
                               .wall_ms = -1};
    struct host_facts back;
    struct err err = {0};
    g_autoptr(JsonObject) object = transmit(host_facts_to_json(&facts));
    json_object_set_boolean_member(object, "newer", true);
    assert_int_equal(host_facts_from_json(object, &back, &err), 0);
    assert_memory_equal(&facts, &back, sizeof facts);
    json_object_set_int_member(object, "migration_port", 65536);
    assert_int_equal(host_facts_from_json(object, &back, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spec_survives_its_json_form),
        cmocka_unit_test(the_version_before_knows_each_member_of_a_plain_move),
        cmocka_unit_test(a_spec_names_a_newer_member_only_when_it_is_used),
        cmocka_unit_test(normal_priority_is_what_was_before),
        cmocka_unit_test(a_bad_spec_is_refused_by_field),
        cmocka_unit_test(options_left_out_keep_their_defaults),
        cmocka_unit_test(bad_options_are_refused_by_field),
        cmocka_unit_test(a_status_survives_its_json_form),
        cmocka_unit_test(what_a_restarted_side_forgot_stays_in_its_timeline),
        cmocka_unit_test(a_full_timeline_keeps_its_newest_event),
        cmocka_unit_test(a_detail_that_is_cut_stays_utf8),
        cmocka_unit_test(the_order_of_a_move_is_known),
        cmocka_unit_test(a_counter_beyond_json_stays_the_largest_number),
        cmocka_unit_test(host_facts_survive_their_json_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
