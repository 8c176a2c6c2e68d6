// SPDX-License-Identifier: BSD-3-Clause
// Passive learning: what requests that ran alone cost upstream, clients' own and those of tasks
// (zero/traffic.h). A WRITE counts from its header on, a client that is slow to send its payload
// included: that makes writing look dearer, so it blames no zero wrongly.
#include "session.h"

#include "quiet.h"

#include <wire/names.h>

bool
slot_ran_alone(const struct session *s, const struct slot *slot, nstime took)
{
    const struct worker *w = s->worker;
    return slot->quiet && slot->submitted == w->submitted && w->in_flight == 1 &&
           ring_was_quiet(w->ring, slot->began, took);
}

static enum traffic_op
operation(const struct slot *slot)
{
    if (slot->track.command == NBD_CMD_WRITE)
        return TRAFFIC_WRITE;
    return slot->track.flags & NBD_CMD_FLAG_NO_HOLE ? TRAFFIC_ZERO_NO_HOLE : TRAFFIC_ZERO;
}

static void
flushed(struct session *s, nstime took, bool alone)
{
    enum traffic_op op;
    uint64_t n;
    // Another connection's data would be in it, too.
    if (traffic_flushed(&s->unflushed, alone, &op, &n) && export_has_one_connection(s->export)) {
        s->counters->learning.flushes++;
        export_saw_flush(s->export, op, n, took, session_now(s));
    }
}

static void
changed(struct session *s, const struct slot *slot, nstime took, bool alone)
{
    uint64_t n = slot->track.length;
    // With FUA it has been flushed itself, who knows what with it; TRIM is none of both.
    if (slot->track.command == NBD_CMD_TRIM || slot->track.flags & NBD_CMD_FLAG_FUA) {
        traffic_muddled(&s->unflushed);
        return;
    }
    traffic_changed(&s->unflushed, operation(slot), n);
    if (alone && n >= TRAFFIC_FROM && s->policy->zero.policy == ZERO_MEASURE) {
        s->counters->learning.operations++;
        export_saw(s->export, &s->policy->zero, operation(slot), n, took, session_now(s));
    }
}

static void
native(struct session *s, const struct slot *slot, nstime took)
{
    bool no_hole = slot->track.flags & NBD_CMD_FLAG_NO_HOLE;
    if (s->policy->zero.policy == ZERO_MEASURE &&
        export_native_succeeded(s->export, no_hole, slot->track.length, took, session_now(s)))
        session_log(s, LOG_LEVEL_WARN,
                    "upstream says that its zeroes are fast, and they cost more than half of what "
                    "writing costs: fast zeroes are refused for a while (fast-zero = trust would "
                    "believe it)");
}

void
learning_done(struct session *s, const struct slot *slot, uint32_t error)
{
    const struct nbd_command_info *info = nbd_command_info(slot->track.command);
    bool flush = slot->track.command == NBD_CMD_FLUSH;
    if (!info || !(info->changes_data || flush))
        return;
    nstime now = session_now(s), took = now > slot->began ? now - slot->began : 0;
    if (error) {
        traffic_muddled(&s->unflushed);
        return;
    }
    bool alone = slot_ran_alone(s, slot, took);
    if (flush)
        flushed(s, took, alone);
    else
        changed(s, slot, took, alone);
    if (slot->native_fast && alone)
        native(s, slot, took);
}
