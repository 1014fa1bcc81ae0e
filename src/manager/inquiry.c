/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/inquiry.h"

#include <string.h>

#include "base/clock.h"
#include "manager/agent_client.h"
#include "manager/claims.h"
#include "manager/settlements.h"
#include "model/move.h"

#define ANSWER_TIMEOUT_S 5

struct question {
    struct inquiry *inquiry;
    struct inquiry_row *row;
};

static void inquiry_free(struct inquiry *inquiry)
{
    g_ptr_array_unref(inquiry->rows);
    g_free(inquiry);
}

static void one_less(struct inquiry *inquiry)
{
    if (--inquiry->n_open)
        return;
    inquiry->done(inquiry, inquiry->user);
    inquiry_free(inquiry);
}

static void answered(JsonObject *object, const struct err *err, void *user)
{
    g_autofree struct question *question = user;
    struct inquiry_row *row = question->row;
    row->err = *err;
    row->is_outdated = !strcmp(err->id, "path-not-found");
    if (row->is_outdated) {
        err_set(&row->err, ERR_REFUSED, "protocol-mismatch",
                "the agent on host '%s' is of a version that does not know this question", row->host);
        (void)err_arg(&row->err, "host", "%s", row->host);
        err_fix(&row->err, "upgrade the agent on host '%s'; its VMs run on meanwhile", row->host);
    } else if (!err_is_set(err) && !object) {
        err_set(&row->err, ERR_CORRUPT, "agent-answer", "host %s sent no answer", row->host);
        (void)err_arg(&row->err, "host", "%s", row->host);
    } else if (!err_is_set(err)) {
        (void)ownership_from_json(object, &row->ownership, &row->err);
    }
    one_less(question->inquiry);
}

static void ask(struct host *host, void *user)
{
    struct inquiry *inquiry = user;
    if (!host->client)
        return; /* it has never enrolled, so it has never had a VM */
    struct inquiry_row *row = g_new0(struct inquiry_row, 1);
    (void)g_strlcpy(row->host, host->name, sizeof row->host);
    g_ptr_array_add(inquiry->rows, row);
    inquiry->n_open++;
    struct question *question = g_new0(struct question, 1);
    *question = (struct question){inquiry, row};
    g_autofree char *path = g_strdup_printf("/v1/vms/%s/ownership", inquiry->uuid);
    agent_call(host, &(struct http_call){"GET", path, NULL, ANSWER_TIMEOUT_S, NULL}, answered, question);
}

static gboolean all_are_asked(void *user)
{
    one_less(user);
    return G_SOURCE_REMOVE;
}

int inquiry_start(struct manager *manager, const char *name_or_uuid,
                  void (*done)(struct inquiry *inquiry, void *user), void *user, struct err *err)
{
    struct vm_status vm = {0};
    if (inventory_get_vm(manager->inventory, name_or_uuid, &vm, err)) {
        if (!model_uuid_is_valid(name_or_uuid))
            return -1;
        (void)g_strlcpy(vm.spec.uuid, name_or_uuid, sizeof vm.spec.uuid);
        (void)g_strlcpy(vm.spec.name, name_or_uuid, sizeof vm.spec.name);
        err_clear(err);
    }
    struct inquiry *inquiry = g_new0(struct inquiry, 1);
    inquiry->manager = manager;
    inquiry->rows = g_ptr_array_new_with_free_func(g_free);
    inquiry->done = done;
    inquiry->user = user;
    inquiry->n_open = 1; /* this call */
    inquiry->started_ms = clock_wall_ms();
    (void)g_strlcpy(inquiry->uuid, vm.spec.uuid, sizeof inquiry->uuid);
    (void)g_strlcpy(inquiry->vm_name, vm.spec.name, sizeof inquiry->vm_name);
    inventory_each_host(manager->inventory, ask, inquiry);
    (void)g_idle_add(all_are_asked, inquiry);
    return 0;
}

const struct inquiry_row *inquiry_find(const struct inquiry *inquiry, const char *host)
{
    for (guint i = 0; i < inquiry->rows->len; i++)
        if (!strcmp(((struct inquiry_row *)inquiry->rows->pdata[i])->host, host))
            return inquiry->rows->pdata[i];
    return NULL;
}

