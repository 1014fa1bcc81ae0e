/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"

#define BENCH_PROGRAM "../libexec/godwit/bench/main.py"

/* The benchmark is a program of its own, in Python; its options are its own business. */
int cmd_bench(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) {
        (void)err_sys(&err, errno, "no-proc", "cannot read /proc/self/exe");
        return cli_fail(cli, &err);
    }
    self[length] = '\0';
    g_autofree char *folder = g_path_get_dirname(self);
    g_autofree char *program = g_build_filename(folder, BENCH_PROGRAM, NULL);
    if (access(program, R_OK) < 0) {
        (void)err_set(&err, ERR_NOT_FOUND, "not-installed", "the benchmark is not there: %s", program);
        (void)err_fix(&err, "run 'make install'");
        return cli_fail(cli, &err);
    }
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    g_ptr_array_add(words, (gpointer) "python3");
    /* No compiled copies below /usr. */
    g_ptr_array_add(words, (gpointer) "-B");
    g_ptr_array_add(words, program);
    for (int i = 1; i < argc; i++)
        g_ptr_array_add(words, argv[i]);
    if (cli->json)
        g_ptr_array_add(words, (gpointer) "--json");
    g_ptr_array_add(words, NULL);
    (void)execvp("python3", (char **)words->pdata);
    (void)err_sys(&err, errno, "cannot-run", "cannot run python3");
    (void)err_fix(&err, "install the package python3");
    return cli_fail(cli, &err);
}
