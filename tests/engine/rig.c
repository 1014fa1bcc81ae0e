/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/tls.h"

uint64_t rig_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15ull;
    uint64_t mixed = *state;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
    return mixed ^ mixed >> 31;
}

static int make_ram(const char *name, uint64_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static uint8_t *map(int fd, uint64_t size)
{
    void *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    assert_true(mapping != MAP_FAILED);
    return mapping;
}

void rig_init(struct rig *rig, uint64_t size)
{
    *rig = (struct rig){.size = size};
    rig->source_fd = make_ram("source", size);
    rig->destination_fd = make_ram("destination", size);
    rig->guest = map(rig->source_fd, size);
    rig->source = map(rig->source_fd, size);
    rig->destination = map(rig->destination_fd, size);
    rig->pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    assert_true(rig->pagemap_fd >= 0);
}

void rig_clear(struct rig *rig)
{
    rig_stop_guests(rig);
    (void)munmap(rig->guest, rig->size);
    (void)munmap(rig->source, rig->size);
    (void)munmap(rig->destination, rig->size);
    (void)close(rig->source_fd);
    (void)close(rig->destination_fd);
    (void)close(rig->pagemap_fd);
}

void rig_fresh_destination(struct rig *rig)
{
    (void)munmap(rig->destination, rig->size);
    (void)close(rig->destination_fd);
    rig->destination_fd = make_ram("destination", rig->size);
    rig->destination = map(rig->destination_fd, rig->size);
}

void rig_fill(struct rig *rig, uint64_t offset, uint64_t length, uint64_t seed)
{
    for (uint64_t at = offset; at < offset + length; at += sizeof seed) {
        uint64_t value = rig_random(&seed);
        memcpy(rig->guest + at, &value, sizeof value);
    }
}

#define TEXT_WORDS 3000
#define TEXT_WORD_MAX 12

/* Word number `index` of the vocabulary into `at`; returns its length. */
static size_t text_word(uint64_t index, char at[TEXT_WORD_MAX])
{
    uint64_t state = index;
    size_t length = 2 + rig_random(&state) % (TEXT_WORD_MAX - 2);
    for (size_t i = 0; i < length; i++)
        at[i] = (char)('a' + rig_random(&state) % 26);
    return length;
}

void rig_fill_text(struct rig *rig, uint64_t offset, uint64_t length, uint64_t seed)
{
    uint64_t end = offset + length;
    for (uint64_t at = offset; at < end;) {
        char word[TEXT_WORD_MAX + 1];
        /* Few words are frequent and most are rare. */
        uint64_t among = 1 + rig_random(&seed) % TEXT_WORDS;
        size_t size = text_word(rig_random(&seed) % among, word);
        word[size++] = rig_random(&seed) % 10 ? ' ' : '\n';
        if (size > end - at)
            size = end - at;
        memcpy(rig->guest + at, word, size);
        at += size;
    }
}

/* Guests race with each other, as vCPUs do, hence atomic stores. */
static void store_words(uint8_t *at, uint64_t n_words, uint64_t value)
{
    for (uint64_t i = 0; i < n_words; i++)
        __atomic_store_n((uint64_t *)(void *)at + i, value, __ATOMIC_RELAXED);
}

/* A patching guest changes one of so many words of a page. */
#define PATCHED_WORDS 8u

/* Whole pages and single words, half and half; now and then a page of zeros. */
static void write_somewhere(struct rig_guest *guest)
{
    struct rig *rig = guest->rig;
    uint64_t choice = rig_random(&guest->seed);
    uint64_t n_pages = guest->length / ENGINE_PAGE_SIZE;
    uint8_t *page = rig->guest + guest->begin + rig_random(&guest->seed) % n_pages * ENGINE_PAGE_SIZE;
    const uint64_t page_words = ENGINE_PAGE_SIZE / sizeof choice;
    if (guest->is_patching)
        store_words(page + (choice >> 8) % PATCHED_WORDS * sizeof choice, 1, choice);
    else if (choice % 16 == 0)
        store_words(page, page_words, 0);
    else if (choice % 2)
        store_words(page, page_words, choice);
    else
        store_words(page + (choice >> 8) % page_words * sizeof choice, 1, choice);
}

static void *run_guest(void *argument)
{
    struct rig_guest *guest = argument;
    while (!__atomic_load_n(&guest->rig->guest_stops, __ATOMIC_ACQUIRE)) {
        write_somewhere(guest);
        (void)__atomic_fetch_add(&guest->n_writes, 1, __ATOMIC_RELEASE);
        if (guest->is_gentle)
            (void)nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    return NULL;
}

void rig_start_guest(struct rig *rig, uint64_t begin, uint64_t length, bool is_gentle)
{
    struct err err;
    struct rig_guest *guest = &rig->guests[rig->n_guests++];
    *guest = (struct rig_guest){
        .rig = rig, .seed = rig->n_guests, .begin = begin, .length = length, .is_gentle = is_gentle};
    __atomic_store_n(&rig->guest_stops, false, __ATOMIC_RELEASE);
    assert_int_equal(thread_start(&guest->thread, "guest", run_guest, guest, &err), 0);
}

void rig_start_patching_guest(struct rig *rig, uint64_t begin, uint64_t length)
{
    struct err err;
    struct rig_guest *guest = &rig->guests[rig->n_guests++];
    *guest = (struct rig_guest){
        .rig = rig, .seed = rig->n_guests, .begin = begin, .length = length, .is_patching = true};
    __atomic_store_n(&rig->guest_stops, false, __ATOMIC_RELEASE);
    assert_int_equal(thread_start(&guest->thread, "guest", run_guest, guest, &err), 0);
}

void rig_stop_guests(struct rig *rig)
{
    __atomic_store_n(&rig->guest_stops, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < rig->n_guests; i++)
        thread_join(&rig->guests[i].thread);
    rig->n_guests = 0;
}

void rig_wait_writes(struct rig *rig, uint64_t n)
{
    for (unsigned i = 0; i < rig->n_guests; i++) {
        uint64_t *counter = &rig->guests[i].n_writes;
        uint64_t goal = __atomic_load_n(counter, __ATOMIC_ACQUIRE) + n;
        while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < goal)
            (void)poll(NULL, 0, 1);
    }
}

/* Both ends of a handshake, in turn. */
static void encrypt(struct rig_attempt *attempt, unsigned i)
{
    struct err err;
    short events;
    uint8_t key[TLS_KEY_SIZE] = {(uint8_t)(i + 1)};
    bool source_done = false, destination_done = false;
    assert_int_equal(tls_new(true, key, attempt->source_channels[i], &attempt->source_tls[i], &err), 0);
    assert_int_equal(
        tls_new(false, key, attempt->destination_channels[i], &attempt->destination_tls[i], &err), 0);
    while (!source_done || !destination_done) {
        if (!source_done)
            source_done = tls_handshake(attempt->source_tls[i], &events, &err) == 0;
        assert_true(source_done || err.code == ERR_RETRY);
        if (!destination_done)
            destination_done = tls_handshake(attempt->destination_tls[i], &events, &err) == 0;
        assert_true(destination_done || err.code == ERR_RETRY);
    }
}

/* A socket in the namespace of one end. */
static int new_socket(const struct rig_network *network, bool is_source)
{
    if (!network)
        return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int there = is_source ? network->source_namespace : network->destination_namespace;
    assert_true(here >= 0 && setns(there, CLONE_NEWNET) == 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setns(here, CLONE_NEWNET), 0);
    (void)close(here);
    return fd;
}

static void connect_directly(struct rig_attempt *attempt)
{
    const struct rig_network *network = attempt->network;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = new_socket(network, false);
    if (network)
        assert_int_equal(inet_pton(AF_INET, network->address, &address.sin_addr), 1);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, ENGINE_CHANNELS_MAX), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    if (attempt->relay) {
        attempt->on_the_way = relay_start(ntohs(address.sin_port), attempt->relay, attempt->user);
        address.sin_port = htons(relay_port(attempt->on_the_way));
    }
    for (unsigned i = 0; i < attempt->n_channels; i++) {
        int fd = new_socket(network, true);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        attempt->source_channels[i] = fd;
        attempt->destination_channels[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(attempt->destination_channels[i] >= 0);
    }
    (void)close(listener);
    for (unsigned i = 0; attempt->encrypt && i < attempt->n_channels; i++)
        encrypt(attempt, i);
}

void rig_open(struct rig_attempt *attempt)
{
    struct err err;
    if (attempt->open)
        attempt->open(attempt);
    else
        connect_directly(attempt);
    attempt->pidfd = -1;
    attempt->source_cancel = cancel_new(&err);
    attempt->destination_cancel = cancel_new(&err);
    assert_true(attempt->source_cancel && attempt->destination_cancel);
}

void rig_close(struct rig_attempt *attempt)
{
    relay_end(attempt->on_the_way);
    attempt->on_the_way = NULL;
    cancel_free(attempt->source_cancel);
    cancel_free(attempt->destination_cancel);
    attempt->source_cancel = attempt->destination_cancel = NULL;
}

static int duplicate(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    assert_true(copy >= 0);
    return copy;
}

static int new_userfaultfd(void)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    assert_true(fd >= 0);
    return fd;
}

