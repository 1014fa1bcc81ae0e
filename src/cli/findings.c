/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/findings.h"

#include <stdio.h>
#include <string.h>

#include "model/move.h"

int findings_ask(struct cli *cli, const char *vm, char **destinations, JsonObject *options,
                 JsonObject **ret_answer)
{
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "vm", vm);
    if (options)
        json_object_set_object_member(body, "options", options);
    if (destinations) {
        JsonArray *names = json_array_new();
        for (; *destinations; destinations++)
            json_array_add_string_element(names, *destinations);
        json_object_set_array_member(body, "destinations", names);
    }
    return cli_call(cli, "POST", "/v1/checks", body, ret_answer);
}

bool findings_refuse(JsonObject *host)
{
    return !strcmp(cli_string(host, "result"), "refused");
}

static void print_finding(FILE *to, JsonObject *finding)
{
    struct err err;
    model_error_from_json(finding, &err);
    cli_print_error(to, "  ", cli_string(finding, "severity"), &err);
}

void findings_print(FILE *to, JsonObject *host)
{
    JsonArray *findings = cli_array(host, "findings");
    guint n = findings ? json_array_get_length(findings) : 0;
    const char *verdict = findings_refuse(host) ? "no" : n ? "yes, with warnings" : "yes";
    fprintf(to, "%s: %s\n", cli_string(host, "host"), verdict);
    for (guint i = 0; i < n; i++)
        print_finding(to, json_array_get_object_element(findings, i));
}
