/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/routes_reach.h"

#include <string.h>

#include "agent/reach.h"
#include "agent/routes_vms.h"

static void on_reached(const struct findings *findings, const struct reach_report *report, void *user)
{
    JsonObject *answer = reach_report_to_json(report);
    json_object_set_array_member(answer, "findings", findings_to_json(findings));
    http_reply(user, 200, answer);
}

static int read_wish(struct http_request *request, const struct agent *agent, struct reach_wish *ret_wish,
                     struct err *err)
{
    JsonObject *body;
    if (http_body(request, &body, err) < 0 || reach_wish_from_json(body, ret_wish, err) < 0)
        return -1;
    if (!strcmp(ret_wish->host, agent->config.name))
        return 0;
    return err_set(err, ERR_BAD_REQUEST, "wrong-host", "host is \"%s\", but this host is \"%s\"",
                   ret_wish->host, agent->config.name);
}

void route_reach(struct http_request *request, void *user)
{
    struct reach_wish wish;
    struct err err = {0};
    if (!route_allowed(request))
        return;
    if (read_wish(request, user, &wish, &err) < 0)
        http_fail(request, &err);
    else
        reach_check(&wish, on_reached, request);
}
