/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share. A target is one file, fuzz-NAME.c, that feeds one input to real entry points
 * of the product and holds them to what they promise. libFuzzer drives it (tests/fuzz/run), or replay.c over
 * the committed corpus.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The input lies in memory of exactly its size. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Once, before the first input. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* A promise that holds whatever the input is; where it does not, the input is a finding. */
#define must(condition) ((condition) ? (void)0 : fuzz_broken(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_broken(const char *promise, const char *file, int line);
/* An error as who receives it may rely on it: a code there is, texts that end. */
void must_be_sound(const struct err *err);

/* What is left of an input. */
struct input {
    const uint8_t *at;
    size_t left;
};
/* Little-endian; bytes that are missing count as 0. */
uint64_t input_number(struct input *input, size_t size);
/* The next bytes, filled up with zeros. */
void input_fill(struct input *input, void *ret_bytes, size_t size);
/* At most `size` bytes, borrowed; moves behind them. */
struct input input_part(struct input *input, size_t size);
/* Up to `separator` (not part of it) or the end, borrowed; moves behind the separator. */
struct input input_until(struct input *input, const char *separator);

/* A connected, non-blocking pair of unix sockets; aborts if there is none. */
void fuzz_socketpair(int type, int ret_ends[2]);
/* The whole of `bytes` into a socket that has room for it, and the end of that direction. */
void fuzz_say_all(int fd, const void *bytes, size_t size);

#endif
