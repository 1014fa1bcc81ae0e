/* SPDX-License-Identifier: Apache-2.0 */
#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "store/statement.h"

#define BUSY_TIMEOUT_MS 5000
#define PATH_BYTES 4096

static void close_connection(sqlite3 **connection)
{
    /* Closes even what failed to open. */
    (void)sqlite3_close(*connection);
}
#define auto_sqlite __attribute__((cleanup(close_connection))) sqlite3 *

static int open_file(const char *path, int flags, sqlite3 **ret_connection, struct err *err)
{
    if (sqlite3_open_v2(path, ret_connection, flags, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(*ret_connection, BUSY_TIMEOUT_MS) != SQLITE_OK) {
        (void)db_fail(*ret_connection, err, "open");
        return err_prefix(err, "%s", path);
    }
    return 0;
}

/* Makes an empty file that nobody else can read, before anything is in it. */
static int make_private(const char *path, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, errno, "backup-failed", "cannot make %s", path);
    (void)close(fd);
    return 0;
}

static int sync_path(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) < 0 ? errno : 0;
    if (fd >= 0)
        (void)close(fd);
    return failed ? err_sys(err, failed, "backup-failed", "cannot write %s", path) : 0;
}

/* All pages in one step: of one moment, whatever a manager writes meanwhile. */
static int copy_pages(sqlite3 *from, sqlite3 *to, struct err *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (!backup)
        return db_fail(to, err, "be copied");
    (void)sqlite3_backup_step(backup, -1);
    return sqlite3_backup_finish(backup) == SQLITE_OK ? 0 : db_fail(to, err, "be copied");
}

static int run(sqlite3 *connection, const char *sql, struct err *err)
{
    return sqlite3_exec(connection, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : db_fail(connection, err, "be changed");
}

static int add_file(sqlite3 *connection, const struct backup_file *file, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(connection, "INSERT INTO backup_files VALUES (?,?)", -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_bind_text(statement, 1, file->name, -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_bind_text(statement, 2, file->text, -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    (void)sqlite3_finalize(statement);
    return code == SQLITE_DONE ? 0 : db_fail(connection, err, "take a file");
}

static int fill(const char *database, const char *path, const struct backup_file *files, size_t n_files,
                struct err *err)
{
    auto_sqlite from = NULL;
    auto_sqlite to = NULL;
    if (open_file(database, SQLITE_OPEN_READWRITE, &from, err) ||
        open_file(path, SQLITE_OPEN_READWRITE, &to, err) || copy_pages(from, to, err) ||
        /* One file, without a write-ahead log beside it. */
        run(to,
            "PRAGMA journal_mode=DELETE; CREATE TABLE backup_files (name TEXT PRIMARY KEY, content TEXT);",
            err))
        return -1;
    for (size_t i = 0; i < n_files; i++)
        if (add_file(to, &files[i], err))
            return -1;
    return 0;
}

int backup_write(const char *database, const char *target, const struct backup_file *files, size_t n_files,
                 struct err *err)
{
    char path[PATH_BYTES];
    if (access(database, F_OK))
        return err_set(err, ERR_NOT_FOUND, "no-database", "there is no database %s", database);
    int length = snprintf(path, sizeof path, "%s.%d", target, (int)getpid());
    if (length < 0 || (size_t)length >= sizeof path)
        return err_set(err, ERR_BAD_REQUEST, "backup-failed", "the path of the backup is too long");
    if (make_private(path, err))
        return -1;
    int result = fill(database, path, files, n_files, err);
    if (!result)
        result = sync_path(path, err);
    /* A link, unlike a renaming, never replaces what is there. */
    if (!result && link(path, target)) {
        result = err_sys(err, errno, "backup-exists", "cannot make the backup %s", target);
        (void)err_fix(err, "name a file that does not exist, in a folder that does");
    }
    (void)unlink(path);
    return result ? result : fdio_sync_folder_of(target, err);
}

/* ---- reading ---- */
static int invalid(struct err *err, const char *backup, const char *why)
{
    (void)err_set(err, ERR_CORRUPT, "backup-invalid", "%s is not a backup of a manager", backup);
    (void)err_cause(err, "%s", why);
    return err_fix(err, "name a file that 'godwitd backup' made, whole");
}

/* The only value of a query, 0 if there is none. */
static sqlite3_int64 number_of(sqlite3 *connection, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    sqlite3_int64 number = 0;
    if (sqlite3_prepare_v2(connection, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return number;
}

static int check(sqlite3 *connection, const char *backup, struct err *err)
{
    if (number_of(connection, "SELECT count(*) FROM sqlite_master WHERE name IN ('backup_files','hosts')") !=
        2)
        return invalid(err, backup, "it lacks the tables of one");
    if (number_of(connection, "SELECT integrity_check='ok' FROM pragma_integrity_check(1)") != 1)
        return invalid(err, backup, "it is damaged");
    int version = (int)number_of(connection, "PRAGMA user_version");
    return version > schema_current.n_steps ? schema_too_new(backup, version, schema_current.n_steps, err)
                                            : 0;
}

static int give_files(sqlite3 *connection,
                      int (*file)(const struct backup_file *file, void *user, struct err *err), void *user,
                      struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int result = 0;
    if (sqlite3_prepare_v2(connection, "SELECT name, content FROM backup_files", -1, &statement, NULL) !=
        SQLITE_OK)
        return db_fail(connection, err, "give out its files");
    while (!result && sqlite3_step(statement) == SQLITE_ROW) {
        const struct backup_file one = {statement_text(statement, 0), statement_text(statement, 1)};
        result = file(&one, user, err);
    }
    (void)sqlite3_finalize(statement);
    return result;
}

static int mark(sqlite3 *connection, struct err *err)
{
    char sql[160];
    (void)snprintf(sql, sizeof sql,
                   "DROP TABLE backup_files; INSERT OR REPLACE INTO meta VALUES ('" META_RESTORED
                   "','%lld');",
                   (long long)clock_wall_ms());
    return run(connection, sql, err);
}

int backup_read(const char *backup, const char *database,
                int (*file)(const struct backup_file *file, void *user, struct err *err), void *user,
                struct err *err)
{
    auto_sqlite from = NULL;
    auto_sqlite to = NULL;
    if (access(backup, R_OK))
        return err_sys(err, errno, "backup-unreadable", "cannot read the backup %s", backup);
    if (open_file(backup, SQLITE_OPEN_READONLY, &from, err) || check(from, backup, err) ||
        give_files(from, file, user, err) || make_private(database, err) ||
        open_file(database, SQLITE_OPEN_READWRITE, &to, err) || copy_pages(from, to, err) || mark(to, err))
        return -1;
    return sync_path(database, err);
}
