/* SPDX-License-Identifier: Apache-2.0 */
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "cli/lab.h"

#define CONNECT_DEADLINE_S 30

struct lab_options {
    int hosts;
    int mtu;
    int links;
    int ip;
    char *link_rate;
    char **qemu;
    char **qemu_data;
    char *dir;
    char *name;
    char *netns;
    char *kvm_dir;
};

static void lab_options_clear(struct lab_options *options)
{
    g_free(options->link_rate);
    g_strfreev(options->qemu);
    g_strfreev(options->qemu_data);
    g_free(options->dir);
    g_free(options->name);
    g_free(options->netns);
    g_free(options->kvm_dir);
}

static int find_programs(struct lab *lab, struct err *err)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0)
        return err_set(err, ERR_INTERNAL, "no-proc", "cannot read /proc/self/exe");
    path[length] = '\0';
    lab->bin_dir = g_path_get_dirname(path);
    lab->libexec_dir = g_build_filename(lab->bin_dir, "..", "libexec", "godwit", NULL);
    char *real = realpath(lab->libexec_dir, NULL);
    if (!real) {
        (void)err_set(err, ERR_NOT_FOUND, "not-installed",
                      "the lab needs the installed programs, and %s is not there", lab->libexec_dir);
        return err_fix(err, "run 'make install' (or 'make demo', which installs below build/stage)");
    }
    g_free(lab->libexec_dir);
    lab->libexec_dir = g_strdup(real);
    free(real);
    return 0;
}

static int check_options(const struct lab_options *options)
{
    if (options->hosts < LAB_HOSTS_MIN || options->hosts > LAB_HOSTS_MAX)
        return cli_usage_error("--hosts must be from %d to %d, not %d", LAB_HOSTS_MIN, LAB_HOSTS_MAX,
                               options->hosts);
    if (options->ip != 4 && options->ip != 6)
        return cli_usage_error("--ip must be 4 or 6, not %d", options->ip);
    if (options->links < 1 || options->links > LAB_LINKS_MAX)
        return cli_usage_error("--links must be 1 or %d, not %d", LAB_LINKS_MAX, options->links);
    if (options->mtu < 1280 || options->mtu > 9000)
        return cli_usage_error("--mtu must be from 1280 to 9000, not %d", options->mtu);
    if (strlen(options->name) > 12 || !*options->name ||
        strspn(options->name, "abcdefghijklmnopqrstuvwxyz0123456789") != strlen(options->name))
        return cli_usage_error("--name must be 1 to 12 lower-case letters and digits, not '%s'",
                               options->name);
    if (!g_path_is_absolute(options->dir))
        return cli_usage_error("--dir must be an absolute path, not '%s'", options->dir);
    if (strlen(options->dir) > 40)
        return cli_usage_error("--dir must be at most 40 characters (unix sockets lie below it), not %zu",
                               strlen(options->dir));
    return CLI_DONE;
}

/* "PATH" for all hosts, or "hN=PATH" for one; later ones win. */
static int set_by_host(char *const *settings, const char *option, const struct lab *lab,
                       char *ret_paths[LAB_HOSTS_MAX])
{
    for (; settings && *settings; settings++) {
        const char *path = *settings;
        int first = 1, last = lab->hosts;
        if (path[0] == 'h' && g_ascii_isdigit(path[1]) && path[2] == '=') {
            first = last = path[1] - '0';
            path += 3;
            if (first < 1 || first > lab->hosts)
                return cli_usage_error("--%s %s: the hosts are h1 to h%d", option, *settings, lab->hosts);
        }
        if (!g_path_is_absolute(path))
            return cli_usage_error("--%s must be an absolute path or hN=PATH, not '%s'", option, *settings);
        for (int host = first; host <= last; host++) {
            g_free(ret_paths[host - 1]);
            ret_paths[host - 1] = g_strdup(path);
        }
    }
    return CLI_DONE;
}

static int set_qemu(const struct lab_options *options, struct lab *lab)
{
    int result = set_by_host(options->qemu, "qemu", lab, lab->qemu);
    if (result == CLI_DONE)
        result = set_by_host(options->qemu_data, "qemu-data", lab, lab->qemu_data);
    for (int host = 0; result == CLI_DONE && host < lab->hosts; host++) {
        if (lab->qemu[host] && access(lab->qemu[host], X_OK) < 0)
            return cli_usage_error("--qemu: %s is not a program that can be run", lab->qemu[host]);
        if (lab->qemu_data[host] && !g_file_test(lab->qemu_data[host], G_FILE_TEST_IS_DIR))
            return cli_usage_error("--qemu-data: %s is not a folder", lab->qemu_data[host]);
    }
    return result;
}

