// SPDX-License-Identifier: BSD-3-Clause
// Which ranges the configuration gives for measuring. Pure: settings in, areas out.
#ifndef SESSION_SCRATCH_AREA_H
#define SESSION_SCRATCH_AREA_H

#include <session/settings.h>

struct scratch_area {
    const struct upstream_settings *upstream;
    const struct policy *policy;
    struct bytes holder; // the export that has the range, as upstream calls it
    struct range range;
    bool elsewhere;                // `holder` is there for this:
    const struct bytes *borrowers; // what is found goes for this export; NULL: for all there
};

// The next area from *at on (0 at first); false: there is none. One range of one export is named
// once, whichever sections give it.
bool scratch_area_next(const struct settings *s, unsigned *at, struct scratch_area *area);

// For people: one line.
void scratch_area_text(const struct scratch_area *a, char *text, size_t cap);

#endif
