// SPDX-License-Identifier: BSD-3-Clause
// upstreams[] and certificates[] of the snapshot: who is behind us and whether it was reached, and
// when our own certificates end.
#include "snapshot.h"

#include <io/tls.h>
#include <session/health.h>
#include <stdio.h>

static json_t *
upstream_json(const struct upstream_settings *u)
{
    return json_pack("{s:o, s:b, s:I, s:I, s:b}", "name", snapshot_text(u->name), "tls",
                     u->tls != NULL, "reached", (json_int_t)atomic_load(&u->counters->reached),
                     "failed", (json_int_t)atomic_load(&u->counters->failed), "down",
                     (int)upstream_is_down(u->counters));
}

json_t *
snapshot_upstreams_json(const struct snapshot *s)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < s->settings->n_upstreams; i++)
        if (json_array_append_new(list, upstream_json(&s->settings->upstreams[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

// Of a context without certificates there is nothing to say.
static bool
append(json_t *list, const struct tls_context *c, const char *kind, const char *name)
{
    struct tls_report r;
    char owner[256];
    if (!c)
        return true;
    tls_report(c, &r);
    if (!*r.file && !*r.warning)
        return true;
    snprintf(owner, sizeof owner, "%s %s", kind, name);
    json_t *one = json_pack("{s:o, s:o, s:o, s:o}", "owner", snapshot_text(owner), "file",
                            snapshot_text(r.file), "not_after",
                            r.not_after ? json_integer((json_int_t)r.not_after) : json_null(),
                            "warning", *r.warning ? snapshot_text(r.warning) : json_null());
    return json_array_append_new(list, one) == 0;
}

json_t *
snapshot_certificates_json(const struct snapshot *s)
{
    const struct settings *t = s->settings;
    json_t *list = json_array();
    bool good = list;
    for (unsigned i = 0; good && i < t->n_listeners; i++)
        good = append(list, t->listeners[i].tls_context, "listen", t->listeners[i].name);
    for (unsigned i = 0; good && i < t->n_upstreams; i++)
        good = append(list, t->upstreams[i].tls, "upstream", t->upstreams[i].name);
    if (good)
        return list;
    json_decref(list);
    return NULL;
}
