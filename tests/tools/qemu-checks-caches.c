/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's QEMU, with its own check for shared disks: when a guest arrives, a page of its disk's file
 * that is still in this host's cache, and so may be old, is an error. QEMU has the check for tests only,
 * because it looks at each page of the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QEMU "/usr/bin/qemu-system-x86_64"
#define FILE_NODE "{\"driver\":\"file\","
#define CHECK "\"x-check-cache-dropped\":true,"

/* The argument with the check, if it describes a file. */
static char *with_check(char *argument)
{
    char *text = NULL;
    if (strncmp(argument, FILE_NODE, strlen(FILE_NODE)) != 0)
        return argument;
    return asprintf(&text, FILE_NODE CHECK "%s", argument + strlen(FILE_NODE)) < 0 ? NULL : text;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        argv[i] = with_check(argv[i]);
        if (!argv[i]) {
            perror("qemu-checks-caches");
            return EXIT_FAILURE;
        }
    }
    execv(QEMU, argv);
    perror(QEMU);
    return EXIT_FAILURE;
}
