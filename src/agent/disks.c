/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/disks.h"

#include <stdio.h>
#include <string.h>

#include "agent/bounded.h"
#include "agent/datastores.h"
#include "agent/disk_look.h"
#include "model/check_table.h"

#define MIB_SHIFT 20
/* Where this much is free, somebody who watches it has time. */
#define LITTLE_BYTES (256ull << MIB_SHIFT)

static int refuse_unknown(const struct agent *agent, const struct vm_spec *spec, const char *name,
                          struct err *err)
{
    struct host_datastore list[HOST_DATASTORES_MAX];
    char names[ERR_TEXT_MAX];
    uint32_t n;
    datastores_now(agent, list, &n);
    datastores_text(list, n, names);
    return check_say(err, CHECK_DATASTORE_UNKNOWN,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"datastore", name},
                                {"datastores", names}));
}

int disks_path(const struct agent *agent, const struct vm_spec *spec, const struct vm_disk *disk,
               char ret_path[MODEL_PATH_MAX], struct err *err)
{
    const struct agent_config *config = &agent->config;
    if (!disk->datastore[0]) {
        (void)g_strlcpy(ret_path, disk->path, MODEL_PATH_MAX);
        return 0;
    }
    for (uint32_t i = 0; i < config->n_datastores; i++) {
        if (strcmp(config->datastores[i].name, disk->datastore) != 0)
            continue;
        g_autofree char *path = g_build_filename(config->datastores[i].path, disk->file, NULL);
        if (g_strlcpy(ret_path, path, MODEL_PATH_MAX) < MODEL_PATH_MAX)
            return 0;
        (void)err_set(err, ERR_BAD_REQUEST, "path-too-long", "the path %s is too long", path);
        return err_arg(err, "path", "%s", path);
    }
    return refuse_unknown(agent, spec, disk->datastore, err);
}

bool disks_is_stale(const struct agent *agent, const char *path)
{
    const struct agent_config *config = &agent->config;
    for (uint32_t i = 0; i < config->n_datastores; i++) {
        const struct datastore_config *datastore = &config->datastores[i];
        size_t length = strlen(datastore->path);
        struct host_datastore now;
        if (!strncmp(path, datastore->path, length) && (path[length] == '/' || !path[length]) &&
            datastores_get(agent, datastore->name, &now) && !strcmp(now.state, DATASTORE_STALE))
            return true;
    }
    return false;
}

/* ---- datastores ---- */

static enum check check_of_state(const char *state)
{
    if (!strcmp(state, DATASTORE_READ_ONLY))
        return CHECK_DATASTORE_READ_ONLY;
    if (!strcmp(state, DATASTORE_MISSING))
        return CHECK_DATASTORE_NOT_MOUNTED;
    return !strcmp(state, DATASTORE_UNINITIALISED) ? CHECK_DATASTORE_UNINITIALISED : CHECK_DATASTORE_STALE;
}

/* CDs are not. */
static bool is_written(const struct vm_spec *spec, const char *store)
{
    for (uint32_t i = 0; i < spec->n_disks; i++)
        if (!strcmp(spec->disks[i].datastore, store) && !vm_disk_is_cdrom(&spec->disks[i]))
            return true;
    return false;
}

/* 0: usable. One that was not looked at yet is asked by the look at the disk. */
static int check_store(const struct agent *agent, const struct vm_spec *spec, const char *name,
                       struct err *err)
{
    struct host_datastore now;
    if (!datastores_get(agent, name, &now))
        return refuse_unknown(agent, spec, name, err);
    if (datastore_is_usable(&now) || !strcmp(now.state, DATASTORE_UNKNOWN) ||
        (!strcmp(now.state, DATASTORE_READ_ONLY) && !is_written(spec, name)))
        return 0;
    return check_say(err, check_of_state(now.state),
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"datastore", name},
                                {"path", now.path}, {"reason", now.reason}));
}

static bool is_first_on_store(const struct vm_spec *spec, uint32_t disk)
{
    for (uint32_t i = 0; i < disk; i++)
        if (!strcmp(spec->disks[i].datastore, spec->disks[disk].datastore))
            return false;
    return spec->disks[disk].datastore[0] != '\0';
}

void disks_find_store_problems(const struct agent *agent, const struct vm_spec *spec,
                               struct findings *findings)
{
    struct err err;
    for (uint32_t i = 0; i < spec->n_disks; i++)
        if (is_first_on_store(spec, i))
            findings_note(findings, check_store(agent, spec, spec->disks[i].datastore, &err), &err);
}

/* ---- images ---- */

static void say_trouble(const struct agent *agent, const struct vm_spec *spec, const char *label,
                        const struct disk_look *look, struct findings *findings)
{
    static const enum check checks[] = {
        [DISK_MISSING] = CHECK_DISK_MISSING,
        [DISK_NOT_ACCESSIBLE] = CHECK_DISK_NOT_ACCESSIBLE,
        [DISK_FORMAT_DIFFERS] = CHECK_DISK_FORMAT_DIFFERS,
        [DISK_BACKING_MISSING] = CHECK_DISK_BACKING_MISSING,
        [DISK_LOCKED] = CHECK_DISK_LOCKED,
    };
    if (look->trouble == DISK_FINE)
        return;
    findings_say(findings, checks[look->trouble],
                 CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"path", label},
                            {"uid", .number = look->user.uid}, {"reason", look->reason},
                            {"format", look->format}, {"backing", look->backing}));
}

