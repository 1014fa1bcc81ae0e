/* SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/cli.h"

static int cmd_version(struct cli *cli, int argc, char **argv);
static int cmd_help(struct cli *cli, int argc, char **argv);

static const struct cli_command commands[] = {
    {"host", "ls", "", "hosts, with state and free memory", cmd_host_ls},
    {"host", "show", "H", "what a host has and can do", cmd_host_show},
    {"host", "add", "H --address A [--port 8443]", "register a host; prints its one-time enrolment token",
     cmd_host_add},
    {"host", "enroll", "H", "a new certificate for a known host: a one-time token", cmd_host_enroll},
    {"host", "adopt", "H --address A [--port 8443]",
     "take back a host that was enrolled before the manager's database was lost", cmd_host_adopt},
    {"host", "maintenance", "enter|exit H",
     "a host that takes no VM: in maintenance once all VMs on it were moved away", cmd_host_maintenance},
    {"host", "rm", "H", "forget a host that runs no VM of ours", cmd_host_rm},
    {"vm", "ls", "", "virtual machines", cmd_vm_ls},
    {"vm", "show", "V", "one virtual machine", cmd_vm_show},
    {"vm", "create",
     "V --memory MIB --host H [--cpus N] [--pool P] [--cpu-reservation PERCENT] [--kernel K --initrd I "
     "--append A] [--firmware bios|uefi] [--nvram PATH] "
     "[--disk DATASTORE:FILE|PATH[,format=F][,bus=B][,media=cdrom]]… [--network N]… "
     "[--accel auto|kvm|tcg] "
     "[--machine M] [--cpu-model M] [--guest-agent yes|no] [--notice-timeout S] [--autostart yes|no] "
     "[--pinned yes|no] "
     "[--held-by WHO] [--client-key KEY] "
     "[--start]",
     "register a virtual machine", cmd_vm_create},
    {"vm", "set",
     "V [--name N] [--memory MIB] [--cpus N] [--cpu-reservation PERCENT] [--accel A] [--machine M] "
     "[--cpu-model M] [--kernel K] "
     "[--initrd I] "
     "[--append A] [--firmware bios|uefi] [--nvram PATH] "
     "[--disk DATASTORE:FILE|PATH[,format=F][,bus=B][,media=cdrom]]… [--network N]… "
     "[--guest-agent yes|no] [--notice-timeout S] "
     "[--autostart yes|no] [--pinned yes|no] [--held-by WHO]",
     "change a VM that is off; name, autostart, notice and protection at any time", cmd_vm_set},
    {"vm", "rm", "V", "unregister a VM that is off; its disks stay", cmd_vm_rm},
    {"vm", "start", "V", "power on", cmd_vm_start},
    {"vm", "stop", "V [--force] [--timeout S]", "shut down; --force powers off", cmd_vm_stop},
    {"vm", "disk",
     "ls V | create V --datastore D [--file F] [--size SIZE] [--format qcow2|raw] [--from D:FILE | --backing "
     "D:FILE] [--bus virtio-scsi|virtio-blk] | attach V D:FILE[,format=F][,media=cdrom] [--bus B] | detach V "
     "DISK [--delete] | resize V DISK --size SIZE | eject V DISK [--force] | insert V DISK D:FILE [--force]",
     "its disks, also while it runs", cmd_vm_disk},
    {"vm", "balloon", "V MIB", "how much of its memory the guest is to do with", cmd_vm_balloon},
    {"vm", "console", "V [--log | --type TEXT]",
     "the serial console: on a terminal to type on, left with Ctrl-]", cmd_vm_console},
    {"vm", "check", "V [--to H]… [--pool P] [--encryption disabled|opportunistic|required]",
     "which hosts a running VM could move to, and all that is in the way", cmd_vm_check},
    {"vm", "migrate",
     "V --to H [--dry-run] [--pool P] [--detach] [--bandwidth MB/S] [--max-downtime MS] [--switchover-limit "
     "S] "
     "[--priority high|normal] [--channels N] "
     "[--compression auto|off|lz4|zstd] [--delta on|off] "
     "[--verify] [--sync-clock] [--encryption disabled|opportunistic|required] "
     "[--dirty-source auto|async|sync] [--client-key KEY]",
     "move a running VM to another host", cmd_vm_migrate},
    {"vm", "settle", "V [--owner H [--confirm H] [--host-is-down H]…]",
     "last resort: shows what the hosts know of a VM's owner; with --owner, says who it is", cmd_vm_settle},
    {"datastore", "ls", "", "datastores: what they are, their room, and how each host finds them",
     cmd_datastore_ls},
    {"datastore", "show", "D", "one datastore", cmd_datastore_show},
    {"datastore", "init", "D --host H [--force]",
     "give a new datastore its identity: a file in its folder, as host H has it mounted", cmd_datastore_init},
    {"cluster", "show", "", "what is set for all hosts: the CPU baseline, and who does not fit it",
     cmd_cluster_show},
    {"cluster", "set", "--cpu-baseline MODEL|none",
     "the CPU that each VM gets at most, so that it can go to any host", cmd_cluster_set},
    {"pool", "ls", "", "resource pools: what they reserve, may use, use and have left", cmd_pool_ls},
    {"pool", "show", "P", "one resource pool", cmd_pool_show},
    {"pool", "create",
     "P [--memory-reservation MIB] [--memory-limit MIB] [--cpu-reservation PERCENT] [--cpu-limit PERCENT] "
     "[--cpu-shares low|normal|high|N]",
     "make a resource pool; P is its path, prod/db lies in prod", cmd_pool_create},
    {"pool", "set", "P [the same]", "change a resource pool", cmd_pool_set},
    {"pool", "rm", "P", "remove a resource pool that holds no VM and no pool", cmd_pool_rm},
    {"pool", "assign", "P V", "put a VM into a resource pool; P may be / for none", cmd_pool_assign},
    {"task", "ls",
     "[--vm V] [--host H] [--state S] [--user U] [--since TIME] [--until TIME] [--before T] [--limit N]",
     "newest tasks: who moved what, how long it took, why it failed", cmd_task_ls},
    {"task", "show", "T [--timeline]", "one task", cmd_task_show},
    {"task", "follow", "T", "progress until the task ends", cmd_task_follow},
    {"task", "cancel", "T", "end a task that has not handed the VM over yet", cmd_task_cancel},
    {"event", "ls",
     "[--vm V] [--host H] [--task T] [--type TYPE] [--severity S] [--user U] [--since ID|TIME] [--until "
     "TIME] [--before ID] [--limit N]",
     "what happened", cmd_event_ls},
    {"event", "follow",
     "[--vm V] [--host H] [--task T] [--type TYPE] [--severity S] [--user U] [--since ID|TIME]",
     "what happened last, and what happens", cmd_event_follow},
    {"event", "types", "", "what can happen, and how it is told", cmd_event_types},
    {"token", "ls", "", "names of the API tokens", cmd_token_ls},
    {"token", "create", "NAME", "a new API token, shown once", cmd_token_create},
    {"token", "rm", "NAME", "revoke an API token", cmd_token_rm},
    {"doctor", NULL, "[--bundle FILE] [--config FILE] [--manager-config FILE] | --from H --to H",
     "what is well and what is wrong on this machine, or on the way between two hosts", cmd_doctor},
    {"lab", NULL,
     "up [--hosts N] [--link-rate RATE] [--mtu BYTES] [--links N] [--ip 4|6] [--qemu [hN=]PATH] | down | "
     "status | exec "
     "HOST -- CMD "
     "| "
     "service "
     "start|stop NAME   (all: [--dir DIR] [--name NAME])",
     "a whole cluster on this machine, in network namespaces", cmd_lab},
    {"bench", NULL,
     "[--list] [--case C[,C]…] [--runs N] [--qemu PATH] [--qemu10 PATH] [--qemu10-data DIR] [--output DIR]",
     "moves beside QEMU's own migration and the machine's limit, in labs of its own", cmd_bench},
    {"version", NULL, "", "version of this program", cmd_version},
    {"help", NULL, "", "this list", cmd_help},
};

static const struct cli_command *current;

const struct cli_command *cli_current(void)
{
    return current;
}

static int cmd_version(struct cli *cli, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf(cli->json ? "{\"version\":\"%s\"}\n" : "godwit %s\n", PROGRAM_VERSION);
    return CLI_DONE;
}

static int cmd_help(struct cli *cli, int argc, char **argv)
{
    (void)cli;
    (void)argc;
    (void)argv;
    puts("godwit: live migration of running virtual machines\n");
    puts("Every command but help and lab exec takes --json (one document on stdout; event follow: one a "
         "line). Exit status: 0 done, 1 failed, 2 usage.\n");
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        printf("  %s%s%s %s\n      %s\n", commands[i].group, commands[i].name ? " " : "",
               commands[i].name ? commands[i].name : "", commands[i].usage, commands[i].summary);
    return CLI_DONE;
}

static const struct cli_command *find(const char *group, const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        if (!strcmp(commands[i].group, group) &&
            (!commands[i].name || (name && !strcmp(commands[i].name, name))))
            return &commands[i];
    return NULL;
}

static int unknown(const char *group, const char *name)
{
    fprintf(stderr, "godwit: unknown command '%s%s%s'", group, name ? " " : "", name ? name : "");
    bool group_known = false;
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        if (commands[i].name && !strcmp(commands[i].group, group)) {
            if (group_known)
                fprintf(stderr, ", %s", commands[i].name);
            else
                fprintf(stderr, "; %s knows %s", group, commands[i].name);
            group_known = true;
        }
    fputs(group_known ? "\n" : "; see 'godwit help'\n", stderr);
    return CLI_USAGE;
}

/* Takes --json out of the words before a "--". */
static void take_json(struct cli *cli, int *argc, char **argv)
{
    int kept = 0;
    bool literal = false;
    for (int i = 0; i < *argc; i++) {
        if (!strcmp(argv[i], "--"))
            literal = true;
        if (!literal && !strcmp(argv[i], "--json"))
            cli->json = true;
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    *argc = kept;
}

int main(int argc, char **argv)
{
    (void)setlocale(LC_ALL, "");
    log_init("godwit");
    struct cli cli = {.program_path = argv[0]};
    take_json(&cli, &argc, argv);
    if (argc < 2) {
        (void)cmd_help(&cli, argc, argv);
        return CLI_USAGE;
    }
    const char *group = argv[1];
    if (!strcmp(group, "--help") || !strcmp(group, "-h"))
        group = "help";
    if (!strcmp(group, "--version"))
        group = "version";
    current = find(group, argc > 2 ? argv[2] : NULL);
    if (!current)
        return unknown(group, argc > 2 ? argv[2] : NULL);
    int skip = current->name ? 2 : 1;
    int status = current->run(&cli, argc - skip, argv + skip);
    if ((fflush(stdout) == EOF || ferror(stdout)) && status == CLI_DONE) {
        perror("godwit: cannot write the answer");
        return CLI_FAILED;
    }
    return status;
}
