/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/forecast.h"

#include <stdio.h>

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

int forecast_and_report(struct cli *cli, JsonObject *body)
{
    g_autoptr(JsonObject) answer = NULL;
    int result = cli_call(cli, "POST", "/v1/forecasts", body, &answer);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(answer);
    else
        print(answer);
    return CLI_DONE;
}
