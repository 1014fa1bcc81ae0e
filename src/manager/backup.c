/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/backup.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdio.h"
#include "store/backup.h"

#define DATABASE "manager.db"
#define BYTES_MAX 65536

static const char *const kept_files[] = {"ca.crt", "ca.key"};

int manager_backup(const struct manager_config *config, const char *file, struct err *err)
{
    struct backup_file files[G_N_ELEMENTS(kept_files)];
    char *texts[G_N_ELEMENTS(kept_files)] = {NULL};
    g_autofree char *database = g_build_filename(config->state_dir, DATABASE, NULL);
    int result = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(kept_files) && !result; i++) {
        g_autofree char *path = g_build_filename(config->state_dir, kept_files[i], NULL);
        result = fdio_read_file(path, BYTES_MAX, &texts[i], err);
        files[i] = (struct backup_file){kept_files[i], texts[i]};
    }
    if (!result)
        result = backup_write(database, file, files, G_N_ELEMENTS(files), err);
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        free(texts[i]);
    return result;
}

/* Only names that we know: a backup from elsewhere must not choose where it is written. */
static int put_file(const struct backup_file *file, void *folder, struct err *err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kept_files); i++) {
        if (strcmp(file->name, kept_files[i]) != 0)
            continue;
        g_autofree char *path = g_build_filename(folder, file->name, NULL);
        return fdio_replace_file(path, file->text, strlen(file->text), 0600, err);
    }
    return 0;
}

static const char *const made_files[] = {
    DATABASE, DATABASE "-journal", DATABASE "-wal", DATABASE "-shm", "ca.crt", "ca.key"};

static void remove_folder(const char *folder)
{
    for (size_t i = 0; i < G_N_ELEMENTS(made_files); i++) {
        g_autofree char *path = g_build_filename(folder, made_files[i], NULL);
        (void)g_unlink(path);
    }
    (void)g_rmdir(folder);
}

static int fill(const char *folder, const char *file, struct err *err)
{
    g_autofree char *database = g_build_filename(folder, DATABASE, NULL);
    if (backup_read(file, database, put_file, (void *)folder, err))
        return -1;
    for (size_t i = 0; i < G_N_ELEMENTS(kept_files); i++) {
        g_autofree char *path = g_build_filename(folder, kept_files[i], NULL);
        if (access(path, R_OK)) {
            (void)err_set(err, ERR_CORRUPT, "backup-invalid", "%s is not a whole backup of a manager", file);
            (void)err_arg(err, "path", "%s", file);
            return err_cause(err, "it lacks %s", kept_files[i]);
        }
    }
    return 0;
}

/* An empty folder that waits for the state says whose it will be. */
static int give_to_owner(const char *folder, const char *state_dir, struct err *err)
{
    struct stat its;
    if (stat(state_dir, &its)) {
        if (errno == ENOENT)
            return 0;
        (void)err_sys(err, errno, "state-folder", "cannot look at %s", state_dir);
        return err_arg(err, "path", "%s", state_dir);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(made_files); i++) {
        g_autofree char *path = g_build_filename(folder, made_files[i], NULL);
        if (chown(path, its.st_uid, its.st_gid) && errno != ENOENT) {
            (void)err_sys(err, errno, "state-folder", "cannot give %s to its user", path);
            return err_arg(err, "path", "%s", path);
        }
    }
    if (chown(folder, its.st_uid, its.st_gid)) {
        (void)err_sys(err, errno, "state-folder", "cannot give %s to its user", folder);
        return err_arg(err, "path", "%s", folder);
    }
    return 0;
}

int manager_restore(const struct manager_config *config, const char *file, struct err *err)
{
    const char *state_dir = config->state_dir;
    g_autofree char *folder = g_strconcat(state_dir, ".restoring", NULL);
    remove_folder(folder); /* of an attempt that was interrupted */
    if (g_mkdir_with_parents(folder, 0700)) {
        (void)err_sys(err, errno, "state-folder", "cannot make the folder %s", folder);
        return err_arg(err, "path", "%s", folder);
    }
    int result = fill(folder, file, err);
    if (!result)
        result = give_to_owner(folder, state_dir, err);
    /* Takes the place of nothing or of an empty folder. */
    if (!result && rename(folder, state_dir)) {
        int errnum = errno;
        (void)err_sys(err, errnum, "state-folder", "cannot make the state folder %s", state_dir);
        result = err_arg(err, "path", "%s", state_dir);
        if (errnum == ENOTEMPTY || errnum == EEXIST) {
            (void)err_set(err, ERR_REFUSED, "state-not-empty", "the state folder %s is not empty", state_dir);
            (void)err_arg(err, "path", "%s", state_dir);
            (void)err_fix(err,
                          "stop the manager and move that folder away; what it holds may still be needed");
        }
    }
    if (result) {
        remove_folder(folder);
        return -1;
    }
    return fdio_sync_folder_of(state_dir, err);
}