/* ---- what follows from it ---- */

struct tally {
    const struct inquiry_row *owner; /* the last that claims */
    unsigned n_owners;
    GString *owners, *givers, *damaged, *silent; /* names, separated by commas */
};

static void add_name(GString *names, const char *name)
{
    g_string_append_printf(names, "%s%s", names->len ? ", " : "", name);
}

static void count(const struct inquiry *inquiry, struct tally *ret)
{
    *ret = (struct tally){.owners = g_string_new(NULL),
                          .givers = g_string_new(NULL),
                          .damaged = g_string_new(NULL),
                          .silent = g_string_new(NULL)};
    for (guint i = 0; i < inquiry->rows->len; i++) {
        const struct inquiry_row *row = inquiry->rows->pdata[i];
        if (err_is_set(&row->err)) {
            add_name(ret->silent, row->host);
        } else if (ownership_claims(row->ownership.journal)) {
            ret->owner = row;
            ret->n_owners++;
            add_name(ret->owners, row->host);
        } else if (!strcmp(row->ownership.journal, "GIVEN")) {
            add_name(ret->givers, row->host);
        } else if (!strcmp(row->ownership.journal, OWNERSHIP_CORRUPT)) {
            add_name(ret->damaged, row->host);
        }
    }
}

static void tally_clear(struct tally *tally)
{
    GString *const texts[] = {tally->owners, tally->givers, tally->damaged, tally->silent};
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        (void)g_string_free(texts[i], TRUE);
}

static bool is_undisputed(const struct tally *tally)
{
    return tally->n_owners == 1 && !tally->givers->len && !tally->damaged->len;
}

const struct inquiry_row *inquiry_owner(const struct inquiry *inquiry)
{
    struct tally tally;
    count(inquiry, &tally);
    const struct inquiry_row *owner = is_undisputed(&tally) ? tally.owner : NULL;
    tally_clear(&tally);
    return owner;
}

char *inquiry_dispute(const struct inquiry *inquiry)
{
    struct tally tally;
    GString *text = g_string_new(NULL);
    count(inquiry, &tally);
    if (tally.n_owners > 1)
        g_string_append_printf(text, "more than one host owns it: %s; ", tally.owners->str);
    if (tally.damaged->len)
        g_string_append_printf(text, "the journal is damaged on: %s; ", tally.damaged->str);
    if (tally.givers->len)
        g_string_append_printf(text, "given away, and the taker is not known, by: %s; ", tally.givers->str);
    if (!tally.n_owners)
        g_string_append(text, "no host that answers owns it; ");
    if (text->len && tally.silent->len)
        g_string_append_printf(text, "no answer from: %s; ", tally.silent->str);
    if (text->len)
        g_string_truncate(text, text->len - 2);
    tally_clear(&tally);
    return g_string_free(text, FALSE);
}

static JsonObject *row_json(const struct inquiry_row *row)
{
    bool answers = !err_is_set(&row->err);
    JsonObject *object = answers ? ownership_to_json(&row->ownership) : json_object_new();
    json_object_set_string_member(object, "host", row->host);
    json_object_set_boolean_member(object, "answers", answers);
    json_object_set_string_member(object, "problem", row->err.message);
    return object;
}

JsonObject *inquiry_json(const struct inquiry *inquiry)
{
    JsonObject *object = json_object_new();
    JsonArray *hosts = json_array_new();
    const struct inquiry_row *owner = inquiry_owner(inquiry);
    g_autofree char *dispute = inquiry_dispute(inquiry);
    JsonObject *settlement = settlements_json(inquiry->manager, inquiry->uuid);
    for (guint i = 0; i < inquiry->rows->len; i++)
        json_array_add_object_element(hosts, row_json(inquiry->rows->pdata[i]));
    json_object_set_string_member(object, "vm", inquiry->vm_name);
    json_object_set_string_member(object, "vm_uuid", inquiry->uuid);
    json_object_set_string_member(object, "owner", owner ? owner->host : "");
    json_object_set_string_member(object, "dispute", dispute);
    json_object_set_array_member(object, "hosts", hosts);
    if (settlement)
        json_object_set_object_member(object, "settlement", settlement);
    else
        json_object_set_null_member(object, "settlement");
    return object;
}
