/* SPDX-License-Identifier: Apache-2.0 */
#include "model/check_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/guest_report.h"
#include "model/vm.h"

#define SOURCE "source"
#define DESTINATION "destination"
#define MANAGER "manager"
#define NUMBER_MAX 24

#define ERROR ERR_REFUSED, FINDING_ERROR
#define WARNING ERR_REFUSED, FINDING_WARNING

#define PORT_UNREACHABLE                                                                                     \
    "host '{host}' ({from}) does not reach the migration port of host '{peer}' ({to} port {port})"
#define PATH_CUT_DOWN                                                                                        \
    "packets of {mtu} bytes do not pass from host '{host}' ({from}) to host '{peer}' ({to}) and back: the "  \
    "largest that do have {path_mtu}"
#define CLOCK_DIFFERS "the clock of host '{host}' differs from the manager's by {seconds} s"
#define CLOCK_CAUSE                                                                                          \
    "logs and certificates of both cannot be compared, and a guest that sets its clock by its host's would " \
    "jump"
#define CLOCK_FIX "synchronise the clocks of both with NTP (chronyc tracking shows whether that works)"
#define PATH_CUT_DOWN_FIX                                                                                    \
    "give all switches and interfaces on the way an MTU of {mtu}, or that of {from} one of {path_mtu}; "     \
    "'godwit doctor' on both says whether their own firewalls drop packets"

