/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/boot.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/fdio.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_BYTES_MAX 64

static int read_id(const char *path, char ret_id[MODEL_UUID_SIZE], struct err *err)
{
    auto_mem char *text = NULL;
    if (fdio_read_file(path, BOOT_ID_BYTES_MAX, &text, err) < 0)
        return -1;
    (void)g_strstrip(text);
    if (!model_uuid_is_valid(text)) {
        (void)err_set(err, ERR_CORRUPT, "boot-id-invalid", "%s does not hold a UUID", path);
        return err_arg(err, "path", "%s", path);
    }
    g_strlcpy(ret_id, text, MODEL_UUID_SIZE);
    return 0;
}

static char *record_path(const struct agent *agent)
{
    return g_strdup_printf("%s/boot_id", agent->config.state_dir);
}

int boot_id_read(char ret_id[MODEL_UUID_SIZE], struct err *err)
{
    return read_id(BOOT_ID_PATH, ret_id, err);
}

int boot_recorded(const struct agent *agent, char ret_id[MODEL_UUID_SIZE], struct err *err)
{
    g_autofree char *path = record_path(agent);
    return read_id(path, ret_id, err);
}

int boot_record(const struct agent *agent, const char *id, struct err *err)
{
    g_autofree char *path = record_path(agent);
    return fdio_replace_file(path, id, strlen(id), 0600, err);
}
