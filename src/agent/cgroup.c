/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/vm.h"
#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"
#include "model/move.h"

#define POOLS_BYTES_MAX (1u << 20)
#define PERIOD_US 100000
#define US_PER_PERCENT (PERIOD_US / 100)
/* What the kernel gives a group that nobody changed, and what "normal" shares become. */
#define V1_SHARES 1024u
#define V2_WEIGHT 100u
#define V1_SHARES_MAX 262144u
#define V2_WEIGHT_MAX 10000u

enum cgroup_version { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };

struct cgroup {
    enum cgroup_version version;
    char *mount; /* NULL: none */
    char *root;  /* below it; NULL: none */
    struct pool_tree pools;
};

/* ---- one group ---- */

static int write_value(const char *folder, const char *file, const char *value, struct err *err)
{
    g_autofree char *path = g_build_filename(folder, file, NULL);
    auto_fd fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0) {
        (void)err_sys(err, errno, "cgroup-failed", "cannot write %s to %s", value, path);
        return err_fix(err, "see that no other program manages these groups, or do without them: cgroup= in "
                            "the agent's configuration");
    }
    return 0;
}

static int set_shares(const struct cgroup *cgroup, const char *folder, uint32_t shares, struct err *err)
{
    struct pool_spec normal;
    char text[32];
    pool_spec_init(&normal);
    bool is_v1 = cgroup->version == CGROUP_V1;
    uint64_t value = (uint64_t)shares * (is_v1 ? V1_SHARES : V2_WEIGHT) / pool_shares(&normal);
    (void)snprintf(text, sizeof text, "%u",
                   (unsigned)CLAMP(value, is_v1 ? 2 : 1, is_v1 ? V1_SHARES_MAX : V2_WEIGHT_MAX));
    return write_value(folder, is_v1 ? "cpu.shares" : "cpu.weight", text, err);
}

/* percent 0: no limit */
static int set_limit(const struct cgroup *cgroup, const char *folder, uint32_t percent, struct err *err)
{
    char text[64];
    uint64_t quota_us = (uint64_t)percent * US_PER_PERCENT;
    if (cgroup->version == CGROUP_V1) {
        (void)snprintf(text, sizeof text, "%lld", percent ? (long long)quota_us : -1);
        return write_value(folder, "cpu.cfs_quota_us", text, err);
    }
    if (percent)
        (void)snprintf(text, sizeof text, "%llu %d", (unsigned long long)quota_us, PERIOD_US);
    else
        (void)snprintf(text, sizeof text, "max %d", PERIOD_US);
    return write_value(folder, "cpu.max", text, err);
}

/* Groups below `folder` get the controller. */
static int open_below(const struct cgroup *cgroup, const char *folder, struct err *err)
{
    return cgroup->version == CGROUP_V2 ? write_value(folder, "cgroup.subtree_control", "+cpu", err) : 0;
}

static int make_group(const struct cgroup *cgroup, const char *folder, bool has_groups, struct err *err)
{
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return err_sys(err, errno, "cgroup-failed", "cannot make the control group %s", folder);
    return has_groups ? open_below(cgroup, folder, err) : 0;
}

/* ---- pools ---- */

/* The group of a pool. A prefix keeps names apart from the kernel's own files; g_free. */
static char *pool_folder(const struct cgroup *cgroup, const char *path)
{
    GString *folder = g_string_new(cgroup->root);
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    for (char **name = names; *name; name++)
        g_string_append_printf(folder, "/pool-%s", *name);
    return g_string_free(folder, FALSE);
}

static char *vm_folder(const struct cgroup *cgroup, const struct vm_spec *spec)
{
    g_autofree char *pool = pool_folder(cgroup, spec->pool);
    return g_strdup_printf("%s/vm-%s", pool, spec->uuid);
}

/* The least of the limits on the way to the root: v1 refuses a group more than the one above it has. */
static uint32_t effective_limit(const struct pool_tree *tree, int index)
{
    uint32_t limit = 0;
    for (int at = index; at != POOL_ROOT; at = pool_tree_parent(tree, at)) {
        uint32_t its = tree->pools[at].spec.cpu_limit_percent;
        if (its && (!limit || its < limit))
            limit = its;
    }
    return limit;
}

/* A pool that the manager has not told us of yet has no limit and normal shares. */
static int set_pool(const struct cgroup *cgroup, const char *path, struct err *err)
{
    struct pool_spec unknown;
    pool_spec_init(&unknown);
    int index = pool_tree_find(&cgroup->pools, path);
    const struct pool_spec *spec = index == POOL_ROOT ? &unknown : &cgroup->pools.pools[index].spec;
    g_autofree char *folder = pool_folder(cgroup, path);
    if (set_shares(cgroup, folder, pool_shares(spec), err) < 0)
        return -1;
    return set_limit(cgroup, folder, effective_limit(&cgroup->pools, index), err);
}

