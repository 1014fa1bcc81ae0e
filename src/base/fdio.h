/* SPDX-License-Identifier: Apache-2.0 */
/* Whole-buffer input and output on blocking descriptors; EINTR and short transfers are handled here and
 * nowhere else. */
#ifndef BASE_FDIO_H
#define BASE_FDIO_H

#include <stddef.h>
#include <stdint.h>

struct err;

/* ERR_PEER_LOST if the stream ends before `size` bytes (id "stream-ended"). */
int fdio_read(int fd, void *data, size_t size, struct err *err);
int fdio_write(int fd, const void *data, size_t size, struct err *err);
/* ERR_CORRUPT if the file ends before `size` bytes. */
int fdio_pread(int fd, void *data, size_t size, uint64_t offset, struct err *err);
int fdio_pwrite(int fd, const void *data, size_t size, uint64_t offset, struct err *err);
/* The whole of a small file as a NUL-terminated heap string the caller frees; at most `max` bytes, else
 * ERR_CORRUPT. */
int fdio_read_file(const char *path, size_t max, char **ret_text, struct err *err);
/* Replaces a file atomically and durably: temporary file, fsync, rename, fsync of the folder. A failure
 * leaves no temporary file. */
int fdio_replace_file(const char *path, const void *data, size_t size, unsigned mode, struct err *err);
/* Makes durable that the file or folder `path` is there, or is not. */
int fdio_sync_folder_of(const char *path, struct err *err);
/* Fills `data` with random bytes from the kernel. */
void fdio_random(void *data, size_t size);

#endif
