/* SPDX-License-Identifier: Apache-2.0 */
/* What a doctor elsewhere needs, in one file. */
#include <errno.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/journal.h"
#include "base/cleanup.h"
#include "doctor/files.h"
#include "doctor/limited.h"
#include "doctor/patient.h"
#include "doctor/scrub.h"
#include "model/move.h"

#define PROGRAM_MS 20000
#define PACK_MS 120000
#define CALL_S 20
#define LOGS_MAX 40            /* newest of each folder */
#define LOG_BYTES (256u << 10) /* end of each */

struct bundle {
    const struct patient *patient;
    char *folder;    /* that is packed */
    GString *absent; /* what could not be had, and why */
    struct err err;  /* the first that could not be written */
};

/* Every text goes through here, and so through the scrubber. */
static void put(struct bundle *bundle, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(bundle->folder, name, NULL);
    g_autofree char *parent = g_path_get_dirname(path);
    g_autofree char *clean = scrub(text);
    g_autoptr(GError) error = NULL;
    (void)g_mkdir_with_parents(parent, 0700);
    if (g_file_set_contents_full(path, clean, -1, G_FILE_SET_CONTENTS_NONE, 0600, &error) ||
        err_is_set(&bundle->err))
        return;
    (void)err_set(&bundle->err, ERR_INTERNAL, "bundle-failed", "cannot write %s", path);
    (void)err_cause(&bundle->err, "%s", error->message);
    (void)err_fix(&bundle->err, "make room in %s, or set TMPDIR", g_get_tmp_dir());
}

static void miss(struct bundle *bundle, const char *name, const struct err *why)
{
    g_string_append_printf(bundle->absent, "%s: %s %s\n", name, why->message, why->cause);
}

static void put_file(struct bundle *bundle, const char *name, const char *path)
{
    g_autofree char *text = files_text("%s", path);
    if (text)
        put(bundle, name, text);
    else
        g_string_append_printf(bundle->absent, "%s: %s cannot be read\n", name, path);
}

static void put_output(struct bundle *bundle, const char *name, const char *const *argv)
{
    g_autofree char *output = NULL;
    struct err err = {0};
    if (limited_run(argv, PROGRAM_MS, &output, &err) == 0)
        put(bundle, name, output);
    else
        miss(bundle, name, &err);
}

/* ---- programs' words ---- */

/* The daemons that were installed with this program. */
static void put_version_of(struct bundle *bundle, const char *daemon)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = g_path_get_dirname(self ? self : "");
    g_autofree char *path = g_build_filename(folder, "..", "sbin", daemon, NULL);
    g_autofree char *name = g_strdup_printf("versions/%s.txt", daemon);
    put_output(bundle, name, (const char *const[]){path, "--version", NULL});
}

static void put_versions(struct bundle *bundle)
{
    const struct agent_config *agent = &bundle->patient->agent_config;
    put_file(bundle, "versions/kernel.txt", "/proc/version");
    put_file(bundle, "versions/os-release.txt", "/etc/os-release");
    put_version_of(bundle, "godwit-agent");
    put_version_of(bundle, "godwitd");
    if (bundle->patient->has_agent_config)
        put_output(bundle, "versions/qemu.txt", (const char *const[]){agent->qemu_path, "--version", NULL});
}

static void put_network(struct bundle *bundle)
{
    put_output(bundle, "network/addresses.txt", (const char *const[]){"ip", "-s", "-d", "address", NULL});
    put_output(bundle, "network/routes.txt",
               (const char *const[]){"ip", "route", "show", "table", "all", NULL});
    put_output(bundle, "network/sockets.txt", (const char *const[]){"ss", "-tlnp", NULL});
    put_output(bundle, "network/firewall.txt", (const char *const[]){"nft", "list", "ruleset", NULL});
}

static void put_configs(struct bundle *bundle)
{
    put_file(bundle, "configs/agent.conf", bundle->patient->wish->agent_config);
    put_file(bundle, "configs/manager.conf", bundle->patient->wish->manager_config);
}

/* ---- logs ---- */

static char *read_end(const char *path)
{
    auto_file file = fopen(path, "re");
    if (!file)
        return NULL;
    char *text = g_malloc(LOG_BYTES + 1);
    /* A shorter one is read from its beginning. */
    if (fseek(file, -(long)LOG_BYTES, SEEK_END) < 0)
        rewind(file);
    text[fread(text, 1, LOG_BYTES, file)] = '\0';
    return text;
}

struct log_file {
    char *path;
    time_t changed_s;
};

static void log_file_clear(void *pointer)
{
    g_free(((struct log_file *)pointer)->path);
}

static int newest_first(const void *one, const void *other)
{
    const struct log_file *left = one, *right = other;
    return (left->changed_s < right->changed_s) - (left->changed_s > right->changed_s);
}

static void put_logs(struct bundle *bundle, const char *name, const char *folder)
{
    g_autoptr(GArray) logs = g_array_new(FALSE, FALSE, sizeof(struct log_file));
    g_autoptr(GDir) dir = *folder ? g_dir_open(folder, 0, NULL) : NULL;
    const char *entry;
    g_array_set_clear_func(logs, log_file_clear);
    while (dir && (entry = g_dir_read_name(dir))) {
        struct stat its;
        struct log_file log = {.path = g_build_filename(folder, entry, NULL)};
        bool is_file = stat(log.path, &its) == 0 && S_ISREG(its.st_mode);
        log.changed_s = is_file ? its.st_mtime : 0;
        if (is_file)
            g_array_append_val(logs, log);
        else
            g_free(log.path);
    }
    g_array_sort(logs, newest_first);
    for (guint i = 0; i < logs->len && i < LOGS_MAX; i++) {
        const char *path = g_array_index(logs, struct log_file, i).path;
        g_autofree char *text = read_end(path);
        g_autofree char *base = g_path_get_basename(path);
        g_autofree char *as = g_build_filename("logs", name, base, NULL);
        if (text)
            put(bundle, as, text);
    }
}

