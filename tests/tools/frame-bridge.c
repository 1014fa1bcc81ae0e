/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bad piece of cable: Ethernet frames between two TAP devices, late, out of order or damaged. What it
 * damages with a right checksum reaches who reads the connection; with a wrong one it is a lost packet.
 *
 * frame-bridge TAP TAP [OPTION...]: prints "ready", then a line for each frame that was tampered with, until
 * a signal ends it. Both directions alike:
 *   --delay-ms N       each frame waits so long
 *   --reorder PERCENT  so many frames wait REORDER_NS longer: those behind them overtake
 *   --garble PERCENT   a byte of the TCP payload of so many frames is changed, the checksum is not
 *   --tamper PERCENT   the same, and the checksum is made right again
 *   --flip TYPE        one bit of the first record of that type (src/wire/record.h) on a connection in clear;
 *                      the checksum is made right again. The rest passes as it is
 *   --flip-at OFFSET   in that record, its header counted; without it the last byte of it in the frame
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "wire/codec.h"
#include "wire/record.h"

#define FRAME_MAX 10240
#define REORDER_NS 5000000ull
#define NS_PER_S 1000000000ull
#define ETHERNET_SIZE 14u
#define PROTOCOL_TCP 6
#define WHOLE_PERCENT 100
#define AT_END (-1)

struct frame {
    struct frame *next;
    uint64_t due_ns;
    size_t size;
    uint8_t bytes[];
};

struct direction {
    int in, out;
    struct frame *first; /* in the order in which they are due */
};

struct options {
    uint64_t delay_ns;
    int reorder, garble, tamper; /* percent */
    uint32_t flip;               /* type; 0: none, or done */
    long flip_at;
};

/* The TCP part of a frame; payload_size 0: none. */
struct segment {
    uint8_t *tcp;
    uint8_t *payload;
    size_t payload_size;
};

