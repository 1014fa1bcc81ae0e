/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent is killed after each system call that changes something, while it moves two disks of a VM to
 * another datastore of the host: of one that runs, whose QEMU lives on or dies with the agent, and of one
 * that is off. The next agent finds for each disk one image, which the config file names, which QEMU has open
 * where there is one, and which has the disk's content; nothing else is left, and the disks can be moved
 * again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/datastores.h"
#include "agent/disks.h"
#include "agent/moves.h"
#include "agent/storage_move.h"
#include "agent/vm_process.h"
#include "dying_agent.h"
#include "model/datastore.h"
#include "model/json.h"
#include "model/vm_disks.h"
#include "qemu/disk_device.h"
#include "store.h"

#define N_DISKS 2
#define TURN_US 5000
#define TURNS (60 * 1000000 / TURN_US)

static const char *const stores[] = {"one", "two"};

/* ---- what must be so when the agent is killed ---- */

static struct looking {
    bool is_done; /* at this host */
    struct vm *vm;
    vm_done done;
    void *user;
} looking;

static const char *inserted_at(JsonArray *devices, const char *id)
{
    for (guint n = 0; n < json_array_get_length(devices); n++) {
        JsonObject *device = json_array_get_object_element(devices, n);
        if (disk_device_is(model_text(device, "qdev"), id) && json_object_has_member(device, "inserted"))
            return model_text(json_object_get_object_member(device, "inserted"), "node-name");
    }
    return "";
}

/* A guest that runs writes to the images that the config file names: if its QEMU died now, it would be
 * started with them. */
static void on_devices(JsonNode *result, const struct err *err, void *user)
{
    const struct err none = {0};
    const struct vm_spec *spec = &looking.vm->status.spec;
    (void)user;
    assert_false(err_is_set(err));
    for (uint32_t i = 0; i < spec->n_disks; i++) {
        char id[DISK_NODE_SIZE], node[DISK_NODE_SIZE];
        disk_device_id(spec, i, id);
        disk_node(spec, i, node);
        assert_string_equal(inserted_at(json_node_get_array(result), id), node);
    }
    if (!storage_adopt(looking.vm, false, looking.done, looking.user))
        looking.done(looking.vm, &none, looking.user);
}

static bool look_and_adopt(struct vm *vm, bool is_stopped, vm_done done, void *user)
{
    if (is_stopped || looking.is_done)
        return storage_adopt(vm, is_stopped, done, user);
    looking = (struct looking){true, vm, done, user};
    vm_qmp(vm, "query-block", NULL, -1, on_devices, NULL);
    return true;
}

static void open_stores(struct host *host)
{
    struct agent *agent = &host->agent;
    struct err err = {0};
    assert_int_equal(chmod(host->folder, 0711), 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(stores); i++) {
        g_autofree char *folder = g_build_filename(host->folder, stores[i], NULL);
        g_autofree char *identity = g_build_filename(folder, DATASTORE_FILE, NULL);
        char store_uuid[MODEL_UUID_SIZE];
        model_uuid_from(stores[i], store_uuid);
        g_autofree char *text = datastore_identity_text(store_uuid, stores[i]);
        assert_int_equal(g_mkdir_with_parents(folder, 0755), 0);
        assert_int_equal(chown(folder, HOST_UID, HOST_UID), 0);
        assert_true(g_file_set_contents(identity, text, -1, NULL));
        (void)g_strlcpy(agent->config.datastores[i].name, stores[i], MODEL_NAME_MAX);
        (void)g_strlcpy(agent->config.datastores[i].path, folder, MODEL_PATH_MAX);
    }
    agent->config.n_datastores = G_N_ELEMENTS(stores);
    agent->adopting = look_and_adopt;
    if (datastores_open(agent, &err) < 0)
        fail_msg("%s", err.message);
}

static struct host *up(const char *folder)
{
    looking.is_done = false;
    struct host *host = host_up_with(folder, open_stores);
    moves_recover(&host->agent);
    return host;
}

static struct vm *the_vm(struct host *host)
{
    return vm_find(&host->agent, dying_scene.uuid);
}

