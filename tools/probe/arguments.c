// SPDX-License-Identifier: BSD-3-Clause
#include "arguments.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char arguments_usage[] =
    "usage: nbdzero-probe [OPTIONS] NBD-URI\n"
    "Measures how fast an NBD server zeroes, compared with writing, and says whether that is "
    "fast.\n"
    "Without one of the next two it writes nothing, and only reports what the server says.\n"
    "\n"
    "  -S, --scratch OFFSET:LENGTH     this range may be overwritten with random data\n"
    "  -I, --in-place[=OFFSET:LENGTH]  measures where data is stored, and writes it back\n"
    "\n"
    "      --state-dir DIR      in place only while no nbdzero-proxy of this state-dir serves it\n"
    "      --no-hole yes|no|both  which classes: zeroes that must not become holes, that may "
    "(both)\n"
    "  -r, --ratio R        fast is below this share of writing, 0.05 to 0.70 (0.30)\n"
    "  -n, --repeat N       at most so many measurements of a class, which vote: 2 to 9 (5)\n"
    "  -t, --time TIME      the most to spend on one measurement: ms, s, min (30s)\n"
    "      --max-zero SIZE  the longest zero sent in one message, 64K to 1G (32M)\n"
    "      --sizes SIZE,... for which sizes to say what is fast (64K,1M,16M,256M)\n"
    "  -j, --json           the result as one JSON object\n"
    "  -p, --plot FILE.svg  a picture of it (needs gnuplot)\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n";

#define SMALLEST_ZERO (UINT64_C(64) << 10)
#define LARGEST_ZERO  (UINT64_C(1) << 30)

static bool
number(const char *text, size_t len, uint64_t *v)
{
    *v = 0;
    if (!len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]) || __builtin_mul_overflow(*v, 10u, v) ||
            __builtin_add_overflow(*v, (uint64_t)(text[i] - '0'), v))
            return false;
    }
    return true;
}

// Digits, and K, M, G or T.
static bool
size(const char *text, size_t len, uint64_t *v)
{
    static const char letters[] = "KMGT";
    const char *letter = len ? memchr(letters, toupper((unsigned char)text[len - 1]), 4) : NULL;
    if (!number(text, letter ? len - 1 : len, v))
        return false;
    unsigned shift = letter ? 10 * (unsigned)(letter - letters + 1) : 0;
    if (shift && *v >> (63 - shift))
        return false;
    *v <<= shift;
    return *v <= INT64_MAX;
}

static bool
range(const char *text, struct range *r)
{
    const char *colon = strchr(text, ':');
    return colon && size(text, (size_t)(colon - text), &r->offset) &&
           size(colon + 1, strlen(colon + 1), &r->length) && r->length &&
           r->offset <= (uint64_t)INT64_MAX - r->length;
}

static bool
duration(const char *text, nstime *t)
{
    static const struct {
        const char *name;
        nstime ns;
    } units[] = {{"ms", NS_PER_MS}, {"s", NS_PER_SEC}, {"min", NS_PER_MIN}};
    size_t digits = strspn(text, "0123456789");
    uint64_t v;
    if (!number(text, digits, &v) || v > 1000000)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text + digits, units[i].name) == 0) {
            *t = v * units[i].ns;
            return *t >= 100 * NS_PER_MS && *t <= 60 * NS_PER_MIN;
        }
    }
    return false;
}

static bool
ratio(const char *text, double *r)
{
    char *end;
    *r = strtod(text, &end);
    return isdigit((unsigned char)*text) && !*end && *r >= 0.05 && *r <= 0.70;
}

static bool
sizes(const char *text, struct arguments *a)
{
    a->n_sizes = 0;
    for (;;) {
        size_t len = strcspn(text, ",");
        if (a->n_sizes == ARGUMENTS_SIZES || !size(text, len, &a->sizes[a->n_sizes]) ||
            !a->sizes[a->n_sizes])
            return false;
        a->n_sizes++;
        if (!text[len])
            return true;
        text += len + 1;
    }
}

static bool
classes(const char *text, struct arguments *a)
{
    bool both = strcmp(text, "both") == 0;
    a->class[0] = both || strcmp(text, "no") == 0;
    a->class[1] = both || strcmp(text, "yes") == 0;
    return a->class[0] || a->class[1];
}

static bool
max_zero(const char *text, struct arguments *a)
{
    uint64_t *v = &a->max_zero;
    return size(text, strlen(text), v) && *v >= SMALLEST_ZERO && *v <= LARGEST_ZERO &&
           *v % SMALLEST_ZERO == 0;
}

