/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cutter.h"
#include "raw.h"
#include "wire/data.h"
#include "wire/record.h"

#define RAM (96 * MIB)
#define FILLED (64 * MIB)
/* What a record can have of bytes that are lost with it. */
#define RECORD_MAX (MIB + WIRE_PAGES_SIZE + WIRE_RECORD_HEADER_SIZE + 256 * WIRE_EXTENT_SIZE)

static void prepare(struct rig *rig, unsigned n_writers)
{
    rig_init(rig, RAM);
    rig_fill(rig, 0, FILLED, 7);
    /* Zeros that have memory, between data and holes. */
    memset(rig->guest + 16 * MIB, 0, 4 * MIB);
    for (unsigned i = 0; i < n_writers; i++)
        rig_start_guest(rig, (16 * i + 2) * MIB, 16 * MIB, true);
    rig_wait_writes(rig, 10);
}

/* Moves through a network that breaks so, and checks that nothing is lost and little is sent twice. */
static void move_through(struct cutter *cutter, struct rig_attempt attempt, unsigned n_writers,
                         unsigned n_resumes)
{
    struct rig rig;
    prepare(&rig, n_writers);
    attempt.verify = true;
    cutter->rig = &rig;
    cutter_init(cutter, &attempt);
    rig_move(&rig, &attempt);
    assert_int_equal(attempt.snapshot.resumes, n_resumes);
    assert_false(attempt.snapshot.is_down);
    assert_true(attempt.snapshot.bytes_resent <= n_resumes * attempt.n_channels * RECORD_MAX);
    if (!n_writers) {
        /* Data once, heads, maps and hashes; and what was lost with records. */
        uint64_t limit = FILLED - 4 * MIB + MIB / 2 + attempt.snapshot.bytes_resent;
        assert_in_range(attempt.destination_snapshot.bytes_on_wire, FILLED - 4 * MIB, limit);
    }
    cutter_clear(cutter);
    rig_clear(&rig);
}

static void in_the_first_round(void **state)
{
    (void)state;
    const uint64_t at[] = {1, 3 * MIB + 17, 30 * MIB, 58 * MIB};
    for (unsigned i = 0; i < sizeof at / sizeof at[0]; i++) {
        struct cutter cutter = {.cuts[0] = {.when = CUTTER_AFTER, .bytes = at[i]}};
        move_through(&cutter, (struct rig_attempt){.n_channels = 1 + i}, 0, 1);
    }
}

static void under_writers_with_both_dirty_sources(void **state)
{
    (void)state;
    for (int kind = ENGINE_DIRTY_ASYNC; kind <= ENGINE_DIRTY_SYNC; kind++) {
        struct cutter cutter = {.cuts[0] = {.when = CUTTER_AFTER, .bytes = 20 * MIB}};
        move_through(&cutter, (struct rig_attempt){.n_channels = 2, .dirty = (enum engine_dirty)kind}, 3, 1);
    }
}

static void in_a_later_round(void **state)
{
    (void)state;
    struct cutter cutter = {.cuts[0] = {.when = CUTTER_IN_ROUND, .round = 2}, .n_rounds = 4};
    /* Nobody meets that goal while the guest writes. */
    struct rig_attempt attempt = {.n_channels = 2, .goal_ns = 1};
    move_through(&cutter, attempt, 2, 1);
}

/* What was lost is no base: as changes against a version that never arrived, pages would be damage. */
static void where_pages_go_as_changes(void **state)
{
    (void)state;
    struct rig rig;
    struct cutter cutter = {.cuts = {{.when = CUTTER_IN_ROUND, .round = 2},
                                     {.when = CUTTER_IN_ROUND, .how = CUTTER_HALF, .round = 3},
                                     {.when = CUTTER_IN_ROUND, .round = 4}},
                            .rig = &rig,
                            .n_rounds = 6};
    struct rig_attempt attempt = {
        .n_channels = 2, .goal_ns = 1, .delta = ENGINE_DELTA_ON, .delta_cache_bytes = RAM, .verify = true};
    rig_init(&rig, RAM);
    rig_fill(&rig, 0, FILLED, 7);
    for (unsigned i = 0; i < 4; i++)
        rig_start_patching_guest(&rig, 16 * i * MIB, 12 * MIB);
    rig_wait_writes(&rig, 5000);
    cutter_init(&cutter, &attempt);
    rig_move(&rig, &attempt);
    assert_int_equal(attempt.snapshot.resumes, 3);
    assert_true(attempt.snapshot.codecs[ENGINE_CODEC_DELTA].pages > 1000);
    cutter_clear(&cutter);
    rig_clear(&rig);
}

static void when_the_acknowledgement_is_lost(void **state)
{
    (void)state;
    struct cutter cutter = {.cuts[0] = {.when = CUTTER_AT_ANSWER}};
    move_through(&cutter, (struct rig_attempt){.n_channels = 3}, 2, 1);
}