/* The second is raw. Each begins with a block of its number plus one. */
static void make_spec(struct host *host, struct vm_spec *ret_spec)
{
    static const char *const formats[N_DISKS] = {"qcow2", "raw"};
    *ret_spec = hot_spec("half");
    g_strlcpy(ret_spec->uuid, dying_scene.uuid, sizeof ret_spec->uuid);
    ret_spec->n_disks = N_DISKS;
    for (unsigned i = 0; i < N_DISKS; i++) {
        struct vm_disk *disk = &ret_spec->disks[i];
        g_strlcpy(disk->datastore, "one", sizeof disk->datastore);
        (void)g_snprintf(disk->file, sizeof disk->file, "disk%u", i);
        g_strlcpy(disk->format, formats[i], sizeof disk->format);
        run_command("cd %s/one && qemu-img create -q -f %s disk%u 8M && chown %u disk%u && "
                    "qemu-io -f %s -c 'write -q -P %u 1M 64k' disk%u",
                    host->folder, formats[i], i, HOST_UID, i, formats[i], i + 1, i);
    }
}

static void start(struct host *host)
{
    struct vm_spec spec;
    make_spec(host, &spec);
    (void)start_vm(host, &spec);
}

static void create(struct host *host)
{
    struct vm_spec spec;
    struct vm *vm;
    struct err err = {0};
    make_spec(host, &spec);
    if (vm_create(&host->agent, &spec, &vm, &err) < 0)
        fail_msg("%s", err.message);
}

static void turn(void)
{
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_usleep(TURN_US);
}

/* ---- the move ---- */

struct moving {
    bool is_answered;
    struct err err;
};

static void on_answer(struct agent *agent, const struct move_answer *answer, const struct err *err,
                      void *user)
{
    struct moving *moving = user;
    (void)agent;
    (void)answer;
    moving->is_answered = true;
    moving->err = *err;
}

static void wait_answer(struct moving *moving, const char *what)
{
    wait_until(&moving->is_answered, 60, what);
    if (err_is_set(&moving->err))
        fail_msg("%s: %s: %s", what, moving->err.message, moving->err.cause);
    moving->is_answered = false;
}

static void move_to(struct host *host, const char *store)
{
    struct moving moving = {0};
    struct move_spec spec = {.vm = the_vm(host)->status.spec, .port = 1};
    struct move_status status = {0};
    model_uuid_new(spec.id);
    move_options_init(&spec.options);
    g_strlcpy(spec.source, host->agent.config.name, sizeof spec.source);
    g_strlcpy(spec.destination, host->agent.config.name, sizeof spec.destination);
    /* After a kill in the middle of the switch one may be there. */
    for (unsigned i = 0; i < N_DISKS; i++) {
        if (!strcmp(spec.vm.disks[i].datastore, store))
            continue;
        spec.disks[spec.n_disks++].disk = i;
        g_strlcpy(spec.vm.disks[i].datastore, store, MODEL_NAME_MAX);
    }
    moves_prepare_source(&host->agent, &spec, on_answer, &moving);
    wait_answer(&moving, "prepare");
    moves_start_source(&host->agent, &spec, on_answer, &moving);
    wait_answer(&moving, "start");
    for (unsigned n = 0; status.state < MOVE_DONE && n < TURNS; n++) {
        turn();
        moves_status(moves_find(&host->agent, spec.id), &status);
    }
    if (status.state != MOVE_DONE)
        fail_msg("%s: %s: %s", move_state_name(status.state), status.error.message, status.error.cause);
    struct err err = {0};
    assert_int_equal(moves_forget(&host->agent, spec.id, &err), 0);
}

static void move_there(struct host *host)
{
    move_to(host, "two");
}

/* ---- what must be so afterwards ---- */

static unsigned files_in(const struct host *host, const char *store)
{
    g_autofree char *folder = g_build_filename(host->folder, store, NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    unsigned n = 0;
    for (const char *name; dir && (name = g_dir_read_name(dir));)
        n += g_str_has_prefix(name, "disk");
    return n;
}

static void check_files(struct host *host)
{
    const struct vm_spec *spec = &the_vm(host)->status.spec;
    assert_int_equal(spec->n_disks, N_DISKS);
    assert_int_equal(files_in(host, "one") + files_in(host, "two"), N_DISKS);
    for (unsigned i = 0; i < N_DISKS; i++)
        run_command("cd %s/%s && qemu-io -U -r -f %s -c 'read -q -P %u 1M 64k' %s", host->folder,
                    spec->disks[i].datastore, spec->disks[i].format, i + 1, spec->disks[i].file);
    g_autofree char *folder = g_strdup_printf("%s/vms", host->agent.config.state_dir);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(dir));)
        assert_false(g_str_has_suffix(name, ".images"));
}

