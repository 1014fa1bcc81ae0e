/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests at the agent's whole API, as from the manager: an agent of its own for each input, in a folder of
 * the run, without QEMU and with migration switched off, so that nothing is started. The input is requests as
 * in http_side.h. Left out are GET /v1/host, which has no input and looks at every process of the machine,
 * and POST /v1/reach, which connects to any address (its body is read by fuzz-model).
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/cgroup.h"
#include "agent/routes.h"
#include "agent/routes_reach.h"
#include "agent/routes_vms.h"
#include "agent/vm.h"
#include "agent/vm_process.h"
#include "fuzz.h"
#include "http_side.h"

#define VMS "state/vms"

static struct http_route routes[64];

/* The tests' client has no certificate: the token's name stands for the one in it. */
static void set_up(void)
{
    unsigned n = 0;
    for (const struct http_route *route = agent_routes; route->method; route++) {
        if (route->handler == route_host || route->handler == route_reach)
            continue;
        routes[n] = *route;
        routes[n++].access = HTTP_TOKEN;
    }
    must(g_mkdir_with_parents(VMS, 0700) == 0 && g_mkdir_with_parents("run/vms", 0700) == 0);
}

static void open_agent(struct agent *agent)
{
    *agent = (struct agent){.config = {.name = "h1",
                                       .state_dir = "state",
                                       .run_dir = "run",
                                       .libexec_dir = "/nonexistent",
                                       .qemu_path = "/nonexistent",
                                       .lease_s = 90,
                                       .n_networks = 1,
                                       .networks = {{.name = "lan", .bridge = "br0", .mtu = 1500}}}};
    (void)g_strlcpy(agent->facts.qemu_problem, "there is none", sizeof agent->facts.qemu_problem);
    agent->vms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    agent->moves = g_hash_table_new(g_str_hash, g_str_equal);
    cgroup_open(agent);
}

static void forget_vms(struct agent *agent)
{
    g_autoptr(GList) vms = g_hash_table_get_values(agent->vms);
    for (GList *at = vms; at; at = at->next)
        vm_forget(at->data);
    while (g_main_context_iteration(NULL, FALSE))
        ; /* they are freed */
    must(g_hash_table_size(agent->vms) == 0 && g_hash_table_size(agent->moves) == 0);
}

static void remove_files(void)
{
    DIR *folder = opendir(VMS);
    must(folder != NULL);
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            must(unlinkat(dirfd(folder), entry->d_name, 0) == 0);
    (void)closedir(folder);
    (void)unlink("state/pools.json");
}

static void close_agent(struct agent *agent, struct http_side *side)
{
    http_side_close(side);
    forget_vms(agent);
    cgroup_close(agent);
    g_hash_table_unref(agent->vms);
    g_hash_table_unref(agent->moves);
    g_clear_pointer(&agent->forecasts, g_hash_table_unref);
    remove_files();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct agent agent; /* what is under way at the end still points to it */
    struct http_side side;
    struct input whole = {data, size}, input = input_part(&whole, 64 << 10);
    if (!routes[0].method)
        set_up();
    open_agent(&agent);
    http_side_open(&side, routes, "godwitd", &agent);
    http_side_ask_all(&side, &input);
    close_agent(&agent, &side);
    return 0;
}
