/* SPDX-License-Identifier: Apache-2.0 */
/* Phases 1 to 5: nothing has moved yet. The destination is asked first. */
#include <string.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "manager/admit.h"
#include "manager/check.h"
#include "manager/cluster.h"
#include "manager/migrate.h"
#include "manager/pools.h"
#include "manager/storage.h"
#include "model/protocol.h"

#define CHECK_TIMEOUT_S 10
#define RETRY_MS 500
/* As for other calls: what needs no work is answered in milliseconds. */
#define SLOW_MS 700
#define TO_CHECK "check whether the VM can come"
#define TO_LOCK "check and hold the VM"
#define TO_SHELL "start the shell of the VM"

void migrate_enter_request(struct task *task)
{
    admit_run(task->manager);
}

/* ---- 2: destination check ---- */

static void fill_check(const struct host *host, const char *name, struct check_host *ret)
{
    ret->name = name;
    ret->is_connected = host && host->state == HOST_CONNECTED;
    ret->facts = host && host->has_facts ? &host->facts : NULL;
    ret->problem = host ? host->problem : "";
    ret->is_in_maintenance = host && host->in_maintenance;
    ret->clock_ahead_ms = host ? clock_offset_ms(&host->clock) : 0;
}

/* Every attempt to move a VM takes a new epoch: another one than the task knows means that the VM has had a
 * move since, which this database does not know of. */
static int check_epoch(const struct task *task, const struct vm_status *vm, struct err *err)
{
    if (!task->is_loaded || !task->vm_epoch || vm->epoch == task->vm_epoch)
        return 0;
    err_set(err, ERR_REFUSED, "vm-has-moved", "VM '%s' has been moved since the task was made",
            task->vm_name);
    err_cause(err, "the manager's database was restored from an older one");
    (void)err_arg(err, "vm", "%s", task->vm_name);
    return err_fix(err, "look where the VM is, and ask for the migration again");
}

int migrate_check_vm(struct task *task, struct vm_status *ret_vm, struct err *err)
{
    if (inventory_get_vm(task->manager->inventory, task->vm_uuid, ret_vm, err))
        return -1;
    if (strcmp(ret_vm->host, task->source_host) != 0) {
        err_set(err, ERR_REFUSED, "vm-has-moved", "VM '%s' is on host '%s' now, not on '%s'", task->vm_name,
                ret_vm->host, task->source_host);
        (void)err_arg(err, "vm", "%s", task->vm_name);
        (void)err_arg(err, "host", "%s", ret_vm->host);
        (void)err_arg(err, "source", "%s", task->source_host);
        return err_fix(err, "ask for the migration again");
    }
    return check_epoch(task, ret_vm, err);
}

static struct check_input check_input(const struct task *task, const struct vm_status *vm)
{
    struct inventory *inventory = task->manager->inventory;
    struct check_input input = {.vm = vm,
                                .options = &task->options,
                                .protocol = PROTOCOL,
                                .cpu_baseline = cluster_cpu_baseline(task->manager)};
    fill_check(inventory_find_host(inventory, task->source_host), task->source_host, &input.source);
    fill_check(inventory_find_host(inventory, task->destination_host), task->destination_host,
               &input.destination);
    return input;
}

void migrate_check_hosts(const struct task *task, const struct vm_status *vm, struct findings *findings)
{
    const struct check_input input = check_input(task, vm);
    check_hosts(&input, findings);
}

int migrate_take_site(JsonObject *answer, const char *host, struct move_site *ret_site, struct err *err)
{
    JsonNode *node = answer ? json_object_get_member(answer, "site") : NULL;
    if (move_site_from_json(node, ret_site, err) == 0)
        return 0;
    (void)err_arg(err, "host", "%s", host);
    return err_prefix(err, "the answer of host %s", host);
}

void migrate_check_sites(const struct task *task, const struct move_site *source, struct findings *findings)
{
    struct vm_status vm = {.spec = task->spec.vm};
    (void)g_strlcpy(vm.accel, task->spec.accel, sizeof vm.accel);
    const struct check_input input = check_input(task, &vm);
    check_sites(&input, source, &task->destination_site, findings);
    findings_place(findings, move_phase_name(PHASE_SOURCE_CHECK), "destination");
}

