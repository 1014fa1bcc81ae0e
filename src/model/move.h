/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One migration as manager and agents speak of it: the specification (phase 3), what each side answers, and
 * the report it gives while it runs. A "move" on an agent is one side of a task; its id is the task's id. All
 * binary values (secrets, hashes, tickets, keys) are lower-case hexadecimal in JSON.
 */
#ifndef MODEL_MOVE_H
#define MODEL_MOVE_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/host.h"
#include "model/json.h"
#include "model/vm.h"

#define MOVE_SECRET_SIZE 32
#define MOVE_ROUNDS_MAX 128
#define MOVE_CHANNELS_MAX 16
#define MOVE_PHASES 9
#define MOVE_EVENT_DETAIL 128
/* The default, and the most: less than the term of the lease on the VM, 90 s, which only progress renews. */
#define MOVE_RESUME_LIMIT_S 60
#define MOVE_RESUME_LIMIT_MAX_S 80

/* The nine phases, in order. Names as in the JSON: "request", "destination check", "specification", "source
 * check and lock", "destination shell", "copy", "switch-over", "inventory", "complete". */
enum move_phase {
    PHASE_REQUEST,
    PHASE_DESTINATION_CHECK,
    PHASE_SPECIFICATION,
    PHASE_SOURCE_CHECK,
    PHASE_DESTINATION_SHELL,
    PHASE_COPY,
    PHASE_SWITCH_OVER,
    PHASE_INVENTORY,
    PHASE_COMPLETE
};
const char *move_phase_name(enum move_phase phase);
int move_phase_from_name(const char *name, enum move_phase *ret_phase);

/* What the operator may choose; defaults by move_options_init. */
struct move_options {
    uint32_t max_downtime_ms;    /* the goal, default 100; 1 .. 10000 */
    uint32_t switchover_limit_s; /* default 100; 1 .. 3600: a switch-over that takes longer is taken back */
    uint32_t bandwidth_mb_s;     /* 10^6 bytes per second, 0 = no cap */
    uint32_t channels;           /* data channels, 0 = chosen; at most MOVE_CHANNELS_MAX */
    uint32_t stun_limit_percent; /* of the vCPUs' time, while memory is copied; 0 = no limit; at most 100 */
    uint32_t resume_limit_s;     /* the copy waits so long for lost connections; 0 = MOVE_RESUME_LIMIT_S */
    bool sync_clock; /* the guest's clock is set to the destination's after the move; needs its guest agent */
    bool verify;     /* compare checksums of the whole RAM before the device state is loaded */
    char pool[POOL_PATH_MAX]; /* resource pool after the move; "": the same, "/": none */
    char
        datastore[MODEL_NAME_MAX]; /* disks go to this one of the destination; "": they stay where they are */
    char compression[8];           /* "" or "auto": where it is faster; "off", "lz4", "zstd" */
    char delta[8]; /* changes of pages that are sent again: "" (where the link is slow), "on", "off" */
    char dirty_source[16]; /* "auto", "async", "sync": for tests and for the worried */
    char encryption[16];   /* "disabled", "opportunistic" or "required"; "": opportunistic */
    char priority[8];      /* "high", or "": normal */
};
bool move_is_urgent(const struct move_options *options);
void move_options_init(struct move_options *options);
JsonObject *move_options_to_json(const struct move_options *options);
int move_options_from_json(JsonObject *object, struct move_options *ret_options, struct err *err);

/* A disk whose content moves along, into a new image: where, says the VM in the specification. */
struct move_disk {
    uint32_t disk;       /* its place among the VM's disks */
    uint64_t size_bytes; /* that the guest sees; this one and the next are the source's to say, 0 before */
    uint64_t used_bytes; /* that its image, with all on which it is built, takes now */
};

