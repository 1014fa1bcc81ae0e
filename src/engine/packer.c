/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/packer.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/checksum.h"
#include "engine/delta.h"
#include "engine/link.h"

#define PAGE ((uint64_t)ENGINE_PAGE_SIZE)
/* A look at a batch takes so many pages of it, a sample so many times this. */
#define LOOK_PIECES 4u
#define SAMPLE_FACTOR 4u
/* More than this left of a look, and the batch is sent as it is. */
#define LOOK_WORTH(bytes) ((bytes)*17 / 20)
/* A packed batch that is not smaller than this is sent as it is. */
#define PACK_WORTH(bytes) ((bytes)*15 / 16)
/* After so many batches in a row that looked random, only one in so many is looked at. */
#define LOOK_SKIP_MAX 8u
/* A peer that does not read lets its window close while the way to it is short; on a slow link the window may
 * be full too, but then of bytes that are on their way. */
#define SHORT_WAY_US 2000u

int packer_init(struct packer *packer, struct err *err)
{
    packer->gathered = malloc(WIRE_BATCH_BYTES_MAX);
    packer->packed = malloc(WIRE_BATCH_BYTES_MAX);
    packer->deltas = malloc((size_t)BATCH_PAGES * DELTA_PAGE_MAX);
    packer->extent_bytes = malloc((size_t)BATCH_PAGES * WIRE_EXTENT_SIZE);
    packer->changed = malloc(sizeof *packer->changed);
    packer->rest = malloc(sizeof *packer->rest);
    packer->rest_parts = calloc(BATCH_PAGES, sizeof packer->rest_parts[0]);
    packer->hash = XXH3_createState();
    if (!packer->gathered || !packer->packed || !packer->deltas || !packer->extent_bytes ||
        !packer->changed || !packer->rest || !packer->rest_parts || !packer->hash)
        return err_sys(err, ENOMEM, "no-memory", "no memory to pack batches");
    return 0;
}

void packer_clear(struct packer *packer)
{
    free(packer->gathered);
    free(packer->packed);
    free(packer->deltas);
    free(packer->extent_bytes);
    free(packer->changed);
    free(packer->rest);
    free(packer->rest_parts);
    (void)XXH3_freeState(packer->hash);
    codec_clear(&packer->codec_state);
}

static uint64_t cpu_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool is_off(const struct packing *packing)
{
    return packing->compression == ENGINE_COMPRESSION_OFF && packing->delta == ENGINE_DELTA_OFF;
}

