/* SPDX-License-Identifier: Apache-2.0 */
/* Folders: whether their disks answer, may be written, and have room. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "doctor/files.h"
#include "doctor/limited.h"
#include "doctor/patient.h"
#include "model/move.h"

#define LIMIT_MS 5000
#define SLOW_NS NS_PER_S
#define LITTLE_BYTES (256ull << 20)
#define NOTHING_BYTES (16ull << 20)

/* Between parent and child. */
struct question {
    char path[MODEL_PATH_MAX];
    int errnum;
    bool is_read_only;
    bool has_identity;
    uint64_t free_bytes, all_bytes, free_files, all_files;
    uint64_t took_ns;
};

/* In the child: asks the server behind it, not the cache alone. */
static void look_at_path(void *answer)
{
    struct question *question = answer;
    struct statvfs its;
    uint64_t begun_ns = clock_now_ns();
    int fd = open(question->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstatvfs(fd, &its) < 0) {
        question->errnum = errno;
        return;
    }
    question->is_read_only = (its.f_flag & ST_RDONLY) != 0;
    question->free_bytes = (uint64_t)its.f_bavail * its.f_frsize;
    question->all_bytes = (uint64_t)its.f_blocks * its.f_frsize;
    question->free_files = its.f_favail;
    question->all_files = its.f_files;
    question->has_identity = faccessat(fd, DATASTORE_FILE, F_OK, 0) == 0;
    question->took_ns = clock_now_ns() - begun_ns;
}

struct folder {
    const char *what; /* "the agent's state" */
    const char *path;
    bool is_datastore; /* may be full: its images need not grow */
    const char *name;  /* of a configured datastore, which has an identity; else NULL */
};

static void say_unreachable(struct report *report, const struct folder *folder, int errnum)
{
    bool is_lost = errnum == ESTALE || errnum == ENOTCONN;
    struct err *line =
        report_line(report, DIAGNOSIS_PROBLEM, "%s (%s) cannot be opened", folder->what, folder->path);
    (void)err_cause(line, "%s",
                    errnum == ESTALE
                        ? "the server has thrown away what this host has mounted (stale file handle)"
                        : g_strerror(errnum));
    (void)err_fix(line,
                  is_lost            ? "mount it again: umount -l, then mount %s"
                  : errnum == ENOENT ? "see that its file system is mounted: findmnt -T %s"
                                     : "look at its file system: findmnt -T %s; dmesg",
                  folder->path);
    (void)err_arg(line, "path", "%s", folder->path);
}

static void say_nameless(struct report *report, const struct folder *folder)
{
    struct err *line = report_line(report, DIAGNOSIS_PROBLEM, "datastore '%s' (%s) has no identity",
                                   folder->name, folder->path);
    (void)err_cause(line, "the folder has no file " DATASTORE_FILE ": most likely nothing is mounted there");
    (void)err_fix(line, "mount it (findmnt %s); only if it is new: godwit datastore init %s --host HOST",
                  folder->path, folder->name);
    (void)err_arg(line, "path", "%s", folder->path);
    (void)err_arg(line, "datastore", "%s", folder->name);
}

static void say_hung(struct report *report, const struct folder *folder)
{
    struct err *line =
        report_line(report, DIAGNOSIS_PROBLEM, "%s (%s) does not answer", folder->what, folder->path);
    (void)err_cause(line, "nothing came within %d s: its server, its disk or the network to it is down",
                    LIMIT_MS / 1000);
    (void)err_fix(line,
                  "findmnt -T %s says what it is; see that its server can be reached. What waits for it goes "
                  "on when it is back",
                  folder->path);
    (void)err_arg(line, "path", "%s", folder->path);
}

static bool is_full(const struct question *found, uint64_t least_bytes)
{
    return found->free_bytes < least_bytes || (found->all_files && !found->free_files);
}

static enum diagnosis_verdict judge(const struct question *found, bool is_datastore)
{
    if (found->is_read_only || (!is_datastore && is_full(found, NOTHING_BYTES)))
        return DIAGNOSIS_PROBLEM;
    return is_full(found, LITTLE_BYTES) || found->took_ns > SLOW_NS ? DIAGNOSIS_WARNING : DIAGNOSIS_OK;
}

