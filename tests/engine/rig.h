/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of the engine in one process: real sockets, real userfaultfds, real memfds. The guest is a set of
 * threads that write through a mapping which is registered for tracking, as QEMU's is; the engine never uses
 * that mapping. After a move the memory of both ends is compared byte by byte, through other mappings.
 */
#ifndef TESTS_ENGINE_RIG_H
#define TESTS_ENGINE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/thread.h"
#include "engine/engine.h"
#include "relay.h"

#define MIB (1ull << 20)
#define RIG_GUESTS_MAX 8

struct rig {
    uint64_t size;
    int source_fd, destination_fd; /* memfds; the engine gets duplicates */
    uint8_t *guest;                /* where guest threads write */
    uint8_t *source, *destination; /* for the proof */
    int pagemap_fd;

    bool guest_stops; /* atomic */
    unsigned n_guests;
    struct rig_guest {
        struct thread thread;
        struct rig *rig;
        uint64_t seed;
        uint64_t begin, length; /* what it writes to */
        uint64_t n_writes;      /* atomic */
        bool is_gentle;         /* pauses between writes */
        bool is_patching;       /* changes single words only */
    } guests[RIG_GUESTS_MAX];
};

/* Where the two ends' sockets are, instead of both on loopback. */
struct rig_network {
    int source_namespace, destination_namespace; /* descriptors of network namespaces */
    const char *address;                         /* IPv4, of the destination */
};

/* What one attempt shall be. Zero is a good default everywhere but n_channels. */
struct rig_attempt {
    unsigned n_channels;
    enum engine_dirty dirty;
    uint64_t goal_ns; /* 0 = 300 ms */
    uint64_t bandwidth_bytes_s;
    uint32_t max_rounds;
    enum engine_compression compression;
    enum engine_delta delta;
    uint64_t delta_cache_bytes;
    bool verify, is_kvm;
    bool encrypt;                                /* TLS on every channel */
    relay_watcher relay;                         /* on the way between the ends; NULL: nobody is */
    void (*opened)(struct rig_attempt *attempt); /* the channels are connected and may be changed */
    const struct rig_network *network;           /* NULL = loopback */
    unsigned stun_limit_percent;
    int qemu_pid; /* see engine_source_config */
    uint64_t *fault_beat;
    void (*before_verify)(int ram_fd, void *user);
    void (*round_done)(const struct engine_round *round, void *user);
    void (*before_copy)(void *user);   /* the guest runs, and its writes count as such from now on */
    void (*after_copy)(void *user);    /* the guest still runs */
    void (*before_finish)(void *user); /* the guest was stopped */
    void (*before_answer)(void *user); /* all was handed to the kernel */
    void (*before_quiet)(void *user);  /* all is sent */
    /* A network that breaks (cutter.h); NULL: each channel is one connection, whose loss ends the attempt. */
    void (*open)(struct rig_attempt *attempt);
    engine_reconnect source_reconnect, destination_reconnect; /* called with the attempt, with user */
    int knock_fd;
    void *user;

    /* set up by rig_open; tests of failures use them */
    int source_channels[ENGINE_CHANNELS_MAX], destination_channels[ENGINE_CHANNELS_MAX];
    struct tls *source_tls[ENGINE_CHANNELS_MAX], *destination_tls[ENGINE_CHANNELS_MAX];
    struct relay *on_the_way;
    int pidfd; /* for the source, or -1; taken over */
    struct cancel *source_cancel, *destination_cancel;

    /* results */
    int source_result, destination_result;
    struct err source_err, destination_err;
    bool verified;
    uint64_t round_zero_ns, n_rounds;
    uint64_t total_ns;               /* from a ready source to the end of finish */
    struct engine_snapshot snapshot; /* of the source at its end */
    struct engine_snapshot destination_snapshot;
    struct engine_stuns stuns;
    enum engine_dirty used;
};

/* RAM of `size` bytes, all holes. Fails the test if something is missing. */
void rig_init(struct rig *rig, uint64_t size);
/* Stops guests, frees all. */
void rig_clear(struct rig *rig);
/* An empty memfd on the destination again. */
void rig_fresh_destination(struct rig *rig);
/* Random bytes, written by the guest's mapping. */
void rig_fill(struct rig *rig, uint64_t offset, uint64_t length, uint64_t seed);
/* Words of a small vocabulary, with spaces and lines: about what a codec makes of text. */
void rig_fill_text(struct rig *rig, uint64_t offset, uint64_t length, uint64_t seed);
/* One more guest thread: rewrites whole pages and single words at random in its range until rig_stop_guests.
 */
void rig_start_guest(struct rig *rig, uint64_t begin, uint64_t length, bool is_gentle);
/* One that changes single words at random, as fast as it can. */
void rig_start_patching_guest(struct rig *rig, uint64_t begin, uint64_t length);
void rig_stop_guests(struct rig *rig);
/* Events, not sleeps: returns when each guest has written `n` more times. */
void rig_wait_writes(struct rig *rig, uint64_t n);

/* Sockets and cancellations. */
void rig_open(struct rig_attempt *attempt);
/* Closes what rig_open made and the attempt did not use up. */
void rig_close(struct rig_attempt *attempt);
/* A source configuration with fresh userfaultfds, ready for engine_source_new. */
struct engine_source_config rig_source_config(struct rig *rig, struct rig_attempt *attempt);
struct engine_dest_config rig_dest_config(struct rig *rig, struct rig_attempt *attempt);
/* open, both ends, the whole story with the guests stopped before finish, check_quiet, close. */
void rig_run(struct rig *rig, struct rig_attempt *attempt);
/* rig_run, that must succeed, and the memory of both ends must be equal. */
void rig_move(struct rig *rig, struct rig_attempt *attempt);
/* Offset of the first byte that differs, or `size`. */
uint64_t rig_difference(const struct rig *rig);
/* Bytes of memory behind a memfd. */
uint64_t rig_allocated(int fd);
uint64_t rig_random(uint64_t *state);

#endif
