/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/cgroup.h"
#include "agent/vm.h"
#include "agent/vm_process.h"

int vm_set_pool(struct vm *vm, const char *pool, struct err *err)
{
    struct vm_spec *spec = &vm->status.spec;
    char before[POOL_PATH_MAX];
    if (vm_check_free(vm, err) < 0)
        return -1;
    if (!pool_path_is_valid(pool))
        return err_set(err, ERR_BAD_REQUEST, "field-invalid", "pool must be names joined by '/', or empty");
    memcpy(before, spec->pool, sizeof before);
    (void)g_strlcpy(spec->pool, pool, sizeof spec->pool);
    if (vm_config_write(vm, err) < 0) {
        memcpy(spec->pool, before, sizeof before);
        return -1;
    }
    if (vm->process)
        cgroup_place(vm);
    return 0;
}
