/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "model/move.h"

static const char *const phase_names[MOVE_PHASES] = {
    [PHASE_REQUEST] = "request",
    [PHASE_DESTINATION_CHECK] = "destination check",
    [PHASE_SPECIFICATION] = "specification",
    [PHASE_SOURCE_CHECK] = "source check and lock",
    [PHASE_DESTINATION_SHELL] = "destination shell",
    [PHASE_COPY] = "copy",
    [PHASE_SWITCH_OVER] = "switch-over",
    [PHASE_INVENTORY] = "inventory",
    [PHASE_COMPLETE] = "complete",
};

const char *move_phase_name(enum move_phase phase)
{
    return (unsigned)phase < MOVE_PHASES ? phase_names[phase] : "unknown";
}

int move_phase_from_name(const char *name, enum move_phase *ret_phase)
{
    for (unsigned i = 0; i < MOVE_PHASES; i++)
        if (!strcmp(name, phase_names[i])) {
            *ret_phase = (enum move_phase)i;
            return 0;
        }
    return -1;
}
