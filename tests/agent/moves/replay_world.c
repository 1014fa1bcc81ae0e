/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/agent/moves/replay.h"

#define BLOCK 4096 /* of a journal's file: what is written, or lost, in one piece */

/* ---- the model's journal ---- */

bool is_source(const struct view *view)
{
    return view->out_epoch >= view->in_epoch;
}

enum journal_step step_of(const struct view *view)
{
    return is_source(view) ? view->out : view->in;
}

unsigned epoch_of(const struct view *view)
{
    return is_source(view) ? view->out_epoch : view->in_epoch;
}

bool owns(const struct view *view)
{
    enum journal_step step = step_of(view);
    return step == JOURNAL_OWNED || step == JOURNAL_RESUMED;
}

bool may_run(const struct view *view)
{
    return owns(view) || step_of(view) == JOURNAL_SENDING;
}

/* The session that the record belongs to. */
struct session *session_of(const struct view *view)
{
    bool is_taken_back = is_source(view) && view->out == JOURNAL_RESUMED;
    return &run.session[epoch_of(view) - is_taken_back];
}

/* ---- hosts ---- */

static char *journal_path(const struct host *host)
{
    return g_strdup_printf("%s/vms/%s.journal", host->folder, run.uuid);
}

/* For this process, which opens no file of an agent: who opens a journal writes it, and an agent that is
 * started after that would take it for one that it has written itself. */
static char *copy_path(const struct host *host)
{
    return g_strdup_printf("%s/copy", host->folder);
}

bool toss(unsigned one_in)
{
    return g_rand_int_range(run.random, 0, (gint32)one_in) == 0;
}

bool is_zero(const uint8_t secret[MOVE_SECRET_SIZE])
{
    static const uint8_t zeros[MOVE_SECRET_SIZE];
    return memcmp(secret, zeros, sizeof zeros) == 0;
}

struct replay_answer *order(struct host *host, const struct replay_order *what)
{
    struct replay_answer *answer = &host->answer;
    CHECK(send(host->socket, what, sizeof *what, MSG_NOSIGNAL) == sizeof *what &&
              recv(host->socket, answer, sizeof *answer, 0) == sizeof *answer,
          "h%u has died", host->number);
    for (unsigned e = 0; answer->has_spec && e < SESSIONS; e++) {
        struct session *session = &run.session[e];
        if (strcmp(session->id, answer->spec.id) != 0)
            continue;
        *(answer->is_source ? &session->has_ticket : &session->is_shown) = true;
        *(answer->is_source ? &session->ticket : &session->shown) = answer->spec;
    }
    return answer;
}

struct replay_answer *tell(struct host *host, enum replay_verb verb, unsigned kind)
{
    struct replay_order what = {.verb = verb, .kind = kind};
    return order(host, &what);
}

struct replay_answer *ask(struct host *host, enum replay_verb verb, const struct session *session,
                          const uint8_t secret[MOVE_SECRET_SIZE])
{
    struct replay_order what = {.verb = verb};
    g_strlcpy(what.spec.id, session->id, sizeof what.spec.id);
    if (secret)
        memcpy(what.secret, secret, sizeof what.secret);
    return order(host, &what);
}

struct replay_answer *job_asks(struct host *host, enum ctl_type type, const uint8_t secret[MOVE_SECRET_SIZE],
                               enum move_verdict verdict)
{
    struct replay_order what = {.verb = REPLAY_JOB, .kind = type, .verdict = verdict};
    if (secret)
        memcpy(what.secret, secret, sizeof what.secret);
    return order(host, &what);
}

void need_agent(struct host *host)
{
    if (host->agent > 0)
        return;
    CHECK(host->view.up, "the model asks h%u, which is down", host->number);
    host->agent = replay_host_start(host->folder, run.uuid, host->view.qemu, &host->socket);
    CHECK(host->agent > 0, "no process: %s", g_strerror(errno));
    (void)tell(host, REPLAY_LOOK, 0);
}

