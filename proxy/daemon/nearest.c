// SPDX-License-Identifier: BSD-3-Clause
#include "nearest.h"

#include <stdbool.h>
#include <string.h>

#define LONGEST 63 // no name of ours is longer; a longer one is near to none

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Restricted Damerau-Levenshtein: a swap of neighbours, the commonest slip, is one step.
static size_t
edit_distance(const char *a, size_t la, const char *b, size_t lb)
{
    size_t d[LONGEST + 1][LONGEST + 1];
    for (size_t i = 0; i <= la; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= lb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= la; i++)
        for (size_t j = 1; j <= lb; j++) {
            bool same = a[i - 1] == b[j - 1];
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + !same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[la][lb];
}

void
nearest_offer(struct nearest *n, const char *candidate)
{
    size_t la = strlen(n->wanted), lb = strlen(candidate);
    if (la > LONGEST || lb > LONGEST)
        return;
    size_t longer = la > lb ? la : lb;
    size_t allowed = longer / 3 > 2 ? longer / 3 : 2;
    size_t distance = edit_distance(n->wanted, la, candidate, lb);
    if (distance > allowed || distance >= longer)
        return;
    if (!n->best || distance < n->distance) {
        n->best = candidate;
        n->distance = distance;
    }
}
