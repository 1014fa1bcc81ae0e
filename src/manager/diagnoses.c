/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/diagnoses.h"

#include <stdio.h>
#include <string.h>

#include "manager/check.h"
#include "manager/way.h"
#include "manager/way_diagnosis.h"
#include "model/check_table.h"

#define PINGS 40

struct direction {
    struct findings findings;
    struct reach_report report;
};

struct measuring {
    struct manager *manager;
    struct http_request *request;
    struct move_spec spec; /* its hosts, and their pairs of addresses */
    uint16_t source_port;
    struct err from_err, to_err; /* why that host does not answer now */
    struct diagnoses *lines;
    struct direction there, back;
};

static void reply(struct measuring *measuring)
{
    JsonObject *answer = json_object_new();
    JsonObject *there = reach_report_to_json(&measuring->there.report);
    JsonObject *back = reach_report_to_json(&measuring->back.report);
    json_object_set_string_member(answer, "from", measuring->spec.source);
    json_object_set_string_member(answer, "to", measuring->spec.destination);
    json_object_set_array_member(answer, "checks", diagnoses_to_json(measuring->lines));
    json_object_set_object_member(answer, "there", there);
    json_object_set_object_member(answer, "back", back);
    http_reply(measuring->request, 200, answer);
    diagnoses_free(measuring->lines);
    g_free(measuring);
}

/* Between no jobs nothing is sent that would measure it. */
static void add_throughput(const struct measuring *measuring)
{
    struct diagnosis line = {.verdict = DIAGNOSIS_NOT_HERE, .err.id = "throughput"};
    (void)snprintf(line.what, sizeof line.what, "%s > %s", measuring->spec.source,
                   measuring->spec.destination);
    (void)snprintf(line.err.message, sizeof line.err.message, "throughput is measured for a VM that runs");
    (void)err_cause(&line.err, "only two jobs of a move may send on the migration network");
    (void)err_fix(&line.err, "godwit vm migrate VM --to %s --dry-run", measuring->spec.destination);
    (void)diagnoses_add(measuring->lines, &line);
}

static void judge(struct measuring *measuring)
{
    const struct move_spec *spec = &measuring->spec;
    const struct way_seen there = {spec->source, spec->destination, spec->port, &measuring->there.findings,
                                   &measuring->there.report};
    const struct way_seen back = {spec->destination, spec->source, measuring->source_port,
                                  &measuring->back.findings, &measuring->back.report};
    way_diagnose(&there, measuring->lines);
    way_diagnose(&back, measuring->lines);
    way_compare(&there, &back, measuring->lines);
    add_throughput(measuring);
    reply(measuring);
}

static void take(struct direction *direction, JsonObject *answer, const struct err *call_err, bool is_back)
{
    struct err err = *call_err;
    if (!err_is_set(&err) && answer)
        (void)reach_report_from_json(answer, &direction->report, &err);
    way_take(answer, &err, is_back, &direction->findings);
}

static void back_measured(JsonObject *answer, const struct err *err, void *user)
{
    struct measuring *measuring = user;
    take(&measuring->back, answer, err, true);
    judge(measuring);
}

/* One after the other: what one sends is not what the other waits for. */
static void there_measured(JsonObject *answer, const struct err *err, void *user)
{
    struct measuring *measuring = user;
    take(&measuring->there, answer, err, false);
    const struct way_wish question = {.spec = &measuring->spec, .is_back = true, .pings = PINGS};
    way_measure(measuring->manager, &question, back_measured, measuring);
}

static struct err *add_host_line(struct measuring *measuring, const struct host *host, const char *id,
                                 enum diagnosis_verdict verdict)
{
    struct diagnosis line = {.verdict = verdict};
    (void)snprintf(line.what, sizeof line.what, "%s", host->name);
    (void)snprintf(line.err.id, sizeof line.err.id, "%s", id);
    (void)err_arg(&line.err, "host", "%s", host->name);
    return diagnoses_add(measuring->lines, &line);
}

