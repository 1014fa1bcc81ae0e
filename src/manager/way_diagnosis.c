/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/way_diagnosis.h"

#include <stdio.h>
#include <string.h>

#define US_PER_MS 1000.0
#define LOSS_BAD_PERCENT 5
/* A switch-over waits for several round trips, one after the other. */
#define ROUND_TRIP_LONG_US 150000

static struct err *add(struct diagnoses *lines, const struct way_seen *seen, const char *id,
                       enum diagnosis_verdict verdict)
{
    struct diagnosis line = {.verdict = verdict};
    (void)snprintf(line.what, sizeof line.what, "%s > %s", seen->from, seen->to);
    (void)snprintf(line.err.id, sizeof line.err.id, "%s", id);
    return diagnoses_add(lines, &line);
}

static void name_pair(struct err *line, const struct reach_pair *pair)
{
    (void)err_arg(line, "from", "%s", pair->from);
    (void)err_arg(line, "to", "%s", pair->to);
}

/* ---- what the host found wrong ---- */

static const struct {
    const char *finding; /* of agent/reach.c */
    const char *check;
} found_as[] = {
    {"migration-port-unreachable", "migration-port"},
    {"path-mtu", "path-mtu"},
    {"address-duplicate", "address-duplicate"},
};

static const char *check_of(const struct err *finding)
{
    for (size_t i = 0; i < sizeof found_as / sizeof *found_as; i++)
        if (!strcmp(found_as[i].finding, finding->id))
            return found_as[i].check;
    return finding->id;
}

static void add_findings(const struct way_seen *seen, struct diagnoses *lines)
{
    for (unsigned i = 0; i < seen->findings->n; i++) {
        const struct err *finding = &seen->findings->list[i].err;
        const char *id = check_of(finding);
        struct err *line = add(lines, seen, id, DIAGNOSIS_PROBLEM);
        *line = *finding;
        (void)snprintf(line->id, sizeof line->id, "%s", id);
    }
}

/* ---- what is well, and what was measured ---- */

static void judge_port(const struct way_seen *seen, const struct reach_pair *pair, struct diagnoses *lines)
{
    if (!pair->connects)
        return;
    struct err *line = add(lines, seen, "migration-port", DIAGNOSIS_OK);
    (void)snprintf(line->message, sizeof line->message, "TCP from %s to %s port %u connects", pair->from,
                   pair->to, seen->port);
    name_pair(line, pair);
}

static void judge_mtu(const struct way_seen *seen, const struct reach_pair *pair, struct diagnoses *lines)
{
    if (pair->path_mtu && pair->path_mtu < pair->mtu)
        return;
    struct err *line = add(lines, seen, "path-mtu", pair->path_mtu ? DIAGNOSIS_OK : DIAGNOSIS_NOT_HERE);
    name_pair(line, pair);
    if (!pair->path_mtu) {
        (void)snprintf(line->message, sizeof line->message, "the path MTU from %s to %s is not known",
                       pair->from, pair->to);
        (void)err_cause(line, "no ping came back");
        return;
    }
    (void)snprintf(line->message, sizeof line->message,
                   "packets of %u bytes pass uncut from %s to %s and back", pair->path_mtu, pair->from,
                   pair->to);
    (void)err_arg(line, "path_mtu", "%u", pair->path_mtu);
}

/* A host may say what it wants. */
static uint32_t count_lost(const struct reach_pair *pair)
{
    return pair->n_sent > pair->n_received ? pair->n_sent - pair->n_received : 0;
}

static enum diagnosis_verdict verdict_of_times(const struct reach_pair *pair)
{
    uint64_t n_lost = count_lost(pair);
    if (!pair->n_received)
        return DIAGNOSIS_NOT_HERE;
    if (n_lost * 100 > (uint64_t)pair->n_sent * LOSS_BAD_PERCENT)
        return DIAGNOSIS_PROBLEM;
    return n_lost || pair->average_us > ROUND_TRIP_LONG_US ? DIAGNOSIS_WARNING : DIAGNOSIS_OK;
}

static void judge_times(const struct way_seen *seen, const struct reach_pair *pair, struct diagnoses *lines)
{
    if (!pair->n_sent)
        return;
    uint32_t n_lost = count_lost(pair);
    struct err *line = add(lines, seen, "round-trip", verdict_of_times(pair));
    (void)snprintf(line->message, sizeof line->message,
                   "%u of %u pings from %s to %s came back, in %.2f ms, %.2f ms on average, %.2f ms at most; "
                   "jitter %.2f ms",
                   pair->n_received, pair->n_sent, pair->from, pair->to, pair->min_us / US_PER_MS,
                   pair->average_us / US_PER_MS, pair->max_us / US_PER_MS, pair->jitter_us / US_PER_MS);
    if (!pair->n_received) {
        (void)snprintf(line->message, sizeof line->message, "none of %u pings from %s to %s came back",
                       pair->n_sent, pair->from, pair->to);
        (void)err_cause(line, pair->connects ? "TCP passes: something on the way drops pings"
                                             : "nothing passes between the two");
    } else if (n_lost) {
        (void)err_cause(line, "%u are lost: a link is overloaded or damaged, or a switch drops them", n_lost);
        (void)err_fix(line, "look at the error counters of both interfaces and of the switches between them: "
                            "ip -s link");
    } else if (pair->average_us > ROUND_TRIP_LONG_US) {
        (void)err_cause(line, "the two are far apart, or the way is full");
        (void)err_fix(line,
                      "expect a longer switch-over; see that nothing else fills the way: it should be "
                      "below %d ms",
                      ROUND_TRIP_LONG_US / 1000);
    }
    name_pair(line, pair);
    (void)err_arg(line, "lost", "%u", n_lost);
    (void)err_arg(line, "average_us", "%u", pair->average_us);
    (void)err_arg(line, "max_us", "%u", pair->max_us);
    (void)err_arg(line, "jitter_us", "%u", pair->jitter_us);
}

