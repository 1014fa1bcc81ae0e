/* SPDX-License-Identifier: Apache-2.0 */
/*
 * make-seeds CORPUS: writes the binary seeds of tests/fuzz/corpus, which the product's own encoders make, and
 * so what honest peers say. To be run again when a form on the wire or on a control socket changes. The seeds
 * of text are written by hand, except those of the model.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/cancel.h"
#include "ctl_message.h"
#include "engine/codec.h"
#include "engine/delta.h"
#include "engine/engine.h"
#include "fuzz.h"
#include "job/introduce.h"
#include "model/move.h"
#include "model/ownership.h"
#include "model/pool.h"
#include "wire/control.h"
#include "wire/data.h"
#include "wire/hello.h"
#include "wire/record.h"
#include "wire_stream.h"

#define MOVE "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e"

struct seed {
    uint8_t bytes[64 << 10];
    size_t size;
};

static const char *corpus;

static void put(struct seed *seed, const void *bytes, size_t size)
{
    must(size <= sizeof seed->bytes - seed->size);
    if (size)
        memcpy(seed->bytes + seed->size, bytes, size);
    seed->size += size;
}

static void put_number(struct seed *seed, uint64_t number, size_t size)
{
    for (size_t i = 0; i < size; i++)
        put(seed, &(uint8_t){(uint8_t)(number >> (8 * i))}, 1);
}

/* Writes it and begins anew. */
static void save(struct seed *seed, const char *target, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s/%s", corpus, target, name);
    FILE *file = fopen(path, "we");
    if (!file || fwrite(seed->bytes, 1, seed->size, file) != seed->size || fclose(file)) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    seed->size = 0;
}

/* ---- items of wire_stream.h ---- */

static uint8_t number_of(uint32_t type)
{
    for (uint8_t number = 0; number < 32; number++)
        if (wire_stream_type(number) == type)
            return number;
    abort();
}

static void put_item(struct seed *seed, uint32_t type, const struct seed *payload)
{
    put_number(seed, WIRE_STREAM_RIGHT_SUM, 1);
    put_number(seed, number_of(type), 1);
    put_number(seed, payload->size, 2);
    put(seed, payload->bytes, payload->size);
}

static void put_small(struct seed *seed, uint32_t type, const void *bytes, size_t size)
{
    static struct seed payload;
    payload.size = 0;
    put(&payload, bytes, size);
    put_item(seed, type, &payload);
}

/* ---- wire and peer ---- */

static size_t hello(uint8_t bytes[WIRE_HELLO_SIZE])
{
    const struct wire_hello offer = {.version_min = WIRE_VERSION_MIN,
                                     .version_max = WIRE_VERSION_MAX,
                                     .n_channels = 4,
                                     .features = WIRE_FEATURES,
                                     .required = WIRE_FEATURE_RAM_ROUNDS,
                                     .ram_size = 1 << 20,
                                     .page_size = WIRE_PAGE_SIZE,
                                     .host_page_size = 4096,
                                     .epoch = 7,
                                     .wall_ms = 1700000000000,
                                     .batch_max = WIRE_BATCH_BYTES_MAX,
                                     .move_id = MOVE,
                                     .kernel = "6.7.0"};
    return wire_hello_encode(&offer, bytes, WIRE_HELLO_SIZE);
}

static size_t error(uint8_t bytes[WIRE_ERROR_MAX])
{
    struct err err;
    (void)err_set(&err, ERR_REFUSED, "not-converging", "the guest writes too fast");
    (void)err_cause(&err, "it writes %d MB/s", 900);
    (void)err_fix(&err, "raise the limit");
    (void)err_arg(&err, "rate", "%d", 900);
    err_place(&err, "copy", "source");
    return wire_error_encode(&err, bytes, WIRE_ERROR_MAX);
}

