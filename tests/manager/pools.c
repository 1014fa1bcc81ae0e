/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

#include "model/protocol.h"

#define VM_MIB 64

/* A call that must work; its answer (unref). */
static JsonObject *must(struct harness *harness, const char *method, const char *path, const char *body)
{
    struct answer answer = harness_call(harness, method, path, body);
    if (err_is_set(&answer.err))
        fail_msg("%s %s %s: %s %s", method, path, body ? body : "", answer.err.id, answer.err.message);
    return answer.object;
}

static void do_must(struct harness *harness, const char *method, const char *path, const char *body)
{
    JsonObject *object = must(harness, method, path, body);
    if (object)
        json_object_unref(object);
}

static struct err refused(struct harness *harness, const char *method, const char *path, const char *body,
                          const char *id)
{
    struct answer answer = harness_call(harness, method, path, body);
    if (strcmp(answer.err.id, id) != 0)
        fail_msg("%s %s %s: '%s' instead of '%s': %s", method, path, body ? body : "", answer.err.id, id,
                 answer.err.message);
    assert_true(answer.err.message[0]);
    answer_clear(&answer);
    return answer.err;
}

static void make_pool(struct harness *harness, const char *path, int limit_mib)
{
    g_autofree char *body = g_strdup_printf("{\"path\":\"%s\",\"memory_limit_mib\":%d}", path, limit_mib);
    do_must(harness, "POST", "/v1/pools", body);
}

static int64_t used_mib(struct harness *harness, const char *pool)
{
    g_autofree char *escaped = g_uri_escape_string(pool, NULL, FALSE);
    g_autofree char *path = g_strdup_printf("/v1/pools/%s", escaped);
    g_autoptr(JsonObject) object = must(harness, "GET", path, NULL);
    return json_object_get_int_member(object, "memory_used_mib");
}

struct expectation {
    struct harness *harness;
    const char *vm;
    const char *member;
    const char *value;
};

static bool vm_is(void *user)
{
    const struct expectation *wanted = user;
    g_autofree char *path = g_strdup_printf("/v1/vms/%s", wanted->vm);
    struct answer answer = harness_call(wanted->harness, "GET", path, NULL);
    JsonObject *object = answer.object;
    if (object && json_object_has_member(object, "spec") && !strcmp(wanted->member, "pool"))
        object = json_object_get_object_member(object, "spec");
    bool is_so = object && !strcmp(text_of(object, wanted->member), wanted->value);
    answer_clear(&answer);
    return is_so;
}

static bool has_number(void *user)
{
    const struct expectation *wanted = user;
    g_autofree char *path = g_strdup_printf("/v1/vms/%s", wanted->vm);
    struct answer answer = harness_call(wanted->harness, "GET", path, NULL);
    gint64 number =
        answer.object ? json_object_get_int_member_with_default(answer.object, wanted->member, -1) : -1;
    answer_clear(&answer);
    return number == g_ascii_strtoll(wanted->value, NULL, 10);
}

static void wait_vm(struct harness *harness, const char *vm, const char *member, const char *value)
{
    struct expectation wanted = {harness, vm, member, value};
    harness_wait(vm_is, &wanted, value);
}

/* A VM of h1 in that pool, and the manager knows it. */
static struct vm_status *add_vm(struct harness *harness, const char *name, const char *pool,
                                enum vm_state state)
{
    struct vm_status *vm = fake_agent_add_vm(&harness->source, name, state);
    (void)g_strlcpy(vm->spec.pool, pool, sizeof vm->spec.pool);
    wait_vm(harness, name, "state", vm_state_name(state));
    return vm;
}

static bool is_held(void *user)
{
    return ((struct fake_agent *)user)->held != NULL;
}

static void refuse_held(struct fake_agent *agent)
{
    struct err no = {0};
    err_set(&no, ERR_REFUSED, "fake-refusal", "the fake agent refuses");
    agent->hold = NULL;
    http_fail(g_steal_pointer(&agent->held), &no);
}

/* A call whose answer is waited for later. */
static void answered(JsonObject *object, const struct err *err, void *user)
{
    struct answer *answer = user;
    answer->is_done = true;
    answer->err = *err;
    answer->object = object ? json_object_ref(object) : NULL;
}

