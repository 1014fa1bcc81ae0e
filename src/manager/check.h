/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said about a migration from facts alone. Pure: no calls, no clock, no state. */
#ifndef MANAGER_CHECK_H
#define MANAGER_CHECK_H

#include <stdbool.h>

#include "model/finding.h"
#include "model/host.h"
#include "model/move.h"
#include "model/site.h"

struct check_host {
    const char *name;
    bool is_connected;
    bool is_in_maintenance;
    const struct host_facts *facts; /* NULL if it never answered */
    const char *problem;            /* why it does not answer; "" or NULL: not known */
    int64_t clock_ahead_ms;         /* of the manager's; 0 also if that is not known */
};

struct check_input {
    const struct vm_status *vm;
    struct check_host source;
    struct check_host destination;
    const struct move_options *options;
    uint32_t protocol;        /* of the manager */
    const char *cpu_baseline; /* of the cluster; "": none */
};

/* What the operator gets as the answer to the request: same host, VM off or not movable. */
int check_request(const struct check_input *input, struct err *err);
/* Phase "destination check": everything that forbids the move, and what should be known before it,
 * destination first. Each finding names side, cause and cure. */
void check_hosts(const struct check_input *input, struct findings *findings);
/* Fills the spec's addresses in pairs of one family, and the port; REFUSED "migration-addresses" if there is
 * no pair. */
int check_addresses(const struct host_facts *source, const struct host_facts *destination,
                    struct move_spec *spec, struct err *err);
/* Whether the connections of the jobs are encrypted, by what the operator wants ("" = opportunistic) and both
 * hosts can. REFUSED "encryption-unknown" if it is required and a host cannot: its side, cause and cure. */
int check_encryption(const struct host_facts *source, const struct host_facts *destination, const char *wish,
                     bool *ret_encrypt, struct err *err);

/* check_site.c. Phase "source check": what the VM has at the source and would not find at the destination:
 * another file in a disk's place ("disk-differs"), features of its CPU ("cpu-features-missing"), its maker;
 * and what its configuration gets so that the CPU stays as it is. What one side does not say is not compared.
 */
void check_sites(const struct check_input *input, const struct move_site *source,
                 const struct move_site *destination, struct findings *findings);

/* Takes away from the CPU of the VM at the destination what it had not at the source, where its model would
 * bring that along ("cpu-config-modified"). */
void check_keep_cpu(struct vm_spec *spec, const struct move_site *source,
                    const struct move_site *destination);

#endif
