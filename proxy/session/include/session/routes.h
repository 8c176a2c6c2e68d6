// SPDX-License-Identifier: BSD-3-Clause
// Where an export is that a client names on a listener, and what it is called there: [export]
// sections rename, redirect, hide and override; every other name passes through. Pure: settings in,
// a route out. A name is bytes.
#ifndef SESSION_ROUTES_H
#define SESSION_ROUTES_H

#include <session/settings.h>

struct route {
    const struct upstream_settings *upstream;
    struct bytes name; // as upstream calls it; lies in the settings or is the client's own
    const struct policy *policy;
    const struct export_settings *section; // that speaks of it; NULL: none
};

// False: no export of that name is served on this listener.
bool route_find(const struct settings *s, const struct listener_settings *l, struct bytes name,
                struct route *r);

// What upstream calls an export where nobody renames it: the export part of its URI stands for the
// empty name.
struct bytes route_upstream_name(const struct upstream_settings *u, struct bytes name);

// Which server, and who we are there: what tells exports of one name apart, in memory and in
// state-dir. Returns buf.
#define ROUTE_PLACE_TEXT (ADDRESS_TEXT + 256 + 8)
const char *route_place(const struct nbd_uri *u, char buf[ROUTE_PLACE_TEXT]);

// Does this section show the export that the listener's own upstream calls `name`?
bool route_shows(const struct export_settings *e, const struct listener_settings *l,
                 struct bytes name);

#endif
