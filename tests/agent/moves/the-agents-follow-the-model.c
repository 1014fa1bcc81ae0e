/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agents do what tests/model/handover.pml says. Random runs of the model, with their crashes, power
 * failures, lost and repeated messages, are replayed against two hosts (replay_host.h): real moves, real
 * handover and rules, real journals in real files; QEMU, jobs and the manager are played here.
 *
 * After each step of the model the agent must want exactly what the model did, its journal must say what the
 * model's says, what is not durable yet must have led to nothing, and where the model lets a host run the VM
 * the agent must too. Between the steps the hosts are asked for things that the model forbids at that moment:
 * they must be refused and change nothing. At the end nobody may want anything that the model did not do.
 *
 * A crash is SIGKILL. A record that was written and not synced is in the file until a power failure takes it
 * back; of one whose sync has failed the file goes on to show it, whatever is synced later. A write that
 * fails is refused by the kernel (RLIMIT_FSIZE). A disk that is lost is an emptied state folder.
 *
 * Arguments: [number of runs [first seed]].
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fdio.h"
#include "tests/agent/moves/replay.h"

#define RUNS 120
#define LOSER 1 /* the model's: the destination of its one attempt */

struct run run;

/* ---- the end of it ---- */

void tidy(void)
{
    for (unsigned h = 0; h < 2; h++)
        if (run.host[h].agent > 0)
            (void)kill(run.host[h].agent, SIGKILL);
    g_autofree char *command = g_strdup_printf("rm -rf %s", run.folder);
    if (run.folder[0] && system(command) != 0)
        (void)fprintf(stderr, "cannot remove %s\n", run.folder);
}

static void on_signal(int number)
{
    tidy();
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

void fail(const char *format, ...)
{
    va_list args;
    (void)fprintf(stderr, "FAILED: seed %u, step %u: ", run.seed, run.at);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "\nthe run so far:\n");
    for (unsigned i = 0; run.steps && i <= run.at && i < run.steps->len; i++) {
        const struct step *step = &g_array_index(run.steps, struct step, i);
        (void)fprintf(stderr, "%4u h%u %s\n", i, step->host, step->name);
    }
    for (unsigned h = 0; h < 2; h++) {
        g_autofree char *path = g_strdup_printf("%s/log", run.host[h].folder);
        g_autofree char *text = NULL;
        if (g_file_get_contents(path, &text, NULL, NULL))
            (void)fprintf(stderr, "log of h%u:\n%s", h, text);
    }
    tidy();
    exit(1);
}

/* ---- the model's steps ---- */

/* Of the session that the journal names. */
static bool has_job(const struct host *host)
{
    const char *id = session_of(&host->view)->id;
    return id[0] && !strcmp(host->answer.job, id);
}

static void writes(struct host *host, enum journal_step step)
{
    struct replay_answer *answer = &host->answer;
    CHECK(answer->wants_write && answer->step == step && answer->epoch == epoch_of(&host->view),
          "the model writes %s %u, h%u wants to write %s %llu%s%s", journal_step_name(step),
          epoch_of(&host->view), host->number,
          answer->wants_write ? journal_step_name(answer->step) : "nothing",
          (unsigned long long)answer->epoch, answer->err.id[0] ? ", and says " : "", answer->err.id);
    (void)tell(host, REPLAY_WRITE, 0);
}

static void on_prepare(struct host *host)
{
    struct session *session = &run.session[host->view.out_epoch];
    struct replay_order what = {.verb = REPLAY_PREPARE_SOURCE};
    *session = (struct session){0};
    model_uuid_new(session->id);
    g_strlcpy(what.spec.id, session->id, sizeof what.spec.id);
    g_strlcpy(what.spec.vm.uuid, run.uuid, sizeof what.spec.vm.uuid);
    g_strlcpy(what.spec.vm.name, "moved", sizeof what.spec.vm.name);
    move_options_init(&what.spec.options);
    what.spec.n_addresses = 1;
    g_strlcpy(what.spec.addresses[0], "192.0.2.1", MODEL_ADDRESS_MAX);
    (void)order(host, &what);
    writes(host, JOURNAL_SENDING);
}

