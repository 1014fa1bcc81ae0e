/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/agent/moves/lab.h"

#include <glib.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/autostart.h"
#include "agent/door.h"
#include "agent/journal.h"
#include "base/fdio.h"
#include "base/log.h"

#define PORT 18741

struct agent *agent_of(struct lab *lab, bool is_source)
{
    return &lab->host[is_source ? lab->source : 1 - lab->source]->agent;
}

struct vm *vm_on(struct lab *lab, unsigned host)
{
    return vm_find(&lab->host[host]->agent, lab->uuid);
}

void set_fault(struct lab *lab, const char *fault)
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
    copy_program(host, "GUARD", "godwit-guard");
    if (door_new(&host->agent, &host->agent.door, &err) < 0) {
        log_error(&err, "door");
        abort();
    }
    moves_recover(&host->agent);
    autostart_prepare(&host->agent);
    autostart_release(&host->agent, NULL, NULL, NULL);
    return host;
}

/* ---- calls that wait ---- */

void take_prepared(struct agent *agent, const struct move_answer *answer, const struct err *err, void *user)
{
    struct prepared *prepared = user;
    (void)agent;
    prepared->there = true;
    prepared->err = *err;
    if (answer)
        prepared->answer = *answer;
}

void take_verdict(enum move_verdict kind, const uint8_t secret[MOVE_SECRET_SIZE], const struct err *err,
                  void *user)
{
    struct verdict *verdict = user;
    verdict->there = true;
    verdict->kind = kind;
    verdict->err = *err;
    if (secret)
        memcpy(verdict->secret, secret, sizeof verdict->secret);
}

struct move_status status_of(struct agent *agent, const char *id)
{
    struct move_status status;
    struct move *move = moves_find(agent, id);
    CHECK(move);
    moves_status(move, &status);
    return status;
}

void prepare_move(struct lab *lab, struct move_spec *spec)
{
    struct prepared prepared = {0};
    memset(spec, 0, sizeof *spec);
    model_uuid_new(spec->id);
    move_options_init(&spec->options);
    (void)g_strlcpy(spec->options.priority, lab->priority ? lab->priority : "",
                    sizeof spec->options.priority);
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
}

void start_move(struct lab *lab, struct move_spec *spec)
{
    struct prepared prepared = {0};
    if (!spec->id[0])
        prepare_move(lab, spec);
    moves_start_source(agent_of(lab, true), spec, take_prepared, &prepared);
    CHECK(prepared.there && !err_is_set(&prepared.err));
}

/* The manager's relay: COMMIT to the destination, its verdict to the source. */
void relay(struct lab *lab, const char *id)
{
    struct move_status status = status_of(agent_of(lab, true), id);
    struct verdict verdict = {0};
    struct prepared taken = {0};
    moves_commit(agent_of(lab, false), id, lab->uuid, status.commit, take_verdict, &verdict);
    wait_until(&verdict.there, 60, "relay of COMMIT");
    CHECK(!err_is_set(&verdict.err));
    moves_verdict(agent_of(lab, true), id, verdict.kind, verdict.secret, take_prepared, &taken);
    wait_until(&taken.there, 60, "relay of the verdict");
    CHECK(!err_is_set(&taken.err));
}

