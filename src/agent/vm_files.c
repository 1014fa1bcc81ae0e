/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"
#include "model/move.h"

#define CONFIG_BYTES_MAX (256u << 10)
#define PROCESS_BYTES_MAX 65536
#define TAIL_BYTES 256
#define BACKLOG 4

static char *run_path(const struct agent *agent, const char *uuid, const char *file)
{
    return g_strdup_printf("%s/vms/%s/%s", agent->config.run_dir, uuid, file);
}

char *vm_path(const struct vm *vm, const char *file)
{
    return run_path(vm->agent, vm->status.spec.uuid, file);
}

char *vm_config_path(const struct agent *agent, const char *uuid)
{
    return g_strdup_printf("%s/vms/%s.json", agent->config.state_dir, uuid);
}

char *vm_journal_path(const struct agent *agent, const char *uuid)
{
    return g_strdup_printf("%s/vms/%s.journal", agent->config.state_dir, uuid);
}

int vm_config_write(struct vm *vm, const struct vm_spec *spec, const char *task, struct err *err)
{
    if (strcmp(task, vm_holder(vm)) != 0 && vm_check_free(vm, err) < 0)
        return -1;
    g_autofree char *path = vm_config_path(vm->agent, vm->status.spec.uuid);
    g_autoptr(JsonObject) object = vm_spec_to_lean_json(spec);
    g_autofree char *text = model_print(object, true);
    if (fdio_replace_file(path, text, strlen(text), task[0] ? VM_CONFIG_MODE_HELD : VM_CONFIG_MODE, err) < 0)
        return -1;
    vm->status.spec = *spec;
    return 0;
}

int vm_config_read(const char *path, struct vm_spec *ret_spec, struct err *err)
{
    auto_mem char *text = NULL;
    if (fdio_read_file(path, CONFIG_BYTES_MAX, &text, err) < 0)
        return -1;
    g_autoptr(JsonObject) object = NULL;
    if (model_parse(text, -1, &object, err) < 0 || vm_spec_from_json(object, ret_spec, err) < 0)
        return err_prefix(err, "%s", path);
    return 0;
}

int vm_run_folder(const struct vm *vm, struct err *err)
{
    g_autofree char *path = vm_path(vm, "");
    if (g_mkdir_with_parents(path, 0700) < 0) {
        (void)err_sys(err, errno, "folder-failed", "cannot make the folder %s", path);
        return err_arg(err, "path", "%s", path);
    }
    return 0;
}

int vm_listen(const struct vm *vm, const char *file, int type, int *ret_fd, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *path = vm_path(vm, file);
    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
        (void)err_set(err, ERR_BAD_REQUEST, "path-too-long", "the socket path %s is too long", path);
        return err_arg(err, "path", "%s", path);
    }
    auto_fd fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || (unlink(path) < 0 && errno != ENOENT) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0) {
        (void)err_sys(err, errno, "socket-failed", "cannot make the socket %s", path);
        return err_arg(err, "path", "%s", path);
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

int vm_process_write(const struct vm *vm, struct err *err)
{
    const struct vm_process *process = vm->process;
    g_autoptr(JsonObject) object = json_object_new();
    json_object_set_int_member(object, "pid", vm->status.pid);
    json_object_set_int_member(object, "start_time", (gint64)process->start_time);
    json_object_set_string_member(object, "qemu_version", vm->status.qemu_version);
    json_object_set_int_member(object, "qemu_major", process->qemu_major);
    json_object_set_string_member(object, "accel", vm->status.accel);
    json_object_set_string_member(object, "move", vm->status.move);
    json_object_set_boolean_member(object, "incoming", vm->incoming);
    json_object_set_boolean_member(object, "has_trace", process->has_trace);
    json_object_set_int_member(object, "ram_fd", process->qemu_ram_fd);
    json_object_set_int_member(object, "ram_device", (gint64)process->ram_device);
    json_object_set_int_member(object, "ram_inode", (gint64)process->ram_inode);
    json_object_set_int_member(object, "log_start", (gint64)process->log_start);
    json_object_set_int_member(object, "console_start", (gint64)process->console_start);
    json_object_set_object_member(object, "spec", vm_spec_to_lean_json(&vm->status.spec));
    JsonArray *taps = json_array_new();
    for (unsigned i = 0; i < process->n_taps; i++)
        json_array_add_string_element(taps, process->taps[i]);
    json_object_set_array_member(object, "taps", taps);
    g_autofree char *text = model_print(object, true);
    g_autofree char *path = vm_path(vm, "process.json");
    return fdio_replace_file(path, text, strlen(text), 0600, err);
}

static void read_taps(JsonObject *object, struct vm_process *process)
{
    JsonNode *node = json_object_get_member(object, "taps");
    if (!node || !JSON_NODE_HOLDS_ARRAY(node))
        return;
    JsonArray *taps = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(taps) && process->n_taps < VM_NICS_MAX; i++)
        if (json_node_get_value_type(json_array_get_element(taps, i)) == G_TYPE_STRING)
            g_strlcpy(process->taps[process->n_taps++], json_array_get_string_element(taps, i),
                      TAP_NAME_SIZE);
}

static int read_record(const struct agent *agent, const char *uuid, JsonObject **ret_object, struct err *err)
{
    g_autofree char *path = run_path(agent, uuid, "process.json");
    auto_mem char *text = NULL;
    if (fdio_read_file(path, PROCESS_BYTES_MAX, &text, err) < 0)
        return -1;
    return model_parse(text, -1, ret_object, err) < 0 ? err_prefix(err, "%s", path) : 0;
}