void kill_agent(struct host *host)
{
    host->is_death_untold = false; /* the next one sees how it is */
    if (host->agent <= 0)
        return;
    (void)kill(host->agent, SIGKILL);
    (void)waitpid(host->agent, NULL, 0);
    (void)close(host->socket);
    host->agent = 0;
}

/* ---- disks ---- */

/* Without a sync, which is slow: nothing fails here but what the model lets fail. */
static void write_file(const char *path, const char *image, gsize size)
{
    CHECK(g_file_set_contents_full(path, image, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL),
          "cannot write %s", path);
}

static ino_t file_number(const char *path)
{
    struct stat its;
    return stat(path, &its) == 0 ? its.st_ino : 0;
}

void disk_has_it(struct host *host)
{
    g_autofree char *path = journal_path(host);
    char *old = g_steal_pointer(&host->disk);
    if (!g_file_get_contents(path, &host->disk, &host->disk_size, NULL))
        host->disk = NULL;
    /* A file that took the place of the old one was written whole. */
    if (file_number(path) != host->shown_file)
        g_clear_pointer(&host->shown, g_free);
    for (gsize at = 0; old && host->disk && host->shown && at < host->disk_size; at += BLOCK)
        if (!memcmp(host->disk + at, host->shown + at, BLOCK))
            memcpy(host->disk + at, old + at, BLOCK);
    g_free(old);
}

void disk_lost_it(struct host *host)
{
    g_autofree char *path = journal_path(host);
    if (host->disk)
        write_file(path, host->disk, host->disk_size);
    else
        CHECK(unlink(path) == 0 || errno == ENOENT, "cannot remove %s", path);
    g_clear_pointer(&host->shown, g_free);
}

void disk_never_gets_it(struct host *host)
{
    g_autofree char *path = journal_path(host);
    CHECK(g_file_get_contents(path, &host->shown, NULL, NULL), "cannot read %s", path);
    host->shown_file = file_number(path);
}

void disk_is_lost(struct host *host)
{
    g_autofree char *command = g_strdup_printf("rm -rf %s/vms/*", host->folder);
    CHECK(system(command) == 0, "cannot empty %s/vms", host->folder);
    disk_has_it(host);
    g_clear_pointer(&host->shown, g_free);
}

bool has_journal(const struct host *host)
{
    g_autofree char *path = journal_path(host);
    return access(path, F_OK) == 0;
}

/* What is not durable yet is in the file; else the disk must have it. */
static void read_journal(const struct host *host, struct journal_entry *ret_entry)
{
    g_autofree char *path = journal_path(host);
    g_autofree char *copy = copy_path(host);
    g_autofree char *cached = NULL;
    gsize size = host->disk_size;
    struct journal *journal;
    struct err err;
    *ret_entry = (struct journal_entry){0};
    if (host->view.unsynced && has_journal(host))
        CHECK(g_file_get_contents(path, &cached, &size, NULL), "cannot read %s", path);
    const char *image = host->view.unsynced ? cached : host->disk;
    if (!image)
        return;
    write_file(copy, image, size);
    CHECK(journal_open(copy, &journal, &err) == 0, "h%u: %s", host->number, err.message);
    journal_read(journal, ret_entry);
    journal_close(journal);
}

/* ---- what must hold after each step ---- */

enum move_verdict verdict_of(enum journal_step step)
{
    return step == JOURNAL_OWNED      ? VERDICT_RUNNING
           : step == JOURNAL_ABORTED  ? VERDICT_ABORTED
           : step == JOURNAL_RETURNED ? VERDICT_RETURNED
                                      : VERDICT_NONE;
}

