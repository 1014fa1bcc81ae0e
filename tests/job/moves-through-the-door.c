/* SPDX-License-Identifier: Apache-2.0 */
/* Real jobs, real door, real TCP; fake agents and a fake guest. Each failure is followed by a good move. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_agent.h"
#include "fake_guest.h"
#include "wire/preamble.h"

static struct fake_world world;

static int begin(void **state)
{
    (void)state;
    fake_world_start(&world);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fake_world_end(&world);
    return 0;
}

static bool both_ended(const struct fake_world *now)
{
    return now->source.has_result && now->destination.has_result;
}

static bool source_ended(const struct fake_world *now)
{
    return now->source.has_result;
}

static bool destination_ended(const struct fake_world *now)
{
    return now->destination.has_result;
}

static bool source_copies(const struct fake_world *now)
{
    return now->source.is_copying || now->source.has_result;
}

static bool memory_flows(const struct fake_world *now)
{
    return (now->source.is_sending && now->destination.is_sending) || both_ended(now);
}

static void start_both(void (*change)(struct ctl_job_spec *spec), const char *destination_program)
{
    struct ctl_job_spec spec;
    fake_spec(&world, CTL_ROLE_DESTINATION, &spec);
    if (change)
        change(&spec);
    fake_start_destination(&world, &spec, destination_program);
    fake_spec(&world, CTL_ROLE_SOURCE, &spec);
    if (change)
        change(&spec);
    fake_start_source(&world, &spec);
}

static void reap_both(void)
{
    fake_reap_job(&world.source);
    fake_reap_job(&world.destination);
}

static void assert_ok(const struct fake_side *side)
{
    if (!side->result.ok)
        fail_msg("%s: %s", side->result.error.id, side->result.error.message);
}

static void assert_failed(const struct fake_side *side, const char *id, const char *phase,
                          const char *side_name)
{
    assert_true(side->has_result);
    assert_false(side->result.ok);
    assert_string_equal(side->result.error.id, id);
    assert_string_equal(side->result.error.phase, phase);
    assert_string_equal(side->result.error.side, side_name);
}

static void a_move_with_changes_must_succeed(void (*change)(struct ctl_job_spec *spec))
{
    world.faults = (struct fake_faults){0};
    start_both(change, fake_programs.job);
    fake_serve_until(&world, both_ended);
    assert_ok(&world.source);
    assert_ok(&world.destination);
    assert_true(fake_ram_is_equal(&world));
    assert_int_equal(world.destination.n_state, FAKE_DEVICE_STATE_SIZE);
    assert_memory_equal(world.destination.state, world.device_state, FAKE_DEVICE_STATE_SIZE);
    reap_both();
}

static void a_move_must_succeed(void)
{
    a_move_with_changes_must_succeed(NULL);
}

/* The guest runs on the source as if nothing had happened, and can still be moved. */
static void guest_stays_and_can_move(void)
{
    fake_resume_guest(&world);
    fake_guest_must_run(&world);
    a_move_must_succeed();
}

/* Every step between the two is told, and none before the one that it waits for. */
static void assert_marks(const struct fake_side *side, enum ctl_mark first, enum ctl_mark last)
{
    for (unsigned i = first; i <= last; i++)
        assert_true(side->result.marks_ns[i] > 0);
    for (unsigned i = 0; i < CTL_MARKS; i++)
        assert_true((i >= first && i <= last) || !side->result.marks_ns[i]);
}

