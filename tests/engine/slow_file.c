/* SPDX-License-Identifier: Apache-2.0 */
#include "slow_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "rig.h"

#define FILE_NAME "file"
#define FOLDER "/mnt"
#define FILE_NODE (FUSE_ROOT_ID + 1)
#define MINOR 31 /* of the protocol: all that is needed here, in the forms of linux/fuse.h */
#define VALID_S 3600
#define REQUEST_BYTES (FUSE_MIN_READ_BUFFER * 2)

struct slow_file {
    int fuse;
    pthread_t server;
    sem_t asked, answers;
};

struct request {
    struct fuse_in_header head;
    char body[REQUEST_BYTES - sizeof(struct fuse_in_header)];
};

static void reply(const struct slow_file *file, const struct request *request, int error, const void *body,
                  size_t size)
{
    struct fuse_out_header head = {.len = (uint32_t)(sizeof head + size), error, request->head.unique};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)body, size}};
    /* Whoever asked may have gone away. */
    (void)!writev(file->fuse, parts, size ? 2 : 1);
}

static struct fuse_attr attributes(uint64_t node)
{
    return (struct fuse_attr){.ino = node,
                              .size = node == FILE_NODE ? SLOW_FILE_BYTES : 0,
                              .mode = node == FILE_NODE ? S_IFREG | 0600 : S_IFDIR | 0700,
                              .nlink = 1,
                              .blksize = SLOW_FILE_BYTES};
}

static void serve_read(struct slow_file *file, const struct request *request)
{
    char bytes[SLOW_FILE_BYTES];
    const struct fuse_read_in *wish = (const struct fuse_read_in *)request->body;
    memset(bytes, SLOW_FILE_BYTE, sizeof bytes);
    (void)sem_post(&file->asked);
    while (sem_wait(&file->answers) < 0 && errno == EINTR)
        ;
    (void)sem_post(&file->answers);
    reply(file, request, 0, bytes, wish->offset ? 0 : sizeof bytes);
}

static void serve(struct slow_file *file, const struct request *request)
{
    const struct fuse_init_out init = {
        .major = FUSE_KERNEL_VERSION, .minor = MINOR, .max_background = 1, .max_write = SLOW_FILE_BYTES};
    const struct fuse_open_out opened = {0};
    const struct fuse_attr_out attr = {.attr_valid = VALID_S, .attr = attributes(request->head.nodeid)};
    const struct fuse_entry_out entry = {
        .nodeid = FILE_NODE, .entry_valid = VALID_S, .attr_valid = VALID_S, .attr = attributes(FILE_NODE)};
    switch (request->head.opcode) {
    case FUSE_INIT:
        reply(file, request, 0, &init, sizeof init);
        break;
    case FUSE_LOOKUP:
        reply(file, request, strcmp(request->body, FILE_NAME) ? -ENOENT : 0, &entry,
              strcmp(request->body, FILE_NAME) ? 0 : sizeof entry);
        break;
    case FUSE_GETATTR:
        reply(file, request, 0, &attr, sizeof attr);
        break;
    case FUSE_OPEN:
        reply(file, request, 0, &opened, sizeof opened);
        break;
    case FUSE_READ:
        serve_read(file, request);
        break;
    case FUSE_FLUSH:
    case FUSE_RELEASE:
        reply(file, request, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break; /* these have no answer */
    default:
        reply(file, request, -ENOSYS, NULL, 0);
    }
}

static void *serve_all(void *user)
{
    struct slow_file *file = user;
    struct request request;
    ssize_t got;
    while ((got = read(file->fuse, &request, sizeof request)) > 0 || errno == EINTR || errno == ENOENT)
        if (got > 0)
            serve(file, &request);
    return NULL; /* ENODEV: it was unmounted */
}

struct slow_file *slow_file_new(void)
{
    char options[96];
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fuse < 0 && (errno == ENOENT || errno == ENODEV))
        return NULL;
    assert_true(fuse >= 0);
    struct slow_file *file = calloc(1, sizeof *file);
    assert_non_null(file);
    file->fuse = fuse;
    (void)snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    /* Where nobody else sees it, and it goes with this process. */
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("slow", FOLDER, "fuse", MS_NOSUID | MS_NODEV, options), 0);
    assert_int_equal(sem_init(&file->asked, 0, 0), 0);
    assert_int_equal(sem_init(&file->answers, 0, 0), 0);
    assert_int_equal(pthread_create(&file->server, NULL, serve_all, file), 0);
    return file;
}

void slow_file_free(struct slow_file *file)
{
    slow_file_answer(file);
    assert_int_equal(umount2(FOLDER, MNT_DETACH), 0);
    assert_int_equal(pthread_join(file->server, NULL), 0);
    (void)close(file->fuse);
    (void)sem_destroy(&file->asked);
    (void)sem_destroy(&file->answers);
    free(file);
}

void slow_file_wait_asked(struct slow_file *file)
{
    while (sem_wait(&file->asked) < 0)
        assert_int_equal(errno, EINTR);
}

void slow_file_answer(struct slow_file *file)
{
    assert_int_equal(sem_post(&file->answers), 0);
}
