/* SPDX-License-Identifier: Apache-2.0 */
#include "job/memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_MAX 4096

int memory_open(void)
{
    /* Not getrusage: its maximum begins with that of the program which made the process. */
    return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
}

uint64_t memory_peak_bytes(int fd)
{
    static const char name[] = "\nVmHWM:";
    char text[STATUS_MAX + 1];
    ssize_t got = fd >= 0 ? pread(fd, text, STATUS_MAX, 0) : -1;
    text[got > 0 ? got : 0] = '\0';
    const char *line = strstr(text, name);
    return line ? strtoull(line + sizeof name - 1, NULL, 10) * 1024 : 0;
}
