/* SPDX-License-Identifier: Apache-2.0 */
#include "model/site.h"

#include <string.h>

#include "model/fields.h"

static const struct field disk_fields[] = {
    TEXT(struct site_disk, path, NULL),
    TEXT(struct site_disk, kind, NULL),
    COUNT(struct site_disk, inode),
    SIGNED(struct site_disk, born_ns),
    COUNT(struct site_disk, size),
    TEXT(struct site_disk, serial, NULL),
    FIELDS_END,
};

static const struct field site_fields[] = {
    LIST(struct move_site, disks, disk_fields), OBJECT(struct move_site, nvram, disk_fields),
    COUNT(struct move_site, firmware_bytes),    TEXT(struct move_site, cpu_features, NULL),
    TEXT(struct move_site, cpu_vendor, NULL),   FIELDS_END,
};

JsonObject *move_site_to_json(const struct move_site *site)
{
    return fields_write(site_fields, site);
}

int move_site_from_json(JsonNode *node, struct move_site *ret_site, struct err *err)
{
    memset(ret_site, 0, sizeof *ret_site);
    if (!node)
        return 0;
    if (JSON_NODE_HOLDS_OBJECT(node) &&
        fields_read(json_node_get_object(node), site_fields, ret_site, FIELDS_LENIENT, err) == 0)
        return 0;
    return err_set(err, ERR_CORRUPT, "agent-answer", "the site is not in the form that was agreed");
}

void cpu_features_add(char features[CPU_FEATURES_MAX], const char *name)
{
    if (features[0])
        (void)g_strlcat(features, " ", CPU_FEATURES_MAX);
    (void)g_strlcat(features, name, CPU_FEATURES_MAX);
}

static void select_features(const char *from, const char *in, bool is_in, char ret_features[CPU_FEATURES_MAX])
{
    g_auto(GStrv) names = g_strsplit(from, " ", -1);
    g_auto(GStrv) others = g_strsplit(in, " ", -1);
    ret_features[0] = '\0';
    for (char **name = names; *name; name++) {
        if (**name && g_strv_contains((const char *const *)others, *name) == is_in)
            cpu_features_add(ret_features, *name);
    }
}

void cpu_features_missing(const char *wanted, const char *offered, char ret_missing[CPU_FEATURES_MAX])
{
    select_features(wanted, offered, false, ret_missing);
}

void cpu_features_common(const char *one, const char *other, char ret_common[CPU_FEATURES_MAX])
{
    select_features(one, other, true, ret_common);
}