static bool
is_svg(const char *path)
{
    size_t len = strlen(path);
    return len > 4 && strcmp(path + len - 4, ".svg") == 0;
}

static bool
set_mode(struct arguments *a, enum ask_mode mode, const char *text, char *err, size_t errlen)
{
    const char *name = mode == ASK_SCRATCH ? "--scratch" : "--in-place";
    if (a->mode != ASK_READ_ONLY) {
        snprintf(err, errlen, "%s: only one of --scratch and --in-place, and once", name);
        return false;
    }
    a->mode = mode;
    a->has_range = text;
    if (text && !range(text, &a->range)) {
        snprintf(err, errlen, "%s %s: not a range; OFFSET:LENGTH would be one, say 1G:128M", name,
                 text);
        return false;
    }
    return true;
}

static bool
repeat(const char *text, unsigned *n)
{
    *n = (unsigned)(*text - '0');
    return *text >= '2' && *text <= '9' && !text[1];
}

enum { OPT_NO_HOLE = 256, OPT_MAX_ZERO, OPT_SIZES, OPT_STATE_DIR };

// What its value should have been; NULL: it is fine.
static const char *
set_value(struct arguments *a, int c, const char *text)
{
    switch (c) {
    case 'p': a->plot = text; return is_svg(text) ? NULL : "a file's name that ends in .svg";
    case 'r': return ratio(text, &a->ratio) ? NULL : "a number from 0.05 to 0.70";
    case 't': return duration(text, &a->time) ? NULL : "a time from 100ms to 60min";
    case 'n': return repeat(text, &a->repeat) ? NULL : "a number from 2 to 9";
    case OPT_NO_HOLE: return classes(text, a) ? NULL : "yes, no or both";
    case OPT_MAX_ZERO: return max_zero(text, a) ? NULL : "a multiple of 64K up to 1G";
    default: return sizes(text, a) ? NULL : "a list of up to 16 sizes like 64K,1M";
    }
}

static bool
one_option(struct arguments *a, int c, const char *name, const char *text, char *err, size_t errlen)
{
    switch (c) {
    case 'S': return set_mode(a, ASK_SCRATCH, text, err, errlen);
    case 'I': return set_mode(a, ASK_IN_PLACE, text, err, errlen);
    case 'j': a->json = true; return true;
    case 'h': a->help = true; return true;
    case 'V': a->version = true; return true;
    case OPT_STATE_DIR: a->state_dir = text; return true;
    }
    const char *right = set_value(a, c, text);
    if (right)
        snprintf(err, errlen, "--%s %s: %s is wanted", name, text, right);
    return !right;
}

bool
arguments_parse(struct arguments *a, int argc, char **argv, char *err, size_t errlen)
{
    static const struct option longs[] = {
        {"scratch", required_argument, NULL, 'S'},
        {"in-place", optional_argument, NULL, 'I'},
        {"state-dir", required_argument, NULL, OPT_STATE_DIR},
        {"no-hole", required_argument, NULL, OPT_NO_HOLE},
        {"ratio", required_argument, NULL, 'r'},
        {"repeat", required_argument, NULL, 'n'},
        {"time", required_argument, NULL, 't'},
        {"max-zero", required_argument, NULL, OPT_MAX_ZERO},
        {"sizes", required_argument, NULL, OPT_SIZES},
        {"json", no_argument, NULL, 'j'},
        {"plot", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    *a = (struct arguments){.class = {true, true},
                            .ratio = 0.30,
                            .repeat = 5,
                            .time = 30 * NS_PER_SEC,
                            .max_zero = 32u << 20};
    sizes("64K,1M,16M,256M", a);
    optind = 0; // tests call it more than once
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "S:I::r:n:t:jp:hV", longs, NULL)) != -1;) {
        if (c == '?') {
            snprintf(err, errlen, "%s: unknown, or what belongs to it is missing",
                     argv[optind - 1]);
            return false;
        }
        const struct option *o = longs;
        while (o->val != c)
            o++;
        if (!one_option(a, c, o->name, optarg, err, errlen))
            return false;
        if (a->help || a->version)
            return true;
    }
    if (argc - optind != 1) {
        snprintf(err, errlen, "one NBD URI is wanted, say nbd://host/export");
        return false;
    }
    a->uri = argv[optind];
    if (a->state_dir && a->mode != ASK_IN_PLACE) {
        snprintf(err, errlen, "--state-dir: only --in-place has to be alone");
        return false;
    }
    if (a->plot && a->mode == ASK_READ_ONLY) {
        snprintf(err, errlen, "--plot: nothing is measured without --scratch or --in-place");
        return false;
    }
    return true;
}
