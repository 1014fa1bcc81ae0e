/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes on a connection before the first record, in this order. The preamble says in which of two ways
 * the sides prove to each other that they have the move's one-time key; both were told beforehand which it
 * must be.
 *
 * WIRE_SECURITY_NONE:
 *
 *   source                                 destination
 *   preamble (64 bytes)      ------------> the door reads it, finds the job by the ticket, hands the socket
 * on
 *                            <------------ challenge: nonce (32)
 *   answer: nonce, MAC (64)  ------------>
 *                            <------------ proof: MAC (32)
 *
 * The MAC is HMAC-SHA256 under the move's one-time key over the bytes that wire_auth_input builds. Its two
 * labels differ, so neither side can be answered with its own words; the nonces make every run unique; role
 * and channel keep a connection from being used for another purpose. Nothing else is parsed before both MACs
 * were compared in constant time. The HMAC itself is computed by the caller.
 *
 * WIRE_SECURITY_TLS:
 *
 *   preamble (64 bytes)      ------------>
 *                            <-----------> a TLS 1.3 handshake, psk_dhe_ke, the source being the client
 *
 * The TLS key of a connection is HKDF-SHA256 of the one-time key over the bytes that wire_tls_info builds, so
 * that move, role and channel are part of it as above; the handshake is the proof, and all that follows lies
 * in TLS records.
 *
 * A destination that was told the other way answers with something that the source understands in its own:
 * wire_clear_refusal in place of a challenge, wire_tls_refusal in place of a ServerHello. Nobody vouches for
 * these bytes, they only explain why the connection then ends.
 *
 * Everything on the wire is little-endian. All functions here are pure. Thread: any.
 */
#ifndef WIRE_PREAMBLE_H
#define WIRE_PREAMBLE_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define WIRE_PREAMBLE_SIZE 64u
#define WIRE_TICKET_SIZE 32u
#define WIRE_NONCE_SIZE 32u
#define WIRE_MAC_SIZE 32u
#define WIRE_MOVE_ID_MAX 48u
#define WIRE_PREAMBLE_VERSION 1u
#define WIRE_CHANNELS_MAX 16u
#define WIRE_DISKS_MAX 8u

/* A disk's connection has no records: its bytes are those between two QEMUs, who speak NBD over it. */
enum wire_role { WIRE_ROLE_CONTROL = 1, WIRE_ROLE_DATA = 2, WIRE_ROLE_DISK = 3 };
/* Connections of that role that a move may have; 0: there is no such role. */
uint32_t wire_role_channels(uint16_t role);
enum wire_security { WIRE_SECURITY_NONE, WIRE_SECURITY_TLS };

struct wire_preamble {
    uint16_t role;     /* enum wire_role */
    uint32_t channel;  /* of a data or disk connection, from 0; 0 for control */
    uint16_t security; /* enum wire_security; the version before says 0 and ignores it */
    uint8_t ticket[WIRE_TICKET_SIZE];
};

void wire_preamble_encode(const struct wire_preamble *preamble, uint8_t ret_bytes[WIRE_PREAMBLE_SIZE]);
/* ERR_CORRUPT for a wrong magic, version, role, channel number or security. The reserved bytes are ignored.
 */
int wire_preamble_decode(const uint8_t bytes[WIRE_PREAMBLE_SIZE], struct wire_preamble *ret_preamble,
                         struct err *err);

struct wire_challenge {
    uint8_t nonce[WIRE_NONCE_SIZE];
};
#define WIRE_CHALLENGE_SIZE 32u

struct wire_answer {
    uint8_t nonce[WIRE_NONCE_SIZE];
    uint8_t mac[WIRE_MAC_SIZE];
};
#define WIRE_ANSWER_SIZE 64u

struct wire_proof {
    uint8_t mac[WIRE_MAC_SIZE];
};
#define WIRE_PROOF_SIZE 32u

/* These three consist of bytes only: their memory is their wire form. */
_Static_assert(sizeof(struct wire_challenge) == WIRE_CHALLENGE_SIZE, "no padding");
_Static_assert(sizeof(struct wire_answer) == WIRE_ANSWER_SIZE, "no padding");
_Static_assert(sizeof(struct wire_proof) == WIRE_PROOF_SIZE, "no padding");

enum wire_auth_side { WIRE_AUTH_SOURCE, WIRE_AUTH_DESTINATION };

struct wire_auth {
    enum wire_auth_side side; /* whose MAC it is; as the nonces not for wire_tls_info */
    const char *move_id;      /* at most WIRE_MOVE_ID_MAX - 1 characters */
    uint16_t role;
    uint32_t channel;
    const uint8_t *destination_nonce; /* WIRE_NONCE_SIZE, from the challenge */
    const uint8_t *source_nonce;      /* WIRE_NONCE_SIZE, from the answer */
};

#define WIRE_AUTH_INPUT_SIZE (16u + WIRE_MOVE_ID_MAX + 2u + 4u + 2u * WIRE_NONCE_SIZE)
/* The bytes under the MAC. ERR_BAD_REQUEST if the move id is too long. */
int wire_auth_input(const struct wire_auth *auth, uint8_t ret_bytes[WIRE_AUTH_INPUT_SIZE], struct err *err);

#define WIRE_TLS_INFO_SIZE (16u + WIRE_MOVE_ID_MAX + 2u + 4u)
/* What the TLS key of a connection is derived for. ERR_BAD_REQUEST if the move id is too long. */
int wire_tls_info(const struct wire_auth *auth, uint8_t ret_bytes[WIRE_TLS_INFO_SIZE], struct err *err);

extern const uint8_t wire_clear_refusal[WIRE_CHALLENGE_SIZE];
#define WIRE_TLS_REFUSAL_SIZE 7u
/* A fatal alert "protocol version". */
extern const uint8_t wire_tls_refusal[WIRE_TLS_REFUSAL_SIZE];

#endif
