// SPDX-License-Identifier: BSD-3-Clause
// scratch and scratch-export: what may be overwritten, so that nothing else need be.
#include "config_parts.h"

#include "config_values.h"

#include <string.h>

#define STEP  (64u << 10) // as zero/ cuts chunks
#define LEAST (4u << 20)  // the level that decides

static void
check_range(const struct config_value *v, const struct range *r, struct faults *faults)
{
    if (r->offset % STEP || r->length % STEP)
        fault_at(faults, v->line, "scratch = %s: multiples of 64K would be right", v->text);
    else if (r->length < LEAST)
        fault_at(faults, v->line,
                 "scratch = %s: a length of 4M or more would be right, 64M for all that may be "
                 "measured",
                 v->text);
}

static void
check_policy(const struct config_section *section, const struct policy *p, struct faults *faults)
{
    const struct config_value *v = &section->values[KEY_SCRATCH];
    const char *word = section_names[section->kind];
    if (p->read_only)
        fault_at(
            faults, v->line,
            "[%s %s] is read-only, and has a scratch range, which is written to: one of the two "
            "would be right",
            word, section->name);
    else if (p->zero.policy != ZERO_MEASURE)
        warning_at(faults, v->line,
                   "[%s %s] has a scratch range, and nothing is measured in it: only fast-zero = "
                   "measure needs it",
                   word, section->name);
}

void
config_scratch(struct scratch_settings *s, const struct config_section *section,
               const struct policy *p, struct faults *faults)
{
    const struct config_value *range = &section->values[KEY_SCRATCH];
    const struct config_value *holder = &section->values[KEY_SCRATCH_EXPORT];
    if (!*range->text) {
        if (*holder->text)
            fault_at(faults, holder->line,
                     "scratch-export = %s: which range of it may be overwritten? scratch = "
                     "OFFSET:LENGTH would be right",
                     holder->text);
        return;
    }
    s->given = p->zero.policy == ZERO_MEASURE;
    s->range = value_range(range->text);
    s->elsewhere = *holder->text;
    if (s->elsewhere)
        s->holder = config_name(holder, "scratch-export", faults);
    check_range(range, &s->range, faults);
    check_policy(section, p, faults);
}
