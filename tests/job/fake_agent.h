/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fake agent: plays both agents of a move over the real control sockets, with the real door, real jobs and
 * real TCP on loopback. Its guest is a process that rewrites a memfd all the time and, like QEMU, owns the
 * address space of the userfaultfds. One thread; every wait ends by an event or after a minute as a failure.
 */
#ifndef TESTS_JOB_FAKE_AGENT_H
#define TESTS_JOB_FAKE_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/beat.h"
#include "ctl/ctl.h"

#define FAKE_RAM_SIZE (16u << 20)
#define FAKE_DEVICE_STATE_SIZE 300000u

/* Set once by main. */
struct fake_programs {
    const char *job;
    const char *door;
    const char *flipping_job;
};
extern struct fake_programs fake_programs;

struct fake_guest {
    pid_t pid;
    int pidfd;
    int ram;      /* memfd */
    int commands; /* socket to the guest */
    uint64_t address;
};

struct fake_side {
    pid_t job;
    struct beat *beat; /* with its descriptor: while there is a job */
    int beat_fd;
    int control;  /* -1: none */
    int ram;      /* destination: memfd */
    int state_in; /* destination: device state of the LOAD that runs; -1: none */
    uint32_t load_serial;
    size_t n_state;
    uint8_t state[FAKE_DEVICE_STATE_SIZE + 1];
    unsigned n_requests[CTL_RESULT + 1]; /* how often each type arrived */
    bool is_copying;                     /* a progress report said COPY */
    bool is_sending;                     /* one said that memory was sent: all of it is tracked by now */
    char cipher[CTL_CIPHER_MAX];         /* of the last progress report */
    unsigned n_down;                     /* reports that said so */
    uint32_t resumes;                    /* of the last one */
    bool has_result;
    struct ctl_result result;
};

/* What the agents do differently in a test. */
struct fake_faults {
    bool refuse_load;  /* LOAD is answered by FAILED */
    bool bad_verdict;  /* CONT is answered by RETURNED */
    bool silent_stop;  /* STOP is never answered */
    bool kill_at_cont; /* the destination's job is killed instead of an answer to CONT */
};

struct fake_world {
    struct fake_guest guest;
    int door_control;
    pid_t door;
    uint16_t port;
    struct ctl_door_counts counts;
    struct fake_side source;
    struct fake_side destination;
    struct fake_faults faults;
    bool guest_is_stopped;
    uint8_t ready[CTL_SECRET_SIZE], commit[CTL_SECRET_SIZE], running[CTL_SECRET_SIZE];
    uint8_t device_state[FAKE_DEVICE_STATE_SIZE];
};

void fake_world_start(struct fake_world *world);
/* The door ends, as its agent wants it to; connections that it handed over stay. */
void fake_end_door(struct fake_world *world);
/* Ends every process. */
void fake_world_end(struct fake_world *world);

/* A spec that works; tests change it. */
void fake_spec(struct fake_world *world, enum ctl_role role, struct ctl_job_spec *ret_spec);
/* Gives the ticket to the door and starts the job. */
void fake_start_destination(struct fake_world *world, const struct ctl_job_spec *spec, const char *program);
void fake_start_source(struct fake_world *world, const struct ctl_job_spec *spec);
void fake_forget_ticket(struct fake_world *world, const struct ctl_job_spec *spec);

/* Serves all sockets until `done` says so. */
void fake_serve_until(struct fake_world *world, bool (*done)(const struct fake_world *world));
void fake_cancel(struct fake_side *side, const char *text);
/* Kills the job and collects it. */
void fake_kill_job(struct fake_side *side);
/* Waits for the end of a job that has reported its result; its exit status must agree. */
void fake_reap_job(struct fake_side *side);

/* The guest rewrites all of its memory once more; fails if one of its threads is held up. */
void fake_guest_must_run(struct fake_world *world);
void fake_resume_guest(struct fake_world *world);
/* Both memories, byte by byte. */
bool fake_ram_is_equal(const struct fake_world *world);

#endif