static void on_ticket(struct host *host)
{
    struct session *session = &run.session[host->view.in_epoch];
    CHECK(session->has_ticket, "h%u has said nothing that a ticket can be made of", 1 - host->number);
    struct replay_order what = {.verb = REPLAY_PREPARE_DESTINATION, .spec = session->ticket};
    (void)order(host, &what);
    writes(host, JOURNAL_INCOMING);
}

static void on_shell(struct host *host)
{
    CHECK(host->answer.wants_shell, "h%u starts no shell", host->number);
    (void)tell(host, REPLAY_SHELL, 0);
    CHECK(session_of(&host->view)->is_shown && has_job(host), "h%u is not prepared", host->number);
}

static void on_load(struct host *host)
{
    struct session *session = session_of(&host->view);
    (void)job_asks(host, CTL_LOAD, NULL, VERDICT_NONE);
    const struct replay_answer *answer = job_asks(host, CTL_READY, NULL, VERDICT_NONE);
    CHECK(answer->is_answered && !err_is_set(&answer->err), "no READY: %s", answer->err.id);
    session->has_ready = true;
    memcpy(session->ready, answer->secret, sizeof session->ready);
}

static void on_stop(struct host *host)
{
    struct session *session = session_of(&host->view);
    struct replay_order what = {.verb = REPLAY_START, .spec = session->shown};
    if (!session->is_started) {
        const struct replay_answer *answer = order(host, &what);
        CHECK(answer->is_answered && !err_is_set(&answer->err), "no start: %s", answer->err.message);
    }
    session->is_started = true;
    const struct replay_answer *answer = job_asks(host, CTL_STOP, NULL, VERDICT_NONE);
    CHECK(answer->is_answered && !err_is_set(&answer->err), "no stop: %s", answer->err.id);
    answer = job_asks(host, CTL_SAVE, NULL, VERDICT_NONE);
    CHECK(answer->is_answered && !err_is_set(&answer->err), "no save: %s", answer->err.id);
}

static void ask_to_give(struct host *host)
{
    struct session *session = session_of(&host->view);
    CHECK(session->has_ready, "READY from nowhere");
    (void)job_asks(host, CTL_GIVE, session->ready, VERDICT_NONE);
    CHECK(host->answer.wants_write && host->answer.step == JOURNAL_GIVEN, "h%u does not give", host->number);
}

static void on_give(struct host *host)
{
    struct session *session = session_of(&host->view);
    ask_to_give(host);
    writes(host, JOURNAL_GIVEN);
    const struct replay_answer *answer = ask(host, REPLAY_LOOK, session, NULL);
    CHECK(!answer->is_answered && is_zero(answer->commit), "COMMIT is out before GIVEN is durable");
}

/* Its job was answered, and COMMIT is nowhere. */
static void check_not_given(struct host *host)
{
    const struct replay_answer *answer = &host->answer;
    CHECK(answer->is_answered && err_is_set(&answer->err) && is_zero(answer->secret),
          "GIVEN could not be written, and the job of h%u hears nothing of it", host->number);
    answer = ask(host, REPLAY_LOOK, session_of(&host->view), NULL);
    CHECK(is_zero(answer->commit), "COMMIT is out, and GIVEN could not be written");
}

static void on_give_refused(struct host *host)
{
    ask_to_give(host);
    (void)tell(host, REPLAY_REFUSE, 0);
    check_not_given(host);
}

static void on_give_kept(struct host *host)
{
    (void)tell(host, REPLAY_SYNC, 1);
    check_not_given(host);
    disk_has_it(host);
}

static void on_give_shown(struct host *host)
{
    (void)tell(host, REPLAY_SYNC, 1);
    check_not_given(host);
    disk_never_gets_it(host);
}

/* As often as it takes. */
static void on_take_back(struct host *host)
{
    while (toss(2)) {
        (void)tell(host, REPLAY_REFUSE, 0);
        CHECK(host->answer.wants_write && !host->answer.wants_cont, "h%u does not try again", host->number);
    }
    writes(host, JOURNAL_RESUMED);
}

static void on_commit(struct host *host)
{
    struct session *session = session_of(&host->view);
    const struct replay_answer *answer = ask(host, REPLAY_LOOK, session, NULL);
    CHECK(!is_zero(answer->commit), "h%u does not release COMMIT", host->number);
    CHECK(!session->has_commit || !memcmp(session->commit, answer->commit, sizeof session->commit),
          "another COMMIT");
    session->has_commit = true;
    memcpy(session->commit, answer->commit, sizeof session->commit);
}

