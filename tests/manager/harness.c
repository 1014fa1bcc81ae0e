/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Not a measure of anything: a test that hangs has failed. */
#define GIVE_UP_S 60

#define MANAGER_PORT 8443
#define SOURCE_PORT 9001
#define DESTINATION_PORT 9002

/* Tests run side by side; in a network of its own no other takes a port of this one while its manager or an
 * agent is down. */
static void enter_own_network(void)
{
    static bool is_there;
    if (!is_there)
        assert_true(unshare(CLONE_NEWNET) == 0 && system("ip link set lo up") == 0);
    is_there = true;
}

static gboolean gave_up(void *user)
{
    *(bool *)user = true;
    return G_SOURCE_CONTINUE;
}

void harness_wait(bool (*condition)(void *user), void *user, const char *what)
{
    bool is_over = false;
    guint timer = g_timeout_add_seconds(GIVE_UP_S, gave_up, &is_over);
    while (!condition(user) && !is_over)
        (void)g_main_context_iteration(NULL, TRUE);
    g_source_remove(timer);
    if (is_over)
        fail_msg("waited in vain for %s", what);
}

/* ---- calls ---- */

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

struct answer harness_call(struct harness *harness, const char *method, const char *path, const char *body)
{
    struct answer answer = {0};
    JsonObject *object = NULL;
    if (body)
        assert_int_equal(model_parse(body, -1, &object, &answer.err), 0);
    http_client_call(harness->client, &(struct http_call){method, path, object, 30, NULL}, answered, &answer);
    harness_wait(answer_is_done, &answer, path);
    return answer;
}

void answer_clear(struct answer *answer)
{
    if (answer->object)
        json_object_unref(answer->object);
    answer->object = NULL;
}

const char *text_of(JsonObject *object, const char *name)
{
    return json_object_get_string_member_with_default(object, name, "");
}

const char *error_id_of(JsonObject *task)
{
    JsonNode *error = json_object_get_member(task, "error");
    return error && JSON_NODE_HOLDS_OBJECT(error) ? text_of(json_node_get_object(error), "id") : "";
}

/* ---- the manager ---- */

static void die_with_test(void *user)
{
    (void)user;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void read_token(struct harness *harness, int out)
{
    g_autoptr(GIOChannel) channel = g_io_channel_unix_new(out);
    g_autofree char *line = NULL;
    g_io_channel_set_close_on_unref(channel, TRUE);
    if (harness->token)
        return;
    (void)g_io_channel_read_line(channel, &line, NULL, NULL, NULL);
    if (!line || !g_str_has_prefix(line, "admin token: "))
        fail_msg("the manager printed no token: %s", line ? line : "nothing");
    harness->token = g_strdup(g_strstrip(line + strlen("admin token: ")));
}

/* Nothing tells when another process listens. */
#define LOOK_AGAIN_MS 10

static gboolean look_again(void *user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

static bool manager_answers(void *user)
{
    struct harness *harness = user;
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect_to_host(client, "127.0.0.1", harness->port, NULL, NULL);
    return connection != NULL;
}

static void make_client(struct harness *harness)
{
    g_autofree char *ca_path = g_build_filename(harness->folder, "state", "ca.crt", NULL);
    g_autofree char *base = g_strdup_printf("https://127.0.0.1:%u", harness->port);
    GTlsCertificate *ca = NULL;
    struct err err = {0};
    assert_true(g_file_get_contents(ca_path, &harness->ca_pem, NULL, NULL));
    assert_int_equal(http_cert_load(harness->ca_pem, NULL, &ca, &err), 0);
    struct http_client_config config = {
        .base = base, .token = harness->token, .ca = ca, .expected_name = "godwitd"};
    assert_int_equal(http_client_new(&config, &harness->client, &err), 0);
    g_object_unref(ca);
}

void harness_start(struct harness *harness)
{
    g_autofree char *config = g_build_filename(harness->folder, "manager.conf", NULL);
    const char *const argv[] = {MANAGER_PROGRAM, "--config", config, NULL};
    g_autoptr(GError) error = NULL;
    int out;
    if (!g_spawn_async_with_pipes(NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, die_with_test, NULL,
                                  &harness->pid, NULL, &out, NULL, &error))
        fail_msg("cannot start the manager: %s", error->message);
    read_token(harness, out);
    guint timer = g_timeout_add(LOOK_AGAIN_MS, look_again, NULL);
    harness_wait(manager_answers, harness, "the manager to listen");
    g_source_remove(timer);
    if (!harness->client)
        make_client(harness);
}

void harness_kill(struct harness *harness)
{
    if (!harness->pid)
        return;
    (void)kill(harness->pid, SIGKILL);
    (void)waitpid(harness->pid, NULL, 0);
    harness->pid = 0;
}

/* Write-ahead log and all. */
static const char *const database_files[] = {"manager.db", "manager.db-wal", "manager.db-shm"};

static void copy_database(struct harness *harness, const char *from, const char *to)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(database_files); i++) {
        g_autofree char *source = g_build_filename(harness->folder, from, database_files[i], NULL);
        g_autofree char *target = g_build_filename(harness->folder, to, database_files[i], NULL);
        g_autofree char *content = NULL;
        gsize size;
        (void)g_unlink(target);
        if (g_file_get_contents(source, &content, &size, NULL))
            assert_true(g_file_set_contents(target, content, (gssize)size, NULL));
    }
}

