/* SPDX-License-Identifier: Apache-2.0 */
/* Agent and manager: whether they run, answer, and know each other. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/identity.h"
#include "agent/local_call.h"
#include "base/clock.h"
#include "doctor/patient.h"
#include "doctor/process.h"
#include "http/http.h"
#include "model/move.h"

#define ANSWER_S 10
#define SLOW_MS 2000
#define AGENT_UNIT "godwit-agent.service"
#define MANAGER_UNIT "godwitd.service"

/* ---- the agent ---- */

static void say_not_running(const struct patient *patient, struct report *report)
{
    g_autofree char *unit = process_unit_state(AGENT_UNIT);
    if (!patient->is_host) {
        report_absent(report, "no agent runs", "this machine has not been enrolled as a host");
        return;
    }
    struct err *line =
        report_line(report, DIAGNOSIS_PROBLEM,
                    "the agent of host %s does not run: its VMs run on, and nobody can move them",
                    patient->agent_config.name);
    (void)err_cause(line, "nobody holds %s/agent.lock%s%s", patient->agent_config.state_dir,
                    unit ? "; systemd says of godwit-agent: " : "", unit ? unit : "");
    (void)err_fix(line,
                  "systemctl start godwit-agent; if it ends again, journalctl -u godwit-agent says why");
}

static const char *why_hung(char state)
{
    if (state == 'T' || state == 't')
        return "its process is stopped by a signal or a debugger";
    return state == 'D' ? "its process waits for a disk or a network file system that does not answer"
                        : "its main loop does not come back";
}

static void say_hung(const struct patient *patient, struct report *report, const struct err *why)
{
    char state = process_state(patient->agent_pid);
    bool is_stopped = state == 'T' || state == 't';
    struct err *line = report_line(report, DIAGNOSIS_PROBLEM, "the agent (pid %d) hangs", patient->agent_pid);
    (void)err_cause(line, "%s; it did not answer at its local socket: %.120s", why_hung(state), why->message);
    (void)err_arg(line, "pid", "%d", patient->agent_pid);
    (void)err_arg(line, "state", "%c", state ? state : '?');
    if (process_is_of_unit(patient->agent_pid, AGENT_UNIT))
        (void)err_fix(line,
                      "%ssystemctl restart godwit-agent: VMs run on, and the next agent takes them over; a "
                      "move under way is taken back",
                      is_stopped ? "kill -CONT the pid, or " : "");
    else
        (void)err_fix(line,
                      "%skill -9 %d and start the agent again: VMs run on, and the next agent takes them "
                      "over; a move under way is taken back",
                      is_stopped ? "kill -CONT the pid, or " : "", patient->agent_pid);
}

static void say_answer(const struct patient *patient, struct report *report, JsonObject *status, uint64_t ms)
{
    gint64 late_ms = model_int(status, "loop_late_ms", -1);
    bool is_slow = ms > SLOW_MS || late_ms > SLOW_MS;
    struct err *line =
        report_line(report, is_slow ? DIAGNOSIS_WARNING : DIAGNOSIS_OK,
                    "the agent (pid %d, version %s) answered in %" PRIu64 " ms; %d of %d VMs run",
                    patient->agent_pid, model_text(status, "version"), ms,
                    (int)model_int(status, "running", 0), (int)model_int(status, "vms", 0));
    (void)err_arg(line, "pid", "%d", patient->agent_pid);
    (void)err_arg(line, "answer_ms", "%" PRIu64, ms);
    if (late_ms >= 0)
        (void)err_arg(line, "loop_late_ms", "%d", (int)late_ms);
    if (!is_slow)
        return;
    (void)err_cause(line, "its main loop was up to %d ms late within the last two minutes", (int)late_ms);
    (void)err_fix(line, "see what keeps the machine busy (the lines on pressure, below), and its datastores");
}

void check_agent(const struct patient *patient, struct report *report)
{
    g_autoptr(JsonObject) status = NULL;
    struct err err = {0};
    if (!patient->has_agent_config) {
        report_absent(report, "not looked for",
                      "the agent's configuration, which says where it is, is wrong");
        return;
    }
    if (!patient->agent_pid) {
        say_not_running(patient, report);
        return;
    }
    uint64_t asked_ns = clock_now_ns();
    int result = local_call(&patient->agent_config, "/status", NULL, ANSWER_S, &status, &err);
    uint64_t ms = (clock_now_ns() - asked_ns) / NS_PER_MS;
    if (result == 0 && status) {
        say_answer(patient, report, status, ms);
    } else if (result < 0 && err.code != ERR_PEER_LOST) {
        say_hung(patient, report, &err);
    } else {
        struct err *line = report_line(report, DIAGNOSIS_PROBLEM, "the agent (pid %d) has no local socket",
                                       patient->agent_pid);
        (void)err_cause(line, "it is still starting, or %s was removed under it: %.150s",
                        patient->agent_config.run_dir, err.cause);
        (void)err_fix(line, "wait for its start (journalctl -u godwit-agent), else systemctl restart "
                            "godwit-agent: VMs run on");
        (void)err_arg(line, "pid", "%d", patient->agent_pid);
    }
}

/* ---- what it is to its manager ---- */

/* Says nothing and asks for nothing that needs a token: to be told so by whom we trust is an answer. */
static int greet(const struct http_client_config *config, struct err *err)
{
    struct http_client *client = NULL;
    g_autoptr(JsonObject) answer = NULL;
    if (http_client_new(config, &client, err) < 0)
        return -1;
    int result =
        http_client_call_sync(client, &(struct http_call){"GET", "/v1/about", NULL, ANSWER_S}, &answer, err);
    http_client_free(client);
    if (result < 0 && err->code == ERR_UNAUTHORIZED && strcmp(err->id, "peer-not-trusted") != 0)
        return 0;
    return result;
}

