/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads what a guest writes on its console, from host to host: what the one that it left still has first,
 * then what the next one has of it. One thread.
 */
#ifndef CLI_CONSOLE_READER_H
#define CLI_CONSOLE_READER_H

#include "cli/cli.h"

struct console_reader {
    struct http_client *client;
    const char *vm;
    char host[64]; /* whose log it reads; "": not known yet */
    gint64 offset; /* of the next byte there */
};

/* From the first byte on the host where the VM is now. */
void console_reader_init(struct console_reader *reader, struct http_client *client, const char *vm);
/* From the newest lines of what it wrote since it runs there. */
int console_reader_tail(struct console_reader *reader, struct err *err);
/* The next piece; *ret_text "" if there is none within wait_ms; g_free. *ret_moved: it begins with what
 * another host has. */
int console_reader_next(struct console_reader *reader, unsigned wait_ms, char **ret_text, bool *ret_moved,
                        struct err *err);

#endif
