/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

#include "manager/routes.h"

static void bad_input_names_the_field_and_the_cure(void **state)
{
    static const struct {
        const char *method, *path, *body, *id;
        enum err_code code;
    } rows[] = {
        {"POST", "/v1/migrations", "{}", "member-missing", ERR_BAD_REQUEST},
        {"POST", "/v1/migrations", "{\"vm\":\"web\"}", "member-missing", ERR_BAD_REQUEST},
        {"POST", "/v1/migrations", "{\"vm\":7,\"destination\":\"h2\"}", "member-type", ERR_BAD_REQUEST},
        {"POST", "/v1/migrations", "{\"vm\":\"web\",\"destinaton\":\"h2\"}", "unknown-member",
         ERR_BAD_REQUEST},
        {"POST", "/v1/migrations", "{\"vm\":\"nope\",\"destination\":\"h2\"}", "vm-not-found", ERR_NOT_FOUND},
        {"POST", "/v1/migrations", "{\"vm\":\"web\",\"destination\":\"h9\"}", "host-not-found",
         ERR_NOT_FOUND},
        {"POST", "/v1/migrations", "{\"vm\":\"web\",\"destination\":\"h1\"}", "same-host", ERR_REFUSED},
        {"POST", "/v1/migrations", "{\"vm\":\"dark\",\"destination\":\"h2\"}", "vm-is-off", ERR_REFUSED},
        {"POST", "/v1/migrations",
         "{\"vm\":\"web\",\"destination\":\"h2\",\"options\":{\"max_downtime_ms\":0}}", "", ERR_BAD_REQUEST},
        {"POST", "/v1/migrations", "{\"vm\":\"web\",\"destination\":\"h2\",\"options\":[]}", "member-type",
         ERR_BAD_REQUEST},
        {"POST", "/v1/hosts", "{\"name\":\"h 3\",\"address\":\"::1\"}", "name", ERR_BAD_REQUEST},
        {"POST", "/v1/hosts", "{\"name\":\"h3\",\"address\":\"a b\"}", "address", ERR_BAD_REQUEST},
        {"POST", "/v1/hosts", "{\"name\":\"h3\",\"address\":\"10.0.0.1:8443\"}", "address", ERR_BAD_REQUEST},
        {"POST", "/v1/hosts/h3/adopt", "{\"address\":\"[::1]\"}", "address", ERR_BAD_REQUEST},
        {"POST", "/v1/hosts", "{\"name\":\"h3\",\"address\":\"::1\",\"port\":70000}", "port",
         ERR_BAD_REQUEST},
        {"POST", "/v1/hosts", "{\"name\":\"h1\",\"address\":\"::1\"}", "host-exists", ERR_REFUSED},
        {"DELETE", "/v1/hosts/h1", NULL, "host-in-use", ERR_REFUSED},
        {"POST", "/v1/vms", "{\"host\":\"h1\"}", "member-missing", ERR_BAD_REQUEST},
        {"POST", "/v1/vms", "{\"host\":\"h1\",\"spec\":{\"name\":\"web\",\"memory_mib\":64,\"cpus\":1}}",
         "vm-exists", ERR_REFUSED},
        {"POST", "/v1/vms", "{\"host\":\"h9\",\"spec\":{\"name\":\"new\",\"memory_mib\":64,\"cpus\":1}}",
         "host-not-found", ERR_NOT_FOUND},
        {"POST", "/v1/vms/web/stop", "{\"timeout_s\":0}", "bad-timeout", ERR_BAD_REQUEST},
        {"POST", "/v1/vms/web/stop", "{\"timeout_s\":3601}", "bad-timeout", ERR_BAD_REQUEST},
        {"POST", "/v1/vms/web/stop", "{\"timeout_s\":\"9\"}", "bad-timeout", ERR_BAD_REQUEST},
        {"POST", "/v1/vms/web/stop", "{\"time\":9}", "unknown-member", ERR_BAD_REQUEST},
        {"POST", "/v1/vms/dark/start", "{\"wait\":true}", "unknown-member", ERR_BAD_REQUEST},
        {"POST", "/v1/tasks/nope/cancel", "{\"force\":true}", "unknown-member", ERR_BAD_REQUEST},
        {"PATCH", "/v1/vms/nope", "{\"cpus\":2}", "vm-not-found", ERR_NOT_FOUND},
        {"PATCH", "/v1/vms/web", "{}", "nothing-to-change", ERR_BAD_REQUEST},
        {"PATCH", "/v1/vms/web", "{\"memory_mib\":65}", "field-out-of-range", ERR_BAD_REQUEST},
        {"PATCH", "/v1/vms/web", "{\"memroy\":64}", "field-unknown", ERR_BAD_REQUEST},
        {"PATCH", "/v1/vms/web", "{\"name\":\"dark\"}", "vm-exists", ERR_REFUSED},
        {"POST", "/v1/enroll", "{\"token\":\"t\",\"csr\":\"c\",\"port\":1}", "unknown-member",
         ERR_BAD_REQUEST},
        {"POST", "/v1/vms",
         "{\"host\":\"h1\",\"spec\":{\"name\":\"new\",\"memory_mib\":64,\"cpus\":1,"
         "\"uuid\":\"0a458e21-7b7b-4dc9-bc2c-ffd05fdd76bb\"}}",
         "uuid-invalid", ERR_BAD_REQUEST},
        {"GET", "/v1/vms/nope", NULL, "vm-not-found", ERR_NOT_FOUND},
        {"GET", "/v1/tasks/nope", NULL, "task-not-found", ERR_NOT_FOUND},
        {"GET", "/v1/tasks?limit=x", NULL, "query", ERR_BAD_REQUEST},
        {"POST", "/v1/tasks/nope/cancel", NULL, "task-not-found", ERR_NOT_FOUND},
        {"POST", "/v1/tokens", "{\"name\":\"a b\"}", "name", ERR_BAD_REQUEST},
        {"DELETE", "/v1/tokens/nobody", NULL, "token-not-found", ERR_NOT_FOUND},
        {"GET", "/v1/nothing", NULL, "path-not-found", ERR_NOT_FOUND},
    };
    struct harness *harness = *state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct answer answer = harness_call(harness, rows[i].method, rows[i].path, rows[i].body);
        if (answer.err.code != rows[i].code || (rows[i].id[0] && strcmp(answer.err.id, rows[i].id) != 0))
            fail_msg("%s %s %s: %s %s %s", rows[i].method, rows[i].path, rows[i].body ? rows[i].body : "",
                     err_code_name(answer.err.code), answer.err.id, answer.err.message);
        assert_true(answer.err.message[0]);
        /* What is wrong with a value is said together with what it must be. */
        if (answer.err.code != ERR_BAD_REQUEST && !answer.err.fix[0])
            fail_msg("%s %s: no cure: %s", rows[i].method, rows[i].path, answer.err.message);
        answer_clear(&answer);
    }
    struct answer tasks = harness_call(harness, "GET", "/v1/tasks", NULL);
    assert_int_equal(json_array_get_length(json_object_get_array_member(tasks.object, "tasks")), 0);
    answer_clear(&tasks);
}

