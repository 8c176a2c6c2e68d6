// SPDX-License-Identifier: BSD-3-Clause
// What views draw, as text, and snapshots for them to look at.
#ifndef TOOLS_PICTURES_H
#define TOOLS_PICTURES_H

#include <canvas.h>
#include <jansson.h>
#include <sample.h>
#include <views.h>

// The caller's to free(). What is cut ends in "~".
char *picture_text(const struct canvas *c);
// What a view makes of one snapshot, or of two, `seconds` after another. Takes them over.
char *picture_of(view_function *view, json_t *snapshot, size_t width);
char *picture_of_two(view_function *view, json_t *before, json_t *now, double seconds,
                     size_t width);
// Printable, and no line longer than that.
void expect_safe(const char *text, size_t width);

// One of everything, with that name everywhere and that number.
json_t *a_snapshot(const char *name, json_int_t big);
// An export as top shows it: so many reads of 1000 bytes, that are so slow.
json_t *an_export(const char *name, json_int_t reads, json_int_t p99, const char *verdict);
json_t *a_process(json_t *exports, json_t *connections); // takes both over; either may be NULL

#endif