static bool answer_is_done(void *user)
{
    return ((struct answer *)user)->is_done;
}

static void begin(struct harness *harness, const char *path, struct answer *answer)
{
    *answer = (struct answer){0};
    http_client_call(harness->client, &(struct http_call){"POST", path, NULL, 60, NULL}, answered, answer);
}

/* ---- the tree ---- */

static void rules_of_the_tree_are_kept(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "prod", 1000);
    do_must(harness, "POST", "/v1/pools",
            "{\"path\":\"prod/db\",\"memory_reservation_mib\":600,\"cpu_shares\":\"high\"}");
    static const struct {
        const char *method, *path, *body, *id;
    } rows[] = {
        {"POST", "/v1/pools", "{}", "field-invalid"},
        {"POST", "/v1/pools", "{\"path\":\"a b\"}", "field-invalid"},
        {"POST", "/v1/pools", "{\"path\":\"a\",\"memory\":1}", "field-unknown"},
        {"POST", "/v1/pools", "{\"path\":\"a\",\"memory_limit_mib\":\"1\"}", "field-out-of-range"},
        {"POST", "/v1/pools", "{\"path\":\"prod\"}", "pool-exists"},
        {"POST", "/v1/pools", "{\"path\":\"test/db\"}", "pool-not-found"},
        {"POST", "/v1/pools", "{\"path\":\"prod/web\",\"memory_reservation_mib\":401}",
         "pool-reservations-exceed"},
        /* The two hosts have 2048 MiB each. */
        {"POST", "/v1/pools", "{\"path\":\"big\",\"memory_reservation_mib\":3600}",
         "pool-reservations-exceed"},
        {"PATCH", "/v1/pools/prod%2Fdb", "{\"memory_reservation_mib\":1001}", "pool-reservations-exceed"},
        {"PATCH", "/v1/pools/prod", "{\"memory_limit_mib\":599}", "pool-reservations-exceed"},
        {"PATCH", "/v1/pools/prod", "{\"memory_reservation_mib\":1001}", "pool-reservation-over-limit"},
        {"PATCH", "/v1/pools/prod", "{\"path\":\"prod2\"}", "unknown-member"},
        {"PATCH", "/v1/pools/nope", "{}", "pool-not-found"},
        {"GET", "/v1/pools/nope", NULL, "pool-not-found"},
        {"DELETE", "/v1/pools/nope", NULL, "pool-not-found"},
        {"DELETE", "/v1/pools/prod", NULL, "pool-in-use"},
        {"POST", "/v1/vms/web/pool", "{\"pool\":\"nope\"}", "pool-not-found"},
        {"POST", "/v1/vms/web/pool", "{}", "member-missing"},
        {"POST", "/v1/vms",
         "{\"host\":\"h1\",\"spec\":{\"name\":\"new\",\"memory_mib\":64,\"pool\":\"nope\"}}",
         "pool-not-found"},
        {"POST", "/v1/vms", "{\"host\":\"h1\",\"spec\":{\"name\":\"new\",\"memory_mib\":64,\"pool\":\"/a\"}}",
         "field-invalid"},
        {"POST", "/v1/vms",
         "{\"host\":\"h1\",\"spec\":{\"name\":\"new\",\"memory_mib\":64,\"cpu_reservation_percent\":101}}",
         "field-out-of-range"},
        {"POST", "/v1/migrations", "{\"vm\":\"web\",\"destination\":\"h2\",\"options\":{\"pool\":\"nope\"}}",
         "pool-not-found"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        (void)refused(harness, rows[i].method, rows[i].path, rows[i].body, rows[i].id);
    g_autoptr(JsonObject) list = must(harness, "GET", "/v1/pools", NULL);
    JsonArray *pools = json_object_get_array_member(list, "pools");
    assert_int_equal(json_array_get_length(pools), 2);
    JsonObject *db = json_array_get_object_element(pools, 1);
    assert_string_equal(text_of(db, "path"), "prod/db");
    assert_string_equal(text_of(db, "cpu_shares"), "high");
    assert_int_equal(json_object_get_int_member(db, "memory_available_mib"), 1000);
    assert_int_equal(
        json_object_get_int_member(json_array_get_object_element(pools, 0), "memory_available_mib"), 400);
}

static void pools_outlive_the_manager(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "prod", 1000);
    do_must(harness, "PATCH", "/v1/pools/prod", "{\"cpu_limit_percent\":150}");
    harness_kill(harness);
    harness_start(harness);
    g_autoptr(JsonObject) pool = must(harness, "GET", "/v1/pools/prod", NULL);
    assert_int_equal(json_object_get_int_member(pool, "memory_limit_mib"), 1000);
    assert_int_equal(json_object_get_int_member(pool, "cpu_limit_percent"), 150);
    do_must(harness, "DELETE", "/v1/pools/prod", NULL);
    harness_kill(harness);
    harness_start(harness);
    (void)refused(harness, "GET", "/v1/pools/prod", NULL, "pool-not-found");
}

