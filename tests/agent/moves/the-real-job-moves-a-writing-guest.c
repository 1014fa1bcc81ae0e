/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents, the real door and the real, unprivileged job over loopback: a guest that writes all the time is
 * moved there and back, and proves its memory; also when the doors die in between. Both jobs have the CPU
 * priority of the move. */
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "agent/door.h"
#include "tests/agent/moves/lab.h"

static void kill_child(pid_t pid, const char *rest, void *user)
{
    (void)rest;
    (void)user;
    CHECK(kill(pid, SIGKILL) == 0);
}

static void kill_doors(void)
{
    (void)lab_children("godwit-door", kill_child, NULL);
}

static void check_nice(pid_t pid, const char *rest, void *user)
{
    long nice;
    (void)pid;
    /* Fields 5 to 19 of proc(5). */
    CHECK(sscanf(rest, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld", &nice) == 1);
    CHECK(nice == *(const long *)user);
}

/* They are of that name once the program runs, which is after its priority was set. */
static void check_jobs(unsigned n_jobs, long nice)
{
    while (lab_children("godwit-job", check_nice, &nice) < n_jobs)
        g_usleep(1000);
}

static void wait_for_restarts(struct lab *lab, unsigned at_least)
{
    for (unsigned i = 0; i < 2; i++) {
        struct ctl_door_counts counts;
        unsigned n = 0;
        while (door_counts(lab->host[i]->agent.door, &counts, &n), n < at_least)
            (void)g_main_context_iteration(NULL, TRUE);
    }
}

static void move_and_check_report(struct lab *lab, unsigned doors_die)
{
    struct move_spec spec = {0};
    prepare_move(lab, &spec);
    long nice = lab->priority ? -5 : 0;
    check_jobs(1, nice); /* the destination's */
    if (doors_die) {
        kill_doors(); /* a ticket waits in one of them */
        wait_for_restarts(lab, doors_die);
    }
    start_move(lab, &spec);
    check_jobs(2, nice);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
    wait_for_state(agent_of(lab, false), spec.id, MOVE_DONE);
    struct move_status status = status_of(agent_of(lab, true), spec.id);
    if (status.state != MOVE_DONE)
        (void)fprintf(stderr, "%s: %s (%s)\n", status.error.id, status.error.message, status.error.cause);
    CHECK(status.state == MOVE_DONE && status_of(agent_of(lab, false), spec.id).state == MOVE_DONE);
    CHECK(status.n_rounds > 0 && status.bytes_on_wire > 0 && status.ram_bytes == 128u << 20);
    CHECK(status.downtime_ns > 0 && status.copy_ns >= status.downtime_ns);
    CHECK(status.copy_start_ms && status.switch_start_ms >= status.copy_start_ms &&
          status.end_ms >= status.switch_start_ms);
    CHECK(status.dirty_source[0]);
    (void)fprintf(stderr, "moved: %u rounds, %llu bytes, copy %llu ms, downtime %.1f ms, %s\n",
                  status.n_rounds, (unsigned long long)status.bytes_on_wire,
                  (unsigned long long)status.copy_ns / 1000000, (double)status.downtime_ns / 1e6,
                  status.dirty_source);
    lab->source = 1 - lab->source;
    check_one_runner(lab);
}

int main(void)
{
    struct lab lab = {0};
    if (geteuid() != 0)
        return 77;
    lab_up(&lab, NULL, NULL);
    for (unsigned i = 0; i < 2; i++)
        lab.host[i]->agent.config.job_user = (struct agent_user){HOST_UID + 1, HOST_UID + 1};
    lab_start_guest(&lab);
    for (unsigned i = 0; i < 4; i++)
        move_and_check_report(&lab, i >= 2 ? i - 1 : 0);
    lab.priority = "high";
    move_and_check_report(&lab, 0);
    lab_down(&lab);
    return 0;
}
