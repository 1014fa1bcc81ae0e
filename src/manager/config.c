/* SPDX-License-Identifier: Apache-2.0 */
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>

#include "manager/manager.h"

#define GROUP "manager"
#define DEFAULT_STATE "/var/lib/godwit-manager"
#define DEFAULT_SOCKET "/run/godwit-manager/godwitd.sock"
#define DEFAULT_PORT 8400
#define LOG_KEEP_MAX 100000
#define KEEP_DAYS 90
#define KEEP_DAYS_MAX 36500
#define EVENTS_KEEP 100000
#define TASKS_KEEP 20000
#define KEEP_MAX 100000000
#define HOST_CERTIFICATE_HOURS_MAX (397 * 24)
#define DEADLINES "deadlines"
#define DEADLINE_MAX_S 3600

static const char *const known_keys[] = {"state",
                                         "listen",
                                         "port",
                                         "socket",
                                         "addresses",
                                         "host_certificate_hours",
                                         "log_folder",
                                         "log_keep_files",
                                         "log_keep_days",
                                         "events_keep",
                                         "events_keep_days",
                                         "tasks_keep",
                                         "tasks_keep_days",
                                         NULL};

/* The phases that wait for a host. */
static const char *const deadline_keys[MOVE_PHASES] = {
    [PHASE_DESTINATION_CHECK] = "destination_check_s", [PHASE_SOURCE_CHECK] = "source_check_s",
    [PHASE_DESTINATION_SHELL] = "destination_shell_s", [PHASE_COPY] = "copy_stalled_s",
    [PHASE_SWITCH_OVER] = "switch_over_extra_s",       [PHASE_INVENTORY] = "inventory_s",
};

static int refuse_in(const char *path, const char *group, const char *key, const char *must, struct err *err)
{
    err_set(err, ERR_BAD_REQUEST, "bad-configuration", "%s: [%s] %s %s", path, group, key, must);
    (void)err_arg(err, "file", "%s", path);
    (void)err_arg(err, "group", "%s", group);
    (void)err_arg(err, "key", "%s", key);
    return err_fix(err, "correct the file and start the manager again");
}

static int refuse(const char *path, const char *key, const char *must, struct err *err)
{
    return refuse_in(path, GROUP, key, must, err);
}

static int read_path(GKeyFile *file, const char *path, const char *key, const char *fallback,
                     char ret_value[MODEL_PATH_MAX], struct err *err)
{
    g_autofree char *value = g_key_file_get_string(file, GROUP, key, NULL);
    const char *chosen = value ? value : fallback;
    if ((chosen[0] && chosen[0] != '/') || strlen(chosen) >= MODEL_PATH_MAX)
        return refuse(path, key, "must be an absolute path", err);
    (void)snprintf(ret_value, MODEL_PATH_MAX, "%s", chosen);
    return 0;
}

struct number_key {
    const char *name;
    unsigned lowest;
    unsigned highest;
};

/* *value holds the default. */
static int read_number(GKeyFile *file, const char *path, const struct number_key *key, unsigned *value,
                       struct err *err)
{
    g_autofree char *text = g_key_file_get_string(file, GROUP, key->name, NULL);
    guint64 number;
    if (!text)
        return 0;
    if (!g_ascii_string_to_unsigned(text, 10, key->lowest, key->highest, &number, NULL)) {
        g_autofree char *must =
            g_strdup_printf("must be a whole number from %u to %u", key->lowest, key->highest);
        return refuse(path, key->name, must, err);
    }
    *value = (unsigned)number;
    return 0;
}

static int read_numbers(GKeyFile *file, const char *path, struct manager_config *config, struct err *err)
{
    unsigned port = DEFAULT_PORT;
    config->host_certificate_hours = HOST_CERTIFICATE_HOURS_MAX;
    config->events_keep = (struct keep_config){EVENTS_KEEP, KEEP_DAYS};
    config->tasks_keep = (struct keep_config){TASKS_KEEP, KEEP_DAYS};
    if (read_number(file, path, &(struct number_key){"port", 0, 65535}, &port, err) ||
        read_number(file, path, &(struct number_key){"host_certificate_hours", 1, HOST_CERTIFICATE_HOURS_MAX},
                    &config->host_certificate_hours, err) ||
        read_number(file, path, &(struct number_key){"log_keep_files", 0, LOG_KEEP_MAX},
                    &config->log.keep_files, err) ||
        read_number(file, path, &(struct number_key){"log_keep_days", 0, LOG_KEEP_MAX},
                    &config->log.keep_days, err) ||
        read_number(file, path, &(struct number_key){"events_keep", 1, KEEP_MAX}, &config->events_keep.number,
                    err) ||
        read_number(file, path, &(struct number_key){"events_keep_days", 1, KEEP_DAYS_MAX},
                    &config->events_keep.days, err) ||
        read_number(file, path, &(struct number_key){"tasks_keep", 1, KEEP_MAX}, &config->tasks_keep.number,
                    err) ||
        read_number(file, path, &(struct number_key){"tasks_keep_days", 1, KEEP_DAYS_MAX},
                    &config->tasks_keep.days, err))
        return -1;
    config->port = (uint16_t)port;
    return 0;
}

