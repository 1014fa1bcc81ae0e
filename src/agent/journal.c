/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"

#define N_SLOTS 2
#define SLOT_STRIDE 4096u /* the slots never share a block of the disk */
#define SLOT_MAGIC 0x6c6e726au
#define SLOT_VERSION 1u
#define CHECKSUM_SIZE 32

/* On disk, native byte order: the file never leaves its host. */
struct slot {
    uint32_t magic;
    uint32_t version;
    uint64_t sequence; /* the higher valid one counts */
    uint32_t step;
    uint32_t is_destination;
    uint64_t epoch;
    char session[40];
    uint8_t secrets[5][MOVE_SECRET_SIZE];
    char past_session[40];
    uint32_t past_verdict;
    uint8_t past_secret[MOVE_SECRET_SIZE];
    uint32_t reserved;
    uint8_t checksum[CHECKSUM_SIZE]; /* SHA-256 of all before it */
};

struct pending {
    struct journal_entry entry;
    bool is_probe; /* no entry */
    void (*done)(const struct err *err, void *user);
    void *user;
};

struct journal {
    char *path;
    int fd;
    unsigned n_refs; /* opens, plus one while a write is under way */
    struct journal_entry durable;
    unsigned durable_slot;
    uint64_t sequence; /* highest ever handed to a write, so that a failed one can never win over a later */
    GQueue pending;    /* struct pending; the head is being written when `busy` */
    bool busy;
    GMutex lock; /* of what is in the file: a blocking write does not wait in the queue for a probe */
};

/* path -> struct journal, not owned: one object per file. */
static GHashTable *open_journals;
/* Paths of the files whose last entry this process knows to be on the disk. */
static GHashTable *known_durable;

const char *journal_step_name(enum journal_step step)
{
    static const char *const names[] = {
        [JOURNAL_NONE] = "NONE",         [JOURNAL_OWNED] = "OWNED",     [JOURNAL_SENDING] = "SENDING",
        [JOURNAL_GIVEN] = "GIVEN",       [JOURNAL_GONE] = "GONE",       [JOURNAL_RESUMED] = "RESUMED",
        [JOURNAL_INCOMING] = "INCOMING", [JOURNAL_ABORTED] = "ABORTED", [JOURNAL_RETURNED] = "RETURNED",
    };
    return (unsigned)step < G_N_ELEMENTS(names) ? names[step] : "?";
}

bool journal_may_run(const struct journal *journal)
{
    if (!journal)
        return false;
    enum journal_step step = journal->durable.step;
    return step == JOURNAL_OWNED || step == JOURNAL_SENDING || step == JOURNAL_RESUMED;
}

void journal_last_session(const struct journal_entry *entry, struct journal_past *ret_past)
{
    const uint8_t *secret = NULL;
    enum move_verdict verdict = VERDICT_NONE;
    if (entry->step == JOURNAL_OWNED) {
        verdict = VERDICT_RUNNING;
        secret = entry->running;
    } else if (entry->step == JOURNAL_ABORTED) {
        verdict = VERDICT_ABORTED;
        secret = entry->aborted;
    } else if (entry->step == JOURNAL_RETURNED) {
        verdict = VERDICT_RETURNED;
        secret = entry->returned;
    }
    *ret_past = entry->past;
    if (!secret || !entry->is_destination)
        return;
    g_strlcpy(ret_past->session, entry->session, sizeof ret_past->session);
    ret_past->verdict = verdict;
    memcpy(ret_past->secret, secret, MOVE_SECRET_SIZE);
}

static void checksum_of(const struct slot *slot, uint8_t ret_sum[CHECKSUM_SIZE])
{
    gsize size = CHECKSUM_SIZE;
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, (const guchar *)slot, offsetof(struct slot, checksum));
    g_checksum_get_digest(sum, ret_sum, &size);
    g_checksum_free(sum);
}

