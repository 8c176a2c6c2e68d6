// SPDX-License-Identifier: BSD-3-Clause
// What is known of one export as the text of its file in state-dir: JSON, with a version.
#ifndef DAEMON_STATE_TEXT_H
#define DAEMON_STATE_TEXT_H

#include <export/registry.h>

#define STATE_VERSION  1
#define STATE_TEXT_MAX (64u << 10) // a longer file is none of ours

// malloc'd; NULL: out of memory. `saved`: when it was true, Unix seconds.
char *state_text(const struct export_state *s, int64_t saved);

// The same back. What `s` points to is in `memory`, the caller's to free(). False, and why in err.
bool state_text_parse(const char *text, size_t len, struct export_state *s, int64_t *saved,
                      void **memory, char *err, size_t errlen);

// "verdict-0123456789abcdef.json": the file of that export. Two that share one by accident (1 in
// 2^64) keep each other from being saved, no more.
#define STATE_NAME_MAX 32
void state_name(char name[STATE_NAME_MAX], struct bytes address, struct bytes export_name);

#endif