/* Manager to both agents (body of "prepare" on the source and "shell" on the destination). */
struct move_spec {
    char id[MODEL_UUID_SIZE]; /* task, session and log id in one */
    struct vm_spec vm;        /* as it will be at the destination; machine and cpu_model are the source's */
    uint32_t n_disks;
    struct move_disk disks[VM_DISKS_MAX]; /* those that move; in the order of the VM's */
    char accel[8];                        /* what it runs on at the source: "kvm" or "tcg" */
    char source[MODEL_NAME_MAX];
    char destination[MODEL_NAME_MAX];
    uint64_t epoch; /* of this attempt; in the source's "prepare", which answers with it, what it must be now,
                       or 0 */
    uint32_t n_channels;
    uint32_t n_addresses; /* of the destination's door, tried in order */
    char addresses[HOST_ADDRESSES_MAX][MODEL_ADDRESS_MAX];
    uint16_t port;
    uint32_t n_source_addresses; /* the source connects from these, pairwise with `addresses` where it can */
    char source_addresses[HOST_ADDRESSES_MAX][MODEL_ADDRESS_MAX];
    uint8_t key[MOVE_SECRET_SIZE]; /* one-time key of the jobs' connections */
    bool encrypt; /* these are under TLS; what the manager made of options.encryption, which is empty here */
    struct move_options options;
    /* SHA-256 of the secrets of the other side; which ones are set depends on the call, see agent/moves.h. */
    uint8_t commit_hash[MOVE_SECRET_SIZE];
    uint8_t ready_hash[MOVE_SECRET_SIZE];
    uint8_t running_hash[MOVE_SECRET_SIZE];
    uint8_t aborted_hash[MOVE_SECRET_SIZE];
    uint8_t returned_hash[MOVE_SECRET_SIZE];
    uint8_t ticket[MOVE_SECRET_SIZE];
};
JsonObject *move_spec_to_json(const struct move_spec *spec); /* as vm_spec_to_lean_json */
int move_spec_from_json(JsonObject *object, struct move_spec *ret_spec, struct err *err);
/* A move's disks only, with their sizes: {"disks":[…]}. Into a specification that has the same ones. */
JsonObject *move_disks_to_json(const struct move_spec *spec);
int move_disks_from_json(JsonObject *object, struct move_spec *spec, struct err *err);
/* The VM stays on its host, and only its disks go to another datastore of it. */
bool move_is_here(const struct move_spec *spec);

/* One finished round. */
struct move_round {
    uint32_t n;
    uint64_t pages; /* handled in the round, zero pages included */
    uint64_t bytes; /* on the wire */
    uint64_t duration_ns;
    uint64_t dirty_pages; /* found by the scan that ended the round */
    uint64_t stun_ns;
    uint64_t throttle_bytes_s; /* what the guest was held to; 0: to nothing */
};

/* How long writers of the guest were held up: so many for up to so long. */
#define MOVE_STUNS_MAX 12
struct move_stuns {
    uint64_t up_to_us; /* 0: the last ones, without an end */
    uint64_t count;
};
struct move_vcpu_stun {
    uint64_t stun_ns;
};

/* A step of the switch-over. */
#define MOVE_STEPS_MAX 16
struct move_step {
    char step[32];
    uint64_t us; /* since the switch-over began on this side */
};

/* Pages that were sent one way: "raw", "lz4", "zstd", "delta". */
#define MOVE_CODECS_MAX 8
struct move_codec {
    char name[16];
    uint64_t pages;
    uint64_t raw_bytes; /* of the pages */
    uint64_t wire_bytes;
};

/* How far the copy of a disk has come. Writes of the guest make it longer. */
struct move_disk_copy {
    char label[DISK_LABEL_MAX]; /* as vm_disk_label: where it is at the source */
    uint64_t bytes_done, bytes_total;
    bool ready; /* both images have been equal; what the guest writes follows */
};

/* What happened when, as one side saw it: a line of the task's timeline. */
#define MOVE_EVENTS_MAX 64
struct move_event {
    int64_t time_ms;                /* wall clock of who saw it */
    char event[32];                 /* a name of move_timeline.c, or one from a later version */
    char detail[MOVE_EVENT_DETAIL]; /* or "" */
};
struct move_timeline {
    uint32_t n_events;
    struct move_event events[MOVE_EVENTS_MAX]; /* oldest first; once full, the last one is replaced */
};
/* Thread: any, one at a time. `detail` may be NULL. */
void move_timeline_add(struct move_timeline *timeline, int64_t time_ms, const char *event,
                       const char *detail);
/* Takes over what a side reports: from its first event on it replaces what was known, so that a side that was
 * restarted and has forgotten the beginning does not make us forget it. */
void move_timeline_take(struct move_timeline *timeline, const struct move_timeline *reported);
/* Where an event belongs among others of the same millisecond, on either host: what must come first is
 * smaller. */
unsigned move_event_rank(const char *event);
/* {"events":[…]}; transfer full. */
JsonObject *move_timeline_to_json(const struct move_timeline *timeline);
int move_timeline_from_json(JsonObject *object, struct move_timeline *ret_timeline, struct err *err);

