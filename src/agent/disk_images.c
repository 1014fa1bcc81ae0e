/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/disk_images.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/bounded.h"
#include "agent/datastores.h"
#include "agent/disk_look.h"
#include "agent/disks.h"
#include "agent/move.h"
#include "agent/open_as.h"
#include "agent/qemu_img.h"
#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"
#include "model/check_table.h"
#include "model/move_room.h"
#include "model/vm_disks.h"

#define RECORD_SUFFIX ".images"
#define RECORD_BYTES_MAX (64u << 10)
#define IMAGE_MODE 0600

struct record {
    char uuid[MODEL_UUID_SIZE];
    char session[MODEL_UUID_SIZE];
    bool is_source;
    bool is_made;    /* destination: the files are ours; else only empty ones are */
    bool is_decided; /* they are to go, if no VM has one */
    uint32_t n;
    char files[VM_DISKS_MAX][MODEL_PATH_MAX];
    /* Both sides are here: what `files` are to replace. here.n is 0 else. */
    char left[VM_DISKS_MAX][MODEL_PATH_MAX];
    struct disk_images_here here;
};

/* ---- the record ---- */

static char *record_path(const struct agent *agent, const char *uuid, const char *session)
{
    return g_strdup_printf("%s/vms/%s.%s" RECORD_SUFFIX, agent->config.state_dir, uuid, session);
}

static JsonArray *here_to_json(const struct record *record)
{
    JsonArray *list = json_array_new();
    for (uint32_t i = 0; i < record->here.n; i++) {
        JsonObject *one = json_object_new();
        json_object_set_int_member(one, "slot", record->here.disks[i].slot);
        json_object_set_string_member(one, "left", record->left[i]);
        json_object_set_object_member(one, "from", vm_disk_to_json(&record->here.disks[i].from));
        json_object_set_object_member(one, "to", vm_disk_to_json(&record->here.disks[i].to));
        json_array_add_object_element(list, one);
    }
    return list;
}

static int take_disk(JsonObject *one, const char *member, struct vm_disk *ret_disk, struct err *err)
{
    JsonNode *node = json_object_get_member(one, member);
    if (!node || !JSON_NODE_HOLDS_OBJECT(node)) {
        (void)err_set(err, ERR_CORRUPT, "bad-record", "the record of a move has no '%s'", member);
        return err_arg(err, "member", "%s", member);
    }
    return vm_disk_from_json(json_node_get_object(node), ret_disk, err);
}

static int here_from_json(JsonNode *node, struct record *record, struct err *err)
{
    struct disk_images_here *here = &record->here;
    JsonArray *list = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    g_strlcpy(here->session, record->session, sizeof here->session);
    for (guint i = 0; list && i < json_array_get_length(list) && i < record->n; i++) {
        JsonObject *one = json_array_get_object_element(list, i);
        g_strlcpy(record->left[i], model_text(one, "left"), MODEL_PATH_MAX);
        here->disks[i].slot = (uint32_t)model_int(one, "slot", 0);
        if (take_disk(one, "from", &here->disks[i].from, err) < 0 ||
            take_disk(one, "to", &here->disks[i].to, err) < 0)
            return -1;
        here->n++;
    }
    return 0;
}

static int record_write(const struct agent *agent, const struct record *record, struct err *err)
{
    g_autoptr(JsonObject) object = json_object_new();
    JsonArray *files = json_array_new();
    for (uint32_t i = 0; i < record->n; i++)
        json_array_add_string_element(files, record->files[i]);
    json_object_set_boolean_member(object, "is_source", record->is_source);
    json_object_set_boolean_member(object, "is_made", record->is_made);
    json_object_set_boolean_member(object, "is_decided", record->is_decided);
    json_object_set_array_member(object, "files", files);
    if (record->here.n)
        json_object_set_array_member(object, "here", here_to_json(record));
    g_autofree char *path = record_path(agent, record->uuid, record->session);
    g_autofree char *text = model_print(object, true);
    return fdio_replace_file(path, text, strlen(text), 0600, err);
}

