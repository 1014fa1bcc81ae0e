/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/cgroup.h"
#include "agent/vm.h"
#include "agent/vm_process.h"

int vm_set_pool(struct vm *vm, const char *pool, struct err *err)
{
    struct vm_spec changed = vm->status.spec;
    if (!pool_path_is_valid(pool))
        return err_set(err, ERR_BAD_REQUEST, "field-invalid", "pool must be names joined by '/', or empty");
    (void)g_strlcpy(changed.pool, pool, sizeof changed.pool);
    if (vm_config_write(vm, &changed, "", err) < 0)
        return -1;
    if (vm->process)
        cgroup_place(vm);
    return 0;
}
