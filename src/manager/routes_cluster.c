/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "manager/cluster.h"
#include "manager/routes.h"

#define MUST "the name of one of QEMU's CPU models (not max, host or base), or \"" CPU_BASELINE_NONE "\""

void route_cluster_show(struct http_request *request, void *user)
{
    http_reply(request, 200, cluster_json(user));
}

static int read_baseline(struct http_request *request, const char **ret_model, struct err *err)
{
    static const char *const members[] = {"cpu_baseline", NULL};
    JsonObject *body;
    if (routes_body(request, members, &body, err) || routes_text(body, "cpu_baseline", NULL, ret_model, err))
        return -1;
    if (!strcmp(*ret_model, CPU_BASELINE_NONE))
        *ret_model = "";
    else if (!model_name_is_valid(*ret_model) || cpu_model_is_open(*ret_model) ||
             !strcmp(*ret_model, "base")) {
        (void)routes_refuse_member("cpu_baseline", MUST, err);
        return err_fix(err, "'godwit cluster show' lists those that all connected hosts can provide");
    }
    return 0;
}

void route_cluster_set(struct http_request *request, void *user)
{
    struct err err = {0};
    const char *model;
    if (read_baseline(request, &model, &err))
        http_fail(request, &err);
    else
        cluster_set_cpu_baseline(user, request, model);
}