/* Why a source, or a destination, gives an attempt up. An agent that was restarted needs no reason. */
static void lose_faith(struct host *host)
{
    static const uint8_t forged[MOVE_SECRET_SIZE] = {1};
    struct session *session = session_of(&host->view);
    if (host->answer.wants_write)
        return;
    if (host->answer.wants_shell) {
        (void)tell(host, REPLAY_SHELL, 1);
    } else if (host->is_death_untold && !host->view.unsynced && toss(2)) {
        host->is_death_untold = false;
        (void)tell(host, REPLAY_QEMU_ENDED, 0);
    } else if (host->is_death_untold && session->has_commit && !is_source(&host->view)) {
        (void)ask(host, REPLAY_COMMIT, session, session->commit);
    } else if (has_job(host) && toss(2)) {
        (void)tell(host, REPLAY_JOB_ENDS, 0);
    } else if (has_job(host) && is_source(&host->view)) {
        (void)job_asks(host, CTL_GIVE, forged, VERDICT_NONE);
    } else {
        (void)ask(host, REPLAY_CANCEL, session, NULL);
    }
}

/* lose_faith looks at the record that is given up, which the view does not show any more. */
static void on_doubt(struct host *host)
{
    struct view after = host->view;
    host->view.out = JOURNAL_SENDING;
    host->view.out_epoch--;
    host->view.unsynced = false;
    lose_faith(host);
    host->view = after;
    writes(host, JOURNAL_RESUMED);
}

static void on_abort(struct host *host)
{
    struct view after = host->view;
    host->view.unsynced = false;
    lose_faith(host);
    host->view = after;
    writes(host, JOURNAL_ABORTED);
}

static void hear_verdict(struct host *host, struct session *session, enum move_verdict verdict)
{
    struct replay_order what = {.verb = REPLAY_VERDICT, .verdict = verdict};
    CHECK(session->has_verdict[verdict], "a verdict from nowhere");
    g_strlcpy(what.spec.id, session->id, sizeof what.spec.id);
    memcpy(what.secret, session->verdict[verdict], sizeof what.secret);
    if (has_job(host) && toss(2))
        (void)job_asks(host, CTL_QUIT, session->verdict[verdict], verdict);
    else
        (void)order(host, &what);
}

static void on_gone(struct host *host)
{
    hear_verdict(host, session_of(&host->view), VERDICT_RUNNING);
    writes(host, JOURNAL_GONE);
}

static void on_back(struct host *host)
{
    struct session *session = session_of(&host->view);
    hear_verdict(host, session, session->has_verdict[VERDICT_ABORTED] ? VERDICT_ABORTED : VERDICT_RETURNED);
    writes(host, JOURNAL_RESUMED);
}

static void on_own(struct host *host)
{
    struct session *session = session_of(&host->view);
    CHECK(session->has_commit, "COMMIT from nowhere");
    if (has_job(host) && toss(2))
        (void)job_asks(host, CTL_CONT, session->commit, VERDICT_NONE);
    else
        (void)ask(host, REPLAY_COMMIT, session, session->commit);
    writes(host, JOURNAL_OWNED);
}

static void on_return(struct host *host)
{
    writes(host, JOURNAL_RETURNED);
}

static void on_end(struct host *host)
{
    CHECK(host->answer.wants_end, "h%u does not end its QEMU", host->number);
    (void)tell(host, REPLAY_END, 0);
}

/* A source whose `cont` failed has told the operator, who starts the VM again; any other owner asks by
 * itself. */
static void on_cont(struct host *host)
{
    const struct replay_answer *answer = &host->answer;
    if (answer->wants_cont) {
        (void)tell(host, REPLAY_CONT, VM_CONT_RUNS);
        return;
    }
    CHECK(is_source(&host->view), "h%u does not run its guest", host->number);
    answer = tell(host, REPLAY_OPERATOR_RUNS, 0);
    CHECK(!err_is_set(&answer->err), "the operator may not start it: %s", answer->err.id);
}

static void on_start(struct host *host)
{
    const struct replay_answer *answer = tell(host, REPLAY_OPERATOR_RUNS, 0);
    CHECK(!err_is_set(&answer->err), "a VM that is off may not be started: %s", answer->err.id);
}

