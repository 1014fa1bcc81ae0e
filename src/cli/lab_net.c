/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/lab.h"

#define NETNS_FOLDER "/run/netns"
#define NODES_MAX (LAB_HOSTS_MAX + 3)

char *lab_netns(const struct lab *lab, const char *node)
{
    return g_strdup_printf("%s-%s", lab->name, node);
}

const char *lab_address(const struct lab *lab, enum lab_network network, int number,
                        char ret_address[LAB_ADDRESS_SIZE])
{
    (void)snprintf(ret_address, LAB_ADDRESS_SIZE, lab->ip == 6 ? "fd00:%d::%d" : "198.18.%d.%d", (int)network,
                   number);
    return ret_address;
}

int lab_run(const char *const *argv, char **ret_stdout, struct err *err)
{
    g_autofree char *output = NULL;
    g_autofree char *errors = NULL;
    g_autoptr(GError) error = NULL;
    int status = 0;
    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, &errors, &status,
                      &error)) {
        (void)err_set(err, ERR_INTERNAL, "cannot-run", "cannot run %s", argv[0]);
        return err_cause(err, "%s", error->message);
    }
    if (!g_spawn_check_wait_status(status, NULL)) {
        g_autofree char *whole = g_strjoinv(" ", (char **)argv);
        (void)err_set(err, ERR_INTERNAL, "command-failed", "'%.250s' failed", whole);
        return err_cause(err, "%s", g_strstrip(errors));
    }
    if (ret_stdout)
        *ret_stdout = g_steal_pointer(&output);
    return 0;
}

/* One command in words separated by blanks; none of ours has a blank inside a word. */
static int run_line(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int run_line(struct err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *line = g_strdup_vprintf(format, args);
    va_end(args);
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    return lab_run((const char *const *)argv, NULL, err);
}

static int node_names(const struct lab *lab, char names[NODES_MAX][16])
{
    int count = 0;
    (void)g_strlcpy(names[count++], "sw", 16);
    (void)g_strlcpy(names[count++], "mgr", 16);
    (void)g_strlcpy(names[count++], "client", 16);
    for (int host = 1; host <= lab->hosts; host++)
        (void)snprintf(names[count++], 16, "h%d", host);
    return count;
}

static bool netns_exists(const char *netns)
{
    g_autofree char *path = g_strconcat(NETNS_FOLDER "/", netns, NULL);
    return access(path, F_OK) == 0;
}

static int add_node(const struct lab *lab, const char *node, struct err *err)
{
    g_autofree char *netns = lab_netns(lab, node);
    if (run_line(err, "ip netns add %s", netns) < 0 || run_line(err, "ip -n %s link set lo up", netns) < 0)
        return -1;
    /* Addresses that IPv6 gives itself would only add noise to what the tests count. */
    return run_line(
        err, "ip netns exec %s sysctl -qw net.ipv6.conf.default.autoconf=0 net.ipv6.conf.default.accept_ra=0",
        netns);
}

static int add_bridge(const char *netns, const char *bridge, int mtu, struct err *err)
{
    if (run_line(err, "ip -n %s link add %s type bridge stp_state 0 forward_delay 0 mcast_snooping 0", netns,
                 bridge) < 0)
        return -1;
    return run_line(err, "ip -n %s link set %s mtu %d up", netns, bridge, mtu);
}

struct cable {
    const char *node;   /* "h1" */
    const char *device; /* its end, "eth-mig" */
    const char *bridge; /* at the switch, "mig" */
    int mtu;
};

static int add_cable(const struct lab *lab, const struct cable *cable, struct err *err)
{
    g_autofree char *netns = lab_netns(lab, cable->node);
    g_autofree char *sw = lab_netns(lab, "sw");
    g_autofree char *port = g_strdup_printf("%s-%s", cable->node, cable->bridge);
    if (run_line(err, "ip link add %s netns %s type veth peer name %s netns %s", cable->device, netns, port,
                 sw) < 0)
        return -1;
    if (run_line(err, "ip -n %s link set %s mtu %d master %s up", sw, port, cable->mtu, cable->bridge) < 0)
        return -1;
    return run_line(err, "ip -n %s link set %s mtu %d up", netns, cable->device, cable->mtu);
}

struct place {
    const char *node;
    const char *device;
    enum lab_network network;
    int number;
};

static int add_address(const struct lab *lab, const struct place *place, struct err *err)
{
    char address[LAB_ADDRESS_SIZE];
    g_autofree char *netns = lab_netns(lab, place->node);
    /* Without the search for duplicates, which would let the address wait. */
    return run_line(err, "ip -n %s addr add %s/%s dev %s", netns,
                    lab_address(lab, place->network, place->number, address),
                    lab->ip == 6 ? "64 nodad" : "24", place->device);
}

/* Each end of a link shapes what it sends, so both directions have the rate. */
static int shape(const struct lab *lab, const char *node, const char *device, struct err *err)
{
    if (!lab->link_rate)
        return 0;
    g_autofree char *netns = lab_netns(lab, node);
    return run_line(err, "tc -n %s qdisc replace dev %s root tbf rate %s burst 512kb latency 50ms", netns,
                    device, lab->link_rate);
}

static int add_host(const struct lab *lab, int host, struct err *err)
{
    char node[16];
    (void)snprintf(node, sizeof node, "h%d", host);
    g_autofree char *netns = lab_netns(lab, node);
    const struct cable cables[] = {
        {node, "eth-mgmt", "mgmt", 1500}, {node, "eth-mig", "mig", lab->mtu}, {node, "eth-vm", "vm", 1500}};
    const struct cable second = {node, "eth-mig2", "mig2", lab->mtu};
    const struct place second_place = {node, "eth-mig2", LAB_MIGRATION_2, LAB_HOST(host)};
    for (size_t i = 0; i < G_N_ELEMENTS(cables); i++)
        if (add_cable(lab, &cables[i], err) < 0)
            return -1;
    const struct place places[] = {{node, "eth-mgmt", LAB_MANAGEMENT, LAB_HOST(host)},
                                   {node, "eth-mig", LAB_MIGRATION, LAB_HOST(host)}};
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++)
        if (add_address(lab, &places[i], err) < 0)
            return -1;
    if (add_bridge(netns, "br0", 1500, err) < 0 ||
        run_line(err, "ip -n %s link set eth-vm master br0", netns) < 0)
        return -1;
    if (lab->links > 1 && (add_cable(lab, &second, err) < 0 || add_address(lab, &second_place, err) < 0 ||
                           shape(lab, node, second.device, err) < 0))
        return -1;
    return shape(lab, node, "eth-mig", err);
}