static void a_pool_with_a_vm_stays(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "prod", 1000);
    (void)add_vm(harness, "dark", "prod", VM_OFF);
    struct err err = refused(harness, "DELETE", "/v1/pools/prod", NULL, "pool-in-use");
    assert_string_equal(err_arg_find(&err, "holds"), "dark");
    do_must(harness, "POST", "/v1/vms/dark/pool", "{\"pool\":\"/\"}");
    do_must(harness, "DELETE", "/v1/pools/prod", NULL);
}

/* ---- starts ---- */

static void a_start_needs_room_in_the_pool_and_all_above(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "prod", VM_MIB + VM_MIB / 2);
    make_pool(harness, "prod/db", 0);
    (void)add_vm(harness, "one", "prod", VM_RUNNING);
    (void)add_vm(harness, "two", "prod/db", VM_OFF);
    struct err err = refused(harness, "POST", "/v1/vms/two/start", NULL, "pool-memory-short");
    assert_int_equal(err.code, ERR_REFUSED);
    assert_string_equal(err_arg_find(&err, "pool"), "prod/db");
    assert_string_equal(err_arg_find(&err, "bounding_pool"), "prod");
    assert_string_equal(err_arg_find(&err, "short_mib"), "32");
    assert_non_null(strstr(err.fix, "godwit pool set prod --memory-limit"));
    assert_false(fake_agent_was_called(&harness->source, "POST vm start"));
    do_must(harness, "PATCH", "/v1/pools/prod", "{\"memory_limit_mib\":128}");
    do_must(harness, "POST", "/v1/vms/two/start", NULL);
    assert_int_equal(used_mib(harness, "prod"), 2 * VM_MIB);
    assert_int_equal(used_mib(harness, "prod/db"), VM_MIB);
    do_must(harness, "POST", "/v1/vms/two/stop", "{\"force\":true}");
    assert_int_equal(used_mib(harness, "prod"), VM_MIB);
    assert_int_equal(used_mib(harness, "prod/db"), 0);
}

static void the_overhead_of_a_vm_is_taken_from_the_pool(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "prod", VM_MIB + 39);
    struct vm_status *vm = add_vm(harness, "one", "prod", VM_OFF);
    vm->overhead_mib = 40;
    struct expectation wanted = {harness, "one", "overhead_mib", "40"};
    harness_wait(has_number, &wanted, "the overhead");
    struct err err = refused(harness, "POST", "/v1/vms/one/start", NULL, "pool-memory-short");
    assert_string_equal(err_arg_find(&err, "short_mib"), "1");
    do_must(harness, "PATCH", "/v1/pools/prod", "{\"memory_limit_mib\":104}");
    do_must(harness, "POST", "/v1/vms/one/start", NULL);
    assert_int_equal(used_mib(harness, "prod"), VM_MIB + 40);
}

