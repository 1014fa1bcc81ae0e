/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of a VM, changed while it lives: its host does the work; the manager knows who else has a disk. */
#include <string.h>

#include "manager/admit.h"
#include "manager/agent_client.h"
#include "manager/forward.h"
#include "manager/inventory.h"
#include "manager/routes.h"
#include "manager/settlements.h"
#include "model/vm_disks.h"

#define CALL_TIMEOUT_S 120 /* a guest may let a disk go late */
/* An image may be copied, for which the agent has a limit of its own (agent/disk_image.c). */
#define MAKE_TIMEOUT_S (7 * 60 * 60)

struct target {
    struct vm_status vm;
    struct host *host;
};

/* The VM of the path, which no migration and no quarrel of owners holds, and its host. */
static int find(struct manager *manager, struct http_request *request, struct target *ret, struct err *err)
{
    if (inventory_get_vm(manager->inventory, http_param(request, "vm"), &ret->vm, err) ||
        inventory_get_host(manager->inventory, ret->vm.host, &ret->host, err) ||
        admit_check(manager, &ret->vm, err))
        return -1;
    return settlements_check(manager, &ret->vm, err);
}

/* ---- who else has it ---- */

/* -1: a VM has that image as one of its disks, besides `except` (a UUID, or ""). Two may read one CD. */
static int check_unshared(struct manager *manager, const char *except, const struct vm_disk *disk,
                          struct err *err)
{
    g_autoptr(GArray) vms = inventory_vms(manager->inventory);
    char label[DISK_LABEL_MAX];
    vm_disk_label(disk, label);
    for (guint i = 0; i < vms->len; i++) {
        const struct vm_spec *other = &g_array_index(vms, struct vm_status, i).spec;
        for (uint32_t j = 0; j < other->n_disks && strcmp(other->uuid, except) != 0; j++) {
            if (!vm_disk_is_same(&other->disks[j], disk) ||
                (vm_disk_is_cdrom(&other->disks[j]) && vm_disk_is_cdrom(disk)))
                continue;
            (void)err_set(err, ERR_REFUSED, "disk-in-use", "VM '%s' has %s", other->name, label);
            (void)err_arg(err, "vm", "%s", other->name);
            (void)err_arg(err, "path", "%s", label);
            return err_fix(err,
                           "detach it there first (godwit vm disk detach %s %s), or make a copy of it "
                           "with --from",
                           other->name, label);
        }
    }
    return 0;
}

/* ---- calls ---- */

static void call(struct http_request *request, struct manager *manager, const struct target *target,
                 const struct http_call *call, const char *told)
{
    struct forward *forward = forward_new(manager, request, target->host->name, target->vm.spec.uuid);
    forward->done = EVENT_VM_RECONFIGURED;
    forward->detail = g_strdup(told);
    agent_call_for_user(target->host, call, forward_status, forward);
}

static void listed(JsonObject *object, const struct err *err, void *user)
{
    if (err_is_set(err))
        http_fail(user, err);
    else
        http_reply(user, 200, object ? json_object_ref(object) : NULL);
}

void route_disks_list(struct http_request *request, void *user)
{
    struct manager *manager = user;
    struct vm_status vm;
    struct host *host;
    struct err err = {0};
    if (inventory_get_vm(manager->inventory, http_param(request, "vm"), &vm, &err) ||
        inventory_get_host(manager->inventory, vm.host, &host, &err)) {
        http_fail(request, &err);
        return;
    }
    g_autofree char *path = g_strdup_printf("/v1/vms/%s/disks", vm.spec.uuid);
    agent_call_for_user(host, &(struct http_call){"GET", path, NULL, CALL_TIMEOUT_S}, listed, request);
}

static int check_wish(struct manager *manager, const struct vm_disk_wish *wish, struct err *err)
{
    bool has_name = *wish->disk.file || *wish->disk.path;
    if (has_name && check_unshared(manager, "", &wish->disk, err))
        return -1;
    /* Whoever writes what a clone is built on destroys the clone. */
    return *wish->backing.format ? check_unshared(manager, "", &wish->backing, err) : 0;
}

void route_disk_add(struct http_request *request, void *user)
{
    struct target target;
    struct vm_disk_wish wish;
    JsonObject *body;
    struct err err = {0};
    if (http_body(request, &body, &err) || vm_disk_wish_from_json(body, &wish, &err) ||
        find(user, request, &target, &err) || check_wish(user, &wish, &err)) {
        http_fail(request, &err);
        return;
    }
    char label[DISK_LABEL_MAX];
    vm_disk_label(&wish.disk, label);
    g_autofree char *path = g_strdup_printf("/v1/vms/%s/disks", target.vm.spec.uuid);
    g_autofree char *told =
        g_strdup_printf("disk %s was %s", label, wish.is_new ? "made and attached" : "attached");
    call(request, user, &target,
         &(struct http_call){"POST", path, vm_disk_wish_to_json(&wish),
                             wish.is_new ? MAKE_TIMEOUT_S : CALL_TIMEOUT_S},
         told);
}

