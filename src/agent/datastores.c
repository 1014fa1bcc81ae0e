/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/datastores.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/bounded.h"
#include "agent/datastore_look.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "base/thread.h"
#include "model/check_table.h"
#include "model/json.h"

#define LOOK_S 5
/* A look that takes so long does not come back soon. */
#define STALE_NS (10 * NS_PER_S)
#define INIT_MS 5000
#define KNOWN_BYTES_MAX 65536

/* Belongs to the main loop and its thread; the second one that lets go frees it. */
struct watched {
    GMutex lock;
    GCond wake;
    /* lock */
    bool ends;
    unsigned n_holders;
    uint64_t looking_ns;        /* when the look under way began; 0: none is */
    int64_t looking_ms;         /* the same by the wall clock */
    unsigned n_inits;           /* a look from before says nothing of an identity that came since */
    struct datastore_look look; /* the next look's question, and what the last one found */
};

struct datastores {
    unsigned n;
    struct watched *list[HOST_DATASTORES_MAX];
    guint timer;
};

static void release(struct watched *watched)
{
    g_mutex_lock(&watched->lock);
    bool is_last = --watched->n_holders == 0;
    g_mutex_unlock(&watched->lock);
    if (!is_last)
        return;
    g_mutex_clear(&watched->lock);
    g_cond_clear(&watched->wake);
    g_free(watched);
}

/* ---- the thread ---- */

/* With the lock. */
static void take(struct watched *watched, const struct host_datastore *found)
{
    struct host_datastore *known = &watched->look.found;
    struct host_datastore next = *found;
    bool is_same = !strcmp(known->state, next.state);
    next.since_ms = is_same ? known->since_ms : clock_wall_ms();
    if (!next.uuid[0] && !strcmp(next.state, DATASTORE_STALE))
        (void)g_strlcpy(next.uuid, known->uuid, sizeof next.uuid);
    if (!is_same)
        log_info("datastore %s (%s): %s -> %s%s%s", next.name, next.path, known->state, next.state,
                 next.reason[0] ? ": " : "", next.reason);
    *known = next;
}

/* What a look fills in. */
static void clear(struct host_datastore *found)
{
    found->uuid[0] = found->type[0] = '\0';
    found->capacity_bytes = found->free_bytes = found->write_ms = 0;
    found->slow = false;
}

static void look_once(struct watched *watched)
{
    struct datastore_look look = watched->look;
    unsigned n_inits = watched->n_inits;
    watched->looking_ns = clock_now_ns();
    watched->looking_ms = clock_wall_ms();
    g_mutex_unlock(&watched->lock);
    clear(&look.found);
    datastore_look(&look);
    g_mutex_lock(&watched->lock);
    watched->looking_ns = 0;
    if (n_inits == watched->n_inits)
        take(watched, &look.found);
}

static void *watch(void *argument)
{
    struct watched *watched = argument;
    g_mutex_lock(&watched->lock);
    while (!watched->ends) {
        look_once(watched);
        gint64 until_us = g_get_monotonic_time() + LOOK_S * G_TIME_SPAN_SECOND;
        while (!watched->ends && g_cond_wait_until(&watched->wake, &watched->lock, until_us))
            ;
    }
    g_mutex_unlock(&watched->lock);
    release(watched);
    return NULL;
}

/* ---- which identity a name had ---- */

static char *known_path(const struct agent *agent)
{
    return g_strdup_printf("%s/datastores.json", agent->config.state_dir);
}

/* Without the file nothing is known: a host that is new, or whose state was lost. */
static void recall(const struct agent *agent)
{
    const struct datastores *datastores = agent->datastores;
    g_autofree char *path = known_path(agent);
    g_autoptr(JsonObject) object = NULL;
    auto_mem char *text = NULL;
    struct err err = {0};
    if (fdio_read_file(path, KNOWN_BYTES_MAX, &text, &err) < 0 || model_parse(text, -1, &object, &err) < 0) {
        if (err.code != ERR_NOT_FOUND)
            log_error(&err, "which datastores this host has seen is not known");
        return;
    }
    for (unsigned i = 0; i < datastores->n; i++) {
        struct datastore_look *look = &datastores->list[i]->look;
        const char *uuid = model_text(object, look->found.name);
        if (model_uuid_is_valid(uuid))
            (void)g_strlcpy(look->known_uuid, uuid, sizeof look->known_uuid);
    }
}

