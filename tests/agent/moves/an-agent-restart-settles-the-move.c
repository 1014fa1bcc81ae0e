/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both agents die (the whole process, by SIGKILL) in the middle of a move; new ones settle it from the
 * journals alone, with the manager's relay for what was given. Run without arguments; it starts itself again
 * as the process that dies.
 */
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/boot.h"
#include "agent/journal.h"
#include "base/log.h"
#include "tests/agent/moves/lab.h"

struct scene {
    const char *promise;
    const char *fault;         /* where the jobs hang when the agents die */
    enum move_state source_at; /* wait for these before dying */
    enum move_verdict verdict; /* of the destination, before dying */
    /* A step that was made durable before the crash, and whose act was not carried out. */
    enum journal_step source_step, destination_step;
    bool is_given; /* the manager's relay is needed */
    bool moves;    /* the guest ends on the destination */
    bool reboots;  /* the host goes down with the agents; the VM has autostart */
};

static const struct scene scenes[] = {
    {.promise = "SENDING, guest runs: it runs on at the source",
     .fault = "source hang-copying",
     .source_at = MOVE_COPYING},
    {.promise = "SENDING, guest stands: the source resumes it",
     .fault = "source hang-before-give",
     .source_at = MOVE_SWITCHING},
    {.promise = "RESUMED, not yet continued: the source continues it",
     .fault = "source hang-before-give",
     .source_at = MOVE_SWITCHING,
     .source_step = JOURNAL_RESUMED},
    {.promise = "SENDING, and the source was booted: once it is settled, the VM starts there",
     .fault = "source hang-before-give",
     .source_at = MOVE_SWITCHING,
     .reboots = true},
    {.promise = "GIVEN, destination INCOMING: it was aborted, and the source takes it back",
     .fault = "destination hang-before-cont",
     .source_at = MOVE_GIVEN,
     .is_given = true},
    {.promise =
         "GIVEN, destination INCOMING, and the source was booted: once it is back, the VM starts there",
     .fault = "destination hang-before-cont",
     .source_at = MOVE_GIVEN,
     .is_given = true,
     .reboots = true},
    {.promise = "GIVEN, destination OWNED and not yet continued: the destination runs it",
     .fault = "destination hang-before-cont",
     .source_at = MOVE_GIVEN,
     .destination_step = JOURNAL_OWNED,
     .is_given = true,
     .moves = true},
    {.promise = "GIVEN, destination runs: the source lets go",
     .fault = "destination hang-after-cont",
     .source_at = MOVE_GIVEN,
     .verdict = VERDICT_RUNNING,
     .is_given = true,
     .moves = true},
    {.promise = "GONE, QEMU not yet ended: the source ends it",
     .fault = "destination hang-after-cont",
     .source_at = MOVE_GIVEN,
     .verdict = VERDICT_RUNNING,
     .source_step = JOURNAL_GONE,
     .moves = true},
    {.promise = "GIVEN, destination RETURNED, shell not yet ended: the source takes it back",
     .fault = "destination hang-before-cont",
     .source_at = MOVE_GIVEN,
     .destination_step = JOURNAL_RETURNED,
     .is_given = true},
};

/* The process that dies: argv = number of the scene, two folders, VM, source. */
static void die_in(char **argv)
{
    struct lab lab = {0};
    struct move_spec spec = {0};
    const struct scene *scene = &scenes[atoi(argv[1])];
    lab_up(&lab, argv[2], argv[3]);
    g_strlcpy(lab.uuid, argv[4], sizeof lab.uuid);
    lab.source = (unsigned)atoi(argv[5]);
    if (!lab.uuid[0]) {
        lab_start_guest(&lab);
        g_autofree char *path = g_strdup_printf("%s/uuid", argv[2]);
        CHECK(g_file_set_contents(path, lab.uuid, -1, NULL));
    }
    if (scene->reboots) {
        g_autoptr(JsonObject) changes = json_object_new();
        json_object_set_boolean_member(changes, "autostart", TRUE);
        CHECK(vm_set(vm_on(&lab, lab.source), changes, NULL) == 0);
    }
    set_fault(&lab, scene->fault);
    start_move(&lab, &spec);
    wait_for_state(agent_of(&lab, true), spec.id, scene->source_at);
    while (scene->verdict != status_of(agent_of(&lab, false), spec.id).verdict)
        (void)g_main_context_iteration(NULL, TRUE);
    g_autofree char *path = g_strdup_printf("%s/move", argv[2]);
    CHECK(g_file_set_contents(path, spec.id, -1, NULL));
    CHECK(scene->source_step == JOURNAL_GONE || config_mode(&lab, lab.source) == 0400);
    g_autoptr(JsonObject) lease = lease_file(&lab, lab.source);
    CHECK(lease && !strcmp(json_object_get_string_member(lease, "task"), spec.id));
    (void)raise(SIGKILL);
}

