/* SPDX-License-Identifier: Apache-2.0 */
#include "model/vm.h"

#include <string.h>

#include "model/vm_disks.h"
#include "model/vm_fields.h"

static const char *const accel_names[] = {
    [VM_ACCEL_AUTO] = "auto",
    [VM_ACCEL_KVM] = "kvm",
    [VM_ACCEL_TCG] = "tcg",
};

static const char *const firmware_names[] = {
    [VM_FIRMWARE_BIOS] = "bios",
    [VM_FIRMWARE_UEFI] = "uefi",
};

static const char *const state_names[] = {
    [VM_OFF] = "off",       [VM_STARTING] = "starting", [VM_RUNNING] = "running",
    [VM_PAUSED] = "paused", [VM_INCOMING] = "incoming", [VM_UNKNOWN] = "unknown",
};

const struct field vm_disk_fields[] = {
    TEXT(struct vm_disk, path, &rule_path_or_empty),
    TEXT(struct vm_disk, format, &rule_disk_format),
    TEXT(struct vm_disk, datastore, &rule_name_or_empty, NEWER),
    TEXT(struct vm_disk, file, &rule_file_or_empty, NEWER),
    TEXT(struct vm_disk, bus, &rule_disk_bus, NEWER),
    TEXT(struct vm_disk, media, &rule_disk_media, NEWER),
    NUMBER(struct vm_disk, slot, 0, VM_DISKS_MAX, NEWER),
    NUMBER(struct vm_disk, moves, 0, VM_DISK_MOVES_MAX, NEWER),
    FIELDS_END,
};

static const struct field nic_fields[] = {
    TEXT(struct vm_nic, network, &rule_name),
    TEXT(struct vm_nic, mac, &rule_mac_or_empty),
    NUMBER(struct vm_nic, mtu, 0, NIC_MTU_MAX, NEWER),
    FIELDS_END,
};

const struct field vm_fields[] = {
    TEXT(struct vm_spec, uuid, &rule_uuid_or_empty),
    TEXT(struct vm_spec, name, &rule_name),
    NUMBER(struct vm_spec, memory_mib, 64, 1024 * 1024),
    NUMBER(struct vm_spec, cpus, 1, VM_CPUS_MAX),
    TEXT(struct vm_spec, pool, &rule_pool_or_empty),
    NUMBER(struct vm_spec, cpu_reservation_percent, 0, 100 * VM_CPUS_MAX),
    ENUM(struct vm_spec, accel, accel_names),
    TEXT(struct vm_spec, machine, &rule_qemu_word),
    TEXT(struct vm_spec, cpu_model, &rule_qemu_word),
    TEXT(struct vm_spec, kernel, &rule_path_or_empty),
    TEXT(struct vm_spec, initrd, &rule_path_or_empty),
    TEXT(struct vm_spec, append, &rule_line),
    ENUM(struct vm_spec, firmware, firmware_names, NEWER),
    TEXT(struct vm_spec, nvram, &rule_path_or_empty, NEWER),
    LIST(struct vm_spec, disks, vm_disk_fields),
    LIST(struct vm_spec, nics, nic_fields),
    BOOL(struct vm_spec, guest_agent, NEWER),
    NUMBER(struct vm_spec, notice_timeout_s, 0, GUEST_NOTICE_MAX_S, NEWER),
    BOOL(struct vm_spec, autostart),
    BOOL(struct vm_spec, pinned, NEWER),
    TEXT(struct vm_spec, held_by, &rule_line, NEWER),
    TEXT(struct vm_spec, cpu_without, &rule_qemu_words, NEWER),
    TEXT(struct vm_spec, cpu_baseline, &rule_qemu_word, NEWER),
    NUMBER(struct vm_spec, hardware, 0, VM_HARDWARE_NOW, NEWER),
    FIELDS_END,
};

static const struct field status_fields[] = {
    OBJECT(struct vm_status, spec, vm_fields),
    ENUM(struct vm_status, state, state_names),
    TEXT(struct vm_status, host, NULL),
    TEXT(struct vm_status, accel, NULL),
    TEXT(struct vm_status, qemu_version, NULL),
    SIGNED(struct vm_status, pid),
    COUNT(struct vm_status, epoch),
    TEXT(struct vm_status, journal, NULL),
    TEXT(struct vm_status, move, NULL),
    COUNT(struct vm_status, overhead_mib),
    COUNT(struct vm_status, balloon_mib),
    TEXT(struct vm_status, problem, NULL),
    TEXT(struct vm_status, cpu_beyond_baseline, NULL),
    FIELDS_END,
};

void vm_spec_init(struct vm_spec *spec)
{
    *spec = (struct vm_spec){.cpus = 1};
}

void vm_spec_normalize(struct vm_spec *spec)
{
    for (uint32_t i = 0; i < spec->n_nics; i++)
        for (char *at = spec->nics[i].mac; *at; at++)
            *at = g_ascii_tolower(*at);
}