static void add(uint64_t *counter, uint64_t amount)
{
    (void)__atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

static void count(struct packing *packing, enum engine_codec codec, uint64_t raw_bytes, uint64_t wire_bytes)
{
    struct engine_codec_counts *counts = &packing->counts[codec];
    add(&counts->pages, raw_bytes / PAGE);
    add(&counts->raw_bytes, raw_bytes);
    add(&counts->wire_bytes, wire_bytes);
}

void packer_begin(struct packer *packer)
{
    packer->raw_bytes = packer->packed_raw = packer->wire_bytes = packer->pack_ns = 0;
    if (is_off(packer->packing))
        return;
    packer->begin_ns = clock_now_ns();
    packer->begin_cpu_ns = cpu_now_ns();
    (void)pthread_mutex_lock(&packer->packing->lock);
    packer->codec = packer->packing->policy.now;
    (void)pthread_mutex_unlock(&packer->packing->lock);
}

void packer_read(struct packer *packer)
{
    if (is_off(packer->packing))
        return;
    packer->read_ns = clock_now_ns() - packer->begin_ns;
    packer->read_cpu_ns = cpu_now_ns() - packer->begin_cpu_ns;
}

/* What a counter has grown by. A connection that was made anew counts from 0. */
static uint64_t advance(uint64_t *last, uint64_t now)
{
    uint64_t grown = now >= *last ? now - *last : now;
    *last = now;
    return grown;
}

/* What the kernel counted on the connection since the last batch. */
static void look_at_connection(struct packer *packer, const struct link *link, struct codec_batch *batch)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    if (getsockopt(link->stream.fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
        return; /* no TCP, in tests: nothing is known */
    uint64_t peer_us = advance(&packer->peer_us, info.tcpi_rwnd_limited);
    batch->link_us = advance(&packer->link_us, info.tcpi_busy_time);
    batch->peer_us = info.tcpi_rtt < SHORT_WAY_US ? peer_us : 0;
}

void packer_end(struct packer *packer, const struct link *link, uint64_t n_bytes)
{
    struct packing *packing = packer->packing;
    if (n_bytes)
        count(packing, ENGINE_CODEC_RAW, n_bytes, n_bytes);
    packer->raw_bytes += n_bytes;
    packer->wire_bytes += n_bytes;
    if (is_off(packing) || !packer->raw_bytes)
        return;
    uint64_t now_ns = clock_now_ns(), took_ns = now_ns - packer->begin_ns;
    uint64_t cpu_ns = cpu_now_ns() - packer->begin_cpu_ns;
    struct codec_batch batch = {.codec = packer->codec,
                                .raw_bytes = packer->raw_bytes,
                                .packed_raw = packer->packed_raw,
                                .wire_bytes = packer->wire_bytes,
                                .busy_ns = cpu_ns > packer->pack_ns ? cpu_ns - packer->pack_ns : 0,
                                .wait_ns = took_ns > cpu_ns ? took_ns - cpu_ns : 0,
                                .read_ns = packer->read_ns,
                                .read_cpu_ns = packer->read_cpu_ns,
                                .now_ns = now_ns};
    add(&packing->round.raw_bytes, batch.raw_bytes);
    add(&packing->round.busy_ns, cpu_ns);
    add(&packing->round.wait_ns, batch.wait_ns);
    look_at_connection(packer, link, &batch);
    uint64_t held_ns = advance(&packer->held_ns, link->held_ns);
    if (batch.link_us > batch.peer_us)
        held_ns += (batch.link_us - batch.peer_us) * NS_PER_US;
    add(&packing->round.link_ns, held_ns);
    if (packing->compression == ENGINE_COMPRESSION_OFF)
        return;
    (void)pthread_mutex_lock(&packing->lock);
    codec_policy_note(&packing->policy, &batch);
    (void)pthread_mutex_unlock(&packing->lock);
}

/* One PACKED or DELTA record; what it takes on the wire counts for `codec`. */
static int send_record(struct packer *packer, struct packer_channel *channel,
                       const struct wire_packed *packed, const struct run_list *runs, struct iovec payload,
                       struct err *err)
{
    uint8_t head[WIRE_PACKED_SIZE];
    size_t extents_size = (size_t)runs->n * WIRE_EXTENT_SIZE;
    wire_packed_encode(packed, head);
    wire_extents_encode(runs->extents, runs->n, packer->extent_bytes);
    struct iovec parts[4] = {{0}, {head, sizeof head}, {packer->extent_bytes, extents_size}, payload};
    uint64_t wire_bytes = sizeof head + extents_size + payload.iov_len;
    channel->n_records++;
    channel->n_bytes += packed->n_bytes;
    packer->raw_bytes += packed->n_bytes;
    packer->wire_bytes += wire_bytes;
    enum engine_codec codec = packed->codec == WIRE_CODEC_LZ4    ? ENGINE_CODEC_LZ4
                              : packed->codec == WIRE_CODEC_ZSTD ? ENGINE_CODEC_ZSTD
                                                                 : ENGINE_CODEC_DELTA;
    count(packer->packing, codec, packed->n_bytes, wire_bytes);
    return link_send(channel->link, codec == ENGINE_CODEC_DELTA ? WIRE_DELTA : WIRE_PACKED, parts, 4, err);
}

/* Some pages of the batch, at equal distances, one after the other. */
static size_t gather_pieces(struct packer *packer, const struct batch *batch, uint64_t piece_bytes)
{
    size_t size = 0, n_data = batch->n_parts - 3;
    for (unsigned i = 0; i < LOOK_PIECES; i++) {
        const struct iovec *part = &batch->parts[3 + n_data * i / LOOK_PIECES];
        uint64_t offset = part->iov_len * (i * n_data % LOOK_PIECES) / LOOK_PIECES / PAGE * PAGE;
        uint64_t left = part->iov_len - offset;
        size_t piece = (size_t)(left < piece_bytes ? left : piece_bytes);
        memcpy(packer->gathered + size, (const uint8_t *)part->iov_base + offset, piece);
        size += piece;
    }
    return size;
}

static bool looks_packable(struct packer *packer, const struct batch *batch)
{
    /* What looked random for long is looked at less often. */
    if (packer->n_unpackable >= LOOK_SKIP_MAX && packer->n_unpackable++ % LOOK_SKIP_MAX)
        return false;
    size_t size = gather_pieces(packer, batch, PAGE);
    struct codec_block block = {packer->gathered, size, packer->packed, LOOK_WORTH(size)};
    bool is_packable = codec_pack(&packer->codec_state, CODEC_LZ4, &block) > 0;
    packer->n_unpackable = is_packable ? 0 : packer->n_unpackable + 1;
    return is_packable;
}

/* Tries another codec than the one in use on a part of the batch. */
static void sample(struct packer *packer, const struct batch *batch)
{
    struct packing *packing = packer->packing;
    (void)pthread_mutex_lock(&packing->lock);
    enum codec codec = codec_policy_sample(&packing->policy);
    (void)pthread_mutex_unlock(&packing->lock);
    if (codec == CODEC_RAW || !looks_packable(packer, batch))
        return;
    size_t size = gather_pieces(packer, batch, SAMPLE_FACTOR * PAGE);
    struct codec_block block = {packer->gathered, size, packer->packed, size};
    if (!packer->is_warm[codec])
        (void)codec_pack(&packer->codec_state, codec, &block);
    packer->is_warm[codec] = true;
    uint64_t begin_ns = clock_now_ns();
    size_t packed = codec_pack(&packer->codec_state, codec, &block);
    uint64_t took_ns = clock_now_ns() - begin_ns;
    packer->pack_ns += took_ns;
    if (!packed)
        return;
    (void)pthread_mutex_lock(&packing->lock);
    codec_policy_learn(&packing->policy, codec, size, packed, took_ns);
    (void)pthread_mutex_unlock(&packing->lock);
}

/* The batch's data in one piece. */
static const uint8_t *gather(struct packer *packer, const struct batch *batch)
{
    size_t size = 0;
    if (batch->n_parts == 4)
        return batch->parts[3].iov_base;
    for (size_t i = 3; i < batch->n_parts; i++) {
        memcpy(packer->gathered + size, batch->parts[i].iov_base, batch->parts[i].iov_len);
        size += batch->parts[i].iov_len;
    }
    return packer->gathered;
}

static int send_packed(struct packer *packer, struct packer_channel *channel, struct batch *batch,
                       struct err *err)
{
    struct packing *packing = packer->packing;
    enum codec codec = packer->codec;
    if (!looks_packable(packer, batch))
        return 0;
    uint64_t begin_ns = clock_now_ns();
    uint64_t n_bytes = run_list_pages(&batch->data) * PAGE;
    struct codec_block block = {gather(packer, batch), n_bytes, packer->packed, PACK_WORTH(n_bytes)};
    size_t size = codec_pack(&packer->codec_state, codec, &block);
    uint64_t took_ns = clock_now_ns() - begin_ns;
    packer->pack_ns += took_ns;
    if (!size)
        return 0;
    (void)pthread_mutex_lock(&packing->lock);
    codec_policy_learn(&packing->policy, codec, n_bytes, size, took_ns);
    (void)pthread_mutex_unlock(&packing->lock);
    struct wire_packed packed = {.round = channel->round,
                                 .codec = codec_on_wire(codec),
                                 .n_extents = batch->data.n,
                                 .n_packed = (uint32_t)size,
                                 .n_bytes = n_bytes,
                                 .xxh3 = XXH3_64bits(block.bytes, n_bytes)};
    packer->packed_raw += n_bytes;
    if (send_record(packer, channel, &packed, &batch->data, (struct iovec){packer->packed, size}, err) < 0)
        return -1;
    batch->data.n = 0;
    batch->n_parts = 3;
    return 0;
}

static void add_page(struct run_list *list, uint64_t offset)
{
    struct wire_extent *last = list->n ? &list->extents[list->n - 1] : NULL;
    if (last && last->offset + last->length == offset)
        last->length += PAGE;
    else
        list->extents[list->n++] = (struct wire_extent){offset, PAGE};
}

struct page_in_hand {
    uint64_t offset;
    uint8_t *bytes;
    size_t index; /* among the pages of the batch */
};

/* The page's changes into packer->deltas at `used`; their size, or 0 if it is to be sent whole. */
static size_t page_delta(struct packer *packer, const struct page_in_hand *in_hand, uint32_t round,
                         size_t used)
{
    struct packing *packing = packer->packing;
    const uint8_t *page = in_hand->bytes;
    uint64_t number = in_hand->offset / PAGE;
    struct delta_entry entry;
    if (!delta_cache_take(&packing->cache, number, round,
                          packing->is_cached || packer->is_hot[in_hand->index], &entry))
        return 0;
    __atomic_store_n(&packing->is_filled, true, __ATOMIC_RELAXED);
    size_t size = entry.is_base ? delta_encode(entry.content, page, packer->deltas + used) : 0;
    if (!size)
        memcpy(entry.content, page, PAGE);
    if (entry.is_base)
        add(&packing->round.n_bases, 1);
    if (size)
        add(&packing->round.n_deltas, 1);
    delta_cache_keep(&entry, number, round);
    return size;
}

/* Takes the pages that changed little out of the batch. Returns the bytes of their changes. */
static size_t split(struct packer *packer, struct batch *batch, uint32_t round)
{
    size_t used = 0, n_rest = 0, part = 3, part_at = 0, index = 0;
    packer->changed->n = packer->rest->n = 0;
    (void)XXH3_64bits_reset(packer->hash);
    for (uint32_t i = 0; i < batch->data.n; i++) {
        const struct wire_extent *extent = &batch->data.extents[i];
        for (uint64_t done = 0; done < extent->length; done += PAGE) {
            uint8_t *page = (uint8_t *)batch->parts[part].iov_base + part_at;
            part_at += PAGE;
            if (part_at == batch->parts[part].iov_len) {
                part++;
                part_at = 0;
            }
            struct page_in_hand in_hand = {extent->offset + done, page, index++};
            size_t size = page_delta(packer, &in_hand, round, used);
            if (size) {
                (void)XXH3_64bits_update(packer->hash, page, PAGE);
                add_page(packer->changed, extent->offset + done);
                used += size;
                continue;
            }
            add_page(packer->rest, extent->offset + done);
            struct iovec *last = n_rest ? &packer->rest_parts[n_rest - 1] : NULL;
            if (last && (uint8_t *)last->iov_base + last->iov_len == page)
                last->iov_len += PAGE;
            else
                packer->rest_parts[n_rest++] = (struct iovec){page, PAGE};
        }
    }
    if (used) {
        batch->data.n = packer->rest->n;
        memcpy(batch->data.extents, packer->rest->extents, packer->rest->n * sizeof packer->rest->extents[0]);
        memcpy(batch->parts + 3, packer->rest_parts, n_rest * sizeof packer->rest_parts[0]);
        batch->n_parts = 3 + n_rest;
    }
    return used;
}

static int send_deltas(struct packer *packer, struct packer_channel *channel, struct batch *batch,
                       struct err *err)
{
    uint64_t begin_ns = clock_now_ns();
    size_t size = split(packer, batch, channel->round);
    packer->pack_ns += clock_now_ns() - begin_ns;
    if (!size)
        return 0;
    struct wire_packed packed = {.round = channel->round,
                                 .codec = WIRE_CODEC_NONE,
                                 .n_extents = packer->changed->n,
                                 .n_packed = (uint32_t)size,
                                 .n_bytes = run_list_pages(packer->changed) * PAGE,
                                 .xxh3 = XXH3_64bits_digest(packer->hash)};
    return send_record(packer, channel, &packed, packer->changed, (struct iovec){packer->deltas, size}, err);
}

int packer_send(struct packer *packer, struct packer_channel *channel, struct batch *batch, struct err *err)
{
    struct packing *packing = packer->packing;
    bool is_hot = !packing->is_cached && channel->round == 0 && packing_keeps_hot_pages(packing) &&
                  hot_pages_find(&packing->hot, &batch->data, packer->is_hot);
    bool has_entries = is_hot || packing->is_cached || __atomic_load_n(&packing->is_filled, __ATOMIC_RELAXED);
    if (has_entries && send_deltas(packer, channel, batch, err) < 0)
        return -1;
    if (!batch->data.n || packing->compression == ENGINE_COMPRESSION_OFF)
        return 0;
    sample(packer, batch);
    return packer->codec == CODEC_RAW ? 0 : send_packed(packer, channel, batch, err);
}