static void encode(const struct journal_entry *entry, uint64_t sequence, struct slot *ret_slot)
{
    memset(ret_slot, 0, sizeof *ret_slot);
    ret_slot->magic = SLOT_MAGIC;
    ret_slot->version = SLOT_VERSION;
    ret_slot->sequence = sequence;
    ret_slot->step = (uint32_t)entry->step;
    ret_slot->is_destination = entry->is_destination;
    ret_slot->epoch = entry->epoch;
    g_strlcpy(ret_slot->session, entry->session, sizeof ret_slot->session);
    memcpy(ret_slot->secrets[0], entry->commit, MOVE_SECRET_SIZE);
    memcpy(ret_slot->secrets[1], entry->ready, MOVE_SECRET_SIZE);
    memcpy(ret_slot->secrets[2], entry->running, MOVE_SECRET_SIZE);
    memcpy(ret_slot->secrets[3], entry->aborted, MOVE_SECRET_SIZE);
    memcpy(ret_slot->secrets[4], entry->returned, MOVE_SECRET_SIZE);
    g_strlcpy(ret_slot->past_session, entry->past.session, sizeof ret_slot->past_session);
    ret_slot->past_verdict = (uint32_t)entry->past.verdict;
    memcpy(ret_slot->past_secret, entry->past.secret, MOVE_SECRET_SIZE);
    checksum_of(ret_slot, ret_slot->checksum);
}

static bool decode(const struct slot *slot, struct journal_entry *ret_entry)
{
    uint8_t sum[CHECKSUM_SIZE];
    checksum_of(slot, sum);
    if (slot->magic != SLOT_MAGIC || slot->version != SLOT_VERSION || slot->step > JOURNAL_RETURNED ||
        slot->past_verdict > VERDICT_RETURNED || memcmp(sum, slot->checksum, sizeof sum) != 0)
        return false;
    memset(ret_entry, 0, sizeof *ret_entry);
    ret_entry->step = (enum journal_step)slot->step;
    ret_entry->is_destination = slot->is_destination != 0;
    ret_entry->epoch = slot->epoch;
    g_strlcpy(ret_entry->session, slot->session, sizeof ret_entry->session);
    memcpy(ret_entry->commit, slot->secrets[0], MOVE_SECRET_SIZE);
    memcpy(ret_entry->ready, slot->secrets[1], MOVE_SECRET_SIZE);
    memcpy(ret_entry->running, slot->secrets[2], MOVE_SECRET_SIZE);
    memcpy(ret_entry->aborted, slot->secrets[3], MOVE_SECRET_SIZE);
    memcpy(ret_entry->returned, slot->secrets[4], MOVE_SECRET_SIZE);
    g_strlcpy(ret_entry->past.session, slot->past_session, sizeof ret_entry->past.session);
    ret_entry->past.verdict = (enum move_verdict)slot->past_verdict;
    memcpy(ret_entry->past.secret, slot->past_secret, MOVE_SECRET_SIZE);
    return true;
}

/* A whole file with one valid slot appears at once or not at all. */
static int create_file(const char *path, struct err *err)
{
    uint8_t image[N_SLOTS * SLOT_STRIDE] = {0};
    struct journal_entry none = {0};
    struct slot slot;
    encode(&none, 1, &slot);
    memcpy(image, &slot, sizeof slot);
    return fdio_replace_file(path, image, sizeof image, 0600, err);
}

/* Of a file that was cut off the older slot may be left, which must not pass for the last word. */
static bool is_whole(int fd)
{
    struct stat its;
    return fstat(fd, &its) == 0 && its.st_size == N_SLOTS * SLOT_STRIDE;
}

static int load_slots(struct journal *journal, struct err *err)
{
    bool found = false;
    for (unsigned i = 0; i < N_SLOTS && is_whole(journal->fd); i++) {
        struct slot slot = {0};
        struct journal_entry entry;
        struct err problem = {0};
        if (fdio_pread(journal->fd, &slot, sizeof slot, i * SLOT_STRIDE, &problem) < 0 &&
            problem.code != ERR_CORRUPT) {
            if (err)
                *err = problem;
            return -1;
        }
        if (!decode(&slot, &entry) || (found && slot.sequence < journal->sequence))
            continue;
        found = true;
        journal->durable = entry;
        journal->durable_slot = i;
        journal->sequence = slot.sequence;
    }
    if (found)
        return 0;
    (void)err_set(err, ERR_CORRUPT, "journal-corrupt", "the ownership journal %s has no valid entry",
                  journal->path);
    (void)err_cause(err, "it is not known whether this host owns the VM");
    return err_fix(err,
                   "leave the VM's QEMU processes as they are; 'godwit vm settle' with the VM's UUID shows "
                   "what the other hosts know, and repairs it");
}

