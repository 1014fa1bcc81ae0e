/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/disk_export.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "qemu/disk_device.h"

#define SOCKET_NAME "disks" /* as QEMU knows the descriptor */

struct beginning {
    struct vm *vm;
    struct vm_wait wait;
    unsigned n_left; /* answers */
    struct err err;  /* the first one */
};

/* QEMU answers in order: the end comes with the last one. */
static void answered(JsonNode *result, const struct err *err, void *user)
{
    struct beginning *beginning = user;
    (void)result;
    if (err_is_set(err) && !err_is_set(&beginning->err)) {
        beginning->err = *err;
        (void)err_prefix(&beginning->err, "the new disks of VM '%s' cannot be written to",
                         beginning->vm->status.spec.name);
    }
    if (--beginning->n_left)
        return;
    vm_wait_end(&beginning->wait, beginning->vm, &beginning->err);
    g_free(beginning);
}

static void start_server(struct beginning *beginning, int listener)
{
    JsonObject *name = json_object_new();
    json_object_set_string_member(name, "fdname", SOCKET_NAME);
    vm_qmp(beginning->vm, "getfd", name, listener, answered, beginning);
    JsonObject *descriptor = json_object_new();
    json_object_set_string_member(descriptor, "str", SOCKET_NAME);
    JsonObject *address = json_object_new();
    json_object_set_string_member(address, "type", "fd");
    json_object_set_object_member(address, "data", descriptor);
    JsonObject *arguments = json_object_new();
    json_object_set_object_member(arguments, "addr", address);
    vm_qmp(beginning->vm, "nbd-server-start", arguments, -1, answered, beginning);
}

static void add_export(struct beginning *beginning, uint32_t disk)
{
    JsonObject *arguments = json_object_new();
    char node[DISK_NODE_SIZE];
    disk_node(&beginning->vm->status.spec, disk, node);
    json_object_set_string_member(arguments, "type", "nbd");
    json_object_set_string_member(arguments, "id", node);
    json_object_set_string_member(arguments, "node-name", node);
    json_object_set_string_member(arguments, "name", node);
    json_object_set_boolean_member(arguments, "writable", TRUE);
    vm_qmp(beginning->vm, "block-export-add", arguments, -1, answered, beginning);
}

void disk_export_begin(struct vm *vm, const struct move_disk *disks, uint32_t n_disks, vm_done done,
                       void *user)
{
    struct err err = {0};
    int listener = -1;
    if (vm_listen(vm, VM_DISKS_SOCKET, SOCK_STREAM, &listener, &err) < 0) {
        done(vm, &err, user);
        return;
    }
    struct beginning *beginning = g_new0(struct beginning, 1);
    beginning->vm = vm;
    beginning->wait = (struct vm_wait){.done = done, .user = user};
    beginning->n_left = 2 + n_disks;
    start_server(beginning, listener);
    for (uint32_t i = 0; i < n_disks; i++)
        add_export(beginning, disks[i].disk);
    (void)close(listener);
}

int disk_export_connect(const struct vm *vm, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *path = vm_path(vm, VM_DISKS_SOCKET);
    (void)g_strlcpy(address.sun_path, path, sizeof address.sun_path); /* it was bound to it */
    auto_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        (void)err_sys(err, errno, "socket-failed", "cannot connect to QEMU of VM %s", vm->status.spec.name);
        return err_arg(err, "vm", "%s", vm->status.spec.name);
    }
    return steal_fd(&fd);
}

struct ending {
    struct vm *vm;
    struct vm_wait wait;
};

static void on_ended(JsonNode *result, const struct err *err, void *user)
{
    struct ending *ending = user;
    (void)result;
    g_autofree char *path = vm_path(ending->vm, VM_DISKS_SOCKET);
    (void)unlink(path); /* else it goes with the others when QEMU does */
    vm_wait_end(&ending->wait, ending->vm, err);
    g_free(ending);
}

void disk_export_end(struct vm *vm, vm_done done, void *user)
{
    struct ending *ending = g_new(struct ending, 1);
    *ending = (struct ending){.vm = vm, .wait = {.done = done, .user = user}};
    vm_qmp(vm, "nbd-server-stop", NULL, -1, on_ended, ending);
}
