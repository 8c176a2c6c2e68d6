// SPDX-License-Identifier: BSD-3-Clause
#include "config.h"

#include "config_parts.h"
#include "memory.h"

#include <io/address.h>
#include <stdlib.h>
#include <string.h>

const struct config_section *
config_next(const struct config_document *doc, enum section_kind kind, size_t *at)
{
    while (*at < doc->n_sections) {
        const struct config_section *s = doc->sections[(*at)++];
        if (s->kind == kind)
            return s;
    }
    return NULL;
}

unsigned
config_count(const struct config_document *doc, enum section_kind kind)
{
    unsigned n = 0;
    for (size_t at = 0; config_next(doc, kind, &at);)
        n++;
    return n;
}

static void
settings_destroy(struct settings *s)
{
    for (unsigned i = 0; i < s->n_listeners; i++) {
        free(s->listeners[i].name);
        free(s->listeners[i].allow);
        tls_unref(s->listeners[i].tls_context);
    }
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        free(s->upstreams[i].name);
        tls_unref(s->upstreams[i].tls);
        config_name_free(s->upstreams[i].scratch.holder);
    }
    for (unsigned i = 0; i < s->n_exports; i++) {
        struct export_settings *e = &s->exports[i];
        config_name_free(e->name);
        config_name_free(e->upstream_name);
        config_name_free(e->description);
        config_name_free(e->scratch.holder);
        free(e->listeners);
    }
    free(s->listeners);
    free(s->upstreams);
    free(s->exports);
    free(s->state_dir);
    free(s);
}

static void
fill_limits(struct limits *l, const struct config_value *v)
{
    l->handshake_timeout = v[KEY_HANDSHAKE_TIMEOUT].number;
    l->io_timeout = v[KEY_IO_TIMEOUT].number;
    l->keepalive = v[KEY_KEEPALIVE].number;
    l->max_in_flight = (unsigned)v[KEY_MAX_IN_FLIGHT].number;
    l->max_in_flight_bytes = v[KEY_MAX_IN_FLIGHT_BYTES].number;
}

static void
fill_metrics(struct config *c, const struct config_value *v, struct faults *faults)
{
    char err[512];
    if (!*v->text)
        return;
    if (!address_parse(v->text, &c->metrics, err, sizeof err))
        fault_at(faults, v->line, "metrics-listen: %s", err);
    else if (c->metrics.kind != ADDRESS_TCP)
        fault_at(faults, v->line, "metrics-listen = %s: host:port or [v6]:port would be right",
                 v->text);
    c->has_metrics = true;
}

static void
fill_control(struct config *c, const struct config_value *v, struct faults *faults)
{
    struct address a;
    const struct config_value *mode = &v[KEY_CONTROL_SOCKET_MODE];
    const struct config_value *group = &v[KEY_CONTROL_SOCKET_GROUP];
    c->control_socket = need_copy(v[KEY_CONTROL_SOCKET].text);
    c->control_socket_given = v[KEY_CONTROL_SOCKET].line;
    c->control_mode = mode->line || !*group->text ? (unsigned)mode->number : 0660;
    c->control_group = NO_GROUP;
    if (strlen(c->control_socket) >= sizeof a.path)
        fault_at(faults, v[KEY_CONTROL_SOCKET].line,
                 "control-socket: the path is longer than the %zu bytes that a socket's may have",
                 sizeof a.path - 1);
    if (*group->text && !group_find(group->text, &c->control_group))
        fault_at(faults, group->line,
                 "control-socket-group = %s: there is no such group; the name or number of one "
                 "would be right",
                 group->text);
}

static void
fill_process(struct config *c, const struct config_value *v, struct faults *faults)
{
    c->threads = (unsigned)v[KEY_THREADS].number;
    fill_control(c, v, faults);
    config_identity(&c->identity, &v[KEY_USER], &v[KEY_GROUP], faults);
    c->log_level = (enum log_level)v[KEY_LOG_LEVEL].number;
    c->max_connections = (unsigned)v[KEY_MAX_CONNECTIONS].number;
    c->max_per_client = (unsigned)v[KEY_MAX_PER_CLIENT].number;
    c->drain_timeout = v[KEY_DRAIN_TIMEOUT].number;
    c->upgrade_timeout = v[KEY_UPGRADE_TIMEOUT].number;
    fill_metrics(c, &v[KEY_METRICS_LISTEN], faults);
}

static void
check_control_socket(const struct config *c, const struct config_document *doc,
                     struct faults *faults)
{
    const struct settings *s = c->settings;
    size_t at = 0;
    for (unsigned i = 0; i < s->n_listeners; i++) {
        const struct config_section *section = config_next(doc, SECTION_LISTEN, &at);
        const struct address *a = &s->listeners[i].address;
        if (a->kind == ADDRESS_UNIX && *a->path && strcmp(a->path, c->control_socket) == 0)
            fault_at(faults, section->values[KEY_LISTEN_ADDRESS].line,
                     "address = unix:%s is the control-socket, too: each needs a path of its own",
                     a->path);
    }
}

static void
check_sections(const struct config_document *doc, struct faults *faults)
{
    unsigned end = doc->lines ? doc->lines : 1;
    if (!config_count(doc, SECTION_LISTEN))
        fault_at(faults, end, "no [listen NAME] section: at least one would be right");
    if (!config_count(doc, SECTION_UPSTREAM))
        fault_at(faults, end, "no [upstream NAME] section: at least one would be right");
}

static void
fill(struct config *c, const struct config_document *doc, const struct config_section *proxy,
     struct faults *faults)
{
    struct settings *s = c->settings;
    atomic_init(&s->refs, 1);
    s->destroy = settings_destroy;
    s->state_dir = need_copy(proxy->values[KEY_STATE_DIR].text);
    fill_limits(&s->limits, proxy->values);
    fill_process(c, proxy->values, faults);
    config_upstreams(s, doc, c->counters, faults);
    config_listeners(s, doc, c->counters, faults);
    config_exports(s, doc, faults);
    check_control_socket(c, doc, faults);
    check_sections(doc, faults);
}

struct config *
config_of_document(const struct config_document *doc, const struct config *running,
                   struct faults *faults)
{
    struct config_document defaults = {0};
    const struct config_section *proxy = config_section_find(doc, SECTION_PROXY, "");
    if (!proxy)
        proxy = config_section_add(&defaults, SECTION_PROXY, "", 0);
    struct config *c = need_zeroed(1, sizeof *c);
    c->settings = need_zeroed(1, sizeof *c->settings);
    c->counters = running ? counters_ref(running->counters) : counters_new();
    fill(c, doc, proxy, faults);
    config_document_clear(&defaults);
    if (faults->errors) {
        config_free(c);
        return NULL;
    }
    return c;
}

struct config *
config_load(const char *path, struct faults *faults)
{
    return config_reload(path, NULL, faults);
}

struct config *
config_reload(const char *path, const struct config *running, struct faults *faults)
{
    struct config_document doc = {0};
    config_document_read(&doc, path, faults);
    // Of a file that could not be read there is nothing more to say.
    struct config *c =
        doc.lines || !faults->errors ? config_of_document(&doc, running, faults) : NULL;
    if (c)
        c->document = doc;
    else
        config_document_clear(&doc);
    return c;
}

void
config_free(struct config *c)
{
    if (!c)
        return;
    settings_unref(c->settings);
    counters_unref(c->counters);
    config_document_clear(&c->document);
    free(c->control_socket);
    free(c->identity.name);
    free(c);
}
