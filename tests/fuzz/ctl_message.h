/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of an input as one message on a control socket:
 *
 *   flags (1), type (1), serial (1), length (2), then so many bytes of body
 */
#ifndef TESTS_FUZZ_CTL_MESSAGE_H
#define TESTS_FUZZ_CTL_MESSAGE_H

#include "ctl/ctl.h"
#include "fuzz.h"

#define CTL_MESSAGE_RAW 1u     /* the body is the whole packet */
#define CTL_MESSAGE_FD 2u      /* a descriptor travels along */
#define CTL_MESSAGE_PADDED 4u  /* the body is filled up with zeros, or cut, to what its type has */
#define CTL_MESSAGE_ANSWER 24u /* these two bits: what is done with it, see the target */

struct ctl_message {
    struct ctl_msg msg;
    unsigned flags;
};

/* What a body of this type has; 0: nothing, or it depends. */
size_t ctl_message_size(uint32_t type);
/* False at the input's end. */
bool ctl_message_read(struct input *input, struct ctl_message *ret_message);
/* Sends it, with `fd` where the flags say so. A packet that the kernel does not take is left out. */
void ctl_message_send(const struct ctl_message *message, int socket, int fd);

#endif
