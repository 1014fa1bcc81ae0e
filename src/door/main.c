/* SPDX-License-Identifier: Apache-2.0 */
/* godwit-door --control FD --listen FD[,FD...] [--uid N --gid N] */
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "door/door.h"
#include "door/sandbox.h"

enum { EXIT_USAGE = 2 };

struct arguments {
    int control;
    int listeners[DOOR_LISTENERS_MAX];
    size_t n_listeners;
    long uid;
    long gid;
};

static bool parse_number(const char *text, long *ret)
{
    char *end;
    *ret = strtol(text, &end, 10);
    return end != text && !*end && *ret >= 0 && *ret < INT32_MAX;
}

static bool parse_listeners(char *text, struct arguments *args)
{
    for (char *rest = text, *one; (one = strsep(&rest, ","));) {
        long fd;
        if (args->n_listeners == DOOR_LISTENERS_MAX || !parse_number(one, &fd))
            return false;
        args->listeners[args->n_listeners++] = (int)fd;
    }
    return args->n_listeners > 0;
}

static bool parse_arguments(int argc, char **argv, struct arguments *args)
{
    static const struct option options[] = {{"control", required_argument, NULL, 'c'},
                                            {"listen", required_argument, NULL, 'l'},
                                            {"uid", required_argument, NULL, 'u'},
                                            {"gid", required_argument, NULL, 'g'},
                                            {0}};
    long control = -1;
    *args = (struct arguments){.uid = -1, .gid = -1};
    bool ok = true;
    for (int option; ok && (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        if (option == 'c')
            ok = parse_number(optarg, &control);
        else if (option == 'l')
            ok = parse_listeners(optarg, args);
        else if (option == 'u')
            ok = parse_number(optarg, &args->uid);
        else if (option == 'g')
            ok = parse_number(optarg, &args->gid);
        else
            ok = false;
    }
    args->control = (int)control;
    return ok && optind == argc && control >= 0 && args->n_listeners && (args->uid < 0) == (args->gid < 0);
}

int main(int argc, char **argv)
{
    struct arguments args;
    struct err err = {0};
    log_init("godwit-door");
    if (!parse_arguments(argc, argv, &args)) {
        (void)fprintf(stderr, "usage: godwit-door --control FD --listen FD[,FD...] [--uid N --gid N]\n");
        return EXIT_USAGE;
    }
    struct door *door = door_new(args.control, args.listeners, args.n_listeners, &err);
    int failed = !door;
    if (!failed && args.uid >= 0)
        failed = sandbox_become((uid_t)args.uid, (gid_t)args.gid, &err);
    if (!failed) {
        /* Before the sandbox: the first line makes the C library read the time zone. */
        log_info("listening on %zu sockets", args.n_listeners);
        failed = sandbox_enter(&err) || door_run(door, &err);
    }
    door_free(door);
    if (failed)
        log_error(&err, "the door cannot serve");
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
