/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/claims.h"

#include <string.h>

#include "base/clock.h"
#include "manager/settlements.h"
#include "model/ownership.h"

struct claim {
    uint64_t epoch;
    char journal[16];
    /* It was held at least from `first_ns` to `last_ns`; nothing is proven while that is empty. */
    uint64_t first_ns, last_ns;
};

void claims_note(struct host *host, const struct vm_status *vm, uint64_t asked_ns)
{
    struct claim *claim = g_hash_table_lookup(host->claims, vm->spec.uuid);
    if (!ownership_claims(vm->journal)) {
        claims_forget(host, vm->spec.uuid);
        return;
    }
    if (!claim || claim->epoch != vm->epoch || strcmp(claim->journal, vm->journal) != 0) {
        claim = g_new0(struct claim, 1);
        claim->epoch = vm->epoch;
        (void)g_strlcpy(claim->journal, vm->journal, sizeof claim->journal);
        claim->first_ns = clock_now_ns(); /* it was so when the answer left the host: before now */
        g_hash_table_insert(host->claims, g_strdup(vm->spec.uuid), claim);
    }
    claim->last_ns = asked_ns; /* it is so when the answer is given: after this */
}

void claims_forget(struct host *host, const char *uuid)
{
    (void)g_hash_table_remove(host->claims, uuid);
}

struct holder {
    const char *host;
    uint64_t first_ns, last_ns;
};

struct finding {
    const char *uuid;
    uint64_t floor;  /* epochs below it do not count */
    GArray *holders; /* struct holder */
};

static void collect(struct host *host, void *user)
{
    struct finding *finding = user;
    const struct claim *claim = g_hash_table_lookup(host->claims, finding->uuid);
    if (!claim || claim->epoch < finding->floor || claim->first_ns > claim->last_ns)
        return;
    struct holder holder = {host->name, claim->first_ns, claim->last_ns};
    g_array_append_val(finding->holders, holder);
}

static bool overlaps(GArray *holders, guint index)
{
    const struct holder *one = &g_array_index(holders, struct holder, index);
    for (guint i = 0; i < holders->len; i++) {
        const struct holder *other = &g_array_index(holders, struct holder, i);
        if (i != index && MAX(one->first_ns, other->first_ns) <= MIN(one->last_ns, other->last_ns))
            return true;
    }
    return false;
}

GPtrArray *claims_conflict(struct manager *manager, const char *uuid)
{
    g_autoptr(GArray) holders = g_array_new(FALSE, FALSE, sizeof(struct holder));
    struct finding finding = {uuid, settlements_epoch(manager, uuid), holders};
    inventory_each_host(manager->inventory, collect, &finding);
    GPtrArray *names = NULL;
    for (guint i = 0; i < holders->len; i++) {
        if (!overlaps(holders, i))
            continue;
        if (!names)
            names = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(names, g_strdup(g_array_index(holders, struct holder, i).host));
    }
    return names;
}