static void judge_owner(const struct way_seen *seen, const struct reach_pair *pair, struct diagnoses *lines)
{
    if (pair->n_macs > 1)
        return;
    struct err *line =
        add(lines, seen, "address-duplicate", pair->n_macs ? DIAGNOSIS_OK : DIAGNOSIS_NOT_HERE);
    name_pair(line, pair);
    if (pair->n_macs) {
        (void)snprintf(line->message, sizeof line->message, "one machine alone has %s (%s)", pair->to,
                       pair->macs[0]);
        return;
    }
    (void)snprintf(line->message, sizeof line->message, "whether two machines have %s is not known",
                   pair->to);
    (void)err_cause(line,
                    "nobody on the network of this host answers for it: it is behind a router, or away");
}

void way_diagnose(const struct way_seen *seen, struct diagnoses *ret_lines)
{
    for (uint32_t i = 0; i < seen->report->n_pairs; i++) {
        const struct reach_pair *pair = &seen->report->pairs[i];
        judge_port(seen, pair, ret_lines);
        judge_mtu(seen, pair, ret_lines);
        judge_times(seen, pair, ret_lines);
        judge_owner(seen, pair, ret_lines);
    }
    add_findings(seen, ret_lines);
}

/* ---- there and back ---- */

static struct err *add_comparison(const struct way_seen *seen, enum diagnosis_verdict verdict,
                                  struct diagnoses *lines)
{
    struct diagnosis line = {.verdict = verdict, .err.id = "symmetry"};
    (void)snprintf(line.what, sizeof line.what, "%s <> %s", seen->from, seen->to);
    return diagnoses_add(lines, &line);
}

static void say_asymmetric(const struct way_seen *there, const struct reach_pair *pair, const char *how,
                           struct diagnoses *lines)
{
    struct err *line = add_comparison(there, DIAGNOSIS_WARNING, lines);
    (void)snprintf(line->message, sizeof line->message, "the way between %s and %s differs by direction: %s",
                   pair->from, pair->to, how);
    (void)err_cause(line, "the directions take different ways, or a firewall judges only one of them");
    (void)err_fix(line, "compare routes and firewalls of both hosts: ip route get ADDRESS from ADDRESS");
    name_pair(line, pair);
}

static bool differ(const struct way_seen *there, const struct way_seen *back, uint32_t index,
                   struct diagnoses *lines)
{
    const struct reach_pair *one = &there->report->pairs[index];
    const struct reach_pair *other = &back->report->pairs[index];
    char how[160];
    if (one->connects != other->connects)
        (void)snprintf(how, sizeof how, "only '%s' gets a connection to '%s'",
                       one->connects ? there->from : back->from, one->connects ? there->to : back->to);
    else if (one->path_mtu != other->path_mtu)
        (void)snprintf(how, sizeof how, "the largest packets have %u bytes when '%s' asks, %u when '%s' does",
                       one->path_mtu, there->from, other->path_mtu, back->from);
    else if (!one->n_received != !other->n_received)
        (void)snprintf(how, sizeof how, "pings of '%s' alone are answered",
                       one->n_received ? there->from : back->from);
    else
        return false;
    say_asymmetric(there, one, how, lines);
    return true;
}

void way_compare(const struct way_seen *there, const struct way_seen *back, struct diagnoses *ret_lines)
{
    uint32_t n_pairs = there->report->n_pairs;
    bool is_any = false;
    if (!n_pairs || n_pairs != back->report->n_pairs) {
        struct err *line = add_comparison(there, DIAGNOSIS_NOT_HERE, ret_lines);
        (void)snprintf(line->message, sizeof line->message, "the directions cannot be compared");
        (void)err_cause(line, "a host did not measure its own");
        return;
    }
    for (uint32_t i = 0; i < n_pairs; i++)
        is_any |= differ(there, back, i, ret_lines);
    if (is_any)
        return;
    struct err *line = add_comparison(there, DIAGNOSIS_OK, ret_lines);
    (void)snprintf(line->message, sizeof line->message, "both directions are alike");
}
