/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "model/check_table.h"

#define TEXT_MAX 200

static const struct site_disk *find_disk(const struct move_site *site, const char *path)
{
    for (uint32_t i = 0; i < site->n_disks; i++)
        if (!strcmp(site->disks[i].path, path))
            return &site->disks[i];
    return NULL;
}

/* What cannot be told apart counts as the same. */
static bool is_same(const struct site_disk *one, const struct site_disk *other)
{
    if (!one->kind[0] || !other->kind[0])
        return true;
    if (strcmp(one->kind, other->kind) != 0)
        return false;
    if (!strcmp(one->kind, "block"))
        return one->size == other->size &&
               (!one->serial[0] || !other->serial[0] || !strcmp(one->serial, other->serial));
    bool has_numbers = one->inode && other->inode;
    bool has_times = one->born_ns && other->born_ns;
    return !has_numbers || (one->inode == other->inode && (!has_times || one->born_ns == other->born_ns));
}

static void describe(const struct site_disk *disk, char ret_text[TEXT_MAX])
{
    char born[40] = "";
    time_t seconds = (time_t)(disk->born_ns / (int64_t)NS_PER_S);
    struct tm utc;
    if (disk->born_ns && gmtime_r(&seconds, &utc))
        (void)strftime(born, sizeof born, ", made %Y-%m-%d %H:%M:%S UTC", &utc);
    if (!strcmp(disk->kind, "block"))
        (void)snprintf(ret_text, TEXT_MAX, "a block device of %" PRIu64 " bytes%s%.100s", disk->size,
                       disk->serial[0] ? ", " : "", disk->serial);
    else
        (void)snprintf(ret_text, TEXT_MAX, "the file with inode number %" PRIu64 "%s", disk->inode, born);
}

struct file_pair {
    enum check check; /* what is said if they differ */
    const struct site_disk *ours;
    const struct site_disk *theirs;
};

static void compare(const struct check_input *input, const struct file_pair *pair, struct findings *findings)
{
    char source_text[TEXT_MAX], destination_text[TEXT_MAX];
    if (is_same(pair->ours, pair->theirs))
        return;
    describe(pair->ours, source_text);
    describe(pair->theirs, destination_text);
    findings_say(findings, pair->check,
                 CHECK_ARGS({"vm", input->vm->spec.name}, {"source", input->source.name},
                            {"destination", input->destination.name}, {"path", pair->ours->path},
                            {"source_disk", source_text}, {"destination_disk", destination_text}));
}

static void disks(const struct check_input *input, const struct move_site *source,
                  const struct move_site *destination, struct findings *findings)
{
    for (uint32_t i = 0; i < source->n_disks; i++) {
        const struct site_disk *ours = &source->disks[i];
        const struct site_disk *theirs = find_disk(destination, ours->path);
        if (theirs)
            compare(input, &(struct file_pair){CHECK_DISK_DIFFERS, ours, theirs}, findings);
    }
}

/* QEMU puts the source's firmware into the place of the destination's, which must be as large. */
static void firmware(const struct check_input *input, const struct move_site *source,
                     const struct move_site *destination, struct findings *findings)
{
    uint64_t ours = source->firmware_bytes, theirs = destination->firmware_bytes;
    compare(input, &(struct file_pair){CHECK_NVRAM_DIFFERS, &source->nvram, &destination->nvram}, findings);
    if (ours && theirs && ours != theirs)
        findings_say(findings, CHECK_FIRMWARE_DIFFERS,
                     CHECK_ARGS({"vm", input->vm->spec.name}, {"source", input->source.name},
                                {"destination", input->destination.name}, {"source_bytes", .number = ours},
                                {"destination_bytes", .number = theirs}));
}

/* True: the guest would miss some. */
static bool cpu_is_less(const struct check_input *input, const struct move_site *source,
                        const struct move_site *destination, struct findings *findings)
{
    const struct vm_spec *spec = &input->vm->spec;
    char missing[CPU_FEATURES_MAX];
    if (!source->cpu_features[0] || !destination->cpu_features[0])
        return false;
    cpu_features_missing(source->cpu_features, destination->cpu_features, missing);
    if (!missing[0])
        return false;
    findings_say(findings, CHECK_CPU_FEATURES_MISSING,
                 CHECK_ARGS({"vm", spec->name}, {"host", input->destination.name},
                            {"source", input->source.name}, {"cpu_model", vm_spec_cpu(spec)},
                            {"accel", input->vm->accel}, {"missing", missing}));
    return true;
}

/* What the destination has besides, and a model that takes all there is would show to the guest. */
static void cpu_besides(const struct vm_spec *spec, const struct move_site *source,
                        const struct move_site *destination, char ret_added[CPU_FEATURES_MAX])
{
    char besides[CPU_FEATURES_MAX];
    ret_added[0] = '\0';
    if (!cpu_model_is_open(vm_spec_cpu(spec)) || !source->cpu_features[0])
        return;
    cpu_features_missing(destination->cpu_features, source->cpu_features, besides);
    cpu_features_missing(besides, spec->cpu_without, ret_added);
}

void check_keep_cpu(struct vm_spec *spec, const struct move_site *source, const struct move_site *destination)
{
    char added[CPU_FEATURES_MAX];
    cpu_besides(spec, source, destination, added);
    if (added[0])
        cpu_features_add(spec->cpu_without, added);
}

static void cpu_is_of_another(const struct check_input *input, const struct move_site *source,
                              const struct move_site *destination, struct findings *findings)
{
    if (!source->cpu_vendor[0] || !destination->cpu_vendor[0] ||
        !strcmp(source->cpu_vendor, destination->cpu_vendor))
        return;
    findings_say(findings, CHECK_CPU_VENDOR_DIFFERS,
                 CHECK_ARGS({"vm", input->vm->spec.name}, {"host", input->destination.name},
                            {"source", input->source.name}, {"vendor", destination->cpu_vendor},
                            {"source_vendor", source->cpu_vendor}));
}

static void cpu_is_more(const struct check_input *input, const struct move_site *source,
                        const struct move_site *destination, struct findings *findings)
{
    const struct vm_spec *spec = &input->vm->spec;
    char added[CPU_FEATURES_MAX];
    cpu_besides(spec, source, destination, added);
    if (added[0])
        findings_say(findings, CHECK_CPU_CONFIG_MODIFIED,
                     CHECK_ARGS({"vm", spec->name}, {"host", input->destination.name},
                                {"source", input->source.name}, {"cpu_model", vm_spec_cpu(spec)},
                                {"added", added}));
}

void check_sites(const struct check_input *input, const struct move_site *source,
                 const struct move_site *destination, struct findings *findings)
{
    disks(input, source, destination, findings);
    firmware(input, source, destination, findings);
    cpu_is_of_another(input, source, destination, findings);
    if (!cpu_is_less(input, source, destination, findings))
        cpu_is_more(input, source, destination, findings);
    findings_place(findings, "", "");
}