static int setup_with_dark_vm(void **state)
{
    (void)harness_setup(state);
    struct harness *harness = *state;
    (void)fake_agent_add_vm(&harness->source, "dark", VM_OFF);
    struct answer shown = {0};
    do {
        answer_clear(&shown);
        shown = harness_call(harness, "GET", "/v1/vms/dark", NULL);
    } while (err_is_set(&shown.err));
    answer_clear(&shown);
    return 0;
}

static char *curl(struct harness *harness, const char *options)
{
    g_autofree char *command = g_strdup_printf("curl -s --unix-socket %s/manager.sock -w ' %%{http_code}' %s",
                                               harness->folder, options);
    char *text = NULL;
    assert_true(g_spawn_command_line_sync(command, &text, NULL, NULL, NULL));
    return text;
}

static void a_wrong_token_is_refused(void **state)
{
    struct harness *harness = *state;
    g_autofree char *wrong = curl(harness, "-H 'Authorization: Bearer gwt1.00' http://localhost/v1/hosts");
    assert_true(g_str_has_suffix(wrong, " 401"));
    g_autofree char *none = curl(harness, "http://localhost/v1/hosts");
    assert_true(g_str_has_suffix(none, " 401"));
    assert_null(strstr(none, "\"hosts\""));
}

/* Its {names} filled in; g_free. */
static char *some_path(const char *pattern)
{
    g_autoptr(GRegex) name = g_regex_new("\\{[a-z]+\\}", (GRegexCompileFlags)0, (GRegexMatchFlags)0, NULL);
    return g_regex_replace_literal(name, pattern, -1, 0, "web", (GRegexMatchFlags)0, NULL);
}