static void read_note(const char *folder, const char *name, char *ret_text, size_t size)
{
    g_autofree char *path = g_strdup_printf("%s/%s", folder, name);
    g_autofree char *text = NULL;
    CHECK(g_file_get_contents(path, &text, NULL, NULL));
    g_strlcpy(ret_text, text, size);
}

static void make_durable(const char *folder, const char *uuid, enum journal_step step)
{
    g_autofree char *path = g_strdup_printf("%s/state/vms/%s.journal", folder, uuid);
    struct journal *journal;
    struct journal_entry entry;
    CHECK(journal_open(path, &journal, NULL) == 0);
    journal_read(journal, &entry);
    entry.step = step;
    entry.epoch += step == JOURNAL_RESUMED;
    CHECK(journal_write_sync(journal, &entry, NULL) == 0);
    journal_close(journal);
}

/* No process is left, and the kernel has another boot id. */
static void reboot(const char *folder, const char *uuid)
{
    g_autofree char *path = g_strdup_printf("%s/state/boot_id", folder);
    char other[MODEL_UUID_SIZE];
    while (processes_of(uuid, SIGKILL))
        g_usleep(1000);
    model_uuid_new(other);
    CHECK(g_file_test(path, G_FILE_TEST_EXISTS));
    CHECK(g_file_set_contents(path, other, -1, NULL));
}

static void wait_for_autostart(struct lab *lab)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (vm_on(lab, lab->source)->status.state != VM_RUNNING) {
        CHECK(g_get_monotonic_time() < deadline);
        (void)g_main_context_iteration(NULL, FALSE);
        g_usleep(1000);
    }
}

/* What may come back late is not waited for: else the next agent would start anew what was stopped since. */
static void check_boot_is_dealt_with(struct lab *lab)
{
    char booted[MODEL_UUID_SIZE];
    char recorded[MODEL_UUID_SIZE];
    CHECK(boot_id_read(booted, NULL) == 0 && boot_recorded(agent_of(lab, true), recorded, NULL) == 0);
    CHECK(!strcmp(booted, recorded));
}

static void settle(struct lab *lab, const struct scene *scene, const char *id)
{
    if (scene->is_given) {
        CHECK(status_of(agent_of(lab, true), id).state == MOVE_GIVEN);
        g_autoptr(JsonObject) lease = lease_file(lab, lab->source);
        CHECK(lease && config_mode(lab, lab->source) == 0400);
        if (scene->reboots)
            check_boot_is_dealt_with(lab);
        relay(lab, id);
    }
    if (scene->reboots)
        wait_for_autostart(lab);
    wait_for_state(agent_of(lab, true), id, MOVE_DONE);
    wait_for_state(agent_of(lab, false), id, MOVE_DONE);
    CHECK(status_of(agent_of(lab, true), id).state == (scene->moves ? MOVE_DONE : MOVE_FAILED));
    CHECK(status_of(agent_of(lab, false), id).state == (scene->moves ? MOVE_DONE : MOVE_FAILED));
    if (scene->moves)
        lab->source = 1 - lab->source;
    check_one_runner(lab);
    CHECK(attempt(lab, "", false) == MOVE_DONE);
}

static void play(unsigned number, const char *self)
{
    const struct scene *scene = &scenes[number];
    struct lab lab = {0};
    char folders[2][32] = {"/tmp/agentmove-a-XXXXXX", "/tmp/agentmove-b-XXXXXX"};
    char id[MODEL_UUID_SIZE];
    int status = 0;
    (void)fprintf(stderr, "==== %s\n", scene->promise);
    CHECK(mkdtemp(folders[0]) && mkdtemp(folders[1]));
    g_autofree char *text = g_strdup_printf("%u", number);
    const char *argv[] = {self, text, folders[0], folders[1], "", "0", NULL};
    CHECK(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, NULL));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    read_note(folders[0], "uuid", lab.uuid, sizeof lab.uuid);
    read_note(folders[0], "move", id, sizeof id);
    if (scene->source_step)
        make_durable(folders[0], lab.uuid, scene->source_step);
    if (scene->destination_step)
        make_durable(folders[1], lab.uuid, scene->destination_step);
    if (scene->reboots)
        reboot(folders[0], lab.uuid);
    lab_up(&lab, folders[0], folders[1]);
    settle(&lab, scene, id);
    lab_down(&lab);
}

int main(int argc, char **argv)
{
    if (geteuid() != 0)
        return 77;
    if (argc == 6)
        die_in(argv);
    for (unsigned i = 0; i < G_N_ELEMENTS(scenes); i++)
        play(i, argv[0]);
    return 0;
}