/* True: it is new to this host. */
static bool learn(struct watched *watched)
{
    g_mutex_lock(&watched->lock);
    struct datastore_look *look = &watched->look;
    bool is_new = look->found.uuid[0] && strcmp(look->found.uuid, look->known_uuid) != 0;
    if (is_new && look->known_uuid[0])
        log_warn("datastore %s is another one: %s instead of %s", look->found.name, look->found.uuid,
                 look->known_uuid);
    if (is_new)
        (void)g_strlcpy(look->known_uuid, look->found.uuid, sizeof look->known_uuid);
    g_mutex_unlock(&watched->lock);
    return is_new;
}

static void remember(const struct agent *agent)
{
    const struct datastores *datastores = agent->datastores;
    g_autoptr(JsonObject) object = json_object_new();
    struct err err = {0};
    /* Only this thread writes known_uuid. */
    for (unsigned i = 0; i < datastores->n; i++)
        json_object_set_string_member(object, datastores->list[i]->look.found.name,
                                      datastores->list[i]->look.known_uuid);
    g_autofree char *text = model_print(object, true);
    g_autofree char *path = known_path(agent);
    if (fdio_replace_file(path, text, strlen(text), 0600, &err) < 0)
        log_error(&err, "an agent started later may not know the datastores of this host");
}

static gboolean learn_all(gpointer user)
{
    struct agent *agent = user;
    bool is_new = false;
    for (unsigned i = 0; i < agent->datastores->n; i++)
        is_new |= learn(agent->datastores->list[i]);
    if (is_new)
        remember(agent);
    return G_SOURCE_CONTINUE;
}

/* ---- all of them ---- */

static struct watched *watched_new(const struct agent *agent, const struct datastore_config *config)
{
    struct watched *watched = g_new0(struct watched, 1);
    struct datastore_look *look = &watched->look;
    g_mutex_init(&watched->lock);
    g_cond_init(&watched->wake);
    watched->n_holders = 1;
    look->user = agent->config.qemu_user;
    (void)g_strlcpy(look->host, agent->config.name, sizeof look->host);
    (void)g_strlcpy(look->found.name, config->name, sizeof look->found.name);
    (void)g_strlcpy(look->found.path, config->path, sizeof look->found.path);
    (void)g_strlcpy(look->found.state, DATASTORE_UNKNOWN, sizeof look->found.state);
    look->found.since_ms = clock_wall_ms();
    return watched;
}

static int begin(struct watched *watched, struct err *err)
{
    watched->n_holders++;
    if (thread_leave("datastore", watch, watched, err) == 0)
        return 0;
    watched->n_holders--;
    return -1;
}

int datastores_open(struct agent *agent, struct err *err)
{
    const struct agent_config *config = &agent->config;
    struct datastores *datastores = g_new0(struct datastores, 1);
    agent->datastores = datastores;
    for (; datastores->n < config->n_datastores; datastores->n++)
        datastores->list[datastores->n] = watched_new(agent, &config->datastores[datastores->n]);
    recall(agent);
    for (unsigned i = 0; i < datastores->n; i++)
        if (begin(datastores->list[i], err) < 0)
            return -1;
    datastores->timer = g_timeout_add_seconds(1, learn_all, agent);
    return 0;
}

void datastores_close(struct agent *agent)
{
    struct datastores *datastores = g_steal_pointer(&agent->datastores);
    if (!datastores)
        return;
    if (datastores->timer)
        (void)g_source_remove(datastores->timer);
    for (unsigned i = 0; i < datastores->n; i++) {
        struct watched *watched = datastores->list[i];
        g_mutex_lock(&watched->lock);
        watched->ends = true;
        g_cond_signal(&watched->wake);
        g_mutex_unlock(&watched->lock);
        release(watched);
    }
    g_free(datastores);
}

static void copy_now(struct watched *watched, struct host_datastore *ret_datastore)
{
    g_mutex_lock(&watched->lock);
    *ret_datastore = watched->look.found;
    uint64_t for_ns = watched->looking_ns ? clock_now_ns() - watched->looking_ns : 0;
    if (for_ns > STALE_NS) {
        if (strcmp(ret_datastore->state, DATASTORE_STALE) != 0)
            ret_datastore->since_ms = watched->looking_ms;
        (void)g_strlcpy(ret_datastore->state, DATASTORE_STALE, sizeof ret_datastore->state);
        (void)snprintf(ret_datastore->reason, sizeof ret_datastore->reason, "no answer for more than %u s",
                       (unsigned)(STALE_NS / NS_PER_S));
    }
    g_mutex_unlock(&watched->lock);
}

