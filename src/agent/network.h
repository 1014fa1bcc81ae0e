/* SPDX-License-Identifier: Apache-2.0 */
/* Taps for VMs and the bridges they hang on, in the agent's network namespace. */
#ifndef AGENT_NETWORK_H
#define AGENT_NETWORK_H

#include "agent/agent.h"
#include "base/err.h"

/* The configured network, or NULL. */
const struct host_network *network_find(const struct agent_config *config, const char *name);
/* MTU of the bridge; ERR_NOT_FOUND "bridge-missing" if it is not there, another code if that could not be
 * found out. */
int network_bridge_mtu(const char *bridge, uint32_t *ret_mtu, struct err *err);
/* Sets of each `isolated`, `uplink`, `uplink_problem` and, where it is 0, `vlan`, from one look at all
 * interfaces. What cannot be seen stays as it is. */
void network_learn_uplinks(struct host_network *networks, uint32_t n);
/* What the interface that has this numeric address says of its speed, in Mbit/s; 0: nothing. */
uint32_t network_speed_mbit(const char *address);
/* The interface's name; false and "": no interface has the address. */
bool network_interface(const char *address, char name[16]);
/* Its MTU; 0: no interface has the address. */
uint32_t network_mtu(const char *address);
/* A tap that exists as long as a descriptor of it is open: port of the bridge with the bridge's MTU, down.
 * `name` gets its unique name, "vmXXXXXXXX-N" (first digits of the UUID, a number). */
int network_tap_new(const char *bridge, const char *vm_uuid, char name[16], int *ret_fd, struct err *err);
int network_tap_set_up(const char *name, bool up, struct err *err);

#endif
