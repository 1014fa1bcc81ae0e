/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model/pool.h"

#define DEFAULT_CGROUP "godwit-vms"
/* A unix socket's path is at most 107 bytes: RUN/vms/UUID/trace.sock must fit. */
#define RUN_DIR_MAX 55
#define LOG_KEEP_MAX 100000
#define LEASE_S_DEFAULT 90
#define LEASE_S_MAX 3600
#define VLAN_MAX 4094

struct reader {
    const char *path;
    GKeyFile *file;
    struct err *err;
};

static int bad(const struct reader *in, const char *group, const char *key, const char *what)
{
    (void)err_set(in->err, ERR_BAD_REQUEST, "bad-configuration", "%s: [%s] %s: %s", in->path, group, key,
                  what);
    (void)err_arg(in->err, "path", "%s", in->path);
    (void)err_arg(in->err, "group", "%s", group);
    (void)err_arg(in->err, "key", "%s", key);
    return err_arg(in->err, "what", "%s", what);
}

/* Keys that nobody reads are typing errors. */
static int check_keys(const struct reader *in, const char *group, const char *const *known)
{
    g_auto(GStrv) keys = g_key_file_get_keys(in->file, group, NULL, NULL);
    for (unsigned i = 0; keys && keys[i]; i++)
        if (!g_strv_contains(known, keys[i]))
            return bad(in, group, keys[i], "unknown key");
    return 0;
}

struct text_key {
    const char *group;
    const char *name;
    const char *fallback;
};

static int read_text(const struct reader *in, const struct text_key *key, char *ret, size_t size)
{
    g_autofree char *value = g_key_file_get_string(in->file, key->group, key->name, NULL);
    if (g_strlcpy(ret, value ? value : key->fallback, size) >= size)
        return bad(in, key->group, key->name, "too long");
    return 0;
}

static int read_path(const struct reader *in, const char *key, const char *fallback, char *ret)
{
    if (read_text(in, &(struct text_key){"agent", key, fallback}, ret, MODEL_PATH_MAX) < 0)
        return -1;
    if (ret[0] && ret[0] != '/')
        return bad(in, "agent", key, "must be an absolute path");
    return 0;
}

/* *value holds the default before and the setting after. */
static int read_number(const struct reader *in, const char *group, const char *key, uint64_t max,
                       uint64_t *value)
{
    g_autofree char *setting = g_key_file_get_string(in->file, group, key, NULL);
    char text[64];
    if (!setting || g_ascii_string_to_unsigned(setting, 10, 0, max, value, NULL))
        return 0;
    (void)snprintf(text, sizeof text, "must be a whole number from 0 to %llu", (unsigned long long)max);
    return bad(in, group, key, text);
}

static int read_port(const struct reader *in, const char *group, uint16_t fallback, uint16_t *ret)
{
    uint64_t value = fallback;
    if (read_number(in, group, "port", UINT16_MAX, &value) < 0)
        return -1;
    *ret = (uint16_t)value;
    return value ? 0 : bad(in, group, "port", "must be from 1 to 65535");
}

/* "name" from the password file, or "uid:gid". */
static int read_user(const struct reader *in, const char *key, const char *fallback, struct agent_user *ret)
{
    char text[MODEL_NAME_MAX];
    char end;
    if (read_text(in, &(struct text_key){"agent", key, fallback}, text, sizeof text) < 0)
        return -1;
    if (sscanf(text, "%u:%u%c", &ret->uid, &ret->gid, &end) == 2)
        return 0;
    const struct passwd *entry = getpwnam(text);
    if (!entry) {
        (void)bad(in, "agent", key, "there is no such user");
        return err_fix(in->err, "create it (useradd --system --no-create-home %s), or give numbers: uid:gid",
                       text);
    }
    ret->uid = entry->pw_uid;
    ret->gid = entry->pw_gid;
    return 0;
}

static bool address_is_valid(const char *text)
{
    struct in6_addr any;
    return inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1;
}

static int read_users(const struct reader *in, struct agent_config *config)
{
    if (read_user(in, "qemu_user", "godwit-qemu", &config->qemu_user) < 0 ||
        read_user(in, "job_user", "godwit-job", &config->job_user) < 0 ||
        read_user(in, "door_user", "godwit-door", &config->door_user) < 0)
        return -1;
    return 0;
}

