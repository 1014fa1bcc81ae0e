/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/datastore_look.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixmounts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/open_as.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdio.h"

/* What is free below that a QEMU beside it may take at any moment. */
#define FULL_BYTES (16ull << 20)
#define PROBE_BYTES 512
/* A guest that waits so long for each write is not served well. */
#define SLOW_MS 1000
#define IDENTITY_MODE 0644
#define PROBE_MODE 0600

static void say(struct host_datastore *found, const char *state, const char *reason)
{
    (void)g_strlcpy(found->state, state, sizeof found->state);
    (void)g_strlcpy(found->reason, reason, sizeof found->reason);
}

static void say_errno(struct host_datastore *found, int errnum, const char *what)
{
    static const struct {
        int errnum;
        const char *state;
    } states[] = {
        {ENOENT, DATASTORE_MISSING},      {ENOTDIR, DATASTORE_MISSING},    {EROFS, DATASTORE_READ_ONLY},
        {EACCES, DATASTORE_NOT_WRITABLE}, {EPERM, DATASTORE_NOT_WRITABLE}, {ENOSPC, DATASTORE_FULL},
        {EDQUOT, DATASTORE_FULL},
    };
    char reason[sizeof found->reason];
    const char *state = DATASTORE_STALE; /* ESTALE, ENOTCONN, EIO, and what else a lost server ends with */
    for (size_t i = 0; i < G_N_ELEMENTS(states); i++)
        if (states[i].errnum == errnum)
            state = states[i].state;
    (void)snprintf(reason, sizeof reason, "%s: %s", what,
                   errnum == ESTALE ? "its server has forgotten what is mounted here (stale file handle)"
                                    : g_strerror(errnum));
    say(found, state, reason);
}

static void learn_size(int folder, struct host_datastore *found, bool *ret_is_read_only)
{
    struct statvfs facts;
    *ret_is_read_only = false;
    if (fstatvfs(folder, &facts) < 0)
        return;
    found->capacity_bytes = (uint64_t)facts.f_blocks * facts.f_frsize;
    found->free_bytes = (uint64_t)facts.f_bavail * facts.f_frsize;
    *ret_is_read_only = (facts.f_flag & ST_RDONLY) != 0;
}

static void learn_type(struct host_datastore *found)
{
    GUnixMountEntry *mount = g_unix_mount_for(found->path, NULL);
    if (!mount)
        return;
    (void)g_strlcpy(found->type, g_unix_mount_get_fs_type(mount), sizeof found->type);
    g_unix_mount_free(mount);
}

