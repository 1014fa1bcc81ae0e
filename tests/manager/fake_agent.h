/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fake agent: an HTTPS server with the agent's API and no VM behind it. The test decides how moves go on.
 * It lives in the test's main loop.
 */
#ifndef TESTS_FAKE_AGENT_H
#define TESTS_FAKE_AGENT_H

#include <stdbool.h>

#include "http/http.h"
#include "model/host.h"
#include "model/move.h"
#include "model/ownership.h"

struct fake_move {
    bool exists;
    struct move_status status;
    char vm_uuid[MODEL_UUID_SIZE];
    struct http_request *poll; /* a long poll that waits for a change */
    guint poll_timer;
};

#define FAKE_MOVES_MAX 8
struct fake_agent {
    const char *name;
    uint32_t protocol; /* that it claims to speak; 0: the manager's */
    uint16_t port;
    char *certificate_pem, *key_pem, *ca_pem;
    struct http_server *server; /* NULL while it is away */
    struct vm_status vms[8];
    unsigned n_vms;
    struct fake_move moves[FAKE_MOVES_MAX];
    GPtrArray *calls;          /* "POST check", "PUT source", ...: the calls about moves, in order */
    const char *hold;          /* such a call, or "GET" (its status), is held back ... */
    struct http_request *held; /* ... here */
    const char *refuse;        /* such a call is refused */
    bool is_automatic;         /* a start runs through to the end by itself */
    GPtrArray *stops;          /* if set: of VMs, whose guests never go off; to be answered by the test */
    bool is_mute;              /* moves are not answered at all */
    GQueue *frozen;            /* requests that wait for the thaw; NULL: it is not frozen */
    int64_t clock_ahead_ms;    /* of its clock */
    const char *verdict;       /* answer to POST commit; NULL: the session is not known */
    bool got_commit, got_verdict;
    struct fake_agent *peer;
    bool lists_moves;    /* as agents of this version do; else only at the VMs */
    const char *journal; /* what it says of a VM that it does not list; NULL: absent */
    uint64_t epoch;      /* ... in this epoch */
    unsigned n_orders;   /* POST settle: how many, and the last one */
    struct settle_order order;
    bool is_before;        /* of the version before: knows neither settling nor pools */
    struct move_spec spec; /* of the last PUT of a move */
    JsonObject *pools;     /* the last PUT of pools, or NULL */
    unsigned n_vm_lists;   /* how often it was asked for its VMs */
    unsigned n_pool_lists; /* ... and told the pools */
    bool is_booted;        /* its VMs with autostart wait for the word */
    JsonObject *released;  /* the word, POST autostart; or NULL */
    unsigned n_orders_at_release;
    struct host_datastore datastores[2];
    unsigned n_datastores;
    double again_mb_s;     /* what its forecasts measure; 0: they do not say */
    unsigned zero_percent; /* ... with it */
    /* CPU models that it can provide, the best first; NULL: of a version that keeps no baseline */
    const char *const *cpu_models;
    char cpu_baseline[CPU_MODEL_SIZE]; /* as it was told last */
};

void fake_agent_start(struct fake_agent *agent);
void fake_agent_stop(struct fake_agent *agent);
/* Nothing is answered, connections stay; at the thaw it goes on with what came meanwhile. */
void fake_agent_freeze(struct fake_agent *agent);
void fake_agent_thaw(struct fake_agent *agent);
/* A running VM on this agent. */
struct vm_status *fake_agent_add_vm(struct fake_agent *agent, const char *name, enum vm_state state);
/* A move of that VM that no task made. */
struct fake_move *fake_agent_add_move(struct fake_agent *agent, const char *vm_uuid, bool is_source,
                                      enum move_state state);
/* Sets the state of the only open move and wakes the long poll. */
void fake_agent_set(struct fake_agent *agent, enum move_state state);
struct fake_move *fake_agent_move(struct fake_agent *agent); /* the first that exists, or NULL */
bool fake_agent_was_called(const struct fake_agent *agent, const char *call);
/* A line of its timeline, now by its own clock; it is reported with the next change. */
void fake_agent_note(struct fake_agent *agent, const char *event);
/* The source is done: the VM of its first move goes to the peer. */
void fake_agent_finish_pair(struct fake_agent *source);

/* fake_cpu.c, for fake_agent.c: what it says of CPU models. */
void fake_cpu_facts(const struct fake_agent *agent, struct host_facts *facts);
void fake_cpu_model(struct http_request *request, void *user);
void fake_cpu_baseline(struct http_request *request, void *user);

#endif