static void a_cpu_reservation_is_taken_from_the_pool(void **state)
{
    struct harness *harness = *state;
    do_must(harness, "POST", "/v1/pools", "{\"path\":\"slow\",\"cpu_limit_percent\":80}");
    struct vm_status *one = add_vm(harness, "one", "slow", VM_OFF);
    struct vm_status *two = add_vm(harness, "two", "slow", VM_OFF);
    one->spec.cpu_reservation_percent = two->spec.cpu_reservation_percent = 50;
    do_must(harness, "POST", "/v1/vms/one/pool", "{\"pool\":\"slow\"}");
    do_must(harness, "POST", "/v1/vms/two/pool", "{\"pool\":\"slow\"}");
    do_must(harness, "POST", "/v1/vms/one/start", NULL);
    struct err err = refused(harness, "POST", "/v1/vms/two/start", NULL, "pool-cpu-short");
    assert_string_equal(err_arg_find(&err, "short_percent"), "20");
}

static void reservations_of_others_are_kept_free(void **state)
{
    struct harness *harness = *state;
    /* Both hosts have 4096 MiB, and "web" uses 64 of them. */
    do_must(harness, "POST", "/v1/pools", "{\"path\":\"vip\",\"memory_reservation_mib\":4000}");
    (void)add_vm(harness, "plain", "", VM_OFF);
    (void)add_vm(harness, "noble", "vip", VM_OFF);
    struct err err = refused(harness, "POST", "/v1/vms/plain/start", NULL, "pool-memory-short");
    assert_string_equal(err_arg_find(&err, "short_mib"), "32");
    do_must(harness, "POST", "/v1/vms/noble/start", NULL);
}

struct lists {
    const struct fake_agent *agent;
    unsigned until;
};

static bool were_listed(void *user)
{
    const struct lists *lists = user;
    return lists->agent->n_vm_lists >= lists->until;
}

static void two_starts_at_once_cannot_share_the_last_room(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "prod", VM_MIB);
    (void)add_vm(harness, "one", "prod", VM_OFF);
    (void)add_vm(harness, "two", "prod", VM_OFF);
    harness->source.hold = "POST vm start";
    static struct answer first;
    begin(harness, "/v1/vms/one/start", &first);
    harness_wait(is_held, &harness->source, "the first start to reach the agent");
    assert_int_equal(used_mib(harness, "prod"), VM_MIB);
    /* The agent says "off" for now: it counts all the same. */
    struct lists lists = {&harness->source, harness->source.n_vm_lists + 2};
    harness_wait(were_listed, &lists, "the agent to be asked again");
    assert_int_equal(used_mib(harness, "prod"), VM_MIB);
    (void)refused(harness, "POST", "/v1/vms/two/start", NULL, "pool-memory-short");
    /* It goes nowhere else meanwhile. */
    struct err busy = refused(harness, "POST", "/v1/vms/one/pool", "{\"pool\":\"/\"}", "vm-busy");
    assert_string_equal(err_arg_find(&busy, "what"), "start-or-pool");
    (void)refused(harness, "DELETE", "/v1/pools/prod", NULL, "pool-in-use");
    refuse_held(&harness->source);
    harness_wait(answer_is_done, &first, "the first start to be answered");
    assert_string_equal(first.err.id, "fake-refusal");
    answer_clear(&first);
    assert_int_equal(used_mib(harness, "prod"), 0);
    do_must(harness, "POST", "/v1/vms/two/start", NULL);
    assert_int_equal(used_mib(harness, "prod"), VM_MIB);
}

static void a_start_under_way_counts_for_the_next_manager(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "prod", VM_MIB);
    (void)add_vm(harness, "one", "prod", VM_OFF);
    (void)add_vm(harness, "two", "prod", VM_OFF);
    harness->source.hold = "POST vm start";
    static struct answer first;
    begin(harness, "/v1/vms/one/start", &first);
    harness_wait(is_held, &harness->source, "the start to reach the agent");
    harness_kill(harness);
    harness_wait(answer_is_done, &first, "the start to be lost");
    /* The agent goes on starting it and cannot be asked. */
    harness->source.hold = NULL;
    harness->source.vms[1].state = VM_RUNNING;
    http_reply(g_steal_pointer(&harness->source.held), 200, vm_status_to_json(&harness->source.vms[1]));
    fake_agent_stop(&harness->source);
    harness_start(harness);
    assert_int_equal(used_mib(harness, "prod"), VM_MIB);
    (void)refused(harness, "POST", "/v1/vms/two/start", NULL, "pool-memory-short");
    fake_agent_start(&harness->source);
    wait_vm(harness, "one", "state", "running");
    assert_int_equal(used_mib(harness, "prod"), VM_MIB);
    (void)refused(harness, "POST", "/v1/vms/two/start", NULL, "pool-memory-short");
}

