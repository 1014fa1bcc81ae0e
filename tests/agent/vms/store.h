/* SPDX-License-Identifier: Apache-2.0 */
/* A datastore "store" of a host, and what a QEMU has of disks. */
#ifndef TESTS_AGENT_VMS_STORE_H
#define TESTS_AGENT_VMS_STORE_H

#include "agent/vm_disks.h"
#include "fixture.h"

/* The host has it from now on; its folder, with an identity, lies in the host's. */
void store_open(struct host *host);
void store_close(struct host *host);
/* The other host finds that one's too. */
void store_share(struct host *host, const struct host *owner);
/* The path of a file of it; g_free. */
char *store_path(const struct host *host, const char *file);
bool store_has(const struct host *host, const char *file);
/* Files in it besides what makes it a datastore. */
unsigned store_files(const struct host *host);
/* A VM that disks can come to while it runs. */
struct vm_spec hot_spec(const char *name);
struct vm_disk store_disk(const char *file, const char *format, const char *bus);
/* A new image of 16 MiB for the VM. */
struct vm_disk_wish new_disk(const char *file);
/* What is in QEMU: "vdisk0=/…/a vdisk1=" and so on, with the files of the block nodes; "" if there is none.
 * g_free. */
char *disks_of_qemu(struct vm *vm);
/* The same as the config file says it; g_free. */
char *disks_of_config(const struct vm *vm);

#endif
