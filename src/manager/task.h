/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A migration task: nine phases, one table (task.c). A state is saved first and entered then, and every enter
 * may run twice, so a manager that was killed anywhere goes on from what it saved.
 *
 * A task that fails or is cancelled keeps the phase it was in and is "ending": both sides are told, and only
 * when the source says that it runs the VM (or never had to do with the move) the task becomes final.
 */
#ifndef MANAGER_TASK_H
#define MANAGER_TASK_H

#include <stdbool.h>

#include "http/http.h"
#include "manager/event_types.h"
#include "manager/inventory.h"
#include "manager/manager.h"
#include "model/finding.h"
#include "model/guest_report.h"
#include "model/move.h"
#include "model/site.h"

enum task_state { TASK_QUEUED, TASK_RUNNING, TASK_SUCCESS, TASK_ERROR, TASK_CANCELLED };

#define TASK_CLIENT_KEY_MAX 128

struct task_phase {
    enum move_phase phase;
    int64_t start_ms;
    int64_t end_ms; /* 0 while it lasts */
};

/* How far the end of one side has come. */
enum end_step {
    END_LOOK,   /* ask for its status: its own error may say more than ours */
    END_CANCEL, /* tell it to cancel */
    END_WAIT,   /* wait until it is settled */
    END_FORGET, /* tell it to forget the move */
    END_CLEAR,  /* nothing of the move is left there */
};

/* What the manager knows of one side. Asked again after a restart, and but for the timeline not stored. */
struct task;
struct task_side {
    const char *label; /* "source" or "destination" */
    bool is_known;     /* status is valid */
    bool is_missing;   /* the agent said that it does not know the move */
    struct move_status status;
    struct move_timeline timeline;                              /* of all its reports; stored */
    int64_t silent_since_ms;                                    /* wall clock, to be shown; 0 = it answers */
    uint64_t silent_since_ns;                                   /* the same, to be counted from */
    bool is_watched;                                            /* a long poll is under way */
    void (*changed)(struct task *task, struct task_side *side); /* of the watch */
    unsigned serial;   /* of the watch or the ending; calls of an earlier one are dropped */
    bool is_preparing; /* a PUT or the start is under way */
    enum end_step end;
    bool has_answered; /* since the ending began */
};

/* What was heard from the guest. */
struct task_guest {
    bool is_known;
    struct guest_report report;
};

struct task {
    struct manager *manager;
    char id[MODEL_UUID_SIZE];
    uint64_t number;
    enum task_state state;
    enum move_phase phase;
    bool is_ending;
    struct err error; /* why it is ending or ended */
    char vm_uuid[MODEL_UUID_SIZE];
    char vm_name[MODEL_NAME_MAX];
    char source_host[MODEL_NAME_MAX];
    char destination_host[MODEL_NAME_MAX];
    char client_key[TASK_CLIENT_KEY_MAX]; /* "" = none */
    char user[MODEL_NAME_MAX];            /* who asked for it */
    struct move_options options;
    uint64_t vm_epoch; /* of the VM's ownership when the task was made; 0 = not known */
    int64_t created_ms, started_ms, ended_ms; /* 0 = not yet */
    unsigned n_phases;
    struct task_phase phases[MOVE_PHASES];
    double progress;            /* percent, never goes back */
    struct move_timeline story; /* what the manager itself did and saw */
    char waiting_for[400];
    int64_t waiting_since_ms;  /* wall clock; 0 = it waits for nothing */
    JsonObject *specification; /* owned; what the hosts were told, for the document; NULL: not made yet */
    struct task_guest guest_before, guest_after;
    JsonArray *warnings; /* owned; of the checks, for the document; NULL: none */
    /* Not stored. */
    struct task_wait {
        char what[400];
        int64_t since_ms, until_ms;
    } last_wait;     /* the newest that is over; for the error of a side that gave up a moment later */
    unsigned serial; /* grows with each state: answers to calls of an earlier one are dropped */
    bool has_place;  /* admitted to its pool; from the specification on it always is */
    bool is_loaded;  /* from the database, which may be an old one: it must not move a VM that has moved since
                      */
    bool has_key;    /* the specification with its one-time key is here; it is never stored */
    struct move_spec spec;
    struct move_site destination_site; /* from its check; the source's answer is compared with it */
    uint64_t ram_bytes;
    struct task_side source, destination;
    uint64_t phase_start_ns;
    uint64_t seen_bytes;  /* on the wire, when the copy moved last */
    uint64_t progress_ns; /* when that was */
    uint64_t given_ns;    /* when the source was first seen as given, 0 = not */
    bool is_relaying;
    bool is_asking_facts;      /* destination check: the host itself is being asked */
    uint64_t way_asked_ns;     /* memory did not cross, and the source was asked why; 0: not yet */
    struct err way;            /* its last answer; not set: nothing is wrong with the way, or not known yet */
    bool is_wait_shown;        /* a timer publishes it once a second */
    uint64_t end_start_ns;     /* when the ending began */
    unsigned unknown_verdicts; /* answers of a destination that does not know the session */
};

