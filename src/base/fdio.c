/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"

int fdio_read(int fd, void *data, size_t size, struct err *err)
{
    char *at = data;
    while (size) {
        ssize_t got = read(fd, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, errno, "read-failed", "read failed");
        if (!got)
            return err_set(err, ERR_PEER_LOST, "stream-ended", "the stream ended with %zu bytes missing",
                           size);
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

int fdio_write(int fd, const void *data, size_t size, struct err *err)
{
    const char *at = data;
    while (size) {
        ssize_t put = write(fd, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_sys(err, errno, "write-failed", "write failed");
        at += put;
        size -= (size_t)put;
    }
    return 0;
}

int fdio_pread(int fd, void *data, size_t size, uint64_t offset, struct err *err)
{
    char *at = data;
    while (size) {
        ssize_t got = pread(fd, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, errno, "read-failed", "read at %llu failed", (unsigned long long)offset);
        if (!got)
            return err_set(err, ERR_CORRUPT, "file-too-short", "the file ends at %llu, %zu bytes early",
                           (unsigned long long)offset, size);
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

int fdio_pwrite(int fd, const void *data, size_t size, uint64_t offset, struct err *err)
{
    const char *at = data;
    while (size) {
        ssize_t put = pwrite(fd, at, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_sys(err, errno, "write-failed", "write at %llu failed", (unsigned long long)offset);
        at += put;
        offset += (uint64_t)put;
        size -= (size_t)put;
    }
    return 0;
}

int fdio_read_file(const char *path, size_t max, char **ret_text, struct err *err)
{
    auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int errnum = errno;
        (void)err_sys(err, errnum, "open-failed", "cannot open %s", path);
        if (err && errnum == ENOENT)
            err->code = ERR_NOT_FOUND;
        return -1;
    }
    auto_mem char *text = malloc(max + 1);
    if (!text)
        return err_sys(err, ENOMEM, "no-memory", "no memory to read %s", path);
    size_t length = 0;
    for (;;) {
        ssize_t got = read(fd, text + length, max + 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, errno, "read-failed", "cannot read %s", path);
        if (!got)
            break;
        length += (size_t)got;
        if (length > max)
            return err_set(err, ERR_CORRUPT, "file-too-large", "%s is larger than %zu bytes", path, max);
    }
    text[length] = '\0';
    *ret_text = text;
    text = NULL;
    return 0;
}

int fdio_sync_folder_of(const char *path, struct err *err)
{
    char copy[PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    auto_fd folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || fsync(folder) < 0)
        return err_sys(err, errno, "sync-failed", "cannot make %s durable", path);
    return 0;
}

static int put_in_place(int fd, const char *temporary, const char *path, struct err *err)
{
    if (fsync(fd) < 0)
        return err_sys(err, errno, "sync-failed", "cannot make %s durable", temporary);
    if (rename(temporary, path) < 0)
        return err_sys(err, errno, "rename-failed", "cannot rename %s", temporary);
    return 0;
}

int fdio_replace_file(const char *path, const void *data, size_t size, unsigned mode, struct err *err)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
        return err_set(err, ERR_BAD_REQUEST, "path-too-long", "the path %s is too long", path);
    auto_fd fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return err_sys(err, errno, "create-failed", "cannot create %s", temporary);
    int ret = fdio_write(fd, data, size, err);
    if (ret < 0)
        (void)err_prefix(err, "%s", temporary);
    else
        ret = put_in_place(fd, temporary, path, err);
    if (ret < 0) {
        (void)unlink(temporary);
        (void)err_arg(err, "path", "%s", path);
        return err_fix(err, "see that the file system of %s has room and can be written", path);
    }
    return fdio_sync_folder_of(path, err);
}

void fdio_random(void *data, size_t size)
{
    char *at = data;
    while (size) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            abort(); /* a kernel without random numbers: nothing here may guess a key */
        }
        at += got;
        size -= (size_t)got;
    }
}