static void a_vm_on_its_way_into_a_pool_counts_in_both(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "old", VM_MIB);
    make_pool(harness, "new", VM_MIB);
    do_must(harness, "POST", "/v1/vms/web/pool", "{\"pool\":\"old\"}");
    (void)add_vm(harness, "two", "new", VM_OFF);
    harness->source.hold = "PUT vm pool";
    static struct answer change;
    change = (struct answer){0};
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "pool", "new");
    http_client_call(harness->client, &(struct http_call){"POST", "/v1/vms/web/pool", body, 60, NULL},
                     answered, &change);
    harness_wait(is_held, &harness->source, "the change to reach the agent");
    assert_int_equal(used_mib(harness, "old"), VM_MIB);
    assert_int_equal(used_mib(harness, "new"), VM_MIB);
    (void)refused(harness, "POST", "/v1/vms/two/start", NULL, "pool-memory-short");
    refuse_held(&harness->source);
    harness_wait(answer_is_done, &change, "the change to be answered");
    answer_clear(&change);
    assert_int_equal(used_mib(harness, "old"), VM_MIB);
    assert_int_equal(used_mib(harness, "new"), 0);
}

static void a_vm_that_is_on_needs_room_in_its_new_pool(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "small", VM_MIB / 2);
    make_pool(harness, "large", VM_MIB);
    (void)refused(harness, "POST", "/v1/vms/web/pool", "{\"pool\":\"small\"}", "pool-memory-short");
    do_must(harness, "POST", "/v1/vms/web/pool", "{\"pool\":\"large\"}");
    assert_int_equal(used_mib(harness, "large"), VM_MIB);
    wait_vm(harness, "web", "pool", "large");
    harness->source.refuse = "PUT vm pool";
    (void)refused(harness, "POST", "/v1/vms/web/pool", "{\"pool\":\"/\"}", "fake-refusal");
    assert_int_equal(used_mib(harness, "large"), VM_MIB);
}

static void a_change_under_way_holds_a_start_up(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "prod", VM_MIB);
    (void)add_vm(harness, "one", "prod", VM_OFF);
    (void)refused(harness, "PATCH", "/v1/vms/one", "{\"pool\":\"\"}", "unknown-member");
    harness->source.hold = "PATCH vm";
    static struct answer change;
    change = (struct answer){0};
    JsonObject *body = json_object_new();
    json_object_set_int_member(body, "memory_mib", 4096);
    http_client_call(harness->client, &(struct http_call){"PATCH", "/v1/vms/one", body, 60, NULL}, answered,
                     &change);
    harness_wait(is_held, &harness->source, "the change to reach the agent");
    struct err busy = refused(harness, "POST", "/v1/vms/one/start", NULL, "vm-busy");
    assert_string_equal(err_arg_find(&busy, "what"), "change");
    refuse_held(&harness->source);
    harness_wait(answer_is_done, &change, "the change to be answered");
    answer_clear(&change);
    do_must(harness, "POST", "/v1/vms/one/start", NULL);
}

static void a_running_vm_of_a_forgotten_pool_can_still_move(void **state)
{
    struct harness *harness = *state;
    (void)add_vm(harness, "dark", "gone", VM_OFF);
    (void)g_strlcpy(harness->source.vms[0].spec.pool, "gone", POOL_PATH_MAX);
    wait_vm(harness, "web", "pool", "gone");
    (void)refused(harness, "POST", "/v1/vms/dark/start", NULL, "pool-not-found");
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "success");
    wait_vm(harness, "web", "pool", "gone");
}

/* ---- moves ---- */