static void no_route_answers_without_authentication(void **state)
{
    struct harness *harness = *state;
    unsigned n_routes = 0;
    for (const struct http_route *route = routes_table; route->method; route++, n_routes++) {
        g_autofree char *path = some_path(route->path);
        static const char *const credentials[] = {"", "-H 'Authorization: Bearer gwt1.00'",
                                                  "-H 'Authorization: Basic Z29kd2l0Og=='",
                                                  "-H 'Authorization: Bearer'", "-u godwit:godwit"};
        for (unsigned i = 0; i < G_N_ELEMENTS(credentials); i++) {
            g_autofree char *options =
                g_strdup_printf("-X %s %s -d '{\"token\":\"gwe1.h1.00.00\",\"csr\":\"\"}' http://localhost%s",
                                route->method, credentials[i], path);
            g_autofree char *answer = curl(harness, options);
            if (!g_str_has_suffix(answer, " 401"))
                fail_msg("%s %s %s: %s", route->method, route->path, credentials[i], answer);
        }
    }
    assert_true(n_routes > 30);
}

static void guessing_over_the_network_has_to_wait(void **state)
{
    struct harness *harness = *state;
    bool waits = false;
    unsigned n_tries = 0;
    for (; !waits && n_tries < 100; n_tries++) {
        struct answer answer =
            harness_call(harness, "POST", "/v1/enroll", "{\"token\":\"gwe1.h1.00.00\",\"csr\":\"x\"}");
        assert_true(err_is_set(&answer.err));
        waits = !strcmp(answer.err.id, "too-many-attempts");
        answer_clear(&answer);
    }
    assert_true(waits && n_tries > 5);
    struct answer answer = harness_call(harness, "GET", "/v1/about", NULL);
    assert_string_equal(answer.err.id, "too-many-attempts");
    g_autofree char *right =
        g_strdup_printf("-H 'Authorization: Bearer %s' http://localhost/v1/about", harness->token);
    g_autofree char *local = curl(harness, right);
    assert_true(g_str_has_suffix(local, " 200"));
}

static void malformed_json_gets_its_position(void **state)
{
    struct harness *harness = *state;
    g_autofree char *options = g_strdup_printf(
        "-H 'Authorization: Bearer %s' -d '{\"vm\": web}' http://localhost/v1/migrations", harness->token);
    g_autofree char *text = curl(harness, options);
    assert_true(g_str_has_suffix(text, " 400"));
    assert_non_null(strstr(text, "line 1, position"));
}

static void the_token_verb_replaces_the_admin_token(void **state)
{
    struct harness *harness = *state;
    g_autofree char *command =
        g_strdup_printf("%s token --config %s/manager.conf", MANAGER_PROGRAM, harness->folder);
    g_autofree char *token = NULL;
    int status;
    assert_true(g_spawn_command_line_sync(command, &token, NULL, &status, NULL));
    assert_int_equal(status, 0);
    g_autofree char *with_new =
        g_strdup_printf("-H 'Authorization: Bearer %s' http://localhost/v1/about", g_strstrip(token));
    g_autofree char *with_old =
        g_strdup_printf("-H 'Authorization: Bearer %s' http://localhost/v1/about", harness->token);
    g_autofree char *accepted = curl(harness, with_new);
    g_autofree char *refused = curl(harness, with_old);
    assert_true(g_str_has_suffix(accepted, " 200"));
    assert_true(g_str_has_suffix(refused, " 401"));
    g_autofree char *database = g_build_filename(harness->folder, "state", "manager.db-wal", NULL);
    g_autofree char *bytes = NULL;
    gsize size = 0;
    assert_true(g_file_get_contents(database, &bytes, &size, NULL));
    assert_true(size > 0);
    assert_null(memmem(bytes, size, token, strlen(token)));
}

