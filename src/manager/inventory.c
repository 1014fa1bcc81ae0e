/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/inventory.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "manager/agent_client.h"
#include "manager/ca.h"
#include "manager/cluster.h"
#include "manager/inventory_private.h"
#include "manager/maintenance.h"
#include "manager/vm_events.h"
#include "model/move.h"

#define POLL_INTERVAL_S 2

static const char *const state_names[] = {
    [HOST_ENROLLING] = "enrolling",
    [HOST_CONNECTED] = "connected",
    [HOST_DISCONNECTED] = "disconnected",
};

static struct host *host_new(struct manager *manager, const char *name, const char *address, uint16_t port)
{
    struct host *host = g_new0(struct host, 1);
    host->manager = manager;
    (void)g_strlcpy(host->name, name, sizeof host->name);
    (void)g_strlcpy(host->address, address, sizeof host->address);
    host->port = port;
    host->vms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    host->claims = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_insert(manager->inventory->hosts, g_strdup(name), host);
    return host;
}

int host_start(struct host *host, struct err *err)
{
    host->state = HOST_DISCONNECTED;
    return agent_client_new(host, &host->client, err) || agent_client_new(host, &host->users_client, err) ? -1
                                                                                                          : 0;
}

/* The client goes first: it ends the running calls, whose callbacks look hosts up by name. */
void host_free(void *data)
{
    struct host *host = data;
    http_client_free(host->client);
    http_client_free(host->users_client);
    g_hash_table_unref(host->vms);
    g_hash_table_unref(host->claims);
    g_free(host);
}

struct loading {
    struct manager *manager;
    struct err err;
};

static void load_host(const struct db_host *row, void *user)
{
    struct loading *loading = user;
    struct host *host = host_new(loading->manager, row->name, row->address, row->port);
    host->last_seen_ms = row->last_seen_ms;
    host->in_maintenance = row->in_maintenance;
    (void)g_strlcpy(host->certificate, row->certificate ? row->certificate : "", sizeof host->certificate);
    (void)g_strlcpy(host->previous_certificate, row->previous_certificate ? row->previous_certificate : "",
                    sizeof host->previous_certificate);
    g_autoptr(JsonObject) facts = NULL;
    struct err err = {0};
    if (row->facts && !model_parse(row->facts, -1, &facts, &err))
        host->has_facts = !host_facts_from_json(facts, &host->facts, &err);
    if (err_is_set(&err))
        log_error(&err, "stored facts of host %s are left out", row->name);
    if (row->enrolled && !err_is_set(&loading->err))
        (void)host_start(host, &loading->err);
}

static void load_vm(const struct db_vm *row, void *user)
{
    struct manager *manager = user;
    struct host *host = inventory_find_host(manager->inventory, row->host);
    g_autoptr(JsonObject) object = NULL;
    struct vm_status vm;
    struct err err = {0};
    if (model_parse(row->status, -1, &object, &err) || vm_status_from_json(object, &vm, &err))
        log_error(&err, "the stored status of VM %s is left out", row->uuid);
    else if (host)
        g_hash_table_insert(host->vms, g_strdup(vm.spec.uuid), g_memdup2(&vm, sizeof vm));
}

static void poll_one(struct host *host, void *user)
{
    (void)user;
    host_poll(host);
}

static void look_quietly(struct host *host, void *user)
{
    (void)user;
    maintenance_look(host, true);
}

static gboolean poll_all(void *user)
{
    inventory_each_host(user, poll_one, NULL);
    return G_SOURCE_CONTINUE;
}

int inventory_open(struct manager *manager, struct err *err)
{
    struct inventory *inventory = g_new0(struct inventory, 1);
    manager->inventory = inventory;
    inventory->hosts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, host_free);
    inventory->askers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    struct loading loading = {.manager = manager};
    if (db_host_list(manager->db, load_host, &loading, err) || db_vm_list(manager->db, load_vm, manager, err))
        return -1;
    if (err_is_set(&loading.err)) {
        *err = loading.err;
        return -1;
    }
    inventory_each_host(inventory, look_quietly, NULL);
    inventory->timer = g_timeout_add_seconds(POLL_INTERVAL_S, poll_all, inventory);
    (void)poll_all(inventory);
    return 0;
}

