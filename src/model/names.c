/* SPDX-License-Identifier: Apache-2.0 */
/* What things are called: names, UUIDs, MAC addresses. */
#include <stdio.h>
#include <string.h>

#include "base/fdio.h"
#include "model/vm.h"

static bool is_lower_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool model_name_is_valid(const char *name)
{
    size_t length = strlen(name);
    if (!length || length >= MODEL_NAME_MAX || name[0] == '.' || name[0] == '-')
        return false;
    for (const char *at = name; *at; at++)
        if (!g_ascii_isalnum(*at) && *at != '-' && *at != '_' && *at != '.')
            return false;
    return true;
}

static void format_uuid(uint8_t b[16], uint8_t version, char uuid[MODEL_UUID_SIZE])
{
    b[6] = (uint8_t)((b[6] & 0x0f) | version << 4);
    b[8] = (b[8] & 0x3f) | 0x80;
    (void)snprintf(uuid, MODEL_UUID_SIZE,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
                   b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

void model_uuid_new(char uuid[MODEL_UUID_SIZE])
{
    uint8_t bytes[16];
    fdio_random(bytes, sizeof bytes);
    format_uuid(bytes, 4, uuid);
}

static void hash(const char *seed, uint8_t ret_hash[32])
{
    gsize size = 32;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, (const guchar *)seed, -1);
    g_checksum_get_digest(sum, ret_hash, &size);
}

void model_uuid_from(const char *seed, char uuid[MODEL_UUID_SIZE])
{
    uint8_t bytes[32];
    hash(seed, bytes);
    format_uuid(bytes, 8, uuid);
}

bool model_uuid_is_valid(const char *uuid)
{
    if (strlen(uuid) != MODEL_UUID_SIZE - 1)
        return false;
    for (int i = 0; i < MODEL_UUID_SIZE - 1; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? uuid[i] != '-' : !is_lower_hex(uuid[i]))
            return false;
    }
    return true;
}

void model_mac_new(char mac[MODEL_MAC_SIZE])
{
    uint8_t b[3];
    fdio_random(b, sizeof b);
    (void)snprintf(mac, MODEL_MAC_SIZE, "52:54:00:%02x:%02x:%02x", b[0], b[1], b[2]);
}

void model_mac_from(const char *seed, char mac[MODEL_MAC_SIZE])
{
    uint8_t b[32];
    hash(seed, b);
    (void)snprintf(mac, MODEL_MAC_SIZE, "52:54:00:%02x:%02x:%02x", b[0], b[1], b[2]);
}
