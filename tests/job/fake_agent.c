/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_agent.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "fake_guest.h"

#define CHILD_UID 64104
#define PATIENCE_MS 60000
#define CHILD_FIRST_FD 3

struct fake_programs fake_programs;

/* The child has fds[i] as number 3 + i and is an unprivileged user. */
static pid_t spawn(const char *program, const char *const argv[], const int *fds, unsigned n_fds)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    int copies[4];
    int binary = open(program, O_RDONLY | O_CLOEXEC); /* a build folder may be closed to others */
    int high = fcntl(binary, F_DUPFD_CLOEXEC, 100);
    for (unsigned i = 0; i < n_fds; i++)
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 50);
    for (unsigned i = 0; i < n_fds; i++)
        (void)dup2(copies[i], CHILD_FIRST_FD + (int)i);
    if (setgroups(0, NULL) < 0 || setresgid(CHILD_UID, CHILD_UID, CHILD_UID) < 0 ||
        setresuid(CHILD_UID, CHILD_UID, CHILD_UID) < 0)
        _exit(90);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)fexecve(high, (char *const *)argv, environ);
    _exit(91);
}

static void start_door(struct fake_world *world)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof any;
    int ends[2];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(listen(listener, 64), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&any, &size), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    const char *const argv[] = {"door", "--control", "3", "--listen", "4", NULL};
    int fds[] = {ends[1], listener};
    world->door = spawn(fake_programs.door, argv, fds, 2);
    world->door_control = ends[0];
    world->port = ntohs(any.sin_port);
    (void)close(ends[1]);
    (void)close(listener);
}

void fake_world_start(struct fake_world *world)
{
    memset(world, 0, sizeof *world);
    world->source.control = world->destination.control = -1;
    world->destination.ram = world->destination.state_in = world->source.state_in = world->source.ram = -1;
    fdio_random(world->ready, sizeof world->ready);
    fdio_random(world->commit, sizeof world->commit);
    fdio_random(world->running, sizeof world->running);
    for (size_t i = 0; i < sizeof world->device_state; i++)
        world->device_state[i] = (uint8_t)(i * 7 + (i >> 9));
    fake_guest_start(&world->guest);
    start_door(world);
}

static int collect_job(struct fake_side *side)
{
    int status = -1;
    assert_int_equal(waitpid(side->job, &status, 0), side->job);
    side->job = 0;
    beat_unmap(side->beat);
    side->beat = NULL;
    (void)close(side->beat_fd);
    (void)close(side->control);
    side->control = -1;
    if (side->state_in >= 0)
        (void)close(side->state_in);
    side->state_in = -1;
    return status;
}

void fake_kill_job(struct fake_side *side)
{
    if (!side->job)
        return;
    (void)kill(side->job, SIGKILL);
    (void)collect_job(side);
}

/* A signal (of the system call filter, too) or a sanitizer's finding shows in the status. */
void fake_reap_job(struct fake_side *side)
{
    int status = collect_job(side);
    assert_true(side->has_result);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), side->result.ok ? 0 : 1);
}

void fake_end_door(struct fake_world *world)
{
    int status = -1;
    if (!world->door)
        return;
    (void)close(world->door_control); /* its signal to end */
    world->door_control = -1;
    assert_int_equal(waitpid(world->door, &status, 0), world->door);
    assert_int_equal(status, 0);
    world->door = 0;
}

void fake_world_end(struct fake_world *world)
{
    fake_kill_job(&world->source);
    fake_kill_job(&world->destination);
    fake_end_door(world);
    if (world->destination.ram >= 0)
        (void)close(world->destination.ram);
    fake_guest_end(&world->guest);
}

void fake_spec(struct fake_world *world, enum ctl_role role, struct ctl_job_spec *ret_spec)
{
    *ret_spec = (struct ctl_job_spec){.version = CTL_VERSION,
                                      .role = role,
                                      .move_id = "5d0f0000-0000-4000-8000-00000000000a",
                                      .vm_uuid = "5d0f0000-0000-4000-8000-00000000000b",
                                      .epoch = 7,
                                      .ram_size = FAKE_RAM_SIZE,
                                      .ram_address = world->guest.address,
                                      .n_channels = 2,
                                      .max_downtime_ms = 300,
                                      .switchover_limit_s = 60,
                                      .resume_limit_s = CTL_RESUME_LIMIT_MAX_S,
                                      .port = world->port,
                                      .n_addresses = 1,
                                      .addresses = {"127.0.0.1"},
                                      .n_source_addresses = 1,
                                      .source_addresses = {"127.0.0.1"}};
    memset(ret_spec->ticket, 0x11, sizeof ret_spec->ticket);
    memset(ret_spec->key, 0x22, sizeof ret_spec->key);
}

