/* SPDX-License-Identifier: Apache-2.0 */
/* A visit is a chain of commands: the clock, its setting and the clock again, the notice and its end. What is
 * not wished, or has become pointless, is left out. */
#include "agent/guest_agent.h"

#include <stdarg.h>

#include "agent/vm_process.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/json.h"
#include "qemu/qga.h"

/* Also for a guest under TCG on a busy host. */
#define ANSWER_MS 4000
/* Between two questions whether the guest's program has ended. */
#define POLL_MS 100
/* A clock that is no further off than this, and the time of the question, was set. */
#define CLOCK_IS_SET_US 1000000

struct visit {
    char *socket;
    char *vm; /* its name, for the log */
    struct guest_request request;
    struct guest_report report;
    void (*done)(const struct guest_report *report, void *user);
    void *user;
    bool was_setting;
    uint64_t notice_ns; /* when the notice began */
    int64_t pid;        /* of the program in the guest */
};

static void ask(struct visit *visit, const char *name, JsonObject *arguments, qga_done done)
{
    const struct qga_command command = {visit->socket, name, arguments, ANSWER_MS};
    (void)qga_call(&command, done, visit);
}

static void visit_end(struct visit *visit)
{
    log_info("VM %s, %s the move: clock of the guest %s (%lld us from the host's), notice %s in %llu ms%s%s",
             visit->vm, guest_when_name(visit->request.when), visit->report.has_clock ? "known" : "not known",
             (long long)visit->report.clock_offset_us, guest_notice_name(visit->report.notice),
             (unsigned long long)visit->report.notice_ms, visit->report.problem[0] ? ": " : "",
             visit->report.problem);
    visit->done(&visit->report, visit->user);
    g_free(visit->socket);
    g_free(visit->vm);
    g_free(visit);
}

/* The first one stays: what follows is its consequence. The guest's words may be no text. */
static void note_problem(struct visit *visit, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note_problem(struct visit *visit, const char *format, ...)
{
    if (visit->report.problem[0])
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_strlcpy(visit->report.problem, valid, sizeof visit->report.problem);
}

static void note_error(struct visit *visit, const struct err *err)
{
    note_problem(visit, "%s%s%s", err->message, err->cause[0] ? ": " : "", err->cause);
}

static void notice_end(struct visit *visit, enum guest_notice notice)
{
    visit->report.notice = notice;
    visit->report.notice_ms = (clock_now_ns() - visit->notice_ns) / NS_PER_MS;
    visit_end(visit);
}

static void notice_failed(struct visit *visit, const struct err *err)
{
    note_error(visit, err);
    notice_end(visit, err->code == ERR_REFUSED ? NOTICE_FAILED : NOTICE_UNANSWERED);
}

static gboolean poll_notice(gpointer user);

static void on_notice_status(JsonNode *result, uint64_t round_trip_ns, const struct err *err, void *user)
{
    struct visit *visit = user;
    (void)round_trip_ns;
    if (err_is_set(err)) {
        notice_failed(visit, err);
        return;
    }
    JsonObject *status = result && JSON_NODE_HOLDS_OBJECT(result) ? json_node_get_object(result) : NULL;
    if (status && model_flag(status, "exited")) {
        gint64 code = model_int(status, "exitcode", -1);
        if (code)
            note_problem(visit, "%s ended with status %d in the guest", GUEST_NOTICE_PROGRAM, (int)code);
        notice_end(visit, code ? NOTICE_FAILED : NOTICE_ACKNOWLEDGED);
        return;
    }
    if (clock_now_ns() - visit->notice_ns < visit->request.notice_timeout_s * NS_PER_S) {
        (void)g_timeout_add(POLL_MS, poll_notice, visit);
        return;
    }
    note_problem(visit, "%s did not end within %u s in the guest", GUEST_NOTICE_PROGRAM,
                 visit->request.notice_timeout_s);
    notice_end(visit, NOTICE_UNANSWERED);
}

static gboolean poll_notice(gpointer user)
{
    struct visit *visit = user;
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "pid", visit->pid);
    ask(visit, "guest-exec-status", arguments, on_notice_status);
    return G_SOURCE_REMOVE;
}

