/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_agent.h"

#define LACKS "under tcg it lacks fake"

void fake_cpu_facts(const struct fake_agent *agent, struct host_facts *facts)
{
    facts->keeps_cpu_baseline = agent->cpu_models != NULL;
    for (const char *const *model = agent->cpu_models; model && *model; model++)
        (void)g_strlcpy(facts->cpu_models[facts->n_cpu_models++], *model, sizeof facts->cpu_models[0]);
    (void)g_strlcpy(facts->cpu_baseline, agent->cpu_baseline, sizeof facts->cpu_baseline);
    if (agent->cpu_baseline[0] && !g_strv_contains(agent->cpu_models, agent->cpu_baseline))
        (void)g_strlcpy(facts->cpu_baseline_problem, LACKS, sizeof facts->cpu_baseline_problem);
}

void fake_cpu_model(struct http_request *request, void *user)
{
    const struct fake_agent *agent = user;
    bool has_it = g_strv_contains(agent->cpu_models, http_param(request, "model"));
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "missing", has_it ? "" : "fake");
    json_object_set_string_member(object, "problem", has_it ? "" : LACKS);
    http_reply(request, 200, object);
}

void fake_cpu_baseline(struct http_request *request, void *user)
{
    struct fake_agent *agent = user;
    JsonObject *body;
    struct err err = {0};
    if (http_body(request, &body, &err)) {
        http_fail(request, &err);
        return;
    }
    (void)g_strlcpy(agent->cpu_baseline, json_object_get_string_member(body, "cpu_model"),
                    sizeof agent->cpu_baseline);
    http_reply(request, 200, NULL);
}
