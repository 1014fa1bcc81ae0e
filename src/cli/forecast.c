/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/forecast.h"

#include <stdio.h>

#include "cli/findings.h"
#include "model/json.h"

static double megabytes(JsonObject *object, const char *member)
{
    return (double)cli_number(object, member) / 1e6;
}

static const char *verdict(JsonObject *forecast)
{
    if (!model_flag(forecast, "converges"))
        return "it would be given up: the guest writes memory faster than it can be sent";
    return model_flag(forecast, "needs_sdps") ? "the guest has to be held up page by page (SDPS)"
                                              : "the guest is not held up";
}

static void print(JsonObject *answer)
{
    JsonObject *forecast = cli_object(answer, "forecast");
    JsonObject *options = cli_object(answer, "options");
    JsonArray *disks = cli_array(answer, "disks");
    double disk_mb = 0;
    for (guint i = 0; disks && i < json_array_get_length(disks); i++)
        disk_mb += megabytes(json_array_get_object_element(disks, i), "used_bytes");
    if (!options)
        return;
    if (!forecast) {
        printf(
            "The disks of VM %s on %s, with %.0f MB used, would move to datastore %s; nothing was moved.\n",
            cli_string(answer, "vm"), cli_string(answer, "source"), disk_mb,
            cli_string(options, "datastore"));
        return;
    }
    printf("VM %s from %s to %s would migrate like this; nothing was moved:\n", cli_string(answer, "vm"),
           cli_string(answer, "source"), cli_string(answer, "destination"));
    printf("  outcome   %s\n", verdict(forecast));
    printf("  duration  %.2f s, %d rounds\n", cli_real(forecast, "duration_ms") / 1e3,
           (int)cli_number(forecast, "rounds"));
    printf("  downtime  %.0f ms, the goal is %d ms\n", cli_real(forecast, "downtime_ms"),
           (int)cli_number(options, "max_downtime_ms"));
    printf("  memory    %.0f MB used, %d %% of it zero\n", megabytes(forecast, "ram_used_bytes"),
           (int)cli_number(forecast, "zero_percent"));
    if (disks && json_array_get_length(disks))
        printf("  disks     %u, %.0f MB used, %.2f s of the duration\n", json_array_get_length(disks),
               disk_mb, cli_real(forecast, "disks_ms") / 1e3);
    printf("  guest     dirties %.0f MB/s, of a working set of %.0f MB\n", cli_real(forecast, "dirty_mb_s"),
           megabytes(forecast, "working_set_bytes"));
    printf("  link      %.0f MB/s, %.2f ms there and back\n", cli_real(forecast, "link_mb_s"),
           cli_real(forecast, "rtt_ms"));
}

/* All that is in the way, and not only the first of it. */
static int fail(struct cli *cli, const char *destination, JsonObject *answer, const struct err *err)
{
    JsonArray *findings = cli_array(answer, "findings");
    if (!findings)
        return cli_fail(cli, err);
    if (cli->json)
        cli_print_json(answer);
    else
        findings_print(stderr, destination, findings);
    return CLI_FAILED;
}

int forecast_and_report(struct cli *cli, JsonObject *body)
{
    g_autofree char *destination = g_strdup(cli_string(body, "destination"));
    g_autoptr(JsonObject) answer = NULL;
    struct err err = {0};
    if (cli_ask("POST", "/v1/forecasts", body, &answer, &err) < 0)
        return fail(cli, destination, answer, &err);
    JsonArray *findings = cli_array(answer, "findings");
    if (cli->json) {
        cli_print_json(answer);
        return CLI_DONE;
    }
    if (findings && json_array_get_length(findings))
        findings_print(stdout, destination, findings);
    print(answer);
    return CLI_DONE;
}
