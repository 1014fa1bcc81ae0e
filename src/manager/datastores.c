/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/datastores.h"

#include <string.h>

#include "manager/events.h"

/* ---- documents ---- */

static const struct host_datastore *find_on(const struct host *host, const char *name)
{
    if (!host->has_facts)
        return NULL;
    return datastore_find(host->facts.datastores, host->facts.n_datastores, name);
}

struct document {
    const char *name;
    const char *uuid; /* the first one found */
    JsonArray *hosts;
    JsonArray *identities;
    const struct host_datastore *best; /* what tells type and room */
};

static void note_identity(struct document *document, const char *uuid)
{
    for (guint i = 0; i < json_array_get_length(document->identities); i++)
        if (!strcmp(json_array_get_string_element(document->identities, i), uuid))
            return;
    json_array_add_string_element(document->identities, uuid);
}

static void add_host(struct host *host, void *user)
{
    struct document *document = user;
    const struct host_datastore *found = find_on(host, document->name);
    if (!found)
        return;
    JsonObject *object = host_datastore_to_json(found);
    json_object_set_string_member(object, "host", host->name);
    json_object_set_boolean_member(object, "connected", host->state == HOST_CONNECTED);
    json_array_add_object_element(document->hosts, object);
    if (found->uuid[0])
        note_identity(document, found->uuid);
    bool is_better = host->state == HOST_CONNECTED && datastore_is_usable(found);
    if (!document->best || (is_better && !datastore_is_usable(document->best)))
        document->best = found;
}

/* NULL: no host has it. */
static JsonObject *document_of(struct inventory *inventory, const char *name)
{
    struct document document = {.name = name, .hosts = json_array_new(), .identities = json_array_new()};
    inventory_each_host(inventory, add_host, &document);
    if (!document.best) {
        json_array_unref(document.hosts);
        json_array_unref(document.identities);
        return NULL;
    }
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "name", name);
    json_object_set_array_member(object, "identities", document.identities);
    json_object_set_string_member(object, "type", document.best->type);
    json_object_set_int_member(object, "capacity_bytes", (gint64)document.best->capacity_bytes);
    json_object_set_int_member(object, "free_bytes", (gint64)document.best->free_bytes);
    json_object_set_array_member(object, "hosts", document.hosts);
    return object;
}

static void add_names(struct host *host, void *user)
{
    for (uint32_t i = 0; host->has_facts && i < host->facts.n_datastores; i++)
        (void)g_hash_table_add(user, host->facts.datastores[i].name);
}

static GList *sorted_names(GHashTable *names)
{
    return g_list_sort(g_hash_table_get_keys(names), (GCompareFunc)strcmp);
}

JsonArray *datastores_list(struct inventory *inventory)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    JsonArray *list = json_array_new();
    inventory_each_host(inventory, add_names, names);
    g_autoptr(GList) sorted = sorted_names(names);
    for (GList *at = sorted; at; at = at->next)
        json_array_add_object_element(list, document_of(inventory, at->data));
    return list;
}

static char *names_text(struct inventory *inventory)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    GString *text = g_string_new(NULL);
    inventory_each_host(inventory, add_names, names);
    g_autoptr(GList) sorted = sorted_names(names);
    for (GList *at = sorted; at; at = at->next)
        g_string_append_printf(text, "%s%s", text->len ? ", " : "", (const char *)at->data);
    return g_string_free(text, FALSE);
}

int datastores_show(struct inventory *inventory, const char *name, JsonObject **ret_document, struct err *err)
{
    *ret_document = document_of(inventory, name);
    if (*ret_document)
        return 0;
    g_autofree char *names = names_text(inventory);
    (void)err_set(err, ERR_NOT_FOUND, "datastore-not-found", "no host has a datastore '%s'", name);
    (void)err_arg(err, "datastore", "%s", name);
    (void)err_cause(err, "datastores: %.280s", names[0] ? names : "none");
    return err_fix(err,
                   "list them with 'godwit datastore ls'; an agent's configuration names those of its host");
}

/* ---- an identity by the operator's word ---- */

struct search {
    const struct host *besides;
    const char *name;
    const struct host *found;
};

static void look_for_identity(struct host *host, void *user)
{
    struct search *search = user;
    const struct host_datastore *datastore = find_on(host, search->name);
    if (host != search->besides && datastore && datastore->uuid[0] && !search->found)
        search->found = host;
}

static const struct host *find_identity(const struct host *besides, const char *name)
{
    struct search search = {.besides = besides, .name = name};
    inventory_each_host(besides->manager->inventory, look_for_identity, &search);
    return search.found;
}

