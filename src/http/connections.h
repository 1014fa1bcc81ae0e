/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to http/: the server's connections, from their acceptance to their end. Who has not shown a good
 * token or certificate on a connection is a stranger: of such there is a limit, in all and from one place,
 * and above it the newcomer takes the place of the oldest. A stranger that sends nothing costs a descriptor
 * and no more, and that for 10 s. Every time counts only while this process runs. Single thread.
 *
 *        first byte            a turn                done             whole request             answered
 * SILENT ----------> QUEUED ----------> SHAKING ----------> ASKING ----------> SERVED ----------> IDLE
 *                        (a unix socket begins here) ----------^   <--------- first byte ----------'
 *
 * The library has a connection while it is ASKING or SERVED only: libsoup 3.2 forgets one whose client ends
 * it between two requests, with its socket and its TLS session. What is left alive is taken back, and given
 * to it again for the next request.
 */
#ifndef HTTP_CONNECTIONS_H
#define HTTP_CONNECTIONS_H

#include <libsoup/soup.h>

#include "http/place.h"

#define STRANGERS_MAX 256
#define STRANGERS_PER_PLACE_MAX 128

enum connection_stage { SILENT, QUEUED, SHAKING, ASKING, SERVED, IDLE };

/* Held by the list, by the library's messages and by a handshake under way. */
struct connection {
    struct connections *connections; /* NULL: it has left the list */
    GSocket *socket;
    bool has_place; /* not on a unix socket */
    uint8_t place[PLACE_SIZE];
    enum connection_stage stage;
    unsigned n_ticks;             /* in this stage */
    bool is_known;                /* no stranger */
    bool is_cut;                  /* shut down, and its descriptor will be given back */
    GTlsCertificate *certificate; /* the server's; NULL without TLS */
    GTlsCertificate *shown;       /* by the client, which holds its key; NULL: none */
    GIOStream *stream;            /* from ASKING on */
    GSource *hello;               /* SILENT, IDLE: waits for the first byte */
    GCancellable *cancel;         /* SHAKING */
};

struct connections {
    SoupServer *soup;      /* borrowed */
    bool asks_certificate; /* of clients */
    GQueue open;           /* of struct connection, oldest first */
    unsigned n_max;
    unsigned n_handshakes; /* under way */
    guint tick_source;     /* while there are any */
};

void connections_init(struct connections *connections, SoupServer *soup, bool asks_certificate);
/* Cuts all. Fine on a zeroed struct. */
void connections_clear(struct connections *connections);
/* A client has connected; TLS if there is a certificate. It may be turned away. */
void connections_take(struct connections *connections, GSocket *socket, GTlsCertificate *certificate);

/* ---- of a request; the connection lives as long as `msg` ---- */
struct connection *connection_of(SoupServerMessage *msg);
/* It begins. */
void connection_asks(SoupServerMessage *msg);
/* It is whole, and the server's turn. */
void connection_is_served(SoupServerMessage *msg);

/* ---- for handshake.c ---- */
void connection_set_stage(struct connection *connection, enum connection_stage stage);
bool connection_is_at_end(const struct connection *connection);
void connection_release(struct connection *connection);
/* Closes the socket and leaves the list. Not with a handshake under way, nor while the library has it. */
void connection_drop(struct connection *connection);
/* The library reads a request. `stream` (kept) is over the socket. */
void connection_hand_over(struct connection *connection, GIOStream *stream);

/* handshake.c: waits for the first byte, then for its turn, then shakes hands and hands over. */
void handshake_await(struct connection *connection);

#endif