static void judge_certificate(const struct patient *patient, struct report *report,
                              const struct identity *identity)
{
    const char *host = patient->agent_config.name;
    int64_t now_s = clock_wall_ms() / 1000, life_s = identity->until_s - identity->from_s;
    char until[CLOCK_TEXT_SIZE];
    (void)clock_format(identity->until_s * 1000, until);
    bool is_over = now_s > identity->until_s, is_early = now_s < identity->from_s;
    /* It is renewed when a third is left; long after that the renewal fails. */
    bool is_late = identity->until_s - now_s < life_s / 6;
    if (!is_over && !is_early && !is_late) {
        struct err *line =
            report_line(report, DIAGNOSIS_OK, "the certificate of host %s is good until %s", host, until);
        (void)err_arg(line, "until", "%s", until);
        return;
    }
    struct err *line = report_line(report, is_late && !is_over ? DIAGNOSIS_WARNING : DIAGNOSIS_PROBLEM,
                                   "the certificate of host %s %s %s", host,
                                   is_over    ? "ended at"
                                   : is_early ? "has not begun; it ends at"
                                              : "ends soon, at",
                                   until);
    (void)err_arg(line, "until", "%s", until);
    if (is_early) {
        (void)err_cause(line, "this machine's clock is behind");
        (void)err_fix(line, "set the clock: systemctl restart systemd-timesyncd, or chronyc makestep");
        return;
    }
    (void)err_cause(line, "the agent could not renew it");
    (void)err_fix(
        line, "godwit-agent renew; if that fails, 'godwit host enroll %s' at the manager prints how", host);
}

static void judge_manager(struct report *report, const struct identity *identity)
{
    struct err err = {0};
    const struct http_client_config config = {.base = identity->manager_url, .ca = identity->ca};
    if (!*identity->manager_url) {
        report_absent(report, "the manager's address is not known", "an earlier version enrolled this host");
        return;
    }
    if (greet(&config, &err) == 0) {
        (void)report_line(report, DIAGNOSIS_OK, "the manager answers at %s", identity->manager_url);
        return;
    }
    struct err *line =
        report_line(report, DIAGNOSIS_PROBLEM, "the manager does not answer at %s", identity->manager_url);
    (void)err_cause(line, "%.200s %.100s", err.message, err.cause);
    (void)err_fix(line, "on the manager: 'godwit doctor'; between the two: routes and firewalls. VMs run on "
                        "without it");
    (void)err_arg(line, "manager", "%s", identity->manager_url);
}

void check_enrolment(const struct patient *patient, struct report *report)
{
    struct identity identity = {0};
    struct err err = {0};
    if (!patient->has_agent_config) {
        report_absent(report, "not looked at", "the agent's configuration, which says where it is, is wrong");
        return;
    }
    if (identity_load(&patient->agent_config, &identity, &err) < 0) {
        struct err *line = report_line(report, DIAGNOSIS_PROBLEM, "%s", err.message);
        (void)err_cause(line, "%s",
                        err.cause[0] ? err.cause : "it has no certificate, so no manager knows it");
        (void)err_fix(line, "%s", err.fix);
    } else {
        judge_certificate(patient, report, &identity);
        judge_manager(report, &identity);
    }
    identity_clear(&identity);
}

/* ---- the manager ---- */

static void say_manager_down(const struct patient *patient, struct report *report)
{
    g_autofree char *unit = process_unit_state(MANAGER_UNIT);
    struct err *line =
        report_line(report, DIAGNOSIS_PROBLEM, "the manager does not run: VMs run on, and none moves");
    (void)err_cause(line, "nobody listens at %s%s%s", patient->manager_config.socket_path,
                    unit ? "; systemd says of godwitd: " : "", unit ? unit : "");
    (void)err_fix(line, "systemctl start godwitd; if it ends again, journalctl -u godwitd says why");
}

void check_manager(const struct patient *patient, struct report *report)
{
    const char *path = patient->manager_config.socket_path;
    g_autofree char *base = g_strconcat("unix:", path, NULL);
    struct err err = {0};
    if (!*path) {
        report_absent(report, "not asked", "socket= in its configuration is empty");
        return;
    }
    pid_t pid = process_listening_at(path);
    if (!pid) {
        say_manager_down(patient, report);
        return;
    }
    uint64_t asked_ns = clock_now_ns();
    int result = greet(&(struct http_client_config){.base = base}, &err);
    uint64_t ms = (clock_now_ns() - asked_ns) / NS_PER_MS;
    if (result == 0) {
        struct err *line = report_line(report, ms > SLOW_MS ? DIAGNOSIS_WARNING : DIAGNOSIS_OK,
                                       "the manager (pid %d) answered in %" PRIu64 " ms", pid, ms);
        (void)err_arg(line, "pid", "%d", pid);
        if (ms > SLOW_MS) {
            (void)err_cause(line,
                            "its main loop is held up: a busy machine, or a slow disk under its database");
            (void)err_fix(line, "see the lines on pressure and on space, below");
        }
        return;
    }
    struct err *line = report_line(report, DIAGNOSIS_PROBLEM, "the manager (pid %d) hangs", pid);
    (void)err_cause(line, "%s; it did not answer at its socket: %.120s", why_hung(process_state(pid)),
                    err.message);
    (void)err_fix(line, "%s: VMs run on, and moves under way go on",
                  process_is_of_unit(pid, MANAGER_UNIT) ? "systemctl restart godwitd"
                                                        : "end it (kill -9) and start it again");
    (void)err_arg(line, "pid", "%d", pid);
}
