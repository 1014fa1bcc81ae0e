/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two agents in one process, real QEMU under TCG, the real door; only the job is a fake that can be told to
 * die, lie or hang at each of its steps. Whatever it does, exactly one host runs the guest afterwards, the
 * guest's own proofs of its memory hold, and the next move succeeds.
 */
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/door.h"
#include "agent/handover_rules.h"
#include "agent/journal.h"
#include "agent/moves.h"
#include "agent/vm_process.h"
#include "base/fdio.h"
#include "base/log.h"
#include "tests/agent/vms/fixture.h"

#define PORT 18741

struct lab {
    struct host *host[2];
    char uuid[MODEL_UUID_SIZE];
    unsigned source; /* where the guest runs */
};

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)fprintf(stderr, "FAILED: %s:%d: %s\n", __FILE__, __LINE__, #condition);                    \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static struct agent *agent_of(struct lab *lab, bool is_source)
{
    return &lab->host[is_source ? lab->source : 1 - lab->source]->agent;
}

static struct vm *vm_on(struct lab *lab, unsigned host)
{
    return vm_find(&lab->host[host]->agent, lab->uuid);
}

static void set_fault(struct lab *lab, const char *fault)
{
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *path = g_strdup_printf("%s/fault", lab->host[i]->agent.config.libexec_dir);
        CHECK(g_file_set_contents(path, fault, -1, NULL));
    }
}

static void copy_program(const struct host *host, const char *variable, const char *name)
{
    g_autofree char *text = NULL;
    gsize size;
    g_autofree char *path = g_strdup_printf("%s/%s", host->agent.config.libexec_dir, name);
    CHECK(g_file_get_contents(getenv(variable), &text, &size, NULL));
    CHECK(g_file_set_contents_full(path, text, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0755, NULL));
}

static struct host *migration_host_up(const char *folder, unsigned number)
{
    struct host *host = host_up(folder);
    struct agent_config *config = &host->agent.config;
    struct err err;
    (void)snprintf(config->name, sizeof config->name, "h%u", number + 1);
    (void)snprintf(config->migration_addresses[0], MODEL_ADDRESS_MAX, "127.0.0.%u", number + 1);
    config->n_migration_addresses = 1;
    config->migration_port = PORT;
    config->migration_enabled = true;
    g_strlcpy(host->agent.facts.dirty_source, "async",
              sizeof host->agent.facts.dirty_source); /* the fake needs none */
    config->job_user = (struct agent_user){0, 0};
    config->door_user = (struct agent_user){HOST_UID, HOST_UID};
    copy_program(host, "JOB", "godwit-job");
    copy_program(host, "DOOR", "godwit-door");
    if (door_new(&host->agent, &host->agent.door, &err) < 0) {
        log_error(&err, "door");
        abort();
    }
    moves_recover(&host->agent);
    return host;
}

/* ---- calls that wait ---- */

struct prepared {
    bool there;
    struct move_answer answer;
    struct err err;
};

static void take_prepared(struct agent *agent, const struct move_answer *answer, const struct err *err,
                          void *user)
{
    struct prepared *prepared = user;
    (void)agent;
    prepared->there = true;
    prepared->err = *err;
    if (answer)
        prepared->answer = *answer;
}

struct verdict {
    bool there;
    enum move_verdict kind;
    uint8_t secret[MOVE_SECRET_SIZE];
    struct err err;
};

static void take_verdict(enum move_verdict kind, const uint8_t secret[MOVE_SECRET_SIZE],
                         const struct err *err, void *user)
{
    struct verdict *verdict = user;
    verdict->there = true;
    verdict->kind = kind;
    verdict->err = *err;
    if (secret)
        memcpy(verdict->secret, secret, sizeof verdict->secret);
}

static struct move_status status_of(struct agent *agent, const char *id)
{
    struct move_status status;
    struct move *move = moves_find(agent, id);
    CHECK(move);
    moves_status(move, &status);
    return status;
}

/* The manager's part: prepare both sides, start. */
static void start_move(struct lab *lab, struct move_spec *spec)
{
    struct prepared prepared = {0};
    memset(spec, 0, sizeof *spec);
    model_uuid_new(spec->id);
    move_options_init(&spec->options);
    g_strlcpy(spec->vm.uuid, lab->uuid, sizeof spec->vm.uuid);
    spec->n_addresses = 1;
    (void)snprintf(spec->addresses[0], MODEL_ADDRESS_MAX, "127.0.0.%u", 2 - lab->source);
    fdio_random(spec->key, sizeof spec->key);
    moves_prepare_source(agent_of(lab, true), spec, take_prepared, &prepared);
    wait_until(&prepared.there, 20, "prepare source");
    CHECK(!err_is_set(&prepared.err));
    *spec = prepared.answer.spec;
    prepared.there = false;
    moves_prepare_destination(agent_of(lab, false), spec, take_prepared, &prepared);
    wait_until(&prepared.there, 60, "prepare destination");
    if (err_is_set(&prepared.err))
        log_error(&prepared.err, "prepare destination");
    CHECK(!err_is_set(&prepared.err));
    *spec = prepared.answer.spec;
    prepared.there = false;
    moves_start_source(agent_of(lab, true), spec, take_prepared, &prepared);
    CHECK(prepared.there && !err_is_set(&prepared.err));
}

