/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/receive.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/err.h"
#include "engine/halt.h"
#include "engine/resume.h"

_Static_assert(WIRE_HASHES_MAX *WIRE_HASH_SIZE <= RAM_HASH_BUFFER_SIZE, "the buffer serves for hashes");

static int send_ack(struct receiver *receiver, struct wire_ack ack, struct err *err)
{
    uint8_t bytes[WIRE_ACK_SIZE];
    wire_ack_encode(&ack, bytes);
    return link_send_small(&receiver->links[0], WIRE_ACK, bytes, sizeof bytes, err);
}

static int end_round(void *user, struct err *err)
{
    struct receiver *receiver = user;
    struct wire_ack ack = {.round = receiver->place.round,
                           .verdict = WIRE_VERDICT_PLACED,
                           .n_bytes = __atomic_load_n(&receiver->place.placed_bytes, __ATOMIC_RELAXED)};
    place_next_round(&receiver->place);
    __atomic_store_n(&receiver->published, receiver->place.round, __ATOMIC_RELAXED);
    return send_ack(receiver, ack, err);
}

static int receive_sync(struct receiver_worker *worker, struct err *err)
{
    uint8_t bytes[WIRE_SYNC_SIZE];
    struct wire_sync sync;
    if (link_receive_told(worker->link, bytes, sizeof bytes, err) < 0 ||
        link_check_sum(worker->link, err) < 0)
        return -1;
    wire_sync_decode(bytes, &sync);
    if (place_check_round(&worker->receiver->place, sync.round, err) < 0)
        return -1;
    if (sync.n_records != worker->n_records || sync.n_bytes != worker->placer.n_bytes)
        return err_set(err, ERR_CORRUPT, "sync-counts",
                       "round %u ended on channel %u with %llu records, %llu arrived", sync.round,
                       worker->link->number, (unsigned long long)sync.n_records,
                       (unsigned long long)worker->n_records);
    worker->n_records = worker->placer.n_bytes = 0;
    return barrier_wait(&worker->receiver->barrier, end_round, worker->receiver, err);
}

static int begin_verify(void *user, struct err *err)
{
    struct receiver *receiver = user;
    if (receiver->hashes)
        return err_set(err, ERR_CORRUPT, "verify-twice", "verification was asked for twice");
    receiver->hashes = calloc(ram_n_parts(&receiver->place.ram), sizeof receiver->hashes[0]);
    if (!receiver->hashes)
        return err_sys(err, ENOMEM, "no-memory", "no memory for checksums");
    if (receiver->before_verify)
        receiver->before_verify(receiver->place.ram.fd, receiver->user);
    return 0;
}

static int hash_share(struct receiver_worker *worker, struct err *err)
{
    struct receiver *receiver = worker->receiver;
    uint8_t bytes[WIRE_VERIFY_BEGIN_SIZE];
    struct wire_verify_begin begin;
    if (link_receive_told(worker->link, bytes, sizeof bytes, err) < 0 ||
        link_check_sum(worker->link, err) < 0 || wire_verify_begin_decode(bytes, &begin, err) < 0 ||
        barrier_wait(&receiver->barrier, begin_verify, receiver, err) < 0)
        return -1;
    worker->is_verifying = true;
    struct ram_hash_job job = {.first = worker->link->number,
                               .stride = receiver->n_channels,
                               .ret_hashes = receiver->hashes,
                               .buffer = worker->placer.buffer,
                               .hash = worker->placer.hash,
                               .halt = receiver->halt};
    if (ram_hash_parts(&receiver->place.ram, &job, err) < 0)
        return -1;
    return barrier_wait(&receiver->barrier, NULL, NULL, err);
}

/* Connection 0 only, parts in order from 0. */
static int compare_hashes(struct receiver_worker *worker, const struct wire_record *record, struct err *err)
{
    struct receiver *receiver = worker->receiver;
    uint8_t head[WIRE_VERIFY_SIZE];
    struct wire_verify verify;
    if (link_receive_told(worker->link, head, sizeof head, err) < 0 ||
        wire_verify_decode(head, record->length, ram_n_parts(&receiver->place.ram), &verify, err) < 0)
        return -1;
    if (worker->link->number != 0 || !worker->is_verifying || verify.first_part != receiver->n_compared)
        return err_set(err, ERR_CORRUPT, "verify-order", "hashes of part %llu arrived out of order",
                       (unsigned long long)verify.first_part);
    if (link_receive_told(worker->link, worker->placer.buffer, (size_t)verify.n_parts * WIRE_HASH_SIZE, err) <
            0 ||
        link_check_sum(worker->link, err) < 0)
        return -1;
    for (uint32_t i = 0; i < verify.n_parts; i++) {
        uint64_t part = verify.first_part + i;
        if (wire_hash_decode(worker->placer.buffer + (size_t)i * WIRE_HASH_SIZE) != receiver->hashes[part] &&
            part < receiver->differs_at)
            receiver->differs_at = part;
    }
    receiver->n_compared += verify.n_parts;
    return 0;
}