static void make_wire(void)
{
    static struct seed seed;
    uint8_t bytes[WIRE_ERROR_MAX] = {0};
    const struct wire_extent extents[] = {{0, 4096}, {8192, 8192}};
    put_number(&seed, 0, 1);
    wire_preamble_encode(&(struct wire_preamble){.role = WIRE_ROLE_DATA, .channel = 3, .security = 1}, bytes);
    put(&seed, bytes, WIRE_PREAMBLE_SIZE);
    save(&seed, "wire", "preamble");
    put_number(&seed, 1, 1);
    put(&seed, bytes, hello(bytes));
    save(&seed, "wire", "hello");
    put_number(&seed, 2, 1);
    put(&seed, "\1\11\5", 3);
    put_number(&seed, WIRE_DELTA, 4);
    put_number(&seed, 0, 4);
    put_number(&seed, 5000, 8);
    save(&seed, "wire", "header");
    put_number(&seed, 3, 1);
    put_number(&seed, WIRE_LIST_SIZE + 2 * WIRE_EXTENT_SIZE, 8);
    wire_list_encode(&(struct wire_list){1, 2}, bytes);
    put(&seed, bytes, WIRE_LIST_SIZE);
    save(&seed, "wire", "list");
    put_number(&seed, 4, 1);
    put_number(&seed, WIRE_PAGES_SIZE + WIRE_EXTENT_SIZE + 4096, 8);
    wire_pages_encode(&(struct wire_pages){1, 1, 4096, 5}, bytes);
    put(&seed, bytes, WIRE_PAGES_SIZE);
    save(&seed, "wire", "pages");
    put_number(&seed, 5, 1);
    put_number(&seed, 0, 1);
    put_number(&seed, WIRE_PACKED_SIZE + WIRE_EXTENT_SIZE + 100, 8);
    wire_packed_encode(&(struct wire_packed){1, WIRE_CODEC_ZSTD, 1, 100, 4096, 5}, bytes);
    put(&seed, bytes, WIRE_PACKED_SIZE);
    save(&seed, "wire", "packed");
    put_number(&seed, 6, 1);
    put_number(&seed, 2, 1);
    put_number(&seed, 16384, 8);
    wire_extents_encode(extents, 2, bytes);
    put(&seed, bytes, sizeof extents);
    save(&seed, "wire", "extents");
}

static void make_wire_verdicts(void)
{
    static struct seed seed;
    uint8_t bytes[WIRE_ERROR_MAX] = {0};
    put_number(&seed, 7, 1);
    wire_ack_encode(&(struct wire_ack){2, WIRE_VERDICT_DIFFERS, 8192, 4096, 4096}, bytes);
    put(&seed, bytes, WIRE_ACK_SIZE);
    save(&seed, "wire", "ack");
    put_number(&seed, 8, 1);
    put_number(&seed, WIRE_VERIFY_SIZE + 2 * WIRE_HASH_SIZE, 8);
    put_number(&seed, 4, 8);
    wire_verify_encode(&(struct wire_verify){1, 2}, bytes);
    put(&seed, bytes, WIRE_VERIFY_SIZE);
    save(&seed, "wire", "verify");
    put_number(&seed, 9, 1);
    put_number(&seed, WIRE_RESUME_SIZE + 10, 8);
    put_number(&seed, 80, 8);
    put_number(&seed, 0, 8);
    wire_resume_encode(&(struct wire_resume){1, 80, 0, 17}, bytes);
    put(&seed, bytes, WIRE_RESUME_SIZE);
    save(&seed, "wire", "resume");
    put_number(&seed, 10, 1);
    put(&seed, bytes, error(bytes));
    save(&seed, "wire", "error");
    put_number(&seed, 11, 1);
    put_number(&seed, WIRE_DEVICE_STATE_SIZE + 100, 8);
    wire_device_state_encode(&(struct wire_device_state){100, 5}, bytes);
    put(&seed, bytes, WIRE_DEVICE_STATE_SIZE);
    save(&seed, "wire", "device-state");
}

static void make_door(void)
{
    static struct seed seed;
    uint8_t bytes[WIRE_PREAMBLE_SIZE];
    struct wire_preamble preamble = {.role = WIRE_ROLE_CONTROL};
    memcpy(preamble.ticket, "the ticket of the only move here", WIRE_TICKET_SIZE);
    wire_preamble_encode(&preamble, bytes);
    put_number(&seed, sizeof bytes + 5, 1);
    put(&seed, bytes, sizeof bytes);
    put(&seed, "hello", 5);
    preamble = (struct wire_preamble){.role = WIRE_ROLE_DATA, .channel = 2, .security = WIRE_SECURITY_TLS};
    wire_preamble_encode(&preamble, bytes);
    put_number(&seed, sizeof bytes, 1);
    put(&seed, bytes, sizeof bytes);
    memcpy(preamble.ticket, "the ticket of the only move here", WIRE_TICKET_SIZE);
    wire_preamble_encode(&preamble, bytes);
    put_number(&seed, sizeof bytes, 1);
    put(&seed, bytes, sizeof bytes);
    put_number(&seed, 16, 1);
    put(&seed, "GET / HTTP/1.1\r\n", 16);
    save(&seed, "door", "a-guest-and-strangers");
}

