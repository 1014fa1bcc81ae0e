/* SPDX-License-Identifier: Apache-2.0 */
/* One data connection: whole records over a connected socket. One thread sends and one receives at a time.
 * Every wait ends when the halt is set; a closed or silent peer is ERR_PEER_LOST. */
#ifndef ENGINE_LINK_H
#define ENGINE_LINK_H

#include <stdint.h>
#include <sys/uio.h>

#include "engine/stream.h"
#include "wire/record.h"

struct err;
struct halt;
struct rate;

struct link {
    struct stream stream; /* owned */
    unsigned number;
    struct halt *halt; /* not owned */
    struct rate *rate; /* not owned; NULL = no cap */
    uint64_t held_ns;  /* how long the cap has held sends back */
    uint64_t send_seq, receive_seq;
    /* Of the record that is being received: what its header says, and of what was read with
     * link_receive_told. */
    uint32_t told_sum;
    uint64_t sum;
};

/* Sets the socket's options. The peer counts as lost when it acknowledged nothing for five seconds. */
void link_init(struct link *link);
/* Goes on over a new connection, from record 0; the bytes are counted on. While nobody uses the link. */
void link_reopen(struct link *link, int fd, struct tls *tls);
/* One record. parts[0] is left free for its header, the others (n_parts - 1) are its payload: its head, the
 * list behind that, its data; the array is changed. */
int link_send(struct link *link, uint32_t type, struct iovec *parts, size_t n_parts, struct err *err);
/* As link_send for a payload of at most 64 bytes in one piece. */
int link_send_small(struct link *link, uint32_t type, const void *payload, size_t size, struct err *err);
/* The next record's header; optional records that we do not know are skipped. */
int link_receive_header(struct link *link, struct wire_record *ret_record, struct err *err);
int link_receive(struct link *link, void *data, size_t size, struct err *err);
/* The same of a record's head, then of its list, whose sum the header tells: nothing of it may be acted on
 * before link_check_sum. */
int link_receive_told(struct link *link, void *data, size_t size, struct err *err);
/* ERR_CORRUPT "record-sum" if head and list are not those that were sent. */
int link_check_sum(const struct link *link, struct err *err);
/* Fills all parts; the array is changed. */
int link_receive_parts(struct link *link, struct iovec *parts, size_t n_parts, struct err *err);
#endif