static bool same_lab(const struct lab *one, const struct lab *other)
{
    for (int host = 0; host < LAB_HOSTS_MAX; host++)
        if (g_strcmp0(one->qemu[host], other->qemu[host]) ||
            g_strcmp0(one->qemu_data[host], other->qemu_data[host]))
            return false;
    return one->hosts == other->hosts && one->mtu == other->mtu && one->ip == other->ip &&
           one->links == other->links && !g_strcmp0(one->link_rate, other->link_rate) &&
           !g_strcmp0(one->name, other->name);
}

static int bring_down(const struct lab *lab, struct err *err)
{
    if (lab_supervisor_stop(lab, err) < 0 || lab_net_down(lab, err) < 0)
        return -1;
    return lab_remove_dir(lab, err);
}

/* ---- up ---- */

static int issue_token(const struct lab *lab, struct err *err)
{
    g_autofree char *program = lab_program(lab, "godwitd");
    g_autofree char *config = lab_path(lab, "manager/manager.conf");
    g_autofree char *output = NULL;
    const char *argv[] = {program, "token", "--name", "lab", "--config", config, NULL};
    if (lab_run(argv, &output, err) < 0)
        return -1;
    return lab_write_cli_config(lab, g_strstrip(output), err);
}

static int lab_client(const struct lab *lab, struct http_client **ret_client, struct err *err)
{
    g_autofree char *settings = lab_path(lab, "cli.conf");
    return cli_connect_file(settings, ret_client, err);
}

static int wait_for_manager(const struct lab *lab, struct err *err)
{
    for (int tries = 0; tries < 10 * CONNECT_DEADLINE_S; tries++) {
        struct http_client *client = NULL;
        JsonObject *about = NULL;
        int result = lab_client(lab, &client, err);
        if (result == 0)
            result =
                http_client_call_sync(client, &(struct http_call){"GET", "/v1/about", NULL, 5}, &about, err);
        http_client_free(client);
        if (about)
            json_object_unref(about);
        if (result == 0)
            return 0;
        g_usleep(100000);
    }
    (void)err_prefix(err, "the lab's manager does not answer");
    return err_fix(err, "see %s/log/manager.log", lab->dir);
}

static int start_manager(const struct lab *lab, struct err *err)
{
    g_autofree char *program = lab_program(lab, "godwitd");
    g_autofree char *config = lab_path(lab, "manager/manager.conf");
    const char *argv[] = {program, "run", "--config", config, NULL};
    if (lab_service_add(lab, "manager", "mgr", argv, err) < 0 || lab_supervisor_start(lab, err) < 0)
        return -1;
    return wait_for_manager(lab, err);
}

static int enroll_host(const struct lab *lab, struct http_client *client, int host, struct err *err)
{
    g_autofree char *name = g_strdup_printf("h%d", host);
    char address[LAB_ADDRESS_SIZE], manager[LAB_ADDRESS_SIZE];
    (void)lab_address(lab, LAB_MANAGEMENT, LAB_HOST(host), address);
    (void)lab_address(lab, LAB_MANAGEMENT, LAB_MANAGER, manager);
    g_autofree char *url = g_strdup_printf(lab->ip == 6 ? "https://[%s]:8400" : "https://%s:8400", manager);
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "name", name);
    json_object_set_string_member(body, "address", address);
    json_object_set_int_member(body, "port", 8443);
    g_autoptr(JsonObject) answer = NULL;
    if (http_client_call_sync(client, &(struct http_call){"POST", "/v1/hosts", body, 30}, &answer, err) < 0)
        return -1;
    g_autofree char *self = g_build_filename(lab->bin_dir, "godwit", NULL);
    g_autofree char *netns = lab_netns(lab, name);
    g_autofree char *agent = lab_program(lab, "godwit-agent");
    g_autofree char *config = lab_path(lab, "hosts/%s/agent.conf", name);
    const char *enroll[] = {
        self,     "lab",      "enter", "--netns",   netns, "--",      agent,
        "enroll", "--config", config,  "--manager", url,   "--token", cli_string(answer, "token"),
        NULL};
    if (lab_run(enroll, NULL, err) < 0)
        return -1;
    const char *run[] = {agent, "run", "--config", config, NULL};
    return lab_service_add(lab, name, name, run, err);
}

