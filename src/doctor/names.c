/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "agent/identity.h"
#include "base/clock.h"
#include "doctor/limited.h"
#include "doctor/patient.h"

#define LIMIT_MS 10000
#define SLOW_MS 2000

struct name {
    const char *what; /* "this machine's own name" */
    const char *text;
    enum diagnosis_verdict if_unknown;
};

static void look(struct report *report, const struct name *name)
{
    const char *const argv[] = {"getent", "ahosts", name->text, NULL};
    g_autofree char *output = NULL;
    struct err err = {0};
    uint64_t asked_ns = clock_now_ns();
    int result = limited_run(argv, LIMIT_MS, &output, &err);
    uint64_t ms = (clock_now_ns() - asked_ns) / NS_PER_MS;
    bool is_slow = result == 0 && ms > SLOW_MS;
    if (result == 0 && !is_slow) {
        (void)report_line(report, DIAGNOSIS_OK, "%s, %s, is %.*s", name->what, name->text,
                          (int)strcspn(output, " \n"), output);
        return;
    }
    struct err *line = report_line(report, is_slow ? DIAGNOSIS_WARNING : name->if_unknown, "%s, %s, %s",
                                   name->what, name->text, is_slow ? "is found slowly" : "is not found");
    if (err.code == ERR_TIMEOUT || is_slow)
        (void)err_cause(line, "the name servers took %" PRIu64 " ms", ms);
    else
        (void)err_cause(line, "neither /etc/hosts nor a name server knows it");
    (void)err_fix(line, "put it into /etc/hosts, or correct the name servers in /etc/resolv.conf");
    (void)err_arg(line, "name", "%s", name->text);
}

/* The host in "https://HOST:PORT" if it is a name; g_free. */
static char *name_in(const char *url)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
    const char *host = uri ? g_uri_get_host(uri) : NULL;
    return host && !g_hostname_is_ip_address(host) ? g_strdup(host) : NULL;
}

static void look_for_manager(const struct patient *patient, struct report *report)
{
    struct identity identity = {0};
    g_autofree char *name = NULL;
    if (identity_load(&patient->agent_config, &identity, NULL) == 0)
        name = name_in(identity.manager_url);
    identity_clear(&identity);
    if (name)
        look(report, &(struct name){"the manager's name", name, DIAGNOSIS_PROBLEM});
}

void check_names(const struct patient *patient, struct report *report)
{
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    look(report, &(struct name){"this machine's own name", host, DIAGNOSIS_WARNING});
    if (patient->is_host)
        look_for_manager(patient, report);
}
