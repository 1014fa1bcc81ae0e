/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/send.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/queue.h"
#include "engine/batch.h"
#include "engine/checksum.h"
#include "engine/halt.h"
#include "engine/resume.h"

/* A ZERO or HOLE record. */
static int send_list(struct sender *sender, unsigned channel, uint32_t type, struct batch *batch,
                     struct err *err)
{
    uint8_t head[WIRE_LIST_SIZE];
    const struct run_list *list = type == WIRE_HOLE ? &batch->wanted : &batch->zeros;
    wire_list_encode(&(struct wire_list){.round = sender->round, .n_extents = list->n}, head);
    wire_extents_encode(list->extents, list->n, batch->zero_bytes);
    struct iovec parts[3] = {
        {0}, {head, sizeof head}, {batch->zero_bytes, (size_t)list->n * WIRE_EXTENT_SIZE}};
    sender->counts[channel].n_records++;
    return link_send(&sender->links[channel], type, parts, 3, err);
}

/* The pages of the batch, of which parts[3...] and `data` are filled. */
static int send_data(struct sender *sender, unsigned channel, struct batch *batch, uint64_t n_bytes,
                     struct err *err)
{
    (void)XXH3_64bits_reset(batch->hash);
    for (size_t i = 3; i < batch->n_parts; i++)
        (void)XXH3_64bits_update(batch->hash, batch->parts[i].iov_base, batch->parts[i].iov_len);
    uint8_t head[WIRE_PAGES_SIZE];
    wire_pages_encode(&(struct wire_pages){.round = sender->round,
                                           .n_extents = batch->data.n,
                                           .n_bytes = n_bytes,
                                           .xxh3 = XXH3_64bits_digest(batch->hash)},
                      head);
    wire_extents_encode(batch->data.extents, batch->data.n, batch->data_bytes);
    batch->parts[1] = (struct iovec){head, sizeof head};
    batch->parts[2] = (struct iovec){batch->data_bytes, (size_t)batch->data.n * WIRE_EXTENT_SIZE};
    sender->counts[channel].n_records++;
    sender->counts[channel].n_bytes += n_bytes;
    return link_send(&sender->links[channel], WIRE_PAGES, batch->parts, batch->n_parts, err);
}

static void note_present(struct sender *sender, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->data.n; i++)
        bitmap_set_range(&sender->present, batch->data.extents[i].offset / ENGINE_PAGE_SIZE,
                         batch->data.extents[i].length / ENGINE_PAGE_SIZE);
    for (uint32_t i = 0; i < batch->zeros.n; i++)
        bitmap_clear_range(&sender->present, batch->zeros.extents[i].offset / ENGINE_PAGE_SIZE,
                           batch->zeros.extents[i].length / ENGINE_PAGE_SIZE);
}

/* Sends what is worth packing, and leaves the rest in the batch. */
static int send_packed(struct sender *sender, struct sender_worker *worker, struct batch *batch,
                       struct err *err)
{
    struct channel_counts *counts = &sender->counts[worker->number];
    struct packer_channel channel = {.link = &sender->links[worker->number], .round = sender->round};
    packing_forget(&sender->packing, batch->zeros.extents, batch->zeros.n);
    if (batch->data.n && packer_send(&worker->packer, &channel, batch, err) < 0)
        return -1;
    counts->n_records += channel.n_records;
    counts->n_bytes += channel.n_bytes;
    return 0;
}

static int send_batch(struct sender *sender, struct sender_worker *worker, struct batch *batch,
                      struct err *err)
{
    unsigned channel = worker->number;
    packer_begin(&worker->packer);
    if (batch_read(batch, &sender->ram, err) < 0)
        return -1;
    packer_read(&worker->packer);
    if (batch->zeros.n && send_list(sender, channel, WIRE_ZERO, batch, err) < 0)
        return -1;
    note_present(sender, batch);
    if (send_packed(sender, worker, batch, err) < 0)
        return -1;
    uint64_t n_bytes = run_list_pages(&batch->data) * ENGINE_PAGE_SIZE;
    if (n_bytes && send_data(sender, channel, batch, n_bytes, err) < 0)
        return -1;
    packer_end(&worker->packer, &sender->links[channel], n_bytes);
    (void)__atomic_fetch_add(&sender->zero_pages, run_list_pages(&batch->zeros), __ATOMIC_RELAXED);
    (void)__atomic_fetch_sub(&sender->pages_left, run_list_pages(&batch->wanted), __ATOMIC_RELAXED);
    __atomic_store_n(&sender->sent_ns, clock_now_ns(), __ATOMIC_RELAXED);
    return 0;
}

