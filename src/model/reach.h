/* SPDX-License-Identifier: Apache-2.0 */
/* The question whether one host reaches the migration port of another, and what was measured on the way.
 * Plain data. */
#ifndef MODEL_REACH_H
#define MODEL_REACH_H

#include "model/host.h"

#define REACH_PINGS_MAX 200
#define REACH_MACS_MAX 4
#define REACH_MAC_SIZE 18

struct reach_wish {
    char host[MODEL_NAME_MAX]; /* that is asked: its addresses are `from` */
    char peer[MODEL_NAME_MAX];
    uint32_t n_from, n_to; /* as many: pairs of one family */
    char from[HOST_ADDRESSES_MAX][MODEL_ADDRESS_MAX];
    char to[HOST_ADDRESSES_MAX][MODEL_ADDRESS_MAX];
    uint16_t port;
    uint32_t pings;    /* to measure the way with, at most REACH_PINGS_MAX; 0: it is only tried */
    uint32_t peer_mtu; /* the smallest of the peer's interfaces: TCP sends nothing larger; 0: not known */
};

JsonObject *reach_wish_to_json(const struct reach_wish *wish); /* transfer full */
/* ERR_BAD_REQUEST that names the field. */
int reach_wish_from_json(JsonObject *object, struct reach_wish *ret_wish, struct err *err);

/* One pair of addresses. */
struct reach_pair {
    char from[MODEL_ADDRESS_MAX];
    char to[MODEL_ADDRESS_MAX];
    bool connects;               /* TCP to the migration port */
    uint32_t mtu, path_mtu;      /* of the largest packet that was tried, that came back; 0: no ping did */
    uint32_t n_sent, n_received; /* pings */
    uint32_t min_us, average_us, max_us, jitter_us; /* round trips of those that came back */
    uint32_t n_macs; /* machines that say they have `to`; 0: not asked, or behind a router */
    char macs[REACH_MACS_MAX][REACH_MAC_SIZE];
};

struct reach_report {
    uint32_t n_pairs;
    struct reach_pair pairs[HOST_ADDRESSES_MAX];
};

JsonObject *reach_report_to_json(const struct reach_report *report); /* transfer full */
/* ERR_BAD_REQUEST that names the field. */
int reach_report_from_json(JsonObject *object, struct reach_report *ret_report, struct err *err);

#endif
