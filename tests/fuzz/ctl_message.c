/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_message.h"

#include <string.h>
#include <sys/socket.h>

size_t ctl_message_size(uint32_t type)
{
    switch (type) {
    case CTL_JOB_SPEC:
        return sizeof(struct ctl_job_spec);
    case CTL_FAILED:
    case CTL_CANCEL:
        return sizeof(struct err);
    case CTL_GIVE:
    case CTL_CONT:
        return CTL_SECRET_SIZE;
    case CTL_DISK:
        return sizeof(uint32_t);
    case CTL_QUIT:
        return sizeof(struct ctl_verdict);
    case CTL_PROGRESS:
        return sizeof(struct ctl_progress);
    case CTL_ROUND:
        return sizeof(struct ctl_round);
    case CTL_RESULT:
        return sizeof(struct ctl_result);
    case CTL_FORECAST:
        return sizeof(struct ctl_forecast);
    default:
        return 0;
    }
}

bool ctl_message_read(struct input *input, struct ctl_message *ret_message)
{
    if (!input->left)
        return false;
    struct ctl_msg *msg = &ret_message->msg;
    ret_message->flags = (unsigned)input_number(input, 1);
    msg->type = (uint32_t)input_number(input, 1);
    msg->serial = (uint32_t)input_number(input, 1);
    size_t length = (size_t)input_number(input, 2) % (CTL_BODY_MAX + 1);
    struct input body = input_part(input, length);
    size_t wanted = ret_message->flags & CTL_MESSAGE_PADDED ? ctl_message_size(msg->type) : body.left;
    input_fill(&body, msg->body, wanted);
    msg->length = (uint32_t)wanted;
    return true;
}

void ctl_message_send(const struct ctl_message *message, int socket, int fd)
{
    struct err err;
    if (message->flags & CTL_MESSAGE_RAW)
        (void)send(socket, message->msg.body, message->msg.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    else
        (void)ctl_send(socket, &message->msg, &fd, message->flags & CTL_MESSAGE_FD ? 1 : 0, &err);
}