/* ---- the collection ---- */
/* Loads the tasks that are not final and goes on with them. */
int tasks_open(struct manager *manager, struct err *err);
void tasks_free(struct tasks *tasks);
struct task_request {
    const struct vm_status *vm;
    const char *destination;
    const char *client_key; /* NULL or "" = none */
    const char *user;
    struct move_options options;
};
/* Saves a queued task and admits it if it may start now (it may even be over when this returns). REFUSED
 * "task-running" if the VM has one. */
int tasks_create(struct manager *manager, const struct task_request *request, char ret_id[MODEL_UUID_SIZE],
                 struct err *err);
/* A task that is not final, or NULL. */
struct task *tasks_find(struct manager *manager, const char *id);
struct task *tasks_find_by_vm(struct manager *manager, const char *uuid);
void tasks_each(struct manager *manager, void (*call)(struct task *task, void *user), void *user);
/* The host is removed while it is silent: its tasks end IN_DOUBT. */
void tasks_host_removed(struct manager *manager, const char *host);
/* The operator says that `owner` has the VM: its task, which could not find out, ends IN_DOUBT. */
void tasks_settled(struct manager *manager, const char *uuid, const char *owner);
/* The document of any task, open or final; found. Transfer full. */
int tasks_document(struct manager *manager, const char *id, JsonObject **ret_document, struct err *err);

/* ---- one task ---- */
/* task_spec.c: what task->spec says now, for the document. */
void task_keep_specification(struct task *task);
/* Those of the findings that forbid nothing are in the task's document from now on. */
void task_keep_warnings(struct task *task, const struct findings *findings);
/* These, and what the status says of the guest's cost. Transfer full. */
JsonArray *task_warnings_to_json(const struct task *task, const struct move_status *status);
/* The only writer of state and phase: saves, publishes, enters. */
void task_set_state(struct task *task, enum task_state state, enum move_phase phase);
/* Begins the ending because of `why` (copied); places phase and side where they are empty. */
void task_fail(struct task *task, const struct err *why, const char *side);
/* The ending is over: ERROR or CANCELLED, from task->error. Frees the task. */
void task_finish_failed(struct task *task);
/* The ending found out that the destination runs the VM: goes on as a success. */
void task_rescue(struct task *task);
/* Cancel by the operator `who`. `done` is called once: err is set if it is refused; the
 * task may be gone by then. */
typedef void (*task_cancelled)(const struct err *err, void *user);
void task_cancel(struct task *task, const char *who, task_cancelled done, void *user);
/* Progress inside the phase, 0 .. 1, and a new document for those who follow. */
void task_publish(struct task *task, double share);
/* Names who is waited for and for what: "host 'h2' to start the shell". It stands until the state changes or
 * task_wait_over. The same text keeps its beginning; since_ms is wall clock, 0 = now. */
