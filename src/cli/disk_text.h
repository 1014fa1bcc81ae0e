/* SPDX-License-Identifier: Apache-2.0 */
/* Images and sizes as people write them. Single thread. */
#ifndef CLI_DISK_TEXT_H
#define CLI_DISK_TEXT_H

#include <json-glib/json-glib.h>

/* A disk of "DATASTORE:FILE" or a path, with ",format=F", ",bus=B" and ",media=M" behind it. The format is
 * qcow2 unless it ends in .raw or .iso, or is a CD. Transfer full. */
JsonObject *disk_of_text(const char *text);
/* CLI_USAGE, and says why, if the text ends in an option of QEMU's drives that no disk here has. */
int disk_text_check(const char *text);
/* "10G", "512M", "1.5T", or bytes; -1 if it is none, or no whole number of bytes. */
int size_of_text(const char *text, gint64 *ret_bytes);
/* "12.5 GiB"; g_free. */
char *size_text(gint64 bytes);

#endif