static int read_log_folder(GKeyFile *file, const char *path, struct task_log_config *log, struct err *err)
{
    char folder[MODEL_PATH_MAX];
    if (read_path(file, path, "log_folder", log->folder, folder, err))
        return -1;
    if (g_strlcpy(log->folder, folder, sizeof log->folder) >= sizeof log->folder)
        return refuse(path, "log_folder", "is too long", err);
    return 0;
}

static int read_listen(GKeyFile *file, const char *path, struct manager_config *config, struct err *err)
{
    config->listen = g_key_file_get_string_list(file, GROUP, "listen", NULL, NULL);
    if (!config->listen)
        config->listen = g_strsplit("127.0.0.1", ";", -1);
    for (char **address = config->listen; *address; address++)
        if (!g_hostname_is_ip_address(g_strstrip(*address)))
            return refuse(path, "listen", "must be a list of numeric addresses, like 198.18.1.1;::1", err);
    config->addresses = g_key_file_get_string_list(file, GROUP, "addresses", NULL, NULL);
    if (!config->addresses)
        config->addresses = g_strdupv(config->listen);
    for (char **address = config->addresses; *address; address++)
        g_strstrip(*address);
    return 0;
}

static int read_deadlines(GKeyFile *file, const char *path, struct manager_config *config, struct err *err)
{
    for (unsigned phase = 0; phase < MOVE_PHASES; phase++) {
        const char *key = deadline_keys[phase];
        g_autoptr(GError) error = NULL;
        if (!key || !g_key_file_has_key(file, DEADLINES, key, NULL))
            continue;
        int seconds = g_key_file_get_integer(file, DEADLINES, key, &error);
        if (error || seconds < 1 || seconds > DEADLINE_MAX_S)
            return refuse_in(path, DEADLINES, key, "must be a number of seconds from 1 to 3600", err);
        config->deadline_s[phase] = (unsigned)seconds;
    }
    return 0;
}

static bool is_deadline_key(const char *key)
{
    for (unsigned phase = 0; phase < MOVE_PHASES; phase++)
        if (deadline_keys[phase] && !strcmp(deadline_keys[phase], key))
            return true;
    return false;
}

static int check_deadline_keys(GKeyFile *file, const char *path, struct err *err)
{
    g_auto(GStrv) keys = g_key_file_get_keys(file, DEADLINES, NULL, NULL);
    for (char **key = keys; key && *key; key++)
        if (!is_deadline_key(*key))
            return refuse_in(path, DEADLINES, *key,
                             "is not a key of this file: destination_check_s, source_check_s, "
                             "destination_shell_s, copy_stalled_s, switch_over_extra_s, inventory_s are",
                             err);
    return 0;
}

static int check_keys(GKeyFile *file, const char *path, struct err *err)
{
    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
    for (char **group = groups; *group; group++) {
        if (!strcmp(*group, GROUP) || !strcmp(*group, DEADLINES))
            continue;
        g_auto(GStrv) stray = g_key_file_get_keys(file, *group, NULL, NULL);
        err_set(err, ERR_BAD_REQUEST, "bad-configuration",
                "%s: [%s]%s%s: unknown group, only [" GROUP "] and [" DEADLINES "] are known", path, *group,
                stray && *stray ? " " : "", stray && *stray ? *stray : "");
        return err_fix(err, "correct the file and start the manager again");
    }
    g_auto(GStrv) keys = g_key_file_get_keys(file, GROUP, NULL, NULL);
    for (char **key = keys; key && *key; key++) {
        if (g_strv_contains(known_keys, *key))
            continue;
        g_autofree char *names = g_strjoinv(", ", (char **)known_keys);
        g_autofree char *must = g_strdup_printf("is not a key of this file: %s are", names);
        return refuse(path, *key, must, err);
    }
    return check_deadline_keys(file, path, err);
}

int manager_config_read(const char *path, struct manager_config *ret_config, struct err *err)
{
    *ret_config = (struct manager_config){0};
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) error = NULL;
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &error)) {
        err_set(err, ERR_BAD_REQUEST, "bad-configuration", "cannot read the configuration %s", path);
        err_cause(err, "%s", error->message);
        return err_fix(err, "name the file with --config FILE");
    }
    task_log_config_init(&ret_config->log);
    if (check_keys(file, path, err) || read_log_folder(file, path, &ret_config->log, err) ||
        read_path(file, path, "state", DEFAULT_STATE, ret_config->state_dir, err) ||
        read_path(file, path, "socket", DEFAULT_SOCKET, ret_config->socket_path, err) ||
        read_numbers(file, path, ret_config, err) || read_deadlines(file, path, ret_config, err))
        return -1;
    return read_listen(file, path, ret_config, err);
}

void manager_config_clear(struct manager_config *config)
{
    g_strfreev(config->listen);
    g_strfreev(config->addresses);
    config->listen = config->addresses = NULL;
}
