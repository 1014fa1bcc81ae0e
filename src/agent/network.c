/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/link/vlan.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#define TAP_TRIES 256

static void socket_cleanup(struct nl_sock **sock)
{
    if (*sock)
        nl_socket_free(*sock);
}

static void link_cleanup(struct rtnl_link **link)
{
    if (*link)
        rtnl_link_put(*link);
}

#define auto_socket __attribute__((cleanup(socket_cleanup))) struct nl_sock
#define auto_link __attribute__((cleanup(link_cleanup))) struct rtnl_link

static struct nl_sock *connect_kernel(struct err *err)
{
    struct nl_sock *sock = nl_socket_alloc();
    if (sock && nl_connect(sock, NETLINK_ROUTE) == 0)
        return sock;
    (void)err_sys(err, errno, "netlink-failed",
                  "cannot open a netlink socket"); /* libnl's own codes say less */
    if (sock)
        nl_socket_free(sock);
    return NULL;
}

static struct rtnl_link *get_link(struct nl_sock *sock, const char *name, const char *id, struct err *err)
{
    struct rtnl_link *link = NULL;
    int result = rtnl_link_get_kernel(sock, 0, name, &link);
    if (result == 0)
        return link;
    (void)err_set(err, ERR_NOT_FOUND, id, "there is no network interface %s on this host", name);
    (void)err_arg(err, "name", "%s", name);
    (void)err_cause(err, "%s", nl_geterror(result));
    return NULL;
}

const struct host_network *network_find(const struct agent_config *config, const char *name)
{
    for (uint32_t i = 0; i < config->n_networks; i++)
        if (!strcmp(config->networks[i].name, name))
            return &config->networks[i];
    return NULL;
}

int network_bridge_mtu(const char *bridge, uint32_t *ret_mtu, struct err *err)
{
    auto_socket *sock = connect_kernel(err);
    if (!sock)
        return -1;
    auto_link *link = get_link(sock, bridge, "bridge-missing", err);
    if (!link)
        return -1;
    *ret_mtu = rtnl_link_get_mtu(link);
    return 0;
}

/* A port of a VM, here or of another program's, is a TAP. */
static bool leads_out(struct rtnl_link *link)
{
    const char *type = rtnl_link_get_type(link);
    return !type || strcmp(type, "tun") != 0;
}

/* "": frames pass. Of a VLAN interface the kernel says the same as of the card below it. */
static void why_dead(struct rtnl_link *link, char ret_problem[], size_t size)
{
    unsigned flags = rtnl_link_get_flags(link);
    ret_problem[0] = '\0';
    if (!(flags & IFF_UP) || !(flags & IFF_RUNNING))
        (void)snprintf(ret_problem, size, "%s %s", rtnl_link_get_name(link),
                       flags & IFF_UP ? "has no link: cable, switch port, or the card below it" : "is down");
}

static bool is_up(struct nl_cache *links, int index)
{
    auto_link *link = rtnl_link_get(links, index);
    return link && (rtnl_link_get_flags(link) & IFF_UP);
}

/* One that works is enough. */
static void learn_uplinks(struct nl_cache *links, int bridge, struct host_network *network)
{
    struct rtnl_link *only = NULL;
    unsigned n = 0, n_alive = 0;
    for (struct nl_object *at = nl_cache_get_first(links); at; at = nl_cache_get_next(at)) {
        struct rtnl_link *link = (struct rtnl_link *)at;
        if (rtnl_link_get_master(link) != bridge || !leads_out(link))
            continue;
        why_dead(link, network->uplink_problem, sizeof network->uplink_problem);
        n_alive += !network->uplink_problem[0];
        only = n++ ? NULL : link;
    }
    network->isolated = n == 0;
    if (n_alive)
        network->uplink_problem[0] = '\0';
    if (n && !is_up(links, bridge))
        (void)snprintf(network->uplink_problem, sizeof network->uplink_problem, "%s is down",
                       network->bridge);
    if (!only)
        return;
    (void)snprintf(network->uplink, sizeof network->uplink, "%s", rtnl_link_get_name(only));
    if (!network->vlan && rtnl_link_is_vlan(only))
        network->vlan = (uint32_t)MAX(rtnl_link_vlan_get_id(only), 0);
}

void network_learn_uplinks(struct host_network *networks, uint32_t n)
{
    struct nl_cache *links = NULL;
    auto_socket *sock = n ? connect_kernel(NULL) : NULL;
    bool is_seen = sock && rtnl_link_alloc_cache(sock, AF_UNSPEC, &links) == 0;
    for (uint32_t i = 0; is_seen && i < n; i++) {
        int bridge = rtnl_link_name2i(links, networks[i].bridge);
        if (bridge > 0)
            learn_uplinks(links, bridge, &networks[i]);
    }
    if (is_seen)
        nl_cache_free(links);
}

