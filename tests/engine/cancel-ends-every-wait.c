/* SPDX-License-Identifier: Apache-2.0 */
/* Each case brings one end into a certain wait, sees from its counters that it is there, and calls it off.
 * The proof is that the call comes back at all (the runner has a time limit); how long it took is printed. */
#include "rig.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "raw.h"

struct canceller {
    struct thread thread;
    struct engine_source *source;
    struct engine_dest *dest;
    struct cancel *cancel; /* NULL: end `victim` instead */
    pid_t victim;
    uint64_t at_least_bytes;
    uint64_t called_off_ns;
};

static uint64_t bytes_of(const struct canceller *canceller)
{
    struct engine_snapshot snapshot;
    if (canceller->source)
        engine_source_snapshot(canceller->source, &snapshot);
    else
        engine_dest_snapshot(canceller->dest, &snapshot);
    return snapshot.bytes_on_wire;
}

/* In its wait: something was transferred, and nothing moves any more. */
static void await_standstill(const struct canceller *canceller)
{
    uint64_t before = UINT64_MAX, now = 0;
    while (now < canceller->at_least_bytes || now != before) {
        before = now;
        (void)poll(NULL, 0, 30);
        now = bytes_of(canceller);
    }
}

static void *call_off(void *argument)
{
    struct canceller *canceller = argument;
    struct err why = {0};
    await_standstill(canceller);
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "the operator cancelled it");
    canceller->called_off_ns = clock_now_ns();
    if (canceller->cancel)
        cancel_trigger(canceller->cancel, &why);
    else
        (void)kill(canceller->victim, SIGKILL);
    return NULL;
}

static void print_delay(const char *what, const struct canceller *canceller)
{
    print_message("%s: ended %.2f ms after the call\n", what,
                  (double)(clock_now_ns() - canceller->called_off_ns) / 1e6);
}

/* The peer stays silent: data beyond the socket buffers blocks a send, less waits for the ACK. */
static void source_before_a_silent_peer(const char *what, uint64_t data, uint64_t bandwidth, pid_t victim)
{
    struct rig rig;
    struct err err;
    struct canceller canceller = {.at_least_bytes = 24, .victim = victim};
    rig_init(&rig, 64 * MIB);
    rig_fill(&rig, 0, data, 41);
    struct rig_attempt attempt = {.n_channels = 2, .bandwidth_bytes_s = bandwidth};
    rig_open(&attempt);
    if (victim)
        attempt.pidfd = (int)syscall(SYS_pidfd_open, victim, 0);
    else
        canceller.cancel = attempt.source_cancel;
    struct engine_source_config config = rig_source_config(&rig, &attempt);
    assert_int_equal(engine_source_new(&config, &canceller.source, &err), 0);
    assert_int_equal(thread_start(&canceller.thread, "canceller", call_off, &canceller, &err), 0);
    assert_int_equal(engine_source_copy(canceller.source, &err), -1);
    thread_join(&canceller.thread);
    print_delay(what, &canceller);
    assert_int_equal(err.code, victim ? ERR_PEER_LOST : ERR_CANCELLED);
    assert_string_equal(err.id, victim ? "qemu-died" : "cancelled");
    engine_source_free(canceller.source);
    (void)close(attempt.destination_channels[0]);
    (void)close(attempt.destination_channels[1]);
    rig_close(&attempt);
    rig_clear(&rig);
}

static void source_that_sends(void **state)
{
    (void)state;
    source_before_a_silent_peer("send", 64 * MIB, 0, 0);
}

static void source_that_waits_for_the_ack(void **state)
{
    (void)state;
    source_before_a_silent_peer("wait for the ACK", 8 * ENGINE_PAGE_SIZE, 0, 0);
}

static void source_that_keeps_to_its_cap(void **state)
{
    (void)state;
    source_before_a_silent_peer("bandwidth cap", 8 * MIB, 100000, 0);
}

static void source_whose_qemu_dies(void **state)
{
    (void)state;
    pid_t victim = fork();
    if (!victim) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when this test itself dies */
        (void)pause();
        _exit(0);
    }
    source_before_a_silent_peer("QEMU died", 64 * MIB, 0, victim);
    (void)waitpid(victim, NULL, 0);
}

static void say_nothing(struct raw raw[2])
{
    (void)raw;
}

static void half_a_record(struct raw raw[2])
{
    assert_int_equal(write(raw[0].fd, "0123456789", 10), 10);
}

/* Channel 0 waits for channel 1 at the barrier. */
static void one_sync_of_two(struct raw raw[2])
{
    raw_send_sync(&raw[0], 0, 0, 0);
}

static void destination_that_heard(const char *what, void (*say)(struct raw raw[2]), uint64_t n_bytes)
{
    struct rig rig;
    struct err err;
    bool verified;
    rig_init(&rig, MIB);
    struct rig_attempt attempt = {.n_channels = 2};
    rig_open(&attempt);
    struct raw raw[2] = {{.fd = attempt.source_channels[0]}, {.fd = attempt.source_channels[1]}};
    struct canceller canceller = {.cancel = attempt.destination_cancel, .at_least_bytes = n_bytes};
    struct engine_dest_config config = rig_dest_config(&rig, &attempt);
    assert_int_equal(engine_dest_new(&config, &canceller.dest, &err), 0);
    say(raw);
    assert_int_equal(thread_start(&canceller.thread, "canceller", call_off, &canceller, &err), 0);
    assert_int_equal(engine_dest_receive(canceller.dest, &verified, &err), -1);
    thread_join(&canceller.thread);
    print_delay(what, &canceller);
    assert_int_equal(err.code, ERR_CANCELLED);
    engine_dest_free(canceller.dest);
    (void)close(raw[0].fd);
    (void)close(raw[1].fd);
    rig_close(&attempt);
    rig_clear(&rig);
}

static void destination_that_waits(void **state)
{
    (void)state;
    destination_that_heard("first record", say_nothing, 0);
    destination_that_heard("amid a record", half_a_record, 10);
    destination_that_heard("barrier", one_sync_of_two, 56);
}

static void an_attempt_that_was_cancelled_before(void **state)
{
    (void)state;
    struct rig rig;
    struct err why = {0}, err;
    struct engine_source *source = NULL;
    rig_init(&rig, MIB);
    rig_fill(&rig, 0, MIB, 1);
    struct rig_attempt attempt = {.n_channels = 1};
    rig_open(&attempt);
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "too late");
    cancel_trigger(attempt.source_cancel, &why);
    struct engine_source_config config = rig_source_config(&rig, &attempt);
    int result = engine_source_new(&config, &source, &err);
    if (result == 0)
        result = engine_source_copy(source, &err);
    assert_int_equal(result, -1);
    assert_int_equal(err.code, ERR_CANCELLED);
    engine_source_free(source);
    (void)close(attempt.destination_channels[0]);
    rig_close(&attempt);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source_that_sends),
        cmocka_unit_test(source_that_waits_for_the_ack),
        cmocka_unit_test(source_that_keeps_to_its_cap),
        cmocka_unit_test(source_whose_qemu_dies),
        cmocka_unit_test(destination_that_waits),
        cmocka_unit_test(an_attempt_that_was_cancelled_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