/* The manager's relay: COMMIT to the destination, its verdict to the source. */
static void relay(struct lab *lab, const struct move_spec *spec)
{
    struct move_status status = status_of(agent_of(lab, true), spec->id);
    struct verdict verdict = {0};
    struct prepared taken = {0};
    moves_commit(agent_of(lab, false), spec->id, lab->uuid, status.commit, take_verdict, &verdict);
    wait_until(&verdict.there, 60, "relay of COMMIT");
    CHECK(!err_is_set(&verdict.err));
    moves_verdict(agent_of(lab, true), spec->id, verdict.kind, verdict.secret, take_prepared, &taken);
    wait_until(&taken.there, 60, "relay of the verdict");
    CHECK(!err_is_set(&taken.err));
}

static gboolean on_tick(gpointer user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

static void wait_for_state(struct agent *agent, const char *id, enum move_state state)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    guint tick = g_timeout_add(20, on_tick, NULL);
    while (status_of(agent, id).state < state) {
        CHECK(g_get_monotonic_time() < deadline);
        (void)g_main_context_iteration(NULL, TRUE);
    }
    (void)g_source_remove(tick);
}

static unsigned proofs_failed(struct lab *lab, unsigned host)
{
    g_autofree char *folder =
        g_strdup_printf("%s/vms/%s/console.log", lab->host[host]->agent.config.run_dir, lab->uuid);
    g_autofree char *text = NULL;
    unsigned n = 0;
    if (!g_file_get_contents(folder, &text, NULL, NULL))
        return 0;
    for (const char *at = text; (at = strstr(at, "bad")); at++)
        n += at[3] != '=' || at[4] != '0';
    return n;
}

/* Exactly one host runs it, and says so; the other has nothing of it; the guest makes progress. */
static void check_one_runner(struct lab *lab)
{
    struct vm *here = vm_on(lab, lab->source);
    CHECK(here && here->status.state == VM_RUNNING && !here->status.move[0]);
    CHECK(journal_may_run(here->journal));
    CHECK(!vm_on(lab, 1 - lab->source));
    (void)wait_for_console(here, "CHK t_ms=", console_size(here));
    CHECK(!proofs_failed(lab, 0) && !proofs_failed(lab, 1));
}

/* One move with a fault; afterwards lab->source is where the guest is. */
static enum move_state attempt(struct lab *lab, const char *fault, bool relays)
{
    struct move_spec spec;
    (void)fprintf(stderr, "---- %s\n", fault[0] ? fault : "no fault");
    set_fault(lab, fault);
    start_move(lab, &spec);
    struct agent *source = agent_of(lab, true);
    struct agent *destination = agent_of(lab, false);
    wait_for_state(source, spec.id, MOVE_GIVEN);
    if (relays && status_of(source, spec.id).state == MOVE_GIVEN)
        relay(lab, &spec);
    wait_for_state(source, spec.id, MOVE_DONE);
    if (status_of(destination, spec.id).state < MOVE_DONE && status_of(source, spec.id).state == MOVE_FAILED)
        (void)moves_cancel(destination, spec.id, &(struct err){.code = ERR_CANCELLED, .id = "test"}, NULL);
    wait_for_state(destination, spec.id, MOVE_DONE);
    struct move_status status = status_of(source, spec.id);
    CHECK(status.state == status_of(destination, spec.id).state);
    if (status.state == MOVE_DONE)
        lab->source = 1 - lab->source;
    else
        CHECK(err_is_set(&status.error) && status.error.phase[0] && status.error.side[0]);
    check_one_runner(lab);
    CHECK(moves_forget(source, spec.id, NULL) == 0 && moves_forget(destination, spec.id, NULL) == 0);
    return status.state;
}

/* ---- the promises ---- */

static void every_fault_before_given_leaves_it_on_the_source(struct lab *lab)
{
    static const char *const faults[] = {
        "source copying",      "source after-stop",    "source in-save",
        "source before-give",  "source forge-ready",   "source save-first",
        "destination waiting", "destination received", "destination before-ready",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        CHECK(attempt(lab, faults[i], false) == MOVE_FAILED);
        CHECK(attempt(lab, "", false) == MOVE_DONE);
    }
}

static void every_fault_after_given_is_settled_by_the_relay(struct lab *lab)
{
    static const char *const faults[] = {
        "source after-give",           "source before-quit",       "source forge-aborted",
        "destination before-cont",     "destination after-cont",   "destination hang-before-cont",
        "destination hang-after-cont", "destination forge-commit",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        (void)attempt(lab, faults[i], true);
        CHECK(attempt(lab, "", false) == MOVE_DONE);
    }
}