static int record_read(const struct agent *agent, const char *uuid, const char *session,
                       struct record *ret_record, struct err *err)
{
    g_autofree char *path = record_path(agent, uuid, session);
    auto_mem char *text = NULL;
    g_autoptr(JsonObject) object = NULL;
    *ret_record = (struct record){0};
    (void)g_strlcpy(ret_record->uuid, uuid, sizeof ret_record->uuid);
    (void)g_strlcpy(ret_record->session, session, sizeof ret_record->session);
    if (fdio_read_file(path, RECORD_BYTES_MAX, &text, err) < 0 || model_parse(text, -1, &object, err) < 0)
        return -1;
    ret_record->is_source = model_flag(object, "is_source");
    ret_record->is_made = model_flag(object, "is_made");
    ret_record->is_decided = model_flag(object, "is_decided");
    JsonNode *node = json_object_get_member(object, "files");
    JsonArray *files = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    for (guint i = 0; files && i < json_array_get_length(files) && i < VM_DISKS_MAX; i++)
        (void)g_strlcpy(ret_record->files[ret_record->n++], json_array_get_string_element(files, i),
                        MODEL_PATH_MAX);
    return here_from_json(json_object_get_member(object, "here"), ret_record, err);
}

static void record_remove(const struct agent *agent, const struct record *record)
{
    g_autofree char *path = record_path(agent, record->uuid, record->session);
    (void)unlink(path);
}

static int fill_record(const struct agent *agent, const struct vm_spec *vm, const struct move_spec *spec,
                       struct record *ret_record, struct err *err)
{
    *ret_record = (struct record){.n = spec->n_disks};
    (void)g_strlcpy(ret_record->uuid, vm->uuid, sizeof ret_record->uuid);
    (void)g_strlcpy(ret_record->session, spec->id, sizeof ret_record->session);
    for (uint32_t i = 0; i < spec->n_disks; i++)
        if (disks_path(agent, vm, &vm->disks[spec->disks[i].disk], ret_record->files[i], err) < 0)
            return -1;
    return 0;
}

static int add_here(struct agent *agent, const struct move_spec *spec, struct record *record, struct err *err)
{
    const struct vm *vm = vm_find(agent, spec->vm.uuid);
    for (uint32_t i = 0; vm && i < spec->n_disks; i++) {
        uint32_t disk = spec->disks[i].disk;
        const struct vm_spec *now = &vm->status.spec;
        record->here.disks[i].slot = vm_disk_slot(now, disk);
        record->here.disks[i].from = now->disks[disk];
        record->here.disks[i].to = spec->vm.disks[disk];
        if (disks_path(agent, now, &now->disks[disk], record->left[i], err) < 0)
            return -1;
        record->here.n++;
    }
    return 0;
}

uint32_t disk_images_place(const struct disk_images_here *here, uint32_t i, const struct vm_spec *spec)
{
    return vm_disk_in_slot(spec, here->disks[i].slot);
}

/* ---- problems ---- */

struct question {
    struct agent_user user;
    char path[MODEL_PATH_MAX];
    int errnum; /* of opening it; 0: it is there */
};

static void ask_file(void *argument)
{
    struct question *question = argument;
    auto_fd fd = open_as(&question->user, 0, question->path, O_RDONLY | O_NONBLOCK);
    question->errnum = fd < 0 ? errno : 0;
}

static void say_exists(const struct agent *agent, const struct move_spec *spec, const char *path,
                       struct err *err)
{
    (void)check_say(err, CHECK_IMAGE_EXISTS,
                    CHECK_ARGS({"host", agent->config.name}, {"vm", spec->vm.name}, {"path", path}));
}

static void find_file(const struct agent *agent, const struct move_spec *spec, const struct vm_disk *disk,
                      struct findings *findings)
{
    struct err err;
    struct question question = {.user = agent->config.qemu_user};
    if (disks_path(agent, &spec->vm, disk, question.path, NULL) < 0 || disks_is_stale(agent, question.path) ||
        !bounded_call(ask_file, &question, sizeof question, BOUNDED_MS) || question.errnum == ENOENT)
        return; /* what is wrong with the datastore is said of it */
    say_exists(agent, spec, question.path, &err);
    findings_note(findings, -1, &err);
}