/* What an honest source says first: the preamble, and under TLS its ClientHello. */
static void make_introduction(struct seed *seed, bool encrypt)
{
    struct ctl_job_spec spec = {.role = CTL_ROLE_SOURCE, .encrypt = encrypt, .move_id = MOVE};
    struct introduction us = {.spec = &spec, .role = WIRE_ROLE_CONTROL};
    struct cancel *never = cancel_new(NULL);
    struct watch watch = {.stop = never, .qemu_pidfd = -1};
    uint8_t bytes[4096];
    int ends[2];
    fuzz_socketpair(SOCK_STREAM, ends);
    struct stream stream = {.fd = ends[1]};
    must(shutdown(ends[0], SHUT_WR) == 0);
    must(introduce_as_source(&us, &watch, &stream, &(struct err){0}) < 0);
    stream_close(&stream);
    ssize_t got = recv(ends[0], bytes, sizeof bytes, 0);
    must(got >= (ssize_t)WIRE_PREAMBLE_SIZE);
    put(seed, bytes + WIRE_PREAMBLE_SIZE, (size_t)got - WIRE_PREAMBLE_SIZE);
    (void)close(ends[0]);
    cancel_free(never);
}

static void make_peer(void)
{
    static struct seed seed, payload;
    uint8_t bytes[WIRE_ERROR_MAX] = {0};
    for (unsigned side = 0; side < 2; side++) {
        put_number(&seed, side << 7, 1);
        put_small(&seed, WIRE_HELLO, bytes, hello(bytes));
        save(&seed, "peer", side ? "hello-of-the-source" : "hello-of-the-destination");
    }
    put_number(&seed, 1, 1);
    put_small(&seed, WIRE_RECORD_OPTIONAL | 7, "news", 4);
    put_small(&seed, WIRE_READY, "READY is a secret of so many byt", WIRE_SECRET_SIZE);
    save(&seed, "peer", "secret");
    put_number(&seed, 2, 1);
    wire_device_state_encode(&(struct wire_device_state){.length = 12}, bytes);
    put(&payload, bytes, WIRE_DEVICE_STATE_SIZE);
    put(&payload, "QEVM: a few.", 12);
    put_item(&seed, WIRE_DEVICE_STATE, &payload);
    save(&seed, "peer", "device-state");
    put_number(&seed, 3, 1);
    put_small(&seed, WIRE_COMMIT, "COMMIT is one just as long as it", WIRE_SECRET_SIZE);
    put_small(&seed, WIRE_ERROR, bytes, error(bytes));
    save(&seed, "peer", "error");
    put_number(&seed, 4, 1);
    put_small(&seed, WIRE_HELLO, bytes, hello(bytes));
    put_small(&seed, WIRE_BYE, NULL, 0);
    save(&seed, "peer", "bye");
    put_number(&seed, 5, 1);
    put_number(&seed, WIRE_SECURITY_NONE, 1);
    memset(bytes, 0x77, WIRE_ANSWER_SIZE);
    put(&seed, bytes, WIRE_ANSWER_SIZE);
    save(&seed, "peer", "answer-without-the-key");
    put_number(&seed, 0x80 | 5, 1);
    put_number(&seed, 0, 1);
    put(&seed, bytes, WIRE_CHALLENGE_SIZE + WIRE_PROOF_SIZE);
    save(&seed, "peer", "challenge-and-false-proof");
    put_number(&seed, 6, 1);
    put_number(&seed, WIRE_SECURITY_TLS, 1);
    make_introduction(&seed, true);
    save(&seed, "peer", "client-hello");
    put_number(&seed, 0x80 | 6, 1);
    put_number(&seed, 0, 1);
    put(&seed, wire_tls_refusal, WIRE_TLS_REFUSAL_SIZE);
    save(&seed, "peer", "tls-refusal");
}

