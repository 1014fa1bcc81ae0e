/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to http/: what the library reads of a connection. Of a request's head it sees nothing before that
 * is whole, and of one that cannot be understood nothing at all but a short one that it refuses with 400:
 * libsoup 3.2 loses the path of a request with a body in a way that it does not know, and a stranger may send
 * many.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <gio/gio.h>

/* A larger one is not understood; the library's own limit. */
#define HEAD_MAX (64 * 1024)

/* A connection over `base` (kept, pollable), to be read without blocking only. Closing it closes `base`.
 * Transfer full. */
GIOStream *head_stream_new(GIOStream *base);
/* What comes next is a head; after it all passes. */
void head_stream_expect(GIOStream *stream);

#endif