int vm_process_read_spec(const struct agent *agent, const char *uuid, struct vm_spec *ret_spec,
                         struct err *err)
{
    g_autoptr(JsonObject) object = NULL;
    if (read_record(agent, uuid, &object, err) < 0)
        return -1;
    JsonNode *spec = json_object_get_member(object, "spec");
    if (!spec || !JSON_NODE_HOLDS_OBJECT(spec)) {
        (void)err_set(err, ERR_CORRUPT, "process-record-damaged", "the record of VM %s has no specification",
                      uuid);
        return err_arg(err, "vm", "%s", uuid);
    }
    if (vm_spec_from_json(json_node_get_object(spec), ret_spec, err) < 0)
        return err_prefix(err, "the record of VM %s", uuid);
    if (!strcmp(ret_spec->uuid, uuid))
        return 0;
    (void)err_set(err, ERR_CORRUPT, "process-record-damaged", "the record of VM %s is that of another VM",
                  uuid);
    return err_arg(err, "vm", "%s", uuid);
}

/* A record that names no process, nor the memory by which one could be found, is no proof that none runs. */
static int check_record(const struct vm *vm, gint64 pid, uint64_t start_time, uint64_t ram_inode,
                        struct err *err)
{
    if (pid > 0 && pid <= INT_MAX && start_time)
        return 0;
    if (pid == 0 && ram_inode)
        return 0;
    (void)err_set(err, ERR_CORRUPT, "process-record-damaged",
                  "the record of VM %s does not say which process its QEMU is", vm->status.spec.name);
    return err_arg(err, "vm", "%s", vm->status.spec.name);
}

int vm_process_read(struct vm *vm, struct err *err)
{
    g_autoptr(JsonObject) object = NULL;
    if (read_record(vm->agent, vm->status.spec.uuid, &object, err) < 0)
        return -1;
    gint64 pid = model_int(object, "pid", -1);
    uint64_t start_time = (uint64_t)model_int(object, "start_time", 0);
    uint64_t ram_inode = (uint64_t)model_int(object, "ram_inode", 0);
    if (check_record(vm, pid, start_time, ram_inode, err) < 0)
        return -1;
    struct vm_process *process = g_new0(struct vm_process, 1);
    vm->status.pid = (int)pid;
    process->start_time = start_time;
    process->ram_inode = ram_inode;
    process->ram_device = (uint64_t)model_int(object, "ram_device", 0);
    process->qemu_ram_fd = (int)model_int(object, "ram_fd", -1);
    process->qemu_major = (int)model_int(object, "qemu_major", 0);
    process->log_start = (uint64_t)model_int(object, "log_start", 0);
    process->console_start = (uint64_t)model_int(object, "console_start", 0);
    process->has_trace = model_flag(object, "has_trace");
    vm->incoming = model_flag(object, "incoming");
    g_strlcpy(vm->status.qemu_version, model_text(object, "qemu_version"), sizeof vm->status.qemu_version);
    g_strlcpy(vm->status.accel, model_text(object, "accel"), sizeof vm->status.accel);
    g_strlcpy(vm->status.move, model_text(object, "move"), sizeof vm->status.move);
    read_taps(object, process);
    vm->process = process;
    return 0;
}

void vm_run_files_remove(const struct vm *vm)
{
    static const char *const files[] = {"process.json", "process.json.new",    "qmp.sock",     "trace.sock",
                                        "console.sock", VM_GUEST_AGENT_SOCKET, VM_DISKS_SOCKET};
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = vm_path(vm, files[i]);
        (void)unlink(path);
    }
}

void vm_run_folder_remove(const struct agent *agent, const char *uuid)
{
    /* Written files have a sibling for the moment. */
    static const char *const files[] = {"process.json",
                                        "process.json.new",
                                        "qmp.sock",
                                        "trace.sock",
                                        VM_GUEST_AGENT_SOCKET,
                                        "console.sock",
                                        "console.log",
                                        "qemu.log",
                                        VM_IMAGE_LOG,
                                        VM_DISKS_SOCKET,
                                        ""};
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = run_path(agent, uuid, files[i]);
        if (remove(path) < 0 && errno != ENOENT)
            log_warn("cannot remove %s: %s", path, g_strerror(errno));
    }
}

uint64_t process_start_time(int pid)
{
    char path[64];
    char text[1024];
    uint64_t start_time = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    auto_file file = fopen(path, "re");
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[length] = '\0';
    /* The name in parentheses may hold anything: the fields count from the last one. Field 3 follows. */
    const char *at = strrchr(text, ')');
    for (unsigned field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at || sscanf(at, " %" SCNu64, &start_time) != 1)
        return 0;
    return start_time;
}

uint64_t vm_log_size(const struct vm *vm)
{
    struct stat facts;
    g_autofree char *path = vm_path(vm, "qemu.log");
    return stat(path, &facts) < 0 ? 0 : (uint64_t)facts.st_size;
}

char *vm_log_tail(const struct vm *vm)
{
    uint64_t from = vm->process ? vm->process->log_start : 0;
    uint64_t size = vm_log_size(vm);
    if (size > from + TAIL_BYTES)
        from = size - TAIL_BYTES;
    g_autofree char *path = vm_path(vm, "qemu.log");
    auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[TAIL_BYTES + 1];
    ssize_t got = fd < 0 ? 0 : pread(fd, text, TAIL_BYTES, (off_t)from);
    text[got > 0 ? got : 0] = '\0';
    char *valid = g_utf8_make_valid(text, -1);
    (void)g_strstrip(valid);
    return g_strdelimit(valid, "\r\n", ' ');
}
