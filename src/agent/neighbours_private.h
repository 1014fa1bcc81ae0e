/* SPDX-License-Identifier: Apache-2.0 */
/* Between neighbours.c and the two ways to ask. */
#ifndef AGENT_NEIGHBOURS_PRIVATE_H
#define AGENT_NEIGHBOURS_PRIVATE_H

#include <glib.h>
#include <net/ethernet.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "agent/neighbours.h"

struct neighbours {
    int fd; /* non-blocking */
    int interface;
    uint8_t own_mac[ETH_ALEN];
    uint8_t address[16]; /* that is asked for, as many bytes as it has */
    bool is_own;
    struct sockaddr_storage everybody;
    socklen_t everybody_size;
    uint8_t question[64];
    size_t question_size;
    bool (*read)(const struct neighbours *neighbours, uint8_t ret_mac[ETH_ALEN]);
    guint source, timer;
    unsigned n_asks;
    struct neighbours_result result;
    void (*done)(const struct neighbours_result *result, void *user);
    void *user;
};

/* Fill fd, address, everybody, question and read; interface, own_mac and is_own are there. -1 and *err. */
int neighbours_open_arp(struct neighbours *neighbours, const char *address, const char *from,
                        struct err *err);
int neighbours_open_ndp(struct neighbours *neighbours, const char *address, const char *from,
                        struct err *err);

#endif