static int refuse_twice(const char *id, const char *list, const uint32_t at[2], const char *member,
                        struct err *err)
{
    char field[FIELD_WHERE_MAX], other[FIELD_WHERE_MAX];
    (void)g_snprintf(field, sizeof field, "%s[%u].%s", list, at[0], member);
    (void)g_snprintf(other, sizeof other, "%s[%u].%s", list, at[1], member);
    (void)err_set(err, ERR_BAD_REQUEST, id, "%s must differ from %s", field, other);
    (void)err_arg(err, "field", "%s", field);
    return err_arg(err, "other", "%s", other);
}

/* Either a path, or a file on a datastore. */
static int check_disk(const struct vm_spec *spec, uint32_t i, struct err *err)
{
    const struct vm_disk *disk = &spec->disks[i];
    char list[FIELD_WHERE_MAX], where[FIELD_WHERE_MAX];
    fields_where_index("disks", i, list);
    if (*disk->datastore && *disk->path) {
        fields_where(list, "path", where);
        return fields_refuse("field-invalid", where, "empty where datastore and file say where it is", err);
    }
    if (!*disk->datastore != !*disk->file) {
        fields_where(list, *disk->file ? "datastore" : "file", where);
        return fields_refuse("field-invalid", where,
                             *disk->file ? "the datastore that has the file" : "the file on the datastore",
                             err);
    }
    if (vm_disk_is_cdrom(disk) && !strcmp(disk->bus, "virtio-blk")) {
        fields_where(list, "bus", where);
        return fields_refuse("field-invalid", where, "virtio-scsi or empty for a CD", err);
    }
    if (*disk->path || *disk->datastore || vm_disk_is_empty(disk))
        return 0;
    fields_where(list, "path", where);
    return fields_refuse("field-invalid", where, rule_path.must, err);
}

bool vm_disk_is_cdrom(const struct vm_disk *disk)
{
    return !strcmp(disk->media, "cdrom");
}

bool vm_disk_is_scsi(const struct vm_disk *disk)
{
    return vm_disk_is_cdrom(disk) || !strcmp(disk->bus, "virtio-scsi");
}

bool vm_disk_is_empty(const struct vm_disk *disk)
{
    return vm_disk_is_cdrom(disk) && !*disk->path && !*disk->datastore && !*disk->file;
}

void vm_disk_label(const struct vm_disk *disk, char ret_label[DISK_LABEL_MAX])
{
    (void)g_snprintf(ret_label, DISK_LABEL_MAX, "%s%s%s", *disk->datastore ? disk->datastore : disk->path,
                     *disk->datastore ? ":" : "", disk->file);
}

static int check_duplicates(const struct vm_spec *spec, struct err *err)
{
    for (uint32_t i = 0; i < spec->n_disks; i++)
        for (uint32_t j = 0; j < i; j++)
            if (vm_disk_is_same(&spec->disks[i], &spec->disks[j]))
                return refuse_twice("disk-twice", "disks", (uint32_t[]){i, j},
                                    *spec->disks[i].datastore ? "file" : "path", err);
            else if (vm_disk_slot(spec, i) == vm_disk_slot(spec, j))
                return refuse_twice("disk-slot-twice", "disks", (uint32_t[]){i, j}, "slot", err);
    for (uint32_t i = 0; i < spec->n_nics; i++)
        for (uint32_t j = 0; j < i; j++)
            if (*spec->nics[i].mac && !strcmp(spec->nics[i].mac, spec->nics[j].mac))
                return refuse_twice("mac-twice", "nics", (uint32_t[]){i, j}, "mac", err);
    return 0;
}

static int check_firmware(const struct vm_spec *spec, struct err *err)
{
    bool is_uefi = spec->firmware == VM_FIRMWARE_UEFI;
    if (is_uefi && !spec->nvram[0])
        return fields_refuse("nvram-missing", "nvram",
                             "the path of a file for the variables of UEFI, on storage that all hosts see",
                             err);
    if (!is_uefi && spec->nvram[0])
        return fields_refuse("nvram-without-uefi", "nvram", "empty unless firmware is uefi", err);
    for (uint32_t i = 0; i < spec->n_disks; i++)
        if (spec->nvram[0] && !strcmp(spec->disks[i].path, spec->nvram))
            return fields_refuse("disk-twice", "nvram", "the path of a file that is no disk of the VM", err);
    return 0;
}

int vm_spec_check(const struct vm_spec *spec, struct err *err)
{
    if (fields_check(vm_fields, spec, err))
        return -1;
    if (spec->memory_mib % 2)
        return fields_refuse("field-out-of-range", "memory_mib", "a multiple of 2", err);
    if (spec->cpu_reservation_percent > 100 * spec->cpus) {
        char must[64];
        (void)g_snprintf(must, sizeof must, "at most %u, 100 for each of the %u CPUs", 100 * spec->cpus,
                         spec->cpus);
        return fields_refuse("field-out-of-range", "cpu_reservation_percent", must, err);
    }
    if (!*spec->kernel && (*spec->initrd || *spec->append))
        return fields_refuse("kernel-missing", *spec->initrd ? "initrd" : "append",
                             "empty when kernel is empty", err);
    for (uint32_t i = 0; i < spec->n_disks; i++)
        if (check_disk(spec, i, err))
            return -1;
    if (spec->notice_timeout_s && !spec->guest_agent)
        return fields_refuse("guest-agent-missing", "notice_timeout_s", "0 when guest_agent is false", err);
    return check_firmware(spec, err) ? -1 : check_duplicates(spec, err);
}