static char *move_to_pool(struct harness *harness, const char *vm, const char *pool)
{
    g_autofree char *body =
        g_strdup_printf("{\"vm\":\"%s\",\"destination\":\"h2\",\"options\":{\"pool\":\"%s\"}}", vm, pool);
    g_autoptr(JsonObject) task = must(harness, "POST", "/v1/migrations", body);
    return g_strdup(text_of(task, "task"));
}

static void end_move(struct harness *harness, const char *task, const char *state)
{
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    if (strcmp(text_of(document, "state"), state) != 0)
        fail_msg("the move ended as %s: %s", text_of(document, "state"), error_id_of(document));
}

static void a_move_in_its_pool_takes_nothing_more(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "prod", VM_MIB);
    do_must(harness, "POST", "/v1/vms/web/pool", "{\"pool\":\"prod\"}");
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    assert_int_equal(used_mib(harness, "prod"), VM_MIB);
    fake_agent_finish_pair(&harness->source);
    end_move(harness, task, "success");
    assert_int_equal(used_mib(harness, "prod"), VM_MIB);
    wait_vm(harness, "web", "host", "h2");
}

static void a_move_to_another_pool_takes_from_both_until_it_is_over(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "old", VM_MIB);
    make_pool(harness, "new", VM_MIB);
    do_must(harness, "POST", "/v1/vms/web/pool", "{\"pool\":\"old\"}");
    harness->source.is_automatic = false;

    g_autofree char *cancelled = move_to_pool(harness, "web", "new");
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, cancelled, "copy");
    assert_int_equal(used_mib(harness, "old"), VM_MIB);
    assert_int_equal(used_mib(harness, "new"), VM_MIB);
    (void)refused(harness, "DELETE", "/v1/pools/new", NULL, "pool-in-use");
    g_autofree char *path = g_strdup_printf("/v1/tasks/%s/cancel", cancelled);
    do_must(harness, "POST", path, NULL);
    end_move(harness, cancelled, "cancelled");
    assert_int_equal(used_mib(harness, "old"), VM_MIB);
    assert_int_equal(used_mib(harness, "new"), 0);

    g_autofree char *moved = move_to_pool(harness, "web", "new");
    g_autoptr(JsonObject) again = harness_wait_phase(harness, moved, "copy");
    assert_string_equal(harness->destination.spec.vm.pool, "new");
    assert_string_equal(harness->source.vms[0].spec.pool, "old");
    fake_agent_finish_pair(&harness->source);
    end_move(harness, moved, "success");
    assert_int_equal(used_mib(harness, "old"), 0);
    assert_int_equal(used_mib(harness, "new"), VM_MIB);
}

static void a_move_counts_for_the_next_manager(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "new", VM_MIB);
    (void)add_vm(harness, "late", "new", VM_OFF);
    harness->source.is_automatic = false;
    g_autofree char *task = move_to_pool(harness, "web", "new");
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_set(&harness->source, MOVE_COPYING);
    harness_kill(harness);
    harness_start(harness);
    assert_int_equal(used_mib(harness, "new"), VM_MIB);
    (void)refused(harness, "POST", "/v1/vms/late/start", NULL, "pool-memory-short");
    fake_agent_finish_pair(&harness->source);
    end_move(harness, task, "success");
    assert_int_equal(used_mib(harness, "new"), VM_MIB);
}

static void two_moves_at_once_cannot_share_the_last_room(void **state)
{
    struct harness *harness = *state;
    make_pool(harness, "new", VM_MIB);
    (void)add_vm(harness, "two", "", VM_RUNNING);
    harness->destination.hold = "POST check";
    g_autofree char *first = move_to_pool(harness, "web", "new");
    harness_wait(is_held, &harness->destination, "the destination to be asked");
    g_autofree char *second = move_to_pool(harness, "two", "new");
    g_autoptr(JsonObject) document = harness_wait_final(harness, second);
    assert_string_equal(error_id_of(document), "pool-memory-short");
    JsonObject *error = json_object_get_object_member(document, "error");
    assert_string_equal(text_of(error, "phase"), "destination check");
    assert_string_equal(text_of(error, "side"), "manager");
    refuse_held(&harness->destination);
    end_move(harness, first, "error");
    assert_int_equal(used_mib(harness, "new"), 0);
}

