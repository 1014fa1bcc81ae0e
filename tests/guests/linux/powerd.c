/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for the ACPI power button on any input device, says so and powers the machine off. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/input.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

enum { max_devices = 8 };

static nfds_t open_devices(struct pollfd *polls)
{
    glob_t found;
    nfds_t n = 0;
    if (glob("/dev/input/event*", 0, NULL, &found))
        return 0;
    for (size_t i = 0; i < found.gl_pathc && n < max_devices; i++) {
        const int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            polls[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    globfree(&found);
    return n;
}

static int power_off(void)
{
    printf("GUEST powerdown\n");
    (void)fflush(stdout);
    (void)kill(-1,
               SIGKILL); /* all but the first process and this one, so that nobody writes to a dying disk */
    sync();
    (void)reboot(RB_POWER_OFF);
    fprintf(stderr, "powerd: power off: %s\n", strerror(errno));
    return 1;
}

int main(void)
{
    struct pollfd polls[max_devices];
    const nfds_t n = open_devices(polls);
    if (n == 0) {
        fprintf(stderr, "powerd: no input device, the power button does nothing\n");
        return 1;
    }
    for (;;) {
        if (poll(polls, n, -1) < 0 && errno != EINTR) {
            fprintf(stderr, "powerd: poll: %s\n", strerror(errno));
            return 1;
        }
        for (nfds_t i = 0; i < n; i++) {
            struct input_event event;
            if (!(polls[i].revents & POLLIN) || read(polls[i].fd, &event, sizeof event) != sizeof event)
                continue;
            if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
                return power_off();
        }
    }
}
