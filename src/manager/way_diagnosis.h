/* SPDX-License-Identifier: Apache-2.0 */
/* What both hosts of a way found, judged line by line. Pure: no calls, no clock, no state. */
#ifndef MANAGER_WAY_DIAGNOSIS_H
#define MANAGER_WAY_DIAGNOSIS_H

#include "model/diagnosis.h"
#include "model/finding.h"
#include "model/reach.h"

/* One direction, as the host `from` found it. */
struct way_seen {
    const char *from, *to;
    uint16_t port;
    const struct findings *findings;
    const struct reach_report *report; /* no pairs: it did not answer, and findings say why */
};

void way_diagnose(const struct way_seen *seen, struct diagnoses *ret_lines);
/* Both directions against each other. */
void way_compare(const struct way_seen *there, const struct way_seen *back, struct diagnoses *ret_lines);

#endif
