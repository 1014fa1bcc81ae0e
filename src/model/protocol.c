/* SPDX-License-Identifier: Apache-2.0 */
#include "model/protocol.h"

#include <string.h>

/* Members of documents that agents read strictly. The default is false, 0 or the empty text. */
static const struct {
    const char *name;
    uint32_t since;
} late_members[] = {
    {"autostart", 2},
    {"cpu_reservation_percent", 2},
    {"pool", 2},
};

int protocol_check(uint32_t manager, uint32_t agent, const char *host, struct err *err)
{
    if (manager == agent || manager + 1 == agent || agent + 1 == manager)
        return 0;
    (void)err_set(err, ERR_REFUSED, "protocol-mismatch",
                  "the agent on host '%s' speaks version %u of the protocol, the manager version %u", host,
                  agent, manager);
    (void)err_arg(err, "host", "%s", host);
    (void)err_arg(err, "agent_protocol", "%u", agent);
    (void)err_arg(err, "manager_protocol", "%u", manager);
    (void)err_cause(err, "only versions next to each other work together");
    if (manager < agent)
        return err_fix(err, "upgrade the manager");
    return err_fix(err, "upgrade the agent on host '%s'; its VMs run on meanwhile", host);
}

static bool is_default(JsonNode *node)
{
    if (JSON_NODE_HOLDS_NULL(node))
        return true;
    if (!JSON_NODE_HOLDS_VALUE(node))
        return false;
    GType type = json_node_get_value_type(node);
    return type == G_TYPE_STRING ? !*json_node_get_string(node) : !json_node_get_int(node);
}

static void downgrade_element(JsonArray *array, guint index, JsonNode *node, gpointer user)
{
    (void)array;
    (void)index;
    if (JSON_NODE_HOLDS_OBJECT(node))
        protocol_downgrade(json_node_get_object(node), GPOINTER_TO_UINT(user));
}

void protocol_downgrade(JsonObject *object, uint32_t protocol)
{
    for (size_t i = 0; i < G_N_ELEMENTS(late_members); i++) {
        JsonNode *node = json_object_get_member(object, late_members[i].name);
        if (node && protocol < late_members[i].since && is_default(node))
            json_object_remove_member(object, late_members[i].name);
    }
    g_autoptr(GList) members = json_object_get_members(object);
    for (GList *at = members; at; at = at->next) {
        JsonNode *node = json_object_get_member(object, at->data);
        if (JSON_NODE_HOLDS_OBJECT(node))
            protocol_downgrade(json_node_get_object(node), protocol);
        else if (JSON_NODE_HOLDS_ARRAY(node))
            json_array_foreach_element(json_node_get_array(node), downgrade_element,
                                       GUINT_TO_POINTER(protocol));
    }
}
