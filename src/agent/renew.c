/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/renew.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/http.h"
#include "model/move.h"

#define MANAGER_NAME "godwitd"
#define ANSWER_S 30
#define WAIT_MAX_S (24 * 60 * 60)
#define WAIT_MIN_S 60

struct renewal {
    struct agent *agent;
    const struct identity *identity;
    void (*renewed)(void *user);
    void *renewed_user;
    guint timer;
    struct http_client *client; /* while it asks */
    GTlsCertificate *shown;     /* the one that it asks with */
    char *key;                  /* of the certificate that is asked for */
    void (*done)(const struct err *err, void *user);
    void *user;
};

int64_t renewal_due_s(int64_t from_s, int64_t until_s)
{
    return until_s - (until_s - from_s) / 3;
}

unsigned renewal_wait_s(int64_t from_s, int64_t until_s, int64_t now_s)
{
    int64_t due_s = renewal_due_s(from_s, until_s);
    /* Past that, several tries before it expires. Never long: the clock may be set meanwhile. */
    int64_t wait_s = now_s < due_s ? due_s - now_s : (until_s - now_s) / 4;
    if (now_s >= until_s)
        wait_s = WAIT_MAX_S;
    return (unsigned)CLAMP(wait_s, WAIT_MIN_S, WAIT_MAX_S);
}

static int64_t now_s(void)
{
    return clock_wall_ms() / 1000;
}

static void look_later(struct renewal *renewal);

/* The client may not be freed inside the answer to its call. */
static gboolean free_client(gpointer client)
{
    http_client_free(client);
    return G_SOURCE_REMOVE;
}

static void finish(struct renewal *renewal, const struct err *err)
{
    void (*done)(const struct err *, void *) = renewal->done;
    renewal->done = NULL;
    g_clear_pointer(&renewal->key, g_free);
    g_clear_object(&renewal->shown);
    if (renewal->client)
        (void)g_idle_add(free_client, g_steal_pointer(&renewal->client));
    look_later(renewal);
    done(err, renewal->user);
}

static void on_answer(JsonObject *object, const struct err *call_err, void *user)
{
    struct renewal *renewal = user;
    struct err err = *call_err;
    if (!err_is_set(&err) && !object)
        (void)err_set(&err, ERR_CORRUPT, "manager-answer", "the manager sent no certificate");
    if (!err_is_set(&err) && renewal->shown != renewal->identity->own)
        (void)err_set(&err, ERR_REFUSED, "certificate-replaced",
                      "the host was enrolled again while its old certificate was renewed");
    if (!err_is_set(&err)) {
        const struct identity_text text = {
            renewal->identity->manager_url,
            model_text(object, "certificate"),
            renewal->key,
            model_text(object, "ca"),
        };
        if (identity_store(&renewal->agent->config, &text, &err) == 0)
            renewal->renewed(renewal->renewed_user);
    }
    finish(renewal, &err);
}

static int ask(struct renewal *renewal, struct err *err)
{
    const struct identity *identity = renewal->identity;
    const struct http_client_config config = {.base = identity->manager_url,
                                              .ca = identity->ca,
                                              .certificate = identity->own,
                                              .expected_name = MANAGER_NAME};
    g_autofree char *csr = NULL;
    if (!identity->manager_url[0]) {
        (void)err_set(err, ERR_REFUSED, "manager-unknown",
                      "host %s does not know its manager's address: an earlier version enrolled it",
                      renewal->agent->config.name);
        (void)err_arg(err, "host", "%s", renewal->agent->config.name);
        return err_fix(err, "enrol it again: 'godwit host enroll %s' at the manager prints how",
                       renewal->agent->config.name);
    }
    if (http_csr_new(renewal->agent->config.name, &csr, &renewal->key, err) < 0 ||
        http_client_new(&config, &renewal->client, err) < 0)
        return -1;
    renewal->shown = g_object_ref(identity->own);
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "csr", csr);
    http_client_call(renewal->client, &(struct http_call){"POST", "/v1/renew", body, ANSWER_S}, on_answer,
                     renewal);
    return 0;
}

void renewal_ask(struct renewal *renewal, void (*done)(const struct err *err, void *user), void *user)
{
    struct err err = {0};
    if (renewal->done) {
        (void)err_set(&err, ERR_REFUSED, "renewal-runs", "the manager is being asked already");
        done(&err, user);
        return;
    }
    renewal->done = done;
    renewal->user = user;
    if (ask(renewal, &err) < 0)
        finish(renewal, &err);
}

static void on_own_wish(const struct err *err, void *user)
{
    const struct renewal *renewal = user;
    if (err_is_set(err))
        log_error(err,
                  "the certificate of this host was not renewed; it is good for %" G_GINT64_FORMAT
                  " more hours",
                  (renewal->identity->until_s - now_s()) / 3600);
    else
        log_info("host %s has a new certificate", renewal->agent->config.name);
}

static gboolean look(gpointer user)
{
    struct renewal *renewal = user;
    const struct identity *identity = renewal->identity;
    const char *name = renewal->agent->config.name;
    renewal->timer = 0;
    if (now_s() >= identity->until_s) {
        struct err err;
        (void)err_set(&err, ERR_UNAUTHORIZED, "certificate-expired", "the certificate of host %s has expired",
                      name);
        (void)err_arg(&err, "host", "%s", name);
        (void)err_cause(&err, "the manager could not be asked in time, or a clock is wrong");
        (void)err_fix(&err, "enrol it again: 'godwit host enroll %s' at the manager prints how", name);
        log_error(&err, "the manager refuses this host; its VMs run on");
        look_later(renewal);
    } else if (now_s() >= renewal_due_s(identity->from_s, identity->until_s)) {
        renewal_ask(renewal, on_own_wish, renewal);
    } else {
        look_later(renewal);
    }
    return G_SOURCE_REMOVE;
}

static void look_later(struct renewal *renewal)
{
    const struct identity *identity = renewal->identity;
    if (renewal->timer)
        (void)g_source_remove(renewal->timer);
    renewal->timer =
        g_timeout_add_seconds(renewal_wait_s(identity->from_s, identity->until_s, now_s()), look, renewal);
}

void renewal_look(struct renewal *renewal)
{
    if (renewal->timer)
        (void)g_source_remove(renewal->timer);
    renewal->timer = g_idle_add(look, renewal);
}

struct renewal *renewal_start(struct agent *agent, const struct identity *identity,
                              void (*renewed)(void *user), void *user)
{
    struct renewal *renewal = g_new0(struct renewal, 1);
    renewal->agent = agent;
    renewal->identity = identity;
    renewal->renewed = renewed;
    renewal->renewed_user = user;
    renewal_look(renewal);
    return renewal;
}

void renewal_free(struct renewal *renewal)
{
    if (!renewal)
        return;
    http_client_free(g_steal_pointer(&renewal->client));
    if (renewal->timer)
        (void)g_source_remove(renewal->timer);
    g_free(renewal->key);
    g_clear_object(&renewal->shown);
    g_free(renewal);
}