static void keep_round(const struct engine_round *round, void *user)
{
    struct rig_attempt *attempt = user;
    if (round->n == 0)
        attempt->round_zero_ns = round->duration_ns;
    attempt->n_rounds = round->n + 1;
    if (attempt->round_done)
        attempt->round_done(round, attempt->user);
}

struct engine_source_config rig_source_config(struct rig *rig, struct rig_attempt *attempt)
{
    struct engine_source_config config = {
        .ram_fd = duplicate(rig->source_fd),
        .ram_size = rig->size,
        .ram_address = (uintptr_t)rig->guest,
        .uffd_async = new_userfaultfd(),
        .uffd_sync = new_userfaultfd(),
        .pagemap_fd = duplicate(rig->pagemap_fd),
        .qemu_pidfd = attempt->pidfd,
        .is_kvm = attempt->is_kvm,
        .dirty = attempt->dirty,
        .n_channels = attempt->n_channels,
        .downtime_goal_ns = attempt->goal_ns ? attempt->goal_ns : 300 * NS_PER_MS,
        .bandwidth_bytes_s = attempt->bandwidth_bytes_s,
        .max_rounds = attempt->max_rounds,
        .compression = attempt->compression,
        .delta = attempt->delta,
        .delta_cache_bytes = attempt->delta_cache_bytes,
        .stun_limit_percent = attempt->stun_limit_percent,
        .qemu_pid = attempt->qemu_pid,
        .fault_beat = attempt->fault_beat,
        .cancel = attempt->source_cancel,
        .round_done = keep_round,
        .reconnect = attempt->source_reconnect,
        .user = attempt,
    };
    memcpy(config.channels, attempt->source_channels, sizeof config.channels);
    memcpy(config.tls, attempt->source_tls, sizeof config.tls);
    return config;
}

