// SPDX-License-Identifier: BSD-3-Clause
// Whose data is safe. A FLUSH of our own that fails takes a report that upstream gives only once;
// it is owed to whoever has written and not flushed since (docs/zeroing.md).
#include "session.h"

#include <wire/names.h>

// One connection's FLUSH speaks for all (spec: NBD_FLAG_CAN_MULTI_CONN).
static bool
speaks_for_all(const struct session *s)
{
    return s->facts.flags & NBD_FLAG_CAN_MULTI_CONN;
}

bool
client_flush_owed(struct session *s)
{
    unsigned failures = export_flush_failures(s->export);
    if (failures == s->flush_failures_seen)
        return false;
    s->flush_failures_seen = failures;
    return s->writes_done > s->writes_flushed || speaks_for_all(s);
}

// A failure before anything was written that is not yet safe is none of this connection's business.
void
client_writes(struct session *s)
{
    if (s->writes_sent == s->writes_flushed && !speaks_for_all(s))
        s->flush_failures_seen = export_flush_failures(s->export);
    s->writes_sent++;
}

void
client_unwritten(struct session *s)
{
    s->writes_sent--;
}

void
client_wrote(struct session *s, const struct request *r, uint32_t error)
{
    const struct nbd_command_info *info = nbd_command_info(r->type);
    if (!info || !info->changes_data)
        return;
    if (r->type == NBD_CMD_WRITE)
        s->dirty = true;
    if (error)
        client_unwritten(s); // and the client knows it
    else
        s->writes_done++;
}

void
session_flushed(struct session *s, uint64_t writes, uint32_t error)
{
    // What upstream reads after a FLUSH that failed is perhaps only in its cache, and the next
    // FLUSH will not say so again (Linux drops such pages as if they were clean): "it is zero
    // already" is no ground any more for not writing zeroes.
    if (error) {
        export_status_lied(s->export);
        return;
    }
    // Where a report is owed, it must not be forgotten for this.
    if (export_flush_failures(s->export) != s->flush_failures_seen)
        return;
    if (writes > s->writes_flushed)
        s->writes_flushed = writes;
    if (s->writes_flushed == s->writes_done)
        s->dirty = false;
}

void
session_flush_failed(struct session *s, bool told)
{
    export_flush_failed(s->export);
    if (!told || s->writes_sent != s->writes_flushed + 1 || speaks_for_all(s))
        return;
    // Nothing else of this client's was at stake, and it hears of this one now.
    s->writes_flushed = s->writes_done;
    s->flush_failures_seen = export_flush_failures(s->export);
}
