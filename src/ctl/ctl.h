/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local control messages between an agent and its helper processes (job, door, trace object), over
 * SOCK_SEQPACKET unix sockets made by the agent. Native byte order, fixed-size structs: both ends are one
 * build on one host. The agent trusts nothing that a job sends beyond its size and range, because a job reads
 * bytes from the network.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CTL_VERSION 1
#define CTL_BODY_MAX 8192
#define CTL_FDS_MAX 24
#define CTL_SECRET_SIZE 32
#define CTL_ADDRESS_MAX 64
#define CTL_ADDRESSES_MAX 4
#define CTL_CHANNELS_MAX 16
#define CTL_DISKS_MAX 8
#define CTL_CIPHER_MAX 24
#define CTL_VCPUS_MAX 64
#define CTL_STUN_CLASSES 12
#define CTL_RESUME_LIMIT_MAX_S 80

enum ctl_type {
    /* agent to job */
    CTL_JOB_SPEC = 1, /* struct ctl_job_spec; descriptors in the order of enum ctl_job_fd */
    CTL_DONE,         /* a request of the job was carried out; same serial; body per request */
    CTL_FAILED,       /* it was not; same serial; struct err */
    CTL_CANCEL,       /* end the attempt now: struct err says why. Ignored once GIVE was answered */
    /* job to agent: requests, each answered by DONE or FAILED with the same serial, one at a time */
    CTL_STOP, /* source: stop the guest. DONE: no body */
    CTL_SAVE, /* source: device state. DONE: no body, one descriptor: stream to read to its end; then a second
                 DONE (same serial, no descriptor) when QEMU says completed and postmigrate */
    CTL_GIVE, /* source: body = READY (32 bytes). DONE once GIVEN is durable: body = COMMIT (32 bytes) */
    CTL_QUIT, /* source: body = struct ctl_verdict from the peer. DONE once it is journaled (RUNNING: QEMU
                 ends; else: guest runs here again) */
    CTL_LOAD, /* destination: DONE: no body, one descriptor: stream to write the device state to, then close;
                 second DONE when loaded */
    CTL_READY, /* destination: all loaded. DONE: body = READY (32 bytes) */
    CTL_CONT,  /* destination: body = COMMIT (32 bytes). DONE once OWNED is durable and `cont` ran: body =
                  struct ctl_verdict */
    /* job to agent: reports, never answered */
    CTL_PROGRESS, /* struct ctl_progress */
    CTL_ROUND,    /* struct ctl_round: one finished round */
    CTL_RESULT,   /* struct ctl_result: the job's last message */
    CTL_FORECAST, /* struct ctl_forecast, of a source that was started for one */
    /* job to agent: requests as above */
    CTL_DISK,  /* both: body = uint32, number of the disk connection. DONE: no body, one descriptor: a stream
                  whose other end is QEMU. Source: a second DONE when QEMU copies the disk over it */
    CTL_DISKS, /* source: all copies were begun. DONE: no body, once all disks are equal on both sides, but
                  for what the guest has just written */
    /* agent to door */
    CTL_DOOR_EXPECT =
        64, /* struct ctl_door_ticket + one SOCK_SEQPACKET descriptor: sockets with this ticket go there */
    CTL_DOOR_FORGET, /* struct ctl_door_ticket */
    /* door to agent */
    CTL_DOOR_COUNTS, /* struct ctl_door_counts, at most once a second and only when changed */
    /* door to job, over the socket of CTL_DOOR_EXPECT */
    CTL_DOOR_SOCKET, /* struct ctl_door_socket + the accepted TCP socket */
};

struct ctl_msg {
    uint32_t type;
    uint32_t serial; /* chosen by the sender of a request, repeated in its answer; 0 for reports */
    uint32_t length; /* of body, in bytes */
    uint8_t body[CTL_BODY_MAX];
};

enum ctl_role { CTL_ROLE_SOURCE = 1, CTL_ROLE_DESTINATION = 2 };
enum ctl_dirty { CTL_DIRTY_AUTO, CTL_DIRTY_ASYNC, CTL_DIRTY_SYNC };
enum ctl_compression { CTL_COMPRESSION_AUTO, CTL_COMPRESSION_OFF, CTL_COMPRESSION_LZ4, CTL_COMPRESSION_ZSTD };
enum ctl_delta { CTL_DELTA_AUTO, CTL_DELTA_OFF, CTL_DELTA_ON };
/* Order of the counts: raw, lz4, zstd, delta. */
#define CTL_CODECS 4