/* ---- data connections ---- */

static void fill_page(uint8_t *page, unsigned salt)
{
    for (unsigned i = 0; i < ENGINE_PAGE_SIZE; i++)
        page[i] = (uint8_t)("a guest moves "[i % 14] + (i / 512 + salt) % 3);
}

static void put_pages(struct seed *seed, uint32_t round, uint64_t offset)
{
    static struct seed payload;
    uint8_t head[WIRE_PAGES_SIZE], extent[WIRE_EXTENT_SIZE], page[ENGINE_PAGE_SIZE];
    fill_page(page, 0);
    payload.size = 0;
    wire_pages_encode(&(struct wire_pages){.round = round, .n_extents = 1, .n_bytes = sizeof page}, head);
    wire_extents_encode(&(struct wire_extent){offset, sizeof page}, 1, extent);
    put(&payload, head, sizeof head);
    put(&payload, extent, sizeof extent);
    put(&payload, page, sizeof page);
    put_item(seed, WIRE_PAGES, &payload);
}

static void put_list(struct seed *seed, uint32_t type, uint32_t round, uint64_t offset)
{
    static struct seed payload;
    uint8_t head[WIRE_LIST_SIZE], extent[WIRE_EXTENT_SIZE];
    payload.size = 0;
    wire_list_encode(&(struct wire_list){round, 1}, head);
    wire_extents_encode(&(struct wire_extent){offset, 2 * ENGINE_PAGE_SIZE}, 1, extent);
    put(&payload, head, sizeof head);
    put(&payload, extent, sizeof extent);
    put_item(seed, type, &payload);
}

static void put_block(struct seed *seed, uint32_t type, struct wire_packed packed, const uint8_t *bytes)
{
    static struct seed payload;
    uint8_t head[WIRE_PACKED_SIZE], extent[WIRE_EXTENT_SIZE];
    payload.size = 0;
    packed.n_extents = 1;
    wire_packed_encode(&packed, head);
    wire_extents_encode(&(struct wire_extent){16 * ENGINE_PAGE_SIZE, packed.n_bytes}, 1, extent);
    put(&payload, head, sizeof head);
    put(&payload, extent, sizeof extent);
    put(&payload, bytes, packed.n_packed);
    put_item(seed, type, &payload);
}

static void put_packed(struct seed *seed, uint32_t round, enum codec codec)
{
    uint8_t plain[2 * ENGINE_PAGE_SIZE], room[2 * ENGINE_PAGE_SIZE];
    struct codec_state state = {0};
    fill_page(plain, 0);
    fill_page(plain + ENGINE_PAGE_SIZE, 1);
    struct codec_block block = {plain, sizeof plain, room, sizeof room};
    size_t size = codec_pack(&state, codec, &block);
    must(size);
    codec_clear(&state);
    put_block(seed, WIRE_PACKED,
              (struct wire_packed){.round = round,
                                   .codec = codec_on_wire(codec),
                                   .n_packed = (uint32_t)size,
                                   .n_bytes = sizeof plain,
                                   .xxh3 = XXH3_64bits(plain, sizeof plain)},
              room);
}

/* Of the first page that put_packed places. */
static void put_delta(struct seed *seed, uint32_t round)
{
    uint8_t base[ENGINE_PAGE_SIZE], page[ENGINE_PAGE_SIZE], delta[DELTA_PAGE_MAX];
    fill_page(base, 0);
    fill_page(page, 0);
    memcpy(page + 100, "changed", 7);
    size_t size = delta_encode(base, page, delta);
    must(size);
    put_block(seed, WIRE_DELTA,
              (struct wire_packed){.round = round,
                                   .n_packed = (uint32_t)size,
                                   .n_bytes = sizeof page,
                                   .xxh3 = XXH3_64bits(page, sizeof page)},
              delta);
}

static void put_sync(struct seed *seed, const struct wire_sync *sync)
{
    uint8_t bytes[WIRE_SYNC_SIZE];
    wire_sync_encode(sync, bytes);
    put_small(seed, WIRE_SYNC, bytes, sizeof bytes);
}