/* ---- what the hosts are told ---- */

static gint64 told_limit(const struct fake_agent *agent, const char *path)
{
    JsonArray *pools = agent->pools ? json_object_get_array_member(agent->pools, "pools") : NULL;
    for (guint i = 0; pools && i < json_array_get_length(pools); i++) {
        JsonObject *pool = json_array_get_object_element(pools, i);
        if (!strcmp(text_of(pool, "path"), path))
            return json_object_get_int_member(pool, "cpu_limit_percent");
    }
    return -1;
}

struct limits {
    struct harness *harness;
    gint64 source, destination;
};

static bool are_told(void *user)
{
    const struct limits *limits = user;
    return told_limit(&limits->harness->source, "slow") == limits->source &&
           told_limit(&limits->harness->destination, "slow") == limits->destination;
}

static void each_host_is_told_its_part_of_a_limit(void **state)
{
    struct harness *harness = *state;
    do_must(harness, "POST", "/v1/pools", "{\"path\":\"slow\",\"cpu_limit_percent\":80}");
    struct limits whole = {harness, 80, 80};
    harness_wait(are_told, &whole, "both hosts to be told");
    do_must(harness, "POST", "/v1/vms/web/pool", "{\"pool\":\"slow\"}");
    struct vm_status *other = fake_agent_add_vm(&harness->destination, "other", VM_RUNNING);
    other->spec.cpus = 3;
    (void)g_strlcpy(other->spec.pool, "slow", sizeof other->spec.pool);
    struct limits parts = {harness, 20, 60};
    harness_wait(are_told, &parts, "both hosts to be told their parts");
    /* One that comes back is told again, whatever it may have lost. */
    fake_agent_stop(&harness->destination);
    struct expectation away = {harness, "other", "state", "unknown"};
    harness_wait(vm_is, &away, "the host to be missed");
    g_clear_pointer(&harness->destination.pools, json_object_unref);
    fake_agent_start(&harness->destination);
    harness_wait(are_told, &parts, "the host to be told again");
}

static bool was_told(void *user)
{
    return ((struct fake_agent *)user)->n_pool_lists > 0;
}

/* Its restart is too short to be missed. */
static void an_upgraded_agent_is_told_the_limits(void **state)
{
    struct harness *harness = *state;
    struct fake_agent *agent = &harness->destination;
    agent->protocol = PROTOCOL - 1;
    agent->is_before = true;
    harness_kill(harness);
    harness_start(harness);
    harness_wait_connected(harness, "h2");
    agent->n_pool_lists = 0;
    do_must(harness, "POST", "/v1/pools", "{\"path\":\"slow\",\"cpu_limit_percent\":80}");
    harness_wait(was_told, agent, "the agent of the version before to be told");
    agent->protocol = 0;
    agent->is_before = false;
    struct limits whole = {harness, 80, 80};
    harness_wait(are_told, &whole, "the upgraded agent to be told");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        TEST(rules_of_the_tree_are_kept),
        TEST(pools_outlive_the_manager),
        TEST(a_pool_with_a_vm_stays),
        TEST(a_start_needs_room_in_the_pool_and_all_above),
        TEST(the_overhead_of_a_vm_is_taken_from_the_pool),
        TEST(a_cpu_reservation_is_taken_from_the_pool),
        TEST(reservations_of_others_are_kept_free),
        TEST(two_starts_at_once_cannot_share_the_last_room),
        TEST(a_start_under_way_counts_for_the_next_manager),
        TEST(a_vm_on_its_way_into_a_pool_counts_in_both),
        TEST(a_vm_that_is_on_needs_room_in_its_new_pool),
        TEST(a_change_under_way_holds_a_start_up),
        TEST(a_running_vm_of_a_forgotten_pool_can_still_move),
        TEST(a_move_in_its_pool_takes_nothing_more),
        TEST(a_move_to_another_pool_takes_from_both_until_it_is_over),
        TEST(a_move_counts_for_the_next_manager),
        TEST(two_moves_at_once_cannot_share_the_last_room),
        TEST(an_upgraded_agent_is_told_the_limits),
        TEST(each_host_is_told_its_part_of_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