int journal_look(const char *path, struct journal_entry *ret_entry, struct err *err)
{
    auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "open-failed", "cannot open the ownership journal %s", path);
    struct journal journal = {.path = (char *)path, .fd = fd};
    if (load_slots(&journal, err) < 0)
        return -1;
    *ret_entry = journal.durable;
    return 0;
}

static void journal_unref(struct journal *journal)
{
    if (--journal->n_refs)
        return;
    (void)g_hash_table_remove(open_journals, journal->path);
    if (journal->fd >= 0)
        (void)close(journal->fd);
    g_mutex_clear(&journal->lock);
    g_free(journal->path);
    g_free(journal);
}

/* What an earlier process wrote, the name of the file too, may be in the page cache only; and a sync is no
 * proof that it reached the disk: after one that failed the kernel takes the page for clean, still shows what
 * it holds, and the next sync says yes without writing it. So what was found counts once it was written anew:
 * into another file, because either slot may be the only one that the disk has, and must not be torn.
 */
static int write_anew(struct journal *journal, struct err *err)
{
    uint8_t image[N_SLOTS * SLOT_STRIDE];
    if (fdio_pread(journal->fd, image, sizeof image, 0, err) < 0 ||
        fdio_replace_file(journal->path, image, sizeof image, 0600, err) < 0)
        return -1;
    int fd = open(journal->path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "open-failed", "cannot open the new file");
    (void)close(journal->fd);
    journal->fd = fd;
    return 0;
}

static int make_durable(struct journal *journal, struct err *err)
{
    if (g_hash_table_contains(known_durable, journal->path))
        return 0;
    if (write_anew(journal, err) == 0) {
        (void)g_hash_table_add(known_durable, g_strdup(journal->path));
        return 0;
    }
    (void)err_prefix(err, "the ownership journal %s cannot be made durable, so nothing follows from it",
                     journal->path);
    return err_fix(err, "see that the file system of %s can be written, and restart the agent",
                   journal->path);
}

int journal_open(const char *path, struct journal **ret_journal, struct err *err)
{
    if (!open_journals) {
        open_journals = g_hash_table_new(g_str_hash, g_str_equal);
        known_durable = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    }
    struct journal *journal = g_hash_table_lookup(open_journals, path);
    if (journal) {
        journal->n_refs++;
        *ret_journal = journal;
        return 0;
    }
    auto_fd fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (create_file(path, err) < 0)
            return err_prefix(err, "ownership journal");
        (void)g_hash_table_add(known_durable, g_strdup(path));
        fd = open(path, O_RDWR | O_CLOEXEC);
    }
    if (fd < 0)
        return err_sys(err, errno, "open-failed", "cannot open the ownership journal %s", path);
    journal = g_new0(struct journal, 1);
    journal->path = g_strdup(path);
    journal->fd = steal_fd(&fd);
    journal->n_refs = 1;
    g_queue_init(&journal->pending);
    g_mutex_init(&journal->lock);
    (void)g_hash_table_insert(open_journals, journal->path, journal);
    if (load_slots(journal, err) < 0 || make_durable(journal, err) < 0) {
        journal_unref(journal);
        return -1;
    }
    *ret_journal = journal;
    return 0;
}

int journal_replace(const char *path, struct journal **ret_journal, struct err *err)
{
    g_autofree char *aside = g_strdup_printf("%s.damaged-%lld", path, (long long)clock_wall_ms());
    if (rename(path, aside) < 0)
        return err_sys(err, errno, "rename-failed", "cannot keep the damaged journal %s aside", path);
    log_warn("the damaged journal %s is kept as %s", path, aside);
    return journal_open(path, ret_journal, err);
}

void journal_close(struct journal *journal)
{
    if (journal)
        journal_unref(journal);
}

void journal_read(const struct journal *journal, struct journal_entry *ret_entry)
{
    *ret_entry = journal->durable;
}

struct write_job {
    struct journal *journal;
    bool is_probe; /* the slot gets what it holds */
    struct slot slot;
    unsigned index;
    struct err error;
};

