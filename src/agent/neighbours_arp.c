/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <string.h>

#include "agent/neighbours_private.h"

static bool read_answer(const struct neighbours *neighbours, uint8_t ret_mac[ETH_ALEN])
{
    struct ether_arp answer;
    struct sockaddr_ll sender;
    socklen_t size = sizeof sender;
    ssize_t n =
        recvfrom(neighbours->fd, &answer, sizeof answer, MSG_DONTWAIT, (struct sockaddr *)&sender, &size);
    if (n != (ssize_t)sizeof answer || sender.sll_pkttype == PACKET_OUTGOING ||
        answer.ea_hdr.ar_op != htons(ARPOP_REPLY) ||
        memcmp(answer.arp_spa, neighbours->address, sizeof answer.arp_spa) != 0)
        return false;
    memcpy(ret_mac, answer.arp_sha, ETH_ALEN);
    return true;
}

int neighbours_open_arp(struct neighbours *neighbours, const char *address, const char *from, struct err *err)
{
    struct sockaddr_ll everybody = {.sll_family = AF_PACKET,
                                    .sll_protocol = htons(ETHERTYPE_ARP),
                                    .sll_ifindex = neighbours->interface,
                                    .sll_halen = ETH_ALEN};
    struct ether_arp question = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                                            .ar_pro = htons(ETHERTYPE_IP),
                                            .ar_hln = ETH_ALEN,
                                            .ar_pln = sizeof question.arp_tpa,
                                            .ar_op = htons(ARPOP_REQUEST)}};
    memset(everybody.sll_addr, 0xff, ETH_ALEN);
    memcpy(question.arp_sha, neighbours->own_mac, ETH_ALEN);
    if (inet_pton(AF_INET, address, question.arp_tpa) != 1 ||
        (from && inet_pton(AF_INET, from, question.arp_spa) != 1))
        return err_set(err, ERR_BAD_REQUEST, "neighbours-failed", "%s is no IPv4 address", address);
    neighbours->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETHERTYPE_ARP));
    if (neighbours->fd < 0 || bind(neighbours->fd, (struct sockaddr *)&everybody, sizeof everybody) < 0)
        return err_sys(err, errno, "neighbours-failed", "cannot ask who has %s", address);
    memcpy(neighbours->address, question.arp_tpa, sizeof question.arp_tpa);
    memcpy(&neighbours->everybody, &everybody, sizeof everybody);
    neighbours->everybody_size = sizeof everybody;
    memcpy(neighbours->question, &question, sizeof question);
    neighbours->question_size = sizeof question;
    neighbours->read = read_answer;
    return 0;
}
