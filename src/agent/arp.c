/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/arp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib-unix.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASKS 3
#define EACH_MS 330

struct arp {
    int fd;
    guint source, timer;
    unsigned n_asks;
    struct sockaddr_ll everybody;
    struct ether_arp question;
    struct arp_result result;
    void (*done)(const struct arp_result *result, void *user);
    void *user;
};

static gboolean ask(void *user)
{
    struct arp *arp = user;
    if (arp->n_asks++ < ASKS) {
        /* One that is lost is asked again. */
        (void)sendto(arp->fd, &arp->question, sizeof arp->question, 0, (struct sockaddr *)&arp->everybody,
                     sizeof arp->everybody);
        return G_SOURCE_CONTINUE;
    }
    arp->timer = 0;
    g_clear_handle_id(&arp->source, g_source_remove);
    arp->done(&arp->result, arp->user);
    return G_SOURCE_REMOVE;
}

static void take(struct arp_result *result, const uint8_t mac[ETH_ALEN])
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
    struct arp *arp = user;
    struct ether_arp answer;
    struct sockaddr_ll sender;
    socklen_t size = sizeof sender;
    (void)condition;
    ssize_t n = recvfrom(fd, &answer, sizeof answer, MSG_DONTWAIT, (struct sockaddr *)&sender, &size);
    if (n == (ssize_t)sizeof answer && sender.sll_pkttype != PACKET_OUTGOING &&
        answer.ea_hdr.ar_op == htons(ARPOP_REPLY) &&
        !memcmp(answer.arp_spa, arp->question.arp_tpa, sizeof answer.arp_spa))
        take(&arp->result, answer.arp_sha);
    return G_SOURCE_CONTINUE;
}

static int prepare(struct arp *arp, const char *interface, struct err *err)
{
    struct ifreq request = {0};
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    arp->everybody = (struct sockaddr_ll){.sll_family = AF_PACKET,
                                          .sll_protocol = htons(ETHERTYPE_ARP),
                                          .sll_ifindex = (int)if_nametoindex(interface),
                                          .sll_halen = ETH_ALEN};
    memset(arp->everybody.sll_addr, 0xff, ETH_ALEN);
    arp->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETHERTYPE_ARP));
    if (arp->fd < 0 || ioctl(arp->fd, SIOCGIFHWADDR, &request) < 0 ||
        bind(arp->fd, (struct sockaddr *)&arp->everybody, sizeof arp->everybody) < 0)
        return err_sys(err, errno, "arp-failed", "cannot ask on the network of %s", interface);
    if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
        return err_set(err, ERR_REFUSED, "arp-failed", "%s is no Ethernet: nobody has a MAC address there",
                       interface);
    arp->question.ea_hdr = (struct arphdr){.ar_hrd = htons(ARPHRD_ETHER),
                                           .ar_pro = htons(ETHERTYPE_IP),
                                           .ar_hln = ETH_ALEN,
                                           .ar_pln = sizeof arp->question.arp_tpa,
                                           .ar_op = htons(ARPOP_REQUEST)};
    memcpy(arp->question.arp_sha, request.ifr_hwaddr.sa_data, ETH_ALEN);
    return 0;
}

struct arp *arp_ask(const char *interface, const char *address, const char *from,
                    void (*done)(const struct arp_result *result, void *user), void *user, struct err *err)
{
    struct arp *arp = g_new0(struct arp, 1);
    arp->fd = -1;
    arp->done = done;
    arp->user = user;
    bool is_ready = prepare(arp, interface, err) == 0;
    if (is_ready && (inet_pton(AF_INET, address, arp->question.arp_tpa) != 1 ||
                     (from && inet_pton(AF_INET, from, arp->question.arp_spa) != 1))) {
        (void)err_set(err, ERR_REFUSED, "arp-failed", "%s is no IPv4 address: ARP knows no other", address);
        is_ready = false;
    }
    if (!is_ready) {
        arp_free(arp);
        return NULL;
    }
    arp->source = g_unix_fd_add(arp->fd, G_IO_IN, on_packet, arp);
    arp->timer = g_timeout_add(EACH_MS, ask, arp);
    return arp;
}

void arp_free(struct arp *arp)
{
    if (!arp)
        return;
    g_clear_handle_id(&arp->source, g_source_remove);
    g_clear_handle_id(&arp->timer, g_source_remove);
    if (arp->fd >= 0)
        (void)close(arp->fd);
    g_free(arp);
}
