/* SPDX-License-Identifier: Apache-2.0 */
/* Private to model/: the options' table, which the specification contains. */
#ifndef MODEL_MOVE_FIELDS_H
#define MODEL_MOVE_FIELDS_H

#include "model/fields.h"
#include "model/move.h"

extern const struct field move_options_fields[];

#endif