static int make_pool(const struct cgroup *cgroup, const char *path, struct err *err)
{
    char parent[POOL_PATH_MAX];
    if (!*path)
        return make_group(cgroup, cgroup->root, true, err);
    pool_path_parent(path, parent);
    g_autofree char *folder = pool_folder(cgroup, path);
    if (make_pool(cgroup, parent, err) < 0 || make_group(cgroup, folder, true, err) < 0)
        return -1;
    return set_pool(cgroup, path, err);
}

struct pools_walk {
    const struct cgroup *cgroup;
    bool lifts; /* the limits off, from the bottom: no group may have less than one below it */
    struct err *err;
};

/* All groups of pools there are, those that are no pool any more included. Else from the top: a group may
 * have as much as the one above it. */
static int walk_pools(const struct pools_walk *walk, const char *folder, const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        if (!g_str_has_prefix(name, "pool-"))
            continue;
        g_autofree char *child = g_build_filename(folder, name, NULL);
        g_autofree char *child_path =
            g_strdup_printf("%s%s%s", path, *path ? "/" : "", name + strlen("pool-"));
        if (!walk->lifts && set_pool(walk->cgroup, child_path, walk->err) < 0)
            return -1;
        if (walk_pools(walk, child, child_path) < 0)
            return -1;
        if (walk->lifts && set_limit(walk->cgroup, child, 0, walk->err) < 0)
            return -1;
    }
    return 0;
}

static int apply(const struct cgroup *cgroup, struct err *err)
{
    const struct pools_walk set = {cgroup, false, err};
    const struct pools_walk lift = {cgroup, true, err};
    if (!cgroup->root || walk_pools(&set, cgroup->root, "") == 0)
        return 0;
    if (walk_pools(&lift, cgroup->root, "") < 0 || walk_pools(&set, cgroup->root, "") < 0)
        return -1;
    err_clear(err);
    return 0;
}

/* ---- the list on disk ---- */

static char *list_path(const struct agent *agent)
{
    return g_build_filename(agent->config.state_dir, "pools.json", NULL);
}

static void take_list(struct cgroup *cgroup, const struct pool_spec *pools, uint32_t n_pools)
{
    g_free(cgroup->pools.pools);
    cgroup->pools.pools = g_new0(struct pool, n_pools);
    cgroup->pools.n_pools = n_pools;
    for (uint32_t i = 0; i < n_pools; i++)
        cgroup->pools.pools[i].spec = pools[i];
}

int cgroup_set_pools(struct agent *agent, const struct pool_spec *pools, uint32_t n_pools, struct err *err)
{
    g_autoptr(JsonObject) object = pool_list_to_json(pools, n_pools);
    g_autofree char *text = model_print(object, true);
    g_autofree char *path = list_path(agent);
    if (fdio_replace_file(path, text, strlen(text), 0600, err) < 0)
        return -1;
    take_list(agent->cgroup, pools, n_pools);
    cgroup_sweep(agent);
    return apply(agent->cgroup, err);
}

static int read_list(struct agent *agent, struct err *err)
{
    auto_mem char *text = NULL;
    g_autofree char *path = list_path(agent);
    g_autoptr(JsonObject) object = NULL;
    g_autofree struct pool_spec *pools = NULL;
    uint32_t n_pools;
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    if (fdio_read_file(path, POOLS_BYTES_MAX, &text, err) < 0 || model_parse(text, -1, &object, err) < 0 ||
        pool_list_from_json(object, &pools, &n_pools, err) < 0)
        return err_prefix(err, "%s", path);
    take_list(agent->cgroup, pools, n_pools);
    return 0;
}

/* ---- VMs ---- */

void cgroup_place(const struct vm *vm)
{
    struct agent *agent = vm->agent;
    const struct cgroup *cgroup = agent->cgroup;
    const struct vm_spec *spec = &vm->status.spec;
    struct err err = {0};
    char pid[16];
    if (!cgroup || !cgroup->root)
        return;
    g_autofree char *folder = vm_folder(cgroup, spec);
    (void)snprintf(pid, sizeof pid, "%d", vm->status.pid);
    if (make_pool(cgroup, spec->pool, &err) < 0 || make_group(cgroup, folder, false, &err) < 0 ||
        set_shares(cgroup, folder, pool_vm_shares(spec->cpus), &err) < 0 ||
        write_value(folder, "cgroup.procs", pid, &err) < 0)
        log_error(&err, "VM %s runs outside of its pool '%s'", spec->name, spec->pool);
    cgroup_sweep(agent);
}

/* The kernel refuses to remove a group with processes or groups in it: that is the whole test. */
static void sweep(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        if (!g_str_has_prefix(name, "pool-") && !g_str_has_prefix(name, "vm-"))
            continue;
        g_autofree char *child = g_build_filename(folder, name, NULL);
        sweep(child);
        if (rmdir(child) < 0 && errno != EBUSY && errno != ENOENT)
            log_warn("cannot remove the control group %s: %s", child, g_strerror(errno));
    }
}

