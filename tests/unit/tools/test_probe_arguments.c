// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-probe: what is asked for, whether it may be done, and where data is.
#include "arguments.h"
#include "checks.h"
#include "map.h"
#include "target.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

// Words separated by one blank each.
static bool
parse(struct arguments *a, const char *line, char err[ARGUMENTS_ERROR])
{
    static char words[400];
    static char *argv[20];
    int argc = 0;
    snprintf(words, sizeof words, "nbdzero-probe %s", line);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    argv[argc] = NULL;
    *err = '\0';
    return arguments_parse(a, argc, argv, err, ARGUMENTS_ERROR);
}

Test(probe_arguments, defaults)
{
    struct arguments a;
    char err[ARGUMENTS_ERROR];
    cr_assert(parse(&a, "nbd://h/e", err), "%s", err);
    cr_expect_str_eq(a.uri, "nbd://h/e");
    cr_expect_eq(a.mode, ASK_READ_ONLY);
    cr_expect(a.class[0] && a.class[1] && !a.json && !a.plot && !a.has_range);
    cr_expect_float_eq(a.ratio, 0.30, 1e-9);
    cr_expect_eq(a.time, 30 * NS_PER_SEC);
    cr_expect_eq(a.repeat, 5);
    cr_expect_eq(a.max_zero, 32 * MIB);
    cr_expect_eq(a.n_sizes, 4);
    cr_expect_eq(a.sizes[3], 256 * MIB);
}

Test(probe_arguments, all_of_them)
{
    struct arguments a;
    char err[ARGUMENTS_ERROR];
    cr_assert(parse(&a,
                    "nbd://h --scratch 1G:64m --no-hole yes -r 0.5 -t 500ms -n 9 --max-zero 64K "
                    "--sizes 512,1T --json -p x.svg",
                    err),
              "%s", err);
    cr_expect_eq(a.mode, ASK_SCRATCH);
    cr_expect(a.has_range && a.range.offset == 1024 * MIB && a.range.length == 64 * MIB);
    cr_expect(!a.class[0] && a.class[1] && a.json);
    cr_expect_float_eq(a.ratio, 0.5, 1e-9);
    cr_expect_eq(a.time, 500 * NS_PER_MS);
    cr_expect_eq(a.repeat, 9);
    cr_expect_eq(a.max_zero, 65536);
    cr_expect(a.n_sizes == 2 && a.sizes[0] == 512 && a.sizes[1] == MIB * MIB);
    cr_expect_str_eq(a.plot, "x.svg");
    cr_assert(parse(&a, "--in-place nbd://h", err));
    cr_expect(a.mode == ASK_IN_PLACE && !a.has_range);
    cr_assert(parse(&a, "--in-place=0:1M --no-hole no nbd://h", err));
    cr_expect(a.has_range && a.range.length == MIB && a.class[0] && !a.class[1]);
    cr_assert(parse(&a, "--help --nonsense", err) && a.help);
}

