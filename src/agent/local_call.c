/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/local_call.h"

#include "http/http.h"

int local_call(const struct agent_config *config, const char *path, JsonObject *body, unsigned timeout_s,
               JsonObject **ret_object, struct err *err)
{
    g_autofree char *base = g_strdup_printf("unix:%s/" LOCAL_SOCKET, config->run_dir);
    struct http_client *client = NULL;
    struct err why = {0};
    *ret_object = NULL;
    const struct http_client_config client_config = {.base = base};
    if (http_client_new(&client_config, &client, err) < 0) {
        if (body)
            json_object_unref(body);
        return -1;
    }
    int result =
        http_client_call_sync(client, &(struct http_call){"POST", path, body, timeout_s}, ret_object, &why);
    http_client_free(client);
    if (result == 0)
        return 0;
    if (why.code == ERR_PEER_LOST) {
        struct err lost = why;
        (void)err_set(&why, ERR_PEER_LOST, "agent-not-running", "the agent of host %s does not run here",
                      config->name);
        (void)err_cause(&why, "%s", lost.cause);
        (void)err_fix(&why,
                      "start it: systemctl start godwit-agent; is this its configuration and are you root?");
    }
    if (err)
        *err = why;
    return -1;
}
