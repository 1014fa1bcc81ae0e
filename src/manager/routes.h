/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's API: each handler reads the request, asks the part that knows, answers. The bodies are
 * described in docs/api.md. */
#ifndef MANAGER_ROUTES_H
#define MANAGER_ROUTES_H

#include "http/http.h"
#include "manager/manager.h"

extern const struct http_route routes_table[];

/* routes_enroll.c */
void route_enroll(struct http_request *request, void *user);
void route_renew(struct http_request *request, void *user);
void route_host_enroll(struct http_request *request, void *user);
/* routes_hosts.c */
void route_hosts_list(struct http_request *request, void *user);
void route_host_add(struct http_request *request, void *user);
void route_host_adopt(struct http_request *request, void *user);
void route_host_show(struct http_request *request, void *user);
void route_host_remove(struct http_request *request, void *user);
void route_maintenance_enter(struct http_request *request, void *user);
void route_maintenance_exit(struct http_request *request, void *user);
/* routes_vms.c */
void route_vms_list(struct http_request *request, void *user);
void route_vm_create(struct http_request *request, void *user);
void route_vm_show(struct http_request *request, void *user);
void route_vm_set(struct http_request *request, void *user);
void route_vm_remove(struct http_request *request, void *user);
void route_vm_start(struct http_request *request, void *user);
void route_vm_stop(struct http_request *request, void *user);
void route_vm_console(struct http_request *request, void *user);
void route_vm_balloon(struct http_request *request, void *user);
void route_vm_type(struct http_request *request, void *user);
void route_vm_pool(struct http_request *request, void *user);
/* routes_disks.c */
void route_disks_list(struct http_request *request, void *user);
void route_disk_add(struct http_request *request, void *user);
void route_disk_detach(struct http_request *request, void *user);
void route_disk_resize(struct http_request *request, void *user);
void route_disk_eject(struct http_request *request, void *user);
void route_disk_insert(struct http_request *request, void *user);
/* As every answer about a VM has it, with the hosts that own it besides; transfer full. */
JsonObject *routes_vm_json(struct manager *manager, const struct vm_status *vm);
/* routes_diagnoses.c */
void route_diagnose(struct http_request *request, void *user);
/* routes_cluster.c */
void route_cluster_show(struct http_request *request, void *user);
void route_cluster_set(struct http_request *request, void *user);
/* routes_pools.c */
void route_datastores_list(struct http_request *request, void *user);
void route_datastore_show(struct http_request *request, void *user);
void route_datastore_init(struct http_request *request, void *user);
void route_pools_list(struct http_request *request, void *user);
void route_pool_add(struct http_request *request, void *user);
void route_pool_show(struct http_request *request, void *user);
void route_pool_set(struct http_request *request, void *user);
void route_pool_remove(struct http_request *request, void *user);
/* settle.c */
void route_vm_ownership(struct http_request *request, void *user);
void route_vm_settle(struct http_request *request, void *user);
/* routes_migrations.c */
void route_migrate(struct http_request *request, void *user);
void route_check(struct http_request *request, void *user);
void route_forecast(struct http_request *request, void *user);
void route_tasks_list(struct http_request *request, void *user);
void route_task_show(struct http_request *request, void *user);
void route_task_cancel(struct http_request *request, void *user);
void route_task_events(struct http_request *request, void *user);
/* routes_openapi.c */
void route_openapi(struct http_request *request, void *user);
/* routes_admin.c */
void route_about(struct http_request *request, void *user);
void route_event_types(struct http_request *request, void *user);
void route_events(struct http_request *request, void *user);
void route_tokens_list(struct http_request *request, void *user);
void route_token_add(struct http_request *request, void *user);
void route_token_remove(struct http_request *request, void *user);

/* routes.c: helpers of the above. */
/* The body, with no members besides `allowed` (NULL-terminated); a typing error must not be lost. */
int routes_body(struct http_request *request, const char *const *allowed, JsonObject **ret_body,
                struct err *err);
/* For a request that has none. */
int routes_no_members(struct http_request *request, struct err *err);
/* -1, BAD_REQUEST "member-type" ("must": what it must be, in words) or "member-missing". */
int routes_refuse_member(const char *member, const char *must, struct err *err);
int routes_member_missing(const char *member, struct err *err);
/* A text member; BAD_REQUEST that names it. `fallback` NULL: it must be there. Borrowed. */
int routes_text(JsonObject *body, const char *name, const char *fallback, const char **ret_text,
                struct err *err);
/* BAD_REQUEST "name" unless it is a name, of a host also if it is the manager's (routes_hosts.c). */
int routes_name(const char *name, struct err *err);
int routes_host_name(const char *name, struct err *err);
/* The member `client_key`, "" if there is none; BAD_REQUEST "client-key" if it is too long. Borrowed. */
int routes_client_key(JsonObject *body, const char **ret_key, struct err *err);
/* The members `address` and `port` of a host; what is wrong is named. The address is borrowed. */
int routes_address(JsonObject *body, const char **ret_address, uint16_t *ret_port, struct err *err);
/* -1 with BAD_REQUEST "query": a value in the query that is not what it must be ("a name"). */
int routes_refuse_query(const char *name, const char *value, const char *must, struct err *err);
/* A whole number in the query, `fallback` if absent. */
int routes_query_number(struct http_request *request, const char *name, uint64_t fallback,
                        uint64_t *ret_number, struct err *err);
/* A name in the query, "" if absent; BAD_REQUEST "query" if it can be none. */
int routes_query_name(struct http_request *request, const char *name, char ret_value[MODEL_NAME_MAX],
                      struct err *err);

#endif
