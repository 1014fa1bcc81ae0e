/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/routes.h"

#include "agent/routes_datastores.h"
#include "agent/routes_disks.h"
#include "agent/routes_forecasts.h"
#include "agent/routes_guest.h"
#include "agent/routes_moves.h"
#include "agent/routes_reach.h"
#include "agent/routes_settle.h"
#include "agent/routes_vms.h"

const struct http_route agent_routes[] = {
    {"GET", "/v1/host", HTTP_CLIENT, route_host},
    {"GET", "/v1/vms", HTTP_CLIENT, route_vm_list},
    {"PUT", "/v1/vms/{uuid}", HTTP_CLIENT, route_vm_put},
    {"GET", "/v1/vms/{uuid}", HTTP_CLIENT, route_vm_get},
    {"PATCH", "/v1/vms/{uuid}", HTTP_CLIENT, route_vm_patch},
    {"DELETE", "/v1/vms/{uuid}", HTTP_CLIENT, route_vm_delete},
    {"POST", "/v1/vms/{uuid}/start", HTTP_CLIENT, route_vm_start},
    {"POST", "/v1/vms/{uuid}/stop", HTTP_CLIENT, route_vm_stop},
    {"GET", "/v1/vms/{uuid}/console", HTTP_CLIENT, route_vm_console},
    {"POST", "/v1/vms/{uuid}/console", HTTP_CLIENT, route_vm_type},
    {"POST", "/v1/vms/{uuid}/balloon", HTTP_CLIENT, route_vm_balloon},
    {"GET", "/v1/vms/{uuid}/disks", HTTP_CLIENT, route_disk_list},
    {"POST", "/v1/vms/{uuid}/disks", HTTP_CLIENT, route_disk_add},
    {"POST", "/v1/vms/{uuid}/disks/{disk}/detach", HTTP_CLIENT, route_disk_detach},
    {"POST", "/v1/vms/{uuid}/disks/{disk}/resize", HTTP_CLIENT, route_disk_resize},
    {"POST", "/v1/vms/{uuid}/disks/{disk}/eject", HTTP_CLIENT, route_disk_eject},
    {"POST", "/v1/vms/{uuid}/disks/{disk}/insert", HTTP_CLIENT, route_disk_insert},
    {"POST", "/v1/vms/{uuid}/guest", HTTP_CLIENT, route_vm_guest},
    {"PUT", "/v1/vms/{uuid}/pool", HTTP_CLIENT, route_vm_pool},
    {"PUT", "/v1/pools", HTTP_CLIENT, route_pools_put},
    {"PUT", "/v1/cpu-baseline", HTTP_CLIENT, route_cpu_baseline_put},
    {"GET", "/v1/cpu-models/{model}", HTTP_CLIENT, route_cpu_model},
    {"POST", "/v1/autostart", HTTP_CLIENT, route_autostart},
    {"GET", "/v1/vms/{uuid}/ownership", HTTP_CLIENT, route_ownership},
    {"POST", "/v1/vms/{uuid}/settle", HTTP_CLIENT, route_settle},
    {"POST", "/v1/moves/{id}/check", HTTP_CLIENT, route_move_check},
    {"PUT", "/v1/moves/{id}/source", HTTP_CLIENT, route_move_source},
    {"PUT", "/v1/moves/{id}/destination", HTTP_CLIENT, route_move_destination},
    {"POST", "/v1/moves/{id}/start", HTTP_CLIENT, route_move_start},
    {"GET", "/v1/moves/{id}", HTTP_CLIENT, route_move_get},
    {"POST", "/v1/moves/{id}/cancel", HTTP_CLIENT, route_move_cancel},
    {"POST", "/v1/moves/{id}/commit", HTTP_CLIENT, route_move_commit},
    {"POST", "/v1/moves/{id}/verdict", HTTP_CLIENT, route_move_verdict},
    {"DELETE", "/v1/moves/{id}", HTTP_CLIENT, route_move_delete},
    {"PUT", "/v1/forecasts/{id}/destination", HTTP_CLIENT, route_forecast_destination},
    {"POST", "/v1/forecasts/{id}/source", HTTP_CLIENT, route_forecast_source},
    {"POST", "/v1/reach", HTTP_CLIENT, route_reach},
    {"POST", "/v1/datastores/{datastore}/init", HTTP_CLIENT, route_datastore_init},
    {0},
};
