// SPDX-License-Identifier: BSD-3-Clause
#include "files.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[256];

static const char *
in_dir(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void
make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/nbdzero-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void
remove_dir(void)
{
    static const char *const names[] = {"a/b/c", "a/b", "a", "x", "y", ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        remove(in_dir(names[i]));
}

TestSuite(files, .init = make_dir, .fini = remove_dir);

Test(files, directories_are_made_with_their_parents)
{
    struct stat st;
    umask(0022);
    cr_assert(make_directories(in_dir("a/b/c"), 0700));
    cr_assert(stat(in_dir("a/b/c"), &st) == 0 && S_ISDIR(st.st_mode));
    cr_expect_eq(st.st_mode & 07777, 0700);
    cr_expect(make_directories(in_dir("a/b/c"), 0700), "what is there is fine");
    cr_expect(make_directories(in_dir("a//b/"), 0700));
    cr_expect(make_parent("/file-in-root", 0700));
    cr_expect(make_parent("file-here", 0700));
}

Test(files, a_file_in_the_way)
{
    FILE *f = fopen(in_dir("x"), "w");
    fclose(f);
    cr_expect(!make_directories(in_dir("x"), 0700));
    cr_expect_eq(errno, ENOTDIR);
    cr_expect(!make_parent(in_dir("x/y/z"), 0700));
    cr_expect_eq(errno, ENOTDIR);
}

Test(files, connections_that_the_descriptors_allow)
{
    struct rlimit small = {.rlim_cur = 100, .rlim_max = 1000};
    cr_assert(setrlimit(RLIMIT_NOFILE, &small) == 0);
    cr_expect_eq(allowed_connections(10, 2, 1, NULL), 10);
    // 1000 - 64 - 2 * 8 - 1, two each.
    cr_expect_eq(allowed_connections(10000, 2, 1, NULL), 459);
    struct rlimit now;
    getrlimit(RLIMIT_NOFILE, &now);
    cr_expect_eq(now.rlim_cur, 1000, "the soft limit is raised");
    struct rlimit tiny = {.rlim_cur = 70, .rlim_max = 70};
    cr_assert(setrlimit(RLIMIT_NOFILE, &tiny) == 0);
    struct faults f = {0};
    cr_expect_eq(allowed_connections(10000, 2, 1, &f), 1);
    cr_assert_eq(f.n, 1);
    cr_expect(f.list[0].warning &&
              strstr(f.list[0].text, "max-connections lowered from 10000 to 1"));
    faults_clear(&f);
}

Test(files, only_the_own_socket_is_unlinked)
{
    struct socket_file f;
    fclose(fopen(in_dir("x"), "w"));
    socket_file_note(&f, in_dir("x"));
    // Somebody else puts another in its place.
    fclose(fopen(in_dir("y"), "w"));
    char other[256];
    snprintf(other, sizeof other, "%s", in_dir("y"));
    cr_assert(rename(other, in_dir("x")) == 0);
    socket_file_unlink(&f);
    cr_expect(access(in_dir("x"), F_OK) == 0);
    socket_file_note(&f, in_dir("x"));
    socket_file_unlink(&f);
    cr_expect(access(in_dir("x"), F_OK) < 0);
    socket_file_unlink(&f); // again: nothing
}
