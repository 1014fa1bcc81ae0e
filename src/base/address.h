/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <stdint.h>
#include <sys/socket.h>

/* The size of the socket address of a numeric IPv4 or IPv6 address, which *ret_address gets; 0: it is none.
 */
socklen_t address_parse(const char *text, uint16_t port, struct sockaddr_storage *ret_address);

#endif
