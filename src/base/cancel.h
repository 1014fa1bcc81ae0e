/* SPDX-License-Identifier: Apache-2.0 */
/* A cancellation that any thread may trigger once and that every wait can poll. */
#ifndef BASE_CANCEL_H
#define BASE_CANCEL_H

#include <stdbool.h>

#include "base/err.h"

struct cancel;

struct cancel *cancel_new(struct err *err);
void cancel_free(struct cancel *cancel);
/* Stores why (first call wins) and makes cancel_fd readable. Thread: any. */
void cancel_trigger(struct cancel *cancel, const struct err *why);
bool cancel_requested(const struct cancel *cancel);
/* Readable for ever once triggered; for poll. */
int cancel_fd(const struct cancel *cancel);
/* 0, or -1 with the stored reason in *err. */
int cancel_check(const struct cancel *cancel, struct err *err);

#endif