/* All channels said FINISH. Tells the source the verdict; a difference is our error as well. */
static int conclude(void *user, struct err *err)
{
    struct receiver *receiver = user;
    struct wire_ack ack = {.round = receiver->place.round - 1, .verdict = WIRE_VERDICT_PLACED};
    if (!receiver->place.round)
        return err_set(err, ERR_CORRUPT, "unexpected-record", "the source finished before the first round");
    if (receiver->hashes && receiver->n_compared != ram_n_parts(&receiver->place.ram))
        return err_set(err, ERR_CORRUPT, "verify-order", "the source finished amid the verification");
    if (receiver->hashes && receiver->differs_at != UINT64_MAX) {
        ack.verdict = WIRE_VERDICT_DIFFERS;
        ack.offset = receiver->differs_at * WIRE_PART_BYTES;
        ack.length = receiver->place.ram.size - ack.offset < WIRE_PART_BYTES
                         ? receiver->place.ram.size - ack.offset
                         : WIRE_PART_BYTES;
    } else if (receiver->hashes) {
        ack.verdict = WIRE_VERDICT_SAME;
        receiver->is_verified = true;
    }
    if (send_ack(receiver, ack, err) < 0)
        return -1;
    if (ack.verdict == WIRE_VERDICT_DIFFERS)
        return err_set(err, ERR_CORRUPT, "ram-differs",
                       "guest RAM differs between the hosts, first within %llu bytes at %llu",
                       (unsigned long long)ack.length, (unsigned long long)ack.offset);
    return 0;
}

/* One record. 1: go on, 0: the source finished, -1: failed. */
static int handle(struct receiver_worker *worker, const struct wire_record *record, struct err *err)
{
    bool is_page_record = record->type == WIRE_PAGES || record->type == WIRE_PACKED ||
                          record->type == WIRE_DELTA || record->type == WIRE_ZERO ||
                          record->type == WIRE_HOLE;
    int result;
    if (worker->is_verifying && (is_page_record || record->type == WIRE_SYNC))
        return err_set(err, ERR_CORRUPT, "unexpected-record", "a %s record arrived after the last round",
                       wire_type_name(record->type));
    if (is_page_record)
        worker->n_records++;
    switch (record->type) {
    case WIRE_PAGES:
        result = placer_pages(&worker->placer, worker->link, record, err);
        break;
    case WIRE_PACKED:
    case WIRE_DELTA:
        result = unpacker_place(&worker->unpacker, &worker->placer, worker->link, record, err);
        break;
    case WIRE_ZERO:
    case WIRE_HOLE:
        result = placer_list(&worker->placer, worker->link, record, err);
        break;
    case WIRE_SYNC:
        result = receive_sync(worker, err);
        break;
    case WIRE_VERIFY_BEGIN:
        result = hash_share(worker, err);
        break;
    case WIRE_VERIFY:
        result = compare_hashes(worker, record, err);
        break;
    case WIRE_FINISH:
        return barrier_wait(&worker->receiver->barrier, conclude, worker->receiver, err);
    default:
        return err_set(err, ERR_CORRUPT, "unexpected-record", "a %s record arrived on a data channel",
                       wire_type_name(record->type));
    }
    return result < 0 ? -1 : 1;
}

static uint64_t received(const struct receiver_worker *worker)
{
    return __atomic_load_n(&worker->link->stream.received, __ATOMIC_RELAXED);
}

static void note_over(struct receiver *receiver)
{
    struct err over = {0};
    if (__atomic_add_fetch(&receiver->n_over, 1, __ATOMIC_ACQ_REL) < receiver->n_channels)
        return;
    (void)err_set(&over, ERR_CANCELLED, "over", "all of the memory has arrived");
    cancel_trigger(receiver->settled, &over);
}