/* Ends its calls while every host can still be looked up. */
static void close_client(struct host *host, void *user)
{
    (void)user;
    http_client_free(g_steal_pointer(&host->client));
    http_client_free(g_steal_pointer(&host->users_client));
}

void inventory_free(struct inventory *inventory)
{
    if (!inventory)
        return;
    if (inventory->timer)
        g_source_remove(inventory->timer);
    inventory_each_host(inventory, close_client, NULL);
    g_hash_table_unref(inventory->hosts);
    g_hash_table_unref(inventory->askers);
    g_free(inventory);
}

struct host *inventory_find_host(struct inventory *inventory, const char *name)
{
    return g_hash_table_lookup(inventory->hosts, name);
}

struct host *inventory_find_connected(struct inventory *inventory, const char *name)
{
    struct host *host = inventory_find_host(inventory, name);
    return host && host->state == HOST_CONNECTED && host->has_facts ? host : NULL;
}

static int compare_hosts(const void *left, const void *right)
{
    const struct host *const *a = left;
    const struct host *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

static GPtrArray *sorted_hosts(struct inventory *inventory)
{
    GPtrArray *hosts = g_ptr_array_new();
    GHashTableIter iter;
    void *host;
    g_hash_table_iter_init(&iter, inventory->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &host))
        g_ptr_array_add(hosts, host);
    g_ptr_array_sort(hosts, compare_hosts);
    return hosts;
}

int inventory_get_host(struct inventory *inventory, const char *name, struct host **ret_host, struct err *err)
{
    *ret_host = inventory_find_host(inventory, name);
    if (*ret_host)
        return 0;
    g_autoptr(GPtrArray) hosts = sorted_hosts(inventory);
    g_autoptr(GString) names = g_string_new(NULL);
    for (guint i = 0; i < hosts->len; i++)
        g_string_append_printf(names, "%s%s", i ? ", " : "", ((struct host *)hosts->pdata[i])->name);
    err_set(err, ERR_NOT_FOUND, "host-not-found", "there is no host '%s'", name);
    (void)err_arg(err, "host", "%s", name);
    err_cause(err, "hosts: %s", names->len ? names->str : "none");
    return err_fix(err, "list them with 'godwit host ls'");
}

void inventory_each_host(struct inventory *inventory, void (*call)(struct host *host, void *user), void *user)
{
    g_autoptr(GPtrArray) hosts = sorted_hosts(inventory);
    for (guint i = 0; i < hosts->len; i++)
        call(hosts->pdata[i], user);
}

static void set_certificate(struct host *host, void *certificate)
{
    if (!host->client)
        return;
    http_client_set_certificate(host->client, certificate);
    http_client_set_certificate(host->users_client, certificate);
}

int inventory_add_host(struct manager *manager, const struct host_entry *entry, struct err *err)
{
    if (db_host_add(manager->db, entry->name, entry->address, entry->port, err))
        return -1;
    host_tell(host_new(manager, entry->name, entry->address, entry->port), EVENT_HOST_ADDED, entry->user,
              NULL);
    return 0;
}

/* Only this certificate counts from now on, and the host is asked with it. */
static void begin_with(struct host *host, const char *certificate, enum event_type type, const char *user)
{
    struct err err = {0};
    (void)g_strlcpy(host->certificate, certificate, sizeof host->certificate);
    host->previous_certificate[0] = '\0';
    if (host->client) /* What is open was opened to the old one. */
        set_certificate(host, host->manager->authority->own);
    else if (host_start(host, &err))
        log_error(&err, "host %s cannot be asked", host->name);
    host_tell(host, type, user, NULL);
    host_poll(host);
}

