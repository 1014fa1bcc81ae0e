/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU as a host with a lesser CPU has it: a fake of what one machine cannot have. Executes the program
 * beside this one, named as it is with ".real" behind, whose model "max" then lacks AVX2.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096

int main(int argc, char **argv)
{
    static const char *const lesser[] = {"-global", "max-x86_64-cpu.avx2=off"};
    char path[PATH_SIZE];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof ".real");
    char **all = calloc((size_t)argc + 3, sizeof *all);
    if (length < 0 || !all) {
        perror("lesser-cpu");
        return EXIT_FAILURE;
    }
    (void)strcpy(path + length, ".real");
    memcpy(all, argv, (size_t)argc * sizeof *all);
    all[argc] = (char *)lesser[0];
    all[argc + 1] = (char *)lesser[1];
    execv(path, all);
    perror(path);
    return EXIT_FAILURE;
}
