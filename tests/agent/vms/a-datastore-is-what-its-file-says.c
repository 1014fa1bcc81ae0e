/* SPDX-License-Identifier: Apache-2.0 */
/* What a host says of a folder that is to be a datastore, and of the images on it: as root, with folders of
 * QEMU's user and a file system that never answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/datastore_look.h"
#include "agent/datastores.h"
#include "agent/disk_flush.h"
#include "agent/disks.h"
#include "base/cleanup.h"
#include "fixture.h"
#include "model/datastore.h"

struct scene {
    struct host *host;
    char *folder; /* of the datastore "store" */
};

/* The agent begins to look when the folder is as the test wants it. */
static void open_store(struct scene *scene)
{
    struct err err = {0};
    struct agent *agent = &scene->host->agent;
    (void)g_strlcpy(agent->config.datastores[0].name, "store", MODEL_NAME_MAX);
    (void)g_strlcpy(agent->config.datastores[0].path, scene->folder, MODEL_PATH_MAX);
    agent->config.n_datastores = 1;
    if (datastores_open(agent, &err) < 0)
        fail_msg("%s", err.message);
}

static int set_up(void **state)
{
    struct scene *scene = g_new0(struct scene, 1);
    scene->host = host_up(NULL);
    scene->folder = g_strdup_printf("%s/store", scene->host->folder);
    run_command("chmod 711 %s && mkdir %s && chown %u %s", scene->host->folder, scene->folder, HOST_UID,
                scene->folder);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    datastores_close(&scene->host->agent);
    (void)umount2(scene->folder, MNT_DETACH);
    host_down(scene->host);
    g_free(scene->folder);
    g_free(scene);
    return 0;
}

static struct datastore_look question(const struct scene *scene)
{
    struct datastore_look look = {.user = {HOST_UID, HOST_UID}, .host = "h"};
    (void)g_strlcpy(look.found.name, "store", sizeof look.found.name);
    (void)g_strlcpy(look.found.path, scene->folder, sizeof look.found.path);
    return look;
}

static void must_look(const struct scene *scene, const char *known_uuid, const char *state)
{
    struct datastore_look look = question(scene);
    (void)g_strlcpy(look.known_uuid, known_uuid, sizeof look.known_uuid);
    datastore_look(&look);
    if (strcmp(look.found.state, state) != 0)
        fail_msg("%s (%s) instead of %s", look.found.state, look.found.reason, state);
    assert_int_equal(!look.found.reason[0], !strcmp(state, DATASTORE_OK));
}

#define KNOWN "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e"

static void an_identity_is_written_once_and_by_word_only(void **state)
{
    const struct scene *scene = *state;
    must_look(scene, "", DATASTORE_UNINITIALISED);
    must_look(scene, "", DATASTORE_UNINITIALISED);
    struct datastore_look look = question(scene);
    datastore_init(&look);
    assert_false(err_is_set(&look.err));
    assert_string_equal(look.found.state, DATASTORE_OK);
    assert_true(look.found.capacity_bytes && look.found.type[0] && model_uuid_is_valid(look.found.uuid));
    struct datastore_look again = question(scene);
    datastore_init(&again);
    assert_string_equal(again.err.id, "datastore-initialised");
    must_look(scene, "", DATASTORE_OK);
}

static void what_a_guest_cannot_use_has_its_own_word(void **state)
{
    const struct scene *scene = *state;
    must_look(scene, KNOWN, DATASTORE_MISSING); /* an empty folder where there was one */
    struct datastore_look look = question(scene);
    datastore_init(&look);
    run_command("chown 0 %1$s/.godwit-probe-h %1$s && chmod 755 %1$s", scene->folder);
    must_look(scene, "", DATASTORE_NOT_WRITABLE);
    run_command("chmod 700 %s", scene->folder);
    must_look(scene, "", DATASTORE_NOT_WRITABLE);
    run_command("chown %1$u %2$s/.godwit-probe-h %2$s", HOST_UID, scene->folder);
    must_look(scene, "", DATASTORE_OK);
    run_command("mount --bind %1$s %1$s && mount -o remount,bind,ro %1$s", scene->folder);
    must_look(scene, "", DATASTORE_READ_ONLY);
    run_command("umount %1$s && echo x > %1$s/" DATASTORE_FILE, scene->folder);
    must_look(scene, "", DATASTORE_UNINITIALISED);
    run_command("rm -r %s", scene->folder);
    must_look(scene, "", DATASTORE_MISSING);
    run_command("mkdir %1$s && mount -t tmpfs -o size=1m,mode=777 none %1$s", scene->folder);
    datastore_init(&look);
    must_look(scene, "", DATASTORE_FULL);
}

