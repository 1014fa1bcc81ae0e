/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/neighbours.h"

#include <errno.h>
#include <glib-unix.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/neighbours_private.h"
#include "base/cleanup.h"

#define ASKS 3
#define EACH_MS 150

static gboolean ask(void *user)
{
    struct neighbours *neighbours = user;
    if (neighbours->n_asks++ < ASKS) {
        /* One that is lost is asked again. */
        (void)sendto(neighbours->fd, neighbours->question, neighbours->question_size, 0,
                     (const struct sockaddr *)&neighbours->everybody, neighbours->everybody_size);
        return G_SOURCE_CONTINUE;
    }
    neighbours->timer = 0;
    g_clear_handle_id(&neighbours->source, g_source_remove);
    neighbours->done(&neighbours->result, neighbours->user);
    return G_SOURCE_REMOVE;
}

static void take(struct neighbours_result *result, const uint8_t mac[ETH_ALEN])
{
    char text[REACH_MAC_SIZE];
    (void)snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                   mac[5]);
    for (unsigned i = 0; i < result->n_macs; i++)
        if (!strcmp(result->macs[i], text))
            return;
    if (result->n_macs < REACH_MACS_MAX)
        (void)g_strlcpy(result->macs[result->n_macs++], text, REACH_MAC_SIZE);
}

static gboolean on_packet(int fd, GIOCondition condition, void *user)
{
    struct neighbours *neighbours = user;
    uint8_t mac[ETH_ALEN];
    (void)fd;
    (void)condition;
    if (neighbours->read(neighbours, mac) &&
        !(neighbours->is_own && !memcmp(mac, neighbours->own_mac, sizeof mac)))
        take(&neighbours->result, mac);
    return G_SOURCE_CONTINUE;
}

static int look_at_interface(struct neighbours *neighbours, const char *interface, struct err *err)
{
    struct ifreq request = {0};
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    neighbours->interface = (int)if_nametoindex(interface);
    auto_fd sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0 || ioctl(sock, SIOCGIFHWADDR, &request) < 0) {
        (void)err_sys(err, errno, "neighbours-failed", "cannot ask on the network of %s", interface);
        return err_arg(err, "interface", "%s", interface);
    }
    if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
        (void)err_set(err, ERR_REFUSED, "neighbours-failed",
                      "%s is no Ethernet: nobody has a MAC address there", interface);
        return err_arg(err, "interface", "%s", interface);
    }
    memcpy(neighbours->own_mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
    return 0;
}

struct neighbours *neighbours_ask(const char *interface, const char *address, const char *from,
                                  void (*done)(const struct neighbours_result *result, void *user),
                                  void *user, struct err *err)
{
    struct neighbours *neighbours = g_new0(struct neighbours, 1);
    neighbours->fd = -1;
    neighbours->is_own = !from;
    neighbours->done = done;
    neighbours->user = user;
    bool is_v6 = strchr(address, ':') != NULL;
    if (look_at_interface(neighbours, interface, err) < 0 ||
        (is_v6 ? neighbours_open_ndp : neighbours_open_arp)(neighbours, address, from, err) < 0) {
        neighbours_free(neighbours);
        return NULL;
    }
    neighbours->source = g_unix_fd_add(neighbours->fd, G_IO_IN, on_packet, neighbours);
    neighbours->timer = g_timeout_add(EACH_MS, ask, neighbours);
    return neighbours;
}

void neighbours_free(struct neighbours *neighbours)
{
    if (!neighbours)
        return;
    g_clear_handle_id(&neighbours->source, g_source_remove);
    g_clear_handle_id(&neighbours->timer, g_source_remove);
    if (neighbours->fd >= 0)
        (void)close(neighbours->fd);
    g_free(neighbours);
}
