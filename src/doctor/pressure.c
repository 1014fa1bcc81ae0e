/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/pressure.h"

#include <stdio.h>
#include <string.h>

/* "some avg10=0.00 avg60=0.12 avg300=0.05 total=123" */
static int find_minute(const char *text, const char *kind, double *ret_percent)
{
    const char *line = strstr(text, kind);
    const char *minute = line ? strstr(line, "avg60=") : NULL;
    return minute && sscanf(minute, "avg60=%lf", ret_percent) == 1 && *ret_percent >= 0 ? 0 : -1;
}

int pressure_parse(const char *text, struct pressure *ret_pressure)
{
    *ret_pressure = (struct pressure){0};
    if (find_minute(text, "some ", &ret_pressure->some) < 0)
        return -1;
    (void)find_minute(text, "full ", &ret_pressure->full);
    return 0;
}
