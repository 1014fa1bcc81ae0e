/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses and bridges of the configuration, on the interfaces that there are. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "agent/neighbours.h"
#include "agent/network.h"
#include "base/cleanup.h"
#include "doctor/patient.h"

#define DAD_FAILED 0x08 /* IFA_F_DADFAILED */

/* By ioctl and not from /sys, which may be that of another network namespace. -1: there is no such one. */
static int interface_flags(const char *name)
{
    struct ifreq request = {0};
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    auto_fd sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return sock < 0 || ioctl(sock, SIOCGIFFLAGS, &request) < 0 ? -1 : (unsigned short)request.ifr_flags;
}

static bool is_absent(const struct patient *patient, struct report *report)
{
    if (!patient->has_agent_config)
        report_absent(report, "not looked at", "the agent's configuration, which names them, is wrong");
    else if (!patient->agent_config.migration_enabled)
        report_absent(report, "no migration address", "migration is disabled in the agent's configuration");
    else
        return false;
    return true;
}

/* `what` it is to the agent. */
static void look_at_link(struct report *report, const char *what, const char *address, const char *interface)
{
    int flags = interface_flags(interface);
    bool is_up = flags >= 0 && (flags & IFF_UP), has_link = is_up && (flags & IFF_RUNNING);
    struct err *line = has_link ? report_line(report, DIAGNOSIS_OK, "%s %s is on %s, MTU %u", what, address,
                                              interface, network_mtu(address))
                                : report_line(report, DIAGNOSIS_PROBLEM, "%s %s is on %s, which %s", what,
                                              address, interface, is_up ? "has no link" : "is down");
    (void)err_arg(line, "address", "%s", address);
    (void)err_arg(line, "interface", "%s", interface);
    (void)err_arg(line, "mtu", "%u", network_mtu(address));
    if (has_link)
        return;
    (void)err_cause(line, "%s", is_up ? "the cable is out, or the other end is off" : "nobody has set it up");
    (void)err_fix(line,
                  is_up ? "look at cable, port and switch of %s (ip link show %s)"
                        : "ip link set %s up (and see why it was not: ip link show %s)",
                  interface, interface);
}

static void look_at_address(struct report *report, const char *address)
{
    char interface[16];
    if (!network_interface(address, interface)) {
        struct err *line =
            report_line(report, DIAGNOSIS_PROBLEM, "no interface has the migration address %s", address);
        (void)err_cause(line, "its interface is gone or was never given the address");
        (void)err_fix(line,
                      "ip address add %s/PREFIX dev INTERFACE, and for good in the network's configuration; "
                      "or correct addresses= in [migration] and restart the agent",
                      address);
        (void)err_arg(line, "address", "%s", address);
        return;
    }
    look_at_link(report, "the migration address", address, interface);
}

/* Where the manager asks it. */
static void look_at_listen(struct report *report, const char *address)
{
    char interface[16];
    if (!strcmp(address, "::") || !strcmp(address, "0.0.0.0"))
        return;
    if (network_interface(address, interface)) {
        look_at_link(report, "the address of the agent", address, interface);
        return;
    }
    struct err *line =
        report_line(report, DIAGNOSIS_PROBLEM, "no interface has %s, where the agent listens", address);
    (void)err_cause(line, "its interface is gone or was never given the address: the agent cannot start");
    (void)err_fix(line,
                  "ip address add %s/PREFIX dev INTERFACE, and for good in the network's configuration; or "
                  "correct listen= in [agent]",
                  address);
    (void)err_arg(line, "address", "%s", address);
}

void check_addresses_here(const struct patient *patient, struct report *report)
{
    const struct agent_config *config = &patient->agent_config;
    uint32_t least = UINT32_MAX, most = 0;
    if (patient->has_agent_config)
        look_at_listen(report, config->listen);
    if (is_absent(patient, report))
        return;
    for (uint32_t i = 0; i < config->n_migration_addresses; i++) {
        uint32_t mtu = network_mtu(config->migration_addresses[i]);
        look_at_address(report, config->migration_addresses[i]);
        least = mtu ? MIN(least, mtu) : least;
        most = MAX(most, mtu);
    }
    if (most <= least)
        return;
    struct err *line = report_line(report, DIAGNOSIS_WARNING,
                                   "the migration interfaces have MTUs from %u to %u", least, most);
    (void)err_cause(line, "a move takes all of them at once");
    (void)err_fix(line, "give them the same: ip link set INTERFACE mtu %u", most);
}

/* ---- addresses that two machines have ---- */

struct asking {
    GMainLoop *loop;
    struct neighbours_result result;
};

static void on_owners(const struct neighbours_result *result, void *user)
{
    struct asking *asking = user;
    asking->result = *result;
    g_main_loop_quit(asking->loop);
}

static int ask(const char *interface, const char *address, struct neighbours_result *ret_result,
               struct err *err)
{
    struct asking asking = {.loop = g_main_loop_new(NULL, FALSE)};
    struct neighbours *neighbours = neighbours_ask(interface, address, NULL, on_owners, &asking, err);
    if (neighbours)
        g_main_loop_run(asking.loop);
    neighbours_free(neighbours);
    g_main_loop_unref(asking.loop);
    *ret_result = asking.result;
    return neighbours ? 0 : -1;
}

static void say_duplicate(struct report *report, const char *address, const char *other)
{
    struct err *line =
        report_line(report, DIAGNOSIS_PROBLEM, "another machine has the migration address %s too", address);
    (void)err_cause(line, "%s; packets to the address reach now the one and now the other", other);
    (void)err_fix(line,
                  "find it (the switches know at which port a MAC address is) and take the address from it, "
                  "or give this host another one");
    (void)err_arg(line, "address", "%s", address);
}