static void again_and_again(void **state)
{
    (void)state;
    struct cutter cutter = {.cuts = {{.when = CUTTER_AFTER, .bytes = 9 * MIB},
                                     {.when = CUTTER_AT_ANSWER}, /* that is the RESUME */
                                     {.when = CUTTER_AFTER, .bytes = 5 * MIB},
                                     {.when = CUTTER_AFTER, .bytes = 1},
                                     {.when = CUTTER_AFTER, .bytes = 20 * MIB}}};
    move_through(&cutter, (struct rig_attempt){.n_channels = 2}, 0, 4);
}

static void although_the_destination_heard_nothing_of_it(void **state)
{
    (void)state;
    struct cutter cutter = {.cuts = {{.when = CUTTER_AFTER, .how = CUTTER_HALF, .bytes = 25 * MIB}}};
    move_through(&cutter, (struct rig_attempt){.n_channels = 2}, 2, 1);
}

static void although_nobody_heard_anything(void **state)
{
    (void)state;
    struct cutter cutter = {.cuts = {{.when = CUTTER_AFTER, .how = CUTTER_FREEZE, .bytes = 25 * MIB}}};
    move_through(&cutter, (struct rig_attempt){.n_channels = 2}, 0, 1);
}

static void over_the_channels_that_are_left_until_the_round_ends(void **state)
{
    (void)state;
    struct cutter cutter = {.cuts = {{.when = CUTTER_AFTER, .bytes = 5 * MIB, .only_one = true}}};
    move_through(&cutter, (struct rig_attempt){.n_channels = 3}, 0, 1);
    /* All but the batch that was lost with its channel, and what is still on its way in the cutter's sockets.
     */
    assert_true(cutter.at_connect > 40 * MIB);
}

static void but_not_when_the_guest_is_stopped(void **state)
{
    (void)state;
    struct rig rig;
    struct cutter cutter = {.cuts[0] = {.when = CUTTER_IN_ROUND, .round = 1}};
    struct rig_attempt attempt = {.n_channels = 2};
    prepare(&rig, 0);
    cutter_init(&cutter, &attempt);
    /* The destination is not told by anybody: it ends with the source. */
    attempt.destination_reconnect = NULL;
    rig_run(&rig, &attempt);
    assert_int_equal(attempt.source_result, -1);
    assert_int_equal(attempt.source_err.code, ERR_PEER_LOST);
    assert_string_equal(attempt.source_err.id, "peer-lost");
    assert_int_equal(cutter.n_sets, 1);
    cutter_clear(&cutter);
    rig_clear(&rig);
}

/* What a destination says, right or wrong, in place of its RESUME. The source has sent round 0. */
struct saying {
    const char *error_id;
    uint32_t type;
    uint32_t round;
    uint64_t first_page;
    uint32_t n_pages;
    uint8_t bits; /* of the first eight pages */
};
struct saying_run {
    const struct saying *saying;
    int fd;
};

static int says_so(const struct engine_outage *outage, int ret_channels[], struct tls *ret_tls[], void *user,
                   struct err *err)
{
    struct rig_attempt *attempt = user;
    struct saying_run *run = attempt->user;
    const struct saying *saying = run->saying;
    uint8_t payload[WIRE_RESUME_SIZE + 32] = {0};
    int ends[2];
    (void)outage;
    (void)ret_tls;
    (void)err;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct raw raw = {.fd = ends[1]};
    wire_resume_encode(&(struct wire_resume){.round = saying->round,
                                             .n_pages = saying->n_pages,
                                             .first_page = saying->first_page},
                       payload);
    payload[WIRE_RESUME_SIZE] = saying->bits;
    raw_send(&raw, saying->type, payload,
             saying->type == WIRE_RESUME ? WIRE_RESUME_SIZE + (saying->n_pages + 7) / 8 : WIRE_ACK_SIZE);
    ret_channels[0] = ends[0];
    run->fd = ends[1];
    return 0;
}

static void source_that_hears(const struct saying *saying)
{
    struct rig rig;
    struct err err = {0};
    struct engine_source *source;
    struct saying_run run = {.saying = saying, .fd = -1};
    rig_init(&rig, MIB);
    rig_fill(&rig, ENGINE_PAGE_SIZE, 4 * ENGINE_PAGE_SIZE, 3);
    struct rig_attempt attempt = {.n_channels = 1, .source_reconnect = says_so, .user = &run};
    rig_open(&attempt);
    struct engine_source_config config = rig_source_config(&rig, &attempt);
    assert_int_equal(engine_source_new(&config, &source, &err), 0);
    (void)close(attempt.destination_channels[0]);
    assert_int_equal(engine_source_copy(source, &err), -1);
    print_message("%s: %s\n", err.id, err.message);
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_string_equal(err.id, saying->error_id);
    engine_source_free(source);
    (void)close(run.fd);
    rig_close(&attempt);
    rig_clear(&rig);
}

