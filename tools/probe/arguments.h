// SPDX-License-Identifier: BSD-3-Clause
// What the user wants.
#ifndef PROBE_ARGUMENTS_H
#define PROBE_ARGUMENTS_H

#include <base/range.h>
#include <base/time.h>
#include <stdbool.h>
#include <stddef.h>

#define ARGUMENTS_SIZES 16
#define ARGUMENTS_ERROR 300

enum ask_mode { ASK_READ_ONLY, ASK_IN_PLACE, ASK_SCRATCH };

struct arguments {
    const char *uri;
    enum ask_mode mode;
    bool has_range; // of ASK_IN_PLACE; ASK_SCRATCH always has one
    struct range range;
    bool class[2]; // holes allowed; NO_HOLE
    double ratio;
    nstime time;
    unsigned repeat; // measurements of a class at most
    uint64_t max_zero;
    uint64_t sizes[ARGUMENTS_SIZES];
    unsigned n_sizes;
    bool json;
    const char *plot;      // NULL: none
    const char *state_dir; // NULL: none
    bool help, version;
};

// False: err is one line.
bool arguments_parse(struct arguments *a, int argc, char **argv, char *err, size_t errlen);

extern const char arguments_usage[];

#endif