static void on_notice_begun(JsonNode *result, uint64_t round_trip_ns, const struct err *err, void *user)
{
    struct visit *visit = user;
    (void)round_trip_ns;
    if (err_is_set(err)) {
        notice_failed(visit, err);
        return;
    }
    bool is_object = result && JSON_NODE_HOLDS_OBJECT(result);
    visit->pid = is_object ? model_int(json_node_get_object(result), "pid", 0) : 0;
    (void)poll_notice(visit);
}

static void tell(struct visit *visit)
{
    visit->notice_ns = clock_now_ns();
    if (!visit->request.notice_timeout_s) {
        visit_end(visit);
        return;
    }
    const char *words[] = {guest_when_name(visit->request.when), visit->request.task, visit->request.source,
                           visit->request.destination};
    JsonArray *list = json_array_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        json_array_add_string_element(list, words[i]);
    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "path", GUEST_NOTICE_PROGRAM);
    json_object_set_array_member(arguments, "arg", list);
    json_object_set_boolean_member(arguments, "capture-output", FALSE);
    ask(visit, "guest-exec", arguments, on_notice_begun);
}

static void ask_clock(struct visit *visit);

/* Whether it worked, its clock will show. */
static void on_clock_set(JsonNode *result, uint64_t round_trip_ns, const struct err *err, void *user)
{
    struct visit *visit = user;
    (void)result;
    (void)round_trip_ns;
    if (err_is_set(err))
        note_error(visit, err);
    ask_clock(visit);
}

static void set_clock(struct visit *visit)
{
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "time", g_get_real_time() * (gint64)NS_PER_US);
    visit->was_setting = true;
    ask(visit, "guest-set-time", arguments, on_clock_set);
}

static void on_clock(JsonNode *result, uint64_t round_trip_ns, const struct err *err, void *user)
{
    struct visit *visit = user;
    if (err_is_set(err)) {
        note_error(visit, err);
        /* A guest that refuses this one command still hears the notice. */
        if (err->code == ERR_REFUSED || !visit->request.notice_timeout_s) {
            tell(visit);
        } else {
            visit->notice_ns = clock_now_ns();
            notice_end(visit, NOTICE_UNANSWERED);
        }
        return;
    }
    GType type = result ? json_node_get_value_type(result) : G_TYPE_INVALID;
    visit->report.has_clock = type == G_TYPE_INT64;
    if (visit->report.has_clock) {
        /* It was read somewhere between the question and the answer. */
        visit->report.round_trip_us = round_trip_ns / NS_PER_US;
        int64_t host_us = g_get_real_time() - (int64_t)visit->report.round_trip_us / 2;
        visit->report.clock_offset_us = json_node_get_int(result) / (int64_t)NS_PER_US - host_us;
    }
    /* By what it shows: a guest agent that sets the system's clock and not the hardware's says that it
     * failed. */
    visit->report.clock_was_set =
        visit->was_setting && visit->report.has_clock &&
        visit->report.clock_offset_us < CLOCK_IS_SET_US + (int64_t)visit->report.round_trip_us &&
        visit->report.clock_offset_us > -CLOCK_IS_SET_US - (int64_t)visit->report.round_trip_us;
    if (visit->request.set_clock && !visit->was_setting)
        set_clock(visit);
    else
        tell(visit);
}

static void ask_clock(struct visit *visit)
{
    ask(visit, "guest-get-time", NULL, on_clock);
}

void guest_agent_visit(const struct vm *vm, const struct guest_request *request,
                       void (*done)(const struct guest_report *report, void *user), void *user)
{
    struct visit *visit = g_new0(struct visit, 1);
    visit->socket = vm_path(vm, VM_GUEST_AGENT_SOCKET);
    visit->vm = g_strdup(vm->status.spec.name);
    visit->request = *request;
    visit->done = done;
    visit->user = user;
    ask_clock(visit);
}