void task_wait_since(struct task *task, int64_t since_ms, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void task_wait_over(struct task *task);
/* Its disks go to another datastore of its host: source and destination are one, whose agent does all of it
 * as the source. There is no shell, no migration network and no change of the owner. */
bool task_is_here(const struct task *task);
unsigned task_deadline_s(const struct task *task);
/* Whole seconds until the phase's deadline, at least 1. */
unsigned task_left_s(const struct task *task);
bool task_is_final(enum task_state state);
const char *task_state_name(enum task_state state);

/* ---- task_events.c ---- */
/* The event of the state and phase it is in now; `document` is its own. */
void task_tell_state(const struct task *task, JsonObject *document);
/* Another event of its life, with what the text wants to know. `user` NULL: who asked for the migration. */
void task_tell(const struct task *task, enum event_type type, const char *user, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What the source saw, from that line of its timeline on, as far as it is an event. */
void task_tell_seen(const struct task *task, uint32_t first_line);

/* ---- task_json.c ---- */
JsonObject *task_to_json(const struct task *task); /* the public document; transfer full */
JsonObject *task_internals_to_json(const struct task *task);
int task_from_json(JsonObject *document, JsonObject *internals, struct task *ret_task, struct err *err);

/* ---- task_timeline.c ---- */
/* A line of the manager's own in the task's timeline; saved with the next state. */
void task_note(struct task *task, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What that side said last, and how long ago by the manager's clock; NULL: nothing. */
const struct move_event *task_side_last(const struct task *task, const struct task_side *side,
                                        double *ret_seconds);
/* [{time, side, host, event, detail}], both hosts and the manager, by the manager's clock; transfer full. */
/* Empty until the source's job has ended; the destination's steps too, if both are known. Transfer full. */
JsonArray *task_switch_over_to_json(const struct task *task);
JsonArray *task_timeline_to_json(const struct task *task);

/* ---- task_call.c: calls and timers that are dropped when the task has moved on ---- */
typedef void (*task_done)(struct task *task, JsonObject *object, const struct err *err);
/* Calls the agent of `side`; `path` follows "/v1/". `body` is consumed. A call without an answer is not kept
 * secret: the task then waits for "host 'H' to TO"; a side's call makes the side silent instead. */
struct task_call_spec {
    struct task_side *side;
    const char *method;
    const char *path;
    JsonObject *body;
    unsigned timeout_s;
    const char *to;       /* a literal: "start the shell"; for a side's calls NULL */
    unsigned patience_ms; /* before that; 0 = the usual one */
};
/* Dropped when the task's state changes. */
void task_call(struct task *task, const struct task_call_spec *call, task_done done);
/* As task_call, for calls that make something on an agent: the side is `is_preparing` until the answer, and
 * an ending that began meanwhile learns of it (migrate_end_prepared). */
void task_prepare_call(struct task *task, const struct task_call_spec *call, task_done done);
/* Dropped when the side's serial changes. */
typedef void (*task_side_done)(struct task *task, struct task_side *side, JsonObject *object,
                               const struct err *err);
void task_side_call(struct task *task, const struct task_call_spec *call, task_side_done done);
/* A call that an agent's restart may have cost, or that it does not answer, is made again (`again`, later)
 * until the phase's deadline: true. Else false, and where that is the reason, *err says who was waited for,
 * for what and how long. `to` as in the call. */
bool task_try_again(struct task *task, struct task_side *side, const char *to,
                    void (*again)(struct task *task), struct err *err);
void task_after(struct task *task, unsigned ms, void (*call)(struct task *task));
void task_side_after(struct task *task, struct task_side *side, unsigned ms,
                     void (*call)(struct task *task, struct task_side *side));
const char *task_side_host(const struct task *task, const struct task_side *side);
/* "moves/ID" + suffix; g_free. */
char *task_move_path(const struct task *task, const char *suffix);

#endif
