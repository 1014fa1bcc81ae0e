/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    /* What the product says of a bad peer is no news here. */
    (void)setenv("LOG_LEVEL", "error", 0);
    log_init("fuzz");
    (void)signal(SIGPIPE, SIG_IGN);
    return 0;
}

void fuzz_broken(const char *promise, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, promise);
    abort();
}

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

void must_be_sound(const struct err *err)
{
    must(err->code > ERR_NONE && err->code < ERR_CODE_COUNT);
    must(ends(err->id, sizeof err->id) && ends(err->phase, sizeof err->phase));
    must(ends(err->side, sizeof err->side) && ends(err->message, sizeof err->message));
    must(ends(err->cause, sizeof err->cause) && ends(err->fix, sizeof err->fix));
    must(err->n_args <= ERR_ARGS_MAX);
    for (unsigned i = 0; i < err->n_args; i++)
        must(ends(err->args[i].name, sizeof err->args[i].name) &&
             ends(err->args[i].value, sizeof err->args[i].value));
}

struct input input_part(struct input *input, size_t size)
{
    struct input part = {input->at, size < input->left ? size : input->left};
    input->at += part.left;
    input->left -= part.left;
    return part;
}

struct input input_until(struct input *input, const char *separator)
{
    const uint8_t *end = memmem(input->at, input->left, separator, strlen(separator));
    if (!end)
        return input_part(input, input->left);
    struct input part = input_part(input, (size_t)(end - input->at));
    (void)input_part(input, strlen(separator));
    return part;
}

void input_fill(struct input *input, void *ret_bytes, size_t size)
{
    struct input part = input_part(input, size);
    memset(ret_bytes, 0, size);
    if (part.left)
        memcpy(ret_bytes, part.at, part.left);
}

uint64_t input_number(struct input *input, size_t size)
{
    uint8_t bytes[8];
    uint64_t number = 0;
    input_fill(input, bytes, size);
    for (size_t i = 0; i < size; i++)
        number |= (uint64_t)bytes[i] << (8 * i);
    return number;
}

void fuzz_socketpair(int type, int ret_ends[2])
{
    must(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_ends) == 0);
}

void fuzz_say_all(int fd, const void *bytes, size_t size)
{
    if (size)
        must(send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size);
    must(shutdown(fd, SHUT_WR) == 0);
}
