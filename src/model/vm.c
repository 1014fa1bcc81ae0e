/* SPDX-License-Identifier: Apache-2.0 */
#include "model/vm.h"

#include <string.h>

#include "model/vm_fields.h"

static const char *const accel_names[] = {
    [VM_ACCEL_AUTO] = "auto",
    [VM_ACCEL_KVM] = "kvm",
    [VM_ACCEL_TCG] = "tcg",
};

static const char *const state_names[] = {
    [VM_OFF] = "off",       [VM_STARTING] = "starting", [VM_RUNNING] = "running",
    [VM_PAUSED] = "paused", [VM_INCOMING] = "incoming", [VM_UNKNOWN] = "unknown",
};

static const struct field disk_fields[] = {
    TEXT(struct vm_disk, path, &rule_path),
    TEXT(struct vm_disk, format, &rule_disk_format),
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
    LIST(struct vm_spec, disks, disk_fields),
    LIST(struct vm_spec, nics, nic_fields),
    BOOL(struct vm_spec, guest_agent, NEWER),
    NUMBER(struct vm_spec, notice_timeout_s, 0, GUEST_NOTICE_MAX_S, NEWER),
    BOOL(struct vm_spec, autostart),
    BOOL(struct vm_spec, pinned, NEWER),
    TEXT(struct vm_spec, held_by, &rule_line, NEWER),
    TEXT(struct vm_spec, cpu_without, &rule_qemu_words, NEWER),
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
    COUNT(struct vm_status, balloon_mib),
    TEXT(struct vm_status, problem, NULL),
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

static int check_duplicates(const struct vm_spec *spec, struct err *err)
{
    for (uint32_t i = 0; i < spec->n_disks; i++)
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(spec->disks[i].path, spec->disks[j].path))
                return refuse_twice("disk-twice", "disks", (uint32_t[]){i, j}, "path", err);
    for (uint32_t i = 0; i < spec->n_nics; i++)
        for (uint32_t j = 0; j < i; j++)
            if (*spec->nics[i].mac && !strcmp(spec->nics[i].mac, spec->nics[j].mac))
                return refuse_twice("mac-twice", "nics", (uint32_t[]){i, j}, "mac", err);
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
    if (spec->notice_timeout_s && !spec->guest_agent)
        return fields_refuse("guest-agent-missing", "notice_timeout_s", "0 when guest_agent is false", err);
    return check_duplicates(spec, err);
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
        return vm_refuse_cpu_without(err);
    clear_list_tails(&changed);
    vm_spec_normalize(&changed);
    if (vm_spec_check(&changed, err))
        return -1;
    *spec = changed;
    return 0;
}

int vm_refuse_cpu_without(struct err *err)
{
    (void)err_set(err, ERR_BAD_REQUEST, "cpu-without", "cpu_without is made by Godwit: leave it out");
    return err_fix(err, "choose what the guest's CPU can do with cpu_model");
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

bool cpu_model_is_open(const char *model)
{
    return !strcmp(model, "max") || !strcmp(model, "host");
}
