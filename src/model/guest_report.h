/* SPDX-License-Identifier: Apache-2.0 */
/* What a host heard from the guest agent of a VM, right before a migration or right after it: the guest's
 * clock, and whether the guest took note. Plain data. */
#ifndef MODEL_GUEST_REPORT_H
#define MODEL_GUEST_REPORT_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/vm.h"

/* Where a guest keeps the program that is told of a migration, and what it is told. It is called with
 * "before", "after" or "aborted", the task, the source's and the destination's name; its end is the
 * acknowledgement, whatever its status. */
#define GUEST_NOTICE_PROGRAM "/etc/godwit/migration-notice"
/* Less than the term of the lease on the VM, 90 s, which only progress renews. */
#define GUEST_NOTICE_MAX_S 60

enum guest_notice {
    NOTICE_OFF,          /* nobody asked for one */
    NOTICE_ACKNOWLEDGED, /* the program ended with status 0 */
    NOTICE_FAILED,       /* it ended otherwise, or the guest could not start it: `problem` */
    NOTICE_UNANSWERED,   /* not within the time, or no guest agent answers: `problem` */
};

struct guest_report {
    bool has_clock;          /* the guest said what time it is */
    int64_t clock_offset_us; /* the guest's clock minus the host's; > 0: the guest's is ahead */
    uint64_t round_trip_us;  /* of the question: the offset is not known better than that */
    bool clock_was_set;      /* to the host's, after which it was asked again */
    enum guest_notice notice;
    uint64_t notice_ms; /* how long it took */
    char problem[VM_PROBLEM_MAX];
};

enum guest_when { GUEST_BEFORE, GUEST_AFTER, GUEST_ABORTED };

/* What the manager asks for. */
struct guest_request {
    enum guest_when when;
    char task[MODEL_UUID_SIZE];
    char source[MODEL_NAME_MAX];
    char destination[MODEL_NAME_MAX];
    uint32_t notice_timeout_s; /* 0: the guest is told nothing */
    bool set_clock;
};

const char *guest_when_name(enum guest_when when);       /* "before", "after", "aborted" */
const char *guest_notice_name(enum guest_notice notice); /* "off", "acknowledged", "failed", "unanswered" */
JsonObject *guest_report_to_json(const struct guest_report *report); /* transfer full */
int guest_report_from_json(JsonObject *object, struct guest_report *ret_report, struct err *err);
JsonObject *guest_request_to_json(const struct guest_request *request); /* transfer full */
int guest_request_from_json(JsonObject *object, struct guest_request *ret_request, struct err *err);

#endif
