/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/cpu_baseline.h"
#include "agent/routes_vms.h"
#include "model/json.h"
#include "qemu/caps.h"
#include "qemu/cpu_models.h"

/* What a guest of this host's accelerator can have of a model, whole or not. */
void route_cpu_model(struct http_request *request, void *user)
{
    const struct agent *agent = user;
    const char *name = http_param(request, "model");
    if (!route_allowed(request))
        return;
    JsonObject *object = json_object_new();
    char problem[ERR_TEXT_MAX];
    const struct cpu_model *model = cpu_baseline_look_up(agent, name, problem);
    json_object_set_string_member(object, "cpu_model", name);
    json_object_set_string_member(object, "accel", agent->facts.accel);
    json_object_set_string_member(object, "missing", model ? model->missing : "");
    json_object_set_string_member(object, "problem", problem);
    http_reply(request, 200, object);
}

void route_cpu_baseline_put(struct http_request *request, void *user)
{
    JsonObject *body;
    struct err err = {0};
    if (!route_allowed(request))
        return;
    JsonNode *model = http_body(request, &body, &err) ? NULL : json_object_get_member(body, "cpu_model");
    if (!err_is_set(&err) && (!model || json_node_get_value_type(model) != G_TYPE_STRING ||
                              strlen(json_node_get_string(model)) >= CPU_MODEL_SIZE))
        (void)err_set(&err, ERR_BAD_REQUEST, "member-missing",
                      "the request needs the member 'cpu_model', the name of a CPU model or empty");
    if (err_is_set(&err) || cpu_baseline_set(user, json_node_get_string(model), &err) < 0)
        http_fail(request, &err);
    else
        http_reply(request, 200, NULL);
}
