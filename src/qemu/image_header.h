/* SPDX-License-Identifier: Apache-2.0 */
/* What the beginning of a disk image says, of what must be known before a VM goes where it is: format, size,
 * and on what other file it is built. Pure. */
#ifndef QEMU_IMAGE_HEADER_H
#define QEMU_IMAGE_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Enough to be read of a file: the header, its extensions and the name of the backing file. */
#define IMAGE_HEADER_BYTES 65536
#define IMAGE_BACKING_MAX 1024 /* qcow2 allows 1023 bytes */

struct image_header {
    bool is_qcow2;                   /* else nothing more is known */
    bool is_damaged;                 /* it begins as qcow2, and what follows makes no sense */
    bool has_data_file;              /* its data is in yet another file */
    uint64_t size;                   /* what the guest sees, bytes */
    char backing[IMAGE_BACKING_MAX]; /* as it stands there; "": none */
    char backing_format[16];         /* "qcow2", "raw"; "": it does not say */
};

void image_header_read(const uint8_t *bytes, size_t size, struct image_header *ret_header);

#endif
