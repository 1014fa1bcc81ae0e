/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster on one machine: network namespaces as hosts, joined by three bridges (management, migration, VM
 * network) in a namespace that plays the switches. Only by means an operator has: ip(8), tc(8), configuration
 * files, the installed daemons and their public commands. The daemons cannot tell the lab from real hosts.
 *
 *   NAME-sw      bridges mgmt, mig, vm
 *   NAME-mgr     godwitd, 198.18.1.1
 *   NAME-h1..hN  godwit-agent, eth-mgmt 198.18.1.1N, eth-mig 198.18.2.1N, eth-vm in bridge br0
 *   NAME-client  198.18.3.2 on the VM network: the observer from outside
 * With --links 2 there is a second migration network: eth-mig2 198.18.4.1N, bridge mig2, shaped like the
 * first, or, with --ip 6, the same numbers in fd00:1::/64, fd00:2::/64, fd00:3::/64 and fd00:4::/64, and no
 * IPv4 at all.
 */
#ifndef CLI_LAB_H
#define CLI_LAB_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "cli/cli.h"

#define LAB_HOSTS_MIN 2
#define LAB_HOSTS_MAX 4
#define LAB_LINKS_MAX 2
#define LAB_DEFAULT_DIR "/run/godwit-lab"
#define LAB_DEFAULT_NAME "gwlab"
/* Numeric users of the lab's daemons; they need no entry in the password file. */
#define LAB_DATASTORE "shared"
#define LAB_QEMU_UID 64101
#define LAB_JOB_UID 64102
#define LAB_DOOR_UID 64103

struct lab {
    char *dir;  /* everything the lab writes is below it */
    char *name; /* prefix of the namespaces */
    int hosts;
    char *link_rate; /* of each, for tc, "1gbit", or NULL: not shaped */
    int mtu;         /* of the migration networks */
    int links;       /* migration networks, 1 or 2 */
    int ip;          /* 4 or 6 */
    /* By host (h1 is 0): QEMU program and its data folder, or NULL: the agent's default. */
    char *qemu[LAB_HOSTS_MAX];
    char *qemu_data[LAB_HOSTS_MAX];
    char *bin_dir; /* where this program is; godwitd and godwit-agent are beside it or in ../sbin */
    char *libexec_dir;
};

void lab_clear(struct lab *lab);

/* lab_files.c: lab.json, configuration files. */
bool lab_exists(const struct lab *lab);
/* Reads DIR/lab.json into the fields that are described there; *ret_complete: `up` had come to its end. */
int lab_load(struct lab *lab, bool *ret_complete, struct err *err);
int lab_save(const struct lab *lab, bool complete, struct err *err);
int lab_write_configs(const struct lab *lab, struct err *err);
int lab_write_cli_config(const struct lab *lab, const char *token, struct err *err);
char *lab_path(const struct lab *lab, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *lab_program(const struct lab *lab, const char *name);
int lab_remove_dir(const struct lab *lab, struct err *err);

/* lab_net.c: namespaces and links. */
int lab_net_up(const struct lab *lab, struct err *err);
/* Ends every process in the lab's namespaces (all were started by the lab or for it), then removes the
 * namespaces. */
int lab_net_down(const struct lab *lab, struct err *err);
char *lab_netns(const struct lab *lab, const char *node);
enum lab_network { LAB_MANAGEMENT = 1, LAB_MIGRATION, LAB_VMS, LAB_MIGRATION_2 };
#define LAB_ADDRESS_SIZE 40
/* The numbers of nodes on a network; hosts are 11, 12, ... */
#define LAB_MANAGER 1
#define LAB_CLIENT 2
#define LAB_HOST(host) (10 + (host))
/* Fills `ret_address` and returns it. */
const char *lab_address(const struct lab *lab, enum lab_network network, int number,
                        char ret_address[LAB_ADDRESS_SIZE]);

/* lab_service.c: what starts and restarts the daemons, as a service manager would on a real host. */
int lab_service_add(const struct lab *lab, const char *service, const char *node, const char *const *argv,
                    struct err *err);
int lab_service_set(const struct lab *lab, const char *service, bool running, struct err *err);
int lab_supervisor_start(const struct lab *lab, struct err *err);
int lab_supervisor_stop(const struct lab *lab, struct err *err);
/* pid, or 0 if it does not run. */
pid_t lab_supervisor_pid(const struct lab *lab);
/* The hidden verbs `lab supervise` and `lab enter`. */
int lab_supervise(const struct lab *lab);
int lab_enter(const char *netns, const char *kvm_dir, char **argv);

/* Runs a program to its end, output captured; ERR_INTERNAL with what it wrote on stderr. ret_stdout may be
 * NULL. */
int lab_run(const char *const *argv, char **ret_stdout, struct err *err);

#endif
