/* SPDX-License-Identifier: Apache-2.0 */
/* A host that was enrolled before this database was made (lost, or restored from an older backup): its
 * certificate is of our CA and carries its name, so it is known without a new enrolment. */
#include <string.h>

#include "base/log.h"
#include "manager/agent_client.h"
#include "manager/inventory.h"
#include "manager/routes.h"

#define ANSWER_TIMEOUT_S 10

struct adoption {
    struct http_request *request;
    struct host probe; /* not in the inventory: only who and where, and the client that asks */
};

/* Not from inside a call of the client. */
static gboolean adoption_free(void *user)
{
    struct adoption *adoption = user;
    http_client_free(adoption->probe.client);
    g_free(adoption);
    return G_SOURCE_REMOVE;
}

static void explain(const struct adoption *adoption, struct err *err)
{
    const struct host *probe = &adoption->probe;
    /* Errors of the connection name it already. */
    if (!err_arg_find(err, "peer"))
        (void)err_prefix(err, "host '%s' (%s port %u)", probe->name, probe->address, probe->port);
    (void)err_arg(err, "host", "%s", probe->name);
    (void)err_arg(err, "address", "%s", probe->address);
    if (err->code == ERR_UNAUTHORIZED)
        (void)err_fix(
            err,
            "it has no certificate of this manager for that name: register it with 'godwit host add' and "
            "enroll it; its VMs stay as they are");
    else
        (void)err_fix(err, "see that the agent runs there and that address and port are right");
}

static int adopt(const struct adoption *adoption, JsonObject *object, struct err *err)
{
    const struct host *probe = &adoption->probe;
    struct host_facts facts;
    if (!object)
        return err_set(err, ERR_CORRUPT, "agent-answer", "it sent no facts");
    if (host_facts_from_json(object, &facts, err))
        return -1;
    if (strcmp(facts.name, probe->name) != 0)
        return err_set(err, ERR_REFUSED, "name-differs", "it says that it is '%s'", facts.name);
    return inventory_adopt_host(probe, http_user(adoption->request), err);
}

static void answered(JsonObject *object, const struct err *call_err, void *user)
{
    struct adoption *adoption = user;
    const struct host *probe = &adoption->probe;
    struct err err = *call_err;
    if (err_is_set(&err) || adopt(adoption, object, &err)) {
        if (strcmp(err.id, "host-exists") != 0)
            explain(adoption, &err);
        http_fail(adoption->request, &err);
    } else {
        log_info("host %s at %s port %u is adopted", probe->name, probe->address, probe->port);
        http_reply(adoption->request, 200,
                   inventory_host_json(inventory_find_host(probe->manager->inventory, probe->name)));
    }
    (void)g_idle_add(adoption_free, adoption);
}

static int begin(struct manager *manager, struct http_request *request, struct err *err)
{
    static const char *const members[] = {"address", "port", NULL};
    const char *name = http_param(request, "host");
    JsonObject *body;
    const char *address;
    uint16_t port;
    if (routes_body(request, members, &body, err) || routes_address(body, &address, &port, err))
        return -1;
    if (routes_host_name(name, err))
        return -1;
    if (inventory_find_host(manager->inventory, name)) {
        err_set(err, ERR_REFUSED, "host-exists", "there is a host with the name '%s' already", name);
        (void)err_arg(err, "host", "%s", name);
        return err_fix(err, "if it has another address now, remove it first: godwit host rm %s", name);
    }
    struct adoption *adoption = g_new0(struct adoption, 1);
    adoption->request = request;
    adoption->probe.manager = manager;
    adoption->probe.port = port;
    (void)g_strlcpy(adoption->probe.name, name, sizeof adoption->probe.name);
    (void)g_strlcpy(adoption->probe.address, address, sizeof adoption->probe.address);
    if (agent_client_new(&adoption->probe, &adoption->probe.client, err)) {
        g_free(adoption);
        return -1;
    }
    agent_call(&adoption->probe, &(struct http_call){"GET", AGENT_FACTS_PATH, NULL, ANSWER_TIMEOUT_S, NULL},
               answered, adoption);
    return 0;
}

void route_host_adopt(struct http_request *request, void *user)
{
    struct err err = {0};
    if (begin(user, request, &err))
        http_fail(request, &err);
}