static int read_log(const struct reader *in, struct task_log_config *log)
{
    uint64_t keep_files;
    uint64_t keep_days;
    char folder[MODEL_PATH_MAX];
    task_log_config_init(log);
    keep_files = log->keep_files;
    keep_days = log->keep_days;
    if (read_path(in, "log_folder", log->folder, folder) < 0 ||
        read_number(in, "agent", "log_keep_files", LOG_KEEP_MAX, &keep_files) < 0 ||
        read_number(in, "agent", "log_keep_days", LOG_KEEP_MAX, &keep_days) < 0)
        return -1;
    if (g_strlcpy(log->folder, folder, sizeof log->folder) >= sizeof log->folder)
        return bad(in, "agent", "log_folder", "too long");
    log->keep_files = (unsigned)keep_files;
    log->keep_days = (unsigned)keep_days;
    return 0;
}

static int read_agent(const struct reader *in, struct agent_config *config)
{
    static const char *const known[] = {
        "name",      "listen",     "port",           "state",         "run",
        "qemu",      "qemu_data",  "uefi_code",      "uefi_vars",     "libexec",
        "qemu_user", "job_user",   "door_user",      "accel",         "memory_reserve_mib",
        "cgroup",    "log_folder", "log_keep_files", "log_keep_days", NULL};
    char accel[8];
    char host[MODEL_NAME_MAX] = "";
    (void)gethostname(host, sizeof host - 1);
    config->memory_reserve_mib = 512;
    if (check_keys(in, "agent", known) < 0 ||
        read_text(in, &(struct text_key){"agent", "name", host}, config->name, sizeof config->name) < 0 ||
        read_text(in, &(struct text_key){"agent", "listen", "::"}, config->listen, sizeof config->listen) <
            0 ||
        read_port(in, "agent", 8443, &config->port) < 0 ||
        read_path(in, "state", "/var/lib/godwit", config->state_dir) < 0 ||
        read_path(in, "run", "/run/godwit", config->run_dir) < 0 ||
        read_path(in, "qemu", "/usr/bin/qemu-system-x86_64", config->qemu_path) < 0 ||
        read_path(in, "qemu_data", "", config->qemu_data_dir) < 0 ||
        read_path(in, "uefi_code", "/usr/share/OVMF/OVMF_CODE_4M.fd", config->uefi_code) < 0 ||
        read_path(in, "uefi_vars", "/usr/share/OVMF/OVMF_VARS_4M.fd", config->uefi_vars) < 0 ||
        read_path(in, "libexec", LIBEXEC_DIR, config->libexec_dir) < 0 || read_users(in, config) < 0 ||
        read_log(in, &config->log) < 0 ||
        read_number(in, "agent", "memory_reserve_mib", 1u << 30, &config->memory_reserve_mib) < 0 ||
        read_text(in, &(struct text_key){"agent", "accel", "auto"}, accel, sizeof accel) < 0 ||
        read_text(in, &(struct text_key){"agent", "cgroup", DEFAULT_CGROUP}, config->cgroup,
                  sizeof config->cgroup) < 0)
        return -1;
    if (config->cgroup[0] && !pool_path_is_valid(config->cgroup))
        return bad(in, "agent", "cgroup", "must be names joined by '/', without one in front, or empty");
    if (!model_name_is_valid(config->name))
        return bad(in, "agent", "name", "letters, digits, '-', '_' and '.' only");
    if (!address_is_valid(config->listen))
        return bad(in, "agent", "listen", "must be a numeric IPv4 or IPv6 address");
    if (vm_accel_from_name(accel, &config->accel) < 0)
        return bad(in, "agent", "accel", "must be auto, kvm or tcg");
    if (strlen(config->run_dir) > RUN_DIR_MAX)
        return bad(in, "agent", "run", "at most 55 characters, because socket paths are short");
    return 0;
}

static int read_migration(const struct reader *in, struct agent_config *config)
{
    static const char *const known[] = {"enabled", "addresses", "port", "lease_s", NULL};
    g_autoptr(GError) error = NULL;
    uint64_t lease_s = LEASE_S_DEFAULT;
    if (check_keys(in, "migration", known) < 0 ||
        read_port(in, "migration", 8000, &config->migration_port) < 0 ||
        read_number(in, "migration", "lease_s", LEASE_S_MAX, &lease_s) < 0)
        return -1;
    if (!lease_s)
        return bad(in, "migration", "lease_s", "must be at least 1");
    config->lease_s = (uint32_t)lease_s;
    if (g_key_file_has_key(in->file, "migration", "enabled", NULL)) {
        config->migration_enabled = g_key_file_get_boolean(in->file, "migration", "enabled", &error);
        if (error)
            return bad(in, "migration", "enabled", "must be true or false");
    }
    gsize count = 0;
    g_auto(GStrv) list = g_key_file_get_string_list(in->file, "migration", "addresses", &count, NULL);
    if (count > HOST_ADDRESSES_MAX)
        return bad(in, "migration", "addresses", "at most 4 addresses");
    for (gsize i = 0; i < count; i++) {
        const char *address = g_strstrip(list[i]);
        if (!address_is_valid(address))
            return bad(in, "migration", "addresses",
                       "must be numeric IPv4 or IPv6 addresses, separated by ';'");
        g_strlcpy(config->migration_addresses[config->n_migration_addresses++], address, MODEL_ADDRESS_MAX);
    }
    if (config->migration_enabled && !count)
        return bad(in, "migration", "addresses", "is needed when migration is enabled");
    return 0;
}

