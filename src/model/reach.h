/* SPDX-License-Identifier: Apache-2.0 */
/* The question whether one host reaches the migration port of another. Plain data. */
#ifndef MODEL_REACH_H
#define MODEL_REACH_H

#include "model/host.h"

struct reach_wish {
    char host[MODEL_NAME_MAX]; /* that is asked: its addresses are `from` */
    char peer[MODEL_NAME_MAX];
    uint32_t n_from, n_to; /* as many: pairs of one family */
    char from[HOST_ADDRESSES_MAX][MODEL_ADDRESS_MAX];
    char to[HOST_ADDRESSES_MAX][MODEL_ADDRESS_MAX];
    uint16_t port;
    uint32_t peer_mtu; /* the smallest of the peer's interfaces: TCP sends nothing larger; 0: not known */
};

JsonObject *reach_wish_to_json(const struct reach_wish *wish); /* transfer full */
/* ERR_BAD_REQUEST that names the field. */
int reach_wish_from_json(JsonObject *object, struct reach_wish *ret_wish, struct err *err);

#endif
