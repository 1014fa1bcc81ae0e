/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests at the manager's whole API: a manager of its own for each input, with a database in memory and two
 * hosts that have not enrolled, one of which once reported two VMs. The input is requests as in http_side.h.
 * Left out is what would ask the network for a name.
 */
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "http_side.h"
#include "manager/auth.h"
#include "manager/ca.h"
#include "manager/events.h"
#include "manager/inventory.h"
#include "manager/orphans.h"
#include "manager/pools.h"
#include "manager/routes.h"
#include "manager/settlements.h"
#include "manager/task.h"

#define VM_UUID "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e"

static struct authority *authority;
static struct http_route routes[64];

static void set_up(struct manager *manager)
{
    static char *no_addresses[] = {NULL};
    struct err err = {0};
    unsigned n = 0;
    manager->config = (struct manager_config){
        .state_dir = ".", .listen = no_addresses, .addresses = no_addresses, .host_certificate_hours = 24};
    if (!authority)
        must(authority_open(&manager->config, &authority, &err) == 0);
    for (const struct http_route *route = routes_table; route->method; route++)
        if (route->handler != route_host_adopt)
            routes[n++] = *route;
}

static void note_vm(struct manager *manager, const char *uuid, const char *name, enum vm_state state)
{
    struct vm_status vm = {
        .spec = {.memory_mib = 1024, .cpus = 2, .n_nics = 1}, .state = state, .epoch = 3, .journal = "OWNED"};
    (void)g_strlcpy(vm.spec.uuid, uuid, sizeof vm.spec.uuid);
    (void)g_strlcpy(vm.spec.name, name, sizeof vm.spec.name);
    (void)g_strlcpy(vm.spec.nics[0].network, "lan", sizeof vm.spec.nics[0].network);
    (void)g_strlcpy(vm.spec.nics[0].mac, "52:54:00:12:34:56", sizeof vm.spec.nics[0].mac);
    inventory_note_vm(inventory_find_host(manager->inventory, "h1"), &vm);
}

static void open_manager(struct manager *manager)
{
    struct err err = {0};
    *manager = (struct manager){0};
    set_up(manager);
    manager->authority = authority;
    must(db_open(":memory:", &manager->db, &err) == 0);
    manager->events = events_new(manager->db);
    manager->orphans = orphans_new(manager);
    must(settlements_open(manager, &err) == 0 && tasks_open(manager, &err) == 0);
    must(pools_open(manager, &err) == 0 && inventory_open(manager, &err) == 0);
    must(inventory_add_host(manager, &(struct host_entry){"h1", "198.18.1.1", 8443, ""}, &err) == 0);
    must(inventory_add_host(manager, &(struct host_entry){"h2", "198.18.1.2", 8443, ""}, &err) == 0);
    note_vm(manager, VM_UUID, "web", VM_RUNNING);
    while (g_main_context_iteration(NULL, FALSE))
        ; /* tasks are resumed, of which there are none */
    note_vm(manager, "8a523f0c-6b1d-4e7a-9c55-0d2f4b6a8c1e", "db", VM_OFF);
}

/* In the order of the manager's own end. */
static void close_manager(struct manager *manager, struct http_side *side)
{
    tasks_free(g_steal_pointer(&manager->tasks));
    pools_free(g_steal_pointer(&manager->pools));
    inventory_free(manager->inventory);
    orphans_free(manager->orphans);
    settlements_free(manager->settlements);
    events_free(manager->events);
    http_side_close(side);
    db_close(manager->db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manager manager;
    struct http_side side;
    struct input whole = {data, size}, input = input_part(&whole, 64 << 10);
    open_manager(&manager);
    http_side_open(&side, routes, "alice", &manager);
    manager.server = side.server;
    http_side_ask_all(&side, &input);
    close_manager(&manager, &side);
    return 0;
}