static int hash_batch(struct sender *sender, struct batch *batch, struct err *err)
{
    struct ram_hash_job job = {.first = batch->first_part,
                               .stride = sender->n_channels,
                               .ret_hashes = sender->hashes,
                               .buffer = batch->pages,
                               .hash = batch->hash,
                               .halt = sender->halt};
    return ram_hash_parts(&sender->ram, &job, err);
}

/* The next pages of the round that nobody has taken. */
static bool claim(struct sender *sender, struct batch *batch)
{
    (void)pthread_mutex_lock(&sender->claim_lock);
    bool is_some = batch_fill(batch, sender->pages, &sender->next_page);
    (void)pthread_mutex_unlock(&sender->claim_lock);
    return is_some;
}

static int send_claimed(struct sender *sender, struct sender_worker *worker, struct batch *batch,
                        struct err *err)
{
    int result = 0;
    while (result == 0 && claim(sender, batch))
        result = send_batch(sender, worker, batch, err);
    return result;
}

/* A failure that new connections can make good. */
static bool is_outage(const struct sender *sender, const struct err *why)
{
    return sender->reconnect && why->code == ERR_PEER_LOST && halt_check(sender->halt, NULL) == 0;
}

/* True if the worker goes on all the same: the last one hands back what nobody can send, so that the story is
 * not left waiting. */
static bool lose_link(struct sender_worker *worker, const struct err *why)
{
    struct sender *sender = worker->sender;
    worker->why = *why;
    worker->is_lost = true;
    worker->has_ended = __atomic_sub_fetch(&sender->n_alive, 1, __ATOMIC_ACQ_REL) > 0;
    return !worker->has_ended;
}

static void *work(void *argument)
{
    struct sender_worker *worker = argument;
    struct sender *sender = worker->sender;
    struct batch *batch;
    bool goes_on = true;
    while (goes_on && (batch = queue_take(sender->work))) {
        struct err why = {0};
        int result = worker->is_lost  ? 0
                     : batch->is_hash ? hash_batch(sender, batch, &why)
                                      : send_claimed(sender, worker, batch, &why);
        if (result < 0 && !is_outage(sender, &why)) {
            halt_set(sender->halt, &why);
            return NULL;
        }
        if (result < 0)
            goes_on = lose_link(worker, &why);
        queue_put(sender->idle, batch);
    }
    return NULL;
}

static int start_worker(struct sender *sender, unsigned number, struct err *err)
{
    struct sender_worker *worker = &sender->workers[number];
    worker->sender = sender;
    worker->number = number;
    worker->is_lost = worker->has_ended = false;
    return thread_start(&worker->thread, "send", work, worker, err);
}

int sender_start(struct sender *sender, struct err *err)
{
    _Static_assert(RAM_HASH_BUFFER_SIZE <= WIRE_BATCH_BYTES_MAX, "a batch's pages serve as hash buffer");
    sender->n_batches = sender->n_channels;
    sender->batches = calloc(sender->n_batches, sizeof sender->batches[0]);
    if (!sender->batches)
        return err_sys(err, ENOMEM, "no-memory", "no memory for %u batches", sender->n_batches);
    (void)pthread_mutex_init(&sender->claim_lock, NULL);
    sender->idle = queue_new(sender->n_batches, err);
    sender->work = queue_new(sender->n_batches, err);
    if (!sender->idle || !sender->work ||
        bitmap_init(&sender->handled, sender->ram.size / ENGINE_PAGE_SIZE, err) < 0 ||
        bitmap_init(&sender->present, sender->ram.size / ENGINE_PAGE_SIZE, err) < 0 ||
        packing_init(&sender->packing, err) < 0)
        return -1;
    for (unsigned i = 0; i < sender->n_batches; i++) {
        if (batch_init(&sender->batches[i], err) < 0)
            return -1;
        queue_put(sender->idle, &sender->batches[i]);
    }
    if (sender->reconnect && bitmap_init(&sender->missing, sender->present.n_bits, err) < 0)
        return -1;
    sender->n_alive = sender->n_channels;
    for (unsigned i = 0; i < sender->n_channels; i++) {
        sender->workers[i].packer.packing = &sender->packing;
        if (packer_init(&sender->workers[i].packer, err) < 0 || start_worker(sender, i, err) < 0)
            return -1;
    }
    return 0;
}

