/* SPDX-License-Identifier: Apache-2.0 */
/* How dirtier and diskd hand their figures to webd: a small file, replaced as a whole. */
#pragma once

/* Replaces path by text. 0, or -1 with errno set. */
int figures_publish(const char *path, const char *text);
