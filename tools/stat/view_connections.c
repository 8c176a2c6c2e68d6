// SPDX-License-Identifier: BSD-3-Clause
#include "table.h"
#include "units.h"
#include "views.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// The client's side; that to the upstream is as the table of upstreams has it. "TLSv1.3" becomes
// "1.3".
const char *
connection_tls(const json_t *connection)
{
    const json_t *tls = json_object_get(connection, "tls");
    const char *version = fact_text(tls, "version");
    if (!json_is_object(tls))
        return "off";
    return strncmp(version, "TLSv", 4) == 0 ? version + 4 : version;
}

static void
add_row(struct table *t, const struct look *l, const json_t *connection)
{
    const json_t *before = look_connection_before(l, connection);
    char *name = fact_export(connection);
    table_cell(t, "%" PRIu64, fact_number(connection, "id"));
    table_cell(t, "%s", fact_text(connection, "client"));
    table_cell(t, "%s", fact_text(connection, "listener"));
    table_cell(t, "%s", connection_tls(connection));
    table_cell(t, "%s", name);
    table_cell(t, "%s", units_duration(l->now->time - (int64_t)fact_number(connection, "since")).s);
    table_cell(t, "%s", units_count(fact_number(connection, "in_flight")).s);
    if (look_seconds(l) > 0) {
        table_cell(t, "%s",
                   units_size_rate(look_rate(l, connection, before, "bytes_from_client")).s);
        table_cell(t, "%s", units_size_rate(look_rate(l, connection, before, "bytes_to_client")).s);
    } else {
        table_cell(t, "%s", units_size(fact_number(connection, "bytes_from_client")).s);
        table_cell(t, "%s", units_size(fact_number(connection, "bytes_to_client")).s);
    }
    free(name);
}

#define IDENTITY                                                                                   \
    {"ID", RIGHT}, {"CLIENT", LEFT, 12}, {"LISTENER", LEFT, 8, 1}, {"TLS", LEFT, 3, 2},            \
        {"EXPORT", LEFT, 8}, {"AGE", RIGHT, 0, 3},                                                 \
    {                                                                                              \
        "IN-FLIGHT", RIGHT, 0, 4                                                                   \
    }

void
view_connections(const struct look *l, struct canvas *c)
{
    static const struct column totals[] = {IDENTITY, {"IN", RIGHT}, {"OUT", RIGHT}};
    static const struct column rates[] = {IDENTITY, {"IN/s", RIGHT}, {"OUT/s", RIGHT}};
    struct table t;
    table_begin(&t, look_seconds(l) > 0 ? rates : totals, sizeof totals / sizeof totals[0]);
    size_t i;
    json_t *connection;
    json_array_foreach(json_object_get(l->now->snapshot, "connections"), i, connection)
        add_row(&t, l, connection);
    table_draw(&t, c, l->width);
}
