/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/send.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/queue.h"
#include "engine/batch.h"
#include "engine/checksum.h"
#include "engine/halt.h"

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

static void *work(void *argument)
{
    struct sender_worker *worker = argument;
    struct sender *sender = worker->sender;
    struct batch *batch;
    while ((batch = queue_take(sender->work))) {
        struct err why = {0};
        int result =
            batch->is_hash ? hash_batch(sender, batch, &why) : send_claimed(sender, worker, batch, &why);
        if (result < 0) {
            halt_set(sender->halt, &why);
            return NULL;
        }
        queue_put(sender->idle, batch);
    }
    return NULL;
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
    for (unsigned i = 0; i < sender->n_channels; i++) {
        struct sender_worker *worker = &sender->workers[i];
        worker->sender = sender;
        worker->number = i;
        worker->packer.packing = &sender->packing;
        if (packer_init(&worker->packer, err) < 0)
            return -1;
        if (thread_start(&worker->thread, "send", work, worker, err) < 0)
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

/* On connection 0, for the round that was just ended. */
static int receive_ack(struct sender *sender, struct wire_ack *ret_ack, struct err *err)
{
    struct wire_record record;
    uint8_t bytes[WIRE_ACK_SIZE];
    if (link_receive_header(&sender->links[0], &record, err) < 0)
        return -1;
    if (record.type != WIRE_ACK)
        return err_set(err, ERR_CORRUPT, "unexpected-record", "a %s record arrived where an ACK was due",
                       wire_type_name(record.type));
    if (link_receive(&sender->links[0], bytes, sizeof bytes, err) < 0 ||
        wire_ack_decode(bytes, ret_ack, err) < 0)
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

static int begin_round(struct sender *sender, uint32_t n, const struct bitmap *dirty, struct err *err)
{
    sender->round = n;
    uint64_t n_pages = bitmap_count(dirty);
    packing_begin_round(&sender->packing, n);
    __atomic_store_n(&sender->pages_left, n_pages, __ATOMIC_RELAXED);
    for (uint64_t word = 0; word < (dirty->n_bits + 63) / 64; word++)
        if (dirty->words[word])
            sender->handled.words[word] |= dirty->words[word];
    return hand_out_pages(sender, dirty, n_pages, err);
}

int sender_round(struct sender *sender, uint32_t n, const struct bitmap *dirty, struct err *err)
{
    if (begin_round(sender, n, dirty, err) < 0 || wait_for_workers(sender, err) < 0 ||
        send_sync(sender, err) < 0)
        return -1;
    return await_placed(sender, err);
}

/* Finds what has lost its memory while the workers send, and tells the destination. A page that was written
 * and lost it then was sent by the workers, as zeros. */
static int last_pages(struct sender *sender, struct bitmap *holes, struct err *err)
{
    if (ram_find_holes(&sender->ram, &sender->handled, holes, err) < 0 || wait_for_workers(sender, err) < 0)
        return -1;
    for (uint64_t word = 0; word < (holes->n_bits + 63) / 64; word++)
        if (holes->words[word])
            holes->words[word] &= sender->present.words[word];
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
}
