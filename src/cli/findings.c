/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/findings.h"

#include <stdio.h>
#include <string.h>

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
    const char *cause = cli_string(finding, "cause");
    const char *fix = cli_string(finding, "fix");
    fprintf(to, "  %s: %s\n", cli_string(finding, "severity"), cli_string(finding, "message"));
    fprintf(to, "    phase: %s (%s)\n", cli_string(finding, "phase"), cli_string(finding, "side"));
    if (*cause)
        fprintf(to, "    cause: %s\n", cause);
    if (*fix)
        fprintf(to, "    fix:   %s\n", fix);
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