static void cancel_before_given_resumes_and_after_given_is_refused(struct lab *lab)
{
    struct move_spec spec;
    struct err why;
    struct err err = {0};
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "the operator asked for it");
    set_fault(lab, "source hang-before-give");
    start_move(lab, &spec);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_SWITCHING);
    CHECK(moves_cancel(agent_of(lab, true), spec.id, &why, &err) == 0);
    CHECK(moves_cancel(agent_of(lab, true), spec.id, &why, &err) == 0);
    CHECK(moves_cancel(agent_of(lab, false), spec.id, &why, &err) == 0);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
    wait_for_state(agent_of(lab, false), spec.id, MOVE_DONE);
    CHECK(!strcmp(status_of(agent_of(lab, true), spec.id).error.id, "cancelled"));
    check_one_runner(lab);
    set_fault(lab, "destination hang-before-cont");
    start_move(lab, &spec);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_GIVEN);
    CHECK(moves_cancel(agent_of(lab, true), spec.id, &why, &err) < 0);
    CHECK(!strcmp(err.id, "too-late-to-cancel"));
    relay(lab, &spec);
    wait_for_state(agent_of(lab, false), spec.id, MOVE_DONE);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
    lab->source = 1 - lab->source;
    check_one_runner(lab);
}

static void held_vm_refuses_everything_else(struct lab *lab)
{
    struct move_spec spec;
    struct prepared second = {0};
    struct answer answer = {0};
    struct err err = {0};
    set_fault(lab, "source hang-copying");
    start_move(lab, &spec);
    struct vm *vm = vm_on(lab, lab->source);
    vm_stop(vm, true, 1, take_answer, &answer);
    CHECK(answer.there && !strcmp(answer.err.id, "vm-is-moving") && strstr(answer.err.message, spec.id));
    CHECK(vm_remove(vm, &err) < 0 && !strcmp(err.id, "vm-is-moving"));
    struct move_spec other = spec;
    model_uuid_new(other.id);
    moves_prepare_source(agent_of(lab, true), &other, take_prepared, &second);
    CHECK(second.there && !strcmp(second.err.id, "vm-is-moving") && strstr(second.err.message, spec.id));
    (void)moves_cancel(agent_of(lab, true), spec.id, &(struct err){.code = ERR_CANCELLED, .id = "test"},
                       NULL);
    (void)moves_cancel(agent_of(lab, false), spec.id, &(struct err){.code = ERR_CANCELLED, .id = "test"},
                       NULL);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
    wait_for_state(agent_of(lab, false), spec.id, MOVE_DONE);
    check_one_runner(lab);
}

static void unknown_session_is_in_doubt(struct lab *lab)
{
    struct verdict verdict = {0};
    uint8_t commit[MOVE_SECRET_SIZE] = {0};
    char id[MODEL_UUID_SIZE];
    char vm[MODEL_UUID_SIZE];
    model_uuid_new(id);
    model_uuid_new(vm);
    moves_commit(agent_of(lab, false), id, vm, commit, take_verdict, &verdict);
    CHECK(verdict.there && verdict.err.code == ERR_IN_DOUBT && !strcmp(verdict.err.id, "session-unknown"));
}

/* A failed test leaves nothing behind either. */
static struct lab lab;

static void clean_up(int number)
{
    for (unsigned i = 0; i < 2 && lab.host[i]; i++) {
        struct vm *vm = lab.uuid[0] ? vm_on(&lab, i) : NULL;
        if (vm && vm->status.pid)
            (void)kill(vm->status.pid, SIGKILL);
        g_autofree char *command = g_strdup_printf("rm -rf %s", lab.host[i]->folder);
        if (system(command) != 0)
            (void)fprintf(stderr, "cannot remove %s\n", lab.host[i]->folder);
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

int main(void)
{
    if (geteuid() != 0)
        return 77;
    (void)signal(SIGABRT, clean_up);
    (void)signal(SIGTERM, clean_up);
    lab.host[1] = migration_host_up(NULL, 1);
    lab.host[0] = migration_host_up(NULL, 0);
    struct vm *vm = start_checker(lab.host[0], "moved");
    g_strlcpy(lab.uuid, vm->status.spec.uuid, sizeof lab.uuid);
    (void)wait_for_console(vm, "CHK t_ms=", 0);
    CHECK(attempt(&lab, "", false) == MOVE_DONE);
    CHECK(attempt(&lab, "", false) == MOVE_DONE);
    held_vm_refuses_everything_else(&lab);
    cancel_before_given_resumes_and_after_given_is_refused(&lab);
    every_fault_before_given_leaves_it_on_the_source(&lab);
    every_fault_after_given_is_settled_by_the_relay(&lab);
    unknown_session_is_in_doubt(&lab);
    for (unsigned i = 0; i < 2; i++) {
        door_free(lab.host[i]->agent.door);
        host_down(lab.host[i]);
    }
    return 0;
}