static void start_job(struct fake_side *side, const char *program, const struct ctl_job_spec *spec,
                      const int *fds, size_t n_fds)
{
    struct ctl_msg msg;
    int ends[2];
    int ram = side->ram;
    int beat;
    const char *const argv[] = {"job", "--control", "3", "--beat", "4", NULL};
    *side = (struct fake_side){.ram = ram, .state_in = -1};
    assert_int_equal(beat_new(&side->beat, &beat, NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    int inherited[] = {ends[1], beat};
    side->job = spawn(program, argv, inherited, 2);
    side->control = ends[0];
    side->beat_fd = beat;
    (void)close(ends[1]);
    ctl_fill(&msg, CTL_JOB_SPEC, 0, spec, sizeof *spec);
    assert_int_equal(ctl_send(side->control, &msg, fds, n_fds, NULL), 0);
}

static void tell_door(struct fake_world *world, uint32_t type, const struct ctl_job_spec *spec, int job_end)
{
    struct ctl_msg msg;
    struct ctl_door_ticket ticket;
    memcpy(ticket.ticket, spec->ticket, sizeof ticket.ticket);
    ctl_fill(&msg, type, 0, &ticket, sizeof ticket);
    assert_int_equal(ctl_send(world->door_control, &msg, &job_end, job_end >= 0, NULL), 0);
}

void fake_forget_ticket(struct fake_world *world, const struct ctl_job_spec *spec)
{
    tell_door(world, CTL_DOOR_FORGET, spec, -1);
}

void fake_start_destination(struct fake_world *world, const struct ctl_job_spec *spec, const char *program)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    tell_door(world, CTL_DOOR_EXPECT, spec, ends[0]);
    (void)close(ends[0]);
    if (world->destination.ram >= 0)
        (void)close(world->destination.ram);
    world->destination.ram = memfd_create("fake-destination", MFD_CLOEXEC);
    assert_int_equal(ftruncate(world->destination.ram, FAKE_RAM_SIZE), 0);
    int fds[CTL_DESTINATION_FDS] = {world->destination.ram, ends[1]};
    start_job(&world->destination, program, spec, fds, CTL_DESTINATION_FDS);
    (void)close(ends[1]);
}

void fake_start_source(struct fake_world *world, const struct ctl_job_spec *spec)
{
    char path[64];
    int pair[2];
    (void)snprintf(path, sizeof path, "/proc/%d/pagemap", (int)world->guest.pid);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(pagemap >= 0);
    fake_guest_pair(&world->guest, pair);
    int fds[CTL_SOURCE_FDS] = {world->guest.ram, pair[0], pair[1], pagemap, world->guest.pidfd};
    start_job(&world->source, fake_programs.job, spec, fds, CTL_SOURCE_FDS);
    (void)close(pair[0]);
    (void)close(pair[1]);
    (void)close(pagemap);
}

/* ---- requests ---- */

static void answer(struct fake_side *side, const struct ctl_msg *request, const void *body, size_t size,
                   int fd)
{
    struct ctl_msg msg;
    ctl_fill(&msg, CTL_DONE, request->serial, body, size);
    (void)ctl_send(side->control, &msg, &fd, fd >= 0, NULL); /* the job may be gone: the test decides */
}

static void open_state_pipe(int ret_ends[2])
{
    assert_int_equal(pipe2(ret_ends, O_CLOEXEC), 0);
    assert_true(fcntl(ret_ends[1], F_SETPIPE_SZ, 1 << 20) >= (int)FAKE_DEVICE_STATE_SIZE);
}

static void serve_save(struct fake_world *world, const struct ctl_msg *msg)
{
    int ends[2];
    open_state_pipe(ends);
    assert_int_equal(fdio_write(ends[1], world->device_state, sizeof world->device_state, NULL), 0);
    (void)close(ends[1]);
    answer(&world->source, msg, NULL, 0, ends[0]);
    (void)close(ends[0]);
    answer(&world->source, msg, NULL, 0, -1);
}

static void serve_load(struct fake_world *world, const struct ctl_msg *msg)
{
    int ends[2];
    open_state_pipe(ends);
    answer(&world->destination, msg, NULL, 0, ends[1]);
    (void)close(ends[1]);
    world->destination.state_in = ends[0];
    world->destination.load_serial = msg->serial;
}

static void serve_request(struct fake_world *world, struct fake_side *side, const struct ctl_msg *msg)
{
    struct ctl_verdict verdict = {.kind =
                                      world->faults.bad_verdict ? CTL_VERDICT_RETURNED : CTL_VERDICT_RUNNING};
    memcpy(verdict.secret, world->running, sizeof verdict.secret);
    switch (msg->type) {
    case CTL_STOP:
        fake_guest_stop(&world->guest);
        world->guest_is_stopped = true;
        if (!world->faults.silent_stop)
            answer(side, msg, NULL, 0, -1);
        break;
    case CTL_SAVE:
        serve_save(world, msg);
        break;
    case CTL_LOAD:
        serve_load(world, msg);
        break;
    case CTL_READY:
        answer(side, msg, world->ready, sizeof world->ready, -1);
        break;
    case CTL_GIVE:
        assert_int_equal(msg->length, sizeof world->ready);
        assert_memory_equal(msg->body, world->ready, sizeof world->ready);
        answer(side, msg, world->commit, sizeof world->commit, -1);
        break;
    case CTL_CONT:
        assert_memory_equal(msg->body, world->commit, sizeof world->commit);
        if (world->faults.kill_at_cont)
            fake_kill_job(side);
        else
            answer(side, msg, &verdict, sizeof verdict, -1);
        break;
    case CTL_QUIT:
        assert_memory_equal(msg->body, &verdict, sizeof verdict);
        answer(side, msg, NULL, 0, -1);
        break;
    default:
        fail_msg("message %u", msg->type);
    }
}

static void serve_job(struct fake_world *world, struct fake_side *side)
{
    struct ctl_msg msg;
    struct ctl_progress progress;
    if (ctl_recv(side->control, &msg, NULL, NULL, NULL) < 0) {
        (void)close(side->control);
        side->control = -1;
        return;
    }
    assert_in_range(msg.type, CTL_STOP, CTL_RESULT);
    side->n_requests[msg.type]++;
    if (msg.type == CTL_PROGRESS) {
        assert_int_equal(ctl_body(&msg, &progress, sizeof progress, NULL), 0);
        memcpy(side->cipher, progress.cipher, sizeof side->cipher);
        side->n_down += progress.is_down;
        side->resumes = progress.resumes;
        side->is_copying |= progress.step == CTL_STEP_COPY;
        side->is_sending |= progress.bytes_on_wire > 0;
    } else if (msg.type == CTL_RESULT) {
        assert_int_equal(ctl_body(&msg, &side->result, sizeof side->result, NULL), 0);
        side->has_result = true;
    } else if (msg.type != CTL_ROUND) {
        serve_request(world, side, &msg);
    }
}

static void serve_door(struct fake_world *world)
{
    struct ctl_msg msg;
    assert_int_equal(ctl_recv(world->door_control, &msg, NULL, NULL, NULL), 0);
    assert_int_equal(msg.type, CTL_DOOR_COUNTS);
    assert_int_equal(ctl_body(&msg, &world->counts, sizeof world->counts, NULL), 0);
}

/* The load is done when the job has closed its end. */
static void serve_state(struct fake_side *side, bool refuse)
{
    struct ctl_msg msg;
    struct err refusal;
    ssize_t got = read(side->state_in, side->state + side->n_state, sizeof side->state - side->n_state);
    assert_true(got >= 0);
    side->n_state += (size_t)got;
    if (got)
        return;
    (void)close(side->state_in);
    side->state_in = -1;
    (void)err_set(&refusal, ERR_REFUSED, "device-state-refused", "QEMU does not like this virtio-net");
    if (refuse)
        ctl_fill(&msg, CTL_FAILED, side->load_serial, &refusal, sizeof refusal);
    else
        ctl_fill(&msg, CTL_DONE, side->load_serial, NULL, 0);
    (void)ctl_send(side->control, &msg, NULL, 0, NULL);
}

void fake_serve_until(struct fake_world *world, bool (*done)(const struct fake_world *world))
{
    uint64_t end_ns = clock_now_ns() + PATIENCE_MS * NS_PER_MS; /* progress reports never cease */
    while (!done(world)) {
        struct pollfd fds[] = {{.fd = world->source.control, .events = POLLIN},
                               {.fd = world->destination.control, .events = POLLIN},
                               {.fd = world->destination.state_in, .events = POLLIN},
                               {.fd = world->door_control, .events = POLLIN}};
        if (poll(fds, 4, PATIENCE_MS) <= 0 || clock_now_ns() > end_ns)
            fail_msg("what the test waits for does not happen");
        if (fds[0].revents)
            serve_job(world, &world->source);
        if (fds[1].revents)
            serve_job(world, &world->destination);
        if (fds[2].revents)
            serve_state(&world->destination, world->faults.refuse_load);
        if (fds[3].revents)
            serve_door(world);
    }
}

void fake_cancel(struct fake_side *side, const char *text)
{
    struct ctl_msg msg;
    struct err why;
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "%s", text);
    ctl_fill(&msg, CTL_CANCEL, 0, &why, sizeof why);
    assert_int_equal(ctl_send(side->control, &msg, NULL, 0, NULL), 0);
}

void fake_resume_guest(struct fake_world *world)
{
    if (world->guest_is_stopped)
        fake_guest_run(&world->guest);
    world->guest_is_stopped = false;
}

void fake_guest_must_run(struct fake_world *world)
{
    struct timeval limit = {.tv_sec = PATIENCE_MS / 1000};
    (void)setsockopt(world->guest.commands, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    fake_guest_pass(&world->guest);
}

bool fake_ram_is_equal(const struct fake_world *world)
{
    void *source = mmap(NULL, FAKE_RAM_SIZE, PROT_READ, MAP_SHARED, world->guest.ram, 0);
    void *destination = mmap(NULL, FAKE_RAM_SIZE, PROT_READ, MAP_SHARED, world->destination.ram, 0);
    assert_true(source != MAP_FAILED && destination != MAP_FAILED);
    bool equal = memcmp(source, destination, FAKE_RAM_SIZE) == 0;
    (void)munmap(source, FAKE_RAM_SIZE);
    (void)munmap(destination, FAKE_RAM_SIZE);
    return equal;
}