void disk_images_find_problems(const struct agent *agent, const struct move_spec *spec,
                               struct findings *findings)
{
    struct host_datastore store;
    for (uint32_t i = 0; i < spec->n_disks; i++)
        find_file(agent, spec, &spec->vm.disks[spec->disks[i].disk], findings);
    if (spec->n_disks && datastores_get(agent, spec->vm.disks[spec->disks[0].disk].datastore, &store))
        move_room_find_problem(spec, agent->config.name, &store, findings);
}

static bool is_in_chain(const struct disk_look *look, const char *path)
{
    g_auto(GStrv) files = g_strsplit(look->chain, "\n", -1);
    for (char **file = files; *file; file++) {
        g_autofree char *plain = g_canonicalize_filename(*file, "/");
        if (!strcmp(plain, path))
            return true;
    }
    return false;
}

static bool is_built_on(const struct agent *agent, const struct vm_spec *vm, const char *path)
{
    g_autofree struct disk_look *look = g_new0(struct disk_look, 1);
    for (uint32_t i = 0; i < vm->n_disks; i++)
        if (disks_look(agent, vm, &vm->disks[i], true, look, NULL) == 0 && is_in_chain(look, path))
            return true;
    return false;
}

static void find_clone(const struct agent *agent, const struct vm_spec *vm, const struct vm_disk *disk,
                       struct findings *findings)
{
    char path[MODEL_PATH_MAX];
    GHashTableIter iter;
    gpointer value;
    if (disks_path(agent, vm, disk, path, NULL) < 0)
        return;
    g_autofree char *plain = g_canonicalize_filename(path, "/");
    g_hash_table_iter_init(&iter, agent->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct vm_spec *other = &((const struct vm *)value)->status.spec;
        if (strcmp(other->uuid, vm->uuid) != 0 && is_built_on(agent, other, plain))
            findings_say(findings, CHECK_DISK_IS_BACKING,
                         CHECK_ARGS({"vm", vm->name}, {"path", path}, {"other", other->name}));
    }
}

void disk_images_find_clones(const struct agent *agent, const struct vm_spec *vm,
                             const struct move_spec *spec, struct findings *findings)
{
    for (uint32_t i = 0; i < spec->n_disks; i++)
        if (spec->disks[i].disk < vm->n_disks)
            find_clone(agent, vm, &vm->disks[spec->disks[i].disk], findings);
}

/* ---- making them ---- */

struct making {
    struct agent *agent;
    struct move_spec spec;
    struct record record;
    uint32_t next; /* image to be formatted */
    disk_images_done done;
    void *user;
};

static void made(struct making *making, const struct err *err)
{
    making->done(err, making->user);
    explicit_bzero(&making->spec, sizeof making->spec);
    g_free(making);
}

static void make_failed(struct making *making, const char *reason)
{
    const char *host = making->agent->config.name;
    struct err err;
    (void)err_set(&err, ERR_REFUSED, "image-not-made", "host '%s' cannot make a new image for VM '%s': %s",
                  host, making->spec.vm.name, making->record.files[making->next]);
    (void)err_cause(&err, "%s", reason);
    (void)err_fix(&err,
                  "see that the QEMU user of '%s' can write to the datastore, and that qemu-img is "
                  "installed there; then migrate again",
                  host);
    (void)err_arg(&err, "host", "%s", host);
    (void)err_arg(&err, "vm", "%s", making->spec.vm.name);
    (void)err_arg(&err, "path", "%s", making->record.files[making->next]);
    made(making, &err);
}

static void format_next(struct making *making);

static void formatted(const struct err *err, void *user)
{
    struct making *making = user;
    if (err_is_set(err)) {
        make_failed(making, err->cause[0] ? err->cause : err->message);
        return;
    }
    making->next++;
    format_next(making);
}