static struct answer add_token(struct harness *harness, unsigned number)
{
    g_autofree char *body = g_strdup_printf("{\"name\":\"t%u\"}", number);
    return harness_call(harness, "POST", "/v1/tokens", body);
}

static void tokens_are_bounded_and_one_can_still_be_renewed(void **state)
{
    struct harness *harness = *state;
    unsigned n = 0;
    struct answer answer = {0};
    do {
        answer_clear(&answer);
        answer = add_token(harness, n++);
    } while (!err_is_set(&answer.err) && n < 1000);
    assert_string_equal(answer.err.id, "too-many-tokens");
    struct answer again = add_token(harness, 0);
    assert_string_equal(again.err.message, "");
    answer_clear(&again);
}

static void an_enrolment_token_works_once(void **state)
{
    struct harness *harness = *state;
    struct answer added =
        harness_call(harness, "POST", "/v1/hosts", "{\"name\":\"h.3\",\"address\":\"127.0.0.1\"}");
    assert_false(err_is_set(&added.err));
    g_autofree char *csr = NULL;
    g_autofree char *key = NULL;
    struct err err = {0};
    assert_int_equal(http_csr_new("h.3", &csr, &key, &err), 0);
    g_autofree char *escaped = g_strescape(csr, NULL);
    g_autofree char *bad =
        g_strdup_printf("{\"token\":\"%s\",\"csr\":\"nonsense\"}", text_of(added.object, "token"));
    g_autofree char *good =
        g_strdup_printf("{\"token\":\"%s\",\"csr\":\"%s\"}", text_of(added.object, "token"), escaped);
    struct answer answer = harness_call(harness, "POST", "/v1/enroll", bad);
    assert_true(err_is_set(&answer.err)); /* and the token is still good */
    answer = harness_call(harness, "POST", "/v1/enroll", good);
    assert_false(err_is_set(&answer.err));
    assert_string_equal(text_of(answer.object, "name"), "h.3");
    answer_clear(&answer);
    answer = harness_call(harness, "POST", "/v1/enroll", good);
    assert_int_equal(answer.err.code, ERR_UNAUTHORIZED);
    assert_string_equal(answer.err.id, "enrolment-token");
    answer_clear(&added);
}

static void a_second_move_of_the_vm_is_refused_while_one_runs(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    struct answer second =
        harness_call(harness, "POST", "/v1/migrations", "{\"vm\":\"web\",\"destination\":\"h2\"}");
    assert_int_equal(second.err.code, ERR_REFUSED);
    assert_string_equal(second.err.id, "task-running");
    assert_non_null(strstr(second.err.message, task));
    struct answer stop = harness_call(harness, "POST", "/v1/vms/web/stop", NULL);
    assert_string_equal(stop.err.id, "task-running");
}

static void the_same_client_key_gives_the_same_task(void **state)
{
    struct harness *harness = *state;
    const char *body = "{\"vm\":\"web\",\"destination\":\"h2\",\"client_key\":\"k1\"}";
    struct answer first = harness_call(harness, "POST", "/v1/migrations", body);
    g_autoptr(JsonObject) end = harness_wait_final(harness, text_of(first.object, "task"));
    struct answer again = harness_call(harness, "POST", "/v1/migrations", body);
    assert_string_equal(text_of(first.object, "task"), text_of(again.object, "task"));
    assert_string_equal(text_of(again.object, "state"), "success");
    answer_clear(&first);
    answer_clear(&again);
}

/* Several VMs on h1, which the manager knows of. */
static void add_vms(struct harness *harness, const char *const *names)
{
    const char *last = NULL;
    for (; *names; names++) {
        (void)fake_agent_add_vm(&harness->source, *names, VM_RUNNING);
        last = *names;
    }
    g_autofree char *path = g_strdup_printf("/v1/vms/%s", last);
    struct answer shown = {0};
    do {
        answer_clear(&shown);
        shown = harness_call(harness, "GET", path, NULL);
    } while (err_is_set(&shown.err));
    answer_clear(&shown);
}

static char *migrate_vm(struct harness *harness, const char *vm, const char *options)
{
    g_autofree char *body =
        g_strdup_printf("{\"vm\":\"%s\",\"destination\":\"h2\",\"options\":{%s}}", vm, options);
    struct answer answer = harness_call(harness, "POST", "/v1/migrations", body);
    assert_string_equal(answer.err.message, "");
    char *task = g_strdup(text_of(answer.object, "task"));
    answer_clear(&answer);
    return task;
}

