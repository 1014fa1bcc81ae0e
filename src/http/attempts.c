/* SPDX-License-Identifier: Apache-2.0 */
#include "http/attempts.h"

#include <string.h>

#include "base/clock.h"

#define WINDOW_NS (ATTEMPTS_WINDOW_S * NS_PER_S)

static bool is_over(const struct attempts_place *place, uint64_t now_ns)
{
    return !place->n || now_ns - place->since_ns >= WINDOW_NS;
}

unsigned attempts_wait_s(const struct attempts *attempts, GSocketAddress *from, uint64_t now_ns)
{
    uint8_t address[PLACE_SIZE];
    if (!place_of(from, address))
        return 0;
    for (size_t i = 0; i < ATTEMPTS_PLACES_MAX; i++) {
        const struct attempts_place *place = &attempts->places[i];
        if (!is_over(place, now_ns) && !memcmp(place->address, address, sizeof address))
            return place->n < ATTEMPTS_MAX
                       ? 0
                       : (unsigned)((place->since_ns + WINDOW_NS - now_ns + NS_PER_S - 1) / NS_PER_S);
    }
    return 0;
}

bool attempts_note(struct attempts *attempts, GSocketAddress *from, uint64_t now_ns)
{
    uint8_t address[PLACE_SIZE];
    struct attempts_place *oldest = &attempts->places[0];
    if (!place_of(from, address))
        return false;
    for (size_t i = 0; i < ATTEMPTS_PLACES_MAX; i++) {
        struct attempts_place *place = &attempts->places[i];
        if (!is_over(place, now_ns) && !memcmp(place->address, address, sizeof address))
            return ++place->n == ATTEMPTS_MAX;
        if (!is_over(oldest, now_ns) && (is_over(place, now_ns) || place->since_ns < oldest->since_ns))
            oldest = place;
    }
    *oldest = (struct attempts_place){.n = 1, .since_ns = now_ns};
    memcpy(oldest->address, address, sizeof address);
    return false;
}