static void format_next(struct making *making)
{
    struct err err = {0};
    const struct move_spec *spec = &making->spec;
    if (making->next == spec->n_disks) {
        made(making, &err);
        return;
    }
    const char *path = making->record.files[making->next];
    /* So that no name is taken for a protocol or an option. */
    g_autofree char *file = g_strdup_printf("file:%s", path);
    g_autofree char *size = g_strdup_printf("%llu", (unsigned long long)spec->disks[making->next].size_bytes);
    const char *format = spec->vm.disks[spec->disks[making->next].disk].format;
    const char *const argv[] = {"qemu-img", "create", "-q", "-f", format, file, size, NULL};
    const struct qemu_img call = {making->agent, spec->vm.uuid, path, argv, QEMU_IMG_QUICK_S};
    if (qemu_img_run(&call, formatted, making, &err) < 0)
        make_failed(making, err.message);
}

struct creation {
    struct agent_user user;
    uint32_t n;
    char files[VM_DISKS_MAX][MODEL_PATH_MAX];
    uint32_t n_made;
    int errnum; /* of the one that failed; 0: none did */
};

/* A config file that is durable must not name a file that is not. */
static void flush_folder(const struct creation *creation, const char *file)
{
    g_autofree char *folder = g_path_get_dirname(file);
    auto_fd fd = open_as(&creation->user, 0, folder, O_RDONLY | O_DIRECTORY);
    if (fd < 0 || fsync(fd) < 0)
        log_warn("%s is not flushed: %s", folder, g_strerror(errno));
}

/* Exclusively, so that nobody else's file is ever written or removed. */
static void create_files(void *argument)
{
    struct creation *creation = argument;
    for (uint32_t i = 0; i < creation->n; i++) {
        auto_fd fd = open_as_at(&creation->user, AT_FDCWD, creation->files[i], O_WRONLY | O_CREAT | O_EXCL,
                                IMAGE_MODE);
        if (fd < 0) {
            creation->errnum = errno;
            return;
        }
        creation->n_made++;
        flush_folder(creation, creation->files[i]);
    }
}

static void creation_failed(struct making *making, const struct creation *creation)
{
    struct err err = {0};
    struct record *record = &making->record;
    making->next = creation->n_made;
    /* From the one that failed on they are not ours. */
    record->n = creation->n_made;
    record->is_made = true;
    if (record_write(making->agent, record, &err) < 0)
        log_error(&err, "images of VM %s", making->spec.vm.name);
    if (creation->errnum != EEXIST) {
        make_failed(making, g_strerror(creation->errnum));
        return;
    }
    say_exists(making->agent, &making->spec, creation->files[creation->n_made], &err);
    made(making, &err);
}

static void create_all(struct making *making)
{
    struct err err;
    struct record *record = &making->record;
    struct creation creation = {.user = making->agent->config.qemu_user, .n = record->n};
    memcpy(creation.files, record->files, sizeof creation.files);
    if (!bounded_call(create_files, &creation, sizeof creation, BOUNDED_MS)) {
        make_failed(making, "its storage does not answer");
        return;
    }
    if (creation.errnum) {
        creation_failed(making, &creation);
        return;
    }
    record->is_made = true;
    if (record_write(making->agent, record, &err) < 0)
        make_failed(making, err.message);
    else
        format_next(making);
}

void disk_images_make(struct agent *agent, const struct move_spec *spec, disk_images_done done, void *user)
{
    struct err err;
    struct making *making = g_new0(struct making, 1);
    *making = (struct making){.agent = agent, .spec = *spec, .done = done, .user = user};
    if (fill_record(agent, &spec->vm, spec, &making->record, &err) < 0 ||
        (move_is_here(spec) && add_here(agent, spec, &making->record, &err) < 0) ||
        record_write(agent, &making->record, &err) < 0)
        made(making, &err);
    else
        create_all(making);
}

int disk_images_leave(struct agent *agent, const struct vm_spec *vm, const struct move_spec *spec,
                      struct err *err)
{
    struct record record;
    if (fill_record(agent, vm, spec, &record, err) < 0)
        return -1;
    record.is_source = record.is_made = true;
    return record_write(agent, &record, err);
}

/* ---- removing them ---- */

