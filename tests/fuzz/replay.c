/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay CORPUS [FILE]: a fuzz target without libFuzzer, for `make check` and for a look at one input. Each
 * file of the folder CORPUS (or only FILE of it) is run as it is and damaged in MUTATIONS ways, which are the
 * same each time. The inputs run in a child in an empty folder, which is gone afterwards whatever happens.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

#define MUTATIONS 40
#define SIZE_MAX_BYTES (1u << 20)

/* Where the child is, for the parent to say if it dies. */
struct progress {
    char file[256];
    unsigned mutation; /* 0: as it is */
    unsigned n_files, n_inputs;
};

struct seed {
    char name[256];
    uint8_t *bytes;
    size_t size;
};

/* The same numbers on every machine: xorshift64. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    must(exact != NULL);
    if (size)
        memcpy(exact, bytes, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

/* Some of: bytes changed, the end cut off, the start repeated at the end. */
static void run_damaged(const struct seed *seed, uint64_t *state)
{
    uint8_t *copy = malloc(2 * seed->size + 1);
    must(copy != NULL);
    size_t size = seed->size;
    memcpy(copy, seed->bytes, size);
    for (uint64_t n = next_random(state) % 6; n && size; n--) {
        uint64_t r = next_random(state);
        size_t at = (size_t)(r >> 16) % size;
        copy[at] = r & 1 ? (uint8_t)(copy[at] ^ 1u << (r >> 8) % 8) : (uint8_t)(r >> 8);
    }
    uint64_t r = next_random(state);
    if (size && r % 4 == 0)
        size = (size_t)(r >> 8) % size;
    if (size && r % 4 == 1) {
        size_t more = (size_t)(r >> 8) % size;
        memcpy(copy + size, copy, more);
        size += more;
    }
    run(copy, size);
    free(copy);
}

static void run_seed(const struct seed *seed, struct progress *progress)
{
    uint64_t state = 0x9e3779b97f4a7c15;
    (void)snprintf(progress->file, sizeof progress->file, "%s", seed->name);
    progress->mutation = 0;
    progress->n_files++;
    run(seed->bytes, seed->size);
    for (progress->mutation = 1; progress->mutation <= MUTATIONS; progress->mutation++)
        run_damaged(seed, &state);
    progress->n_inputs += 1 + MUTATIONS;
}

static int read_seed(const char *folder, const char *name, struct seed *ret_seed)
{
    char path[2 * PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)snprintf(ret_seed->name, sizeof ret_seed->name, "%s", name);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    ret_seed->bytes = malloc(SIZE_MAX_BYTES);
    must(ret_seed->bytes != NULL);
    ret_seed->size = fread(ret_seed->bytes, 1, SIZE_MAX_BYTES, file);
    int result = ferror(file) ? -1 : 0;
    (void)fclose(file);
    return result;
}

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int run_all(const char *folder, const char *only, struct progress *progress)
{
    struct dirent **names;
    int n = scandir(folder, &names, is_file, alphasort);
    for (int i = 0; i < n; i++) {
        struct seed seed = {0};
        if (!only || !strcmp(only, names[i]->d_name)) {
            must(read_seed(folder, names[i]->d_name, &seed) == 0);
            run_seed(&seed, progress);
        }
        free(seed.bytes);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return progress->n_files ? EXIT_SUCCESS : EXIT_FAILURE;
}

static pid_t child;

static void pass_on(int signal_number)
{
    if (child > 0)
        (void)kill(child, signal_number);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static int wait_for_child(const struct progress *progress)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        must(errno == EINTR);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS) {
        (void)printf("%u files, %u inputs\n", progress->n_files, progress->n_inputs);
        return EXIT_SUCCESS;
    }
    (void)fprintf(stderr, "ended with %s %d in %s, mutation %u\n", WIFSIGNALED(status) ? "signal" : "status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), progress->file,
                  progress->mutation);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    char work[] = "/tmp/fuzz-replay-XXXXXX", folder[PATH_MAX];
    if (argc < 2 || !realpath(argv[1], folder)) {
        (void)fprintf(stderr, "usage: %s CORPUS [FILE]\n", argv[0]);
        return EXIT_FAILURE;
    }
    struct progress *progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED || !mkdtemp(work))
        return EXIT_FAILURE;
    pid_t parent = getpid();
    child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || chdir(work) < 0)
            return EXIT_FAILURE;
        (void)LLVMFuzzerInitialize(&argc, &argv);
        return run_all(folder, argc > 2 ? argv[2] : NULL, progress);
    }
    (void)signal(SIGINT, pass_on);
    (void)signal(SIGTERM, pass_on);
    int result = child > 0 ? wait_for_child(progress) : EXIT_FAILURE;
    (void)nftw(work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return result;
}