void datastores_now(const struct agent *agent, struct host_datastore list[HOST_DATASTORES_MAX],
                    uint32_t *ret_n)
{
    const struct datastores *datastores = agent->datastores;
    *ret_n = datastores ? datastores->n : 0;
    for (unsigned i = 0; i < *ret_n; i++)
        copy_now(datastores->list[i], &list[i]);
}

static struct watched *find(const struct agent *agent, const char *name)
{
    const struct datastores *datastores = agent->datastores;
    for (unsigned i = 0; datastores && i < datastores->n; i++)
        if (!strcmp(datastores->list[i]->look.found.name, name))
            return datastores->list[i];
    return NULL;
}

bool datastores_get(const struct agent *agent, const char *name, struct host_datastore *ret_datastore)
{
    struct watched *watched = find(agent, name);
    if (watched)
        copy_now(watched, ret_datastore);
    return watched != NULL;
}

/* ---- an identity by the operator's word ---- */

static int refuse_unknown(const struct agent *agent, const char *name, struct err *err)
{
    struct host_datastore list[HOST_DATASTORES_MAX];
    char names[ERR_TEXT_MAX];
    uint32_t n;
    datastores_now(agent, list, &n);
    datastores_text(list, n, names);
    (void)err_set(err, ERR_NOT_FOUND, "datastore-not-found", "host '%s' has no datastore '%s'",
                  agent->config.name, name);
    (void)err_cause(err, "it has %.280s", names);
    (void)err_arg(err, "host", "%s", agent->config.name);
    (void)err_arg(err, "datastore", "%s", name);
    return err_fix(
        err,
        "add a section [datastore %s] with path= to the agent's configuration there and restart the "
        "agent (its VMs run on)",
        name);
}

static int check_init(const struct agent *agent, const struct datastore_look *look, bool force,
                      struct err *err)
{
    struct host_datastore now;
    (void)datastores_get(agent, look->found.name, &now);
    if (!strcmp(now.state, DATASTORE_STALE))
        return check_say(err, CHECK_DATASTORE_STALE,
                         CHECK_ARGS({"host", agent->config.name}, {"datastore", now.name}, {"path", now.path},
                                    {"reason", now.reason}));
    if (force || !look->known_uuid[0] || now.uuid[0])
        return 0;
    (void)err_set(err, ERR_REFUSED, "datastore-known",
                  "host '%s' has seen datastore '%s' with the identity %s, and its folder is empty now",
                  agent->config.name, now.name, look->known_uuid);
    (void)err_cause(err, "what is mounted at %s is most likely not there", now.path);
    (void)err_arg(err, "host", "%s", agent->config.name);
    (void)err_arg(err, "datastore", "%s", now.name);
    (void)err_arg(err, "uuid", "%s", look->known_uuid);
    (void)err_arg(err, "path", "%s", now.path);
    return err_fix(err,
                   "mount it; if this shall be another datastore: godwit datastore init %s --host %s --force",
                   now.name, agent->config.name);
}

static int refuse_late(const struct agent *agent, const struct datastore_look *look, struct err *err)
{
    char reason[64];
    (void)snprintf(reason, sizeof reason, "no answer for %u s", INIT_MS / 1000);
    return check_say(err, CHECK_DATASTORE_STALE,
                     CHECK_ARGS({"host", agent->config.name}, {"datastore", look->found.name},
                                {"path", look->found.path}, {"reason", reason}));
}

int datastores_init(struct agent *agent, const char *name, bool force, struct host_datastore *ret_datastore,
                    struct err *err)
{
    struct watched *watched = find(agent, name);
    if (!watched)
        return refuse_unknown(agent, name, err);
    g_mutex_lock(&watched->lock);
    struct datastore_look look = watched->look;
    g_mutex_unlock(&watched->lock);
    if (check_init(agent, &look, force, err) < 0)
        return -1;
    clear(&look.found);
    look.err = (struct err){0};
    if (!bounded_call(datastore_init, &look, sizeof look, INIT_MS))
        return refuse_late(agent, &look, err);
    if (err_is_set(&look.err)) {
        *err = look.err;
        return -1;
    }
    g_mutex_lock(&watched->lock);
    watched->n_inits++;
    take(watched, &look.found);
    g_mutex_unlock(&watched->lock);
    (void)learn_all(agent);
    copy_now(watched, ret_datastore);
    return 0;
}