static int check_facts(struct task *task, struct vm_status *ret_vm, struct err *err)
{
    g_autofree struct findings *findings = g_new0(struct findings, 1);
    if (migrate_check_vm(task, ret_vm, err))
        return -1;
    migrate_check_hosts(task, ret_vm, findings);
    task_keep_warnings(task, findings);
    if (findings_first(findings, err)) {
        err->phase[0] = '\0'; /* the task says in which of its phases that was */
        return -1;
    }
    return task_is_here(task) ? 0 : pools_admit(task, ret_vm, err);
}

/* The destination writes the VM's file with its new pool; the source's keeps the old one, should the VM stay.
 */
static void put_into_pool(struct task *task)
{
    g_autofree char *pool = g_strdup(pools_target(&task->options, &task->spec.vm));
    (void)g_strlcpy(task->spec.vm.pool, pool, sizeof task->spec.vm.pool);
}

void migrate_fill_spec(struct task *task, const struct vm_status *vm, const struct host_facts *destination)
{
    struct move_spec *spec = &task->spec;
    *spec = (struct move_spec){.vm = vm->spec, .options = task->options, .port = destination->migration_port};
    (void)g_strlcpy(spec->id, task->id, sizeof spec->id);
    spec->options.encryption[0] = '\0'; /* the agents are told the decision */
    spec->epoch = task->is_loaded ? task->vm_epoch : 0;
    (void)g_strlcpy(spec->accel, vm->accel, sizeof spec->accel);
    (void)g_strlcpy(spec->source, task->source_host, sizeof spec->source);
    (void)g_strlcpy(spec->destination, task->destination_host, sizeof spec->destination);
    fdio_random(spec->key, sizeof spec->key);
    const struct host *source = inventory_find_host(task->manager->inventory, task->source_host);
    storage_plan(source && source->has_facts ? &source->facts : NULL, destination, spec);
    if (!task_is_here(task))
        put_into_pool(task);
    task->has_key = true;
}

static void ask_destination(struct task *task);

/* A task that was cancelled does not wait for its shell to go away; the next one does. */
static bool wait_for_remains(struct task *task, const struct err *err)
{
    const char *holder = err_arg_find(err, "task");
    if (strcmp(err->id, "vm-is-moving") != 0 || !holder || tasks_find(task->manager, holder) ||
        clock_now_ns() - task->phase_start_ns > task_deadline_s(task) * NS_PER_S)
        return false;
    task_wait_since(task, 0, "host '%s' to clear what task %s left there", task->destination_host, holder);
    task_after(task, RETRY_MS, ask_destination);
    return true;
}

static void destination_agreed(struct task *task, JsonObject *object, const struct err *call_err)
{
    struct err err = *call_err;
    if (!err_is_set(&err))
        (void)migrate_take_site(object, task->destination_host, &task->destination_site, &err);
    if (!err_is_set(&err))
        task_set_state(task, TASK_RUNNING, PHASE_SPECIFICATION);
    else if (!wait_for_remains(task, &err) &&
             !task_try_again(task, &task->destination, TO_CHECK, ask_destination, &err))
        task_fail(task, &err, "destination");
}

static void ask_destination(struct task *task)
{
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "side", "destination");
    json_object_set_object_member(body, "spec", move_spec_to_json(&task->spec));
    g_autofree char *path = task_move_path(task, "/check");
    struct task_call_spec call = {
        &task->destination, "POST", path, body, MIN(CHECK_TIMEOUT_S, task_left_s(task)), .to = TO_CHECK};
    task_call(task, &call, destination_agreed);
}

struct refreshed {
    struct manager *manager;
    char task[MODEL_UUID_SIZE];
    unsigned serial;
};

/* The facts are as fresh as they can be now. A destination that misses one answer may be restarting and is
 * asked again; one that has missed several is refused at once. */