static void on_cont_fails(struct host *host)
{
    if (host->answer.wants_cont)
        (void)tell(host, REPLAY_CONT, VM_CONT_FAILED);
    else
        CHECK(is_source(&host->view), "h%u does not run its guest", host->number);
}

static void on_cont_lost(struct host *host)
{
    if (host->answer.wants_cont)
        (void)tell(host, REPLAY_CONT, VM_CONT_UNKNOWN);
    else
        CHECK(is_source(&host->view), "h%u does not run its guest", host->number);
}

static void on_cont_dead(struct host *host)
{
    CHECK(host->answer.wants_cont, "h%u does not run its guest", host->number);
    if (host->is_death_untold)
        (void)tell(host, REPLAY_QEMU_ENDED, 0);
    host->is_death_untold = false;
    (void)tell(host, REPLAY_CONT, VM_CONT_FAILED);
}

/* The destination's word: of a move that is listed it is in its status; each COMMIT gets it. */
static void on_say(struct host *host)
{
    const struct view *view = &host->view;
    struct session *session = &run.session[view->in_epoch];
    enum move_verdict verdict = verdict_of(view->in);
    const struct replay_answer *answer = ask(host, REPLAY_LOOK, session, NULL);
    bool is_busy = answer->wants_cont || answer->wants_write || answer->wants_end;
    enum move_verdict said = answer->said;
    uint8_t secret[MOVE_SECRET_SIZE];
    memcpy(secret, answer->said_secret, sizeof secret);
    if (!answer->is_known || (session->has_commit && !is_busy)) {
        answer = ask(host, REPLAY_COMMIT, session, session->commit);
        CHECK(answer->is_answered && !err_is_set(&answer->err), "no answer to COMMIT: %s", answer->err.id);
        CHECK(!said || (said == answer->verdict && !memcmp(secret, answer->secret, sizeof secret)),
              "h%u says two things", host->number);
        said = answer->verdict;
        memcpy(secret, answer->secret, sizeof secret);
    }
    CHECK(said == verdict, "h%u says %s, the model %s", host->number, move_verdict_name(said),
          move_verdict_name(verdict));
    session->has_verdict[verdict] = true;
    memcpy(session->verdict[verdict], secret, sizeof secret);
}

/* Of a host that was down: what its agent does with the record it finds. */
static void on_sync(struct host *host)
{
    if (host->agent > 0 && host->answer.is_writing)
        (void)tell(host, REPLAY_SYNC, 0);
    need_agent(host);
    disk_has_it(host);
}

static void on_dark(struct host *host)
{
    bool is_lucky = run.at && g_array_index(run.steps, struct step, run.at - 1).view[host->number].unsynced;
    kill_agent(host);
    if (is_lucky)
        g_clear_pointer(&host->shown, g_free);
    disk_has_it(host);
    disk_lost_it(host);
}

static void on_dark_lost(struct host *host)
{
    kill_agent(host);
    disk_lost_it(host);
}

static void on_qemu_dies(struct host *host)
{
    if (host->agent <= 0)
        return;
    host->is_death_untold = true;
    (void)tell(host, REPLAY_QEMU_DIES, 0);
}

static void on_hung_runs(struct host *host)
{
    if (host->agent > 0)
        (void)tell(host, REPLAY_QEMU_RUNS, 0);
}

/* The operator's word. A host that owns the VM from now on ends the shell of a guest that has not arrived. */
static void on_hear(struct host *host)
{
    bool is_owner = host->view.out == JOURNAL_OWNED;
    struct replay_order what = {.verb = REPLAY_SETTLE, .kind = is_owner};
    what.spec.epoch = host->view.out_epoch;
    g_strlcpy(what.spec.vm.uuid, run.uuid, sizeof what.spec.vm.uuid);
    g_strlcpy(what.spec.vm.name, "moved", sizeof what.spec.vm.name);
    const struct replay_answer *answer = order(host, &what);
    if (is_owner && answer->wants_end)
        answer = tell(host, REPLAY_END, 0);
    CHECK(!err_is_set(&answer->err), "h%u does not obey: %s", host->number, answer->err.message);
    disk_has_it(host);
}

static void on_disk_lost(struct host *host)
{
    disk_is_lost(host);
    run.is_disk_lost = true;
}

