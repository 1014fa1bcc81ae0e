/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/disk_look.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/open_as.h"
#include "base/cleanup.h"

#define CHAIN_MAX 32
#define BLOCK_BYTES 512u
/* QEMU's locks on an image, one byte each (block/file-posix.c): who writes it, and who wants nobody else to.
 */
#define LOCK_WRITES 101
#define LOCK_LETS_NOBODY_WRITE 201

static void say(struct disk_look *look, enum disk_trouble trouble, const char *reason)
{
    look->trouble = trouble;
    (void)g_strlcpy(look->reason, reason, sizeof look->reason);
}

static bool is_locked(int fd, off_t byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int read_header(int fd, struct image_header *ret_header)
{
    g_autofree uint8_t *bytes = g_malloc(IMAGE_HEADER_BYTES);
    ssize_t n = pread(fd, bytes, IMAGE_HEADER_BYTES, 0);
    if (n < 0)
        return -1;
    image_header_read(bytes, (size_t)n, ret_header);
    return 0;
}

static uint64_t allocated_bytes(int fd)
{
    struct stat facts;
    return fstat(fd, &facts) < 0 ? 0 : (uint64_t)facts.st_blocks * BLOCK_BYTES;
}

/* Of a raw image the end of the file; of a device the end of that. */
static uint64_t raw_bytes(int fd)
{
    off_t end = lseek(fd, 0, SEEK_END);
    return end < 0 ? 0 : (uint64_t)end;
}

static void learn_sizes(int fd, const struct image_header *header, struct disk_look *look)
{
    struct stat facts;
    bool is_qcow2 = !strcmp(look->format, "qcow2");
    look->virtual_bytes = is_qcow2 ? header->size : raw_bytes(fd);
    if (fstat(fd, &facts) < 0 || !S_ISREG(facts.st_mode))
        return;
    look->allocated_bytes = look->data_bytes = allocated_bytes(fd);
    if (!look->is_read_only && look->virtual_bytes > look->allocated_bytes)
        look->growth_bytes = look->virtual_bytes - look->allocated_bytes;
}

static void note_in_chain(struct disk_look *look, const char *path, int fd)
{
    size_t length = strlen(look->chain);
    (void)snprintf(look->chain + length, sizeof look->chain - length, "%s%s", length ? "\n" : "", path);
    look->data_bytes += allocated_bytes(fd);
}

/* QEMU takes "word:" at its beginning for a protocol. */
static bool is_file_name(const char *name)
{
    size_t word = strcspn(name, ":/");
    return name[word] != ':';
}

/* A relative name counts from the folder of the image that has it. */
static char *beside(const char *image, const char *name)
{
    g_autofree char *folder = g_path_get_dirname(image);
    return name[0] == '/' ? g_strdup(name) : g_build_filename(folder, name, NULL);
}

static void backing_fails(struct disk_look *look, const char *name, const char *reason)
{
    (void)g_strlcpy(look->backing, name, sizeof look->backing);
    say(look, DISK_BACKING_MISSING, reason);
}

/* One file of the chain; *header becomes its own. False: it ends here, well or not. */
static bool follow(struct disk_look *look, char **image, struct image_header *header)
{
    g_autofree char *name = g_strdup(header->backing);
    bool is_raw = !strcmp(header->backing_format, "raw");
    if (!is_file_name(name)) {
        backing_fails(look, name, "it is not a file");
        return false;
    }
    g_autofree char *path = beside(*image, name);
    auto_fd fd = open_as(&look->user, 0, path, O_RDONLY | O_NONBLOCK);
    if (fd < 0 || read_header(fd, header) < 0) {
        backing_fails(look, path, g_strerror(errno));
        return false;
    }
    note_in_chain(look, path, fd);
    if (is_locked(fd, LOCK_WRITES)) {
        (void)snprintf(look->reason, sizeof look->reason, "somebody writes %.100s, on which it is built",
                       path);
        look->trouble = DISK_LOCKED;
        return false;
    }
    g_free(*image);
    *image = g_steal_pointer(&path);
    if (!is_raw && header->is_damaged) {
        backing_fails(look, *image, "its header is damaged");
        return false;
    }
    return !is_raw && header->backing[0];
}

static void follow_chain(struct disk_look *look, struct image_header *header)
{
    g_autofree char *image = g_strdup(look->path);
    unsigned n = 0;
    while (header->backing[0] && n++ < CHAIN_MAX)
        if (!follow(look, &image, header))
            return;
    if (n >= CHAIN_MAX)
        backing_fails(look, image, "its images are built on each other in a circle, or on too many");
}

static void check_format(struct disk_look *look, const struct image_header *header)
{
    bool is_qcow2 = !strcmp(look->format, "qcow2");
    if (is_qcow2 && !header->is_qcow2)
        say(look, DISK_FORMAT_DIFFERS, "it does not begin as a qcow2 image does");
    else if (is_qcow2 && header->is_damaged)
        say(look, DISK_FORMAT_DIFFERS, "its header is damaged");
    else if (is_qcow2 && header->has_data_file)
        say(look, DISK_FORMAT_DIFFERS, "its data is in a file of its own, which Godwit does not follow");
    /* What a guest that runs has written into its raw disk is its own affair. */
    else if (!is_qcow2 && header->is_qcow2 && !look->is_open_elsewhere)
        say(look, DISK_FORMAT_DIFFERS, "it begins as a qcow2 image does");
}

void disk_look(void *argument)
{
    struct disk_look *look = argument;
    struct image_header header;
    auto_fd fd = open_as(&look->user, 0, look->path, (look->is_read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK);
    if (fd < 0 || read_header(fd, &header) < 0) {
        bool is_missing = errno == ENOENT || errno == ENOTDIR;
        say(look, is_missing ? DISK_MISSING : DISK_NOT_ACCESSIBLE, g_strerror(errno));
        return;
    }
    check_format(look, &header);
    if (look->trouble != DISK_FINE)
        return;
    if (!look->is_open_elsewhere &&
        (is_locked(fd, LOCK_WRITES) || (!look->is_read_only && is_locked(fd, LOCK_LETS_NOBODY_WRITE)))) {
        say(look, DISK_LOCKED, "another QEMU, or qemu-img, holds its locks");
        return;
    }
    learn_sizes(fd, &header, look);
    if (!strcmp(look->format, "qcow2"))
        follow_chain(look, &header);
}
