/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/forecast.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/findings.h"

static double megabytes(JsonObject *object, const char *member)
{
    return (double)cli_number(object, member) / 1e6;
}

static const char *verdict(JsonObject *forecast)
{
    if (!json_object_get_boolean_member_with_default(forecast, "converges", FALSE))
        return "it would be given up: the guest writes memory faster than it can be sent";
    return json_object_get_boolean_member_with_default(forecast, "needs_sdps", FALSE)
               ? "the guest has to be held up page by page (SDPS)"
               : "the guest is not held up";
}

static void print(JsonObject *answer)
{
    JsonObject *forecast = cli_object(answer, "forecast");
    JsonObject *options = cli_object(answer, "options");
    if (!forecast || !options)
        return;
    printf("VM %s from %s to %s would migrate like this; nothing was moved:\n", cli_string(answer, "vm"),
           cli_string(answer, "source"), cli_string(answer, "destination"));
    printf("  outcome   %s\n", verdict(forecast));
    printf("  duration  %.2f s, %d rounds\n", cli_real(forecast, "duration_ms") / 1e3,
           (int)cli_number(forecast, "rounds"));
    printf("  downtime  %.0f ms, the goal is %d ms\n", cli_real(forecast, "downtime_ms"),
           (int)cli_number(options, "max_downtime_ms"));
    printf("  memory    %.0f MB used, %d %% of it zero\n", megabytes(forecast, "ram_used_bytes"),
           (int)cli_number(forecast, "zero_percent"));
    printf("  guest     dirties %.0f MB/s, of a working set of %.0f MB\n", cli_real(forecast, "dirty_mb_s"),
           megabytes(forecast, "working_set_bytes"));
    printf("  link      %.0f MB/s, %.2f ms there and back\n", cli_real(forecast, "link_mb_s"),
           cli_real(forecast, "rtt_ms"));
}

/* As the error form, so that programs find the first error where it always is. */
static void print_refusal_json(JsonObject *host)
{
    g_autoptr(JsonObject) document = json_object_new();
    JsonArray *findings = cli_array(host, "findings");
    for (guint i = json_array_get_length(findings); i-- > 0;) {
        JsonObject *finding = json_array_get_object_element(findings, i);
        if (!strcmp(cli_string(finding, "severity"), "error"))
            json_object_set_object_member(document, "error", json_object_ref(finding));
    }
    json_object_set_array_member(document, "findings", json_array_ref(findings));
    cli_print_json(document);
}

/* All that is in the way, and not only what a sample would stumble over first. */
static int check_first(struct cli *cli, JsonObject *body)
{
    g_autoptr(JsonObject) answer = NULL;
    char *to[] = {(char *)(uintptr_t)cli_string(body, "destination"), NULL};
    int result =
        findings_ask(cli, cli_string(body, "vm"), to, json_object_ref(cli_object(body, "options")), &answer);
    if (result)
        return result;
    JsonArray *hosts = cli_array(answer, "hosts");
    JsonObject *host = hosts && json_array_get_length(hosts) ? json_array_get_object_element(hosts, 0) : NULL;
    if (!findings_refuse(host)) {
        if (!cli->json && strcmp(cli_string(host, "result"), "passed") != 0)
            findings_print(stdout, host);
        return 0;
    }
    if (cli->json)
        print_refusal_json(host);
    else
        findings_print(stderr, host);
    return CLI_FAILED;
}

int forecast_and_report(struct cli *cli, JsonObject *body)
{
    g_autoptr(JsonObject) answer = NULL;
    int result = check_first(cli, body);
    if (result) {
        json_object_unref(body);
        return result;
    }
    result = cli_call(cli, "POST", "/v1/forecasts", body, &answer);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(answer);
    else
        print(answer);
    return CLI_DONE;
}