Test(probe_arguments, what_is_wrong_is_named)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"", "NBD URI"},
        {"nbd://a nbd://b", "one NBD URI"},
        {"--bogus nbd://a", "--bogus"},
        {"nbd://a --ratio", "--ratio"},
        {"--ratio 0.04 nbd://a", "0.05 to 0.70"},
        {"--ratio 0.71 nbd://a", "0.05 to 0.70"},
        {"--ratio nan nbd://a", "0.05 to 0.70"},
        {"--ratio 0.3x nbd://a", "0.05 to 0.70"},
        {"--time 10 nbd://a", "100ms to 60min"},
        {"--time 99ms nbd://a", "100ms to 60min"},
        {"--time 61min nbd://a", "100ms to 60min"},
        {"--time 99999999999999999999s nbd://a", "100ms to 60min"},
        {"--repeat 1 nbd://a", "2 to 9"},
        {"--repeat 10 nbd://a", "2 to 9"},
        {"--sizes 0 nbd://a", "list of up to 16"},
        {"--sizes 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17 nbd://a", "list of up to 16"},
        {"--sizes 1, nbd://a", "list of up to 16"},
        {"--max-zero 2G nbd://a", "up to 1G"},
        {"--no-hole perhaps nbd://a", "yes, no or both"},
        {"--scratch 1M nbd://a", "OFFSET:LENGTH"},
        {"--scratch -1:1M nbd://a", "OFFSET:LENGTH"},
        {"--scratch 1M:0 nbd://a", "OFFSET:LENGTH"},
        {"--scratch 9223372036854775807:1 nbd://a", "OFFSET:LENGTH"},
        {"--scratch 18446744073709551615T:1 nbd://a", "OFFSET:LENGTH"},
        {"--scratch 8388608T:1 nbd://a", "OFFSET:LENGTH"},
        {"--scratch 0:1M --scratch 0:1M nbd://a", "only one of"},
        {"--in-place --scratch 0:1M nbd://a", "only one of"},
        {"--in-place --plot x.pdf nbd://a", ".svg"},
        {"--plot x.svg nbd://a", "nothing is measured"},
        {"--scratch 0:64M --state-dir /x nbd://a", "only --in-place"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arguments a;
        char err[ARGUMENTS_ERROR];
        cr_expect(!parse(&a, cases[i].line, err), "%s", cases[i].line);
        cr_expect(strstr(err, cases[i].says), "%s: %s", cases[i].line, err);
        cr_expect(!strchr(err, '\n'));
    }
}

// -------------------------------------------------------------------------------------------

static struct server_facts
server(void)
{
    return (struct server_facts){
        .export = {.known = true,
                   .size = 100 * MIB + 512,
                   .flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_WRITE_ZEROES}};
}

static const char *
check(const struct server_facts *f, enum ask_mode mode, uint64_t offset, uint64_t length)
{
    static char err[300];
    struct arguments a = {.mode = mode, .has_range = length, .range = {offset, length}};
    *err = '\0';
    bool good = checks_pass(&a, f, err, sizeof err);
    cr_expect_eq(good, !*err);
    return err;
}

Test(probe_checks, ranges)
{
    struct server_facts f = server();
    cr_expect_str_eq(check(&f, ASK_SCRATCH, 0, 4 * MIB), "");
    cr_expect_str_eq(check(&f, ASK_SCRATCH, 96 * MIB, 4 * MIB), "");
    cr_expect(strstr(check(&f, ASK_SCRATCH, 97 * MIB, 4 * MIB), "ends at"));
    cr_expect(strstr(check(&f, ASK_SCRATCH, 0, 4 * MIB - 65536), "too short"));
    cr_expect(strstr(check(&f, ASK_SCRATCH, 512, 4 * MIB), "64K"));
    cr_expect(strstr(check(&f, ASK_IN_PLACE, 0, 4 * MIB + 512), "0:4194304"));
    cr_expect_str_eq(check(&f, ASK_IN_PLACE, 0, 0), "", "the whole export, whatever its end");
    f.export.has_block_size = true;
    f.export.preferred = 1 << 20;
    cr_expect(strstr(check(&f, ASK_SCRATCH, 65536, 5 * MIB), "1M; 1048576:4194304"));
    f.export.preferred = 3000; // no power of two: it binds nobody
    cr_expect_str_eq(check(&f, ASK_SCRATCH, 65536, 5 * MIB), "");
}

Test(probe_checks, servers)
{
    struct server_facts f = server();
    f.export.flags |= NBD_FLAG_READ_ONLY;
    cr_expect(strstr(check(&f, ASK_IN_PLACE, 0, 0), "read-only"));
    cr_expect_str_eq(check(&f, ASK_READ_ONLY, 0, 0), "");
    f.export.flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH;
    cr_expect(strstr(check(&f, ASK_SCRATCH, 0, 4 * MIB), "no WRITE_ZEROES"));
    f.export.flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_WRITE_ZEROES;
    cr_expect(strstr(check(&f, ASK_SCRATCH, 0, 4 * MIB), "no FLUSH"));
}

// -------------------------------------------------------------------------------------------

