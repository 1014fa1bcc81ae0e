/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning of a disk image, as the agent reads it before a VM goes where it is. */
#include <string.h>

#include "fuzz.h"
#include "qemu/image_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image_header header;
    memset(&header, 0xff, sizeof header);
    image_header_read(data, size, &header);
    must(memchr(header.backing, '\0', sizeof header.backing) != NULL);
    must(memchr(header.backing_format, '\0', sizeof header.backing_format) != NULL);
    must(header.is_qcow2 || (!header.is_damaged && !header.size && !header.backing[0]));
    return 0;
}
