/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents, the real door and the real, unprivileged job over loopback: a guest that writes all the time is
 * moved there and back, and proves its memory. */
#include <string.h>
#include <unistd.h>

#include "tests/agent/moves/lab.h"

static void move_and_check_report(struct lab *lab)
{
    struct move_spec spec;
    start_move(lab, &spec);
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
        move_and_check_report(&lab);
    lab_down(&lab);
    return 0;
}
