/* SPDX-License-Identifier: Apache-2.0 */
/* Private to model/: the table of struct host_datastore, for structs that hold some. */
#ifndef MODEL_DATASTORE_FIELDS_H
#define MODEL_DATASTORE_FIELDS_H

#include "model/fields.h"

extern const struct field datastore_fields[];

#endif