static void cancel_move(struct harness *harness, const char *task)
{
    g_autofree char *path = g_strdup_printf("/v1/tasks/%s/cancel", task);
    struct answer cancelled = harness_call(harness, "POST", path, NULL);
    assert_false(err_is_set(&cancelled.err));
    answer_clear(&cancelled);
}

/* All places of a host but two are taken, by VMs that stay in their copy. */
static void leave_two_places(struct harness *harness)
{
    static const char *const others[] = {"app", "cache", NULL};
    add_vms(harness, others);
    for (unsigned i = 0; others[i]; i++) {
        g_autofree char *task = migrate_vm(harness, others[i], "");
        g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    }
}

static void moves_over_the_limit_wait_in_order(void **state)
{
    static const char *const added[] = {"db", "mail", NULL};
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    leave_two_places(harness);
    add_vms(harness, added);
    g_autofree char *web = migrate_vm(harness, "web", "");
    g_autofree char *db = migrate_vm(harness, "db", "");
    g_autofree char *mail = migrate_vm(harness, "mail", "");
    g_autoptr(JsonObject) first = harness_wait_phase(harness, web, "copy");
    g_autoptr(JsonObject) second = harness_wait_phase(harness, db, "copy");
    g_autoptr(JsonObject) third = harness_wait_phase(harness, mail, "request");
    assert_string_equal(text_of(third, "state"), "queued");
    assert_non_null(strstr(text_of(third, "waiting_for"), "h1"));
    cancel_move(harness, web);
    g_autoptr(JsonObject) started = harness_wait_phase(harness, mail, "copy");
    assert_string_equal(text_of(started, "state"), "running");
}

static void a_move_of_high_priority_is_admitted_first(void **state)
{
    static const char *const added[] = {"db", "mail", "shop", NULL};
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    leave_two_places(harness);
    add_vms(harness, added);
    g_autofree char *web = migrate_vm(harness, "web", "");
    g_autofree char *db = migrate_vm(harness, "db", "\"priority\":\"normal\"");
    g_autofree char *mail = migrate_vm(harness, "mail", "");
    g_autofree char *shop = migrate_vm(harness, "shop", "\"priority\":\"high\"");
    g_autoptr(JsonObject) first = harness_wait_phase(harness, web, "copy");
    g_autoptr(JsonObject) second = harness_wait_phase(harness, db, "copy");
    cancel_move(harness, web);
    g_autoptr(JsonObject) urgent = harness_wait_phase(harness, shop, "copy");
    assert_string_equal(text_of(json_object_get_object_member(urgent, "options"), "priority"), "high");
    g_autoptr(JsonObject) waiting = harness_wait_phase(harness, mail, "request");
    assert_string_equal(text_of(waiting, "state"), "queued");
    cancel_move(harness, db);
    g_autoptr(JsonObject) last = harness_wait_phase(harness, mail, "copy");
    assert_string_equal(text_of(last, "state"), "running");
}

static void a_new_vm_gets_a_uuid_and_its_own_mac(void **state)
{
    struct harness *harness = *state;
    struct answer answer = harness_call(harness, "POST", "/v1/vms",
                                        "{\"host\":\"h1\",\"spec\":{\"name\":\"new\",\"memory_mib\":64,"
                                        "\"cpus\":1,\"nics\":[{\"network\":\"vmnet\"},"
                                        "{\"network\":\"vmnet\"}]}}");
    assert_string_equal(answer.err.message, "");
    struct vm_status vm;
    assert_int_equal(vm_status_from_json(answer.object, &vm, &answer.err), 0);
    assert_true(model_uuid_is_valid(vm.spec.uuid));
    assert_string_equal(vm.host, "h1");
    assert_true(g_str_has_prefix(vm.spec.nics[0].mac, "52:54:00:"));
    assert_string_not_equal(vm.spec.nics[0].mac, vm.spec.nics[1].mac);
    answer_clear(&answer);
}

