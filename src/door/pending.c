/* SPDX-License-Identifier: Apache-2.0 */
#include "door/pending.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define DEADLINE_NS (3 * NS_PER_S)

void pending_init(struct pending_table *table)
{
    memset(table, 0, sizeof *table);
    for (size_t i = 0; i < PENDING_MAX; i++)
        table->all[i].fd = -1;
}

static struct pending *oldest_of(struct pending_table *table, const struct source_address *from)
{
    struct pending *ret = NULL;
    for (size_t i = 0; i < PENDING_MAX; i++) {
        struct pending *at = &table->all[i];
        if (at->fd >= 0 && (!from || source_address_equal(&at->from, from)) &&
            (!ret || at->deadline_ns < ret->deadline_ns))
            ret = at;
    }
    return ret;
}

struct pending *pending_oldest(struct pending_table *table)
{
    return oldest_of(table, NULL);
}

struct pending *pending_victim(struct pending_table *table, const struct source_address *from)
{
    size_t used = 0;
    size_t of_source = 0;
    for (size_t i = 0; i < PENDING_MAX; i++) {
        const struct pending *at = &table->all[i];
        used += at->fd >= 0;
        of_source += at->fd >= 0 && source_address_equal(&at->from, from);
    }
    if (of_source >= PENDING_PER_SOURCE_MAX)
        return oldest_of(table, from);
    return used == PENDING_MAX ? oldest_of(table, NULL) : NULL;
}

struct pending *pending_add(struct pending_table *table, int fd, const struct source_address *from,
                            uint64_t now_ns)
{
    struct pending *pending = NULL;
    for (size_t i = 0; !pending && i < PENDING_MAX; i++)
        if (table->all[i].fd < 0)
            pending = &table->all[i];
    assert(pending);
    *pending = (struct pending){.fd = fd, .from = *from, .deadline_ns = now_ns + DEADLINE_NS};
    return pending;
}

void pending_drop(struct pending *pending)
{
    if (pending->fd >= 0)
        (void)close(pending->fd);
    pending->fd = -1;
    explicit_bzero(pending->bytes, sizeof pending->bytes);
}

uint64_t pending_first_deadline(const struct pending_table *table)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < PENDING_MAX; i++)
        if (table->all[i].fd >= 0 && table->all[i].deadline_ns < first)
            first = table->all[i].deadline_ns;
    return first;
}

void pending_clear(struct pending_table *table)
{
    for (size_t i = 0; i < PENDING_MAX; i++)
        pending_drop(&table->all[i]);
}
