// SPDX-License-Identifier: BSD-3-Clause
// A snapshot of the daemon as the views look at it: two of them, one after the other, tell rates.
#ifndef STAT_SAMPLE_H
#define STAT_SAMPLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sample { // none: all zero
    json_t *snapshot;
    double at;     // when it was true, in seconds of clock_now()
    int64_t time;  // and in Unix seconds
    json_t *index; // connections by id, exports by name, once a later one is compared with it
};

// Is what came `at` the same once more? nbdzero-proxy answers with an older one where it is asked
// too often.
bool sample_is_known(const struct sample *now, double at, double age);
// Takes a reference of its own; what was now becomes what was before.
void sample_take(struct sample *now, struct sample *before, json_t *snapshot, double at,
                 int64_t unix_time);
void sample_free(struct sample *s); // and it is none

struct look {
    const struct sample *now;
    const struct sample *before; // NULL or none: rates are not known
    size_t width;                // of the tables
};

// Seconds between the two; 0: there are no rates, or another process answers now.
double look_seconds(const struct look *l);
// What a connection or an export was before; NULL: it was not there.
const json_t *look_connection_before(const struct look *l, const json_t *connection);
const json_t *look_export_before(const struct look *l, const json_t *export);
// How much a number of an object grows in a second; negative: not known.
double look_rate(const struct look *l, const json_t *now, const json_t *before, const char *key);

// What the daemon's reply lacks shows as a dash or nought: it may be of another version.
const char *fact_text(const json_t *object, const char *key);
uint64_t fact_number(const json_t *object, const char *key);
// UPSTREAM/EXPORT; the default export has an empty name, shown as "". The caller's to free().
char *fact_export(const json_t *object);

#endif
