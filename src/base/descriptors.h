/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this process may begin something that takes descriptors. GLib ends a process that has none left for
 * its own needs, so who begins such things because others ask for it looks here first. Thread: any. */
#ifndef BASE_DESCRIPTORS_H
#define BASE_DESCRIPTORS_H

#include <stdbool.h>

/* For what runs already: handshakes, calls, files that are open for a moment. */
#define DESCRIPTORS_KEPT 32

/* True if more than those could be opened now. Opens none itself. */
bool descriptors_are_left(void);

#endif
