/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only place that makes children, by posix_spawn of godwit-launch, which changes uid, gid and groups,
 * closes every descriptor not listed, and executes the program through a descriptor opened as root (so that a
 * private build folder is no obstacle).
 */
#ifndef AGENT_SPAWN_H
#define AGENT_SPAWN_H

#include <sys/types.h>

#include "agent/agent.h"

#define SPAWN_FDS_MAX 32

struct spawn_request {
    const char *program;     /* absolute path */
    const char *const *argv; /* NULL-terminated, argv[0] included */
    const char *const *env;  /* NULL-terminated additions to a minimal environment */
    struct agent_user user;  /* uid 0: no change */
    gid_t group;             /* one supplementary group (that of /dev/kvm), 0: none */
    unsigned n_fds;
    int fds[SPAWN_FDS_MAX]; /* child's number i + 3 is a copy of fds[i] */
    int nice;               /* its scheduling priority, as far as the agent may set it */
    const char *preload;    /* object to preload (opened as root, LD_PRELOAD=/proc/self/fd/N), or NULL */
    const char *log_path;   /* stdout and stderr append here, or NULL: the agent's own */
    /* Own session, lives on when the agent dies: QEMU. Jobs and the door are killed with the agent
     * (PDEATHSIG): without it they can do nothing, and a dead job's userfaultfds close, which frees the
     * guest. */
    bool survives;
};
/* Once, before the first spawn: the folder of godwit-launch. */
void spawn_init(const char *libexec_dir);
/* The child's number of fds[i]. */
#define SPAWN_CHILD_FD(i) ((i) + 3)
/* pidfd is close-on-exec and the caller's. `exited` is called once from the main loop with the wait status
 * (may be NULL). */
int spawn(const struct spawn_request *request, pid_t *ret_pid, int *ret_pidfd,
          void (*exited)(pid_t pid, int status, void *user), void *user, struct err *err);
/* Watches a process that an earlier agent started: `exited` once, with status -1 (it is not our child). The
 * pidfd stays the caller's and is duplicated. */
int spawn_watch(pid_t pid, int pidfd, void (*exited)(pid_t pid, int status, void *user), void *user,
                struct err *err);

#endif