int datastores_check_init(const struct host *host, const char *name, struct err *err)
{
    const struct host *other = find_identity(host, name);
    const struct host_datastore *here = find_on(host, name);
    if (!other || !here || here->uuid[0])
        return 0;
    const char *uuid = find_on(other, name)->uuid;
    (void)err_set(err, ERR_REFUSED, "datastore-known",
                  "host '%s' has a datastore '%s' with the identity %s, and the folder on host '%s' has none",
                  other->name, name, uuid, host->name);
    (void)err_cause(err, "if it is the same storage, it is not mounted at %s", here->path);
    (void)err_arg(err, "host", "%s", host->name);
    (void)err_arg(err, "other", "%s", other->name);
    (void)err_arg(err, "datastore", "%s", name);
    (void)err_arg(err, "uuid", "%s", uuid);
    (void)err_arg(err, "path", "%s", here->path);
    return err_fix(
        err,
        "mount it there; if it shall be another datastore, give it another name, or: godwit datastore "
        "init %s --host %s --force",
        name, host->name);
}

/* ---- what is told ---- */

static void emit(const struct host *host, enum event_type type, const struct host_datastore *datastore,
                 const char *detail, const char *user)
{
    g_autoptr(JsonObject) document = document_of(host->manager->inventory, datastore->name);
    if (!document) {
        document = json_object_new();
        json_object_set_string_member(document, "name", datastore->name);
        json_object_set_string_member(document, "state", "removed");
    }
    const struct event event = {
        .user = user, .host = host->name, .name = datastore->name, .detail = detail, .document = document};
    events_emit(host->manager->events, type, &event);
}

static bool is_known(const struct host_datastore *datastore)
{
    return strcmp(datastore->state, DATASTORE_UNKNOWN) != 0;
}

void datastores_complete(const struct host *host, struct host_facts *facts)
{
    for (uint32_t i = 0; i < facts->n_datastores; i++) {
        struct host_datastore *now = &facts->datastores[i];
        const struct host_datastore *before = find_on(host, now->name);
        if (!is_known(now) && before && !strcmp(before->path, now->path))
            *now = *before;
    }
}

/* A name means one thing to all hosts. */
static void tell_identity(const struct host *host, const struct host_datastore *before,
                          const struct host_datastore *now)
{
    bool is_new = now->uuid[0] && (!before || strcmp(before->uuid, now->uuid) != 0);
    if (!is_new)
        return;
    const struct host *other = find_identity(host, now->name);
    const struct host_datastore *theirs = other ? find_on(other, now->name) : NULL;
    emit(host, EVENT_DATASTORE_DISCOVERED, now, now->uuid, NULL);
    if (!theirs || !strcmp(theirs->uuid, now->uuid))
        return;
    g_autofree char *detail =
        g_strdup_printf("%s, and %s on host '%s'", now->uuid, theirs->uuid, other->name);
    emit(host, EVENT_DATASTORE_DUPLICATED, now, detail, NULL);
}

static void tell_state(const struct host *host, const struct host_datastore *before,
                       const struct host_datastore *now)
{
    bool was_ok = !before || !strcmp(before->state, DATASTORE_OK) || !is_known(before);
    bool is_ok = !strcmp(now->state, DATASTORE_OK);
    g_autofree char *detail = g_strdup_printf("%s: %s", now->state, now->reason);
    if (!is_known(now) || (before && !strcmp(before->state, now->state)) || (is_ok && was_ok))
        return;
    if (is_ok)
        emit(host, EVENT_DATASTORE_ACCESSIBLE, now, NULL, NULL);
    else
        emit(host, datastore_is_usable(now) ? EVENT_DATASTORE_LIMITED : EVENT_DATASTORE_INACCESSIBLE, now,
             detail, NULL);
}

void datastores_tell(const struct host *host, const struct host_facts *before)
{
    const struct host_facts *facts = &host->facts;
    for (uint32_t i = 0; i < facts->n_datastores; i++) {
        const struct host_datastore *now = &facts->datastores[i];
        const struct host_datastore *was =
            before ? datastore_find(before->datastores, before->n_datastores, now->name) : NULL;
        tell_identity(host, was, now);
        tell_state(host, was, now);
    }
    for (uint32_t i = 0; before && i < before->n_datastores; i++)
        if (!find_on(host, before->datastores[i].name))
            emit(host, EVENT_DATASTORE_REMOVED, &before->datastores[i], NULL, NULL);
}

void datastores_note_init(struct host *host, const struct host_datastore *datastore, const char *user)
{
    for (uint32_t i = 0; i < host->facts.n_datastores; i++)
        if (!strcmp(host->facts.datastores[i].name, datastore->name))
            host->facts.datastores[i] = *datastore;
    emit(host, EVENT_DATASTORE_INITIALISED, datastore, datastore->uuid, user);
}