static int count_connected(struct http_client *client, struct err *err)
{
    g_autoptr(JsonObject) answer = NULL;
    if (http_client_call_sync(client, &(struct http_call){"GET", "/v1/hosts", NULL, 10}, &answer, err) < 0)
        return -1;
    int count = 0;
    JsonArray *hosts = cli_array(answer, "hosts");
    for (guint i = 0; hosts && i < json_array_get_length(hosts); i++)
        count += !strcmp(cli_string(json_array_get_object_element(hosts, i), "state"), "connected");
    return count;
}

static int init_datastore(struct http_client *client, struct err *err)
{
    g_autoptr(JsonObject) answer = NULL;
    const struct http_call call = {"POST", "/v1/hosts/h1/datastores/" LAB_DATASTORE "/init", NULL, 30};
    return http_client_call_sync(client, &call, &answer, err);
}

static int start_hosts(const struct lab *lab, struct err *err)
{
    struct http_client *client = NULL;
    if (lab_client(lab, &client, err) < 0)
        return -1;
    int result = 0;
    for (int host = 1; host <= lab->hosts && result == 0; host++)
        result = enroll_host(lab, client, host, err);
    int connected = 0;
    for (int tries = 0; result == 0 && connected < lab->hosts && tries < 10 * CONNECT_DEADLINE_S; tries++) {
        connected = count_connected(client, err);
        if (connected < 0)
            result = -1;
        else if (connected < lab->hosts)
            g_usleep(100000);
    }
    if (result == 0 && connected == lab->hosts)
        result = init_datastore(client, err);
    http_client_free(client);
    if (result == 0 && connected < lab->hosts) {
        (void)err_set(err, ERR_TIMEOUT, "hosts-not-connected", "only %d of %d hosts connected within %d s",
                      connected, lab->hosts, CONNECT_DEADLINE_S);
        return err_fix(err, "see %s/log", lab->dir);
    }
    return result;
}

static int bring_up(const struct lab *lab, struct err *err)
{
    if (lab_save(lab, false, err) < 0 || lab_write_configs(lab, err) < 0 || lab_net_up(lab, err) < 0 ||
        issue_token(lab, err) < 0 || start_manager(lab, err) < 0 || start_hosts(lab, err) < 0)
        return -1;
    return lab_save(lab, true, err);
}

static int say_up(struct cli *cli, const struct lab *lab, const char *how)
{
    if (cli->json) {
        g_autoptr(JsonObject) object = json_object_new();
        json_object_set_string_member(object, "dir", lab->dir);
        json_object_set_string_member(object, "name", lab->name);
        json_object_set_int_member(object, "hosts", lab->hosts);
        cli_print_json(object);
        return CLI_DONE;
    }
    printf("The lab %s: hosts h1 to h%d, manager, client.\n", how, lab->hosts);
    if (strcmp(lab->dir, LAB_DEFAULT_DIR))
        printf("export GODWIT_CONFIG=%s/cli.conf\n", lab->dir);
    printf("Datastore '" LAB_DATASTORE "': %s/datastore   logs: %s/log\n", lab->dir, lab->dir);
    return CLI_DONE;
}

/* `down` removes the folder whole, so nothing of anybody else may be in it. */
static int check_dir_is_free(const struct lab *lab, struct err *err)
{
    g_autoptr(GDir) dir = g_dir_open(lab->dir, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));)
        if (strcmp(name, "lab.json.new") != 0) { /* of an `up` that was killed in its first write */
            (void)err_set(err, ERR_REFUSED, "dir-not-empty", "%s holds files that are not a lab's", lab->dir);
            return err_fix(err, "name a new or empty folder with --dir: 'lab down' removes it whole");
        }
    return 0;
}

