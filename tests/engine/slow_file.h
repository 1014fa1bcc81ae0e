/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file whose device is slow: what is read of it arrives when the test says so. It stands on a file system
 * of its own (FUSE), served by a thread, so that the kernel does with the reader's memory what it does for a
 * disk. The calling thread gets mounts of its own. Needs root.
 */
#ifndef TESTS_ENGINE_SLOW_FILE_H
#define TESTS_ENGINE_SLOW_FILE_H

#include <stdint.h>

#define SLOW_FILE_PATH "/mnt/file" /* in the caller's own mounts */
#define SLOW_FILE_BYTES 4096
#define SLOW_FILE_BYTE 0x5a /* all of them */

struct slow_file;

/* NULL where this kernel has no FUSE; fails the test on all else. */
struct slow_file *slow_file_new(void);
/* Lets go of whoever still waits. */
void slow_file_free(struct slow_file *file);
/* Until the device was asked; the memory that it will write to is chosen then. */
void slow_file_wait_asked(struct slow_file *file);
/* What was asked for arrives, and so does all that follows. */
void slow_file_answer(struct slow_file *file);

#endif
