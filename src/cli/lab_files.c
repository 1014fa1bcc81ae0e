/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdio.h"
#include "cli/lab.h"
#include "model/move.h"

#define LAB_JSON_MAX 65536

void lab_clear(struct lab *lab)
{
    g_free(lab->dir);
    g_free(lab->name);
    g_free(lab->link_rate);
    for (int host = 0; host < LAB_HOSTS_MAX; host++) {
        g_free(lab->qemu[host]);
        g_free(lab->qemu_data[host]);
    }
    g_free(lab->bin_dir);
    g_free(lab->libexec_dir);
}

char *lab_path(const struct lab *lab, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *rest = g_strdup_vprintf(format, args);
    va_end(args);
    return g_build_filename(lab->dir, rest, NULL);
}

char *lab_program(const struct lab *lab, const char *name)
{
    char *beside = g_build_filename(lab->bin_dir, name, NULL);
    if (access(beside, X_OK) == 0)
        return beside;
    g_free(beside);
    return g_build_filename(lab->bin_dir, "..", "sbin", name, NULL);
}

bool lab_exists(const struct lab *lab)
{
    g_autofree char *path = lab_path(lab, "lab.json");
    return access(path, F_OK) == 0;
}

static void replace(char **field, const char *text)
{
    g_free(*field);
    *field = *text ? g_strdup(text) : NULL;
}

static void load_by_host(JsonObject *object, const char *member, char *fields[LAB_HOSTS_MAX])
{
    JsonArray *list = cli_array(object, member);
    for (guint host = 0; host < LAB_HOSTS_MAX; host++) {
        bool is_there = list && host < json_array_get_length(list);
        replace(&fields[host], is_there ? json_array_get_string_element(list, host) : "");
    }
}

static void save_by_host(JsonObject *object, const char *member, char *const fields[LAB_HOSTS_MAX])
{
    JsonArray *list = json_array_new();
    for (int host = 0; host < LAB_HOSTS_MAX; host++)
        json_array_add_string_element(list, fields[host] ? fields[host] : "");
    json_object_set_array_member(object, member, list);
}

int lab_load(struct lab *lab, bool *ret_complete, struct err *err)
{
    g_autofree char *path = lab_path(lab, "lab.json");
    g_autofree char *text = NULL;
    g_autoptr(JsonObject) object = NULL;
    if (fdio_read_file(path, LAB_JSON_MAX, &text, err) < 0)
        return -1;
    if (model_parse(text, -1, &object, err) < 0)
        return err_prefix(err, "%s", path);
    replace(&lab->name, cli_string(object, "name"));
    replace(&lab->link_rate, cli_string(object, "link_rate"));
    load_by_host(object, "qemu", lab->qemu);
    load_by_host(object, "qemu_data", lab->qemu_data);
    lab->hosts = (int)cli_number(object, "hosts");
    lab->mtu = (int)cli_number(object, "mtu");
    lab->links = cli_number(object, "links") == 2 ? 2 : 1;
    lab->ip = cli_number(object, "ip") == 6 ? 6 : 4;
    if (ret_complete)
        *ret_complete = cli_number(object, "complete") != 0;
    return 0;
}

int lab_save(const struct lab *lab, bool complete, struct err *err)
{
    if (g_mkdir_with_parents(lab->dir, 0755) < 0)
        return err_sys(err, errno, "mkdir-failed", "cannot make the lab's folder %s", lab->dir);
    g_autoptr(JsonObject) object = json_object_new();
    json_object_set_string_member(object, "name", lab->name);
    json_object_set_int_member(object, "hosts", lab->hosts);
    json_object_set_string_member(object, "link_rate", lab->link_rate ? lab->link_rate : "");
    json_object_set_int_member(object, "mtu", lab->mtu);
    json_object_set_int_member(object, "links", lab->links);
    json_object_set_int_member(object, "ip", lab->ip);
    save_by_host(object, "qemu", lab->qemu);
    save_by_host(object, "qemu_data", lab->qemu_data);
    json_object_set_int_member(object, "complete", complete);
    g_autofree char *text = model_print(object, true);
    g_autofree char *path = lab_path(lab, "lab.json");
    return fdio_replace_file(path, text, strlen(text), 0644, err);
}

static int make_dir(const struct lab *lab, const char *name, unsigned mode, struct err *err)
{
    g_autofree char *path = g_build_filename(lab->dir, name, NULL);
    if (g_mkdir_with_parents(path, (int)mode) < 0 || chmod(path, mode) < 0)
        return err_sys(err, errno, "mkdir-failed", "cannot make %s", path);
    return 0;
}