/* What the daemons said last, since their logs are about to go. */
static void show_logs(const struct lab *lab)
{
    g_autofree char *pattern = lab_path(lab, "log");
    g_autoptr(GDir) dir = g_dir_open(pattern, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(pattern, name, NULL);
        g_autofree char *text = NULL;
        if (!g_file_get_contents(path, &text, NULL, NULL))
            continue;
        const char *at = text + strlen(text);
        for (int lines = 0; at > text && lines <= 10; at--)
            lines += at[-1] == '\n';
        fprintf(stderr, "--- %s\n%s", name, at == text ? at : at + 1);
    }
}

static int lab_up(struct cli *cli, struct lab *lab)
{
    struct err err = {0};
    if (lab_exists(lab)) {
        auto_call(lab_clear) struct lab there = {.dir = g_strdup(lab->dir)};
        bool complete = false;
        if (lab_load(&there, &complete, &err) < 0)
            return cli_fail(cli, &err);
        if (complete && !same_lab(&there, lab)) {
            (void)err_set(&err, ERR_REFUSED, "lab-is-up", "a lab with other options is up in %s", lab->dir);
            (void)err_fix(&err, "run 'godwit lab down --dir %s' first", lab->dir);
            return cli_fail(cli, &err);
        }
        if (complete && lab_supervisor_start(lab, &err) == 0 && wait_for_manager(lab, &err) == 0)
            return say_up(cli, lab, "is up already");
        if (complete)
            return cli_fail(cli, &err);
        there.bin_dir = g_strdup(lab->bin_dir);
        if (bring_down(&there, &err) < 0)
            return cli_fail(cli, &err);
    }
    if (check_dir_is_free(lab, &err) < 0)
        return cli_fail(cli, &err);
    if (bring_up(lab, &err) == 0)
        return say_up(cli, lab, "is up");
    (void)cli_fail(cli, &err);
    show_logs(lab);
    struct err cleanup_err = {0};
    if (bring_down(lab, &cleanup_err) < 0)
        fprintf(stderr, "error: cleaning up: %s\n", cleanup_err.message);
    return CLI_FAILED;
}

/* ---- the other verbs ---- */

static int lab_down(struct cli *cli, struct lab *lab)
{
    struct err err = {0};
    if (!lab_exists(lab)) {
        if (lab_net_down(lab, &err) < 0)
            return cli_fail(cli, &err);
    } else if (lab_load(lab, NULL, &err) < 0 || bring_down(lab, &err) < 0) {
        return cli_fail(cli, &err);
    }
    if (cli->json)
        puts("{}");
    else
        puts("The lab is down.");
    return CLI_DONE;
}

static int need_lab(struct cli *cli, struct lab *lab)
{
    struct err err = {0};
    if (lab_exists(lab))
        return lab_load(lab, NULL, &err) < 0 ? cli_fail(cli, &err) : CLI_DONE;
    (void)err_set(&err, ERR_NOT_FOUND, "no-lab", "no lab is up in %s", lab->dir);
    (void)err_fix(&err, "run 'godwit lab up'");
    return cli_fail(cli, &err);
}

static int lab_status(struct cli *cli, struct lab *lab)
{
    int result = need_lab(cli, lab);
    if (result)
        return result;
    if (cli->json)
        return say_up(cli, lab, "");
    printf("lab %s in %s: %d hosts, link rate %s, MTU %d, links %d, supervisor pid %d\n", lab->name, lab->dir,
           lab->hosts, lab->link_rate ? lab->link_rate : "unlimited", lab->mtu, lab->links,
           (int)lab_supervisor_pid(lab));
    g_autofree char *path = lab_path(lab, "services");
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));)
        printf("  %s\n", name);
    return CLI_DONE;
}

static int lab_exec(struct cli *cli, struct lab *lab, int argc, char **argv)
{
    if (argc < 2)
        return cli_usage_error("exec HOST -- CMD: HOST is h1 to h%d, manager or client", LAB_HOSTS_MAX);
    int result = need_lab(cli, lab);
    if (result)
        return result;
    g_autofree char *netns = lab_netns(lab, strcmp(argv[0], "manager") ? argv[0] : "mgr");
    int first = !strcmp(argv[1], "--") ? 2 : 1;
    if (first >= argc)
        return cli_usage_error("exec HOST -- CMD: the command is missing");
    return lab_enter(netns, NULL, argv + first);
}

