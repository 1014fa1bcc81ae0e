/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "model/move.h"

void model_hex(const uint8_t *data, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[data[i] >> 4];
        text[2 * i + 1] = digits[data[i] & 15];
    }
    text[2 * size] = '\0';
}

int model_unhex(const char *text, uint8_t *ret_data, size_t size)
{
    if (strlen(text) != 2 * size)
        return -1;
    for (size_t i = 0; i < size; i++) {
        int high = g_ascii_xdigit_value(text[2 * i]);
        int low = g_ascii_xdigit_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        ret_data[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}