static void facts_are_fresh(const struct err *call_err, void *user)
{
    g_autofree struct refreshed *refreshed = user;
    struct task *task = tasks_find(refreshed->manager, refreshed->task);
    if (!task || task->serial != refreshed->serial)
        return;
    task->is_asking_facts = false;
    struct host *destination = inventory_find_host(task->manager->inventory, task->destination_host);
    struct err err = *call_err;
    bool is_away = destination && destination->state == HOST_DISCONNECTED;
    if (err_is_set(&err) && !is_away &&
        task_try_again(task, &task->destination, TO_CHECK, migrate_enter_destination_check, &err))
        return;
    if (!err_is_set(&err))
        task_wait_over(task);
    struct vm_status vm;
    if ((err_is_set(&err) && !is_away) || check_facts(task, &vm, &err)) {
        task_fail(task, &err, "destination");
        return;
    }
    migrate_fill_spec(task, &vm, &destination->facts);
    ask_destination(task);
}

/* Whether it answered shows in the state of the host. */
static void source_is_fresh(const struct err *err, void *user)
{
    struct refreshed *refreshed = user;
    struct task *task = tasks_find(refreshed->manager, refreshed->task);
    struct host *destination =
        task ? inventory_find_host(task->manager->inventory, task->destination_host) : NULL;
    (void)err;
    if (destination)
        inventory_refresh(destination, facts_are_fresh, refreshed);
    else
        g_free(refreshed); /* the task ends with its host */
}

static void facts_are_slow(struct task *task)
{
    if (task->is_asking_facts)
        task_wait_since(task, clock_wall_ms() - SLOW_MS, "host '%s' to " TO_CHECK, task->destination_host);
}

void migrate_enter_destination_check(struct task *task)
{
    struct inventory *inventory = task->manager->inventory;
    struct host *destination;
    struct err err = {0};
    if (inventory_get_host(inventory, task->destination_host, &destination, &err)) {
        task_fail(task, &err, "manager");
        return;
    }
    struct refreshed *refreshed = g_new0(struct refreshed, 1);
    refreshed->manager = task->manager;
    (void)g_strlcpy(refreshed->task, task->id, sizeof refreshed->task);
    refreshed->serial = task->serial;
    task->is_asking_facts = true;
    task_after(task, SLOW_MS, facts_are_slow);
    struct host *source = inventory_find_host(inventory, task->source_host);
    /* After a start of the manager nothing has been heard of the source yet. */
    if (task->is_loaded && source)
        inventory_refresh(source, source_is_fresh, refreshed);
    else
        inventory_refresh(destination, facts_are_fresh, refreshed);
}

/* ---- 3: specification ---- */

int migrate_agree(struct task *task, struct err *err)
{
    if (task_is_here(task))
        return storage_check_here(&task->spec, err);
    struct inventory *inventory = task->manager->inventory;
    struct host *source = NULL;
    struct host *destination = NULL;
    if (inventory_get_host(inventory, task->source_host, &source, err) ||
        inventory_get_host(inventory, task->destination_host, &destination, err) ||
        check_addresses(&source->facts, &destination->facts, &task->spec, err) ||
        check_encryption(&source->facts, &destination->facts, task->options.encryption, &task->spec.encrypt,
                         err))
        return -1;
    task->spec.n_channels =
        task->options.channels ? task->options.channels : host_channels(&source->facts, &destination->facts);
    return 0;
}

void migrate_enter_specification(struct task *task)
{
    struct err err = {0};
    if (!task->has_key) {
        /* The manager was restarted: nothing has been made yet, so the check simply runs again. */
        task_set_state(task, TASK_RUNNING, PHASE_DESTINATION_CHECK);
        return;
    }
    if (migrate_agree(task, &err)) {
        task_fail(task, &err, "manager");
        return;
    }
    task_keep_specification(task);
    task_set_state(task, TASK_RUNNING, PHASE_SOURCE_CHECK);
}

/* ---- 4 and 5: lock on the source, shell on the destination ---- */

/* The one-time key lived in the memory of the manager that was killed: the attempt cannot go on. */
static bool key_is_lost(struct task *task)
{
    if (task->has_key)
        return false;
    struct err err = {0};
    err_set(&err, ERR_RETRY, "manager-restarted", "the manager was restarted before the copy began");
    err_cause(&err, "the one-time key of the migration is kept in memory only");
    err_fix(&err, "start the migration again");
    task_fail(task, &err, "manager");
    return true;
}

