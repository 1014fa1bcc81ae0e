/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"

/* What a handshake with a key of 32 bytes needs, and nothing that a stranger could use instead. The hash of
 * an external key is SHA-256, which rules AES-256 out. */
#define PRIORITY                                                                                             \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:-CIPHER-ALL"
#define WITH_AES ":+AES-128-GCM:+CHACHA20-POLY1305"
#define WITHOUT_AES ":+CHACHA20-POLY1305:+AES-128-GCM"
#define HANDSHAKE_MAX 8192
#define IDENTITY "ram-move"

struct tls {
    gnutls_session_t session;
    gnutls_psk_client_credentials_t client; /* one of the two */
    gnutls_psk_server_credentials_t server;
    uint8_t key[TLS_KEY_SIZE]; /* destination, until the handshake is over */
    int fd;
    bool has_heard;
    bool has_ended; /* the peer sends no more */
    int broke;      /* errno of the socket's last failure */
    int problem;    /* status of the first failure, 0: none */
    bool is_owing;  /* a record is not wholly sent */
    size_t sent, received;
    uint8_t record[TLS_RECORD_MAX]; /* for a record of several parts */
};

static ssize_t push(gnutls_transport_ptr_t transport, const giovec_t *parts, int n_parts)
{
    struct tls *tls = transport;
    struct msghdr header = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)n_parts};
    ssize_t sent = sendmsg(tls->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        tls->sent += (size_t)sent;
    else
        tls->broke = errno;
    return sent;
}

static ssize_t pull(gnutls_transport_ptr_t transport, void *data, size_t size)
{
    struct tls *tls = transport;
    ssize_t got = recv(tls->fd, data, size, MSG_DONTWAIT);
    if (got > 0) {
        tls->received += (size_t)got;
        tls->has_heard = true;
    } else if (got == 0) {
        tls->has_ended = true;
    } else {
        tls->broke = errno;
    }
    return got;
}

/* GnuTLS waits with this in places where a non-blocking session never comes. */
static int wait_for_input(gnutls_transport_ptr_t transport, unsigned timeout_ms)
{
    struct tls *tls = transport;
    struct pollfd input = {.fd = tls->fd, .events = POLLIN};
    return poll(&input, 1, (int)timeout_ms);
}

static int give_key(gnutls_session_t session, const char *identity, gnutls_datum_t *ret_key)
{
    const struct tls *tls = gnutls_session_get_ptr(session);
    (void)identity; /* the key alone decides */
    ret_key->data = gnutls_malloc(TLS_KEY_SIZE);
    if (!ret_key->data)
        return -1;
    memcpy(ret_key->data, tls->key, TLS_KEY_SIZE);
    ret_key->size = TLS_KEY_SIZE;
    return 0;
}

static int set_client(struct tls *tls, const uint8_t *key)
{
    const gnutls_datum_t datum = {(unsigned char *)(uintptr_t)key, TLS_KEY_SIZE};
    int failed = gnutls_psk_allocate_client_credentials(&tls->client);
    if (!failed)
        failed = gnutls_psk_set_client_credentials(tls->client, IDENTITY, &datum, GNUTLS_PSK_KEY_RAW);
    return failed ? failed : gnutls_credentials_set(tls->session, GNUTLS_CRD_PSK, tls->client);
}

static int set_server(struct tls *tls, const uint8_t *key)
{
    int failed = gnutls_psk_allocate_server_credentials(&tls->server);
    if (failed)
        return failed;
    memcpy(tls->key, key, TLS_KEY_SIZE);
    gnutls_session_set_ptr(tls->session, tls);
    gnutls_psk_set_server_credentials_function(tls->server, give_key);
    return gnutls_credentials_set(tls->session, GNUTLS_CRD_PSK, tls->server);
}

static bool cpu_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#else
    return true;
#endif
}

static int set_up(struct tls *tls, bool is_client, const uint8_t *key)
{
    unsigned flags = GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL;
    int failed = gnutls_init(&tls->session, flags | (is_client ? GNUTLS_CLIENT : GNUTLS_SERVER));
    if (failed)
        return failed;
    gnutls_transport_set_ptr(tls->session, tls);
    gnutls_transport_set_vec_push_function(tls->session, push);
    gnutls_transport_set_pull_function(tls->session, pull);
    gnutls_transport_set_pull_timeout_function(tls->session, wait_for_input);
    gnutls_handshake_set_max_packet_length(tls->session, HANDSHAKE_MAX);
    gnutls_handshake_set_timeout(tls->session, GNUTLS_INDEFINITE_TIMEOUT); /* the caller has a deadline */
    const char *priority = cpu_has_aes() ? PRIORITY WITH_AES : PRIORITY WITHOUT_AES;
    failed = gnutls_priority_set_direct(tls->session, priority, NULL);
    if (failed)
        return failed;
    return is_client ? set_client(tls, key) : set_server(tls, key);
}