static const struct check_kind kinds[CHECK_COUNT] = {
    [CHECK_SAME_HOST] = {"same-host", ERROR, PHASE_REQUEST, MANAGER, "VM '{vm}' is on host '{host}' already",
                         NULL, "choose another host as the destination"},
    [CHECK_VM_OFF] = {"vm-is-off", ERROR, PHASE_SOURCE_CHECK, SOURCE,
                      "VM '{vm}' is off: only a running VM can migrate", NULL,
                      "start it first: godwit vm start {vm}"},
    [CHECK_VM_NOT_RUNNING] = {"vm-not-running", ERROR, PHASE_SOURCE_CHECK, SOURCE,
                              "VM '{vm}' is {state}: only a running VM can migrate", NULL,
                              "try again when 'godwit vm show {vm}' says running"},
    [CHECK_VM_STANDS] = {"vm-not-running", ERROR, PHASE_SOURCE_CHECK, SOURCE,
                         "VM '{vm}' is {state}: only a running VM can migrate", "it is {problem}",
                         "see that the datastore works and has room, and let it go on: godwit vm start {vm}"},
    [CHECK_VM_PANICKED] = {"guest-panicked", ERROR, PHASE_SOURCE_CHECK, SOURCE,
                           "VM '{vm}' stands: its guest has panicked", NULL,
                           "see what it says (godwit vm console {vm} --log), then switch it off and on: "
                           "godwit vm stop {vm} --force"},
    [CHECK_VM_MOVING] = {"vm-is-moving", ERROR, PHASE_SOURCE_CHECK, NULL,
                         "VM '{vm}' is held by task {task} on host '{host}'", NULL,
                         "wait for it (godwit task follow {task}) or cancel it (godwit task cancel {task})"},
    [CHECK_VM_DISKS_CHANGING] = {"vm-disks-changing", ERROR, PHASE_SOURCE_CHECK, SOURCE,
                                 "the disks of VM '{vm}' are being changed on host '{host}'", "{change}",
                                 "wait until that is done ('godwit vm disk ls {vm}' says so)"},
    [CHECK_TASK_RUNNING] =
        {"task-running", ERROR, PHASE_REQUEST, MANAGER,
         "task {task} already moves VM '{vm}' to host '{host}'", NULL,
         "wait for it (godwit task follow {task}) or cancel it (godwit task cancel {task})"},
    [CHECK_FORECAST_RUNNING] = {"forecast-running", ERROR, PHASE_SOURCE_CHECK, SOURCE,
                                "a forecast of a migration samples VM '{vm}' on host '{host}'", NULL,
                                "ask again in a few seconds"},
    [CHECK_VM_PINNED] = {"vm-pinned", ERROR, PHASE_SPECIFICATION, MANAGER,
                         "VM '{vm}' is pinned to host '{host}'",
                         "its protection settings say that it stays where it is",
                         "let it move: godwit vm set {vm} --pinned no"},
    [CHECK_VM_HELD] =
        {"vm-held", ERROR, PHASE_SPECIFICATION, MANAGER, "VM '{vm}' is held on host '{host}' by {holder}",
         "somebody outside of Godwit works with it, as a backup does, and needs it to stay",
         "wait until {holder} has let it go; if that will not come: godwit vm set {vm} --held-by ''"},

    [CHECK_HOST_DISCONNECTED] =
        {"host-disconnected", ERR_PEER_LOST, FINDING_ERROR, PHASE_DESTINATION_CHECK, NULL,
         "host '{host}' does not answer", "{problem}",
         "see that the agent on '{host}' runs ('godwit doctor' there says what is wrong), and that the "
         "manager "
         "reaches it by the name or address in 'godwit host ls': /etc/hosts and name servers, routes, "
         "firewalls"},
    [CHECK_MIGRATION_DISABLED] = {"migration-disabled", ERROR, PHASE_DESTINATION_CHECK, NULL,
                                  "migration is not enabled on host '{host}'", NULL,
                                  "set enabled=true and addresses= in section [migration] of the agent's "
                                  "configuration on '{host}' and restart the agent"},
    [CHECK_QEMU_MISSING] =
        {"qemu-missing", ERROR, PHASE_DESTINATION_CHECK, NULL, "QEMU cannot be run on host '{host}'",
         "{problem}",
         "install qemu-system-x86 (QEMU 7.2 or later) on '{host}', or correct qemu= in the "
         "agent's configuration"},
    [CHECK_CLOCK_AHEAD] = {"clock-differs", WARNING, PHASE_DESTINATION_CHECK, NULL, CLOCK_DIFFERS,
                           "it is ahead: " CLOCK_CAUSE, CLOCK_FIX},
    [CHECK_CLOCK_BEHIND] = {"clock-differs", WARNING, PHASE_DESTINATION_CHECK, NULL, CLOCK_DIFFERS,
                            "it is behind: " CLOCK_CAUSE, CLOCK_FIX},
    [CHECK_ENCRYPTION_UNKNOWN] = {"encryption-unknown", ERROR, PHASE_SPECIFICATION, NULL,
                                  "encryption is required, and host '{host}' cannot encrypt migrations",
                                  "its agent has version {agent_version}, which speaks version "
                                  "{agent_protocol} of the protocol; {needed_protocol} is needed",
                                  "upgrade the agent on host '{host}', or allow the move in the clear: "
                                  "--encryption opportunistic"},
    [CHECK_AGENT_TOO_OLD] =
        {"protocol-mismatch", ERROR, PHASE_DESTINATION_CHECK, NULL,
         "the agent on host '{host}' speaks version {agent_protocol} of the protocol, the "
         "manager version {manager_protocol}",
         "only versions next to each other work together",
         "upgrade the agent on host '{host}'; its VMs run on meanwhile"},
    [CHECK_MANAGER_TOO_OLD] = {"protocol-mismatch", ERROR, PHASE_DESTINATION_CHECK, NULL,
                               "the agent on host '{host}' speaks version {agent_protocol} of the protocol, "
                               "the manager version {manager_protocol}",
                               "only versions next to each other work together", "upgrade the manager"},
    [CHECK_STATE_READ_ONLY] = {"state-read-only", ERROR, PHASE_DESTINATION_CHECK, NULL,
                               "the folder {path} of the agent on host '{host}' cannot be written",
                               "{reason}",
                               "the journals that say who owns a VM are there: mount it for writing again "
                               "(dmesg on '{host}' says why a file system went read-only)"},
    [CHECK_STATE_SPACE_SHORT] =
        {"state-space-short", ERROR, PHASE_DESTINATION_CHECK, NULL,
         "the folder {path} of the agent on host '{host}' has {free_mib} MiB free, {needed_mib} are needed",
         "configurations and journals of VMs are there, and must be written in a migration",
         "make room there: df {path}"},
    [CHECK_LOG_SPACE_SHORT] =
        {"log-space-short", WARNING, PHASE_DESTINATION_CHECK, NULL,
         "the folder {path} for the logs of host '{host}' has {free_mib} MiB free, {needed_mib} are wanted",
         "the log of this migration may end early",
         "make room there, or keep fewer logs (log_keep_files and log_keep_days in the agent's "
         "configuration)"},

    [CHECK_HOST_IN_MAINTENANCE] =
        {"host-in-maintenance", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "host '{host}' is in maintenance mode: VM '{vm}' can neither come to it nor start there", NULL,
         "choose another host, or end it: godwit host maintenance exit {host}"},
    [CHECK_MEMORY_SHORT] =
        {"memory-short", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "host '{host}' is {short_mib} MiB short of memory for VM '{vm}'",
         "the VM needs {needed_mib} MiB, {overhead_mib} of them for its QEMU; {free_mib} MiB are neither "
         "promised to VMs nor in "
         "use by those of others nor kept for the host (memory_reserve_mib of its agent)",
         "stop or move another VM away from '{host}', give this one less memory, or choose "
         "another host"},
    [CHECK_CPU_SHORT] = {"cpu-short", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
                         "host '{host}' is {short_percent} percent of a core short of CPU that it could "
                         "reserve for VM '{vm}'",
                         "the VM reserves {needed_percent}; of {host_percent}, {promised_percent} are "
                         "promised to VMs",
                         "stop or move another VM away from '{host}', or give this one a smaller CPU "
                         "reservation"},
    [CHECK_MACHINE_UNKNOWN] =
        {"machine-unknown", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "QEMU {qemu_version} on host '{host}' has no machine type {machine}, which VM '{vm}' has",
         "the newest machine type on '{host}' is {newest_machine}; a VM keeps the one of its first start, "
         "under QEMU {source_qemu_version} on host '{source}'",
         "install QEMU {needed_version} or later on '{host}', or choose another host; a VM that shall run on "
         "both is created with --machine {newest_machine}"},
    [CHECK_MACHINE_MISSING] =
        {"machine-unknown", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "QEMU {qemu_version} on host '{host}' has no machine type {machine}, which VM '{vm}' has",
         "the newest machine type on '{host}' is {newest_machine}; a VM keeps the one of its first start",
         "install QEMU {needed_version} or later on '{host}', or choose another host; a VM that shall run on "
         "both is created with --machine {newest_machine}"},
    [CHECK_HARDWARE_UNKNOWN] =
        {"hardware-unknown", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "VM '{vm}' has virtual hardware of version {hardware}; the agent on host '{host}' knows versions up "
         "to {host_hardware}",
         NULL,
         "upgrade Godwit on '{host}', or choose another host; a VM that is off can be given the older one: "
         "godwit vm set {vm} --hardware {host_hardware}"},
    [CHECK_KVM_MISSING] = {"kvm-missing", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
                           "VM '{vm}' needs KVM and host '{host}' does not offer it", "{reason}",
                           "enable virtualization in the firmware of '{host}' and let the QEMU user open "
                           "/dev/kvm, or set the VM's accel to tcg while it is off"},
    [CHECK_CPU_BASELINE_UNSUPPORTED] =
        {"cpu-baseline-unsupported", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "host '{host}' cannot provide the CPU baseline {baseline} of the cluster, so VM '{vm}' can neither "
         "come to it nor start there",
         "{reason}",
         "choose another host; for good: a baseline that all hosts can provide ('godwit cluster show' lists "
         "them; godwit cluster set --cpu-baseline MODEL), or a newer CPU or QEMU in '{host}'"},
    [CHECK_CPU_BASELINE_REFUSED] =
        {"cpu-baseline-refused", ERROR, PHASE_REQUEST, MANAGER,
         "{baseline} cannot be the CPU baseline of the cluster: host {hosts} cannot provide it", "{reason}",
         "choose one that all connected hosts can provide, the best of them: {best}; or remove the host that "
         "cannot (godwit host rm)"},
    [CHECK_NETWORK_MISSING] =
        {"network-missing", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "host '{host}' has no network '{network}', which VM '{vm}' uses", "it has {networks}",
         "add a section [network {network}] with bridge= to the agent's configuration on '{host}', or "
         "correct the name there, and restart the agent (its VMs run on)"},
    [CHECK_BRIDGE_MISSING] =
        {"bridge-missing", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "bridge {bridge} of network {network}, which VM '{vm}' uses, does not exist on host '{host}'", NULL,
         "create it there, with the network card that leads to the network (ip link add {bridge} type "
         "bridge; ip link set {bridge} up; ip link set CARD master {bridge}), or correct bridge= in section "
         "[network {network}] of the agent's configuration and restart the agent"},
    [CHECK_NETWORK_ISOLATED] =
        {"network-isolated", WARNING, PHASE_DESTINATION_CHECK, DESTINATION,
         "network '{network}' of VM '{vm}' leads nowhere on host '{host}': bridge {bridge} has no port but "
         "those of VMs",
         "on host '{source}' it has one: the VM would be cut off from whoever is not on '{host}'",
         "add the network card, or the VLAN interface on it, that leads to the network: ip link set CARD "
         "master {bridge}"},
    [CHECK_NETWORK_UPLINK_DOWN] =
        {"network-uplink-down", WARNING, PHASE_DESTINATION_CHECK, DESTINATION,
         "network '{network}' of VM '{vm}' is cut off on host '{host}': {reason}",
         "on host '{source}' it works: the VM would be cut off from whoever is not on '{host}'",
         "'ip -br link show master {bridge}' on '{host}' shows the ports of its bridge: set the one that "
         "leads "
         "out up (ip link set PORT up, and the card below a VLAN interface), and look at cable and switch"},
    [CHECK_NETWORK_VLAN_DIFFERS] =
        {"network-vlan-differs", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "network '{network}' of VM '{vm}' is VLAN {source_vlan} on host '{source}' and VLAN "
         "{destination_vlan} on host '{destination}'",
         "the VM would be in another network, and nobody would reach it at its addresses",
         "give bridge {bridge} on '{destination}' the VLAN interface of id {source_vlan} as its port "
         "instead; "
         "where the switches make one network of both, say so with the same vlan= in section "
         "[network {network}] of both agents' configurations"},
    [CHECK_NETWORK_VLAN_UNTAGGED] =
        {"network-vlan-untagged", WARNING, PHASE_DESTINATION_CHECK, DESTINATION,
         "network '{network}' of VM '{vm}' is VLAN {vlan} on host '{tagged}', and untagged on host "
         "'{untagged}'",
         "unless the switch port of '{untagged}' belongs to VLAN {vlan}, the VM would be in another network",
         "where it does, say vlan={vlan} in section [network {network}] of the agent's configuration on "
         "'{untagged}'; else give the bridge there the VLAN interface of id {vlan} as its port"},
    [CHECK_BOOT_FILE_MISSING] = {"boot-file-missing", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
                                 "{file} {path} of VM '{vm}' cannot be opened on host '{host}'", "{reason}",
                                 "put the same file there on every host the VM may run on"},
    [CHECK_BOOT_FILE_UNREADABLE] = {"boot-file-unreadable", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
                                    "{file} {path} of VM '{vm}' cannot be read by the QEMU user (uid {uid}) "
                                    "on host '{host}'",
                                    NULL, "chmod o+r {path}"},
    [CHECK_FIRMWARE_MISSING] = {"firmware-missing", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
                                "the UEFI firmware {path}, which VM '{vm}' needs, cannot be read by the QEMU "
                                "user on host '{host}'",
                                "{reason}",
                                "install the package ovmf there, or correct uefi_code= in the agent's "
                                "configuration"},
    [CHECK_NVRAM_NOT_ACCESSIBLE] =
        {"nvram-not-accessible", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "the file {path} with the UEFI variables of VM '{vm}' cannot be opened for reading and writing by "
         "the QEMU user (uid {uid}) on host '{host}'",
         "{reason}",
         "it must be on storage that this host sees at the same path: see that it is mounted there, for "
         "writing; chown {uid} {path} where it is the owner that is wrong"},
    [CHECK_DATASTORE_UNKNOWN] =
        {"datastore-missing", ERROR, PHASE_DESTINATION_CHECK, NULL,
         "host '{host}' has no datastore '{datastore}', which VM '{vm}' uses", "it has {datastores}",
         "mount the storage there, add a section [datastore {datastore}] with path= to the agent's "
         "configuration on '{host}', and restart the agent (its VMs run on)"},
    [CHECK_DATASTORE_NOT_MOUNTED] =
        {"datastore-not-mounted", ERROR, PHASE_DESTINATION_CHECK, NULL,
         "datastore '{datastore}', which VM '{vm}' uses, is not there on host '{host}': {path}", "{reason}",
         "mount it at {path} on '{host}' (findmnt {path} shows whether something is mounted there)"},
    [CHECK_DATASTORE_UNINITIALISED] =
        {"datastore-uninitialised", ERROR, PHASE_DESTINATION_CHECK, NULL,
         "the folder {path} of datastore '{datastore}', which VM '{vm}' uses, has no identity on host "
         "'{host}'",
         "{reason}: most likely the storage is not mounted there",
         "mount it at {path}; only if this is a new datastore: godwit datastore init {datastore} --host "
         "{host}"},
    [CHECK_DATASTORE_READ_ONLY] =
        {"datastore-read-only", ERROR, PHASE_DESTINATION_CHECK, NULL,
         "datastore '{datastore}', which VM '{vm}' uses, is read-only on host '{host}': {path}", "{reason}",
         "mount it for writing there: mount -o remount,rw $(findmnt -n -o TARGET -T {path}); dmesg says why "
         "a "
         "file system went read-only, and a server may export it read-only"},
    [CHECK_DATASTORE_STALE] =
        {"datastore-stale", ERROR, PHASE_DESTINATION_CHECK, NULL,
         "datastore '{datastore}' does not answer on host '{host}': {path}", "{reason}",
         "see that its server runs and that '{host}' reaches it (findmnt -T {path} says which one it is); if "
         "the server has forgotten the mount: umount -l, then mount again"},
    [CHECK_DATASTORE_SPACE_SHORT] =
        {"datastore-space-short", WARNING, PHASE_DESTINATION_CHECK, NULL,
         "datastore '{datastore}', which VM '{vm}' uses, has {free_mib} MiB free on host '{host}'",
         "its disks may still grow by {growth_mib} MiB; when there is no room, the guest is stopped until "
         "there is some",
         "make room there: remove images that nobody needs, or give the datastore more"},
    [CHECK_DATASTORE_NO_ROOM] =
        {"datastore-no-room", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "datastore '{datastore}' has no room on host '{host}' for the disks of VM '{vm}'",
         "they need {need_mib} MiB with a reserve, and {free_mib} MiB are free in {path}",
         "make room there, or move the disks to another datastore (--datastore)"},
    [CHECK_DISK_MISSING] =
        {"disk-missing", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "disk {path} of VM '{vm}' does not exist on host '{host}'", NULL,
         "the disk must be on storage that this host sees at the same path: see that it is "
         "mounted there"},
    [CHECK_DISK_NOT_ACCESSIBLE] =
        {"disk-not-accessible", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "disk {path} of VM '{vm}' cannot be opened for reading and writing by the "
         "QEMU user (uid {uid}) on host '{host}'",
         "{reason}",
         "see that the storage is mounted for writing and that the user may pass the "
         "folders above it; chown {uid} {path} where it is the owner that is wrong"},
    [CHECK_DISK_NOT_ANSWERING] = {"disk-not-answering", ERROR, PHASE_DESTINATION_CHECK, NULL,
                                  "the storage of disk {path} of VM '{vm}' does not answer on host '{host}'",
                                  "{reason}", "see that its server runs and that '{host}' reaches it"},
    [CHECK_DISK_FORMAT_DIFFERS] =
        {"disk-format-differs", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "disk {path} of VM '{vm}' is not a {format} image on host '{host}'", "{reason}",
         "qemu-img info shows what it is; set the format that it has while the VM is off, or put the right "
         "image there"},
    [CHECK_DISK_BACKING_MISSING] =
        {"disk-backing-missing", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "disk {path} of VM '{vm}' needs {backing}, which host '{host}' cannot use", "{reason}",
         "put that file where every host sees it by the same name: best beside the image, with a relative "
         "name "
         "in it (qemu-img rebase -u -b FILE -F FORMAT, while the VM is off), readable by the QEMU user"},
    [CHECK_DISK_LOCKED] =
        {"disk-locked", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "disk {path} of VM '{vm}' is in use by another program on host '{host}'", "{reason}",
         "see what has it open there (fuser -v on the file, 'godwit vm ls' for other VMs) and end that"},
    [CHECK_DISK_IS_BACKING] =
        {"disk-is-backing", ERROR, PHASE_SOURCE_CHECK, SOURCE,
         "disk {path} of VM '{vm}' cannot go to another datastore: a disk of VM '{other}' is built on it",
         "the image goes when its content has moved, and '{other}' is a linked clone of it",
         "move the disks of '{other}' to another datastore first, which makes them whole, or leave this one "
         "where it is"},
    [CHECK_IMAGE_EXISTS] =
        {"image-exists", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "there is a file {path} on host '{host}' already, where a disk of VM '{vm}' would come", NULL,
         "rename or remove it, if nothing uses it (fuser -v on the file), or move the disks to another "
         "datastore (--datastore)"},
    [CHECK_VM_EXISTS] = {"vm-exists", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
                         "VM '{vm}' is registered on host '{host}' already", NULL,
                         "see with 'godwit vm ls' which host has the VM, and move it from there"},
    [CHECK_VM_OWNED_HERE] = {"vm-owned-here", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
                             "host '{host}' owns VM '{vm}' by its journal ({step})", NULL,
                             "see with 'godwit vm ls' where the VM is; wait until the task that moves it is "
                             "over"},

    [CHECK_VM_NOT_OWNED] = {"vm-not-owned", ERROR, PHASE_SOURCE_CHECK, SOURCE,
                            "host '{host}' does not own VM '{vm}'", NULL,
                            "see with 'godwit vm ls' which host owns it"},
    [CHECK_JOURNAL_CORRUPT] =
        {"journal-corrupt", ERR_CORRUPT, FINDING_ERROR, PHASE_SOURCE_CHECK, SOURCE,
         "the journal of VM '{vm}' on host '{host}' cannot be read: it is not known who "
         "owns the VM",
         NULL,
         "see with 'godwit vm settle {vm}' what the hosts know; it repairs the journal "
         "too"},
    [CHECK_DIRTY_SOURCE_NONE] =
        {"dirty-source-none", ERROR, PHASE_SOURCE_CHECK, SOURCE,
         "host '{host}' cannot track which memory a VM writes, so VM '{vm}' cannot "
         "leave it",
         "{detail}",
         "use a kernel with userfaultfd write-protection (Linux 6.1 or later, best 6.7 "
         "or later) on '{host}'"},

    [CHECK_POOL_MEMORY_SHORT] = {"pool-memory-short", ERROR, PHASE_DESTINATION_CHECK, MANAGER,
                                 "pool '{pool}' is {short_mib} MiB short of memory for VM '{vm}'",
                                 "bound by pool '{bounding_pool}': {limit}",
                                 "stop a VM, raise the limit (godwit pool set {bounding_pool} --memory-limit "
                                 "N), reserve less for other pools, or use another pool or more hosts"},
    [CHECK_POOL_CPU_SHORT] = {"pool-cpu-short", ERROR, PHASE_DESTINATION_CHECK, MANAGER,
                              "pool '{pool}' is {short_percent} percent of a core short of CPU for VM '{vm}'",
                              "bound by pool '{bounding_pool}': {limit}",
                              "stop a VM, raise the limit (godwit pool set {bounding_pool} --cpu-limit N), "
                              "reserve less for other pools, or use another pool or more hosts"},

    [CHECK_MIGRATION_ADDRESSES] = {"migration-addresses", ERROR, PHASE_SPECIFICATION, MANAGER,
                                   "hosts '{source}' and '{destination}' have no pair of migration addresses "
                                   "of the same family",
                                   "the source has {n_source}, the destination {n_destination}",
                                   "set addresses= in section [migration] of both agents' configurations"},
    [CHECK_MIGRATION_MTU_DIFFERS] = {"migration-mtu-differs", WARNING, PHASE_DESTINATION_CHECK, DESTINATION,
                                     "the migration links of hosts '{source}' and '{destination}' have "
                                     "different MTUs: {source_mtu} and {destination_mtu}",
                                     "if the network between them does not pass the larger one, a connection "
                                     "stands and large packets are lost",
                                     "give the interfaces of both, and all switches between, the same MTU"},
    [CHECK_MIGRATION_LINK_SLOW] =
        {"migration-link-slow", WARNING, PHASE_DESTINATION_CHECK, NULL,
         "the migration link of host '{host}' has {mbit} Mbit/s",
         "less than 1000 makes a migration long, and a guest that writes much is held up",
         "give migrations a faster link, and look whether it came up at the speed it can (ethtool)"},
    [CHECK_NETWORK_MTU_DIFFERS] = {"network-mtu-differs", WARNING, PHASE_DESTINATION_CHECK, DESTINATION,
                                   "network '{network}' of VM '{vm}' has an MTU of {source_mtu} on host "
                                   "'{source}' and of {destination_mtu} on host '{destination}'",
                                   "large packets of the guest that pass here may be lost there",
                                   "give bridge and uplink of that network the same MTU on both hosts"},
    [CHECK_PORT_UNREACHABLE] = {"migration-port-unreachable", ERROR, PHASE_SOURCE_CHECK, NULL,
                                PORT_UNREACHABLE, "{reason}",
                                "look at link, VLAN, routes and firewalls between the two: TCP port {port} "
                                "must pass (ip route get {to} from {from})"},
    [CHECK_PORT_REFUSED] = {"migration-port-unreachable", ERROR, PHASE_SOURCE_CHECK, NULL, PORT_UNREACHABLE,
                            "{reason}",
                            "see that the agent on '{peer}' runs with [migration] enabled, and that no "
                            "firewall rejects TCP port {port}"},
    [CHECK_PORT_WITHOUT_SOURCE] = {"migration-port-unreachable", ERROR, PHASE_SOURCE_CHECK, NULL,
                                   PORT_UNREACHABLE, "{reason}",
                                   "give an interface of '{host}' the address {from}, or correct addresses= "
                                   "in [migration] of its agent's configuration"},
    [CHECK_PATH_MTU] = {"path-mtu", WARNING, PHASE_SOURCE_CHECK, NULL, PATH_CUT_DOWN,
                        "the interfaces of both have an MTU of {mtu} or more, and something on the way "
                        "passes less and says so: each connection begins too large, and is slow",
                        PATH_CUT_DOWN_FIX},
    [CHECK_PATH_MTU_UNTOLD] =
        {"path-mtu", WARNING, PHASE_SOURCE_CHECK, NULL, PATH_CUT_DOWN,
         "the interfaces of both have an MTU of {mtu} or more, and something on the way passes less without "
         "a word: a connection stands, and memory does not cross (or a firewall drops large pings only)",
         PATH_CUT_DOWN_FIX},
    [CHECK_ADDRESS_DUPLICATE] =
        {"address-duplicate", ERROR, PHASE_SOURCE_CHECK, NULL,
         "more than one machine says that it has the migration address {to} of host '{peer}': {mac} and "
         "{other_mac}",
         "packets to it reach now the one and now the other",
         "on '{peer}', 'ip link' shows which MAC address is its own; take the address from the machine that "
         "has the other, or give host '{peer}' another one (addresses= in [migration])"},
    [CHECK_DATASTORE_DIFFERS] =
        {"datastore-differs", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "datastore '{datastore}' of VM '{vm}' is not the same on hosts '{source}' and '{destination}'",
         "its identity is {source_uuid} on '{source}' and {destination_uuid} on '{destination}'",
         "mount on '{destination}' the storage that has the VM's disks, and name any other one differently "
         "in the agents' configurations; or let the disks move along: --datastore {datastore}"},
    [CHECK_DISK_DIFFERS] =
        {"disk-differs", ERROR, PHASE_SOURCE_CHECK, DESTINATION,
         "disk {path} of VM '{vm}' is not the same on hosts '{source}' and '{destination}'",
         "on '{source}' it is {source_disk}, on '{destination}' {destination_disk}",
         "mount the storage that has the VM's disk at the same path on '{destination}'; a "
         "copy will not do"},
    [CHECK_NVRAM_DIFFERS] =
        {"nvram-differs", ERROR, PHASE_SOURCE_CHECK, DESTINATION,
         "the file {path} with the UEFI variables of VM '{vm}' is not the same on hosts '{source}' and "
         "'{destination}'",
         "on '{source}' it is {source_disk}, on '{destination}' {destination_disk}",
         "mount the storage that has it at the same path on '{destination}'; a copy will not do"},
    [CHECK_FIRMWARE_DIFFERS] =
        {"firmware-differs", ERROR, PHASE_SOURCE_CHECK, DESTINATION,
         "the UEFI firmware of hosts '{source}' and '{destination}' has different sizes: {source_bytes} and "
         "{destination_bytes} bytes",
         "the guest of VM '{vm}' has the one in its memory that it was started with, and brings it along",
         "install the same version of the package ovmf on both, or set uefi_code= in the configuration of "
         "both agents to a firmware of the same size"},
    [CHECK_CPU_FEATURES_MISSING] =
        {"cpu-features-missing", ERROR, PHASE_SOURCE_CHECK, DESTINATION,
         "host '{host}' lacks CPU features that the guest of VM '{vm}' was started "
         "with: {missing}",
         "it has the CPU model {cpu_model} under {accel} on host '{source}'; a "
         "running guest cannot do without what it has seen",
         "choose a host whose CPU and QEMU are the same or newer, or stop the VM "
         "and start it with a CPU model that all hosts have (godwit vm set {vm} "
         "--cpu-model qemu64)"},
    [CHECK_CPU_VENDOR_DIFFERS] =
        {"cpu-vendor-differs", ERROR, PHASE_SOURCE_CHECK, DESTINATION,
         "the CPU of host '{host}' is made by {vendor}, that of host '{source}' by {source_vendor}",
         "a running guest of KVM sees the maker of its CPU, and has chosen its instructions by it",
         "choose a host with a CPU of the same maker, or stop VM '{vm}' and start it there"},
    [CHECK_CPU_CONFIG_MODIFIED] =
        {"cpu-config-modified", WARNING, PHASE_SOURCE_CHECK, DESTINATION,
         "the migration changes the configuration of VM '{vm}', to keep its CPU as the guest was started "
         "with it: without {added}",
         "its CPU model {cpu_model} is all that a host can do, and host '{host}' can do more than host "
         "'{source}'",
         "nothing need be done: the VM gets all that its host can do with its next start; with a named CPU "
         "model (godwit vm set {vm} --cpu-model) or a baseline for all VMs (godwit cluster set) it is the "
         "same "
         "everywhere"},

    [CHECK_GUEST_AGENT_MISSING] =
        {"guest-agent-missing", ERROR, PHASE_REQUEST, MANAGER,
         "the clock of the guest cannot be set: VM '{vm}' has no port for a guest agent", NULL,
         "migrate without --sync-clock, or switch the VM off, give it the port (godwit vm set {vm} "
         "--guest-agent yes) and run qemu-guest-agent in the guest"},
    [CHECK_GUEST_NOT_NOTIFIED] =
        {"guest-not-notified", WARNING, PHASE_COPY, NULL,
         "the guest of VM '{vm}' did not take note of its migration on host '{host}', which went on",
         "{problem}",
         "see that qemu-guest-agent runs in the guest, and that the program it is to call is there and ends "
         "in time (" GUEST_NOTICE_PROGRAM "); or do not tell it: godwit vm set {vm} --notice-timeout 0"},
    [CHECK_GUEST_CLOCK_NOT_SET] = {"guest-clock-not-set", WARNING, PHASE_COMPLETE, DESTINATION,
                                   "the clock of the guest of VM '{vm}' was not set to that of host '{host}'",
                                   "{problem}",
                                   "see that qemu-guest-agent runs in the guest and may set its clock"},

    [CHECK_CPU_BEYOND_BASELINE] =
        {"cpu-beyond-baseline", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "the CPU model {cpu_model} of VM '{vm}' has more than the cluster's baseline {baseline}: {features}",
         "a VM that was started with it could not go to every host of the cluster",
         "let it have the baseline: godwit vm set {vm} --cpu-model '' while it is off (or create it without "
         "a model), or name a lesser model, or raise the baseline"},
    [CHECK_CPU_MODEL_UNKNOWN] =
        {"cpu-model-unknown", ERROR, PHASE_DESTINATION_CHECK, DESTINATION,
         "QEMU {qemu_version} on host '{host}' has no CPU model {cpu_model}, which VM '{vm}' has", NULL,
         "correct it while the VM is off: godwit vm set {vm} --cpu-model ''; 'qemu-system-x86_64 -cpu help' "
         "on '{host}' lists those there are"},
};