static void the_switch_over_is_told_step_by_step(void **state)
{
    (void)state;
    a_move_must_succeed();
    const uint64_t *source = world.source.result.marks_ns;
    const uint64_t *destination = world.destination.result.marks_ns;
    assert_marks(&world.source, CTL_MARK_STOPPED, CTL_MARK_RUNNING);
    assert_marks(&world.destination, CTL_MARK_MEMORY, CTL_MARK_RUNS);
    assert_true(source[CTL_MARK_SCANNED] >= source[CTL_MARK_STOPPED]);
    assert_true(source[CTL_MARK_QUIET] >= source[CTL_MARK_SAVED]);
    assert_true(source[CTL_MARK_STATE_SENT] >= source[CTL_MARK_QUIET]);
    assert_true(source[CTL_MARK_READY] >= source[CTL_MARK_PLACED]);
    assert_true(source[CTL_MARK_GIVEN] >= source[CTL_MARK_READY]);
    assert_true(source[CTL_MARK_RUNNING] >= source[CTL_MARK_GIVEN]);
    assert_true(destination[CTL_MARK_LOADED] >= destination[CTL_MARK_STATE_RECEIVED]);
    assert_true(destination[CTL_MARK_RUNS] >= destination[CTL_MARK_COMMIT]);
    assert_true(world.source.result.downtime_ns >= source[CTL_MARK_RUNNING]);
}

/* What goes over the wire does not depend on which codec this machine finds worth its time. */
static void unpacked(struct ctl_job_spec *spec)
{
    spec->compression = CTL_COMPRESSION_OFF;
    spec->delta = CTL_DELTA_OFF;
}

static void a_move_goes_through_the_door_and_arrives_whole(void **state)
{
    (void)state;
    a_move_with_changes_must_succeed(unpacked);
    const struct fake_side *source = &world.source;
    assert_int_equal(source->n_requests[CTL_STOP], 1);
    assert_int_equal(source->n_requests[CTL_SAVE], 1);
    assert_int_equal(source->n_requests[CTL_GIVE], 1);
    assert_int_equal(source->n_requests[CTL_QUIT], 1);
    assert_true(source->n_requests[CTL_ROUND] > 0);
    assert_true(source->result.downtime_ns > 0);
    assert_true(source->result.copy_ns > source->result.downtime_ns);
    assert_true(source->result.bytes_on_wire > FAKE_RAM_SIZE / 2);
    assert_int_equal(world.destination.n_requests[CTL_CONT], 1);
}

static void verified(struct ctl_job_spec *spec)
{
    spec->verify = 1;
}

static void synchronous(struct ctl_job_spec *spec)
{
    spec->dirty = CTL_DIRTY_SYNC;
    spec->verify = 1;
}

static void a_move_with_synchronous_tracking_and_verification_arrives_whole(void **state)
{
    (void)state;
    start_both(synchronous, fake_programs.job);
    fake_serve_until(&world, both_ended);
    assert_ok(&world.source);
    assert_ok(&world.destination);
    assert_int_equal(world.source.result.dirty, CTL_DIRTY_SYNC);
    assert_true(world.source.result.verified);
    assert_true(world.destination.result.verified);
    assert_true(fake_ram_is_equal(&world));
}

static void wrong_key_is_refused(void **state)
{
    (void)state;
    struct ctl_job_spec spec;
    fake_spec(&world, CTL_ROLE_DESTINATION, &spec);
    fake_start_destination(&world, &spec, fake_programs.job);
    fake_spec(&world, CTL_ROLE_SOURCE, &spec);
    spec.key[31] ^= 1;
    fake_start_source(&world, &spec);
    fake_serve_until(&world, source_ended);
    assert_failed(&world.source, "key-refused", "copy", "source");
    assert_int_equal(world.source.result.error.code, ERR_UNAUTHORIZED);
    assert_false(world.destination.has_result);
    fake_reap_job(&world.source);
    /* Who saw the ticket on the wire cannot spoil the attempt of who has the key. */
    fake_spec(&world, CTL_ROLE_SOURCE, &spec);
    fake_start_source(&world, &spec);
    fake_serve_until(&world, both_ended);
    assert_ok(&world.source);
    assert_ok(&world.destination);
    assert_true(fake_ram_is_equal(&world));
}

static bool stranger_counted(const struct fake_world *now)
{
    return now->counts.strangers == 1;
}