static void put_first_round(struct seed *seed)
{
    put_number(seed, 0, 1); /* one channel */
    put_number(seed, 0, 1);
    put_pages(seed, 0, 0);
    put_number(seed, 0, 1);
    put_list(seed, WIRE_ZERO, 0, 4 * ENGINE_PAGE_SIZE);
    put_number(seed, 0, 1);
    put_list(seed, WIRE_HOLE, 0, 8 * ENGINE_PAGE_SIZE);
    put_number(seed, 0, 1);
    put_packed(seed, 0, CODEC_LZ4);
    put_number(seed, 0, 1);
    put_sync(seed, &(struct wire_sync){.round = 0, .n_records = 4, .n_bytes = 3 * ENGINE_PAGE_SIZE});
}

static void make_records(void)
{
    static struct seed seed;
    uint8_t bytes[WIRE_VERIFY_SIZE + 2 * WIRE_HASH_SIZE];
    put_first_round(&seed);
    put_number(&seed, 0, 1);
    put_delta(&seed, 1);
    put_number(&seed, 0, 1);
    put_sync(&seed, &(struct wire_sync){.round = 1, .n_records = 1, .n_bytes = ENGINE_PAGE_SIZE});
    put_number(&seed, 0, 1);
    put_small(&seed, WIRE_FINISH, NULL, 0);
    save(&seed, "records", "two-rounds");
    put_number(&seed, 0, 1);
    put_number(&seed, 0, 1);
    put_packed(&seed, 0, CODEC_ZSTD_1);
    put_number(&seed, 0, 1);
    put_sync(&seed, &(struct wire_sync){.n_records = 1, .n_bytes = 2 * ENGINE_PAGE_SIZE});
    put_number(&seed, 0, 1);
    wire_verify_begin_encode(&(struct wire_verify_begin){WIRE_PART_BYTES}, bytes);
    put_small(&seed, WIRE_VERIFY_BEGIN, bytes, WIRE_VERIFY_BEGIN_SIZE);
    put_number(&seed, 0, 1);
    wire_verify_encode(&(struct wire_verify){0, 2}, bytes);
    wire_hash_encode(1, bytes + WIRE_VERIFY_SIZE);
    wire_hash_encode(2, bytes + WIRE_VERIFY_SIZE + WIRE_HASH_SIZE);
    put_small(&seed, WIRE_VERIFY, bytes, sizeof bytes);
    put_number(&seed, 0, 1);
    put_small(&seed, WIRE_FINISH, NULL, 0);
    save(&seed, "records", "verification");
    put_number(&seed, 1, 1); /* two channels */
    for (unsigned channel = 0; channel < 2; channel++) {
        put_number(&seed, channel, 1);
        put_pages(&seed, 0, channel * 2 * ENGINE_PAGE_SIZE);
        put_number(&seed, channel, 1);
        put_sync(&seed, &(struct wire_sync){.n_records = 1, .n_bytes = ENGINE_PAGE_SIZE});
        put_number(&seed, channel, 1);
        put_small(&seed, WIRE_FINISH, NULL, 0);
    }
    save(&seed, "records", "two-channels");
}

static void make_resume(void)
{
    static struct seed seed, payload;
    uint8_t head[WIRE_RESUME_SIZE];
    wire_resume_encode(&(struct wire_resume){.round = 3, .n_pages = 100, .n_wasted = 5}, head);
    put(&payload, head, sizeof head);
    put(&payload, "\1\2\3\4\5\6\7\10\11\12\13\14\15", 13);
    put_number(&seed, 99, 2);
    put_item(&seed, WIRE_RESUME, &payload);
    save(&seed, "resume", "a-hundred-pages");
}