const struct check_kind *check_kind(enum check check)
{
    return &kinds[check];
}

enum check check_why_not_running(const char *problem)
{
    if (!strcmp(problem, VM_PROBLEM_PANICKED))
        return CHECK_VM_PANICKED;
    return problem[0] ? CHECK_VM_STANDS : CHECK_VM_NOT_RUNNING;
}

const struct check_kind *check_kind_find(const char *id)
{
    for (unsigned i = 0; i < CHECK_COUNT; i++)
        if (!strcmp(kinds[i].id, id))
            return &kinds[i];
    return NULL;
}

static const struct check_arg *find_arg(const struct check_arg *args, const char *name, size_t length)
{
    for (; args->name; args++)
        if (!strncmp(args->name, name, length) && !args->name[length])
            return args;
    return NULL;
}

static void arg_text(const struct check_arg *arg, char number[NUMBER_MAX], const char **ret_text)
{
    (void)snprintf(number, NUMBER_MAX, "%" PRIu64, arg->number);
    *ret_text = arg->text ? arg->text : number;
}

/* -1 if an argument is missing or empty: what stands around it says nothing then. */
static int fill(const char *pattern, const struct check_arg *args, char ret_text[ERR_TEXT_MAX])
{
    size_t used = 0;
    int result = 0;
    while (*pattern && used + 1 < ERR_TEXT_MAX) {
        const char *end = *pattern == '{' ? strchr(pattern, '}') : NULL;
        if (!end) {
            ret_text[used++] = *pattern++;
            continue;
        }
        const struct check_arg *arg = find_arg(args, pattern + 1, (size_t)(end - pattern - 1));
        char number[NUMBER_MAX];
        const char *text = "";
        if (arg)
            arg_text(arg, number, &text);
        if (!text[0])
            result = -1;
        int length = snprintf(ret_text + used, ERR_TEXT_MAX - used, "%s", text);
        used = MIN(used + (size_t)length, ERR_TEXT_MAX - 1);
        pattern = end + 1;
    }
    ret_text[used] = '\0';
    return result;
}

int check_say(struct err *err, enum check check, const struct check_arg *args)
{
    const struct check_kind *kind = &kinds[check];
    if (!err)
        return -1;
    (void)err_set(err, kind->code, kind->id, "%s", "");
    (void)fill(kind->message, args, err->message);
    if (kind->cause && fill(kind->cause, args, err->cause))
        err->cause[0] = '\0';
    (void)fill(kind->fix, args, err->fix);
    for (; args->name; args++) {
        char number[NUMBER_MAX];
        const char *text;
        arg_text(args, number, &text);
        (void)err_arg(err, args->name, "%s", text);
    }
    return -1;
}

struct err *findings_say(struct findings *findings, enum check check, const struct check_arg *args)
{
    struct err *err = findings_add(findings, kinds[check].severity);
    (void)check_say(err, check, args);
    return err;
}

const char *check_machine_version(const char *machine)
{
    const char *dash = strrchr(machine, '-');
    return dash ? dash + 1 : machine;
}
