/* SPDX-License-Identifier: Apache-2.0 */
/* The ports of this machine, held against its packet filter. */
#include <string.h>

#include "agent/network.h"
#include "doctor/files.h"
#include "doctor/firewall.h"
#include "doctor/limited.h"
#include "doctor/patient.h"

#define LIMIT_MS 10000

struct rules {
    char *nft;          /* what it printed; NULL: it is not here, or failed */
    char *iptables[2];  /* of IPv4 and IPv6; NULL: no such rules */
    struct err nft_err; /* why not */
};

/* Only the old iptables fills these tables; the new one's rules are nft's. */
static char *read_iptables(bool is_v6)
{
    const char *const argv[] = {is_v6 ? "ip6tables-legacy-save" : "iptables-legacy-save", "-t", "filter",
                                NULL};
    g_autofree char *tables = files_text("/proc/net/%s_tables_names", is_v6 ? "ip6" : "ip");
    char *output = NULL;
    if (!tables || !strstr(tables, "filter") || limited_run(argv, LIMIT_MS, &output, NULL) < 0)
        return NULL;
    return output;
}

static void rules_open(struct rules *rules)
{
    static const char *const argv[] = {"nft", "-j", "list", "ruleset", NULL};
    *rules = (struct rules){.iptables = {read_iptables(false), read_iptables(true)}};
    (void)limited_run(argv, LIMIT_MS, &rules->nft, &rules->nft_err);
}

static void rules_clear(struct rules *rules)
{
    g_free(rules->nft);
    g_free(rules->iptables[0]);
    g_free(rules->iptables[1]);
}

static void say(struct report *report, const struct firewall_packet *packet, const char *what,
                const struct firewall_judgement *judgement)
{
    static const enum diagnosis_verdict verdicts[] = {[FIREWALL_PASSES] = DIAGNOSIS_OK,
                                                      [FIREWALL_MAY_DROP] = DIAGNOSIS_WARNING,
                                                      [FIREWALL_DROPS] = DIAGNOSIS_PROBLEM};
    static const char *const words[] = {[FIREWALL_PASSES] = "lets TCP port",
                                        [FIREWALL_MAY_DROP] = "may drop packets to TCP port",
                                        [FIREWALL_DROPS] = "drops TCP port"};
    bool passes = judgement->verdict == FIREWALL_PASSES;
    struct err *line =
        report_line(report, verdicts[judgement->verdict], "the firewall %s %u (%s)%s%s%s%s",
                    words[judgement->verdict], packet->port, what, passes ? " pass" : "",
                    *packet->interface ? ", by " : "", packet->interface, packet->is_v6 ? ", IPv6" : "");
    (void)err_arg(line, "port", "%u", packet->port);
    (void)err_arg(line, "interface", "%s", packet->interface);
    if (passes)
        return;
    (void)err_cause(line, "%s%s", judgement->where,
                    judgement->verdict == FIREWALL_DROPS ? " drops or rejects them"
                                                         : " drops those that meet a condition");
    (void)err_fix(line,
                  "%s; for good in the firewall's own configuration (share/doc/godwit/firewall has examples)",
                  judgement->fix);
}

static void judge(struct report *report, const struct rules *rules, const struct firewall_packet *packet,
                  const char *what)
{
    struct firewall *firewall = firewall_new();
    struct firewall_judgement judgement;
    struct err err = {0};
    if (rules->iptables[packet->is_v6])
        firewall_read_iptables(firewall, rules->iptables[packet->is_v6], packet);
    if (rules->nft && firewall_read_nft(firewall, rules->nft, packet, &err) < 0) {
        report_absent(report, "what nft says is not understood", err.message);
    } else {
        firewall_judge(firewall, &judgement);
        say(report, packet, what, &judgement);
    }
    firewall_free(firewall);
}

/* An address of all interfaces is a packet to nowhere in particular. */
static void judge_address(struct report *report, const struct rules *rules, const char *address,
                          uint16_t port, const char *what)
{
    char interface[16];
    bool is_any = !strcmp(address, "::") || !strcmp(address, "0.0.0.0");
    (void)network_interface(address, interface);
    const struct firewall_packet packet = {strchr(address, ':') && !is_any, port, interface,
                                           is_any ? "" : address};
    judge(report, rules, &packet, what);
}

static void judge_all(const struct patient *patient, struct report *report, const struct rules *rules)
{
    const struct agent_config *agent = &patient->agent_config;
    const struct manager_config *manager = &patient->manager_config;
    bool is_host = patient->has_agent_config && (patient->is_host || !patient->is_manager);
    if (is_host)
        judge_address(report, rules, agent->listen, agent->port, "agent");
    for (uint32_t i = 0; is_host && agent->migration_enabled && i < agent->n_migration_addresses; i++)
        judge_address(report, rules, agent->migration_addresses[i], agent->migration_port, "migration");
    for (char **address = manager->listen; patient->is_manager && manager->port && *address; address++)
        if (!g_str_has_prefix(*address, "127.") && strcmp(*address, "::1") != 0)
            judge_address(report, rules, *address, manager->port, "manager");
}

void check_firewall(const struct patient *patient, struct report *report)
{
    struct rules rules;
    rules_open(&rules);
    if (!patient->has_agent_config && !patient->is_manager)
        report_absent(report, "no port is known", "the agent's configuration, which names them, is wrong");
    else if (rules.nft || rules.iptables[0] || rules.iptables[1])
        judge_all(patient, report, &rules);
    else
        report_absent(report, "its rules cannot be read",
                      rules.nft_err.cause[0] ? rules.nft_err.cause : rules.nft_err.message);
    rules_clear(&rules);
}
