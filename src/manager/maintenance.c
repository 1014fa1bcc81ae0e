/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/maintenance.h"

#include "base/log.h"
#include "manager/vm_events.h"
#include "model/check_table.h"

static void note_vm(const struct vm_status *vm, void *user)
{
    (void)vm;
    *(bool *)user = true;
}

static bool has_vm_on(const struct host *host)
{
    bool has_vm = false;
    inventory_each_vm_on(host, note_vm, &has_vm);
    return has_vm;
}

const char *maintenance_name(const struct host *host)
{
    if (!host->in_maintenance)
        return "no";
    return has_vm_on(host) ? "entering" : "yes";
}

void maintenance_look(struct host *host, bool is_quiet)
{
    bool is_reached = host->in_maintenance && !has_vm_on(host);
    if (is_reached && !host->has_reached_maintenance && !is_quiet)
        host_tell(host, EVENT_MAINTENANCE_ENTERED, NULL, NULL);
    host->has_reached_maintenance = is_reached;
}

int maintenance_set(struct host *host, bool in_maintenance, const char *user, struct err *err)
{
    if (host->in_maintenance == in_maintenance)
        return 0;
    if (db_host_set_maintenance(host->manager->db, host->name, in_maintenance, err))
        return -1;
    host->in_maintenance = in_maintenance;
    log_info("host %s %s maintenance mode", host->name, in_maintenance ? "enters" : "leaves");
    host_tell(host, in_maintenance ? EVENT_MAINTENANCE_ENTERING : EVENT_MAINTENANCE_EXITED, user, NULL);
    maintenance_look(host, false);
    return 0;
}

int maintenance_check(const struct host *host, const char *vm, struct err *err)
{
    if (!host->in_maintenance)
        return 0;
    return check_say(err, CHECK_HOST_IN_MAINTENANCE, CHECK_ARGS({"host", host->name}, {"vm", vm}));
}