/* Descriptors that come with CTL_JOB_SPEC, in this order. */
enum ctl_job_fd {
    CTL_FD_RAM,            /* both: the guest's memfd, read-write */
    CTL_FD_DOOR,           /* destination: SOCK_SEQPACKET on which the door hands over sockets */
    CTL_FD_UFFD_ASYNC = 1, /* source, from here on */
    CTL_FD_UFFD_SYNC,
    CTL_FD_PAGEMAP,
    CTL_FD_QEMU_PID, /* pidfd: a dead QEMU never shows as a hang-up */
};
#define CTL_SOURCE_FDS 5
#define CTL_DESTINATION_FDS 2

struct ctl_job_spec {
    uint32_t version; /* CTL_VERSION */
    uint32_t role;    /* enum ctl_role */
    char move_id[48];
    char vm_uuid[48];
    uint64_t epoch;
    uint8_t ticket[CTL_SECRET_SIZE];
    uint8_t key[CTL_SECRET_SIZE];
    uint32_t encrypt;     /* all connections of this move are under TLS; else none may be */
    uint64_t ram_size;    /* bytes, multiple of 4096 */
    uint64_t ram_address; /* source: where QEMU maps it */
    uint32_t n_channels;
    uint32_t n_disks; /* those whose content moves, at most CTL_DISKS_MAX */
    uint32_t is_kvm;  /* source: smaller protect and scan calls */
    uint32_t dirty;   /* enum ctl_dirty */
    uint32_t verify;
    uint32_t max_downtime_ms;
    uint32_t switchover_limit_s;
    uint32_t resume_limit_s;    /* 1 to CTL_RESUME_LIMIT_MAX_S: so long a copy waits for lost connections */
    uint64_t bandwidth_bytes_s; /* 0 = no cap */
    uint64_t fixed_downtime_ns; /* source: what a switch-over costs besides the last pages */
    uint32_t compression;       /* enum ctl_compression; source, as is delta */
    uint32_t delta;             /* enum ctl_delta */
    uint32_t is_urgent;         /* high priority: its packets go first */
    uint32_t is_forecast;       /* no move: the memory is a scratch file at the destination; no requests */
    uint64_t switch_ns;         /* source of a forecast: what a switch-over takes but for memory */
    uint32_t port;
    uint32_t n_addresses;
    char addresses[CTL_ADDRESSES_MAX][CTL_ADDRESS_MAX]; /* destination's, numeric */
    uint32_t n_source_addresses;
    char source_addresses[CTL_ADDRESSES_MAX][CTL_ADDRESS_MAX];
    /* source: who is who in QEMU */
    uint32_t qemu_pid;
    uint32_t n_vcpus;
    int32_t vcpu_tids[CTL_VCPUS_MAX];
    uint32_t stun_limit_percent; /* 0: none */
};

/* Order as in model/move.h enum move_verdict. */
enum ctl_verdict_kind { CTL_VERDICT_NONE, CTL_VERDICT_RUNNING, CTL_VERDICT_ABORTED, CTL_VERDICT_RETURNED };
struct ctl_verdict {
    uint32_t kind; /* enum ctl_verdict_kind */
    uint8_t secret[CTL_SECRET_SIZE];
};

enum ctl_step { CTL_STEP_CONNECT = 1, CTL_STEP_COPY, CTL_STEP_SWITCH, CTL_STEP_END };

/* Pages that were sent one way, zero pages apart. */
struct ctl_codec {
    uint64_t pages;
    uint64_t raw_bytes; /* of the pages */
    uint64_t wire_bytes;
};

struct ctl_progress {
    uint32_t step;               /* enum ctl_step; COPY is sent once when both sides stand ready */
    char cipher[CTL_CIPHER_MAX]; /* of the control connection, from COPY on; "": not encrypted */
    uint32_t round;
    uint64_t bytes_on_wire;
    uint64_t bytes_left;
    uint64_t rate_bytes_s;
    uint64_t dirty_bytes_s;
    uint64_t pages_zero;
    uint64_t stun_ns;
    struct ctl_codec codecs[CTL_CODECS]; /* source only */
    uint64_t throttle_bytes_s;           /* what the guest is held to now; 0: to nothing */
    uint64_t bytes_resent;               /* source: crossed the network in vain, and crossed it again */
    uint32_t resumes;                    /* how often the copy went on over new connections */
    uint32_t is_down;                    /* connections are lost, and the copy waits for new ones */
    uint32_t addresses_out; /* source: bit i: over address i there was no connection the last time */
    uint32_t strangers;     /* destination: connections with the ticket that were turned away */
};

struct ctl_round {
    uint32_t n;
    uint32_t reserved;
    uint64_t pages;
    uint64_t bytes;
    uint64_t duration_ns;
    uint64_t dirty_pages;
    uint64_t stun_ns;
    uint64_t throttle_bytes_s;
};

struct ctl_stun_class {
    uint64_t up_to_us; /* 0: no end */
    uint64_t count;
};

