/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's state as one file, and back. The certificate authority is in it; the manager's own
 * certificate is not, because each start makes one. Blocking: for the command line. */
#ifndef MANAGER_BACKUP_H
#define MANAGER_BACKUP_H

#include "manager/manager.h"

/* A new file of mode 0600; a running manager is not disturbed. */
int manager_backup(const struct manager_config *config, const char *file, struct err *err);
/* The state folder appears whole or stays as it was. REFUSED "state-not-empty". */
int manager_restore(const struct manager_config *config, const char *file, struct err *err);

#endif
