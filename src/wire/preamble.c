/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/preamble.h"

#include <string.h>

#include "base/err.h"
#include "wire/codec.h"

/* magic 8, version 2, role 2, channel 4, ticket 32, security 2, reserved 14 */
static const uint8_t magic[8] = {'R', 'A', 'M', 'M', 'O', 'V', 'E', 0x1a};
#define RESERVED_SIZE 14

const uint8_t wire_clear_refusal[WIRE_CHALLENGE_SIZE] = "ram-move: encryption required!!";
const uint8_t wire_tls_refusal[WIRE_TLS_REFUSAL_SIZE] = {21, 3, 3, 0, 2, 2, 70};

uint32_t wire_role_channels(uint16_t role)
{
    static const uint32_t channels[] = {
        [WIRE_ROLE_CONTROL] = 1, [WIRE_ROLE_DATA] = WIRE_CHANNELS_MAX, [WIRE_ROLE_DISK] = WIRE_DISKS_MAX};
    return role < sizeof channels / sizeof *channels ? channels[role] : 0;
}

void wire_preamble_encode(const struct wire_preamble *preamble, uint8_t ret_bytes[WIRE_PREAMBLE_SIZE])
{
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_PREAMBLE_SIZE};
    wire_put_bytes(&writer, magic, sizeof magic);
    wire_put_u16(&writer, WIRE_PREAMBLE_VERSION);
    wire_put_u16(&writer, preamble->role);
    wire_put_u32(&writer, preamble->channel);
    wire_put_bytes(&writer, preamble->ticket, WIRE_TICKET_SIZE);
    wire_put_u16(&writer, preamble->security);
    wire_put_zeros(&writer, RESERVED_SIZE);
}

int wire_preamble_decode(const uint8_t bytes[WIRE_PREAMBLE_SIZE], struct wire_preamble *ret_preamble,
                         struct err *err)
{
    struct wire_reader reader = {.at = bytes, .left = WIRE_PREAMBLE_SIZE};
    uint8_t got_magic[sizeof magic];
    wire_get_bytes(&reader, got_magic, sizeof got_magic);
    uint16_t version = wire_get_u16(&reader);
    ret_preamble->role = wire_get_u16(&reader);
    ret_preamble->channel = wire_get_u32(&reader);
    wire_get_bytes(&reader, ret_preamble->ticket, WIRE_TICKET_SIZE);
    ret_preamble->security = wire_get_u16(&reader);
    if (memcmp(got_magic, magic, sizeof magic))
        return err_set(err, ERR_CORRUPT, "preamble-magic", "the connection does not speak this protocol");
    if (version != WIRE_PREAMBLE_VERSION)
        return err_set(err, ERR_CORRUPT, "preamble-version",
                       "the preamble has version %u, version %u is understood", version,
                       WIRE_PREAMBLE_VERSION);
    uint32_t n_channels = wire_role_channels(ret_preamble->role);
    if (!n_channels)
        return err_set(err, ERR_CORRUPT, "preamble-role", "the preamble has the unknown role %u",
                       ret_preamble->role);
    if (ret_preamble->channel >= n_channels)
        return err_set(err, ERR_CORRUPT, "preamble-channel", "the preamble has the channel number %u",
                       ret_preamble->channel);
    if (ret_preamble->security > WIRE_SECURITY_TLS)
        return err_set(err, ERR_CORRUPT, "preamble-security", "the preamble asks for the unknown security %u",
                       ret_preamble->security);
    return 0;
}

/* Whose connection it is: alike for both kinds of proof. */
static int put_connection(struct wire_writer *writer, const char label[16], const struct wire_auth *auth,
                          struct err *err)
{
    size_t length = strlen(auth->move_id);
    if (length >= WIRE_MOVE_ID_MAX)
        return err_set(err, ERR_BAD_REQUEST, "move-id-too-long", "the move id has more than %u characters",
                       WIRE_MOVE_ID_MAX - 1);
    wire_put_bytes(writer, label, 16);
    wire_put_bytes(writer, auth->move_id, length);
    wire_put_zeros(writer, WIRE_MOVE_ID_MAX - length);
    wire_put_u16(writer, auth->role);
    wire_put_u32(writer, auth->channel);
    return 0;
}

int wire_auth_input(const struct wire_auth *auth, uint8_t ret_bytes[WIRE_AUTH_INPUT_SIZE], struct err *err)
{
    static const char labels[2][16] = {
        [WIRE_AUTH_SOURCE] = "ram-move source", [WIRE_AUTH_DESTINATION] = "ram-move destin"};
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_AUTH_INPUT_SIZE};
    if (put_connection(&writer, labels[auth->side], auth, err) < 0)
        return -1;
    wire_put_bytes(&writer, auth->destination_nonce, WIRE_NONCE_SIZE);
    wire_put_bytes(&writer, auth->source_nonce, WIRE_NONCE_SIZE);
    return 0;
}

int wire_tls_info(const struct wire_auth *auth, uint8_t ret_bytes[WIRE_TLS_INFO_SIZE], struct err *err)
{
    static const char label[16] = "ram-move tls psk";
    struct wire_writer writer = {.at = ret_bytes, .left = WIRE_TLS_INFO_SIZE};
    return put_connection(&writer, label, auth, err);
}
