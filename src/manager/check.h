/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said about a migration from facts alone. Pure: no calls, no clock, no state. */
#ifndef MANAGER_CHECK_H
#define MANAGER_CHECK_H

#include <stdbool.h>

#include "model/finding.h"
#include "model/host.h"
#include "model/move.h"

struct check_host {
    const char *name;
    bool is_connected;
    const struct host_facts *facts; /* NULL if it never answered */
};

struct check_input {
    const struct vm_status *vm;
    struct check_host source;
    struct check_host destination;
    const struct move_options *options;
    uint32_t protocol; /* of the manager */
};

/* What the operator gets as the answer to the request: same host, VM off or not movable. */
int check_request(const struct check_input *input, struct err *err);
/* Phase "destination check": everything that forbids the move, destination first. Each finding names side,
 * cause and cure. */
void check_hosts(const struct check_input *input, struct findings *findings);
/* Fills the spec's addresses in pairs of one family, and the port; REFUSED "migration-addresses" if there is
 * no pair. */
int check_addresses(const struct host_facts *source, const struct host_facts *destination,
                    struct move_spec *spec, struct err *err);
/* Whether the connections of the jobs are encrypted, by what the operator wants ("" = opportunistic) and both
 * hosts can. REFUSED "encryption-unknown" if it is required and a host cannot: its side, cause and cure. */
int check_encryption(const struct host_facts *source, const struct host_facts *destination, const char *wish,
                     bool *ret_encrypt, struct err *err);

#endif