Test(probe_map, longest_run)
{
    struct map m;
    struct range q;
    map_begin(&m, (struct range){MIB, 300 * MIB});
    cr_assert(map_next(&m, &q));
    cr_expect(q.offset == MIB && q.length == 300 * MIB);
    map_extent(&m, 10 * MIB, false);
    map_extent(&m, 20 * MIB, true);
    map_extent(&m, 10 * MIB, true); // said in two extents
    cr_assert(map_next(&m, &q));
    cr_expect_eq(q.offset, 41 * MIB);
    map_extent(&m, 60 * MIB, true); // and in two answers
    map_extent(&m, MIB, false);
    map_extent(&m, 40 * MIB, true);
    map_extent(&m, 900 * MIB, false); // beyond the end
    cr_expect(!map_next(&m, &q));
    struct range best = map_choice(&m);
    cr_expect(best.offset == 11 * MIB && range_end(best) == 301 * MIB);
}

Test(probe_map, only_short_runs)
{
    struct map m;
    struct range q;
    map_begin(&m, (struct range){0, 100 * MIB});
    cr_assert(map_next(&m, &q));
    map_extent(&m, 8 * MIB, false);
    map_extent(&m, 8 * MIB, true);
    map_extent(&m, 8 * MIB, false);
    map_extent(&m, 20 * MIB, true);
    cr_expect_eq(map_choice(&m).offset, 8 * MIB, "from the first on: one may not be enough");
    map_begin(&m, (struct range){0, 100 * MIB});
    map_extent(&m, 100 * MIB, false);
    cr_expect_eq(map_choice(&m).length, 0);
}

// A server that says nothing, or endless small things, is not asked for ever.
Test(probe_map, ends)
{
    struct map m;
    struct range q;
    unsigned n = 0;
    map_begin(&m, (struct range){0, UINT64_C(1) << 62});
    while (map_next(&m, &q)) {
        cr_assert_leq(q.length, UINT64_C(1) << 31);
        n++;
    }
    cr_expect_eq(n, MAP_QUERIES);
    map_begin(&m, (struct range){0, UINT64_C(1) << 40});
    map_extent(&m, MAP_ENOUGH, true);
    cr_expect(!map_next(&m, &q), "that is enough");
}

// -------------------------------------------------------------------------------------------

static enum target_error
target_of(const char *uri, const char *says)
{
    static struct target t;
    char err[TARGET_ERROR] = "";
    enum target_error e = target_begin(&t, uri, err, sizeof err);
    cr_expect(strstr(err, says), "%s: %s", uri, err);
    cr_expect(!strchr(err, '\n'));
    target_end(&t);
    return e;
}

Test(probe_target, uris)
{
    cr_expect_eq(target_of("nbd://h:1/e", ""), TARGET_FINE);
    cr_expect_eq(target_of("nbd+unix:///e?socket=/s", ""), TARGET_FINE);
    cr_expect_eq(target_of("ftp://h", ""), TARGET_MISUSED);
    cr_expect_eq(target_of("nbd://u@h", "nbds would"), TARGET_MISUSED);
    cr_expect_eq(target_of("nbd://h?tls-certificates=/x", "nbds would"), TARGET_MISUSED);
    cr_expect_eq(target_of("nbds://u@h", "tls-psk-file"), TARGET_MISUSED);
    cr_expect_eq(target_of("nbds://h?tls-psk-file=/x", "USER@"), TARGET_MISUSED);
    cr_expect_eq(target_of("nbds://u@h?tls-psk-file=/x&tls-certificates=/y", "exclude"),
                 TARGET_MISUSED);
    cr_expect_eq(target_of("nbds+unix:///?socket=/s", "tls-hostname"), TARGET_MISUSED);
    cr_expect_eq(target_of("nbds://h?tls-certificates=/nowhere", "/nowhere"), TARGET_UNUSABLE);
    cr_expect_eq(target_of("nbds://u@h?tls-psk-file=/nowhere", "/nowhere"), TARGET_UNUSABLE);
}
