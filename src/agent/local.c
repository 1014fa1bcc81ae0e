/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/local.h"

#include "agent/autostart.h"
#include "agent/facts.h"
#include "agent/local_call.h"
#include "agent/loop_watch.h"
#include "agent/vm.h"
#include "base/clock.h"
#include "http/http.h"
#include "model/json.h"

static void get_status(struct http_request *request, void *user)
{
    const struct local *local = user;
    struct host_facts facts;
    char until[CLOCK_TEXT_SIZE];
    unsigned n_running = 0;
    GHashTableIter iter;
    gpointer value;
    facts_now(local->agent, &facts);
    g_hash_table_iter_init(&iter, local->agent->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        n_running += ((struct vm *)value)->status.state == VM_RUNNING;
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "name", facts.name);
    json_object_set_string_member(object, "version", facts.agent_version);
    json_object_set_int_member(object, "protocol", facts.protocol);
    json_object_set_string_member(object, "manager", local->identity->manager_url);
    json_object_set_string_member(object, "certificate_until",
                                  clock_format(local->identity->until_s * 1000, until));
    json_object_set_int_member(object, "vms", facts.n_vms);
    json_object_set_int_member(object, "running", n_running);
    json_object_set_int_member(object, "moves", g_hash_table_size(local->agent->moves));
    json_object_set_int_member(object, "foreign_vms", facts.n_foreign_vms);
    json_object_set_int_member(object, "loop_late_ms", loop_watch_late_ms(local->loop_watch));
    json_object_set_string_member(object, "autostart",
                                  facts.autostart_pending ? "waits for the manager's word" : "done");
    http_reply(request, 200, object);
}

static void post_identity(struct http_request *request, void *user)
{
    const struct local *local = user;
    struct err err = {0};
    if (local->reload(local->user, &err) < 0)
        http_fail(request, &err);
    else
        http_reply(request, 200, NULL);
}

static void on_renewed(const struct err *err, void *user)
{
    if (err_is_set(err))
        http_fail(user, err);
    else
        http_reply(user, 200, NULL);
}

static void post_renew(struct http_request *request, void *user)
{
    const struct local *local = user;
    renewal_ask(local->renewal, on_renewed, request);
}

static unsigned count_on(struct agent *agent)
{
    unsigned n_on = 0;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, agent->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        n_on += ((struct vm *)value)->process != NULL;
    return n_on;
}

static void on_power(struct agent *agent, void *request)
{
    JsonObject *object = json_object_new();
    json_object_set_int_member(object, "on", count_on(agent));
    json_object_set_boolean_member(object, "waits", autostart_is_pending(agent));
    http_reply(request, 200, object);
}

static void post_shutdown(struct http_request *request, void *user)
{
    const struct local *local = user;
    struct err err = {0};
    JsonObject *body;
    if (http_body(request, &body, &err) < 0) {
        http_fail(request, &err);
        return;
    }
    gint64 timeout_s = model_int(body, "timeout_s", 0);
    if (timeout_s < 1 || timeout_s > LOCAL_SHUTDOWN_MAX_S) {
        (void)err_set(&err, ERR_BAD_REQUEST, "bad-timeout", "timeout_s must be a whole number from 1 to %d",
                      LOCAL_SHUTDOWN_MAX_S);
        (void)err_arg(&err, "max", "%d", LOCAL_SHUTDOWN_MAX_S);
        http_fail(request, &err);
        return;
    }
    vms_shutdown(local->agent, (unsigned)timeout_s, on_power, request);
}

static void post_power_on(struct http_request *request, void *user)
{
    const struct local *local = user;
    struct err err = {0};
    JsonObject *body;
    if (http_body(request, &body, &err) < 0) {
        http_fail(request, &err);
        return;
    }
    bool now = model_flag(body, "now");
    vms_power_on(local->agent, now, on_power, request);
}

static const struct http_route routes[] = {
    {"POST", "/shutdown", HTTP_ROOT, post_shutdown}, {"POST", "/power-on", HTTP_ROOT, post_power_on},
    {"POST", "/status", HTTP_ROOT, get_status},      {"POST", "/identity", HTTP_ROOT, post_identity},
    {"POST", "/renew", HTTP_ROOT, post_renew},       {0},
};

int local_listen(struct local *local, struct http_server **ret_server, struct err *err)
{
    g_autofree char *path = g_build_filename(local->agent->config.run_dir, LOCAL_SOCKET, NULL);
    const struct http_server_config config = {.routes = routes, .user = local};
    if (http_server_new(&config, ret_server, err) < 0)
        return -1;
    return http_server_listen_unix(*ret_server, path, err);
}
