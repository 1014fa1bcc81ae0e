/* SPDX-License-Identifier: Apache-2.0 */
#include "job/introduce.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "engine/tls.h"
#include "job/auth.h"

#define SOURCE_PATIENCE_NS (10 * NS_PER_S)

static const struct awaited awaited_handshake = {"no-handshake", "the destination's TLS handshake"};

static struct auth auth_of(const struct introduction *us)
{
    return (struct auth){
        .key = us->spec->key, .move_id = us->spec->move_id, .role = us->role, .channel = us->channel};
}

static int derive_key(const struct introduction *us, uint8_t ret_key[TLS_KEY_SIZE], struct err *err)
{
    struct wire_auth wire = {.move_id = us->spec->move_id, .role = us->role, .channel = us->channel};
    uint8_t info[WIRE_TLS_INFO_SIZE];
    uint8_t extracted[32];
    if (wire_tls_info(&wire, info, err) < 0)
        return -1;
    gnutls_datum_t key = {(unsigned char *)(uintptr_t)us->spec->key, sizeof us->spec->key};
    const gnutls_datum_t no_salt = {0};
    gnutls_datum_t middle = {extracted, sizeof extracted};
    const gnutls_datum_t about = {info, sizeof info};
    int status = gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &key, &no_salt, extracted);
    if (status >= 0)
        status = gnutls_hkdf_expand(GNUTLS_MAC_SHA256, &middle, &about, ret_key, TLS_KEY_SIZE);
    explicit_bzero(extracted, sizeof extracted);
    return status < 0
               ? err_set(err, ERR_INTERNAL, "hkdf-failed", "cannot derive a key: %s", gnutls_strerror(status))
               : 0;
}

static int begin_tls(const struct introduction *us, int fd, struct tls **ret_tls, struct err *err)
{
    uint8_t key[TLS_KEY_SIZE];
    int ret = derive_key(us, key, err);
    if (ret == 0)
        ret = tls_new(us->spec->role == CTL_ROLE_SOURCE, key, fd, ret_tls, err);
    explicit_bzero(key, sizeof key);
    return ret;
}

static int shake_hands(struct tls *tls, const struct watch *watch, int fd, uint64_t deadline_ns,
                       struct err *err)
{
    short events = 0;
    while (tls_handshake(tls, &events, err) < 0) {
        if (err->code != ERR_RETRY)
            return -1;
        if (watch_wait(watch, fd, events, deadline_ns, &awaited_handshake, err) < 0)
            return err->code == ERR_TIMEOUT
                       ? err_cause(err, tls_has_heard(tls) ? "it had begun, and the destination fell silent"
                                                           : "the destination said nothing at all")
                       : -1;
    }
    return 0;
}

static int encrypt_as_source(const struct introduction *us, const struct watch *watch, struct stream *stream,
                             struct err *err)
{
    uint64_t deadline_ns = clock_now_ns() + SOURCE_PATIENCE_NS;
    struct tls *tls = NULL;
    if (begin_tls(us, stream->fd, &tls, err) < 0)
        return -1;
    if (shake_hands(tls, watch, stream->fd, deadline_ns, err) == 0) {
        stream->tls = tls;
        return 0;
    }
    auth_explain_end(tls_has_heard(tls), err);
    tls_free(tls);
    return -1;
}

static int send_preamble(const struct introduction *us, const struct watch *watch, int fd, struct err *err)
{
    uint8_t bytes[WIRE_PREAMBLE_SIZE];
    struct wire_preamble preamble = {.role = us->role,
                                     .channel = us->channel,
                                     .security = us->spec->encrypt ? WIRE_SECURITY_TLS : WIRE_SECURITY_NONE};
    memcpy(preamble.ticket, us->spec->ticket, sizeof preamble.ticket);
    wire_preamble_encode(&preamble, bytes);
    int ret = watch_write(watch, fd, bytes, sizeof bytes, err);
    explicit_bzero(&preamble, sizeof preamble);
    explicit_bzero(bytes, sizeof bytes);
    return ret;
}

int introduce_as_source(const struct introduction *us, const struct watch *watch, struct stream *stream,
                        struct err *err)
{
    struct auth auth = auth_of(us);
    if (send_preamble(us, watch, stream->fd, err) < 0)
        return -1;
    return us->spec->encrypt ? encrypt_as_source(us, watch, stream, err)
                             : auth_as_source(&auth, watch, stream->fd, err);
}

/* The source may be told why in few bytes, which fit the empty socket or are not worth a wait. */
static void refuse(int fd, const uint8_t *bytes, size_t size)
{
    (void)!send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int introduce_begin_hearing(const struct introduction *us, uint32_t security, const struct stream *stream,
                            struct introduction_heard *ret_heard, struct err *err)
{
    *ret_heard = (struct introduction_heard){0};
    if (us->spec->encrypt && security != WIRE_SECURITY_TLS) {
        refuse(stream->fd, wire_clear_refusal, sizeof wire_clear_refusal);
        return err_set(err, ERR_UNAUTHORIZED, "encryption-required",
                       "a connection in the clear came, and this migration is encrypted");
    }
    if (!us->spec->encrypt && security != WIRE_SECURITY_NONE) {
        refuse(stream->fd, wire_tls_refusal, sizeof wire_tls_refusal);
        return err_set(err, ERR_UNAUTHORIZED, "encryption-refused",
                       "a TLS connection came, and this migration is not encrypted");
    }
    return us->spec->encrypt ? begin_tls(us, stream->fd, &ret_heard->tls, err)
                             : auth_challenge(&ret_heard->hearing, stream->fd, err);
}

int introduce_hear(const struct introduction *us, struct introduction_heard *heard, struct stream *stream,
                   short *ret_events, struct err *err)
{
    struct auth auth = auth_of(us);
    *ret_events = POLLIN;
    if (!us->spec->encrypt)
        return auth_hear(&auth, &heard->hearing, stream->fd, err);
    if (tls_handshake(heard->tls, ret_events, err) < 0)
        return -1;
    stream->tls = heard->tls;
    heard->tls = NULL;
    return 0;
}

void introduce_forget(struct introduction_heard *heard)
{
    tls_free(heard->tls);
    *heard = (struct introduction_heard){0};
}
