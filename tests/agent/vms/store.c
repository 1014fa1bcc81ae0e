/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/datastores.h"
#include "agent/disks.h"
#include "agent/vm_process.h"
#include "model/datastore.h"
#include "model/json.h"

#define STORE_UUID "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e"

char *store_path(const struct host *host, const char *file)
{
    return g_strdup_printf("%s/store/%s", host->folder, file);
}

void store_share(struct host *host, const struct host *owner)
{
    struct agent *agent = &host->agent;
    struct err err = {0};
    (void)g_strlcpy(agent->config.datastores[0].name, "store", MODEL_NAME_MAX);
    (void)snprintf(agent->config.datastores[0].path, MODEL_PATH_MAX, "%s/store", owner->folder);
    agent->config.n_datastores = 1;
    if (datastores_open(agent, &err) < 0)
        fail_msg("%s", err.message);
}

void store_open(struct host *host)
{
    g_autofree char *folder = store_path(host, "");
    g_autofree char *identity = store_path(host, DATASTORE_FILE);
    g_autofree char *text = datastore_identity_text(STORE_UUID, "store");
    assert_int_equal(chmod(host->folder, 0711), 0);
    assert_int_equal(g_mkdir_with_parents(folder, 0755), 0);
    assert_int_equal(chown(folder, HOST_UID, HOST_UID), 0);
    assert_true(g_file_set_contents(identity, text, -1, NULL));
    store_share(host, host);
}

void store_close(struct host *host)
{
    datastores_close(&host->agent);
}

bool store_has(const struct host *host, const char *file)
{
    g_autofree char *path = store_path(host, file);
    return access(path, F_OK) == 0;
}

unsigned store_files(const struct host *host)
{
    g_autofree char *folder = store_path(host, "");
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    unsigned n = 0;
    for (const char *name; dir && (name = g_dir_read_name(dir));)
        n += strcmp(name, DATASTORE_FILE) != 0 && !g_str_has_prefix(name, ".godwit-probe");
    return n;
}

struct vm_spec hot_spec(const char *name)
{
    struct vm_spec spec = checker_spec(name);
    spec.hardware = VM_HARDWARE_NOW;
    return spec;
}

struct vm_disk store_disk(const char *file, const char *format, const char *bus)
{
    struct vm_disk disk = {.datastore = "store"};
    g_strlcpy(disk.file, file, sizeof disk.file);
    g_strlcpy(disk.format, format, sizeof disk.format);
    g_strlcpy(disk.bus, bus, sizeof disk.bus);
    return disk;
}

struct vm_disk_wish new_disk(const char *file)
{
    return (struct vm_disk_wish){
        .disk = store_disk(file, "qcow2", ""), .is_new = true, .size_bytes = 16 << 20};
}

/* ---- what QEMU has ---- */

struct question {
    bool is_answered;
    JsonNode *result;
};

static void on_answer(JsonNode *result, const struct err *err, void *user)
{
    struct question *question = user;
    if (err_is_set(err))
        fail_msg("%s", err->message);
    question->result = json_node_copy(result);
    question->is_answered = true;
}

static JsonArray *ask(struct vm *vm, const char *command, JsonObject *arguments, struct question *question)
{
    vm_qmp(vm, command, arguments, -1, on_answer, question);
    wait_until(&question->is_answered, 60, command);
    return json_node_get_array(question->result);
}

/* NULL: it is not there. */
static JsonObject *device_of(JsonArray *devices, const char *id)
{
    g_autofree char *child = g_strdup_printf("/%s/", id);
    for (guint i = 0; i < json_array_get_length(devices); i++) {
        JsonObject *device = json_array_get_object_element(devices, i);
        const char *qdev = model_text(device, "qdev");
        if (!strcmp(qdev, id) || strstr(qdev, child))
            return device;
    }
    return NULL;
}

static const char *file_of(JsonArray *nodes, const char *name)
{
    for (guint i = 0; i < json_array_get_length(nodes); i++) {
        JsonObject *node = json_array_get_object_element(nodes, i);
        if (!strcmp(model_text(node, "node-name"), name))
            return model_text(node, "file");
    }
    return NULL;
}

char *disks_of_qemu(struct vm *vm)
{
    struct question blocks = {0}, nodes = {0};
    JsonObject *flat = json_object_new();
    GString *text = g_string_new(NULL);
    json_object_set_boolean_member(flat, "flat", TRUE);
    JsonArray *devices = ask(vm, "query-block", NULL, &blocks);
    JsonArray *files = ask(vm, "query-named-block-nodes", flat, &nodes);
    for (unsigned n = 0; n < VM_DISKS_MAX; n++) {
        g_autofree char *id = g_strdup_printf("vdisk%u", n);
        g_autofree char *node = g_strdup_printf("disk%u", n);
        g_autofree char *file_node = g_strdup_printf("disk%u-file", n);
        const char *file = file_of(files, file_node);
        JsonObject *device = device_of(devices, id);
        bool is_used = device && json_object_has_member(device, "inserted");
        bool has_node = file || file_of(files, node);
        if (device || has_node)
            g_string_append_printf(text, "%s%s=%s%s ", device ? "" : "no ", id,
                                   is_used == has_node ? "" : "unused ", file ? file : "");
    }
    json_node_unref(blocks.result);
    json_node_unref(nodes.result);
    return g_string_free(text, FALSE);
}

char *disks_of_config(const struct vm *vm)
{
    g_autofree char *config = vm_config_path(vm->agent, vm->status.spec.uuid);
    struct vm_spec spec;
    GString *text = g_string_new(NULL);
    assert_int_equal(vm_config_read(config, &spec, NULL), 0);
    for (uint32_t slot = 1; slot <= VM_DISKS_MAX; slot++)
        for (uint32_t i = 0; i < spec.n_disks; i++) {
            char path[MODEL_PATH_MAX];
            if (vm_disk_slot(&spec, i) != slot)
                continue;
            assert_int_equal(disks_path(vm->agent, &spec, &spec.disks[i], path, NULL), 0);
            g_string_append_printf(text, "vdisk%u=%s ", slot - 1, path);
        }
    return g_string_free(text, FALSE);
}