static void wrong_ticket_never_reaches_the_job(void **state)
{
    (void)state;
    struct ctl_job_spec spec;
    fake_spec(&world, CTL_ROLE_DESTINATION, &spec);
    fake_start_destination(&world, &spec, fake_programs.job);
    fake_spec(&world, CTL_ROLE_SOURCE, &spec);
    spec.ticket[0] ^= 1;
    fake_start_source(&world, &spec);
    fake_serve_until(&world, source_ended);
    assert_failed(&world.source, "ticket-refused", "copy", "source");
    fake_serve_until(&world, stranger_counted);
    assert_int_equal(world.counts.handed, 0);
    assert_false(world.destination.has_result);
    fake_cancel(&world.destination, "the source could not connect");
    fake_serve_until(&world, destination_ended);
    reap_both();
    guest_stays_and_can_move();
}

static void peer_error_text_reaches_the_other_side(void **state)
{
    (void)state;
    world.faults.refuse_load = true;
    start_both(NULL, fake_programs.job);
    fake_serve_until(&world, both_ended);
    assert_failed(&world.destination, "device-state-refused", "switch-over", "destination");
    assert_failed(&world.source, "device-state-refused", "switch-over", "destination");
    assert_string_equal(world.source.result.error.message, "QEMU does not like this virtio-net");
    assert_int_equal(world.source.n_requests[CTL_GIVE], 0);
    reap_both();
    guest_stays_and_can_move();
}

/* Never ends by itself: the guest writes faster than the cap lets it go. */
static void endless(struct ctl_job_spec *spec)
{
    spec->bandwidth_bytes_s = 1000000;
    spec->max_downtime_ms = 1;
}

static void cancel_before_give_ends_within_a_second(void **state)
{
    (void)state;
    start_both(endless, fake_programs.job);
    fake_serve_until(&world, source_copies);
    fake_cancel(&world.source, "the operator changed her mind");
    fake_serve_until(&world, both_ended);
    assert_failed(&world.source, "cancelled", "copy", "source");
    /* The destination was not cancelled itself: it learnt it from its peer. */
    assert_failed(&world.destination, "cancelled", "copy", "source");
    assert_string_equal(world.destination.result.error.message, "the operator changed her mind");
    assert_int_equal(world.source.n_requests[CTL_STOP], 0);
    reap_both();
    guest_stays_and_can_move();
}

static void cancel_works_while_the_peer_is_frozen(void **state)
{
    (void)state;
    start_both(endless, fake_programs.job);
    fake_serve_until(&world, source_copies);
    assert_int_equal(kill(world.destination.job, SIGSTOP), 0);
    fake_cancel(&world.source, "enough");
    fake_serve_until(&world, source_ended); /* the peer is still frozen */
    assert_failed(&world.source, "cancelled", "copy", "source");
    fake_reap_job(&world.source);
    fake_kill_job(&world.destination);
    guest_stays_and_can_move();
}

static void endless_and_synchronous(struct ctl_job_spec *spec)
{
    endless(spec);
    spec->dirty = CTL_DIRTY_SYNC;
}

static void job_killed_before_give_leaves_guest_running(void **state)
{
    (void)state;
    void (*const changes[])(struct ctl_job_spec * spec) = {endless, endless_and_synchronous};
    for (unsigned i = 0; i < 2; i++) {
        start_both(changes[i], fake_programs.job);
        fake_serve_until(&world, memory_flows);
        assert_false(world.source.has_result);
        fake_kill_job(&world.source);
        fake_guest_must_run(&world);
        /* The destination waits for its source to come back, until the manager tells it. */
        fake_cancel(&world.destination, "the source's job died");
        fake_serve_until(&world, destination_ended);
        assert_int_equal(world.destination.result.error.code, ERR_CANCELLED);
        fake_reap_job(&world.destination);
        guest_stays_and_can_move();
        fake_resume_guest(&world);
    }
}