/* Some VM here has it among its disks. */
static bool is_named(const struct agent *agent, const char *path)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, agent->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct vm_spec *spec = &((const struct vm *)value)->status.spec;
        char its_path[MODEL_PATH_MAX];
        for (uint32_t i = 0; i < spec->n_disks; i++)
            if (disks_path(agent, spec, &spec->disks[i], its_path, NULL) == 0 && !strcmp(its_path, path))
                return true;
    }
    return false;
}

struct removal {
    struct agent_user user;
    bool is_made;
    uint32_t n;
    char files[VM_DISKS_MAX][MODEL_PATH_MAX];
    int errnum;      /* of the first one that is still there; 0: none is */
    uint32_t n_left; /* its number */
};

static bool is_empty(const struct removal *removal, const char *path)
{
    struct stat facts;
    auto_fd fd = open_as(&removal->user, 0, path, O_RDONLY | O_NONBLOCK);
    return fd >= 0 && fstat(fd, &facts) == 0 && !facts.st_size;
}

static void *close_file(void *fd)
{
    (void)close(GPOINTER_TO_INT(fd));
    return NULL;
}

/* To give back the blocks of a large file takes its file system seconds. It does so when nobody has the file
 * any more: that is left to a thread for which nobody waits. */
static void close_elsewhere(int fd)
{
    if (fd >= 0)
        g_thread_unref(g_thread_new("removal", close_file, GINT_TO_POINTER(fd)));
}

/* False: it is still there, and errno says why. */
static bool remove_file(const struct removal *removal, const char *path)
{
    if (!removal->is_made && !is_empty(removal, path))
        return true;
    int fd = open_as(&removal->user, 0, path, O_PATH | O_NOFOLLOW);
    bool is_gone = unlink_as(&removal->user, path) == 0 || errno == ENOENT;
    int errnum = errno;
    close_elsewhere(fd);
    errno = errnum;
    return is_gone;
}

static void remove_files(void *argument)
{
    struct removal *removal = argument;
    for (uint32_t i = 0; i < removal->n; i++) {
        if (remove_file(removal, removal->files[i]) || removal->errnum)
            continue;
        removal->errnum = errno;
        removal->n_left = i;
    }
}

static int remove_all(const struct agent *agent, const struct record *record, struct err *err)
{
    struct removal removal = {.user = agent->config.qemu_user, .is_made = record->is_made};
    for (uint32_t i = 0; i < record->n; i++)
        if (!record->is_decided || !is_named(agent, record->files[i]))
            memcpy(removal.files[removal.n++], record->files[i], MODEL_PATH_MAX);
    bool is_stale = record->n && disks_is_stale(agent, record->files[0]);
    if (is_stale || !bounded_call(remove_files, &removal, sizeof removal, BOUNDED_MS))
        removal.errnum = ETIMEDOUT;
    if (!removal.errnum)
        return 0;
    const char *path = removal.files[removal.n_left];
    (void)err_sys(err, removal.errnum, "image-not-removed", "host '%s' cannot remove the image %s",
                  agent->config.name, path);
    (void)err_arg(err, "host", "%s", agent->config.name);
    (void)err_arg(err, "path", "%s", path);
    return err_fix(err, "remove it by hand: nothing uses it");
}

enum fate { FATE_OPEN, FATE_REMOVE, FATE_KEEP };

/* Source: gone means that the destination has said it runs the VM. Destination: it never ran it here. What
 * the journal no longer tells of keeps its files. */
static enum fate fate_of(const struct record *record, const struct journal_entry *entry)
{
    bool is_this = !strcmp(entry->session, record->session);
    if (record->is_source) {
        if (is_this && (entry->step == JOURNAL_SENDING || entry->step == JOURNAL_GIVEN))
            return FATE_OPEN;
        return is_this && entry->step == JOURNAL_GONE ? FATE_REMOVE : FATE_KEEP;
    }
    struct handover_answer answer;
    bool is_known = handover_verdict(entry, record->session, &answer);
    if (is_this && !is_known)
        return FATE_OPEN;
    return is_known && answer.verdict != VERDICT_RUNNING ? FATE_REMOVE : FATE_KEEP;
}

