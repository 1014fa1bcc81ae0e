/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "manager/diagnoses.h"
#include "manager/routes.h"

void route_diagnose(struct http_request *request, void *user)
{
    static const char *const members[] = {"from", "to", NULL};
    struct manager *manager = user;
    struct err err = {0};
    JsonObject *body;
    const char *from_name, *to_name;
    struct host *from, *to;
    if (routes_body(request, members, &body, &err) || routes_text(body, "from", NULL, &from_name, &err) ||
        routes_text(body, "to", NULL, &to_name, &err) ||
        inventory_get_host(manager->inventory, from_name, &from, &err) ||
        inventory_get_host(manager->inventory, to_name, &to, &err)) {
        http_fail(request, &err);
    } else if (from == to) {
        (void)err_set(&err, ERR_BAD_REQUEST, "same-host", "from and to are the same host '%s'", from->name);
        (void)err_fix(&err, "name two hosts; of one alone says all 'godwit doctor' on it");
        http_fail(request, &err);
    } else {
        diagnoses_answer(manager, request, from, to);
    }
}