static void note_failure(struct receiver_worker *worker, const struct err *why)
{
    struct receiver *receiver = worker->receiver;
    unsigned none = 0;
    if (!receiver->is_resumable || why->code != ERR_PEER_LOST || halt_check(receiver->halt, NULL) < 0) {
        halt_set(receiver->halt, why);
        return;
    }
    worker->why = *why;
    (void)__atomic_compare_exchange_n(&receiver->lost, &none, worker->link->number + 1, false,
                                      __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static void *run(void *argument)
{
    struct receiver_worker *worker = argument;
    struct wire_record record;
    struct err why = {0};
    int result = 1;
    while (result > 0) {
        result = link_receive_header(worker->link, &record, &why);
        if (result == 0)
            result = handle(worker, &record, &why);
        if (result >= 0)
            worker->whole = received(worker);
    }
    /* A barrier that another thread broke leaves no error here: that thread reports. */
    if (result == 0)
        note_over(worker->receiver);
    else if (err_is_set(&why))
        note_failure(worker, &why);
    (void)eventfd_write(worker->receiver->event_fd, 1);
    return NULL;
}

static int prepare(struct receiver_worker *worker, struct receiver *receiver, unsigned number,
                   struct err *err)
{
    worker->receiver = receiver;
    worker->link = &receiver->links[number];
    worker->placer.place = &receiver->place;
    return placer_init(&worker->placer, err);
}

int receiver_init(struct receiver *receiver, struct err *err)
{
    receiver->differs_at = UINT64_MAX;
    receiver->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    barrier_init(&receiver->barrier, receiver->n_channels);
    for (unsigned i = 0; i < receiver->n_channels; i++)
        if (prepare(&receiver->workers[i], receiver, i, err) < 0)
            return -1;
    if (receiver->event_fd < 0)
        return err_sys(err, errno, "eventfd-failed", "cannot make an eventfd");
    return place_init(&receiver->place, err);
}

int receiver_start(struct receiver *receiver, struct err *err)
{
    for (unsigned i = 0; i < receiver->n_channels; i++)
        if (thread_start(&receiver->workers[i].thread, "receive", run, &receiver->workers[i], err) < 0)
            return -1;
    return 0;
}

enum receiver_news receiver_wait(struct receiver *receiver, int knock_fd, struct err *ret_why)
{
    struct pollfd fds[] = {{.fd = receiver->event_fd, .events = POLLIN},
                           {.fd = receiver->is_resumable ? knock_fd : -1, .events = POLLIN},
                           {.fd = halt_fd(receiver->halt), .events = POLLIN}};
    for (;;) {
        if (halt_check(receiver->halt, NULL) < 0 ||
            __atomic_load_n(&receiver->n_over, __ATOMIC_ACQUIRE) == receiver->n_channels)
            return RECEIVER_OVER;
        unsigned lost = __atomic_load_n(&receiver->lost, __ATOMIC_ACQUIRE);
        if (lost) {
            *ret_why = receiver->workers[lost - 1].why;
            return RECEIVER_LOST;
        }
        if (poll(fds, 3, -1) > 0 && fds[1].revents)
            return RECEIVER_KNOCK;
        eventfd_t ignored;
        (void)eventfd_read(receiver->event_fd, &ignored);
    }
}

void receiver_stop(struct receiver *receiver)
{
    for (unsigned i = 0; i < receiver->n_channels; i++)
        (void)shutdown(receiver->links[i].stream.fd, SHUT_RDWR);
    barrier_break(&receiver->barrier);
    receiver_join(receiver);
}

int receiver_resume(struct receiver *receiver, struct err *err)
{
    if (receiver->hashes || receiver->n_over)
        return err_set(err, ERR_CORRUPT, "resume-too-late",
                       "the source wants to resume after the last round");
    receiver->lost = 0;
    barrier_clear(&receiver->barrier);
    barrier_init(&receiver->barrier, receiver->n_channels);
    receiver->place.placed_bytes = 0;
    for (unsigned i = 0; i < receiver->n_channels; i++) {
        struct receiver_worker *worker = &receiver->workers[i];
        receiver->n_wasted += received(worker) - worker->whole;
        worker->whole = received(worker);
        worker->n_records = worker->placer.n_bytes = 0;
    }
    struct resume resume = {.round = receiver->place.round, .n_wasted = receiver->n_wasted};
    if (resume_tell(&receiver->links[0], &resume, &receiver->place.placed, err) < 0) {
        receiver->workers[0].why = *err;
        receiver->lost = 1;
        return -1;
    }
    return receiver_start(receiver, err);
}

void receiver_join(struct receiver *receiver)
{
    for (unsigned i = 0; i < receiver->n_channels; i++)
        thread_join(&receiver->workers[i].thread);
}

uint64_t receiver_bytes(const struct receiver *receiver)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < receiver->n_channels; i++)
        bytes += stream_bytes(&receiver->links[i].stream);
    return bytes;
}

void receiver_wake(struct receiver *receiver)
{
    barrier_break(&receiver->barrier);
}

void receiver_clear(struct receiver *receiver)
{
    receiver_join(receiver);
    for (unsigned i = 0; i < receiver->n_channels; i++) {
        placer_clear(&receiver->workers[i].placer);
        unpacker_clear(&receiver->workers[i].unpacker);
    }
    free(receiver->hashes);
    place_clear(&receiver->place);
    barrier_clear(&receiver->barrier);
    if (receiver->event_fd >= 0)
        (void)close(receiver->event_fd);
}