static struct vm_status set(struct harness *harness, const char *vm, const char *body)
{
    g_autofree char *path = g_strdup_printf("/v1/vms/%s", vm);
    struct answer answer = harness_call(harness, "PATCH", path, body);
    struct vm_status changed;
    assert_string_equal(answer.err.message, "");
    assert_int_equal(vm_status_from_json(answer.object, &changed, &answer.err), 0);
    answer_clear(&answer);
    return changed;
}

static void a_changed_vm_keeps_what_was_not_named(void **state)
{
    struct harness *harness = *state;
    struct vm_status first = set(harness, "web", "{\"nics\":[{\"network\":\"a\"},{\"network\":\"b\"}]}");
    assert_true(g_str_has_prefix(first.spec.nics[0].mac, "52:54:00:"));
    assert_string_not_equal(first.spec.nics[0].mac, first.spec.nics[1].mac);
    struct vm_status second = set(harness, "web", "{\"name\":\"shop\",\"memory_mib\":128}");
    assert_string_equal(second.spec.name, "shop");
    assert_int_equal(second.spec.memory_mib, 128);
    assert_memory_equal(second.spec.nics, first.spec.nics, sizeof first.spec.nics);
    /* The port keeps its address on another network; the same body again changes nothing. */
    struct vm_status third = {0};
    for (unsigned i = 0; i < 2; i++)
        third = set(harness, "shop", "{\"nics\":[{\"network\":\"c\"}],\"autostart\":true}");
    assert_int_equal(third.spec.n_nics, 1);
    assert_string_equal(third.spec.nics[0].network, "c");
    assert_string_equal(third.spec.nics[0].mac, first.spec.nics[0].mac);
    assert_true(third.spec.autostart);
    /* Addresses are one VM's; its own it may name. */
    g_autofree char *own =
        g_strdup_printf("{\"nics\":[{\"network\":\"c\",\"mac\":\"%s\"}]}", third.spec.nics[0].mac);
    (void)set(harness, "shop", own);
    struct answer taken = harness_call(harness, "PATCH", "/v1/vms/dark", own);
    assert_string_equal(taken.err.id, "mac-in-use");
    answer_clear(&taken);
}

static void a_change_is_refused_with_the_task_that_moves_the_vm(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    struct answer answer = harness_call(harness, "PATCH", "/v1/vms/web", "{\"autostart\":true}");
    assert_int_equal(answer.err.code, ERR_REFUSED);
    assert_string_equal(answer.err.id, "task-running");
    assert_string_equal(err_arg_find(&answer.err, "task"), task);
    answer_clear(&answer);
    struct answer shown = harness_call(harness, "GET", "/v1/vms/web", NULL);
    struct vm_status vm;
    assert_int_equal(vm_status_from_json(shown.object, &vm, &shown.err), 0);
    assert_false(vm.spec.autostart);
    answer_clear(&shown);
}

static bool knows_no_new(void *user)
{
    struct answer answer = harness_call(user, "GET", "/v1/vms/new", NULL);
    bool is_unknown = answer.err.code == ERR_NOT_FOUND;
    answer_clear(&answer);
    return is_unknown;
}

static void a_vm_that_is_made_again_with_its_client_key_is_the_same(void **state)
{
    static const char body[] = "{\"host\":\"h1\",\"client_key\":\"k1\",\"spec\":{\"name\":\"new\","
                               "\"memory_mib\":64,\"cpus\":1,\"nics\":[{\"network\":\"vmnet\"}]}}";
    struct harness *harness = *state;
    struct vm_status vms[3];
    for (unsigned i = 0; i < G_N_ELEMENTS(vms); i++) {
        /* The last one: the manager has heard nothing of the first answers. */
        if (i == 2) {
            harness->source.n_vms--;
            harness_wait(knows_no_new, harness, "the VM to be forgotten");
        }
        struct answer answer = harness_call(harness, "POST", "/v1/vms", body);
        assert_string_equal(answer.err.message, "");
        assert_int_equal(vm_status_from_json(answer.object, &vms[i], &answer.err), 0);
        answer_clear(&answer);
        assert_int_equal(harness->source.n_vms, 2);
        assert_string_equal(vms[i].spec.uuid, vms[0].spec.uuid);
        assert_string_equal(vms[i].spec.nics[0].mac, vms[0].spec.nics[0].mac);
    }
    assert_true(model_uuid_is_valid(vms[0].spec.uuid));
    struct answer other = harness_call(harness, "POST", "/v1/vms",
                                       "{\"host\":\"h1\",\"client_key\":\"k2\","
                                       "\"spec\":{\"name\":\"other\",\"memory_mib\":64}}");
    assert_string_not_equal(text_of(json_object_get_object_member(other.object, "spec"), "uuid"),
                            vms[0].spec.uuid);
    answer_clear(&other);
}

