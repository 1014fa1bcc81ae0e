/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The owner of a synchronous userfaultfd: the first write to each protected page waits until a thread of ours
 * has noted the page. That is how writes are known where the kernel cannot note them by itself, and how a
 * guest that writes too fast is held up (SDPS): only writers of pages that are not dirty yet wait, for tens
 * of microseconds.
 *
 * Who is held up: vCPUs, and whoever writes in their place and is no thread of QEMU (under KVM workers of the
 * kernel fetch pages for a vCPU). QEMU's other threads go on at once.
 *
 * Thread: the story, unless said otherwise.
 */
#ifndef ENGINE_FAULT_SERVER_H
#define ENGINE_FAULT_SERVER_H

#include "engine/dirty_source.h"
#include "engine/uffd.h"

struct fault_server;
struct engine_stuns;

/* Enables the synchronous userfaultfd of `config` (not owned; ERR_REFUSED "dirty-source-missing" if the
 * kernel cannot) and starts the thread. The heart beats (config->fault_beat) from now until it is freed. */
struct fault_server *fault_server_new(const struct dirty_source_config *config, struct err *err);
/* Registers and protects a range, in steps. What is written there from now on is collected. */
int fault_server_add(struct fault_server *server, struct uffd_range range, struct err *err);
/* Adds to `dirty` what was written, and protects it again. */
int fault_server_collect(struct fault_server *server, struct bitmap *dirty, struct err *err);
/* New dirty pages stay below this rate; 0: nobody is held up. */
void fault_server_throttle(struct fault_server *server, uint64_t bytes_s);
/* QEMU is about to be asked to stop: all who wait go on before this returns, and from now on nobody waits for
 * longer than THROTTLE_EASY_NS. */
int fault_server_ease(struct fault_server *server, struct err *err);
/* See dirty_source_ops. Nobody is held up any more. */
int fault_server_guest_stopped(struct fault_server *server, struct err *err);
/* Any thread. */
uint64_t fault_server_stun_ns(const struct fault_server *server);
void fault_server_stuns(const struct fault_server *server, struct engine_stuns *ret_stuns);
/* Unregisters all, which releases every waiter. NULL ok. */
void fault_server_free(struct fault_server *server);

#endif
