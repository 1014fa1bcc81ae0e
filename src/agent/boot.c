/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/boot.h"

#include <glib.h>

#include "base/cleanup.h"
#include "base/fdio.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_BYTES_MAX 64

int boot_id_read(char ret_id[MODEL_UUID_SIZE], struct err *err)
{
    auto_mem char *text = NULL;
    if (fdio_read_file(BOOT_ID_PATH, BOOT_ID_BYTES_MAX, &text, err) < 0)
        return -1;
    (void)g_strstrip(text);
    if (!model_uuid_is_valid(text))
        return err_set(err, ERR_CORRUPT, "boot-id-invalid", "%s does not hold a UUID", BOOT_ID_PATH);
    g_strlcpy(ret_id, text, MODEL_UUID_SIZE);
    return 0;
}
