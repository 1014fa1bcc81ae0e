/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/nvram.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/open_as.h"
#include "base/cleanup.h"
#include "base/fdio.h"
#include "model/check_table.h"

#define VARIABLES_BYTES_MAX (16u << 20)
#define NVRAM_MODE 0600

static int refuse_to_make(const struct agent *agent, const struct vm_spec *spec, int errnum, struct err *err)
{
    (void)err_sys(err, errnum, "nvram-not-made", "cannot make the file %s for the UEFI variables of VM %s",
                  spec->nvram, spec->name);
    (void)err_arg(err, "path", "%s", spec->nvram);
    (void)err_arg(err, "vm", "%s", spec->name);
    return err_fix(err,
                   "let the QEMU user write to its folder, or make it yourself: install -o %u -m 600 %s %s",
                   agent->config.qemu_user.uid, agent->config.uefi_vars, spec->nvram);
}

/* -1 and errno. */
static int read_template(const struct agent *agent, char **ret_data, size_t *ret_size)
{
    auto_fd fd = open(agent->config.uefi_vars, O_RDONLY | O_CLOEXEC);
    struct stat facts;
    if (fd < 0 || fstat(fd, &facts) < 0)
        return -1;
    if (!S_ISREG(facts.st_mode) || facts.st_size <= 0 || facts.st_size > VARIABLES_BYTES_MAX) {
        errno = EINVAL;
        return -1;
    }
    *ret_size = (size_t)facts.st_size;
    *ret_data = g_malloc(*ret_size);
    if (fdio_pread(fd, *ret_data, *ret_size, 0, NULL) == 0)
        return 0;
    g_free(*ret_data);
    errno = EIO;
    return -1;
}

int nvram_make(const struct agent *agent, const struct vm_spec *spec, struct err *err)
{
    g_autofree char *data = NULL;
    size_t size;
    auto_fd fd =
        open_as_at(&agent->config.qemu_user, AT_FDCWD, spec->nvram, O_WRONLY | O_CREAT | O_EXCL, NVRAM_MODE);
    if (fd < 0)
        return errno == EEXIST ? 0 : refuse_to_make(agent, spec, errno, err);
    if (read_template(agent, &data, &size) == 0 && fdio_write(fd, data, size, NULL) == 0 && fsync(fd) == 0)
        return 0;
    int errnum = errno;
    (void)unlink(spec->nvram);
    return refuse_to_make(agent, spec, errnum, err);
}

uint64_t nvram_firmware_bytes(const struct agent *agent)
{
    struct stat facts;
    auto_fd fd = open_as(&agent->config.qemu_user, 0, agent->config.uefi_code, O_RDONLY | O_NONBLOCK);
    return fd < 0 || fstat(fd, &facts) < 0 ? 0 : (uint64_t)facts.st_size;
}

static int check_firmware(const struct agent *agent, const struct vm_spec *spec, struct err *err)
{
    auto_fd fd = open_as(&agent->config.qemu_user, 0, agent->config.uefi_code, O_RDONLY | O_NONBLOCK);
    if (fd >= 0)
        return 0;
    int errnum = errno;
    return check_say(err, CHECK_FIRMWARE_MISSING,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name},
                                {"path", agent->config.uefi_code}, {"reason", g_strerror(errnum)}));
}

int nvram_check(const struct agent *agent, const struct vm_spec *spec, bool as_incoming, struct err *err)
{
    if (check_firmware(agent, spec, err) < 0)
        return -1;
    auto_fd fd = open_as(&agent->config.qemu_user, 0, spec->nvram, O_RDWR | O_NONBLOCK);
    if (fd >= 0 || (errno == ENOENT && !as_incoming))
        return 0;
    int errnum = errno;
    return check_say(err, CHECK_NVRAM_NOT_ACCESSIBLE,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"path", spec->nvram},
                                {"uid", .number = agent->config.qemu_user.uid},
                                {"reason", g_strerror(errnum)}));
}