static int take_answer(JsonObject *object, const char *host, struct move_spec *ret_spec,
                       uint64_t *ret_ram_bytes, struct err *err)
{
    JsonNode *node = object ? json_object_get_member(object, "spec") : NULL;
    if (!node || !JSON_NODE_HOLDS_OBJECT(node)) {
        (void)err_set(err, ERR_CORRUPT, "agent-answer", "host '%s' answered without a specification", host);
        return err_arg(err, "host", "%s", host);
    }
    if (move_spec_from_json(json_node_get_object(node), ret_spec, err))
        return err_prefix(err, "the answer of host %s", host);
    *ret_ram_bytes = (uint64_t)model_int(object, "ram_bytes", 0);
    return 0;
}

static int compare_sites(struct task *task, JsonObject *object, struct err *err)
{
    g_autofree struct move_site *source = g_new(struct move_site, 1);
    g_autofree struct findings *findings = g_new0(struct findings, 1);
    if (migrate_take_site(object, task->source_host, source, err))
        return -1;
    migrate_check_sites(task, source, findings);
    task_keep_warnings(task, findings);
    check_keep_cpu(&task->spec.vm, source, &task->destination_site);
    return findings_first(findings, err);
}

static void source_prepared(struct task *task, JsonObject *object, const struct err *call_err)
{
    struct err err = *call_err;
    struct move_spec answer;
    if (err_is_set(&err) && task_try_again(task, &task->source, TO_LOCK, migrate_enter_source_check, &err))
        return;
    if (err_is_set(&err) || take_answer(object, task->source_host, &answer, &task->ram_bytes, &err)) {
        task_fail(task, &err, "source");
        return;
    }
    storage_take(&answer, &task->spec);
    if (!task_is_here(task))
        put_into_pool(task);
    task->spec.epoch = answer.epoch;
    memcpy(task->spec.accel, answer.accel, sizeof answer.accel);
    memcpy(task->spec.commit_hash, answer.commit_hash, sizeof answer.commit_hash);
    task_keep_specification(task);
    if (task_is_here(task))
        task_set_state(task, TASK_RUNNING, PHASE_COPY);
    else if (compare_sites(task, object, &err))
        task_fail(task, &err, "source");
    else
        task_set_state(task, TASK_RUNNING, PHASE_DESTINATION_SHELL);
}

void migrate_enter_source_check(struct task *task)
{
    if (key_is_lost(task))
        return;
    g_autofree char *path = task_move_path(task, "/source");
    struct task_call_spec call = {&task->source,     "PUT",        path, move_spec_to_json(&task->spec),
                                  task_left_s(task), .to = TO_LOCK};
    task_prepare_call(task, &call, source_prepared);
}

static void shell_stands(struct task *task, JsonObject *object, const struct err *call_err)
{
    struct err err = *call_err;
    struct move_spec answer;
    uint64_t ram_bytes;
    if (err_is_set(&err) &&
        task_try_again(task, &task->destination, TO_SHELL, migrate_enter_destination_shell, &err))
        return;
    if (err_is_set(&err) || take_answer(object, task->destination_host, &answer, &ram_bytes, &err)) {
        task_fail(task, &err, "destination");
        return;
    }
    struct move_spec *spec = &task->spec;
    spec->port = answer.port;
    task_keep_specification(task);
    memcpy(spec->ticket, answer.ticket, sizeof spec->ticket);
    memcpy(spec->ready_hash, answer.ready_hash, sizeof spec->ready_hash);
    memcpy(spec->running_hash, answer.running_hash, sizeof spec->running_hash);
    memcpy(spec->aborted_hash, answer.aborted_hash, sizeof spec->aborted_hash);
    memcpy(spec->returned_hash, answer.returned_hash, sizeof spec->returned_hash);
    task_set_state(task, TASK_RUNNING, PHASE_COPY);
}

void migrate_enter_destination_shell(struct task *task)
{
    if (key_is_lost(task))
        return;
    g_autofree char *path = task_move_path(task, "/destination");
    struct task_call_spec call = {&task->destination, "PUT",         path, move_spec_to_json(&task->spec),
                                  task_left_s(task),  .to = TO_SHELL};
    task_prepare_call(task, &call, shell_stands);
}
