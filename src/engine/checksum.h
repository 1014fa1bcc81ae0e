/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 with the widest instructions that this CPU has: the library's own choice among them exists on x86
 * only, where its plain functions stay with the oldest ones. The values are the same. */
#ifndef ENGINE_CHECKSUM_H
#define ENGINE_CHECKSUM_H

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#endif
