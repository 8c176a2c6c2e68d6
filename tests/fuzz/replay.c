// SPDX-License-Identifier: BSD-3-Clause
// A main() for a fuzz target without libFuzzer: runs every file of the folders and files given, so
// that what the fuzzers have found is tested in every build.
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
die(const char *path)
{
    perror(path);
    exit(1);
}

static void
run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st) < 0)
        die(path);
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, f) != size)
        die(path);
    fclose(f);
    fprintf(stderr, "%s\n", path); // the last one named is the one that failed
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

static unsigned
run(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        run_file(path);
        return 1;
    }
    unsigned n = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char name[PATH_MAX];
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        run_file(name);
        n++;
    }
    closedir(dir);
    return n;
}

int
main(int argc, char **argv)
{
    unsigned n = 0;
    for (int i = 1; i < argc; i++)
        n += run(argv[i]);
    printf("%u inputs\n", n);
    return n ? 0 : 1; // an empty corpus tests nothing
}