void harness_keep_database(struct harness *harness)
{
    g_autofree char *kept = g_build_filename(harness->folder, "kept", NULL);
    assert_int_equal(g_mkdir_with_parents(kept, 0700), 0);
    copy_database(harness, "state", "kept");
}

void harness_restore_database(struct harness *harness)
{
    copy_database(harness, "kept", "state");
}

void harness_lose_database(struct harness *harness)
{
    copy_database(harness, "nowhere", "state");
    http_client_free(g_steal_pointer(&harness->client));
    g_clear_pointer(&harness->token, g_free);
    g_clear_pointer(&harness->ca_pem, g_free);
}

int harness_setup_bare(void **state)
{
    struct harness *harness = g_new0(struct harness, 1);
    *state = harness;
    harness->folder = g_dir_make_tmp("manager-test-XXXXXX", NULL);
    enter_own_network();
    harness->port = MANAGER_PORT;
    g_autofree char *path = g_build_filename(harness->folder, "manager.conf", NULL);
    g_autofree char *text =
        g_strdup_printf("[manager]\nstate=%s/state\nlisten=127.0.0.1\nport=%u\nsocket=%s/manager.sock\n",
                        harness->folder, harness->port, harness->folder);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    harness_start(harness);
    return 0;
}

/* ---- hosts ---- */

static void enroll(struct harness *harness, struct fake_agent *agent, const char *name, uint16_t port)
{
    struct err err = {0};
    agent->name = name;
    agent->port = port;
    agent->calls = g_ptr_array_new_with_free_func(g_free);
    agent->is_automatic = true;
    agent->lists_moves = true;
    g_autofree char *add =
        g_strdup_printf("{\"name\":\"%s\",\"address\":\"127.0.0.1\",\"port\":%u}", name, agent->port);
    struct answer added = harness_call(harness, "POST", "/v1/hosts", add);
    assert_false(err_is_set(&added.err));
    g_autofree char *csr = NULL;
    assert_int_equal(http_csr_new(name, &csr, &agent->key_pem, &err), 0);
    g_autofree char *csr_escaped = g_strescape(csr, NULL);
    g_autofree char *body =
        g_strdup_printf("{\"token\":\"%s\",\"csr\":\"%s\"}", text_of(added.object, "token"), csr_escaped);
    struct answer enrolled = harness_call(harness, "POST", "/v1/enroll", body);
    assert_false(err_is_set(&enrolled.err));
    agent->certificate_pem = g_strdup(text_of(enrolled.object, "certificate"));
    agent->ca_pem = g_strdup(text_of(enrolled.object, "ca"));
    answer_clear(&added);
    answer_clear(&enrolled);
    fake_agent_start(agent);
}

struct expectation {
    struct harness *harness;
    const char *path;
    const char *member;
    const char *value;
    JsonObject *object;
};

static bool is_as_expected(void *user)
{
    struct expectation *expectation = user;
    struct answer answer = harness_call(expectation->harness, "GET", expectation->path, NULL);
    bool is_so = answer.object && !strcmp(text_of(answer.object, expectation->member), expectation->value);
    if (is_so)
        expectation->object = json_object_ref(answer.object);
    answer_clear(&answer);
    return is_so;
}

void harness_wait_connected(struct harness *harness, const char *host)
{
    g_autofree char *path = g_strdup_printf("/v1/hosts/%s", host);
    struct expectation connected = {harness, path, "state", "connected", NULL};
    harness_wait(is_as_expected, &connected, "a host to be connected");
    json_object_unref(connected.object);
}

int harness_setup(void **state)
{
    (void)harness_setup_bare(state);
    struct harness *harness = *state;
    enroll(harness, &harness->source, "h1", SOURCE_PORT);
    enroll(harness, &harness->destination, "h2", DESTINATION_PORT);
    harness->source.peer = &harness->destination;
    harness->destination.peer = &harness->source;
    (void)fake_agent_add_vm(&harness->source, "web", VM_RUNNING);
    struct expectation listed = {harness, "/v1/vms/web", "state", "running", NULL};
    harness_wait_connected(harness, "h2");
    harness_wait(is_as_expected, &listed, "the VM to be listed");
    json_object_unref(listed.object);
    return 0;
}

