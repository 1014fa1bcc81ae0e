/* SPDX-License-Identifier: Apache-2.0 */
/* Private to http/: from where a client comes, as far as limits for strangers go. */
#ifndef HTTP_PLACE_H
#define HTTP_PLACE_H

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

/* IPv4 as mapped; of IPv6 the upper half, since a host may have all of the lower. */
#define PLACE_SIZE 16

/* False if `from` is no address of a network; it may be NULL. */
bool place_of(GSocketAddress *from, uint8_t ret_place[PLACE_SIZE]);

#endif