static bool has_address(const struct ifaddrs *entry, const char *address)
{
    char text[NI_MAXHOST];
    int family = entry->ifa_addr ? entry->ifa_addr->sa_family : AF_UNSPEC;
    socklen_t size = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if ((family != AF_INET && family != AF_INET6) ||
        getnameinfo(entry->ifa_addr, size, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
        return false;
    text[strcspn(text, "%")] = '\0';
    return strcmp(text, address) == 0;
}

/* The interface that has this numeric address. */
static bool find_interface(const char *address, struct ifreq *ret_request)
{
    struct ifaddrs *entries = NULL;
    bool is_found = false;
    if (getifaddrs(&entries) < 0)
        return false;
    for (const struct ifaddrs *entry = entries; entry && !is_found; entry = entry->ifa_next) {
        is_found = has_address(entry, address);
        *ret_request = (struct ifreq){0};
        (void)snprintf(ret_request->ifr_name, sizeof ret_request->ifr_name, "%s", entry->ifa_name);
    }
    freeifaddrs(entries);
    return is_found;
}

/* By ioctl and not from /sys, which may be that of another network namespace. */
static int ask_interface(unsigned long what, struct ifreq *request)
{
    auto_fd sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return sock < 0 ? -1 : ioctl(sock, what, request);
}

uint32_t network_speed_mbit(const char *address)
{
    struct ethtool_cmd command = {.cmd = ETHTOOL_GSET};
    struct ifreq request;
    if (!find_interface(address, &request))
        return 0;
    request.ifr_data = (void *)&command;
    if (ask_interface(SIOCETHTOOL, &request) < 0)
        return 0;
    uint32_t speed = ethtool_cmd_speed(&command);
    return speed == (uint32_t)SPEED_UNKNOWN ? 0 : speed;
}

bool network_interface(const char *address, char name[16])
{
    struct ifreq request;
    bool is_found = find_interface(address, &request);
    (void)snprintf(name, sizeof request.ifr_name, "%s", is_found ? request.ifr_name : "");
    return is_found;
}

uint32_t network_mtu(const char *address)
{
    struct ifreq request;
    if (!find_interface(address, &request) || ask_interface(SIOCGIFMTU, &request) < 0)
        return 0;
    return (uint32_t)request.ifr_mtu;
}

static int attach(const char *bridge, const char *name, struct err *err)
{
    auto_socket *sock = connect_kernel(err);
    if (!sock)
        return -1;
    auto_link *master = get_link(sock, bridge, "bridge-missing", err);
    if (!master)
        return -1;
    auto_link *tap = get_link(sock, name, "tap-missing", err);
    if (!tap)
        return -1;
    auto_link *change = rtnl_link_alloc();
    if (!change)
        return err_sys(err, ENOMEM, "no-memory", "no memory for a network request");
    rtnl_link_set_master(change, rtnl_link_get_ifindex(master));
    rtnl_link_set_mtu(change, rtnl_link_get_mtu(master));
    int result = rtnl_link_change(sock, tap, change, 0);
    if (result < 0) {
        (void)err_set(err, ERR_INTERNAL, "bridge-port-failed", "cannot make %s a port of %s", name, bridge);
        (void)err_arg(err, "name", "%s", name);
        (void)err_arg(err, "bridge", "%s", bridge);
        return err_cause(err, "%s", nl_geterror(result));
    }
    return 0;
}

int network_tap_new(const char *bridge, const char *vm_uuid, char name[16], int *ret_fd, struct err *err)
{
    auto_fd fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        (void)err_sys(err, errno, "tun-missing", "cannot open /dev/net/tun");
        return err_fix(err, "load the kernel module 'tun'");
    }
    int result = -1;
    for (unsigned i = 0; i < TAP_TRIES && result < 0; i++) {
        struct ifreq request = {0};
        /* EXCL: a name that exists is never joined. */
        request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
        (void)snprintf(request.ifr_name, sizeof request.ifr_name, "vm%.8s-%u", vm_uuid, i);
        result = ioctl(fd, TUNSETIFF, &request);
        if (result < 0 && errno != EBUSY) {
            (void)err_sys(err, errno, "tap-failed", "cannot make the tap %s", request.ifr_name);
            return err_arg(err, "device", "%s", request.ifr_name);
        }
        (void)snprintf(name, sizeof request.ifr_name, "%s", request.ifr_name);
    }
    if (result < 0) {
        (void)err_set(err, ERR_INTERNAL, "tap-failed", "no free name for a tap of VM %s", vm_uuid);
        return err_arg(err, "vm", "%s", vm_uuid);
    }
    if (attach(bridge, name, err) < 0)
        return -1;
    *ret_fd = steal_fd(&fd);
    return 0;
}

int network_tap_set_up(const char *name, bool up, struct err *err)
{
    auto_socket *sock = connect_kernel(err);
    if (!sock)
        return -1;
    auto_link *tap = get_link(sock, name, "tap-missing", err);
    if (!tap)
        return -1;
    auto_link *change = rtnl_link_alloc();
    if (!change)
        return err_sys(err, ENOMEM, "no-memory", "no memory for a network request");
    if (up)
        rtnl_link_set_flags(change, IFF_UP);
    else
        rtnl_link_unset_flags(change, IFF_UP);
    int result = rtnl_link_change(sock, tap, change, 0);
    if (result < 0) {
        (void)err_set(err, ERR_INTERNAL, "tap-failed", "cannot bring %s %s", name, up ? "up" : "down");
        (void)err_arg(err, "name", "%s", name);
        (void)err_arg(err, "what", "%s", up ? "up" : "down");
        return err_cause(err, "%s", nl_geterror(result));
    }
    return 0;
}