int inventory_adopt_host(const struct host *probe, const char *user, struct err *err)
{
    struct manager *manager = probe->manager;
    const struct db_host row = {
        .name = probe->name, .address = probe->address, .port = probe->port, .certificate = probe->shown};
    if (db_host_adopt(manager->db, &row, err))
        return -1;
    begin_with(host_new(manager, probe->name, probe->address, probe->port), probe->shown, EVENT_HOST_ADOPTED,
               user);
    return 0;
}

void inventory_host_enrolled(struct host *host, const char *certificate)
{
    begin_with(host, certificate, EVENT_HOST_ENROLLED, NULL);
}

bool inventory_host_shows(struct host *host, const char *fingerprint)
{
    struct err err = {0};
    (void)g_strlcpy(host->shown, fingerprint, sizeof host->shown);
    if (!host->certificate[0] || !strcmp(host->previous_certificate, fingerprint))
        return true;
    if (strcmp(host->certificate, fingerprint) != 0)
        return false;
    if (!host->previous_certificate[0])
        return true;
    if (db_host_set_certificates(host->manager->db, host->name, host->certificate, NULL, &err))
        log_error(&err, "host %s: the certificate before the newest stays good", host->name);
    else
        host->previous_certificate[0] = '\0';
    return true;
}

int inventory_host_renewed(struct host *host, const char *certificate, const char *shown, struct err *err)
{
    if (db_host_set_certificates(host->manager->db, host->name, certificate, shown, err))
        return -1;
    (void)g_strlcpy(host->certificate, certificate, sizeof host->certificate);
    (void)g_strlcpy(host->previous_certificate, shown, sizeof host->previous_certificate);
    host_tell(host, EVENT_HOST_CERTIFICATE, NULL, NULL);
    return 0;
}

void inventory_certificate_changed(struct manager *manager)
{
    inventory_each_host(manager->inventory, set_certificate, manager->authority->own);
}

int inventory_remove_host(struct host *host, const char *user, struct err *err)
{
    struct manager *manager = host->manager;
    if (db_host_remove(manager->db, host->name, err))
        return -1;
    g_autoptr(JsonObject) document = json_object_new();
    g_autofree char *name = g_strdup(host->name);
    json_object_set_string_member(document, "name", name);
    json_object_set_string_member(document, "state", "removed");
    (void)g_hash_table_remove(manager->inventory->hosts, name);
    events_emit(manager->events, EVENT_HOST_REMOVED,
                &(struct event){.user = user, .host = name, .document = document});
    return 0;
}

static void set_baseline_problem(const struct host *host, JsonObject *object)
{
    const char *baseline = cluster_cpu_baseline(host->manager);
    char problem[ERR_TEXT_MAX];
    cluster_problem(baseline, &host->facts, problem);
    if (!problem[0])
        return;
    g_autofree char *text = g_strdup_printf("the CPU baseline %s of the cluster: %s", baseline, problem);
    json_object_set_string_member(object, "problem", text);
}

JsonObject *inventory_host_json(const struct host *host)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "name", host->name);
    json_object_set_string_member(object, "address", host->address);
    json_object_set_int_member(object, "port", host->port);
    json_object_set_string_member(object, "state", state_names[host->state]);
    json_object_set_string_member(object, "maintenance", maintenance_name(host));
    if (host->state == HOST_DISCONNECTED && host->problem[0])
        json_object_set_string_member(object, "problem", host->problem);
    if (host->state == HOST_CONNECTED && host->has_facts)
        set_baseline_problem(host, object);
    if (host->has_facts)
        json_object_set_object_member(object, "facts", host_facts_to_json(&host->facts));
    else
        json_object_set_null_member(object, "facts");
    if (host->clock.is_known)
        json_object_set_int_member(object, "clock_offset_ms", clock_offset_ms(&host->clock));
    else
        json_object_set_null_member(object, "clock_offset_ms");
    char time_text[CLOCK_TEXT_SIZE];
    if (host->last_seen_ms)
        json_object_set_string_member(object, "last_seen", clock_format(host->last_seen_ms, time_text));
    else
        json_object_set_null_member(object, "last_seen");
    return object;
}