static struct batch *take_idle(struct sender *sender, struct err *err)
{
    struct batch *batch = queue_take(sender->idle);
    if (!batch)
        (void)halt_check(sender->halt, err);
    return batch;
}

/* Wakes as many workers as there is work for. */
static int hand_out_pages(struct sender *sender, const struct bitmap *dirty, uint64_t n_pages,
                          struct err *err)
{
    sender->pages = dirty;
    sender->next_page = 0;
    for (unsigned i = 0; i < sender->n_batches && (uint64_t)i * BATCH_PAGES < n_pages; i++) {
        struct batch *batch = take_idle(sender, err);
        if (!batch)
            return -1;
        batch->is_hash = false;
        queue_put(sender->work, batch);
    }
    return 0;
}

static int wait_for_workers(struct sender *sender, struct err *err)
{
    if (queue_wait_full(sender->idle) < 0)
        return halt_check(sender->halt, err);
    for (unsigned i = 0; i < sender->n_channels; i++) {
        if (sender->workers[i].is_lost) {
            *err = sender->workers[i].why;
            return -1;
        }
    }
    return 0;
}

/* By the story, while the workers idle. A HOLE takes whole runs: a batch's list is as long as its pages. */
static int send_holes(struct sender *sender, const struct bitmap *holes, struct err *err)
{
    struct batch *batch = take_idle(sender, err);
    if (!batch)
        return -1;
    int result = 0;
    for (uint64_t from = 0; result == 0;) {
        uint64_t first, count;
        batch->wanted.n = 0;
        while (batch->wanted.n < BATCH_PAGES &&
               (count = bitmap_next_run(holes, from, holes->n_bits, &first))) {
            batch->wanted.extents[batch->wanted.n++] =
                (struct wire_extent){first * ENGINE_PAGE_SIZE, count * ENGINE_PAGE_SIZE};
            bitmap_clear_range(&sender->present, first, count);
            from = first + count;
        }
        if (!batch->wanted.n)
            break;
        packing_forget(&sender->packing, batch->wanted.extents, batch->wanted.n);
        result = send_list(sender, 0, WIRE_HOLE, batch, err);
    }
    queue_put(sender->idle, batch);
    return result;
}

