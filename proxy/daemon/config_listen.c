// SPDX-License-Identifier: BSD-3-Clause
// [listen] sections.
#include "config_parts.h"

#include "config_tls.h"
#include "memory.h"
#include "nearest.h"

#include <base/text.h>
#include <string.h>

const struct listener_settings *
config_find_listener(const struct settings *s, const char *name, unsigned line,
                     struct faults *faults)
{
    struct nearest n = nearest_to(name);
    for (unsigned i = 0; i < s->n_listeners; i++) {
        if (strcmp(s->listeners[i].name, name) == 0)
            return &s->listeners[i];
        nearest_offer(&n, s->listeners[i].name);
    }
    char shown[128];
    text_escape(shown, sizeof shown, bytes_str(name));
    if (n.best)
        fault_at(faults, line, "there is no [listen %s]: did you mean \"%s\"?", shown, n.best);
    else
        fault_at(faults, line, "there is no [listen %s]: such a section would be right", shown);
    return NULL;
}

static bool
same_address(const struct address *a, const struct address *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case ADDRESS_TCP: return strcmp(a->port, b->port) == 0 && strcmp(a->host, b->host) == 0;
    case ADDRESS_UNIX: return strcmp(a->path, b->path) == 0;
    case ADDRESS_SYSTEMD: return strcmp(a->host, b->host) == 0;
    }
    return false;
}

static void
check_taken(const struct settings *s, const struct listener_settings *l, unsigned line,
            struct faults *faults)
{
    char text[ADDRESS_TEXT];
    for (const struct listener_settings *other = s->listeners; other < l; other++) {
        if (!same_address(&other->address, &l->address))
            continue;
        fault_at(faults, line, "address = %s is that of [listen %s], too: each needs its own",
                 address_text(&l->address, text, sizeof text), other->name);
        return;
    }
}

static void
fill_address(const struct settings *s, struct listener_settings *l,
             const struct config_section *section, struct faults *faults)
{
    const struct config_value *v = &section->values[KEY_LISTEN_ADDRESS];
    const struct config_value *mode = &section->values[KEY_LISTEN_SOCKET_MODE];
    char err[512];
    if (!v->line) {
        fault_at(faults, section->line,
                 "[listen %s] has no address: address = 127.0.0.1:10809, for example",
                 section->name);
        return;
    }
    if (!address_parse(v->text, &l->address, err, sizeof err)) {
        fault_at(faults, v->line, "address: %s", err);
        return;
    }
    if (l->address.kind != ADDRESS_UNIX && mode->line)
        warning_at(faults, mode->line, "socket-mode has no effect: the address is not unix:/path");
    check_taken(s, l, v->line, faults);
}

void
config_listeners(struct settings *s, const struct config_document *doc, struct counters *counters,
                 struct faults *faults)
{
    s->listeners = need_zeroed(config_count(doc, SECTION_LISTEN), sizeof *s->listeners);
    const struct config_section *section;
    for (size_t at = 0; (section = config_next(doc, SECTION_LISTEN, &at));) {
        struct listener_settings *l = &s->listeners[s->n_listeners++];
        l->name = need_copy(section->name);
        l->counters = counters_of_listener(counters, l->name);
        l->socket_mode = (unsigned)section->values[KEY_LISTEN_SOCKET_MODE].number;
        fill_address(s, l, section, faults);
        config_listener_allow(l, section, faults);
        config_listener_tls(l, section, faults);
        const struct config_value *upstream = &section->values[KEY_LISTEN_UPSTREAM];
        if (*upstream->text)
            l->upstream = config_find_upstream(s, upstream->text, upstream->line, faults);
    }
}
