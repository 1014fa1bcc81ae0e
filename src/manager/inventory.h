/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the manager knows of hosts and VMs: a cache of what the agents say, asked every two seconds and on
 * demand. The truth about a VM is its host's journal; a VM that two hosts report is shown where it runs.
 */
#ifndef MANAGER_INVENTORY_H
#define MANAGER_INVENTORY_H

#include <stdbool.h>

#include "http/http.h"
#include "manager/clock_offset.h"
#include "manager/manager.h"
#include "model/host.h"

enum host_state { HOST_ENROLLING, HOST_CONNECTED, HOST_DISCONNECTED };

struct host {
    struct manager *manager;
    char name[MODEL_NAME_MAX];
    char address[MODEL_ADDRESS_MAX];
    uint16_t port;
    enum host_state state;
    bool has_facts;
    struct host_facts facts; /* valid if has_facts; old when disconnected */
    int64_t last_seen_ms;
    int64_t saved_ms;           /* when facts were last stored */
    unsigned misses;            /* polls in a row without an answer */
    char problem[ERR_TEXT_MAX]; /* what came of the last poll, if that was not an answer */
    bool is_polling;
    bool in_maintenance; /* manager/maintenance.h */
    bool has_reached_maintenance;
    bool is_releasing;          /* manager/autostart.h: the word is on its way */
    bool is_told_baseline;      /* manager/cluster.h: it is on its way */
    struct clock_offset clock;  /* measured with each answer */
    GHashTable *vms;            /* uuid -> struct vm_status, owned: what this host said last */
    GHashTable *claims;         /* uuid -> its claim (manager/claims.h), owned */
    struct http_client *client; /* NULL: it has not enrolled */
    struct http_client
        *users_client;        /* for what our clients ask for (agent_call_for_user); there with `client` */
    unsigned n_console_waits; /* of them, that wait for a console (manager/routes_console.c) */
    char certificate[65];     /* hex SHA-256 of what it may show; "": whatever the CA signed */
    char previous_certificate[65]; /* may be shown too; "": none */
    char shown[65];                /* in the last handshake, which may have failed after that */
};

int inventory_open(struct manager *manager, struct err *err);
void inventory_free(struct inventory *inventory);

/* Hosts. Pointers are valid until the host is removed: keep names across calls that come back later. */
struct host *inventory_find_host(struct inventory *inventory, const char *name);
/* One that answers, and has said what it is; else NULL. */
struct host *inventory_find_connected(struct inventory *inventory, const char *name);
/* As above; NOT_FOUND "host-not-found" that lists the names there are. */
int inventory_get_host(struct inventory *inventory, const char *name, struct host **ret_host,
                       struct err *err);
struct host_entry {
    const char *name;
    const char *address;
    uint16_t port;
    const char *user; /* who registers it */
};
int inventory_add_host(struct manager *manager, const struct host_entry *entry, struct err *err);
/* As inventory_add_host, for a host that holds a certificate of ours already: the one that the probe's only
 * connection was shown counts from now on. It is asked at once. */
int inventory_adopt_host(const struct host *probe, const char *user, struct err *err);
/* After the enrolment was stored: only this certificate is accepted from now on, "" = whatever the CA signed
 * for the host. Starts to poll it. */
void inventory_host_enrolled(struct host *host, const char *certificate);
/* True if the host may show the certificate with this fingerprint. Once it shows the newest, the one before
 * is refused. */
bool inventory_host_shows(struct host *host, const char *fingerprint);
/* The host gets `certificate`; the one that it shows now stays good until it shows the new one. */
int inventory_host_renewed(struct host *host, const char *certificate, const char *shown, struct err *err);
/* The manager has a new certificate of its own. */
void inventory_certificate_changed(struct manager *manager);
/* Frees the host. `user`: who wants it. */
int inventory_remove_host(struct host *host, const char *user, struct err *err);
void inventory_each_host(struct inventory *inventory, void (*call)(struct host *host, void *user),
                         void *user);
JsonObject *inventory_host_json(const struct host *host);

/* VMs, each once, merged over the hosts. */
/* By name or uuid; NOT_FOUND "vm-not-found" that says how to list them. */
int inventory_get_vm(struct inventory *inventory, const char *name_or_uuid, struct vm_status *ret_vm,
                     struct err *err);
bool inventory_has_vm_named(struct inventory *inventory, const char *name);
bool inventory_has_mac(struct inventory *inventory, const char *mac);
/* Array of struct vm_status by name; g_array_unref. */
GArray *inventory_vms(struct inventory *inventory);
/* Puts an agent's answer about one VM into the cache. */
void inventory_note_vm(struct host *host, const struct vm_status *vm);
/* The host does not have the VM any more. */
void inventory_forget_vm(struct host *host, const char *uuid);

/* The host holds nothing for that move any more: its VM is free, a shell that waited for it is gone. */
void inventory_move_over(struct host *host, const char *move);

/* The host has answered, or not answered for as long as it takes to count as disconnected, since the manager
 * runs. True for one that has never enrolled. */
bool inventory_host_was_asked(const struct host *host);
/* Its VMs that are not off: with a QEMU, or nobody knows. */
void inventory_each_vm_on(const struct host *host, void (*each)(const struct vm_status *vm, void *user),
                          void *user);
/* Asks one host now. `done` is called once with err set if it did not answer. */
void inventory_refresh(struct host *host, void (*done)(const struct err *err, void *user), void *user);

#endif