/* The other side ended it, rather than that it broke. */
static bool was_closed(const struct link *link)
{
    char byte;
    return recv(link->stream.fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/* Of the channels other than 0. A destination that has heard FINISH closes them all, and its answer on 0 may
 * be longer on its way than the end of another one. */
static int check_others(const struct sender *sender, struct pollfd *fds, struct err *err)
{
    for (unsigned i = 1; i < sender->n_channels; i++) {
        if (!fds[i].revents)
            continue;
        if (!sender->is_finished || !was_closed(&sender->links[i]))
            return err_set(err, ERR_PEER_LOST, "peer-lost", "data channel %u to the other host broke", i);
        fds[i].fd = -1;
    }
    return 0;
}

/* The answer comes on connection 0, and only if no other is lost on the way. */
static int wait_for_answer(struct sender *sender, struct err *err)
{
    struct pollfd fds[ENGINE_CHANNELS_MAX + 1];
    unsigned n = sender->n_channels;
    if (stream_has_pending(&sender->links[0].stream))
        return 0;
    for (unsigned i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = sender->links[i].stream.fd, .events = i ? POLLRDHUP : POLLIN};
    fds[n] = (struct pollfd){.fd = halt_fd(sender->halt), .events = POLLIN};
    do {
        int ready = poll(fds, n + 1, -1);
        if (ready < 0 && errno != EINTR)
            return err_sys(err, errno, "poll-failed", "cannot wait for the destination's answer");
        if (halt_check(sender->halt, err) < 0)
            return -1;
        if (ready > 0 && !fds[0].revents && check_others(sender, fds, err) < 0)
            return -1;
    } while (!fds[0].revents);
    return 0;
}

/* On connection 0, for the round that was just ended. */
static int receive_ack(struct sender *sender, struct wire_ack *ret_ack, struct err *err)
{
    struct wire_record record;
    uint8_t bytes[WIRE_ACK_SIZE];
    if (wait_for_answer(sender, err) < 0 || link_receive_header(&sender->links[0], &record, err) < 0)
        return -1;
    if (record.type != WIRE_ACK)
        return err_set(err, ERR_CORRUPT, "unexpected-record", "a %s record arrived where an ACK was due",
                       wire_type_name(record.type));
    if (link_receive_told(&sender->links[0], bytes, sizeof bytes, err) < 0 ||
        link_check_sum(&sender->links[0], err) < 0 || wire_ack_decode(bytes, ret_ack, err) < 0)
        return -1;
    if (ret_ack->round != sender->round)
        return err_set(err, ERR_CORRUPT, "ack-round", "an ACK of round %u arrived in round %u",
                       ret_ack->round, sender->round);
    return 0;
}

/* The end of a round on every channel. */
static int send_sync(struct sender *sender, struct err *err)
{
    sender->n_round_bytes = 0;
    for (unsigned i = 0; i < sender->n_channels; i++) {
        uint8_t sync[WIRE_SYNC_SIZE];
        struct channel_counts *counts = &sender->counts[i];
        wire_sync_encode(&(struct wire_sync){.round = sender->round,
                                             .n_records = counts->n_records,
                                             .n_bytes = counts->n_bytes},
                         sync);
        sender->n_round_bytes += counts->n_bytes;
        *counts = (struct channel_counts){0};
        if (link_send_small(&sender->links[i], WIRE_SYNC, sync, sizeof sync, err) < 0)
            return -1;
    }
    sender->is_synced = true;
    return 0;
}

/* The destination's word that all of the round is placed. */
static int await_placed(struct sender *sender, struct err *err)
{
    struct wire_ack ack;
    if (receive_ack(sender, &ack, err) < 0)
        return -1;
    if (ack.verdict != WIRE_VERDICT_PLACED || ack.n_bytes != sender->n_round_bytes)
        return err_set(
            err, ERR_CORRUPT, "ack-counts", "the destination placed %llu bytes of round %u, %llu were sent",
            (unsigned long long)ack.n_bytes, sender->round, (unsigned long long)sender->n_round_bytes);
    return 0;
}

static int begin_pages(struct sender *sender, const struct bitmap *pages, struct err *err)
{
    uint64_t n_pages = bitmap_count(pages);
    sender->is_synced = false;
    __atomic_store_n(&sender->sent_ns, clock_now_ns(), __ATOMIC_RELAXED);
    __atomic_store_n(&sender->pages_left, n_pages, __ATOMIC_RELAXED);
    return hand_out_pages(sender, pages, n_pages, err);
}

static int begin_round(struct sender *sender, uint32_t n, const struct bitmap *dirty, struct err *err)
{
    sender->round = n;
    sender->outage_ns = 0;
    packing_begin_round(&sender->packing, n);
    bitmap_add(&sender->handled, dirty);
    return begin_pages(sender, dirty, err);
}

/* All batches are idle: of the workers only those that have ended care. */
static int restart_workers(struct sender *sender, struct err *err)
{
    sender->n_alive = sender->n_channels;
    for (unsigned i = 0; i < sender->n_channels; i++) {
        struct sender_worker *worker = &sender->workers[i];
        sender->counts[i] = (struct channel_counts){0};
        worker->is_lost = false;
        if (!worker->has_ended)
            continue;
        thread_join(&worker->thread);
        if (start_worker(sender, i, err) < 0)
            return -1;
    }
    return 0;
}

/* Turns what is placed into what is missing of `dirty`. 1: all of the round was placed, and only its ACK was
 * lost. */
static int find_missing(struct sender *sender, const struct bitmap *dirty, const struct resume *resume,
                        struct err *err)
{
    struct bitmap *placed = &sender->missing;
    uint64_t n_words = (placed->n_bits + 63) / 64;
    bool is_over = sender->is_synced && resume->round == sender->round + 1;
    if (!is_over && resume->round != sender->round)
        return err_set(err, ERR_CORRUPT, "resume-round", "the destination resumes in round %u, not %u",
                       resume->round, sender->round);
    for (uint64_t word = 0; word < n_words; word++) {
        if (placed->words[word] & (is_over ? UINT64_MAX : ~dirty->words[word]))
            return err_set(err, ERR_CORRUPT, "resume-pages",
                           "the destination has pages that were not sent in round %u", resume->round);
        placed->words[word] = dirty->words[word] & ~placed->words[word];
    }
    return is_over;
}

/* New connections, and what is still missing of the round: 0. 1: nothing is. */
static int resume(struct sender *sender, const struct bitmap *dirty, struct err *err)
{
    struct resume heard;
    int result;
    uint64_t sent_ns = __atomic_load_n(&sender->sent_ns, __ATOMIC_RELAXED);
    if (!sender->is_stuck)
        sender->down_ns = clock_now_ns();
    __atomic_store_n(&sender->is_down, true, __ATOMIC_RELAXED);
    do {
        struct err why = *err;
        result = sender->reconnect(&why, sender->user, err);
        if (result == 0)
            result = restart_workers(sender, err);
        if (result < 0)
            return -1;
        result = resume_hear(&sender->links[0], &heard, &sender->missing, err);
    } while (result < 0 && is_outage(sender, err));
    if (result == 0)
        result = find_missing(sender, dirty, &heard, err);
    if (result < 0)
        return -1;
    /* Connections that come back and carry no page, because large packets are lost, do not end the outage. */
    uint64_t n_missing = bitmap_count(&sender->missing);
    sender->is_stuck = n_missing == sender->n_missing;
    sender->n_missing = n_missing;
    /* What these pages are on the destination is not known. */
    packing_forget_pages(&sender->packing, &sender->missing);
    uint64_t now_ns = clock_now_ns();
    sender->outage_ns += now_ns - sent_ns;
    __atomic_store_n(&sender->sent_ns, now_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&sender->bytes_resent, heard.n_wasted, __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&sender->resumes, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&sender->is_down, false, __ATOMIC_RELAXED);
    return result;
}

static int finish_pages(struct sender *sender, struct err *err)
{
    if (wait_for_workers(sender, err) < 0 || send_sync(sender, err) < 0)
        return -1;
    if (await_placed(sender, err) < 0)
        return -1;
    return sender->reconnect ? sender->check_own(sender->user, err) : 0;
}

int sender_round(struct sender *sender, uint32_t n, const struct bitmap *dirty, struct err *err)
{
    sender->n_missing = 0;
    sender->is_stuck = false;
    int result = begin_round(sender, n, dirty, err);
    while (result == 0 && finish_pages(sender, err) < 0) {
        result = is_outage(sender, err) ? resume(sender, dirty, err) : -1;
        if (result == 0)
            result = begin_pages(sender, &sender->missing, err);
    }
    return result < 0 ? -1 : 0;
}

/* Finds what has lost its memory while the workers send, and tells the destination. A page that was written
 * and lost it then was sent by the workers, as zeros. */
static int last_pages(struct sender *sender, struct bitmap *holes, struct err *err)
{
    if (ram_find_holes(&sender->ram, &sender->handled, holes, err) < 0 || wait_for_workers(sender, err) < 0)
        return -1;
    bitmap_keep(holes, &sender->present);
    return send_holes(sender, holes, err);
}

/* Hashes all of RAM with every worker, while the destination does the same. */
static int hash_all(struct sender *sender, struct err *err)
{
    uint8_t begin[WIRE_VERIFY_BEGIN_SIZE];
    wire_verify_begin_encode(&(struct wire_verify_begin){.part_bytes = WIRE_PART_BYTES}, begin);
    for (unsigned i = 0; i < sender->n_channels; i++)
        if (link_send_small(&sender->links[i], WIRE_VERIFY_BEGIN, begin, sizeof begin, err) < 0)
            return -1;
    for (unsigned i = 0; i < sender->n_channels; i++) {
        struct batch *batch = take_idle(sender, err);
        if (!batch)
            return -1;
        batch->is_hash = true;
        batch->first_part = i;
        queue_put(sender->work, batch);
    }
    return wait_for_workers(sender, err);
}

static int send_hashes(struct sender *sender, struct err *err)
{
    struct batch *batch = take_idle(sender, err);
    if (!batch)
        return -1;
    uint64_t n_parts = ram_n_parts(&sender->ram);
    int result = 0;
    for (uint64_t first = 0; first < n_parts && result == 0; first += WIRE_HASHES_MAX) {
        uint32_t n = (uint32_t)(n_parts - first < WIRE_HASHES_MAX ? n_parts - first : WIRE_HASHES_MAX);
        uint8_t head[WIRE_VERIFY_SIZE];
        wire_verify_encode(&(struct wire_verify){.first_part = first, .n_parts = n}, head);
        for (uint32_t i = 0; i < n; i++)
            wire_hash_encode(sender->hashes[first + i], batch->pages + (size_t)i * WIRE_HASH_SIZE);
        struct iovec parts[3] = {{0}, {head, sizeof head}, {batch->pages, (size_t)n * WIRE_HASH_SIZE}};
        result = link_send(&sender->links[0], WIRE_VERIFY, parts, 3, err);
    }
    queue_put(sender->idle, batch);
    return result;
}

static int verify_ram(struct sender *sender, struct err *err)
{
    sender->hashes = calloc(ram_n_parts(&sender->ram), sizeof sender->hashes[0]);
    if (!sender->hashes)
        return err_sys(err, ENOMEM, "no-memory", "no memory for checksums");
    if (hash_all(sender, err) < 0)
        return -1;
    return send_hashes(sender, err);
}

int sender_last_round(struct sender *sender, uint32_t n, const struct bitmap *dirty, bool verify,
                      struct err *err)
{
    struct bitmap holes = {0};
    if (begin_round(sender, n, dirty, err) < 0 || bitmap_init(&holes, dirty->n_bits, err) < 0)
        return -1;
    int result = last_pages(sender, &holes, err);
    bitmap_free_bits(&holes);
    if (result < 0 || send_sync(sender, err) < 0 || (verify && verify_ram(sender, err) < 0))
        return -1;
    for (unsigned i = 0; i < sender->n_channels; i++)
        if (link_send_small(&sender->links[i], WIRE_FINISH, NULL, 0, err) < 0)
            return -1;
    sender->is_finished = true;
    return 0;
}

int sender_await_end(struct sender *sender, bool verify, struct err *err)
{
    struct wire_ack ack;
    if (await_placed(sender, err) < 0 || receive_ack(sender, &ack, err) < 0)
        return -1;
    if (ack.verdict == WIRE_VERDICT_DIFFERS)
        return err_set(err, ERR_CORRUPT, "ram-differs",
                       "guest RAM differs between the hosts, first within %llu bytes at %llu",
                       (unsigned long long)ack.length, (unsigned long long)ack.offset);
    if (ack.verdict != (verify ? WIRE_VERDICT_SAME : WIRE_VERDICT_PLACED))
        return err_set(err, ERR_CORRUPT, "ack-verdict",
                       "the destination answered the end of the transfer with %u", ack.verdict);
    return 0;
}

uint64_t sender_bytes(const struct sender *sender)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < sender->n_channels; i++)
        bytes += stream_bytes(&sender->links[i].stream);
    return bytes;
}

void sender_wake(struct sender *sender)
{
    if (sender->idle)
        queue_close(sender->idle);
    if (sender->work)
        queue_close(sender->work);
}

void sender_clear(struct sender *sender)
{
    sender_wake(sender);
    for (unsigned i = 0; i < sender->n_channels; i++)
        thread_join(&sender->workers[i].thread);
    queue_free(sender->idle);
    queue_free(sender->work);
    if (sender->batches)
        (void)pthread_mutex_destroy(&sender->claim_lock);
    for (unsigned i = 0; sender->batches && i < sender->n_batches; i++)
        batch_clear(&sender->batches[i]);
    for (unsigned i = 0; i < sender->n_channels; i++)
        packer_clear(&sender->workers[i].packer);
    packing_clear(&sender->packing);
    free(sender->batches);
    free(sender->hashes);
    bitmap_free_bits(&sender->handled);
    bitmap_free_bits(&sender->present);
    bitmap_free_bits(&sender->missing);
}
