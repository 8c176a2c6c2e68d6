// SPDX-License-Identifier: BSD-3-Clause
#include "scratching.h"

#include "prober.h"
#include "session.h"

#include <session/scratch.h>
#include <stdio.h>
#include <stdlib.h>

struct scratching {
    struct settings *settings;
    unsigned n;
    struct prober *probers[];
};

bool
scratch_line(const struct settings *s, unsigned *at, char *line, size_t cap)
{
    struct scratch_area a;
    if (!scratch_area_next(s, at, &a))
        return false;
    char text[400];
    scratch_area_text(&a, text, sizeof text);
    snprintf(line, cap, "%s: may be overwritten at any time", text);
    return true;
}

bool
scratch_wanted(const struct settings *s)
{
    unsigned at = 0;
    struct scratch_area a;
    return scratch_area_next(s, &at, &a);
}

struct scratching *
scratch_begin(struct worker *w, struct settings *settings)
{
    unsigned most = settings->n_upstreams + settings->n_exports;
    struct scratching *s = calloc(1, sizeof *s + most * sizeof s->probers[0]);
    if (!s)
        return NULL;
    s->settings = settings_ref(settings);
    struct scratch_area area;
    for (unsigned at = 0; scratch_area_next(settings, &at, &area);) {
        s->probers[s->n] = prober_new(w, &area);
        if (s->probers[s->n])
            s->n++;
    }
    return s;
}

void
scratch_end(struct scratching *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->n; i++)
        prober_free(s->probers[i]);
    settings_unref(s->settings);
    free(s);
}
