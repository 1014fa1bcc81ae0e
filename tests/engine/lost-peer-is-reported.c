/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raw.h"

/* A peer that reads a little and hangs up, while other channels stay open. */
static void *read_and_hang_up(void *argument)
{
    int *fd = argument;
    char sink[4096];
    for (int i = 0; i < 100 && read(*fd, sink, sizeof sink) > 0; i++)
        ;
    (void)shutdown(*fd, SHUT_RDWR);
    (void)close(*fd);
    return NULL;
}

static void by_the_source(void **state)
{
    (void)state;
    struct rig rig;
    struct err err;
    struct thread peer = {0};
    struct engine_source *source;
    rig_init(&rig, 64 * MIB);
    rig_fill(&rig, 0, 64 * MIB, 51);
    struct rig_attempt attempt = {.n_channels = 3};
    rig_open(&attempt);
    struct engine_source_config config = rig_source_config(&rig, &attempt);
    assert_int_equal(engine_source_new(&config, &source, &err), 0);
    assert_int_equal(thread_start(&peer, "peer", read_and_hang_up, &attempt.destination_channels[1], &err),
                     0);
    assert_int_equal(engine_source_copy(source, &err), -1);
    assert_int_equal(err.code, ERR_PEER_LOST);
    assert_string_equal(err.id, "peer-lost");
    /* What is said later is still the first reason. */
    assert_int_equal(engine_source_find_rest(source, &err), -1);
    assert_int_equal(err.code, ERR_PEER_LOST);
    thread_join(&peer);
    engine_source_free(source);
    (void)close(attempt.destination_channels[0]);
    (void)close(attempt.destination_channels[2]);
    rig_close(&attempt);
    rig_clear(&rig);
}

static void say_nothing(struct raw raw[2])
{
    (void)raw;
}

static void half_a_record(struct raw raw[2])
{
    (void)!write(raw[1].fd, "0123456789", 10);
}

static void half_a_batch(struct raw raw[2])
{
    raw_send_sync(&raw[0], 0, 0, 0);
    (void)shutdown(raw[0].fd, SHUT_WR);
    raw_send_pages(&raw[1], (struct raw_pages){.length = MIB / 2, .byte = 1});
}

static void one_sync_of_two(struct raw raw[2])
{
    raw_send_sync(&raw[0], 0, 0, 0);
}

static void destination_that_heard(void (*say)(struct raw raw[2]))
{
    struct rig rig;
    struct err err;
    bool verified;
    struct engine_dest *dest;
    rig_init(&rig, MIB);
    struct rig_attempt attempt = {.n_channels = 2};
    rig_open(&attempt);
    struct raw raw[2] = {{.fd = attempt.source_channels[0]}, {.fd = attempt.source_channels[1]}};
    struct engine_dest_config config = rig_dest_config(&rig, &attempt);
    assert_int_equal(engine_dest_new(&config, &dest, &err), 0);
    say(raw);
    /* Only channel 1 breaks: that must be enough. */
    (void)shutdown(raw[1].fd, SHUT_RDWR);
    assert_int_equal(engine_dest_receive(dest, &verified, &err), -1);
    assert_int_equal(err.code, ERR_PEER_LOST);
    assert_false(verified);
    engine_dest_free(dest);
    (void)close(raw[0].fd);
    (void)close(raw[1].fd);
    rig_close(&attempt);
    rig_clear(&rig);
}

static void by_the_destination(void **state)
{
    (void)state;
    destination_that_heard(say_nothing);
    destination_that_heard(half_a_record);
    destination_that_heard(half_a_batch);
    destination_that_heard(one_sync_of_two);
}

/* One channel is closed when all was said on it, and the destination's last answer comes later. */
struct early_end {
    int destination_end; /* of channel 1 */
    pid_t source;        /* the thread of the source's story */
    bool is_closed;      /* atomic */
};

static void keep_ends(struct rig_attempt *attempt)
{
    struct early_end *early = attempt->user;
    early->destination_end = dup(attempt->destination_channels[1]);
    early->source = gettid();
}

static void close_one(void *user)
{
    struct early_end *early = user;
    assert_int_equal(shutdown(early->destination_end, SHUT_WR), 0);
    __atomic_store_n(&early->is_closed, true, __ATOMIC_RELEASE);
}

static bool sleeps(pid_t thread)
{
    char path[64], text[512] = "";
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    (void)!fgets(text, sizeof text, file);
    (void)fclose(file);
    const char *state = strrchr(text, ')');
    return state && state[2] == 'S';
}

static void answer_late(int ram_fd, void *user)
{
    struct early_end *early = user;
    (void)ram_fd;
    while (!__atomic_load_n(&early->is_closed, __ATOMIC_ACQUIRE) || !sleeps(early->source))
        (void)poll(NULL, 0, 1);
}

static void a_channel_that_ends_before_the_last_answer_is_none(void **state)
{
    (void)state;
    struct rig rig;
    struct early_end early = {0};
    struct rig_attempt attempt = {.n_channels = 2,
                                  .verify = true,
                                  .opened = keep_ends,
                                  .before_answer = close_one,
                                  .before_verify = answer_late,
                                  .user = &early};
    rig_init(&rig, 4 * MIB);
    rig_fill(&rig, 0, 4 * MIB, 52);
    rig_move(&rig, &attempt);
    (void)close(early.destination_end);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_the_source), cmocka_unit_test(by_the_destination),
                                       cmocka_unit_test(a_channel_that_ends_before_the_last_answer_is_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