static void on_nothing(struct host *host)
{
    (void)host;
}

static const struct {
    const char *name;
    bool needs_agent;
    void (*play)(struct host *host);
} plays[] = {
    {"prepare", true, on_prepare},
    {"stop", true, on_stop},
    {"give", true, on_give},
    {"give-refused", true, on_give_refused},
    {"give-kept", true, on_give_kept},
    {"give-shown", true, on_give_shown},
    {"take-back", true, on_take_back},
    {"commit", true, on_commit},
    {"doubt", true, on_doubt},
    {"gone", true, on_gone},
    {"back", true, on_back},
    {"end", true, on_end},
    {"cont", true, on_cont},
    {"cont-fails", true, on_cont_fails},
    {"cont-lost", true, on_cont_lost},
    {"cont-dead", true, on_cont_dead},
    {"start", true, on_start},
    {"hear", true, on_hear},
    {"power-on", false, on_nothing}, /* what is started stands first */
    {"ticket", true, on_ticket},
    {"shell", true, on_shell},
    {"load", true, on_load},
    {"own", true, on_own},
    {"abort", true, on_abort},
    {"return", true, on_return},
    {"say", true, on_say},
    {"crash", false, kill_agent},
    {"up", false, on_nothing},
    {"sync", false, on_sync},
    {"dark", false, on_dark},
    {"dark-lost", false, on_dark_lost},
    {"disk-lost", false, on_disk_lost},
    {"job-dies", false, on_nothing}, /* when it is heard of, it is a doubt */
    {"qemu-dies", false, on_qemu_dies},
    {"hung-runs", false, on_hung_runs},
    {"hung-never", false, on_nothing},
};

/* ---- what the model forbids ---- */

static void random_secret(uint8_t secret[MOVE_SECRET_SIZE])
{
    fdio_random(secret, MOVE_SECRET_SIZE);
}

/* A ticket of any session, where the model lets none in. One that is being tried, or was, by this incarnation
 * gets its old answer. */
static void replay_ticket(struct host *host)
{
    unsigned e = (unsigned)g_rand_int_range(run.random, 1, SESSIONS);
    const struct view *view = &host->view;
    const struct session *session = &run.session[e];
    bool is_let_in =
        e > epoch_of(view) && !may_run(view) && step_of(view) != JOURNAL_GIVEN && view->qemu == QEMU_NONE;
    if (!session->has_ticket || is_let_in || !has_journal(host))
        return;
    struct replay_order what = {.verb = REPLAY_PREPARE_DESTINATION, .spec = session->ticket};
    bool is_known = ask(host, REPLAY_LOOK, session, NULL)->is_known;
    const struct replay_answer *answer = order(host, &what);
    CHECK(is_known || (answer->is_answered && err_is_set(&answer->err)), "h%u takes ticket %u", host->number,
          e);
}

static void send_without_owning(struct host *host)
{
    struct replay_order what = {.verb = REPLAY_PREPARE_SOURCE};
    if (owns(&host->view))
        return;
    model_uuid_new(what.spec.id);
    g_strlcpy(what.spec.vm.uuid, run.uuid, sizeof what.spec.vm.uuid);
    move_options_init(&what.spec.options);
    const struct replay_answer *answer = order(host, &what);
    CHECK(answer->is_answered && err_is_set(&answer->err), "h%u sends what it does not own", host->number);
}

static void start_without_owning(struct host *host)
{
    if (!owns(&host->view))
        CHECK(err_is_set(&tell(host, REPLAY_OPERATOR_RUNS, 0)->err), "h%u starts what it does not own",
              host->number);
}

static void forge_verdict(struct host *host)
{
    struct replay_order what = {.verb = REPLAY_VERDICT};
    what.verdict = (enum move_verdict)g_rand_int_range(run.random, VERDICT_RUNNING, VERDICT_RETURNED + 1);
    g_strlcpy(what.spec.id, session_of(&host->view)->id, sizeof what.spec.id);
    random_secret(what.secret);
    const struct replay_answer *answer = order(host, &what);
    CHECK(answer->is_answered && err_is_set(&answer->err), "h%u takes a forged verdict", host->number);
}