static void check_journal(const struct host *host)
{
    struct journal_entry entry;
    const struct view *view = &host->view;
    if (step_of(view) == JOURNAL_GONE && !has_journal(host))
        return; /* the operator took from it what it never had */
    read_journal(host, &entry);
    CHECK(entry.step == step_of(view) && entry.epoch == epoch_of(view),
          "the journal of h%u says %s %llu, the model %s %u", host->number, journal_step_name(entry.step),
          (unsigned long long)entry.epoch, journal_step_name(step_of(view)), epoch_of(view));
    CHECK(!entry.epoch || !strcmp(entry.session, session_of(view)->id), "h%u: another session", host->number);
    CHECK(!entry.epoch || entry.is_destination == !is_source(view), "h%u: another side", host->number);
    if (is_source(view))
        CHECK(entry.past.verdict == verdict_of(view->in) &&
                  (!entry.past.verdict || !strcmp(entry.past.session, run.session[view->in_epoch].id)),
              "h%u has forgotten what it said as a destination", host->number);
}

void check_host(struct host *host)
{
    struct replay_answer *answer = &host->answer;
    check_journal(host);
    if (host->agent <= 0)
        return;
    if (host->view.is_tainted)
        CHECK(answer->wants_write && answer->step == JOURNAL_RESUMED && !answer->wants_cont &&
                  !answer->wants_end,
              "h%u goes on after a write that failed", host->number);
    else if (host->view.unsynced)
        CHECK(answer->is_writing && !answer->wants_write && !answer->wants_cont && !answer->wants_end &&
                  !answer->wants_shell,
              "h%u acts on a record that is not durable", host->number);
    else
        CHECK(answer->may_run == may_run(&host->view), "h%u %s run the VM, the model says no", host->number,
              answer->may_run ? "would" : "would not");
}

/* What follows without a step of the model: QEMU has ended, or runs already. */
bool follow(struct host *host)
{
    const struct view *view = &host->view;
    enum journal_step step = step_of(view);
    bool is_open = step == JOURNAL_SENDING || step == JOURNAL_INCOMING;
    if (host->agent <= 0 || view->unsynced)
        return false;
    const struct replay_answer *answer = tell(host, REPLAY_LOOK, 0);
    if (answer->wants_end && view->qemu == QEMU_NONE)
        (void)tell(host, REPLAY_END, 0);
    else if (answer->wants_cont && view->qemu == QEMU_RUNS)
        (void)tell(host, REPLAY_CONT, VM_CONT_RUNS);
    else if (host->is_death_untold && !is_open && !view->is_sure)
        (void)tell(host, REPLAY_QEMU_ENDED, 0);
    else if (answer->wants_cont && view->qemu == QEMU_NONE && !view->is_sure && !view->has_failed)
        (void)tell(host, REPLAY_CONT, VM_CONT_UNKNOWN);
    else
        return false;
    host->is_death_untold &= is_open || view->is_sure;
    return true;
}

void host_new(unsigned h)
{
    struct host *host = &run.host[h];
    *host = (struct host){.number = h};
    g_autofree char *folder = g_strdup_printf("%s/h%u", run.folder, h);
    g_strlcpy(host->folder, folder, sizeof host->folder);
    g_autofree char *vms = g_strdup_printf("%s/vms", host->folder);
    g_autofree char *command = g_strdup_printf("rm -rf %s", host->folder);
    CHECK(system(command) == 0 && g_mkdir_with_parents(vms, 0700) == 0, "cannot make %s", vms);
    host->view = (struct view){.up = 1};
    if (h == 0) {
        g_autofree char *path = journal_path(host);
        g_autofree char *copy = copy_path(host);
        struct journal *journal;
        struct journal_entry owned = {.step = JOURNAL_OWNED};
        CHECK(journal_open(copy, &journal, NULL) == 0 && journal_write_sync(journal, &owned, NULL) == 0 &&
                  rename(copy, path) == 0,
              "cannot write %s", path);
        journal_close(journal);
        host->view.out = JOURNAL_OWNED;
        host->view.qemu = QEMU_RUNS;
    }
    disk_has_it(host);
}