static void a_folder_that_lost_its_storage_gets_no_second_identity(void **state)
{
    struct scene *scene = *state;
    struct agent *agent = &scene->host->agent;
    struct host_datastore found;
    struct err err = {0};
    open_store(scene);
    assert_int_equal(datastores_init(agent, "none", false, &found, &err), -1);
    assert_string_equal(err.id, "datastore-not-found");
    assert_int_equal(datastores_init(agent, "store", false, &found, &err), 0);
    assert_string_equal(found.state, DATASTORE_OK);
    datastores_close(agent);
    run_command("mv %1$s/" DATASTORE_FILE " %1$s/away", scene->folder);
    open_store(scene); /* another agent, which remembers */
    struct host_datastore other;
    assert_int_equal(datastores_init(agent, "store", false, &other, &err), -1);
    assert_string_equal(err.id, "datastore-known");
    assert_string_equal(err_arg_find(&err, "uuid"), found.uuid);
    assert_int_equal(datastores_init(agent, "store", true, &other, &err), 0);
    assert_string_not_equal(other.uuid, found.uuid);
}

/* ---- images ---- */

static struct vm_spec spec_with(const char *file, const char *format)
{
    struct vm_spec spec = {.name = "web", .n_disks = 1};
    (void)g_strlcpy(spec.disks[0].datastore, "store", MODEL_NAME_MAX);
    (void)g_strlcpy(spec.disks[0].file, file, MODEL_FILE_MAX);
    (void)g_strlcpy(spec.disks[0].format, format, sizeof spec.disks[0].format);
    return spec;
}

/* "" : nothing is found */
static void must_find(const struct scene *scene, const struct vm_spec *spec, bool as_incoming, const char *id)
{
    g_autofree struct findings *found = g_new0(struct findings, 1);
    disks_find_problems(&scene->host->agent, spec, as_incoming, found);
    const char *first = found->n ? found->list[0].err.id : "";
    if (strcmp(first, id) != 0)
        fail_msg("'%s' (%s; %s) instead of '%s'", first, found->list[0].err.message, found->list[0].err.cause,
                 id);
    assert_true(!found->n || (found->list[0].err.fix[0] && found->list[0].err.cause[0]) ||
                !strcmp(id, "disk-missing"));
    assert_true(found->n <= 1);
}

static void what_is_wrong_with_an_image_is_found(void **state)
{
    struct scene *scene = *state;
    struct err err = {0};
    struct host_datastore found;
    const char *folder = scene->folder;
    open_store(scene);
    assert_int_equal(datastores_init(&scene->host->agent, "store", false, &found, &err), 0);
    run_command(
        "cd %s && qemu-img create -q -f raw base.raw 1M && qemu-img create -q -f qcow2 -b base.raw -F raw "
        "middle 1M && mkdir in && cd in && qemu-img create -q -f qcow2 -b ../middle -F qcow2 top 1M && chown "
        "-R "
        "%u ..",
        folder, HOST_UID);
    struct vm_spec spec = spec_with("in/top", "qcow2");
    must_find(scene, &spec, false, "");
    spec.disks[0].datastore[0] = 'S';
    must_find(scene, &spec, false, "datastore-missing");
    spec = spec_with("in/none", "qcow2");
    must_find(scene, &spec, false, "disk-missing");
    spec = spec_with("base.raw", "qcow2");
    must_find(scene, &spec, true, "disk-format-differs");
    spec = spec_with("in/top", "raw");
    must_find(scene, &spec, false, "disk-format-differs");
    must_find(scene, &spec, true, ""); /* a guest may have written that */
    spec = spec_with("in/top", "qcow2");
    run_command("mv %1$s/base.raw %1$s/away", folder);
    must_find(scene, &spec, true, "disk-backing-missing");
    run_command("mv %1$s/away %1$s/base.raw && chmod 000 %1$s/middle && chown 0 %1$s/middle", folder);
    must_find(scene, &spec, true, "disk-backing-missing");
    run_command(
        "cd %1$s && chown %2$u middle && chmod 644 middle && qemu-img rebase -u -f qcow2 -b in/top -F qcow2 "
        "middle",
        folder, HOST_UID);
    must_find(scene, &spec, true, "disk-backing-missing"); /* a circle */
    run_command("qemu-img rebase -u -f qcow2 -b nbd://127.0.0.1:1/x -F raw %s/middle", folder);
    must_find(scene, &spec, true, "disk-backing-missing");
}

static bool is_locked_now;

static gboolean try_lock(gpointer path)
{
    auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 101, .l_len = 1};
    is_locked_now = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    return G_SOURCE_CONTINUE;
}

