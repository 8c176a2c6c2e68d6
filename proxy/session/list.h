// SPDX-License-Identifier: BSD-3-Clause
// LIST: what the listener's upstream lists, as [export] sections have it, and then the sections
// that it has not brought to mind; each name once.
#ifndef SESSION_LIST_H
#define SESSION_LIST_H

#include <stdbool.h>
#include <stdint.h>
#include <wire/upstream_handshake.h>

struct session;

struct listing {
    bool *shown;     // one a section
    uint64_t *names; // hashes of what upstream has listed; open addressing, 0 = free
    uint32_t n, cap;
    bool any; // something has been shown
};

// The option waits; upstream, if the listener has one, can be asked.
void list_ask(struct session *s);
// It cannot be asked: only what is configured. `lacking`: it was reached, but cannot list.
void list_configured(struct session *s, bool lacking);
// Upstream broke: what it has shown is not all there is, and must not pass for it.
void list_broken(struct session *s, const char *what);
void list_item(struct session *s, const struct upstream_item *item);
void list_answered(struct session *s, const struct upstream_answer *a);
void list_clear(struct listing *l);

#endif