JsonObject *vm_spec_to_json(const struct vm_spec *spec)
{
    return fields_write(vm_fields, spec);
}

JsonObject *vm_spec_to_lean_json(const struct vm_spec *spec)
{
    return fields_write_lean(vm_fields, spec);
}

int vm_spec_from_json(JsonObject *object, struct vm_spec *ret_spec, struct err *err)
{
    vm_spec_init(ret_spec);
    if (fields_read(object, vm_fields, ret_spec, FIELDS_STRICT, err))
        return -1;
    vm_spec_normalize(ret_spec);
    return vm_spec_check(ret_spec, err);
}

/* What a shorter list left behind its end is not part of the spec. */
static void clear_list_tails(struct vm_spec *spec)
{
    for (uint32_t i = spec->n_disks; i < VM_DISKS_MAX; i++)
        spec->disks[i] = (struct vm_disk){0};
    for (uint32_t i = spec->n_nics; i < VM_NICS_MAX; i++)
        spec->nics[i] = (struct vm_nic){0};
}

static int refuse_cpu_member(const char *member, struct err *err)
{
    (void)err_set(err, ERR_BAD_REQUEST, "cpu-without", "%s is made by Godwit: leave it out", member);
    (void)err_arg(err, "member", "%s", member);
    return err_fix(err, "choose what the guest's CPU can do with cpu_model");
}

int vm_spec_check_new(const struct vm_spec *spec, struct err *err)
{
    if (spec->cpu_without[0])
        return refuse_cpu_member("cpu_without", err);
    return spec->cpu_baseline[0] ? refuse_cpu_member("cpu_baseline", err) : 0;
}

int vm_spec_change(struct vm_spec *spec, JsonObject *changes, struct err *err)
{
    struct vm_spec changed = *spec;
    if (!json_object_get_size(changes)) {
        (void)err_set(err, ERR_BAD_REQUEST, "nothing-to-change", "the request names nothing to change");
        return err_fix(err, "give the members of the specification that change, for example "
                            "{\"memory_mib\":2048}");
    }
    if (fields_read(changes, vm_fields, &changed, FIELDS_STRICT, err))
        return -1;
    if (strcmp(changed.uuid, spec->uuid) != 0)
        return err_set(err, ERR_BAD_REQUEST, "uuid-invalid", "uuid cannot be changed: leave it out");
    if (strcmp(changed.cpu_without, spec->cpu_without) != 0)
        return refuse_cpu_member("cpu_without", err);
    if (strcmp(changed.cpu_baseline, spec->cpu_baseline) != 0)
        return refuse_cpu_member("cpu_baseline", err);
    clear_list_tails(&changed);
    vm_spec_normalize(&changed);
    if (vm_spec_check(&changed, err))
        return -1;
    *spec = changed;
    return 0;
}

/* In force at once. */
static bool is_live(const char *field)
{
    static const char *const fields[] = {"name", "autostart", "pinned", "held_by", "notice_timeout_s", NULL};
    return g_strv_contains(fields, field);
}

const char *vm_spec_needs_restart(const struct vm_spec *before, const struct vm_spec *after)
{
    g_autoptr(JsonObject) old = vm_spec_to_json(before);
    g_autoptr(JsonObject) new = vm_spec_to_json(after);
    for (const struct field *field = vm_fields; field->name; field++)
        if (!is_live(field->name) && !json_node_equal(json_object_get_member(old, field->name),
                                                      json_object_get_member(new, field->name)))
            return field->name;
    return NULL;
}

JsonObject *vm_status_to_json(const struct vm_status *status)
{
    return fields_write(status_fields, status);
}

int vm_status_from_json(JsonObject *object, struct vm_status *ret_status, struct err *err)
{
    *ret_status = (struct vm_status){.state = VM_UNKNOWN};
    return fields_read(object, status_fields, ret_status, FIELDS_LENIENT, err);
}

const char *vm_state_name(enum vm_state state)
{
    return (unsigned)state < G_N_ELEMENTS(state_names) ? state_names[state] : "unknown";
}

const char *vm_accel_name(enum vm_accel accel)
{
    return (unsigned)accel < G_N_ELEMENTS(accel_names) ? accel_names[accel] : "auto";
}

int vm_accel_from_name(const char *name, enum vm_accel *ret_accel)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(accel_names); i++)
        if (!strcmp(name, accel_names[i])) {
            *ret_accel = (enum vm_accel)i;
            return 0;
        }
    return -1;
}

const char *vm_spec_cpu(const struct vm_spec *spec)
{
    return spec->cpu_baseline[0] ? spec->cpu_baseline : spec->cpu_model;
}

bool cpu_model_is_open(const char *model)
{
    return !strcmp(model, "max") || !strcmp(model, "host");
}
