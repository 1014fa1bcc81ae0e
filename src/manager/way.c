/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/way.h"

#include <string.h>

#include "manager/agent_client.h"
#include "model/reach.h"

#define TIMEOUT_S 15

void way_measure(struct manager *manager, const struct way_wish *question, http_done done, void *user)
{
    const struct move_spec *spec = question->spec;
    bool is_back = question->is_back;
    struct inventory *inventory = manager->inventory;
    struct host *asked = inventory_find_connected(inventory, is_back ? spec->destination : spec->source);
    struct host *peer = inventory_find_connected(inventory, is_back ? spec->source : spec->destination);
    struct reach_wish wish = {
        .n_from = spec->n_addresses, .n_to = spec->n_addresses, .pings = question->pings};
    if (!asked || !peer || !spec->n_addresses || !peer->facts.migration_enabled ||
        !peer->facts.migration_port) {
        const struct err nobody = {.code = ERR_NOT_FOUND};
        done(NULL, &nobody, user);
        return;
    }
    (void)g_strlcpy(wish.host, asked->name, sizeof wish.host);
    (void)g_strlcpy(wish.peer, peer->name, sizeof wish.peer);
    memcpy(wish.from, is_back ? spec->addresses : spec->source_addresses, sizeof wish.from);
    memcpy(wish.to, is_back ? spec->source_addresses : spec->addresses, sizeof wish.to);
    wish.port = peer->facts.migration_port;
    wish.peer_mtu = peer->facts.migration_mtu;
    agent_call_for_user(asked, &(struct http_call){"POST", "/v1/reach", reach_wish_to_json(&wish), TIMEOUT_S},
                        done, user);
}

void way_ask(const struct task *plan, bool is_back, http_done done, void *user)
{
    const struct way_wish question = {.spec = &plan->spec, .is_back = is_back};
    way_measure(plan->manager, &question, done, user);
}

void way_take(JsonObject *answer, const struct err *call_err, bool is_back, struct findings *ret_findings)
{
    struct err err = *call_err;
    ret_findings->n = 0;
    if (err.code == ERR_NOT_FOUND)
        return;
    if (!err_is_set(&err))
        (void)findings_from_json(answer ? json_object_get_member(answer, "findings") : NULL, ret_findings,
                                 &err);
    findings_note(ret_findings, err_is_set(&err) ? -1 : 0, &err);
    findings_place(ret_findings, move_phase_name(PHASE_SOURCE_CHECK), is_back ? "destination" : "source");
}
