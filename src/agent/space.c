/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/space.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "model/check_table.h"

/* A migration writes some KiB of journal and configuration; the rest is for those beside it. */
#define STATE_MIB 4u
/* A job may log 1 MiB; a disk that is as full as this has other trouble soon. */
#define LOG_MIB 16u

/* False: said why, or there is nothing to be said. */
static bool look(const char *path, struct statvfs *ret_facts)
{
    struct err err;
    if (statvfs(path, ret_facts) == 0)
        return true;
    (void)err_sys(&err, errno, "space-unknown", "the room in %s is not known", path);
    log_error(&err, "checks of a migration leave that out");
    return false;
}

static uint64_t free_mib(const struct statvfs *facts)
{
    return (uint64_t)facts->f_bavail * facts->f_frsize >> 20;
}

static void state(const struct agent *agent, struct findings *findings)
{
    const char *path = agent->config.state_dir;
    struct statvfs facts;
    if (!look(path, &facts))
        return;
    if (facts.f_flag & ST_RDONLY)
        findings_say(findings, CHECK_STATE_READ_ONLY,
                     CHECK_ARGS({"host", agent->config.name}, {"path", path}, {"reason", g_strerror(EROFS)}));
    else if (free_mib(&facts) < STATE_MIB)
        findings_say(findings, CHECK_STATE_SPACE_SHORT,
                     CHECK_ARGS({"host", agent->config.name}, {"path", path},
                                {"free_mib", .number = free_mib(&facts)},
                                {"needed_mib", .number = STATE_MIB}));
}

static void logs(const struct agent *agent, struct findings *findings)
{
    const char *path = agent->config.log.folder;
    struct statvfs facts;
    if (!path[0] || !look(path, &facts) || free_mib(&facts) >= LOG_MIB)
        return;
    findings_say(findings, CHECK_LOG_SPACE_SHORT,
                 CHECK_ARGS({"host", agent->config.name}, {"path", path},
                            {"free_mib", .number = free_mib(&facts)}, {"needed_mib", .number = LOG_MIB}));
}

void space_find_problems(const struct agent *agent, struct findings *findings)
{
    state(agent, findings);
    logs(agent, findings);
}
