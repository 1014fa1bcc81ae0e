/* SPDX-License-Identifier: Apache-2.0 */
/* What the sampling before a forecast (engine/sample.c) does with a source in place of a copy. Thread: the
 * story. */
#ifndef ENGINE_SOURCE_H
#define ENGINE_SOURCE_H

#include "engine/engine.h"

struct bitmap;
struct halt;
struct ram;

const struct engine_source_config *source_config(const struct engine_source *source);
const struct ram *source_ram(const struct engine_source *source);
const struct halt *source_halt(const struct engine_source *source);
/* Sends these pages as round ret->n; fills *ret but for what the guest dirtied. Each call has the next n. */
int source_send(struct engine_source *source, const struct bitmap *pages, struct engine_round *ret,
                struct err *err);
/* Adds to `dirty` what was written since the last call, or since the source was made. */
int source_scan(struct engine_source *source, struct bitmap *dirty, struct err *err);
/* Ends the transfer. */
int source_end(struct engine_source *source, struct err *err);
/* As the last act of a failure: fills in the true reason. Always -1. */
int source_fail(struct engine_source *source, struct err *err);

#endif