/* qemu-io holds it as a QEMU does, until its standard input ends. */
static void an_image_that_another_qemu_has_open_is_found(void **state)
{
    struct scene *scene = *state;
    struct host_datastore found;
    struct err err = {0};
    open_store(scene);
    assert_int_equal(datastores_init(&scene->host->agent, "store", false, &found, &err), 0);
    g_autofree char *base = g_strdup_printf("%s/base.raw", scene->folder);
    run_command(
        "cd %s && qemu-img create -q -f raw base.raw 1M && qemu-img create -q -f qcow2 -b base.raw -F raw "
        "top 1M && "
        "chown %u top base.raw",
        scene->folder, HOST_UID);
    g_autofree char *command = g_strdup_printf("exec qemu-io -f raw %s >/dev/null", base);
    FILE *other = popen(command, "we");
    assert_non_null(other);
    guint poll = g_timeout_add(20, try_lock, base);
    is_locked_now = false;
    wait_until(&is_locked_now, 60, "qemu-io to have the image");
    (void)g_source_remove(poll);
    struct vm_spec spec = spec_with("base.raw", "raw");
    must_find(scene, &spec, false, "disk-locked");
    must_find(scene, &spec, true, ""); /* by the QEMU that hands it over */
    spec = spec_with("top", "qcow2");
    must_find(scene, &spec, true, "disk-locked"); /* nobody may write what it is built on */
    assert_int_equal(pclose(other), 0);
    must_find(scene, &spec, false, "");
}

#ifndef SYS_cachestat
#define SYS_cachestat 451 /* newer than Debian's headers; the same everywhere */
#endif

struct cache_range {
    uint64_t offset, length;
};
struct cache_state {
    uint64_t n_cache, n_dirty, n_writeback, n_evicted, n_recently_evicted;
};

static uint64_t unwritten_pages(int fd)
{
    const struct cache_range all = {0, 0};
    struct cache_state found = {0};
    if (syscall(SYS_cachestat, fd, &all, &found, 0) < 0)
        return UINT64_MAX; /* Linux before 6.5 */
    return found.n_dirty + found.n_writeback;
}

static bool is_flushed;

static gboolean look_at_flush(gpointer flush)
{
    is_flushed = !disk_flush_is_busy(flush);
    return G_SOURCE_CONTINUE;
}

static void what_a_guest_has_written_is_flushed_while_it_runs(void **state)
{
    struct scene *scene = *state;
    struct vm_spec spec = spec_with("web.raw", "raw");
    g_autofree char *path = g_strdup_printf("%s/web.raw", scene->folder);
    open_store(scene);
    run_command("dd if=/dev/zero of=%1$s bs=1M count=8 status=none && chown %2$u %1$s", path, HOST_UID);
    auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    if (!unwritten_pages(fd) || unwritten_pages(fd) == UINT64_MAX)
        skip(); /* a file system without a cache, or a kernel that does not tell */
    struct disk_flush *flush = disk_flush_new(&scene->host->agent, &spec);
    disk_flush_begin(flush);
    guint poll = g_timeout_add(20, look_at_flush, flush);
    is_flushed = false;
    wait_until(&is_flushed, 60, "the flush");
    (void)g_source_remove(poll);
    assert_int_equal(unwritten_pages(fd), 0);
    disk_flush_begin(flush);
    disk_flush_free(flush); /* one that is under way goes on */
    spec.n_disks = 0;
    assert_null(disk_flush_new(&scene->host->agent, &spec));
    disk_flush_begin(NULL);
    disk_flush_free(NULL);
}

/* A CD may be on a datastore that is read-only, and be used by many. */
static void a_cd_is_only_read(void **state)
{
    struct scene *scene = *state;
    struct host_datastore found;
    struct err err = {0};
    open_store(scene);
    assert_int_equal(datastores_init(&scene->host->agent, "store", false, &found, &err), 0);
    run_command("truncate -s 1M %1$s/cd.iso && chmod 444 %1$s/cd.iso", scene->folder); /* of root */
    struct vm_spec spec = spec_with("cd.iso", "raw");
    must_find(scene, &spec, false, "disk-not-accessible");
    (void)g_strlcpy(spec.disks[0].media, "cdrom", sizeof spec.disks[0].media);
    must_find(scene, &spec, false, "");
    datastores_close(&scene->host->agent);
    run_command("mount --bind %1$s %1$s && mount -o remount,bind,ro %1$s", scene->folder);
    open_store(scene);
    must_find(scene, &spec, false, "");
}

/* Its server took the mount and never answers: what a dead NFS server is. */
static void storage_that_never_answers_holds_nobody_up(void **state)
{
    struct scene *scene = *state;
    auto_fd server = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (server < 0)
        skip();
    g_autofree char *options =
        g_strdup_printf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", server);
    assert_int_equal(mount("hung", scene->folder, "fuse", 0, options), 0);
    open_store(scene);
    struct vm_spec spec = spec_with("web.qcow2", "qcow2");
    must_find(scene, &spec, true, "disk-not-answering");
    struct host_datastore now;
    assert_true(datastores_get(&scene->host->agent, "store", &now));
    assert_string_equal(now.state, DATASTORE_UNKNOWN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_identity_is_written_once_and_by_word_only),
        TEST(what_a_guest_cannot_use_has_its_own_word),
        TEST(a_folder_that_lost_its_storage_gets_no_second_identity),
        TEST(what_is_wrong_with_an_image_is_found),
        TEST(an_image_that_another_qemu_has_open_is_found),
        TEST(what_a_guest_has_written_is_flushed_while_it_runs),
        TEST(a_cd_is_only_read),
        TEST(storage_that_never_answers_holds_nobody_up),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
