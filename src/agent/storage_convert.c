/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/storage_convert.h"

#include <stdio.h>
#include <string.h>

#include "agent/disks.h"
#include "agent/qemu_img.h"

/* A copy may be of terabytes. */
#define COPY_S (24 * 60 * 60)
#define LOOK_MS 500
#define ARGUMENTS_MAX 24

struct one {
    char from[MODEL_PATH_MAX], to[MODEL_PATH_MAX];
    char from_format[8], to_format[8];
    uint64_t done, total; /* bytes */
    bool is_whole;
};

struct storage_convert {
    struct storage_convert_config config;
    char uuid[MODEL_UUID_SIZE];
    uint32_t n, next;
    struct one list[VM_DISKS_MAX];
    struct err problem; /* of the paths, before anything was begun */
    struct qemu_img_child *child;
    guint timer;
};

static void end(struct storage_convert *convert, const struct err *err)
{
    struct err told = *err;
    const struct storage_convert_config config = convert->config;
    if (convert->timer)
        (void)g_source_remove(convert->timer);
    g_free(convert);
    config.ended(&told, config.user);
}

static void copy_next(struct storage_convert *convert);

static void on_copied(const struct err *err, void *user)
{
    struct storage_convert *convert = user;
    convert->child = NULL;
    if (err_is_set(err)) {
        end(convert, err);
        return;
    }
    struct one *one = &convert->list[convert->next++];
    one->done = one->total;
    one->is_whole = true;
    convert->config.advanced(convert->config.user);
    copy_next(convert);
}

static int start(struct storage_convert *convert, struct err *err)
{
    const struct one *one = &convert->list[convert->next];
    /* So that no name is taken for a protocol or an option. */
    g_autofree char *from = g_strdup_printf("file:%s", one->from);
    g_autofree char *to = g_strdup_printf("file:%s", one->to);
    g_autofree char *rate = g_strdup_printf("%llu", (unsigned long long)convert->config.bytes_s);
    const char *const begin[] = {"qemu-img",         "convert", "-p",          "-n",
                                 "--target-is-zero", "-t",      "writeback",   "-f",
                                 one->from_format,   "-O",      one->to_format};
    const char *argv[ARGUMENTS_MAX];
    unsigned n = G_N_ELEMENTS(begin);
    memcpy(argv, begin, sizeof begin);
    if (convert->config.bytes_s) {
        argv[n++] = "-r";
        argv[n++] = rate;
    }
    argv[n++] = "--";
    argv[n++] = from;
    argv[n++] = to;
    argv[n] = NULL;
    return qemu_img_start(&(struct qemu_img){convert->config.agent, convert->uuid, one->to, argv, COPY_S},
                          on_copied, convert, &convert->child, err);
}

static void copy_next(struct storage_convert *convert)
{
    struct err err = convert->problem;
    if (err_is_set(&err) || convert->next == convert->n || start(convert, &err) < 0)
        end(convert, &err);
}

static gboolean look(gpointer user)
{
    struct storage_convert *convert = user;
    struct one *one = &convert->list[convert->next];
    if (convert->child) {
        one->done = (uint64_t)((double)one->total * qemu_img_share(convert->child));
        convert->config.advanced(convert->config.user);
    }
    return G_SOURCE_CONTINUE;
}

struct storage_convert *storage_convert_new(const struct storage_convert_config *config)
{
    struct storage_convert *convert = g_new0(struct storage_convert, 1);
    convert->config = *config;
    convert->n = config->here->n;
    g_strlcpy(convert->uuid, config->vm->uuid, sizeof convert->uuid);
    for (uint32_t i = 0; i < convert->n; i++) {
        struct one *one = &convert->list[i];
        const struct vm_disk *from = &config->here->disks[i].from, *to = &config->here->disks[i].to;
        one->total = config->disks[i].size_bytes;
        g_strlcpy(one->from_format, from->format, sizeof one->from_format);
        g_strlcpy(one->to_format, to->format, sizeof one->to_format);
        if (disks_path(config->agent, config->vm, from, one->from, &convert->problem) < 0 ||
            disks_path(config->agent, config->vm, to, one->to, &convert->problem) < 0)
            break;
    }
    convert->config.vm = NULL;
    convert->config.here = NULL;
    convert->config.disks = NULL;
    return convert;
}

void storage_convert_begin(struct storage_convert *convert)
{
    convert->timer = g_timeout_add(LOOK_MS, look, convert);
    copy_next(convert);
}

void storage_convert_report(const struct storage_convert *convert, struct move_status *status)
{
    for (uint32_t i = 0; i < convert->n && i < status->n_disks; i++) {
        status->disks[i].bytes_done = convert->list[i].done;
        status->disks[i].bytes_total = convert->list[i].total;
        status->disks[i].ready = convert->list[i].is_whole;
    }
}

void storage_convert_stop(struct storage_convert *convert)
{
    if (convert->child)
        qemu_img_kill(convert->child);
}
