// SPDX-License-Identifier: BSD-3-Clause
// The snapshot of the daemon as tables for people. Where there was a sample before, rates since
// then come with them.
#ifndef STAT_VIEWS_H
#define STAT_VIEWS_H

#include "canvas.h"
#include "sample.h"

typedef void view_function(const struct look *l, struct canvas *c);

view_function view_show, view_verdicts, view_connections;

// Parts of them, for top as well ---------------------------------------------------------

// Commands with their latencies: of one export, or of all where that is NULL.
void view_commands(const struct look *l, struct canvas *c, const json_t *export);
void view_verdicts_of(const struct look *l, struct canvas *c, const json_t *export);
// "nbdzero-proxy 0.1.0, pid 4711, up 3h12min, 2 threads"
void view_process(const struct look *l, struct canvas *c);
// What an administrator should know: a line for each, or nothing.
void view_troubles(const struct look *l, struct canvas *c);

// Of TLS between client and proxy: "1.3", "off".
const char *connection_tls(const json_t *connection);

// All verdicts of an export in a word: one of them, "mixed", or "-" where there are none.
struct verdict_word {
    const char *word;   // static, or of the snapshot
    const char *source; // of the one that was made last
    int64_t age;        // its age in seconds; negative: not known
    char reason[48];    // its reason
};
struct verdict_word verdict_word_of(const json_t *export);
enum paint verdict_paint(const char *word);

#endif
