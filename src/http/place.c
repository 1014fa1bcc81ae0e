/* SPDX-License-Identifier: Apache-2.0 */
#include "http/place.h"

#include <string.h>

bool place_of(GSocketAddress *from, uint8_t ret_place[PLACE_SIZE])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (!from || !G_IS_INET_SOCKET_ADDRESS(from))
        return false;
    GInetAddress *address = g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(from));
    const guint8 *bytes = g_inet_address_to_bytes(address);
    memset(ret_place, 0, PLACE_SIZE);
    if (g_inet_address_get_family(address) == G_SOCKET_FAMILY_IPV4) {
        memcpy(ret_place, mapped, sizeof mapped);
        memcpy(ret_place + sizeof mapped, bytes, 4);
    } else {
        memcpy(ret_place, bytes, memcmp(bytes, mapped, sizeof mapped) ? PLACE_SIZE / 2 : PLACE_SIZE);
    }
    return true;
}