#define N_STOPPERS 2
#define STOPS_PER_CLIENT 32 /* as many connections as one makes */
#define N_STOPS (N_STOPPERS * STOPS_PER_CLIENT)
/* As many connections as the manager makes to one host for its clients. */
#define N_STOPS_AT_HOST 32

static bool are_at_host(void *user)
{
    return ((struct fake_agent *)user)->stops->len == N_STOPS_AT_HOST;
}

static bool was_listed(void *user)
{
    return ((struct fake_agent *)user)->n_vm_lists > 1;
}

static struct http_client *another_client(struct harness *harness)
{
    g_autoptr(GTlsCertificate) ca = NULL;
    struct http_client *client;
    assert_int_equal(http_cert_load(harness->ca_pem, NULL, &ca, NULL), 0);
    const struct http_client_config config = {
        .base = "https://127.0.0.1:8443", .token = harness->token, .ca = ca};
    assert_int_equal(http_client_new(&config, &client, NULL), 0);
    return client;
}

static void nobody(JsonObject *object, const struct err *err, void *user)
{
    (void)object, (void)err, (void)user;
}

static void clients_that_wait_for_a_guest_to_go_off_hold_up_no_move(void **state)
{
    struct harness *harness = *state;
    struct fake_agent *agent = &harness->source;
    struct http_client *stoppers[N_STOPPERS];
    agent->stops = g_ptr_array_new();
    for (unsigned i = 0; i < N_STOPS; i++) {
        if (i % STOPS_PER_CLIENT == 0)
            stoppers[i / STOPS_PER_CLIENT] = another_client(harness);
        JsonObject *body = json_object_new();
        json_object_set_int_member(body, "timeout_s", 3600);
        http_client_call(stoppers[i / STOPS_PER_CLIENT],
                         &(struct http_call){"POST", "/v1/vms/web/stop", body, 0, NULL}, nobody, NULL);
    }
    harness_wait(are_at_host, agent, "the stops to arrive");
    agent->n_vm_lists = 0;
    harness_wait(was_listed, agent, "the manager to ask for the VMs");
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "success");
    GPtrArray *stops = g_steal_pointer(&agent->stops);
    for (unsigned i = 0; i < N_STOPPERS; i++)
        http_client_free(stoppers[i]);
    for (guint i = 0; i < stops->len; i++)
        http_reply(stops->pdata[i], 200, vm_status_to_json(&agent->vms[0]));
    g_ptr_array_unref(stops);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bad_input_names_the_field_and_the_cure, setup_with_dark_vm,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(a_wrong_token_is_refused, harness_setup_bare, harness_teardown),
        cmocka_unit_test_setup_teardown(no_route_answers_without_authentication, harness_setup_bare,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(guessing_over_the_network_has_to_wait, harness_setup_bare,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(malformed_json_gets_its_position, harness_setup_bare,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(the_token_verb_replaces_the_admin_token, harness_setup_bare,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(tokens_are_bounded_and_one_can_still_be_renewed, harness_setup_bare,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(an_enrolment_token_works_once, harness_setup_bare, harness_teardown),
        TEST(a_second_move_of_the_vm_is_refused_while_one_runs),
        TEST(the_same_client_key_gives_the_same_task),
        TEST(moves_over_the_limit_wait_in_order),
        TEST(a_move_of_high_priority_is_admitted_first),
        TEST(a_new_vm_gets_a_uuid_and_its_own_mac),
        TEST(a_change_is_refused_with_the_task_that_moves_the_vm),
        cmocka_unit_test_setup_teardown(a_changed_vm_keeps_what_was_not_named, setup_with_dark_vm,
                                        harness_teardown),
        TEST(a_vm_that_is_made_again_with_its_client_key_is_the_same),
        TEST(clients_that_wait_for_a_guest_to_go_off_hold_up_no_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
