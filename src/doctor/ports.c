/* SPDX-License-Identifier: Apache-2.0 */
/* Who listens at Godwit's ports. */
#include <stdio.h>
#include <string.h>

#include "doctor/limited.h"
#include "doctor/patient.h"

#define SS_MS 10000

struct port {
    const char *owner; /* its program */
    const char *address;
    uint16_t number;
    bool is_started; /* whoever should hold it runs */
};

/* A local address of ss: "198.18.2.11:8000", "[fd00::1]:8000", "*:8000", "0.0.0.0:8000", "[::]:8000". */
static bool covers(const char *local, const char *address)
{
    g_autofree char *bare = g_strndup(local, (gsize)(strrchr(local, ':') ? strrchr(local, ':') - local : 0));
    bool has_brackets = bare[0] == '[' && g_str_has_suffix(bare, "]");
    g_autofree char *host = has_brackets ? g_strndup(bare + 1, strlen(bare) - 2) : g_strdup(bare);
    host[strcspn(host, "%")] = '\0';
    return !strcmp(host, "*") || !strcmp(host, "0.0.0.0") || !strcmp(host, "::") || !strcmp(host, address) ||
           !strcmp(address, "::") || !strcmp(address, "0.0.0.0");
}

/* The line of ss that covers the address: LISTEN RECV-Q SEND-Q LOCAL PEER [users:(("program",pid=N,fd=N))];
 * g_free. */
static char *find_holder(const char *listing, const char *address)
{
    g_auto(GStrv) lines = g_strsplit(listing, "\n", -1);
    for (char **line = lines; *line; line++) {
        char local[128], rest[512] = "";
        if (sscanf(*line, "%*s %*s %*s %127s %*s %511[^\n]", local, rest) >= 1 && covers(local, address))
            return g_strdup(rest);
    }
    return NULL;
}

static void judge(struct report *report, const struct port *port, const char *listing)
{
    g_autofree char *holder = find_holder(listing, port->address);
    g_autofree char *mark = g_strdup_printf("\"%s\"", port->owner);
    if (holder && strstr(holder, mark)) {
        struct err *line = report_line(report, DIAGNOSIS_OK, "%s listens at %s port %u", port->owner,
                                       port->address, port->number);
        (void)err_arg(line, "port", "%u", port->number);
        return;
    }
    struct err *line = report_line(report, DIAGNOSIS_PROBLEM, "%s does not listen at %s port %u", port->owner,
                                   port->address, port->number);
    (void)err_arg(line, "address", "%s", port->address);
    (void)err_arg(line, "port", "%u", port->number);
    if (holder) {
        (void)err_cause(line, "another program has the port: %.200s", holder);
        (void)err_fix(line, "stop that program, or give Godwit another port (port= in its configuration)");
    } else {
        (void)err_cause(line, "nobody has the port%s",
                        port->is_started ? "" : ": what opens it does not run");
        (void)err_fix(line, "see the lines on agent and manager, above; then their logs: journalctl -u "
                            "godwit-agent -u godwitd");
    }
}

static void look(struct report *report, const struct port *port)
{
    g_autofree char *filter = g_strdup_printf("sport = :%u", port->number);
    const char *const argv[] = {"ss", "-tlnpH", filter, NULL};
    g_autofree char *listing = NULL;
    struct err err = {0};
    if (limited_run(argv, SS_MS, &listing, &err) == 0)
        judge(report, port, listing);
    else
        report_absent(report, "who listens is not known", err.message);
}

void check_ports(const struct patient *patient, struct report *report)
{
    const struct agent_config *agent = &patient->agent_config;
    const struct manager_config *manager = &patient->manager_config;
    bool runs = patient->agent_pid != 0;
    if (patient->is_host)
        look(report, &(struct port){"godwit-agent", agent->listen, agent->port, runs});
    for (uint32_t i = 0; patient->is_host && agent->migration_enabled && i < agent->n_migration_addresses;
         i++)
        look(report,
             &(struct port){"godwit-door", agent->migration_addresses[i], agent->migration_port, runs});
    for (char **address = manager->listen; patient->is_manager && manager->port && *address; address++)
        look(report, &(struct port){"godwitd", *address, manager->port, true});
    if (!patient->is_host && !patient->is_manager)
        report_absent(report, "no port is needed", "this machine is neither host nor manager yet");
}