/* False: nothing came back. */
static bool look_at(const struct agent *agent, const struct vm_disk *disk, const char *path, bool as_incoming,
                    struct disk_look *ret_look)
{
    *ret_look = (struct disk_look){.user = agent->config.qemu_user,
                                   .is_open_elsewhere = as_incoming,
                                   .is_read_only = vm_disk_is_cdrom(disk)};
    (void)g_strlcpy(ret_look->path, path, sizeof ret_look->path);
    (void)g_strlcpy(ret_look->format, disk->format, sizeof ret_look->format);
    return !disks_is_stale(agent, path) && bounded_call(disk_look, ret_look, sizeof *ret_look, BOUNDED_MS);
}

static int say_silence(const struct agent *agent, const struct vm_spec *spec, const char *label,
                       struct err *err)
{
    return check_say(err, CHECK_DISK_NOT_ANSWERING,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"path", label},
                                {"reason", "nothing came within " G_STRINGIFY(BOUNDED_MS) " ms"}));
}

/* What all disks of the VM on one datastore may still take. */
static void check_space(const struct agent *agent, const struct vm_spec *spec, const uint64_t *growth,
                        struct findings *findings)
{
    for (uint32_t i = 0; i < spec->n_disks; i++) {
        struct host_datastore now;
        uint64_t sum = 0;
        if (!is_first_on_store(spec, i) || !datastores_get(agent, spec->disks[i].datastore, &now))
            continue;
        for (uint32_t j = i; j < spec->n_disks; j++)
            sum += strcmp(spec->disks[j].datastore, now.name) ? 0 : growth[j];
        if (now.capacity_bytes && now.free_bytes < LITTLE_BYTES && sum > now.free_bytes)
            findings_say(findings, CHECK_DATASTORE_SPACE_SHORT,
                         CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"datastore", now.name},
                                    {"path", now.path}, {"free_mib", .number = now.free_bytes >> MIB_SHIFT},
                                    {"growth_mib", .number = sum >> MIB_SHIFT}));
    }
}

void disks_find_problems(const struct agent *agent, const struct vm_spec *spec, bool as_incoming,
                         struct findings *findings)
{
    g_autofree struct disk_look *look = g_new(struct disk_look, 1);
    uint64_t growth[VM_DISKS_MAX] = {0};
    bool is_answered = true;
    disks_find_store_problems(agent, spec, findings);
    for (uint32_t i = 0; i < spec->n_disks && is_answered; i++) {
        const struct vm_disk *disk = &spec->disks[i];
        char label[DISK_LABEL_MAX], path[MODEL_PATH_MAX];
        if (vm_disk_is_empty(disk) ||
            (disk->datastore[0] && check_store(agent, spec, disk->datastore, NULL) < 0))
            continue; /* nothing to say, or said already */
        struct err err;
        vm_disk_label(disk, label);
        if (disks_path(agent, spec, disk, path, &err) < 0) {
            findings_note(findings, -1, &err);
            continue;
        }
        is_answered = look_at(agent, disk, path, as_incoming, look);
        if (!is_answered)
            findings_note(findings, say_silence(agent, spec, label, &err), &err);
        else
            say_trouble(agent, spec, label, look, findings);
        growth[i] = is_answered ? look->growth_bytes : 0;
    }
    check_space(agent, spec, growth, findings);
}

/* ---- one disk ---- */

int disks_check(const struct agent *agent, const struct vm_spec *spec, const struct vm_disk *disk,
                bool is_open_elsewhere, struct err *err)
{
    g_autofree struct findings *findings = g_new0(struct findings, 1);
    g_autofree struct vm_spec *alone = g_memdup2(spec, sizeof *spec);
    alone->n_disks = 1;
    alone->disks[0] = *disk;
    disks_find_problems(agent, alone, is_open_elsewhere, findings);
    return findings_first(findings, err);
}

int disks_look(const struct agent *agent, const struct vm_spec *spec, const struct vm_disk *disk,
               bool is_open_elsewhere, struct disk_look *ret_look, struct err *err)
{
    char path[MODEL_PATH_MAX], label[DISK_LABEL_MAX];
    vm_disk_label(disk, label);
    if (disks_path(agent, spec, disk, path, err) < 0)
        return -1;
    return look_at(agent, disk, path, is_open_elsewhere, ret_look) ? 0 : say_silence(agent, spec, label, err);
}

int disks_refuse(const struct agent *agent, const struct vm_spec *spec, const struct vm_disk *disk,
                 const struct disk_look *look, struct err *err)
{
    g_autofree struct findings *findings = g_new0(struct findings, 1);
    char label[DISK_LABEL_MAX];
    vm_disk_label(disk, label);
    say_trouble(agent, spec, label, look, findings);
    return findings_first(findings, err);
}
