// SPDX-License-Identifier: BSD-3-Clause
// The line that begins a section: [proxy], [listen NAME], [upstream NAME], [export NAME].
#ifndef DAEMON_CONFIG_SECTION_LINE_H
#define DAEMON_CONFIG_SECTION_LINE_H

#include "config_document.h"

struct section_line {
    enum section_kind kind; // SECTION_KINDS: not known
    char *name;
};

// Takes the line apart; what is wrong with it, or with another section of that name in `doc`, is
// added to faults.
void section_line_read(struct section_line *s, const char *text, unsigned line,
                       const struct config_document *doc, struct faults *faults);
void section_line_clear(struct section_line *s);

#endif