static void but_not_at_any_word_of_the_destination(void **state)
{
    (void)state;
    const struct saying sayings[] = {
        {"resume-round", WIRE_RESUME, 7, 0, 256, 0},
        {"resume-round", WIRE_RESUME, 1, 0, 256, 0}, /* nothing was synchronized */
        {"resume-pages", WIRE_RESUME, 0, 0, 256, 1}, /* page 0 is a hole */
        {"resume-part", WIRE_RESUME, 0, 8, 248, 0},
        {"resume-part", WIRE_RESUME, 0, 0, 128, 0},
        {"unexpected-record", WIRE_ACK, 0, 0, 256, 0},
    };
    for (size_t i = 0; i < sizeof sayings / sizeof sayings[0]; i++)
        source_that_hears(&sayings[i]);
}

/* Each time it says what is placed of the first eight pages, and is gone; the last time nobody comes. */
#define TIMES 4
struct flapping {
    const uint8_t *placed;
    unsigned n;
    uint64_t since_ns[TIMES];
};

static int comes_and_goes(const struct engine_outage *outage, int ret_channels[], struct tls *ret_tls[],
                          void *user, struct err *err)
{
    struct rig_attempt *attempt = user;
    struct flapping *flapping = attempt->user;
    uint8_t payload[WIRE_RESUME_SIZE + 32] = {0};
    int ends[2];
    (void)ret_tls;
    flapping->since_ns[flapping->n] = outage->since_ns;
    if (flapping->n == TIMES - 1)
        return err_set(err, ERR_CANCELLED, "cancelled", "enough");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct raw raw = {.fd = ends[1]};
    wire_resume_encode(&(struct wire_resume){.n_pages = 256}, payload);
    payload[WIRE_RESUME_SIZE] = flapping->placed[flapping->n++];
    raw_send(&raw, WIRE_RESUME, payload, sizeof payload);
    (void)close(ends[1]);
    ret_channels[0] = ends[0];
    return 0;
}

static void source_of(struct flapping *flapping)
{
    struct rig rig;
    struct err err = {0};
    struct engine_source *source;
    rig_init(&rig, MIB);
    rig_fill(&rig, ENGINE_PAGE_SIZE, 4 * ENGINE_PAGE_SIZE, 3);
    struct rig_attempt attempt = {.n_channels = 1, .source_reconnect = comes_and_goes, .user = flapping};
    rig_open(&attempt);
    struct engine_source_config config = rig_source_config(&rig, &attempt);
    assert_int_equal(engine_source_new(&config, &source, &err), 0);
    (void)close(attempt.destination_channels[0]);
    assert_int_equal(engine_source_copy(source, &err), -1);
    assert_string_equal(err.id, "cancelled");
    assert_int_equal(flapping->n, TIMES - 1);
    engine_source_free(source);
    rig_close(&attempt);
    rig_clear(&rig);
}

/* Small packets pass and large ones are lost: then there are connections again and again. */
static void connections_that_carry_nothing_end_no_outage(void **state)
{
    (void)state;
    struct flapping nothing = {.placed = (const uint8_t[]){0, 0, 0}};
    source_of(&nothing);
    assert_true(nothing.since_ns[1] > nothing.since_ns[0]);
    for (unsigned i = 2; i < TIMES; i++)
        assert_int_equal(nothing.since_ns[i], nothing.since_ns[1]);
    struct flapping little = {.placed = (const uint8_t[]){0x02, 0x06, 0x0e}};
    source_of(&little);
    for (unsigned i = 1; i < TIMES; i++)
        assert_true(little.since_ns[i] > little.since_ns[i - 1]);
}

static void a_cancel_ends_the_wait_for_the_network(void **state)
{
    (void)state;
    struct rig rig;
    struct err err = {0}, why = {0};
    struct engine_source *source;
    struct cutter cutter = {.cuts[0] = {.when = CUTTER_AFTER, .bytes = MIB}, .stays_down = true};
    struct rig_attempt attempt = {.n_channels = 2};
    prepare(&rig, 0);
    cutter_init(&cutter, &attempt);
    rig_open(&attempt);
    struct engine_source_config config = rig_source_config(&rig, &attempt);
    assert_int_equal(engine_source_new(&config, &source, &err), 0);
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "enough");
    cutter.cancel = attempt.source_cancel;
    cutter.why = &why;
    assert_int_equal(engine_source_copy(source, &err), -1);
    assert_int_equal(err.code, ERR_CANCELLED);
    engine_source_free(source);
    for (unsigned i = 0; i < 2; i++)
        (void)close(attempt.destination_channels[i]);
    rig_close(&attempt);
    cutter_clear(&cutter);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_first_round),
        cmocka_unit_test(under_writers_with_both_dirty_sources),
        cmocka_unit_test(in_a_later_round),
        cmocka_unit_test(where_pages_go_as_changes),
        cmocka_unit_test(when_the_acknowledgement_is_lost),
        cmocka_unit_test(again_and_again),
        cmocka_unit_test(although_the_destination_heard_nothing_of_it),
        cmocka_unit_test(although_nobody_heard_anything),
        cmocka_unit_test(over_the_channels_that_are_left_until_the_round_ends),
        cmocka_unit_test(but_not_when_the_guest_is_stopped),
        cmocka_unit_test(but_not_at_any_word_of_the_destination),
        cmocka_unit_test(connections_that_carry_nothing_end_no_outage),
        cmocka_unit_test(a_cancel_ends_the_wait_for_the_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