int lab_net_up(const struct lab *lab, struct err *err)
{
    char names[NODES_MAX][16];
    int count = node_names(lab, names);
    for (int i = 0; i < count; i++)
        if (add_node(lab, names[i], err) < 0)
            return -1;
    g_autofree char *sw = lab_netns(lab, "sw");
    if (add_bridge(sw, "mgmt", 1500, err) < 0 || add_bridge(sw, "mig", lab->mtu, err) < 0 ||
        add_bridge(sw, "vm", 1500, err) < 0 || (lab->links > 1 && add_bridge(sw, "mig2", lab->mtu, err) < 0))
        return -1;
    const struct cable manager = {"mgr", "eth-mgmt", "mgmt", 1500};
    const struct cable client = {"client", "eth-vm", "vm", 1500};
    const struct place at_manager = {"mgr", "eth-mgmt", LAB_MANAGEMENT, LAB_MANAGER};
    const struct place at_client = {"client", "eth-vm", LAB_VMS, LAB_CLIENT};
    if (add_cable(lab, &manager, err) < 0 || add_address(lab, &at_manager, err) < 0 ||
        add_cable(lab, &client, err) < 0 || add_address(lab, &at_client, err) < 0)
        return -1;
    for (int host = 1; host <= lab->hosts; host++)
        if (add_host(lab, host, err) < 0)
            return -1;
    return 0;
}

/* Sends a signal to every process of the namespace; returns how many there are. */
static int signal_namespace(const struct stat *netns, int signal_number)
{
    DIR *proc = opendir("/proc");
    int count = 0;
    if (!proc)
        return 0;
    for (struct dirent *entry; (entry = readdir(proc));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        char path[64];
        struct stat its;
        (void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
        if (pid <= 0 || stat(path, &its) < 0 || its.st_ino != netns->st_ino || its.st_dev != netns->st_dev)
            continue;
        /* The pidfd makes sure that the process that gets the signal is the one that was looked at. */
        int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (pidfd < 0)
            continue;
        if (stat(path, &its) == 0 && its.st_ino == netns->st_ino && its.st_dev == netns->st_dev) {
            count++;
            (void)syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
        }
        (void)close(pidfd);
    }
    (void)closedir(proc);
    return count;
}

static int remove_node(const char *netns, struct err *err)
{
    g_autofree char *path = g_strconcat(NETNS_FOLDER "/", netns, NULL);
    struct stat its;
    if (stat(path, &its) < 0)
        return 0;
    int left = 1;
    for (int tries = 0; left && tries < 100; tries++) {
        left = signal_namespace(&its, SIGKILL);
        if (left)
            g_usleep(20000);
    }
    if (left)
        return err_set(err, ERR_INTERNAL, "lab-process-stays", "%d processes in namespace %s do not end",
                       left, netns);
    return run_line(err, "ip netns del %s", netns);
}

/* ip(8) binds this folder onto itself with the first namespace and never lets go; with the last one it goes
 * too. */
static void remove_empty_folder(void)
{
    GDir *folder = g_dir_open(NETNS_FOLDER, 0, NULL);
    bool is_empty = folder && !g_dir_read_name(folder);
    if (folder)
        g_dir_close(folder);
    /* Not by force: somebody may be making a namespace right now. */
    while (is_empty && umount2(NETNS_FOLDER, 0) == 0)
        continue;
    (void)rmdir(NETNS_FOLDER);
}

int lab_net_down(const struct lab *lab, struct err *err)
{
    /* All that may exist, whatever number of hosts lab.json speaks of: an `up` may have been interrupted
     * anywhere. */
    struct lab widest = *lab;
    widest.hosts = LAB_HOSTS_MAX;
    char names[NODES_MAX][16];
    int count = node_names(&widest, names);
    int result = 0;
    for (int i = count - 1; i >= 0; i--) {
        g_autofree char *netns = lab_netns(lab, names[i]);
        if (netns_exists(netns) && remove_node(netns, err) < 0)
            result = -1;
    }
    remove_empty_folder();
    return result;
}
