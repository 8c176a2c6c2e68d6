// SPDX-License-Identifier: BSD-3-Clause
// Small requests, up to 1 MiB: no probe fits into one, so they are sampled. In turn they are served
// by WRITE_ZEROES + FLUSH and by WRITE of zeroes + FLUSH, both of which do what the client asked
// for; after 8 + 8 the medians decide. A cell is one power of two of one class.
#include "parts.h"
#include <string.h>
#include <zero/fit.h>

#define ALL_TRIES   (2 * ZERO_CELL_SAMPLES)
#define GAIN        0.9 // fast: median zero < this * median write,
#define RANKS       16 // and of all pairs of a zero and a write at most 1 in so many has the write ahead
#define REFUSE_MOST (60 * NS_PER_MIN)

// Under load a few samples don't count; medians of 5 still stand. Fewer than that say nothing, and
// the clients have been served 16 times without knowing, which is all that is promised.
#define ENOUGH 5u

// One slow zero is an accident; so many in a row are not.
#define AGAINST 4u

struct zero_cell *
cell_of(struct zero_class *c, uint64_t length)
{
    if (length > ZERO_SMALL)
        return NULL;
    unsigned shift = ZERO_CELL_SMALLEST;
    while (UINT64_C(1) << shift < length)
        shift++;
    return &c->cells[shift - ZERO_CELL_SMALLEST];
}

void
cell_begin(struct zero_cell *cell)
{
    memset(cell, 0, sizeof *cell);
    cell->refuse_for = NS_PER_MIN;
}

// Forget the verdict and the samples, but not how often this size was refused.
static void
cell_doubt(struct zero_cell *cell)
{
    nstime refuse_for = cell->refuse_for;
    cell_begin(cell);
    cell->refuse_for = refuse_for;
}

void
cell_settle(struct zero_cell *cell, nstime now)
{
    if (cell->verdict != ZERO_UNKNOWN && now >= cell->until)
        cell_doubt(cell);
}

static double
median(const nstime *sample, unsigned n)
{
    double took[ZERO_CELL_SAMPLES];
    for (unsigned i = 0; i < n; i++)
        took[i] = (double)sample[i];
    return fit_median(took, n);
}

// Medians of a few flushes differ by a tenth by accident (nbd-server on ext4 looked fast in one of
// three runs by them alone). So the two sets must also hardly overlap: the rank-sum statistic U, as
// Mann and Whitney have it. For 8 and 8 pairs of equals pass it in 1 of 1000.
static bool
ranks_ahead(const struct zero_cell *cell)
{
    unsigned nz = cell->n[ZERO_ARM_ZERO], nw = cell->n[ZERO_ARM_WRITE], behind = 0;
    for (unsigned z = 0; z < nz; z++)
        for (unsigned w = 0; w < nw; w++)
            behind += cell->sample[ZERO_ARM_ZERO][z] >= cell->sample[ZERO_ARM_WRITE][w];
    return behind * RANKS <= nz * nw;
}

static void
cell_decide(struct zero_cell *cell, nstime now)
{
    bool fast = false;
    if (cell->n[ZERO_ARM_ZERO] >= ENOUGH && cell->n[ZERO_ARM_WRITE] >= ENOUGH) {
        cell->zero = median(cell->sample[ZERO_ARM_ZERO], cell->n[ZERO_ARM_ZERO]);
        cell->write = median(cell->sample[ZERO_ARM_WRITE], cell->n[ZERO_ARM_WRITE]);
        fast = cell->zero < GAIN * cell->write && ranks_ahead(cell);
    }
    cell->verdict = fast ? ZERO_FAST : ZERO_SLOW;
    cell->since = now;
    cell->against = 0;
    if (fast) {
        cell->until = now + CLASS_FAST_FOR;
        cell->refuse_for = NS_PER_MIN;
    } else {
        cell->until = now + class_double(&cell->refuse_for, REFUSE_MOST);
    }
}

bool
cell_may_sample(struct zero_cell *cell, nstime now)
{
    if (cell->tries < ALL_TRIES)
        return true;
    // All are served, but not all have come back counted: decide with what is there.
    cell_decide(cell, now);
    return false;
}

enum zero_arm
zero_class_next_arm(struct zero_class *c, uint64_t length)
{
    struct zero_cell *cell = cell_of(c, length);
    // By tries, not by samples that counted: two in flight at once take different arms. The zero
    // goes first: what it pays on fresh storage must not be hidden by the write.
    return cell->tries++ % 2 == 0 ? ZERO_ARM_ZERO : ZERO_ARM_WRITE;
}

void
zero_class_sampled(struct zero_class *c, const struct zero_rules *r, uint64_t length,
                   enum zero_arm arm, nstime took, bool clean, nstime now)
{
    struct zero_cell *cell = cell_of(c, length);
    if (!cell || cell->verdict != ZERO_UNKNOWN)
        return; // came back after the decision
    if (clean && cell->n[arm] < ZERO_CELL_SAMPLES)
        cell->sample[arm][cell->n[arm]++] = took;
    if (cell->n[ZERO_ARM_ZERO] == ZERO_CELL_SAMPLES && cell->n[ZERO_ARM_WRITE] == ZERO_CELL_SAMPLES)
        cell_decide(cell, now);
}

void
cell_zeroed(struct zero_cell *cell, nstime took)
{
    // Without the FLUSH that the samples had, a quick one proves little: it does not prolong the
    // verdict.
    if ((double)took < GAIN * cell->write)
        cell->against = 0;
    else if (++cell->against >= AGAINST)
        cell_doubt(cell);
}
