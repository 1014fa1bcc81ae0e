/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "doctor/firewall.h"

/* One line "-A CHAIN …" as it is read from left to right. */
struct line {
    const struct firewall_packet *packet;
    struct firewall_rule rule;
    bool is_negated; /* "!" stood before this option */
};

static enum firewall_match is_port(const char *list, uint16_t port)
{
    g_auto(GStrv) parts = g_strsplit(list, ",", -1);
    for (char **part = parts; *part; part++) {
        unsigned first = 0, last = 0;
        int n = sscanf(*part, "%u:%u", &first, &last);
        if (n >= 1 && port >= first && port <= (n == 2 ? last : first))
            return MATCH_YES;
    }
    return MATCH_NO;
}

static enum firewall_match is_interface(const char *name, const struct firewall_packet *packet)
{
    size_t length = strlen(name);
    if (!*packet->interface)
        return !strcmp(name, "lo") ? MATCH_NO : MATCH_MAYBE;
    if (length && name[length - 1] == '+')
        return !strncmp(name, packet->interface, length - 1) ? MATCH_YES : MATCH_NO;
    return !strcmp(name, packet->interface) ? MATCH_YES : MATCH_NO;
}

static enum firewall_match is_state_new(const char *list)
{
    g_auto(GStrv) states = g_strsplit(list, ",", -1);
    return g_strv_contains((const char *const *)states, "NEW") ? MATCH_YES : MATCH_NO;
}

static enum firewall_match is_destination(const char *range, const struct firewall_packet *packet)
{
    g_auto(GStrv) parts = g_strsplit(range, "/", 2);
    bool is_one = !parts[1] || !strcmp(parts[1], packet->is_v6 ? "128" : "32");
    if (!*packet->address || !is_one)
        return MATCH_MAYBE;
    return !strcmp(parts[0], packet->address) ? MATCH_YES : MATCH_NO;
}

static enum firewall_match is_so(const char *option, const char *value, const struct firewall_packet *packet)
{
    if (!strcmp(option, "-p"))
        return !strcmp(value, "tcp") || !strcmp(value, "all") ? MATCH_YES : MATCH_NO;
    if (!strcmp(option, "--dport") || !strcmp(option, "--dports"))
        return is_port(value, packet->port);
    if (!strcmp(option, "-i"))
        return is_interface(value, packet);
    if (!strcmp(option, "--ctstate") || !strcmp(option, "--state"))
        return is_state_new(value);
    if (!strcmp(option, "-d"))
        return is_destination(value, packet);
    return !strcmp(option, "-s") ? MATCH_SENDERS : MATCH_MAYBE;
}

static void take_target(struct line *line, const char *target, enum firewall_action jump)
{
    if (!strcmp(target, "ACCEPT"))
        line->rule.action = ACTION_ACCEPT;
    else if (!strcmp(target, "DROP") || !strcmp(target, "REJECT"))
        line->rule.action = ACTION_DROP;
    else if (!strcmp(target, "RETURN"))
        line->rule.action = ACTION_RETURN;
    else
        line->rule.action = jump;
    if (line->rule.action == jump)
        line->rule.target = g_strdup(target);
}

static void take_option(struct line *line, const char *option, const char *value)
{
    static const char *const silent[] = {"-m",           "--comment",   "--reject-with",
                                         "--log-prefix", "--log-level", NULL};
    if (!strcmp(option, "-j") || !strcmp(option, "-g")) {
        take_target(line, value, !strcmp(option, "-j") ? ACTION_JUMP : ACTION_GOTO);
        return;
    }
    if (g_strv_contains(silent, option))
        return;
    enum firewall_match is = is_so(option, value, line->packet);
    if (line->is_negated && (is == MATCH_YES || is == MATCH_NO))
        is = is == MATCH_YES ? MATCH_NO : MATCH_YES;
    line->rule.match = MIN(line->rule.match, is);
    line->is_negated = false;
}

static void read_rule(struct firewall *firewall, const char *text, const struct firewall_packet *packet)
{
    g_auto(GStrv) words = NULL;
    struct line line = {.packet = packet, .rule = {.match = MATCH_YES}};
    if (!g_shell_parse_argv(text, NULL, &words, NULL) || g_strv_length(words) < 2)
        return;
    const char *chain = words[1];
    for (char **word = words + 2; *word; word++) {
        if (!strcmp(*word, "!")) {
            line.is_negated = true;
            continue;
        }
        bool has_value = word[1] && word[1][0] != '-' && strcmp(word[1], "!") != 0;
        take_option(&line, *word, has_value ? word[1] : "");
        while (word[1] && word[1][0] != '-' && strcmp(word[1], "!") != 0)
            word++;
    }
    const char *program = packet->is_v6 ? "ip6tables-legacy" : "iptables-legacy";
    line.rule.where = g_strdup_printf("rule '%s' of %s", text, program);
    line.rule.fix = g_strdup_printf("%s -D %s", program, text + strlen("-A "));
    firewall_add(firewall, chain, &line.rule);
}

/* ":INPUT DROP [0:0]"; chains of users have "-" for a policy. */
static void read_policy(struct firewall *firewall, const char *text, const struct firewall_packet *packet)
{
    char policy[16];
    const char *program = packet->is_v6 ? "ip6tables-legacy" : "iptables-legacy";
    if (sscanf(text, ":INPUT %15s", policy) != 1)
        return;
    const struct firewall_rule rule = {
        .match = MATCH_YES,
        .action = !strcmp(policy, "DROP") ? ACTION_DROP : ACTION_ACCEPT,
        .where = g_strdup_printf("the policy of chain INPUT of %s", program),
        .fix = g_strdup_printf("%s -A INPUT -p tcp --dport %u -j ACCEPT", program, packet->port)};
    firewall_add_base(firewall, "INPUT", &rule);
}

void firewall_read_iptables(struct firewall *firewall, const char *text, const struct firewall_packet *packet)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        if ((*line)[0] == ':')
            read_policy(firewall, *line, packet);
        else if (g_str_has_prefix(*line, "-A "))
            read_rule(firewall, *line, packet);
    }
}