static void make_unpack(void)
{
    static struct seed seed;
    static uint8_t plain[8 * ENGINE_PAGE_SIZE], room[8 * ENGINE_PAGE_SIZE];
    uint8_t base[ENGINE_PAGE_SIZE] = {0}, delta[DELTA_PAGE_MAX];
    struct codec_state state = {0};
    for (unsigned page = 0; page < 8; page++)
        fill_page(plain + page * ENGINE_PAGE_SIZE, page);
    struct codec_block block = {plain, sizeof plain, room, sizeof room};
    for (unsigned which = 0; which < 2; which++) {
        put_number(&seed, which, 1);
        put(&seed, room, codec_pack(&state, which ? CODEC_ZSTD_1 : CODEC_LZ4, &block));
        save(&seed, "unpack", which ? "zstd" : "lz4");
    }
    codec_clear(&state);
    put_number(&seed, 2, 1);
    for (unsigned page = 0; page < 8; page++) {
        uint8_t changed[ENGINE_PAGE_SIZE] = {0};
        memset(base, 0, sizeof base);
        for (unsigned i = 0; i < 3 * page; i++)
            changed[i * 157] = (uint8_t)(i + 1);
        put(&seed, delta, delta_encode(base, changed, delta));
    }
    save(&seed, "unpack", "delta");
}

/* ---- control sockets ---- */

static void put_message(struct seed *seed, unsigned flags, const struct ctl_msg *msg)
{
    put_number(seed, flags, 1);
    put_number(seed, msg->type, 1);
    put_number(seed, msg->serial, 1);
    put_number(seed, msg->length, 2);
    put(seed, msg->body, msg->length);
}

static void say(struct seed *seed, unsigned flags, uint32_t type, const void *body, size_t size)
{
    static struct ctl_msg msg;
    ctl_fill(&msg, type, 1, body, size);
    put_message(seed, flags, &msg);
}

static void make_from_job(void)
{
    static struct seed seed;
    const unsigned padded = CTL_MESSAGE_PADDED, answered = 8, more = 16, failed = 24;
    put_number(&seed, 1, 1);
    say(&seed, padded, CTL_PROGRESS, (uint32_t[]){CTL_STEP_COPY}, 4);
    say(&seed, padded, CTL_ROUND, NULL, 0);
    say(&seed, answered, CTL_STOP, NULL, 0);
    say(&seed, more, CTL_SAVE, NULL, 0);
    say(&seed, padded | failed, CTL_GIVE, "READY", 5);
    say(&seed, padded, CTL_QUIT, "\1", 1);
    say(&seed, padded, CTL_RESULT, "\1", 1);
    save(&seed, "from-job", "a-source-tells-its-story");
    put_number(&seed, 0, 1);
    say(&seed, answered, CTL_LOAD, NULL, 0);
    say(&seed, answered, CTL_READY, NULL, 0);
    say(&seed, padded | answered, CTL_CONT, "COMMIT", 6);
    say(&seed, padded, CTL_FORECAST, NULL, 0);
    say(&seed, padded, CTL_RESULT, NULL, 0);
    save(&seed, "from-job", "a-destination-tells-its-story");
    put_number(&seed, 1, 1);
    say(&seed, CTL_MESSAGE_FD, CTL_STOP, NULL, 0);
    save(&seed, "from-job", "a-descriptor-nobody-wants");
    put_number(&seed, 1, 1);
    say(&seed, CTL_MESSAGE_RAW, 0, "short", 5);
    save(&seed, "from-job", "half-a-header");
    struct ctl_result result = {.n_vcpus = 2, .copy_ns = UINT64_MAX, .error = {.n_args = UINT32_MAX}};
    memset(result.error.message, 'x', sizeof result.error.message);
    put_number(&seed, 0, 1);
    say(&seed, 0, CTL_RESULT, &result, sizeof result);
    save(&seed, "from-job", "an-error-without-an-end");
}

static void make_to_job(void)
{
    static struct seed seed;
    struct err why;
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "the operator asked for it");
    put_number(&seed, 1, 1);
    say(&seed, CTL_MESSAGE_FD, CTL_DONE, NULL, 0);
    say(&seed, 0, CTL_DONE, "COMMIT is a secret of so many by", CTL_SECRET_SIZE);
    say(&seed, 0, CTL_CANCEL, &why, sizeof why);
    save(&seed, "to-job", "answers-and-a-cancel");
    put_number(&seed, 1, 1);
    say(&seed, 0, CTL_FAILED, &why, sizeof why);
    say(&seed, CTL_MESSAGE_FD, CTL_JOB_SPEC, NULL, 0);
    save(&seed, "to-job", "a-refusal-and-a-second-spec");
}

/* ---- documents ---- */