/* Of each disk one image goes. It is written down which before the first one does: the VM may have gone, or
 * its disk another way, when somebody looks again. */
static int choose_here(struct agent *agent, struct record *record, struct err *err)
{
    const struct vm *vm = vm_find(agent, record->uuid);
    uint32_t n = 0;
    for (uint32_t i = 0; vm && i < record->here.n; i++) {
        uint32_t place = disk_images_place(&record->here, i, &vm->status.spec);
        bool has_moved = place < vm->status.spec.n_disks &&
                         vm_disk_is_same(&vm->status.spec.disks[place], &record->here.disks[i].to);
        const char *unused = has_moved ? record->left[i] : record->files[i];
        record->is_made |= has_moved;
        if (!is_named(agent, unused))
            memmove(record->files[n++], unused, strlen(unused) + 1);
    }
    record->n = n;
    record->here.n = 0;
    record->is_decided = true;
    return record_write(agent, record, err);
}

static enum fate look_up_fate(struct agent *agent, const struct record *record)
{
    struct journal *journal;
    struct journal_entry entry;
    struct err err;
    if (move_open_journal(agent, record->uuid, false, &journal, &err) < 0)
        return FATE_OPEN;
    journal_read(journal, &entry);
    journal_close(journal);
    enum fate fate = fate_of(record, &entry);
    explicit_bzero(&entry, sizeof entry);
    return fate;
}

int disk_images_settle(struct agent *agent, const char *uuid, const char *session, struct err *err)
{
    struct record record;
    struct err none;
    if (record_read(agent, uuid, session, &record, &none) < 0)
        return 0; /* no disk moved */
    if (record.here.n && choose_here(agent, &record, err) < 0)
        return -1;
    enum fate fate = record.is_decided ? FATE_REMOVE : look_up_fate(agent, &record);
    if (fate == FATE_OPEN)
        return 0;
    if (fate == FATE_REMOVE && remove_all(agent, &record, err) < 0)
        return -1;
    record_remove(agent, &record);
    return 0;
}

/* A session's, of that VM; false: the name says something else. */
static bool is_record(const char *name, const char *uuid, char ret_session[MODEL_UUID_SIZE])
{
    g_auto(GStrv) parts = g_strsplit(name, ".", 3);
    if (!g_str_has_suffix(name, RECORD_SUFFIX) || g_strv_length(parts) != 3 || strcmp(parts[0], uuid) != 0)
        return false;
    return g_strlcpy(ret_session, parts[1], MODEL_UUID_SIZE) < MODEL_UUID_SIZE;
}

bool disk_images_find_here(const struct agent *agent, const char *uuid, struct disk_images_here *ret_here)
{
    g_autofree char *folder = g_strdup_printf("%s/vms", agent->config.state_dir);
    g_autofree struct record *record = g_new(struct record, 1);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        char session[MODEL_UUID_SIZE];
        struct err err;
        if (!is_record(name, uuid, session) || record_read(agent, uuid, session, record, &err) < 0 ||
            !record->here.n)
            continue;
        *ret_here = record->here;
        return true;
    }
    return false;
}

/* What its QEMU has in use is found out first (agent/storage_move.h). */
static bool is_open_here(struct agent *agent, const char *uuid, const char *session)
{
    g_autofree struct record *record = g_new(struct record, 1);
    struct err err;
    return vm_find(agent, uuid) && record_read(agent, uuid, session, record, &err) == 0 && record->here.n;
}

void disk_images_recover(struct agent *agent)
{
    g_autofree char *folder = g_strdup_printf("%s/vms", agent->config.state_dir);
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_auto(GStrv) parts = g_strsplit(name, ".", 3);
        struct err err;
        if (!g_str_has_suffix(name, RECORD_SUFFIX) || g_strv_length(parts) != 3)
            continue;
        if (is_open_here(agent, parts[0], parts[1]))
            continue;
        const struct move *move = moves_find(agent, parts[1]);
        if ((!move || move->is_settled) && disk_images_settle(agent, parts[0], parts[1], &err) < 0)
            log_error(&err, "VM %s", parts[0]);
    }
    if (dir)
        g_dir_close(dir);
}
