/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM takes of its host's memory besides its guest's own: QEMU's program, heap, stacks and caches, and
 * the page tables that map the guest's memory. A formula on the safe side of what tests/tools/vm-overhead
 * measures; admission counts it on hosts and in pools.
 *
 * Plain arithmetic; thread: any.
 */
#ifndef MODEL_OVERHEAD_H
#define MODEL_OVERHEAD_H

#include "model/vm.h"

/* What TCG may keep of translated code: QEMU's own limit is 1 GiB. It is told this one (qemu/cmdline.c). */
#define TCG_CACHE_MIB 128

/* MiB, for "kvm" or "tcg". */
uint32_t vm_overhead_mib(const struct vm_spec *spec, const char *accel);
/* With the guest's own: what a host promises. */
uint64_t vm_memory_mib(const struct vm_spec *spec, const char *accel);

#endif