static void forge_commit(struct host *host)
{
    uint8_t secret[MOVE_SECRET_SIZE];
    random_secret(secret);
    const struct replay_answer *answer = ask(host, REPLAY_COMMIT, session_of(&host->view), secret);
    CHECK(!answer->is_known || (answer->is_answered && err_is_set(&answer->err)), "h%u takes a forged COMMIT",
          host->number);
}

/* After the point of no return nothing but a verdict counts. */
static void doubt_too_late(struct host *host)
{
    enum journal_step step = step_of(&host->view);
    bool is_too_late = step == JOURNAL_GIVEN || step == JOURNAL_GONE || step == JOURNAL_OWNED;
    if (!is_too_late || epoch_of(&host->view) == 0)
        return;
    if (has_job(host) && toss(2)) {
        (void)tell(host, REPLAY_JOB_ENDS, 0);
        return;
    }
    const struct replay_answer *answer = ask(host, REPLAY_CANCEL, session_of(&host->view), NULL);
    CHECK(!answer->is_known || (answer->is_answered && err_is_set(&answer->err)), "h%u is cancelled too late",
          host->number);
}

/* A verdict of any session, at a source that does not wait for one. */
static void repeat_verdict(struct host *host)
{
    unsigned e = (unsigned)g_rand_int_range(run.random, 1, SESSIONS);
    const struct session *session = &run.session[e];
    struct replay_order what = {.verb = REPLAY_VERDICT};
    what.verdict = (enum move_verdict)g_rand_int_range(run.random, VERDICT_RUNNING, VERDICT_RETURNED + 1);
    if (!session->has_verdict[what.verdict] || step_of(&host->view) == JOURNAL_GIVEN)
        return;
    g_strlcpy(what.spec.id, session->id, sizeof what.spec.id);
    memcpy(what.secret, session->verdict[what.verdict], sizeof what.secret);
    (void)order(host, &what);
}

static void repeat_commit(struct host *host)
{
    unsigned e = (unsigned)g_rand_int_range(run.random, 1, SESSIONS);
    const struct session *session = &run.session[e];
    if (session->has_commit && step_of(&host->view) != JOURNAL_INCOMING)
        (void)ask(host, REPLAY_COMMIT, session, session->commit);
}

static void try_what_is_forbidden(struct host *host)
{
    static void (*const tries[])(struct host * host) = {
        replay_ticket, send_without_owning, start_without_owning, forge_verdict,
        forge_commit,  doubt_too_late,      repeat_verdict,       repeat_commit,
    };
    if (host->agent <= 0 || host->view.unsynced)
        return;
    const struct replay_answer *answer = tell(host, REPLAY_LOOK, 0);
    if (answer->wants_write || answer->wants_cont || answer->wants_end || answer->wants_shell)
        return;
    tries[g_rand_int_range(run.random, 0, G_N_ELEMENTS(tries))](host);
    answer = tell(host, REPLAY_LOOK, 0);
    CHECK(!answer->wants_write && !answer->wants_cont && !answer->wants_end && !answer->wants_shell,
          "h%u wants something that is forbidden", host->number);
    check_host(host);
    run.n_refused++;
}

/* ---- a run ---- */

static void play(const struct step *step)
{
    struct host *host = &run.host[step->host];
    unsigned i = 0;
    while (i < G_N_ELEMENTS(plays) && strcmp(plays[i].name, step->name) != 0)
        i++;
    CHECK(i < G_N_ELEMENTS(plays), "the model does %s", step->name);
    if (plays[i].needs_agent)
        need_agent(host);
    for (unsigned h = 0; h < 2; h++)
        run.host[h].view = step->view[h];
    plays[i].play(host);
    for (unsigned h = 0; h < 2; h++) {
        while (follow(&run.host[h]))
            ;
        check_host(&run.host[h]);
    }
    try_what_is_forbidden(&run.host[g_rand_int_range(run.random, 0, 2)]);
    gpointer n = g_hash_table_lookup(run.count, plays[i].name);
    (void)g_hash_table_insert(run.count, (gpointer)plays[i].name, GUINT_TO_POINTER(GPOINTER_TO_UINT(n) + 1));
    run.n_steps++;
}

/* Of a session it has no record of it says nothing: any word would let the guest at the source go, or go on.
 */