/* A connection with the ticket of the move, as somebody on the way can read it, and nothing that fits. */
static void knock_as_stranger(uint16_t role)
{
    static const uint8_t junk[4096] = {7};
    uint8_t bytes[WIRE_PREAMBLE_SIZE];
    struct timeval patience = {.tv_sec = 60};
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(world.port)};
    struct wire_preamble preamble = {.role = role};
    struct ctl_job_spec spec;
    fake_spec(&world, CTL_ROLE_SOURCE, &spec);
    memcpy(preamble.ticket, spec.ticket, sizeof preamble.ticket);
    wire_preamble_encode(&preamble, bytes);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
    (void)!send(fd, junk, sizeof junk, MSG_NOSIGNAL); /* it may be refused amid it */
    ssize_t got;
    do
        got = recv(fd, bytes, sizeof bytes, 0);
    while (got > 0);
    assert_false(got < 0 && errno == EAGAIN); /* turned away */
    (void)close(fd);
}

static void a_stranger_with_the_ticket_does_no_harm_to_a_copy(void **state)
{
    (void)state;
    start_both(endless, fake_programs.job);
    fake_serve_until(&world, memory_flows);
    knock_as_stranger(WIRE_ROLE_CONTROL);
    knock_as_stranger(WIRE_ROLE_DATA);
    knock_as_stranger(WIRE_ROLE_CONTROL);
    assert_false(both_ended(&world));
    fake_guest_stop(&world.guest); /* now its memory can be sent */
    fake_serve_until(&world, both_ended);
    assert_ok(&world.source);
    assert_ok(&world.destination);
    assert_int_equal(world.source.resumes, 0);
    assert_true(fake_ram_is_equal(&world));
    reap_both();
}

/* Whoever is not there any more says so by his kernel, or by the door; the limit of 80 s does not matter. */
static void a_destination_that_is_gone_is_not_waited_for(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        bool without_door = i == 1;
        start_both(endless, fake_programs.job);
        fake_serve_until(&world, memory_flows);
        if (without_door)
            fake_end_door(&world);
        fake_kill_job(&world.destination);
        fake_serve_until(&world, source_ended);
        assert_int_equal(world.source.result.error.code, ERR_PEER_LOST);
        assert_string_not_equal(world.source.result.error.id, "resume-limit");
        assert_true(world.source.n_down > 0);
        fake_reap_job(&world.source);
        fake_guest_must_run(&world);
    }
}

static void impatient(struct ctl_job_spec *spec)
{
    endless(spec);
    spec->resume_limit_s = 1;
}

static void a_network_that_is_silent_is_waited_for_up_to_the_limit(void **state)
{
    (void)state;
    start_both(impatient, fake_programs.job);
    fake_serve_until(&world, memory_flows);
    assert_int_equal(kill(world.door, SIGSTOP), 0); /* its kernel takes connections, and that is all */
    fake_kill_job(&world.destination);
    fake_serve_until(&world, source_ended);
    assert_int_equal(kill(world.door, SIGCONT), 0);
    assert_failed(&world.source, "resume-limit", "copy", "source");
    assert_non_null(strstr(world.source.result.error.message, "within 1 s"));
    assert_non_null(strstr(world.source.result.error.fix, "up to 80 s"));
    fake_reap_job(&world.source);
    guest_stays_and_can_move();
}

static void flipped_bit_fails_the_move_before_device_state_is_loaded(void **state)
{
    (void)state;
    start_both(verified, fake_programs.flipping_job);
    fake_serve_until(&world, both_ended);
    assert_string_equal(world.source.result.error.id, "ram-differs");
    assert_int_equal(world.source.result.error.code, ERR_CORRUPT);
    assert_false(world.destination.result.ok);
    assert_int_equal(world.source.n_requests[CTL_SAVE], 0);
    assert_int_equal(world.destination.n_state, 0);
    reap_both();
    guest_stays_and_can_move();
}