/* In the words of the checks before a migration. */
static struct err *say_unusable(struct measuring *measuring, const struct host *host, const char *id,
                                const struct err *found)
{
    struct err *line = add_host_line(measuring, host, id, DIAGNOSIS_PROBLEM);
    *line = *found;
    (void)snprintf(line->id, sizeof line->id, "%s", id);
    return line;
}

/* False: there is nothing to measure with, and why is said. */
static bool is_ready(struct measuring *measuring, const struct host *host, const struct err *err)
{
    struct err found = {0};
    if (err_is_set(err) || !host->has_facts) {
        (void)check_say(&found, CHECK_HOST_DISCONNECTED,
                        CHECK_ARGS({"host", host->name}, {"problem", host->problem}));
        (void)say_unusable(measuring, host, "host", &found);
        return false;
    }
    struct err *line = add_host_line(measuring, host, "host", DIAGNOSIS_OK);
    (void)snprintf(line->message, sizeof line->message, "host '%s' answers the manager", host->name);
    if (host->facts.migration_enabled)
        return true;
    (void)check_say(&found, CHECK_MIGRATION_DISABLED, CHECK_ARGS({"host", host->name}));
    line = say_unusable(measuring, host, "migration-enabled", &found);
    (void)err_cause(line, "enabled= in [migration] of its agent's configuration is not true");
    return false;
}

static bool has_addresses(struct measuring *measuring, const struct host *from, const struct host *to)
{
    struct err err;
    if (check_addresses(&from->facts, &to->facts, &measuring->spec, &err) == 0)
        return true;
    struct diagnosis line = {.verdict = DIAGNOSIS_PROBLEM, .err = err};
    (void)snprintf(line.what, sizeof line.what, "%s > %s", from->name, to->name);
    (void)diagnoses_add(measuring->lines, &line);
    return false;
}

/* As fresh as they can be, both: what was set right a second ago counts. */
static void hosts_asked(struct measuring *measuring)
{
    struct inventory *inventory = measuring->manager->inventory;
    struct host *from, *to;
    struct err err = {0};
    if (inventory_get_host(inventory, measuring->spec.source, &from, &err) ||
        inventory_get_host(inventory, measuring->spec.destination, &to, &err)) {
        http_fail(measuring->request, &err); /* it was removed meanwhile */
        diagnoses_free(measuring->lines);
        g_free(measuring);
        return;
    }
    measuring->source_port = from->facts.migration_port;
    bool is_one = is_ready(measuring, from, &measuring->from_err);
    bool is_other = is_ready(measuring, to, &measuring->to_err);
    if (!is_one || !is_other || !has_addresses(measuring, from, to)) {
        reply(measuring);
        return;
    }
    const struct way_wish question = {.spec = &measuring->spec, .pings = PINGS};
    way_measure(measuring->manager, &question, there_measured, measuring);
}

static void to_asked(const struct err *err, void *user)
{
    struct measuring *measuring = user;
    measuring->to_err = *err;
    hosts_asked(measuring);
}

static void from_asked(const struct err *err, void *user)
{
    struct measuring *measuring = user;
    struct host *to = inventory_find_host(measuring->manager->inventory, measuring->spec.destination);
    measuring->from_err = *err;
    if (to)
        inventory_refresh(to, to_asked, measuring);
    else
        hosts_asked(measuring);
}

void diagnoses_answer(struct manager *manager, struct http_request *request, struct host *from,
                      const struct host *to)
{
    struct measuring *measuring = g_new0(struct measuring, 1);
    measuring->manager = manager;
    measuring->request = request;
    measuring->lines = diagnoses_new();
    (void)g_strlcpy(measuring->spec.source, from->name, sizeof measuring->spec.source);
    (void)g_strlcpy(measuring->spec.destination, to->name, sizeof measuring->spec.destination);
    inventory_refresh(from, from_asked, measuring);
}