/* IPv6: the kernel asked when it got the address: "fe80…(32 digits) 02 40 20 80 eth0", flags fourth. */
static bool has_heard_another(const char *address)
{
    struct in6_addr wanted, found;
    char line[256];
    auto_file file = fopen("/proc/net/if_inet6", "re");
    bool is_so = false;
    if (inet_pton(AF_INET6, address, &wanted) != 1)
        return false;
    while (file && !is_so && fgets(line, sizeof line, file)) {
        unsigned flags;
        bool is_whole = sscanf(line, "%*s %*x %*x %*x %x", &flags) == 1;
        for (size_t i = 0; is_whole && i < sizeof found; i++)
            is_whole = sscanf(line + 2 * i, "%2hhx", &found.s6_addr[i]) == 1;
        is_so = is_whole && !memcmp(&found, &wanted, sizeof found) && (flags & DAD_FAILED);
    }
    return is_so;
}

static void look_for_duplicate(struct report *report, const char *address)
{
    char interface[16], other[64];
    struct neighbours_result result;
    struct err err = {0};
    if (has_heard_another(address)) {
        say_duplicate(report, address, "the kernel heard it when it got the address (dadfailed)");
    } else if (!network_interface(address, interface)) {
        report_absent(report, address, "no interface has it");
    } else if (ask(interface, address, &result, &err) < 0) {
        report_absent(report, "could not be asked", err.message);
    } else if (result.n_macs) {
        (void)snprintf(other, sizeof other, "%s answered for it", result.macs[0]);
        say_duplicate(report, address, other);
    } else {
        (void)report_line(report, DIAGNOSIS_OK, "nobody else answers for %s", address);
    }
}

void check_duplicates(const struct patient *patient, struct report *report)
{
    const struct agent_config *config = &patient->agent_config;
    if (is_absent(patient, report))
        return;
    for (uint32_t i = 0; i < config->n_migration_addresses; i++)
        look_for_duplicate(report, config->migration_addresses[i]);
}

/* ---- bridges ---- */

static void say_isolated(struct report *report, const struct host_network *network)
{
    struct err *line =
        report_line(report, DIAGNOSIS_WARNING, "network %s: bridge %s has no port but those of VMs",
                    network->name, network->bridge);
    (void)err_cause(line, "VMs of that network reach each other on this host only");
    (void)err_fix(
        line,
        "if it shall lead further, add the network card, or the VLAN interface on it, that does: ip "
        "link set CARD master %s",
        network->bridge);
    (void)err_arg(line, "network", "%s", network->name);
    (void)err_arg(line, "bridge", "%s", network->bridge);
}

static void say_cut_off(struct report *report, const struct host_network *network)
{
    struct err *line = report_line(report, DIAGNOSIS_PROBLEM, "network %s: bridge %s is cut off: %s",
                                   network->name, network->bridge, network->uplink_problem);
    (void)err_cause(line, "VMs of that network reach each other on this host only");
    (void)err_fix(line,
                  "set the port that leads out up, and the card below a VLAN interface (ip -br link show "
                  "master %s; ip link set PORT up); look at cable and switch",
                  network->bridge);
    (void)err_arg(line, "network", "%s", network->name);
    (void)err_arg(line, "bridge", "%s", network->bridge);
    (void)err_arg(line, "reason", "%s", network->uplink_problem);
}

static void say_up(struct report *report, const struct host_network *network)
{
    char vlan[24] = "untagged";
    if (network->vlan)
        (void)snprintf(vlan, sizeof vlan, "VLAN %u", network->vlan);
    if (host_network_vlan_is_known(network))
        (void)report_line(report, DIAGNOSIS_OK, "network %s: bridge %s is up, %s", network->name,
                          network->bridge, vlan);
    else
        (void)report_line(report, DIAGNOSIS_OK, "network %s: bridge %s is up", network->name,
                          network->bridge);
}

static void say_missing_or_down(struct report *report, const struct host_network *network, int flags)
{
    struct err *line = report_line(report, DIAGNOSIS_PROBLEM, "network %s: bridge %s %s", network->name,
                                   network->bridge, flags < 0 ? "does not exist" : "is down");
    (void)err_cause(line, "%s",
                    flags < 0 ? "VMs of that network can neither start here nor arrive"
                              : "VMs of that network are cut off");
    if (flags < 0)
        (void)err_fix(line,
                      "make it, with the network card that leads to the network (ip link add %s type bridge; "
                      "ip link set %s up; ip link set CARD master %s; and for good in the network's "
                      "configuration), or correct bridge= in [network %s]",
                      network->bridge, network->bridge, network->bridge, network->name);
    else
        (void)err_fix(line, "ip link set %s up", network->bridge);
    (void)err_arg(line, "network", "%s", network->name);
    (void)err_arg(line, "bridge", "%s", network->bridge);
}

static void look_at_bridge(struct report *report, const struct host_network *network)
{
    int flags = interface_flags(network->bridge);
    struct host_network seen = *network;
    network_learn_uplinks(&seen, 1);
    if (flags < 0 || !(flags & IFF_UP))
        say_missing_or_down(report, &seen, flags);
    else if (seen.isolated)
        say_isolated(report, &seen);
    else if (seen.uplink_problem[0])
        say_cut_off(report, &seen);
    else
        say_up(report, &seen);
}

void check_bridges(const struct patient *patient, struct report *report)
{
    const struct agent_config *config = &patient->agent_config;
    if (!config->n_networks)
        report_absent(report, "no bridge", "the agent's configuration has no network for VMs");
    for (uint32_t i = 0; i < config->n_networks; i++)
        look_at_bridge(report, &config->networks[i]);
}
