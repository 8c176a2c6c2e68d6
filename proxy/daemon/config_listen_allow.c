// SPDX-License-Identifier: BSD-3-Clause
// Who may come to a [listen] section.
#include "config_parts.h"

#include "memory.h"

#include <base/text.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t,"

static void
check_twice(const struct listener_settings *l, const char *text, unsigned line,
            struct faults *faults)
{
    const struct network *last = &l->allow[l->n_allow - 1];
    for (const struct network *n = l->allow; n < last; n++) {
        struct network both = network_of(&last->ip, n->bits);
        if (n->bits > last->bits || !network_same(n, &both))
            continue;
        char other[IP_TEXT];
        warning_at(faults, line, "allow: %s is in %s already", text,
                   network_text(n, other, sizeof other));
        return;
    }
}

static void
add(struct listener_settings *l, const char *text, unsigned line, struct faults *faults)
{
    char err[300], shown[300];
    struct network n;
    if (!network_parse(text, &n, err, sizeof err)) {
        text_escape(shown, sizeof shown, bytes_str(err));
        fault_at(faults, line, "allow: %s", shown);
        return;
    }
    l->allow = need_array(l->allow, l->n_allow + 1, sizeof *l->allow);
    l->allow[l->n_allow++] = n;
    check_twice(l, text, line, faults);
}

void
config_listener_allow(struct listener_settings *l, const struct config_section *section,
                      struct faults *faults)
{
    const struct config_value *v = &section->values[KEY_LISTEN_ALLOW];
    if (!*v->text)
        return;
    if (l->address.kind == ADDRESS_UNIX && *l->address.path) {
        fault_at(faults, v->line,
                 "allow has no meaning for %s, whose clients have no IP address: socket-mode says "
                 "who may connect there",
                 section->values[KEY_LISTEN_ADDRESS].text);
        return;
    }
    char *rest, *copy = need_copy(v->text);
    unsigned before = (unsigned)faults->errors;
    for (char *p = strtok_r(copy, BLANKS, &rest); p; p = strtok_r(NULL, BLANKS, &rest))
        add(l, p, v->line, faults);
    free(copy);
    // Nothing but commas would be everybody.
    if (!l->n_allow && faults->errors == before)
        fault_at(faults, v->line,
                 "allow names no network: 10.0.0.0/8, for example, or no such key for everybody");
}