static int lab_service_verb(struct cli *cli, struct lab *lab, int argc, char **argv)
{
    if (argc != 2 || (strcmp(argv[0], "start") && strcmp(argv[0], "stop")))
        return cli_usage_error("service start|stop NAME: NAME is manager or a host");
    int result = need_lab(cli, lab);
    if (result)
        return result;
    struct err err = {0};
    if (lab_service_set(lab, argv[1], !strcmp(argv[0], "start"), &err) < 0)
        return cli_fail(cli, &err);
    if (cli->json)
        puts("{}");
    return CLI_DONE;
}

static int dispatch(struct cli *cli, struct lab *lab, const struct lab_options *options, int argc,
                    char **argv)
{
    const char *verb = argv[1];
    if (!strcmp(verb, "enter") && options->netns && argc > 3)
        return lab_enter(options->netns, options->kvm_dir, argv + (strcmp(argv[2], "--") ? 2 : 3));
    if (!strcmp(verb, "supervise"))
        return lab_load(lab, NULL, NULL) < 0 ? CLI_FAILED : lab_supervise(lab);
    if (geteuid() != 0)
        return cli_usage_error("the lab makes network namespaces and must be run as root");
    if (!strcmp(verb, "up"))
        return lab_up(cli, lab);
    if (!strcmp(verb, "down"))
        return lab_down(cli, lab);
    if (!strcmp(verb, "status"))
        return lab_status(cli, lab);
    if (!strcmp(verb, "exec"))
        return lab_exec(cli, lab, argc - 2, argv + 2);
    if (!strcmp(verb, "service"))
        return lab_service_verb(cli, lab, argc - 2, argv + 2);
    return cli_usage_error("unknown verb '%s' of lab", verb);
}

int cmd_lab(struct cli *cli, int argc, char **argv)
{
    auto_call(lab_options_clear) struct lab_options options = {.hosts = 2, .mtu = 1500, .links = 1, .ip = 4};
    const GOptionEntry entries[] = {
        {"hosts", 0, 0, G_OPTION_ARG_INT, &options.hosts, "hosts, 2 to 4 (2)", "N"},
        {"link-rate", 0, 0, G_OPTION_ARG_STRING, &options.link_rate,
         "of the migration network, as tc(8) writes it", "RATE"},
        {"ip", 0, 0, G_OPTION_ARG_INT, &options.ip, "4, or 6 for a lab without IPv4 (4)", "VERSION"},
        {"mtu", 0, 0, G_OPTION_ARG_INT, &options.mtu, "of the migration network (1500)", "BYTES"},
        {"links", 0, 0, G_OPTION_ARG_INT, &options.links, "migration networks, 1 or 2 (1)", "N"},
        {"qemu", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.qemu,
         "QEMU program of the hosts, or of one (h2=PATH); may be repeated", "PATH"},
        {"qemu-data", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.qemu_data,
         "its folder of firmware, likewise", "DIR"},
        {"dir", 0, 0, G_OPTION_ARG_FILENAME, &options.dir, "folder of the lab (" LAB_DEFAULT_DIR ")", "DIR"},
        {"name", 0, 0, G_OPTION_ARG_STRING, &options.name, "prefix of its namespaces (" LAB_DEFAULT_NAME ")",
         "NAME"},
        {"netns", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &options.netns, "", NULL},
        {"kvm-dir", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &options.kvm_dir, "", NULL},
        {NULL},
    };
    if (cli_options(cli_current(), entries, -1, &argc, &argv) < 0)
        return CLI_USAGE;
    if (argc < 2)
        return cli_usage_error("a verb is missing");
    if (!options.dir)
        options.dir = g_strdup(g_getenv("GODWIT_LAB_DIR") ? g_getenv("GODWIT_LAB_DIR") : LAB_DEFAULT_DIR);
    if (!options.name)
        options.name = g_strdup(LAB_DEFAULT_NAME);
    int result = check_options(&options);
    if (result)
        return result;
    auto_call(lab_clear) struct lab lab = {.dir = g_steal_pointer(&options.dir),
                                           .name = g_steal_pointer(&options.name),
                                           .hosts = options.hosts,
                                           .mtu = options.mtu,
                                           .links = options.links,
                                           .ip = options.ip,
                                           .link_rate = g_steal_pointer(&options.link_rate)};
    result = set_qemu(&options, &lab);
    if (result)
        return result;
    struct err err = {0};
    if (find_programs(&lab, &err) < 0)
        return cli_fail(cli, &err);
    return dispatch(cli, &lab, &options, argc, argv);
}