void harness_configure(struct harness *harness, const char *groups)
{
    g_autofree char *path = g_build_filename(harness->folder, "manager.conf", NULL);
    g_autofree char *old = NULL;
    assert_true(g_file_get_contents(path, &old, NULL, NULL));
    g_autofree char *text = g_strconcat(old, groups, NULL);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    harness_kill(harness);
    harness_start(harness);
    harness_wait_connected(harness, "h1");
    harness_wait_connected(harness, "h2");
}

static void clear_agent(struct fake_agent *agent)
{
    if (!agent->name)
        return;
    if (agent->frozen)
        fake_agent_thaw(agent);
    fake_agent_stop(agent);
    g_ptr_array_unref(agent->calls);
    g_free(agent->certificate_pem);
    g_free(agent->key_pem);
    g_free(agent->ca_pem);
    g_clear_pointer(&agent->pools, json_object_unref);
    g_clear_pointer(&agent->released, json_object_unref);
}

static void remove_folder(const char *path)
{
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    const char *name;
    while (folder && (name = g_dir_read_name(folder))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (g_file_test(child, G_FILE_TEST_IS_DIR))
            remove_folder(child);
        else
            (void)g_unlink(child);
    }
    (void)g_rmdir(path);
}

int harness_teardown(void **state)
{
    struct harness *harness = *state;
    http_client_free(harness->client);
    harness_kill(harness);
    clear_agent(&harness->source);
    clear_agent(&harness->destination);
    remove_folder(harness->folder);
    g_free(harness->folder);
    g_free(harness->token);
    g_free(harness->ca_pem);
    g_free(harness);
    return 0;
}

/* ---- events ---- */

struct event_wish {
    struct harness *harness;
    const char *kind, *member, *value;
    JsonObject *document;
};

static bool has_event(void *user)
{
    struct event_wish *wish = user;
    struct answer answer = harness_call(wish->harness, "GET", "/v1/events", NULL);
    JsonArray *events = answer.object ? json_object_get_array_member(answer.object, "events") : NULL;
    for (guint i = 0; events && i < json_array_get_length(events) && !wish->document; i++) {
        JsonObject *event = json_array_get_object_element(events, i);
        JsonObject *document = json_object_get_object_member(event, "document");
        if (!strcmp(text_of(event, "kind"), wish->kind) &&
            !strcmp(text_of(document, wish->member), wish->value))
            wish->document = json_object_ref(document);
    }
    answer_clear(&answer);
    return wish->document != NULL;
}

JsonObject *harness_wait_event(struct harness *harness, const char *kind, const char *member,
                               const char *value)
{
    struct event_wish wish = {harness, kind, member, value, NULL};
    harness_wait(has_event, &wish, value);
    return wish.document;
}

/* ---- tasks ---- */

char *harness_migrate(struct harness *harness)
{
    struct answer answer =
        harness_call(harness, "POST", "/v1/migrations", "{\"vm\":\"web\",\"destination\":\"h2\"}");
    if (err_is_set(&answer.err))
        fail_msg("the migration was refused: %s", answer.err.message);
    char *task = g_strdup(text_of(answer.object, "task"));
    answer_clear(&answer);
    return task;
}

JsonObject *harness_wait_member(struct harness *harness, const char *task, const char *member,
                                const char *value)
{
    g_autofree char *path = g_strdup_printf("/v1/tasks/%s", task);
    struct expectation expectation = {harness, path, member, value, NULL};
    harness_wait(is_as_expected, &expectation, value);
    return expectation.object;
}

JsonObject *harness_wait_phase(struct harness *harness, const char *task, const char *phase)
{
    return harness_wait_member(harness, task, "phase", phase);
}

static bool is_final(void *user)
{
    struct expectation *expectation = user;
    struct answer answer = harness_call(expectation->harness, "GET", expectation->path, NULL);
    const char *state = answer.object ? text_of(answer.object, "state") : "";
    bool is_so = !strcmp(state, "success") || !strcmp(state, "error") || !strcmp(state, "cancelled");
    if (is_so)
        expectation->object = json_object_ref(answer.object);
    answer_clear(&answer);
    return is_so;
}

JsonObject *harness_wait_final(struct harness *harness, const char *task)
{
    g_autofree char *path = g_strdup_printf("/v1/tasks/%s", task);
    struct expectation expectation = {.harness = harness, .path = path};
    harness_wait(is_final, &expectation, "the end of the task");
    return expectation.object;
}