/* ---- VMs: whose they are, and what QEMU said. The guests' consoles are theirs ---- */

static void describe_journal(GString *list, const char *path, const char *uuid)
{
    struct journal_entry entry;
    struct err err = {0};
    if (journal_look(path, &entry, &err) < 0)
        g_string_append_printf(list, "%s: %s\n", uuid, err.message);
    else
        g_string_append_printf(list, "%s: %s epoch %" PRIu64 "%s%s%s\n", uuid, journal_step_name(entry.step),
                               entry.epoch, entry.session[0] ? " in move " : "", entry.session,
                               !entry.session[0]      ? ""
                               : entry.is_destination ? " (destination)"
                                                      : " (source)");
    explicit_bzero(&entry, sizeof entry);
}

static void put_vms(struct bundle *bundle)
{
    const struct agent_config *config = &bundle->patient->agent_config;
    g_autofree char *folder = g_build_filename(config->state_dir, "vms", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    g_autoptr(GString) list = g_string_new(NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        if (!g_str_has_suffix(name, ".journal"))
            continue;
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *uuid = g_strndup(name, strlen(name) - strlen(".journal"));
        g_autofree char *log = g_build_filename(config->run_dir, "vms", uuid, "qemu.log", NULL);
        g_autofree char *text = read_end(log);
        g_autofree char *as = g_strdup_printf("logs/qemu/%s.log", uuid);
        describe_journal(list, path, uuid);
        if (text)
            put(bundle, as, text);
    }
    put(bundle, "journals.txt", list->str);
}

/* ---- the manager's word ---- */

static void put_answer(struct bundle *bundle, const char *name, const char *path)
{
    g_autoptr(JsonObject) answer = NULL;
    struct err err = {0};
    if (http_client_call_sync(bundle->patient->wish->manager, &(struct http_call){"GET", path, NULL, CALL_S},
                              &answer, &err) < 0) {
        miss(bundle, name, &err);
        return;
    }
    g_autofree char *text = answer ? model_print(answer, true) : g_strdup("");
    put(bundle, name, text);
}

static void put_inventory(struct bundle *bundle)
{
    if (!bundle->patient->wish->manager) {
        miss(bundle, "manager", &bundle->patient->wish->manager_err);
        return;
    }
    put_answer(bundle, "manager/hosts.json", "/v1/hosts");
    put_answer(bundle, "manager/vms.json", "/v1/vms");
    put_answer(bundle, "manager/tasks.json", "/v1/tasks?limit=100");
    put_answer(bundle, "manager/events.json", "/v1/events");
}

/* ---- */

static void put_lines(struct bundle *bundle, const struct diagnoses *lines)
{
    g_autoptr(JsonObject) document = json_object_new();
    json_object_set_array_member(document, "checks", diagnoses_to_json(lines));
    g_autofree char *text = model_print(document, true);
    put(bundle, "doctor.json", text);
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        remove_tree(child);
    }
    (void)g_remove(path);
}

static int pack(const char *folder, const char *name, const char *path, struct err *err)
{
    /* --auto-compress goes by the name's end. */
    const char *const argv[] = {"tar", "--create", "--auto-compress", "--file", path, "--directory", folder,
                                name,  NULL};
    g_autofree char *output = NULL;
    mode_t before = umask(077);
    int result = limited_run(argv, PACK_MS, &output, err);
    (void)umask(before);
    if (result < 0)
        return err_fix(err, "name another file; .tar.zst needs the program zstd, .tar.gz does not");
    return 0;
}

static void collect(struct bundle *bundle, const struct diagnoses *lines)
{
    const struct patient *patient = bundle->patient;
    put_lines(bundle, lines);
    put_versions(bundle);
    put_configs(bundle);
    put_network(bundle);
    if (patient->has_agent_config) {
        put_logs(bundle, "tasks", patient->agent_config.log.folder);
        put_vms(bundle);
    }
    if (patient->has_manager_config)
        put_logs(bundle, "manager-tasks", patient->manager_config.log.folder);
    put_output(bundle, "logs/daemons.log",
               (const char *const[]){"journalctl", "--no-pager", "--lines=5000", "--output=short-iso", "-u",
                                     "godwit-agent", "-u", "godwitd", NULL});
    put_inventory(bundle);
    put(bundle, "absent.txt", bundle->absent->str);
}

int doctor_bundle(const struct doctor_wish *wish, const struct diagnoses *lines, const char *path,
                  struct err *err)
{
    static const char name[] = "godwit-doctor";
    g_autofree char *parent = g_dir_make_tmp("godwit-doctor-XXXXXX", NULL);
    struct patient *patient = g_new0(struct patient, 1);
    int result = -1;
    if (!parent) {
        (void)err_sys(err, errno, "bundle-failed", "cannot make a folder in %s", g_get_tmp_dir());
    } else {
        struct bundle bundle = {.patient = patient,
                                .folder = g_build_filename(parent, name, NULL),
                                .absent = g_string_new("What could not be had:\n")};
        patient_open(patient, wish);
        collect(&bundle, lines);
        if (err_is_set(&bundle.err))
            *err = bundle.err;
        else
            result = pack(parent, name, path, err);
        remove_tree(parent);
        g_string_free(bundle.absent, TRUE);
        g_free(bundle.folder);
        patient_close(patient);
    }
    g_free(patient);
    return result;
}
