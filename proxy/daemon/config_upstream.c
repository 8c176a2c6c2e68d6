// SPDX-License-Identifier: BSD-3-Clause
// [upstream] sections, and the policy keys that they share with [export].
#include "config_parts.h"

#include "config_tls.h"
#include "memory.h"
#include "nearest.h"

#include <base/text.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

void
config_policy(struct policy *p, const struct config_section *s, bool all)
{
    const struct config_value *v = s->values;
    if (all || v[KEY_READ_ONLY].line)
        p->read_only = v[KEY_READ_ONLY].number;
    if (all || v[KEY_BLOCK_SIZE].line)
        p->repair = v[KEY_BLOCK_SIZE].number; // choices: pass, repair
    if (all || v[KEY_FAST_ZERO].line)
        p->zero.policy = (enum zero_policy)v[KEY_FAST_ZERO].number;
    if (all || v[KEY_FAST_ZERO_RATIO].line)
        p->zero.ratio = (double)v[KEY_FAST_ZERO_RATIO].number / 1e6;
    if (all || v[KEY_PROBE].line)
        p->zero.probe = v[KEY_PROBE].number == 0; // choices: auto, off
    if (all || v[KEY_PROBE_TIME].line)
        p->zero.probe_time = v[KEY_PROBE_TIME].number;
    if (all || v[KEY_PROBE_BYTES].line)
        p->zero.probe_bytes = v[KEY_PROBE_BYTES].number;
    if (all || v[KEY_WRITE_ZEROES].line)
        p->zero.cheapest = v[KEY_WRITE_ZEROES].number; // choices: pass, cheapest
    if (all || v[KEY_MAX_ZERO].line)
        p->zero.max_zero = (uint32_t)v[KEY_MAX_ZERO].number;
}

void
config_policy_warn(const struct config_section *s, struct faults *faults)
{
    const struct config_value *always = &s->values[KEY_FAST_ZERO];
    const struct config_value *max_zero = &s->values[KEY_MAX_ZERO];
    const char *word = section_names[s->kind];
    if (always->line && always->number == ZERO_ALWAYS)
        warning_at(faults, always->line,
                   "[%s %s] promises fast zeroes without measuring: where zeroing is slow, clients "
                   "are misled; fast-zero = measure finds out",
                   word, s->name);
    if (max_zero->number % (64u << 10))
        fault_at(faults, max_zero->line, "max-zero = %s: a multiple of 64K would be right",
                 max_zero->text);
    else if (max_zero->number > 64 * MIB)
        warning_at(faults, max_zero->line,
                   "[%s %s] sends zero requests of over 64M: nbd-server and older nbdkit zero only "
                   "the first 64M of these and report success",
                   word, s->name);
}

const struct upstream_settings *
config_find_upstream(const struct settings *s, const char *name, unsigned line,
                     struct faults *faults)
{
    struct nearest n = nearest_to(name);
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        if (strcmp(s->upstreams[i].name, name) == 0)
            return &s->upstreams[i];
        nearest_offer(&n, s->upstreams[i].name);
    }
    char shown[128];
    text_escape(shown, sizeof shown, bytes_str(name));
    if (n.best)
        fault_at(faults, line, "there is no [upstream %s]: did you mean \"%s\"?", shown, n.best);
    else
        fault_at(faults, line, "there is no [upstream %s]: such a section would be right", shown);
    return NULL;
}

static void
fill_uri(struct upstream_settings *u, const struct config_section *s, struct faults *faults)
{
    const struct config_value *uri = &s->values[KEY_UPSTREAM_URI];
    char err[512];
    if (!uri->line)
        fault_at(faults, s->line, "[upstream %s] has no uri: uri = nbd://host:port, for example",
                 s->name);
    else if (!nbd_uri_parse(uri->text, &u->uri, err, sizeof err))
        fault_at(faults, uri->line, "uri: %s", err);
    else
        config_upstream_tls(u, s, faults);
}

void
config_upstreams(struct settings *s, const struct config_document *doc, struct counters *counters,
                 struct faults *faults)
{
    s->upstreams = need_zeroed(config_count(doc, SECTION_UPSTREAM), sizeof *s->upstreams);
    unsigned reading = counters_next_reading(counters);
    const struct config_section *section;
    for (size_t at = 0; (section = config_next(doc, SECTION_UPSTREAM, &at));) {
        struct upstream_settings *u = &s->upstreams[s->n_upstreams++];
        u->name = need_copy(section->name);
        u->counters = counters_of_upstream(counters, u->name);
        u->reading = reading;
        u->connect_timeout = section->values[KEY_UPSTREAM_CONNECT_TIMEOUT].number;
        fill_uri(u, section, faults);
        config_policy(&u->policy, section, true);
        config_policy_warn(section, faults);
        config_scratch(&u->scratch, section, &u->policy, faults);
    }
}