struct nodes {
    bool is_answered;
    GPtrArray *names;
};

static void on_nodes(JsonNode *result, const struct err *err, void *user)
{
    struct nodes *nodes = user;
    assert_false(err_is_set(err));
    JsonArray *list = json_node_get_array(result);
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonObject *node = json_array_get_object_element(list, i);
        g_ptr_array_add(nodes->names,
                        g_strdup_printf("%s %s", model_text(node, "node-name"), model_text(node, "file")));
    }
    nodes->is_answered = true;
}

static bool has_line(const struct nodes *nodes, const char *line)
{
    return g_ptr_array_find_with_equal_func(nodes->names, line, g_str_equal, NULL);
}

/* Nodes of the config's images, and no others. */
static void check_nodes(struct host *host)
{
    struct vm *vm = the_vm(host);
    struct nodes nodes = {.names = g_ptr_array_new_with_free_func(g_free)};
    JsonObject *flat = json_object_new();
    json_object_set_boolean_member(flat, "flat", TRUE);
    vm_qmp(vm, "query-named-block-nodes", flat, -1, on_nodes, &nodes);
    wait_until(&nodes.is_answered, 60, "query-named-block-nodes");
    for (unsigned i = 0; i < N_DISKS; i++) {
        char node[DISK_NODE_SIZE], file[DISK_NODE_SIZE], path[MODEL_PATH_MAX];
        assert_int_equal(disks_path(vm->agent, &vm->status.spec, &vm->status.spec.disks[i], path, NULL), 0);
        disk_node(&vm->status.spec, i, node);
        disk_file_node(&vm->status.spec, i, file);
        g_autofree char *upper = g_strdup_printf("%s %s", node, path);
        g_autofree char *lower = g_strdup_printf("%s %s", file, path);
        assert_true(has_line(&nodes, upper));
        assert_true(has_line(&nodes, lower));
    }
    assert_int_equal(nodes.names->len, 2 * N_DISKS);
    g_ptr_array_unref(nodes.names);
}

static void wait_for_clear(struct host *host)
{
    for (unsigned n = 0; the_vm(host)->status.move[0] && n < TURNS; n++)
        turn();
    assert_string_equal(the_vm(host)->status.move, "");
}

/* Each scene takes every third point, and each another third: all of them take four minutes, and are taken if
 * GODWIT_KILL_POINTS is "all". */
#define STRIDE 3

static void kill_everywhere(const struct dying_verb *verb, unsigned first, bool is_on, bool kills_qemu)
{
    bool takes_all = !g_strcmp0(g_getenv("GODWIT_KILL_POINTS"), "all");
    for (unsigned k = takes_all ? 1 : first;; k += takes_all ? 1 : STRIDE) {
        bool was_killed = dies_after_change(verb, k);
        if (kills_qemu)
            (void)processes_of(dying_scene.uuid, SIGKILL);
        struct host *host = up(dying_scene.folder);
        wait_for_clear(host);
        assert_int_equal(the_vm(host)->status.state, is_on && !kills_qemu ? VM_RUNNING : VM_OFF);
        check_files(host);
        if (the_vm(host)->process)
            check_nodes(host);
        move_to(host, !strcmp(the_vm(host)->status.spec.disks[0].datastore, "one") ? "two" : "one");
        check_files(host);
        datastores_close(&host->agent);
        host_down(host);
        if (!was_killed) {
            assert_true(k > 20); /* it was killed at all */
            return;
        }
    }
}

static void while_the_vm_runs_on(void **state)
{
    (void)state;
    kill_everywhere(&(const struct dying_verb){"on", up, start, move_there}, 1, true, false);
}

static void while_its_qemu_dies_too(void **state)
{
    (void)state;
    kill_everywhere(&(const struct dying_verb){"on, QEMU dies", up, start, move_there}, 2, true, true);
}

static void while_the_vm_is_off(void **state)
{
    (void)state;
    kill_everywhere(&(const struct dying_verb){"off", up, create, move_there}, 3, false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_the_vm_is_off),
        cmocka_unit_test(while_the_vm_runs_on),
        cmocka_unit_test(while_its_qemu_dies_too),
    };
    if (geteuid() != 0)
        return 77;
    model_uuid_new(dying_scene.uuid);
    return cmocka_run_group_tests(tests, NULL, dying_scene_sweep);
}
