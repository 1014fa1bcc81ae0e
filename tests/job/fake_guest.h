/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_JOB_FAKE_GUEST_H
#define TESTS_JOB_FAKE_GUEST_H

#include "fake_agent.h"

void fake_guest_start(struct fake_guest *guest);
/* Each returns when the guest has done it. */
void fake_guest_stop(struct fake_guest *guest);
void fake_guest_run(struct fake_guest *guest);
/* One write to every page. */
void fake_guest_pass(struct fake_guest *guest);
/* Two new userfaultfds of the guest's address space, of which it keeps no copy. */
void fake_guest_pair(struct fake_guest *guest, int ret_pair[2]);
/* The longest time in which it got nothing done while it was not told to stop, in ms; then counts anew.
 * Answers only when the guest runs. */
unsigned fake_guest_gap_ms(struct fake_guest *guest);
void fake_guest_end(struct fake_guest *guest);

#endif