/* 0: `text` is the identity. */
static int read_identity(const struct agent_user *user, int folder, char text[DATASTORE_FILE_BYTES_MAX])
{
    auto_fd fd = open_as_at(user, folder, DATASTORE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    ssize_t n = fd < 0 ? -1 : read(fd, text, DATASTORE_FILE_BYTES_MAX - 1);
    if (n < 0)
        return -1;
    text[n] = '\0';
    return 0;
}

/* False: there is none, and the state says so. */
static bool learn_identity(int folder, struct datastore_look *look)
{
    struct host_datastore *found = &look->found;
    char text[DATASTORE_FILE_BYTES_MAX];
    if (read_identity(&look->user, folder, text) == 0) {
        if (datastore_identity_read(text, found->uuid, NULL) == 0)
            return true;
        say(found, DATASTORE_UNINITIALISED, "its file " DATASTORE_FILE " is damaged");
        return false;
    }
    if (errno != ENOENT) {
        say_errno(found, errno, "its file " DATASTORE_FILE " cannot be read");
        return false;
    }
    if (look->known_uuid[0]) {
        char reason[sizeof found->reason];
        (void)snprintf(reason, sizeof reason, "%s is not mounted: the folder has no file " DATASTORE_FILE,
                       look->known_uuid);
        say(found, DATASTORE_MISSING, reason);
    } else {
        say(found, DATASTORE_UNINITIALISED, "the folder has no file " DATASTORE_FILE);
    }
    return false;
}

/* Each host has a file of its own, so that they do not wait for each other. */
static void try_writing(int folder, struct datastore_look *look)
{
    struct host_datastore *found = &look->found;
    char block[PROBE_BYTES] = "";
    g_autofree char *name = g_strdup_printf(".godwit-probe-%s", look->host);
    auto_fd fd =
        open_as_at(&look->user, folder, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, PROBE_MODE);
    uint64_t begun_ns = clock_now_ns();
    if (fd < 0 || pwrite(fd, block, sizeof block, 0) != sizeof block || fdatasync(fd) < 0) {
        say_errno(found, errno, "QEMU's user cannot write there");
        return;
    }
    found->write_ms = (uint32_t)((clock_now_ns() - begun_ns) / NS_PER_MS);
    found->slow = found->write_ms >= SLOW_MS;
    if (found->free_bytes < FULL_BYTES && found->capacity_bytes)
        say_errno(found, ENOSPC, "nearly nothing is free");
}

static int open_folder(const struct datastore_look *look)
{
    return open_as(&look->user, 0, look->found.path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
}

void datastore_look(void *argument)
{
    struct datastore_look *look = argument;
    struct host_datastore *found = &look->found;
    bool is_read_only;
    auto_fd folder = open_folder(look);
    if (folder < 0) {
        say_errno(found, errno, "it cannot be opened by QEMU's user");
        return;
    }
    say(found, DATASTORE_OK, "");
    learn_size(folder, found, &is_read_only);
    learn_type(found);
    if (!learn_identity(folder, look))
        return;
    if (is_read_only)
        say(found, DATASTORE_READ_ONLY, "it is mounted read-only");
    else
        try_writing(folder, look);
}

/* 0, or the errno. */
static int write_identity(const struct datastore_look *look, int folder)
{
    char uuid[MODEL_UUID_SIZE];
    model_uuid_new(uuid);
    g_autofree char *text = datastore_identity_text(uuid, look->found.name);
    auto_fd fd = open_as_at(&look->user, folder, DATASTORE_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
                            IDENTITY_MODE);
    struct err err = {0};
    if (fd < 0)
        return errno;
    if (fdio_write(fd, text, strlen(text), &err) == 0 && fsync(fd) == 0 && fsync(folder) == 0)
        return 0;
    int errnum = err_is_set(&err) ? err.sys_errno : errno;
    (void)unlinkat(folder, DATASTORE_FILE, 0);
    return errnum;
}

static void refuse_existing(const struct datastore_look *look, struct err *err)
{
    const struct host_datastore *found = &look->found;
    (void)err_set(err, ERR_REFUSED, "datastore-initialised",
                  "datastore '%s' on host '%s' has an identity already", found->name, look->host);
    (void)err_cause(err, "there is a file %s/" DATASTORE_FILE, found->path);
    (void)err_arg(err, "datastore", "%s", found->name);
    (void)err_arg(err, "host", "%s", look->host);
    (void)err_arg(err, "path", "%s", found->path);
    (void)err_fix(err, "nothing need be done: 'godwit datastore ls' shows it");
}

static void refuse_missing(const struct datastore_look *look, struct err *err)
{
    const struct host_datastore *found = &look->found;
    (void)err_set(err, ERR_REFUSED, "datastore-not-mounted",
                  "the folder %s of datastore '%s' does not exist on host '%s'", found->path, found->name,
                  look->host);
    (void)err_arg(err, "path", "%s", found->path);
    (void)err_arg(err, "datastore", "%s", found->name);
    (void)err_arg(err, "host", "%s", look->host);
    (void)err_fix(err,
                  "mount the storage there, or correct path= in section [datastore %s] of the agent's "
                  "configuration and restart the agent",
                  found->name);
}

static void refuse_unwritable(const struct datastore_look *look, int errnum, struct err *err)
{
    const struct host_datastore *found = &look->found;
    (void)err_set(err, ERR_REFUSED, "datastore-not-writable",
                  "QEMU's user (uid %u) cannot write into the folder %s of datastore '%s' on host '%s'",
                  look->user.uid, found->path, found->name, look->host);
    (void)err_cause(err, "%s", g_strerror(errnum));
    (void)err_arg(err, "uid", "%u", look->user.uid);
    (void)err_arg(err, "path", "%s", found->path);
    (void)err_arg(err, "datastore", "%s", found->name);
    (void)err_arg(err, "host", "%s", look->host);
    (void)err_fix(err, "see that it is mounted for writing, and give it to that user: chown %u %s",
                  look->user.uid, found->path);
}

void datastore_init(void *argument)
{
    struct datastore_look *look = argument;
    auto_fd folder = open_folder(look);
    int errnum = folder < 0 ? errno : write_identity(look, folder);
    if (errnum == EEXIST)
        refuse_existing(look, &look->err);
    else if (errnum == ENOENT || errnum == ENOTDIR)
        refuse_missing(look, &look->err);
    else if (errnum)
        refuse_unwritable(look, errnum, &look->err);
    else
        datastore_look(look);
}