/* "/v1/vms/UUID/disks/DISK/VERB"; g_free. */
static char *path_of(struct http_request *request, const struct target *target, const char *verb)
{
    g_autofree char *disk = g_uri_escape_string(http_param(request, "disk"), NULL, FALSE);
    return g_strdup_printf("/v1/vms/%s/disks/%s/%s", target->vm.spec.uuid, disk, verb);
}

/* A truth that may be left out. */
static int read_flag(JsonObject *body, const char *member, bool *ret_flag, struct err *err)
{
    JsonNode *node = json_object_get_member(body, member);
    if (node && json_node_get_value_type(node) != G_TYPE_BOOLEAN)
        return routes_refuse_member(member, "true or false", err);
    *ret_flag = node && json_node_get_boolean(node);
    return 0;
}

/* What is deleted must be nobody else's, not even as a CD. */
static int check_deletable(struct manager *manager, struct http_request *request, const struct target *target,
                           struct err *err)
{
    uint32_t i;
    if (vm_disks_find(&target->vm.spec, http_param(request, "disk"), &i, err))
        return -1;
    struct vm_disk disk = target->vm.spec.disks[i];
    g_strlcpy(disk.media, "", sizeof disk.media);
    return check_unshared(manager, target->vm.spec.uuid, &disk, err);
}

void route_disk_detach(struct http_request *request, void *user)
{
    static const char *const members[] = {"delete_file", NULL};
    struct target target;
    JsonObject *body;
    bool deletes_file;
    struct err err = {0};
    if (routes_body(request, members, &body, &err) || read_flag(body, "delete_file", &deletes_file, &err) ||
        find(user, request, &target, &err) ||
        (deletes_file && check_deletable(user, request, &target, &err))) {
        http_fail(request, &err);
        return;
    }
    JsonObject *asked = json_object_new();
    json_object_set_boolean_member(asked, "delete_file", deletes_file);
    g_autofree char *path = path_of(request, &target, "detach");
    g_autofree char *told = g_strdup_printf("disk %s was detached%s", http_param(request, "disk"),
                                            deletes_file ? " and deleted" : "");
    call(request, user, &target, &(struct http_call){"POST", path, asked, CALL_TIMEOUT_S}, told);
}

static int read_size(JsonObject *body, uint64_t *ret_bytes, struct err *err)
{
    JsonNode *size = json_object_get_member(body, "size_bytes");
    bool is_number = size && json_node_get_value_type(size) == G_TYPE_INT64;
    if (!size)
        return routes_member_missing("size_bytes", err);
    *ret_bytes = is_number ? (uint64_t)MAX(json_node_get_int(size), 0) : 0;
    return vm_disk_check_size("size_bytes", *ret_bytes, err);
}

void route_disk_resize(struct http_request *request, void *user)
{
    static const char *const members[] = {"size_bytes", NULL};
    struct target target;
    JsonObject *body;
    uint64_t bytes = 0;
    struct err err = {0};
    if (routes_body(request, members, &body, &err) || read_size(body, &bytes, &err) ||
        find(user, request, &target, &err)) {
        http_fail(request, &err);
        return;
    }
    JsonObject *asked = json_object_new();
    json_object_set_int_member(asked, "size_bytes", (gint64)bytes);
    g_autofree char *path = path_of(request, &target, "resize");
    g_autofree char *told =
        g_strdup_printf("disk %s has %" G_GUINT64_FORMAT " bytes", http_param(request, "disk"), bytes);
    call(request, user, &target, &(struct http_call){"POST", path, asked, CALL_TIMEOUT_S}, told);
}

void route_disk_eject(struct http_request *request, void *user)
{
    static const char *const members[] = {"force", NULL};
    struct target target;
    JsonObject *body;
    bool force;
    struct err err = {0};
    if (routes_body(request, members, &body, &err) || read_flag(body, "force", &force, &err) ||
        find(user, request, &target, &err)) {
        http_fail(request, &err);
        return;
    }
    JsonObject *asked = json_object_new();
    json_object_set_boolean_member(asked, "force", force);
    g_autofree char *path = path_of(request, &target, "eject");
    g_autofree char *told = g_strdup_printf("the CD was taken out of %s", http_param(request, "disk"));
    call(request, user, &target, &(struct http_call){"POST", path, asked, CALL_TIMEOUT_S}, told);
}

void route_disk_insert(struct http_request *request, void *user)
{
    static const char *const members[] = {"medium", "force", NULL};
    struct target target;
    struct vm_disk medium;
    JsonObject *body;
    bool force;
    struct err err = {0};
    if (routes_body(request, members, &body, &err) || read_flag(body, "force", &force, &err) ||
        vm_disk_medium_from_json(body, &medium, &err) || find(user, request, &target, &err) ||
        check_unshared(user, "", &medium, &err)) {
        http_fail(request, &err);
        return;
    }
    char label[DISK_LABEL_MAX];
    vm_disk_label(&medium, label);
    JsonObject *asked = json_object_new();
    json_object_set_object_member(asked, "medium", vm_disk_to_json(&medium));
    json_object_set_boolean_member(asked, "force", force);
    g_autofree char *path = path_of(request, &target, "insert");
    g_autofree char *told = g_strdup_printf("the CD %s was put into %s", label, http_param(request, "disk"));
    call(request, user, &target, &(struct http_call){"POST", path, asked, CALL_TIMEOUT_S}, told);
}
