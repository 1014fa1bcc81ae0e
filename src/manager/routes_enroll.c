/* SPDX-License-Identifier: Apache-2.0 */
/* How a host gets its certificate: the first one by a one-time token, later ones by the one before. */
#include <string.h>

#include "base/log.h"
#include "manager/auth.h"
#include "manager/ca.h"
#include "manager/inventory.h"
#include "manager/routes.h"
#include "manager/vm_events.h"

static JsonObject *certificate_json(struct manager *manager, const char *name, const char *certificate)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "name", name);
    json_object_set_string_member(object, "certificate", certificate);
    json_object_set_string_member(object, "ca", manager->authority->ca_cert);
    return object;
}

static int sign(struct host *host, const char *csr, char **ret_certificate, char ret_fingerprint[65],
                struct err *err)
{
    struct manager *manager = host->manager;
    const struct http_identity identity = {host->name, (const char *[]){host->address, NULL},
                                           manager->config.host_certificate_hours};
    if (authority_sign_host(manager->authority, csr, &identity, ret_certificate, err))
        return -1;
    return http_cert_fingerprint(*ret_certificate, ret_fingerprint, err);
}

static int enroll(struct manager *manager, struct http_request *request, JsonObject **ret_object,
                  struct err *err)
{
    static const char *const members[] = {"token", "csr", NULL};
    JsonObject *body;
    const char *token;
    const char *csr;
    char name[MODEL_NAME_MAX];
    char fingerprint[65];
    if (routes_body(request, members, &body, err) || routes_text(body, "token", NULL, &token, err) ||
        routes_text(body, "csr", NULL, &csr, err))
        return -1;
    g_autofree char *certificate = NULL;
    /* A request that cannot be signed must not use the token up: try it with the token's host first. */
    if (auth_enrolment_host(token, name, err))
        return -1;
    struct host *host = inventory_find_host(manager->inventory, name);
    if (!host)
        return auth_enrolment_refuse(err);
    if (sign(host, csr, &certificate, fingerprint, err) ||
        auth_enrolment_use(manager, token, name, fingerprint, err))
        return -1;
    inventory_host_enrolled(host, fingerprint);
    log_info("host %s enrolled", name);
    *ret_object = certificate_json(manager, name, certificate);
    return 0;
}

void route_enroll(struct http_request *request, void *user)
{
    struct err err = {0};
    JsonObject *object = NULL;
    if (enroll(user, request, &object, &err))
        http_fail(request, &err);
    else
        http_reply(request, 200, object);
}

static int explain_refusal(const struct host *host, const char *name, struct err *err)
{
    if (!host) {
        (void)err_cause(err, "the host was removed");
        return err_fix(err, "add it again with 'godwit host add %s'", name);
    }
    (void)err_cause(err, host->state == HOST_ENROLLING ? "the host was removed, and added again since"
                                                       : "the host was enrolled again since");
    return err_fix(err, "use 'godwit host enroll %s' and enrol it again", name);
}

static int renew(struct manager *manager, struct http_request *request, JsonObject **ret_object,
                 struct err *err)
{
    static const char *const members[] = {"csr", NULL};
    JsonObject *body;
    const char *csr;
    char shown[65];
    char fingerprint[65];
    g_autofree char *certificate = NULL;
    const char *name = http_user(request);
    struct host *host = inventory_find_host(manager->inventory, name);
    if (routes_body(request, members, &body, err) || routes_text(body, "csr", NULL, &csr, err))
        return -1;
    /* One that was removed and added again has no certificate until it uses its token. */
    if (!host || host->state == HOST_ENROLLING || !http_client_fingerprint(request, shown) ||
        !inventory_host_shows(host, shown)) {
        (void)err_set(err, ERR_UNAUTHORIZED, "certificate-replaced",
                      "this certificate of host '%s' does not count any more", name);
        (void)err_arg(err, "host", "%s", name);
        return explain_refusal(host, name, err);
    }
    if (sign(host, csr, &certificate, fingerprint, err) ||
        inventory_host_renewed(host, fingerprint, shown, err))
        return -1;
    log_info("host %s has a new certificate", name);
    *ret_object = certificate_json(manager, name, certificate);
    return 0;
}

void route_renew(struct http_request *request, void *user)
{
    struct err err = {0};
    JsonObject *object = NULL;
    if (renew(user, request, &object, &err))
        http_fail(request, &err);
    else
        http_reply(request, 200, object);
}

void route_host_enroll(struct http_request *request, void *user)
{
    struct manager *manager = user;
    struct err err = {0};
    struct host *host;
    char token[AUTH_ENROLMENT_SIZE];
    if (routes_no_members(request, &err) ||
        inventory_get_host(manager->inventory, http_param(request, "host"), &host, &err) ||
        auth_enrolment_new(manager, host->name, token, &err)) {
        http_fail(request, &err);
        return;
    }
    host_tell(host, EVENT_ENROLMENT_CREATED, http_user(request), NULL);
    JsonObject *object = json_object_new();
    json_object_set_object_member(object, "host", inventory_host_json(host));
    json_object_set_string_member(object, "token", token);
    http_reply(request, 201, object);
}
