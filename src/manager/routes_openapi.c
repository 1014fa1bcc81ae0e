/* SPDX-License-Identifier: Apache-2.0 */
/* What this API is, for programs: docs/openapi.json as it was when this program was built. A stranger needs
 * it for nothing and is not told the version by it. */
#include "manager/routes.h"

static const char document[] =
#include "openapi.inc"
    ;

void route_openapi(struct http_request *request, void *user)
{
    (void)user;
    http_reply_text(request, 200, "application/json", document, -1);
}
