/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/findings.h"

#include <stdio.h>
#include <string.h>

#include "model/move.h"

bool findings_refuse(JsonArray *findings)
{
    for (guint i = 0; i < json_array_get_length(findings); i++)
        if (!strcmp(cli_string(json_array_get_object_element(findings, i), "severity"), "error"))
            return true;
    return false;
}

static void print_finding(FILE *to, JsonObject *finding)
{
    struct err err;
    model_error_from_json(finding, &err);
    cli_print_error(to, "  ", cli_string(finding, "severity"), &err);
}

void findings_print(FILE *to, const char *host, JsonArray *findings)
{
    guint n = json_array_get_length(findings);
    const char *verdict = findings_refuse(findings) ? "no" : n ? "yes, with warnings" : "yes";
    fprintf(to, "%s: %s\n", host, verdict);
    for (guint i = 0; i < n; i++)
        print_finding(to, json_array_get_object_element(findings, i));
}
