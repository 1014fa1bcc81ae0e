/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/stuns.h"

const uint32_t engine_stun_up_to_us[ENGINE_STUN_CLASSES] = {10,   20,   50,   100,   200,    500,
                                                            1000, 2000, 5000, 10000, 100000, 0};

static void add(uint64_t *sum, uint64_t value)
{
    (void)__atomic_fetch_add(sum, value, __ATOMIC_RELAXED);
}

void stuns_add(struct engine_stuns *stuns, uint64_t ns, int vcpu)
{
    unsigned class = 0;
    while (class < ENGINE_STUN_CLASSES - 1 && ns > engine_stun_up_to_us[class] * 1000ull)
        class ++;
    add(&stuns->counts[class], 1);
    add(&stuns->total_ns, ns);
    if (vcpu >= 0 && vcpu < ENGINE_VCPUS_MAX)
        add(&stuns->vcpu_ns[vcpu], ns);
}

void stuns_copy(const struct engine_stuns *stuns, struct engine_stuns *ret_stuns)
{
    ret_stuns->total_ns = __atomic_load_n(&stuns->total_ns, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < ENGINE_STUN_CLASSES; i++)
        ret_stuns->counts[i] = __atomic_load_n(&stuns->counts[i], __ATOMIC_RELAXED);
    for (unsigned i = 0; i < ENGINE_VCPUS_MAX; i++)
        ret_stuns->vcpu_ns[i] = __atomic_load_n(&stuns->vcpu_ns[i], __ATOMIC_RELAXED);
}