/* Where a side of a move stands. Only ever goes forward. */
enum move_state {
    MOVE_PREPARED, /* source: validated and locked; destination: shell stands, door knows the ticket */
    MOVE_COPYING,
    MOVE_SWITCHING, /* source: guest stopped; destination: last data arrives */
    MOVE_GIVEN,     /* source only: COMMIT is released, the verdict is not known */
    MOVE_DONE,      /* source: destination runs, QEMU ended; destination: runs */
    MOVE_FAILED,    /* source: owns and runs the VM; destination: shell gone */
};

/* Which verdict the destination's journal holds, for the manager's relay. */
enum move_verdict { VERDICT_NONE, VERDICT_RUNNING, VERDICT_ABORTED, VERDICT_RETURNED };

/* An agent's report of its side (GET /v1/moves/ID). */
struct move_status {
    char id[MODEL_UUID_SIZE];
    bool is_source;
    enum move_state state;
    uint64_t version; /* grows with each change; for long polling */
    uint64_t ram_bytes;
    uint64_t bytes_on_wire;
    uint64_t job_memory_bytes; /* the most that this side's job had resident; known at its end */
    uint64_t bytes_left;       /* estimate: what is known dirty */
    uint64_t rate_bytes_s;     /* measured send rate of the last round */
    uint64_t dirty_bytes_s;    /* measured dirty rate of the last round */
    uint64_t pages_zero;
    uint32_t resumes;      /* how often the copy went on over new connections */
    uint64_t bytes_resent; /* source: crossed the network and had to cross it again for that */
    bool is_down;          /* connections are lost, and the copy waits for new ones */
    uint64_t stun_ns;
    uint64_t throttle_bytes_s; /* what the guest is held to now; 0: to nothing */
    uint64_t copy_ns;          /* from both sides ready to the guest running on the destination */
    uint64_t downtime_ns;      /* source: stop asked for .. RUNNING received; 0 until known */
    int64_t copy_start_ms;     /* wall clock; 0 until known */
    int64_t switch_start_ms;   /* wall clock; 0 until known */
    int64_t end_ms;            /* wall clock; 0 until known */
    uint32_t n_rounds;
    struct move_round rounds[MOVE_ROUNDS_MAX];
    uint32_t n_disks; /* those that move; source only */
    struct move_disk_copy disks[VM_DISKS_MAX];
    char image_left[MODEL_PATH_MAX]; /* that nobody needs any more and could not be removed; "": none */
    uint32_t n_codecs;               /* those in use; source only */
    struct move_codec codecs[MOVE_CODECS_MAX];
    uint32_t n_switch_over; /* 0 until the job's end */
    struct move_step switch_over[MOVE_STEPS_MAX];
    uint32_t n_stuns; /* 0 until the job has ended */
    struct move_stuns stuns[MOVE_STUNS_MAX];
    uint32_t n_vcpu_stuns; /* by number of the vCPU; 0: the stuns cannot be told apart, they are the VM's */
    struct move_vcpu_stun vcpu_stuns[VM_CPUS_MAX];
    uint32_t n_vcpus; /* of the VM, 0 until the job was started */
    char dirty_source[16];
    char encryption[16];        /* "none" or "tls13-psk" */
    char encryption_cipher[24]; /* of the control connection; "": none */
    bool verified;              /* whole-RAM checksums were compared and equal */
    struct err error;           /* set when MOVE_FAILED */
    /* Relay of the handover through the manager; zero unless applicable. */
    uint8_t commit[MOVE_SECRET_SIZE]; /* source, MOVE_GIVEN only */
    enum move_verdict verdict;        /* destination */
    uint8_t verdict_secret[MOVE_SECRET_SIZE];
    struct move_timeline timeline;
};
JsonObject *move_status_to_json(const struct move_status *status);
int move_status_from_json(JsonObject *object, struct move_status *ret_status, struct err *err);
const char *
move_state_name(enum move_state state); /* "prepared","copying","switching","given","done","failed" */
const char *move_verdict_name(enum move_verdict verdict); /* "none","running","aborted","returned" */

/* {"error":{code,id,phase,side,message,cause,fix}}: the one error form of every API. */
JsonObject *model_error_to_json(const struct err *err);
/* Fills *ret_error from such a document (the inner object); never fails: what is missing stays empty. */
void model_error_from_json(JsonObject *object, struct err *ret_error);
/* Hexadecimal. `text` takes 2*size+1 bytes. model_unhex: -1 unless exactly `size` bytes. */
void model_hex(const uint8_t *data, size_t size, char *text);
int model_unhex(const char *text, uint8_t *ret_data, size_t size);

#endif
