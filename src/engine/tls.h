/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TLS 1.3 session over a connected, non-blocking socket, with a key that both ends were given beforehand
 * (an external PSK) in psk_dhe_ke mode: who learns the key later cannot read what was recorded. No
 * certificates, no tickets, no early data, nothing older than 1.3. The record layer, its limits and its key
 * updates are GnuTLS's.
 *
 * Thread: one at a time, for both directions together: a key update of the peer may change what is sent.
 */
#ifndef ENGINE_TLS_H
#define ENGINE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct err;
struct tls;

#define TLS_KEY_SIZE 32
#define TLS_RECORD_MAX 16384u
#define TLS_RECORD_OVERHEAD 22u /* header, inner type, tag */

/* The side that connected is the client. Copies the key and wipes its copy when the handshake is over. `fd`
 * stays the caller's. Nothing is sent yet. */
int tls_new(bool is_client, const uint8_t key[TLS_KEY_SIZE], int fd, struct tls **ret_tls, struct err *err);
/* As far as the socket allows. 0: done, and the peer has the key. -1 with ERR_RETRY: call again once the
 * socket has *ret_events of poll. Else ERR_UNAUTHORIZED: "key-refused", the peer said that it has another
 * key; "wrong-key", it has; "not-tls", what came is no TLS; or ERR_PEER_LOST "stream-ended". The peer is told
 * why, as far as the socket takes it. */
int tls_handshake(struct tls *tls, short *ret_events, struct err *err);
/* True once a byte came from the peer. */
bool tls_has_heard(const struct tls *tls);
/* "AES-128-GCM", … */
const char *tls_cipher(const struct tls *tls);
/* From the next byte that is sent, under a new key. GnuTLS does this itself long before a key has been used
 * too often. */
int tls_renew_key(struct tls *tls, struct err *err);

/* As sendmsg, of the first `size` bytes of the parts: what is taken may be less. After EAGAIN the call must
 * be repeated with the same bytes, of which some are on their way. */
ssize_t tls_send(struct tls *tls, const struct iovec *parts, size_t n_parts, size_t size);
/* As recvmsg; 0: the peer said farewell. errno EBADMSG: what came is not what the peer sent, tls_problem says
 * how; ECONNRESET also for a connection that ended without a farewell. */
ssize_t tls_receive(struct tls *tls, const struct iovec *parts, size_t n_parts);
/* Bytes lie here that poll of the socket does not show. */
bool tls_has_pending(const struct tls *tls);
/* Farewell, as far as the socket takes it without waiting. */
void tls_say_farewell(struct tls *tls);
const char *tls_problem(const struct tls *tls);
/* Bytes on the wire since the last call; each direction. */
size_t tls_take_sent(struct tls *tls);
size_t tls_take_received(struct tls *tls);
void tls_free(struct tls *tls); /* NULL ok */

#endif