static void returned_guest_ends_the_move_as_a_failure_on_both_sides(void **state)
{
    (void)state;
    world.faults.bad_verdict = true;
    start_both(NULL, fake_programs.job);
    fake_serve_until(&world, both_ended);
    assert_failed(&world.source, "destination-did-not-resume", "switch-over", "destination");
    assert_failed(&world.destination, "destination-did-not-resume", "switch-over", "destination");
    assert_int_equal(world.source.n_requests[CTL_QUIT], 1);
    assert_int_equal(world.source.result.downtime_ns, 0);
    reap_both();
    guest_stays_and_can_move();
}

static void limited(struct ctl_job_spec *spec)
{
    spec->switchover_limit_s = 1;
}

static void a_switch_over_beyond_its_limit_is_taken_back(void **state)
{
    (void)state;
    world.faults.silent_stop = true;
    start_both(limited, fake_programs.job);
    fake_serve_until(&world, both_ended);
    assert_failed(&world.source, "switchover-limit", "switch-over", "source");
    assert_string_equal(world.destination.result.error.id, "switchover-limit");
    assert_int_equal(world.source.n_requests[CTL_GIVE], 0);
    reap_both();
    guest_stays_and_can_move();
}

static void a_lost_verdict_leaves_ownership_in_doubt(void **state)
{
    (void)state;
    world.faults.kill_at_cont = true;
    start_both(NULL, fake_programs.job);
    fake_serve_until(&world, source_ended);
    assert_failed(&world.source, "verdict-unknown", "switch-over", "source");
    assert_int_equal(world.source.result.error.code, ERR_IN_DOUBT);
    assert_int_equal(world.source.n_requests[CTL_GIVE], 1);
    assert_int_equal(world.source.n_requests[CTL_QUIT], 0);
}

static void a_dead_guest_ends_the_move_on_both_sides(void **state)
{
    (void)state;
    start_both(endless, fake_programs.job);
    fake_serve_until(&world, source_copies);
    assert_int_equal(kill(world.guest.pid, SIGKILL), 0);
    fake_serve_until(&world, both_ended);
    assert_failed(&world.source, "qemu-died", "copy", "source");
    assert_failed(&world.destination, "qemu-died", "copy", "source");
    reap_both();
}

#define MOVE_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    if (getuid() != 0) {
        print_message("needs root\n");
        return 77;
    }
    fake_programs = (struct fake_programs){.job = argv[1], .door = argv[2], .flipping_job = argv[3]};
    const struct CMUnitTest tests[] = {
        MOVE_TEST(a_move_goes_through_the_door_and_arrives_whole),
        MOVE_TEST(the_switch_over_is_told_step_by_step),
        MOVE_TEST(a_move_with_synchronous_tracking_and_verification_arrives_whole),
        MOVE_TEST(wrong_key_is_refused),
        MOVE_TEST(wrong_ticket_never_reaches_the_job),
        MOVE_TEST(peer_error_text_reaches_the_other_side),
        MOVE_TEST(cancel_before_give_ends_within_a_second),
        MOVE_TEST(cancel_works_while_the_peer_is_frozen),
        MOVE_TEST(job_killed_before_give_leaves_guest_running),
        MOVE_TEST(a_stranger_with_the_ticket_does_no_harm_to_a_copy),
        MOVE_TEST(a_destination_that_is_gone_is_not_waited_for),
        MOVE_TEST(a_network_that_is_silent_is_waited_for_up_to_the_limit),
        MOVE_TEST(flipped_bit_fails_the_move_before_device_state_is_loaded),
        MOVE_TEST(a_switch_over_beyond_its_limit_is_taken_back),
        MOVE_TEST(a_lost_verdict_leaves_ownership_in_doubt),
        MOVE_TEST(a_dead_guest_ends_the_move_on_both_sides),
        MOVE_TEST(returned_guest_ends_the_move_as_a_failure_on_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
