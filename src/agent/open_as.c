/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/open_as.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OWN_GROUPS_MAX 256

struct wish {
    int (*grant)(const struct wish *wish); /* -1 and errno */
    int folder_fd;
    const char *path;
    int flags;
    mode_t mode;
    const char *other; /* a second path */
};

static int link_wish(const struct wish *wish)
{
    return link(wish->path, wish->other);
}

static int unlink_wish(const struct wish *wish)
{
    return unlink(wish->path);
}

static int open_wish(const struct wish *wish)
{
    int fd = openat(wish->folder_fd, wish->path, wish->flags | O_CLOEXEC, wish->mode);
    if (fd >= 0 && (wish->flags & O_CREAT) && fchmod(fd, wish->mode) < 0 && errno != EPERM) {
        int errnum = errno;
        (void)close(fd);
        errno = errnum;
        return -1;
    }
    return fd;
}

/* The kernel keeps these ids per thread, and no other part of the agent changes them. A failure to take the
 * rights back would leave the agent crippled: better no agent. */
static int as_user(const struct agent_user *user, gid_t group, const struct wish *wish)
{
    if (user->uid == 0)
        return wish->grant(wish);
    gid_t groups[OWN_GROUPS_MAX];
    int n_groups = getgroups(OWN_GROUPS_MAX, groups);
    if (n_groups < 0 || syscall(SYS_setgroups, group ? 1 : 0, &group) < 0)
        return -1;
    uid_t own_uid = (uid_t)setfsuid(user->uid);
    gid_t own_gid = (gid_t)setfsgid(user->gid);
    int result = wish->grant(wish);
    int errnum = errno;
    (void)setfsuid(own_uid);
    (void)setfsgid(own_gid);
    if ((uid_t)setfsuid(own_uid) != own_uid || syscall(SYS_setgroups, n_groups, groups) < 0)
        abort();
    errno = errnum;
    return result;
}

int open_as(const struct agent_user *user, gid_t group, const char *path, int flags)
{
    return as_user(user, group, &(struct wish){open_wish, AT_FDCWD, path, flags, 0, NULL});
}

int open_as_at(const struct agent_user *user, int folder_fd, const char *name, int flags, mode_t mode)
{
    return as_user(user, 0, &(struct wish){open_wish, folder_fd, name, flags, mode, NULL});
}

int link_as(const struct agent_user *user, const char *path, const char *new_path)
{
    return as_user(user, 0, &(struct wish){.grant = link_wish, .path = path, .other = new_path});
}

int unlink_as(const struct agent_user *user, const char *path)
{
    return as_user(user, 0, &(struct wish){.grant = unlink_wish, .path = path});
}