static gboolean on_tick(gpointer user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

void wait_for_state(struct agent *agent, const char *id, enum move_state state)
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

static char *state_file(struct lab *lab, unsigned host, const char *suffix)
{
    return g_strdup_printf("%s/vms/%s%s", lab->host[host]->agent.config.state_dir, lab->uuid, suffix);
}

unsigned config_mode(struct lab *lab, unsigned host)
{
    struct stat facts;
    g_autofree char *path = state_file(lab, host, ".json");
    return stat(path, &facts) < 0 ? 0 : facts.st_mode & 07777;
}

JsonObject *lease_file(struct lab *lab, unsigned host)
{
    g_autofree char *path = state_file(lab, host, ".lease");
    g_autofree char *text = NULL;
    JsonObject *object;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return NULL;
    CHECK(model_parse(text, -1, &object, NULL) == 0);
    return object;
}

/* Exactly one host runs it, and says so; the other has nothing of it; the guest makes progress. */
void check_one_runner(struct lab *lab)
{
    struct vm *here = vm_on(lab, lab->source);
    CHECK(here && here->status.state == VM_RUNNING && !here->status.move[0]);
    CHECK(journal_may_run(here->journal));
    CHECK(!vm_on(lab, 1 - lab->source));
    CHECK(config_mode(lab, lab->source) == 0600 && config_mode(lab, 1 - lab->source) == 0);
    CHECK(!lease_file(lab, 0) && !lease_file(lab, 1));
    (void)wait_for_console(here, "CHK t_ms=", console_size(here));
    CHECK(!proofs_failed(lab, 0) && !proofs_failed(lab, 1));
}

/* One move with a fault; afterwards lab->source is where the guest is. */
enum move_state attempt(struct lab *lab, const char *fault, bool relays)
{
    struct move_spec spec = {0};
    (void)fprintf(stderr, "---- %s\n", fault[0] ? fault : "no fault");
    set_fault(lab, fault);
    start_move(lab, &spec);
    struct agent *source = agent_of(lab, true);
    struct agent *destination = agent_of(lab, false);
    wait_for_state(source, spec.id, MOVE_GIVEN);
    if (relays && status_of(source, spec.id).state == MOVE_GIVEN)
        relay(lab, spec.id);
    wait_for_state(source, spec.id, MOVE_DONE);
    if (status_of(destination, spec.id).state < MOVE_DONE && status_of(source, spec.id).state == MOVE_FAILED)
        (void)moves_cancel(destination, spec.id, &(struct err){.code = ERR_CANCELLED, .id = "test"}, NULL);
    wait_for_state(destination, spec.id, MOVE_DONE);
    struct move_status status = status_of(source, spec.id);
    struct move_status other = status_of(destination, spec.id);
    (void)g_strlcpy(lab->why[0], status.error.id, sizeof lab->why[0]);
    (void)g_strlcpy(lab->why[1], other.error.id, sizeof lab->why[1]);
    CHECK(status.state == other.state);
    if (status.state == MOVE_DONE)
        lab->source = 1 - lab->source;
    else
        CHECK(err_is_set(&status.error) && status.error.phase[0] && status.error.side[0]);
    check_one_runner(lab);
    CHECK(moves_forget(source, spec.id, NULL) == 0 && moves_forget(destination, spec.id, NULL) == 0);
    return status.state;
}

/* A failed test leaves nothing behind either. */
static struct lab *the_lab;

static void clean_up(int number)
{
    for (unsigned i = 0; i < 2 && the_lab->host[i]; i++) {
        struct vm *vm = the_lab->uuid[0] ? vm_on(the_lab, i) : NULL;
        if (vm && vm->status.pid)
            (void)kill(vm->status.pid, SIGKILL);
        g_autofree char *command = g_strdup_printf("rm -rf %s", the_lab->host[i]->folder);
        if (system(command) != 0)
            (void)fprintf(stderr, "cannot remove %s\n", the_lab->host[i]->folder);
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

void lab_up(struct lab *lab, const char *folder0, const char *folder1)
{
    /* Its port is its own, also while another build runs the same test. */
    if (!the_lab)
        CHECK(unshare(CLONE_NEWNET) == 0 && system("ip link set lo up") == 0);
    the_lab = lab;
    (void)signal(SIGABRT, clean_up);
    (void)signal(SIGTERM, clean_up);
    lab->host[0] = migration_host_up(folder0, 0);
    lab->host[1] = migration_host_up(folder1, 1);
}

void lab_start_guest(struct lab *lab)
{
    struct vm *vm = start_checker(lab->host[0], "moved");
    g_strlcpy(lab->uuid, vm->status.spec.uuid, sizeof lab->uuid);
    (void)wait_for_console(vm, "CHK t_ms=", 0);
}

void lab_down(struct lab *lab)
{
    for (unsigned i = 0; i < 2; i++) {
        door_free(lab->host[i]->agent.door);
        host_down(lab->host[i]);
    }
}

unsigned lab_children(const char *program, void (*call)(pid_t pid, const char *rest, void *user), void *user)
{
    unsigned n = 0;
    GDir *dir = g_dir_open("/proc", 0, NULL);
    g_autofree char *wanted = g_strdup_printf("(%s) ", program);
    for (const char *name; (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_strdup_printf("/proc/%s/stat", name);
        g_autofree char *text = NULL;
        int parent, length;
        if (!g_ascii_isdigit(name[0]) || !g_file_get_contents(path, &text, NULL, NULL))
            continue;
        const char *end = strstr(text, wanted);
        if (!end || sscanf(end + strlen(wanted), "%*c %d%n", &parent, &length) != 1 || parent != getpid())
            continue;
        call(atoi(name), end + strlen(wanted) + length, user);
        n++;
    }
    g_dir_close(dir);
    return n;
}