/* What a switch-over consists of, in this order: the source's steps, then the destination's. */
enum ctl_mark {
    CTL_MARK_STOPPED, /* source, from here on: QEMU has stopped the guest */
    CTL_MARK_SCANNED, /* the last dirty pages are known */
    CTL_MARK_SENT,    /* they are with the kernel */
    CTL_MARK_SAVED,   /* the device state is here as a whole, and QEMU has settled */
    CTL_MARK_PLACED,  /* the destination has said that all of memory is there */
    CTL_MARK_QUIET,   /* one more scan has found nothing */
    CTL_MARK_STATE_SENT,
    CTL_MARK_READY,   /* came from the destination */
    CTL_MARK_GIVEN,   /* is durable */
    CTL_MARK_RUNNING, /* came from the destination */
    CTL_MARK_MEMORY,  /* destination, from here on: all of memory is there */
    CTL_MARK_STATE_RECEIVED,
    CTL_MARK_LOADED,
    CTL_MARK_READY_SENT,
    CTL_MARK_COMMIT, /* came from the source */
    CTL_MARK_RUNS,   /* OWNED is durable and QEMU runs the guest */
    CTL_MARKS
};

struct ctl_result {
    uint32_t ok;
    uint32_t verified; /* whole-RAM checksums were compared and equal */
    uint32_t dirty;    /* enum ctl_dirty that was used */
    uint32_t reserved;
    uint64_t copy_ns;             /* both sides ready .. RUNNING received (source) */
    uint64_t downtime_ns;         /* stop asked for .. RUNNING received (source) */
    uint64_t bytes_on_wire;       /* everything this side wrote and read on the migration network */
    uint64_t memory_bytes;        /* the most that the job had resident; 0: not known */
    uint64_t marks_ns[CTL_MARKS]; /* CLOCK_MONOTONIC less the moment when the switch-over began (source: the
                                     stop was asked for; destination: its phase began); 0: not reached */
    struct ctl_stun_class stuns[CTL_STUN_CLASSES];
    uint32_t n_vcpus; /* 0: stuns belong to the VM as a whole */
    uint32_t reserved_vcpus;
    uint64_t vcpu_stun_ns[CTL_VCPUS_MAX];
    struct err error; /* when !ok */
};

/* As struct engine_forecast. */
struct ctl_forecast {
    uint64_t duration_ns, downtime_ns;
    uint32_t n_rounds, needs_sdps, converges, zero_percent, wire_percent, reserved;
    uint64_t used_bytes, dirty_bytes_s, working_set_bytes, link_bytes_s, first_bytes_s, again_bytes_s,
        sync_ns;
};

struct ctl_door_ticket {
    uint8_t ticket[CTL_SECRET_SIZE];
};

struct ctl_door_counts {
    uint64_t handed;    /* sockets given to jobs */
    uint64_t strangers; /* closed: bad preamble, unknown ticket, too slow, too many */
};

struct ctl_door_socket {
    uint32_t role;     /* from the preamble: 1 control, 2 data, 3 disk */
    uint32_t channel;  /* number of the data or disk channel */
    uint32_t security; /* from the preamble: 0 none, 1 TLS follows */
};

/* One whole message, or nothing. Blocking or not as the socket is; a full non-blocking socket gives
 * ERR_RETRY. Thread: any, one sender at a time. */
int ctl_send(int fd, const struct ctl_msg *msg, const int *fds, size_t n_fds, struct err *err);
/* Receives one message and up to *n_fds descriptors (close-on-exec; *n_fds in: room, out: count; surplus ones
 * are closed and make it fail). ERR_PEER_LOST at end of stream, ERR_RETRY when a non-blocking socket is
 * empty, ERR_CORRUPT for a malformed message. */
int ctl_recv(int fd, struct ctl_msg *ret_msg, int *ret_fds, size_t *n_fds, struct err *err);
/* Fills type, serial, length and body. size <= CTL_BODY_MAX. */
void ctl_fill(struct ctl_msg *msg, uint32_t type, uint32_t serial, const void *body, size_t size);
/* Copies the body into *ret_body if it has exactly `size` bytes, else ERR_CORRUPT. */
int ctl_body(const struct ctl_msg *msg, void *ret_body, size_t size, struct err *err);

/*
 * The trace object inside QEMU. Its listening SOCK_SEQPACKET socket and /dev/userfaultfd are inherited; the
 * environment variable CTL_TRACE_ENV holds "LISTEN_FD,UFFD_DEV_FD". A client with uid 0 connects, sends one
 * byte CTL_TRACE_ASK and gets one byte CTL_TRACE_PAIR with two new userfaultfds (nothing enabled yet), or
 * CTL_TRACE_ERROR followed by an int32 errno. The object keeps no copy.
 */
#define CTL_TRACE_ENV "GW_TRACE_FDS"
#define CTL_TRACE_ASK 'u'
#define CTL_TRACE_PAIR 'p'
#define CTL_TRACE_ERROR 'e'

#endif