static void ask_who_has_lost_it(struct host *host)
{
    for (unsigned e = 0; e < SESSIONS; e++) {
        const struct session *session = &run.session[e];
        if (!session->has_commit)
            continue;
        const struct replay_answer *answer = ask(host, REPLAY_COMMIT, session, session->commit);
        CHECK(answer->is_answered && answer->err.code == ERR_IN_DOUBT && answer->verdict == VERDICT_NONE,
              "h%u has lost its record of session %u, and answers COMMIT", host->number, e);
    }
}

/* The model has settled; so must the agents have, also those that nobody has asked since they were restarted.
 */
static void check_end(void)
{
    unsigned n_owners = 0;
    for (unsigned h = 0; h < 2; h++) {
        struct host *host = &run.host[h];
        need_agent(host);
        while (follow(host))
            ;
        const struct replay_answer *answer = tell(host, REPLAY_LOOK, 0);
        CHECK(!answer->wants_write && !answer->wants_end && !answer->wants_cont && !answer->wants_shell,
              "in the end h%u wants to write %s, send cont %d, end QEMU %d", h,
              answer->wants_write ? journal_step_name(answer->step) : "nothing", answer->wants_cont,
              answer->wants_end);
        check_host(host);
        n_owners += owns(&host->view);
    }
    if (run.is_disk_lost)
        ask_who_has_lost_it(&run.host[LOSER]);
    bool is_in_doubt =
        run.is_disk_lost && step_of(&run.host[0].view) == JOURNAL_GIVEN; /* an operator settles it */
    CHECK(n_owners == !is_in_doubt, "in the end there are %u owners", n_owners);
}

static void replay(unsigned seed, const char *const *flags)
{
    run.seed = seed;
    run.random = g_rand_new_with_seed(seed);
    run.steps = g_array_new(FALSE, FALSE, sizeof(struct step));
    run.at = 0;
    run.is_disk_lost = false;
    memset(run.session, 0, sizeof run.session);
    model_uuid_new(run.uuid);
    for (unsigned h = 0; h < 2; h++)
        host_new(h);
    draw_steps(flags);
    for (; run.at < run.steps->len; run.at++)
        play(&g_array_index(run.steps, struct step, run.at));
    check_end();
    for (unsigned h = 0; h < 2; h++) {
        kill_agent(&run.host[h]);
        g_free(run.host[h].disk);
        g_free(run.host[h].shown);
    }
    (void)g_array_free(run.steps, TRUE);
    g_rand_free(run.random);
}

int main(int argc, char **argv)
{
    static const char *const deep[] = {"-DATTEMPTS=2", "-DSTART", NULL};
    static const char *const wide[] = {"-DATTEMPTS=1",   "-DCRASHES=2",     "-DBLACKOUTS=2",
                                       "-DCONT_FAILS=2", "-DCONT_LOSSES=2", NULL};
    static const char *const settled[] = {"-DATTEMPTS=1", "-DSETTLE", NULL};
    static const char *const failing[] = {"-DATTEMPTS=1", "-DSTART", "-DWRITE_FAILS=1", NULL};
    static const char *const losing[] = {"-DATTEMPTS=1", "-DDISK_LOSS", NULL};
    static const char *const *const kinds[] = {deep, wide, settled, failing, losing};
    unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : RUNS;
    unsigned first = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    g_strlcpy(run.folder, "/tmp/agentreplay-XXXXXX", sizeof run.folder);
    CHECK(getenv("MODEL") && mkdtemp(run.folder), "no model, or no folder");
    run.count = g_hash_table_new(g_str_hash, g_str_equal);
    const int signals[] = {SIGABRT, SIGINT, SIGTERM, SIGHUP};
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++)
        (void)signal(signals[i], on_signal);
    for (unsigned seed = first; seed < first + n; seed++)
        replay(seed, kinds[seed % G_N_ELEMENTS(kinds)]);
    (void)printf("%u runs of the model from seed %u: %u steps, %u forbidden things tried\n", n, first,
                 run.n_steps, run.n_refused);
    for (unsigned i = 0; i < G_N_ELEMENTS(plays); i++) {
        unsigned times = GPOINTER_TO_UINT(g_hash_table_lookup(run.count, plays[i].name));
        (void)printf("%s %u\n", plays[i].name, times);
        CHECK(times || n < RUNS, "no run did %s", plays[i].name);
    }
    tidy();
    return 0;
}