int tls_new(bool is_client, const uint8_t key[TLS_KEY_SIZE], int fd, struct tls **ret_tls, struct err *err)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return err_sys(err, ENOMEM, "no-memory", "no memory for a TLS session");
    tls->fd = fd;
    int failed = set_up(tls, is_client, key);
    if (failed) {
        tls_free(tls);
        return err_set(err, ERR_INTERNAL, "tls-unusable", "cannot make a TLS session: %s",
                       gnutls_strerror(failed));
    }
    *ret_tls = tls;
    return 0;
}

/* Whatever GnuTLS negotiated must be what was meant. */
static bool is_as_meant(const struct tls *tls)
{
    return gnutls_protocol_get_version(tls->session) == GNUTLS_TLS1_3 &&
           gnutls_kx_get(tls->session) == GNUTLS_KX_ECDHE_PSK &&
           gnutls_auth_get_type(tls->session) == GNUTLS_CRD_PSK;
}

static int handshake_failed(struct tls *tls, int status, struct err *err)
{
    const char *text = gnutls_strerror(status);
    if (status == GNUTLS_E_PULL_ERROR || status == GNUTLS_E_PUSH_ERROR) {
        (void)err_set(err, ERR_PEER_LOST, "stream-ended", "the other side closed the connection");
        return err_cause(err, "%s", strerrordesc_np(tls->broke));
    }
    if (status == GNUTLS_E_PREMATURE_TERMINATION ||
        (tls->has_ended && status != GNUTLS_E_FATAL_ALERT_RECEIVED))
        return err_set(err, ERR_PEER_LOST, "stream-ended", "the other side closed the connection");
    if (status == GNUTLS_E_FATAL_ALERT_RECEIVED) {
        gnutls_alert_description_t alert = gnutls_alert_get(tls->session);
        const char *said = gnutls_alert_get_name(alert);
        if (alert == GNUTLS_A_PROTOCOL_VERSION)
            (void)err_set(err, ERR_UNAUTHORIZED, "encryption-refused",
                          "the other side does not encrypt this migration");
        else
            (void)err_set(err, ERR_UNAUTHORIZED, "key-refused",
                          "the other side did not accept our one-time key");
        return err_cause(err, "%s", said ? said : text);
    }
    (void)gnutls_alert_send_appropriate(tls->session, status);
    if (status == GNUTLS_E_UNEXPECTED_PACKET_LENGTH || status == GNUTLS_E_UNEXPECTED_PACKET ||
        status == GNUTLS_E_UNSUPPORTED_VERSION_PACKET || status == GNUTLS_E_RECORD_OVERFLOW ||
        status == GNUTLS_E_UNEXPECTED_HANDSHAKE_PACKET)
        (void)err_set(err, ERR_UNAUTHORIZED, "not-tls", "what came is not the TLS 1.3 that was agreed");
    else
        (void)err_set(err, ERR_UNAUTHORIZED, "wrong-key", "the other side does not know the one-time key");
    return err_cause(err, "%s", text);
}

int tls_handshake(struct tls *tls, short *ret_events, struct err *err)
{
    int status;
    do
        status = gnutls_handshake(tls->session);
    while (status < 0 && status != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(status));
    if (status == GNUTLS_E_AGAIN) {
        *ret_events = gnutls_record_get_direction(tls->session) ? POLLOUT : POLLIN;
        return err_set(err, ERR_RETRY, "handshake-unfinished", "the handshake goes on");
    }
    explicit_bzero(tls->key, sizeof tls->key);
    if (status < 0)
        return handshake_failed(tls, status, err);
    if (!is_as_meant(tls))
        return err_set(err, ERR_UNAUTHORIZED, "not-tls", "what came is not the TLS 1.3 that was agreed");
    return 0;
}

bool tls_has_heard(const struct tls *tls)
{
    return tls->has_heard;
}

const char *tls_cipher(const struct tls *tls)
{
    return gnutls_cipher_get_name(gnutls_cipher_get(tls->session));
}

