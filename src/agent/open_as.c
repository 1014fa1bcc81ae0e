/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/open_as.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OWN_GROUPS_MAX 256

/* The kernel keeps these ids per thread, and this thread is the only one that opens files for others. A
 * failure to take the rights back would leave the agent crippled: better no agent. */
int open_as(const struct agent_user *user, gid_t group, const char *path, int flags)
{
    if (user->uid == 0)
        return open(path, flags | O_CLOEXEC, 0600);
    gid_t groups[OWN_GROUPS_MAX];
    int n_groups = getgroups(OWN_GROUPS_MAX, groups);
    if (n_groups < 0 || syscall(SYS_setgroups, group ? 1 : 0, &group) < 0)
        return -1;
    uid_t own_uid = (uid_t)setfsuid(user->uid);
    gid_t own_gid = (gid_t)setfsgid(user->gid);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int errnum = errno;
    (void)setfsuid(own_uid);
    (void)setfsgid(own_gid);
    if ((uid_t)setfsuid(own_uid) != own_uid || syscall(SYS_setgroups, n_groups, groups) < 0)
        abort();
    errno = errnum;
    return fd;
}