/* Worker thread: touches only the descriptor, which a reference keeps open. */
static void write_slot(struct write_job *job)
{
    g_mutex_lock(&job->journal->lock);
    if ((!job->is_probe || fdio_pread(job->journal->fd, &job->slot, sizeof job->slot,
                                      job->index * SLOT_STRIDE, &job->error) == 0) &&
        fdio_pwrite(job->journal->fd, &job->slot, sizeof job->slot, job->index * SLOT_STRIDE, &job->error) ==
            0 &&
        fdatasync(job->journal->fd) < 0)
        (void)err_sys(&job->error, errno, "sync-failed", "cannot make the journal durable");
    g_mutex_unlock(&job->journal->lock);
    if (err_is_set(&job->error))
        (void)err_prefix(&job->error, "ownership journal %s", job->journal->path);
}

static void prepare_write(struct journal *journal, const struct journal_entry *entry,
                          struct write_job *ret_job)
{
    memset(ret_job, 0, sizeof *ret_job);
    ret_job->journal = journal;
    ret_job->index = 1 - journal->durable_slot;
    ret_job->is_probe = !entry;
    if (entry)
        encode(entry, ++journal->sequence, &ret_job->slot);
}

static void finish_write(struct write_job *job, const struct journal_entry *entry)
{
    struct journal *journal = job->journal;
    if (err_is_set(&job->error)) {
        (void)g_hash_table_remove(known_durable, journal->path);
    } else if (!job->is_probe) {
        journal->durable = *entry;
        journal->durable_slot = job->index;
        (void)g_hash_table_add(known_durable, g_strdup(journal->path));
    }
}

static void run_in_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancel)
{
    (void)source;
    (void)cancel;
    write_slot(data);
    g_task_return_boolean(task, TRUE);
}

static void start_next(struct journal *journal);

static void written(GObject *source, GAsyncResult *result, gpointer user)
{
    (void)source;
    (void)result;
    struct write_job *job = user;
    struct journal *journal = job->journal;
    struct pending *pending = g_queue_pop_head(&journal->pending);
    finish_write(job, &pending->entry);
    journal->busy = false;
    start_next(journal);
    if (pending->done)
        pending->done(&job->error, pending->user);
    g_free(pending);
    g_free(job);
    journal_unref(journal);
}

static void start_next(struct journal *journal)
{
    struct pending *pending = g_queue_peek_head(&journal->pending);
    if (journal->busy || !pending)
        return;
    struct write_job *job = g_new0(struct write_job, 1);
    prepare_write(journal, pending->is_probe ? NULL : &pending->entry, job);
    journal->busy = true;
    journal->n_refs++;
    GTask *task = g_task_new(NULL, NULL, written, job);
    g_task_set_task_data(task, job, NULL);
    g_task_run_in_thread(task, run_in_thread);
    g_object_unref(task);
}

void journal_write(struct journal *journal, const struct journal_entry *entry,
                   void (*done)(const struct err *err, void *user), void *user)
{
    struct pending *pending = g_new0(struct pending, 1);
    pending->entry = *entry;
    pending->done = done;
    pending->user = user;
    g_queue_push_tail(&journal->pending, pending);
    start_next(journal);
}

void journal_probe(struct journal *journal, void (*done)(const struct err *err, void *user), void *user)
{
    struct pending *pending = g_new0(struct pending, 1);
    pending->is_probe = true;
    pending->done = done;
    pending->user = user;
    g_queue_push_tail(&journal->pending, pending);
    start_next(journal);
}

static bool is_only_probed(const struct journal *journal)
{
    return journal->pending.length == 1 && ((const struct pending *)journal->pending.head->data)->is_probe;
}

int journal_write_sync(struct journal *journal, const struct journal_entry *entry, struct err *err)
{
    struct write_job job;
    if (journal->busy && !is_only_probed(journal))
        return err_set(err, ERR_RETRY, "journal-busy", "the ownership journal %s is being written",
                       journal->path);
    prepare_write(journal, entry, &job);
    write_slot(&job);
    finish_write(&job, entry);
    if (!err_is_set(&job.error))
        return 0;
    if (err)
        *err = job.error;
    return -1;
}