static int read_network(const struct reader *in, const char *group, struct agent_config *config)
{
    static const char *const known[] = {"bridge", "vlan", NULL};
    const char *name = group + strlen("network ");
    uint64_t vlan = 0;
    if (config->n_networks == HOST_NETWORKS_MAX)
        return bad(in, group, "bridge", "at most 16 networks");
    struct host_network *network = &config->networks[config->n_networks];
    if (check_keys(in, group, known) < 0 ||
        read_text(in, &(struct text_key){group, "bridge", ""}, network->bridge, sizeof network->bridge) < 0 ||
        read_number(in, group, "vlan", VLAN_MAX, &vlan) < 0)
        return -1;
    network->vlan = (uint32_t)vlan;
    if (!model_name_is_valid(name) ||
        g_strlcpy(network->name, name, sizeof network->name) >= sizeof network->name)
        return bad(in, group, "bridge", "the network's name may have letters, digits, '-', '_' and '.' only");
    if (!network->bridge[0])
        return bad(in, group, "bridge", "is needed");
    config->n_networks++;
    return 0;
}

static int read_datastore(const struct reader *in, const char *group, struct agent_config *config)
{
    static const char *const known[] = {"path", NULL};
    const char *name = group + strlen("datastore ");
    if (config->n_datastores == HOST_DATASTORES_MAX)
        return bad(in, group, "path", "at most 16 datastores");
    struct datastore_config *datastore = &config->datastores[config->n_datastores];
    if (check_keys(in, group, known) < 0 ||
        read_text(in, &(struct text_key){group, "path", ""}, datastore->path, sizeof datastore->path) < 0)
        return -1;
    if (!model_name_is_valid(name) ||
        g_strlcpy(datastore->name, name, sizeof datastore->name) >= sizeof datastore->name)
        return bad(in, group, "path", "the datastore's name may have letters, digits, '-', '_' and '.' only");
    if (datastore->path[0] != '/')
        return bad(in, group, "path", "must be the absolute path of its folder");
    for (uint32_t i = 0; i < config->n_datastores; i++)
        if (!strcmp(config->datastores[i].path, datastore->path))
            return bad(in, group, "path", "is that of another datastore");
    config->n_datastores++;
    return 0;
}

static int refuse_group(const struct reader *in, const char *group)
{
    g_auto(GStrv) keys = g_key_file_get_keys(in->file, group, NULL, NULL);
    const char *key = keys && keys[0] ? keys[0] : "";
    (void)err_set(in->err, ERR_BAD_REQUEST, "bad-configuration",
                  "%s: [%s]%s%s: unknown group, [agent], [migration], [network NAME] and "
                  "[datastore NAME] are known",
                  in->path, group, key[0] ? " " : "", key);
    (void)err_arg(in->err, "path", "%s", in->path);
    (void)err_arg(in->err, "group", "%s", group);
    return err_arg(in->err, "key", "%s", key);
}

static int read_groups(const struct reader *in, struct agent_config *config)
{
    g_auto(GStrv) groups = g_key_file_get_groups(in->file, NULL);
    for (unsigned i = 0; groups[i]; i++) {
        int result = 0;
        if (g_str_has_prefix(groups[i], "network "))
            result = read_network(in, groups[i], config);
        else if (g_str_has_prefix(groups[i], "datastore "))
            result = read_datastore(in, groups[i], config);
        else if (strcmp(groups[i], "agent") != 0 && strcmp(groups[i], "migration") != 0)
            result = refuse_group(in, groups[i]);
        if (result < 0)
            return -1;
    }
    if (read_agent(in, config) < 0)
        return -1;
    return read_migration(in, config);
}

int config_read(const char *path, struct agent_config *ret_config, struct err *err)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) error = NULL;
    const struct reader in = {.path = path, .file = file, .err = err};
    memset(ret_config, 0, sizeof *ret_config);
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &error)) {
        (void)err_set(err, ERR_BAD_REQUEST, "bad-configuration", "cannot read the configuration %s", path);
        (void)err_arg(err, "path", "%s", path);
        return err_cause(err, "%s", error->message);
    }
    return read_groups(&in, ret_config);
}
