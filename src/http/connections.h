/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to http/: the server's connections, to close those that their clients have closed. libsoup 3.2 does
 * so only in the middle of a request; of an idle one it forgets the socket, and each would cost a descriptor
 * for good. Single thread.
 */
#ifndef HTTP_CONNECTIONS_H
#define HTTP_CONNECTIONS_H

#include <libsoup/soup.h>

struct connections {
    GQueue open;       /* of struct connection */
    guint look_source; /* while there are any */
};

/* A request begins. */
void connections_note(struct connections *connections, SoupServerMessage *msg);
/* Fine on a zeroed struct. */
void connections_clear(struct connections *connections);

#endif