static void explain(struct err *line, const struct folder *folder, const struct question *found)
{
    if (found->is_read_only) {
        (void)err_cause(line,
                        "it is mounted read-only: by its options, or because its disk had errors (dmesg)");
        (void)err_fix(line, "mount -o remount,rw $(findmnt -n -o TARGET -T %s)", folder->path);
    } else if (is_full(found, LITTLE_BYTES)) {
        (void)err_cause(line, "%s",
                        folder->is_datastore ? "images that grow stand still, and their guests with them"
                                             : "journals and logs can soon not be written");
        (void)err_fix(line, "make room: du -x -d 2 $(findmnt -n -o TARGET -T %s) | sort -n", folder->path);
    } else if (found->took_ns > SLOW_NS) {
        (void)err_cause(line, "it took %" PRIu64 " ms to answer", (uint64_t)(found->took_ns / NS_PER_MS));
        (void)err_fix(line, "look at its server, its disk and the network to it: iostat -x 1, findmnt -T %s",
                      folder->path);
    }
}

static void look(struct report *report, const struct folder *folder)
{
    struct question found = {0};
    struct err err = {0};
    (void)g_strlcpy(found.path, folder->path, sizeof found.path);
    if (limited_ask(look_at_path, &found, sizeof found, LIMIT_MS, &err) < 0) {
        say_hung(report, folder);
        return;
    }
    if (found.errnum) {
        say_unreachable(report, folder, found.errnum);
        return;
    }
    if (folder->name && !found.has_identity) {
        say_nameless(report, folder);
        return;
    }
    struct err *line = report_line(report, judge(&found, folder->is_datastore),
                                   "%s (%s) has %" PRIu64 " of %" PRIu64 " MiB free%s", folder->what,
                                   folder->path, found.free_bytes >> 20, found.all_bytes >> 20,
                                   found.is_read_only ? ", and is read-only" : "");
    explain(line, folder, &found);
    (void)err_arg(line, "path", "%s", folder->path);
    (void)err_arg(line, "free_mib", "%" PRIu64, found.free_bytes >> 20);
}

void check_folders(const struct patient *patient, struct report *report)
{
    const struct agent_config *agent = &patient->agent_config;
    const struct manager_config *manager = &patient->manager_config;
    if (patient->is_host) {
        look(report, &(struct folder){"the agent's state", agent->state_dir, false, NULL});
        look(report, &(struct folder){"the agent's run folder", agent->run_dir, false, NULL});
        if (agent->log.folder[0])
            look(report, &(struct folder){"the logs of tasks", agent->log.folder, false, NULL});
    }
    if (patient->is_manager) {
        look(report, &(struct folder){"the manager's state", manager->state_dir, false, NULL});
        if (manager->log.folder[0])
            look(report, &(struct folder){"the manager's logs of tasks", manager->log.folder, false, NULL});
    }
    if (!patient->is_host && !patient->is_manager)
        report_absent(report, "not looked at", "this machine is neither host nor manager yet");
}

/* ---- datastores: those of the configuration, and where else the files of the VMs of this host are ---- */

static void add_folder(GHashTable *folders, const char *path)
{
    if (*path)
        g_hash_table_add(folders, g_path_get_dirname(path));
}

static void add_folders_of(const char *config_path, GHashTable *folders)
{
    struct vm_spec *spec = g_new0(struct vm_spec, 1);
    g_autoptr(JsonObject) object = NULL;
    g_autofree char *text = files_text("%s", config_path);
    /* One that is damaged is named by the agent, and has no disks that can be looked for. */
    if (text && model_parse(text, -1, &object, NULL) == 0 && vm_spec_from_json(object, spec, NULL) == 0) {
        for (uint32_t i = 0; i < spec->n_disks; i++)
            if (spec->disks[i].path[0])
                add_folder(folders, spec->disks[i].path);
        add_folder(folders, spec->kernel);
        add_folder(folders, spec->initrd);
        add_folder(folders, spec->nvram);
    }
    g_free(spec);
}

void check_datastores(const struct patient *patient, struct report *report)
{
    g_autofree char *vms = g_build_filename(patient->agent_config.state_dir, "vms", NULL);
    g_autoptr(GHashTable) folders = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GDir) dir = patient->has_agent_config ? g_dir_open(vms, 0, NULL) : NULL;
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(vms, name, NULL);
        if (g_str_has_suffix(name, ".json"))
            add_folders_of(path, folders);
    }
    for (uint32_t i = 0; patient->has_agent_config && i < patient->agent_config.n_datastores; i++) {
        const struct datastore_config *datastore = &patient->agent_config.datastores[i];
        (void)g_hash_table_remove(folders, datastore->path);
        look(report, &(struct folder){"the datastore", datastore->path, true, datastore->name});
    }
    g_autoptr(GList) paths = g_list_sort(g_hash_table_get_keys(folders), (GCompareFunc)strcmp);
    for (GList *at = paths; at; at = at->next)
        look(report, &(struct folder){"the datastore", at->data, true, NULL});
    if (!paths && !(patient->has_agent_config && patient->agent_config.n_datastores))
        report_absent(report, "no datastore", "none is configured, and no VM of this host has files");
}
