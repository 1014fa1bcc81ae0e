/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/agent_client.h"

#include <string.h>

#include "manager/ca.h"
#include "model/protocol.h"

static bool accepts(const char *fingerprint, void *user)
{
    return inventory_host_shows(user, fingerprint);
}

int agent_client_new(struct host *host, struct http_client **ret_client, struct err *err)
{
    const struct authority *authority = host->manager->authority;
    bool is_ipv6 = strchr(host->address, ':') != NULL;
    g_autofree char *base =
        g_strdup_printf(is_ipv6 ? "https://[%s]:%u" : "https://%s:%u", host->address, host->port);
    g_autofree char *called =
        g_strdup_printf("host '%s' (%s port %u)", host->name, host->address, host->port);
    struct http_client_config config = {
        .base = base,
        .called = called,
        .ca = authority->ca,
        .certificate = authority->own,
        .expected_name = host->name,
        .accepts = accepts,
        .accepts_user = host,
        .protocol = PROTOCOL,
    };
    return http_client_new(&config, ret_client, err);
}

bool agent_call_may_repeat(const struct err *err)
{
    bool is_lost = err->code == ERR_PEER_LOST || err->code == ERR_TIMEOUT;
    return err->code == ERR_RETRY || (is_lost && !err->side[0]);
}

struct refusal {
    struct err err;
    http_done done;
    void *user;
};

static gboolean refuse(void *data)
{
    struct refusal *refusal = data;
    refusal->done(NULL, &refusal->err, refusal->user);
    g_free(refusal);
    return G_SOURCE_REMOVE;
}

static int check_call(const struct host *host, const struct http_call *call, struct err *err)
{
    if (!host->client) {
        (void)err_set(err, ERR_PEER_LOST, "host-not-enrolled", "host '%s' has not enrolled yet", host->name);
        return err_fix(err, "run 'godwit-agent enroll' on it with the token that 'godwit host add' printed");
    }
    /* Asking for the facts is how an upgrade is noticed. */
    if (!host->has_facts || !strcmp(call->path, AGENT_FACTS_PATH))
        return 0;
    return protocol_check(PROTOCOL, host->facts.protocol, host->name, err);
}

static void call_by(struct host *host, struct http_client *client, const struct http_call *call,
                    http_done done, void *user)
{
    struct err err = {0};
    if (!check_call(host, call, &err)) {
        http_client_call(client, call, done, user);
        return;
    }
    if (call->body)
        json_object_unref(call->body);
    struct refusal *refusal = g_new0(struct refusal, 1);
    refusal->err = err;
    refusal->done = done;
    refusal->user = user;
    (void)g_idle_add(refuse, refusal);
}

void agent_call(struct host *host, const struct http_call *call, http_done done, void *user)
{
    call_by(host, host->client, call, done, user);
}

void agent_call_for_user(struct host *host, const struct http_call *call, http_done done, void *user)
{
    call_by(host, host->users_client, call, done, user);
}