static int write_text(const char *path, unsigned mode, struct err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int write_text(const char *path, unsigned mode, struct err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    return fdio_replace_file(path, text, strlen(text), mode, err);
}

static int write_agent_config(const struct lab *lab, int host, struct err *err)
{
    g_autofree char *dir = g_strdup_printf("hosts/h%d", host);
    g_autofree char *path = lab_path(lab, "%s/agent.conf", dir);
    g_autoptr(GString) qemu = g_string_new(NULL);
    if (lab->qemu[host - 1])
        g_string_append_printf(qemu, "qemu=%s\n", lab->qemu[host - 1]);
    if (lab->qemu_data[host - 1])
        g_string_append_printf(qemu, "qemu_data=%s\n", lab->qemu_data[host - 1]);
    if (make_dir(lab, dir, 0755, err) < 0)
        return -1;
    char management[LAB_ADDRESS_SIZE], migration[LAB_ADDRESS_SIZE], second[LAB_ADDRESS_SIZE];
    g_autoptr(GString) addresses = g_string_new(lab_address(lab, LAB_MIGRATION, LAB_HOST(host), migration));
    if (lab->links > 1)
        g_string_append_printf(addresses, ";%s", lab_address(lab, LAB_MIGRATION_2, LAB_HOST(host), second));
    return write_text(
        path, 0644, err,
        "[agent]\nname=h%d\nlisten=%s\nport=8443\nstate=%s/%s/state\nrun=%s/%s/run\nlibexec=%s\n%s"
        "qemu_user=%d:%d\njob_user=%d:%d\ndoor_user=%d:%d\nmemory_reserve_mib=256\n"
        "log_folder=%s/%s/tasks\n\n"
        "[migration]\nenabled=true\naddresses=%s\nport=8000\n\n[network vmnet]\nbridge=br0\n\n"
        "[datastore " LAB_DATASTORE "]\npath=%s/datastore\n",
        host, lab_address(lab, LAB_MANAGEMENT, LAB_HOST(host), management), lab->dir, dir, lab->dir, dir,
        lab->libexec_dir, qemu->str, LAB_QEMU_UID, LAB_QEMU_UID, LAB_JOB_UID, LAB_JOB_UID, LAB_DOOR_UID,
        LAB_DOOR_UID, lab->dir, dir, addresses->str, lab->dir);
}

int lab_write_configs(const struct lab *lab, struct err *err)
{
    if (make_dir(lab, "services", 0755, err) < 0 || make_dir(lab, "log", 0755, err) < 0 ||
        make_dir(lab, "manager", 0700, err) < 0 || make_dir(lab, "datastore", 0755, err) < 0)
        return -1;
    g_autofree char *datastore = lab_path(lab, "datastore");
    if (chown(datastore, LAB_QEMU_UID, LAB_QEMU_UID) < 0)
        return err_sys(err, errno, "chown-failed", "cannot give %s to the lab's QEMU user", datastore);
    g_autofree char *path = lab_path(lab, "manager/manager.conf");
    char address[LAB_ADDRESS_SIZE];
    (void)lab_address(lab, LAB_MANAGEMENT, LAB_MANAGER, address);
    if (write_text(path, 0600, err,
                   "[manager]\nstate=%s/manager/state\nlisten=%s\nport=8400\nsocket=%s/manager/godwitd.sock\n"
                   "addresses=%s\nlog_folder=%s/log/tasks\n",
                   lab->dir, address, lab->dir, address, lab->dir) < 0)
        return -1;
    for (int host = 1; host <= lab->hosts; host++)
        if (write_agent_config(lab, host, err) < 0)
            return -1;
    return 0;
}

int lab_write_cli_config(const struct lab *lab, const char *token, struct err *err)
{
    g_autofree char *path = lab_path(lab, "cli.conf");
    return write_text(path, 0600, err, "[manager]\nserver=unix:%s/manager/godwitd.sock\ntoken=%s\n", lab->dir,
                      token);
}

static int remove_tree(const char *path, struct err *err)
{
    struct stat its;
    if (lstat(path, &its) < 0)
        return errno == ENOENT ? 0 : err_sys(err, errno, "remove-failed", "cannot look at %s", path);
    if (S_ISDIR(its.st_mode)) {
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        for (const char *name; dir && (name = g_dir_read_name(dir));) {
            g_autofree char *child = g_build_filename(path, name, NULL);
            if (remove_tree(child, err) < 0)
                return -1;
        }
    }
    if (g_remove(path) < 0)
        return err_sys(err, errno, "remove-failed", "cannot remove %s", path);
    return 0;
}

int lab_remove_dir(const struct lab *lab, struct err *err)
{
    /* Only a folder that a lab made: it has lab.json, or nothing is touched. It goes last, so that an
     * interrupted removal can be repeated. */
    if (!lab_exists(lab))
        return 0;
    g_autoptr(GDir) dir = g_dir_open(lab->dir, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *child = g_build_filename(lab->dir, name, NULL);
        if (strcmp(name, "lab.json") != 0 && remove_tree(child, err) < 0)
            return -1;
    }
    return remove_tree(lab->dir, err);
}
