// SPDX-License-Identifier: BSD-3-Clause
#include "snapshot.h"

#include <base/text.h>
#include <unistd.h>

json_t *
snapshot_text(const char *text)
{
    char escaped[1024];
    json_t *j = json_string(text);
    return j ? j : json_string(text_escape(escaped, sizeof escaped, bytes_str(text)));
}

static json_t *
refusals_json(const struct listener_counters *c)
{
    static const char *const names[REFUSALS] = {[REFUSED_ALLOW] = "allow",
                                                [REFUSED_MAX_CONNECTIONS] = "max_connections",
                                                [REFUSED_PER_CLIENT] = "max_connections_per_client",
                                                [REFUSED_MEMORY] = "memory"};
    json_t *object = json_object();
    for (enum refusal r = 0; object && r < REFUSALS; r++)
        json_object_set_new(object, names[r],
                            json_integer((json_int_t)atomic_load(&c->refused_for[r])));
    return object;
}

static json_t *
listener_json(const struct listener_settings *l, const char *address)
{
    static const char *const tls[] = {
        [CLIENT_TLS_OFF] = NULL, [CLIENT_TLS_ALLOW] = "allow", [CLIENT_TLS_REQUIRE] = "require"};
    return json_pack("{s:o, s:o, s:s?, s:I, s:I, s:I, s:o, s:s?}", "name", snapshot_text(l->name),
                     "address", snapshot_text(address), "tls", tls[l->tls], "accepted",
                     (json_int_t)atomic_load(&l->counters->accepted), "active",
                     (json_int_t)atomic_load(&l->counters->active), "refused",
                     (json_int_t)atomic_load(&l->counters->refused), "refused_for",
                     refusals_json(l->counters), "upstream",
                     l->upstream ? l->upstream->name : NULL);
}

static json_t *
listeners_json(const struct snapshot *s)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < s->settings->n_listeners; i++)
        if (json_array_append_new(list,
                                  listener_json(&s->settings->listeners[i], s->addresses[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *
tls_json(const struct tls_row *row)
{
    if (!*row->version)
        return json_null();
    return json_pack("{s:s, s:s, s:o}", "version", row->version, "cipher", row->cipher, "peer",
                     snapshot_text(row->peer));
}

static json_t *
connection_json(const struct snapshot *s, const struct connection_row *c)
{
    nstime age = s->ring_now > c->since ? s->ring_now - c->since : 0;
    return json_pack(
        "{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:b}", "id", (json_int_t)c->id,
        "client", snapshot_text(c->client), "listener", snapshot_text(c->listener), "upstream",
        *c->upstream ? snapshot_text(c->upstream) : json_null(), "export", snapshot_text(c->export),
        "tls", tls_json(&c->client_tls), "upstream_tls", tls_json(&c->upstream_tls), "since",
        (json_int_t)(s->unix_now - (int64_t)(age / NS_PER_SEC)), "in_flight",
        (json_int_t)c->in_flight, "bytes_from_client", (json_int_t)c->bytes_from_client,
        "bytes_to_client", (json_int_t)c->bytes_to_client, "transmission", c->transmission);
}

static json_t *
connections_json(const struct snapshot *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_reports; i++) {
        const struct worker_report *r = &s->reports[i];
        for (size_t j = 0; j < r->n_connections; j++)
            if (json_array_append_new(list, connection_json(s, &r->connections[j])) < 0) {
                json_decref(list);
                return NULL;
            }
    }
    return list;
}

static json_t *
endings_json(const struct snapshot *s)
{
    json_t *object = json_object();
    for (enum session_ending e = 0; e < SESSION_ENDINGS_COUNT; e++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < s->n_reports; i++)
            sum += s->reports[i].endings[e];
        if (json_object_set_new(object, session_ending_name(e), json_integer((json_int_t)sum)) <
            0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static size_t
memory(const struct snapshot *s)
{
    size_t sum = s->memory;
    for (size_t i = 0; i < s->n_reports; i++)
        sum += s->reports[i].memory;
    return sum;
}

json_t *
snapshot_json(const struct snapshot *s)
{
    return json_pack(
        "{s:s, s:i, s:I, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:I, s:I}, s:o, s:I, s:o, s:o}",
        "version", NBDZERO_VERSION, "pid", (int)getpid(), "uptime_s",
        (json_int_t)((s->ring_now - s->started) / NS_PER_SEC), "threads", (int)s->threads,
        "max_connections", (int)s->max_connections, "listeners", listeners_json(s), "upstreams",
        snapshot_upstreams_json(s), "certificates", snapshot_certificates_json(s), "connections",
        connections_json(s), "exports", snapshot_exports_json(s), "endings", endings_json(s),
        "memory", "buffers", (json_int_t)memory(s), "rss", (json_int_t)s->resident, "log",
        snapshot_log_json(s), "started",
        (json_int_t)(s->unix_now - (int64_t)((s->ring_now - s->started) / NS_PER_SEC)), "state",
        snapshot_state_json(s), "control", snapshot_control_json(s));
}