static void save_document(unsigned kind, const char *name, JsonObject *object)
{
    static struct seed seed;
    char *text = model_print(object, false);
    put_number(&seed, 'a' + kind, 1);
    put(&seed, text, strlen(text));
    save(&seed, "model", name);
    g_free(text);
    json_object_unref(object);
}

static struct vm_spec a_vm(void)
{
    return (struct vm_spec){.uuid = MOVE,
                            .name = "web",
                            .memory_mib = 1024,
                            .cpus = 2,
                            .pool = "prod/db",
                            .machine = "pc-q35-7.2",
                            .kernel = "/srv/vmlinuz",
                            .append = "quiet",
                            .n_disks = 1,
                            .disks = {{"/srv/data.qcow2", "qcow2"}},
                            .n_nics = 1,
                            .nics = {{"lan", "52:54:00:12:34:56"}}};
}

/* In the order of the target's table. */
static void make_model(void)
{
    static struct vm_status vm;
    static struct host_facts facts;
    static struct move_spec move;
    static struct move_status status;
    static struct ownership ownership;
    static struct settle_order order;
    struct pool_spec pool;
    struct err err;
    vm = (struct vm_status){
        .spec = a_vm(), .state = VM_RUNNING, .host = "h1", .accel = "kvm", .journal = "OWNED"};
    save_document(0, "vm-spec", vm_spec_to_json(&vm.spec));
    save_document(1, "vm-status", vm_status_to_json(&vm));
    facts = (struct host_facts){.name = "h1",
                                .n_machines = 1,
                                .machines = {"pc-q35-7.2"},
                                .n_networks = 1,
                                .networks = {{"lan", "br0", 1500}},
                                .n_migration_addresses = 1,
                                .migration_addresses = {"198.18.2.11"},
                                .cpus = 4};
    save_document(2, "host-facts", host_facts_to_json(&facts));
    move = (struct move_spec){.id = MOVE,
                              .vm = a_vm(),
                              .accel = "kvm",
                              .source = "h1",
                              .destination = "h2",
                              .n_channels = 2,
                              .n_addresses = 1,
                              .addresses = {"fd00::2"},
                              .port = 8000};
    memset(move.key, 0xa5, sizeof move.key);
    move_options_init(&move.options);
    save_document(3, "move-options", move_options_to_json(&move.options));
    save_document(4, "move-spec", move_spec_to_json(&move));
    (void)err_set(&err, ERR_REFUSED, "vm-is-moving", "VM web moves");
    (void)err_arg(&err, "task", "%s", MOVE);
    status = (struct move_status){.id = MOVE,
                                  .state = MOVE_FAILED,
                                  .n_rounds = 1,
                                  .rounds = {{.pages = 3}},
                                  .n_codecs = 1,
                                  .codecs = {{.name = "lz4"}},
                                  .error = err};
    move_timeline_add(&status.timeline, 1700000000000, "connected", "TLS 1.3");
    save_document(5, "move-status", move_status_to_json(&status));
    save_document(6, "move-timeline", move_timeline_to_json(&status.timeline));
    ownership = (struct ownership){.uuid = MOVE,
                                   .journal = "GIVEN",
                                   .epoch = 4,
                                   .is_registered = true,
                                   .state = "paused",
                                   .spec = a_vm()};
    save_document(7, "ownership", ownership_to_json(&ownership));
    order = (struct settle_order){.is_owner = true, .epoch = 5, .has_spec = true, .spec = a_vm()};
    save_document(8, "settle-order", settle_order_to_json(&order));
    pool_spec_init(&pool);
    (void)snprintf(pool.path, sizeof pool.path, "prod/db");
    pool.memory_reservation_mib = 100;
    save_document(9, "pool-spec", pool_spec_to_json(&pool));
    save_document(10, "error", model_error_to_json(&err));
    save_document(11, "vm-spec-lean", vm_spec_to_lean_json(&vm.spec));
    save_document(12, "pools", pool_list_to_json((struct pool_spec[]){pool, pool}, 2));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return EXIT_FAILURE;
    }
    corpus = argv[1];
    make_wire();
    make_wire_verdicts();
    make_door();
    make_peer();
    make_records();
    make_resume();
    make_unpack();
    make_from_job();
    make_to_job();
    make_model();
    return EXIT_SUCCESS;
}