int tls_renew_key(struct tls *tls, struct err *err)
{
    int status = gnutls_session_key_update(tls->session, 0);
    return status < 0 ? err_set(err, ERR_INTERNAL, "tls-key-update",
                                "cannot change the key of a connection: %s", gnutls_strerror(status))
                      : 0;
}

static bool is_unfinished(ssize_t status)
{
    return status == GNUTLS_E_AGAIN || status == GNUTLS_E_INTERRUPTED;
}

/* A negative status of GnuTLS. The first failure is the true one: after it the session is only said to be
 * invalid. */
static void note(struct tls *tls, ssize_t status)
{
    if (!is_unfinished(status) && !tls->problem)
        tls->problem = (int)status;
}

/* -1 with errno. */
static ssize_t fail(struct tls *tls, ssize_t status)
{
    note(tls, status);
    if (is_unfinished(status))
        errno = EAGAIN;
    else if (tls->problem == GNUTLS_E_PULL_ERROR || tls->problem == GNUTLS_E_PUSH_ERROR)
        errno = tls->broke;
    else if (tls->has_ended || tls->problem == GNUTLS_E_PREMATURE_TERMINATION)
        errno = ECONNRESET;
    else
        errno = EBADMSG;
    return -1;
}

/* The bytes of one record from `at` on: in place where they lie in one piece, else gathered. */
static const uint8_t *next_record(struct tls *tls, const struct iovec *parts, size_t at, size_t size)
{
    while (at >= parts->iov_len)
        at -= (parts++)->iov_len;
    if (parts->iov_len - at >= size)
        return (const uint8_t *)parts->iov_base + at;
    for (size_t done = 0; done < size; at = 0, parts++) {
        size_t piece = parts->iov_len - at < size - done ? parts->iov_len - at : size - done;
        memcpy(tls->record + done, (const uint8_t *)parts->iov_base + at, piece);
        done += piece;
    }
    return tls->record;
}

ssize_t tls_send(struct tls *tls, const struct iovec *parts, size_t n_parts, size_t size)
{
    size_t done = 0, whole = 0;
    for (size_t i = 0; i < n_parts && whole < size; i++)
        whole += parts[i].iov_len;
    if (size > whole)
        size = whole;
    while (done < size || tls->is_owing) {
        size_t piece = size - done < TLS_RECORD_MAX ? size - done : TLS_RECORD_MAX;
        ssize_t status;
        if (tls->is_owing)
            status = gnutls_record_send(tls->session, NULL, 0);
        else
            status = gnutls_record_send(tls->session, next_record(tls, parts, done, piece), piece);
        if (status < 0) {
            tls->is_owing = is_unfinished(status);
            if (tls->is_owing && done)
                break;
            return fail(tls, status);
        }
        tls->is_owing = false;
        done += (size_t)status;
    }
    return (ssize_t)done;
}

ssize_t tls_receive(struct tls *tls, const struct iovec *parts, size_t n_parts)
{
    size_t done = 0;
    for (size_t i = 0, at = 0; i < n_parts;) {
        if (at == parts[i].iov_len) {
            i++;
            at = 0;
            continue;
        }
        ssize_t got =
            gnutls_record_recv(tls->session, (uint8_t *)parts[i].iov_base + at, parts[i].iov_len - at);
        if (got < 0 && !done)
            return fail(tls, got);
        if (got < 0)
            note(tls, got);
        if (got <= 0)
            break; /* the next call says it */
        at += (size_t)got;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

bool tls_has_pending(const struct tls *tls)
{
    return gnutls_record_check_pending(tls->session) > 0;
}

void tls_say_farewell(struct tls *tls)
{
    (void)gnutls_bye(tls->session, GNUTLS_SHUT_WR);
}

const char *tls_problem(const struct tls *tls)
{
    return gnutls_strerror(tls->problem);
}

size_t tls_take_sent(struct tls *tls)
{
    size_t bytes = tls->sent;
    tls->sent = 0;
    return bytes;
}

size_t tls_take_received(struct tls *tls)
{
    size_t bytes = tls->received;
    tls->received = 0;
    return bytes;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    if (tls->session)
        gnutls_deinit(tls->session);
    if (tls->client)
        gnutls_psk_free_client_credentials(tls->client);
    if (tls->server)
        gnutls_psk_free_server_credentials(tls->server);
    explicit_bzero(tls, sizeof *tls);
    free(tls);
}
