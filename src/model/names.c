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

void model_uuid_new(char uuid[MODEL_UUID_SIZE])
{
    uint8_t b[16];
    fdio_random(b, sizeof b);
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    (void)snprintf(uuid, MODEL_UUID_SIZE,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
                   b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
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
