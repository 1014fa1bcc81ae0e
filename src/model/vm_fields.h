/* SPDX-License-Identifier: Apache-2.0 */
/* Private to model/: documents that hold a whole VM use its table and its cross-field checks. */
#ifndef MODEL_VM_FIELDS_H
#define MODEL_VM_FIELDS_H

#include "model/fields.h"
#include "model/guest_report.h"
#include "model/vm.h"

extern const struct field vm_fields[];
extern const struct field vm_disk_fields[];

/* Defaults of what a document may leave out. */
void vm_spec_init(struct vm_spec *spec);
/* Brings a spec that was read into its one written form: MAC addresses in lower case. */
void vm_spec_normalize(struct vm_spec *spec);

#endif
