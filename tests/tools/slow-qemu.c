/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's QEMU, which as long as a file with this program's name and ".wait" behind stands tells
 * nothing of itself (-machine none): a fake of a host that is busy.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QEMU "/usr/bin/qemu-system-x86_64"
#define PATH_SIZE 4096
#define POLL_US 50000

static int is_asked(char **argv)
{
    for (; argv[0] && argv[1]; argv++)
        if (!strcmp(argv[0], "-machine") && !strcmp(argv[1], "none"))
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    char path[PATH_SIZE];
    (void)argc;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof ".wait");
    if (length < 0) {
        perror("slow-qemu");
        return EXIT_FAILURE;
    }
    (void)strcpy(path + length, ".wait");
    while (is_asked(argv) && access(path, F_OK) == 0)
        (void)usleep(POLL_US);
    execv(QEMU, argv);
    perror(QEMU);
    return EXIT_FAILURE;
}
