/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/cmdline.h"

#include <stdarg.h>
#include <string.h>

#include "model/json.h"
#include "model/overhead.h"
#include "qemu/disk_device.h"

/* Fixed slots on the root bus: a device keeps its address whatever else the VM has. Disks at the bus itself
 * have theirs from DISK_PCI_SLOT on (qemu/disk_device.h). */
#define SLOT_RNG 0x02
#define SLOT_BALLOON 0x03
#define SLOT_WATCHDOG 0x04
#define SLOT_SERIAL 0x06
#define SLOT_NIC 0x08
#define SLOT_SCSI 0x18

static void add(GPtrArray *argv, const char *option, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add(GPtrArray *argv, const char *option, const char *format, ...)
{
    g_ptr_array_add(argv, g_strdup(option));
    if (!format)
        return;
    va_list args;
    va_start(args, format);
    g_ptr_array_add(argv, g_strdup_vprintf(format, args));
    va_end(args);
}

/* In QEMU's key=value lists a comma within a value is doubled. g_free. */
static char *escape_commas(const char *value)
{
    GString *text = g_string_new(NULL);
    for (; *value; value++) {
        (void)g_string_append_c(text, *value);
        if (*value == ',')
            (void)g_string_append_c(text, ',');
    }
    return g_string_free(text, FALSE);
}

/* Consumes the node. */
static void add_blockdev(GPtrArray *argv, JsonObject *node)
{
    g_autofree char *text = model_print(node, false);
    add(argv, "-blockdev", "%s", text);
    json_object_unref(node);
}

static void add_image(GPtrArray *argv, const struct block_image *image)
{
    add_blockdev(argv, block_file_node(image));
    add_blockdev(argv, block_format_node(image));
}

static void add_disk(GPtrArray *argv, const struct cmdline_config *config, unsigned i)
{
    struct block_image image;
    if (disk_image_of(config->spec, i, config->disk_paths[i], &image))
        add_image(argv, &image);
    g_autofree char *device = disk_device_option(config->spec, i);
    add(argv, "-device", "%s", device);
}

/* Both are RAM to the guest and device state to a migration: they cross with it, after the guest has
 * stopped. */
static void add_uefi(GPtrArray *argv, const struct cmdline_config *config)
{
    const struct block_image code = {
        .node = "pflash0", .path = config->uefi_code, .format = "raw", .is_read_only = true};
    const struct block_image variables = {.node = "pflash1", .path = config->spec->nvram, .format = "raw"};
    add_image(argv, &code);
    add_image(argv, &variables);
}

/* g_free. */
static char *cpu_option(const struct vm_spec *spec)
{
    g_autofree char *model = escape_commas(vm_spec_cpu(spec));
    g_auto(GStrv) without = g_strsplit(spec->cpu_without, " ", -1);
    GString *text = g_string_new(model);
    for (char **name = without; *name; name++)
        if (**name)
            g_string_append_printf(text, ",%s=off", *name);
    return g_string_free(text, FALSE);
}

static void add_machine(GPtrArray *argv, const struct cmdline_config *config)
{
    const struct vm_spec *spec = config->spec;
    g_autofree char *name = escape_commas(spec->name);
    add(argv, "-name", "guest=%s,debug-threads=on", name);
    add(argv, "-uuid", "%s", spec->uuid);
    if (config->data_dir[0])
        add(argv, "-L", "%s", config->data_dir);
    add(argv, "-no-user-config", NULL);
    add(argv, "-nodefaults", NULL);
    add(argv, "-vga", "none");
    add(argv, "-display", "none");
    add(argv, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    /* A guest that has panicked stays as it is, to be looked at. */
    add(argv, "-action", "panic=pause");
    add(argv, "-msg", "timestamp=on");
    bool is_uefi = spec->firmware == VM_FIRMWARE_UEFI;
    add(argv, "-machine", "%s,memory-backend=ram,dump-guest-core=off,usb=off%s", spec->machine,
        is_uefi ? ",pflash0=pflash0,pflash1=pflash1" : "");
    if (!strcmp(config->accel, "tcg"))
        add(argv, "-accel", "tcg,thread=multi,tb-size=%d", TCG_CACHE_MIB);
    else
        add(argv, "-accel", "%s", config->accel);
    g_autofree char *cpu = cpu_option(spec);
    add(argv, "-cpu", "%s", cpu);
    add(argv, "-smp", "cpus=%u,maxcpus=%u", spec->cpus, spec->cpus);
    add(argv, "-m", "size=%uM", spec->memory_mib);
    add(argv, "-object", "memory-backend-file,id=ram,size=%uM,share=on,mem-path=/proc/self/fd/%d",
        spec->memory_mib, config->ram_fd);
}

/* No vhost, which would write the guest's memory behind the write tracking. */
static void add_nic(GPtrArray *argv, const struct vm_nic *nic, unsigned i, int tap_fd)
{
    g_autofree char *mtu = nic->mtu ? g_strdup_printf(",host_mtu=%u", nic->mtu) : g_strdup("");
    add(argv, "-netdev", "tap,id=net%u,fd=%d,vhost=off", i, tap_fd);
    /* No option ROM: nothing boots from the network, and it would be one more RAM block to move. */
    add(argv, "-device", "virtio-net-pci,id=vnic%u,netdev=net%u,mac=%s,bus=pcie.0,addr=0x%x,romfile=%s", i, i,
        nic->mac, SLOT_NIC + i, mtu);
}

/* The guest tells of its panic; gives memory back when asked to; and is reset if it arms the watchdog and
 * then hangs. */
static void add_hardware_1(GPtrArray *argv)
{
    add(argv, "-device", "pvpanic,id=panic");
    add(argv, "-device", "virtio-balloon-pci,id=balloon,bus=pcie.0,addr=0x%x", SLOT_BALLOON);
    add(argv, "-device", "i6300esb,id=watchdog,bus=pcie.0,addr=0x%x", SLOT_WATCHDOG);
    add(argv, "-action", "watchdog=reset");
}

static void add_guest_agent(GPtrArray *argv, int fd)
{
    add(argv, "-chardev", "socket,id=qga,fd=%d,server=on,wait=off", fd);
    add(argv, "-device", "virtio-serial-pci,id=vserial,max_ports=2,bus=pcie.0,addr=0x%x", SLOT_SERIAL);
    add(argv, "-device", "%s", "virtserialport,bus=vserial.0,nr=1,chardev=qga,name=org.qemu.guest_agent.0");
}

/* One controller, at its place whether the first or the last disk needs it. */
static bool has_scsi(const struct vm_spec *spec)
{
    bool is_needed = spec->hardware >= VM_HARDWARE_HOT_DISKS;
    for (unsigned i = 0; i < spec->n_disks; i++)
        is_needed |= vm_disk_is_scsi(&spec->disks[i]);
    return is_needed;
}

static void add_devices(GPtrArray *argv, const struct cmdline_config *config)
{
    const struct vm_spec *spec = config->spec;
    add(argv, "-chardev", "socket,id=qmp,fd=%d,server=on,wait=off", config->qmp_fd);
    add(argv, "-mon", "chardev=qmp,mode=control");
    add(argv, "-chardev", "socket,id=console,fd=%d,server=on,wait=off,logfile=/proc/self/fd/%d,logappend=on",
        config->console_fd, config->console_log_fd);
    add(argv, "-serial", "chardev:console");
    add(argv, "-object", "rng-random,id=rng,filename=/dev/urandom");
    add(argv, "-device", "virtio-rng-pci,id=vrng,rng=rng,bus=pcie.0,addr=0x%x", SLOT_RNG);
    if (spec->hardware >= 1)
        add_hardware_1(argv);
    if (spec->guest_agent)
        add_guest_agent(argv, config->guest_agent_fd);
    for (unsigned i = 0; i < spec->n_nics; i++)
        add_nic(argv, &spec->nics[i], i, config->tap_fds[i]);
    if (has_scsi(spec))
        add(argv, "-device", "virtio-scsi-pci,id=scsi,bus=pcie.0,addr=0x%x", SLOT_SCSI);
    for (unsigned i = 0; i < spec->n_disks; i++)
        add_disk(argv, config, i);
    if (spec->firmware == VM_FIRMWARE_UEFI)
        add_uefi(argv, config);
}

int cmdline_build(const struct cmdline_config *config, char ***ret_argv, struct err *err)
{
    const struct vm_spec *spec = config->spec;
    if (!spec->machine[0] || !vm_spec_cpu(spec)[0]) {
        (void)err_set(err, ERR_BAD_REQUEST, "vm-machine-missing",
                      "machine and cpu_model of VM %s are not set", spec->name);
        return err_arg(err, "vm", "%s", spec->name);
    }
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    add(argv, "qemu-system-x86_64", NULL);
    add_machine(argv, config);
    add_devices(argv, config);
    if (config->kernel_fd >= 0) {
        add(argv, "-kernel", "/proc/self/fd/%d", config->kernel_fd);
        if (config->initrd_fd >= 0)
            add(argv, "-initrd", "/proc/self/fd/%d", config->initrd_fd);
        if (spec->append[0])
            add(argv, "-append", "%s", spec->append);
    }
    add(argv, "-S", NULL);
    if (config->incoming)
        add(argv, "-incoming", "defer");
    g_ptr_array_add(argv, NULL);
    *ret_argv = (char **)g_ptr_array_free(argv, FALSE);
    return 0;
}
