/* SPDX-License-Identifier: Apache-2.0 */
#include "job/auth.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fdio.h"

#define SOURCE_PATIENCE_NS (10 * NS_PER_S)

static const struct awaited awaited_challenge = {"no-challenge",
                                                 "the destination to answer the new connection"};
static const struct awaited awaited_proof = {"no-proof",
                                             "the destination to prove that it knows the one-time key"};

struct nonces {
    const uint8_t *destination;
    const uint8_t *source;
};

static int compute_mac(const struct auth *auth, enum wire_auth_side side, const struct nonces *nonces,
                       uint8_t ret_mac[WIRE_MAC_SIZE], struct err *err)
{
    struct wire_auth wire = {.side = side,
                             .move_id = auth->move_id,
                             .role = auth->role,
                             .channel = auth->channel,
                             .destination_nonce = nonces->destination,
                             .source_nonce = nonces->source};
    uint8_t input[WIRE_AUTH_INPUT_SIZE];
    if (wire_auth_input(&wire, input, err) < 0)
        return -1;
    int status = gnutls_hmac_fast(GNUTLS_MAC_SHA256, auth->key, AUTH_KEY_SIZE, input, sizeof input, ret_mac);
    if (status < 0)
        return err_set(err, ERR_INTERNAL, "hmac-failed", "cannot compute a MAC: %s", gnutls_strerror(status));
    return 0;
}

static int check_mac(const struct auth *auth, enum wire_auth_side side, const struct nonces *nonces,
                     const uint8_t got[WIRE_MAC_SIZE], struct err *err)
{
    uint8_t expected[WIRE_MAC_SIZE];
    if (compute_mac(auth, side, nonces, expected, err) < 0)
        return -1;
    int differs = gnutls_memcmp(expected, got, sizeof expected);
    explicit_bzero(expected, sizeof expected);
    if (differs)
        return err_set(err, ERR_UNAUTHORIZED, "wrong-key", "the %s does not know the one-time key",
                       side == WIRE_AUTH_SOURCE ? "source" : "destination");
    return 0;
}

/* A hang-up at this point has one meaning, and it is not a broken network. */
void auth_explain_end(bool was_heard, struct err *err)
{
    if (err->code != ERR_PEER_LOST || !strcmp(err->id, "qemu-died"))
        return;
    struct err lost = *err;
    if (was_heard)
        (void)err_set(err, ERR_UNAUTHORIZED, "key-refused",
                      "the destination did not accept our one-time key");
    else
        (void)err_set(err, ERR_UNAUTHORIZED, "ticket-refused",
                      "the destination's door does not know this move's ticket");
    (void)err_cause(err, "%s", lost.message);
}

int auth_as_source(const struct auth *auth, const struct watch *watch, int fd, struct err *err)
{
    struct wire_challenge challenge;
    struct wire_answer answer;
    struct wire_proof proof;
    struct nonces nonces = {.destination = challenge.nonce, .source = answer.nonce};
    uint64_t deadline_ns = clock_now_ns() + SOURCE_PATIENCE_NS;
    struct watch_input first = {&challenge, sizeof challenge, deadline_ns, &awaited_challenge};
    struct watch_input second = {&proof, sizeof proof, deadline_ns, &awaited_proof};
    if (watch_read(watch, fd, &first, err) < 0) {
        auth_explain_end(false, err);
        return -1;
    }
    if (!memcmp(challenge.nonce, wire_clear_refusal, sizeof challenge.nonce))
        return err_set(err, ERR_UNAUTHORIZED, "encryption-required",
                       "the destination takes this migration encrypted only");
    fdio_random(answer.nonce, sizeof answer.nonce);
    if (compute_mac(auth, WIRE_AUTH_SOURCE, &nonces, answer.mac, err) < 0 ||
        watch_write(watch, fd, &answer, sizeof answer, err) < 0)
        return -1;
    if (watch_read(watch, fd, &second, err) < 0) {
        auth_explain_end(true, err);
        return -1;
    }
    return check_mac(auth, WIRE_AUTH_DESTINATION, &nonces, proof.mac, err);
}

/* A fresh connection's buffer has room for all that is said here. */
static int say(int fd, const void *bytes, size_t size, struct err *err)
{
    ssize_t put = send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put == (ssize_t)size)
        return 0;
    (void)err_sys(err, put < 0 ? errno : ENOBUFS, "connection-lost",
                  "the connection broke while we said who we are");
    err->code = ERR_PEER_LOST;
    return -1;
}

int auth_challenge(struct auth_hearing *ret_hearing, int fd, struct err *err)
{
    *ret_hearing = (struct auth_hearing){0};
    fdio_random(ret_hearing->challenge.nonce, sizeof ret_hearing->challenge.nonce);
    return say(fd, &ret_hearing->challenge, sizeof ret_hearing->challenge, err);
}

int auth_hear(const struct auth *auth, struct auth_hearing *hearing, int fd, struct err *err)
{
    struct wire_proof proof;
    struct nonces nonces = {.destination = hearing->challenge.nonce, .source = hearing->answer.nonce};
    while (hearing->n_answered < sizeof hearing->answer) {
        ssize_t got = recv(fd, (uint8_t *)&hearing->answer + hearing->n_answered,
                           sizeof hearing->answer - hearing->n_answered, MSG_DONTWAIT);
        if (!got)
            return err_set(err, ERR_PEER_LOST, "stream-ended", "the other side closed the connection");
        if (got > 0) {
            hearing->n_answered += (size_t)got;
        } else if (errno == EAGAIN) {
            return err_set(err, ERR_RETRY, "answer-awaited", "the source's proof is not there yet");
        } else if (errno != EINTR) {
            (void)err_sys(err, errno, "connection-lost", "the connection broke before the source's proof");
            err->code = ERR_PEER_LOST;
            return -1;
        }
    }
    if (check_mac(auth, WIRE_AUTH_SOURCE, &nonces, hearing->answer.mac, err) < 0 ||
        compute_mac(auth, WIRE_AUTH_DESTINATION, &nonces, proof.mac, err) < 0)
        return -1;
    return say(fd, &proof, sizeof proof, err);
}
