/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a source hears when a copy goes on over new connections: the map of placed pages. The first two bytes
 * are the number of pages of the guest; the rest is what the destination says (wire_stream.h). What is taken
 * is told again and heard equally.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bitmap.h"
#include "base/cancel.h"
#include "engine/halt.h"
#include "engine/link.h"
#include "engine/resume.h"
#include "fuzz.h"
#include "wire_stream.h"

static struct halt halt = {.qemu_pidfd = -1, .stop_fd = -1};
static struct wire_stream heard;

static void nobody_to_wake(void *user)
{
    (void)user;
}

static void set_up(void)
{
    struct err err;
    halt.outer = cancel_new(&err);
    halt.wake = nobody_to_wake;
    must(halt.outer && halt_start(&halt, &err) == 0);
}

static void must_be_told_equally(const struct resume *resume, const struct bitmap *placed)
{
    struct bitmap again;
    struct resume back;
    struct err err;
    int ends[2];
    fuzz_socketpair(SOCK_STREAM, ends);
    struct link from = {.stream = {.fd = ends[0]}, .halt = &halt},
                to = {.stream = {.fd = ends[1]}, .halt = &halt};
    must(bitmap_init(&again, placed->n_bits, &err) == 0);
    must(resume_tell(&from, resume, placed, &err) == 0);
    must(resume_hear(&to, &back, &again, &err) == 0);
    must(back.round == resume->round && back.n_wasted == resume->n_wasted);
    must(!memcmp(again.words, placed->words, (placed->n_bits + 63) / 64 * sizeof *placed->words));
    bitmap_free_bits(&again);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct bitmap placed;
    struct resume resume;
    struct err err = {0};
    int ends[2];
    if (!halt.outer)
        set_up();
    uint64_t n_pages = 1 + input_number(&input, 2);
    wire_stream_read(&heard, &input);
    fuzz_socketpair(SOCK_STREAM, ends);
    fuzz_say_all(ends[0], heard.bytes, heard.size);
    struct link link = {.stream = {.fd = ends[1]}, .halt = &halt};
    must(bitmap_init(&placed, n_pages, &err) == 0);
    if (resume_hear(&link, &resume, &placed, &err) < 0) {
        must_be_sound(&err);
    } else {
        must(n_pages % 64 == 0 || placed.words[n_pages / 64] >> n_pages % 64 == 0);
        must(bitmap_count(&placed) <= n_pages);
        must_be_told_equally(&resume, &placed);
    }
    bitmap_free_bits(&placed);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return 0;
}