static void die(const char *what)
{
    fprintf(stderr, "frame-bridge: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool happens(int percent)
{
    return percent > 0 && random() % WHOLE_PERCENT < percent;
}

static int open_tap(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        die("/dev/net/tun");
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (ioctl(fd, TUNSETIFF, &request) < 0)
        die(name);
    return fd;
}

static unsigned get_u16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static bool find_segment(uint8_t *frame, size_t size, struct segment *ret)
{
    uint8_t *ip = frame + ETHERNET_SIZE, *end = frame + size;
    size_t head = 0;
    if (size < ETHERNET_SIZE + 40)
        return false;
    unsigned kind = get_u16(frame + 12);
    if (kind == 0x0800 && ip[9] == PROTOCOL_TCP) {
        head = (size_t)(ip[0] & 15) * 4;
        end = ip + get_u16(ip + 2); /* a short frame is padded */
    } else if (kind == 0x86dd && ip[6] == PROTOCOL_TCP) {
        head = 40;
        end = ip + head + get_u16(ip + 4);
    }
    if (!head || end > frame + size || ip + head + 20 > end)
        return false;
    ret->tcp = ip + head;
    ret->payload = ret->tcp + (size_t)(ret->tcp[12] >> 4) * 4;
    ret->payload_size = ret->payload < end ? (size_t)(end - ret->payload) : 0;
    return true;
}

/* As RFC 1624 has it: the sum changes by what its 16-bit word changes by. */
static void change_byte(const struct segment *segment, size_t at, uint8_t bits, bool is_noticed)
{
    uint8_t *byte = segment->payload + at, *word = byte - ((byte - segment->tcp) & 1);
    unsigned before = get_u16(word);
    *byte ^= bits;
    if (is_noticed)
        return;
    uint8_t *field = segment->tcp + 16;
    unsigned sum = (~get_u16(field) & 0xffff) + (~before & 0xffff) + get_u16(word);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
    field[0] = (uint8_t)(sum >> 8);
    field[1] = (uint8_t)sum;
}

/* Whichever number it has among the records of its connection. */
static bool find_record(const uint8_t *header, uint32_t type, struct wire_record *ret_record)
{
    struct wire_reader reader = {.at = header, .left = WIRE_RECORD_HEADER_SIZE};
    struct err err;
    if (wire_get_u32(&reader) != type)
        return false;
    wire_skip(&reader, 4 + 8); /* flags, length */
    return wire_record_decode(header, wire_get_u64(&reader), ret_record, &err) == 0;
}

/* A header that the frame's end cuts off is not found; the next of its type will be. */
static void flip_in_record(struct options *options, const struct segment *segment)
{
    for (size_t begin = 0; begin + WIRE_RECORD_HEADER_SIZE <= segment->payload_size; begin++) {
        struct wire_record record;
        if (!find_record(segment->payload + begin, options->flip, &record))
            continue;
        uint64_t length = record.length, left = segment->payload_size - begin - WIRE_RECORD_HEADER_SIZE;
        size_t last = begin + WIRE_RECORD_HEADER_SIZE + (size_t)(length < left ? length : left) - 1;
        size_t at = options->flip_at == AT_END ? last : begin + (size_t)options->flip_at;
        if (at > last)
            continue;
        change_byte(segment, at, 1, false);
        printf("a record of type 0x%x and %llu bytes: byte %zu\n", options->flip, (unsigned long long)length,
               at - begin);
        options->flip = 0;
        return;
    }
}

static void damage(struct options *options, uint8_t *frame, size_t size)
{
    struct segment segment;
    if (!find_segment(frame, size, &segment) || !segment.payload_size)
        return;
    if (options->flip)
        flip_in_record(options, &segment);
    size_t at = (size_t)random() % segment.payload_size;
    if (happens(options->garble))
        change_byte(&segment, at, 1, true);
    if (happens(options->tamper)) {
        change_byte(&segment, at, 1, false);
        puts("tampered");
    }
}

static void enqueue(struct direction *direction, struct frame *frame)
{
    struct frame **at = &direction->first;
    while (*at && (*at)->due_ns <= frame->due_ns)
        at = &(*at)->next;
    frame->next = *at;
    *at = frame;
}

static void take_frames(struct direction *direction, struct options *options)
{
    uint8_t bytes[FRAME_MAX];
    for (ssize_t size; (size = read(direction->in, bytes, sizeof bytes)) > 0;) {
        struct frame *frame = malloc(sizeof *frame + (size_t)size);
        if (!frame)
            die("malloc");
        damage(options, bytes, (size_t)size);
        memcpy(frame->bytes, bytes, (size_t)size);
        frame->size = (size_t)size;
        frame->due_ns = now_ns() + options->delay_ns + (happens(options->reorder) ? REORDER_NS : 0);
        enqueue(direction, frame);
    }
}

/* Returns when the next one is due, UINT64_MAX: none waits. */
static uint64_t pass_on(struct direction *direction)
{
    while (direction->first && direction->first->due_ns <= now_ns()) {
        struct frame *frame = direction->first;
        direction->first = frame->next;
        /* A device that is down or full loses the frame, as a cable would. */
        ssize_t ignored = write(direction->out, frame->bytes, frame->size);
        (void)ignored;
        free(frame);
    }
    return direction->first ? direction->first->due_ns : UINT64_MAX;
}

static void run(struct direction directions[2], struct options *options)
{
    struct pollfd fds[] = {{.fd = directions[0].in, .events = POLLIN},
                           {.fd = directions[1].in, .events = POLLIN}};
    for (;;) {
        uint64_t due_ns = pass_on(&directions[0]), other_ns = pass_on(&directions[1]), now = now_ns();
        if (other_ns < due_ns)
            due_ns = other_ns;
        uint64_t left_ns = due_ns > now ? due_ns - now : 0;
        struct timespec wait = {.tv_sec = (time_t)(left_ns / NS_PER_S),
                                .tv_nsec = (long)(left_ns % NS_PER_S)};
        if (ppoll(fds, 2, due_ns == UINT64_MAX ? NULL : &wait, NULL) < 0 && errno != EINTR)
            die("poll");
        for (int i = 0; i < 2; i++)
            take_frames(&directions[i], options);
    }
}

static int usage(void)
{
    fputs("usage: frame-bridge TAP TAP [--delay-ms N] [--reorder PERCENT] [--garble PERCENT]\n"
          "                    [--tamper PERCENT] [--flip TYPE [--flip-at OFFSET]]\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"delay-ms", required_argument, NULL, 'd'},
                                          {"reorder", required_argument, NULL, 'r'},
                                          {"garble", required_argument, NULL, 'g'},
                                          {"tamper", required_argument, NULL, 't'},
                                          {"flip", required_argument, NULL, 'f'},
                                          {"flip-at", required_argument, NULL, 'a'},
                                          {0}};
    struct options options = {.flip_at = AT_END};
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        long value = optarg ? strtol(optarg, NULL, 0) : 0;
        switch (option) {
        case 'd':
            options.delay_ns = (uint64_t)value * 1000000;
            break;
        case 'r':
            options.reorder = (int)value;
            break;
        case 'g':
            options.garble = (int)value;
            break;
        case 't':
            options.tamper = (int)value;
            break;
        case 'f':
            options.flip = (uint32_t)value;
            break;
        case 'a':
            options.flip_at = value;
            break;
        default:
            return usage();
        }
    }
    if (argc - optind != 2)
        return usage();
    int one = open_tap(argv[optind]), other = open_tap(argv[optind + 1]);
    struct direction directions[] = {{.in = one, .out = other}, {.in = other, .out = one}};
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    run(directions, &options);
    return 0;
}