struct engine_dest_config rig_dest_config(struct rig *rig, struct rig_attempt *attempt)
{
    struct engine_dest_config config = {
        .ram_fd = duplicate(rig->destination_fd),
        .ram_size = rig->size,
        .n_channels = attempt->n_channels,
        .cancel = attempt->destination_cancel,
        .before_verify = attempt->before_verify,
        .reconnect = attempt->destination_reconnect,
        .knock_fd = attempt->knock_fd,
        .user = attempt->user,
    };
    memcpy(config.channels, attempt->destination_channels, sizeof config.channels);
    memcpy(config.tls, attempt->destination_tls, sizeof config.tls);
    return config;
}

struct destination_run {
    struct rig *rig;
    struct rig_attempt *attempt;
};

static void *run_destination(void *argument)
{
    struct destination_run *run = argument;
    struct rig_attempt *attempt = run->attempt;
    struct engine_dest_config config = rig_dest_config(run->rig, attempt);
    struct engine_dest *dest = NULL;
    attempt->destination_result = engine_dest_new(&config, &dest, &attempt->destination_err);
    if (attempt->destination_result == 0)
        attempt->destination_result =
            engine_dest_receive(dest, &attempt->verified, &attempt->destination_err);
    if (dest)
        engine_dest_snapshot(dest, &attempt->destination_snapshot);
    engine_dest_free(dest);
    return NULL;
}

static int run_source(struct rig *rig, struct rig_attempt *attempt, struct engine_source *source)
{
    struct err *err = &attempt->source_err;
    uint64_t begin_ns = clock_now_ns();
    attempt->used = engine_source_dirty(source);
    if (attempt->before_copy)
        attempt->before_copy(attempt->user);
    if (engine_source_copy(source, err) < 0)
        return -1;
    if (attempt->after_copy)
        attempt->after_copy(attempt->user);
    rig_stop_guests(rig);
    if (attempt->before_finish)
        attempt->before_finish(attempt->user);
    if (engine_source_find_rest(source, err) < 0 || engine_source_send_rest(source, attempt->verify, err) < 0)
        return -1;
    if (attempt->before_answer)
        attempt->before_answer(attempt->user);
    if (engine_source_await_placed(source, err) < 0)
        return -1;
    attempt->total_ns = clock_now_ns() - begin_ns;
    if (attempt->before_quiet)
        attempt->before_quiet(attempt->user);
    return engine_source_check_quiet(source, err);
}

void rig_run(struct rig *rig, struct rig_attempt *attempt)
{
    struct thread destination = {0};
    struct destination_run run = {rig, attempt};
    struct engine_source *source = NULL;
    rig_open(attempt);
    if (attempt->opened)
        attempt->opened(attempt);
    assert_int_equal(thread_start(&destination, "destination", run_destination, &run, &attempt->source_err),
                     0);
    struct engine_source_config config = rig_source_config(rig, attempt);
    attempt->source_result = engine_source_new(&config, &source, &attempt->source_err);
    if (attempt->source_result == 0) {
        attempt->source_result = run_source(rig, attempt, source);
        engine_source_snapshot(source, &attempt->snapshot);
        engine_source_stuns(source, &attempt->stuns);
    }
    engine_source_free(source);
    thread_join(&destination);
    rig_close(attempt);
}

uint64_t rig_difference(const struct rig *rig)
{
    for (uint64_t at = 0; at < rig->size; at += ENGINE_PAGE_SIZE)
        if (memcmp(rig->source + at, rig->destination + at, ENGINE_PAGE_SIZE))
            return at;
    return rig->size;
}

uint64_t rig_allocated(int fd)
{
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

void rig_move(struct rig *rig, struct rig_attempt *attempt)
{
    rig_run(rig, attempt);
    if (attempt->source_result < 0)
        print_error("source: %s (%s)\n", attempt->source_err.message, attempt->source_err.cause);
    if (attempt->destination_result < 0)
        print_error("destination: %s (%s)\n", attempt->destination_err.message,
                    attempt->destination_err.cause);
    assert_int_equal(attempt->source_result, 0);
    assert_int_equal(attempt->destination_result, 0);
    assert_int_equal(attempt->verified, attempt->verify);
    assert_int_equal(rig_difference(rig), rig->size);
}
