// SPDX-License-Identifier: BSD-3-Clause
// An upstream that advertises FAST_ZERO itself is asked, and its answer is passed on
// (docs/zeroing.md, "Who decides", 3). One that says yes and takes its time lies: its successes
// give it away.
#ifndef ZERO_NATIVE_H
#define ZERO_NATIVE_H

#include <base/time.h>
#include <stdbool.h>
#include <stdint.h>
#include <zero/class.h>

struct zero_native {
    unsigned costly;  // successes in a row that cost nearly as much as writing
    uint32_t history; // which of the last ones did, the newest in bit 0,
    unsigned known;   // of so many
    nstime since;     // when it was found out,
    nstime until;     // and not asked before
    double ratio;     // what it took then, of what writing takes
    nstime refuse_for;
};

void zero_native_begin(struct zero_native *n);
// Should a FAST_ZERO be answered ENOTSUP without asking?
bool zero_native_refuses(const struct zero_native *n, nstime now);
// It has said success after `took`, where a WRITE of that length costs `write` (both ns). True: it
// is not believed any more, for `refuse_for` from now.
bool zero_native_succeeded(struct zero_native *n, double took, double write, nstime now);
// For people: the verdict while it refuses.
struct zero_row zero_native_row(const struct zero_native *n);

#endif
