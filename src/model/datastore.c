/* SPDX-License-Identifier: Apache-2.0 */
#include "model/datastore.h"

#include <stdio.h>
#include <string.h>

#include "model/datastore_fields.h"
#include "model/json.h"

const struct field datastore_fields[] = {
    TEXT(struct host_datastore, name, NULL),
    TEXT(struct host_datastore, path, NULL),
    TEXT(struct host_datastore, state, NULL),
    TEXT(struct host_datastore, reason, NULL),
    TEXT(struct host_datastore, uuid, NULL),
    TEXT(struct host_datastore, type, NULL),
    COUNT(struct host_datastore, capacity_bytes),
    COUNT(struct host_datastore, free_bytes),
    SIGNED(struct host_datastore, since_ms),
    COUNT(struct host_datastore, write_ms),
    BOOL(struct host_datastore, slow),
    FIELDS_END,
};

JsonObject *host_datastore_to_json(const struct host_datastore *datastore)
{
    return fields_write(datastore_fields, datastore);
}

int host_datastore_from_json(JsonObject *object, struct host_datastore *ret_datastore, struct err *err)
{
    *ret_datastore = (struct host_datastore){0};
    return fields_read(object, datastore_fields, ret_datastore, FIELDS_LENIENT, err);
}

const struct host_datastore *datastore_find(const struct host_datastore *list, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(list[i].name, name))
            return &list[i];
    return NULL;
}

/* A full one still has what is on it, and QEMU's user may write images in a folder that it may not. */
bool datastore_is_usable(const struct host_datastore *datastore)
{
    return !strcmp(datastore->state, DATASTORE_OK) || !strcmp(datastore->state, DATASTORE_FULL) ||
           !strcmp(datastore->state, DATASTORE_NOT_WRITABLE);
}

void datastores_text(const struct host_datastore *list, uint32_t n, char ret_names[ERR_TEXT_MAX])
{
    size_t used = (size_t)snprintf(ret_names, ERR_TEXT_MAX, "%s", n ? "" : "none");
    for (uint32_t i = 0; i < n && used < ERR_TEXT_MAX; i++)
        used += (size_t)snprintf(ret_names + used, ERR_TEXT_MAX - used, "%s%s", i ? ", " : "", list[i].name);
}

char *datastore_identity_text(const char *uuid, const char *name)
{
    g_autoptr(JsonObject) object = json_object_new();
    json_object_set_string_member(object, "uuid", uuid);
    json_object_set_string_member(object, "name", name);
    g_autofree char *text = model_print(object, true);
    return g_strconcat(text, "\n", NULL);
}

int datastore_identity_read(const char *text, char ret_uuid[MODEL_UUID_SIZE], struct err *err)
{
    g_autoptr(JsonObject) object = NULL;
    const char *uuid = "";
    if (model_parse(text, -1, &object, NULL) == 0)
        uuid = model_text(object, "uuid");
    if (!model_uuid_is_valid(uuid))
        return err_set(err, ERR_CORRUPT, "datastore-identity", "the file " DATASTORE_FILE " has no UUID");
    (void)g_strlcpy(ret_uuid, uuid, MODEL_UUID_SIZE);
    return 0;
}