void cgroup_sweep(struct agent *agent)
{
    if (agent->cgroup && agent->cgroup->root)
        sweep(agent->cgroup->root);
}

/* ---- start ---- */

/* One word of a list that is separated by `separators`. */
static bool has_word(const char *list, const char *separators, const char *word)
{
    g_auto(GStrv) words = g_strsplit_set(list, separators, -1);
    return g_strv_contains((const char *const *)words, word);
}

static bool is_usable(const char *mount, enum cgroup_version version)
{
    g_autofree char *file =
        g_build_filename(mount, version == CGROUP_V2 ? "cgroup.controllers" : "cgroup.procs", NULL);
    auto_mem char *text = NULL;
    /* Another file system may have been mounted over it. */
    if (access(file, F_OK) < 0)
        return false;
    return version == CGROUP_V1 ||
           (fdio_read_file(file, 4096, &text, NULL) == 0 && has_word(text, " \n", "cpu"));
}

/* A line of mountinfo: ID PARENT DEVICE ROOT MOUNT OPTIONS ... - TYPE SOURCE SUPER-OPTIONS */
static void look_at_mount(struct cgroup *cgroup, const char *line)
{
    const char *tail = strstr(line, " - ");
    g_auto(GStrv) front = g_strsplit(line, " ", 6);
    g_auto(GStrv) back = g_strsplit(tail ? tail + 3 : "", " ", 3);
    if (g_strv_length(front) < 6 || g_strv_length(back) < 3)
        return;
    enum cgroup_version version = !strcmp(back[0], "cgroup2")                                   ? CGROUP_V2
                                  : !strcmp(back[0], "cgroup") && has_word(back[2], ",", "cpu") ? CGROUP_V1
                                                                                                : CGROUP_NONE;
    if (version <= cgroup->version || !is_usable(front[4], version))
        return;
    g_free(cgroup->mount);
    cgroup->mount = g_strdup(front[4]);
    cgroup->version = version;
}

static void find_mount(struct cgroup *cgroup)
{
    char line[4096];
    auto_file file = fopen("/proc/self/mountinfo", "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        look_at_mount(cgroup, line);
    }
}

const char *cgroup_find_cpu(char **ret_mount)
{
    struct cgroup cgroup = {0};
    find_mount(&cgroup);
    *ret_mount = cgroup.mount;
    return cgroup.version == CGROUP_NONE ? "none" : cgroup.version == CGROUP_V1 ? "v1" : "v2";
}

/* Each part of NAME becomes a group; on v2 the controller is passed on from the top. */
static int make_root(struct cgroup *cgroup, const char *name, struct err *err)
{
    g_autofree char *at = g_strdup(cgroup->mount);
    g_auto(GStrv) parts = g_strsplit(name, "/", -1);
    if (open_below(cgroup, at, err) < 0)
        return -1;
    for (char **part = parts; *part; part++) {
        char *next = g_build_filename(at, *part, NULL);
        g_free(at);
        at = next;
        if (make_group(cgroup, at, true, err) < 0)
            return -1;
    }
    cgroup->root = g_steal_pointer(&at);
    return 0;
}

static void say(struct agent *agent, const char *what, const char *why)
{
    struct host_facts *facts = &agent->facts;
    g_strlcpy(facts->cgroups, what, sizeof facts->cgroups);
    g_strlcpy(facts->cgroups_reason, why, sizeof facts->cgroups_reason);
    log_info("control groups: %s (%s)", what, why);
}

void cgroup_open(struct agent *agent)
{
    struct cgroup *cgroup = g_new0(struct cgroup, 1);
    struct err err = {0};
    agent->cgroup = cgroup;
    if (agent->config.cgroup[0])
        find_mount(cgroup);
    if (!agent->config.cgroup[0]) {
        say(agent, "none", "switched off in the agent's configuration (cgroup=)");
    } else if (!cgroup->mount) {
        say(agent, "none", "no cgroup hierarchy with the cpu controller is mounted here");
    } else if (make_root(cgroup, agent->config.cgroup, &err) < 0) {
        g_autofree char *why = g_strdup_printf("%s: %s", err.message, err.cause);
        say(agent, "none", why);
    } else {
        g_autofree char *why = g_strdup_printf("CPU limits and shares of pools are set in %s", cgroup->root);
        say(agent, cgroup->version == CGROUP_V1 ? "v1" : "v2", why);
    }
    err_clear(&err);
    if (read_list(agent, &err) < 0 || apply(cgroup, &err) < 0)
        log_error(&err, "pools have no limits here until the manager sends them again");
}

void cgroup_close(struct agent *agent)
{
    struct cgroup *cgroup = g_steal_pointer(&agent->cgroup);
    if (!cgroup)
        return;
    if (cgroup->root) {
        sweep(cgroup->root);
        (void)rmdir(cgroup->root); /* stays while a VM runs in it */
    }
    g_free(cgroup->mount);
    g_free(cgroup->root);
    g_free(cgroup->pools.pools);
    g_free(cgroup);
}
