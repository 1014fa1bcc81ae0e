/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/maintenance.h"

#include "base/log.h"
#include "manager/inventory_private.h"
#include "manager/vm_events.h"
#include "model/check_table.h"

static bool has_vm_on(const struct host *host)
{
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct vm_status *vm = value;
        if (vm->state != VM_OFF)
            return true;
    }
    return false;
}

const char *maintenance_name(const struct host *host)
{
    if (!host->in_maintenance)
        return "no";
    return has_vm_on(host) ? "entering" : "yes";
}

int maintenance_set(struct host *host, bool in_maintenance, const char *user, struct err *err)
{
    if (host->in_maintenance == in_maintenance)
        return 0;
    if (db_host_set_maintenance(host->manager->db, host->name, in_maintenance, err))
        return -1;
    host->in_maintenance = in_maintenance;
    log_info("host %s %s maintenance mode", host->name, in_maintenance ? "enters" : "leaves");
    host->is_emptied = in_maintenance && has_vm_on(host);
    host_tell(host,
              !in_maintenance    ? EVENT_MAINTENANCE_LEFT
              : host->is_emptied ? EVENT_MAINTENANCE_ENTERING
                                 : EVENT_MAINTENANCE_ENTERED,
              user, NULL);
    return 0;
}

void maintenance_look(struct host *host)
{
    if (!host->is_emptied || has_vm_on(host))
        return;
    host->is_emptied = false;
    host_tell(host, EVENT_MAINTENANCE_ENTERED, NULL, NULL);
}

int maintenance_check(const struct host *host, const char *vm, struct err *err)
{
    if (!host->in_maintenance)
        return 0;
    return check_say(err, CHECK_HOST_IN_MAINTENANCE, CHECK_ARGS({"host", host->name}, {"vm", vm}));
}
